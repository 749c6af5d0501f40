//! Connections: how they are opened, the state each must have, and how statements are run.

use std::future::ready;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use model::ErrorKind;
use model::spec::Tls;
use secrecy::ExposeSecret as _;
use sqlx::Either;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, QueryItem, QueryStream, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use super::{Sqlserver, codec};
use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::server::{self, Parts, pool};

pub(super) type Pool = pool::Pool<Sqlserver>;
pub(super) type Lease = pool::Lease<Sqlserver>;
pub(super) type Connection = Client<Compat<TcpStream>>;
pub(super) type Failed = tiberius::error::Error;

/// Bytes of one statement: the server compiles each anew, and the time grows with its values.
pub(super) const STATEMENT_BYTES: usize = 256 << 10;
/// A batch may have 65,536 packets of 4 KiB, in UTF-16; see
/// <https://learn.microsoft.com/sql/sql-server/maximum-capacity-specifications-for-sql-server>.
pub(super) const STATEMENT_BYTES_MAX: usize = 100_000_000;
/// Longest wait for a lock; well under any lease.
const LOCK_WAIT_SECONDS: u64 = 10;
/// The oldest version with OFFSET and FETCH: 2012.
const VERSION_MIN: u32 = 11;
/// An address may send the client on to another one, once.
const ADDRESSES_MAX: u8 = 2;

/// How many rows the statement before it wrote; told as a count and not as a row.
pub(super) const COUNTED: &str = "; SELECT @@ROWCOUNT AS _syncline_rows";
const COUNT: &str = "_syncline_rows";

/// What a session learned about its server when it was set up.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Product and version.
    pub(super) version: String,
    /// The user's own schema.
    pub(super) schema: String,
    /// Names are compared without regard to letter case.
    pub(super) folds_names: bool,
    /// Text as binary is UTF-16, so that any text can be read without loss.
    pub(super) text_is_utf16: bool,
    pub(super) reads: Reads,
}

/// How a statement sees rows that others change meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// `ALLOW_SNAPSHOT_ISOLATION`.
    Snapshot,
    /// `READ_COMMITTED_SNAPSHOT`: a statement is a snapshot.
    Committed,
    /// Neither: what is read is locked until the statement ends.
    Locked,
}

impl Reads {
    const fn level(self) -> &'static str {
        match self {
            Self::Snapshot => "SNAPSHOT",
            Self::Committed => "READ COMMITTED",
            Self::Locked => "SERIALIZABLE",
        }
    }
}

pub(super) fn error(kind: ErrorKind, operation: &str) -> Error {
    server::error::<Sqlserver>(kind, operation)
}

pub(super) fn options(config: &ConnectionConfig) -> Result<Config> {
    let spec = &config.spec;
    let mut options = Config::new();
    options.host(spec.host.as_deref().unwrap_or("127.0.0.1"));
    options.port(spec.port.unwrap_or(1433));
    options.application_name("syncline");
    // Our own deadlines hold.
    options.handshake_timeout(None);
    options.command_timeout(None);
    if let Some(database) = &spec.database {
        options.database(database);
    }
    let password = config.password.as_ref().map(|password| password.expose_secret().to_owned());
    let user = spec.user.clone().unwrap_or_default();
    options.authentication(AuthMethod::sql_server(user, password.unwrap_or_default()));
    match spec.tls {
        Tls::Verify => options.encryption(EncryptionLevel::Required),
        Tls::Insecure => {
            options.encryption(EncryptionLevel::Required);
            options.trust_cert();
        }
        Tls::Off => options.encryption(EncryptionLevel::NotSupported),
    }
    if let Some(ca) = spec.tls_ca.as_ref().filter(|_| spec.tls == Tls::Verify) {
        let pem = std::fs::read(ca)
            .map_err(|_| error(ErrorKind::Tls, "read the certificate authorities").with_object(ca.clone()))?;
        options.trust_cert_ca_bundle(pem);
    }
    Ok(options)
}

pub(super) async fn log_in(config: &Config) -> std::result::Result<Connection, Failed> {
    let mut config = config.clone();
    for _ in 1..ADDRESSES_MAX {
        match connect(config.clone()).await {
            Err(Failed::Routing { host, port }) => {
                config.host(host);
                config.port(port);
            }
            done => return done,
        }
    }
    connect(config).await
}

async fn connect(config: Config) -> std::result::Result<Connection, Failed> {
    let stream = TcpStream::connect(config.get_addr()).await?;
    stream.set_nodelay(true)?;
    Box::pin(Client::connect(config, stream.compat_write())).await
}

/// Sets the state that everything else relies on.
pub(super) async fn set_up(
    connection: &mut Connection,
    config: &ConnectionConfig,
    operation: &str,
) -> Result<(Server, u64)> {
    // The server should tell of a lock before the client gives up.
    let lock_wait = lock_wait(config.deadline);
    let settings = format!(
        "SET QUOTED_IDENTIFIER ON; SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET ARITHABORT ON; \
         SET CONCAT_NULL_YIELDS_NULL ON; SET XACT_ABORT OFF; SET IMPLICIT_TRANSACTIONS OFF; SET TEXTSIZE 2147483647; \
         SET LOCK_TIMEOUT {}; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), @@VERSION, @@SPID, SCHEMA_NAME(), \
         CASE WHEN 'a' = 'A' THEN 1 ELSE 0 END, CAST(N'a\u{20ac}' AS varbinary(8)); \
         SELECT d.snapshot_isolation_state, d.is_read_committed_snapshot_on FROM sys.databases AS d \
         WHERE d.name = DB_NAME()",
        lock_wait.as_millis()
    );
    let set = pool::answers::<Sqlserver>(connection, settings, config.deadline, operation).await?;
    let mut rows = set.into_iter().filter_map(|answer| answer.rows.into_iter().next());
    let row =
        rows.next().ok_or_else(|| error(ErrorKind::Internal, operation).with_object("session state"))?;
    let text = |at| codec::text(&row, at).unwrap_or_default().into_owned();
    let number = text(0);
    let major = number.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(VERSION_MIN);
    if major < VERSION_MIN {
        return Err(error(ErrorKind::Unsupported, operation)
            .with_object(format!("SQL Server {number}: 11 (2012) or newer is needed")));
    }
    let is_babelfish = text(1).starts_with("Babelfish");
    let reads = match rows.next() {
        // PostgreSQL under another name: a statement is a snapshot, always.
        _ if is_babelfish => Reads::Committed,
        Some(row) => reads(&row),
        None => Reads::Locked,
    };
    let server = Server {
        version: format!("{} {number}", if is_babelfish { "Babelfish" } else { "SQL Server" }),
        schema: text(3),
        folds_names: text(4) == "1",
        text_is_utf16: codec::bytes(&row, 5) == Some(&[b'a', 0, 0xac, 0x20]),
        reads,
    };
    if config.role == Role::Source {
        let level = format!("SET TRANSACTION ISOLATION LEVEL {}", server.reads.level());
        pool::answers::<Sqlserver>(connection, level, config.deadline, operation).await?;
    }
    Ok((server, text(2).parse().unwrap_or_default()))
}

fn reads(row: &Row) -> Reads {
    let is_on = |at| codec::text(row, at).is_some_and(|text| text == "1");
    if is_on(0) {
        Reads::Snapshot
    } else if is_on(1) {
        Reads::Committed
    } else {
        Reads::Locked
    }
}

pub(super) fn lock_wait(deadline: Duration) -> Duration {
    Duration::from_secs(LOCK_WAIT_SECONDS.min(deadline.as_secs().saturating_sub(1)).max(1))
}

/// The rows that one statement gives, or the count that it is.
struct Answer {
    is_count: bool,
    count: u64,
}

/// See [`Protocol::run`](crate::server::Protocol::run). Only statements that give rows, or are counted, have an answer.
pub(super) fn run(connection: &mut Connection, sql: String) -> Parts<'_, Row, Failed> {
    let sent = async move { connection.simple_query(sql).await };
    let parts = stream::once(sent).flat_map(|sent| match sent {
        Ok(parts) => answers(parts).boxed(),
        Err(failed) => stream::once(ready(Err(failed))).boxed(),
    });
    parts.boxed()
}

fn answers(
    parts: QueryStream<'_>,
) -> impl futures::Stream<Item = std::result::Result<Either<u64, Row>, Failed>> + '_ {
    let ends = parts.map(Some).chain(stream::once(ready(None)));
    ends.scan(None, |open: &mut Option<Answer>, part| ready(Some(told(open, part)))).filter_map(ready)
}

/// What a part of the server's answer tells: a row, or that the rows of a statement have ended.
fn told(
    open: &mut Option<Answer>,
    part: Option<std::result::Result<QueryItem, Failed>>,
) -> Option<std::result::Result<Either<u64, Row>, Failed>> {
    let ended = |answer: Answer| Ok(Either::Left(answer.count));
    match part {
        None => open.take().map(ended),
        Some(Err(failed)) => Some(Err(failed)),
        Some(Ok(QueryItem::Metadata(metadata))) => {
            let is_count = matches!(metadata.columns(), [only] if only.name() == COUNT);
            open.replace(Answer { is_count, count: 0 }).map(ended)
        }
        Some(Ok(QueryItem::Row(row))) => match open {
            Some(answer) if answer.is_count => {
                answer.count = codec::text(&row, 0).and_then(|text| text.parse().ok()).unwrap_or_default();
                None
            }
            Some(_) | None => Some(Ok(Either::Right(row))),
        },
    }
}
