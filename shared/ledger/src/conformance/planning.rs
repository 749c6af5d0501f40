//! Chunks come into being in one chain and are handed out when due.

use std::collections::HashSet;
use std::time::Duration;

use model::{Key, KeyRange, Pass, RunKind, TableState, Value};
use tokio::task::JoinSet;

use super::world::{NOW, World, new_table, numbered, plan, ranges, spec};
use crate::{ChunkPage, Due};

pub(super) async fn adding_chunks_again_is_harmless(world: World) {
    let work = world.work(1_200).await;
    let (ledger, run) = (&work.ledger, work.run);
    assert!(ledger.check_chain(run, 0, Pass::Copy).await.expect("checks"));
    for again in [ranges(1_200), ranges(7), ranges(2_000)] {
        assert_eq!(ledger.add_chunks(run, 0, Pass::Copy, &numbered(again)).await.expect("adds"), 0);
    }
    let (ordinal, last) = ledger.last_chunk(run, 0, Pass::Copy).await.expect("reads").expect("exists");
    assert_eq!((ordinal, last.upper), (1_199, None));
    let tallies = ledger.pass_tallies(run).await.expect("sums");
    assert_eq!(tallies[0].chunks.ready, 1_200);
    assert!(!ledger.check_chain(run, 0, Pass::Verify).await.expect("checks"), "no chunks cover nothing");
}

pub(super) async fn two_planners_make_one_chain(world: World) {
    let ledger = &world.ledger;
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
    ledger.add_tables(run, &[new_table(0)]).await.expect("a table");
    ledger.set_plan(run, 0, &plan(), Pass::Copy, None).await.expect("a plan");
    let mut set = JoinSet::new();
    for step in [3_i64, 7, 10] {
        let ledger = world.other().await;
        // Each seeks its own boundaries, from wherever the chain ends.
        set.spawn(async move {
            loop {
                let last = ledger.last_chunk(run, 0, Pass::Copy).await.expect("reads");
                let (ordinal, lower) = match last {
                    None => (0, None),
                    Some((_, KeyRange { upper: None, .. })) => return,
                    Some((at, range)) => (at + 1, range.upper),
                };
                let start = match lower.as_ref().map(|key| &key.0[0]) {
                    Some(Value::Int(n)) => *n,
                    _ => 0,
                };
                let cut = |n: i64| (n < 200).then(|| Key(vec![Value::Int(n)]));
                let first = KeyRange { lower, upper: cut(start + step) };
                let second = KeyRange { lower: cut(start + step), upper: cut(start + 2 * step) };
                let block = [(ordinal, first), (ordinal + 1, second)];
                ledger.add_chunks(run, 0, Pass::Copy, &block).await.expect("adds");
            }
        });
    }
    set.join_all().await;
    assert!(ledger.check_chain(run, 0, Pass::Copy).await.expect("checks"));
}

pub(super) async fn chunks_are_added_to_their_pass_only(world: World) {
    let ledger = &world.ledger;
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
    ledger.add_tables(run, &[new_table(0)]).await.expect("a table");
    let chunks = numbered(ranges(3));
    let add = |pass| ledger.add_chunks(run, 0, pass, &chunks);
    assert_eq!(add(Pass::Copy).await.expect("adds"), 0, "the table has no plan yet");
    assert!(ledger.set_plan(run, 0, &plan(), Pass::Copy, None).await.expect("plans"));
    assert!(
        !ledger.set_plan(run, 0, &plan(), Pass::Verify, None).await.expect("plans"),
        "the first plan stands"
    );
    assert_eq!(add(Pass::Sweep).await.expect("adds"), 0, "another pass");
    let gap = [(0, KeyRange { lower: None, upper: Some(Key(vec![Value::Int(1)])) }), (1, KeyRange::all())];
    assert_eq!(
        ledger.add_chunks(run, 0, Pass::Copy, &gap).await.expect("adds"),
        1,
        "the second does not fit"
    );
    assert!(!ledger.check_chain(run, 0, Pass::Copy).await.expect("checks"), "it is not closed");
    assert_eq!(ledger.add_chunks(run, 9, Pass::Copy, &chunks).await.expect("adds"), 0, "no such table");
}

pub(super) async fn due_chunks_are_handed_out_once_in_a_while(world: World) {
    let work = world.work(5).await;
    let take = |limit, after| work.ledger.take_due(work.run, &[0], limit, after);
    let hour = Duration::from_secs(3_600);
    let first = take(3, hour).await.expect("due");
    let second = take(10, hour).await.expect("due");
    assert_eq!((first.len(), second.len()), (3, 2));
    assert!(take(10, hour).await.expect("due").is_empty());
    let mut ordinals = Vec::new();
    for due in first.iter().chain(&second) {
        ordinals.push(work.chunk(due.chunk).await.chunk.ordinal);
    }
    assert_eq!(ordinals, [0, 1, 2, 3, 4]);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(take(10, Duration::from_millis(20)).await.expect("due").len(), 5);
    assert!(work.ledger.take_due(work.run, &[1, 2], 10, NOW).await.expect("due").is_empty());
    assert!(work.ledger.take_due(work.run, &[], 10, NOW).await.expect("due").is_empty());
}

pub(super) async fn two_dispatchers_get_different_chunks(world: World) {
    let work = world.work(120).await;
    let mut set = JoinSet::new();
    for _ in 0..4 {
        let (ledger, run) = (world.other().await, work.run);
        set.spawn(async move {
            let mut got: Vec<Due> = Vec::new();
            loop {
                let some = ledger.take_due(run, &[0], 7, Duration::from_secs(3_600)).await.expect("due");
                if some.is_empty() {
                    return got;
                }
                got.extend(some);
                assert!(got.len() <= 120, "chunks come back within the hour");
            }
        });
    }
    let all: Vec<Due> = set.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = all.iter().map(|due| due.chunk).collect();
    assert_eq!((all.len(), distinct.len()), (120, 120));
}

pub(super) async fn chunk_lists_page_in_order(world: World) {
    let work = world.work(5).await;
    world.work_in(work.run, 1, 4).await;
    let mut page = ChunkPage { limit: 2, ..ChunkPage::default() };
    let mut seen = Vec::new();
    loop {
        let views = work.ledger.chunks(work.run, page).await.expect("lists");
        let Some(last) = views.last() else { break };
        page.after = Some(last.chunk.id);
        seen.extend(views.iter().map(|view| (view.chunk.table, view.chunk.ordinal)));
    }
    assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2), (1, 3)]);
    let only = ChunkPage { table: Some(1), state: Some(model::ChunkState::Ready), limit: 99, after: None };
    assert_eq!(work.ledger.chunks(work.run, only).await.expect("lists").len(), 4);
    let third = work.ledger.chunk_at(work.run, 0, Pass::Copy, 3).await.expect("reads").expect("exists");
    assert_eq!(third.chunk.range, ranges(5)[3]);
    let leave = (TableState::Working, Pass::Copy);
    let next = (TableState::Planning, Pass::Sweep);
    assert!(!work.ledger.advance_table(work.run, 0, leave, next).await.expect("asks"), "its chunks are open");
}
