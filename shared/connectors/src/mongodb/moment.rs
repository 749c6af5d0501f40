//! A BSON date is milliseconds since 1970 in UTC; ours is a day and the nanoseconds since its midnight.

use model::{Date, DateTime};

const DAY_MILLIS: i64 = 86_400_000;
pub(super) const MILLI_NANOS: u64 = 1_000_000;
/// The Julian day number of 1970-01-01, from which the `time` crate counts days.
const EPOCH_DAY: i64 = 2_440_588;

/// Milliseconds of a moment; what is finer is cut. `None` for a day that the calendar does not have.
pub(super) fn to_millis(moment: DateTime) -> Option<i64> {
    let Date { year, month, day } = moment.date;
    let month = time::Month::try_from(month).ok()?;
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    let days = i64::from(date.to_julian_day()) - EPOCH_DAY;
    Some(days * DAY_MILLIS + i64::try_from(moment.nanos / MILLI_NANOS).ok()?)
}

/// The moment of so many milliseconds; `None` beyond the years -9999 to 9999.
pub(super) fn from_millis(millis: i64) -> Option<DateTime> {
    let day = i32::try_from(millis.div_euclid(DAY_MILLIS) + EPOCH_DAY).ok()?;
    let date = time::Date::from_julian_day(day).ok()?;
    let (year, month, day) = date.to_calendar_date();
    let nanos = millis.rem_euclid(DAY_MILLIS).unsigned_abs() * MILLI_NANOS;
    Some(DateTime { date: Date { year, month: u8::from(month), day }, nanos })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        let at = |text| to_millis(DateTime::parse(text).expect("a moment"));
        assert_eq!(at("1970-01-01 00:00:00"), Some(0));
        assert_eq!(at("1969-12-31 23:59:59.999"), Some(-1));
        assert_eq!(at("2001-09-09 01:46:40"), Some(1_000_000_000_000));
        assert_eq!(at("9999-12-31 23:59:59.999"), Some(253_402_300_799_999));
        assert_eq!(at("2023-02-29 00:00:00"), None);
        assert_eq!(from_millis(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn millis_read_back(millis in -62_000_000_000_000..253_402_300_799_999_i64) {
            let moment = from_millis(millis).expect("within the years");
            prop_assert_eq!(to_millis(moment), Some(millis));
        }
    }
}
