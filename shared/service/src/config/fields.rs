//! Fields: what becomes of single columns, and what their values must be.

use model::fields::{Check, FieldRule, Nest, OnFail, Origin, Step};
use model::{LogicalType, MergePolicy, TableSpec};

use super::form::{At, Place};
use super::raw::{RawRule, RawStep, RawTable};
use super::validate::Findings;
use crate::problem::code;
use crate::secret;

/// More than any expression for a field needs; what it compiles to is bounded by the library.
const PATTERN_BYTES_MAX: usize = 1_000;
/// A sane number of steps for one field.
const STEPS_MAX: usize = 16;
const ON_FAIL: [(&str, OnFail); 4] = [
    ("quarantine", OnFail::Quarantine),
    ("skip", OnFail::Skip),
    ("fail", OnFail::Fail),
    ("delete", OnFail::Delete),
];

pub(super) fn fields(raw: &RawTable, findings: &mut Findings<'_>) -> Vec<FieldRule> {
    let rules = raw.fields.iter().flat_map(|fields| &fields.rules);
    rules.filter_map(|(name, raw)| rule(name, raw, findings)).collect()
}

fn rule(name: &str, given: &At<RawRule>, findings: &mut Findings<'_>) -> Option<FieldRule> {
    let raw = &given.value;
    let to = raw.to.as_ref().map_or_else(|| name.to_owned(), |to| to.value.clone());
    let place = raw.to.as_ref().map_or(given.place, |to| to.place);
    if name.trim().is_empty() || to.trim().is_empty() || to.contains(char::is_control) {
        findings.refuse(code::BAD_FIELD, "a field without a name", place, "name the column");
        return None;
    }
    let origin = origin(name, given, findings)?;
    let steps: Vec<Step> = raw
        .apply
        .iter()
        .flat_map(|steps| &steps.value)
        .filter_map(|given| step(&given.value, given.place, findings))
        .collect();
    if steps.len() > STEPS_MAX {
        let message = format!("more than {STEPS_MAX} steps for one field");
        findings.refuse(code::BAD_FIELD, message, given.place, "do with fewer");
    }
    if steps.iter().filter(|step| matches!(step, Step::Hash(_) | Step::Encrypt(_))).count() > 1 {
        let message = "a field is hashed or encrypted once";
        findings.refuse(code::BAD_FIELD, message, given.place, "keep one `hash` or `encrypt`");
    }
    Some(FieldRule {
        origin,
        to,
        steps,
        cast: raw.cast.as_ref().and_then(|cast| logical(cast, findings)),
        check: check(raw, findings),
        on_fail: raw
            .on_fail
            .as_ref()
            .and_then(|given| findings.choose(code::UNKNOWN_CHOICE, given, &ON_FAIL))
            .unwrap_or_default(),
    })
}

fn origin(name: &str, given: &At<RawRule>, findings: &mut Findings<'_>) -> Option<Origin> {
    let raw = &given.value;
    let added = [
        raw.constant.as_ref().map(|given| given.place),
        raw.join.as_ref().map(|given| given.place),
        raw.nest.as_ref().map(|given| given.place),
    ];
    if let [_, second, ..] = added.into_iter().flatten().collect::<Vec<_>>()[..] {
        let message = "a field is one of `constant`, `join` and `nest`";
        findings.refuse(code::BAD_FIELD, message, second, "keep one of them");
        return None;
    }
    refuse_astray(raw, findings);
    if let Some(columns) = raw.join.as_ref().filter(|columns| columns.value.is_empty()) {
        findings.refuse(code::BAD_FIELD, "`join` names no columns", columns.place, "name some");
        return None;
    }
    Some(match (&raw.constant, &raw.join, &raw.nest) {
        (Some(constant), ..) => Origin::Constant(constant.value.clone()),
        (_, Some(columns), _) => Origin::Joined {
            columns: texts(Some(columns)),
            with: raw.with.as_ref().map_or_else(String::new, |with| with.value.clone()),
        },
        (_, _, Some(from)) => Origin::Nested(Nest {
            from: from.value.clone(),
            on: raw.on.iter().flat_map(|on| &on.value).map(|(c, p)| (c.clone(), p.value.clone())).collect(),
            order_by: texts(raw.order_by.as_ref()),
            columns: texts(raw.columns.as_ref()),
            one: raw.one.as_ref().is_some_and(|one| one.value),
        }),
        (None, None, None) => Origin::Column(name.to_owned()),
    })
}

/// Refuses keys that stand beside none of those that they belong to.
fn refuse_astray(raw: &RawRule, findings: &mut Findings<'_>) {
    let of_join = [("with", raw.with.as_ref().map(|given| given.place))];
    let of_nest = [
        ("on", raw.on.as_ref().map(|given| given.place)),
        ("order_by", raw.order_by.as_ref().map(|given| given.place)),
        ("columns", raw.columns.as_ref().map(|given| given.place)),
        ("one", raw.one.as_ref().map(|given| given.place)),
    ];
    let mut refuse = |astray: &[(&str, Option<Place>)], beside: &str, help: &str| {
        for (name, place) in astray {
            if let Some(place) = place {
                let message = format!("`{name}` stands beside `{beside}` only");
                findings.refuse(code::BAD_FIELD, message, *place, help);
            }
        }
    };
    if raw.join.is_none() {
        refuse(&of_join, "join", "name the columns: `join: [first, last]`");
    }
    if raw.nest.is_none() {
        refuse(&of_nest, "nest", "name the table whose rows are nested: `nest: order_lines`");
    }
    let changes = [
        ("apply", raw.apply.as_ref().map(|given| given.place)),
        ("as", raw.cast.as_ref().map(|given| given.place)),
    ];
    for (name, place) in changes.iter().filter(|_| raw.nest.is_some()) {
        if let Some(place) = place {
            let message = format!("`{name}` changes single values, and `nest` makes documents");
            findings.refuse(code::BAD_FIELD, message, *place, "remove it");
        }
    }
}

fn texts(given: Option<&At<Vec<At<String>>>>) -> Vec<String> {
    given.iter().flat_map(|list| &list.value).map(|text| text.value.clone()).collect()
}

fn step(raw: &RawStep, place: Place, findings: &mut Findings<'_>) -> Option<Step> {
    Some(match raw {
        RawStep::Trim => Step::Trim,
        RawStep::Lower => Step::Lower,
        RawStep::Upper => Step::Upper,
        RawStep::Redact => Step::Redact,
        RawStep::Null => Step::Null,
        RawStep::Truncate(most) => Step::Truncate((*most).max(1)),
        RawStep::KeepLast(last) => Step::KeepLast(*last),
        RawStep::Prefix(text) => Step::Prefix(text.clone()),
        RawStep::Suffix(text) => Step::Suffix(text.clone()),
        RawStep::Default(text) => Step::Default(text.clone()),
        RawStep::Values(values) if values.is_empty() => {
            findings.refuse(code::BAD_FIELD, "`values` lists none", place, "write `values: { old: new }`");
            return None;
        }
        RawStep::Values(values) => Step::Values(values.clone()),
        RawStep::Split { at, part } if at.is_empty() || *part == 0 => {
            let help =
                "write `split: { at: \",\", part: 1 }`; parts are counted from 1, or from the end by -1";
            findings.refuse(code::BAD_FIELD, "`split` needs a separator and a part", place, help);
            return None;
        }
        RawStep::Split { at, part } => Step::Split { at: at.clone(), part: *part },
        RawStep::Json(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
            let help = "begin it with a slash: `json: /customer/name`";
            findings.refuse(code::BAD_FIELD, "not a JSON pointer", place, help);
            return None;
        }
        RawStep::Json(pointer) => Step::Json(pointer.clone()),
        RawStep::Hash(reference) => Step::Hash(key_of("hash", reference, place, findings)?),
        RawStep::Encrypt(reference) => Step::Encrypt(key_of("encrypt", reference, place, findings)?),
    })
}

/// The reference to the key of a step.
fn key_of(step: &str, reference: &str, place: Place, findings: &mut Findings<'_>) -> Option<String> {
    let is_reference =
        secret::check(reference).is_ok() && !reference.is_empty() && !secret::has_literal_part(reference);
    if !is_reference {
        let message = format!("the key of `{step}` stands in the spec, which the ledger keeps");
        let help = format!("write a reference: `{step}: \"${{env:FIELD_KEY}}\"` or \"${{file:/path}}\"");
        findings.refuse(code::BAD_REFERENCE, message, place, &help);
    }
    is_reference.then(|| reference.to_owned())
}

fn logical(given: &At<String>, findings: &mut Findings<'_>) -> Option<LogicalType> {
    let found = given.value.parse().ok();
    if found.is_none() {
        let message = format!("unknown type `{}`", given.value);
        let help = "use boolean, int32, int64, decimal(12,2), float64, date, datetime, instant, text, text(40), \
                    bytes, json or uuid";
        findings.refuse(code::BAD_FIELD, message, given.place, help);
    }
    found
}

fn check(raw: &RawRule, findings: &mut Findings<'_>) -> Check {
    let text = |given: &Option<At<String>>| given.as_ref().map(|given| given.value.clone());
    let matches = raw.matches.as_ref().filter(|pattern| {
        let is_usable = pattern.value.len() <= PATTERN_BYTES_MAX && regex::Regex::new(&pattern.value).is_ok();
        if !is_usable {
            let help =
                "see the syntax of the Rust crate `regex`; look-around and back-references are not in it";
            findings.refuse(code::BAD_FIELD, "not a regular expression", pattern.place, help);
        }
        is_usable
    });
    Check {
        required: raw.required.as_ref().is_some_and(|required| required.value),
        empty: raw.empty.as_ref().is_some_and(|empty| empty.value),
        min: text(&raw.min),
        max: text(&raw.max),
        max_length: raw.max_length.as_ref().map(|most| most.value),
        matches: matches.map(|pattern| pattern.value.clone()),
        one_of: texts(raw.one_of.as_ref()),
    }
}

/// What no catalog is needed to see: rules for columns that are left out or that rows are found by.
pub(super) fn check_fields(raw: &RawTable, table: &TableSpec, findings: &mut Findings<'_>) {
    let places = raw.fields.iter().flat_map(|fields| &fields.rules);
    for (name, given) in places {
        let rule = &given.value;
        let added = rule.constant.is_some() || rule.join.is_some() || rule.nest.is_some();
        if !added && table.exclude.contains(name) {
            let message = format!("column `{name}` has a rule and is excluded");
            findings.refuse(
                code::BAD_FIELD,
                message,
                given.place,
                "take it out of `exclude`, or out of `rules`",
            );
        }
    }
    for (name, given) in raw.fields.iter().flat_map(|fields| &fields.rules) {
        let marks = given.value.on_fail.as_ref().filter(|on_fail| on_fail.value == "delete");
        let Some(place) = marks.map(|on_fail| on_fail.place) else { continue };
        let is_as_it_is = |rule: &FieldRule| {
            rule.keeps_values() && matches!(&rule.origin, Origin::Column(column) if column == name)
        };
        if !table.fields.iter().any(is_as_it_is) {
            let message = "`on_fail: delete` asks a column of the source, as it is";
            let help = "take out `apply`, `as`, or what makes the field of others";
            findings.refuse(code::BAD_FIELD, message, place, help);
        }
        if matches!(table.policy, MergePolicy::NewestWins { .. }) {
            let message = "`on_fail: delete` would delete rows that are newer at the target";
            findings.refuse(code::BAD_FIELD, message, place, "let the source win: leave `policy` out");
        }
    }
    for (i, rule) in table.fields.iter().enumerate() {
        if let Some(earlier) = table.fields[..i].iter().find(|earlier| earlier.to == rule.to) {
            let message = format!("two fields go to column `{}`", earlier.to);
            let rules = raw.fields.iter().flat_map(|fields| fields.rules.values());
            let place = rules.map(|rule| rule.place).next().unwrap_or_default();
            findings.refuse(code::BAD_FIELD, message, place, "give one of them another `to`");
        }
    }
}
