//! Simulated processes: sets of tasks that are paused, resumed and killed together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

thread_local! {
    /// Whose task is being polled on this thread.
    static CURRENT: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };
}

/// A process of a simulation.
pub struct Process {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mode: Mode,
    /// How to have each task polled again, by its number.
    wakers: BTreeMap<u64, Waker>,
    tasks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Runs,
    Paused,
    Dead,
}

impl Process {
    #[must_use]
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), state: Mutex::default() })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The future as a task of this process.
    pub fn run<F: Future>(self: &Arc<Self>, future: F) -> Belonging<F> {
        let mut state = self.state();
        state.tasks += 1;
        let number = state.tasks;
        drop(state);
        Belonging { future: Some(Box::pin(future)), owner: Some((self.clone(), number)) }
    }

    /// Stops as by SIGSTOP: no task is polled until [`Process::resume`]; timers go off unheard.
    pub fn pause(&self) {
        self.become_if(Mode::Runs, Mode::Paused);
    }

    /// Goes on as by SIGCONT. Nothing happens to one that runs or is dead.
    pub fn resume(&self) {
        if self.become_if(Mode::Paused, Mode::Runs) {
            self.wake();
        }
    }

    /// Ends as by SIGKILL: every task is dropped where it stands, at the latest when it would be polled next.
    pub fn kill(&self) {
        self.state().mode = Mode::Dead;
        self.wake();
    }

    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().mode == Mode::Dead
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state().mode == Mode::Paused
    }

    fn become_if(&self, from: Mode, to: Mode) -> bool {
        let mut state = self.state();
        let is = state.mode == from;
        if is {
            state.mode = to;
        }
        is
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut self.state().wakers);
        wakers.into_values().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The process whose task is being polled on this thread.
#[must_use]
pub fn current() -> Option<Arc<Process>> {
    CURRENT.with_borrow(Clone::clone)
}

/// The future as work of the process that makes it: it stops, goes on and ends with that process.
pub fn belonging<F: Future>(future: F) -> Belonging<F> {
    match current() {
        Some(process) => process.run(future),
        None => Belonging { future: Some(Box::pin(future)), owner: None },
    }
}

/// A task of a process. One whose process was killed never ends.
pub struct Belonging<F> {
    future: Option<Pin<Box<F>>>,
    owner: Option<(Arc<Process>, u64)>,
}

impl<F: Future> Future for Belonging<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else { return Poll::Pending };
        let Some((process, number)) = &this.owner else { return future.as_mut().poll(cx) };
        let _inside = Inside::enter(process);
        if process.state().mode == Mode::Runs {
            let polled = future.as_mut().poll(cx);
            if polled.is_ready() {
                process.state().wakers.remove(number);
                return polled;
            }
        }
        if process.is_dead() {
            this.future = None;
        } else {
            process.state().wakers.insert(*number, cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Makes a process the current one until it is dropped.
struct Inside(Option<Arc<Process>>);

impl Inside {
    fn enter(process: &Arc<Process>) -> Self {
        Self(CURRENT.replace(Some(process.clone())))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Dropped(Arc<AtomicU32>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<F: Future>(task: &mut Belonging<F>) -> Poll<F::Output> {
        Pin::new(task).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_paused_process_is_not_polled_and_goes_on_where_it_was() {
        let process = Process::new("w1");
        let mut task = process.run(async { 7 });
        process.pause();
        assert!(poll(&mut task).is_pending());
        process.resume();
        assert_eq!(poll(&mut task), Poll::Ready(7));
    }

    #[test]
    fn a_killed_process_drops_what_it_holds_and_never_ends() {
        let (process, drops) = (Process::new("w1"), Arc::new(AtomicU32::new(0)));
        let held = Dropped(drops.clone());
        let mut task = process.run(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert!(poll(&mut task).is_pending());
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        process.kill();
        process.resume();
        assert!(poll(&mut task).is_pending());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_task_belongs_to_the_process_that_makes_it() {
        let process = Process::new("w1");
        let mine = || belonging(async { current().map(|p| p.name().to_owned()) });
        let mut outer = process.run(std::future::poll_fn(move |_| Poll::Ready(mine())));
        let Poll::Ready(mut inner) = poll(&mut outer) else { panic!("it waits for nothing") };
        assert_eq!(poll(&mut inner), Poll::Ready(Some("w1".to_owned())));
        process.pause();
        assert!(current().is_none());
        assert!(poll(&mut belonging(async {})).is_ready(), "outside of processes nothing is held up");
    }
}
