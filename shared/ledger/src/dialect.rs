//! The few places where SQLite, MySQL/MariaDB and PostgreSQL differ.

use std::time::Duration;

use sqlx::AssertSqlSafe;

/// The SQL of the ledger's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Mysql,
    Postgres,
}

impl Dialect {
    /// Fills the placeholders of a statement:
    /// `{now}` milliseconds since 1970 on the database's clock; `{lock}` keeps the rows read for this transaction;
    /// `{by_state}` after `syncline_chunk` makes the index by state the way in; `{int}` is the type of 64 bits that
    /// sums are cast to. For PostgreSQL each `?` becomes `$1`, `$2`, ..
    ///
    /// Statements are literals of this crate and counts of `?`; every value is bound, so that no `?` is anything
    /// but the place of one.
    pub(crate) fn sql(self, statement: &str) -> AssertSqlSafe<String> {
        let simulated = seam::now_ms().map(|ms| ms.to_string());
        let now = simulated.as_deref().unwrap_or(self.now());
        let filled = statement.replace("{now}", now).replace("{lock}", self.lock());
        let filled = filled.replace("{by_state}", self.by_state()).replace("{int}", self.int());
        AssertSqlSafe(match self {
            Self::Sqlite | Self::Mysql => filled,
            Self::Postgres => numbered(&filled),
        })
    }

    const fn now(self) -> &'static str {
        match self {
            // One value for the whole statement.
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
            // The session is in UTC (sqlx sets it), so no hour occurs twice.
            Self::Mysql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
            // Not `now()`, which stands still from the beginning of the transaction on.
            Self::Postgres => "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)",
        }
    }

    const fn int(self) -> &'static str {
        match self {
            Self::Sqlite => "INTEGER",
            Self::Mysql => "SIGNED",
            Self::Postgres => "BIGINT",
        }
    }

    /// SQLite's writers hold the whole database from `BEGIN IMMEDIATE` on.
    const fn lock(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Mysql => "FOR UPDATE",
            // Weaker than FOR UPDATE: rows that refer to this one may still be added, or every foreign key would wait.
            Self::Postgres => "FOR NO KEY UPDATE",
        }
    }

    /// Of two indexes that both give the order, MySQL picks the one that walks over every chunk already done.
    const fn by_state(self) -> &'static str {
        match self {
            Self::Sqlite => "INDEXED BY syncline_chunk_due",
            Self::Mysql => "FORCE INDEX (syncline_chunk_due)",
            Self::Postgres => "",
        }
    }

    /// Starts a transaction that writes.
    pub(crate) const fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Mysql => "START TRANSACTION READ WRITE",
            // Without READ WRITE: a server that was set read-only, or demoted, is to say so at the first write.
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// What a transaction that touches a whole run is told first, where statements have a deadline at the server.
    pub(crate) const fn after_begin_bulk(self) -> Option<&'static str> {
        match self {
            Self::Sqlite | Self::Mysql => None,
            Self::Postgres => Some("SET LOCAL statement_timeout = '55s'"),
        }
    }

    /// Starts a transaction whose reads all see one moment.
    pub(crate) const fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Mysql => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Makes the next transaction of the connection a repeatable read, where that is not the rule.
    pub(crate) const fn before_snapshot(self) -> Option<&'static str> {
        match self {
            Self::Sqlite | Self::Postgres => None,
            Self::Mysql => Some("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
        }
    }

    /// What every new connection is told, for calls that take no longer than `deadline`.
    pub(crate) fn session(self, deadline: Duration) -> Vec<String> {
        match self {
            // FULL: a commit is on disk before it is answered. With NORMAL a power cut could take back a claim or
            // a settled chunk; the attempt number, our fence, would then be given out twice.
            Self::Sqlite => {
                ["PRAGMA busy_timeout = 10000", "PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL"]
                    .map(str::to_owned)
                    .to_vec()
            }
            Self::Mysql => {
                // A lock wait must end before the deadline of the operation does.
                let lock_wait = (deadline.as_secs() / 3).max(1);
                // A client that was cut off in the middle of a transaction holds locks that all others need, the
                // event counter's among them: the server ends it soon, even if the network never says that it left.
                let silence = deadline.as_secs().max(2);
                vec![
                    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
                    format!(
                        "SET SESSION innodb_lock_wait_timeout = {lock_wait}, wait_timeout = {silence}, \
                         net_read_timeout = {silence}, net_write_timeout = {silence}, \
                         sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')"
                    ),
                ]
            }
            Self::Postgres => {
                // Each below the deadline of an operation: the server gives up before we do, and nothing of ours is
                // left running or locked there.
                let (lock, statement, idle) = (deadline / 3, deadline * 4 / 5, deadline * 14 / 15);
                vec![
                    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
                    format!("SET lock_timeout = {}", lock.as_millis()),
                    format!("SET statement_timeout = {}", statement.as_millis()),
                    format!("SET idle_in_transaction_session_timeout = {}", idle.as_millis()),
                    // As SQLite's FULL, above. A server whose commits wait for less than its own disk is raised, one
                    // whose commits wait for more is left alone.
                    "SELECT set_config('synchronous_commit', 'on', false) \
                     WHERE current_setting('synchronous_commit') = 'off'"
                        .to_owned(),
                ]
            }
        }
    }

    /// Counts the tables of a name.
    pub(crate) const fn count_tables(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table' AND name = ?",
            Self::Mysql => {
                "SELECT COUNT(*) AS n FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
            }
            // Not information_schema, which hides tables that the role may not use.
            Self::Postgres => {
                "SELECT COUNT(*) AS n FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace \
                 WHERE s.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname = $1"
            }
        }
    }

    /// Connections one process holds. SQLite has one writer at a time anyway; readers run beside it.
    pub(crate) const fn connections_max(self) -> u32 {
        match self {
            Self::Sqlite => 4,
            Self::Mysql | Self::Postgres => 8,
        }
    }
}

/// Every `?` as `$1`, `$2`, .. in order.
fn numbered(statement: &str) -> String {
    let mut parts = statement.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        numbered.push_str(&format!("${number}{part}"));
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_gets_its_own_words() {
        let statement =
            "SELECT a FROM syncline_chunk {by_state} WHERE a IN (?, ?) AND b = CAST(? AS {int}) {lock}";
        let sql = |dialect: Dialect| dialect.sql(statement).0;
        assert_eq!(
            sql(Dialect::Sqlite),
            "SELECT a FROM syncline_chunk INDEXED BY syncline_chunk_due WHERE a IN (?, ?) AND b = CAST(? AS INTEGER) "
        );
        assert_eq!(
            sql(Dialect::Mysql),
            "SELECT a FROM syncline_chunk FORCE INDEX (syncline_chunk_due) WHERE a IN (?, ?) AND b = CAST(? AS SIGNED) \
             FOR UPDATE"
        );
        assert_eq!(
            sql(Dialect::Postgres),
            "SELECT a FROM syncline_chunk  WHERE a IN ($1, $2) AND b = CAST($3 AS BIGINT) FOR NO KEY UPDATE"
        );
    }
}
