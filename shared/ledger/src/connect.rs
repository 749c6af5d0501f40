//! Opening a ledger: the file, the pool, the schema, the installation id.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::InstallId;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::cache::Cache;
use crate::dialect::Dialect;
use crate::error::{Cause, Result};
use crate::fields::Fields as _;
use crate::migrate::migrate;
use crate::retry::{DEADLINE, OPEN_DEADLINE, retrying};
use crate::url::LedgerUrl;
use crate::{Ledger, Shared};

const OPEN: &str = "be opened";
/// An operation that gets no connection in this time gives up, unless its deadline is sooner.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that does not answer in this time is dropped instead of being lent or given back.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// Connections that do not end in this time are left to the operating system.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

impl Ledger {
    /// Opens the ledger at `url`. Makes the file (mode 0600) and the tables if they are missing; of two processes
    /// that do so at once, one waits. A ledger of a newer version is refused, unchanged.
    pub async fn open(url: &LedgerUrl) -> Result<Self> {
        Self::open_within(url, DEADLINE).await
    }

    /// As [`Ledger::open`]; later calls take no longer than `deadline`, retries included. It should be half a lease.
    pub async fn open_within(url: &LedgerUrl, deadline: Duration) -> Result<Self> {
        retrying(OPEN, OPEN_DEADLINE, OPEN_DEADLINE, || Self::open_once(url, deadline)).await
    }

    async fn open_once(url: &LedgerUrl, deadline: Duration) -> std::result::Result<Self, Cause> {
        sqlx::any::install_default_drivers();
        let (dialect, address) = match url {
            LedgerUrl::Sqlite(path) => {
                let path = make_file(path).await.map_err(Cause::File)?;
                (Dialect::Sqlite, sqlite_address(&path)?)
            }
            LedgerUrl::Mysql(server) => (Dialect::Mysql, server.secret.clone()),
            LedgerUrl::Postgres(server) => (Dialect::Postgres, server.secret.clone()),
        };
        let options = address.parse::<AnyConnectOptions>()?.disable_statement_logging();
        let pool = pool(dialect, options, deadline).await?;
        let mut conn = pool.acquire().await?;
        if dialect == Dialect::Sqlite {
            // Kept in the file. Needs the file for itself for an instant: a refusal is retried by our caller.
            sqlx::query("PRAGMA journal_mode = WAL").fetch_optional(&mut *conn).await?;
        }
        migrate(&mut conn, dialect).await?;
        let install = install(&mut conn, dialect).await?;
        drop(conn);
        Ok(Self::over(pool, dialect, deadline, install, url.to_string()))
    }

    fn over(
        pool: AnyPool,
        dialect: Dialect,
        deadline: Duration,
        install: InstallId,
        address: String,
    ) -> Self {
        let gate = (dialect == Dialect::Sqlite).then(Arc::default);
        let shared = Shared { pool, dialect, deadline, gate, install, cache: Cache::default(), address };
        Self { shared: Arc::new(shared), audit_key: None }
    }

    /// Closes the connections of all clones; later calls fail. A second call does nothing.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE_DEADLINE, self.shared.pool.close()).await.is_err() {
            tracing::warn!("ledger connections did not close in time");
        }
    }

    /// The time on the clock of the ledger's database, in milliseconds since 1970.
    pub async fn now_ms(&self) -> Result<i64> {
        self.read("tell the time", || self.now_once()).await
    }

    async fn now_once(&self) -> std::result::Result<i64, Cause> {
        sqlx::query(self.sql("SELECT {now} AS now_ms")).fetch_one(&self.shared.pool).await?.int("now_ms")
    }
}

/// What a simulation needs.
#[cfg(feature = "simulation")]
impl Ledger {
    /// A new ledger in this process's memory: one connection, without which it is gone.
    pub async fn in_memory() -> Result<Self> {
        Self::in_memory_once().await.map_err(|cause| cause.during(OPEN))
    }

    async fn in_memory_once() -> std::result::Result<Self, Cause> {
        sqlx::any::install_default_drivers();
        let options = "sqlite::memory:".parse::<AnyConnectOptions>()?.disable_statement_logging();
        // Nothing comes between this process and its memory: the connection need not be asked whether it lives.
        let pool = AnyPoolOptions::new().max_connections(1).test_before_acquire(false);
        let pool = pool.max_lifetime(None).idle_timeout(None).connect_with(options).await?;
        let mut conn = pool.acquire().await?;
        migrate(&mut conn, Dialect::Sqlite).await?;
        let install = install(&mut conn, Dialect::Sqlite).await?;
        drop(conn);
        Ok(Self::over(pool, Dialect::Sqlite, DEADLINE, install, "in memory".to_owned()))
    }

    /// The handle that another process would have: over the same database, with nothing in its cache.
    #[must_use]
    pub fn of_another_process(&self) -> Self {
        let Shared { pool, dialect, deadline, install, address, .. } = &*self.shared;
        Self::over(pool.clone(), *dialect, *deadline, *install, address.clone())
    }
}

async fn pool(
    dialect: Dialect,
    options: AnyConnectOptions,
    deadline: Duration,
) -> std::result::Result<AnyPool, Cause> {
    let ping = PING_DEADLINE.min(deadline / 3);
    let mut pool = AnyPoolOptions::new()
        .max_connections(dialect.connections_max())
        .acquire_timeout(ACQUIRE_DEADLINE)
        .after_connect(move |conn, _| {
            Box::pin(async move {
                for statement in dialect.session(deadline) {
                    let statement = sqlx::query(AssertSqlSafe(statement));
                    statement.persistent(false).fetch_optional(&mut *conn).await?;
                }
                Ok(())
            })
        })
        // sqlx's own pings have no deadline: one on a half-open connection would hold its place in the pool for as long
        // as TCP hopes, or use up an operation's time to get any connection.
        .test_before_acquire(false)
        .before_acquire(move |conn, _| Box::pin(answers(conn, ping)))
        .after_release(move |conn, _| Box::pin(answers(conn, ping)));
    if dialect == Dialect::Mysql {
        // Before the server ends it.
        pool = pool.idle_timeout(deadline / 2);
    }
    Ok(pool.connect_with(options).await?)
}

/// Whether a connection answers within `wait`, and is in no transaction: one on a full disk that could not be rolled back
/// would take no other any more. One that does not is closed.
async fn answers(conn: &mut AnyConnection, wait: Duration) -> std::result::Result<bool, sqlx::Error> {
    let answered = matches!(tokio::time::timeout(wait, conn.ping()).await, Ok(Ok(())));
    Ok(answered && !conn.is_in_transaction())
}

/// Makes the file and its folder if they are missing, readable to the owner only, before SQLite would make it
/// readable to all. The path that comes back is absolute and its folder free of links and `..`.
async fn make_file(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let no_name = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path names no file");
    let (folder, name) = (path.parent().ok_or_else(no_name)?, path.file_name().ok_or_else(no_name)?);
    tokio::fs::create_dir_all(folder).await?;
    let path = tokio::fs::canonicalize(folder).await?.join(name);
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(&path).await?;
    Ok(path)
}

/// The driver's address of a file; every byte that could mean something in a URL is escaped.
fn sqlite_address(path: &Path) -> std::result::Result<String, Cause> {
    let text = path.to_str().ok_or(Cause::Address("is a path that is not UTF-8"))?;
    let mut escaped = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                escaped.push(char::from(byte))
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(format!("sqlite://{escaped}?mode=rw"))
}

/// The installation id: the first process to come stores it, all others read it.
async fn install(conn: &mut AnyConnection, dialect: Dialect) -> std::result::Result<InstallId, Cause> {
    const READ: &str = "SELECT txt FROM syncline_meta WHERE name = 'install'";
    if let Some(row) = sqlx::query(READ).fetch_optional(&mut *conn).await? {
        return row.named("txt");
    }
    // No row is put twice: the name is the primary key, and the loser of a race reads the winner's.
    let put = dialect.sql("INSERT INTO syncline_meta (name, txt) VALUES ('install', ?)");
    let put = sqlx::query(put).bind(InstallId::generate().to_string()).execute(&mut *conn).await;
    match put {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    sqlx::query(READ).fetch_one(conn).await?.named("txt")
}
