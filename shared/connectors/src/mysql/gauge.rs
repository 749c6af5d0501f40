//! What a server says about itself while it works: its load, how far it is behind, or what a query finds.

use std::sync::Arc;

use model::ErrorKind;
use model::limits::Gauge;
use sqlx::{Column as _, Row as _};

use super::catalog::cell_text;
use super::session::{Pool, error};
use crate::error::Result;

/// The reading of a gauge, rounded up to a whole number; `None` where the server has nothing to say: a replica whose
/// replication has stopped does not know how far it is behind.
pub(super) async fn read(pool: &Arc<Pool>, gauge: &Gauge) -> Result<Option<u64>> {
    let operation = format!("read the gauge `{gauge}`");
    let mut lease = pool.lease(&operation).await?;
    let (sql, column) = match gauge {
        Gauge::Running => ("SHOW GLOBAL STATUS LIKE 'Threads_running'".to_owned(), Some("Value")),
        Gauge::Lag if lease.server().mariadb => {
            ("SHOW REPLICA STATUS".to_owned(), Some("Seconds_Behind_Master"))
        }
        Gauge::Lag => ("SHOW REPLICA STATUS".to_owned(), Some("Seconds_Behind_Source")),
        // Never more than one statement, and none that writes: what is asked here is asked every second.
        Gauge::Query(query) => (format!("START TRANSACTION READ ONLY; {query}; COMMIT"), None),
    };
    let answers = lease.run(&operation, sql).await?;
    let Some(row) = answers.iter().find_map(|answer| answer.rows.first()) else {
        lease.release();
        return Ok(None);
    };
    let at = match column {
        Some(name) => row.columns().iter().position(|column| column.name() == name),
        None => Some(0),
    };
    let text = at.and_then(|at| cell_text(row, at)).map(str::to_owned);
    lease.release();
    let Some(text) = text else { return Ok(None) };
    crate::gauge::whole(&text).map(Some).ok_or_else(|| {
        error(ErrorKind::Unsupported, &operation).with_object("its answer, which is no number")
    })
}
