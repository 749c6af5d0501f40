//! The record against a model: whatever happens, its figures are the sums over the chunks.

use std::collections::BTreeMap;
use std::time::Duration;

use model::chunk::Report;
use model::failure::WORKER_DEATHS_MAX;
use model::{Attempt, ChunkDigest, ChunkId, ChunkOutcome, ChunkState, Counts, ErrorKind, RunRecord};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{Server, Work, World, attempts_max, done, failure};
use crate::Settled;

#[derive(Debug, Clone)]
enum Step {
    Done(u64),
    Fail,
    Yield,
    Die,
    /// An earlier attempt settles late.
    Stale,
    Retry,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..1_000_u64).prop_map(Step::Done),
        3 => Just(Step::Fail),
        2 => Just(Step::Yield),
        2 => Just(Step::Die),
        2 => Just(Step::Stale),
        1 => Just(Step::Retry),
    ]
}

/// What a chunk should look like.
#[derive(Debug, Clone, Default)]
struct Expected {
    attempt: u32,
    tries: u64,
    deaths: u32,
    rows: Option<u64>,
    is_quarantined: bool,
}

pub(super) async fn the_record_is_the_sum_of_its_chunks(world: World) {
    let cases = if world.server == Server::Sqlite { 24 } else { 6 };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    let steps = prop::collection::vec((any::<prop::sample::Index>(), step()), 1..40);
    let checked = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&steps, |steps| {
            runtime.block_on(async {
                let work = world.work(4).await;
                let mut model: BTreeMap<ChunkId, Expected> =
                    work.due().await.iter().map(|due| (due.chunk, Expected::default())).collect();
                for (pick, step) in steps {
                    let id = *pick.get(&model.keys().copied().collect::<Vec<_>>());
                    take_step(&work, id, &step, &mut model).await;
                    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
                    compare(&record, &model);
                }
            });
            Ok(())
        })
    });
    checked.expect("the record is the sum of its chunks");
}

async fn take_step(work: &Work, id: ChunkId, step: &Step, model: &mut BTreeMap<ChunkId, Expected>) {
    if matches!(step, Step::Retry) {
        let quarantined = model.values().filter(|expected| expected.is_quarantined).count();
        let retried = work.ledger.retry_chunks(work.run, crate::Which::All).await.expect("retries");
        assert_eq!(retried, quarantined as u64);
        for expected in model.values_mut().filter(|expected| expected.is_quarantined) {
            *expected = Expected { attempt: expected.attempt, ..Expected::default() };
        }
        return;
    }
    let expected = model.get_mut(&id).expect("a known chunk");
    if matches!(step, Step::Stale) {
        if let Some(old) = expected.attempt.checked_sub(1).filter(|old| *old > 0) {
            assert_eq!(work.settle(id, Attempt(old), &done(77)).await, Settled::Stale);
        }
        return;
    }
    let Some(due) = work.due().await.into_iter().find(|due| due.chunk == id) else {
        return;
    };
    assert_eq!(due.attempt, Attempt(expected.attempt));
    expected.attempt += 1;
    expected.tries += 1;
    if matches!(step, Step::Die) {
        work.claim_and_die(due).await;
        work.ledger.reap().await.expect("reaps");
        expected.deaths += 1;
        expected.is_quarantined =
            expected.deaths >= WORKER_DEATHS_MAX || expected.tries >= u64::from(attempts_max());
        return;
    }
    let claimed = work.claim(due).await;
    let outcome = match step {
        Step::Done(rows) => {
            expected.rows = Some(*rows);
            done(*rows)
        }
        Step::Fail => {
            expected.is_quarantined = expected.tries >= u64::from(attempts_max());
            ChunkOutcome::Failed(failure(ErrorKind::Deadlock))
        }
        Step::Yield | Step::Die | Step::Stale | Step::Retry => {
            expected.tries -= 1;
            ChunkOutcome::Yielded
        }
    };
    let settled = work.settle(id, claimed.chunk.attempt, &outcome).await;
    assert!(matches!(settled, Settled::Yes(_)));
    if settled == Settled::Yes(ChunkState::Ready) {
        assert!(expected.rows.is_none() && !expected.is_quarantined);
    }
}

fn compare(record: &RunRecord, model: &BTreeMap<ChunkId, Expected>) {
    let rows: u64 = model.values().filter_map(|expected| expected.rows).sum();
    let counts = Counts { read: rows, inserted: rows, bytes: rows * 10, matching: rows, ..Counts::default() };
    let digest = ChunkDigest { rows, sum: u128::from(rows) };
    let done = model.values().filter(|expected| expected.rows.is_some()).count() as u64;
    let quarantined = model.values().filter(|expected| expected.is_quarantined).count() as u64;
    let retries: u64 = model.values().map(|expected| expected.tries.saturating_sub(1)).sum();
    assert_eq!((record.counts, record.retries), (counts, retries));
    assert_eq!((record.chunks.done, record.chunks.quarantined), (done, quarantined));
    assert_eq!(record.chunks.ready, model.len() as u64 - done - quarantined);
    assert_eq!(record.chunks.total(), model.len() as u64);
    let table = &record.tables[0];
    assert_eq!((table.counts, table.chunks, table.retries), (record.counts, record.chunks, record.retries));
    assert_eq!((table.source_digest, table.target_digest), (digest, digest));
}

pub(super) async fn digests_are_summed_modulo_2_128(world: World) {
    let work = world.work(3).await;
    let mut whole = ChunkDigest::default();
    for (due, sum) in work.due().await.into_iter().zip([u128::MAX, u128::MAX - 5, 1 << 100]) {
        let digest = ChunkDigest { rows: 2, sum };
        whole += digest;
        let claimed = work.claim(due).await;
        let report = Report {
            counts: Counts { read: 2, unchanged: 2, ..Counts::default() },
            source_digest: Some(digest),
            target_digest: None,
            quarantined: vec![],
            conflicts: vec![],
            read_ms: 30,
            cut: None,
        };
        work.settle(due.chunk, claimed.chunk.attempt, &ChunkOutcome::Done(report)).await;
        let view = work.chunk(due.chunk).await;
        assert_eq!((view.source_digest, view.target_digest), (Some(digest), None));
    }
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!(record.tables[0].source_digest, whole);
    assert_eq!(record.tables[0].target_digest, ChunkDigest::default());
    let costs = work.ledger.recent_chunk_costs(work.run, 0, model::Pass::Copy, 2).await.expect("reads");
    assert_eq!((costs.len(), costs[0].rows, costs[0].read_ms), (2, 2, 30));
}

pub(super) async fn a_long_run_is_summed_and_served(world: World) {
    // Servers share this machine with other tests; SQLite alone is held to the full length.
    let chunks = if world.server == Server::Sqlite { 100_000 } else { 10_000 };
    let done = chunks / 2;
    let work = world.work(chunks).await;
    let settle = "UPDATE syncline_chunk SET state = 'done', c_read = 1000, s_rows = 1000, s_d0 = 4294967295, \
        s_d1 = 1, s_d2 = 1, s_d3 = 1 WHERE ordinal < ?";
    let settle = sqlx::query(work.ledger.sql(settle)).bind(i64::try_from(done).expect("small"));
    settle.execute(&work.ledger.shared.pool).await.expect("settles half");

    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.counts.read, record.chunks.done), (done * 1_000, done));
    assert_eq!(record.tables[0].source_digest.rows, done * 1_000);
    for _ in 0..3 {
        let due = work.ledger.take_due(work.run, &[0, 1], 1_000, Duration::from_secs(60)).await.expect("due");
        assert_eq!(due.len(), 1_000);
    }
    assert!(work.ledger.check_chain(work.run, 0, model::Pass::Copy).await.expect("checks"));
}
