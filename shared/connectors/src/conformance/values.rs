//! Values: what is written is what is read, bit for bit, or it is refused as that row's fault.

use std::collections::BTreeMap;

use model::{Engine, LogicalType, Row, Value};

use crate::ChunkWrite;

use super::Lab;
use super::bench::{Bench, EVERY, INT64, open, receipt, row, schema, strict};
use super::dice::Dice;
use super::samples::{self, Cell};

/// Rows of random values; each has a cell of every type.
const RANDOM_ROWS: i64 = 400;

/// Columns that an engine makes narrower than it is asked, which a plan tells: values that do not fit are refused.
fn is_narrowed(engine: Engine, asked: &LogicalType) -> bool {
    let fine = matches!(asked, LogicalType::DateTime { fraction } | LogicalType::Instant { fraction } if *fraction > 3);
    let wide = matches!(asked, LogicalType::Decimal { precision, .. } if *precision > 38);
    match engine {
        Engine::Mongodb => fine,
        Engine::Sqlserver => wide || *asked == LogicalType::AnyDecimal,
        Engine::Memory | Engine::Sqlite | Engine::Mysql | Engine::Postgres => false,
    }
}

/// Writes each value in a row of its own and reads all of them back.
async fn check(lab: &dyn Lab, cells: Vec<Cell>) {
    let mut columns = vec![strict("id", INT64)];
    columns.extend(cells.iter().enumerate().map(|(i, cell)| open(&format!("c{i}"), cell.logical.clone())));
    let bench = Bench::create(lab, schema("value_matrix", columns, &["id"])).await;
    let mut write = bench.begin().await;
    let mut expected = BTreeMap::new();
    let (mut id, mut wrongly_refused) = (0, Vec::new());
    for (place, cell) in cells.iter().enumerate() {
        let values = cell.plain.iter().map(|v| (v, true)).chain(cell.odd.iter().map(|v| (v, false)));
        for (value, must) in values.chain([(&Value::Null, true)]) {
            id += 1;
            let mut row = vec![Value::Null; cells.len() + 1];
            row[0] = Value::Int(id);
            row[place + 1] = value.clone();
            match bench.offer(write.as_mut(), row).await {
                Ok(kept) => drop(expected.insert(id, kept)),
                Err(kind) if must && !is_narrowed(bench.target.engine(), &cell.logical) => {
                    wrongly_refused.push(format!("{}: {value:?}: {kind}", cell.logical))
                }
                Err(_) => {}
            }
        }
    }
    let expected = moved_on(write.as_mut(), expected).await;
    write.commit(&receipt(1, expected.len() as u64)).await.expect("committed");
    bench.holds(&expected).await;
    assert!(wrongly_refused.is_empty(), "must be held:\n{}", wrongly_refused.join("\n"));
}

pub async fn integers_and_booleans(lab: &dyn Lab) {
    check(lab, samples::integers()).await;
}

pub async fn decimals(lab: &dyn Lab) {
    check(lab, samples::decimals_all()).await;
}

pub async fn floats(lab: &dyn Lab) {
    check(lab, samples::floats()).await;
}

pub async fn dates(lab: &dyn Lab) {
    check(lab, samples::dates_all()).await;
}

pub async fn times(lab: &dyn Lab) {
    check(lab, samples::times_all()).await;
}

pub async fn date_times(lab: &dyn Lab) {
    check(lab, samples::date_times_all()).await;
}

pub async fn instants(lab: &dyn Lab) {
    check(lab, samples::instants_all()).await;
}

pub async fn text(lab: &dyn Lab) {
    check(lab, samples::text_all()).await;
}

pub async fn fixed_text(lab: &dyn Lab) {
    check(lab, samples::fixed_text_all()).await;
}

pub async fn binary(lab: &dyn Lab) {
    check(lab, samples::binary_all()).await;
}

pub async fn json(lab: &dyn Lab) {
    check(lab, samples::json_all()).await;
}

pub async fn uuids(lab: &dyn Lab) {
    check(lab, samples::uuids_all()).await;
}

pub async fn large_values(lab: &dyn Lab) {
    const MIB: usize = 1024 * 1024;
    let text = LogicalType::Text { max_chars: None, fixed: false, long: true };
    let bytes = LogicalType::Bytes { max_bytes: None, fixed: false, long: true };
    let document = format!("{{\"a\": \"{}\"}}", "x".repeat(MIB));
    let all: Vec<u8> = (0..=255_u8).cycle().take(MIB).collect();
    let cells = vec![
        Cell {
            logical: text,
            plain: vec![
                Value::Text("'".repeat(MIB)),
                Value::Text("日".repeat(MIB / 3)),
                Value::Text(" ".repeat(MIB)),
            ],
            odd: vec![Value::Text("\0".repeat(MIB))],
        },
        Cell { logical: bytes, plain: vec![Value::Bytes(all)], odd: vec![] },
        Cell { logical: LogicalType::Json, plain: vec![Value::Json(document)], odd: vec![] },
    ];
    check(lab, cells).await;
}

/// Rows of random values of all types at once; a value that is refused is replaced by NULL.
pub async fn random_rows(lab: &dyn Lab) {
    let types = samples::every_type();
    let mut columns = vec![strict("id", INT64)];
    columns.extend(types.iter().enumerate().map(|(i, logical)| open(&format!("c{i}"), logical.clone())));
    let bench = Bench::create(lab, schema("random_rows", columns, &["id"])).await;
    let mut dice = Dice::new(0x51_9c11);
    let (mut expected, mut refused) = (BTreeMap::new(), 0);
    let mut write = bench.begin().await;
    for id in 0..RANDOM_ROWS {
        let mut row = vec![Value::Int(id)];
        row.extend(types.iter().map(|logical| dice.value(logical)));
        for place in 1..row.len() {
            let mut alone = vec![Value::Null; row.len()];
            alone[0] = Value::Int(id);
            alone[place] = row[place].clone();
            if bench.admitted(alone).is_err() {
                row[place] = Value::Null;
                refused += 1;
            }
        }
        // What `admits` lets pass, the engine may still refuse; then the row is left out.
        match bench.offer(write.as_mut(), row).await {
            Ok(kept) => drop(expected.insert(id, kept)),
            Err(_) => refused += types.len(),
        }
    }
    let expected = moved_on(write.as_mut(), expected).await;
    write.commit(&receipt(1, expected.len() as u64)).await.expect("committed");
    let cells = usize::try_from(RANDOM_ROWS).expect("small") * types.len();
    assert!(refused * 10 < cells, "{refused} of {cells} random values were refused");
    bench.holds(&expected).await;
}

/// Gives each row the values of the one before it, in one update: what an INSERT took, an UPDATE takes.
async fn moved_on(write: &mut dyn ChunkWrite, rows: BTreeMap<i64, Row>) -> BTreeMap<i64, Row> {
    let (ids, mut values): (Vec<i64>, Vec<Row>) = rows.into_iter().unzip();
    values.rotate_right(1);
    for (id, row) in ids.iter().zip(&mut values) {
        row[0] = Value::Int(*id);
    }
    write.update(&values, &EVERY).await.expect("updated");
    ids.into_iter().zip(values).collect()
}

/// `simple` rows, for cases that need values of no interest.
pub(super) fn labelled(ids: impl IntoIterator<Item = i64>) -> Vec<Row> {
    ids.into_iter().map(|id| row(id, &format!("label {id}"))).collect()
}
