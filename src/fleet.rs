//! What `serve` and `worker` need beside an embedded run: a queue on Redis that all share, and clocks that agree.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger::Ledger;
use queue::{Queue, QueueConfig, QueueInfo, ReadAddress, RedisConfig, SecretString, SigningKey, TlsFiles};
use secrecy::ExposeSecret as _;
use service::problem::code;
use service::{Problem, chain};

/// Variable with the queue's address; may hold references to secrets.
pub(crate) const REDIS_VARIABLE: &str = "SYNCLINE_REDIS";
/// Variable with the secret that signs jobs, best as a reference.
pub(crate) const KEY_VARIABLE: &str = "SYNCLINE_QUEUE_KEY";
/// Variables with the files for TLS to the queue.
const TLS_VARIABLES: [&str; 3] = ["SYNCLINE_REDIS_CA", "SYNCLINE_REDIS_CERT", "SYNCLINE_REDIS_CERT_KEY"];
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
    url: ReadAddress,
    tls: TlsFiles,
    key: SigningKey,
}

/// Reads the settings from the environment; connects to nothing.
///
/// # Errors
/// A variable is missing, or a secret cannot be resolved or used.
pub(crate) fn settings() -> Result<Settings, Problem> {
    // Resolved now, so that a mistake shows at once, and again at each connection, so that a new password is found.
    secret(REDIS_VARIABLE, "export SYNCLINE_REDIS=redis://…")?;
    let url: ReadAddress = Arc::new(|| {
        let text = variable(REDIS_VARIABLE).unwrap_or_default();
        service::secret::resolve(&text).map_err(|error| chain(&error).to_string())
    });
    let key =
        secret(KEY_VARIABLE, "export SYNCLINE_QUEUE_KEY='${file:/run/secrets/queue-key}', the same for all")?;
    let key = SigningKey::new(KEY_NAME, key.expose_secret().trim().as_bytes()).map_err(|error| {
        let next = format!("give {KEY_VARIABLE} at least 32 random bytes: openssl rand -hex 32");
        Problem::new(code::BAD_SETTING, chain(&error).to_string(), next)
    })?;
    Ok(Settings { url, tls: tls_files()?, key })
}

fn tls_files() -> Result<TlsFiles, Problem> {
    let [ca, certificate, key] = TLS_VARIABLES.map(|name| variable(name).map(PathBuf::from));
    let certificate = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) | (None, Some(_)) => {
            let [_, certificate, key] = TLS_VARIABLES;
            let detail = format!("of {certificate} and {key} one is set");
            return Err(Problem::new(code::BAD_SETTING, detail, "set both, or none"));
        }
    };
    Ok(TlsFiles { ca, certificate })
}

/// Connects to the queue of this installation. A job stays with a worker for `lease` without a sign of life.
///
/// # Errors
/// Redis cannot be used.
pub(crate) async fn open_queue(
    ledger: &Ledger,
    settings: Settings,
    lease: Duration,
) -> Result<Queue, Problem> {
    let Settings { url, tls, key } = settings;
    let config = QueueConfig::Redis(RedisConfig { url, install: ledger.install().to_string(), tls });
    Queue::open(config, key, lease).await.map_err(|error| queue_problem(&error))
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
        | queue::ErrorKind::DiskFull
        | queue::ErrorKind::NotSaving
        | queue::ErrorKind::Full
        | queue::ErrorKind::Stopped
        | queue::ErrorKind::Other => Problem::new(code::QUEUE, text, "syncline doctor"),
    }
}

/// What a variable says, unless it is empty.
pub(crate) fn variable(name: &str) -> Option<String> {
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
            return Err(skewed(name, skew));
        }
    }
    if let Some(problem) = evicting(&info) {
        return Err(problem);
    }
    if info.is_appending == Some(false) {
        tracing::warn!("{FORGETS}");
    }
    Ok(())
}

/// What a queue without an append-only file costs.
pub(crate) const FORGETS: &str =
    "redis keeps no append-only file: at a restart jobs are forgotten and queued again from the ledger";

/// Clocks that are too far apart, as a refusal.
pub(crate) fn skewed(name: &str, skew: Skew) -> Problem {
    let ms = skew.ms.unsigned_abs();
    let apart = if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", (ms + 500) / 1_000) };
    let detail = format!("{name} clock differs from this machine's by {apart}, more than 2 s");
    Problem::new(code::REFUSED, detail, "synchronise the clocks, for instance with chrony")
}

/// A queue that throws jobs away when it is full, as a refusal: no job is lost by it, but nobody could tell why runs
/// crawl.
pub(crate) fn evicting(info: &QueueInfo) -> Option<Problem> {
    let policy = info.maxmemory_policy.as_deref().filter(|_| info.may_evict() == Some(true))?;
    let detail = format!("redis has maxmemory-policy {policy} and throws jobs away when it is full");
    Some(Problem::new(code::REFUSED, detail, "redis-cli config set maxmemory-policy noeviction"))
}

/// Between looks at the clock. A jump does no harm, since leases are on other clocks: it is enough to notice.
const CLOCK_EVERY: Duration = Duration::from_secs(5);

/// Ends when this machine's clock is certainly too far from the ledger's, twice in a row; says by how much.
pub(crate) async fn clock_jumped(ledger: &Ledger) -> Skew {
    let mut before = false;
    loop {
        tokio::time::sleep(CLOCK_EVERY).await;
        // A ledger that does not answer says nothing about clocks.
        let Ok(skew) = ledger_skew(ledger).await else { continue };
        let is_too_much = skew.is_too_much();
        if is_too_much && before {
            return skew;
        }
        before = is_too_much;
    }
}
