//! Exact decimals as their digits: any precision, no rounding, no floating point on the way.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An exact decimal in fixed-point text: optional `-`, at least one integer digit without superfluous zeros,
/// and exactly as many fraction digits as its scale. Minus zero does not exist. Two decimals are equal when
/// their text is, so compare only decimals of one scale (see [`Decimal::rescale`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Decimal(String);

/// The text is not a decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct DecimalError;

/// An exponent beyond this is refused rather than expanded: no column holds so many digits.
const EXPONENT_MAX: i64 = 1_000;

impl Decimal {
    /// The fixed-point text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Fraction digits.
    #[must_use]
    pub fn scale(&self) -> usize {
        self.0.split_once('.').map_or(0, |(_, fraction)| fraction.len())
    }

    /// Significant digits: integer digits (0 for a lone zero) plus fraction digits.
    #[must_use]
    pub fn precision(&self) -> usize {
        let unsigned = self.0.trim_start_matches('-');
        let integer = unsigned.split('.').next().unwrap_or("");
        let integer_digits = if integer == "0" { 0 } else { integer.len() };
        integer_digits + self.scale()
    }

    /// Integer digits, 0 for a lone zero.
    #[must_use]
    pub fn integer_digits(&self) -> usize {
        self.precision() - self.scale()
    }

    /// The same number with exactly `scale` fraction digits, or `None` if a digit other than zero would go.
    #[must_use]
    pub fn rescale(&self, scale: usize) -> Option<Self> {
        let have = self.scale();
        if have == scale {
            return Some(self.clone());
        }
        if have < scale {
            let mut text = self.0.clone();
            if have == 0 {
                text.push('.');
            }
            text.extend(std::iter::repeat_n('0', scale - have));
            return Some(Self(text));
        }
        let cut = self.0.len() - (have - scale);
        if self.0[cut..].bytes().any(|b| b != b'0') {
            return None;
        }
        Some(normalised(self.0[..cut].trim_end_matches('.')))
    }

    /// The same number without trailing zeros in its fraction.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        if self.scale() == 0 {
            return self.clone();
        }
        normalised(self.0.trim_end_matches('0').trim_end_matches('.'))
    }

    /// The shortest decimal that reads back as this float; `None` for NaN and infinities.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        if value.is_finite() { format!("{value}").parse().ok() } else { None }
    }
}

fn normalised(text: &str) -> Decimal {
    let is_zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
    Decimal(if is_zero { text.trim_start_matches('-').to_owned() } else { text.to_owned() })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Decimal> for String {
    fn from(decimal: Decimal) -> String {
        decimal.0
    }
}

impl TryFrom<String> for Decimal {
    type Error = DecimalError;

    fn try_from(text: String) -> Result<Self, DecimalError> {
        text.parse()
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Takes `[+-]digits[.digits][e[+-]digits]`; keeps the written scale.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        if is_normal(text.as_bytes()) {
            return Ok(Self(text.to_owned()));
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i64>().map_err(|_| DecimalError)?),
            None => (text, 0),
        };
        let (sign, unsigned) = match mantissa.as_bytes().first() {
            Some(b'-') => ("-", &mantissa[1..]),
            Some(b'+') => ("", &mantissa[1..]),
            _ => ("", mantissa),
        };
        let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits_only = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (integer.is_empty() && fraction.is_empty())
            || !digits_only(integer)
            || !digits_only(fraction)
            || exponent.abs() > EXPONENT_MAX
        {
            return Err(DecimalError);
        }
        let (integer, fraction) = shifted(integer, fraction, exponent);
        let integer = integer.trim_start_matches('0');
        let integer = if integer.is_empty() { "0" } else { integer };
        Ok(normalised(&if fraction.is_empty() {
            format!("{sign}{integer}")
        } else {
            format!("{sign}{integer}.{fraction}")
        }))
    }
}

/// Whether the text is already the one form: most of what databases print is.
fn is_normal(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let integer = unsigned.iter().take_while(|b| b.is_ascii_digit()).count();
    let fraction_is_fine = match unsigned.get(integer) {
        None => true,
        Some(b'.') => unsigned.len() > integer + 1 && unsigned[integer + 1..].iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    let leads_well = integer == 1 || integer > 1 && unsigned[0] != b'0';
    let may_be_minus_zero = unsigned.len() < text.len() && unsigned.iter().all(|b| matches!(b, b'0' | b'.'));
    fraction_is_fine && leads_well && !may_be_minus_zero
}

/// Moves the point by `exponent` places.
fn shifted(integer: &str, fraction: &str, exponent: i64) -> (String, String) {
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
    if exponent >= 0 {
        let take = places.min(fraction.len());
        let mut whole = format!("{integer}{}", &fraction[..take]);
        whole.extend(std::iter::repeat_n('0', places - take));
        (whole, fraction[take..].to_owned())
    } else {
        let padded = format!("{}{integer}", "0".repeat(places.saturating_sub(integer.len())));
        let cut = padded.len() - places;
        (padded[..cut].to_owned(), format!("{}{fraction}", &padded[cut..]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn text_is_brought_to_one_form() {
        for (written, kept) in [
            ("007.50", "7.50"),
            ("-0.00", "0.00"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("1e-30", "0.000000000000000000000000000001"),
            ("-1.25E3", "-1250"),
            ("12.345e1", "123.45"),
            ("0", "0"),
        ] {
            assert_eq!(decimal(written).as_str(), kept, "{written}");
        }
        for bad in ["", ".", "-", "1.2.3", "1e", "0x10", "NaN", "1e99999", "１"] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rescaling_never_drops_a_digit() {
        assert_eq!(decimal("1.5").rescale(3), Some(decimal("1.500")));
        assert_eq!(decimal("1.500").rescale(1), Some(decimal("1.5")));
        assert_eq!(decimal("1.500").rescale(0), None);
        assert_eq!(decimal("-0.500").rescale(0), None);
        assert_eq!(decimal("10.000").rescale(0), Some(decimal("10")));
        assert_eq!(decimal("100").trimmed(), decimal("100"));
        assert_eq!(decimal("1.10").trimmed(), decimal("1.1"));
    }

    proptest! {
        #[test]
        fn floats_go_through_decimals_bit_for_bit(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let text = Decimal::from_f64(value).expect("finite").to_string();
            let back: f64 = text.parse().expect("a float");
            prop_assert!(back == value);
        }

        #[test]
        fn printing_and_reading_is_a_fixpoint(text in "-?[0-9]{1,40}(\\.[0-9]{1,30})?") {
            let once = decimal(&text);
            prop_assert_eq!(decimal(once.as_str()), once);
        }
    }
}
