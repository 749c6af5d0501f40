//! What `serve` and `worker` need beside an embedded run: a queue on Redis that all share, and clocks that agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger::Ledger;
use queue::{Queue, QueueConfig, QueueInfo, SecretString, SigningKey};
use secrecy::ExposeSecret as _;
use service::problem::code;
use service::{Problem, chain};

/// Variable with the queue's address; may hold references to secrets.
pub(crate) const REDIS_VARIABLE: &str = "SYNCLINE_REDIS";
/// Variable with the secret that signs jobs, best as a reference.
pub(crate) const KEY_VARIABLE: &str = "SYNCLINE_QUEUE_KEY";
/// Names the key on the wire.
const KEY_NAME: &str = "k1";
/// Clocks further apart make leases and retries mean different things to different machines.
pub(crate) const SKEW_MAX: Duration = Duration::from_secs(2);

/// Whether a queue on Redis is set.
pub(crate) fn is_set() -> bool {
    variable(REDIS_VARIABLE).is_some()
}

/// Where the queue is and what signs its jobs.
pub(crate) struct Settings {
    url: SecretString,
    key: SigningKey,
}

/// Reads the settings from the environment; connects to nothing.
///
/// # Errors
/// A variable is missing, or a secret cannot be resolved or used.
pub(crate) fn settings() -> Result<Settings, Problem> {
    let url = secret(REDIS_VARIABLE, "export SYNCLINE_REDIS=redis://…")?;
    let key =
        secret(KEY_VARIABLE, "export SYNCLINE_QUEUE_KEY='${file:/run/secrets/queue-key}', the same for all")?;
    let key = SigningKey::new(KEY_NAME, key.expose_secret().trim().as_bytes()).map_err(|error| {
        let next = format!("give {KEY_VARIABLE} at least 32 random bytes: openssl rand -hex 32");
        Problem::new(code::BAD_SETTING, chain(&error).to_string(), next)
    })?;
    Ok(Settings { url, key })
}

/// Connects to the queue of this installation.
///
/// # Errors
/// Redis cannot be used.
pub(crate) async fn open_queue(ledger: &Ledger, settings: Settings) -> Result<Queue, Problem> {
    let Settings { url, key } = settings;
    let config = QueueConfig::Redis { url, install: ledger.install().to_string() };
    Queue::open(config, key).await.map_err(|error| queue_problem(&error))
}

/// What the queue refused.
pub(crate) fn queue_problem(error: &queue::Error) -> Problem {
    let text = chain(error).to_string();
    match error.kind() {
        queue::ErrorKind::Config => {
            Problem::new(code::BAD_SETTING, text, format!("check {REDIS_VARIABLE} and {KEY_VARIABLE}"))
        }
        queue::ErrorKind::Auth => {
            let next = format!("check user and password in {REDIS_VARIABLE}, and the user's rights");
            Problem { exit: 6, ..Problem::new(code::QUEUE, text, next) }
        }
        queue::ErrorKind::InvalidJob
        | queue::ErrorKind::Unreachable
        | queue::ErrorKind::ReadOnly
        | queue::ErrorKind::Full
        | queue::ErrorKind::Stopped
        | queue::ErrorKind::Other => Problem::new(code::QUEUE, text, "syncline doctor"),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn secret(name: &str, next: &str) -> Result<SecretString, Problem> {
    let text = variable(name)
        .ok_or_else(|| Problem::new(code::VARIABLE_MISSING, format!("{name} is not set"), next))?;
    service::secret::resolve(&text).map_err(|error| Problem::from(&error))
}

/// How far two clocks are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skew {
    /// Milliseconds that the other clock is ahead of ours.
    pub(crate) ms: i64,
    /// Uncertainty: half the round trip.
    pub(crate) within_ms: i64,
}

impl Skew {
    /// Whether the clocks are certainly too far apart.
    pub(crate) fn is_too_much(self) -> bool {
        let max = i64::try_from(SKEW_MAX.as_millis()).unwrap_or(i64::MAX);
        self.ms.abs() - self.within_ms > max
    }
}

/// This machine's clock against the ledger's.
///
/// # Errors
/// The ledger could not tell the time.
pub(crate) async fn ledger_skew(ledger: &Ledger) -> Result<Skew, ledger::Error> {
    let sent = local_ms();
    let theirs = ledger.now_ms().await?;
    let within_ms = (local_ms() - sent) / 2;
    Ok(Skew { ms: theirs - (sent + within_ms), within_ms })
}

/// This machine's clock against Redis', if it told its time just now.
pub(crate) fn queue_skew(info: &QueueInfo) -> Option<Skew> {
    let theirs = i64::try_from(info.server_time_ms?).ok()?;
    let within_ms = i64::try_from(info.round_trip.as_millis()).unwrap_or(i64::MAX) / 2;
    Some(Skew { ms: theirs - (local_ms() - within_ms), within_ms })
}

#[allow(clippy::disallowed_methods, reason = "the local clock is what is being judged here")]
fn local_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Refuses to start where leases would mean different things to different machines; warns of a queue that forgets.
///
/// # Errors
/// Clocks are too far apart, or ledger or queue do not answer.
pub(crate) async fn preflight(ledger: &Ledger, queue: &Queue) -> Result<(), Problem> {
    let skew = ledger_skew(ledger)
        .await
        .map_err(|error| Problem::new(code::LEDGER, chain(&error).to_string(), "syncline doctor"))?;
    let info = queue.check().await.map_err(|error| queue_problem(&error))?;
    for (name, skew) in [("the ledger's", Some(skew)), ("Redis'", queue_skew(&info))] {
        if let Some(skew) = skew.filter(|skew| skew.is_too_much()) {
            let detail = format!("{name} clock is {} ms from this machine's, more than 2 s", skew.ms);
            return Err(Problem::new(
                code::REFUSED,
                detail,
                "synchronise the clocks, for instance with chrony",
            ));
        }
    }
    if info.may_evict() == Some(true) {
        tracing::warn!(
            policy = info.maxmemory_policy,
            "redis may throw jobs away when it is full; set noeviction"
        );
    }
    Ok(())
}
