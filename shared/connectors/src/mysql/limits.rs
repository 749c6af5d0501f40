//! What a column can hold exactly, where the server would bend the value instead of refusing it.

use model::convert::{ConvertError, refusal};
use model::{Column, ErrorKind, Value};

use super::mapping::members;
use super::session::Server;

/// TIME's bound in whole seconds: 838:59:59.
const TIME_SECONDS_MAX: u64 = 838 * 3_600 + 59 * 60 + 59;
/// Levels of a JSON document.
const MARIADB_JSON_DEPTH_MAX: usize = 31;
const MYSQL_JSON_DEPTH_MAX: usize = 100;

/// Whether `column` keeps exactly this value, as far as the server would not say so itself. `server` is `None` before
/// the first connection; then the stricter product's rule holds.
pub(super) fn admits(value: &Value, column: &Column, server: Option<&Server>) -> Result<(), ConvertError> {
    match value {
        Value::Float32(v) => admits_float(f64::from(*v), server),
        Value::Float64(v) => admits_float(*v, server),
        Value::Time(time) => {
            let nanos = time.nanos.unsigned_abs();
            // MariaDB keeps a fraction beyond the last second, MySQL does not.
            let fraction = if server.is_some_and(|s| !s.mariadb) { 1 } else { 1_000_000_000 };
            if nanos < TIME_SECONDS_MAX * 1_000_000_000 + fraction {
                Ok(())
            } else {
                Err(refusal(ErrorKind::OutOfRange, "the time is beyond 838:59:59"))
            }
        }
        // The server takes 1 to 99 for short years.
        Value::Int(n) if column.native.starts_with("year") && *n != 0 && !(1_901..=2_155).contains(n) => {
            Err(refusal(ErrorKind::OutOfRange, "the year is not 0 or within 1901 and 2155"))
        }
        Value::Text(text) if column.native.starts_with("enum(") => {
            if members(&column.native).any(|m| m == *text) {
                Ok(())
            } else {
                Err(refusal(ErrorKind::Conversion, "the text is not a member of the ENUM"))
            }
        }
        Value::Text(text) if column.native.starts_with("set(") => admits_set(text, &column.native),
        Value::Json(text) => admits_json(text, server.is_none_or(|s| s.mariadb)),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::DateTime(_)
        | Value::Instant(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Uuid(_) => Ok(()),
    }
}

fn admits_float(value: f64, server: Option<&Server>) -> Result<(), ConvertError> {
    if !value.is_finite() {
        return Err(refusal(ErrorKind::OutOfRange, "the server keeps no NaN or infinity"));
    }
    // Measured: MariaDB 10.11 stores 0, MySQL 9.7 keeps the sign.
    if value == 0.0 && value.is_sign_negative() && server.is_none_or(|s| s.mariadb) {
        return Err(refusal(ErrorKind::Conversion, "MariaDB keeps no sign on a zero"));
    }
    Ok(())
}

/// A SET is stored in the order of its definition, each member once.
fn admits_set(text: &str, native: &str) -> Result<(), ConvertError> {
    let mut definition = members(native);
    let in_order = text.is_empty() || text.split(',').all(|part| definition.any(|member| member == part));
    if in_order {
        Ok(())
    } else {
        Err(refusal(ErrorKind::Conversion, "the text is not a list of the SET's members in its order"))
    }
}

/// MySQL keeps an integer beyond 64 bits as a double; both limit nesting.
fn admits_json(text: &str, mariadb: bool) -> Result<(), ConvertError> {
    let (depth_max, bends) =
        if mariadb { (MARIADB_JSON_DEPTH_MAX, false) } else { (MYSQL_JSON_DEPTH_MAX, true) };
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '"' => after_string(rest),
            '-' | '0'..='9' => {
                let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'));
                let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
                if bends && !is_kept(number) {
                    let reason = "the document has an integer beyond 64 bits, or a number beyond a double";
                    return Err(refusal(ErrorKind::OutOfRange, reason));
                }
                after
            }
            _ => {
                match c {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                deepest = deepest.max(depth);
                &rest[c.len_utf8()..]
            }
        };
    }
    if deepest > depth_max {
        return Err(refusal(ErrorKind::TooLong, format!("the document has more than {depth_max} levels")));
    }
    Ok(())
}

/// What follows the string that `text` begins with.
fn after_string(text: &str) -> &str {
    let mut escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

fn is_kept(number: &str) -> bool {
    if number.contains(['.', 'e', 'E']) {
        return number.parse().is_ok_and(f64::is_finite);
    }
    number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use model::{LogicalType, Time};

    use super::*;

    fn text(max_chars: Option<u64>) -> LogicalType {
        LogicalType::Text { max_chars, fixed: false, long: false }
    }

    fn column(logical: LogicalType, native: &str) -> Column {
        Column { native: native.to_owned(), ..Column::new("c", logical, true) }
    }

    #[test]
    fn what_the_server_would_bend_is_refused_before() {
        let server = |mariadb| Server {
            mariadb,
            version: String::new(),
            database: None,
            packet_max: 1,
            folds_names: false,
        };
        let (maria, mysql) = (server(true), server(false));
        let admits = |value: Value, native: &str, server: &Server| {
            admits(&value, &column(text(None), native), Some(server)).map_err(|e| e.kind)
        };
        assert_eq!(admits(Value::Float64(f64::NAN), "double", &mysql), Err(ErrorKind::OutOfRange));
        assert_eq!(admits(Value::Float64(-0.0), "double", &maria), Err(ErrorKind::Conversion));
        assert_eq!(admits(Value::Float64(-0.0), "double", &mysql), Ok(()));
        let last = Value::Time(Time { nanos: 3_020_399_999_999_000 });
        assert_eq!(admits(last.clone(), "time(6)", &maria), Ok(()));
        assert_eq!(admits(last, "time(6)", &mysql), Err(ErrorKind::OutOfRange));
        assert_eq!(
            admits(Value::Time(Time { nanos: 3_020_400_000_000_000 }), "time", &maria),
            Err(ErrorKind::OutOfRange)
        );
        assert_eq!(admits(Value::Int(70), "year", &mysql), Err(ErrorKind::OutOfRange));
        let text = |t: &str| Value::Text(t.to_owned());
        assert_eq!(admits(text("2"), "enum('a','b')", &mysql), Err(ErrorKind::Conversion));
        assert_eq!(admits(text("A"), "enum('a','b')", &mysql), Err(ErrorKind::Conversion));
        assert_eq!(admits(text("b"), "enum('a','b')", &mysql), Ok(()));
        assert_eq!(admits(text("a,c"), "set('a','b','c')", &mysql), Ok(()));
        assert_eq!(admits(text("c,a"), "set('a','b','c')", &mysql), Err(ErrorKind::Conversion));
    }

    #[test]
    fn documents_the_server_would_bend_are_refused() {
        for kept in [
            "18446744073709551615",
            "-9223372036854775808",
            "[1e300, 1.5, -0]",
            "\"18446744073709551616\"",
            "{\"a\\\"[[\\\\\": [1, 2]}",
            "\"\"",
            "",
        ] {
            assert_eq!(admits_json(kept, false), Ok(()), "{kept}");
        }
        for bent in
            ["1e400", "18446744073709551616", "[1, -9223372036854775809]", "{\"a\":99999999999999999999}"]
        {
            assert!(admits_json(bent, false).is_err(), "{bent}");
            assert_eq!(admits_json(bent, true), Ok(()), "MariaDB keeps the text: {bent}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(admits_json(&nested(31), true).is_ok() && admits_json(&nested(32), true).is_err());
        assert!(admits_json(&nested(100), false).is_ok() && admits_json(&nested(101), false).is_err());
    }
}
