//! Open connections by spec: each database is connected to once per process and role.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{ConnectionSpec, Engine, ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};

use crate::circuit::Circuit;
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
    open: Arc<Mutex<Vec<Pool>>>,
    #[cfg(any(test, feature = "testing"))]
    wrap: Option<Wrap>,
}

/// Puts something between the product and a database that was just opened.
#[cfg(any(test, feature = "testing"))]
pub type Wrap = Arc<dyn Fn(Role, Arc<dyn Target>) -> Arc<dyn Target> + Send + Sync>;

struct Pool {
    name: Name,
    password: Option<SecretString>,
    target: Arc<dyn Target>,
    circuit: Arc<Circuit>,
}

/// What a pool is found by: all that decides how a connection comes about, TLS and the password as the spec writes
/// it included. It never leaves this process's memory, and nothing prints it.
#[derive(PartialEq, Eq)]
struct Name {
    role: Role,
    spec: ConnectionSpec,
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
        Self {
            resolve,
            connections_max,
            deadline,
            open: Arc::default(),
            #[cfg(any(test, feature = "testing"))]
            wrap: None,
        }
    }

    /// The same, but what is opened from now on is wrapped first.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn wrapped(mut self, wrap: Wrap) -> Self {
        self.wrap = Some(wrap);
        self
    }

    /// The database of `spec`, connected lazily; the same pool for the same spec and role, as long as what the password's
    /// reference leads to is the same. Who holds a pool of the old password keeps it, and its open sessions.
    ///
    /// # Errors
    /// `Authentication` if the secret's reference cannot be resolved, else as [`open`].
    pub fn get(&self, spec: &ConnectionSpec, role: Role) -> Result<Arc<dyn Target>> {
        let name = Name { role, spec: spec.clone() };
        let password = (self.resolve)(spec).map_err(|reason| {
            let operation = format!("find the password for {}", spec.address());
            Error::new(ErrorKind::Authentication, spec.engine, operation).with_object(reason)
        })?;
        let mut pools = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = pools.iter().find(|pool| pool.name == name) {
            if exposed(found.password.as_ref()) == exposed(password.as_ref()) {
                return Ok(found.target.clone());
            }
            tracing::info!(database = spec.address(), "another password is used from now on");
        }
        let is_there = |pool: &&Pool| endpoint(&pool.name.spec) == endpoint(spec);
        let circuit = pools.iter().find(is_there).map_or_else(
            || Circuit::new(spec.engine, endpoint(spec)),
            |neighbour| Arc::clone(&neighbour.circuit),
        );
        let opened = open(&ConnectionConfig {
            spec: spec.clone(),
            password: password.clone(),
            role,
            connections_max: spec.pool.max.unwrap_or(self.connections_max),
            deadline: self.deadline,
            circuit: Arc::clone(&circuit),
        })?;
        #[cfg(any(test, feature = "testing"))]
        let opened = self.wrap.as_ref().map_or(opened.clone(), |wrap| wrap(role, opened));
        pools.retain(|pool| pool.name != name);
        pools.push(Pool { name, password, target: opened.clone(), circuit });
        Ok(opened)
    }

    /// What a reference leads to that is no password: the key of a rule.
    ///
    /// # Errors
    /// `Authentication` if it cannot be resolved.
    pub fn secret(&self, reference: &str) -> Result<SecretString> {
        let bearer =
            ConnectionSpec { password: Some(reference.to_owned()), ..ConnectionSpec::new(Engine::Memory) };
        let found =
            (self.resolve)(&bearer).and_then(|found| found.ok_or_else(|| "nothing is there".to_owned()));
        found.map_err(|reason| {
            Error::new(ErrorKind::Authentication, Engine::Memory, "find the key of a rule")
                .with_object(reason)
        })
    }

    /// Forgets the pool of a spec, because its login was refused: who asks next logs in anew.
    pub fn forget(&self, spec: &ConnectionSpec, role: Role) {
        let mut pools = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| (&pool.name.spec, pool.name.role) != (spec, role));
    }
}

fn exposed(password: Option<&SecretString>) -> Option<&str> {
    password.map(|password| password.expose_secret())
}

/// What fails as one: the server, or the file.
fn endpoint(spec: &ConnectionSpec) -> String {
    match (&spec.path, &spec.host) {
        (Some(path), _) => format!("{} {path}", spec.engine),
        (None, host) => {
            let host = host.as_deref().unwrap_or("127.0.0.1");
            let port = spec.port.map_or_else(String::new, |port| format!(":{port}"));
            format!("{} {host}{port}", spec.engine)
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Engine;
    use model::spec::Tls;

    use super::*;

    fn connections() -> Connections {
        Connections::new(Arc::new(|_| Ok(None)), 1, Duration::from_secs(1))
    }

    fn spec() -> ConnectionSpec {
        ConnectionSpec {
            user: Some("app".to_owned()),
            password: Some("canary-pw".to_owned()),
            database: Some("pools".to_owned()),
            tls: Tls::Verify,
            ..ConnectionSpec::new(Engine::Memory)
        }
    }

    #[test]
    fn a_pool_is_shared_by_equal_specs_only() {
        let pools = connections();
        let get = |spec: &ConnectionSpec, role| pools.get(spec, role).expect("opened");
        let first = get(&spec(), Role::Target);
        assert!(Arc::ptr_eq(&first, &get(&spec(), Role::Target)));
        assert!(!Arc::ptr_eq(&first, &get(&spec(), Role::Source)));
        for other in [
            ConnectionSpec { tls: Tls::Insecure, ..spec() },
            ConnectionSpec { tls_ca: Some("/ca.pem".to_owned()), ..spec() },
            ConnectionSpec { password: Some("${env:PW}".to_owned()), ..spec() },
            ConnectionSpec { password: None, ..spec() },
            ConnectionSpec { user: None, ..spec() },
        ] {
            let found = get(&other, Role::Target);
            assert!(!Arc::ptr_eq(&first, &found), "{:?} {:?} {:?}", other.tls, other.tls_ca, other.user);
            assert!(Arc::ptr_eq(&found, &get(&other, Role::Target)));
        }
    }

    #[test]
    fn another_password_is_another_pool() {
        let password = Arc::new(Mutex::new("one".to_owned()));
        let current = Arc::clone(&password);
        let resolve: ResolveSecret =
            Arc::new(move |_| Ok(Some(current.lock().expect("free").clone().into())));
        let pools = Connections::new(resolve, 1, Duration::from_secs(1));
        let get = || pools.get(&spec(), Role::Source).expect("opened");
        let first = get();
        assert!(Arc::ptr_eq(&first, &get()));
        *password.lock().expect("free") = "two".to_owned();
        let second = get();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &get()));
        pools.forget(&spec(), Role::Target);
        assert!(Arc::ptr_eq(&second, &get()));
        pools.forget(&spec(), Role::Source);
        assert!(!Arc::ptr_eq(&second, &get()));
        assert_eq!(pools.open.lock().expect("free").len(), 1);
    }

    #[test]
    fn an_endpoint_names_neither_user_nor_database() {
        let host = Some("db1".to_owned());
        let spec = ConnectionSpec { engine: Engine::Mysql, host, port: Some(3307), ..spec() };
        assert_eq!(endpoint(&spec), "mysql db1:3307");
    }

    #[test]
    fn nothing_prints_what_a_pool_is_found_by() {
        let pools = connections();
        pools.get(&spec(), Role::Target).expect("opened");
        assert!(!format!("{pools:?} {pools:#?}").contains("canary-pw"));
    }
}
