//! Many rows updated as one set, out of a temporary table.
//!
//! The table has the columns as the target has them, so a value is read there as an INSERT or UPDATE of the target would
//! read it: derived tables of literals have types of their own, and keys of text a collation of their own. A temporary table is the one
//! thing whose definition may come and go within a transaction (<https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html>); to empty
//! it by TRUNCATE would commit.

use model::{TablePlan, TableRef};

use crate::server::Stage;
use crate::sql::Dialect;
use crate::sql::write::written;

/// Fewer rows are updated one by one in less time than a table is made.
const ROWS_MIN: usize = 50;

pub(super) fn stage(plan: &TablePlan, rows: usize, changed: &[usize]) -> Option<Stage> {
    let places = Stage::places(plan, changed).filter(|_| rows >= ROWS_MIN)?;
    let dialect = Dialect::Mysql;
    let name = |at: &usize| dialect.ident(&plan.columns[*at].target.name);
    // What is not set may set itself: a column of ON UPDATE CURRENT_TIMESTAMP.
    let set = |at: &usize| {
        let from = if places.contains(at) { "s" } else { "t" };
        format!("t.{0} = {from}.{0}", name(at))
    };
    let sets: Vec<String> = written(plan).iter().filter(|at| !plan.key.contains(at)).map(set).collect();
    let table = TableRef::named("_syncline_stage");
    let (target, staged) = (dialect.table(&plan.target.table), dialect.table(&table));
    let columns = dialect.idents(places.iter().map(|at| &plan.columns[*at].target.name));
    let key = dialect.idents(plan.key.iter().map(|at| &plan.columns[*at].target.name));
    let pairs: Vec<String> = plan.key.iter().map(|at| format!("t.{0} = s.{0}", name(at))).collect();
    Some(Stage {
        open: format!(
            "DROP TEMPORARY TABLE IF EXISTS {staged}; \
             CREATE TEMPORARY TABLE {staged} (PRIMARY KEY ({key})) ENGINE=InnoDB AS SELECT {columns} FROM {target} LIMIT 0"
        ),
        // Each row by the target's key, in the order of the key.
        update: format!(
            "UPDATE {staged} AS s STRAIGHT_JOIN {target} AS t ON {} SET {}",
            pairs.join(" AND "),
            sets.join(", ")
        ),
        table,
        places,
    })
}
