//! Rows by bulk load: in the protocol's own binary form, without a statement to compile. What it refuses it does not
//! explain, so the caller tries INSERT after it. See
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/88176081-df75-4b24-bcfb-4c16ff03cbfa>.

use model::{Column, Decimal, Row, TablePlan, Value};
use tiberius::numeric::Numeric;
use tiberius::time::{Date, DateTime2, DateTimeOffset, Time};
use tiberius::{ColumnData, SqlBulkCopyOption, TokenRow};

use super::moment;
use super::session::{Connection, Failed};
use crate::sql::Dialect;
use crate::sql::write::written;

/// Fewer rows are not worth the round trips around a load.
const ROWS_MIN: usize = 50;
/// Types that the driver sends as they are.
const TYPES: [&str; 19] = [
    "bit",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "decimal",
    "numeric",
    "real",
    "float",
    "date",
    "time",
    "datetime2",
    "datetimeoffset",
    "nvarchar",
    "nchar",
    "varchar",
    "varbinary",
    "binary",
    "uniqueidentifier",
];

fn word(column: &Column) -> &str {
    column.native.split('(').next().unwrap_or_default()
}

pub(super) fn takes(plan: &TablePlan, rows: &[Row]) -> bool {
    rows.len() >= ROWS_MIN
        && written(plan).into_iter().all(|at| TYPES.contains(&word(&plan.columns[at].target)))
}

/// All rows, or with an error none, once the caller has gone back to its savepoint.
pub(super) async fn load(connection: &mut Connection, plan: &TablePlan, rows: &[Row]) -> Result<(), Failed> {
    let places = written(plan);
    let columns: Vec<&Column> = places.iter().map(|at| &plan.columns[*at].target).collect();
    let names: Vec<String> = columns.iter().map(|column| Dialect::Sqlserver.ident(&column.name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = Dialect::Sqlserver.table(&plan.target.table);
    // As an INSERT would: constraints hold, triggers fire, NULL is no default, numbers are those that came.
    let options = SqlBulkCopyOption::CheckConstraints
        | SqlBulkCopyOption::FireTriggers
        | SqlBulkCopyOption::KeepNulls
        | SqlBulkCopyOption::KeepIdentity;
    let mut loading = connection.bulk_insert_with_options(&table, &names, options, &[]).await?;
    let mut sent = Ok(());
    for row in rows {
        let mut cells = TokenRow::with_capacity(places.len());
        for (place, column) in places.iter().zip(&columns) {
            match cell(&row[*place], column) {
                Some(cell) => cells.push(cell),
                None => sent = Err(Failed::BulkInput("a value of another type".into())),
            }
        }
        if sent.is_ok() {
            sent = loading.send(cells).await;
        }
        if sent.is_err() {
            break;
        }
    }
    // Also after a failure: the server waits for the end, and the session would be of no more use.
    let ended = loading.finalize().await;
    sent?;
    ended.map(|_| ())
}

/// The value as the protocol has it for this column; `None` if it has none.
fn cell<'a>(value: &'a Value, column: &Column) -> Option<ColumnData<'a>> {
    if value.is_null() {
        return null(word(column));
    }
    let scale = || column.native.split_once('(').and_then(|(_, n)| n.trim_end_matches(')').parse().ok());
    Some(match (value, word(column)) {
        (Value::Bool(b), "bit") => ColumnData::Bit(Some(*b)),
        (Value::Int(n), "tinyint") => ColumnData::U8(Some((*n).try_into().ok()?)),
        (Value::Int(n), "smallint") => ColumnData::I16(Some((*n).try_into().ok()?)),
        (Value::Int(n), "int") => ColumnData::I32(Some((*n).try_into().ok()?)),
        (Value::Int(n), "bigint") => ColumnData::I64(Some(*n)),
        (Value::Decimal(d), "decimal" | "numeric") => ColumnData::Numeric(Some(numeric(d)?)),
        (Value::Float32(v), "real") => ColumnData::F32(Some(*v)),
        (Value::Float64(v), "float") => ColumnData::F64(Some(*v)),
        (Value::Date(d), "date") => ColumnData::Date(Some(Date::new(moment::days(*d)))),
        (Value::Time(t), "time") => ColumnData::Time(Some(time(t.nanos.try_into().ok()?, scale()?))),
        (Value::DateTime(at), "datetime2") => ColumnData::DateTime2(Some(DateTime2::new(
            Date::new(moment::days(at.date)),
            time(at.nanos, scale()?),
        ))),
        (Value::Instant(at), "datetimeoffset") => {
            let utc = DateTime2::new(Date::new(moment::days(at.date)), time(at.nanos, scale()?));
            ColumnData::DateTimeOffset(Some(DateTimeOffset::new(utc, 0)))
        }
        (Value::Text(s) | Value::Json(s), "nvarchar" | "nchar" | "varchar") => {
            ColumnData::String(Some(s.as_str().into()))
        }
        (Value::Bytes(b), "varbinary" | "binary") => ColumnData::Binary(Some(b.as_slice().into())),
        (Value::Uuid(u), "uniqueidentifier") => ColumnData::Guid(Some(*u)),
        _ => return None,
    })
}

fn null(word: &str) -> Option<ColumnData<'static>> {
    Some(match word {
        "bit" => ColumnData::Bit(None),
        "tinyint" => ColumnData::U8(None),
        "smallint" => ColumnData::I16(None),
        "int" => ColumnData::I32(None),
        "bigint" => ColumnData::I64(None),
        "decimal" | "numeric" => ColumnData::Numeric(None),
        "real" => ColumnData::F32(None),
        "float" => ColumnData::F64(None),
        "date" => ColumnData::Date(None),
        "time" => ColumnData::Time(None),
        "datetime2" => ColumnData::DateTime2(None),
        "datetimeoffset" => ColumnData::DateTimeOffset(None),
        "nvarchar" | "nchar" | "varchar" => ColumnData::String(None),
        "varbinary" | "binary" => ColumnData::Binary(None),
        "uniqueidentifier" => ColumnData::Guid(None),
        _ => return None,
    })
}

fn numeric(decimal: &Decimal) -> Option<Numeric> {
    let digits: String = decimal.as_str().chars().filter(|c| *c != '.').collect();
    Some(Numeric::new_with_scale(digits.parse().ok()?, decimal.scale().try_into().ok()?))
}

/// Nanoseconds of a day in the ticks of a scale, of which they are whole.
fn time(nanos: u64, scale: u8) -> Time {
    Time::new(nanos / 10_u64.pow(9 - u32::from(scale.min(9))), scale)
}

#[cfg(test)]
mod tests {
    use model::{DateTime, LogicalType};

    use super::*;

    fn of<'a>(value: &'a Value, native: &str) -> Option<ColumnData<'a>> {
        let column = Column { native: native.to_owned(), ..Column::new("c", LogicalType::Bool, true) };
        cell(value, &column)
    }

    #[test]
    fn values_go_in_the_types_of_their_columns() {
        let decimal = |text: &str| Value::Decimal(text.parse().expect("a decimal"));
        assert_eq!(
            of(&decimal("-0.005"), "decimal(9,3)"),
            Some(ColumnData::Numeric(Some(Numeric::new_with_scale(-5, 3))))
        );
        let at = DateTime::parse("2024-02-29 23:59:59.999").expect("a moment");
        let told = DateTime2::new(Date::new(738_944), Time::new(86_399_999, 3));
        assert_eq!(of(&Value::DateTime(at), "datetime2(3)"), Some(ColumnData::DateTime2(Some(told))));
        assert_eq!(of(&Value::Int(255), "tinyint"), Some(ColumnData::U8(Some(255))));
        assert_eq!(of(&Value::Null, "bigint"), Some(ColumnData::I64(None)));
        assert_eq!(of(&Value::Int(256), "tinyint"), None);
        assert_eq!(of(&Value::Int(1), "nvarchar(9)"), None, "not as another type");
    }
}
