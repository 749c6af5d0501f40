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
    /// Connections of this process to this database, at most.
    pub connections_max: u32,
    /// Longest wait for a connection, an answer or the next row.
    pub deadline: Duration,
    /// Shared by all that lead to the same endpoint.
    pub circuit: Arc<Circuit>,
}
