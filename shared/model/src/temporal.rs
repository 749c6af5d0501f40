//! Dates and times as databases hold them, not as calendars allow them: zero dates, days past midnight and
//! nanoseconds are values here, and what a target cannot hold is found at conversion, never bent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds in one second.
pub const NANOS: u64 = 1_000_000_000;

/// The text is not a date or time of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected}")]
pub struct TemporalError {
    pub expected: &'static str,
}

/// A date as written. Month and day may be 0 (MySQL's zero and partial dates) and are not checked against the
/// calendar here; [`Date::is_real`] does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Date {
    pub year: i32,
    pub month: u8,
    pub day: u8,
}

impl Date {
    /// Whether the Gregorian calendar has this day.
    #[must_use]
    pub fn is_real(&self) -> bool {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return false,
        };
        (1..=days).contains(&self.day)
    }

    /// Reads `YYYY-MM-DD`, with a year of four to six digits and an optional `-` before it.
    ///
    /// # Errors
    /// The text has another form, or month or day pass 12 or 31.
    pub fn parse(text: &str) -> Result<Self, TemporalError> {
        let error = TemporalError { expected: "date" };
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let mut parts = unsigned.split('-');
        let (Some(y), Some(m), Some(d), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error);
        };
        if !(4..=6).contains(&y.len()) || m.len() != 2 || d.len() != 2 {
            return Err(error);
        }
        let (Some(year), Some(month), Some(day)) = (digits(y), digits(m), digits(d)) else {
            return Err(error);
        };
        let (Ok(year), Ok(month), Ok(day)) = (i32::try_from(year), u8::try_from(month), u8::try_from(day))
        else {
            return Err(error);
        };
        if month > 12 || day > 31 {
            return Err(error);
        }
        Ok(Self { year: sign * year, month, day })
    }
}

impl Date {
    /// Appends the canonical text. Rows are digested and written by this, hence no formatter.
    pub fn push_text(self, out: &mut String) {
        if self.year < 0 {
            out.push('-');
        }
        push_padded(out, u64::from(self.year.unsigned_abs()), 4);
        out.push('-');
        push_padded(out, u64::from(self.month), 2);
        out.push('-');
        push_padded(out, u64::from(self.day), 2);
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(10);
        self.push_text(&mut text);
        f.write_str(&text)
    }
}

/// A span or time of day in nanoseconds; may be negative and may pass 24 hours (MySQL's TIME).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time {
    pub nanos: i64,
}

impl Time {
    /// Reads `[-]H..:MM:SS[.f]`, up to nine fraction digits.
    ///
    /// # Errors
    /// The text has another form, minutes or seconds pass 59, or hours pass 2,000,000.
    pub fn parse(text: &str) -> Result<Self, TemporalError> {
        let error = TemporalError { expected: "time" };
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let nanos = clock_nanos(unsigned, 2_000_000).ok_or_else(|| error.clone())?;
        Ok(Self { nanos: sign * i64::try_from(nanos).map_err(|_| error)? })
    }

    /// The canonical text with exactly `fraction_digits` digits (0 to 9) after the point.
    #[must_use]
    pub fn to_text(self, fraction_digits: u8) -> String {
        let mut text = String::with_capacity(20);
        self.push_text(&mut text, fraction_digits);
        text
    }

    /// As [`Time::to_text`], appended.
    pub fn push_text(self, out: &mut String, fraction_digits: u8) {
        if self.nanos < 0 {
            out.push('-');
        }
        push_clock(out, self.nanos.unsigned_abs(), fraction_digits);
    }

    /// Whether nothing is lost when only `fraction_digits` digits are kept.
    #[must_use]
    pub fn fits(self, fraction_digits: u8) -> bool {
        self.nanos.unsigned_abs().is_multiple_of(unit(fraction_digits))
    }
}

/// A date with a time of day, in nanoseconds since midnight. Whether it is zone-less or an instant in UTC is
/// said by the variant that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DateTime {
    pub date: Date,
    pub nanos: u64,
}

impl DateTime {
    /// The moment so many microseconds after the beginning of 1970, in UTC. (Days to dates as in Howard Hinnant's
    /// "chrono-Compatible Low-Level Date Algorithms".)
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Self {
        let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
        // Counted from the first of March of a year that 400 divides, a leap day ends its year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let small = |n: i64| u8::try_from(n).unwrap_or_default();
        let date =
            Date { year: i32::try_from(year).unwrap_or(i32::MAX), month: small(month), day: small(day) };
        Self { date, nanos: rest.unsigned_abs() * 1_000 }
    }

    /// Microseconds since the beginning of 1970; `None` for what is no day of the calendar, or too far away.
    #[must_use]
    pub fn unix_micros(self) -> Option<i64> {
        if !self.date.is_real() {
            return None;
        }
        let (month, day) = (i64::from(self.date.month), i64::from(self.date.day));
        // As above: years begin in March.
        let year = i64::from(self.date.year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days =
            era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
        days.checked_mul(86_400_000_000)?.checked_add(i64::try_from(self.nanos / 1_000).ok()?)
    }

    /// Reads `DATE`, `DATE TIME` or `DATE'T'TIME`; the time may lack its seconds and may end in `Z`.
    ///
    /// # Errors
    /// The text has another form, or the time is not within a day.
    pub fn parse(text: &str) -> Result<Self, TemporalError> {
        let error = TemporalError { expected: "date and time" };
        let (date, clock) = match text.find([' ', 'T']) {
            Some(at) => (&text[..at], text[at + 1..].trim_end_matches('Z')),
            None => (text, "00:00:00"),
        };
        let date = Date::parse(date).map_err(|_| error.clone())?;
        let nanos = clock_nanos(clock, 24).filter(|n| *n < 86_400 * NANOS).ok_or(error)?;
        Ok(Self { date, nanos })
    }

    /// The canonical text, date and time joined by `separator`, with exactly `fraction_digits` digits.
    #[must_use]
    pub fn to_text(self, separator: char, fraction_digits: u8) -> String {
        let mut text = String::with_capacity(30);
        self.push_text(&mut text, separator, fraction_digits);
        text
    }

    /// As [`DateTime::to_text`], appended.
    pub fn push_text(self, out: &mut String, separator: char, fraction_digits: u8) {
        self.date.push_text(out);
        out.push(separator);
        push_clock(out, self.nanos, fraction_digits);
    }

    /// Whether nothing is lost when only `fraction_digits` digits are kept.
    #[must_use]
    pub fn fits(self, fraction_digits: u8) -> bool {
        self.nanos.is_multiple_of(unit(fraction_digits))
    }
}

fn unit(fraction_digits: u8) -> u64 {
    10_u64.pow(9 - u32::from(fraction_digits.min(9)))
}

fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

fn clock_nanos(text: &str, hours_max: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let hours = digits(parts.next()?)?;
    let minutes = digits(parts.next()?)?;
    let seconds = parts.next().map_or(Some(0), digits)?;
    if parts.next().is_some() || hours > hours_max || minutes > 59 || seconds > 59 || fraction.len() > 9 {
        return None;
    }
    let fraction_nanos = if fraction.is_empty() {
        0
    } else {
        digits(fraction)? * 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?)
    };
    Some((hours * 3_600 + minutes * 60 + seconds) * NANOS + fraction_nanos)
}

fn push_clock(out: &mut String, nanos: u64, fraction_digits: u8) {
    let seconds = nanos / NANOS;
    push_padded(out, seconds / 3_600, 2);
    out.push(':');
    push_padded(out, seconds / 60 % 60, 2);
    out.push(':');
    push_padded(out, seconds % 60, 2);
    if fraction_digits > 0 {
        out.push('.');
        push_padded(out, nanos % NANOS / unit(fraction_digits), usize::from(fraction_digits.min(9)));
    }
}

/// Appends `n` with zeros before it, at least `width` digits.
fn push_padded(out: &mut String, n: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(n);
    for _ in digits.len()..width {
        out.push('0');
    }
    out.push_str(digits);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_dates_are_values() {
        for text in ["0000-00-00", "2024-00-15", "9999-12-31", "0001-01-01", "-0044-03-15"] {
            assert_eq!(Date::parse(text).map(|d| d.to_string()), Ok(text.to_owned()));
        }
        assert!(!Date::parse("2023-02-29").expect("well formed").is_real());
        assert!(Date::parse("2024-02-29").expect("well formed").is_real());
        for bad in ["2024-13-01", "2024-1-1", "20240101", "2024-01-01-", "", "２024-01-01"] {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_pass_a_day_and_go_below_zero() {
        let time = Time::parse("-838:59:59.999999").expect("a time");
        assert_eq!(time.to_text(6), "-838:59:59.999999");
        assert!(time.fits(6) && !time.fits(3));
        assert!(Time::parse("00:60:00").is_err());
    }

    #[test]
    fn date_times_take_both_separators_and_a_bare_date() {
        let noon = DateTime::parse("2024-02-29 12:00:00.5").expect("a date-time");
        assert_eq!(DateTime::parse("2024-02-29T12:00:00.500Z"), Ok(noon));
        assert_eq!(noon.to_text('T', 3), "2024-02-29T12:00:00.500");
        assert_eq!(DateTime::parse("2024-02-29").map(|d| d.nanos), Ok(0));
        assert!(DateTime::parse("2024-02-29 24:00:00").is_err());
    }

    #[test]
    fn moments_are_days_of_the_calendar_and_back() {
        let day = |micros| DateTime::from_unix_micros(micros).to_text('T', 6);
        assert_eq!(day(0), "1970-01-01T00:00:00.000000");
        assert_eq!(day(-1), "1969-12-31T23:59:59.999999");
        assert_eq!(day(951_782_400_000_000), "2000-02-29T00:00:00.000000");
        assert_eq!(day(4_107_542_399_999_999), "2100-02-28T23:59:59.999999");
        for n in -100_000..100_000_i64 {
            let micros = n * 345_599_000_007;
            let moment = DateTime::from_unix_micros(micros);
            assert!(moment.date.is_real(), "{micros}");
            assert_eq!(moment.unix_micros(), Some(micros));
        }
        let zero = DateTime { date: Date { year: 2000, month: 0, day: 1 }, nanos: 0 };
        assert_eq!(zero.unix_micros(), None);
    }

    proptest! {
        #[test]
        fn times_read_back(nanos in -3_020_399_999_999_999_i64..=3_020_399_999_999_999) {
            let time = Time { nanos };
            prop_assert_eq!(Time::parse(&time.to_text(9)), Ok(time));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = (Date::parse(&text), Time::parse(&text), DateTime::parse(&text));
        }
    }
}
