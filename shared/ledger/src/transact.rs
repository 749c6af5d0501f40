//! Transactions: one that writes, one that reads a single moment.

use sqlx::any::Any;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Transaction};
use tokio::sync::OwnedMutexGuard;

use crate::Ledger;
use crate::error::Cause;
use crate::fields::{Fields as _, stored};

/// A transaction that writes. Dropped without a commit, it leaves nothing.
pub(crate) struct Write {
    tx: Transaction<'static, Any>,
    _gate: Option<OwnedMutexGuard<()>>,
}

impl Write {
    pub(crate) fn conn(&mut self) -> &mut AnyConnection {
        &mut self.tx
    }

    pub(crate) async fn commit(self) -> Result<(), Cause> {
        Ok(self.tx.commit().await?)
    }
}

/// A counter of the ledger. Taken in this order within a transaction, and last of all its locks: no deadlock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    Turn,
    Quarantine,
    Conflict,
    Security,
    Audit,
    Event,
}

impl Counter {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Quarantine => "quarantine",
            Self::Conflict => "conflict",
            Self::Security => "security",
            Self::Audit => "audit",
            Self::Event => "event",
        }
    }
}

impl Ledger {
    pub(crate) fn sql(&self, statement: &str) -> AssertSqlSafe<String> {
        self.shared.dialect.sql(statement)
    }

    pub(crate) async fn begin(&self) -> Result<Write, Cause> {
        let gate = match &self.shared.gate {
            Some(gate) => Some(gate.clone().lock_owned().await),
            None => None,
        };
        let tx = self.shared.pool.begin_with(self.shared.dialect.begin_write()).await?;
        Ok(Write { tx, _gate: gate })
    }

    /// Makes transactions that would each enter the same row wait for one another; the time on the ledger's clock.
    pub(crate) async fn one_at_a_time(&self, tx: &mut Write) -> Result<i64, Cause> {
        let lock = "SELECT {now} AS now_ms FROM syncline_meta WHERE name = 'turn' {lock}";
        sqlx::query(self.sql(lock)).fetch_one(tx.conn()).await?.int("now_ms")
    }

    /// As [`Self::begin`], for what touches a whole run.
    pub(crate) async fn begin_bulk(&self) -> Result<Write, Cause> {
        let mut write = self.begin().await?;
        if let Some(first) = self.shared.dialect.after_begin_bulk() {
            sqlx::query(first).execute(write.conn()).await?;
        }
        Ok(write)
    }

    /// Reads of the transaction all see one moment, and may take as long as an operation on a whole run.
    pub(crate) async fn begin_snapshot(&self) -> Result<Snapshot, Cause> {
        let mut conn = self.shared.pool.acquire().await?;
        if let Some(before) = self.shared.dialect.before_snapshot() {
            sqlx::query(before).execute(&mut *conn).await?;
        }
        let (begin, first) = (self.shared.dialect.begin_snapshot(), self.shared.dialect.after_begin_bulk());
        Ok(Snapshot { conn, begin, first })
    }

    /// Takes `count` numbers that nobody else gets; the first of them. The counter stays locked until the commit,
    /// so numbers become visible in their order: who has read up to one never misses a lower one.
    pub(crate) async fn numbers(&self, tx: &mut Write, counter: Counter, count: u64) -> Result<i64, Cause> {
        let count = stored(count);
        let raised = sqlx::query(self.sql("UPDATE syncline_meta SET n = n + ? WHERE name = ?"));
        raised.bind(count).bind(counter.name()).execute(tx.conn()).await?;
        let read = sqlx::query(self.sql("SELECT n FROM syncline_meta WHERE name = ?")).bind(counter.name());
        Ok(read.fetch_one(tx.conn()).await?.int("n")? - count + 1)
    }
}

/// A connection that reads single moments.
pub(crate) struct Snapshot {
    conn: sqlx::pool::PoolConnection<Any>,
    begin: &'static str,
    first: Option<&'static str>,
}

impl Snapshot {
    pub(crate) async fn start(&mut self) -> Result<Transaction<'_, Any>, Cause> {
        let mut tx = self.conn.begin_with(self.begin).await?;
        if let Some(first) = self.first {
            sqlx::query(first).execute(&mut *tx).await?;
        }
        Ok(tx)
    }
}
