//! One driver client per database: connecting, deadlines, the circuit, and commands.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bson::{Document, RawDocumentBuf, doc};
use futures::future::BoxFuture;
use model::spec::{Compression, Tls, is_loopback};
use model::{Engine, ErrorKind};
use mongodb::options::{
    Acknowledgment, ClientOptions, Compressor, Credential, ReadConcern, ServerAddress, TlsOptions,
    TransactionOptions, WriteConcern,
};
use mongodb::{ClientSession, Collection, Database};
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;

use super::classify;
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};
use crate::{Role, ServerInfo};

/// Where users are kept, unless somebody made them elsewhere.
const USERS: &str = "admin";
/// Longest wait for a TCP connection, however patient the deadline is.
const CONNECT_MAX: Duration = Duration::from_secs(10);

pub(super) struct Client {
    driver: mongodb::Client,
    pub(super) database: Database,
    config: ConnectionConfig,
    /// Of a replica set or a sharded cluster; asked once.
    is_member: OnceCell<bool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mongodb").field("address", &self.config.spec.address()).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects when first used.
    pub(super) fn open(config: &ConnectionConfig) -> Result<Self> {
        let operation = format!("open {}", config.spec.address());
        let options = options(config).map_err(|object| {
            Error::new(ErrorKind::Unsupported, Engine::Mongodb, &operation).with_object(object)
        })?;
        let driver = mongodb::Client::with_options(options).map_err(|e| classify::error(&e, &operation))?;
        let database = driver.database(config.spec.database.as_deref().unwrap_or_default());
        Ok(Self { driver, database, config: config.clone(), is_member: OnceCell::new() })
    }

    pub(super) fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }

    /// The same, for few and small documents.
    pub(super) fn parsed(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.config.deadline
    }

    pub(super) fn batch_rows(&self) -> usize {
        self.config.batch_rows()
    }

    pub(super) fn role(&self) -> Role {
        self.config.role
    }

    /// Whether the server may be asked to write.
    pub(super) fn may_write(&self, operation: &str) -> Result<()> {
        self.config.circuit.may_write(Instant::now(), operation)
    }

    /// Waits for an answer no longer than the deadline.
    pub(super) fn run<'a, T, W>(&'a self, operation: &'a str, work: W) -> BoxFuture<'a, Result<T>>
    where
        T: Send + 'a,
        W: IntoFuture<Output = mongodb::error::Result<T>, IntoFuture: Send + 'a>,
    {
        let work = work.into_future();
        let bounded = async move {
            match tokio::time::timeout(self.config.deadline, work).await {
                Ok(done) => done.map_err(|e| classify::error(&e, operation)),
                Err(_) => Err(Error::new(ErrorKind::Timeout, Engine::Mongodb, operation)),
            }
        };
        Box::pin(self.watched(operation, bounded))
    }

    /// Waits as long as the server works: for what takes as long as a collection is large.
    pub(super) fn run_long<'a, T, W>(&'a self, operation: &'a str, work: W) -> BoxFuture<'a, Result<T>>
    where
        T: Send + 'a,
        W: IntoFuture<Output = mongodb::error::Result<T>, IntoFuture: Send + 'a>,
    {
        let work = work.into_future();
        Box::pin(
            self.watched(operation, async move { work.await.map_err(|e| classify::error(&e, operation)) }),
        )
    }

    /// Asks only if the circuit lets us, and tells it what came of it.
    async fn watched<T>(&self, operation: &str, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let circuit = &self.config.circuit;
        circuit.admit(Instant::now(), operation)?;
        let done = work.await;
        let failed = done.as_ref().err().map(|error| error.kind);
        circuit.note(failed, Instant::now());
        if failed == Some(ErrorKind::ReadOnly) {
            circuit.refused_write(Instant::now());
        }
        done
    }

    /// Runs a command in the database; the errors of its single writes are errors.
    pub(super) async fn command(&self, operation: &str, command: Document) -> Result<Document> {
        let answer = self.run(operation, self.database.run_command(command)).await?;
        classify::checked(answer, operation)
    }

    pub(super) async fn admin(&self, operation: &str, command: Document) -> Result<Document> {
        self.run(operation, self.driver.database(USERS).run_command(command)).await
    }

    /// How a cursor reads one point in time; a standalone server cannot.
    pub(super) async fn snapshot(&self, operation: &str) -> Result<Option<ReadConcern>> {
        let known = self.is_member.get_or_try_init(async || {
            let hello = self.admin(operation, doc! { "hello": 1 }).await?;
            Ok(has_transactions(&hello))
        });
        Ok(known.await?.then(ReadConcern::snapshot))
    }

    pub(super) async fn session(&self, operation: &str) -> Result<ClientSession> {
        self.run(operation, self.driver.start_session()).await
    }

    pub(super) async fn server(&self) -> Result<ServerInfo> {
        let operation = "ask the server what it is";
        let hello = self.admin(operation, doc! { "hello": 1 }).await?;
        let build = self.admin(operation, doc! { "buildInfo": 1 }).await?;
        if self.role() == Role::Target && !has_transactions(&hello) {
            let why = "a standalone server, which has no transactions: start it with --replSet and run rs.initiate()";
            return Err(
                Error::new(ErrorKind::Unsupported, Engine::Mongodb, "look at the target").with_object(why)
            );
        }
        Ok(ServerInfo {
            version: format!("MongoDB {}", build.get_str("version").unwrap_or("of an unknown version")),
            writable: hello.get_bool("isWritablePrimary").unwrap_or(false),
            encrypted: Some(self.config.spec.tls != Tls::Off),
            notes: Vec::new(),
        })
    }
}

/// A member of a replica set or a router of a sharded cluster.
fn has_transactions(hello: &Document) -> bool {
    hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
}

/// Transactions read one snapshot and are acknowledged by a majority.
pub(super) fn transaction() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(WriteConcern::builder().w(Acknowledgment::Majority).build())
        .build()
}

fn options(config: &ConnectionConfig) -> std::result::Result<ClientOptions, String> {
    let spec = &config.spec;
    let hosts = hosts(spec.host.as_deref().unwrap_or("127.0.0.1"), spec.port)?;
    let ca = spec.tls_ca.as_ref().map(PathBuf::from);
    let tls = match spec.tls {
        Tls::Off => mongodb::options::Tls::Disabled,
        Tls::Verify => mongodb::options::Tls::Enabled(TlsOptions::builder().ca_file_path(ca).build()),
        Tls::Insecure => {
            mongodb::options::Tls::Enabled(TlsOptions::builder().allow_invalid_certificates(true).build())
        }
    };
    let credential = spec.user.as_ref().map(|user| {
        let password = config.password.as_ref().map(|p| p.expose_secret().to_owned());
        let source = spec.auth_source.clone().unwrap_or_else(|| USERS.to_owned());
        Credential::builder().username(user.clone()).password(password).source(source).build()
    });
    // A member on this machine may name itself as only its container knows it.
    let is_direct = matches!(&hosts[..], [ServerAddress::Tcp { host, .. }] if is_loopback(host));
    // A target is never standalone; a source that is has no majority to ask.
    let read_concern = (config.role == Role::Target).then(ReadConcern::majority);
    Ok(ClientOptions::builder()
        .hosts(hosts)
        .tls(tls)
        .credential(credential)
        .app_name("syncline".to_owned())
        .compressors(spec.compression.map(|Compression::Zlib| vec![Compressor::Zlib { level: None }]))
        .direct_connection(is_direct)
        .connect_timeout(config.deadline.min(CONNECT_MAX))
        .server_selection_timeout(config.deadline)
        .max_pool_size(config.connections_max)
        .min_pool_size(spec.pool.min)
        .read_concern(read_concern)
        .write_concern(WriteConcern::builder().w(Acknowledgment::Majority).build())
        .build())
}

/// The members of a seed list: `a`, or `a,b:27018,c`.
fn hosts(list: &str, port: Option<u16>) -> std::result::Result<Vec<ServerAddress>, String> {
    list.split(',')
        .map(|host| {
            let host = host.trim();
            // A colon alone does not make a port: an IPv6 address has many.
            let (name, own_port) = match host.rsplit_once(':') {
                Some((name, digits)) if !name.contains(':') => {
                    let port = digits.parse().map_err(|_| format!("the port of host `{name}`"))?;
                    (name, Some(port))
                }
                _ => (host, None),
            };
            Ok(ServerAddress::Tcp { host: name.to_owned(), port: own_port.or(port) })
        })
        .collect()
}

/// A number that is not negative in a server's answer, whichever integer it sends it as.
pub(super) fn whole(answer: &Document, name: &str) -> Option<u64> {
    let number = answer.get(name)?;
    u64::try_from(number.as_i64().or_else(|| number.as_i32().map(i64::from))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_list_names_members() {
        let named = |list| {
            hosts(list, Some(27_019)).expect("hosts").iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(named("db1"), ["db1:27019"]);
        assert_eq!(named("db1, db2:27018"), ["db1:27019", "db2:27018"]);
        assert!(hosts("db1:x", None).is_err());
    }
}
