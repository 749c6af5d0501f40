//! Many rows updated as one set, out of a temporary table.
//!
//! Only the columns that changed are put there and set: few of a row do, and each costs as it is written, sent and read.
//!
//! The table has the columns as the target has them, so a value is read there as an INSERT or UPDATE of the target would
//! read it; a list of VALUES would need casts, and a cast cuts what is too long. It is filled by INSERT, with everything
//! else in one message: a COPY of few rows waits 40 ms for an acknowledgement, since the driver leaves Nagle's algorithm on.

use model::{TablePlan, TableRef};

use crate::server::Stage;
use crate::sql::Dialect;

/// Fewer rows are updated one by one in less time than a table is made.
const ROWS_MIN: usize = 100;

pub(super) fn stage(plan: &TablePlan, rows: usize, changed: &[usize]) -> Option<Stage> {
    let places = Stage::places(plan, changed).filter(|_| rows >= ROWS_MIN)?;
    let set: Vec<usize> = places.iter().copied().filter(|at| !plan.key.contains(at)).collect();
    let table = TableRef { schema: Some("pg_temp".to_owned()), name: "_syncline_stage".to_owned() };
    let dialect = Dialect::Postgres;
    let (target, staged) = (dialect.table(&plan.target.table), dialect.table(&table));
    let name = |at: &usize| dialect.ident(&plan.columns[*at].target.name);
    let pairs = |places: &[usize], target: &str, between: &str| {
        let pairs = places.iter().map(|at| format!("{target}{0} = s.{0}", name(at)));
        pairs.collect::<Vec<_>>().join(between)
    };
    let columns = dialect.idents(places.iter().map(|at| &plan.columns[*at].target.name));
    Some(Stage {
        open: format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DROP AS SELECT {columns} FROM {target} WITH NO DATA; \
             TRUNCATE {staged}",
            dialect.ident(&table.name)
        ),
        // The limit tells the planner how many rows there are: it knows nothing of the table.
        update: format!(
            "UPDATE {target} AS t SET {} FROM (SELECT * FROM {staged} LIMIT {rows}) AS s WHERE {}",
            pairs(&set, "", ", "),
            pairs(&plan.key, "t.", " AND ")
        ),
        table,
        places,
    })
}
