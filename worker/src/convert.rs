//! Source rows to the target's types: exact, or set aside.

use std::panic::AssertUnwindSafe;

use connectors::Target;
use model::{ErrorKind, Key, QuarantinedRow, Row, TablePlan, Value};

/// Converts one row. What the target cannot hold exactly sets the row aside, naming column and reason; so does a panic,
/// which is a bug that must not cost more than this row.
///
/// # Errors
/// The row for the quarantine.
pub(crate) fn row(plan: &TablePlan, target: &dyn Target, mut row: Row) -> Result<Row, QuarantinedRow> {
    let converted = std::panic::catch_unwind(AssertUnwindSafe(|| in_place(plan, target, &mut row)));
    let (column, (kind, reason)) = match converted {
        Ok(Ok(())) => return Ok(row),
        Ok(Err((at, why))) => (Some(plan.columns[at].source.name.clone()), why),
        Err(_) => (None, (ErrorKind::Internal, "converting the row panicked; this is a bug".to_owned())),
    };
    Err(QuarantinedRow { key: plan.key_of(&row), column, kind, reason })
}

/// Which column could not be converted, and why.
type Refused = (usize, (ErrorKind, String));

fn in_place(plan: &TablePlan, target: &dyn Target, row: &mut Row) -> Result<(), Refused> {
    failpoint::panic_point("convert");
    for (at, column) in plan.columns.iter().enumerate() {
        if row[at].is_null() {
            if !column.target.nullable {
                return Err((at, (ErrorKind::NotNull, "the target column takes no NULL".to_owned())));
            }
            continue;
        }
        // A key stays in its place until it is converted: it names the row if that is refused.
        let is_key = plan.key.contains(&at);
        let value = if is_key { row[at].clone() } else { std::mem::replace(&mut row[at], Value::Null) };
        let value = match target.cut(&value, &column.target).filter(|_| !is_key) {
            Some((kept, _)) => kept,
            None => value,
        };
        row[at] = model::convert(value, &column.target.logical)
            .and_then(|v| target.admits(&v, &column.target).map(|()| v))
            .map_err(|e| (at, (e.kind, e.reason)))?;
    }
    Ok(())
}

/// Columns of which the target keeps less than there is, and what is lost.
pub(crate) fn lost(plan: &TablePlan, target: &dyn Target, row: &Row) -> Vec<(String, &'static str)> {
    let columns = plan.columns.iter().enumerate().filter(|(at, _)| !plan.key.contains(at));
    let lost = columns.filter_map(|(at, column)| {
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
