//! C: the ledger on another server, away, refusing writes, or older than what the target has seen.

use std::time::Duration;

use harness::database::Database;
use harness::private::{PrivatePostgres, is_root};
use harness::syncline::Background;
use harness::{Server, Syncline, data, oracle, wait_until};
use serde_json::Value;

use crate::bed::{Fleet, ROWS, RUN_MAX};

/// Chunks so small that a run lasts long enough to be met in the middle: four hundred.
const SMALL_CHUNKS: (&str, &str) = ("rows_max: 300", "rows_max: 15");
/// Longer than a lease (2 s) and than what counts as an outage (3 s).
const OUTAGE: Duration = Duration::from_secs(6);
/// Chunks that the two workers of two slots can have in hand.
const IN_HAND: u64 = 4;

/// What coordinators and workers say while it does not answer.
const AWAY: [&str; 5] =
    ["tick failed", "claim failed", "settle failed", "heartbeat failed", "the ledger does not answer"];

async fn on_postgres() -> Fleet {
    fleet(Database::fresh(Server::Postgres).await).await
}

async fn fleet(ledger: Database) -> Fleet {
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").expect("SYNCLINE_TEST_REDIS_URL is not set");
    Fleet::over(ROWS, &redis, ledger, |spec| spec.replace(SMALL_CHUNKS.0, SMALL_CHUNKS.1)).await
}

/// A coordinator and two workers over a ledger on a server of the test's own, in the middle of a run.
async fn under_way(server: &PrivatePostgres) -> (Fleet, String) {
    let mut fleet = fleet(Database::fresh_at(Server::Postgres, &server.url()).await).await;
    let _ = fleet.serve("");
    let _ = fleet.worker("");
    let _ = fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(20).await;
    assert!(fleet.chunks("done").await < 380, "it is met in the middle");
    (fleet, run)
}

/// Waits until every process of the fleet has said that it misses the ledger (O14).
async fn missed(fleet: &Fleet, words: &[&str]) {
    let says = |process: &Background| {
        let log = process.log();
        words.iter().any(|word| log.contains(word))
    };
    wait_until("all miss the ledger", RUN_MAX, async || fleet.serves.iter().chain(&fleet.workers).all(says))
        .await;
}

/// While nothing can be recorded, nothing is written: each row at the target has a receipt, and they do not grow.
async fn writes_nothing(fleet: &Fleet) {
    let rows = "SELECT count(*) FROM customers";
    let receipts = "SELECT COALESCE(sum(JSON_VALUE(receipt, '$.counts.inserted')), 0) FROM _syncline_fence";
    // What was in hand when the ledger went may still be committed, with its receipt.
    let mut before = -1;
    wait_until("nothing is in hand", RUN_MAX, async || {
        let now = fleet.to.number(rows).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::mem::replace(&mut before, now) == now
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(fleet.to.number(rows).await, before, "written while the ledger was away\n{}", fleet.logs());
    assert_eq!(fleet.to.number(receipts).await, before, "rows without a receipt");
    assert!(before < i64::try_from(ROWS).unwrap(), "the run was in the middle");
}

/// The run went on by itself; at most the chunks in hand were tried once more, and none is near its cap.
async fn assert_cheap(mut fleet: Fleet, run: &str) {
    let record = fleet.assert_sound(run).await;
    assert!(record["retries"].as_u64().unwrap() <= IN_HAND, "{record:#}\n{}", fleet.logs());
    let tries = fleet.ledger.number("SELECT max(tries) FROM syncline_chunk").await;
    assert!(tries <= 2, "{tries} tries at one chunk\n{}", fleet.logs());
}

#[tokio::test]
async fn w3_killed_in_mid_write_over_postgres() {
    let mut fleet = on_postgres().await;
    let _ = fleet.serve("");
    let _ = fleet.worker("k3:3=abort");
    let run = fleet.submit();
    fleet.met("k3").await;
    let _ = fleet.worker("");
    let record = fleet.assert_sound(&run).await;
    assert!(record["retries"].as_u64().unwrap() <= 2, "{record:#}");
    assert!(!fleet.workers[0].is_alive(), "it was killed");
}

#[tokio::test]
async fn c6_two_coordinators_over_postgres() {
    let mut fleet = on_postgres().await;
    let _ = fleet.serve("");
    let _ = fleet.serve("");
    let _ = fleet.worker("");
    let _ = fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(5).await;
    // In turn one of them is away and finds what the other has done.
    for serve in 0..2 {
        fleet.serves[serve].signal("STOP");
        let done = fleet.chunks("done").await;
        fleet.some_chunks_are_done((done + 20).min(400)).await;
        fleet.serves[serve].signal("CONT");
    }
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "{record:#}");
}

#[tokio::test]
async fn c8_the_ledger_is_silent_and_comes_back() {
    let server = PrivatePostgres::start().await;
    let (fleet, run) = under_way(&server).await;
    server.freeze();
    tokio::time::sleep(OUTAGE).await;
    writes_nothing(&fleet).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    missed(&fleet, &AWAY).await;
    server.thaw();
    assert_cheap(fleet, &run).await;
}

#[tokio::test]
async fn c8_the_ledger_is_killed_and_started_again() {
    let mut server = PrivatePostgres::start().await;
    let (fleet, run) = under_way(&server).await;
    server.kill();
    missed(&fleet, &AWAY).await;
    tokio::time::sleep(OUTAGE).await;
    writes_nothing(&fleet).await;
    server.restart().await;
    assert_cheap(fleet, &run).await;
}

#[tokio::test]
async fn c8_the_ledger_is_read_only_for_a_while() {
    let server = PrivatePostgres::start().await;
    let (fleet, run) = under_way(&server).await;
    server.exec("ALTER SYSTEM SET default_transaction_read_only = on").await;
    server.exec("SELECT pg_reload_conf()").await;
    missed(&fleet, &["(read-only)"]).await;
    tokio::time::sleep(OUTAGE).await;
    writes_nothing(&fleet).await;
    server.exec("ALTER SYSTEM RESET default_transaction_read_only").await;
    server.exec("SELECT pg_reload_conf()").await;
    assert_cheap(fleet, &run).await;
}

#[tokio::test]
async fn c8_the_disk_of_the_ledger_is_full_for_a_while() {
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let server = PrivatePostgres::start_on_small_disk(96).await;
    let (fleet, run) = under_way(&server).await;
    server.fill_disk();
    missed(&fleet, &["(disk-full)"]).await;
    tokio::time::sleep(OUTAGE).await;
    writes_nothing(&fleet).await;
    server.free_disk();
    assert_cheap(fleet, &run).await;
}

/// One machine, a ledger in a file, and a copy of that file.
struct Alone {
    from: Database,
    to: Database,
    syncline: Syncline,
    spec: String,
}

impl Alone {
    async fn new(rows: u64) -> Self {
        let (from, to) = (Database::fresh(Server::Mariadb).await, Database::fresh(Server::Mariadb).await);
        from.exec(data::CUSTOMERS_MYSQL).await;
        for batch in data::customers(rows, 3, true) {
            from.exec(&batch).await;
        }
        let syncline = Syncline::new(env!("CARGO_BIN_EXE_syncline"));
        let spec =
            syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 30 } }\ntables:\n  - from: customers");
        Self { from, to, syncline, spec }
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.syncline.marks().parent().unwrap().join("ledger.db")
    }

    /// Copies the ledger, or puts the copy back: the file with what SQLite keeps beside it, while no process has it.
    fn copy_ledger(&self, from: &str, to: &str) {
        let place = |name: &str, tail: &str| self.ledger().with_file_name(format!("{name}{tail}"));
        for tail in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(place(to, tail));
            if place(from, tail).exists() {
                std::fs::copy(place(from, tail), place(to, tail)).unwrap();
            }
        }
    }

    fn back_up(&self) {
        self.copy_ledger("ledger.db", "copy.db");
    }

    fn restore(&self) {
        self.copy_ledger("copy.db", "ledger.db");
    }

    /// The refusal: exit 8, and the next step is named.
    fn refused(&self, args: &[&str]) {
        let refused = self.syncline.run(args).expect(8);
        assert!(refused.stderr.contains("SYN-2033"), "{}", refused.stderr);
        assert!(refused.stderr.contains("syncline ledger reconcile"), "{}", refused.stderr);
    }

    /// What `ledger reconcile` says of the one target, and at its end.
    fn reconcile(&self) -> (Value, Value) {
        let done = self.syncline.run(&["ledger", "reconcile", "--json"]).expect(0);
        let lines: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{}", done.stdout);
        assert_eq!((&lines[0]["event"], &lines[1]["event"]), (&"target".into(), &"reconciled".into()));
        (lines[0].clone(), lines[1].clone())
    }

    async fn rows(&self) -> i64 {
        self.to.number("SELECT count(*) FROM customers").await
    }
}

/// A whole run is gone from the ledger, and its turn would be given out again.
#[tokio::test]
async fn c9_a_run_that_the_ledger_has_lost() {
    let alone = Alone::new(300).await;
    let _ = alone.syncline.run(&["run", &alone.spec]).expect(0);
    alone.back_up();
    alone.from.exec("UPDATE customers SET city = 'changed' ORDER BY id LIMIT 10").await;
    let _ = alone.syncline.run(&["run", &alone.spec]).expect(0);
    alone.restore();
    let before = alone.to.text("SELECT max(updated_at) FROM _syncline_fence").await;
    alone.from.exec("UPDATE customers SET city = 'again' ORDER BY id LIMIT 4").await;
    alone.refused(&["run", &alone.spec]);
    alone.refused(&["run", &alone.spec]);
    let after = alone.to.text("SELECT max(updated_at) FROM _syncline_fence").await;
    assert_eq!(before, after, "nothing was written");

    let (target, end) = alone.reconcile();
    assert_eq!(
        (&target["behind"], target["unknown_runs"].as_array().unwrap().len()),
        (&true.into(), 1),
        "{target}"
    );
    assert_eq!((&target["tables_raised"], &end["turn"]), (&1.into(), &target["raised_to"]), "{target} {end}");
    let (target, end) = alone.reconcile();
    assert_eq!((&target["behind"], &end["turn"]), (&false.into(), &Value::Null), "once is enough: {target}");

    let record = alone.syncline.run(&["run", &alone.spec, "--json"]).expect(0).json();
    let counts = &record["record"]["counts"];
    assert_eq!(
        (&counts["read"], &counts["updated"], &counts["inserted"]),
        (&300.into(), &4.into(), &0.into())
    );
    assert_eq!(alone.rows().await, 300, "none lost, none doubled");
    oracle::assert_equal(&alone.from, &alone.to, &["customers"]);
}

/// The ledger is of the middle of a run that went on: chunks would be attempted under numbers that were used.
#[tokio::test]
async fn c9_the_later_part_of_a_run_that_the_ledger_has_lost() {
    let alone = Alone::new(1_500).await;
    let dying =
        |at: &str| alone.syncline.run_with(&[("SYNCLINE_FAILPOINTS", at)], &["run", &alone.spec, "--resume"]);
    let first = alone.syncline.run_with(&[("SYNCLINE_FAILPOINTS", "k7:5=abort")], &["run", &alone.spec]);
    assert_ne!(first.code, Some(0));
    alone.back_up();
    assert_ne!(dying("k7:15=abort").code, Some(0));
    let rows = alone.rows().await;
    assert!(rows > 0 && rows < 1_500, "{rows}");
    alone.restore();

    alone.refused(&["run", &alone.spec, "--resume"]);
    assert_eq!(alone.rows().await, rows, "nothing was written");
    let (target, _) = alone.reconcile();
    assert_eq!(
        (&target["behind"], target["runs_ahead"].as_array().unwrap().len()),
        (&true.into(), 1),
        "{target}"
    );
    // It cannot be resumed: a newer turn holds the table.
    let _ = alone.syncline.run(&["run", &alone.spec, "--resume"]).expect(7);
    let record = alone.syncline.run(&["run", &alone.spec, "--json"]).expect(0).json();
    let counts = &record["record"]["counts"];
    let (inserted, unchanged) = (counts["inserted"].as_i64().unwrap(), counts["unchanged"].as_i64().unwrap());
    assert_eq!((inserted, unchanged), (1_500 - rows, rows), "{counts:#}");
    oracle::assert_equal(&alone.from, &alone.to, &["customers"]);
}

/// The ledger goes back under a fleet at work: whoever meets it first halts the run.
#[tokio::test]
async fn c9_the_ledger_goes_back_under_a_running_fleet() {
    let mut fleet = on_postgres().await;
    let _ = fleet.serve("");
    let _ = fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(150).await;
    // As a restored copy would have it: the last chunks that were done stand where they stood before any attempt.
    fleet
        .ledger
        .exec(
            "BEGIN; LOCK TABLE syncline_chunk, syncline_attempt, syncline_meta; \
             DELETE FROM syncline_attempt; \
             UPDATE syncline_chunk SET state = 'ready', attempt = 0, tries = 0, lease_until = NULL, queued_ms = NULL, \
               due_ms = 0, claim_token = NULL; \
             UPDATE syncline_meta SET n = n - 50 WHERE name = 'event'; \
             DELETE FROM syncline_event WHERE seq > (SELECT n FROM syncline_meta WHERE name = 'event'); COMMIT",
        )
        .await;
    let record = fleet.ended(&run).await;
    assert_eq!(
        (&record["state"], &record["cause"]["kind"]),
        (&"failed".into(), &"ledger-behind".into()),
        "{record:#}"
    );
    let shown = fleet.syncline.run(&["status", &run]);
    assert!(format!("{}{}", shown.stdout, shown.stderr).contains("ledger reconcile"), "{shown:?}");
    fleet.leave().await;
    let _ = fleet.syncline.run(&["ledger", "reconcile"]).expect(0);
    let _ = fleet.syncline.run(&["run", &fleet.spec]).expect(0);
    oracle::assert_equal(&fleet.from, &fleet.to, &["customers"]);
    let twice = "SELECT count(*) FROM (SELECT id FROM witness GROUP BY id HAVING count(*) > 1) AS twice";
    assert_eq!(fleet.to.number(twice).await, 0, "rows written twice");
}
