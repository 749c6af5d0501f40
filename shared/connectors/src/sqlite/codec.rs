//! Values: storage classes to meanings and back.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a pair of storage class and type that is not named is refused"
)]

use model::convert::ConvertError;
use model::{Column, Date, DateTime, Decimal, ErrorKind, LogicalType, Time, Value};
use sqlx::sqlite::{SqliteArguments, SqliteRow, SqliteValueRef};
use sqlx::{Arguments as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

/// Significant digits that survive SQLite's REAL, which NUMERIC affinity makes of a decimal.
pub(super) const REAL_DIGITS: usize = 15;

/// Why a cell cannot be taken for what its column declares.
pub(super) struct Undecodable {
    pub(super) kind: ErrorKind,
    pub(super) reason: String,
}

impl Undecodable {
    fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

type Decoded = Result<Value, Undecodable>;

/// A cell as its storage class has it: what keys and boundaries are made of, so that binding one again compares
/// exactly as the stored one does.
pub(super) fn stored(row: &SqliteRow, at: usize) -> Decoded {
    let cell =
        row.try_get_raw(at).map_err(|_| Undecodable::new(ErrorKind::Internal, "the cell is not there"))?;
    if cell.is_null() {
        return Ok(Value::Null);
    }
    let class = cell.type_info().name().to_owned();
    let broken = |_| Undecodable::new(ErrorKind::Conversion, "the cell cannot be read");
    match class.as_str() {
        "INTEGER" => decode::<i64>(cell).map(Value::Int).map_err(broken),
        "REAL" => decode::<f64>(cell).map(Value::Float64).map_err(broken),
        "TEXT" => {
            let bytes = decode::<&[u8]>(cell).map_err(broken)?;
            match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Value::Text(text.to_owned())),
                Err(_) => Err(Undecodable::new(ErrorKind::Encoding, "the text is not valid UTF-8")),
            }
        }
        _ => decode::<&[u8]>(cell).map(|b| Value::Bytes(b.to_vec())).map_err(broken),
    }
}

fn decode<'r, T: Decode<'r, Sqlite>>(cell: SqliteValueRef<'r>) -> Result<T, ()> {
    T::decode(cell).map_err(|_| ())
}

/// A cell as what its column declares.
pub(super) fn meant(row: &SqliteRow, at: usize, column: &Column) -> Decoded {
    let value = stored(row, at)?;
    let mismatch =
        || Undecodable::new(ErrorKind::Conversion, format!("the stored value is no {}", column.logical));
    match (&column.logical, value) {
        (_, Value::Null) => Ok(Value::Null),
        (LogicalType::Bool, Value::Int(n @ (0 | 1))) => Ok(Value::Bool(n == 1)),
        (LogicalType::Int { .. }, Value::Int(n)) => Ok(Value::Int(n)),
        (LogicalType::Decimal { scale, .. }, number) => {
            let decimal = decimal(&number).ok_or_else(mismatch)?;
            let exact = decimal.rescale(usize::from(*scale));
            exact.map(Value::Decimal).ok_or_else(mismatch)
        }
        (LogicalType::AnyDecimal, number) => match decimal(&number) {
            Some(decimal) => Ok(Value::Decimal(decimal.trimmed())),
            None => Err(mismatch()),
        },
        (LogicalType::Float64, Value::Float64(v)) => Ok(Value::Float64(v)),
        (LogicalType::Float64, Value::Int(n)) => {
            model::convert(Value::Int(n), &LogicalType::Float64).map_err(|_| mismatch())
        }
        (LogicalType::Date, Value::Text(s)) => Date::parse(&s).map(Value::Date).map_err(|_| mismatch()),
        (LogicalType::Time { .. }, Value::Text(s)) => {
            Time::parse(&s).map(Value::Time).map_err(|_| mismatch())
        }
        (LogicalType::DateTime { .. }, Value::Text(s)) => {
            DateTime::parse(&s).map(Value::DateTime).map_err(|_| mismatch())
        }
        (LogicalType::Instant { .. }, Value::Text(s)) => {
            DateTime::parse(&s).map(Value::Instant).map_err(|_| mismatch())
        }
        (LogicalType::Text { .. }, Value::Text(s)) => Ok(Value::Text(s)),
        (LogicalType::Text { .. }, Value::Int(n)) => Ok(Value::Text(n.to_string())),
        (LogicalType::Bytes { .. }, Value::Bytes(b)) => Ok(Value::Bytes(b)),
        (LogicalType::Bytes { .. }, Value::Text(s)) => Ok(Value::Bytes(s.into_bytes())),
        (LogicalType::Json, Value::Text(s)) => Ok(Value::Json(s)),
        (LogicalType::Uuid, Value::Text(s)) => {
            model::convert(Value::Text(s), &LogicalType::Uuid).map_err(|_| mismatch())
        }
        _ => Err(mismatch()),
    }
}

fn decimal(number: &Value) -> Option<Decimal> {
    match number {
        Value::Int(n) => Some(Decimal::from(*n)),
        Value::Float64(v) => Decimal::from_f64(*v),
        Value::Text(s) => s.parse().ok(),
        _ => None,
    }
}

/// Binds a value in the storage class it is kept in.
pub(super) fn bind(args: &mut SqliteArguments, value: Value) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null => args.add(Option::<i64>::None),
        Value::Bool(b) => args.add(i64::from(b)),
        Value::Int(n) => args.add(n),
        Value::UInt(n) => args.add(n.to_string()),
        Value::Decimal(d) => args.add(String::from(d)),
        Value::Float32(v) => args.add(f64::from(v)),
        Value::Float64(v) => args.add(v),
        Value::Date(d) => args.add(d.to_string()),
        Value::Time(t) => args.add(trimmed(&t.to_text(9))),
        Value::DateTime(d) | Value::Instant(d) => args.add(trimmed(&d.to_text(' ', 9))),
        Value::Text(s) | Value::Json(s) => args.add(s),
        Value::Bytes(b) => args.add(b),
        Value::Uuid(u) => args.add(u.to_string()),
    }
}

/// Drops a fraction's trailing zeros, and the point if none is left.
fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What SQLite would bend: NaN (becomes NULL), minus zero (a REAL without a fraction is stored as an integer) and
/// decimals that NUMERIC affinity would turn into an inexact REAL.
pub(super) fn admits(value: &Value, column: &Column) -> Result<(), ConvertError> {
    let refuse = |reason: &str| Err(ConvertError { kind: ErrorKind::OutOfRange, reason: reason.to_owned() });
    let float = |v: f64| match v {
        v if v.is_nan() => refuse("SQLite stores NaN as NULL"),
        v if v == 0.0 && v.is_sign_negative() => refuse("SQLite stores minus zero as zero"),
        _ => Ok(()),
    };
    match value {
        Value::Float64(v) => float(*v),
        Value::Float32(v) => float(f64::from(*v)),
        Value::Decimal(d) if !column.native.to_ascii_uppercase().contains("TEXT") => {
            let digits = d.trimmed();
            if digits.precision() > REAL_DIGITS && digits.as_str().parse::<i64>().is_err() {
                return refuse("SQLite's NUMERIC keeps 15 significant digits");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_affinity_is_not_trusted_with_more_than_15_digits() {
        let mut column =
            Column { native: "DECIMAL(30,2)".to_owned(), ..Column::new("a", LogicalType::AnyDecimal, true) };
        let value = |t: &str| Value::Decimal(t.parse().expect("a decimal"));
        assert!(admits(&value("9999999999999.99"), &column).is_ok());
        assert!(admits(&value("99999999999999.99"), &column).is_err());
        assert!(admits(&value("9223372036854775807.00"), &column).is_ok());
        column.native = "DECIMAL_TEXT(30,2)".to_owned();
        assert!(admits(&value("99999999999999999999.99"), &column).is_ok());
        assert!(admits(&Value::Float64(f64::NAN), &column).is_err());
        assert!(admits(&Value::Float64(-0.0), &column).is_err());
        assert!(admits(&Value::Float64(0.0), &column).is_ok());
    }
}
