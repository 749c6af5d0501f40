//! What a server says about itself while it works: its load, how far it is behind, or what a query finds.

use std::sync::Arc;

use model::ErrorKind;
use model::limits::Gauge;

use super::catalog::cell_text;
use super::session::{Pool, error};
use crate::error::Result;

/// The reading of a gauge, rounded up to a whole number; `None` where the server has nothing to say: one that is no
/// replica, or a replica that has replayed nothing yet.
pub(super) async fn read(pool: &Arc<Pool>, gauge: &Gauge) -> Result<Option<u64>> {
    let operation = format!("read the gauge `{gauge}`");
    let mut lease = pool.lease(&operation).await?;
    let sql = match gauge {
        Gauge::Running => {
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
                .to_owned()
        }
        // Where all that was received is replayed, nothing is behind, however long ago the last transaction was.
        Gauge::Lag => "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL \
             WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
             ELSE EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END"
            .to_owned(),
        // Never more than one statement, and none that writes: what is asked here is asked every second.
        Gauge::Query(query) => format!("BEGIN READ ONLY; {query}; COMMIT"),
    };
    let answers = lease.run(&operation, sql).await?;
    let row = answers.iter().find_map(|answer| answer.rows.first());
    let text = row.and_then(|row| cell_text(row, 0)).map(str::to_owned);
    lease.release();
    let Some(text) = text else { return Ok(None) };
    crate::gauge::whole(&text).map(Some).ok_or_else(|| {
        error(ErrorKind::Unsupported, &operation).with_object("its answer, which is no number")
    })
}
