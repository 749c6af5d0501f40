//! Stopping: who is asked to stop, who is told to, and how long anyone waits.
//!
//! Every task of the process is spawned here, so that a stop can wait for all of them and name those that hang.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

/// The signal that asked the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of a command that this signal cut short.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// How waiting for the tasks ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// Every task has ended.
    Clean,
    /// Time ran out, or a second signal came; these tasks were still running.
    Overdue(Vec<&'static str>),
}

/// The tasks of a process and the two tokens that end them: `stop` asks, `abort` insists. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tasks: TaskTracker,
    /// The signal listener, which outlives the tasks and is not waited for.
    listener: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
    signal: OnceLock<Signal>,
    next_task: AtomicU64,
    running: Mutex<BTreeMap<u64, &'static str>>,
}

impl Shutdown {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens for SIGINT and SIGTERM from now on: the first cancels `stop`, the second cancels `abort`.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = self.clone();
        self.shared.listener.spawn(async move {
            loop {
                let received = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    else => return,
                };
                shutdown.receive(received);
            }
        });
        Ok(())
    }

    /// What a signal does; also the way in for tests and for callers with a signal source of their own.
    pub fn receive(&self, signal: Signal) {
        if self.shared.signal.set(signal).is_ok() {
            info!(?signal, "stopping; a second signal aborts");
            self.shared.stop.cancel();
        } else {
            warn!(?signal, "aborting");
            self.shared.abort.cancel();
        }
    }

    /// Asks every task to stop, for a reason other than a signal.
    pub fn request_stop(&self) {
        self.shared.stop.cancel();
    }

    /// Cancelled when work should be finished or given back.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Cancelled when work should be dropped where it stands.
    #[must_use]
    pub fn abort(&self) -> CancellationToken {
        self.shared.abort.clone()
    }

    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    /// The first signal received.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        self.shared.signal.get().copied()
    }

    /// Runs a task that `wait` waits for. The name is for logs and for `Drained::Overdue`.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let presence = Presence::enter(&self.shared, name);
        let task = async move {
            let _presence = presence;
            future.await
        };
        self.shared.tasks.spawn(task.instrument(info_span!("task", name)))
    }

    /// Asks all tasks to stop and waits until they have, or `grace` is over, or a second signal came. In the latter
    /// two cases `abort` is cancelled on return.
    pub async fn wait(&self, grace: Duration) -> Drained {
        self.request_stop();
        self.drained(grace).await
    }

    /// As `wait`, but the tasks end when they will: for tasks that finish by themselves.
    pub async fn join(&self) -> Drained {
        self.shared.tasks.close();
        tokio::select! {
            () = self.shared.tasks.wait() => Drained::Clean,
            () = self.shared.abort.cancelled() => self.overdue(),
        }
    }

    async fn drained(&self, grace: Duration) -> Drained {
        tokio::time::timeout(grace, self.join()).await.unwrap_or_else(|_elapsed| self.overdue())
    }

    fn overdue(&self) -> Drained {
        let running = self.shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&'static str> = running.values().copied().collect();
        drop(running);
        self.shared.abort.cancel();
        if names.is_empty() { Drained::Clean } else { Drained::Overdue(names) }
    }
}

/// A task's entry among the running ones; leaving is dropping, so that a panic leaves too.
struct Presence {
    shared: Arc<Shared>,
    id: u64,
}

impl Presence {
    fn enter(shared: &Arc<Shared>, name: &'static str) -> Self {
        let id = shared.next_task.fetch_add(1, Ordering::Relaxed);
        shared.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id, name);
        Self { shared: Arc::clone(shared), id }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_stop_waits_for_tasks_that_obey() {
        let shutdown = Shutdown::new();
        let stop = shutdown.stop();
        let task = shutdown.spawn("obedient", async move {
            stop.cancelled().await;
            7
        });
        assert!(!shutdown.is_stopping());
        assert_eq!(shutdown.wait(LONG).await, Drained::Clean);
        assert_eq!(task.await.expect("ended"), 7);
        assert_eq!(shutdown.signal(), None);
    }

    #[tokio::test]
    async fn a_task_that_hangs_is_named_and_aborted() {
        let shutdown = Shutdown::new();
        shutdown.spawn("deaf", std::future::pending::<()>());
        assert_eq!(shutdown.wait(SHORT).await, Drained::Overdue(vec!["deaf"]));
        assert!(shutdown.abort().is_cancelled());
    }

    #[tokio::test]
    async fn a_task_that_panics_does_not_hold_up_the_stop() {
        let shutdown = Shutdown::new();
        let task = shutdown.spawn("broken", async { panic!("on purpose") });
        assert!(task.await.is_err());
        assert_eq!(shutdown.wait(LONG).await, Drained::Clean);
    }

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_insists() {
        let shutdown = Shutdown::new();
        shutdown.spawn("deaf", std::future::pending::<()>());
        shutdown.receive(Signal::Terminate);
        assert!(shutdown.is_stopping() && !shutdown.abort().is_cancelled());
        shutdown.receive(Signal::Interrupt);
        assert!(shutdown.abort().is_cancelled());
        assert_eq!(shutdown.signal(), Some(Signal::Terminate));
        assert_eq!(shutdown.signal().map(Signal::exit_code), Some(143));
        assert_eq!(shutdown.wait(LONG).await, Drained::Overdue(vec!["deaf"]));
    }

    #[tokio::test]
    async fn real_signals_arrive() {
        let shutdown = Shutdown::new();
        shutdown.listen().expect("installs the handlers");
        for (name, token) in [("-TERM", shutdown.stop()), ("-INT", shutdown.abort())] {
            let own = std::process::id().to_string();
            let sent =
                tokio::process::Command::new("kill").args([name, &own]).status().await.expect("kill runs");
            assert!(sent.success());
            tokio::time::timeout(LONG, token.cancelled()).await.expect("the token is cancelled");
        }
        assert_eq!(shutdown.signal(), Some(Signal::Terminate));
    }
}
