//! Rules of fields, held against the columns that there are.

use connectors::Connections;
use model::convert::read;
use model::fields::{Check, FieldRule, OnFail, Origin, Step, encryption_key};
use model::{Column, ColumnPlan, ErrorKind, LogicalType, MergePolicy, RunSpec, TableSchema, TableSpec};
use secrecy::ExposeSecret as _;

use super::error::PlanError;

/// A column of the target to be: what is behind it at the source, as the target is to see it, and its rule.
pub(super) struct Field<'a> {
    pub(super) source: Column,
    pub(super) seen: Column,
    pub(super) rule: Option<&'a FieldRule>,
}

/// The fields of a table: the source's columns in their order, then those that are added.
///
/// # Errors
/// A rule for a column that is not there, or two fields of one name.
pub(super) fn fields<'a>(source: &TableSchema, spec: &'a TableSpec) -> Result<Vec<Field<'a>>, PlanError> {
    let is_there = |name: &String| source.columns.iter().any(|column| column.name == *name);
    for rule in &spec.fields {
        let needed = match &rule.origin {
            Origin::Column(column) => std::slice::from_ref(column),
            Origin::Joined { columns, .. } => columns.as_slice(),
            // Those that a row of another table refers to were looked for with that table.
            Origin::Constant(_) | Origin::Nested(_) => &[],
        };
        let missing = needed.iter().find(|name| !is_there(name));
        // A pattern's tables need not all have the column.
        if let Some(name) = missing.filter(|_| !spec.is_pattern()) {
            return Err(PlanError::new(
                ErrorKind::UnknownColumn,
                format!("column `{name}`, which `fields:` of table `{}` names, is not there", source.table),
                "correct the name; letter case matters",
            ));
        }
    }
    let is_bytes = |name: &&String| {
        let column = source.columns.iter().find(|column| column.name == **name);
        column.is_some_and(|column| matches!(column.logical, LogicalType::Bytes { .. }))
    };
    let joined = spec.fields.iter().filter_map(|rule| match &rule.origin {
        Origin::Joined { columns, .. } => columns.iter().find(is_bytes),
        Origin::Column(_) | Origin::Constant(_) | Origin::Nested(_) => None,
    });
    if let Some(name) = joined.into_iter().next() {
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!(
                "column `{name}` of table `{}` holds bytes, which cannot be joined as text",
                source.table
            ),
            "leave it out of `join:`",
        ));
    }
    let rule_of = |column: &Column| {
        spec.fields.iter().find(|rule| matches!(&rule.origin, Origin::Column(name) if *name == column.name))
    };
    let copied = source.columns.iter().filter(|column| !spec.exclude.contains(&column.name));
    let mut fields: Vec<Field<'_>> = copied
        .map(|column| {
            let rule = rule_of(column);
            let seen = rule.map_or_else(|| column.clone(), |rule| rule.seen(column));
            Field { source: column.clone(), seen, rule }
        })
        .collect();
    let is_possible = |rule: &&FieldRule| match &rule.origin {
        Origin::Joined { columns, .. } => columns.iter().all(is_there),
        Origin::Column(_) | Origin::Constant(_) | Origin::Nested(_) => true,
    };
    for rule in spec.fields.iter().filter(|rule| rule.is_added()).filter(is_possible) {
        let source = rule.stand_in();
        fields.push(Field { seen: rule.seen(&source), source, rule: Some(rule) });
    }
    for (i, field) in fields.iter().enumerate() {
        let name = &field.seen.name;
        if fields[..i].iter().any(|earlier| earlier.seen.name.eq_ignore_ascii_case(name)) {
            return Err(PlanError::new(
                ErrorKind::Refused,
                format!("two fields of table `{}` would be column `{name}` at the target", source.table),
                "give one of them another `to`, or leave one out with `exclude:`",
            ));
        }
    }
    Ok(fields)
}

/// Looks for the keys that rules hash and encrypt with, which every worker will need.
///
/// # Errors
/// A reference that leads nowhere from here, or to what is no key.
pub(super) fn find_keys(spec: &RunSpec, connections: &Connections) -> Result<(), PlanError> {
    for step in spec.tables.iter().flat_map(|table| &table.fields).flat_map(|rule| &rule.steps) {
        if let Step::Hash(reference) = step {
            connections.secret(reference)?;
        }
        if let Step::Encrypt(reference) = step
            && encryption_key(connections.secret(reference)?.expose_secret()).is_none()
        {
            return Err(PlanError::new(
                ErrorKind::Refused,
                format!("`{reference}` leads to no key to encrypt with"),
                "make one of 128 hexadecimal digits: openssl rand -hex 64",
            ));
        }
    }
    Ok(())
}

/// Columns that others are made of or found by, and that are not copied themselves.
pub(super) fn inputs(source: &TableSchema, columns: &[ColumnPlan]) -> Vec<Column> {
    let origins = columns.iter().filter_map(|pair| Some(&pair.rule.as_ref()?.origin));
    let mut names: Vec<&String> = origins
        .flat_map(|origin| match origin {
            Origin::Joined { columns, .. } => columns.iter().collect(),
            Origin::Nested(nest) => nest.on.values().collect(),
            Origin::Column(_) | Origin::Constant(_) => Vec::new(),
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    let is_read = |name: &String| columns.iter().any(|pair| pair.reads(name));
    let missing = names.into_iter().filter(|name| !is_read(name));
    missing.filter_map(|name| source.columns.iter().find(|column| column.name == *name).cloned()).collect()
}

/// Columns that rows are found by keep their values, and limits are values of their column.
///
/// # Errors
/// A rule that cannot hold: `next` says what would.
pub(super) fn check(
    source: &TableSchema,
    columns: &[ColumnPlan],
    key: &[usize],
    spec: &TableSpec,
) -> Result<(), PlanError> {
    for (at, pair) in columns.iter().enumerate() {
        let Some(rule) = &pair.rule else { continue };
        let refuse = |what: String, next: &str| {
            let table = &source.table;
            Err(PlanError::new(
                ErrorKind::Refused,
                format!("field `{}` of table `{table}` {what}", rule.to),
                next,
            ))
        };
        let tells_changes = spec.incremental.as_ref().is_some_and(|asked| asked.column == pair.source.name);
        let tells_newest =
            matches!(&spec.policy, MergePolicy::NewestWins { column, .. } if *column == pair.source.name);
        if !rule.keeps_values() && (key.contains(&at) || tells_changes || tells_newest) {
            let what = "is by what rows or their changes are found: its values must stay as they are";
            return refuse(what.to_owned(), "leave it `to`, and checks; take out `apply` and `as`");
        }
        if rule.on_fail == OnFail::Delete && key.is_empty() {
            let what = "marks deleted rows, and without a key none can be found at the target";
            return refuse(what.to_owned(), "name a key with `key:`");
        }
        if let Err(what) = check_limits(&rule.check, &pair.target.logical) {
            return refuse(what, "correct the limits, or give the field another type with `as:`");
        }
    }
    Ok(())
}

fn check_limits(check: &Check, logical: &LogicalType) -> Result<(), String> {
    let has_range = check.min.is_some() || check.max.is_some();
    let has_order = matches!(
        logical,
        LogicalType::Int { .. }
            | LogicalType::Decimal { .. }
            | LogicalType::AnyDecimal
            | LogicalType::Float32
            | LogicalType::Float64
            | LogicalType::Date
            | LogicalType::Time { .. }
            | LogicalType::DateTime { .. }
            | LogicalType::Instant { .. }
    );
    if has_range && !has_order {
        return Err(format!("is {logical} at the target, which has no `min` and `max`"));
    }
    for limit in check.min.iter().chain(&check.max).chain(&check.one_of) {
        read(limit, logical).map_err(|error| format!("has a limit that is no {logical}: {error}"))?;
    }
    let is_text = !matches!(logical, LogicalType::Bytes { .. });
    if !is_text && (check.matches.is_some() || check.max_length.is_some()) {
        return Err(format!("is {logical} at the target, which is no text to match or measure"));
    }
    Ok(())
}
