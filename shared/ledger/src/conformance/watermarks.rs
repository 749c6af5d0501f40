//! Watermarks: set once by whoever read last, kept over restarts, never put back by an older run.

use model::{Activity, Mark, RunId, RunKind, TableRef, Turn, Watch, Watermark};

use super::world::{World, spec};

fn watermark(run: RunId, micros: i64) -> Watermark {
    Watermark { mark: Mark::Moment(micros), ahead_s: 0, shape: "s".to_owned(), run, swept_ms: None }
}

pub(super) async fn a_watermark_goes_forward_with_the_turns(world: World) {
    let (ledger, table) = (&world.ledger, TableRef::named("orders"));
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("creates");
    assert_eq!(ledger.changes_read("shop", &table).await.expect("reads"), crate::Progress::default());
    let set = |micros, turn| {
        let (ledger, table, mark) = (ledger.clone(), table.clone(), watermark(run.id, micros));
        async move { ledger.advance_watermark("shop", (&table, 0), &mark, Turn(turn)).await.expect("sets") }
    };
    assert!(set(10, 5).await);
    assert!(set(10, 5).await, "a repeated call is as good");
    assert!(!set(7, 4).await, "an older run is too late");
    assert!(set(9, 6).await, "a newer run that proved less is believed: the source was taken back");
    let found = ledger.changes_read("shop", &table).await.expect("reads").watermark;
    assert_eq!(found, Some(watermark(run.id, 9)));
    assert_eq!(ledger.changes_read("other", &table).await.expect("reads").watermark, None);
    let events = ledger.events(run.id, 0, 100).await.expect("lists");
    assert_eq!(events.iter().filter(|event| event.kind == "watermark-advanced").count(), 2);
    ledger.forget_watermark("shop", &table).await.expect("forgets");
    assert_eq!(ledger.watermarks("shop").await.expect("lists"), []);
}

pub(super) async fn a_watch_is_kept_beside_the_mark(world: World) {
    let (ledger, table) = (&world.ledger, TableRef::named("orders"));
    let mut watch = Watch::default();
    let open = Activity { micros: 9, transactions: vec![(1, "a".to_owned())], ..Activity::default() };
    assert_eq!(watch.look(&open, None), None);
    ledger.keep_watch("shop", &table, &watch).await.expect("keeps");
    assert!(ledger.watermarks("shop").await.expect("lists").is_empty());
    let mut found = ledger.changes_read("shop", &table).await.expect("reads").watch;
    assert_eq!(found, watch);
    let later = Activity { micros: 2_000_009, ..Activity::default() };
    assert_eq!(found.look(&later, None), Some((Mark::Moment(1_000_009), 2_000_009)));
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("creates");
    let set = ledger.advance_watermark("shop", (&table, 0), &watermark(run.id, 9), run.turn).await;
    assert!(set.expect("sets"));
    assert_eq!(ledger.changes_read("shop", &table).await.expect("reads").watch, watch);
}

/// Eight at once make one row.
pub(super) async fn watermarks_are_made_once(world: World) {
    let table = TableRef::named("orders");
    let run = world.ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("creates");
    let mut set = tokio::task::JoinSet::new();
    for turn in 1..=8_u64 {
        let (ledger, table) = (world.ledger.clone(), table.clone());
        let mark = watermark(run.id, i64::try_from(turn).expect("small"));
        set.spawn(async move {
            ledger.advance_watermark("shop", (&table, 0), &mark, Turn(turn)).await.expect("sets");
            ledger.keep_watch("shop", &table, &Watch::default()).await.expect("keeps");
        });
    }
    set.join_all().await;
    let found = world.ledger.watermarks("shop").await.expect("lists");
    assert_eq!(found, [("orders".to_owned(), watermark(run.id, 8))]);
}
