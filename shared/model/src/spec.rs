//! The spec as validated: what the operator asked for. Reading and checking the file is the business of `service`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::alert::AlertRule;
use crate::failure::RetryPolicy;
use crate::fields::FieldRule;
use crate::limits::{Brake, Limits};
use crate::merge::MergePolicy;
use crate::plan::DeleteGuard;
use crate::schema::Engine;
use crate::watermark::Incremental;

/// TLS of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Encrypted, certificate and host name verified.
    Verify,
    /// Encrypted, certificate not verified; needs `insecure_tls: accept-unverified` beside it.
    Insecure,
    /// Plain text; the default only on loopback addresses and sockets.
    #[default]
    Off,
}

/// Whether a host is this machine, by name or address, or a socket's path: nobody else can listen to what is sent there.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let is_local_address = || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    host.eq_ignore_ascii_case("localhost") || host.starts_with('/') || is_local_address()
}

/// How to reach a database. Secrets are references (`${env:NAME}`, `${file:/path}`), resolved by each process at
/// connect; the ledger keeps the references only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSpec {
    pub engine: Engine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A reference, or (with a warning from `check`) the password itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// SQLite: the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with the authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// MongoDB: the database that knows the user; `admin` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_source: Option<String>,
    /// MongoDB: how messages are made smaller on the wire, if the server agrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    #[serde(default, skip_serializing_if = "PoolLimits::is_default")]
    pub pool: PoolLimits,
    /// Rows that one read brings into memory at once, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_rows: Option<usize>,
}

/// How what is sent is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    Zlib,
}

/// How many connections each process keeps to a database, and for how long. What is absent the program chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolLimits {
    /// Connections that are kept though nobody uses them.
    #[serde(default)]
    pub min: u32,
    /// Connections at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Longest wait for a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// An older one is closed instead of used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle_ms: Option<u64>,
}

impl PoolLimits {
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl ConnectionSpec {
    /// A connection to this engine, with nothing said of where it leads.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            host: None,
            port: None,
            user: None,
            password: None,
            database: None,
            path: None,
            tls: Tls::default(),
            tls_ca: None,
            auth_source: None,
            compression: None,
            pool: PoolLimits::default(),
            batch_rows: None,
        }
    }

    /// Whether the password is written in the spec itself: literally, or as the default of a reference.
    #[must_use]
    pub fn has_inline_secret(&self) -> bool {
        self.password.as_deref().is_some_and(|p| !p.is_empty() && (!p.starts_with("${") || p.contains(":-")))
    }

    /// Where it leads, for messages: engine, host, port, database or path. No user, no secret.
    #[must_use]
    pub fn address(&self) -> String {
        match (&self.path, &self.host) {
            (Some(path), _) => format!("{} {path}", self.engine),
            (None, host) => {
                let host = host.as_deref().unwrap_or("127.0.0.1");
                let port = self.port.map_or_else(String::new, |p| format!(":{p}"));
                format!("{} {host}{port}/{}", self.engine, self.database.as_deref().unwrap_or(""))
            }
        }
    }
}

impl std::fmt::Debug for ConnectionSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionSpec").field("address", &self.address()).finish_non_exhaustive()
    }
}

/// What a table asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    InsertOnly,
    Merge,
    Mirror,
}

impl Mode {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsertOnly => "insert-only",
            Self::Merge => "merge",
            Self::Mirror => "mirror",
        }
    }
}

/// One table, or several by a pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// Source table; may hold `*`, which stands for any run of characters.
    pub from: String,
    /// Target table; the source's name if absent. Not allowed beside a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Tables a pattern leaves out; may hold `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Key columns; the primary key or a unique index without NULLs if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    pub mode: Mode,
    pub policy: MergePolicy,
    /// Columns that are not copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    pub delete_guard: DeleteGuard,
    pub quarantined_max: u64,
    /// Columns of the target may be narrower than the source's: rows that do not fit are quarantined. Otherwise such
    /// a table is refused.
    #[serde(default)]
    pub lossy_allowed: bool,
    /// Only what changed since the last run is read; absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Incremental>,
    /// What becomes of single columns; all others go over as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldRule>,
    /// Only rows with these keys; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<KeyTexts>,
}

/// A range of keys of one column, as a person writes them: from the first on, below the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
}

impl TableSpec {
    /// Whether a source table of this name is meant.
    #[must_use]
    pub fn matches(&self, table: &str) -> bool {
        wildcard(&self.from, table) && !self.except.iter().any(|pattern| wildcard(pattern, table))
    }

    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.from.contains('*')
    }
}

/// `*` stands for any run of characters; all else is literal, and letter case matters. Linear in the pattern times the
/// text: each piece between stars is taken at its first place, which leaves the most for the pieces after it.
#[must_use]
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

/// Sizes of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkLimits {
    /// Most rows in a chunk, 1 to 100,000.
    pub rows_max: u64,
    /// Bytes a chunk should hold.
    pub target_bytes: u64,
    /// Milliseconds of reading a chunk should take.
    pub target_ms: u64,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { rows_max: 100_000, target_bytes: 16 * 1024 * 1024, target_ms: 2_000 }
    }
}

/// What the operator asks for, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    pub name: String,
    pub source: ConnectionSpec,
    pub target: ConnectionSpec,
    pub tables: Vec<TableSpec>,
    #[serde(default)]
    pub chunk: ChunkLimits,
    /// What its runs may do in a second, until somebody sets something else for one of them.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// What makes its runs wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brakes: Vec<Brake>,
    /// Incremental tables are read whole once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_all: bool,
    /// How often failed chunks are tried again.
    #[serde(default, skip_serializing_if = "RetryPolicy::is_default")]
    pub retry: RetryPolicy,
    /// Who is told how runs end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertRule>,
}

impl RunSpec {
    /// The snapshot for the ledger: as given, but a password that stands in the spec itself is left out.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut snapshot = self.clone();
        for connection in [&mut snapshot.source, &mut snapshot.target] {
            if connection.has_inline_secret() {
                connection.password = None;
            }
        }
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(wildcard("*", "") && wildcard("*", "orders"));
        assert!(wildcard("ord*_2024", "orders_2024") && !wildcard("ord*_2024", "orders_2025"));
        assert!(wildcard("a*b*c", "aXbYbZc") && !wildcard("a*b*c", "acb"));
        assert!(wildcard("ü*", "üé"));
    }

    #[test]
    fn debug_output_and_snapshots_hold_no_password() {
        let connection = ConnectionSpec {
            host: Some("db".to_owned()),
            user: Some("app".to_owned()),
            password: Some("hunter2".to_owned()),
            database: Some("shop".to_owned()),
            tls: Tls::Verify,
            ..ConnectionSpec::new(Engine::Mysql)
        };
        assert!(!format!("{connection:?}").contains("hunter2"));
        let spec = RunSpec {
            name: "x".to_owned(),
            source: connection.clone(),
            target: ConnectionSpec { password: Some("${env:PW}".to_owned()), ..connection },
            tables: vec![],
            chunk: ChunkLimits::default(),
            limits: Limits::default(),
            brakes: vec![],
            reads_all: false,
            retry: RetryPolicy::default(),
            alerts: vec![],
        };
        let snapshot = serde_json::to_string(&spec.without_secrets()).expect("serialises");
        assert!(!snapshot.contains("hunter2") && snapshot.contains("${env:PW}"));
    }
}
