//! A database of its own for every test, on a real server or in a file, gone when dropped.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{
    AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, Row as _, SqliteConnection, ValueRef as _,
};

use crate::session::{Connection, Session};
use crate::{Proxy, documents, sqlserver};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Sqlite,
    Mysql,
    Mariadb,
    Postgres,
    Mongodb,
    Sqlserver,
}

impl Server {
    /// The server's address from the environment, as `mysql://user:password@host:port` or `postgres://..`.
    ///
    /// # Panics
    /// The variable is unset: tests do not pass by not running.
    #[must_use]
    pub fn url(self) -> String {
        let name = match self {
            Self::Sqlite => return "sqlite:".to_owned(),
            Self::Mysql => "SYNCLINE_TEST_MYSQL_URL",
            Self::Mariadb => "SYNCLINE_TEST_MARIADB_URL",
            Self::Postgres => "SYNCLINE_TEST_POSTGRES_URL",
            Self::Mongodb => "SYNCLINE_TEST_MONGODB_URL",
            Self::Sqlserver => "SYNCLINE_TEST_MSSQL_URL",
        };
        std::env::var(name)
            .unwrap_or_else(|_| {
                panic!("{name} is not set: run `make servers`, then `eval \"$(tests/servers.sh env)\"`")
            })
            .trim_end_matches('/')
            .to_owned()
    }

    /// Whether this machine has it. Only MySQL may be absent (its packages may not be downloadable), and only where
    /// that is said out loud.
    #[must_use]
    pub fn is_absent(self) -> bool {
        self == Self::Mysql
            && std::env::var("SYNCLINE_TEST_MYSQL_URL").is_err()
            && std::env::var("SYNCLINE_TEST_ALLOW_NO_MYSQL").is_ok()
    }
}

/// A database that cannot be dropped in this time is left to whoever removes the server.
const DROP_MAX: Duration = Duration::from_secs(20);

/// A fresh, empty database.
#[derive(Debug)]
pub struct Database {
    pub server: Server,
    /// With the password, for the oracle and for direct statements.
    pub url: String,
    /// Database name, or the file's path.
    pub name: String,
    /// The server's address.
    base: String,
    /// Where the binary is told to find it, if not where it is.
    via: Option<SocketAddr>,
    _dir: Option<tempfile::TempDir>,
}

impl Database {
    /// Makes one.
    ///
    /// # Panics
    /// The server cannot be reached.
    pub async fn fresh(server: Server) -> Self {
        if server == Server::Sqlite {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let name = dir.path().join("data.db").display().to_string();
            let url = format!("sqlite:{name}");
            return Self { server, url, name, base: String::new(), via: None, _dir: Some(dir) };
        }
        Self::fresh_at(server, &server.url()).await
    }

    /// A file of SQLite that is there already.
    #[must_use]
    pub fn at(file: &std::path::Path) -> Self {
        let name = file.display().to_string();
        let url = format!("sqlite:{name}");
        Self { server: Server::Sqlite, url, name, base: String::new(), via: None, _dir: None }
    }

    /// As [`Database::fresh`], at a server of this kind at another address.
    ///
    /// # Panics
    /// The server cannot be reached.
    pub async fn fresh_at(server: Server, base: &str) -> Self {
        let name = unique_name();
        let (base, url) = (base.to_owned(), format!("{base}/{name}"));
        if server == Server::Mongodb {
            // It comes to be with its first collection.
            return Self { server, url, name, base, via: None, _dir: None };
        }
        if server == Server::Sqlserver {
            let made = sqlserver::exec(&base, "master", &format!("CREATE DATABASE {name}")).await;
            made.expect("a database can be made");
            return Self { server, url, name, base, via: None, _dir: None };
        }
        if server == Server::Postgres {
            let mut admin = postgres(&base).await.expect("the test server answers");
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
                .execute(&mut admin)
                .await
                .expect("a database can be made");
            return Self { server, url, name, base, via: None, _dir: None };
        }
        let mut admin = MySqlConnection::connect(&base).await.expect("the test server answers");
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")))
            .execute(&mut admin)
            .await
            .expect("a database can be made");
        Self { server, url, name, base, via: None, _dir: None }
    }

    /// A session of its own.
    ///
    /// # Panics
    /// The server does not answer, or the database is MongoDB's.
    pub async fn session(&self) -> Session {
        Session::new(match self.server {
            Server::Mongodb => panic!("MongoDB speaks no SQL"),
            Server::Sqlite => Connection::Sqlite(self.sqlite().await),
            Server::Mysql | Server::Mariadb => Connection::Mysql(self.mysql().await),
            Server::Postgres => Connection::Postgres(self.postgres().await),
            Server::Sqlserver => {
                let session = sqlserver::session(&self.base, &self.name).await;
                Connection::Sqlserver(Box::new(session.expect("the test server answers")))
            }
        })
    }

    /// Runs statements, separated by semicolons.
    ///
    /// # Panics
    /// One of them fails, or the database is MongoDB's.
    pub async fn exec(&self, sql: &str) {
        let done = match self.server {
            Server::Mongodb => panic!("MongoDB speaks no SQL"),
            Server::Sqlite => {
                let mut db = self.sqlite().await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.map(|_| ())
            }
            Server::Mysql | Server::Mariadb => {
                let mut db = self.mysql().await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.map(|_| ())
            }
            Server::Postgres => {
                let mut db = self.postgres().await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.map(|_| ())
            }
            Server::Sqlserver => {
                let done = sqlserver::exec(&self.base, &self.name, sql).await;
                done.map_err(|failed| sqlx::Error::Protocol(failed.to_string()))
            }
        };
        let shown: String = sql.chars().take(200).collect();
        done.unwrap_or_else(|error| panic!("{error}: {shown}"));
    }

    /// Runs statements; whether all went well.
    ///
    /// # Panics
    /// The database is MongoDB's.
    pub async fn try_exec(&self, sql: &str) -> bool {
        match self.server {
            Server::Mongodb => panic!("MongoDB speaks no SQL"),
            Server::Sqlite => {
                let mut db = self.sqlite().await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.is_ok()
            }
            Server::Mysql | Server::Mariadb => {
                let mut db = self.mysql().await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.is_ok()
            }
            Server::Postgres => {
                let mut db = self.postgres().await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.is_ok()
            }
            Server::Sqlserver => sqlserver::exec(&self.base, &self.name, sql).await.is_ok(),
        }
    }

    /// The first column of the first row as text; `None` for NULL.
    ///
    /// # Panics
    /// The query fails or finds nothing.
    pub async fn text(&self, sql: &str) -> Option<String> {
        self.column(sql, 0).await
    }

    /// A column of the first row as text, counted from 0; `None` for NULL.
    ///
    /// # Panics
    /// The query fails or finds nothing.
    pub async fn column(&self, sql: &str, at: usize) -> Option<String> {
        if self.server == Server::Sqlserver {
            return sqlserver::column(&self.base, &self.name, sql, at).await;
        }
        let sql = AssertSqlSafe(sql.to_owned());
        match self.server {
            Server::Sqlserver => unreachable!("asked above"),
            Server::Mongodb => panic!("MongoDB speaks no SQL"),
            Server::Sqlite => {
                let mut db = self.sqlite().await;
                let row = sqlx::raw_sql(sql).fetch_one(&mut db).await.expect("a row");
                row.get_unchecked::<Option<String>, _>(at)
            }
            Server::Mysql | Server::Mariadb => {
                let mut db = self.mysql().await;
                let row = sqlx::raw_sql(sql).fetch_one(&mut db).await.expect("a row");
                row.get_unchecked::<Option<Vec<u8>>, _>(at).map(|b| String::from_utf8_lossy(&b).into_owned())
            }
            Server::Postgres => {
                let mut db = self.postgres().await;
                // Without parameters the server answers in text, whatever the type.
                let row = sqlx::raw_sql(sql).fetch_one(&mut db).await.expect("a row");
                let value = row.try_get_raw(0).expect("a column");
                if value.is_null() { None } else { Some(value.as_str().expect("text").to_owned()) }
            }
        }
    }

    /// The first column of the first row as a number.
    ///
    /// # Panics
    /// As [`Database::text`], or it is no number.
    pub async fn number(&self, sql: &str) -> i64 {
        self.text(sql).await.and_then(|t| t.parse().ok()).expect("a number")
    }

    /// Rows of a table, or documents of a collection.
    ///
    /// # Panics
    /// There is none of this name.
    pub async fn rows(&self, table: &str) -> i64 {
        if self.server == Server::Mongodb {
            return documents::count(&self.documents().await, table).await;
        }
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    /// What the catalog lists of tables, or collections, Syncline's own among them.
    ///
    /// # Panics
    /// The server does not answer.
    pub async fn tables(&self) -> i64 {
        let sql = match self.server {
            Server::Mongodb => return documents::collections(&self.documents().await).await,
            Server::Sqlite => "SELECT count(*) FROM sqlite_master",
            Server::Mysql | Server::Mariadb => {
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE()"
            }
            Server::Postgres => "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
            Server::Sqlserver => "SELECT COUNT(*) FROM sys.tables",
        };
        self.number(sql).await
    }

    /// The database through MongoDB's own driver.
    ///
    /// # Panics
    /// The server is not MongoDB.
    pub async fn documents(&self) -> mongodb::Database {
        assert_eq!(self.server, Server::Mongodb);
        documents::client(&self.base).await.database(&self.name)
    }

    /// The connection as a spec has it, in YAML flow style. The password is a reference to an environment variable
    /// that [`crate::Syncline`] sets.
    ///
    /// # Panics
    /// The server's address is not of the expected form.
    #[must_use]
    pub fn spec(&self) -> String {
        if self.server == Server::Sqlite {
            return format!("{{ engine: sqlite, path: \"{}\" }}", self.name);
        }
        if self.server == Server::Mongodb {
            let place = self.base.trim_start_matches("mongodb://");
            let (host, port) = place.split_once(':').expect("a port");
            return format!("{{ engine: mongodb, host: {host}, port: {port}, database: {} }}", self.name);
        }
        let Address { user, host, port, .. } = Address::of(&self.url);
        let (password, name) = (self.server.password_variable(), &self.name);
        let (host, port, tls) = match self.via {
            None => (host, port, ""),
            Some(via) => (via.ip().to_string(), via.port().to_string(), ", tls: off"),
        };
        let engine = match self.server {
            Server::Postgres => "postgres",
            Server::Sqlserver => "sqlserver",
            Server::Sqlite | Server::Mysql | Server::Mariadb | Server::Mongodb => "mysql",
        };
        format!(
            "{{ engine: {engine}, host: {host}, port: {port}, user: {user}, password: \"${{env:{password}}}\", \
             database: {name}{tls} }}"
        )
    }

    /// From now on [`Database::spec`] and [`Database::service_url`] lead through the proxy, without TLS, so that the
    /// proxy sees what goes by. Statements of the test itself go the straight way.
    #[must_use]
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.via = Some(proxy.address);
        self
    }

    /// The address that the binary is given, password included.
    ///
    /// # Panics
    /// The server's address is not of the expected form.
    #[must_use]
    pub fn service_url(&self) -> String {
        let Some(via) = self.via else { return self.url.clone() };
        let Address { user, password, .. } = Address::of(&self.url);
        format!("mysql://{user}:{password}@{via}/{}?ssl-mode=DISABLED", self.name)
    }

    async fn mysql(&self) -> MySqlConnection {
        MySqlConnection::connect(&self.url).await.expect("the test server answers")
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the test server answers")
    }

    async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", self.name)).await.expect("the file opens")
    }
}

impl Server {
    /// The environment variable that holds the server's password for specs.
    #[must_use]
    pub const fn password_variable(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Mongodb => "SYNCLINE_TEST_NO_PASSWORD",
            Self::Mysql => "SYNCLINE_TEST_MYSQL_PASSWORD",
            Self::Mariadb => "SYNCLINE_TEST_MARIADB_PASSWORD",
            Self::Postgres => "SYNCLINE_TEST_POSTGRES_PASSWORD",
            Self::Sqlserver => "SYNCLINE_TEST_MSSQL_PASSWORD",
        }
    }

    /// Where it listens, as `host:port`.
    ///
    /// # Panics
    /// Its address is not of the expected form.
    #[must_use]
    pub fn place(self) -> String {
        let Address { host, port, .. } = Address::of(&self.url());
        format!("{host}:{port}")
    }

    /// Its password.
    #[must_use]
    pub fn password(self) -> String {
        Address::of(&self.url()).password
    }
}

/// The parts of a server's address.
pub(crate) struct Address {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: String,
}

impl Address {
    pub(crate) fn of(url: &str) -> Self {
        let parts = || {
            let (_, rest) = url.split_once("://")?;
            let (login, place) = rest.rsplit_once('@')?;
            let (user, password) = login.split_once(':')?;
            let (host, port) = place.split('/').next()?.split_once(':')?;
            Some(Self { user: user.into(), password: password.into(), host: host.into(), port: port.into() })
        };
        parts().expect("a URL of the form scheme://user:password@host:port/database")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.server == Server::Sqlite {
            return;
        }
        let (server, base, name) = (self.server, self.base.clone(), self.name.clone());
        // A runtime of its own: the test's may be the one that is dropping us.
        let dropping = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            let dropped = async {
                if server == Server::Mongodb {
                    let _ = documents::client(&base).await.database(&name).drop().await;
                    return;
                }
                if server == Server::Sqlserver {
                    for sql in [
                        format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"),
                        format!("DROP DATABASE {name}"),
                    ] {
                        let _ = sqlserver::exec(&base, "master", &sql).await;
                    }
                    return;
                }
                if server == Server::Postgres {
                    if let Ok(mut admin) = postgres(&base).await {
                        let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                        let _ = sqlx::raw_sql(drop).execute(&mut admin).await;
                    }
                    return;
                }
                if let Ok(mut admin) = MySqlConnection::connect(&base).await {
                    let _ = sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}")))
                        .execute(&mut admin)
                        .await;
                }
            };
            // A server that a test stopped answers nobody.
            let _ = runtime.block_on(async { tokio::time::timeout(DROP_MAX, dropped).await });
        });
        let _ = dropping.join();
    }
}

/// A connection to the database that every PostgreSQL server has.
async fn postgres(base: &str) -> sqlx::Result<PgConnection> {
    PgConnection::connect(&format!("{base}/postgres")).await
}

fn unique_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    #[allow(clippy::disallowed_methods, reason = "a name no other test run has used")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("st_{:x}_{}_{}", now, std::process::id(), MADE.fetch_add(1, Ordering::SeqCst))
}
