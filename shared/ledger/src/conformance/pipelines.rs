//! Pipelines: one start per due time, whoever makes it; what a person said outlives restarts and files.

use model::schedule::{Schedule, When};
use model::{ErrorKind, Failure, RunId, RunState};

use super::world::{World, spec};
use crate::{NewPipeline, Pipeline, Start, Started};

fn every(seconds: u64) -> Option<Schedule> {
    Some(Schedule::of(When::Every(seconds)))
}

fn by(due: Option<i64>) -> Start {
    due.map_or(Start::Asked, Start::Due)
}

async fn register(world: &World, schedule: Option<Schedule>) -> Pipeline {
    let new = NewPipeline { spec: spec("shop"), schedule, is_default: true };
    world.ledger.register_pipeline(&new).await.expect("registers");
    shop(world).await
}

async fn shop(world: &World) -> Pipeline {
    let mut found = world.ledger.pipelines().await.expect("lists");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Eight coordinators see the same due time.
pub(super) async fn a_due_time_starts_one_run(world: World) {
    let due = register(&world, every(3_600)).await.next_ms;
    assert!(due.is_some(), "an interval begins at once");
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ledger = world.ledger.clone();
        set.spawn(async move { ledger.start_pipeline("shop", by(due)).await.expect("answers") });
    }
    let started: Vec<Started> = set.join_all().await;
    let runs: Vec<_> = started.iter().filter(|started| matches!(started, Started::Run(_))).collect();
    assert_eq!(runs.len(), 1, "{started:?}");
    let runs = world.ledger.runs(10).await.expect("lists");
    assert_eq!(runs.len(), 1);
    let found = shop(&world).await;
    assert_eq!(found.last_run, Some(runs[0].id));
    assert_eq!(found.next_ms, found.last_start_ms.map(|start| start + 3_600_000), "from start to start");
}

pub(super) async fn a_run_under_way_is_not_doubled(world: World) {
    let due = register(&world, every(3_600)).await.next_ms;
    let Started::Run(first) = world.ledger.start_pipeline("shop", by(due)).await.expect("starts") else {
        panic!("it is due")
    };
    let again = world.ledger.start_pipeline("shop", Start::Asked).await.expect("answers");
    assert_eq!(again, Started::StillRuns(first));
    let due = shop(&world).await.next_ms.expect("is due");
    assert!(world.ledger.skip_start("shop", due).await.expect("skips"));
    assert!(!world.ledger.skip_start("shop", due - 1).await.expect("skips"), "it is not due then");
    assert!(world.ledger.finish_run(first, RunState::Cancelled, None).await.expect("ends"));
    assert!(matches!(
        world.ledger.start_pipeline("shop", Start::Asked).await.expect("starts"),
        Started::Run(_)
    ));
    assert_eq!(world.ledger.start_pipeline("nobody", Start::Asked).await.expect("answers"), Started::No);
}

pub(super) async fn a_pause_holds_until_it_is_taken_back(world: World) {
    let due = register(&world, every(3_600)).await.next_ms;
    let (failed, cause) = (RunId::generate(), Failure::new(ErrorKind::Permission, "no rights"));
    assert!(world.ledger.pause_pipeline("shop", Some((failed, &cause))).await.expect("pauses"));
    assert!(world.ledger.pause_pipeline("shop", None).await.expect("pauses"));
    assert!(!world.ledger.pause_pipeline("nobody", None).await.expect("answers"));
    for due in [due, None] {
        assert_eq!(world.ledger.start_pipeline("shop", by(due)).await.expect("answers"), Started::No);
    }
    let found = register(&world, every(60)).await;
    assert_eq!((found.next_ms, &found.cause), (None, &Some(cause)), "a changed file does not end a pause");
    assert!(world.ledger.resume_pipeline("shop").await.expect("resumes"));
    let found = shop(&world).await;
    assert!(found.paused_ms.is_none() && found.cause.is_none() && found.next_ms.is_some(), "{found:?}");
    assert_eq!(found.heeded, Some(failed), "the same failure does not pause it again");
    let before = found.next_ms;
    assert!(world.ledger.resume_pipeline("shop").await.expect("resumes"));
    assert_eq!(shop(&world).await.next_ms, before, "a second word changes nothing");
}

pub(super) async fn an_interval_that_was_set_wins_over_the_file(world: World) {
    let due = register(&world, every(3_600)).await.next_ms;
    let _ = world.ledger.start_pipeline("shop", by(due)).await.expect("starts");
    assert!(world.ledger.set_pipeline_interval("shop", Some(900)).await.expect("sets"));
    let found = register(&world, every(7_200)).await;
    assert_eq!((found.every_s, found.schedule), (Some(900), every(900)));
    assert_eq!(found.next_ms, found.last_start_ms.map(|start| start + 900_000));
    assert!(world.ledger.set_pipeline_interval("shop", None).await.expect("sets"));
    assert_eq!(shop(&world).await.schedule, every(7_200));
    assert!(!world.ledger.set_pipeline_interval("nobody", Some(1)).await.expect("answers"));
}

pub(super) async fn a_pipeline_without_a_schedule_waits_to_be_asked(world: World) {
    assert_eq!(register(&world, None).await.next_ms, None);
    assert!(matches!(
        world.ledger.start_pipeline("shop", Start::Asked).await.expect("starts"),
        Started::Run(_)
    ));
    let found = shop(&world).await;
    assert!(found.is_default && found.next_ms.is_none() && found.last_run.is_some());
    let other = NewPipeline { spec: spec("other"), schedule: None, is_default: true };
    world.ledger.register_pipeline(&other).await.expect("registers");
    let defaults: Vec<_> =
        world.ledger.pipelines().await.expect("lists").into_iter().filter(|p| p.is_default).collect();
    assert_eq!(defaults.len(), 1, "one is meant where none is named");
    assert_eq!(defaults[0].name, "other");
}

/// Eight coordinators see the end of the run before.
pub(super) async fn the_end_of_another_starts_one_run(world: World) {
    let when = When::After("first".to_owned());
    let after = Schedule::of(when);
    let found = register(&world, Some(after)).await;
    assert_eq!(found.next_ms, None);
    let early =
        world.ledger.start_pipeline("shop", Start::After(found.registered_ms)).await.expect("answers");
    assert_eq!(early, Started::No, "it was over before");
    let ended = found.registered_ms + 1;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ledger = world.ledger.clone();
        set.spawn(async move { ledger.start_pipeline("shop", Start::After(ended)).await.expect("answers") });
    }
    let started: Vec<Started> = set.join_all().await;
    let runs = started.iter().filter(|started| matches!(started, Started::Run(_))).count();
    assert_eq!(runs, 1, "{started:?}");
    let run = shop(&world).await.last_run.expect("a run");
    assert!(world.ledger.finish_run(run, RunState::Done, None).await.expect("ends"));
    assert_eq!(world.ledger.start_pipeline("shop", Start::After(ended)).await.expect("answers"), Started::No);
}
