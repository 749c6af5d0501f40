//! Values: one variant per meaning, whatever the engine calls it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::decimal::Decimal;
use crate::temporal::{Date, DateTime, Time};

/// One cell. Equality is identity of meaning *and* variant; floats compare by their bits, so a NaN equals itself
/// and −0.0 differs from 0.0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Only for integers above `i64::MAX`; see [`Value::from_u64`].
    UInt(u64),
    Decimal(Decimal),
    Float32(#[serde(with = "bits32")] f32),
    Float64(#[serde(with = "bits64")] f64),
    Date(Date),
    Time(Time),
    /// Zone-less.
    DateTime(DateTime),
    /// A point in time, in UTC.
    Instant(DateTime),
    Text(String),
    Bytes(#[serde(with = "hex")] Vec<u8>),
    /// JSON as the engine printed it; equality of meaning is [`crate::canonical::canonical_json`].
    Json(String),
    Uuid(Uuid),
}

impl Value {
    /// The one form of an unsigned integer: `Int` where it fits, `UInt` above.
    #[must_use]
    pub fn from_u64(value: u64) -> Self {
        i64::try_from(value).map_or(Self::UInt(value), Self::Int)
    }

    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Bytes this value occupies in a batch, for back-pressure; an estimate.
    #[must_use]
    pub fn size(&self) -> usize {
        let heap = match self {
            Self::Text(s) | Self::Json(s) => s.len(),
            Self::Bytes(b) => b.len(),
            Self::Decimal(d) => d.as_str().len(),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::UInt(_)
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Date(_)
            | Self::Time(_)
            | Self::DateTime(_)
            | Self::Instant(_)
            | Self::Uuid(_) => 0,
        };
        size_of::<Self>() + heap
    }

    /// The name of the variant, for messages that must not show the value.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::UInt(_) => "integer",
            Self::Decimal(_) => "decimal",
            Self::Float32(_) | Self::Float64(_) => "float",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::DateTime(_) => "date-time",
            Self::Instant(_) => "instant",
            Self::Text(_) => "text",
            Self::Bytes(_) => "binary",
            Self::Json(_) => "json",
            Self::Uuid(_) => "uuid",
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::UInt(a), Self::UInt(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Float32(a), Self::Float32(b)) => a.to_bits() == b.to_bits(),
            (Self::Float64(a), Self::Float64(b)) => a.to_bits() == b.to_bits(),
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::DateTime(a), Self::DateTime(b)) | (Self::Instant(a), Self::Instant(b)) => a == b,
            (Self::Text(a), Self::Text(b)) | (Self::Json(a), Self::Json(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// Floats are stored by their bits: JSON numbers know neither NaN nor −0.0.
macro_rules! stored_as_bits {
    ($module:ident, $float:ty, $bits:ty) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
            pub(super) fn serialize<S: Serializer>(value: &$float, serializer: S) -> Result<S::Ok, S::Error> {
                value.to_bits().serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$float, D::Error> {
                <$bits>::deserialize(deserializer).map(<$float>::from_bits)
            }
        }
    };
}
stored_as_bits!(bits32, f32, u32);
stored_as_bits!(bits64, f64, u64);

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any value of any variant.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let date = (-9_999..=9_999_i32, 0..=12_u8, 0..=31_u8).prop_map(|(year, month, day)| Date {
            year,
            month,
            day,
        });
        let date_time =
            (date.clone(), 0..86_400_000_000_000_u64).prop_map(|(date, nanos)| DateTime { date, nanos });
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u64>().prop_map(Value::from_u64),
            any::<i64>().prop_map(Value::Int),
            "-?[0-9]{1,35}(\\.[0-9]{1,30})?".prop_map(|t| Value::Decimal(t.parse().expect("a decimal"))),
            any::<f32>().prop_map(Value::Float32),
            any::<f64>().prop_map(Value::Float64),
            date.prop_map(Value::Date),
            any::<i32>().prop_map(|n| Value::Time(Time { nanos: i64::from(n) * 1_000 })),
            date_time.clone().prop_map(Value::DateTime),
            date_time.prop_map(Value::Instant),
            ".{0,40}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            any::<u128>().prop_map(|n| Value::Uuid(Uuid::from_u128(n))),
        ]
    }

    proptest! {
        #[test]
        fn values_survive_the_ledger(value in any_value()) {
            let stored = serde_json::to_vec(&value).expect("serialises");
            let back: Value = serde_json::from_slice(&stored).expect("reads back");
            prop_assert_eq!(back, value);
        }
    }

    #[test]
    fn a_float_keeps_its_bits() {
        assert_eq!(Value::Float64(f64::NAN), Value::Float64(f64::NAN));
        assert_ne!(Value::Float64(0.0), Value::Float64(-0.0));
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let sample = vec![
            Value::Null,
            Value::Int(-1),
            Value::UInt(u64::MAX),
            Value::Decimal("1.50".parse().expect("a decimal")),
            Value::Text("é".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Float64(-0.0),
        ];
        let stored = r#"["Null",{"Int":-1},{"UInt":18446744073709551615},{"Decimal":"1.50"},{"Text":"é"},{"Bytes":"00ff"},{"Float64":9223372036854775808}]"#;
        assert_eq!(serde_json::to_string(&sample).expect("serialises"), stored);
        assert_eq!(serde_json::from_str::<Vec<Value>>(stored).expect("reads back"), sample);
    }
}
