//! One circuit per endpoint and process: what does not answer is left alone for a while.
//!
//! Five failures of the network within ten seconds open it for five seconds: nobody of this process asks the endpoint
//! meanwhile. Then one is let through to look; its connection closes the circuit, its failure opens it again. Refuses to
//! judge what a server says: an answer, whatever it is, is a sign of life. It also bounds how often a server that takes no
//! writes is asked to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{Engine, ErrorKind};

use crate::error::{Error, Result};

/// Failures that open the circuit: more than one broken connection and its retry.
const FAILURES_MAX: usize = 5;
/// ... within this time.
const FAILURES_WITHIN: Duration = Duration::from_secs(10);
/// How long it stays open: longer than a restart of a connection, shorter than a failover.
const OPEN_FOR: Duration = Duration::from_secs(5);
/// Tries at writing to a server that is read-only, in a minute: a failover is found soon, and nothing storms.
const READ_ONLY_TRIES: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Whether an endpoint is asked.
#[derive(Debug)]
pub struct Circuit {
    engine: Engine,
    /// Engine, host and port; neither database nor user.
    endpoint: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    failures: VecDeque<Instant>,
    read_only: VecDeque<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// Somebody is looking, since then. One who never came back is not waited for longer than the circuit stays open.
    Probing {
        since: Instant,
    },
}

/// How a caller may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    Freely,
    /// As the one who looks whether the endpoint is back: on a new connection.
    ToProbe,
}

impl Circuit {
    /// A closed circuit. `endpoint` is shown in logs and errors: no secret, no user.
    #[must_use]
    pub fn new(engine: Engine, endpoint: impl Into<String>) -> Arc<Self> {
        let inner = Inner { state: State::Closed, failures: VecDeque::new(), read_only: VecDeque::new() };
        Arc::new(Self { engine, endpoint: endpoint.into(), inner: Mutex::new(inner) })
    }

    /// Whether the endpoint may be asked at `now`.
    ///
    /// # Errors
    /// `Unreachable`, saying when it will be: [`Error::retry_after`].
    pub(crate) fn admit(&self, now: Instant, operation: &str) -> Result<Admitted> {
        let mut inner = self.lock();
        let wait = match inner.state {
            State::Closed => return Ok(Admitted::Freely),
            State::Open { until } => until.saturating_duration_since(now),
            State::Probing { since } => (since + OPEN_FOR).saturating_duration_since(now),
        };
        if wait.is_zero() {
            inner.state = State::Probing { since: now };
            tracing::info!(
                endpoint = self.endpoint,
                "circuit half open: looking whether the endpoint is back"
            );
            return Ok(Admitted::ToProbe);
        }
        let seconds = wait.as_millis().div_ceil(1_000);
        let object = format!("circuit open for {}, next probe in {seconds} s", self.endpoint);
        Err(Error::new(ErrorKind::Unreachable, self.engine, operation).with_object(object).not_before(wait))
    }

    /// Notes what asking came to: `None` if there was an answer.
    pub(crate) fn note(&self, failed: Option<ErrorKind>, now: Instant) {
        if failed.is_some_and(ErrorKind::is_of_network) { self.failed(now) } else { self.answered() }
    }

    /// A statement's failure on a session; success says nothing that the connection had not said.
    pub(crate) fn note_failure(&self, kind: ErrorKind, now: Instant) {
        if kind.is_of_network() {
            self.failed(now);
        }
    }

    fn answered(&self) {
        let mut inner = self.lock();
        if inner.state != State::Closed {
            inner.state = State::Closed;
            inner.failures.clear();
            tracing::info!(endpoint = self.endpoint, "circuit closed: the endpoint answers again");
        }
    }

    fn failed(&self, now: Instant) {
        let mut inner = self.lock();
        inner.failures.push_back(now);
        forget(&mut inner.failures, FAILURES_MAX, FAILURES_WITHIN, now);
        let opens = match inner.state {
            State::Closed => inner.failures.len() >= FAILURES_MAX,
            State::Probing { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            inner.state = State::Open { until: now + OPEN_FOR };
            tracing::warn!(
                endpoint = self.endpoint,
                seconds = OPEN_FOR.as_secs(),
                "circuit open: the endpoint does not answer and is left alone"
            );
        }
    }

    /// Notes that the server takes no writes.
    pub(crate) fn refused_write(&self, now: Instant) {
        let mut inner = self.lock();
        inner.read_only.push_back(now);
        forget(&mut inner.read_only, READ_ONLY_TRIES, MINUTE, now);
    }

    /// Whether a server that was found read-only may be asked to write at `now`.
    ///
    /// # Errors
    /// `ReadOnly` if it has been asked ten times in a minute, saying when it may be asked again.
    pub(crate) fn may_write(&self, now: Instant, operation: &str) -> Result<()> {
        let mut inner = self.lock();
        forget(&mut inner.read_only, READ_ONLY_TRIES, MINUTE, now);
        match inner.read_only.front() {
            Some(first) if inner.read_only.len() >= READ_ONLY_TRIES => {
                let wait = (*first + MINUTE).saturating_duration_since(now);
                let object = format!("{}, asked to write {READ_ONLY_TRIES} times in a minute", self.endpoint);
                let refused = Error::new(ErrorKind::ReadOnly, self.engine, operation);
                Err(refused.with_object(object).not_before(wait))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the latest `most` of those within a time.
fn forget(times: &mut VecDeque<Instant>, most: usize, within: Duration, now: Instant) {
    while times.len() > most || times.front().is_some_and(|first| *first + within < now) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> (Arc<Circuit>, Instant) {
        (Circuit::new(Engine::Mysql, "mysql db1:3306"), Instant::now())
    }

    fn fail(circuit: &Circuit, times: usize, at: Instant) {
        for _ in 0..times {
            circuit.note(Some(ErrorKind::Unreachable), at);
        }
    }

    #[test]
    fn five_failures_in_ten_seconds_open_it_and_one_may_look_after_five() {
        let (circuit, start) = circuit();
        let after = |seconds| start + Duration::from_secs(seconds);
        fail(&circuit, 4, start);
        assert_eq!(circuit.admit(start, "x"), Ok(Admitted::Freely));
        // The first four are too long ago.
        fail(&circuit, 1, after(11));
        assert_eq!(circuit.admit(after(11), "x"), Ok(Admitted::Freely));
        fail(&circuit, 4, after(12));
        let refused = circuit.admit(after(14), "read table t").expect_err("open");
        assert_eq!(
            refused.to_string(),
            "mysql: read table t failed: unreachable on circuit open for mysql db1:3306, next probe in 3 s"
        );
        assert_eq!(refused.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(circuit.admit(after(17), "x"), Ok(Admitted::ToProbe));
        assert!(circuit.admit(after(17), "x").is_err(), "one looks, the others wait");
        circuit.note(Some(ErrorKind::Timeout), after(18));
        assert!(circuit.admit(after(22), "x").is_err(), "its failure opens the circuit again");
        assert_eq!(circuit.admit(after(23), "x"), Ok(Admitted::ToProbe));
        circuit.note(None, after(23));
        assert_eq!(circuit.admit(after(23), "x"), Ok(Admitted::Freely));
        fail(&circuit, 4, after(23));
        assert_eq!(circuit.admit(after(23), "x"), Ok(Admitted::Freely), "old failures are forgotten");
    }

    #[test]
    fn a_probe_that_never_came_back_is_replaced() {
        let (circuit, start) = circuit();
        fail(&circuit, 5, start);
        let later = start + OPEN_FOR;
        assert_eq!(circuit.admit(later, "x"), Ok(Admitted::ToProbe));
        assert_eq!(circuit.admit(later + OPEN_FOR, "x"), Ok(Admitted::ToProbe));
    }

    #[test]
    fn an_answer_is_a_sign_of_life_whatever_it_says() {
        let (circuit, start) = circuit();
        for kind in [ErrorKind::Authentication, ErrorKind::Deadlock, ErrorKind::TooManyConnections] {
            for _ in 0..20 {
                circuit.note(Some(kind), start);
                circuit.note_failure(kind, start);
            }
        }
        assert_eq!(circuit.admit(start, "x"), Ok(Admitted::Freely));
    }

    #[test]
    fn a_read_only_server_is_asked_ten_times_a_minute() {
        let (circuit, start) = circuit();
        let mut asked = 0;
        for second in 0..180 {
            let now = start + Duration::from_secs(second);
            if circuit.may_write(now, "x").is_ok() {
                asked += 1;
                circuit.refused_write(now);
            }
        }
        assert_eq!(asked, 30);
        assert_eq!(circuit.admit(start, "x"), Ok(Admitted::Freely), "it may be read all the same");
    }
}
