//! Values as BSON and back. A column's native word says which BSON type it is written as; what is read must be of a
//! type that means the same, or the row is set aside.

use bson::raw::RawBsonRef;
use bson::spec::{BinarySubtype, ElementType};
use bson::{Binary, Decimal128, RawBson};
use model::convert::{ConvertError, convert, refusal};
use model::{Column, DateTime, Decimal, ErrorKind, LogicalType, Time, Value};

use super::{json, moment};

/// Words for what a column is written as: the server's own, where it has one.
pub(super) mod native {
    pub(crate) const BOOL: &str = "bool";
    pub(crate) const INT: &str = "int";
    pub(crate) const LONG: &str = "long";
    /// Integers beyond 63 bits are decimals: all numbers compare by value.
    pub(crate) const LONG_OR_DECIMAL: &str = "long, decimal";
    pub(crate) const DECIMAL: &str = "decimal";
    pub(crate) const DOUBLE: &str = "double";
    pub(crate) const DATE: &str = "date";
    pub(crate) const STRING: &str = "string";
    pub(crate) const BINARY: &str = "binData";
    pub(crate) const UUID: &str = "uuid";
    pub(crate) const OBJECT_ID: &str = "objectId";
    /// Documents, arrays, or whatever stands there.
    pub(crate) const ANY: &str = "any";
}

/// The value as BSON; `None` for NULL, which is a field that is not there.
///
/// # Errors
/// As [`super::limits::admits`]: the value cannot be kept exactly.
pub(super) fn encode(value: &Value, column: &Column) -> Result<Option<RawBson>, ConvertError> {
    let bson = match value {
        Value::Null => return Ok(None),
        Value::Bool(b) => RawBson::Boolean(*b),
        Value::Int(n) => match i32::try_from(*n) {
            Ok(small) if column.native == native::INT => RawBson::Int32(small),
            _ => RawBson::Int64(*n),
        },
        Value::UInt(n) => RawBson::Decimal128(decimal128(&Decimal::from(*n))?),
        Value::Decimal(d) if column.native == native::STRING => RawBson::String(d.to_string()),
        Value::Decimal(d) => RawBson::Decimal128(decimal128(d)?),
        Value::Float32(v) => RawBson::Double(widened(*v)?),
        Value::Float64(v) => RawBson::Double(*v),
        Value::Date(date) => RawBson::DateTime(date_time(DateTime { date: *date, nanos: 0 })?),
        Value::Time(time) => RawBson::String(time.to_text(fraction(&column.logical))),
        Value::DateTime(at) | Value::Instant(at) => RawBson::DateTime(date_time(*at)?),
        Value::Text(text) if column.native == native::OBJECT_ID => RawBson::ObjectId(object_id(text)?),
        Value::Text(text) => RawBson::String(text.clone()),
        Value::Bytes(bytes) => {
            RawBson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.clone() })
        }
        Value::Json(text) => json::to_bson(text)?,
        Value::Uuid(uuid) => {
            RawBson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: uuid.as_bytes().to_vec() })
        }
    };
    Ok(Some(bson))
}

/// Only as it is printed: capital digits would come back as small ones.
fn object_id(text: &str) -> Result<bson::oid::ObjectId, ConvertError> {
    let parsed: Option<bson::oid::ObjectId> = text.parse().ok();
    let exact = parsed.filter(|id| id.to_hex() == text);
    exact.ok_or_else(|| refusal(ErrorKind::Conversion, "the text is not an ObjectId in small digits"))
}

/// 34 significant digits, kept with their trailing zeros.
fn decimal128(decimal: &Decimal) -> Result<Decimal128, ConvertError> {
    const DIGITS_MAX: usize = 34;
    let digits =
        decimal.as_str().trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    if digits > DIGITS_MAX {
        return Err(refusal(ErrorKind::OutOfRange, format!("the number has more than {DIGITS_MAX} digits")));
    }
    decimal.as_str().parse().map_err(|_| refusal(ErrorKind::OutOfRange, "the number is beyond a Decimal128"))
}

/// Every number of 32 bits is one of 64; only the bits of some that are none would not come back.
fn widened(value: f32) -> Result<f64, ConvertError> {
    let wide = f64::from(value);
    if narrowed(wide).is_some_and(|back| back.to_bits() == value.to_bits()) {
        Ok(wide)
    } else {
        Err(refusal(ErrorKind::Conversion, "the float is a signal that would not come back as it is"))
    }
}

fn narrowed(wide: f64) -> Option<f32> {
    #[allow(clippy::cast_possible_truncation, reason = "the loss is what is being looked for")]
    let narrow = wide as f32;
    (f64::from(narrow).to_bits() == wide.to_bits()).then_some(narrow)
}

fn date_time(at: DateTime) -> Result<bson::DateTime, ConvertError> {
    moment::to_millis(at)
        .map(bson::DateTime::from_millis)
        .ok_or_else(|| refusal(ErrorKind::OutOfRange, "the calendar has no such day"))
}

const fn fraction(logical: &LogicalType) -> u8 {
    if let LogicalType::Time { fraction } = logical { *fraction } else { 9 }
}

/// The value a BSON value means in this column.
///
/// # Errors
/// It is of another type, or not one that the column's type can hold.
pub(super) fn decode(bson: RawBsonRef<'_>, column: &Column) -> Result<Value, ConvertError> {
    if column.logical == LogicalType::Json {
        let text = json::to_text(bson);
        return text
            .map(Value::Json)
            .ok_or_else(|| refusal(ErrorKind::Encoding, "the value is not valid BSON"));
    }
    match (bson, &column.logical) {
        (RawBsonRef::Null | RawBsonRef::Undefined, _) => Ok(Value::Null),
        (RawBsonRef::Boolean(b), LogicalType::Bool) => Ok(Value::Bool(b)),
        (RawBsonRef::DateTime(at), logical) => moment_as(at, logical),
        (RawBsonRef::Double(v), LogicalType::Float32) => narrowed(v).map(Value::Float32).ok_or_else(|| {
            refusal(ErrorKind::Conversion, "the number needs more than 32 bits of floating point")
        }),
        (RawBsonRef::String(text), LogicalType::Decimal { .. }) if column.native == native::STRING => {
            let decimal =
                text.parse().map_err(|_| refusal(ErrorKind::Conversion, "the text is not a decimal"))?;
            convert(Value::Decimal(decimal), &column.logical)
        }
        (RawBsonRef::String(text), LogicalType::Time { .. }) => {
            let time =
                Time::parse(text).map_err(|_| refusal(ErrorKind::Conversion, "the text is not a time"))?;
            convert(Value::Time(time), &column.logical)
        }
        // A length is what was declared, not what the server keeps to; the other side is asked whether it fits there.
        (RawBsonRef::String(text), LogicalType::Text { .. }) if column.native != native::OBJECT_ID => {
            Ok(Value::Text(text.to_owned()))
        }
        // A string with the same digits would be another key.
        (RawBsonRef::ObjectId(id), LogicalType::Text { .. }) if column.native == native::OBJECT_ID => {
            Ok(Value::Text(id.to_hex()))
        }
        (RawBsonRef::Binary(binary), LogicalType::Uuid) if binary.subtype == BinarySubtype::Uuid => {
            convert(Value::Bytes(binary.bytes.to_vec()), &LogicalType::Uuid)
        }
        // Other subtypes are other values, and would not come back.
        (RawBsonRef::Binary(binary), LogicalType::Bytes { .. })
            if binary.subtype == BinarySubtype::Generic =>
        {
            Ok(Value::Bytes(binary.bytes.to_vec()))
        }
        (other, logical) => match number(other) {
            Some(number) if is_number(logical) => convert(number, logical),
            _ => Err(mismatch(other.element_type(), logical)),
        },
    }
}

fn number(bson: RawBsonRef<'_>) -> Option<Value> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are no numbers")]
    match bson {
        RawBsonRef::Int32(n) => Some(Value::Int(n.into())),
        RawBsonRef::Int64(n) => Some(Value::Int(n)),
        RawBsonRef::Double(v) => Some(Value::Float64(v)),
        RawBsonRef::Decimal128(d) => d.to_string().parse().ok().map(Value::Decimal),
        _ => None,
    }
}

const fn is_number(logical: &LogicalType) -> bool {
    matches!(
        logical,
        LogicalType::Int { .. }
            | LogicalType::Decimal { .. }
            | LogicalType::AnyDecimal
            | LogicalType::Float32
            | LogicalType::Float64
    )
}

fn moment_as(at: bson::DateTime, logical: &LogicalType) -> Result<Value, ConvertError> {
    let at = moment::from_millis(at.timestamp_millis())
        .ok_or_else(|| refusal(ErrorKind::OutOfRange, "the date is beyond the years that can be kept"))?;
    if matches!(logical, LogicalType::Date | LogicalType::DateTime { .. }) {
        convert(Value::DateTime(at), logical)
    } else if matches!(logical, LogicalType::Instant { .. }) {
        convert(Value::Instant(at), logical)
    } else {
        Err(mismatch(ElementType::DateTime, logical))
    }
}

fn mismatch(found: ElementType, logical: &LogicalType) -> ConvertError {
    refusal(ErrorKind::Conversion, format!("a BSON {found:?} stands where {logical} was expected"))
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, raw::cstr};

    use super::*;
    use crate::mongodb::mapping;

    /// What a field of this BSON type reads as, of a column that holds `native`.
    fn read(bson: impl Into<RawBson>, native: &str) -> Result<Value, ErrorKind> {
        let mut holder = RawDocumentBuf::new();
        holder.append(cstr!("v"), bson.into());
        let value = holder.get("v").expect("valid").expect("there");
        decode(value, &mapping::column_of("v", native)).map_err(|why| why.kind)
    }

    #[test]
    fn what_would_not_come_back_as_it_is_is_refused() {
        let binary = |subtype| RawBson::Binary(Binary { subtype, bytes: vec![7; 16] });
        assert_eq!(read(binary(BinarySubtype::Generic), "binData"), Ok(Value::Bytes(vec![7; 16])));
        assert_eq!(read(binary(BinarySubtype::UuidOld), "binData"), Err(ErrorKind::Conversion));
        assert_eq!(read(binary(BinarySubtype::Uuid), "binData"), Err(ErrorKind::Conversion));
        assert_eq!(read(binary(BinarySubtype::UuidOld), "uuid"), Err(ErrorKind::Conversion));
        let id: bson::oid::ObjectId = "0123456789abcdef01234567".parse().expect("an id");
        assert_eq!(read(id, "objectId"), Ok(Value::Text(id.to_hex())));
        assert_eq!(read(id, "string"), Err(ErrorKind::Conversion));
        assert_eq!(read("0123456789abcdef01234567", "objectId"), Err(ErrorKind::Conversion));
        let column = mapping::column_of("v", "objectId");
        let written = |text: &str| encode(&Value::Text(text.to_owned()), &column).is_ok();
        assert!(written("0123456789abcdef01234567") && !written("0123456789ABCDEF01234567"));
    }
}
