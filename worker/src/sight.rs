//! What this worker can see: the ledger, and the databases of the chunks it was given.
//!
//! A worker that cannot see one of them is not ready: what it holds it gives back without an attempt being counted, and it
//! claims nothing until it sees all again, so that others take over. Owns what is lost and since when. Refuses to tell
//! others: each worker finds out for itself, since what one cannot see another may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use connectors::config::Role;
use connectors::{Connections, Error};
use ledger::Ledger;
use model::{ConnectionSpec, ErrorKind, RunSpec};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between looks at what is lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that takes longer has seen nothing; less than most deadlines, since nobody waits for rows here.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// A worker serves several runs: after so long it claims again for those whose databases it sees. A chunk of the others
/// is given back at once, since their circuits are open.
const TRIAL_AFTER: Duration = Duration::from_secs(30);
/// After so long without a database its chunks are no longer given back for free: their attempts count, so that a run
/// whose database never comes back ends.
const PATIENCE: Duration = Duration::from_secs(600);

/// Shared by all chunks of one worker; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    lost: Arc<Mutex<Vec<Lost>>>,
    /// Raised by every loss.
    losses: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Clone)]
struct Lost {
    what: What,
    since: Instant,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Ledger,
    Database(Box<ConnectionSpec>, Role),
}

impl What {
    fn name(&self) -> String {
        match self {
            Self::Ledger => "the ledger".to_owned(),
            Self::Database(spec, _) => spec.address(),
        }
    }
}

impl Sight {
    /// The ledger did not answer, or a lease was lost: looked at before anything more is claimed.
    pub(crate) fn doubt_ledger(&self) {
        self.lose(What::Ledger);
    }

    /// Whether a failed attempt is the fault of a database that this worker cannot see now, or of an open circuit. If so,
    /// it is noted, and the chunk is to be given back for free; unless the database has been away for longer than anybody
    /// waits. A login that worked when the run was planned and is refused now is being changed: it is tried anew, with what
    /// the password's reference leads to then.
    pub(crate) async fn blames(&self, connections: &Connections, spec: &RunSpec, failed: &Error) -> bool {
        let is_login = failed.kind == ErrorKind::Authentication;
        if !is_login && !failed.kind.is_of_network() {
            return false;
        }
        // If both let us in now, the new password is here.
        let mut is_to_blame = is_login || failed.retry_after.is_some();
        let mut is_given_up = false;
        for (spec, role) in [(&spec.source, Role::Source), (&spec.target, Role::Target)] {
            let what = What::Database(Box::new(spec.clone()), role);
            if is_login {
                connections.forget(spec, role);
                // A password that this process does not have does not come by waiting.
                is_given_up |= connections.get(spec, role).is_err();
            }
            if !is_seen(connections, spec, role).await {
                is_to_blame = true;
                is_given_up |= self.lose(what) >= PATIENCE;
            }
        }
        is_to_blame && !is_given_up
    }

    /// Waits until all that was lost is seen again, `stop` is cancelled, or it is time to serve other runs.
    pub(crate) async fn restored(
        &self,
        ledger: &Ledger,
        connections: &Connections,
        stop: &CancellationToken,
    ) {
        let begun = Instant::now();
        while !stop.is_cancelled() {
            let lost = self.lock().clone();
            for Lost { what, .. } in lost {
                let is_seen = match &what {
                    What::Ledger => ledger.now_ms().await.is_ok(),
                    What::Database(spec, role) => is_seen(connections, spec, *role).await,
                };
                if is_seen {
                    self.lock().retain(|lost| lost.what != what);
                    info!(sees = what.name(), "seen again");
                }
            }
            if self.lock().is_empty() || begun.elapsed() > TRIAL_AFTER {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Returns at the next loss after this call.
    pub(crate) async fn next_loss(&self) {
        let mut losses = self.losses.subscribe();
        // The sender lives as long as we do.
        let _ = losses.changed().await;
    }

    /// Notes a loss; how long ago it was first noted.
    fn lose(&self, what: What) -> Duration {
        let mut lost = self.lock();
        let since = lost.iter().find(|lost| lost.what == what).map(|lost| lost.since);
        let name = what.name();
        if since.is_none() {
            lost.push(Lost { what, since: Instant::now() });
        }
        drop(lost);
        if since.is_none() {
            warn!(
                misses = name,
                "not ready: gives back what it holds and claims nothing until it sees all again"
            );
            failpoint::reached("not_ready");
        }
        self.losses.send_modify(|losses| *losses += 1);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the database answers and lets us in, whatever else it says.
async fn is_seen(connections: &Connections, spec: &ConnectionSpec, role: Role) -> bool {
    let Ok(database) = connections.get(spec, role) else {
        // A secret that cannot be resolved is no matter of sight.
        return true;
    };
    match tokio::time::timeout(LOOK_MAX, database.server()).await {
        Ok(Err(failed)) => !failed.kind.is_of_network() && failed.kind != ErrorKind::Authentication,
        Ok(Ok(_)) => true,
        Err(_) => false,
    }
}
