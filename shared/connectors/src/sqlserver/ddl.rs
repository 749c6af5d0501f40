//! The tables that are made here: CREATE TABLE for the target of a plan.

use std::collections::HashSet;

use model::{Column, LogicalType, TablePlan};

use super::mapping::{anew, type_for};
use crate::sql::Dialect;

/// Bytes of a clustered index entry.
const KEY_BYTES_MAX: u64 = 900;
/// A collation under which no two texts are one, but for blanks at the end.
const EXACT: &str = "Latin1_General_100_BIN2";

/// CREATE TABLE for the target of `plan`: columns and primary key. Secondary indexes and foreign keys come after the
/// rows. `collations` are those of the plan that the server has.
pub(super) fn create_table(plan: &TablePlan, collations: &HashSet<String>) -> String {
    let mut lines: Vec<String> = (0..plan.columns.len()).map(|at| definition(plan, at, collations)).collect();
    if !plan.key.is_empty() {
        lines.push(format!("PRIMARY KEY ({})", Dialect::Sqlserver.idents(&plan.target_key())));
    }
    format!("CREATE TABLE {} (\n  {}\n)", Dialect::Sqlserver.table(&plan.target.table), lines.join(",\n  "))
}

fn definition(plan: &TablePlan, at: usize, collations: &HashSet<String>) -> String {
    let column: &Column = &plan.columns[at].target;
    let in_key = plan.key.contains(&at);
    let among = |list: &[String]| list.contains(&column.name);
    let refers = plan.target.foreign_keys.iter().any(|key| among(&key.columns));
    let is_unique = plan.target.indexes.iter().any(|index| index.unique && among(&index.columns));
    let native = anew(&column.native).unwrap_or_else(|| type_for(column).0);
    let native = indexable(&native, in_key || refers, plan.key.len());
    let mut sql = format!("{} {native}", Dialect::Sqlserver.ident(&column.name));
    if matches!(column.logical, LogicalType::Text { .. }) && has_collation(&native) {
        // The source's where this server has it; else one under which no two values are equal, where that matters.
        let known = column.collation.as_ref().filter(|name| collations.contains(*name)).map(String::as_str);
        let exact = (in_key || refers || is_unique).then_some(EXACT);
        if let Some(name) = known.or(exact) {
            sql.push_str(&format!(" COLLATE {name}"));
        }
    }
    sql.push_str(if in_key || !column.nullable { " NOT NULL" } else { " NULL" });
    // Rows come with their numbers.
    if column.auto_increment {
        sql.push_str(" IDENTITY(1,1)");
    }
    sql
}

fn has_collation(native: &str) -> bool {
    ["nvarchar", "nchar", "varchar", "char"].contains(&native.split('(').next().unwrap_or_default())
}

/// A key of columns without a limit shares what an index entry holds.
fn indexable(native: &str, must_be: bool, columns: usize) -> String {
    let share = KEY_BYTES_MAX / columns.max(1) as u64;
    match native {
        "nvarchar(max)" if must_be => format!("nvarchar({})", share / 2),
        "varbinary(max)" if must_be => format!("varbinary({share})"),
        _ => native.to_owned(),
    }
}
