//! The rules of a table's fields, made ready once for a chunk: what values become, and what they must be.

use std::collections::BTreeMap;

use connectors::{Connections, Error, Result};
use model::convert::{ConvertError, read, refusal};
use model::fields::{Check, FieldRule, OnFail, Origin, Step, TEXT};
use model::merge::is_newer;
use model::{ColumnPlan, Engine, ErrorKind, LogicalType, Row, TablePlan, Value, convert};
use regex::Regex;

use crate::keyed::Keyed;
use crate::nest::{self, Nests};

/// What stands for a value that nobody is to see.
const REDACTED: &str = "***";

/// The rules of a table, by the places of its columns. Holds keys, and prints none.
#[derive(Default)]
pub struct Fields {
    /// As long as the plan's columns; empty if no column has a rule.
    rules: Vec<Option<Ready>>,
    /// Places of columns that mark rows as deleted.
    marks: Vec<usize>,
    /// Reads rows of the source with what else fields are made of.
    pub(crate) nests: Nests,
}

/// A rule with all that applying it needs.
struct Ready {
    rule: FieldRule,
    /// Places in a row of the source that it is made of, documents included.
    made_of: Vec<usize>,
    /// For the step that hashes or encrypts.
    keyed: Option<Keyed>,
    /// The type in which texts are read, if the column's is none.
    reads: Option<LogicalType>,
    limits: Limits,
}

struct Limits {
    min: Option<Value>,
    max: Option<Value>,
    one_of: Vec<Value>,
    matches: Option<Regex>,
}

impl Fields {
    /// Makes the rules of `plan` ready; looks up the keys that they refer to.
    ///
    /// # Errors
    /// `Authentication` if a key cannot be found, `Refused` if a rule cannot hold for its column.
    pub fn new(plan: &TablePlan, connections: &Connections) -> Result<Self> {
        if plan.columns.iter().all(|column| column.rule.is_none()) {
            return Ok(Self::default());
        }
        let ready = |column: &ColumnPlan| {
            column.rule.as_ref().map(|rule| Ready::new(plan, column, rule, connections)).transpose()
        };
        let rules: Vec<Option<Ready>> = plan.columns.iter().map(ready).collect::<Result<_>>()?;
        let is_mark =
            |rule: &Option<Ready>| rule.as_ref().is_some_and(|it| it.rule.on_fail == OnFail::Delete);
        let marks = (0..rules.len()).filter(|at| is_mark(&rules[*at])).collect();
        Ok(Self { rules, marks, nests: Nests::new(plan)? })
    }

    /// A row of the source becomes one of the plan's columns: joined and constant values and documents are put at its end,
    /// where what they were made of goes.
    pub(crate) fn complete(&self, row: &mut Row) {
        let added = self.rules.iter().flatten().filter(|ready| ready.rule.is_added());
        let added: Vec<Value> = added.map(|ready| ready.original(row)).collect();
        if !self.rules.is_empty() {
            row.truncate(self.rules.len() - added.len());
        }
        row.extend(added);
    }

    /// Places of the columns in the order in which they are brought over: a row that is marked as deleted need be nothing else.
    pub(crate) fn order(&self, columns: usize) -> impl Iterator<Item = usize> {
        self.marks.iter().copied().chain((0..columns).filter(|at| !self.marks.contains(at)))
    }

    /// What the column's rule makes of a value.
    pub(crate) fn apply(&self, at: usize, value: Value) -> std::result::Result<Value, ConvertError> {
        match self.rules.get(at) {
            Some(Some(ready)) => ready.apply(value),
            _ => Ok(value),
        }
    }

    /// Whether a value in the target's type is one that the column's rule allows.
    pub(crate) fn check(&self, at: usize, value: &Value) -> std::result::Result<(), ConvertError> {
        match self.rules.get(at) {
            Some(Some(ready)) => ready.limits.check(&ready.rule.check, value),
            _ => Ok(()),
        }
    }

    /// What becomes of a row of which this column is refused.
    pub(crate) fn on_fail(&self, at: usize) -> OnFail {
        self.rules.get(at).and_then(Option::as_ref).map_or(OnFail::Quarantine, |ready| ready.rule.on_fail)
    }
}

impl Ready {
    fn new(
        plan: &TablePlan,
        column: &ColumnPlan,
        rule: &FieldRule,
        connections: &Connections,
    ) -> Result<Self> {
        let place_of = |name: &String| plan.source_columns().position(|read| read.name == *name);
        let unusable = |what: String| {
            let operation = format!("use the rule of field {} of table {}", rule.to, plan.source.table);
            Error::new(ErrorKind::Refused, Engine::Memory, operation).with_object(what)
        };
        let made_of = match &rule.origin {
            Origin::Joined { columns, .. } => columns.iter().map(place_of).collect(),
            Origin::Nested(_) => {
                let before = plan.columns.iter().take_while(|other| other.target.name != column.target.name);
                let nth = before.filter(|other| nest::is_nested(other)).count();
                Some(vec![plan.source_columns().count() + nth])
            }
            Origin::Column(_) | Origin::Constant(_) => Some(Vec::new()),
        };
        let name = format!("{}.{}", plan.source.table.name, column.source.name);
        let is_text = matches!(column.target.logical, LogicalType::Text { .. });
        Ok(Self {
            rule: rule.clone(),
            made_of: made_of.ok_or_else(|| unusable("a column that is joined is not read".to_owned()))?,
            keyed: Keyed::find(&rule.steps, &name, connections)?,
            reads: rule.cast.clone().or_else(|| (!is_text).then(|| column.target.logical.clone())),
            limits: Limits::new(&rule.check, &column.target.logical).map_err(unusable)?,
        })
    }

    /// The value of a column that is behind no single one of the source.
    fn original(&self, row: &Row) -> Value {
        match &self.rule.origin {
            Origin::Column(_) => Value::Null,
            Origin::Constant(text) => Value::Text(text.clone()),
            Origin::Nested(_) => {
                self.made_of.first().and_then(|at| row.get(*at)).cloned().unwrap_or(Value::Null)
            }
            Origin::Joined { with, .. } => {
                let texts =
                    self.made_of.iter().filter_map(|at| text_of(row.get(*at)?.clone()).ok().flatten());
                let texts: Vec<String> = texts.collect();
                if texts.is_empty() { Value::Null } else { Value::Text(texts.join(with)) }
            }
        }
    }

    fn apply(&self, mut value: Value) -> std::result::Result<Value, ConvertError> {
        if self.rule.keeps_values() {
            return Ok(value);
        }
        for step in &self.rule.steps {
            value = self.step(step, value)?;
        }
        match (value, &self.reads) {
            (Value::Null, _) => Ok(Value::Null),
            (Value::Text(text), Some(logical)) => read(&text, logical),
            (value, Some(logical)) if self.rule.cast.is_some() => convert(value, logical),
            (value, _) => Ok(value),
        }
    }

    fn step(&self, step: &Step, value: Value) -> std::result::Result<Value, ConvertError> {
        if let Step::Default(text) = step {
            return Ok(if value.is_null() { Value::Text(text.clone()) } else { value });
        }
        if value.is_null() || *step == Step::Null {
            return Ok(Value::Null);
        }
        if *step == Step::Redact {
            return Ok(Value::Text(REDACTED.to_owned()));
        }
        if matches!(step, Step::Hash(_) | Step::Encrypt(_)) {
            return self.sealed(value);
        }
        // A truth value is `1` or `0` as a text, and `true` or `false` where a rule lists values.
        let word = if let Value::Bool(truth) = value { Some(truth.to_string()) } else { None };
        let Some(text) = text_of(value)? else { return Ok(Value::Null) };
        let changed = match step {
            Step::Trim => Some(text.trim().to_owned()),
            Step::Lower => Some(text.to_lowercase()),
            Step::Upper => Some(text.to_uppercase()),
            Step::Truncate(most) => Some(text.chars().take(places(*most)).collect()),
            Step::Prefix(more) => Some(format!("{more}{text}")),
            Step::Suffix(more) => Some(format!("{text}{more}")),
            Step::Values(values) => Some(listed(values, word.as_deref(), &text)?),
            Step::Split { at, part } => part_of(&text, at, *part),
            Step::Json(pointer) => found_in(&text, pointer)?,
            Step::KeepLast(last) => {
                let hidden = text.chars().count().saturating_sub(places(*last));
                Some(text.chars().enumerate().map(|(at, c)| if at < hidden { '*' } else { c }).collect())
            }
            Step::Default(_) | Step::Null | Step::Redact | Step::Hash(_) | Step::Encrypt(_) => Some(text),
        };
        Ok(changed.map_or(Value::Null, Value::Text))
    }

    fn sealed(&self, value: Value) -> std::result::Result<Value, ConvertError> {
        let bytes = if let Value::Bytes(bytes) = value {
            bytes
        } else {
            text_of(value)?.unwrap_or_default().into_bytes()
        };
        match &self.keyed {
            Some(keyed) => keyed.apply(&bytes).map(Value::Text),
            None => Err(refusal(ErrorKind::Internal, "a step has no key; this is a bug")),
        }
    }
}

fn places(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// NULL has no text.
fn text_of(value: Value) -> std::result::Result<Option<String>, ConvertError> {
    let text = convert(value, &TEXT)?;
    Ok(if let Value::Text(text) = text { Some(text) } else { None })
}

fn listed(
    values: &BTreeMap<String, String>,
    word: Option<&str>,
    text: &str,
) -> std::result::Result<String, ConvertError> {
    let found = word.and_then(|word| values.get(word)).or_else(|| values.get(text));
    let found = found.or_else(|| values.get("*"));
    found.cloned().ok_or_else(|| refusal(ErrorKind::Check, "the value is not among `values`"))
}

/// Counted from 1, or from the end by −1.
fn part_of(text: &str, at: &str, part: i32) -> Option<String> {
    let nth = places(u64::from(part.unsigned_abs()).saturating_sub(1));
    let found = if part < 0 { text.rsplit(at).nth(nth) } else { text.split(at).nth(nth) };
    found.map(str::to_owned)
}

fn found_in(text: &str, pointer: &str) -> std::result::Result<Option<String>, ConvertError> {
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|_| refusal(ErrorKind::Conversion, "the text is not JSON"))?;
    Ok(match json.pointer(pointer) {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    })
}

impl Limits {
    fn new(check: &Check, logical: &LogicalType) -> std::result::Result<Self, String> {
        let limit = |text: &String| {
            read(text, logical).map_err(|error| format!("a limit cannot be read as {logical}: {error}"))
        };
        let matches = check.matches.as_ref().map(|pattern| Regex::new(pattern)).transpose();
        Ok(Self {
            min: check.min.as_ref().map(limit).transpose()?,
            max: check.max.as_ref().map(limit).transpose()?,
            one_of: check.one_of.iter().map(limit).collect::<std::result::Result<_, _>>()?,
            matches: matches.map_err(|_| "`matches` is not a regular expression".to_owned())?,
        })
    }

    fn check(&self, check: &Check, value: &Value) -> std::result::Result<(), ConvertError> {
        let broken = |what: &str| Err(refusal(ErrorKind::Check, what));
        let is_empty = matches!(value, Value::Text(text) if text.is_empty())
            || matches!(value, Value::Json(text) if text == "[]");
        if check.required && (value.is_null() || is_empty) {
            return broken("the field is required");
        }
        if value.is_null() {
            return Ok(());
        }
        if check.empty && !is_unset(value) {
            return broken("the field is not empty");
        }
        if self.min.as_ref().is_some_and(|min| is_greater(min, value)) {
            return broken("the value is less than `min`");
        }
        if self.max.as_ref().is_some_and(|max| is_greater(value, max)) {
            return broken("the value is greater than `max`");
        }
        if !self.one_of.is_empty() && !self.one_of.contains(value) {
            return broken("the value is not among `one_of`");
        }
        if check.max_length.is_none() && self.matches.is_none() {
            return Ok(());
        }
        let text = text_of(value.clone())?.unwrap_or_default();
        if check.max_length.is_some_and(|most| text.chars().count() as u64 > most) {
            return broken("the text is longer than `max_length`");
        }
        match &self.matches {
            Some(pattern) if !pattern.is_match(&text) => broken("the text does not match `matches`"),
            _ => Ok(()),
        }
    }
}

/// What a mark is that nobody set.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Int(n) => *n == 0,
        Value::UInt(n) => *n == 0,
        Value::Decimal(n) => n.as_str().bytes().all(|b| matches!(b, b'0' | b'.' | b'-')),
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.iter().all(|b| *b == 0),
        Value::Float32(n) => *n == 0.0,
        Value::Float64(n) => *n == 0.0,
        Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_)
        | Value::Instant(_)
        | Value::Json(_)
        | Value::Uuid(_) => false,
    }
}

/// NaN is greater than any limit.
fn is_greater(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Decimal(x), Value::Decimal(y)) => {
            let scale = x.scale().max(y.scale());
            match (x.rescale(scale), y.rescale(scale)) {
                (Some(x), Some(y)) => is_newer(&Value::Decimal(x), &Value::Decimal(y)),
                _ => false,
            }
        }
        (Value::Float32(x), Value::Float32(y)) => x.is_nan() || x > y,
        (Value::Float64(x), Value::Float64(y)) => x.is_nan() || x > y,
        _ => is_newer(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(steps: Vec<Step>, cast: Option<LogicalType>, check: Check) -> Ready {
        let logical = cast.clone().unwrap_or(TEXT);
        let limits = Limits::new(&check, &logical).expect("limits");
        let origin = Origin::Column("c".to_owned());
        let rule = FieldRule { origin, to: "c".to_owned(), steps, cast, check, on_fail: OnFail::Quarantine };
        Ready { reads: rule.cast.clone(), rule, made_of: Vec::new(), keyed: None, limits }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn values(pairs: &[(&str, &str)]) -> Step {
        Step::Values(pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect())
    }

    #[test]
    fn each_step_makes_of_a_value_what_it_says() {
        let split = |part| Step::Split { at: ",".to_owned(), part };
        let json = |pointer: &str| Step::Json(pointer.to_owned());
        let document = r#"{"a":{"b~":[1,"x",null,{"c":true}]}}"#;
        for (step, from, to) in [
            (Step::Trim, text("\t é \n"), text("é")),
            (Step::Lower, text("ÀB"), text("àb")),
            (Step::Upper, text("straße"), text("STRASSE")),
            (Step::Upper, Value::Int(7), text("7")),
            (Step::Truncate(2), text("é😀x"), text("é😀")),
            (Step::Prefix("a".to_owned()), text("b"), text("ab")),
            (Step::Suffix("a".to_owned()), text(""), text("a")),
            (Step::KeepLast(2), text("éé😀x"), text("**😀x")),
            (Step::KeepLast(9), text("abc"), text("abc")),
            (Step::Redact, text("secret"), text("***")),
            (Step::Null, text("secret"), Value::Null),
            (Step::Default("d".to_owned()), Value::Null, text("d")),
            (Step::Default("d".to_owned()), Value::Int(1), Value::Int(1)),
            (values(&[("1", "one"), ("*", "other")]), Value::Int(1), text("one")),
            (values(&[("1", "one"), ("*", "other")]), Value::Int(2), text("other")),
            (values(&[("true", "yes"), ("0", "no")]), Value::Bool(true), text("yes")),
            (values(&[("true", "yes"), ("0", "no")]), Value::Bool(false), text("no")),
            (split(1), text("a,b,"), text("a")),
            (split(3), text("a,b,"), text("")),
            (split(4), text("a,b,"), Value::Null),
            (split(-2), text("a,b,"), text("b")),
            (split(i32::MIN), text("a"), Value::Null),
            (json("/a/b~0/1"), text(document), text("x")),
            (json("/a/b~0/0"), Value::Json(document.to_owned()), text("1")),
            (json("/a/b~0/2"), text(document), Value::Null),
            (json("/a/b~0/3"), text(document), text("{\"c\":true}")),
            (json("/nowhere"), text(document), Value::Null),
        ] {
            assert_eq!(ready(vec![step.clone()], None, Check::default()).apply(from), Ok(to), "{step:?}");
            let is_filling = matches!(step, Step::Default(_));
            let of_null = ready(vec![step.clone()], None, Check::default()).apply(Value::Null);
            assert!(is_filling || of_null == Ok(Value::Null), "{step:?}");
        }
        for (step, from) in [
            (values(&[("1", "one")]), Value::Int(2)),
            (json("/a"), text("{")),
            (Step::Trim, Value::Bytes(vec![255])),
        ] {
            assert!(ready(vec![step.clone()], None, Check::default()).apply(from).is_err(), "{step:?}");
        }
    }

    #[test]
    fn checks_hold_their_limits_and_let_null_pass() {
        let decimal = LogicalType::AnyDecimal;
        let within = |min: &str, max: &str| Check {
            min: Some(min.to_owned()),
            max: Some(max.to_owned()),
            ..Check::default()
        };
        let is_allowed = |logical: &LogicalType, check: &Check, value: &str| {
            let value = read(value, logical).expect("a value");
            Limits::new(check, logical).expect("limits").check(check, &value).is_ok()
        };
        for (value, allowed) in
            [("-1.50", true), ("-1.501", false), ("10", true), ("10.0001", false), ("9", true)]
        {
            assert_eq!(is_allowed(&decimal, &within("-1.5", "10"), value), allowed, "{value}");
        }
        let days = within("2026-01-01", "2026-12-31");
        assert!(is_allowed(&LogicalType::Date, &days, "2026-01-01"));
        assert!(!is_allowed(&LogicalType::Date, &days, "2027-01-01"));
        assert!(
            !is_allowed(&LogicalType::Float64, &within("0", "1"), "NaN"),
            "nothing is above what is no number"
        );
        let named = Check { one_of: vec!["a".to_owned(), "b".to_owned()], ..Check::default() };
        assert!(is_allowed(&TEXT, &named, "b") && !is_allowed(&TEXT, &named, "c"));
        let short = Check { max_length: Some(2), matches: Some("^é".to_owned()), ..Check::default() };
        assert!(is_allowed(&TEXT, &short, "éa") && !is_allowed(&TEXT, &short, "éab"));
        assert!(!is_allowed(&TEXT, &short, "aé"));
        let required = Check { required: true, ..Check::default() };
        assert!(!is_allowed(&TEXT, &required, "") && is_allowed(&TEXT, &required, " "));
        let limits = Limits::new(&short, &TEXT).expect("limits");
        assert!(limits.check(&short, &Value::Null).is_ok() && limits.check(&required, &Value::Null).is_err());
        assert!(Limits::new(&within("x", "1"), &decimal).is_err());
    }
}
