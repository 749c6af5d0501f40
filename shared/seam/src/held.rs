//! The seams of a build that can be simulated.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

use tokio::runtime::{Builder, Runtime};

/// A step of a simulation, of which `false` says that the message is lost.
pub type Passage = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What decides on a thread in place of clocks, dice and networks.
pub trait Simulation: Send + Sync {
    /// The time on the ledger's clock, in milliseconds since 1970.
    fn now_ms(&self) -> i64;

    fn dice(&self) -> u64;

    /// The way of a call to the ledger's database; one that is lost there changes nothing.
    fn before(&self, operation: &'static str) -> Passage;

    /// The way of the answer; one that is lost there leaves what was done.
    fn after(&self, operation: &'static str) -> Passage;
}

thread_local! {
    static SIMULATION: RefCell<Option<Arc<dyn Simulation>>> = const { RefCell::new(None) };
    /// The time at which a call is being carried out.
    static STANDING: Cell<Option<i64>> = const { Cell::new(None) };
}

/// What the driver of the ledger's database needs besides its own thread: a runtime on the real clock. One thread is
/// enough, it only gives connections back to their pools.
static DRIVER: LazyLock<Runtime> = LazyLock::new(|| {
    let built = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.expect("a runtime of one thread can be made")
});

/// Installs a simulation on this thread until what comes back is dropped.
#[must_use]
pub fn install(simulation: Arc<dyn Simulation>) -> Installed {
    Installed(SIMULATION.replace(Some(simulation)))
}

/// Takes the simulation off the thread when it is dropped.
pub struct Installed(Option<Arc<dyn Simulation>>);

impl Drop for Installed {
    fn drop(&mut self) {
        SIMULATION.set(self.0.take());
    }
}

fn installed() -> Option<Arc<dyn Simulation>> {
    SIMULATION.with_borrow(Clone::clone)
}

/// Carries out a call to the ledger's database. In a simulation it takes no time by itself: the database is waited for
/// while the simulation's clock stands, so that how fast it really is changes nothing.
///
/// # Errors
/// Those of the call; what `lost` makes if the simulation loses question or answer.
pub async fn call<T, E>(
    operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
    lost: impl FnOnce() -> E,
) -> Result<T, E> {
    let Some(passage) = installed().map(|simulation| simulation.before(operation)) else {
        return call.await;
    };
    if !passage.await {
        return Err(lost());
    }
    STANDING.set(installed().map(|simulation| simulation.now_ms()));
    let done = wait_for(call);
    STANDING.set(None);
    let Some(passage) = installed().map(|simulation| simulation.after(operation)) else {
        return done;
    };
    if passage.await { done } else { Err(lost()) }
}

/// Blocks this thread, on which the simulation runs, until the ledger's driver has answered.
fn wait_for<F: Future>(call: F) -> F::Output {
    let _driver = DRIVER.enter();
    // Outside of the budget of the task that is being polled: nothing would renew it here.
    let mut call = pin!(tokio::task::unconstrained(call));
    let waker = Waker::from(Arc::new(Unpark(current())));
    loop {
        match call.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            // A wake that came meanwhile makes it return at once.
            Poll::Pending => park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The time on the ledger's clock, where it is simulated; else the database tells it.
#[must_use]
pub fn now_ms() -> Option<i64> {
    // The driver is at work on a clock of its own, which must not be asked.
    standing_ms().or_else(|| installed().map(|simulation| simulation.now_ms()))
}

/// The time at which a call is being carried out, if one is: virtual time cannot be told from inside it.
#[must_use]
pub fn standing_ms() -> Option<i64> {
    STANDING.get()
}

/// A random number, for jitter; the simulation's where one runs.
#[must_use]
pub fn dice() -> u64 {
    installed().map_or_else(super::chance, |simulation| simulation.dice())
}

/// Waits for what the ledger's driver does outside of calls: opening and closing.
pub fn wait<F: Future>(work: F) -> F::Output {
    wait_for(work)
}
