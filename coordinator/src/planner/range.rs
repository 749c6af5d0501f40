//! A part of a table, by its keys as a person writes them.

use model::convert::read;
use model::{ColumnPlan, ErrorKind, Key, KeyRange, TableSchema, TableSpec};

use super::error::PlanError;

/// The range that a spec asks for, in the source's types.
///
/// # Errors
/// The key has several columns, or an end of the range is no value of it.
pub(super) fn range(
    source: &TableSchema,
    columns: &[ColumnPlan],
    key: &[usize],
    spec: &TableSpec,
) -> Result<Option<KeyRange>, PlanError> {
    let Some(asked) = &spec.range else { return Ok(None) };
    let [place] = key else {
        return Err(PlanError::new(
            ErrorKind::Refused,
            format!("the key of table `{}` is not one column, and a range of keys is of one", source.table),
            "leave the range out, and read the table whole",
        ));
    };
    let column = &columns[*place].source;
    let end = |text: &String| {
        read(text, &column.logical).map(|value| Key(vec![value])).map_err(|error| {
            PlanError::new(
                ErrorKind::Refused,
                format!("an end of the range is no key of table `{}`: {error}", source.table),
                format!("column {} is {}", column.name, column.native),
            )
        })
    };
    Ok(Some(KeyRange {
        lower: asked.from.as_ref().map(end).transpose()?,
        upper: asked.below.as_ref().map(end).transpose()?,
    }))
}
