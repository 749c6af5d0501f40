//! After the rows: indexes, foreign keys, and what is forgotten.

use std::collections::BTreeSet;

use model::{Engine, ForeignKey, Index, TableRef, TableSchema, Value};

use super::Lab;
use super::bench::{Bench, INSTALL, INT64, key, open, receipt, row, schema, simple, strict};
use super::values::labelled;

fn index(name: &str, columns: &[&str], unique: bool) -> Index {
    Index { name: name.to_owned(), columns: columns.iter().map(|c| (*c).to_owned()).collect(), unique }
}

/// Indexes without their names, which an engine may have to change.
fn shapes(indexes: &[Index]) -> BTreeSet<(Vec<String>, bool)> {
    indexes.iter().map(|i| (i.columns.clone(), i.unique)).collect()
}

async fn built(bench: &Bench) -> BTreeSet<(Vec<String>, bool)> {
    shapes(&described(bench).await.indexes)
}

async fn described(bench: &Bench) -> TableSchema {
    bench.source.describe(&bench.schema.table).await.expect("described").expect("there")
}

pub async fn indexes_are_built_once(lab: &dyn Lab) {
    let mut table = simple("indexed");
    table.indexes = vec![index("by_label", &["label"], false), index("by_both", &["label", "id"], true)];
    let bench = Bench::create(lab, table.clone()).await;
    bench.insert(&labelled(0..20)).await;
    for _ in 0..2 {
        assert_eq!(bench.target.build_indexes(&bench.plan).await, Ok(vec![]));
        assert_eq!(built(&bench).await, shapes(&table.indexes));
    }
}

/// Names of tables, indexes and columns, joined carelessly, are names of other indexes.
pub async fn indexes_of_like_names_are_all_built(lab: &dyn Lab) {
    let columns = vec![strict("id", INT64), open("a", INT64), open("b", INT64), open("a_b", INT64)];
    let mut benches = Vec::new();
    for (name, index_name) in [("t", "a_b"), ("t_a", "b"), ("t_a_b", "x")] {
        let mut table = schema(name, columns.clone(), &["id"]);
        table.indexes = vec![
            index(index_name, &["a", "b"], false),
            index("other", &["a_b"], false),
            index("sole", &["b"], true),
            index("turned", &["b", "a"], false),
        ];
        benches.push(Bench::create(lab, table).await);
    }
    for bench in benches.iter().chain(&benches) {
        assert_eq!(bench.target.build_indexes(&bench.plan).await, Ok(vec![]));
    }
    for bench in &benches {
        assert_eq!(built(bench).await, shapes(&bench.plan.target.indexes), "{}", bench.schema.table);
    }
}

pub async fn an_index_that_rows_break_is_a_note(lab: &dyn Lab) {
    let mut table = simple("crowded");
    table.indexes = vec![index("one_each", &["label"], true), index("plain", &["label", "id"], false)];
    let bench = Bench::create(lab, table).await;
    bench.insert(&[row(1, "canary-x"), row(2, "canary-x")]).await;
    let notes = bench.target.build_indexes(&bench.plan).await.expect("built as far as possible");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("one_each") && !notes[0].contains("canary-x"), "{notes:?}");
    let plain = shapes(&[index("plain", &["label", "id"], false)]);
    assert_eq!(built(&bench).await, plain);
    assert_eq!(bench.all().await.len(), 2);
}

/// Rows come before their foreign keys: children may arrive first, and what is missing at the end is told.
pub async fn missing_parents_are_a_note(lab: &dyn Lab) {
    let parents = Bench::create(lab, simple("parents")).await;
    let mut children = schema("children", vec![strict("id", INT64), open("parent", INT64)], &["id"]);
    children.foreign_keys = vec![ForeignKey {
        name: "child_of".to_owned(),
        columns: vec!["parent".to_owned()],
        parent: TableRef::named("parents"),
        parent_columns: vec!["id".to_owned()],
    }];
    let children = Bench::create(lab, children).await;
    let child = |id: i64, parent: i64| vec![Value::Int(id), Value::Int(parent)];
    children.insert(&[child(1, 10), child(2, 11), child(3, 99), vec![Value::Int(4), Value::Null]]).await;
    parents.insert(&labelled(10..12)).await;
    for _ in 0..2 {
        let notes = children.target.check_foreign_keys(&children.plan).await.expect("checked");
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains(crate::WITHOUT_PARENT), "{notes:?}");
    }
    let mut write = children.begin().await;
    assert_eq!(write.delete(&[super::bench::key(3)]).await, Ok(1));
    write.commit(&super::bench::receipt(1, 0)).await.expect("committed");
    for _ in 0..2 {
        let notes = children.target.check_foreign_keys(&children.plan).await.expect("checked");
        let has_constraint = !described(&children).await.foreign_keys.is_empty();
        assert_eq!(notes.is_empty(), has_constraint, "a constraint that is missing is told: {notes:?}");
    }
}

pub async fn a_forgotten_run_leaves_no_receipt(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("forgotten")).await;
    let fence = bench.fence(1);
    let mut write = bench.target.begin(&bench.plan, &fence).await.expect("begun");
    write.insert(&labelled(0..2)).await.expect("inserted");
    write.commit(&super::bench::receipt(1, 2)).await.expect("committed");
    bench.target.forget_run(INSTALL, model::RunId::generate()).await.expect("another run is forgotten");
    let kept = bench.target.begin(&bench.plan, &fence).await.expect("begun").receipt().is_some();
    assert!(kept, "the receipt of this run stays");
    bench.target.forget_run(INSTALL, fence.run).await.expect("forgotten");
    bench.target.forget_run(INSTALL, fence.run).await.expect("forgotten twice");
    assert!(bench.target.begin(&bench.plan, &fence).await.expect("begun").receipt().is_none());
    assert_eq!(bench.all().await.len(), 2, "rows stay");
}

/// Whoever deletes here deletes or changes rows in these tables, too; where the engine's foreign keys do not act on
/// our connections, there are none, and the rows stay.
pub async fn tables_that_follow_a_delete_are_named(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("parent")).await;
    let is_sqlserver = bench.target.engine() == Engine::Sqlserver;
    let parent = bench.schema.table.clone();
    assert_eq!(bench.target.cascading_children(&parent).await, Ok(vec![]));
    for (name, rule) in [
        ("cascades", "ON DELETE CASCADE"),
        ("becomes_null", "ON DELETE SET NULL"),
        (
            "restricts",
            if is_sqlserver { "ON UPDATE CASCADE" } else { "ON DELETE RESTRICT ON UPDATE CASCADE" },
        ),
        ("does_nothing", "ON DELETE NO ACTION"),
        ("says_nothing", ""),
    ] {
        let ddl = format!(
            "CREATE TABLE {name} (id BIGINT NOT NULL PRIMARY KEY, parent BIGINT, \
             FOREIGN KEY (parent) REFERENCES parent (id) {rule})"
        );
        if !lab.native_sql(&ddl).await {
            return;
        }
    }
    let found = bench.target.cascading_children(&parent).await;
    assert_eq!(bench.target.cascading_children(&TableRef::named("cascades")).await, Ok(vec![]));
    if matches!(bench.target.engine(), Engine::Mysql | Engine::Postgres | Engine::Sqlserver) {
        assert_eq!(found, Ok(vec![TableRef::named("becomes_null"), TableRef::named("cascades")]));
        return;
    }
    assert_eq!(found, Ok(vec![]));
    bench.insert(&labelled(1..2)).await;
    lab.native_sql("INSERT INTO cascades VALUES (7, 1)").await;
    let mut write = bench.begin().await;
    assert_eq!(write.delete(&[key(1)]).await, Ok(1));
    write.commit(&receipt(1, 0)).await.expect("committed");
    assert_eq!(bench.source.count(&TableRef::named("cascades"), u64::MAX).await, Ok(1), "the child stays");
}
