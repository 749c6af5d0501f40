//! Rows that were changed on both sides.

use model::chunk::Report;
use model::conflict::{Conflict, Difference, Side};
use model::{Attempt, ChunkOutcome, ChunkState, Counts, Key, Value};

use super::world::World;
use crate::Settled;

fn conflict(n: i64) -> Conflict {
    let text = |text: &str| Value::Text(text.to_owned());
    Conflict {
        key: Key(vec![Value::Int(n)]),
        winner: if n % 2 == 0 { Side::Source } else { Side::Target },
        rule: "newest: at".to_owned(),
        source_mark: Value::Int(n),
        target_mark: Value::Null,
        columns: vec![Difference { column: "naïve".to_owned(), source: text("ours"), target: text("") }],
    }
}

fn with_conflicts(kept: i64, found: u64) -> ChunkOutcome {
    let counts = Counts { read: found, unchanged: found, conflicts: found, ..Counts::default() };
    ChunkOutcome::Done(Report {
        counts,
        source_digest: None,
        target_digest: None,
        quarantined: vec![],
        conflicts: (0..kept).map(conflict).collect(),
        read_ms: 1,
        cut: None,
    })
}

/// They come back as they went in, page by page; a settlement that is repeated, late or refused adds none.
pub(super) async fn conflicts_are_those_of_the_last_attempt(world: World) {
    let work = world.work(2).await;
    let due = work.due().await;
    let claimed = work.claim(due[0]).await;
    for _ in 0..2 {
        let yes = work.settle(due[0].chunk, claimed.chunk.attempt, &with_conflicts(450, 700)).await;
        assert_eq!(yes, Settled::Yes(ChunkState::Done), "a repeat changes nothing");
    }
    let claimed = work.claim(due[1]).await;
    let newer = Attempt(claimed.chunk.attempt.0 + 1);
    assert_eq!(work.settle(due[1].chunk, newer, &with_conflicts(9, 9)).await, Settled::Stale);
    let page = |table, after, limit| {
        let (ledger, run) = (work.ledger.clone(), work.run);
        async move { ledger.conflicts(run, table, after, limit).await.expect("lists") }
    };
    let first = page(None, 0, 400).await;
    let rest = page(None, first.last().expect("rows").seq, 400).await;
    let all: Vec<_> = first.iter().chain(&rest).map(|view| view.conflict.clone()).collect();
    assert_eq!(all, (0..450).map(conflict).collect::<Vec<_>>());
    assert_eq!((first[0].source.name.as_str(), first[0].chunk, first[0].table), ("t0", due[0].chunk, 0));
    assert_eq!((page(Some(0), 0, 1_000).await.len(), page(Some(7), 0, 1_000).await.len()), (450, 0));
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!(record.counts.conflicts, 700, "all are counted, though not all are kept");
}
