//! Where a simulation takes hold of the product: time, chance, calls to the ledger's database, and which process a
//! task belongs to; see README.md.
//!
//! Owns these four places. Refuses to exist in a release: without the feature `simulation` every call passes straight
//! through, and with it so does every call on a thread that runs no simulation.

#[cfg(feature = "simulation")]
mod held;
#[cfg(feature = "simulation")]
mod process;

#[cfg(feature = "simulation")]
pub use held::{Installed, Passage, Simulation, call, dice, install, now_ms, standing_ms, wait};
#[cfg(feature = "simulation")]
pub use process::{Belonging, Process, belonging, current};

/// Carries out a call to the ledger's database. `lost` makes the error of a call that a simulation loses.
///
/// # Errors
/// Those of the call.
#[cfg(not(feature = "simulation"))]
pub async fn call<T, E>(
    _operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
    _lost: impl FnOnce() -> E,
) -> Result<T, E> {
    call.await
}

/// The time on the ledger's clock in milliseconds since 1970, where it is simulated; else the database tells it.
#[cfg(not(feature = "simulation"))]
#[must_use]
pub const fn now_ms() -> Option<i64> {
    None
}

/// A random number, for jitter.
#[cfg(not(feature = "simulation"))]
#[must_use]
pub fn dice() -> u64 {
    chance()
}

/// The future as work of the process that makes it: it ends when that process is killed.
#[cfg(not(feature = "simulation"))]
pub fn belonging<F: Future>(future: F) -> F {
    future
}

/// [`dice`] as a number from 0 to 1.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "jitter needs no last digit")]
pub fn fraction() -> f64 {
    dice() as f64 / u64::MAX as f64
}

fn chance() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
