//! The canonical row form: the same bytes for the same meaning, whichever engine the row came from.
//!
//! A field is a token: NULL is `N;`, any other value `<byte length>:<text>;`, a long value
//! `H<byte length>:<hex SHA-256>;`. A row is its tokens in plan order, so nothing needs escaping and NULL,
//! the empty string and a missing field stay three things.

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::decimal::Decimal;
use crate::digest::RowDigest;
use crate::key::Key;
use crate::schema::LogicalType;
use crate::value::Value;

/// Text and binary values above this length are replaced by their own hash.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Encodes rows of one table plan; reuses its buffers.
#[derive(Debug, Clone)]
pub struct RowEncoder {
    types: Vec<LogicalType>,
    row: Vec<u8>,
    field: String,
}

impl RowEncoder {
    /// An encoder for rows whose cells have these types (the plan's target types).
    #[must_use]
    pub const fn new(types: Vec<LogicalType>) -> Self {
        Self { types, row: Vec::new(), field: String::new() }
    }

    /// The digest of a row whose cells are in the order of the encoder's types.
    pub fn digest(&mut self, row: &[Value]) -> RowDigest {
        self.row.clear();
        for (value, logical) in row.iter().zip(&self.types) {
            token(&mut self.row, &mut self.field, value, logical);
        }
        RowDigest::of(&self.row)
    }

    /// Places at which two rows differ.
    pub fn differing(&mut self, one: &[Value], other: &[Value]) -> Vec<usize> {
        let Self { types, row, field } = self;
        let mut is_other = |place: &usize| {
            row.clear();
            token(row, field, &one[*place], &types[*place]);
            let end = row.len();
            token(row, field, &other[*place], &types[*place]);
            row[..end] != row[end..]
        };
        (0..types.len().min(one.len()).min(other.len())).filter(|place| is_other(place)).collect()
    }

    /// The canonical bytes of a row.
    pub fn encode(&mut self, row: &[Value]) -> Vec<u8> {
        self.digest(row);
        self.row.clone()
    }
}

/// Digest of a key's tokens: tells rows apart without holding their keys.
#[must_use]
pub fn key_digest(key: &Key, types: &[LogicalType]) -> RowDigest {
    let (mut row, mut field) = (Vec::new(), String::new());
    for (value, logical) in key.0.iter().zip(types) {
        token(&mut row, &mut field, value, logical);
    }
    RowDigest::of(&row)
}

fn token(row: &mut Vec<u8>, field: &mut String, value: &Value, logical: &LogicalType) {
    if value.is_null() {
        row.extend_from_slice(b"N;");
        return;
    }
    field.clear();
    push_text(field, value, logical);
    let long = matches!(
        logical,
        LogicalType::Json | LogicalType::Text { long: true, .. } | LogicalType::Bytes { long: true, .. }
    );
    let is_hashed = long || field.len() > INLINE_BYTES_MAX;
    if is_hashed {
        row.push(b'H');
    }
    row.extend_from_slice(itoa::Buffer::new().format(field.len()).as_bytes());
    row.push(b':');
    if is_hashed {
        let mut hash = [0; 64];
        // Twice as long as a SHA-256, so it fits.
        let _ = hex::encode_to_slice(Sha256::digest(&field), &mut hash);
        row.extend_from_slice(&hash);
    } else {
        row.extend_from_slice(field.as_bytes());
    }
    row.push(b';');
}

/// Appends the canonical text of a value.
fn push_text(out: &mut String, value: &Value, logical: &LogicalType) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other types have no fraction of a second")]
    let fraction = match logical {
        LogicalType::Time { fraction }
        | LogicalType::DateTime { fraction }
        | LogicalType::Instant { fraction } => *fraction,
        _ => 9,
    };
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(if *b { '1' } else { '0' }),
        Value::Int(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::UInt(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::Decimal(d) => out.push_str(d.as_str()),
        Value::Float32(v) => push_bits(out, &v.to_bits().to_be_bytes()),
        Value::Float64(v) => push_bits(out, &v.to_bits().to_be_bytes()),
        Value::Date(d) => d.push_text(out),
        Value::Time(t) => t.push_text(out, fraction),
        Value::DateTime(d) => d.push_text(out, 'T', fraction),
        Value::Instant(d) => {
            d.push_text(out, 'T', fraction);
            out.push('Z');
        }
        Value::Text(s) => {
            // CHAR(n) pads on some engines and trims on others: its trailing spaces carry no meaning.
            let fixed = matches!(logical, LogicalType::Text { fixed: true, .. });
            out.push_str(if fixed { s.trim_end_matches(' ') } else { s });
        }
        Value::Bytes(b) => out.push_str(&hex::encode(b)),
        Value::Json(s) => out.push_str(canonical_json(s).as_deref().unwrap_or(s)),
        Value::Uuid(u) => out.push_str(u.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())),
    }
}

fn push_bits(out: &mut String, bits: &[u8]) {
    out.push('x');
    out.push_str(&hex::encode(bits));
}

/// JSON with sorted keys, no white space and numbers by value (`1.0`, `1` and `10e-1` are one number). `None` if
/// the text is not JSON.
#[must_use]
pub fn canonical_json(text: &str) -> Option<String> {
    let parsed: Json = serde_json::from_str(text).ok()?;
    let mut out = String::with_capacity(text.len());
    write_json(&mut out, &parsed);
    Some(out)
}

fn write_json(out: &mut String, json: &Json) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) => out.push_str(&canonical_number(&n.to_string())),
        Json::String(s) => push_json_string(out, s),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_json_string(out, name);
                out.push(':');
                write_json(out, member);
            }
            out.push('}');
        }
    }
}

fn push_json_string(out: &mut String, text: &str) {
    let is_plain = text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\');
    if is_plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Json::String(text.to_owned()).to_string());
    }
}

/// Numbers by value. Integers stay exact; anything with a fraction or exponent is taken as the double it denotes,
/// since that is what JSON columns store, and is printed as that double's shortest decimal.
fn canonical_number(text: &str) -> String {
    let is_integer = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if is_integer {
        return if text == "-0" { "0".to_owned() } else { text.to_owned() };
    }
    text.parse::<f64>()
        .ok()
        .and_then(Decimal::from_f64)
        .map_or_else(|| text.to_owned(), |decimal| decimal.trimmed().to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::any_value;

    fn text(max: Option<u64>, fixed: bool) -> LogicalType {
        LogicalType::Text { max_chars: max, fixed, long: false }
    }

    fn encode(types: Vec<LogicalType>, row: &[Value]) -> String {
        String::from_utf8(RowEncoder::new(types).encode(row)).expect("tokens of these values are text")
    }

    #[test]
    fn null_empty_and_text_are_three_things() {
        let types = vec![text(None, false), text(None, false), LogicalType::Float64];
        let row = [Value::Null, Value::Text(String::new()), Value::Float64(-0.0)];
        assert_eq!(encode(types, &row), "N;0:;17:x8000000000000000;");
    }

    #[test]
    fn fixed_text_loses_its_padding_and_other_text_does_not() {
        let padded = [Value::Text("ab  ".to_owned())];
        assert_eq!(encode(vec![text(Some(4), true)], &padded), "2:ab;");
        assert_eq!(encode(vec![text(Some(4), false)], &padded), "4:ab  ;");
    }

    #[test]
    fn json_is_compared_by_value() {
        let same = [
            "{\"b\": 1.0, \"a\": [1e2, \"x\"]}",
            "{\"a\":[100,\"x\"],\"b\":1}",
            "{ \"a\" : [100.0,\"\\u0078\"], \"b\":10e-1 }",
        ];
        for variant in same {
            assert_eq!(canonical_json(variant).as_deref(), Some("{\"a\":[100,\"x\"],\"b\":1}"));
        }
        assert_eq!(canonical_json("18446744073709551615").as_deref(), Some("18446744073709551615"));
        assert_eq!(canonical_json("{"), None);
    }

    proptest! {
        #[test]
        fn different_rows_have_different_bytes(a in prop::collection::vec(".{0,6}", 2), b in prop::collection::vec(".{0,6}", 2)) {
            let row = |cells: &[String]| cells.iter().cloned().map(Value::Text).collect::<Vec<_>>();
            let mut encoder = RowEncoder::new(vec![text(None, false); 2]);
            prop_assert_eq!(encoder.encode(&row(&a)) == encoder.encode(&row(&b)), a == b);
        }

        #[test]
        fn no_value_panics(value in any_value()) {
            let mut encoder = RowEncoder::new(vec![LogicalType::DateTime { fraction: 3 }]);
            let _ = encoder.digest(&[value]);
        }
    }
}
