//! JSON text and BSON values: documents and arrays as such, what only BSON has in relaxed Extended JSON
//! (`{"$oid": ".."}`; the driver's own reading of the specification).

use bson::raw::{CString, RawBsonRef};
use bson::{Bson, RawArrayBuf, RawBson, RawDocumentBuf};
use model::canonical::canonical_json;
use model::convert::{ConvertError, refusal};
use model::{Column, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use super::codec;

/// Documents within documents, the outermost included: MongoDB takes no more.
const LEVELS_MAX: usize = 100;

/// The BSON value of a JSON text.
///
/// # Errors
/// The text is not JSON, is nested too deep, or holds an integer or number that BSON would bend.
pub(super) fn to_bson(text: &str) -> Result<RawBson, ConvertError> {
    let json: Json = serde_json::from_str(text)
        .map_err(|_| refusal(ErrorKind::Conversion, "the document is not JSON that can be read"))?;
    // The document that holds this one is a level, too.
    value(&json, 1)
}

/// The JSON text of a BSON value.
pub(super) fn to_text(value: RawBsonRef<'_>) -> Option<String> {
    Bson::try_from(value).ok().map(|bson| bson.into_relaxed_extjson().to_string())
}

/// A value as it stands in a document, in relaxed Extended JSON: [`to_bson`] makes the same of it again, but for integers, which
/// are as wide as they need to be. `None` for NULL.
///
/// # Errors
/// As [`codec::encode`].
pub(super) fn member(value: &Value, column: &Column) -> Result<Option<Json>, ConvertError> {
    let Some(bson) = codec::encode(value, column)? else { return Ok(None) };
    let bson = Bson::try_from(bson)
        .map_err(|_| refusal(ErrorKind::Conversion, "the value is no BSON that can be read"))?;
    Ok(Some(bson.into_relaxed_extjson()))
}

fn value(json: &Json, level: usize) -> Result<RawBson, ConvertError> {
    if level > LEVELS_MAX {
        return Err(refusal(ErrorKind::TooLong, format!("the document has more than {LEVELS_MAX} levels")));
    }
    match json {
        Json::Null => Ok(RawBson::Null),
        Json::Bool(b) => Ok(RawBson::Boolean(*b)),
        Json::Number(number) => number_of(&number.to_string()),
        Json::String(text) => Ok(RawBson::String(text.clone())),
        Json::Array(items) => {
            let mut array = RawArrayBuf::new();
            for item in items {
                array.push(value(item, level + 1)?);
            }
            Ok(RawBson::Array(array))
        }
        Json::Object(members) => object(members, level),
    }
}

fn object(members: &Map<String, Json>, level: usize) -> Result<RawBson, ConvertError> {
    if let Some(own) = own_type(members) {
        return Ok(own);
    }
    let mut document = RawDocumentBuf::new();
    for (name, member) in members {
        let name = CString::try_from(name.as_str()).map_err(|_| {
            refusal(ErrorKind::Encoding, "the document has a name with a NUL, which BSON cannot hold")
        })?;
        document.append(name, value(member, level + 1)?);
    }
    Ok(RawBson::Document(document))
}

/// What only BSON has, if this is how we would print it; an object that only looks like it stays an object.
fn own_type(members: &Map<String, Json>) -> Option<RawBson> {
    if !members.keys().next()?.starts_with('$') {
        return None;
    }
    let written = Json::Object(members.clone());
    let read = Bson::try_from(written.clone()).ok()?;
    if matches!(read, Bson::Document(_)) {
        return None;
    }
    let printed = read.clone().into_relaxed_extjson().to_string();
    (canonical_json(&printed) == canonical_json(&written.to_string()))
        .then(|| RawBson::try_from(read).ok())?
}

/// Integers stay integers; a number with a fraction or exponent is the double that it denotes, as in all databases
/// that keep JSON.
fn number_of(text: &str) -> Result<RawBson, ConvertError> {
    let bent = || refusal(ErrorKind::OutOfRange, "the document has a number that BSON cannot hold");
    if text.contains(['.', 'e', 'E']) {
        let double: f64 = text.parse().map_err(|_| bent())?;
        return if double.is_finite() { Ok(RawBson::Double(double)) } else { Err(bent()) };
    }
    let whole: i64 = text.parse().map_err(|_| bent())?;
    Ok(i32::try_from(whole).map_or(RawBson::Int64(whole), RawBson::Int32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back_and_forth(text: &str) -> Option<String> {
        let mut holder = RawDocumentBuf::new();
        holder.append(bson::raw::cstr!("v"), to_bson(text).ok()?);
        to_text(holder.get("v").ok()??)
    }

    #[test]
    fn documents_read_back() {
        let oid = "{\"$oid\": \"0123456789abcdef01234567\"}";
        for text in [
            "null",
            "{\"b\": 1, \"a\": [1, 2.5, null, {\"x\": \"é😀\", \"\": true}]}",
            "[-9223372036854775808, 1e100, 2.0]",
            "{\"a.b\": {\"$x\": 1}}",
            oid,
            "[{\"$date\": \"2024-02-29T12:00:00.5Z\"}, {\"$numberDecimal\": \"12.50\"}]",
            "{\"$numberLong\": \"5\"}",
            "{\"$oid\": \"short\"}",
            "{\"$oid\": \"0123456789abcdef01234567\", \"more\": 1}",
        ] {
            let back = back_and_forth(text).unwrap_or_else(|| panic!("{text} is kept"));
            assert_eq!(canonical_json(&back), canonical_json(text), "{text}");
        }
        assert!(matches!(to_bson(oid), Ok(RawBson::ObjectId(_))));
    }

    #[test]
    fn what_bson_would_bend_is_refused() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(to_bson(&deep(99)).is_ok());
        for (text, kind) in [
            ("1e400", ErrorKind::OutOfRange),
            ("[18446744073709551615]", ErrorKind::OutOfRange),
            ("{", ErrorKind::Conversion),
            ("\"\\ud800\"", ErrorKind::Conversion),
            ("{\"a\\u0000\": 1}", ErrorKind::Encoding),
            (&deep(100), ErrorKind::TooLong),
        ] {
            assert_eq!(to_bson(text).expect_err("refused").kind, kind, "{text}");
        }
    }
}
