//! Keys: whatever the order of the engine is, ranges cut at its own boundaries hold every row exactly once.

use std::collections::BTreeSet;

use model::key::is_complete_chain;
use model::{Column, Date, DateTime, Engine, Key, KeyRange, LogicalType, Row, Value};
use uuid::Uuid;

use super::Lab;
use super::bench::{Bench, INT32, INT64, bytes, plan_for, receipt, refused, schema, strict, text};
use super::dice::Dice;
use super::values::labelled;
use crate::memory::NOCASE;
use crate::{Role, Selection};

/// Rows per range that are tried: each row alone, uneven, about all, more than all.
const SIZES: [u64; 4] = [1, 7, 50, 5_000];

/// A table whose key has these types, with a number per row beside it.
async fn keyed(lab: &dyn Lab, types: &[LogicalType]) -> Bench {
    let names: Vec<String> = (0..types.len()).map(|i| format!("k{i}")).collect();
    let mut columns: Vec<Column> = names.iter().zip(types).map(|(name, t)| strict(name, t.clone())).collect();
    columns.push(strict("n", INT32));
    let key: Vec<&str> = names.iter().map(String::as_str).collect();
    Bench::create(lab, schema("keyed", columns, &key)).await
}

/// Inserts the keys that the engine takes and does not hold equal to one that is there; says how many.
async fn fill(bench: &Bench, keys: Vec<Vec<Value>>) -> usize {
    let offered = keys.len();
    let numbered = keys.into_iter().zip(0_i64..).map(|(mut row, n)| {
        row.push(Value::Int(n));
        row
    });
    let rows: Vec<Row> = numbered.filter_map(|row| bench.admitted(row).ok()).collect();
    let mut write = bench.begin().await;
    let mut held = 0;
    for rows in rows.chunks(500) {
        if write.insert(rows).await.is_ok() {
            held += rows.len();
            continue;
        }
        for row in rows {
            held += usize::from(bench.offer(write.as_mut(), row.clone()).await.is_ok());
        }
    }
    write.commit(&receipt(1, held as u64)).await.expect("committed");
    assert!(held * 2 >= offered, "only {held} of {offered} keys were taken");
    held
}

fn number(row: &Row) -> i64 {
    match row.last() {
        Some(Value::Int(n)) => *n,
        _ => panic!("the last column is a number"),
    }
}

fn numbers(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(number).collect()
}

async fn boundaries(bench: &Bench, size: u64) -> Vec<Key> {
    let names = bench.plan.target_key();
    let mut found: Vec<Key> = Vec::new();
    while let Some(next) =
        bench.source.next_boundary(&bench.schema, &names, found.last(), size).await.expect("a boundary")
    {
        assert!(found.last() != Some(&next), "a boundary that does not move");
        found.push(next);
    }
    found
}

/// The ranges between boundaries, as a worker gets them: by way of the ledger's JSON.
fn ranges(boundaries: Vec<Key>) -> Vec<KeyRange> {
    let stored = serde_json::to_string(&KeyRange::partition(boundaries)).expect("written");
    let ranges: Vec<KeyRange> = serde_json::from_str(&stored).expect("read back");
    assert!(is_complete_chain(&ranges));
    ranges
}

/// Cuts the table in ranges of several sizes and compares them with the table read as a whole.
async fn verify(bench: &Bench, held: usize) {
    let whole = bench.all().await;
    assert_eq!(whole.len(), held);
    assert_eq!(bench.source.count(&bench.schema.table, u64::MAX).await.expect("counted"), held as u64);
    let order = numbers(&whole);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), held, "each row once");
    for size in SIZES {
        let boundaries = boundaries(bench, size).await;
        assert_eq!(boundaries.len() as u64, (held.max(1) as u64 - 1) / size, "boundaries at {size} rows");
        let ranges = ranges(boundaries);
        let mut seen = Vec::with_capacity(held);
        for (i, range) in ranges.iter().enumerate() {
            let rows = bench.read(Selection::Range(range.clone())).await;
            let is_last = i + 1 == ranges.len();
            assert!(
                rows.len() as u64 == size || (is_last && rows.len() as u64 <= size),
                "range {i} of {size}"
            );
            seen.extend(numbers(&rows));
        }
        assert_eq!(seen, order, "ranges of {size}, joined, are the table in its order");
    }
    let keys: Vec<Key> = whole.iter().map(|row| bench.plan.key_of(row)).collect();
    for (keys, order) in keys.chunks(300).zip(order.chunks(300)) {
        let mut found = numbers(&bench.read(Selection::Keys(keys.to_vec())).await);
        found.sort_unstable();
        let mut wanted = order.to_vec();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "a list of keys finds exactly its rows");
    }
}

async fn check(lab: &dyn Lab, types: &[LogicalType], keys: Vec<Vec<Value>>) -> Bench {
    let bench = keyed(lab, types).await;
    let held = fill(&bench, keys).await;
    verify(&bench, held).await;
    bench
}

fn alone(values: impl IntoIterator<Item = Value>) -> Vec<Vec<Value>> {
    values.into_iter().map(|value| vec![value]).collect()
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().expect("a decimal"))
}

pub async fn integer_keys(lab: &dyn Lab) {
    let odd = [
        i64::MIN,
        i64::MIN + 1,
        -1_000_000_000_000_000_000,
        -1,
        1_000_000_000_000_000_000,
        i64::MAX - 1,
        i64::MAX,
    ];
    let mut ids: Vec<i64> = (0..90).map(|n| n * n * n).chain(odd).collect();
    let bench = check(lab, &[INT64], alone(ids.iter().copied().map(Value::Int))).await;
    ids.sort_unstable();
    let read: Vec<Value> = bench.all().await.into_iter().map(|mut row| row.swap_remove(0)).collect();
    assert_eq!(read, ids.into_iter().map(Value::Int).collect::<Vec<_>>(), "integers come in order of size");
}

pub async fn unsigned_keys(lab: &dyn Lab) {
    let odd = [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 10_000_000_000_000_000_000];
    let values = (0..60).map(|n| n * 1_000_003).chain(odd).map(Value::from_u64);
    check(lab, &[LogicalType::Int { bits: 64, unsigned: true }], alone(values)).await;
}

pub async fn text_keys(lab: &dyn Lab) {
    let odd = [
        "",
        " ",
        "  ",
        "a",
        "A",
        "a ",
        "a  ",
        "ab",
        "aB",
        "Ab",
        "AB",
        "ä",
        "Ä",
        "a\u{308}",
        "äb",
        "z",
        "Z",
        "_",
        "ß",
        "ss",
        "é",
        "e\u{301}",
        "E",
        "e",
        "日本",
        "日",
        "😀",
        "😀😀",
        "ı",
        "I",
        "i",
        "İ",
        "ﬁ",
        "fi",
        "\t",
        "a\t",
        "a\n",
        "'",
        "''",
        "\\",
        "\\\\",
        "\"",
        "%",
        "0",
        "00",
        "10",
        "9",
        "ÿ",
        "\u{7f}",
        "\u{ffff}",
        "\u{10ffff}",
    ];
    let many = (0..60).map(|n| format!("key {}", n * 7 % 60));
    let values = odd.iter().map(ToString::to_string).chain(many).map(Value::Text);
    check(lab, &[text(60)], alone(values)).await;
}

pub async fn uuid_keys(lab: &dyn Lab) {
    let mut dice = Dice::new(11);
    // Versions and variants are mixed: MariaDB orders them by other bytes than the first.
    let values =
        (0..120).map(|_| Value::Uuid(Uuid::from_u64_pair(dice.next() & 0xf_ffff, dice.next() >> 40)));
    check(lab, &[LogicalType::Uuid], alone(values)).await;
}

pub async fn date_keys(lab: &dyn Lab) {
    let odd = ["0000-00-00", "2024-00-15", "1000-01-01", "9999-12-31", "0001-01-01"];
    let dates = odd.iter().map(|t| Date::parse(t).expect("a date"));
    let days =
        (0..80_u8).map(|n| Date { year: 2_000 + i32::from(n / 3), month: 1 + n % 12, day: 1 + n % 28 });
    check(lab, &[LogicalType::Date], alone(dates.chain(days).map(Value::Date))).await;
}

pub async fn date_time_keys(lab: &dyn Lab) {
    let odd = [
        "0000-00-00",
        "1000-01-01",
        "9999-12-31T23:59:59.999999",
        "2024-03-31T02:30:00",
        "2024-02-29T00:00:00.000001",
    ];
    let odd = odd.iter().map(|t| DateTime::parse(t).expect("a date-time"));
    let date = Date { year: 2_024, month: 2, day: 29 };
    let apart =
        |unit: u64, n: u64| (1..=n).map(move |n| DateTime { date, nanos: 43_200_000_000_000 + n * unit });
    let close = apart(1_000, 60).chain(apart(1_000_000, 80));
    check(lab, &[LogicalType::DateTime { fraction: 6 }], alone(odd.chain(close).map(Value::DateTime))).await;
}

pub async fn decimal_keys(lab: &dyn Lab) {
    let odd = [
        "0",
        "-0.0001",
        "0.0001",
        "-9999999999999999.9999",
        "9999999999999999.9999",
        "0.1",
        "0.10001",
        "10",
        "9",
    ];
    let odd = odd.iter().filter_map(|t| t.parse().ok()).map(Value::Decimal);
    let many = (0..60_i64).map(|n| decimal(&format!("{}.{:04}", n - 30, n * 13)));
    check(lab, &[LogicalType::Decimal { precision: 20, scale: 4 }], alone(odd.chain(many))).await;
}

pub async fn binary_keys(lab: &dyn Lab) {
    let odd: [&[u8]; 9] = [b"", b"\0", b"\0\0", b"a", b"A", b"a ", b"a\0", &[0xff; 40], &[0xc3, 0x28]];
    let pairs = || (0..=255_u8).map(|b| vec![b, 255 - b]);
    let values = odd.iter().map(|b| b.to_vec()).chain(pairs()).map(Value::Bytes);
    if lab.open(Role::Target).engine() == Engine::Mongodb {
        // Servers of its kind disagree about the order of binaries of several lengths, so there they are not cut.
        let bench = keyed(lab, &[bytes(40)]).await;
        fill(&bench, alone(values)).await;
        assert_eq!(boundaries(&bench, 1).await, []);
        let two = LogicalType::Bytes { max_bytes: Some(2), fixed: true, long: false };
        let table = schema("fixed", vec![strict("k0", two), strict("n", INT32)], &["k0"]);
        let bench = Bench::create(lab, table).await;
        let held = fill(&bench, alone(pairs().map(Value::Bytes))).await;
        return verify(&bench, held).await;
    }
    check(lab, &[bytes(40)], alone(values)).await;
}

pub async fn pairs(lab: &dyn Lab) {
    let keys = (-6..6_i64)
        .flat_map(|a| (0..12_i64).map(move |b| vec![Value::Int(a), Value::Text(format!("b{}", b * 5 % 12))]));
    check(lab, &[INT32, text(20)], keys.collect()).await;
}

/// One tenant has nine of ten rows.
pub async fn skewed_triples(lab: &dyn Lab) {
    let keys = (0..1_000_i64).map(|n| {
        let tenant = if n % 10 == 0 { n / 10 } else { 7_000 };
        vec![Value::Int(tenant), Value::Text(format!("region {}", n % 4)), Value::Int(n * 31 % 1_000)]
    });
    check(lab, &[INT64, text(20), INT64], keys.collect()).await;
}

/// The first columns are the same in all rows, the last ones differ.
pub async fn sixteen_columns(lab: &dyn Lab) {
    let keys = (0..128_i64)
        .map(|n| (0..16).map(|bit| Value::Int(if bit < 9 { 1 } else { (n >> (15 - bit)) & 1 })).collect());
    check(lab, &vec![INT32; 16], keys.collect()).await;
}

pub async fn an_empty_table(lab: &dyn Lab) {
    check(lab, &[INT64], vec![]).await;
}

pub async fn one_row(lab: &dyn Lab) {
    check(lab, &[text(20), INT64], vec![vec![Value::Text(String::new()), Value::Int(i64::MIN)]]).await;
}

/// Boundaries stay boundaries when their rows are gone, and rows that came between them are in one range.
pub async fn a_boundary_that_was_deleted(lab: &dyn Lab) {
    let bench = Bench::create(lab, super::bench::simple("moving")).await;
    bench.insert(&labelled((0..100).map(|n| n * 10))).await;
    let cuts = boundaries(&bench, 10).await;
    assert_eq!(cuts.len(), 9);
    let mut write = bench.begin().await;
    assert_eq!(write.delete(&cuts).await.expect("deleted"), 9);
    write.insert(&labelled([-5, 95, 101, 2_000])).await.expect("inserted");
    write.commit(&receipt(1, 4)).await.expect("committed");
    let mut found: Vec<Row> = Vec::new();
    for range in ranges(cuts) {
        found.extend(bench.read(Selection::Range(range)).await);
    }
    assert_eq!(found, bench.all().await);
    assert_eq!(found.len(), 95);
}

/// Under a collation that ignores case, keys that differ in case alone are one key, for every operation.
pub async fn keys_under_a_coarse_collation(lab: &dyn Lab) {
    let target = lab.open(Role::Target);
    let ddl = match target.engine() {
        Engine::Memory => "",
        Engine::Sqlite => {
            "CREATE TABLE coarse (name TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, n INTEGER NOT NULL)"
        }
        Engine::Mysql => {
            "CREATE TABLE coarse (name VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, \
             n INT NOT NULL) ENGINE=InnoDB"
        }
        Engine::Postgres => {
            "CREATE COLLATION coarse (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
             CREATE TABLE coarse (name varchar(60) COLLATE coarse NOT NULL PRIMARY KEY, n int NOT NULL)"
        }
        Engine::Sqlserver => {
            "CREATE TABLE coarse (name nvarchar(60) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT NULL)"
        }
        Engine::Mongodb => "{\"create\": \"coarse\", \"collation\": {\"locale\": \"en\", \"strength\": 2}}",
    };
    let is_made = !ddl.is_empty() && lab.native_sql(ddl).await;
    let bench = if is_made && target.engine() != Engine::Mongodb {
        Bench::adopt(lab, "coarse").await
    } else {
        // A collection has its collation already, and gets its columns from the product.
        let mut name = strict("name", text(60));
        name.collation = Some(NOCASE.to_owned());
        let table = schema("coarse", vec![name, strict("n", INT64)], &["name"]);
        Bench::prepare(lab, plan_for(target.as_ref(), table)).await
    };
    let words = ["b", "A", "c", "a", "B", "_", "aa", "AB", "ab", "Z", "z"].iter().map(|w| (*w).to_owned());
    let names = words.chain((0..80).map(|n| format!("{}{n}", if n % 2 == 0 { "Key" } else { "kEY" })));
    let held = fill(&bench, alone(names.map(Value::Text))).await;
    assert_eq!(held, 87, "four spellings are duplicates");
    verify(&bench, held).await;
    let other_case = |word: &str| Key(vec![Value::Text(word.to_owned())]);
    let found = bench.read(Selection::Keys(vec![other_case("C"), other_case("KEY4")])).await;
    assert_eq!(found.len(), 2, "found under another spelling");
    let mut write = bench.begin().await;
    assert_eq!(write.existing(&[other_case("C")]).await.expect("read").rows.len(), 1);
    let again = vec![vec![Value::Text("C".to_owned()), Value::Int(1)]];
    refused(write.insert(&again).await, &[model::ErrorKind::DuplicateKey]);
    assert_eq!(write.delete(&[other_case("C")]).await.expect("deleted"), 1);
    drop(write);
}
