//! What a column can hold exactly, asked before anything is sent.

use model::convert::ConvertError;
use model::{Column, ErrorKind, Value};

use super::codec;
use crate::server::refusal;

/// Bytes of a document, all its fields together.
pub(super) const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

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
