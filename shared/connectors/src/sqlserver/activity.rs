//! What is under way at the server.

use std::sync::Arc;

use model::{Activity, DateTime, Engine, ErrorKind};

use super::catalog::cell_text;
use super::session::Pool;
use crate::error::{Error, Result};

/// The clock in UTC and in the server's own zone.
const CLOCK: &str = "SELECT CONVERT(nvarchar(30), SYSUTCDATETIME(), 126), CONVERT(nvarchar(30), SYSDATETIME(), 126), \
    HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')";
/// Statements at work, and for how many milliseconds; the server's own never end.
const STATEMENTS: &str = "SELECT r.session_id, r.total_elapsed_time FROM sys.dm_exec_requests AS r \
    JOIN sys.dm_exec_sessions AS s ON s.session_id = r.session_id \
    WHERE r.session_id <> @@SPID AND s.is_user_process = 1";
/// Open transactions; each has a number of its own.
const TRANSACTIONS: &str = "SELECT t.session_id, t.transaction_id FROM sys.dm_tran_session_transactions AS t \
    WHERE t.session_id <> @@SPID";

pub(super) async fn activity(pool: &Arc<Pool>, watched: bool) -> Result<Activity> {
    let operation = "look at what is under way at the server";
    let failed = |kind| Error::new(kind, Engine::Sqlserver, operation);
    let mut lease = pool.lease(operation).await?;
    let clock = lease.rows(operation, CLOCK.to_owned()).await?;
    let text = |at| clock.first().and_then(|row| cell_text(row, at)).unwrap_or_default();
    if watched && text(2) != "1" {
        let what = "the work of others: it takes the right VIEW SERVER STATE";
        return Err(failed(ErrorKind::Permission).with_object(what));
    }
    let (mut statements, mut open) = (Vec::new(), Vec::new());
    if watched {
        statements = lease.rows(operation, STATEMENTS.to_owned()).await?;
        open = lease.rows(operation, TRANSACTIONS.to_owned()).await?;
    }
    lease.release();
    let micros = |at| DateTime::parse(&text(at)).ok().and_then(DateTime::unix_micros);
    let (utc, local) = (micros(0), micros(1));
    let utc = utc.ok_or_else(|| failed(ErrorKind::Internal))?;
    // The two were read one after the other.
    let ahead = local.map(|local| (local - utc + 30_000_000).div_euclid(60_000_000) * 60);
    let statements = statements.iter().filter_map(|row| {
        let millis: u64 = cell_text(row, 1)?.parse().ok()?;
        Some((cell_text(row, 0)?.parse().ok()?, millis.div_ceil(1_000)))
    });
    let transactions = open
        .iter()
        .filter_map(|row| Some((cell_text(row, 0)?.parse().ok()?, cell_text(row, 1)?.into_owned())));
    Ok(Activity {
        micros: utc,
        ahead_s: ahead.and_then(|seconds| i32::try_from(seconds).ok()),
        statements: statements.collect(),
        transactions: transactions.collect(),
        is_unknown: false,
    })
}
