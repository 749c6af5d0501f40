//! What people ask of runs and workers that go on, and what a chunk that proved too big becomes.

use model::chunk::{ORDINAL_STEP, next_split};
use model::{ChunkOutcome, ChunkState, Key, KeyRange, Limits, Pass, RunState, Value, Waiting};

use super::world::{LEASE, NOW, World, done, worker};
use crate::{Beat, ChunkPage, Heeded, Settled};

pub(super) async fn a_paused_run_rests_until_it_goes_on(world: World) {
    let work = world.work(2).await;
    let ledger = &work.ledger;
    let all = work.due().await;
    let held = work.claim(all[0]).await;
    assert_eq!(ledger.pause_run(work.run).await.expect("pauses"), Heeded::Yes);
    assert_eq!(ledger.pause_run(work.run).await.expect("asks"), Heeded::Already);
    // Nothing is handed out or claimed, and who holds a chunk is told to give it back.
    assert!(work.due().await.is_empty());
    let claimed = ledger.claim(all[1].chunk, all[1].attempt, &worker("w"), LEASE).await.expect("claims");
    assert!(claimed.is_none());
    let beat = ledger.beat(all[0].chunk, held.chunk.attempt, LEASE).await.expect("beats");
    assert_eq!(beat, Beat::Ours { give_back: true });
    let yielded = work.settle(all[0].chunk, held.chunk.attempt, &ChunkOutcome::Yielded).await;
    assert_eq!(yielded, Settled::Yes(ChunkState::Ready));
    // The pause outlives every process.
    let other = world.other().await;
    let run = other.run(work.run).await.expect("reads").expect("exists");
    assert!(run.paused_ms.is_some() && run.state == RunState::Running && run.is_held_back());
    assert!(other.record(work.run).await.expect("sums").expect("exists").paused_ms.is_some());

    assert_eq!(other.go_on(work.run).await.expect("goes on"), Heeded::Yes);
    assert_eq!(other.go_on(work.run).await.expect("asks"), Heeded::Already);
    let due = ledger.take_due(work.run, &[0], 10, LEASE).await.expect("due");
    assert_eq!(due.len(), 2, "at once, although they were handed out a moment ago");
}

pub(super) async fn nothing_is_claimed_while_a_brake_holds(world: World) {
    let work = world.work(2).await;
    let (ledger, run) = (&work.ledger, work.run);
    let all = work.due().await;
    let claim =
        || async { ledger.claim(all[0].chunk, all[0].attempt, &worker("w"), LEASE).await.expect("claims") };
    assert_eq!(ledger.set_waiting(Some(run), Waiting::BRAKE, Some("enough")).await.expect("says"), 1);
    assert!(claim().await.is_none(), "the queue may still hold it");
    assert_eq!(ledger.set_waiting(Some(run), Waiting::BRAKE, None).await.expect("says"), 1);
    assert_eq!(ledger.take_due(run, &[0], 10, LEASE).await.expect("due").len(), 2, "at once");
    assert!(claim().await.is_some());
}

pub(super) async fn pause_and_cancel_come_in_any_order(world: World) {
    let work = world.work(1).await;
    let ledger = &work.ledger;
    ledger.pause_run(work.run).await.expect("pauses");
    assert!(ledger.request_cancel(work.run).await.expect("asks"), "a paused run can be cancelled");
    assert_eq!(ledger.pause_run(work.run).await.expect("asks"), Heeded::No(RunState::Running));
    assert_eq!(ledger.cancel_ready_chunks(work.run).await.expect("cancels"), 1);
    assert!(ledger.finish_run(work.run, RunState::Cancelled, None).await.expect("ends"));
    for heeded in [ledger.pause_run(work.run).await, ledger.go_on(work.run).await] {
        assert_eq!(heeded.expect("asks"), Heeded::No(RunState::Cancelled));
    }
    assert!(ledger.resume_run(work.run).await.expect("resumes"));
    assert!(!ledger.run(work.run).await.expect("reads").expect("exists").is_held_back());
    assert_eq!(work.due().await.len(), 1);
}

pub(super) async fn a_worker_asked_to_drain_is_told(world: World) {
    let (ledger, me) = (&world.ledger, worker("w"));
    assert!(!ledger.drain_worker(&me).await.expect("asks"), "unknown");
    assert!(ledger.register_worker(&me, "host", 7, "0.1.0", 4).await.expect("registers"), "it stays");
    assert!(ledger.drain_worker(&me).await.expect("asks"));
    assert!(!ledger.drain_worker(&me).await.expect("asks"), "twice");
    assert!(!ledger.register_worker(&me, "host", 7, "0.1.0", 4).await.expect("beats"), "it is to go");
    assert!(ledger.workers().await.expect("lists")[0].drain_ms.is_some());
    assert!(ledger.retire_worker(&me).await.expect("retires"));
}

fn key(n: i64) -> Key {
    Key(vec![Value::Int(n)])
}

fn cut(at: i64, rows: u64) -> ChunkOutcome {
    match done(rows) {
        ChunkOutcome::Done(report) => {
            ChunkOutcome::Done(model::chunk::Report { cut: Some(key(at)), ..report })
        }
        other @ (ChunkOutcome::Failed(_) | ChunkOutcome::Halted(_) | ChunkOutcome::Yielded) => other,
    }
}

pub(super) async fn a_chunk_that_proved_too_big_leaves_a_rest(world: World) {
    let work = world.spaced_work(2).await;
    let first = work.due().await[0];
    let claimed = work.claim(first).await;
    for _ in 0..2 {
        // Settled twice is settled once: there is one rest.
        let settled = work.settle(first.chunk, claimed.chunk.attempt, &cut(30, 3)).await;
        assert_eq!(settled, Settled::Yes(ChunkState::Done));
    }
    let chunks = work.ledger.chunks(work.run, ChunkPage { limit: 10, ..ChunkPage::default() }).await;
    let chunks = chunks.expect("lists");
    let ranges: Vec<(u64, KeyRange)> =
        chunks.iter().map(|view| (view.chunk.ordinal, view.chunk.range.clone())).collect();
    let range =
        |lower: Option<i64>, upper: Option<i64>| KeyRange { lower: lower.map(key), upper: upper.map(key) };
    assert_eq!(ranges[0], (0, range(None, Some(30))));
    assert_eq!(ranges[1], (next_split(0).expect("room"), range(Some(30), Some(100))));
    assert_eq!(ranges[2], (ORDINAL_STEP, range(Some(100), None)));
    assert!(work.ledger.check_chain(work.run, 0, Pass::Copy).await.expect("checks"), "nothing is left out");

    // The rest is work like any other, and may itself be cut.
    let due = work.ledger.take_due(work.run, &[0], 10, NOW).await.expect("due");
    let rest = due.iter().find(|due| due.chunk == chunks[1].chunk.id).expect("it is due");
    let claimed = work.claim(*rest).await;
    work.settle(rest.chunk, claimed.chunk.attempt, &cut(60, 3)).await;
    assert!(work.ledger.check_chain(work.run, 0, Pass::Copy).await.expect("checks"));
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.chunks.done, record.chunks.ready, record.counts.read), (2, 2, 6));
}

pub(super) async fn a_stale_cut_changes_nothing(world: World) {
    let work = world.spaced_work(1).await;
    let due = work.due().await[0];
    let late = work.claim_and_die(due).await;
    work.ledger.reap().await.expect("reaps");
    let settled = work.settle(due.chunk, late.chunk.attempt, &cut(30, 3)).await;
    assert_eq!(settled, Settled::Stale);
    assert_eq!(work.chunk(due.chunk).await.chunk.range, KeyRange::all());
    assert_eq!(work.due().await.len(), 1);
}

/// Whatever joins, leaves or falls silent: the parts that may be used at once never sum to more than the limit.
pub(super) async fn shares_never_sum_to_more_than_the_limit(world: World) {
    let work = world.work(1).await;
    let (ledger, run) = (&work.ledger, work.run);
    let free = ledger.share(run, &worker("a")).await.expect("shares");
    assert!(free.limits.is_none() && free.after.is_zero(), "a run without limits");
    let limits = Limits { rows: Some(1_000), bytes: None };
    assert!(ledger.set_limits(run, limits).await.expect("sets"));
    assert_eq!(ledger.run(run).await.expect("reads").expect("exists").limits, limits);

    let alone = ledger.share(run, &worker("a")).await.expect("shares");
    assert_eq!((alone.limits, alone.after.is_zero()), (limits, true), "nobody to wait for");
    let joining = ledger.share(run, &worker("b")).await.expect("shares");
    assert_eq!(joining.limits.rows, Some(500));
    assert!(!joining.after.is_zero(), "the first still works at the whole rate");
    let first = ledger.share(run, &worker("a")).await.expect("shares");
    assert_eq!(first.limits.rows, Some(500), "it has heard of the second");
    tokio::time::sleep(joining.after).await;
    let second = ledger.share(run, &worker("b")).await.expect("shares");
    assert_eq!((second.limits.rows, second.after.is_zero()), (Some(500), true));

    // The first falls silent: its part is nobody's until its share has ended.
    let before = ledger.share(run, &worker("b")).await.expect("shares");
    assert_eq!(before.limits.rows, Some(500));
    tokio::time::sleep(crate::SHARE_LASTS).await;
    let alone = ledger.share(run, &worker("b")).await.expect("shares");
    assert_eq!(alone.limits.rows, Some(1_000));

    assert!(ledger.set_limits(run, Limits::default()).await.expect("sets"));
    assert!(ledger.share(run, &worker("b")).await.expect("shares").limits.is_none());
    assert!(!ledger.set_limits(model::RunId::generate(), limits).await.expect("asks"), "no such run");
}
