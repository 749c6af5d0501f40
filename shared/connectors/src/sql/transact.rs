//! Transact-SQL literals from typed values.
//!
//! Safe because a string in single quotes ends at the next single quote that is not doubled, whatever the session's
//! settings, and every quote is doubled here; numbers and dates are printed from their parts, and binary goes as
//! hexadecimal. Dates are read the same in every language in the forms used here.

use std::fmt::Write as _;

use model::Value;

/// Appends the literal of `value`.
pub(crate) fn push(sql: &mut String, value: &Value) {
    match value {
        Value::Null => sql.push_str("NULL"),
        Value::Bool(b) => sql.push(if *b { '1' } else { '0' }),
        Value::Int(n) => push_int(sql, *n),
        Value::UInt(n) => sql.push_str(itoa::Buffer::new().format(*n)),
        Value::Decimal(d) => sql.push_str(d.as_str()),
        // Widened: a short text of a 32-bit float would be rounded twice on its way back.
        Value::Float32(v) => push_float(sql, f64::from(*v)),
        Value::Float64(v) => push_float(sql, *v),
        Value::Date(d) => quoted(sql, |sql| d.push_text(sql)),
        Value::Time(t) => quoted(sql, |sql| t.push_text(sql, fraction(t.nanos.unsigned_abs()))),
        Value::DateTime(d) => quoted(sql, |sql| d.push_text(sql, 'T', fraction(d.nanos))),
        Value::Instant(d) => quoted(sql, |sql| {
            d.push_text(sql, 'T', fraction(d.nanos));
            sql.push_str("+00:00");
        }),
        Value::Text(s) | Value::Json(s) => push_text(sql, s),
        Value::Bytes(b) => {
            sql.push_str("0x");
            sql.push_str(&hex::encode(b));
        }
        Value::Uuid(u) => quoted(sql, |sql| sql.push_str(&u.to_string())),
    }
}

fn quoted(sql: &mut String, inner: impl FnOnce(&mut String)) {
    sql.push('\'');
    inner(sql);
    sql.push('\'');
}

/// A number too long for an `int` would be a decimal, and an index over integers would not be used for it.
fn push_int(sql: &mut String, n: i64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n);
    if i32::try_from(n).is_ok() {
        sql.push_str(digits);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(sql, "CAST({digits} AS bigint)");
    }
}

/// With an exponent, which makes it a float and no decimal. Zero loses its sign in a literal, but not as a product.
fn push_float(sql: &mut String, value: f64) {
    if value == 0.0 && value.is_sign_negative() {
        sql.push_str("(0e0 * -1e0)");
    } else {
        let _ = write!(sql, "{value:e}");
    }
}

/// No more digits than needed: `datetime` reads three, and nothing reads more than seven.
const fn fraction(nanos: u64) -> u8 {
    if nanos.is_multiple_of(1_000_000_000) {
        0
    } else if nanos.is_multiple_of(1_000_000) {
        3
    } else if nanos.is_multiple_of(100) {
        7
    } else {
        9
    }
}

/// ASCII goes as `varchar`, which finds its way in an index over either kind of text; anything else as `nvarchar`.
///
/// A backslash before a line break would join the lines, so the two are kept apart; a NUL, which would end the statement,
/// goes with its text as the UTF-16 that the server keeps, and so does what would be of too many parts.
fn push_text(sql: &mut String, text: &str) {
    let lead = if text.is_ascii() { "" } else { "N" };
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices("\\\n").chain(text.match_indices("\\\r")) {
        parts.push(at + 1);
    }
    if text.contains('\0') || parts.len() > JOINED_MAX {
        push_utf16(sql, text);
        return;
    }
    if parts.is_empty() {
        push_part(sql, lead, text);
        return;
    }
    parts.sort_unstable();
    sql.push_str("(CAST('' AS nvarchar(max))");
    for end in parts.into_iter().chain([text.len()]) {
        sql.push_str(" + ");
        push_part(sql, lead, &text[start..end]);
        start = end;
    }
    sql.push(')');
}

/// Parts of one text: the server's expressions have a limit.
const JOINED_MAX: usize = 20;

fn push_utf16(sql: &mut String, text: &str) {
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    sql.push_str("CAST(0x");
    sql.push_str(&hex::encode(bytes));
    sql.push_str(" AS nvarchar(max))");
}

fn push_part(sql: &mut String, lead: &str, text: &str) {
    sql.push_str(lead);
    sql.push('\'');
    sql.push_str(&text.replace('\'', "''"));
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use model::{DateTime, Time};

    use super::*;

    fn literal(value: &Value) -> String {
        let mut sql = String::new();
        push(&mut sql, value);
        sql
    }

    #[test]
    fn text_cannot_leave_its_quotes() {
        let text = |text: &str| literal(&Value::Text(text.to_owned()));
        assert_eq!(text("a'b\"\n]\\x"), "'a''b\"\n]\\x'");
        assert_eq!(text("é'😀"), "N'é''😀'");
        assert_eq!(text("a\\\nb"), "(CAST('' AS nvarchar(max)) + 'a\\' + '\nb')");
        assert_eq!(text("a\0'"), "CAST(0x610000002700 AS nvarchar(max))");
        assert!(text(&"\\\n".repeat(21)).starts_with("CAST(0x5c000a00"));
    }

    #[test]
    fn numbers_and_moments_keep_every_digit() {
        assert_eq!(literal(&Value::Int(-7)), "-7");
        assert_eq!(literal(&Value::Int(i64::MIN)), "CAST(-9223372036854775808 AS bigint)");
        assert_eq!(literal(&Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(literal(&Value::Float64(5e-324)), "5e-324");
        assert_eq!(literal(&Value::Float64(-0.0)), "(0e0 * -1e0)");
        assert_eq!(literal(&Value::Bytes(vec![0, 255])), "0x00ff");
        assert_eq!(literal(&Value::Bytes(vec![])), "0x");
        let moment = |text: &str| DateTime::parse(text).expect("a moment");
        assert_eq!(literal(&Value::DateTime(moment("2024-02-29 12:34:56.789"))), "'2024-02-29T12:34:56.789'");
        assert_eq!(
            literal(&Value::Instant(moment("2024-02-29 12:34:56.1234567"))),
            "'2024-02-29T12:34:56.1234567+00:00'"
        );
        assert_eq!(literal(&Value::Time(Time::parse("23:59:59").expect("a time"))), "'23:59:59'");
    }
}
