//! How to connect.

use std::sync::Arc;
use std::time::Duration;

use model::ConnectionSpec;
use secrecy::SecretString;

use crate::circuit::Circuit;

/// What the connection is for. Sources are opened read-only where the engine can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Source,
    Target,
}

/// A connection with its secret resolved. `Debug` shows neither user nor secret.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    pub spec: ConnectionSpec,
    pub password: Option<SecretString>,
    pub role: Role,
    /// Connections of this process to this database, at most: the spec's own limit, or what the process needs.
    pub connections_max: u32,
    /// Longest wait for a connection, an answer or the next row.
    pub deadline: Duration,
    /// Shared by all that lead to the same endpoint.
    pub circuit: Arc<Circuit>,
}

impl ConnectionConfig {
    /// Longest wait for a free connection.
    #[must_use]
    pub fn wait_max(&self) -> Duration {
        self.spec.pool.wait_ms.map_or(self.deadline, Duration::from_millis)
    }

    /// The age after which a connection is not used again; absent: none is too old.
    #[must_use]
    pub fn age_max(&self) -> Option<Duration> {
        self.spec.pool.recycle_ms.map(Duration::from_millis)
    }

    /// Most rows of a batch that is read.
    #[must_use]
    pub fn batch_rows(&self) -> usize {
        self.spec.batch_rows.unwrap_or(crate::BATCH_ROWS_MAX)
    }
}
