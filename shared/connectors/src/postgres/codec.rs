//! Cells of the text protocol to values.
//!
//! Every cell is decoded from the text the server printed: the driver's getters panic on `infinity` and know no
//! numeric NaN. Types of no meaning of their own here are selected as text.

use model::convert::{ConvertError, refusal};
use model::{Column, Date, DateTime, ErrorKind, LogicalType, Time, Value};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, ValueRef as _};

use crate::server::SelectList;
use crate::sql::Dialect;

/// The select list for `columns`.
pub(super) fn select_list(columns: &[Column]) -> SelectList {
    let list: Vec<String> = columns.iter().map(expression).collect();
    SelectList { text: list.join(", "), lead: 0 }
}

fn expression(column: &Column) -> String {
    let name = Dialect::Postgres.ident(&column.name);
    let is_plain_text = column.native == "text" || column.native.starts_with("character varying");
    match column.logical {
        // Also takes the padding from CHAR, which is no part of its value.
        LogicalType::Text { .. } if !is_plain_text => format!("{name}::text"),
        LogicalType::Decimal { .. } if column.native == "money" => format!("{name}::numeric"),
        LogicalType::Text { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Bool
        | LogicalType::Int { .. }
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Date
        | LogicalType::Time { .. }
        | LogicalType::DateTime { .. }
        | LogicalType::Instant { .. }
        | LogicalType::Bytes { .. }
        | LogicalType::Json
        | LogicalType::Uuid => name,
    }
}

/// The bytes of a cell; `None` for NULL.
pub(super) fn cell(row: &PgRow, at: usize) -> Option<&[u8]> {
    let raw = row.try_get_raw(at).ok()?;
    if raw.is_null() { None } else { raw.as_bytes().ok() }
}

/// Whether each value of the column finds itself again: floats may be -0 and 0 at once.
pub(super) const fn can_be_cut(column: &Column) -> bool {
    !matches!(column.logical, LogicalType::Float32 | LogicalType::Float64 | LogicalType::Json)
}

/// The value that the server printed as `bytes` for a column of this type.
pub(super) fn decode(bytes: &[u8], logical: &LogicalType) -> Result<Value, ConvertError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| refusal(ErrorKind::Encoding, "the text is not UTF-8"))?;
    let value = match logical {
        LogicalType::Text { .. } => Some(Value::Text(text.to_owned())),
        LogicalType::Json => Some(Value::Json(text.to_owned())),
        LogicalType::Bool => match text {
            "f" => Some(Value::Bool(false)),
            "t" => Some(Value::Bool(true)),
            _ => None,
        },
        LogicalType::Int { .. } => text.parse().map(Value::Int).ok(),
        LogicalType::Decimal { .. } | LogicalType::AnyDecimal => text.parse().map(Value::Decimal).ok(),
        LogicalType::Float32 => text.parse().map(Value::Float32).ok(),
        LogicalType::Float64 => text.parse().map(Value::Float64).ok(),
        LogicalType::Date => date(text).map(Value::Date),
        LogicalType::Time { .. } => Time::parse(text).map(Value::Time).ok(),
        LogicalType::DateTime { .. } => moment(text).map(Value::DateTime),
        LogicalType::Instant { .. } => instant(text).map(Value::Instant),
        LogicalType::Bytes { .. } => {
            text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok()).map(Value::Bytes)
        }
        LogicalType::Uuid => text.parse().map(Value::Uuid).ok(),
    };
    value.ok_or_else(|| match text {
        "NaN" | "Infinity" | "-Infinity" | "infinity" | "-infinity" => {
            refusal(ErrorKind::OutOfRange, format!("{text} has no place in {logical}"))
        }
        _ => refusal(ErrorKind::Conversion, format!("the value cannot be read as {logical}")),
    })
}

/// What stands before ` BC`, and whether that was there.
fn era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |before| (before, true))
}

/// The year 1 before Christ is the year 0 of ISO 8601.
fn in_era(date: Date, is_before_christ: bool) -> Date {
    if is_before_christ { Date { year: 1 - date.year, ..date } } else { date }
}

fn date(text: &str) -> Option<Date> {
    let (text, is_before_christ) = era(text);
    Date::parse(text).ok().map(|date| in_era(date, is_before_christ))
}

fn moment(text: &str) -> Option<DateTime> {
    let (text, is_before_christ) = era(text);
    let moment = DateTime::parse(text).ok()?;
    Some(DateTime { date: in_era(moment.date, is_before_christ), ..moment })
}

/// The session is in UTC, and the server says so behind each instant.
fn instant(text: &str) -> Option<DateTime> {
    let (text, is_before_christ) = era(text);
    let moment = DateTime::parse(text.strip_suffix("+00")?).ok()?;
    Some(DateTime { date: in_era(moment.date, is_before_christ), ..moment })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: LogicalType = LogicalType::Text { max_chars: None, fixed: false, long: true };

    #[test]
    fn every_printed_form_is_read_exactly() {
        let day = |year| Date { year, month: 3, day: 15 };
        let at = |year| DateTime { date: day(year), nanos: 3_723_000_001_000 };
        let table = [
            ("t", LogicalType::Bool, Value::Bool(true)),
            ("-9223372036854775808", LogicalType::Int { bits: 64, unsigned: false }, Value::Int(i64::MIN)),
            ("0.10", LogicalType::AnyDecimal, Value::Decimal("0.10".parse().expect("a decimal"))),
            ("0.1", LogicalType::Float32, Value::Float32(0.1)),
            ("-0", LogicalType::Float64, Value::Float64(-0.0)),
            ("5e-324", LogicalType::Float64, Value::Float64(5e-324)),
            ("NaN", LogicalType::Float64, Value::Float64(f64::NAN)),
            ("-Infinity", LogicalType::Float32, Value::Float32(f32::NEG_INFINITY)),
            ("2024-03-15", LogicalType::Date, Value::Date(day(2024))),
            ("0044-03-15 BC", LogicalType::Date, Value::Date(day(-43))),
            ("24:00:00", LogicalType::Time { fraction: 6 }, Value::Time(Time { nanos: 86_400_000_000_000 })),
            ("2024-03-15 01:02:03.000001", LogicalType::DateTime { fraction: 6 }, Value::DateTime(at(2024))),
            ("0001-03-15 01:02:03.000001+00 BC", LogicalType::Instant { fraction: 6 }, Value::Instant(at(0))),
            (
                "\\x00ff",
                LogicalType::Bytes { max_bytes: None, fixed: false, long: true },
                Value::Bytes(vec![0, 255]),
            ),
            ("{a,NULL}", TEXT, Value::Text("{a,NULL}".to_owned())),
        ];
        for (printed, logical, value) in table {
            assert_eq!(decode(printed.as_bytes(), &logical), Ok(value), "{printed} as {logical}");
        }
    }

    #[test]
    fn what_has_no_place_is_refused_by_kind() {
        for (printed, logical) in [
            ("infinity", LogicalType::Date),
            ("-infinity", LogicalType::Instant { fraction: 6 }),
            ("NaN", LogicalType::AnyDecimal),
            ("Infinity", LogicalType::Decimal { precision: 3, scale: 0 }),
        ] {
            let refused = decode(printed.as_bytes(), &logical).map_err(|e| e.kind);
            assert_eq!(refused, Err(ErrorKind::OutOfRange), "{printed} as {logical}");
        }
        let zoned = decode(b"2024-03-15 01:02:03+02", &LogicalType::Instant { fraction: 6 });
        assert_eq!(zoned.map_err(|e| e.kind), Err(ErrorKind::Conversion));
    }

    #[test]
    fn types_without_a_meaning_here_are_selected_as_text() {
        let column =
            |native: &str, logical| Column { native: native.to_owned(), ..Column::new("c", logical, true) };
        let money = LogicalType::Decimal { precision: 19, scale: 2 };
        let columns = [
            column("text", TEXT),
            column("character varying(9)", TEXT),
            column("character(9)", TEXT),
            column("integer[]", TEXT),
            column("money", money),
            column("jsonb", LogicalType::Json),
        ];
        assert_eq!(
            select_list(&columns).text,
            "\"c\", \"c\", \"c\"::text, \"c\"::text, \"c\"::numeric, \"c\""
        );
    }
}
