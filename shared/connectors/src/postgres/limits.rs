//! What a column can hold exactly, where the server would bend the value or where its refusal costs a whole batch.

use model::convert::{ConvertError, refusal};
use model::{Column, Date, ErrorKind, Value};
use serde_json::Value as Json;

/// 24:00:00, which a time of day may be.
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
/// A double has no more.
const DIGITS_MAX: usize = 17;
const EXPONENT_MAX: u32 = 300;

/// Whether `column` keeps exactly this value.
pub(super) fn admits(value: &Value, column: &Column) -> Result<(), ConvertError> {
    match value {
        Value::Text(text) if text.contains('\0') => {
            Err(refusal(ErrorKind::Encoding, "the text holds a NUL, which PostgreSQL keeps in no text"))
        }
        Value::Date(date) => admits_date(*date),
        Value::DateTime(moment) | Value::Instant(moment) => admits_date(moment.date),
        Value::Time(time) if !(0..=DAY_NANOS).contains(&time.nanos) => {
            Err(refusal(ErrorKind::OutOfRange, "the time is not within a day"))
        }
        Value::Json(text) if column.native != "json" => admits_json(text),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Decimal(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Time(_)
        | Value::Text(_)
        | Value::Json(_)
        | Value::Bytes(_)
        | Value::Uuid(_) => Ok(()),
    }
}

fn admits_date(date: Date) -> Result<(), ConvertError> {
    if date.is_real() { Ok(()) } else { Err(refusal(ErrorKind::OutOfRange, "the calendar has no such day")) }
}

/// JSONB keeps decimals where others keep doubles: a number with an exponent and more digits than a double has would
/// be another number there.
fn admits_json(text: &str) -> Result<(), ConvertError> {
    // The parser is asked only if there may be an exponent; what it refuses the server refuses too.
    if !text.contains(['e', 'E']) {
        return Ok(());
    }
    match serde_json::from_str(text) {
        Ok(document) if !is_kept(&document) => {
            Err(refusal(ErrorKind::OutOfRange, "the document has a number beyond a double"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_kept(document: &Json) -> bool {
    match document {
        Json::Number(number) => {
            let text = number.to_string();
            let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return true };
            mantissa.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX
                && exponent.parse::<i32>().is_ok_and(|n| n.unsigned_abs() <= EXPONENT_MAX)
        }
        Json::Array(items) => items.iter().all(is_kept),
        Json::Object(members) => members.values().all(is_kept),
        Json::Null | Json::Bool(_) | Json::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use model::{LogicalType, Time};

    use super::*;

    fn kind(value: &Value) -> Option<ErrorKind> {
        let column = Column { native: "jsonb".to_owned(), ..Column::new("c", LogicalType::Json, true) };
        admits(value, &column).err().map(|e| e.kind)
    }

    #[test]
    fn what_the_server_would_bend_or_refuse_is_refused_before() {
        let date = |month, day| Value::Date(Date { year: 2024, month, day });
        assert_eq!(kind(&date(2, 29)), None);
        assert_eq!(kind(&date(2, 30)), Some(ErrorKind::OutOfRange));
        assert_eq!(kind(&date(0, 15)), Some(ErrorKind::OutOfRange));
        assert_eq!(kind(&Value::Time(Time { nanos: DAY_NANOS })), None);
        assert_eq!(kind(&Value::Time(Time { nanos: -1 })), Some(ErrorKind::OutOfRange));
        assert_eq!(kind(&Value::Text("a\0".to_owned())), Some(ErrorKind::Encoding));
        let json = |text: &str| kind(&Value::Json(text.to_owned()));
        for kept in ["1e100", "[-2.5E-3]", "123456789012345678901234567890", "{\"else\": 1}", "{e"] {
            assert_eq!(json(kept), None, "{kept}");
        }
        for bent in ["1e400", "{\"a\": [1.00000000000000000001e20]}"] {
            assert_eq!(json(bent), Some(ErrorKind::OutOfRange), "{bent}");
        }
    }
}
