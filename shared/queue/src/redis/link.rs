//! One connection to Redis that heals.
//!
//! The driver's `ConnectionManager` reconnects when a connection drops, but it keeps a refused log-in for ever, keeps
//! a connection that no longer answers, and keeps talking to a demoted primary. After such an error this link starts
//! over with a new manager: the next call reads the secrets, asks the sentinels and resolves the name anew.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};
use tokio::sync::Mutex;

use super::address::Address;
use super::classify::classify;
use crate::error::{Error, ErrorKind};

/// The driver's default of 500 ms fails at every pause of a busy server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);
/// Few, since every caller retries anyway, and a call should fail while somebody still waits for it.
const RECONNECTS: usize = 2;

pub(super) struct Link {
    address: Arc<Address>,
    /// Held while a manager is made, so that a hundred calls ask the sentinels once.
    current: Mutex<Current>,
}

struct Current {
    /// Which manager this is, so that ten calls failing on one manager replace it once.
    generation: u64,
    manager: Option<ConnectionManager>,
}

impl Link {
    /// Prepares a link; connects at the first call.
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self { address, current: Mutex::new(Current { generation: 0, manager: None }) }
    }

    /// A second, independent link to the same server.
    pub(super) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.address))
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
        let (generation, manager) = self.manager().await?;
        match command(manager).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let kind = classify(&error);
                if matches!(kind, ErrorKind::Unreachable | ErrorKind::Auth | ErrorKind::ReadOnly) {
                    self.drop_manager(generation).await;
                }
                Err(Error::new(kind, operation).because(error))
            }
        }
    }

    async fn manager(&self) -> Result<(u64, ConnectionManager), Error> {
        let mut current = self.current.lock().await;
        if let Some(manager) = &current.manager {
            return Ok((current.generation, manager.clone()));
        }
        let made = manager(self.address.client().await?)?;
        current.generation += 1;
        current.manager = Some(made.clone());
        Ok((current.generation, made))
    }

    async fn drop_manager(&self, failed: u64) {
        let mut current = self.current.lock().await;
        if current.generation == failed {
            current.manager = None;
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(..)") // The client's own Debug shows the URL.
    }
}

fn manager(client: Client) -> Result<ConnectionManager, Error> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECTION_TIMEOUT))
        .set_max_delay(RECONNECT_DELAY_MAX)
        .set_number_of_retries(RECONNECTS);
    ConnectionManager::new_lazy_with_config(client, config)
        .map_err(|error| Error::new(classify(&error), "prepare a Redis connection").because(error))
}
