//! Rows and chunks set aside.

use model::chunk::Report;
use model::{
    Attempt, ChunkOutcome, ChunkState, Counts, ErrorKind, Key, Pass, QuarantinedRow, RunState, TableState,
    Value,
};

use super::world::{NOW, World, done, failure};
use crate::kept::Kept;
use crate::{Settled, Which};

fn bad_row(n: i64) -> QuarantinedRow {
    QuarantinedRow {
        key: Key(vec![Value::Int(n)]),
        column: Some("email".to_owned()),
        kind: ErrorKind::TooLong,
        reason: "the text is longer than 4 characters".to_owned(),
    }
}

fn with_bad_rows(count: i64) -> ChunkOutcome {
    let rows: Vec<_> = (0..count).map(bad_row).collect();
    let quarantined = rows.len() as u64;
    let counts = Counts { read: quarantined + 1, inserted: 1, quarantined, ..Counts::default() };
    ChunkOutcome::Done(Report {
        counts,
        source_digest: None,
        target_digest: None,
        quarantined: rows,
        conflicts: vec![],
        read_ms: 1,
        cut: None,
    })
}

pub(super) async fn rows_replace_those_of_the_attempt_before(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    let claimed = work.claim(due).await;
    let mut tx = work.ledger.begin().await.expect("begins");
    let stale = [bad_row(-1), bad_row(-2)];
    work.ledger.replace_kept(&mut tx, &claimed.chunk, Kept::Quarantined, &stale).await.expect("puts");
    tx.commit().await.expect("commits");
    for _ in 0..2 {
        let yes = work.settle(due.chunk, claimed.chunk.attempt, &with_bad_rows(450)).await;
        assert_eq!(yes, Settled::Yes(ChunkState::Done), "a repeat changes nothing");
        assert_eq!(work.ledger.quarantined_count(work.run, None).await.expect("counts"), 450);
    }
    let rows = work.ledger.quarantined(work.run, None, 0, 1_000).await.expect("lists");
    assert!(rows.iter().map(|view| &view.row).eq((0..450).map(bad_row).collect::<Vec<_>>().iter()));
    assert_eq!((rows[0].source.name.as_str(), rows[0].chunk, rows[0].pass), ("t0", due.chunk, Pass::Copy));
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.counts.quarantined, record.counts.read), (450, 451));
    assert!(record.counts.is_balanced());
}

pub(super) async fn quarantined_chunks_are_retried(world: World) {
    let work = world.work(2).await;
    let (ledger, run) = (&work.ledger, work.run);
    assert_eq!(ledger.retry_chunks(run, Which::All).await.expect("retries"), 0);
    let all = work.due().await;
    let refused = ChunkOutcome::Failed(failure(ErrorKind::Diverged));
    for attempt in 1..=super::world::attempts_max() {
        let claimed = work.claim(work.due().await[0]).await;
        assert_eq!(claimed.chunk.attempt, Attempt(attempt));
        work.settle(all[0].chunk, claimed.chunk.attempt, &refused).await;
    }
    work.claim(all[1]).await;
    work.settle(all[1].chunk, Attempt(1), &done(3)).await;
    let at = |state| (state, Pass::Copy);
    assert!(
        ledger.advance_table(run, 0, at(TableState::Working), at(TableState::Done)).await.expect("moves")
    );
    assert!(ledger.finish_run(run, RunState::DoneWithQuarantine, None).await.expect("ends"));
    assert_eq!(ledger.retry_chunks(run, Which::Table(5)).await.expect("retries"), 0, "another table");
    let stranger = Which::One(model::ChunkId::generate());
    assert_eq!(ledger.retry_chunks(run, stranger).await.expect("retries"), 0);
    assert_eq!(ledger.retry_chunks(run, Which::Table(0)).await.expect("retries"), 1);
    let record = ledger.record(run).await.expect("sums").expect("exists");
    assert_eq!((record.state, record.ended_ms, record.retries), (RunState::Running, None, 0));
    assert_eq!((record.tables[0].state, record.chunks.ready), (TableState::Working, 1));
    let due = ledger.take_due(run, &[0], 9, NOW).await.expect("due")[0];
    let claimed = work.claim(due).await;
    assert_eq!((claimed.chunk.attempt, claimed.tries), (Attempt(super::world::attempts_max() + 1), 1));
    assert_eq!(work.settle(due.chunk, claimed.chunk.attempt, &done(4)).await, Settled::Yes(ChunkState::Done));
    let record = ledger.record(run).await.expect("sums").expect("exists");
    assert_eq!((record.counts.read, record.chunks.done), (7, 2));
}

pub(super) async fn rows_page_in_order(world: World) {
    let work = world.work(2).await;
    for due in work.due().await {
        let claimed = work.claim(due).await;
        work.settle(due.chunk, claimed.chunk.attempt, &with_bad_rows(5)).await;
    }
    let (mut after, mut seen) = (0, 0);
    loop {
        let page = work.ledger.quarantined(work.run, Some(0), after, 3).await.expect("lists");
        let Some(last) = page.last() else { break };
        assert!(page[0].seq > after);
        (after, seen) = (last.seq, seen + page.len());
    }
    assert_eq!(seen, 10);
    assert!(work.ledger.quarantined(work.run, Some(1), 0, 3).await.expect("lists").is_empty());
}
