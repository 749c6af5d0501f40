//! What a column can hold exactly, where the server would bend the value or where its refusal ends the transaction.

use model::convert::{ConvertError, refusal};
use model::{Column, Date, DateTime, ErrorKind, LogicalType, Value};

/// 24:00:00, which no time of day is.
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
/// The finest tick of any type.
const TICK_NANOS: u64 = 100;
const MILLI_NANOS: u64 = 1_000_000;

/// Whether `column` keeps exactly this value.
pub(super) fn admits(value: &Value, column: &Column) -> Result<(), ConvertError> {
    match value {
        Value::Float32(v) if !v.is_finite() => Err(no_number()),
        Value::Float64(v) if !v.is_finite() => Err(no_number()),
        Value::Date(date) => admits_date(*date, 1),
        Value::DateTime(moment) | Value::Instant(moment) => admits_moment(*moment, &column.native),
        Value::Time(time) if !(0..DAY_NANOS).contains(&time.nanos) => {
            Err(refusal(ErrorKind::OutOfRange, "the time is not within a day"))
        }
        Value::Text(text) => admits_text(text, column),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Decimal(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Time(_)
        | Value::Json(_)
        | Value::Bytes(_)
        | Value::Uuid(_) => Ok(()),
    }
}

fn no_number() -> ConvertError {
    refusal(ErrorKind::OutOfRange, "the server keeps no NaN or infinity")
}

fn admits_date(date: Date, year_min: i32) -> Result<(), ConvertError> {
    if !date.is_real() {
        return Err(refusal(ErrorKind::OutOfRange, "the calendar has no such day"));
    }
    if !(year_min..=9_999).contains(&date.year) {
        return Err(refusal(
            ErrorKind::OutOfRange,
            "the year is before the first or after the last of the type",
        ));
    }
    Ok(())
}

/// DATETIME ticks in three hundredths of a second from 1753 on, SMALLDATETIME in minutes from 1900 to June of 2079.
fn admits_moment(moment: DateTime, native: &str) -> Result<(), ConvertError> {
    let bent = || Err(refusal(ErrorKind::Conversion, "the type has no tick at this moment"));
    match native {
        "datetime" => {
            admits_date(moment.date, 1_753)?;
            let is_tick = moment.nanos.is_multiple_of(MILLI_NANOS)
                && matches!((moment.nanos / MILLI_NANOS) % 10, 0 | 3 | 7);
            if is_tick { Ok(()) } else { bent() }
        }
        "smalldatetime" => {
            admits_date(moment.date, 1_900)?;
            let last = Date { year: 2_079, month: 6, day: 6 };
            if moment.date > last {
                return Err(refusal(ErrorKind::OutOfRange, "the day is after the last of the type"));
            }
            if moment.nanos.is_multiple_of(60_000 * MILLI_NANOS) { Ok(()) } else { bent() }
        }
        _ => {
            admits_date(moment.date, 1)?;
            if moment.nanos.is_multiple_of(TICK_NANOS) { Ok(()) } else { bent() }
        }
    }
}

/// The server counts units of UTF-16, of which a character may take two; in a column of a code page it counts bytes, and
/// writes `?` for what the page lacks.
fn admits_text(text: &str, column: &Column) -> Result<(), ConvertError> {
    let word = column.native.split('(').next().unwrap_or_default();
    let collation = column.collation.as_deref().unwrap_or_default();
    let is_paged = matches!(word, "varchar" | "char" | "text");
    let is_utf8 = is_paged && collation.ends_with("_UTF8");
    if is_paged && !is_utf8 && !text.is_ascii() {
        let is_latin = collation.starts_with("Latin1_") || collation.starts_with("SQL_Latin1_");
        if !is_latin || !text.chars().all(is_in_windows_1252) {
            let reason = format!("the code page of {} may lack a character of the text", column.native);
            return Err(refusal(ErrorKind::Encoding, reason));
        }
    }
    let LogicalType::Text { max_chars: Some(max), .. } = column.logical else { return Ok(()) };
    // Fewer bytes than units there cannot be.
    let is_longer = text.len() as u64 > max && (is_utf8 || text.encode_utf16().count() as u64 > max);
    if is_longer {
        let unit = if is_utf8 { "bytes" } else { "units of UTF-16" };
        return Err(refusal(ErrorKind::TooLong, format!("the text is longer than {max} {unit}")));
    }
    Ok(())
}

/// What Windows-1252 has beside ASCII and the upper half of ISO 8859-1; see
/// <https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT>.
const WINDOWS_1252: &str = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";

fn is_in_windows_1252(c: char) -> bool {
    c.is_ascii() || matches!(c, '\u{a0}'..='\u{ff}') || WINDOWS_1252.contains(c)
}

#[cfg(test)]
mod tests {
    use model::Time;

    use super::*;

    fn kind(value: &Value, native: &str, logical: LogicalType) -> Option<ErrorKind> {
        let column = Column { native: native.to_owned(), ..Column::new("c", logical, true) };
        admits(value, &column).err().map(|e| e.kind)
    }

    #[test]
    fn what_the_server_would_bend_or_refuse_is_refused_before() {
        let at = |text: &str| Value::DateTime(DateTime::parse(text).expect("a moment"));
        let moment =
            |native: &str, text: &str| kind(&at(text), native, LogicalType::DateTime { fraction: 7 });
        assert_eq!(moment("datetime2(7)", "2024-02-29 01:02:03.1234567"), None);
        assert_eq!(moment("datetime2(7)", "2024-02-29 01:02:03.12345678"), Some(ErrorKind::Conversion));
        assert_eq!(moment("datetime2(7)", "2023-02-29 00:00:00"), Some(ErrorKind::OutOfRange));
        assert_eq!(moment("datetime2(7)", "0000-00-00 00:00:00"), Some(ErrorKind::OutOfRange));
        assert_eq!(moment("datetime", "2024-02-29 01:02:03.007"), None);
        assert_eq!(moment("datetime", "2024-02-29 01:02:03.008"), Some(ErrorKind::Conversion));
        assert_eq!(moment("datetime", "1752-12-31 00:00:00"), Some(ErrorKind::OutOfRange));
        assert_eq!(moment("smalldatetime", "2024-02-29 01:02:00"), None);
        assert_eq!(moment("smalldatetime", "2024-02-29 01:02:03"), Some(ErrorKind::Conversion));
        let time = |nanos| kind(&Value::Time(Time { nanos }), "time(7)", LogicalType::Time { fraction: 7 });
        assert_eq!(time(DAY_NANOS - 100), None);
        assert_eq!(time(DAY_NANOS), Some(ErrorKind::OutOfRange));
        let text = |text: &str| {
            let logical = LogicalType::Text { max_chars: Some(4), fixed: false, long: false };
            kind(&Value::Text(text.to_owned()), "nvarchar(4)", logical)
        };
        let paged = |text: &str, collation: &str| {
            let logical = LogicalType::Text { max_chars: Some(4), fixed: false, long: false };
            let mut column = Column::new("c", logical, true);
            (column.native, column.collation) = ("varchar(4)".to_owned(), Some(collation.to_owned()));
            admits(&Value::Text(text.to_owned()), &column).err().map(|e| e.kind)
        };
        assert_eq!(paged("caf\u{e9}", "SQL_Latin1_General_CP1_CI_AS"), None);
        assert_eq!(paged("\u{20ac}", "Latin1_General_CI_AS"), None);
        assert_eq!(paged("\u{65e5}", "Latin1_General_CI_AS"), Some(ErrorKind::Encoding));
        assert_eq!(paged("\u{e9}", "Cyrillic_General_CI_AS"), Some(ErrorKind::Encoding));
        assert_eq!(paged("\u{65e5}", "Latin1_General_100_CI_AS_SC_UTF8"), None);
        assert_eq!(paged("\u{65e5}\u{65e5}", "Latin1_General_100_CI_AS_SC_UTF8"), Some(ErrorKind::TooLong));
        assert_eq!(text("ééé\u{20ac}"), None);
        assert_eq!(text("😀😀"), None);
        assert_eq!(text("😀😀a"), Some(ErrorKind::TooLong));
    }
}
