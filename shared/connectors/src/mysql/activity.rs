//! What is under way at the server.

use std::sync::Arc;
use std::time::Duration;

use model::{Activity, Engine, ErrorKind};
use uuid::Uuid;

use super::catalog::cell_text;
use super::session::{Lease, Pool};
use crate::error::{Error, Result};

/// Who is connected is asked in the statement that tells the clock, open transactions in the next: what begins between
/// the two has a later clock. A statement that waits for a table's lock is in the first list alone, and its transaction
/// shows in the second only afterwards, with a later beginning.
const SESSIONS: &str = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED), \
    TIMESTAMPDIFF(SECOND, NOW(), CONVERT_TZ(NOW(), '+00:00', @@global.time_zone)), p.ID, p.TIME \
    FROM information_schema.PROCESSLIST AS p \
    WHERE p.COMMAND NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID') OR p.ID = CONNECTION_ID() \
    ORDER BY p.ID <> CONNECTION_ID()";
/// Transactions that only read bring no marks; those that have not written yet may, and get another `trx_id` then: only
/// session and beginning tell a transaction from others. The server answers from a copy that it renews only if nobody has
/// asked for 0.1 s, so an answer counts if this very question, which holds a word of its own, stands in it.
fn transactions(word: &str) -> String {
    format!(
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; \
         SELECT t.trx_mysql_thread_id, t.trx_started, t.trx_mysql_thread_id = CONNECTION_ID() AND t.trx_query LIKE '%{word}%' \
         FROM information_schema.INNODB_TRX AS t WHERE t.trx_mysql_thread_id = CONNECTION_ID() OR t.trx_is_read_only = 0; \
         COMMIT"
    )
}

/// How often the copy is asked for; others may ask for it, too.
const TRIES: u32 = 20;
/// After this the server renews it.
const RENEWED_AFTER: Duration = Duration::from_millis(120);

/// Without the right PROCESS a user is shown itself alone, and no error: what needs it and does nothing is asked first.
const NEEDS_PROCESS: &str = "SHOW ENGINE INNODB STATUS";

pub(super) async fn activity(pool: &Arc<Pool>, watched: bool) -> Result<Activity> {
    let operation = "look at what is under way at the server";
    let mut lease = pool.lease(operation).await?;
    if watched {
        let may_see = lease.run(operation, NEEDS_PROCESS.to_owned()).await;
        may_see.map_err(|failed| {
            let is_hidden = failed.kind == ErrorKind::Permission;
            if is_hidden {
                failed.with_object("the work of others: it takes the right PROCESS")
            } else {
                failed
            }
        })?;
    }
    let mut sessions = lease.rows(operation, SESSIONS.to_owned()).await?;
    let mut open = Some(Vec::new());
    if watched {
        open = open_transactions(&mut lease, operation).await?;
    } else {
        sessions.truncate(1);
    }
    let own = lease.id();
    lease.release();
    let number = |row, at| cell_text(row, at).and_then(|text| text.parse::<i64>().ok());
    let first = sessions.first();
    let micros = first.and_then(|row| number(row, 0));
    let micros = micros.ok_or_else(|| Error::new(ErrorKind::Internal, Engine::Mysql, operation))?;
    let statements = sessions.iter().filter_map(|row| {
        let session = u64::try_from(number(row, 2)?).ok().filter(|id| *id != own)?;
        // Before a session has said anything its time is not known.
        Some((session, u64::try_from(number(row, 3).unwrap_or(i64::MAX)).unwrap_or(0)))
    });
    let is_unknown = open.is_none();
    Ok(Activity {
        micros,
        ahead_s: first.and_then(|row| number(row, 1)).and_then(|s| i32::try_from(s).ok()),
        statements: statements.collect(),
        transactions: open.unwrap_or_default(),
        is_unknown,
    })
}

/// Open transactions of others; `None` if the server has told nothing new. Those it has recovered have the session 0 and
/// count as any other.
async fn open_transactions(lease: &mut Lease, operation: &str) -> Result<Option<Vec<(u64, String)>>> {
    let own = lease.id();
    for _ in 0..TRIES {
        let word = Uuid::new_v4().simple().to_string();
        let answers = lease.run(operation, transactions(&word)).await?;
        let rows: Vec<_> = answers.iter().flat_map(|answer| &answer.rows).collect();
        if rows.iter().any(|row| cell_text(row, 2) == Some("1")) {
            let told = rows.iter().filter_map(|row| {
                let session: u64 = cell_text(row, 0)?.parse().ok()?;
                Some((session, cell_text(row, 1)?.to_owned()))
            });
            return Ok(Some(told.filter(|(session, _)| *session != own).collect()));
        }
        tokio::time::sleep(RENEWED_AFTER).await;
    }
    Ok(None)
}
