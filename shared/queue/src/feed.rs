//! The apalis side: a backend that hands the worker one delivery whenever it has room for one.
//!
//! An apalis worker asks a backend for a task only while one of its slots is free. `Shelf` turns that question into a
//! demand the fetching task can wait for, so that nothing is fetched that cannot start at once. Never yields an error
//! to apalis, which would end the worker and drop what it runs.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use apalis::prelude::{Backend, Task, TaskBuilder, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::layers::Identity;
use tokio::sync::Notify;

use crate::job::ChunkJob;
use crate::store::Claim;

/// A believed job and the right to it.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) job: ChunkJob,
    pub(crate) claim: Claim,
}

/// Room for one delivery between the fetching task and the worker.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    slot: Mutex<Slot>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    delivery: Option<Delivery>,
    wanted: bool,
    closed: bool,
    worker: Option<Waker>,
}

impl Shelf {
    /// Waits until the worker has room.
    pub(crate) async fn wanted(&self) {
        while !self.slot().wanted {
            self.asked.notified().await;
        }
    }

    /// Hands over what was wanted.
    pub(crate) fn offer(&self, delivery: Delivery) {
        let mut slot = self.slot();
        slot.wanted = false;
        slot.delivery = Some(delivery);
        wake(slot);
    }

    /// From now on the worker gets nothing more and ends. Returns what it had not taken yet.
    pub(crate) fn close(&self) -> Option<Delivery> {
        let mut slot = self.slot();
        slot.closed = true;
        let unstarted = slot.delivery.take();
        wake(slot);
        unstarted
    }

    /// What is on the shelf; else asks for it. `None` once closed.
    pub(crate) fn take(&self, cx: &Context<'_>) -> Poll<Option<Delivery>> {
        let mut slot = self.slot();
        if slot.closed {
            return Poll::Ready(None);
        }
        if let Some(delivery) = slot.delivery.take() {
            return Poll::Ready(Some(delivery));
        }
        slot.wanted = true;
        slot.worker = Some(cx.waker().clone());
        drop(slot);
        self.asked.notify_one();
        Poll::Pending
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().expect("nothing panics while it holds the lock")
    }
}

fn wake(mut slot: MutexGuard<'_, Slot>) {
    let worker = slot.worker.take();
    drop(slot);
    if let Some(worker) = worker {
        worker.wake();
    }
}

/// What apalis polls.
#[derive(Debug)]
pub(crate) struct Feed(pub(crate) Arc<Shelf>);

impl Backend for Feed {
    type Task = Task<Delivery>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.0.take(cx).map(|delivery| {
            if delivery.is_none() {
                // At the end of its input a worker waits for its tasks, and then for ever, unless it is told to stop.
                // Being stopped already is the only error, and what is wanted.
                let _ = worker.stop();
            }
            delivery.map(|delivery| Ok(TaskBuilder::new(delivery).build()))
        })
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Feed {
    type Args = Delivery;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
