//! Days and times as the protocol counts them.

use model::{Date, DateTime};

/// Days from 1 January of the year 0 to that of the year 1.
const YEAR_0_DAYS: i64 = 366;
/// Days from 1 January of the year 1 to that of the year 1900.
const DAYS_TO_1900: i64 = 693_595;

const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
const MINUTE_NANOS: i64 = 60 * 1_000_000_000;

/// The day that comes so many days after 1 January of the year 1, in the Gregorian calendar of all times; by Howard
/// Hinnant's algorithm, <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
pub(super) fn date(days: i64) -> Date {
    // Counted from 1 March of the year 0, so that a leap day ends its year.
    let day = days + YEAR_0_DAYS - 60;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |n: i64| u8::try_from(n).unwrap_or_default();
    Date {
        year: i32::try_from(year).unwrap_or_default(),
        month: small(month),
        day: small(day_of_year - (153 * shifted + 2) / 5 + 1),
    }
}

/// Days from 1 January of the year 1, of a day that the calendar has; the inverse of [`date`].
pub(super) fn days(date: Date) -> u32 {
    let shifted_year = i64::from(date.year) - i64::from(date.month <= 2);
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let month = i64::from(if date.month > 2 { date.month - 3 } else { date.month + 9 });
    let day_of_year = (153 * month + 2) / 5 + i64::from(date.day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    u32::try_from(era * 146_097 + day_of_era + 60 - YEAR_0_DAYS).unwrap_or_default()
}

/// Days from the year 1 and nanoseconds of the day, less an offset in minutes that they were told with.
pub(super) fn moment(days: i64, nanos: i64, offset_minutes: i64) -> DateTime {
    let nanos = nanos - offset_minutes * MINUTE_NANOS;
    let nanos_of_day = nanos.rem_euclid(DAY_NANOS);
    DateTime {
        date: date(days + nanos.div_euclid(DAY_NANOS)),
        nanos: u64::try_from(nanos_of_day).unwrap_or_default(),
    }
}

/// What `datetime` holds: days from 1900 and three hundredths of a second, which the server tells in milliseconds.
pub(super) fn of_datetime(days: i32, fragments: u32) -> DateTime {
    let millis = (i64::from(fragments) * 10 + 1) / 3;
    moment(i64::from(days) + DAYS_TO_1900, millis * 1_000_000, 0)
}

/// What `smalldatetime` holds: days from 1900 and minutes.
pub(super) fn of_smalldatetime(days: u16, minutes: u16) -> DateTime {
    moment(i64::from(days) + DAYS_TO_1900, i64::from(minutes) * MINUTE_NANOS, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_server_counts_them() {
        for (days, text) in [
            (0, "0001-01-01"),
            (58, "0001-02-28"),
            (59, "0001-03-01"),
            (DAYS_TO_1900, "1900-01-01"),
            (719_162, "1970-01-01"),
            (738_944, "2024-02-29"),
            (3_652_058, "9999-12-31"),
        ] {
            assert_eq!(date(days), Date::parse(text).expect("a date"), "{days}");
        }
    }

    #[test]
    fn every_day_has_one_after_it() {
        let mut before = date(0);
        for days in 1..=3_652_058 {
            let day = date(days);
            assert!(day > before && day.is_real(), "{days}: {day:?}");
            assert_eq!(i64::from(super::days(day)), days);
            before = day;
        }
        assert_eq!(before, Date { year: 9999, month: 12, day: 31 });
    }

    #[test]
    fn a_datetime_ticks_in_three_hundredths() {
        let text = |fragments| of_datetime(0, fragments).to_text(' ', 3);
        let of = |fragments| text(fragments)["1900-01-01 ".len()..].to_owned();
        assert_eq!(of(0), "00:00:00.000");
        assert_eq!(of(1), "00:00:00.003");
        assert_eq!(of(2), "00:00:00.007");
        assert_eq!(of(3), "00:00:00.010");
        assert_eq!(of(25_919_999), "23:59:59.997");
        assert_eq!(of_datetime(-53_690, 0).to_text(' ', 0), "1753-01-01 00:00:00");
    }

    #[test]
    fn an_offset_may_change_the_day() {
        let told = moment(738_944, 3_600 * 1_000_000_000, 120);
        assert_eq!(told.to_text('T', 0), "2024-02-28T23:00:00");
    }
}
