//! Writes: all or none, the row's own fault named as such, and never another row touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Column, ErrorKind, Index, Key, Row, RowBatch, TableSchema, Value};

use super::Lab;
use super::bench::{
    Bench, EVERY, INT64, bytes, id_of, key, open, receipt, refused, row, schema, simple, strict, text,
};
use super::values::labelled;
use crate::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Selection};

/// A value that no message may show.
const CANARY: &str = "canary-4f1c";

/// People with a unique e-mail address.
fn people() -> TableSchema {
    let columns = vec![strict("id", INT64), open("email", text(40)), strict("name", text(5))];
    let email = Index { name: "people_email".to_owned(), columns: vec!["email".to_owned()], unique: true };
    TableSchema { indexes: vec![email], ..schema("people", columns, &["id"]) }
}

fn person(id: i64, email: &str, name: &str) -> Row {
    vec![Value::Int(id), Value::Text(email.to_owned()), Value::Text(name.to_owned())]
}

async fn people_bench(lab: &dyn Lab, rows: &[Row]) -> Bench {
    let bench = Bench::create(lab, people()).await;
    assert_eq!(bench.target.build_indexes(&bench.plan).await.expect("built"), Vec::<String>::new());
    bench.insert(rows).await;
    bench
}

fn by_id(rows: Vec<Row>) -> BTreeMap<i64, Row> {
    rows.into_iter().map(|row| (id_of(&row), row)).collect()
}

pub async fn a_duplicate_refuses_the_whole_insert(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("pairs")).await;
    bench.insert(&[row(5, "five")]).await;
    let mut write = bench.begin().await;
    write.insert(&[row(1, "one")]).await.expect("inserted");
    refused(
        write.insert(&[row(2, "two"), row(5, "again"), row(3, "three")]).await,
        &[ErrorKind::DuplicateKey],
    );
    refused(write.insert(&[row(8, "twice"), row(8, "in one insert")]).await, &[ErrorKind::DuplicateKey]);
    write.insert(&[row(3, "three")]).await.expect("the transaction goes on");
    write.commit(&receipt(1, 2)).await.expect("committed");
    bench.holds(&by_id(vec![row(1, "one"), row(3, "three"), row(5, "five")])).await;
}

pub async fn a_null_refuses_the_whole_insert(lab: &dyn Lab) {
    let bench = people_bench(lab, &[]).await;
    let mut write = bench.begin().await;
    let nameless = vec![Value::Int(2), Value::Null, Value::Null];
    let error = refused(write.insert(&[person(1, "a", "ann"), nameless]).await, &[ErrorKind::NotNull]);
    assert!(!error.to_string().contains("ann"), "{error}");
    write
        .insert(&[vec![Value::Int(3), Value::Null, Value::Text("cy".to_owned())]])
        .await
        .expect("NULL where allowed");
    write
        .insert(&[vec![Value::Int(4), Value::Null, Value::Text("di".to_owned())]])
        .await
        .expect("NULLs are no duplicates");
    write.commit(&receipt(1, 2)).await.expect("committed");
    assert_eq!(by_id(bench.all().await).into_keys().collect::<Vec<_>>(), [3, 4]);
    // A key is never NULL, whatever the engine thinks of NULLs in keys of text.
    let keyed =
        Bench::create(lab, schema("keyed_by_text", vec![strict("k", text(9)), open("n", INT64)], &["k"]))
            .await;
    refused(keyed.begin().await.insert(&[vec![Value::Null, Value::Int(1)]]).await, &[ErrorKind::NotNull]);
}

/// `convert` keeps long texts from ever coming this far; if one does, it is refused or kept whole.
pub async fn a_long_text_is_refused_or_kept(lab: &dyn Lab) {
    let bench = people_bench(lab, &[]).await;
    let mut write = bench.begin().await;
    let long = person(2, "b", &format!("much too {CANARY}"));
    match write.insert(&[person(1, "a", "ann"), long]).await {
        Ok(()) => drop(write.delete(&[key(1)]).await.expect("deleted")),
        Err(error) => {
            assert!(matches!(error.kind, ErrorKind::TooLong | ErrorKind::Check), "{error}");
            assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
        }
    }
    write.insert(&[person(3, "c", "cy")]).await.expect("the transaction goes on");
    write.commit(&receipt(1, 1)).await.expect("committed");
    for row in bench.all().await {
        let Value::Text(name) = &row[2] else { panic!("a name is text") };
        assert!(name == "cy" || name.ends_with(CANARY), "a name was cut to {name}");
    }
}

/// A row that clashes on another unique index than its key is a duplicate; the row it clashes with stays.
pub async fn a_second_unique_index_guards_its_rows(lab: &dyn Lab) {
    let before = [person(1, "a@x", "ann"), person(2, "b@x", "bob")];
    let bench = people_bench(lab, &before).await;
    let mut write = bench.begin().await;
    refused(
        write.insert(&[person(3, "c@x", "cy"), person(4, "a@x", "eve")]).await,
        &[ErrorKind::DuplicateKey],
    );
    write.insert(&[person(3, "c@x", "cy")]).await.expect("inserted");
    write.commit(&receipt(1, 1)).await.expect("committed");
    bench.holds(&by_id([&before[..], &[person(3, "c@x", "cy")]].concat())).await;
}

pub async fn a_refused_update_changes_nothing(lab: &dyn Lab) {
    let before = vec![person(1, "a@x", "ann"), person(2, "b@x", "bob"), person(3, "c@x", "cy")];
    let bench = people_bench(lab, &before).await;
    let mut write = bench.begin().await;
    let clash = [person(3, "new@x", "cyd"), person(2, "a@x", "bob")];
    refused(write.update(&clash, &EVERY).await, &[ErrorKind::DuplicateKey]);
    let nulled = [person(3, "new@x", "cyd"), vec![Value::Int(1), Value::Null, Value::Null]];
    refused(write.update(&nulled, &EVERY).await, &[ErrorKind::NotNull]);
    write.insert(&[person(4, "d@x", "di")]).await.expect("the transaction goes on");
    write.commit(&receipt(1, 1)).await.expect("committed");
    bench.holds(&by_id([before, vec![person(4, "d@x", "di")]].concat())).await;
}

pub async fn update_touches_only_its_rows(lab: &dyn Lab) {
    let before: Vec<Row> = (0..1_500).map(|n| person(n, &format!("{n}@x"), "old")).collect();
    let bench = people_bench(lab, &before).await;
    let mut expected = by_id(before);
    let changed: Vec<Row> = (0..1_500).step_by(3).map(|n| person(n, &format!("{n}@y"), "new")).collect();
    expected.extend(by_id(changed.clone()));
    let mut write = bench.begin().await;
    write.update(&changed, &EVERY).await.expect("updated");
    // Same values again, and a row that is not there: nothing happens.
    write.update(&changed[..2], &EVERY).await.expect("updated again");
    let renamed: Vec<Row> = (0..750).step_by(3).map(|n| person(n, &format!("{n}@y"), "newer")).collect();
    write.update(&renamed, &[2]).await.expect("updated in one column");
    expected.extend(by_id(renamed));
    let _ = write.update(&[person(9_999, "nobody", "no")], &EVERY).await;
    write.commit(&receipt(1, 0)).await.expect("committed");
    bench.holds(&expected).await;
}

/// One bad row among many is told as it would be alone, and all stay as they were; the good ones can be updated then.
pub async fn a_refused_row_refuses_many_updates(lab: &dyn Lab) {
    let before: Vec<Row> = (0..400).map(|n| person(n, &format!("{n}@x"), "old")).collect();
    let bench = people_bench(lab, &before).await;
    let changed: Vec<Row> = (0..300).map(|n| person(n, &format!("{n}@y"), "new")).collect();
    let with = |bad: Row| [&changed[..200], &[bad], &changed[201..]].concat();
    let mut write = bench.begin().await;
    refused(write.update(&with(person(200, "399@x", "clash")), &EVERY).await, &[ErrorKind::DuplicateKey]);
    let nulled = vec![Value::Int(200), Value::Null, Value::Null];
    refused(write.update(&with(nulled), &EVERY).await, &[ErrorKind::NotNull]);
    refused(write.update(&with(person(9_999, "nobody", "no")), &EVERY).await, &[ErrorKind::Internal]);
    write.update(&changed[..200], &EVERY).await.expect("updated");
    write.update(&changed[150..], &EVERY).await.expect("updated");
    write.commit(&receipt(1, 0)).await.expect("committed");
    let mut expected = by_id(before);
    expected.extend(by_id(changed));
    bench.holds(&expected).await;
}

/// A row that went away under an update is noticed, and none of its batch is changed.
pub async fn an_update_of_a_missing_row_is_refused(lab: &dyn Lab) {
    let before = vec![person(1, "a@x", "ann"), person(2, "b@x", "bob")];
    let bench = people_bench(lab, &before).await;
    let mut write = bench.begin().await;
    for batch in [
        vec![person(1, "new@x", "anna"), person(9_999, "nobody", "no")],
        vec![person(9_999, "nobody", "no"), person(2, "new@x", "bobby")],
    ] {
        refused(write.update(&batch, &EVERY).await, &[ErrorKind::Internal]);
    }
    write.insert(&[person(3, "c@x", "cy")]).await.expect("the transaction goes on");
    write.commit(&receipt(1, 1)).await.expect("committed");
    bench.holds(&by_id([before, vec![person(3, "c@x", "cy")]].concat())).await;
}

pub async fn delete_says_how_many(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("shrinking")).await;
    bench.insert(&labelled(0..2_000)).await;
    let mut write = bench.begin().await;
    let doomed: Vec<Key> = (1_000..2_500).map(key).collect();
    assert_eq!(write.delete(&doomed).await.expect("deleted"), 1_000);
    assert_eq!(write.delete(&doomed).await.expect("deleted again"), 0);
    write.commit(&receipt(1, 0)).await.expect("committed");
    bench.holds(&by_id(labelled(0..1_000))).await;
}

pub async fn nothing_to_write_is_fine(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("still")).await;
    let mut write = bench.begin().await;
    write.insert(&[]).await.expect("inserted nothing");
    write.update(&[], &EVERY).await.expect("updated nothing");
    assert_eq!(write.delete(&[]).await.expect("deleted nothing"), 0);
    assert!(write.existing(&[]).await.expect("read nothing").is_empty());
    write.commit(&receipt(1, 0)).await.expect("committed");
    assert!(bench.all().await.is_empty());
    // A table of nothing but its key has nothing to update.
    let bare = Bench::create(lab, schema("bare", vec![strict("id", INT64)], &["id"])).await;
    bare.insert(&[vec![Value::Int(1)]]).await;
    bare.begin().await.update(&[vec![Value::Int(1)]], &EVERY).await.expect("nothing to update");
    assert_eq!(bare.all().await, [[Value::Int(1)]]);
}

pub async fn existing_finds_exactly_these_keys(lab: &dyn Lab) {
    let columns = vec![strict("a", text(20)), strict("b", INT64), open("n", INT64)];
    let bench = Bench::create(lab, schema("composite", columns, &["a", "b"])).await;
    let of = |a: i64, b: i64| vec![Value::Text(format!("a{a}")), Value::Int(b), Value::Int(a * 100 + b)];
    let rows: Vec<Row> = (0..20).flat_map(|a| (0..20).map(move |b| of(a, b))).collect();
    bench.insert(&rows).await;
    // Crosswise pairs, of which a careless `a IN (..) AND b IN (..)` would find more.
    let wanted: Vec<Row> = (0..20).map(|a| of(a, (a * 7) % 20)).collect();
    let mut keys: Vec<Key> = wanted.iter().map(|row| bench.plan.key_of(row)).collect();
    keys.push(Key(vec![Value::Text("a1".to_owned()), Value::Int(99)]));
    let mut write = bench.begin().await;
    let batch = write.existing(&keys).await.expect("read");
    let mut found = batch.rows;
    assert_eq!(batch.columns.len(), 3);
    found.sort_by_key(|row| format!("{:?}", row[2]));
    let mut wanted = wanted;
    wanted.sort_by_key(|row| format!("{:?}", row[2]));
    assert_eq!(found, wanted);
    let fresh = of(50, 1);
    write.insert(std::slice::from_ref(&fresh)).await.expect("inserted");
    let own = write.existing(&[bench.plan.key_of(&fresh)]).await.expect("read");
    assert_eq!(own.rows, [fresh], "a transaction sees its own rows");
}

pub async fn long_key_lists(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("long_lists")).await;
    bench.insert(&labelled((0..5_000).map(|n| n * 2))).await;
    let keys: Vec<Key> = (0..5_000).map(key).collect();
    let mut write = bench.begin().await;
    let found = by_id(write.existing(&keys).await.expect("read").rows);
    assert_eq!(found.len(), 2_500);
    assert!(found.keys().all(|id| id % 2 == 0 && *id < 5_000));
    assert_eq!(bench.read(Selection::Keys(keys.clone())).await.len(), 2_500);
    assert_eq!(write.delete(&keys).await.expect("deleted"), 2_500);
}

/// Drivers put values into their messages; ours name the kind, the table and the constraint.
pub async fn errors_carry_no_value(lab: &dyn Lab) {
    let columns = vec![strict("id", text(40)), open("email", text(40)), strict("name", text(5))];
    let email = Index { name: "mail_once".to_owned(), columns: vec!["email".to_owned()], unique: true };
    let table = TableSchema { indexes: vec![email], ..schema("secrets", columns, &["id"]) };
    let bench = Bench::create(lab, table).await;
    bench.target.build_indexes(&bench.plan).await.expect("built");
    let word = |s: &str| Value::Text(s.to_owned());
    let known = vec![word(CANARY), word(&format!("mail {CANARY}")), word("ann")];
    bench.insert(std::slice::from_ref(&known)).await;
    let mut write = bench.begin().await;
    let same_mail = vec![word("other"), known[1].clone(), word("eve")];
    let nulled = vec![word(&format!("2 {CANARY}")), word("m"), Value::Null];
    for bad in [known, same_mail, nulled] {
        let error = refused(write.insert(&[bad]).await, &[ErrorKind::DuplicateKey, ErrorKind::NotNull]);
        let failure = error.failure();
        let shown = format!("{error} {error:?} {failure} {failure:?}");
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.contains("secrets"), "the table is named: {shown}");
    }
}

/// As many rows and bytes as a batch may have, at their worst: every byte needs an escape.
pub async fn a_full_batch_is_one_insert(lab: &dyn Lab) {
    let columns = vec![strict("id", INT64), open("quotes", text(4_000)), open("binary", bytes(4_000))];
    let bench = Bench::create(lab, schema("full_batch", columns, &["id"])).await;
    let columns: Arc<[Column]> = bench.schema.columns.clone().into();
    let mut batch = RowBatch::new(columns);
    for id in 0.. {
        batch.push(vec![Value::Int(id), Value::Text("'".repeat(2_100)), Value::Bytes(vec![0xff; 2_100])]);
        if batch.is_full(BATCH_ROWS_MAX, BATCH_BYTES_MAX) {
            break;
        }
    }
    let mut write = bench.begin().await;
    write.insert(&batch.rows).await.expect("inserted");
    write.update(&batch.rows[..10], &EVERY).await.expect("updated");
    write.commit(&receipt(1, batch.rows.len() as u64)).await.expect("committed");
    assert_eq!(bench.all().await, batch.rows);
}
