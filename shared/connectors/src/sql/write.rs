//! Writing: insert, update, delete.

use model::{Key, Row, TablePlan, TableRef};

use super::select::push_keys;
use super::{Dialect, Statement};

/// Places of the columns that are written: all but those the target computes itself.
pub(crate) fn written(plan: &TablePlan) -> Vec<usize> {
    (0..plan.columns.len()).filter(|i| !plan.columns[*i].target.generated).collect()
}

/// One multi-row INSERT of the columns at these places of the plan's target.
pub(crate) fn insert(
    dialect: Dialect,
    into: &TableRef,
    plan: &TablePlan,
    places: &[usize],
    rows: &[Row],
) -> Statement {
    let mut sql = Statement::new(dialect);
    let names = dialect.idents(places.iter().map(|i| &plan.columns[*i].target.name));
    sql.push(&format!("INSERT INTO {} ({names}) VALUES ", dialect.table(into)));
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            sql.push(", ");
        }
        sql.push_tuple(places.iter().map(|p| &row[*p]));
    }
    sql
}

/// An UPDATE of one row by its key, or `None` if the table has no columns beside the key.
pub(crate) fn update(dialect: Dialect, plan: &TablePlan, row: &Row) -> Option<Statement> {
    let mut sql = Statement::new(dialect);
    sql.push(&format!("UPDATE {} SET ", dialect.table(&plan.target.table)));
    let places: Vec<usize> = written(plan).into_iter().filter(|i| !plan.key.contains(i)).collect();
    if places.is_empty() {
        return None;
    }
    for (n, place) in places.iter().enumerate() {
        if n > 0 {
            sql.push(", ");
        }
        sql.push(&format!("{} = ", dialect.ident(&plan.columns[*place].target.name)))
            .push_value(&row[*place]);
    }
    sql.push(" WHERE ");
    for (n, place) in plan.key.iter().enumerate() {
        if n > 0 {
            sql.push(" AND ");
        }
        sql.push(&format!("{} = ", dialect.ident(&plan.columns[*place].target.name)))
            .push_value(&row[*place]);
    }
    Some(sql)
}

/// One DELETE by key list.
pub(crate) fn delete(dialect: Dialect, plan: &TablePlan, keys: &[Key]) -> Statement {
    let mut sql = Statement::new(dialect);
    sql.push(&format!("DELETE FROM {} WHERE ", dialect.table(&plan.target.table)));
    push_keys(&mut sql, &plan.target_key(), keys);
    sql
}
