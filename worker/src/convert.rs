//! Source rows to the target's types: exact, or set aside.

use connectors::Target;
use model::{ErrorKind, Key, QuarantinedRow, Row, TablePlan, Value};

/// Converts one row in place. What the target cannot hold exactly sets the row aside, naming column and reason.
///
/// # Errors
/// The row for the quarantine.
pub(crate) fn row(plan: &TablePlan, target: &dyn Target, mut row: Row) -> Result<Row, QuarantinedRow> {
    for (at, column) in plan.columns.iter().enumerate() {
        let value = std::mem::replace(&mut row[at], Value::Null);
        let converted = if value.is_null() && !column.target.nullable {
            Err((ErrorKind::NotNull, "the target column takes no NULL".to_owned()))
        } else {
            // Kept beside, for the key of a row that is refused.
            let before = plan.key.contains(&at).then(|| value.clone());
            let converted = model::convert(value, &column.target.logical)
                .and_then(|v| target.admits(&v, &column.target).map(|()| v))
                .map_err(|e| (e.kind, e.reason));
            if let (Err(_), Some(before)) = (&converted, before) {
                row[at] = before;
            }
            converted
        };
        match converted {
            Ok(value) => row[at] = value,
            Err((kind, reason)) => {
                let column = Some(column.source.name.clone());
                return Err(QuarantinedRow { key: plan.key_of(&row), column, kind, reason });
            }
        }
    }
    Ok(row)
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
