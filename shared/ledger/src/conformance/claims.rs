//! Who gets a chunk, keeps it, and what an outcome makes of it.

use std::collections::HashMap;
use std::time::Duration;

use model::failure::WORKER_DEATHS_MAX;
use model::{Attempt, ChunkId, ChunkOutcome, ChunkState, ErrorKind, RunState, TableState};
use tokio::task::JoinSet;

use super::world::{LEASE, NOW, World, at_once, attempts_max, done, failure, worker};
use crate::claim::Ask;
use crate::{AttemptOutcome, Beat, Reaped, Settled};

pub(super) async fn one_of_eight_claimers_wins(world: World) {
    let work = world.work(5).await;
    for due in work.due().await {
        let mut set = JoinSet::new();
        for n in 0..8 {
            let ledger = work.ledger.clone();
            set.spawn(
                async move { ledger.claim(due.chunk, due.attempt, &worker(&n.to_string()), LEASE).await },
            );
        }
        let claims = set.join_all().await;
        let winners: Vec<_> = claims.into_iter().filter_map(|claim| claim.expect("claims")).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!((winners[0].chunk.attempt, winners[0].tries), (Attempt(1), 1));
        assert_eq!(winners[0].chunk.state, ChunkState::Running);
        assert_eq!(winners[0].plan.rows_per_chunk, 100);
        assert_eq!(winners[0].run.spec.name, "shop");
        assert_eq!(work.ledger.attempts(due.chunk).await.expect("attempts").len(), 1);
    }
}

/// A try whose commit was answered by silence is repeated inside: it finds its own claim.
pub(super) async fn a_claim_whose_answer_was_lost_is_found_again(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    let me = worker("w");
    let ask =
        Ask { chunk: due.chunk, seen: due.attempt, worker: &me, lease: LEASE, token: uuid::Uuid::new_v4() };
    for _ in 0..3 {
        let claimed = work.ledger.claim_once(ask).await.expect("claims").expect("ours");
        assert_eq!((claimed.chunk.attempt, claimed.tries), (Attempt(1), 1));
    }
    let other = Ask { token: uuid::Uuid::new_v4(), ..ask };
    assert!(
        work.ledger.claim_once(other).await.expect("claims").is_none(),
        "another call of the same worker"
    );
    assert_eq!(work.ledger.attempts(due.chunk).await.expect("attempts").len(), 1);
}

pub(super) async fn eight_workers_finish_every_chunk_once(world: World) {
    let work = world.work(60).await;
    let mut set = JoinSet::new();
    for n in 0..8 {
        let work = work.clone();
        set.spawn(async move {
            let me = worker(&n.to_string());
            let mut settled: HashMap<ChunkId, u32> = HashMap::new();
            loop {
                let due = work.due().await; // every worker sees everything: the claim alone decides
                if due.is_empty() {
                    return settled;
                }
                for due in due {
                    let claimed =
                        work.ledger.claim(due.chunk, due.attempt, &me, LEASE).await.expect("claims");
                    let Some(claimed) = claimed else { continue };
                    let yes = work.settle(claimed.chunk.id, claimed.chunk.attempt, &done(3)).await;
                    assert_eq!(yes, Settled::Yes(ChunkState::Done));
                    *settled.entry(claimed.chunk.id).or_default() += 1;
                }
            }
        });
    }
    let all: Vec<_> = set.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 60);
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.counts.read, record.chunks.done, record.retries), (180, 60, 0));
}

pub(super) async fn a_stale_settle_changes_nothing(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    let first = work.claim_and_die(due).await;
    assert_eq!(work.ledger.reap().await.expect("reaps"), Reaped { ready: 1, quarantined: 0 });
    // Lost, and nobody has it: too late.
    assert_eq!(work.settle(due.chunk, first.chunk.attempt, &done(9)).await, Settled::Stale);
    let second = work.claim(work.due().await[0]).await;
    assert_eq!(second.chunk.attempt, Attempt(2));
    let before = work.chunk(due.chunk).await;
    for outcome in [done(9), ChunkOutcome::Yielded, ChunkOutcome::Halted(failure(ErrorKind::DiskFull))] {
        assert_eq!(work.settle(due.chunk, first.chunk.attempt, &outcome).await, Settled::Stale);
        assert_eq!(work.settle(due.chunk, Attempt(3), &outcome).await, Settled::Stale);
    }
    assert_eq!(work.settle(ChunkId::generate(), Attempt(1), &done(1)).await, Settled::Stale);
    assert_eq!(work.chunk(due.chunk).await, before);
    assert_eq!(work.ledger.run(work.run).await.expect("reads").expect("exists").state, RunState::Running);
    assert_eq!(work.ledger.beat(due.chunk, Attempt(1), LEASE).await.expect("beats"), Beat::Lost);
    let yes = work.settle(due.chunk, second.chunk.attempt, &done(4)).await;
    assert_eq!(yes, Settled::Yes(ChunkState::Done));
    assert_eq!(work.settle(due.chunk, first.chunk.attempt, &done(9)).await, Settled::Stale);
    assert_eq!(work.chunk(due.chunk).await.counts.read, 4);
}

pub(super) async fn a_repeated_settle_answers_as_the_first(world: World) {
    let work = world.work(2).await;
    let all = work.due().await;
    let claimed = work.claim(all[0]).await;
    for _ in 0..3 {
        let yes = work.settle(all[0].chunk, claimed.chunk.attempt, &done(5)).await;
        assert_eq!(yes, Settled::Yes(ChunkState::Done));
    }
    let claimed = work.claim(all[1]).await;
    let failed = ChunkOutcome::Failed(failure(ErrorKind::Timeout));
    for _ in 0..3 {
        let yes = work.settle(all[1].chunk, claimed.chunk.attempt, &failed).await;
        assert_eq!(yes, Settled::Yes(ChunkState::Ready));
    }
    assert_eq!(work.chunk(all[1].chunk).await.tries, 1);
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.counts.read, record.chunks.done, record.chunks.ready), (5, 1, 1));
    let kinds = work.ledger.events(work.run, 0, 100).await.expect("events");
    assert_eq!(kinds.iter().filter(|event| event.kind == "chunk-done").count(), 1);
}

pub(super) async fn an_expired_lease_is_taken_back(world: World) {
    let work = world.work(2).await;
    let all = work.due().await;
    work.claim_and_die(all[0]).await;
    let alive = work.claim(all[1]).await;
    let mut set = JoinSet::new();
    for _ in 0..4 {
        let ledger = work.ledger.clone();
        set.spawn(async move { ledger.reap().await.expect("reaps").ready });
    }
    assert_eq!(set.join_all().await.into_iter().sum::<u64>(), 1);
    let view = work.chunk(all[0].chunk).await;
    assert_eq!(
        (view.chunk.state, view.chunk.attempt, view.worker_deaths),
        (ChunkState::Ready, Attempt(1), 1)
    );
    assert_eq!(work.chunk(alive.chunk.id).await.chunk.state, ChunkState::Running);
    let attempts = work.ledger.attempts(all[0].chunk).await.expect("attempts");
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Lost));
    let again = work.due().await;
    assert_eq!((again.len(), again[0].attempt), (1, Attempt(1)));
    assert_eq!(work.claim(again[0]).await.chunk.attempt, Attempt(2));
}

pub(super) async fn a_claim_takes_over_an_expired_lease(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    work.claim_and_die(due).await;
    let none = work.ledger.claim(due.chunk, Attempt(0), &worker("w"), LEASE).await.expect("claims");
    assert!(none.is_none(), "it stands at attempt 1");
    let taken = work
        .ledger
        .claim(due.chunk, Attempt(1), &worker("w"), LEASE)
        .await
        .expect("claims")
        .expect("expired");
    assert_eq!((taken.chunk.attempt, taken.tries), (Attempt(2), 2));
    let view = work.chunk(due.chunk).await;
    assert_eq!((view.worker_deaths, view.worker), (1, Some(worker("w"))));
    let outcomes: Vec<_> =
        work.ledger.attempts(due.chunk).await.expect("attempts").into_iter().map(|a| a.outcome).collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::Lost), None]);
}

pub(super) async fn three_deaths_quarantine_a_chunk(world: World) {
    let work = world.work(2).await;
    for death in 1..=WORKER_DEATHS_MAX {
        let due = work.due().await[0];
        work.claim_and_die(due).await;
        let reaped = work.ledger.reap().await.expect("reaps");
        let is_last = death == WORKER_DEATHS_MAX;
        assert_eq!((reaped.ready, reaped.quarantined), if is_last { (0, 1) } else { (1, 0) });
        let view = work.chunk(due.chunk).await;
        assert_eq!(view.chunk.state, if is_last { ChunkState::Quarantined } else { ChunkState::Ready });
        let cause = view.failure.expect("a cause");
        assert_eq!(cause.kind, ErrorKind::WorkerDied);
        if is_last {
            assert_eq!(cause.message, "3 workers died on this chunk");
        }
    }
    assert_eq!(work.due().await.len(), 1, "the other chunk goes on");
}

pub(super) async fn failures_are_retried_until_the_cap(world: World) {
    let work = world.work(1).await;
    let failed = ChunkOutcome::Failed(failure(ErrorKind::ConnectionLost));
    let chunk = work.due().await[0].chunk;
    for attempt in 1..=attempts_max() {
        let claimed = work.claim(work.due().await[0]).await;
        assert_eq!((claimed.chunk.attempt, claimed.tries), (Attempt(attempt), attempt));
        let state = if attempt == attempts_max() { ChunkState::Quarantined } else { ChunkState::Ready };
        assert_eq!(work.settle(chunk, claimed.chunk.attempt, &failed).await, Settled::Yes(state));
    }
    assert!(work.due().await.is_empty());
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.chunks.quarantined, record.retries), (1, u64::from(attempts_max() - 1)));
    // The delay is kept: a chunk is not claimed before it is due.
    let work = world.work(1).await;
    let due = work.due().await[0];
    work.claim(due).await;
    let in_a_minute = crate::Again { after: Duration::from_secs(60), ..at_once() };
    let later = work.ledger.settle(due.chunk, Attempt(1), &failed, in_a_minute).await.expect("settles");
    assert_eq!(later, Settled::Yes(ChunkState::Ready));
    assert!(work.due().await.is_empty());
    assert!(work.ledger.claim(due.chunk, Attempt(1), &worker("w"), LEASE).await.expect("claims").is_none());
}

pub(super) async fn refusals_are_not_retried(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    work.claim(due).await;
    let refused = ChunkOutcome::Failed(failure(ErrorKind::Internal));
    assert_eq!(work.settle(due.chunk, Attempt(1), &refused).await, Settled::Yes(ChunkState::Quarantined));
    let attempts = work.ledger.attempts(due.chunk).await.expect("attempts");
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Quarantined));
    assert_eq!(attempts[0].failure, Some(failure(ErrorKind::Internal)));
}

pub(super) async fn a_yield_costs_no_try(world: World) {
    let work = world.work(1).await;
    for attempt in 1..=attempts_max() * 2 {
        let due = work.due().await[0];
        let claimed = work.claim(due).await;
        assert_eq!((claimed.chunk.attempt, claimed.tries), (Attempt(attempt), 1));
        let yes = work.settle(due.chunk, claimed.chunk.attempt, &ChunkOutcome::Yielded).await;
        assert_eq!(yes, Settled::Yes(ChunkState::Ready));
    }
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!(record.retries, 0);
}

pub(super) async fn a_halt_costs_no_try_and_ends_the_run(world: World) {
    let work = world.work(2).await;
    let all = work.due().await;
    let (halting, other) = (work.claim(all[0]).await, work.claim(all[1]).await);
    let cause = failure(ErrorKind::DiskFull);
    let halted = ChunkOutcome::Halted(cause.clone());
    let yes = work.settle(all[0].chunk, halting.chunk.attempt, &halted).await;
    assert_eq!(yes, Settled::Yes(ChunkState::Ready));
    let run = work.ledger.run(work.run).await.expect("reads").expect("exists");
    assert_eq!((run.state, run.cause), (RunState::Failed, Some(cause)));
    let view = work.chunk(all[0].chunk).await;
    assert_eq!((view.tries, view.chunk.attempt), (0, Attempt(1)));
    // The other worker hears of it, and what it has done by then still counts.
    let beat = work.ledger.beat(all[1].chunk, other.chunk.attempt, LEASE).await.expect("beats");
    assert_eq!(beat, Beat::Ours { give_back: true });
    assert_eq!(
        work.settle(all[1].chunk, other.chunk.attempt, &done(2)).await,
        Settled::Yes(ChunkState::Done)
    );
}

pub(super) async fn a_beat_keeps_the_lease_and_brings_the_cancel(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    let claimed = work.claim_and_die(due).await;
    // Expired but not taken: still ours.
    let beat = work.ledger.beat(due.chunk, claimed.chunk.attempt, LEASE).await.expect("beats");
    assert_eq!(beat, Beat::Ours { give_back: false });
    assert_eq!(work.ledger.reap().await.expect("reaps"), Reaped::default());
    assert!(work.ledger.request_cancel(work.run).await.expect("asks"));
    let beat = work.ledger.beat(due.chunk, claimed.chunk.attempt, LEASE).await.expect("beats");
    assert_eq!(beat, Beat::Ours { give_back: true });
    work.settle(due.chunk, claimed.chunk.attempt, &ChunkOutcome::Yielded).await;
    assert_eq!(work.ledger.beat(due.chunk, claimed.chunk.attempt, LEASE).await.expect("beats"), Beat::Lost);
}

pub(super) async fn nothing_is_claimed_of_what_does_not_run(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    let claim =
        || async { work.ledger.claim(due.chunk, due.attempt, &worker("w"), LEASE).await.expect("claims") };
    let cause = failure(ErrorKind::Drift);
    assert!(work.ledger.fail_table(work.run, 0, TableState::Failed, &cause).await.expect("fails"));
    assert!(claim().await.is_none(), "its table has failed");
    assert!(work.ledger.halt_run(work.run, &cause).await.expect("halts"));
    assert!(work.ledger.resume_run(work.run).await.expect("resumes"));
    assert!(work.ledger.request_cancel(work.run).await.expect("asks"));
    assert!(claim().await.is_none(), "the run is to be cancelled");
    assert!(work.ledger.take_due(work.run, &[0], 10, NOW).await.expect("due").is_empty());
    assert!(work.ledger.finish_run(work.run, RunState::Cancelled, None).await.expect("ends"));
    assert!(claim().await.is_none(), "the run has ended");
    assert!(
        work.ledger
            .claim(ChunkId::generate(), Attempt(0), &worker("w"), LEASE)
            .await
            .expect("claims")
            .is_none()
    );
}

pub(super) async fn a_worker_seen_dead_is_buried(world: World) {
    let work = world.work(3).await;
    let all = work.due().await;
    let dead = worker("dead");
    work.ledger.register_worker(&dead, "host", 1, "0.1.0", 4).await.expect("registers");
    for due in &all[..2] {
        let claimed = work.ledger.claim(due.chunk, due.attempt, &dead, LEASE).await;
        assert!(claimed.expect("claims").is_some());
    }
    work.claim(all[2]).await;
    for held in [2, 0] {
        assert_eq!(work.ledger.bury_worker(&dead).await.expect("buries"), held);
        assert_eq!(work.due().await.len(), 2, "its leases are over, the other's is not");
    }
    assert!(!work.ledger.beat_worker(&dead).await.expect("beats"));
    let late = work.settle(all[0].chunk, Attempt(1), &done(1)).await;
    assert_eq!(late, Settled::Stale, "it lived after all");
}
