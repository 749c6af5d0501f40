//! C: a coordinator dies, sleeps, or is one of several.

use std::time::Duration;

use harness::data::Dice;

use crate::bed::{Fleet, ROWS};

/// Killed at one of its steps, another one started: no chunk is missing or doubled (O2), the run ends.
async fn killed_at(point: &str, nth: u32) {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve(&format!("{point}:{nth}=abort"));
    fleet.worker("");
    let run = fleet.submit();
    fleet.met(point).await;
    assert!(!fleet.serves[0].is_alive() || fleet.serves[0].child.wait().is_ok(), "it was killed");
    fleet.serve("");
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["chunks"]["done"], 20, "{record:#}");
    assert_eq!(record["retries"], 0, "no worker died: {record:#}");
    assert_covered(&fleet, &run).await;
}

/// O2: the source's rows in the ranges of the chunks, counted range by range, are all its rows, each once.
async fn assert_covered(fleet: &Fleet, run: &str) {
    let sql = format!("SELECT count(*) FROM syncline_chunk WHERE run = '{run}' AND pass = 'copy'");
    let chunks = fleet.ledger.number(&sql).await;
    let mut counted = 0;
    for place in 0..chunks {
        let bound = async |column: &str| {
            let sql = format!(
                "SELECT CONVERT({column} USING utf8mb4) FROM syncline_chunk WHERE run = '{run}' AND pass = 'copy' \
                 ORDER BY ordinal LIMIT 1 OFFSET {place}"
            );
            // A key is stored as `[{"Int":7}]`.
            let digits =
                |key: String| key.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect::<String>();
            fleet.ledger.text(&sql).await.map(digits)
        };
        let lower = bound("lower_key").await.map_or_else(String::new, |key| format!("AND id >= {key}"));
        let upper = bound("upper_key").await.map_or_else(String::new, |key| format!("AND id < {key}"));
        counted +=
            fleet.from.number(&format!("SELECT count(*) FROM customers WHERE 1 {lower} {upper}")).await;
    }
    assert_eq!(counted, i64::try_from(fleet.rows).unwrap(), "rows in {chunks} chunks");
}

#[tokio::test]
async fn c1_killed_before_the_plan() {
    killed_at("r1", 1).await;
}

#[tokio::test]
async fn c1_killed_while_cutting() {
    killed_at("r2", 2).await;
}

#[tokio::test]
async fn c2_killed_before_anything_is_queued() {
    killed_at("r3", 1).await;
}

#[tokio::test]
async fn c2_killed_while_queueing() {
    killed_at("r4", 1).await;
}

#[tokio::test]
async fn c3_killed_between_settle_and_roll_up() {
    killed_at("r5", 1).await;
}

#[tokio::test]
async fn c3_killed_before_the_table_is_finished() {
    killed_at("r6", 1).await;
}

/// Two coordinators over one ledger, stopped and let go on in turn: nothing is planned, cut or counted twice.
#[tokio::test]
async fn c6_two_coordinators_stopped_in_turn_do_no_harm() {
    let mut fleet = Fleet::new(2 * ROWS).await;
    fleet.serve("");
    fleet.serve("");
    fleet.worker("");
    let runs = [fleet.submit()];
    for n in 0..10 {
        let asleep = &fleet.serves[n % 2];
        asleep.signal("STOP");
        tokio::time::sleep(Duration::from_millis(300)).await;
        asleep.signal("CONT");
    }
    let record = fleet.assert_sound(&runs[0]).await;
    assert_eq!(record["chunks"]["done"], 40, "{record:#}");
    assert_eq!(record["retries"], 0, "{record:#}");
    assert_covered(&fleet, &runs[0]).await;
}

/// Both coordinators are killed in turn, and started again: the run is not lost.
#[tokio::test]
async fn c6_either_of_two_coordinators_may_be_killed() {
    let mut fleet = Fleet::new(2 * ROWS).await;
    fleet.serve("");
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(2).await;
    fleet.serves[0].kill();
    fleet.some_chunks_are_done(12).await;
    fleet.serve("");
    fleet.serves[1].kill();
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["chunks"]["done"], 40, "{record:#}");
    assert_covered(&fleet, &run).await;
}

/// Pause, resume and cancel in any order, twice, by two people at once: every press does what the diagram says or is
/// refused, and the run can always be brought to its end.
#[tokio::test]
async fn c11_pause_resume_and_cancel_in_any_order() {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    let mut dice = Dice::new(11);
    for _ in 0..40 {
        let press = |dice: &mut Dice| dice.pick(&["pause", "resume", "cancel", "pause", "resume"]).to_owned();
        let (one, other) = (press(&mut dice), press(&mut dice));
        let both = [one, other].map(|word| fleet.syncline.start(&word, &[&word, &run]));
        for mut command in both {
            let code = command.child.wait().unwrap().code();
            assert!(matches!(code, Some(0 | 7)), "{code:?}: {}", command.log());
        }
        let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
        let state = fleet.ledger.text(&state).await.unwrap();
        assert!(["running", "cancelled", "done"].contains(&state.as_str()), "{state}");
        if state == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(120))).await;
    }
    let _ = fleet.syncline.run(&["resume", &run]);
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "giving back costs no attempt: {record:#}");
}

/// A pause is heeded within a heartbeat, holds over restarts of everything, and costs nothing.
#[tokio::test]
async fn c11_a_pause_outlives_every_process() {
    let mut fleet = Fleet::new(8 * ROWS).await;
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(3).await;
    let _ = fleet.syncline.run(&["pause", &run]).expect(0);
    harness::wait_until("what was in hand is given back", Duration::from_secs(10), async || {
        fleet.chunks("running").await == 0
    })
    .await;
    let done = fleet.chunks("done").await;
    let shown = fleet.syncline.run(&["status", &run]).expect(0);
    assert!(shown.stdout.contains("paused"), "{}", shown.stdout);
    fleet.serves[0].kill();
    fleet.workers[0].kill();
    fleet.serve("");
    fleet.worker("");
    let workers = "SELECT count(*) FROM syncline_worker";
    harness::wait_until("both are back", Duration::from_secs(20), async || {
        fleet.ledger.number(workers).await == 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.chunks("done").await, done, "nothing was done in the pause");
    let _ = fleet.syncline.run(&["resume", &run]).expect(0);
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "{record:#}");
}
