//! Cells as people read them: for `diff --values` and for keys, which a person must see to find a row.

use crate::convert::trimmed_fraction;
use crate::key::Key;
use crate::value::Value;

/// Longer values are cut.
const CHARS_MAX: usize = 60;

/// A key: its value, or its values between parentheses.
#[must_use]
pub fn key(key: &Key) -> String {
    match key.0.as_slice() {
        [] => "–".to_owned(),
        [only] => value(only),
        several => format!("({})", several.iter().map(value).collect::<Vec<_>>().join(", ")),
    }
}

/// A value on one line, cut if it is long.
#[must_use]
pub fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Decimal(d) => d.to_string(),
        Value::Float32(v) => v.to_string(),
        Value::Float64(v) => v.to_string(),
        Value::Date(d) => d.to_string(),
        Value::Time(t) => trimmed_fraction(&t.to_text(9)).to_owned(),
        Value::DateTime(d) => trimmed_fraction(&d.to_text(' ', 9)).to_owned(),
        Value::Instant(d) => format!("{}Z", trimmed_fraction(&d.to_text('T', 9))),
        Value::Text(s) | Value::Json(s) => format!("{s:?}"),
        Value::Bytes(b) => {
            b.iter().take(CHARS_MAX).fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
        }
        Value::Uuid(u) => u.to_string(),
    };
    if text.chars().count() <= CHARS_MAX {
        return text;
    }
    let head: String = text.chars().take(CHARS_MAX).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_on_one_line() {
        assert_eq!(value(&Value::Text("a\nb".to_owned())), r#""a\nb""#);
        assert_eq!(value(&Value::Bytes(vec![0, 255])), "0x00ff");
        assert_eq!(key(&Key(vec![Value::Int(1), Value::Text("é".to_owned())])), "(1, \"é\")");
        assert!(value(&Value::Text("x".repeat(500))).chars().count() < 70);
    }
}
