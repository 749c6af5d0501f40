//! The in-process store: the same promises as Redis, for `syncline run` and for tests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Error;
use crate::sign::claimed_run;
use crate::store::{Bell, Claim, DEAD_MAX, EXPIRED_BATCH, Parcel, Store, StoredId};
use crate::{Depth, QueueInfo};

#[derive(Debug)]
pub(crate) struct Memory {
    visibility: Duration,
    state: Mutex<State>,
    bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<StoredId>,
    jobs: HashMap<StoredId, Vec<u8>>,
    in_flight: HashMap<StoredId, Holder>,
    dead: VecDeque<String>,
}

#[derive(Debug)]
struct Holder {
    fence: String,
    deadline: Instant,
}

impl Memory {
    pub(crate) fn new(visibility: Duration) -> Self {
        Self { visibility, state: Mutex::default(), bell: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no method panics while it holds the lock")
    }
}

impl State {
    /// Takes the claim away from its holder, if it is still this one.
    fn end(&mut self, claim: &Claim) -> bool {
        let ours = self.in_flight.get(&claim.id).is_some_and(|holder| holder.fence == claim.fence);
        if ours {
            self.in_flight.remove(&claim.id);
        }
        ours
    }

    fn return_expired(&mut self, now: Instant) -> usize {
        let late = |(id, holder): (&StoredId, &Holder)| (holder.deadline <= now).then(|| id.clone());
        let expired: Vec<StoredId> = self.in_flight.iter().filter_map(late).take(EXPIRED_BATCH).collect();
        for id in &expired {
            self.in_flight.remove(id);
            self.ready.push_front(id.clone());
        }
        expired.len()
    }
}

#[async_trait]
impl Store for Memory {
    async fn push(&self, parcels: &[Parcel]) -> Result<usize, Error> {
        let mut state = self.state();
        let mut queued = 0;
        for parcel in parcels {
            if !state.jobs.contains_key(&parcel.id) {
                state.jobs.insert(parcel.id.clone(), parcel.payload.clone());
                state.ready.push_back(parcel.id.clone());
                queued += 1;
            }
        }
        drop(state);
        self.ring(queued);
        Ok(queued)
    }

    async fn claim(&self, fence: &str) -> Result<Option<Parcel>, Error> {
        let now = Instant::now();
        let mut state = self.state();
        let expired = state.return_expired(now);
        let parcel = state.ready.pop_front().map(|id| {
            let payload = state.jobs.get(&id).cloned().unwrap_or_default();
            state
                .in_flight
                .insert(id.clone(), Holder { fence: fence.to_owned(), deadline: now + self.visibility });
            Parcel { id, payload }
        });
        drop(state);
        self.ring(expired.saturating_sub(1));
        Ok(parcel)
    }

    async fn extend(&self, claims: &[Claim]) -> Result<Vec<Claim>, Error> {
        let deadline = Instant::now() + self.visibility;
        let mut state = self.state();
        let mut lost = Vec::new();
        for claim in claims {
            match state.in_flight.get_mut(&claim.id) {
                Some(holder) if holder.fence == claim.fence => holder.deadline = deadline,
                Some(_) | None => lost.push(claim.clone()),
            }
        }
        Ok(lost)
    }

    async fn ack(&self, claim: &Claim) -> Result<bool, Error> {
        let mut state = self.state();
        let ours = state.end(claim);
        if ours {
            state.jobs.remove(&claim.id);
        }
        Ok(ours)
    }

    async fn bury(&self, claim: &Claim, letter: &str) -> Result<bool, Error> {
        let ours = self.ack(claim).await?;
        if ours {
            let mut state = self.state();
            state.dead.push_front(letter.to_owned());
            state.dead.truncate(DEAD_MAX);
        }
        Ok(ours)
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        let mut state = self.state();
        let ours = state.end(claim);
        if ours {
            state.ready.push_front(claim.id.clone());
        }
        drop(state);
        self.ring(usize::from(ours));
        Ok(ours)
    }

    async fn probe(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, Error> {
        let state = self.state();
        Ok(Depth {
            ready: state.ready.len() as u64,
            in_flight: state.in_flight.len() as u64,
            dead: state.dead.len() as u64,
        })
    }

    async fn check(&self) -> Result<QueueInfo, Error> {
        Ok(QueueInfo {
            backend: "in-process",
            version: None,
            maxmemory_policy: None,
            is_appending: None,
            server_time_ms: None,
            round_trip: Duration::ZERO,
        })
    }

    async fn clear_run(&self, run: &str) -> Result<(), Error> {
        let mut state = self.state();
        let State { ready, jobs, in_flight, dead: _ } = &mut *state;
        jobs.retain(|_, payload| claimed_run(payload).as_deref() != Some(run));
        ready.retain(|id| jobs.contains_key(id));
        in_flight.retain(|id, _| jobs.contains_key(id));
        Ok(())
    }

    fn bell(&self) -> Box<dyn Bell> {
        Box::new(Heard(Arc::clone(&self.bell)))
    }
}

impl Memory {
    fn ring(&self, times: usize) {
        // `notify_one` keeps one permit for whoever listens next, so that a push between a claim and its wait is heard.
        for _ in 0..times.min(64) {
            self.bell.notify_one();
        }
    }
}

struct Heard(Arc<Notify>);

#[async_trait]
impl Bell for Heard {
    async fn heard(&mut self, limit: Duration) {
        // Running out of time is an answer too: look again.
        let _ = tokio::time::timeout(limit, self.0.notified()).await;
    }
}
