//! The driver's cells to values.
//!
//! Decimals stay whole numbers and a scale, moments are put together from the protocol's counts. Text is selected as the
//! UTF-16 it is kept in, so that a lone surrogate costs its row and not the whole answer, whatever the column's code
//! page; types that the driver would give as floats or not at all are selected as others.

use std::borrow::Cow;

use model::convert::{ConvertError, refusal};
use model::{Column, DateTime, Decimal, ErrorKind, LogicalType, Time, Value};
use tiberius::{ColumnData, Row};

use super::moment;
use super::session::Server;
use crate::server::SelectList;
use crate::sql::Dialect;

/// Characters of text that is not `max`.
const CHARS_MAX: u64 = 4_000;

/// The select list for `columns`.
pub(super) fn select_list(columns: &[Column], server: &Server) -> SelectList {
    let list: Vec<String> = columns.iter().map(|column| expression(column, server.text_is_utf16)).collect();
    SelectList { text: list.join(", "), lead: 0 }
}

fn expression(column: &Column, as_utf16: bool) -> String {
    let name = Dialect::Sqlserver.ident(&column.name);
    let word = column.native.split('(').next().unwrap_or_default();
    match (&column.logical, word) {
        (_, "money") => format!("CAST({name} AS decimal(19,4))"),
        (_, "smallmoney") => format!("CAST({name} AS decimal(10,4))"),
        (LogicalType::Text { max_chars, .. }, _) if as_utf16 => {
            // A `sql_variant` is never longer, and becomes nothing that may be.
            let most = if word == "sql_variant" { Some(CHARS_MAX) } else { *max_chars };
            let (text, binary) = match most.filter(|n| *n <= CHARS_MAX) {
                Some(n) => (format!("nvarchar({n})"), format!("varbinary({})", n * 2)),
                None => ("nvarchar(max)".to_owned(), "varbinary(max)".to_owned()),
            };
            let is_wide = matches!(word, "nvarchar" | "nchar");
            let text = if is_wide { name } else { format!("CAST({name} AS {text})") };
            format!("CAST({text} AS {binary})")
        }
        (LogicalType::Text { .. }, "nvarchar" | "nchar" | "varchar" | "char") => name,
        (LogicalType::Text { .. }, _) => format!("CAST({name} AS nvarchar(max))"),
        (LogicalType::Bytes { .. }, "timestamp") => format!("CAST({name} AS binary(8))"),
        (LogicalType::Bytes { .. }, "varbinary" | "binary") => name,
        (LogicalType::Bytes { .. }, _) => format!("CAST({name} AS varbinary(max))"),
        (
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
            | LogicalType::Json
            | LogicalType::Uuid,
            _,
        ) => name,
    }
}

/// Whether each value of the column finds itself again: floats may be -0 and 0 at once.
pub(super) const fn can_be_cut(column: &Column) -> bool {
    !matches!(column.logical, LogicalType::Float32 | LogicalType::Float64 | LogicalType::Json)
}

/// The text of a cell of the catalog; `None` for NULL.
pub(super) fn text(row: &Row, at: usize) -> Option<Cow<'_, str>> {
    fn number(n: Option<impl ToString>) -> Option<Cow<'static, str>> {
        n.map(|n| Cow::Owned(n.to_string()))
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "the catalog has no other types")]
    match row.get_column_data(at).ok()? {
        ColumnData::String(text) => text.as_deref().map(Cow::Borrowed),
        ColumnData::U8(n) => number(*n),
        ColumnData::I16(n) => number(*n),
        ColumnData::I32(n) => number(*n),
        ColumnData::I64(n) => number(*n),
        ColumnData::F32(n) => number(*n),
        ColumnData::F64(n) => number(*n),
        ColumnData::Bit(bit) => number(bit.map(u8::from)),
        ColumnData::Numeric(n) => number(n.map(|n| decimal_text(n.value(), n.scale()))),
        _ => None,
    }
}

/// The bytes of a binary cell.
pub(super) fn bytes(row: &Row, at: usize) -> Option<&[u8]> {
    if let ColumnData::Binary(bytes) = row.get_column_data(at).ok()? { bytes.as_deref() } else { None }
}

/// The value of `column` in the cell at this place.
pub(super) fn value(row: &Row, at: usize, column: &Column) -> Result<Value, ConvertError> {
    let cell =
        row.get_column_data(at).map_err(|_| refusal(ErrorKind::Internal, "the answer lacks a column"))?;
    decode(cell, &column.logical)
}

fn decode(cell: &ColumnData<'_>, logical: &LogicalType) -> Result<Value, ConvertError> {
    let value = match cell {
        ColumnData::Bit(bit) => bit.map(Value::Bool),
        ColumnData::U8(n) => n.map(|n| Value::Int(i64::from(n))),
        ColumnData::I16(n) => n.map(|n| Value::Int(i64::from(n))),
        ColumnData::I32(n) => n.map(|n| Value::Int(i64::from(n))),
        ColumnData::I64(n) => n.map(Value::Int),
        ColumnData::F32(v) => v.map(Value::Float32),
        ColumnData::F64(v) => v.map(Value::Float64),
        ColumnData::Guid(uuid) => uuid.map(|uuid| Value::Uuid(uuid::Uuid::from_bytes(*uuid.as_bytes()))),
        ColumnData::Numeric(number) => number.map(|n| decimal(n.value(), n.scale())).transpose()?,
        ColumnData::String(text) => text.as_deref().map(|text| text_value(text, logical)),
        ColumnData::Xml(xml) => xml.as_deref().map(|xml| Value::Text(xml.as_ref().to_owned())),
        ColumnData::Binary(bytes) => match (bytes.as_deref(), logical) {
            (Some(bytes), LogicalType::Text { .. }) => Some(text_value(&utf16(bytes)?, logical)),
            (bytes, _) => bytes.map(|bytes| Value::Bytes(bytes.to_vec())),
        },
        ColumnData::Date(date) => date.map(|date| Value::Date(moment::date(i64::from(date.days())))),
        ColumnData::Time(time) => time.map(|time| Value::Time(Time { nanos: nanos(time) })),
        ColumnData::DateTime(told) => {
            told.map(|told| Value::DateTime(moment::of_datetime(told.days(), told.seconds_fragments())))
        }
        ColumnData::SmallDateTime(told) => {
            told.map(|told| Value::DateTime(moment::of_smalldatetime(told.days(), told.seconds_fragments())))
        }
        ColumnData::DateTime2(told) => told.map(|told| Value::DateTime(at(told))),
        // The protocol tells the moment in UTC, and beside it the offset that it was written with.
        ColumnData::DateTimeOffset(told) => told.map(|told| Value::Instant(at(told.datetime2()))),
    };
    Ok(value.unwrap_or(Value::Null))
}

fn at(told: tiberius::time::DateTime2) -> DateTime {
    moment::moment(i64::from(told.date().days()), nanos(told.time()), 0)
}

fn nanos(time: tiberius::time::Time) -> i64 {
    let unit = 10_i64.pow(9 - u32::from(time.scale().min(9)));
    i64::try_from(time.increments()).unwrap_or_default() * unit
}

/// The blanks behind a text of fixed length are no part of it.
fn text_value(text: &str, logical: &LogicalType) -> Value {
    let is_fixed = matches!(logical, LogicalType::Text { fixed: true, .. });
    Value::Text(if is_fixed { text.trim_end_matches(' ').to_owned() } else { text.to_owned() })
}

fn utf16(bytes: &[u8]) -> Result<String, ConvertError> {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .map_err(|_| refusal(ErrorKind::Encoding, "the text has half of a character of UTF-16"))
}

fn decimal(digits: i128, scale: u8) -> Result<Value, ConvertError> {
    let number: Result<Decimal, _> = decimal_text(digits, scale).parse();
    number.map(Value::Decimal).map_err(|_| refusal(ErrorKind::Internal, "the number cannot be read"))
}

fn decimal_text(digits: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let sign = if digits < 0 { "-" } else { "" };
    let digits = format!("{:0>1$}", digits.unsigned_abs(), scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{part}")
}

#[cfg(test)]
mod tests {
    use tiberius::numeric::Numeric;
    use tiberius::time::{DateTime2, DateTimeOffset, Time as Tick};

    use super::*;

    const TEXT: LogicalType = LogicalType::Text { max_chars: Some(9), fixed: false, long: false };

    #[test]
    fn every_cell_is_read_exactly() {
        let tick = |n| Tick::new(n, 7);
        let day = tiberius::time::Date::new(738_944);
        let table = [
            (ColumnData::U8(Some(255)), Value::Int(255)),
            (ColumnData::F64(Some(-0.0)), Value::Float64(-0.0)),
            (
                ColumnData::Numeric(Some(Numeric::new_with_scale(-5, 3))),
                Value::Decimal("-0.005".parse().expect("a decimal")),
            ),
            (
                ColumnData::Numeric(Some(Numeric::new_with_scale(10_i128.pow(38) - 1, 38))),
                Value::Decimal(format!("0.{}", "9".repeat(38)).parse().expect("a decimal")),
            ),
            (ColumnData::Time(Some(tick(1))), Value::Time(Time { nanos: 100 })),
            (
                ColumnData::DateTime2(Some(DateTime2::new(day, tick(863_999_999_999)))),
                Value::DateTime(DateTime::parse("2024-02-29 23:59:59.9999999").expect("a moment")),
            ),
            (
                ColumnData::DateTimeOffset(Some(DateTimeOffset::new(DateTime2::new(day, tick(0)), 330))),
                Value::Instant(DateTime::parse("2024-02-29 00:00:00").expect("a moment")),
            ),
            (ColumnData::I32(None), Value::Null),
        ];
        for (cell, wanted) in table {
            assert_eq!(decode(&cell, &LogicalType::Float64), Ok(wanted), "{cell:?}");
        }
    }

    #[test]
    fn text_comes_as_utf16_and_half_a_character_costs_its_row() {
        let cell = |units: &[u16]| {
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            decode(&ColumnData::Binary(Some(bytes.into())), &TEXT)
        };
        let whole: Vec<u16> = "a\0é😀".encode_utf16().collect();
        assert_eq!(cell(&whole), Ok(Value::Text("a\0é😀".to_owned())));
        assert_eq!(cell(&[0xd800, 0x61]).map_err(|e| e.kind), Err(ErrorKind::Encoding));
        let padded = LogicalType::Text { max_chars: Some(9), fixed: true, long: false };
        let text = ColumnData::String(Some(" a  ".into()));
        assert_eq!(decode(&text, &padded), Ok(Value::Text(" a".to_owned())));
    }

    #[test]
    fn types_that_the_driver_bends_are_selected_as_others() {
        let column =
            |native: &str, logical| Column { native: native.to_owned(), ..Column::new("c", logical, true) };
        let decimal = LogicalType::Decimal { precision: 19, scale: 4 };
        let long = LogicalType::Text { max_chars: None, fixed: false, long: true };
        let bytes = LogicalType::Bytes { max_bytes: Some(8), fixed: true, long: false };
        for (native, logical, wanted) in [
            ("int", LogicalType::Int { bits: 32, unsigned: false }, "[c]"),
            ("money", decimal, "CAST([c] AS decimal(19,4))"),
            ("nvarchar(9)", TEXT, "CAST([c] AS varbinary(18))"),
            ("varchar(9)", TEXT, "CAST(CAST([c] AS nvarchar(9)) AS varbinary(18))"),
            ("sql_variant", long.clone(), "CAST(CAST([c] AS nvarchar(4000)) AS varbinary(8000))"),
            ("xml", long, "CAST(CAST([c] AS nvarchar(max)) AS varbinary(max))"),
            ("timestamp", bytes, "CAST([c] AS binary(8))"),
        ] {
            assert_eq!(expression(&column(native, logical), true), wanted, "{native}");
        }
        assert_eq!(expression(&column("nvarchar(9)", TEXT), false), "[c]");
    }
}
