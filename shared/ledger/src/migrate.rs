//! The schema, by numbered files. Two processes may migrate at once: one waits for the other.

use sqlx::{AnyConnection, Connection as _};

use crate::dialect::Dialect;
use crate::error::Cause;
use crate::fields::Fields as _;

/// Statements of each version, from 1. A file that has been released is never changed.
const fn files(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => &[
            include_str!("../migrations/sqlite/0001_runs.sql"),
            include_str!("../migrations/sqlite/0002_watermarks.sql"),
            include_str!("../migrations/sqlite/0003_pipelines.sql"),
            include_str!("../migrations/sqlite/0004_tokens.sql"),
            include_str!("../migrations/sqlite/0005_logins.sql"),
            include_str!("../migrations/sqlite/0006_corrections.sql"),
            include_str!("../migrations/sqlite/0007_conflicts.sql"),
            include_str!("../migrations/sqlite/0008_alerts.sql"),
            include_str!("../migrations/sqlite/0009_requests.sql"),
            include_str!("../migrations/sqlite/0010_audit.sql"),
        ],
        Dialect::Mysql => &[
            include_str!("../migrations/mysql/0001_runs.sql"),
            include_str!("../migrations/mysql/0002_watermarks.sql"),
            include_str!("../migrations/mysql/0003_pipelines.sql"),
            include_str!("../migrations/mysql/0004_tokens.sql"),
            include_str!("../migrations/mysql/0005_logins.sql"),
            include_str!("../migrations/mysql/0006_corrections.sql"),
            include_str!("../migrations/mysql/0007_conflicts.sql"),
            include_str!("../migrations/mysql/0008_alerts.sql"),
            include_str!("../migrations/mysql/0009_requests.sql"),
            include_str!("../migrations/mysql/0010_audit.sql"),
        ],
        Dialect::Postgres => &[
            include_str!("../migrations/postgres/0001_runs.sql"),
            include_str!("../migrations/postgres/0002_watermarks.sql"),
            include_str!("../migrations/postgres/0003_pipelines.sql"),
            include_str!("../migrations/postgres/0004_tokens.sql"),
            include_str!("../migrations/postgres/0005_logins.sql"),
            include_str!("../migrations/postgres/0006_corrections.sql"),
            include_str!("../migrations/postgres/0007_conflicts.sql"),
            include_str!("../migrations/postgres/0008_alerts.sql"),
            include_str!("../migrations/postgres/0009_requests.sql"),
            include_str!("../migrations/postgres/0010_audit.sql"),
        ],
    }
}

/// `SQLSTATE` of a column that is there already.
const DUPLICATE_COLUMN: &str = "42S21";

const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS syncline_schema_version \
    (version BIGINT NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)";

/// The version this program writes and the newest it reads.
fn known(dialect: Dialect) -> i64 {
    i64::try_from(files(dialect).len()).unwrap_or(i64::MAX)
}

/// Brings the schema up to this program's version. A ledger that already has it is only read, so a role without
/// the right to make tables can open it; a newer one is refused and left as it is.
pub(crate) async fn migrate(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), Cause> {
    if version(conn, dialect).await? == known(dialect) {
        return Ok(());
    }
    match dialect {
        Dialect::Sqlite => {
            // DDL is transactional: all or nothing, and a second process waits at BEGIN.
            let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
            apply(&mut tx, dialect).await?;
            Ok(tx.commit().await?)
        }
        Dialect::Postgres => {
            // DDL is transactional, but two that make one table at once fail instead of waiting: a lock of this
            // database and schema, which ends with the transaction, makes the second one wait.
            const LOCK: &str =
                "SELECT pg_advisory_xact_lock(hashtext('syncline-ledger'), hashtext(current_schema()))";
            let mut tx = conn.begin_with(dialect.begin_write()).await?;
            sqlx::query("SET LOCAL lock_timeout = '30s'").execute(&mut *tx).await?;
            sqlx::query("SET LOCAL statement_timeout = '55s'").execute(&mut *tx).await?;
            sqlx::query(LOCK).execute(&mut *tx).await?;
            apply(&mut tx, dialect).await?;
            Ok(tx.commit().await?)
        }
        Dialect::Mysql => {
            // DDL commits by itself: an advisory lock keeps others out, and files are written so that one cut off
            // in the middle can be applied again. The lock's name has at most 64 characters.
            const LOCK: &str =
                "SELECT CAST(GET_LOCK(CONCAT('ledger:', SHA2(DATABASE(), 224)), 30) AS SIGNED) AS n";
            const UNLOCK: &str =
                "SELECT CAST(RELEASE_LOCK(CONCAT('ledger:', SHA2(DATABASE(), 224))) AS SIGNED) AS n";
            if sqlx::query(LOCK).fetch_one(&mut *conn).await?.opt_int("n")? != Some(1) {
                return Err(Cause::Deadline(std::time::Duration::from_secs(30)));
            }
            let applied = apply(conn, dialect).await;
            let released = sqlx::query(UNLOCK).fetch_one(&mut *conn).await;
            applied?;
            released?;
            Ok(())
        }
    }
}

/// The version found, 0 for an empty database; an error if it is newer than this program.
async fn version(conn: &mut AnyConnection, dialect: Dialect) -> Result<i64, Cause> {
    let count =
        sqlx::query(dialect.count_tables()).bind("syncline_schema_version").fetch_one(&mut *conn).await?;
    if count.int("n")? == 0 {
        return Ok(0);
    }
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS n FROM syncline_schema_version")
        .fetch_one(conn)
        .await?;
    let found = row.int("n")?;
    if found > known(dialect) {
        return Err(Cause::Newer { found, known: known(dialect) });
    }
    Ok(found)
}

async fn apply(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), Cause> {
    sqlx::query(VERSION_TABLE).execute(&mut *conn).await?;
    let found = version(conn, dialect).await?;
    for (number, file) in (1_i64..).zip(files(dialect)) {
        if number <= found {
            continue;
        }
        for statement in statements(file) {
            let done = sqlx::query(dialect.sql(&statement)).persistent(false).execute(&mut *conn).await;
            let is_there = |e: &sqlx::Error| {
                e.as_database_error().and_then(|e| e.code()).as_deref() == Some(DUPLICATE_COLUMN)
            };
            // MySQL alone gets there: of a file that was cut off, the column had been added.
            if let Err(failed) = done
                && !is_there(&failed)
            {
                return Err(failed.into());
            }
        }
        let done = dialect.sql("INSERT INTO syncline_schema_version (version, applied_ms) VALUES (?, {now})");
        sqlx::query(done).bind(number).execute(&mut *conn).await?;
        tracing::info!(version = number, "ledger schema migrated");
    }
    Ok(())
}

/// The statements of a file: comments left out, cut at semicolons.
fn statements(file: &str) -> Vec<String> {
    let code: Vec<&str> = file.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_dialects_declare_the_same_tables_and_columns() {
        let columns = |dialect: Dialect| -> Vec<String> {
            let all = files(dialect).iter().flat_map(|file| statements(file));
            all.filter(|statement| statement.starts_with("CREATE TABLE"))
                .flat_map(|statement| statement.lines().map(str::to_owned).collect::<Vec<_>>())
                .map(|line| line.trim().trim_end_matches(',').replace("MEDIUMBLOB", "BLOB"))
                .map(|line| line.replace("BYTEA", "BLOB").replace(" COLLATE \"C\"", ""))
                .filter(|line| !line.starts_with("KEY ") && !line.starts_with(')'))
                .collect()
        };
        for other in [Dialect::Mysql, Dialect::Postgres] {
            assert_eq!(files(Dialect::Sqlite).len(), files(other).len());
            assert_eq!(columns(Dialect::Sqlite), columns(other));
        }
    }
}
