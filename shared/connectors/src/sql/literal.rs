//! MySQL literals from typed values, for the text protocol.
//!
//! Safe because every connection is opened with `utf8mb4` and a fixed `sql_mode` without NO_BACKSLASH_ESCAPES
//! (asserted at connect), numbers and dates are printed from their parts, and binary goes as hexadecimal.

use std::fmt::Write as _;

use model::Value;

/// Appends the literal of `value`.
pub(crate) fn push(sql: &mut String, value: &Value) {
    match value {
        Value::Null => sql.push_str("NULL"),
        Value::Bool(b) => sql.push(if *b { '1' } else { '0' }),
        Value::Int(n) => sql.push_str(itoa::Buffer::new().format(*n)),
        Value::UInt(n) => sql.push_str(itoa::Buffer::new().format(*n)),
        Value::Decimal(d) => sql.push_str(d.as_str()),
        // Widened: a short text of a 32-bit float would be rounded twice on its way back.
        Value::Float32(v) => push_float(sql, f64::from(*v)),
        Value::Float64(v) => push_float(sql, *v),
        Value::Date(d) => quoted(sql, |sql| d.push_text(sql)),
        Value::Time(t) => quoted(sql, |sql| t.push_text(sql, fraction(t.nanos.unsigned_abs()))),
        Value::DateTime(d) | Value::Instant(d) => quoted(sql, |sql| d.push_text(sql, ' ', fraction(d.nanos))),
        Value::Text(s) | Value::Json(s) => push_text(sql, s),
        Value::Bytes(b) => {
            sql.push_str("x'");
            sql.push_str(&hex::encode(b));
            sql.push('\'');
        }
        Value::Uuid(u) => quoted(sql, |sql| sql.push_str(&u.to_string())),
    }
}

fn quoted(sql: &mut String, inner: impl FnOnce(&mut String)) {
    sql.push('\'');
    inner(sql);
    sql.push('\'');
}

/// With an exponent, which makes it a double and no decimal; the shortest text that reads back as these bits.
fn push_float(sql: &mut String, value: f64) {
    // Writing to a String cannot fail.
    let _ = write!(sql, "{value:e}");
}

/// No more digits than needed: a microsecond column warns about nine.
const fn fraction(nanos: u64) -> u8 {
    if nanos.is_multiple_of(1_000_000_000) {
        0
    } else if nanos.is_multiple_of(1_000) {
        6
    } else {
        9
    }
}

fn push_text(sql: &mut String, text: &str) {
    sql.push('\'');
    let mut rest = text;
    while let Some(at) = rest.find(['\0', '\'', '"', '\\', '\n', '\r', '\u{1a}']) {
        sql.push_str(&rest[..at]);
        sql.push_str(match rest.as_bytes()[at] {
            0 => "\\0",
            b'\'' => "\\'",
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            _ => "\\Z",
        });
        rest = &rest[at + 1..];
    }
    sql.push_str(rest);
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(value: &Value) -> String {
        let mut sql = String::new();
        push(&mut sql, value);
        sql
    }

    #[test]
    fn text_cannot_leave_its_quotes() {
        assert_eq!(literal(&Value::Text("a'b\\\"\n\0\u{1a}é😀".to_owned())), "'a\\'b\\\\\\\"\\n\\0\\Zé😀'");
        assert_eq!(literal(&Value::Text("\\".to_owned())), "'\\\\'");
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(literal(&Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(literal(&Value::Float64(5e-324)), "5e-324");
        assert_eq!(literal(&Value::Float64(-0.0)), "-0e0");
        assert_eq!(literal(&Value::Bytes(vec![0, 255])), "x'00ff'");
        assert_eq!(literal(&Value::Bytes(vec![])), "x''");
    }
}
