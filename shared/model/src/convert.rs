//! One value into one type: exactly, or not at all.

#![expect(clippy::wildcard_enum_match_arm, reason = "a pair of value and type that is not named is refused")]

use crate::decimal::Decimal;
use crate::failure::ErrorKind;
use crate::schema::LogicalType;
use crate::temporal::{Date, DateTime, Time};
use crate::value::Value;

/// Why a value cannot be kept exactly. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ConvertError {
    pub kind: ErrorKind,
    pub reason: String,
}

/// Converts `value` to `target`, so that nothing is rounded, cut, wrapped or clamped. NULL stays NULL; whether
/// the column takes it is asked by the caller.
///
/// # Errors
/// [`ErrorKind::OutOfRange`], [`ErrorKind::TooLong`] or [`ErrorKind::Conversion`] when the target type cannot
/// hold exactly this value.
pub fn convert(value: Value, target: &LogicalType) -> Result<Value, ConvertError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    match target {
        LogicalType::Bool => to_bool(value),
        LogicalType::Int { bits, unsigned } => to_int(&value, *bits, *unsigned),
        LogicalType::Decimal { precision, scale } => {
            to_decimal(value, usize::from(*precision), usize::from(*scale))
        }
        LogicalType::AnyDecimal => {
            decimal_of(&value).map(|d| Value::Decimal(d.trimmed())).ok_or_else(|| mismatch(&value, target))
        }
        LogicalType::Float32 => to_float32(&value),
        LogicalType::Float64 => to_float64(&value),
        LogicalType::Date => to_date(&value),
        LogicalType::Time { fraction } => match value {
            Value::Time(t) if t.fits(*fraction) => Ok(value),
            Value::Time(_) => Err(fraction_lost(*fraction)),
            other => Err(mismatch(&other, target)),
        },
        LogicalType::DateTime { fraction } => to_date_time(&value, target, *fraction).map(Value::DateTime),
        LogicalType::Instant { fraction } => to_date_time(&value, target, *fraction).map(Value::Instant),
        LogicalType::Text { max_chars, fixed, .. } => to_text(value, *max_chars, *fixed),
        LogicalType::Bytes { max_bytes, fixed, .. } => to_bytes(value, *max_bytes, *fixed),
        LogicalType::Json => to_json(value),
        LogicalType::Uuid => to_uuid(&value),
    }
}

/// Reads what a person typed as a value of a type; bytes as `0x` and hexadecimal digits.
///
/// # Errors
/// As [`convert`]; the text is not in the reason.
pub fn read(text: &str, target: &LogicalType) -> Result<Value, ConvertError> {
    let plain = text.trim();
    let value = match target {
        LogicalType::Bool => match plain {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        LogicalType::Int { .. } => {
            plain.parse().map(Value::Int).or_else(|_| plain.parse().map(Value::from_u64)).ok()
        }
        LogicalType::Decimal { .. } | LogicalType::AnyDecimal => plain.parse().map(Value::Decimal).ok(),
        LogicalType::Float32 | LogicalType::Float64 => plain.parse().map(Value::Float64).ok(),
        LogicalType::Date => Date::parse(plain).map(Value::Date).ok(),
        LogicalType::Time { .. } => Time::parse(plain).map(Value::Time).ok(),
        LogicalType::DateTime { .. } => DateTime::parse(plain).map(Value::DateTime).ok(),
        LogicalType::Instant { .. } => DateTime::parse(plain).map(Value::Instant).ok(),
        LogicalType::Bytes { .. } => {
            plain.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok()).map(Value::Bytes)
        }
        LogicalType::Text { .. } | LogicalType::Json | LogicalType::Uuid => None,
    };
    convert(value.unwrap_or_else(|| Value::Text(text.to_owned())), target)
}

/// Why a value is refused; `reason` holds no value.
pub fn refusal(kind: ErrorKind, reason: impl Into<String>) -> ConvertError {
    ConvertError { kind, reason: reason.into() }
}

fn mismatch(value: &Value, target: &LogicalType) -> ConvertError {
    refusal(ErrorKind::Conversion, format!("a {} value cannot be kept as {target}", value.kind()))
}

fn fraction_lost(fraction: u8) -> ConvertError {
    refusal(ErrorKind::Conversion, format!("the second has more than {fraction} fraction digits"))
}

fn to_bool(value: Value) -> Result<Value, ConvertError> {
    match value {
        Value::Bool(_) => Ok(value),
        Value::Int(n @ (0 | 1)) => Ok(Value::Bool(n == 1)),
        Value::Int(_) | Value::UInt(_) => {
            Err(refusal(ErrorKind::OutOfRange, "an integer other than 0 and 1"))
        }
        other => Err(mismatch(&other, &LogicalType::Bool)),
    }
}

fn to_int(value: &Value, bits: u8, unsigned: bool) -> Result<Value, ConvertError> {
    let wide = match value {
        Value::Bool(b) => Some(i128::from(*b)),
        Value::Int(n) => Some(i128::from(*n)),
        Value::UInt(n) => Some(i128::from(*n)),
        Value::Decimal(d) => d.rescale(0).and_then(|whole| whole.as_str().parse().ok()),
        Value::Float32(_) | Value::Float64(_) => {
            decimal_of(value).and_then(|d| d.rescale(0)).and_then(|whole| whole.as_str().parse().ok())
        }
        _ => None,
    };
    let wide = wide.ok_or_else(|| mismatch(value, &LogicalType::Int { bits, unsigned }))?;
    let (low, high) = if unsigned {
        (0, (1_i128 << bits) - 1)
    } else {
        (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)
    };
    if wide < low || wide > high {
        let sign = if unsigned { "unsigned " } else { "" };
        return Err(refusal(ErrorKind::OutOfRange, format!("the integer does not fit {sign}{bits} bits")));
    }
    Ok(match (i64::try_from(wide), u64::try_from(wide)) {
        (Ok(n), _) => Value::Int(n),
        (_, Ok(n)) => Value::UInt(n),
        _ => unreachable!("the range was checked above"),
    })
}

/// The exact decimal of a number; a float becomes the shortest decimal that reads back as it.
fn decimal_of(value: &Value) -> Option<Decimal> {
    match value {
        Value::Bool(b) => Some(Decimal::from(i64::from(*b))),
        Value::Int(n) => Some(Decimal::from(*n)),
        Value::UInt(n) => Some(Decimal::from(*n)),
        Value::Decimal(d) => Some(d.clone()),
        Value::Float32(v) if v.is_finite() => v.to_string().parse().ok(),
        Value::Float64(v) => Decimal::from_f64(*v),
        _ => None,
    }
}

fn to_decimal(value: Value, precision: usize, scale: usize) -> Result<Value, ConvertError> {
    if matches!(&value, Value::Decimal(d) if d.scale() == scale && d.precision() <= precision) {
        return Ok(value);
    }
    let decimal = decimal_of(&value).ok_or_else(|| {
        mismatch(&value, &LogicalType::Decimal { precision: saturating(precision), scale: saturating(scale) })
    })?;
    let fitted = decimal.rescale(scale).ok_or_else(|| {
        refusal(ErrorKind::Conversion, format!("the number has more than {scale} fraction digits"))
    })?;
    let integer_max = precision.saturating_sub(scale);
    if fitted.integer_digits() > integer_max {
        return Err(refusal(
            ErrorKind::OutOfRange,
            format!("the number has more than {integer_max} digits before the point"),
        ));
    }
    Ok(Value::Decimal(fitted))
}

fn saturating(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn to_float64(value: &Value) -> Result<Value, ConvertError> {
    let exact = match value {
        Value::Float64(v) => Some(*v),
        Value::Float32(v) => Some(f64::from(*v)),
        number => decimal_of(number).and_then(|d| {
            let float: f64 = d.as_str().parse().ok()?;
            (Decimal::from_f64(float)?.trimmed() == d.trimmed()).then_some(float)
        }),
    };
    exact.map(Value::Float64).ok_or_else(|| mismatch(value, &LogicalType::Float64))
}

fn to_float32(value: &Value) -> Result<Value, ConvertError> {
    if let Value::Float32(v) = value {
        return Ok(Value::Float32(*v));
    }
    let Value::Float64(wide) = to_float64(value)? else { unreachable!("to_float64 gives a float64") };
    #[allow(clippy::cast_possible_truncation, reason = "the loss is what is being looked for")]
    let narrow = wide as f32;
    if f64::from(narrow).to_bits() == wide.to_bits() {
        Ok(Value::Float32(narrow))
    } else {
        Err(refusal(ErrorKind::Conversion, "the number needs more than 32 bits of floating point"))
    }
}

fn to_date(value: &Value) -> Result<Value, ConvertError> {
    let date = match value {
        Value::Date(d) => *d,
        Value::DateTime(DateTime { date, nanos: 0 }) => *date,
        Value::DateTime(_) => return Err(refusal(ErrorKind::Conversion, "the date has a time of day")),
        other => return Err(mismatch(other, &LogicalType::Date)),
    };
    in_years(date).map(Value::Date)
}

fn to_date_time(value: &Value, target: &LogicalType, fraction: u8) -> Result<DateTime, ConvertError> {
    let date_time = match value {
        Value::DateTime(d) | Value::Instant(d) => *d,
        Value::Date(date) => DateTime { date: *date, nanos: 0 },
        other => return Err(mismatch(other, target)),
    };
    in_years(date_time.date)?;
    if date_time.fits(fraction) { Ok(date_time) } else { Err(fraction_lost(fraction)) }
}

fn in_years(date: Date) -> Result<Date, ConvertError> {
    if (0..=9_999).contains(&date.year) {
        Ok(date)
    } else {
        Err(refusal(ErrorKind::OutOfRange, "the year is not within 0 and 9999"))
    }
}

fn to_text(value: Value, max_chars: Option<u64>, fixed: bool) -> Result<Value, ConvertError> {
    let text = match value {
        Value::Text(s) | Value::Json(s) => s,
        Value::Bool(b) => u8::from(b).to_string(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Decimal(d) => d.to_string(),
        Value::Float32(v) => v.to_string(),
        Value::Float64(v) => v.to_string(),
        Value::Date(d) => d.to_string(),
        Value::Time(t) => trimmed_fraction(&t.to_text(9)).to_owned(),
        Value::DateTime(d) => trimmed_fraction(&d.to_text(' ', 9)).to_owned(),
        Value::Instant(d) => format!("{}Z", trimmed_fraction(&d.to_text(' ', 9))),
        Value::Uuid(u) => u.to_string(),
        other @ (Value::Null | Value::Bytes(_)) => {
            return Err(mismatch(&other, &LogicalType::Text { max_chars, fixed, long: false }));
        }
    };
    let counted = if fixed { text.trim_end_matches(' ') } else { &text };
    match max_chars {
        Some(max) if counted.len() as u64 > max && counted.chars().count() as u64 > max => {
            Err(refusal(ErrorKind::TooLong, format!("the text is longer than {max} characters")))
        }
        _ => Ok(Value::Text(text)),
    }
}

pub(crate) fn trimmed_fraction(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

fn to_bytes(value: Value, max_bytes: Option<u64>, fixed: bool) -> Result<Value, ConvertError> {
    let bytes = match value {
        Value::Bytes(b) => b,
        Value::Text(s) => s.into_bytes(),
        Value::Uuid(u) => u.as_bytes().to_vec(),
        other => {
            return Err(mismatch(&other, &LogicalType::Bytes { max_bytes, fixed, long: false }));
        }
    };
    match max_bytes {
        Some(max) if bytes.len() as u64 > max => {
            Err(refusal(ErrorKind::TooLong, format!("the value is longer than {max} bytes")))
        }
        Some(max) if fixed && (bytes.len() as u64) < max => Err(refusal(
            ErrorKind::Conversion,
            format!("the value is shorter than the column's {max} bytes and would be padded"),
        )),
        _ => Ok(Value::Bytes(bytes)),
    }
}

fn to_json(value: Value) -> Result<Value, ConvertError> {
    match value {
        Value::Json(_) => Ok(value),
        Value::Text(s) if crate::canonical::canonical_json(&s).is_some() => Ok(Value::Json(s)),
        Value::Text(_) => Err(refusal(ErrorKind::Conversion, "the text is not JSON")),
        other => Err(mismatch(&other, &LogicalType::Json)),
    }
}

fn to_uuid(value: &Value) -> Result<Value, ConvertError> {
    let uuid = match value {
        Value::Uuid(u) => Some(*u),
        Value::Text(s) => uuid::Uuid::try_parse(s).ok(),
        Value::Bytes(b) => uuid::Uuid::from_slice(b).ok(),
        _ => None,
    };
    uuid.map(Value::Uuid).ok_or_else(|| mismatch(value, &LogicalType::Uuid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::temporal::Time;
    use crate::value::tests::any_value;

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().expect("a decimal"))
    }

    fn kind(value: Value, target: &LogicalType) -> ErrorKind {
        convert(value, target).expect_err("refused").kind
    }

    #[test]
    fn what_a_person_types_is_read_as_the_type_says() {
        let money = LogicalType::Decimal { precision: 10, scale: 2 };
        assert_eq!(read(" 13.5 ", &money), Ok(decimal("13.50")));
        assert_eq!(
            read("18446744073709551615", &LogicalType::Int { bits: 64, unsigned: true }),
            Ok(Value::UInt(u64::MAX))
        );
        assert_eq!(
            read("2025-01-10", &LogicalType::Date),
            convert(
                read("2025-01-10 00:00:00", &LogicalType::DateTime { fraction: 0 }).expect("a time"),
                &LogicalType::Date
            )
        );
        let bytes = LogicalType::Bytes { max_bytes: None, fixed: false, long: false };
        assert_eq!(read("0x00ff", &bytes), Ok(Value::Bytes(vec![0, 255])));
        let text = LogicalType::Text { max_chars: Some(3), fixed: false, long: false };
        assert_eq!(read(" a ", &text), Ok(Value::Text(" a ".to_owned())));
        for (wrong, logical) in
            [("canary", &money), ("1.005", &money), ("2025-13-01", &LogicalType::Date), ("canary", &text)]
        {
            let reason = read(wrong, logical).expect_err("refused").reason;
            assert!(!reason.contains(wrong), "{reason}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_bent() {
        let money = LogicalType::Decimal { precision: 10, scale: 2 };
        assert_eq!(convert(decimal("1.5"), &money), Ok(decimal("1.50")));
        assert_eq!(kind(decimal("1.005"), &money), ErrorKind::Conversion);
        assert_eq!(kind(decimal("123456789.00"), &money), ErrorKind::OutOfRange);
        assert_eq!(kind(decimal("1e-30"), &money), ErrorKind::Conversion);
        let small = LogicalType::Int { bits: 8, unsigned: true };
        assert_eq!(kind(Value::Int(256), &small), ErrorKind::OutOfRange);
        assert_eq!(kind(Value::Int(-1), &small), ErrorKind::OutOfRange);
        let big = LogicalType::Int { bits: 64, unsigned: true };
        assert_eq!(convert(Value::UInt(u64::MAX), &big), Ok(Value::UInt(u64::MAX)));
        assert_eq!(
            kind(Value::UInt(u64::MAX), &LogicalType::Int { bits: 64, unsigned: false }),
            ErrorKind::OutOfRange
        );
        assert_eq!(
            kind(Value::Time(Time { nanos: 1_000 }), &LogicalType::Time { fraction: 3 }),
            ErrorKind::Conversion
        );
        assert_eq!(kind(Value::Float64(0.1), &LogicalType::Float32), ErrorKind::Conversion);
    }

    #[test]
    fn text_limits_count_characters_not_bytes() {
        let four = LogicalType::Text { max_chars: Some(4), fixed: false, long: false };
        assert!(convert(Value::Text("😀😀😀😀".to_owned()), &four).is_ok());
        assert_eq!(kind(Value::Text("abcde".to_owned()), &four), ErrorKind::TooLong);
        assert_eq!(kind(Value::Bytes(vec![1]), &four), ErrorKind::Conversion);
    }

    fn any_type() -> impl Strategy<Value = LogicalType> {
        prop_oneof![
            Just(LogicalType::Bool),
            (prop::sample::select(vec![8_u8, 16, 24, 32, 64]), any::<bool>())
                .prop_map(|(bits, unsigned)| LogicalType::Int { bits, unsigned }),
            (1..65_u16, 0..30_u16).prop_map(|(p, s)| LogicalType::Decimal { precision: p.max(s), scale: s }),
            Just(LogicalType::AnyDecimal),
            Just(LogicalType::Float32),
            Just(LogicalType::Float64),
            Just(LogicalType::Date),
            (0..=9_u8).prop_map(|fraction| LogicalType::DateTime { fraction }),
            Just(LogicalType::Json),
            Just(LogicalType::Uuid),
            (0..50_u64).prop_map(|n| LogicalType::Text { max_chars: Some(n), fixed: false, long: false }),
        ]
    }

    proptest! {
        #[test]
        fn converting_twice_is_converting_once(value in any_value(), target in any_type()) {
            if let Ok(once) = convert(value, &target) {
                prop_assert_eq!(convert(once.clone(), &target), Ok(once));
            }
        }
    }
}
