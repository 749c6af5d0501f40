//! The conformance suite on every engine. Each test has a database of its own and can run beside all others.
//!
//! Servers are found by `SYNCLINE_TEST_MYSQL_URL`, `SYNCLINE_TEST_MARIADB_URL` (`mysql://user:password@host:port/`) and
//! `SYNCLINE_TEST_POSTGRES_URL`, `SYNCLINE_TEST_MONGODB_URL` (`mongodb://[user:password@]host:port/`) and
//! `SYNCLINE_TEST_MSSQL_URL` (`sqlserver://user:password@host:port/`); `make servers` starts them and `tests/servers.sh env` prints the addresses. A machine that cannot have Oracle's MySQL sets
//! `SYNCLINE_TEST_ALLOW_NO_MYSQL=1`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connectors::conformance::Lab;
use connectors::{Circuit, ConnectionConfig, Role, Target};
use model::{ConnectionSpec, Engine};
use secrecy::SecretString;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;
use uuid::Uuid;

connectors::conformance_suite!(memory, crate::in_memory);
connectors::conformance_suite!(sqlite, crate::in_a_file);
connectors::conformance_suite!(mysql, crate::on_mysql);
connectors::conformance_suite!(mariadb, crate::on_mariadb);
connectors::conformance_suite!(postgres, crate::on_postgres);
connectors::conformance_suite!(mongodb, crate::on_mongodb);
connectors::conformance_suite!(sqlserver, crate::on_sqlserver);

/// Longest wait for an answer; a lock is waited for no longer either.
const DEADLINE: Duration = Duration::from_secs(20);

fn spec(engine: Engine) -> ConnectionSpec {
    ConnectionSpec::new(engine)
}

fn open(spec: &ConnectionSpec, password: Option<&str>, role: Role) -> Arc<dyn Target> {
    let password = password.map(|p| SecretString::from(p.to_owned()));
    let config = ConnectionConfig {
        spec: spec.clone(),
        password,
        role,
        connections_max: 6,
        deadline: DEADLINE,
        circuit: Circuit::new(spec.engine, "the test's server"),
    };
    connectors::open(&config).expect("opened")
}

fn fresh_name() -> String {
    format!("conf_{}", Uuid::new_v4().simple())
}

struct InMemory(ConnectionSpec);

async fn in_memory() -> Option<Box<dyn Lab>> {
    Some(Box::new(InMemory(ConnectionSpec { database: Some(fresh_name()), ..spec(Engine::Memory) })))
}

#[async_trait]
impl Lab for InMemory {
    fn open(&self, role: Role) -> Arc<dyn Target> {
        open(&self.0, None, role)
    }

    async fn native_sql(&self, _sql: &str) -> bool {
        false
    }

    fn writes_in_parallel(&self) -> bool {
        false
    }

    async fn finish(&self) {}
}

struct InAFile {
    spec: ConnectionSpec,
    url: String,
    _folder: tempfile::TempDir,
}

async fn in_a_file() -> Option<Box<dyn Lab>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab.db").to_string_lossy().into_owned();
    let spec = ConnectionSpec { path: Some(path.clone()), ..spec(Engine::Sqlite) };
    // The file is made by the product, in the journal mode it wants.
    open(&spec, None, Role::Target).server().await.expect("the file is made");
    Some(Box::new(InAFile { spec, url: format!("sqlite://{path}"), _folder: folder }))
}

#[async_trait]
impl Lab for InAFile {
    fn open(&self, role: Role) -> Arc<dyn Target> {
        open(&self.spec, None, role)
    }

    async fn native_sql(&self, sql: &str) -> bool {
        let mut connection = SqliteConnection::connect(&self.url).await.expect("connected");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("native SQL runs");
        connection.close().await.expect("closed");
        true
    }

    fn writes_in_parallel(&self) -> bool {
        false
    }

    async fn finish(&self) {}
}

struct OnAServer {
    spec: ConnectionSpec,
    password: String,
    /// Address without a database.
    url: String,
}

async fn on_mysql() -> Option<Box<dyn Lab>> {
    let excused = std::env::var("SYNCLINE_TEST_ALLOW_NO_MYSQL").is_ok_and(|v| v == "1");
    on_a_server("SYNCLINE_TEST_MYSQL_URL", excused).await
}

async fn on_mariadb() -> Option<Box<dyn Lab>> {
    on_a_server("SYNCLINE_TEST_MARIADB_URL", false).await
}

async fn on_postgres() -> Option<Box<dyn Lab>> {
    on_a_server("SYNCLINE_TEST_POSTGRES_URL", false).await
}

struct OnMongodb {
    spec: ConnectionSpec,
    password: Option<String>,
    client: ::mongodb::Client,
}

async fn on_mongodb() -> Option<Box<dyn Lab>> {
    let name = "SYNCLINE_TEST_MONGODB_URL";
    let url = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make servers` first"));
    let place = url.strip_prefix("mongodb://").unwrap_or_else(|| panic!("{name} is mongodb://host:port/"));
    let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login), place));
    let (user, password) = login.and_then(|login| login.split_once(':')).unzip();
    let (host, port) = place.trim_end_matches('/').rsplit_once(':').expect("a port");
    let spec = ConnectionSpec {
        host: Some(host.to_owned()),
        port: port.parse().ok(),
        user: user.map(ToOwned::to_owned),
        database: Some(fresh_name()),
        ..spec(Engine::Mongodb)
    };
    let direct = format!("{url}?directConnection=true&authSource=admin");
    let client = ::mongodb::Client::with_uri_str(direct).await.expect("an address");
    Some(Box::new(OnMongodb { spec, password: password.map(ToOwned::to_owned), client }))
}

impl OnMongodb {
    fn database(&self) -> ::mongodb::Database {
        self.client.database(self.spec.database.as_deref().expect("set when the lab was made"))
    }
}

#[async_trait]
impl Lab for OnMongodb {
    fn open(&self, role: Role) -> Arc<dyn Target> {
        open(&self.spec, self.password.as_deref(), role)
    }

    /// Commands in Extended JSON are its own language; it speaks no SQL.
    async fn native_sql(&self, sql: &str) -> bool {
        let Ok(command) = serde_json::from_str::<bson::Document>(sql) else { return false };
        let answer = self.database().run_command(command).await;
        let answer = answer.expect("the command runs");
        assert!(!answer.contains_key("writeErrors"), "{answer}");
        true
    }

    fn writes_in_parallel(&self) -> bool {
        true
    }

    async fn finish(&self) {
        self.database().drop().await.expect("dropped");
    }
}

struct OnSqlserver {
    spec: ConnectionSpec,
    password: String,
    is_double: bool,
    can_disconnect: bool,
}

async fn on_sqlserver() -> Option<Box<dyn Lab>> {
    let name = "SYNCLINE_TEST_MSSQL_URL";
    let url = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make servers` first"));
    let (spec, password) =
        address(&url).unwrap_or_else(|| panic!("{name} is not sqlserver://user:password@host:port/"));
    let database = fresh_name();
    let spec = ConnectionSpec { database: Some(database.clone()), ..spec };
    let mut lab = OnSqlserver { spec, password, is_double: false, can_disconnect: false };
    let version = lab.execute("master", "SELECT @@VERSION").await;
    // The double has one writer at a time.
    lab.is_double = version.contains("test double");
    lab.can_disconnect = version.contains("Microsoft");
    lab.execute("master", &format!("CREATE DATABASE {database}")).await;
    Some(Box::new(lab))
}

impl OnSqlserver {
    /// Runs SQL in a database; gives the text of the first cell.
    async fn execute(&self, database: &str, sql: &str) -> String {
        let mut config = tiberius::Config::new();
        config.host(self.spec.host.as_deref().unwrap_or_default());
        config.port(self.spec.port.unwrap_or(1433));
        config.database(database);
        config.encryption(tiberius::EncryptionLevel::NotSupported);
        let user = self.spec.user.as_deref().unwrap_or_default();
        config.authentication(tiberius::AuthMethod::sql_server(user, &self.password));
        let stream = tokio::net::TcpStream::connect(config.get_addr()).await;
        let stream = stream.expect("the server answers; see `make servers`").compat_write();
        let mut client = Box::pin(tiberius::Client::connect(config, stream)).await.expect("logged in");
        let answer = client.simple_query(sql).await.expect("native SQL runs").into_results().await;
        let first = answer.expect("native SQL runs").into_iter().flatten().next();
        first.and_then(|row| row.try_get::<&str, _>(0).ok()?.map(ToOwned::to_owned)).unwrap_or_default()
    }
}

#[async_trait]
impl Lab for OnSqlserver {
    fn open(&self, role: Role) -> Arc<dyn Target> {
        open(&self.spec, Some(&self.password), role)
    }

    async fn native_sql(&self, sql: &str) -> bool {
        self.execute(self.spec.database.as_deref().unwrap_or_default(), sql).await;
        true
    }

    fn writes_in_parallel(&self) -> bool {
        !self.is_double
    }

    async fn finish(&self) {
        let database = self.spec.database.as_deref().unwrap_or_default();
        let alone = format!("ALTER DATABASE {database} SET SINGLE_USER WITH ROLLBACK IMMEDIATE");
        if self.can_disconnect {
            self.execute("master", &alone).await;
        }
        self.execute("master", &format!("DROP DATABASE {database}")).await;
    }
}

async fn on_a_server(variable: &str, excused: bool) -> Option<Box<dyn Lab>> {
    let Ok(url) = std::env::var(variable) else {
        assert!(
            excused,
            "{variable} is not set: run `make servers` first, then `eval \"$(tests/servers.sh env)\"`"
        );
        return None;
    };
    let (spec, password) =
        address(&url).unwrap_or_else(|| panic!("{variable} is not engine://user:password@host:port/"));
    let database = fresh_name();
    let lab = OnAServer { spec: ConnectionSpec { database: Some(database.clone()), ..spec }, password, url };
    lab.execute("", &format!("CREATE DATABASE {database}")).await;
    Some(Box::new(lab))
}

/// The parts of `engine://user:password@host:port/`.
fn address(url: &str) -> Option<(ConnectionSpec, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let engine = match scheme {
        "postgres" => Engine::Postgres,
        "sqlserver" | "mssql" => Engine::Sqlserver,
        _ => Engine::Mysql,
    };
    let (login, place) = rest.rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    let (host, port) = place.split('/').next()?.rsplit_once(':')?;
    let spec = ConnectionSpec {
        host: Some(host.to_owned()),
        port: Some(port.parse().ok()?),
        user: Some(user.to_owned()),
        ..spec(engine)
    };
    Some((spec, password.to_owned()))
}

impl OnAServer {
    fn database(&self) -> &str {
        self.spec.database.as_deref().expect("set when the lab was made")
    }

    /// Runs SQL in a database, or in none.
    async fn execute(&self, database: &str, sql: &str) {
        sqlx::any::install_default_drivers();
        let connected = AnyConnection::connect(&format!("{}{database}", self.url)).await;
        let mut connection = connected.expect("the server answers; see `make servers`");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("native SQL runs");
        connection.close().await.expect("closed");
    }
}

#[async_trait]
impl Lab for OnAServer {
    fn open(&self, role: Role) -> Arc<dyn Target> {
        open(&self.spec, Some(&self.password), role)
    }

    async fn native_sql(&self, sql: &str) -> bool {
        self.execute(self.database(), sql).await;
        true
    }

    fn writes_in_parallel(&self) -> bool {
        true
    }

    async fn finish(&self) {
        // PostgreSQL keeps a database that somebody is connected to.
        let force = if self.spec.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
        self.execute("", &format!("DROP DATABASE {}{force}", self.database())).await;
    }
}
