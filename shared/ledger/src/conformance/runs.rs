//! Runs and tables: states, and who may change them.

use std::collections::BTreeSet;

use model::{ChunkOutcome, ChunkState, ErrorKind, Pass, RunId, RunKind, RunState, TableState, Turn};
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{World, done, failure, new_table, plan, spec, worker};
use crate::fields::Fields as _;

pub(super) async fn a_run_lives_and_ends(world: World) {
    let ledger = &world.ledger;
    let run = ledger.create_run(RunKind::Verify, &spec("shop")).await.expect("a run");
    assert_eq!((run.state, run.kind, run.turn), (RunState::Running, RunKind::Verify, Turn(1)));
    assert!((ledger.now_ms().await.expect("tells") - run.created_ms).abs() < 60_000);
    assert_eq!(ledger.run(run.id).await.expect("reads"), Some(run.clone()));
    assert_eq!(ledger.active_runs().await.expect("lists").len(), 1);
    assert!(!ledger.finish_run(run.id, RunState::Running, None).await.expect("asks"), "that is no end");
    assert!(ledger.finish_run(run.id, RunState::Done, None).await.expect("ends"));
    let cause = failure(ErrorKind::Timeout);
    assert!(
        !ledger.finish_run(run.id, RunState::Failed, Some(cause.clone())).await.expect("asks"),
        "it has ended"
    );
    assert!(!ledger.halt_run(run.id, &cause).await.expect("asks"));
    assert!(!ledger.request_cancel(run.id).await.expect("asks"));
    assert!(!ledger.resume_run(run.id).await.expect("asks"), "what is done stays done");
    let ended = ledger.run(run.id).await.expect("reads").expect("exists");
    assert_eq!((ended.state, ended.cause), (RunState::Done, None));
    assert!(ended.ended_ms.expect("a time") >= ended.created_ms);
    assert!(ledger.active_runs().await.expect("lists").is_empty());
    assert!(ledger.record(model::RunId::generate()).await.expect("sums").is_none());
}

pub(super) async fn turns_are_unique_and_ordered(world: World) {
    let mut set = JoinSet::new();
    for n in 0..8 {
        let ledger = if n % 2 == 0 { world.ledger.clone() } else { world.other().await };
        set.spawn(async move { ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").turn });
    }
    let turns: BTreeSet<Turn> = set.join_all().await.into_iter().collect();
    assert_eq!(turns, (1..=8).map(Turn).collect());
    let listed: Vec<Turn> = world.ledger.runs(3).await.expect("lists").iter().map(|run| run.turn).collect();
    assert_eq!(listed, [Turn(8), Turn(7), Turn(6)]);
}

pub(super) async fn runs_are_found_by_latest_id_and_prefix(world: World) {
    let ledger = &world.ledger;
    assert!(ledger.find_run("latest").await.expect("finds").is_none());
    let first = ledger.create_run(RunKind::Copy, &spec("one")).await.expect("a run").id;
    let second = ledger.create_run(RunKind::Copy, &spec("two")).await.expect("a run").id;
    let find = async |text: &str| ledger.find_run(text).await.expect("finds").map(|run| run.id);
    assert_eq!(find("latest").await, Some(second));
    assert_eq!(find(&first.to_string()).await, Some(first));
    let (a, b) = (first.to_string(), second.to_string());
    let differ = a.bytes().zip(b.bytes()).position(|(x, y)| x != y).expect("two ids");
    assert_eq!(find(&a[..=differ]).await, Some(first));
    assert_eq!(find(&b[4..=differ]).await, Some(second), "without `run_`");
    for text in ["", "run_", "zzz", "run_zz", "%", "chunk_01"] {
        assert_eq!(find(text).await, None, "{text:?}");
    }
    let shared = ledger.find_run(&a[..differ]).await.expect_err("two runs begin so");
    assert_eq!(shared.kind, ErrorKind::Unsupported);
    assert_eq!(ledger.latest_run("one").await.expect("finds").map(|run| run.id), Some(first));
    assert!(ledger.latest_run("ONE").await.expect("finds").is_none());
}

/// As a newer version would leave it, or a careless hand.
async fn damage(world: &World, run: RunId, set: &'static str) {
    let sql = world.ledger.sql(&format!("UPDATE syncline_run SET {set} WHERE id = ?"));
    let damaged = sqlx::query(sql).bind(run.to_string()).execute(&world.ledger.shared.pool).await;
    assert_eq!(damaged.expect("damages").rows_affected(), 1);
}

pub(super) async fn a_run_that_cannot_be_read_hides_no_other(world: World) {
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four", "five", "six"] {
        ids.push(world.ledger.create_run(RunKind::Copy, &spec(name)).await.expect("a run").id);
    }
    let work = world.work_in(ids[4], 0, 1).await;
    damage(&world, ids[1], "spec = '{\"name\":\"two\",\"of\":\"a newer version\"}'").await;
    damage(&world, ids[3], "kind = 'rehearse'").await;
    damage(&world, ids[5], "cause = '[]'").await;
    let sql = world.ledger.sql("UPDATE syncline_table SET plan = '{}', plan_version = 9 WHERE run = ?");
    sqlx::query(sql).bind(work.run.to_string()).execute(&world.ledger.shared.pool).await.expect("damages");
    // Another process has nothing in its cache.
    let ledger = world.other().await;
    for _ in 0..2 {
        let active: Vec<RunId> =
            ledger.active_runs().await.expect("lists").iter().map(|run| run.id).collect();
        assert_eq!(active, [ids[4], ids[2], ids[0]]);
        for (limit, wanted) in [(0, &[][..]), (1, &[4]), (2, &[4, 2]), (3, &[4, 2, 0]), (99, &[4, 2, 0])] {
            let listed: Vec<RunId> =
                ledger.runs(limit).await.expect("lists").iter().map(|run| run.id).collect();
            assert_eq!(listed, wanted.iter().map(|at| ids[*at]).collect::<Vec<_>>(), "{limit}");
        }
    }
    for (at, column) in [(1, "spec"), (3, "kind"), (5, "cause")] {
        let of_id = ledger.run(ids[at]).await.expect_err("unreadable");
        let found = ledger.find_run(&ids[at].to_string()).await.expect_err("unreadable");
        for error in [of_id, found] {
            assert_eq!(error.kind, ErrorKind::Internal);
            assert!(error.source.to_string().contains(&format!("`{column}`")), "{}", error.source);
        }
    }
    assert!(ledger.find_run("latest").await.is_err(), "the latest run is that one and no other");
    assert!(ledger.latest_run("two").await.is_err());
    assert!(ledger.tables(work.run).await.is_err(), "its plan is unreadable, the run is not");
}

pub(super) async fn a_run_that_cannot_be_read_can_be_ended(world: World) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id);
        damage(&world, ids[ids.len() - 1], "spec = 'no JSON'").await;
    }
    let ledger = world.other().await;
    assert!(ledger.finish_run(ids[0], RunState::Done, None).await.expect("ends"));
    assert!(!ledger.finish_run(ids[0], RunState::Failed, None).await.expect("asks"), "it has ended");
    assert!(ledger.request_cancel(ids[1]).await.expect("asks"));
    assert!(ledger.finish_run(ids[1], RunState::Cancelled, None).await.expect("ends"));
    assert!(ledger.halt_run(ids[2], &failure(ErrorKind::Drift)).await.expect("halts"));
    for (id, state) in ids.iter().zip(["done", "cancelled", "failed"]) {
        let sql = world.ledger.sql("SELECT state FROM syncline_run WHERE id = ?");
        let row = sqlx::query(sql).bind(id.to_string()).fetch_one(&world.ledger.shared.pool).await;
        assert_eq!(row.expect("reads").text("state").expect("a state"), state);
    }
}

pub(super) async fn a_halted_run_resumes_where_it_stood(world: World) {
    let work = world.work(3).await;
    let (ledger, run) = (&work.ledger, work.run);
    let claimed = work.claim(work.due().await[0]).await;
    let cause = failure(ErrorKind::Permission);
    assert!(ledger.fail_table(run, 0, TableState::Failed, &cause).await.expect("fails"));
    assert!(!ledger.fail_table(run, 0, TableState::Held, &cause).await.expect("asks"), "it has ended");
    assert!(ledger.halt_run(run, &cause).await.expect("halts"));
    assert!(
        !ledger.halt_run(run, &failure(ErrorKind::Timeout)).await.expect("asks"),
        "the first cause stands"
    );
    work.settle(claimed.chunk.id, claimed.chunk.attempt, &ChunkOutcome::Yielded).await;
    let record = ledger.record(run).await.expect("sums").expect("exists");
    assert_eq!((record.state, record.cause, record.chunks.ready), (RunState::Failed, Some(cause.clone()), 3));
    assert_eq!(record.tables[0].cause, Some(cause));
    assert!(work.due().await.is_empty());
    for _ in 0..2 {
        assert!(ledger.resume_run(run).await.expect("resumes"), "twice is once");
        let record = ledger.record(run).await.expect("sums").expect("exists");
        assert_eq!((record.state, record.cause, record.ended_ms), (RunState::Running, None, None));
        let table = &record.tables[0];
        assert_eq!((table.state, &table.cause, table.ended_ms), (TableState::Working, &None, None));
    }
    assert_eq!(work.due().await.len(), 3);
}

pub(super) async fn a_cancelled_run_resumes_with_all_its_chunks(world: World) {
    let work = world.work(4).await;
    let (ledger, run) = (&work.ledger, work.run);
    let all = work.due().await;
    let finished = work.claim(all[0]).await;
    work.settle(all[0].chunk, finished.chunk.attempt, &done(5)).await;
    let running = work.claim(all[1]).await;
    assert_eq!(ledger.cancel_ready_chunks(run).await.expect("asks"), 0, "nobody asked for it");
    assert!(ledger.request_cancel(run).await.expect("asks"));
    assert!(ledger.request_cancel(run).await.expect("asks"), "twice is once");
    assert_eq!(ledger.cancel_ready_chunks(run).await.expect("cancels"), 2);
    work.settle(all[1].chunk, running.chunk.attempt, &ChunkOutcome::Yielded).await;
    assert_eq!(ledger.cancel_ready_chunks(run).await.expect("cancels"), 1);
    assert!(ledger.finish_run(run, RunState::Cancelled, None).await.expect("ends"));
    let record = ledger.record(run).await.expect("sums").expect("exists");
    assert_eq!((record.chunks.cancelled, record.chunks.done, record.counts.read), (3, 1, 5));
    assert!(ledger.resume_run(run).await.expect("resumes"));
    let resumed = ledger.run(run).await.expect("reads").expect("exists");
    assert_eq!((resumed.state, resumed.cancel_requested), (RunState::Running, false));
    assert_eq!(work.due().await.len(), 3);
    assert_eq!(work.chunk(all[0].chunk).await.chunk.state, ChunkState::Done);
}

pub(super) async fn a_run_with_open_work_cannot_be_done(world: World) {
    let work = world.work(1).await;
    let (ledger, run) = (&work.ledger, work.run);
    let copy = |state| (state, Pass::Copy);
    for end in [RunState::Done, RunState::DoneWithQuarantine] {
        assert!(!ledger.finish_run(run, end, None).await.expect("asks"));
    }
    let claimed = work.claim(work.due().await[0]).await;
    let advance = |from, to| ledger.advance_table(run, 0, copy(from), copy(to));
    assert!(!advance(TableState::Working, TableState::Finishing).await.expect("asks"), "a chunk runs");
    work.settle(claimed.chunk.id, claimed.chunk.attempt, &done(1)).await;
    assert!(!ledger.finish_run(run, RunState::Done, None).await.expect("asks"), "the table is not done");
    assert!(advance(TableState::Working, TableState::Finishing).await.expect("moves"));
    assert!(advance(TableState::Finishing, TableState::Done).await.expect("moves"));
    assert!(ledger.finish_run(run, RunState::Done, None).await.expect("ends"));
}

pub(super) async fn tables_are_added_once(world: World) {
    let ledger = &world.ledger;
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
    let tables: Vec<_> = (0..450).map(new_table).collect();
    ledger.add_tables(run, &tables[..3]).await.expect("adds");
    ledger.add_tables(run, &tables).await.expect("adds again");
    let rows = ledger.tables(run).await.expect("lists");
    assert!(rows.iter().map(|row| row.ordinal).eq(0..450));
    assert_eq!((rows[7].state, &rows[7].plan), (TableState::Pending, &None));
    assert!(ledger.set_plan(run, 7, &plan(), Pass::Verify, Some(42)).await.expect("plans"));
    // Another process has it from the database, this one from its cache.
    for ledger in [&world.other().await, ledger, ledger] {
        let row = ledger.tables(run).await.expect("lists").swap_remove(7);
        assert_eq!((row.state, row.pass, row.rows_estimate), (TableState::Planning, Pass::Verify, Some(42)));
        assert_eq!((row.plan.as_deref(), &row.notes), (Some(&plan()), &plan().notes));
        assert_eq!(ledger.table(run, 7).await.expect("reads"), Some(row));
    }
}

pub(super) async fn tables_move_only_from_where_they_stand(world: World) {
    let ledger = &world.ledger;
    let run = ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
    ledger.add_tables(run, &[new_table(0), new_table(1)]).await.expect("adds");
    assert!(ledger.set_plan(run, 0, &plan(), Pass::Verify, None).await.expect("plans"));
    let at = |state| (state, Pass::Verify);
    let advance = |from, to| ledger.advance_table(run, 0, from, to);
    assert!(!advance(at(TableState::Working), at(TableState::Done)).await.expect("asks"));
    assert!(!advance((TableState::Planning, Pass::Copy), at(TableState::Working)).await.expect("asks"));
    assert!(advance(at(TableState::Planning), at(TableState::Working)).await.expect("moves"));
    assert!(!advance(at(TableState::Planning), at(TableState::Working)).await.expect("asks"), "it has moved");
    ledger.finish_run(run, RunState::Cancelled, None).await.expect("ends");
    let done = advance(at(TableState::Working), at(TableState::Finishing)).await;
    assert!(!done.expect("asks"), "the run has ended");
    let planned = ledger.set_plan(run, 1, &plan(), Pass::Copy, None).await;
    assert!(!planned.expect("asks"), "the run has ended");
}

pub(super) async fn held_tables_wait_for_a_person(world: World) {
    let work = world.work(1).await;
    let (ledger, run) = (&work.ledger, work.run);
    ledger.set_total_rows_target(run, 0, 99).await.expect("stores");
    let cause = failure(ErrorKind::Drift);
    assert!(ledger.fail_table(run, 0, TableState::Held, &cause).await.expect("holds"));
    assert!(!ledger.fail_table(run, 0, TableState::Done, &cause).await.expect("asks"), "that is no failure");
    let row = ledger.table(run, 0).await.expect("reads").expect("exists");
    assert_eq!((row.state, row.total_rows_target, row.cause), (TableState::Held, Some(99), Some(cause)));
    let delete = (TableState::Planning, Pass::Delete);
    assert!(ledger.release_table(run, 0, delete).await.expect("releases"));
    assert!(!ledger.release_table(run, 0, delete).await.expect("asks"));
    let row = ledger.table(run, 0).await.expect("reads").expect("exists");
    assert_eq!((row.state, row.pass, row.cause), (delete.0, delete.1, None));
}

pub(super) async fn notes_are_kept_once(world: World) {
    let work = world.work(1).await;
    for note in ["collations differ", "index i was not built", "index i was not built", "ünïcode \u{0}"] {
        work.ledger.add_note(work.run, 0, note).await.expect("notes");
    }
    work.ledger.add_note(work.run, 77, "nowhere").await.expect("no such table");
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!(record.tables[0].notes, ["collations differ", "index i was not built", "ünïcode \u{0}"]);
}

pub(super) async fn events_are_numbered_in_the_order_they_appear(world: World) {
    let run = world.ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
    let mut set = JoinSet::new();
    for writer in 0..4 {
        let ledger = world.other().await;
        set.spawn(async move {
            for n in 0..10 {
                ledger
                    .event(run, Some(1), None, "test", &json!({ "by": writer, "n": n }))
                    .await
                    .expect("records");
            }
        });
    }
    // A reader that goes on after the highest it has seen misses none.
    let (mut after, mut seen) = (0, 0);
    while seen < 41 {
        for event in world.ledger.events(run, after, 5).await.expect("lists") {
            assert!(event.seq > after);
            (after, seen) = (event.seq, seen + 1);
        }
    }
    set.join_all().await;
    assert!(world.ledger.events(run, after, 5).await.expect("lists").is_empty());
    let latest = world.ledger.last_event().await.expect("a number");
    assert!(latest >= after && world.ledger.events(None, latest, 5).await.expect("lists").is_empty());
    let first = &world.ledger.events(run, 0, 2).await.expect("lists");
    assert_eq!((first[0].kind.as_str(), first[0].table), ("run-created", None));
    assert_eq!((first[1].kind.as_str(), first[1].table), ("test", Some(1)));
}

pub(super) async fn workers_come_and_go(world: World) {
    let work = world.work(2).await;
    let (ledger, me) = (&work.ledger, worker("w"));
    assert!(!ledger.beat_worker(&me).await.expect("beats"), "unknown");
    for _ in 0..2 {
        ledger.register_worker(&me, "host", 4_000_000_000, "0.1.0", 4).await.expect("registers");
    }
    assert!(ledger.beat_worker(&me).await.expect("beats"));
    work.claim(work.due().await[0]).await;
    let all = ledger.workers().await.expect("lists");
    assert_eq!((all.len(), all[0].pid, all[0].running, all[0].retired_ms), (1, 4_000_000_000, 1, None));
    assert!(ledger.retire_worker(&me).await.expect("retires"));
    assert!(!ledger.retire_worker(&me).await.expect("retires"));
    assert!(!ledger.beat_worker(&me).await.expect("beats"), "it has retired");
}
