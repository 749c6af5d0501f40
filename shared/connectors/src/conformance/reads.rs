//! Reads: bounded batches, one snapshot, no early end.

use futures::{StreamExt as _, TryStreamExt as _};
use model::{Engine, ErrorKind, Key, KeyRange, Row, RowBatch, TableRef, Value};
use tokio::time::timeout;

use super::Lab;
use super::bench::{
    Bench, EVERY, INT64, PATIENCE, id_of, key, open, receipt, refused, row, schema, simple, strict, text,
};
use super::values::labelled;
use crate::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Role, Selection};

const fn whole() -> Selection {
    Selection::Range(KeyRange::all())
}

pub async fn many_rows_come_in_batches(lab: &dyn Lab) {
    let mut columns = vec![strict("id", INT64)];
    columns.extend((0..20).map(|i| open(&format!("c{i}"), text(100))));
    let bench = Bench::create(lab, schema("many", columns, &["id"])).await;
    let wide = |id: i64| {
        let cells = (0..20).map(|i| Value::Text(format!("{id} {i} {}", "x".repeat(30))));
        std::iter::once(Value::Int(id)).chain(cells).collect::<Row>()
    };
    let rows: Vec<Row> = (0..10_000).map(wide).collect();
    bench.insert(&rows).await;
    let slice = bench.slice(whole());
    let batches: Vec<RowBatch> = bench.source.read(&slice).try_collect().await.expect("read");
    assert!(batches.len() >= 10_000 / BATCH_ROWS_MAX, "{} batches", batches.len());
    assert!(batches.iter().all(|b| b.rows.len() <= BATCH_ROWS_MAX));
    assert!(batches.iter().flat_map(|b| &b.rows).eq(&rows), "rows in key order, each once");
}

pub async fn wide_rows_come_in_small_batches(lab: &dyn Lab) {
    const WIDTH: usize = 32 * 1024;
    let long = model::LogicalType::Text { max_chars: None, fixed: false, long: true };
    let bench =
        Bench::create(lab, schema("wide", vec![strict("id", INT64), open("body", long)], &["id"])).await;
    let rows: Vec<Row> = (0..400).map(|id| row(id, &"w".repeat(WIDTH))).collect();
    bench.insert(&rows).await;
    let slice = bench.slice(whole());
    let batches: Vec<RowBatch> = bench.source.read(&slice).try_collect().await.expect("read");
    for batch in &batches {
        assert!(batch.bytes < BATCH_BYTES_MAX + 2 * WIDTH as u64, "a batch of {} bytes", batch.bytes);
    }
    assert!(batches.len() <= 5, "{} batches: they are not filled", batches.len());
    assert_eq!(batches.iter().map(|b| b.rows.len()).sum::<usize>(), rows.len());
}

pub async fn key_lists_find_exactly_these_rows(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("listed")).await;
    bench.insert(&labelled(0..3_000)).await;
    let wanted: Vec<Key> = (0..4_000).step_by(3).map(key).collect();
    let mut found: Vec<i64> = bench.read(Selection::Keys(wanted)).await.iter().map(id_of).collect();
    found.sort_unstable();
    assert_eq!(found, (0..3_000).step_by(3).collect::<Vec<i64>>());
    assert!(bench.read(Selection::Keys(vec![key(-1)])).await.is_empty());
    assert!(bench.read(Selection::Keys(vec![])).await.is_empty());
    assert_eq!(bench.read(Selection::Keys(vec![key(7), key(7)])).await.len(), 1, "a key named twice");
}

/// A reader that stops half-way keeps nobody waiting.
pub async fn a_read_given_up_frees_its_connection(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("given_up")).await;
    bench.insert(&labelled(0..5_000)).await;
    let slice = bench.slice(whole());
    let work = async {
        for _ in 0..30 {
            let mut stream = bench.source.read(&slice);
            let first = stream.next().await.expect("a batch").expect("read");
            assert!(!first.rows.is_empty());
        }
        bench.source.count(&bench.schema.table, u64::MAX).await.expect("counted")
    };
    assert_eq!(timeout(PATIENCE, work).await.expect("no connection is lost"), 5_000);
}

pub async fn uncommitted_rows_are_not_seen(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("hidden")).await;
    bench.insert(&labelled(0..10)).await;
    let mut write = bench.begin().await;
    write.insert(&labelled(10..20)).await.expect("inserted");
    write.update(&[row(1, "changed")], &EVERY).await.expect("updated");
    let seen = timeout(PATIENCE, bench.all()).await.expect("a reader does not wait for writers");
    assert_eq!(seen, labelled(0..10));
    write.commit(&receipt(1, 10)).await.expect("committed");
    assert_eq!(bench.all().await.len(), 20);
}

fn loose_in_sql(number: &str, odd_number: &str, odd_day: &str) -> Vec<String> {
    vec![
        format!("CREATE TABLE loose (id INTEGER NOT NULL PRIMARY KEY, n {number}, d DATE)"),
        format!(
            "INSERT INTO loose VALUES (1, 10, '2024-01-01'), (2, '{odd_number}', NULL), (3, 30, '{odd_day}')"
        ),
    ]
}

/// Decimals of any kind and days beyond all others; the first document shows what the others should be.
fn loose_documents() -> Vec<String> {
    let documents = [
        "{\"_id\": 1, \"n\": {\"$numberDecimal\": \"10\"}, \"d\": {\"$date\": \"2024-01-01T00:00:00Z\"}}",
        "{\"_id\": 2, \"n\": {\"$numberDecimal\": \"NaN\"}}",
        "{\"_id\": 3, \"n\": {\"$numberDecimal\": \"30\"}, \"d\": {\"$date\": {\"$numberLong\": \"9223372036854775807\"}}}",
    ];
    vec![format!("{{\"insert\": \"loose\", \"documents\": [{}]}}", documents.join(", "))]
}

/// SQLite keeps anything in any column, PostgreSQL and MongoDB have numbers and days beyond all others; such a row is set
/// aside with its key and without its value.
pub async fn what_cannot_be_decoded_is_set_aside(lab: &dyn Lab) {
    let statements = match lab.open(Role::Target).engine() {
        Engine::Sqlite => loose_in_sql("INTEGER", "canary-n", "canary-d"),
        Engine::Postgres => loose_in_sql("NUMERIC(9,2)", "NaN", "-infinity"),
        Engine::Mongodb => loose_documents(),
        // What SQL Server may hold so, half characters of UTF-16, is tested with its codec.
        Engine::Memory | Engine::Mysql | Engine::Sqlserver => return,
    };
    for statement in statements {
        assert!(lab.native_sql(&statement).await);
    }
    let bench = Bench::adopt(lab, "loose").await;
    let slice = bench.slice(whole());
    let batches: Vec<RowBatch> = bench.source.read(&slice).try_collect().await.expect("read");
    let aside: Vec<_> = batches.iter().flat_map(|b| &b.undecodable).collect();
    assert_eq!(batches.iter().map(|b| b.rows.len()).sum::<usize>(), 1);
    assert_eq!(
        aside.iter().map(|r| (&r.key, r.column.as_deref())).collect::<Vec<_>>(),
        [(&key(2), Some("n")), (&key(3), Some("d"))]
    );
    assert!(!format!("{aside:?}").contains("canary"), "{aside:?}");
}

pub async fn a_vanished_table_is_an_error(lab: &dyn Lab) {
    let bench = Bench::create(lab, simple("present")).await;
    let mut schema = bench.schema.clone();
    schema.table = TableRef::named("vanished");
    let mut slice = bench.slice(whole());
    slice.table = schema.clone();
    let kinds = [ErrorKind::UnknownTable];
    refused(bench.source.read(&slice).try_collect::<Vec<_>>().await, &kinds);
    refused(bench.source.count(&schema.table, u64::MAX).await, &kinds);
    refused(bench.source.next_boundary(&schema, &bench.plan.target_key(), None, 10).await, &kinds);
    let mut slice = bench.slice(whole());
    slice.columns = [strict("no such column", INT64)].into();
    refused(bench.source.read(&slice).try_collect::<Vec<_>>().await, &[ErrorKind::UnknownColumn]);
}
