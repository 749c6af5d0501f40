//! Connections: opening them, the state each must have, and the pool.
//!
//! The pool is our own because sqlx's answers a refused connection with a time-out after the whole deadline, hides
//! why a session could not be set up, logs the driver's text and keeps a connection that was left in the middle of
//! something. Here a session goes back to the pool only when its user says that it is clean; any other way out
//! closes it, and the server rolls back what was open.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use model::{ErrorKind, Row, TablePlan};
use sqlx::Either;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Protocol, error};
use crate::circuit::Admitted;
use crate::config::ConnectionConfig;
use crate::error::{Error, Result};

/// Sessions lost in loads, after which rows go by INSERT.
const LOST_LOADS_MAX: u32 = 2;
/// Time for ending a statement that passed its deadline.
const END_WITHIN: Duration = Duration::from_secs(2);
/// A session idle for longer is asked whether it still lives before it is used.
const PING_AFTER: Duration = Duration::from_secs(1);
/// A session idle for longer is closed: the server's own idle limit may have come.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Sessions of one connection spec.
pub(crate) struct Pool<P: Protocol> {
    protocol: P,
    pub(crate) config: ConnectionConfig,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Idle<P>>>,
    /// The server as the first session found it.
    server: OnceLock<P::Server>,
    /// Loads during which the session was lost.
    lost_loads: AtomicU32,
}

struct Idle<P: Protocol> {
    session: Session<P>,
    since: Instant,
}

struct Session<P: Protocol> {
    connection: P::Connection,
    server: P::Server,
    /// The server's name for this connection.
    id: u64,
    opened: Instant,
}

/// The driver's options print the password.
impl<P: Protocol> fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", &self.config.spec.address()).finish_non_exhaustive()
    }
}

impl<P: Protocol> Pool<P> {
    pub(crate) fn new(config: &ConnectionConfig) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            protocol: P::new(config)?,
            config: config.clone(),
            free: Arc::new(Semaphore::new(config.connections_max.max(1) as usize)),
            idle: Mutex::default(),
            server: OnceLock::new(),
            lost_loads: AtomicU32::new(0),
        }))
    }

    /// The server, if any session has met it yet.
    pub(crate) fn known_server(&self) -> Option<&P::Server> {
        self.server.get()
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// Most rows of a batch, and longest wait for the next row.
    pub(crate) fn batch_limits(&self) -> (usize, Duration) {
        (self.config.batch_rows(), self.deadline())
    }

    /// A session of one's own: an idle one that answers, or a new one. While the endpoint's circuit is open there is none.
    pub(crate) async fn lease(self: &Arc<Self>, operation: &str) -> Result<Lease<P>> {
        let waiting = tokio::time::timeout(self.config.wait_max(), self.free.clone().acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            let busy = format!("none of {} connections became free", self.config.connections_max);
            return Err(error::<P>(ErrorKind::Timeout, operation).with_object(busy));
        };
        if self.config.circuit.admit(Instant::now(), operation)? == Admitted::ToProbe {
            // What was idle while the endpoint was away proves nothing.
            self.forget_idle();
        }
        while let Some((Idle { mut session, since }, left)) = self.pop_idle() {
            let age = since.elapsed();
            let is_kept = left < self.config.spec.pool.min as usize;
            if age > IDLE_MAX && !is_kept || self.is_old(&session) {
                continue;
            }
            let lives = age < PING_AFTER
                || matches!(
                    tokio::time::timeout(PING_AFTER, P::ping(&mut session.connection)).await,
                    Ok(true)
                );
            if lives {
                return Ok(Lease { session: Some(session), pool: self.clone(), permit: Some(permit) });
            }
        }
        let session = self.connect(operation).await?;
        Ok(Lease { session: Some(session), pool: self.clone(), permit: Some(permit) })
    }

    /// The session that was used last, and how many idle ones are left.
    fn pop_idle(&self) -> Option<(Idle<P>, usize)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let last = idle.pop()?;
        Some((last, idle.len()))
    }

    fn is_old(&self, session: &Session<P>) -> bool {
        self.config.age_max().is_some_and(|max| session.opened.elapsed() > max)
    }

    /// Closes what is idle: the next session looks the endpoint up anew.
    fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tells the circuit of a statement that failed; a server that has become read-only is left, to find the new primary.
    pub(crate) fn note_failure(&self, failed: &Error) {
        self.config.circuit.note_failure(failed.kind, Instant::now());
        if failed.kind == ErrorKind::ReadOnly {
            self.config.circuit.refused_write(Instant::now());
            self.forget_idle();
        }
    }

    async fn connect(&self, operation: &str) -> Result<Session<P>> {
        let connected = self.connect_once(operation).await;
        self.config.circuit.note(connected.as_ref().err().map(|failed| failed.kind), Instant::now());
        connected
    }

    async fn connect_once(&self, operation: &str) -> Result<Session<P>> {
        let connecting = tokio::time::timeout(self.deadline(), self.protocol.log_in(&self.config)).await;
        let mut connection = match connecting {
            Ok(Ok(connection)) => connection,
            Ok(Err(failed)) => return Err(P::login_failure(&failed, operation)),
            Err(_) => return Err(error::<P>(ErrorKind::Unreachable, operation)),
        };
        let (server, id) = P::set_up(&mut connection, &self.config, operation).await?;
        let _ = self.server.set(server.clone());
        Ok(Session { connection, server, id, opened: Instant::now() })
    }

    /// Ends session `id` at the server, so that a statement nobody waits for lets go of its locks. If that fails,
    /// the server's own limits end it.
    pub(crate) async fn end(&self, id: u64, operation: &str) {
        let ending = async {
            let mut session = self.connect(operation).await?;
            answers::<P>(&mut session.connection, P::end_sql(id), END_WITHIN, operation).await
        };
        if !matches!(tokio::time::timeout(END_WITHIN, ending).await, Ok(Ok(_))) {
            tracing::warn!(operation, "a statement past its deadline could not be ended at the server");
        }
    }

    /// Whether the server still works on the statement of session `id`; asked from another session, outside the
    /// pool's limit.
    async fn is_running(&self, id: u64, operation: &str) -> Result<bool> {
        let mut session = self.connect(operation).await?;
        let sql = P::is_running_sql(id);
        let answers = answers::<P>(&mut session.connection, sql, self.deadline(), operation).await?;
        Ok(answers.first().is_some_and(|a| !a.rows.is_empty()))
    }
}

/// A session in use. Dropped without [`Lease::release`] it is closed.
pub(crate) struct Lease<P: Protocol> {
    session: Option<Session<P>>,
    pool: Arc<Pool<P>>,
    permit: Option<OwnedSemaphorePermit>,
}

/// What one statement came to.
#[derive(Debug)]
pub(crate) struct Answer<R> {
    pub(crate) rows: Vec<R>,
    /// Rows written; for an UPDATE, rows found.
    pub(crate) affected: u64,
}

const TAKEN: &str = "a session leaves its lease only when the lease ends";

impl<P: Protocol> Lease<P> {
    pub(crate) fn server(&self) -> &P::Server {
        &self.session.as_ref().expect(TAKEN).server
    }

    /// Gives the session back for the next user. To be called only when no transaction is open, nothing is left to
    /// read and the session's state is as it was.
    pub(crate) fn release(mut self) {
        if let Some(session) = self.session.take().filter(|session| !self.pool.is_old(session)) {
            let idle = Idle { session, since: Instant::now() };
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
        drop(self.permit.take());
    }

    /// The server's name for this session.
    pub(crate) fn id(&self) -> u64 {
        self.session.as_ref().expect(TAKEN).id
    }

    /// Runs the statements of `sql` and collects what each came to.
    pub(crate) async fn run(&mut self, operation: &str, sql: String) -> Result<Vec<Answer<P::Row>>> {
        let deadline = self.pool.deadline();
        let done = answers::<P>(self, sql, deadline, operation).await;
        self.noted(operation, done).await
    }

    /// Whether loads are to be tried: a server that ends the session for one would do so again.
    pub(crate) fn may_load(&self) -> bool {
        !P::LOAD_IS_TERSE || self.pool.lost_loads.load(Ordering::Relaxed) < LOST_LOADS_MAX
    }

    /// See [`Protocol::load`].
    pub(crate) async fn load(&mut self, operation: &str, plan: &TablePlan, rows: &[Row]) -> Result<()> {
        let deadline = self.pool.deadline();
        let done = match tokio::time::timeout(deadline, P::load(self, plan, rows)).await {
            Ok(done) => done.map_err(|e| P::failure(&e, operation)),
            Err(_) => Err(error::<P>(ErrorKind::Timeout, operation)),
        };
        if matches!(&done, Err(failed) if failed.kind == ErrorKind::ConnectionLost) {
            self.pool.lost_loads.fetch_add(1, Ordering::Relaxed);
        }
        self.noted(operation, done).await
    }

    /// A failure is told to the circuit; what passed its deadline is ended at the server.
    async fn noted<T>(&mut self, operation: &str, done: Result<T>) -> Result<T> {
        if let Err(failed) = &done {
            self.pool.note_failure(failed);
            if failed.kind == ErrorKind::Timeout {
                self.pool.end(self.id(), operation).await;
            }
        }
        done
    }

    /// Rows of a single statement.
    pub(crate) async fn rows(&mut self, operation: &str, sql: String) -> Result<Vec<P::Row>> {
        Ok(self.run(operation, sql).await?.into_iter().next().map(|answer| answer.rows).unwrap_or_default())
    }

    /// Runs something that may rightly take longer than the deadline (building an index, counting): at each
    /// deadline the server is asked whether it is still at it.
    pub(crate) async fn run_long(&mut self, operation: &str, sql: String) -> Result<Vec<Answer<P::Row>>> {
        let (pool, id) = (self.pool.clone(), self.id());
        let mut work = std::pin::pin!(collect::<P>(self, sql));
        loop {
            match tokio::time::timeout(pool.deadline(), &mut work).await {
                Ok(done) => {
                    let done = done.map_err(|e| P::failure(&e, operation));
                    return done.inspect_err(|failed| pool.note_failure(failed));
                }
                Err(_) if pool.is_running(id, operation).await? => {}
                Err(_) => return Err(error::<P>(ErrorKind::Timeout, operation)),
            }
        }
    }
}

impl<P: Protocol> Deref for Lease<P> {
    type Target = P::Connection;

    fn deref(&self) -> &P::Connection {
        &self.session.as_ref().expect(TAKEN).connection
    }
}

impl<P: Protocol> DerefMut for Lease<P> {
    fn deref_mut(&mut self) -> &mut P::Connection {
        &mut self.session.as_mut().expect(TAKEN).connection
    }
}

pub(crate) async fn answers<P: Protocol>(
    connection: &mut P::Connection,
    sql: String,
    deadline: Duration,
    operation: &str,
) -> Result<Vec<Answer<P::Row>>> {
    match tokio::time::timeout(deadline, collect::<P>(connection, sql)).await {
        Ok(done) => done.map_err(|e| P::failure(&e, operation)),
        Err(_) => Err(error::<P>(ErrorKind::Timeout, operation)),
    }
}

async fn collect<P: Protocol>(
    connection: &mut P::Connection,
    sql: String,
) -> std::result::Result<Vec<Answer<P::Row>>, P::Failed> {
    let mut parts = P::run(connection, sql);
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    while let Some(part) = parts.try_next().await? {
        match part {
            Either::Right(row) => rows.push(row),
            Either::Left(affected) => answers.push(Answer { rows: std::mem::take(&mut rows), affected }),
        }
    }
    Ok(answers)
}
