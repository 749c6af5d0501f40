//! What a restored ledger is held against, and how it gets above it.

use model::{Attempt, ChunkId, RunId, RunKind, Turn};

use super::world::{World, spec};

pub(super) async fn attempts_that_were_not_given_out_are_noticed(world: World) {
    let work = world.work(3).await;
    let due = work.due().await;
    for due in &due {
        work.claim(*due).await;
    }
    let known: Vec<_> = due.iter().map(|due| (due.chunk, Attempt(1))).collect();
    assert!(!work.ledger.is_behind(&[]).await.expect("asks"));
    assert!(!work.ledger.is_behind(&known).await.expect("asks"));
    assert!(!work.ledger.is_behind(&[(due[0].chunk, Attempt(0))]).await.expect("asks"));
    assert!(work.ledger.is_behind(&[known[0], (due[1].chunk, Attempt(2))]).await.expect("asks"));
    assert!(work.ledger.is_behind(&[known[0], (ChunkId::generate(), Attempt(1))]).await.expect("asks"));
    let stranger = RunId::generate();
    assert_eq!(work.ledger.unknown_runs(&[work.run, stranger]).await.expect("asks"), [stranger]);
}

pub(super) async fn turns_are_raised_above_what_was_found(world: World) {
    let ledger = &world.ledger;
    assert_eq!(ledger.turn().await.expect("reads"), Turn(0));
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run");
    assert_eq!((run.turn, ledger.turn().await.expect("reads")), (Turn(1), Turn(1)));
    assert_eq!(ledger.raise_turn(Turn(40)).await.expect("raises"), Turn(41));
    assert_eq!(ledger.raise_turn(Turn(7)).await.expect("raises"), Turn(42), "never down");
    let before = ledger.last_event().await.expect("reads");
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run");
    assert_eq!(run.turn, Turn(43));
    assert!(ledger.last_event().await.expect("reads") > before);
}
