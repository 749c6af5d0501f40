//! Rows of other tables that become documents in a field: which of them belong to which row, and what is kept of them.

use std::collections::BTreeMap;

use connectors::Target;
use model::fields::{Nest, Origin};
use model::{Column, ColumnPlan, ErrorKind, NestPlan, TableRef, TableSchema, TableSpec};

use super::error::PlanError;

/// The other tables, by the fields that their rows are nested in.
pub(super) type Others = BTreeMap<String, TableSchema>;

/// The spec with what foreign keys tell, and the tables that it nests.
///
/// # Errors
/// A table or column that is not there, a target without documents, rows that nothing tells to belong together.
pub(super) async fn complete(
    (source, target): (&dyn Target, &dyn Target),
    table: &TableSchema,
    spec: &TableSpec,
) -> Result<(TableSpec, Others), PlanError> {
    let (mut spec, mut others) = (spec.clone(), Others::new());
    for rule in &mut spec.fields {
        let Origin::Nested(nest) = &mut rule.origin else { continue };
        let field = format!("field `{}` of table `{}`", rule.to, table.table);
        if !target.takes_documents() {
            return Err(PlanError::new(
                ErrorKind::Unsupported,
                format!("{field} nests rows as documents, which {} does not keep", target.engine()),
                "take the field out, and copy the other table as a table of its own",
            ));
        }
        let wanted: TableRef = nest.from.parse().unwrap_or_else(|never| match never {});
        let other = source.describe(&wanted).await?.ok_or_else(|| {
            PlanError::new(
                ErrorKind::UnknownTable,
                format!("table `{wanted}`, whose rows {field} nests, does not exist at the source"),
                "correct the name; letter case matters on some servers",
            )
        })?;
        if nest.on.is_empty() {
            nest.on = by_foreign_key(table, &other, nest.one).ok_or_else(|| {
                PlanError::new(
                    ErrorKind::Refused,
                    format!("not one foreign key tells which rows of `{wanted}` belong into {field}"),
                    "say it: `on: { their_column: column_of_this_table }`",
                )
            })?;
        }
        check_columns(&field, nest, table, &other)?;
        others.insert(rule.to.clone(), other);
    }
    Ok((spec, others))
}

/// The columns of the only foreign key between two tables: from the other to this one, or for one document from this one
/// to the other.
fn by_foreign_key(table: &TableSchema, other: &TableSchema, one: bool) -> Option<BTreeMap<String, String>> {
    let towards = |from: &TableSchema, to: &TableSchema| {
        let keys = from.foreign_keys.iter().filter(|foreign| foreign.parent.name == to.table.name);
        keys.map(|key| (key.columns.clone(), key.parent_columns.clone())).collect::<Vec<_>>()
    };
    let mut pairs: Vec<(Vec<String>, Vec<String>)> = towards(other, table);
    if one {
        pairs.extend(towards(table, other).into_iter().map(|(ours, theirs)| (theirs, ours)));
    }
    let (theirs, ours) = pairs.pop().filter(|_| pairs.is_empty())?;
    Some(theirs.into_iter().zip(ours).collect())
}

fn check_columns(
    field: &str,
    nest: &Nest,
    table: &TableSchema,
    other: &TableSchema,
) -> Result<(), PlanError> {
    let is_there = |schema: &TableSchema, name: &String| schema.columns.iter().any(|c| c.name == *name);
    let mut theirs = nest.on.keys().chain(&nest.order_by).chain(&nest.columns);
    let missing = theirs.find(|name| !is_there(other, name)).map(|name| (name, &other.table));
    let missing =
        missing.or_else(|| Some((nest.on.values().find(|name| !is_there(table, name))?, &table.table)));
    if let Some((name, table)) = missing {
        return Err(PlanError::new(
            ErrorKind::UnknownColumn,
            format!("table `{table}` has no column `{name}`, which {field} names"),
            "correct the name; letter case matters",
        ));
    }
    if let Some(column) = kept(nest, other).find(|column| column.name.starts_with('$')) {
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!(
                "column `{}` of table `{}` has no name that a document may have",
                column.name, other.table
            ),
            "list the columns that are to be kept: `columns: […]`",
        ));
    }
    Ok(())
}

/// Columns of the other table that are kept.
fn kept<'a>(nest: &'a Nest, other: &'a TableSchema) -> impl Iterator<Item = &'a Column> {
    other.columns.iter().filter(|column| {
        if nest.columns.is_empty() {
            !nest.on.contains_key(&column.name)
        } else {
            nest.columns.contains(&column.name)
        }
    })
}

/// What the nested fields among `columns` are made of, in their order.
pub(super) fn plans(others: &Others, columns: &[ColumnPlan], target: &dyn Target) -> Vec<NestPlan> {
    let rules = columns.iter().filter_map(|pair| pair.rule.as_ref());
    let nested = rules.filter_map(|rule| Some((rule.nest()?, others.get(&rule.to)?)));
    nested
        .map(|(nest, other)| {
            let kept: Vec<(Column, Column)> =
                kept(nest, other).map(|column| (column.clone(), target.column_for(column))).collect();
            let is_read = |column: &&Column| {
                kept.iter().any(|(source, _)| source.name == column.name)
                    || nest.on.contains_key(&column.name)
                    || nest.order_by.contains(&column.name)
            };
            let read = other.columns.iter().filter(is_read).cloned().collect();
            NestPlan {
                table: TableSchema { columns: read, ..other.clone() },
                on: nest.on.clone().into_iter().collect(),
                order_by: nest.order_by.clone(),
                kept,
                one: nest.one,
            }
        })
        .collect()
}

/// What a person should know of them; `mark` is the column that tells changes, if the table is incremental.
pub(super) fn notes(nests: &[NestPlan], mark: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    for nest in nests {
        let names: Vec<&str> = nest.on.iter().map(|(theirs, _)| theirs.as_str()).collect();
        let (table, listed) = (&nest.table.table, names.join(", "));
        let begins = |columns: &[String]| {
            columns.len() >= names.len() && columns[..names.len()].iter().all(|c| names.contains(&c.as_str()))
        };
        let is_indexed =
            begins(&nest.table.primary_key) || nest.table.indexes.iter().any(|index| begins(&index.columns));
        if !is_indexed {
            notes.push(format!(
                "no index of {table} begins with {listed}: it is searched whole again and again"
            ));
        }
        if let Some(mark) = mark {
            notes.push(format!("a change in {table} is seen when {mark} of its row changes too"));
        }
    }
    notes
}
