//! Tables: what is made reads back as it was meant, whatever it is called.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Attempt, ChunkId, Column, Engine, ErrorKind, Index, RunId, TableRef, TableSchema, Turn, Value};

use super::Lab;
use super::bench::{
    Bench, EVERY, INSTALL, INT64, bytes, id_of, open, plan_for, receipt, refused, schema, simple, strict,
    text,
};
use super::samples;
use super::values::labelled;
use crate::{Fence, Role, Selection};

/// Names that end a careless quotation, or that are words of the language.
const EVIL: [&str; 17] = [
    "plain",
    "select",
    "Order By",
    "a\"b",
    "a\"\"b",
    "a`b",
    "a``b",
    "a]b[c",
    "a'b",
    "a;b",
    "a; DROP TABLE x; --",
    "new\nline",
    "back\\slash",
    "dot.dot",
    "naïve_表",
    "%s ? :x $1 {}",
    "sixty_characters_sixty_characters_sixty_characters_sixty_cha",
];

pub async fn a_server_says_what_it_is(lab: &dyn Lab) {
    let target = lab.open(Role::Target);
    let info = target.server().await.expect("reached");
    assert!(!info.version.is_empty());
    assert!(info.writable, "the target takes writes");
    assert_eq!(lab.open(Role::Source).server().await.expect("reached").version, info.version);
}

pub async fn created_tables_read_back(lab: &dyn Lab) {
    let mut columns = vec![strict("b", text(30)), strict("a", INT64)];
    for (i, logical) in samples::every_type().into_iter().enumerate() {
        columns.push(open(&format!("open{i}"), logical.clone()));
        columns.push(strict(&format!("strict{i}"), logical));
    }
    let bench = Bench::create(lab, schema("every_type", columns, &["b", "a"])).await;
    assert_eq!(bench.schema.primary_key, ["b", "a"]);
    assert_eq!(bench.schema.columns.len(), bench.plan.columns.len());
    for (made, plan) in bench.schema.columns.iter().zip(&bench.plan.columns) {
        let wanted = &plan.target;
        assert_eq!((&made.name, &made.logical), (&wanted.name, &wanted.logical), "native {}", made.native);
        assert_eq!((made.nullable, made.generated), (plan.source.nullable, false), "{}", made.name);
        // What the engine made for a column of its own, it makes again: columns do not drift from copy to copy.
        assert_eq!(bench.target.column_for(made).logical, made.logical, "native {}", made.native);
    }
}

pub async fn preparing_twice_changes_nothing(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("twice")).await;
    bench.insert(&labelled(0..3)).await;
    bench.target.prepare(&bench.plan, INSTALL, Turn(1)).await.expect("prepared again");
    lab.open(Role::Target).prepare(&bench.plan, INSTALL, Turn(1)).await.expect("prepared by another process");
    assert_eq!(bench.all().await, labelled(0..3));
}

pub async fn a_missing_table_is_none(lab: &dyn Lab) {
    let target = lab.open(Role::Target);
    assert_eq!(target.describe(&TableRef::named("no such table")).await, Ok(None));
    assert_eq!(target.tables().await, Ok(vec![]));
}

pub async fn a_missing_table_is_not_made_unasked(lab: &dyn Lab) {
    let target = lab.open(Role::Target);
    let mut plan = plan_for(target.as_ref(), simple("unasked"));
    plan.create_target = false;
    // Found missing at once, or at the first row.
    let wrote = async {
        target.prepare(&plan, INSTALL, Turn(1)).await?;
        let plan = Arc::new(plan.clone());
        let (run, chunk) = (RunId::generate(), ChunkId::generate());
        let fence = Fence { install: INSTALL, run, turn: Turn(1), chunk, attempt: Attempt(1) };
        target.begin(&plan, &fence).await?.insert(&labelled(0..1)).await
    };
    refused(wrote.await, &[ErrorKind::UnknownTable]);
    assert_eq!(target.describe(&plan.target.table).await, Ok(None));
}

/// A table of this name, all of whose columns and whose index are evil, too.
fn evil_table(name: &str) -> TableSchema {
    let mut columns = vec![strict(EVIL[3], INT64), strict(EVIL[5], text(20))];
    let others = EVIL.iter().filter(|name| !columns.iter().any(|c| c.name == **name));
    let others: Vec<Column> = others.map(|name| open(name, INT64)).collect();
    columns.extend(others);
    let name_of_index = format!("i {}", &name[..name.len().min(7)]);
    let columns_of_index = vec![columns[4].name.clone()];
    let index = Index { name: name_of_index, columns: columns_of_index, unique: true };
    TableSchema { indexes: vec![index], ..schema(name, columns, &[EVIL[3], EVIL[5]]) }
}

/// Every operation there is, on a table of this name.
async fn check_all_operations(lab: &dyn Lab, name: &str) {
    let bench = Bench::create(lab, evil_table(name)).await;
    let names = |columns: &[Column]| columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&bench.schema.columns), names(&bench.plan.source.columns));
    let mut row = vec![Value::Int(7), Value::Text("x".to_owned())];
    row.extend((2..17).map(Value::Int));
    let key = bench.plan.key_of(&row);
    bench.insert(std::slice::from_ref(&row)).await;
    assert_eq!(bench.target.build_indexes(&bench.plan).await, Ok(vec![]));

    let mut write = bench.begin().await;
    row[9] = Value::Int(-1);
    write.update(std::slice::from_ref(&row), &EVERY).await.expect("updated");
    let found = write.existing(std::slice::from_ref(&key)).await.expect("read");
    assert_eq!(found.rows, [row.clone()]);
    write.commit(&receipt(1, 0)).await.expect("committed");

    assert_eq!(bench.read(Selection::Keys(vec![key.clone()])).await, [row.clone()]);
    assert_eq!(bench.all().await, [row]);
    let names = bench.plan.target_key();
    let next = bench.source.next_boundary(&bench.schema, &names, Some(&key), 1).await;
    assert_eq!(next, Ok(None));
    assert_eq!(bench.source.count(&bench.schema.table, u64::MAX).await, Ok(1));
    assert_eq!(bench.begin().await.delete(&[key]).await, Ok(1));
}

pub async fn evil_names_round_trip(lab: &dyn Lab) {
    // No collection has a dollar in its name.
    let is_mongodb = lab.open(Role::Target).engine() == Engine::Mongodb;
    let names: BTreeSet<&str> = EVIL.into_iter().filter(|name| !is_mongodb || !name.contains('$')).collect();
    for name in &names {
        check_all_operations(lab, name).await;
    }
    let tables = lab.open(Role::Source).tables().await.expect("listed");
    let listed: BTreeSet<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(listed, names);
    assert_eq!(tables.len(), names.len());
}

pub async fn tables_are_sorted_and_only_the_users(lab: &dyn Lab) {
    for name in ["zebra", "apple", "mango"] {
        Bench::create(lab, simple(name)).await.insert(&labelled(0..1)).await;
    }
    let view = match lab.open(Role::Target).engine() {
        Engine::Mongodb => "{\"create\": \"a_view\", \"viewOn\": \"apple\", \"pipeline\": []}",
        Engine::Memory | Engine::Sqlite | Engine::Mysql | Engine::Postgres | Engine::Sqlserver => {
            "CREATE VIEW a_view AS SELECT id FROM apple"
        }
    };
    lab.native_sql(view).await;
    let names: Vec<String> =
        lab.open(Role::Source).tables().await.expect("listed").into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["apple", "mango", "zebra"]);
}

pub async fn a_generated_column_is_read_and_never_written(lab: &dyn Lab) {
    // PostgreSQL has no virtual ones before version 18.
    let (stored, other) = match lab.open(Role::Target).engine() {
        Engine::Sqlserver => ("AS (a + 1) PERSISTED", "AS (a * 2)"),
        Engine::Postgres => {
            ("INTEGER GENERATED ALWAYS AS (a + 1) STORED", "INTEGER GENERATED ALWAYS AS (a * 2) STORED")
        }
        Engine::Memory | Engine::Sqlite | Engine::Mysql | Engine::Mongodb => {
            ("INTEGER GENERATED ALWAYS AS (a + 1) STORED", "INTEGER GENERATED ALWAYS AS (a * 2) VIRTUAL")
        }
    };
    let ddl = format!(
        "CREATE TABLE computed (id INTEGER NOT NULL PRIMARY KEY, a INTEGER NOT NULL, b {stored}, c {other})"
    );
    if !lab.native_sql(&ddl).await {
        return;
    }
    let bench = Bench::adopt(lab, "computed").await;
    let generated: Vec<bool> = bench.schema.columns.iter().map(|c| c.generated).collect();
    assert_eq!(generated, [false, false, true, true]);
    let mut write = bench.begin().await;
    let of = |numbers: [i64; 4]| numbers.map(Value::Int).to_vec();
    write.insert(&[of([1, 10, 0, 0]), of([2, 20, 0, 0])]).await.expect("inserted");
    write.update(&[of([2, 30, 0, 0])], &EVERY).await.expect("updated");
    write.commit(&receipt(1, 2)).await.expect("committed");
    assert_eq!(bench.all().await, [of([1, 10, 11, 20]), of([2, 30, 31, 60])]);
}

/// Without a primary key, a unique index without NULLs tells rows apart.
pub async fn a_unique_index_serves_as_key(lab: &dyn Lab) {
    let columns = vec![strict("id", INT64), strict("code", text(10)), open("note", text(10))];
    let unique = Index {
        name: "by_id_code".to_owned(),
        columns: vec!["id".to_owned(), "code".to_owned()],
        unique: true,
    };
    let table = TableSchema { indexes: vec![unique], ..schema("keyless", columns, &[]) };
    let bench = Bench::create(lab, table).await;
    assert_eq!(bench.target.build_indexes(&bench.plan).await.expect("built"), Vec::<String>::new());
    let described = bench.source.describe(&bench.schema.table).await.expect("described").expect("there");
    assert_eq!(described.key(), Some(bench.plan.target_key()));
    let rows: Vec<_> =
        (0..50).map(|n| vec![Value::Int(n / 10), Value::Text(format!("c{}", n % 10)), Value::Null]).collect();
    bench.insert(&rows).await;
    let mut clash = bench.begin().await;
    refused(clash.insert(&rows[7..8]).await, &[ErrorKind::DuplicateKey]);
    drop(clash);
    let mut from = None;
    let mut cuts = 0;
    while let Some(next) = bench
        .source
        .next_boundary(&described, &bench.plan.target_key(), from.as_ref(), 9)
        .await
        .expect("a boundary")
    {
        cuts += 1;
        from = Some(next);
    }
    assert_eq!(cuts, 5);
    assert_eq!(bench.all().await, rows);
}

pub async fn a_table_without_key_is_copied_whole(lab: &dyn Lab) {
    let columns = vec![open("n", INT64), open("b", bytes(20))];
    let bench = Bench::create(lab, schema("log", columns, &[])).await;
    let line = |n: i64| vec![Value::Int(n), Value::Null];
    let rows = [vec![line(1); 3], vec![line(2)], vec![vec![Value::Null, Value::Null]; 2]].concat();
    bench.insert(&rows).await;
    let mut found = bench.all().await;
    found.retain(|row| !row[0].is_null());
    assert_eq!(found.len(), 4, "equal rows are rows");
    assert_eq!(found.iter().map(id_of).sum::<i64>(), 5);
    assert_eq!(bench.source.count(&bench.schema.table, u64::MAX).await, Ok(6));
}
