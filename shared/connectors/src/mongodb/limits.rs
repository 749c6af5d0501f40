//! What a column can hold exactly, asked before anything is sent.

use model::convert::{ConvertError, refusal};
use model::{Column, DateTime, ErrorKind, Value};

use super::{codec, moment};

/// Bytes of a document, all its fields together.
pub(super) const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A date has milliseconds: what is finer is cut, as the plan says. Refused, no row with a clock's time would ever come
/// over; kept as text, it would be no date.
pub(super) fn cut(value: &Value, column: &Column) -> Option<(Value, &'static str)> {
    const LOSS: &str = "the second keeps 3 fraction digits of more";
    let (Value::DateTime(at) | Value::Instant(at)) = value else { return None };
    let finer = at.nanos % moment::MILLI_NANOS;
    if finer == 0 || column.native != codec::native::DATE {
        return None;
    }
    let kept = DateTime { nanos: at.nanos - finer, ..*at };
    let kept = if matches!(value, Value::Instant(_)) { Value::Instant(kept) } else { Value::DateTime(kept) };
    Some((kept, LOSS))
}

/// Whether `column` keeps exactly this value: it is tried.
pub(super) fn admits(value: &Value, column: &Column) -> Result<(), ConvertError> {
    match value {
        // What a long text or binary costs to copy tells no more than its length does.
        Value::Text(text) if column.native == codec::native::STRING => fits(text.len()),
        Value::Bytes(bytes) => fits(bytes.len()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float64(_) | Value::Uuid(_) => Ok(()),
        Value::UInt(_)
        | Value::Decimal(_)
        | Value::Float32(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_)
        | Value::Instant(_)
        | Value::Text(_)
        | Value::Json(_) => codec::encode(value, column).map(|_| ()),
    }
}

fn fits(bytes: usize) -> Result<(), ConvertError> {
    if bytes < DOCUMENT_BYTES_MAX {
        Ok(())
    } else {
        Err(refusal(ErrorKind::TooLong, "the value is longer than a document of 16 MiB"))
    }
}
