//! What is under way at the server.

use std::sync::Arc;

use model::{Activity, Engine, ErrorKind};

use super::catalog::cell_text;
use super::session::Pool;
use crate::error::{Error, Result};

/// The clock is read first. A prepared transaction shows when it was prepared, not when it began. The zone that other
/// sessions have is not known here: each client may bring its own.
const LOOK: &str = "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000) AS bigint), \
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), \
    EXISTS (SELECT 1 FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = current_database())";
/// Transactions of this database by when they began, which is the time that `now()` gives in them. A vacuum, which may take
/// hours, and what sends the log away change no row.
const TRANSACTIONS: &str = "SELECT a.pid, CAST(EXTRACT(EPOCH FROM a.xact_start) * 1000000 AS bigint) \
    FROM pg_catalog.pg_stat_activity AS a WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() \
    AND a.datname = current_database() AND a.backend_type NOT IN ('autovacuum worker', 'walsender')";

pub(super) async fn activity(pool: &Arc<Pool>, watched: bool) -> Result<Activity> {
    let operation = "look at what is under way at the server";
    let mut lease = pool.lease(operation).await?;
    let looked = lease.rows(operation, LOOK.to_owned()).await?;
    // A statement of its own: in one snapshot of statistics the clock would not be the first that is read.
    let open = if watched { lease.rows(operation, TRANSACTIONS.to_owned()).await? } else { Vec::new() };
    lease.release();
    let text = |at| looked.first().and_then(|row| cell_text(row, at)).unwrap_or_default();
    if watched && text(1) != "t" {
        return Err(Error::new(ErrorKind::Permission, Engine::Postgres, operation)
            .with_object("the work of others: it takes the role pg_read_all_stats"));
    }
    let micros = text(0).parse().map_err(|_| Error::new(ErrorKind::Internal, Engine::Postgres, operation))?;
    let transactions =
        open.iter().filter_map(|row| Some((cell_text(row, 0)?.parse().ok()?, cell_text(row, 1)?.to_owned())));
    Ok(Activity {
        micros,
        ahead_s: None,
        statements: Vec::new(),
        transactions: transactions.collect(),
        is_unknown: watched && text(2) == "t",
    })
}
