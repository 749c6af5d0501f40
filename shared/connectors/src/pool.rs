//! Open connections by spec: each database is connected to once per process and role.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{ConnectionSpec, ErrorKind};
use secrecy::SecretString;

use crate::config::{ConnectionConfig, Role};
use crate::error::{Error, Result};
use crate::{Target, open};

/// Finds the secret of a connection; the error says which reference could not be resolved, never what it held.
pub type ResolveSecret =
    Arc<dyn Fn(&ConnectionSpec) -> std::result::Result<Option<SecretString>, String> + Send + Sync>;

/// Connection pools of this process, opened when first asked for.
#[derive(Clone)]
pub struct Connections {
    resolve: ResolveSecret,
    connections_max: u32,
    deadline: Duration,
    open: Arc<Mutex<HashMap<String, Arc<dyn Target>>>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}

impl Connections {
    /// `connections_max` bounds each pool, `deadline` each wait for an answer.
    #[must_use]
    pub fn new(resolve: ResolveSecret, connections_max: u32, deadline: Duration) -> Self {
        Self { resolve, connections_max, deadline, open: Arc::default() }
    }

    /// The database of `spec`, connected lazily; the same pool for the same spec and role.
    ///
    /// # Errors
    /// `Authentication` if the secret's reference cannot be resolved, else as [`open`].
    pub fn get(&self, spec: &ConnectionSpec, role: Role) -> Result<Arc<dyn Target>> {
        let name = format!("{role:?} {} {}", spec.address(), spec.user.as_deref().unwrap_or(""));
        let mut pools = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = pools.get(&name) {
            return Ok(found.clone());
        }
        let password = (self.resolve)(spec).map_err(|reason| {
            let operation = format!("find the password for {}", spec.address());
            Error::new(ErrorKind::Authentication, spec.engine, operation).with_object(reason)
        })?;
        let opened = open(&ConnectionConfig {
            spec: spec.clone(),
            password,
            role,
            connections_max: self.connections_max,
            deadline: self.deadline,
        })?;
        pools.insert(name, opened.clone());
        Ok(opened)
    }
}
