//! Cells of the text protocol to values.
//!
//! Every cell is decoded from the bytes the server sent: the driver's getters take zero dates for NULL and know
//! neither TIME's range nor 65 digits. Floats are selected multiplied by `1e0`, because the server prints a FLOAT
//! with six digits but a DOUBLE with all (and `+ 0e0` would lose the sign of a negative zero).

use model::convert::{ConvertError, refusal};
use model::{Column, Date, DateTime, ErrorKind, LogicalType, Time, Value};
use sqlx::mysql::{MySql, MySqlRow};
use sqlx::{Row as _, ValueRef as _};

use crate::server::SelectList;
use crate::sql::Dialect;

/// The select list for `columns`.
pub(super) fn select_list(columns: &[Column]) -> SelectList {
    let list: Vec<String> = columns.iter().map(expression).collect();
    // sqlx 0.9 takes a row whose first cell is 16 MiB or longer for the end of the result.
    let lead = usize::from(columns.first().is_some_and(|c| may_be_huge(&c.logical)));
    let text = list.join(", ");
    SelectList { text: if lead == 1 { format!("0, {text}") } else { text }, lead }
}

fn may_be_huge(logical: &LogicalType) -> bool {
    match logical {
        LogicalType::Text { max_chars: max, .. } | LogicalType::Bytes { max_bytes: max, .. } => {
            max.is_none_or(|n| n > 65_535)
        }
        LogicalType::Json => true,
        LogicalType::Bool
        | LogicalType::Int { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Date
        | LogicalType::Time { .. }
        | LogicalType::DateTime { .. }
        | LogicalType::Instant { .. }
        | LogicalType::Uuid => false,
    }
}

fn expression(column: &Column) -> String {
    let name = Dialect::Mysql.ident(&column.name);
    let is_float = matches!(column.logical, LogicalType::Float32 | LogicalType::Float64);
    if is_float && column.native != "double" {
        format!("{name} * 1e0")
    } else if column.native.starts_with("bit(") {
        format!("{name} + 0")
    } else {
        name
    }
}

/// The bytes of a cell; `None` for NULL.
pub(super) fn cell(row: &MySqlRow, at: usize) -> Option<&[u8]> {
    let raw = row.try_get_raw(at).ok()?;
    if raw.is_null() { None } else { <&[u8] as sqlx::Decode<MySql>>::decode(raw).ok() }
}

/// Whether the order of the column is the order of the values it prints: an ENUM is ordered by number.
pub(super) fn can_be_cut(column: &Column) -> bool {
    let by_number = column.native.starts_with("enum(") || column.native.starts_with("set(");
    !by_number
        && match column.logical {
            LogicalType::Float32 | LogicalType::Float64 | LogicalType::Json => false,
            LogicalType::Bytes { .. } => column.native.contains("binary") || column.native.contains("blob"),
            LogicalType::Bool
            | LogicalType::Int { .. }
            | LogicalType::Decimal { .. }
            | LogicalType::AnyDecimal
            | LogicalType::Date
            | LogicalType::Time { .. }
            | LogicalType::DateTime { .. }
            | LogicalType::Instant { .. }
            | LogicalType::Text { .. }
            | LogicalType::Uuid => true,
        }
}

/// The value that the server printed as `bytes` for a column of this type.
pub(super) fn decode(bytes: &[u8], logical: &LogicalType) -> Result<Value, ConvertError> {
    if let LogicalType::Bytes { .. } = logical {
        return Ok(Value::Bytes(bytes.to_vec()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| refusal(ErrorKind::Encoding, "the text is not UTF-8"))?;
    let value = match logical {
        LogicalType::Text { .. } => Some(Value::Text(text.to_owned())),
        LogicalType::Json => Some(Value::Json(text.to_owned())),
        LogicalType::Bool => match text {
            "0" => Some(Value::Bool(false)),
            "1" => Some(Value::Bool(true)),
            _ => None,
        },
        LogicalType::Int { .. } => {
            text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::from_u64)).ok()
        }
        LogicalType::Decimal { .. } | LogicalType::AnyDecimal => text.parse().map(Value::Decimal).ok(),
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the server widened a 32-bit float; this undoes it"
        )]
        LogicalType::Float32 => text.parse().map(|wide: f64| Value::Float32(wide as f32)).ok(),
        LogicalType::Float64 => text.parse().map(Value::Float64).ok(),
        LogicalType::Date => Date::parse(text).map(Value::Date).ok(),
        LogicalType::Time { .. } => Time::parse(text).map(Value::Time).ok(),
        LogicalType::DateTime { .. } => DateTime::parse(text).map(Value::DateTime).ok(),
        LogicalType::Instant { .. } => DateTime::parse(text).map(Value::Instant).ok(),
        LogicalType::Uuid => text.parse().map(Value::Uuid).ok(),
        LogicalType::Bytes { .. } => None,
    };
    value.ok_or_else(|| refusal(ErrorKind::Conversion, format!("the value cannot be read as {logical}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(max_chars: Option<u64>) -> LogicalType {
        LogicalType::Text { max_chars, fixed: false, long: false }
    }

    fn column(logical: LogicalType, native: &str) -> Column {
        Column { native: native.to_owned(), ..Column::new("c", logical, true) }
    }

    #[test]
    fn every_printed_form_is_read_exactly() {
        let int = |bits, unsigned| LogicalType::Int { bits, unsigned };
        let decimal = |t: &str| Value::Decimal(t.parse().expect("a decimal"));
        let time = Time { nanos: -3_020_399_999_999_000 };
        let date = |year, day| Date { year, month: 0, day };
        let zero = DateTime { date: date(0, 0), nanos: 0 };
        let table = [
            ("18446744073709551615", int(64, true), Value::UInt(u64::MAX)),
            ("-9223372036854775808", int(64, false), Value::Int(i64::MIN)),
            ("00042", int(32, true), Value::Int(42)),
            ("0000", int(16, true), Value::Int(0)),
            ("-1.50", LogicalType::Decimal { precision: 65, scale: 2 }, decimal("-1.50")),
            ("0.10000000149011612", LogicalType::Float32, Value::Float32(0.1)),
            ("1.401298464324817e-45", LogicalType::Float32, Value::Float32(f32::from_bits(1))),
            ("-0", LogicalType::Float64, Value::Float64(-0.0)),
            ("5e-324", LogicalType::Float64, Value::Float64(5e-324)),
            ("0000-00-00", LogicalType::Date, Value::Date(date(0, 0))),
            ("2024-00-15", LogicalType::Date, Value::Date(date(2024, 15))),
            ("-838:59:59.999999", LogicalType::Time { fraction: 6 }, Value::Time(time)),
            ("0000-00-00 00:00:00.000000", LogicalType::Instant { fraction: 6 }, Value::Instant(zero)),
            ("😀", text(None), Value::Text("😀".to_owned())),
            ("", text(None), Value::Text(String::new())),
            ("{\"a\": 1}", LogicalType::Json, Value::Json("{\"a\": 1}".to_owned())),
        ];
        for (printed, logical, value) in table {
            assert_eq!(decode(printed.as_bytes(), &logical), Ok(value), "{printed} as {logical}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_kind() {
        assert_eq!(decode(b"\xff", &text(None)).map_err(|e| e.kind), Err(ErrorKind::Encoding));
        assert_eq!(decode(b"x", &LogicalType::Date).map_err(|e| e.kind), Err(ErrorKind::Conversion));
        let bytes = LogicalType::Bytes { max_bytes: None, fixed: false, long: true };
        assert_eq!(decode(b"\xff\0", &bytes), Ok(Value::Bytes(vec![255, 0])));
    }

    #[test]
    fn floats_and_bits_are_selected_so_that_nothing_is_lost() {
        let columns = [
            column(LogicalType::Float32, "float"),
            column(LogicalType::Float64, "double"),
            column(LogicalType::Float64, "double(10,2)"),
            column(LogicalType::Int { bits: 64, unsigned: true }, "bit(3)"),
        ];
        assert_eq!(select_list(&columns).text, "`c` * 1e0, `c`, `c` * 1e0, `c` + 0");
        assert_eq!(select_list(&[column(text(None), "longtext")]).text, "0, `c`");
    }
}
