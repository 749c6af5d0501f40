//! The few places where SQLite and MySQL/MariaDB differ.

use sqlx::AssertSqlSafe;

/// The SQL of the ledger's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Mysql,
}

impl Dialect {
    /// Fills the placeholders of a statement:
    /// `{now}` milliseconds since 1970 on the database's clock; `{lock}` keeps the rows read for this transaction;
    /// `{by_state}` after `syncline_chunk` makes the index by state the way in.
    ///
    /// Statements are literals of this crate and counts of `?`; every value is bound.
    pub(crate) fn sql(self, statement: &str) -> AssertSqlSafe<String> {
        let simulated = seam::now_ms().map(|ms| ms.to_string());
        let now = simulated.as_deref().unwrap_or(self.now());
        let filled = statement.replace("{now}", now).replace("{lock}", self.lock());
        AssertSqlSafe(filled.replace("{by_state}", self.by_state()))
    }

    const fn now(self) -> &'static str {
        match self {
            // One value for the whole statement.
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
            // The session is in UTC (sqlx sets it), so no hour occurs twice.
            Self::Mysql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
        }
    }

    /// SQLite's writers hold the whole database from `BEGIN IMMEDIATE` on.
    const fn lock(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Mysql => "FOR UPDATE",
        }
    }

    /// Of two indexes that both give the order, MySQL picks the one that walks over every chunk already done.
    const fn by_state(self) -> &'static str {
        match self {
            Self::Sqlite => "INDEXED BY syncline_chunk_due",
            Self::Mysql => "FORCE INDEX (syncline_chunk_due)",
        }
    }

    /// Starts a transaction that writes.
    pub(crate) const fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Mysql => "START TRANSACTION READ WRITE",
        }
    }

    /// Starts a transaction whose reads all see one moment.
    pub(crate) const fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Mysql => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        }
    }

    /// Makes the next transaction of the connection a repeatable read, where that is not the rule.
    pub(crate) const fn before_snapshot(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Mysql => Some("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
        }
    }

    /// What every new connection is told.
    pub(crate) const fn session(self) -> &'static [&'static str] {
        match self {
            // FULL: a commit is on disk before it is answered. With NORMAL a power cut could take back a claim or
            // a settled chunk; the attempt number, our fence, would then be given out twice.
            Self::Sqlite => {
                &["PRAGMA busy_timeout = 10000", "PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL"]
            }
            // A lock wait must end before the deadline of the operation does.
            Self::Mysql => &[
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET SESSION innodb_lock_wait_timeout = 5",
                "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')",
            ],
        }
    }

    /// Counts the tables of a name.
    pub(crate) const fn count_tables(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table' AND name = ?",
            Self::Mysql => {
                "SELECT COUNT(*) AS n FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
            }
        }
    }

    /// Connections one process holds. SQLite has one writer at a time anyway; readers run beside it.
    pub(crate) const fn connections_max(self) -> u32 {
        match self {
            Self::Sqlite => 4,
            Self::Mysql => 8,
        }
    }
}
