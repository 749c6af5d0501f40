//! Values with their place in the file, and keys that take more than one form.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

/// Bytes of the file, from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub start: usize,
    pub end: usize,
}

impl Place {
    pub(crate) fn of(location: &Location) -> Self {
        let span = location.span();
        let at = |offset: Option<u64>| usize::try_from(offset.unwrap_or(0)).unwrap_or(0);
        let start = at(span.byte_offset());
        Self { start, end: start + at(span.byte_len()) }
    }

    /// A range that `text` has: on character boundaries, and at least one byte long unless at the very end.
    pub(crate) fn within(self, text: &str) -> Range<usize> {
        let floor =
            |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let start = floor(self.start);
        let next = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        // What spans lines (a mapping, a list) is marked at its beginning only.
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        start..floor(self.end).min(line_end).max(next)
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> At<T> {
    pub(crate) const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { place: Place::of(&spanned.referenced), value: spanned.value })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A key that may be a scalar, a list of scalars, or a mapping `M`.
#[derive(Clone)]
pub(crate) enum Form<M> {
    Text(String),
    List(Vec<At<String>>),
    Map(M),
}

/// What a mapping of a `Form` tells about its other forms.
pub(crate) trait Shape: JsonSchema {
    /// For messages: "expected …".
    const EXPECTED: &'static str;
    const LIST: bool;
    /// Schema of the scalar form.
    fn scalar() -> Schema;
}

impl<'de, M: Shape + Deserialize<'de>> Deserialize<'de> for Form<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FormVisitor(PhantomData))
    }
}

struct FormVisitor<M>(PhantomData<M>);

impl<'de, M: Shape + Deserialize<'de>> Visitor<'de> for FormVisitor<M> {
    type Value = Form<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(M::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Form::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Form::Text(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Form::Text(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Form::Text(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        if !M::LIST {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Form::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(Form::Map)
    }
}

impl<M: Shape> JsonSchema for Form<M> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("{}Form", M::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut forms = vec![M::scalar(), generator.subschema_for::<M>()];
        if M::LIST {
            forms.push(json_schema!({ "type": "array", "items": M::scalar() }));
        }
        json_schema!({ "anyOf": forms })
    }
}
