//! Security events and what runs wait for: bounded, counted, said once.

use model::{RunId, RunKind, RunState, Waiting};
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{World, spec};

pub(super) async fn security_events_are_counted_and_kept(world: World) {
    let ledger = &world.ledger;
    assert_eq!(ledger.security_count().await.expect("counts"), 0);
    assert!(
        ledger.security_event("w1", "job-rejected", 1, &json!({ "reason": "a" })).await.expect("records")
    );
    assert!(
        ledger.security_event("w2", "job-rejected", 41, &json!({ "reason": "b" })).await.expect("records")
    );
    let events = ledger.security_events(10).await.expect("lists");
    let seen: Vec<_> = events.iter().map(|event| (event.seq, event.worker.as_str())).collect();
    assert_eq!(seen, [(42, "w2"), (1, "w1")]);
    assert_eq!((events[0].kind.as_str(), &events[0].detail), ("job-rejected", &json!({ "reason": "b" })));
    assert!((ledger.now_ms().await.expect("tells") - events[0].at_ms).abs() < 60_000);
    assert_eq!(ledger.security_events(1).await.expect("lists").len(), 1);
    assert_eq!(ledger.security_count().await.expect("counts"), 42);
}

/// Eight workers under a flood: the rows of a minute are bounded, and no incident is uncounted.
pub(super) async fn a_flood_of_security_events_fills_no_ledger(world: World) {
    let mut set = JoinSet::new();
    for n in 0..8 {
        let ledger = world.ledger.clone();
        set.spawn(async move {
            for _ in 0..20 {
                ledger
                    .security_event(&format!("w{n}"), "job-rejected", 5, &json!({}))
                    .await
                    .expect("records");
            }
        });
    }
    set.join_all().await;
    let ledger = &world.ledger;
    assert_eq!(ledger.security_count().await.expect("counts"), 8 * 20 * 5);
    assert_eq!(ledger.security_events(1_000).await.expect("lists").len(), 60);
    // A minute later there is room again.
    let sql = ledger.sql("UPDATE syncline_security SET at_ms = at_ms - 60000");
    sqlx::query(sql).execute(&ledger.shared.pool).await.expect("ages");
    assert!(ledger.security_event("w", "job-rejected", 1, &json!({})).await.expect("records"));
}

pub(super) async fn what_a_run_waits_for_is_said_once(world: World) {
    let ledger = &world.ledger;
    let first = ledger.create_run(RunKind::Copy, &spec("one")).await.expect("a run").id;
    let second = ledger.create_run(RunKind::Copy, &spec("two")).await.expect("a run").id;
    let ended = ledger.create_run(RunKind::Copy, &spec("three")).await.expect("a run").id;
    assert!(ledger.finish_run(ended, RunState::Cancelled, None).await.expect("ends"));
    let set = async |run, on, reason| ledger.set_waiting(run, on, reason).await.expect("sets");
    let waits = async |run: RunId| ledger.record(run).await.expect("sums").expect("exists").waiting;

    assert_eq!(set(None, "queue", Some("queue unreachable")).await, 2, "the running ones");
    assert_eq!(set(None, "queue", Some("queue unreachable")).await, 0, "nothing new");
    assert_eq!(set(Some(second), "source", Some("source busy")).await, 1);
    let expected = |on: &str, reason: &str| Some(Waiting { on: on.into(), reason: reason.into() });
    assert_eq!(waits(first).await, expected("queue", "queue unreachable"));
    assert_eq!(waits(second).await, expected("source", "source busy"));
    assert_eq!(waits(ended).await, None);

    assert_eq!(set(None, "queue", None).await, 1, "the other waits for something else");
    assert_eq!(set(None, "queue", None).await, 0);
    assert_eq!((waits(first).await, waits(second).await), (None, expected("source", "source busy")));
    let events = ledger.events(first, 0, 10).await.expect("lists");
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["run-created", "run-waiting", "run-waits-no-more"]);

    assert!(ledger.finish_run(second, RunState::Cancelled, None).await.expect("ends"));
    assert_eq!(waits(second).await, None, "what has ended waits for nothing");
}
