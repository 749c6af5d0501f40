//! The order of keys in this engine: by kind of value, then by value; text by its characters or, under the
//! collation [`NOCASE`], by its lower-case form, so that keys which differ in case alone are one key.

use std::cmp::Ordering;

use model::{Column, Date, DateTime, Decimal, Key, Time, Value};
use uuid::Uuid;

/// The one collation this engine knows besides the exact one.
pub const NOCASE: &str = "nocase";

/// Where a value stands. Variants are declared in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Null,
    Bool(bool),
    Int(i128),
    Decimal(DecimalRank),
    Float(FloatRank),
    Date(Date),
    Time(Time),
    DateTime(DateTime),
    Instant(DateTime),
    Text(String),
    Bytes(Vec<u8>),
    Json(String),
    Uuid(Uuid),
}

impl Rank {
    pub(super) fn of(value: &Value, column: &Column) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(n) => Self::Int(i128::from(*n)),
            Value::UInt(n) => Self::Int(i128::from(*n)),
            Value::Decimal(d) => Self::Decimal(DecimalRank::of(d)),
            Value::Float32(v) => Self::Float(FloatRank(f64::from(*v))),
            Value::Float64(v) => Self::Float(FloatRank(*v)),
            Value::Date(d) => Self::Date(*d),
            Value::Time(t) => Self::Time(*t),
            Value::DateTime(d) => Self::DateTime(*d),
            Value::Instant(d) => Self::Instant(*d),
            Value::Text(s) if column.collation.as_deref() == Some(NOCASE) => Self::Text(s.to_lowercase()),
            Value::Text(s) => Self::Text(s.clone()),
            Value::Bytes(b) => Self::Bytes(b.clone()),
            Value::Json(s) => Self::Json(s.clone()),
            Value::Uuid(u) => Self::Uuid(*u),
        }
    }
}

/// Where a key stands, given its columns.
pub(super) fn position<'a>(key: &Key, columns: impl IntoIterator<Item = &'a Column>) -> Vec<Rank> {
    key.0.iter().zip(columns).map(|(value, column)| Rank::of(value, column)).collect()
}

/// A decimal by its size: 1.0 and 1.00 are one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DecimalRank {
    is_negative: bool,
    integer: String,
    /// Without trailing zeros, so that comparing texts compares numbers.
    fraction: String,
}

impl DecimalRank {
    fn of(decimal: &Decimal) -> Self {
        let trimmed = decimal.trimmed();
        let text = trimmed.as_str();
        let unsigned = text.trim_start_matches('-');
        let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        Self {
            is_negative: unsigned.len() < text.len(),
            integer: integer.to_owned(),
            fraction: fraction.to_owned(),
        }
    }

    fn magnitude(&self) -> (usize, &str, &str) {
        (self.integer.len(), &self.integer, &self.fraction)
    }
}

impl Ord for DecimalRank {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
        }
    }
}

impl PartialOrd for DecimalRank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A float in IEEE total order: −0.0 before 0.0, NaN at the ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct FloatRank(f64);

impl Ord for FloatRank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for FloatRank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FloatRank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for FloatRank {}

#[cfg(test)]
mod tests {
    use model::LogicalType;

    use super::*;

    fn text_column(collation: Option<&str>) -> Column {
        let mut column =
            Column::new("k", LogicalType::Text { max_chars: None, fixed: false, long: false }, false);
        column.collation = collation.map(ToOwned::to_owned);
        column
    }

    #[test]
    fn decimals_are_ordered_as_numbers() {
        let ascending =
            ["-100", "-10.5", "-9", "-0.01", "0", "0.001", "0.01", "0.1", "1", "9.99", "10", "1e30"];
        let column = Column::new("k", LogicalType::AnyDecimal, false);
        let ranks: Vec<Rank> = ascending
            .iter()
            .map(|text| Rank::of(&Value::Decimal(text.parse().expect("a decimal")), &column))
            .collect();
        assert!(ranks.is_sorted_by(|a, b| a < b));
        let same = |text: &str| Rank::of(&Value::Decimal(text.parse().expect("a decimal")), &column);
        assert_eq!(same("1.0"), same("1.00"));
    }

    #[test]
    fn nocase_makes_one_key_of_two_spellings() {
        let (upper, lower) = (Value::Text("ÉA".to_owned()), Value::Text("éa".to_owned()));
        let (exact, nocase) = (text_column(None), text_column(Some(NOCASE)));
        assert_ne!(Rank::of(&upper, &exact), Rank::of(&lower, &exact));
        assert_eq!(Rank::of(&upper, &nocase), Rank::of(&lower, &nocase));
    }
}
