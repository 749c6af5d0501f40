//! One connection to Redis that heals.
//!
//! The driver's `ConnectionManager` reconnects when a connection drops, but it keeps a refused log-in for ever, keeps
//! a connection that no longer answers, and keeps talking to a demoted primary. After such an error this link starts
//! over with a new manager, so that the next call resolves the name and logs in anew.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisResult};
use secrecy::{ExposeSecret, SecretString};

use super::classify::classify;
use crate::error::{Error, ErrorKind};

/// The driver's default of 500 ms fails at every pause of a busy server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);
/// Few, since every caller retries anyway, and a call should fail while somebody still waits for it.
const RECONNECTS: usize = 2;

pub(super) struct Link {
    client: Client,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    /// Which manager this is, so that ten calls failing on one manager replace it once.
    generation: u64,
    manager: ConnectionManager,
}

impl Link {
    /// Prepares a link; connects at the first call.
    pub(super) fn new(url: &SecretString) -> Result<Self, Error> {
        let config = |source| Error::new(ErrorKind::Config, "use the Redis URL").because(source);
        let info = url
            .expose_secret()
            .into_connection_info()
            .map_err(|_| Error::new(ErrorKind::Config, "read the Redis URL"))?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Without a provider the driver panics. If one is installed already, it stays.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        Self::over(Client::open(info).map_err(config)?)
    }

    /// A second, independent link to the same server.
    pub(super) fn another(&self) -> Result<Self, Error> {
        Self::over(self.client.clone())
    }

    /// Runs one command or script on the connection.
    pub(super) async fn run<T, F>(
        &self,
        operation: &'static str,
        command: impl FnOnce(ConnectionManager) -> F + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let Current { generation, manager } = self.current().clone();
        match command(manager).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let kind = classify(&error);
                if matches!(kind, ErrorKind::Unreachable | ErrorKind::Auth | ErrorKind::ReadOnly) {
                    self.replace(generation);
                }
                Err(Error::new(kind, operation).because(error))
            }
        }
    }

    fn over(client: Client) -> Result<Self, Error> {
        let manager = manager(&client)?;
        Ok(Self { client, current: Mutex::new(Current { generation: 0, manager }) })
    }

    fn replace(&self, failed: u64) {
        let mut current = self.current();
        if current.generation == failed
            && let Ok(manager) = manager(&self.client)
        {
            *current = Current { generation: failed + 1, manager };
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().expect("nothing panics while it holds the lock")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)") // The client's own Debug shows the URL.
    }
}

fn manager(client: &Client) -> Result<ConnectionManager, Error> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_max_delay(RECONNECT_DELAY_MAX)
        .set_number_of_retries(RECONNECTS);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
        .map_err(|error| Error::new(classify(&error), "prepare a Redis connection").because(error))
}
