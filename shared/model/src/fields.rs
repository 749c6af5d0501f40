//! Fields: what becomes of columns on their way from the source to the target.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::schema::{Column, LogicalType};

/// Where a field's values come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A column of the source, by its name there.
    Column(String),
    /// The same text in every row.
    Constant(String),
    /// Columns of the source, as they are there, with a text between; those that are NULL are left out. NULL if all are.
    Joined { columns: Vec<String>, with: String },
    /// Rows of another table of the source, as documents.
    Nested(Nest),
}

/// Which rows of another table belong to a row, and what is taken of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nest {
    /// The other table.
    pub from: String,
    /// Its columns, each with the column of the row that it equals; empty until a foreign key has told.
    #[serde(default)]
    pub on: BTreeMap<String, String>,
    /// Its columns that give documents of a list their order; the rest decides where these are equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<String>,
    /// What is taken; all but the columns of `on` if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// One document, or none, instead of a list.
    #[serde(default)]
    pub one: bool,
}

/// One change of a value. All but `Default` and `Null` make a text of it, and leave NULL alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// White space at both ends goes.
    Trim,
    Lower,
    Upper,
    /// No more than so many characters stay.
    Truncate(u64),
    Prefix(String),
    Suffix(String),
    /// NULL becomes this.
    Default(String),
    /// Each value becomes another; `*` stands for those that are not listed, which are refused without it.
    Values(BTreeMap<String, String>),
    /// The part between two separators, counted from 1, or from the end by −1; NULL if there is none.
    Split {
        at: String,
        part: i32,
    },
    /// What a JSON pointer (RFC 6901) leads to; NULL if nothing is there.
    Json(String),
    /// All but the last characters become `*`.
    KeepLast(u64),
    /// `***` instead of any value.
    Redact,
    /// NULL instead of any value.
    Null,
    /// HMAC-SHA256 of the column's name and the value, in hexadecimal digits; this is the reference to the key.
    Hash(String),
    /// The value encrypted, in Base64; this is the reference to the key, see [`encryption_key`].
    Encrypt(String),
}

/// What becomes of a row of which a field breaks its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// It is set aside, to be corrected and replayed.
    #[default]
    Quarantine,
    /// It is left out and counted; the target keeps what it has at its key.
    Skip,
    /// The run ends.
    Fail,
    /// It is marked as deleted, and so it is deleted at the target.
    Delete,
}

/// What a field's values must be; NULL passes all but `required`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Neither NULL nor an empty text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// NULL, zero, false or an empty text: a mark that is not set.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// The least value, read as the target's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// In characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// A regular expression that some part of the text matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// The only values, read as the target's type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
}

/// What becomes of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRule {
    pub origin: Origin,
    /// The column of the target.
    pub to: String,
    /// In order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The type that values must have after the steps; the target's column is made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cast: Option<LogicalType>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub check: Check,
    #[serde(default)]
    pub on_fail: OnFail,
}

fn is_nothing(check: &Check) -> bool {
    *check == Check::default()
}

impl FieldRule {
    /// Whether no single column of the source is behind it.
    #[must_use]
    pub const fn is_added(&self) -> bool {
        !matches!(self.origin, Origin::Column(_))
    }

    /// What it nests, if it holds rows of another table.
    #[must_use]
    pub const fn nest(&self) -> Option<&Nest> {
        if let Origin::Nested(nest) = &self.origin { Some(nest) } else { None }
    }

    /// Whether values go over as they are: at most under another name, and checked.
    #[must_use]
    pub fn keeps_values(&self) -> bool {
        !self.is_added() && self.steps.is_empty() && self.cast.is_none()
    }

    /// The column of the source as the target is to see it.
    #[must_use]
    pub fn seen(&self, source: &Column) -> Column {
        if self.keeps_values() {
            return Column { name: self.to.clone(), ..source.clone() };
        }
        let (mut logical, mut nullable) = (source.logical.clone(), source.nullable);
        for step in &self.steps {
            (logical, nullable) = step.seen(logical, nullable);
        }
        let logical = self.cast.clone().unwrap_or(logical);
        let is_same = logical == source.logical && !self.is_added();
        let is_text = |logical: &LogicalType| matches!(logical, LogicalType::Text { .. });
        let keeps_collation = is_text(&logical) && is_text(&source.logical);
        Column {
            native: if is_same { source.native.clone() } else { logical.to_string() },
            collation: source.collation.clone().filter(|_| keeps_collation),
            ..Column::new(self.to.clone(), logical, nullable && !self.check.required)
        }
    }

    /// The column that stands for the source's where there is none behind the field.
    #[must_use]
    pub fn stand_in(&self) -> Column {
        let (logical, nullable) = match &self.origin {
            Origin::Column(_) | Origin::Constant(_) => (TEXT, false),
            Origin::Joined { .. } => (TEXT, true),
            Origin::Nested(nest) => (LogicalType::Json, nest.one),
        };
        Column::new(self.to.clone(), logical, nullable)
    }
}

/// The key of 64 bytes that a secret of 128 hexadecimal digits is.
#[must_use]
pub fn encryption_key(secret: &str) -> Option<[u8; 64]> {
    let mut key = [0; 64];
    hex::decode_to_slice(secret.trim(), &mut key).ok()?;
    Some(key)
}

/// A text of any length.
pub const TEXT: LogicalType = LogicalType::Text { max_chars: None, fixed: false, long: true };

impl Step {
    /// What a column of this type and nullability is after the step.
    fn seen(&self, logical: LogicalType, nullable: bool) -> (LogicalType, bool) {
        let text =
            |max_chars: Option<u64>| LogicalType::Text { max_chars, fixed: false, long: max_chars.is_none() };
        let length = if let LogicalType::Text { max_chars, .. } = &logical { *max_chars } else { None };
        match self {
            Self::Default(_) => (logical, false),
            Self::Null => (logical, true),
            Self::Split { .. } => (text(length), true),
            Self::Json(_) => (text(None), true),
            Self::Truncate(most) => (text(Some(length.map_or(*most, |length| length.min(*most)))), nullable),
            Self::Hash(_) => (text(Some(64)), nullable),
            Self::Encrypt(_) => (text(None), nullable),
            Self::Redact => (text(Some(3)), nullable),
            Self::Prefix(more) | Self::Suffix(more) => {
                (text(length.map(|length| length.saturating_add(more.chars().count() as u64))), nullable)
            }
            Self::Values(_) => (text(None), nullable),
            // A letter may become two in the other case: the rare text that grows too long is refused.
            Self::Trim | Self::Lower | Self::Upper | Self::KeepLast(_) => (text(length), nullable),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trim => f.write_str("trim"),
            Self::Lower => f.write_str("lower"),
            Self::Upper => f.write_str("upper"),
            Self::Truncate(most) => write!(f, "truncate {most}"),
            Self::Prefix(_) => f.write_str("prefix"),
            Self::Suffix(_) => f.write_str("suffix"),
            Self::Default(_) => f.write_str("default"),
            Self::Values(values) => write!(f, "{} values", values.len()),
            Self::Split { part, .. } => write!(f, "split, part {part}"),
            Self::Json(pointer) => write!(f, "json {pointer}"),
            Self::KeepLast(last) => write!(f, "keep last {last}"),
            Self::Redact => f.write_str("redact"),
            Self::Null => f.write_str("null"),
            Self::Hash(_) => f.write_str("hash"),
            Self::Encrypt(_) => f.write_str("encrypt"),
        }
    }
}

/// What is done to the field, for people, without the values that the rule names; nothing for one that is only renamed.
impl fmt::Display for FieldRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.origin {
            Origin::Column(_) => None,
            Origin::Constant(_) => Some("a constant".to_owned()),
            Origin::Joined { columns, .. } => Some(columns.join(" + ")),
            Origin::Nested(nest) if nest.one => Some(format!("the row of {} that belongs to it", nest.from)),
            Origin::Nested(nest) => Some(format!("rows of {}", nest.from)),
        };
        let Check { required, empty, min, max, max_length, matches, one_of } = &self.check;
        let checks = [
            (*required, "required"),
            (*empty, "empty"),
            (min.is_some() || max.is_some(), "within a range"),
            (max_length.is_some(), "of limited length"),
            (matches.is_some(), "matching a pattern"),
            (!one_of.is_empty(), "one of a list"),
        ];
        let steps = self.steps.iter().map(ToString::to_string);
        let cast = self.cast.iter().map(|cast| format!("as {cast}"));
        let checks = checks.iter().filter(|(is_asked, _)| *is_asked).map(|(_, what)| (*what).to_owned());
        let deletes = (self.on_fail == OnFail::Delete).then(|| "else the row is deleted".to_owned());
        let all = origin.into_iter().chain(steps).chain(cast).chain(checks).chain(deletes);
        let all: Vec<String> = all.collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: Origin, steps: Vec<Step>) -> FieldRule {
        let on_fail = OnFail::default();
        FieldRule { origin, to: "to".to_owned(), steps, cast: None, check: Check::default(), on_fail }
    }

    #[test]
    fn a_field_tells_what_its_column_becomes() {
        let text = |max_chars| LogicalType::Text { max_chars, fixed: false, long: false };
        let column =
            Column { collation: Some("nocase".to_owned()), ..Column::new("c", text(Some(10)), true) };
        let from = Origin::Column("c".to_owned());
        let renamed = rule(from.clone(), vec![]);
        assert!(renamed.keeps_values());
        assert_eq!(renamed.seen(&column), Column { name: "to".to_owned(), ..column.clone() });
        let hashed = rule(from.clone(), vec![Step::Trim, Step::Hash("${env:K}".to_owned())]).seen(&column);
        assert_eq!((hashed.logical, hashed.native), (text(Some(64)), "text(64)".to_owned()));
        let filled = rule(from.clone(), vec![Step::Default("x".to_owned())]).seen(&column);
        assert!(!filled.nullable && filled.logical == column.logical && filled.collation == column.collation);
        let cast = FieldRule { cast: Some(LogicalType::Date), ..rule(from, vec![Step::Trim]) };
        assert_eq!(cast.seen(&column).logical, LogicalType::Date);
        assert_eq!(cast.to_string(), "trim, as date");
    }
}
