//! Source rows to the target's columns and types: exact, or set aside.

use std::panic::AssertUnwindSafe;

use connectors::{Error, Target};
use model::fields::OnFail;
use model::{ErrorKind, Key, QuarantinedRow, Row, TablePlan, Value};

use crate::fields::Fields;

/// A row that cannot be written, and what is to become of it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) row: QuarantinedRow,
    pub(crate) then: OnFail,
}

impl Refusal {
    /// For a rule by which such a row ends the run.
    pub(crate) fn error(&self, plan: &TablePlan, engine: model::Engine) -> Error {
        let column = self.row.column.as_deref().unwrap_or_default();
        let operation = format!("copy table {}", plan.source.table);
        let what = format!("field {column}: {}, and its rule says `on_fail: fail`", self.row.reason);
        Error::new(ErrorKind::Refused, engine, operation).with_object(what)
    }
}

/// Brings one row of the source into the plan's columns. What the target cannot hold exactly, or a rule forbids, sets the
/// row aside, naming column and reason; so does a panic, which is a bug that must not cost more than this row.
///
/// # Errors
/// The row for the quarantine, unless its rule says otherwise.
pub(crate) fn row(
    plan: &TablePlan,
    fields: &Fields,
    target: &dyn Target,
    mut row: Row,
) -> std::result::Result<Row, Refusal> {
    let converted = std::panic::catch_unwind(AssertUnwindSafe(|| in_place(plan, fields, target, &mut row)));
    let (column, then, (kind, reason)) = match converted {
        Ok(Ok(())) => return Ok(row),
        Ok(Err((at, why))) => {
            let then = fields.on_fail(at);
            // Only what the mark says deletes a row, not that it could not be read.
            let is_unread = then == OnFail::Delete && why.0 != ErrorKind::Check;
            let then = if is_unread { OnFail::Quarantine } else { then };
            (Some(plan.columns[at].source.name.clone()), then, why)
        }
        Err(_) => {
            let bug = "converting the row panicked; this is a bug".to_owned();
            (None, OnFail::Quarantine, (ErrorKind::Internal, bug))
        }
    };
    Err(Refusal { row: QuarantinedRow { key: plan.key_of(&row), column, kind, reason }, then })
}

/// Which column could not be converted, and why.
type Refused = (usize, (ErrorKind, String));

fn in_place(
    plan: &TablePlan,
    fields: &Fields,
    target: &dyn Target,
    row: &mut Row,
) -> std::result::Result<(), Refused> {
    failpoint::panic_point("convert");
    fields.complete(row);
    for at in fields.order(plan.columns.len()) {
        let column = &plan.columns[at];
        // A key stays in its place until it is converted: it names the row if that is refused.
        let is_key = plan.key.contains(&at);
        let value = if is_key { row[at].clone() } else { std::mem::replace(&mut row[at], Value::Null) };
        let refused = |error: model::ConvertError| (at, (error.kind, error.reason));
        let value = fields.apply(at, value).map_err(refused)?;
        if value.is_null() {
            fields.check(at, &value).map_err(refused)?;
            if !column.target.nullable {
                return Err((at, (ErrorKind::NotNull, "the target column takes no NULL".to_owned())));
            }
            continue;
        }
        let value = match target.cut(&value, &column.target).filter(|_| !is_key) {
            Some((kept, _)) => kept,
            None => value,
        };
        row[at] = model::convert(value, &column.target.logical)
            .and_then(|v| target.admits(&v, &column.target).map(|()| v))
            .and_then(|v| fields.check(at, &v).map(|()| v))
            .map_err(refused)?;
    }
    Ok(())
}

/// Columns of which the target keeps less than there is, and what is lost; those that a rule changes are not among them.
pub(crate) fn lost(plan: &TablePlan, target: &dyn Target, row: &Row) -> Vec<(String, &'static str)> {
    let columns = plan.columns.iter().enumerate();
    let kept = columns.filter(|(at, column)| column.rule.is_none() && !plan.key.contains(at));
    let lost = kept.filter_map(|(at, column)| {
        let (_, loss) = target.cut(&row[at], &column.target)?;
        Some((column.source.name.clone(), loss))
    });
    lost.collect()
}

/// A target key in the source's types, to look it up there; `None` if the source cannot hold it.
pub(crate) fn key_to_source(plan: &TablePlan, key: &Key) -> Option<Key> {
    let convert = |(value, place): (&Value, &usize)| {
        model::convert(value.clone(), &plan.columns[*place].source.logical).ok()
    };
    key.0.iter().zip(&plan.key).map(convert).collect::<Option<Vec<_>>>().map(Key)
}

/// A source key in the target's types; `None` if the target cannot hold it.
pub(crate) fn key_to_target(plan: &TablePlan, key: &[Value]) -> Option<Key> {
    let convert = |(value, place): (&Value, &usize)| {
        model::convert(value.clone(), &plan.columns[*place].target.logical).ok()
    };
    key.iter().zip(&plan.key).map(convert).collect::<Option<Vec<_>>>().map(Key)
}
