//! W: a worker dies, sleeps, hangs or is too many.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::data::Dice;
use harness::proxy::{Act, After, Dir, Proxy, Rule};
use harness::wait_until;

use crate::bed::{Fleet, ROWS, RUN_MAX};

/// Killed at one of its steps: taken over by another, at the cost of at most the chunks it held (O13). How long the run
/// took from there.
async fn killed_at(point: &str) -> Duration {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    fleet.worker(&format!("{point}:3=abort"));
    let run = fleet.submit();
    fleet.met(point).await;
    let died_ms = fleet.ledger.number("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)").await;
    fleet.worker("");
    let record = fleet.assert_sound(&run).await;
    assert!(record["retries"].as_u64().unwrap() <= 2, "{record:#}");
    assert!(!fleet.workers[0].is_alive(), "it was killed");
    let ended_ms = record["ended_ms"].as_i64().unwrap();
    Duration::from_millis(u64::try_from(ended_ms - died_ms).unwrap())
}

#[tokio::test]
async fn w1_killed_before_the_claim() {
    // What it had fetched comes back when the queue's claim ends: with the lease of 2 s, and a look a second.
    let took = killed_at("k0").await;
    // The queue holds a job for a lease, not for the half minute it would without one.
    assert!(took < Duration::from_secs(25), "the whole rest of the run took {took:?}");
}

#[tokio::test]
async fn w1_killed_before_reading() {
    killed_at("k1").await;
}

#[tokio::test]
async fn w2_killed_while_reading() {
    killed_at("k2").await;
}

#[tokio::test]
async fn w3_killed_in_mid_write() {
    killed_at("k3").await;
}

#[tokio::test]
async fn w4_killed_after_commit() {
    killed_at("k4").await;
}

#[tokio::test]
async fn w4_killed_before_verify() {
    killed_at("k5").await;
}

#[tokio::test]
async fn w4_killed_before_settle() {
    killed_at("k6").await;
}

#[tokio::test]
async fn w5_killed_before_the_acknowledgement() {
    killed_at("k7").await;
}

/// Asked to end at random times: it gives back or finishes what it holds, and no attempt is burnt.
#[tokio::test]
async fn w6_sigterm_at_any_time_costs_no_attempt() {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    let run = fleet.submit();
    let mut dice = Dice::new(6);
    for twice in [false, true, false, true, false, true, false, true] {
        fleet.worker("");
        let worker = fleet.workers.last_mut().unwrap();
        wait_until("it has started", RUN_MAX, async || worker.log().contains("worker started")).await;
        tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
        let asked = Instant::now();
        if twice {
            worker.signal("TERM");
        }
        assert_eq!(worker.terminate(), Some(0), "{}", worker.log());
        assert!(asked.elapsed() < Duration::from_secs(30));
    }
    let running = "SELECT count(*) FROM syncline_chunk WHERE state = 'running'";
    assert_eq!(fleet.ledger.number(running).await, 0, "everything was given back");
    fleet.worker("");
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "{record:#}");
}

/// Stopped by `kill -STOP` at one of its steps for ten leases, then let go on: its chunk is another's by then, and
/// nothing of it is in the target, the receipts or the counters. The triggers at the target are the witness.
async fn zombie_at(point: &str, is_inside: bool) {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    fleet.worker_with(
        &[("SYNCLINE_FAILPOINTS", &format!("{point}:2=stop"))],
        &["--concurrency", "1", "--lease", "2s"],
    );
    let run = fleet.submit();
    fleet.met(point).await;
    let stopped = Instant::now();
    fleet.worker("");
    if is_inside {
        // The zombie holds its locks: its chunk is tried again until the server has ended the idle session.
        wait_until("all other chunks are done", RUN_MAX, async || fleet.chunks("done").await >= 19).await;
    } else {
        fleet.ended(&run).await;
    }
    let ten_leases = Duration::from_secs(20);
    tokio::time::sleep(ten_leases.saturating_sub(stopped.elapsed())).await;
    let before = fleet.to.number("SELECT count(*) FROM witness").await;
    fleet.workers[0].signal("CONT");
    wait_until("the zombie notices", Duration::from_secs(30), async || {
        let log = fleet.workers[0].log();
        log.contains("lease lost") || log.contains("fenced") || log.contains("settle refused")
    })
    .await;
    if !is_inside {
        assert_eq!(fleet.to.number("SELECT count(*) FROM witness").await, before, "the zombie wrote");
    }
    fleet.assert_sound(&run).await;
}

#[tokio::test]
async fn w7_zombie_before_reading() {
    zombie_at("k1", false).await;
}

#[tokio::test]
async fn w7_zombie_after_commit() {
    zombie_at("k4", false).await;
}

#[tokio::test]
async fn w7_zombie_before_verify() {
    zombie_at("k5", false).await;
}

#[tokio::test]
async fn w7_zombie_before_settle() {
    zombie_at("k6", false).await;
}

#[tokio::test]
async fn w8_zombie_inside_its_transaction_while_reading() {
    zombie_at("k2", true).await;
}

#[tokio::test]
async fn w8_zombie_inside_its_transaction_after_writing() {
    zombie_at("k3", true).await;
}

/// The conversion of one row panics: that row is set aside, the process lives, all others arrive.
#[tokio::test]
async fn w10_a_panic_in_a_conversion_quarantines_the_row() {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    fleet.worker("convert:1234=panic");
    let run = fleet.submit();
    let record = fleet.ended(&run).await;
    fleet.met("convert").await;
    assert_eq!(record["state"], "done-with-quarantine", "{record:#}");
    assert_eq!(record["counts"]["read"], ROWS);
    assert_eq!(record["counts"]["inserted"], ROWS - 1);
    assert_eq!(record["counts"]["quarantined"], 1);
    assert_eq!(record["retries"], 0, "{record:#}");
    assert!(fleet.workers[0].is_alive(), "{}", fleet.workers[0].log());
    let listed = fleet.syncline.run(&["quarantine", "list", &run]).expect(0);
    assert!(listed.stdout.contains("internal"), "{}", listed.stdout);
    fleet.leave().await;
}

/// A chunk that kills whoever touches it is set aside after three deaths; the others are done.
#[tokio::test]
async fn w12_a_poison_chunk_is_quarantined_after_three_deaths() {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    let run = fleet.submit();
    let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
    let started = Instant::now();
    while fleet.ledger.text(&state).await.as_deref() == Some("running") {
        assert!(started.elapsed() < RUN_MAX, "{}", fleet.logs());
        if !fleet.workers.last_mut().is_some_and(|worker| worker.is_alive()) {
            fleet.worker_with(
                &[("SYNCLINE_FAILPOINTS", "k2@7=abort")],
                &["--concurrency", "1", "--lease", "2s"],
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let record = fleet.ended(&run).await;
    fleet.met("k2").await;
    assert_eq!(record["state"], "done-with-quarantine", "{record:#}");
    assert_eq!(record["chunks"]["quarantined"], 1);
    assert_eq!(record["chunks"]["done"], 19);
    assert_eq!(record["counts"]["read"], ROWS - 300);
    let shown = fleet.syncline.run(&["show", &run, "--state", "quarantined"]).expect(0);
    assert!(shown.stdout.contains("3 workers died"), "{}", shown.stdout);

    // The cause is gone: a retry does what is missing, and nothing else.
    let _ = fleet.syncline.run(&["retry", &run]).expect(0);
    fleet.worker("");
    fleet.assert_sound(&run).await;
}

/// An attempt that hangs while its heart beats is given up, and done by another.
#[tokio::test]
async fn w13_an_attempt_without_progress_is_given_up() {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    fleet.worker_with(
        &[("SYNCLINE_FAILPOINTS", "k3:4=hang")],
        &["--concurrency", "2", "--lease", "2s", "--stuck-after", "3s"],
    );
    let run = fleet.submit();
    fleet.met("k3").await;
    let record = fleet.assert_sound(&run).await;
    fleet.met("stuck").await;
    assert_eq!(record["retries"], 1, "{record:#}");
}

/// Every worker restarts every two seconds for a while: the run ends after it, and yields exhaust no attempts.
#[tokio::test]
async fn w14_a_restart_storm_only_delays() {
    let mut fleet = Fleet::new(2 * ROWS).await;
    fleet.serve("");
    let run = fleet.submit();
    for n in 0..6 {
        fleet.worker("");
        fleet.worker("");
        tokio::time::sleep(Duration::from_millis(700)).await;
        // Half of them are asked, half are killed.
        for worker in fleet.workers.iter_mut().rev().take(2) {
            if n % 2 == 0 {
                assert_eq!(worker.terminate(), Some(0), "{}", worker.log());
            } else {
                worker.kill();
            }
        }
    }
    fleet.worker("");
    fleet.worker("");
    fleet.assert_sound(&run).await;
}

/// Connections to Redis are reset while chunks are under way: those finish and settle, and fetching goes on.
#[tokio::test]
async fn w9_a_reset_queue_connection_costs_no_attempt() {
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").unwrap();
    let proxy = Proxy::to(redis.trim_start_matches("redis://").trim_end_matches('/'));
    let through = format!("redis://{}/", proxy.address);
    let mut fleet = Fleet::on(2 * ROWS, &through, |spec| spec).await;
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(2).await;
    let mut hits = Vec::new();
    for _ in 0..5 {
        hits.push(proxy.add(Rule::new(Dir::ToClient, After::Bytes(1), Act::Rst).times(4)));
        tokio::time::sleep(Duration::from_millis(400)).await;
        proxy.heal();
    }
    let record = fleet.assert_sound(&run).await;
    assert!(hits.iter().any(|hit| hit.count() > 0), "no connection was reset");
    assert_eq!(record["retries"], 0, "{record:#}");
}

/// A cgroup of its own with little memory; gone when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn with_memory(bytes: u64) -> Self {
        let path = PathBuf::from(format!("/sys/fs/cgroup/memory/syncline-test-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a memory cgroup: this test needs root");
        fs::write(path.join("memory.limit_in_bytes"), bytes.to_string()).unwrap();
        // Swap would only delay it; where there is none the file is missing.
        let _ = fs::write(path.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        Self(path)
    }

    fn kills(&self) -> u64 {
        let control = fs::read_to_string(self.0.join("memory.oom_control")).unwrap();
        control.lines().find_map(|l| l.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Rows too wide for a worker's memory: the kernel kills it, again and again; that chunk is set aside after three
/// deaths and says so, and all others are done.
#[tokio::test]
async fn w11_a_worker_out_of_memory_costs_its_chunk_only() {
    let mut fleet = Fleet::new(ROWS).await;
    for side in [&fleet.from, &fleet.to] {
        side.exec("ALTER TABLE customers MODIFY notes LONGTEXT").await;
    }
    fleet
        .from
        .exec(
            "UPDATE customers SET notes = REPEAT('wide', 3500000) WHERE id IN \
            (SELECT id FROM (SELECT id FROM customers ORDER BY id LIMIT 6 OFFSET 4000) AS some)",
        )
        .await;
    let small = Cgroup::with_memory(64 << 20);
    fleet.serve("");
    let run = fleet.submit();
    let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
    let started = Instant::now();
    while fleet.ledger.text(&state).await.as_deref() == Some("running") {
        assert!(started.elapsed() < RUN_MAX, "{}", fleet.logs());
        if !fleet.workers.last_mut().is_some_and(|worker| worker.is_alive()) {
            let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
            let prefix = ["sh", "-c", enter, small.0.to_str().unwrap()];
            let name = format!("worker{}", fleet.workers.len());
            let args = ["worker", "--concurrency", "1", "--lease", "2s"];
            fleet.workers.push(fleet.syncline.start_under(&prefix, &name, &[], &args));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let record = fleet.ended(&run).await;
    assert!(small.kills() >= 3, "the kernel killed {} times", small.kills());
    assert_eq!(record["state"], "done-with-quarantine", "{record:#}");
    assert_eq!(record["chunks"]["quarantined"], 1, "{record:#}");
    assert_eq!(record["chunks"]["done"], 19, "{record:#}");
    let shown = fleet.syncline.run(&["show", &run, "--state", "quarantined"]).expect(0);
    assert!(shown.stdout.contains("3 workers died"), "{}", shown.stdout);
    fleet.leave().await;
}

/// The disk of a worker's host is full, so that not a line of its log can be written: it works on.
#[tokio::test]
async fn w16_a_full_disk_for_logs_stops_no_worker() {
    let mut fleet = Fleet::new(ROWS).await;
    fleet.serve("");
    let worker = ["worker", "--concurrency", "2", "--lease", "2s"];
    // Every write to it fails with ENOSPC.
    let prefix = ["sh", "-c", "exec \"$@\" >/dev/full 2>&1", "sh"];
    fleet.workers.push(fleet.syncline.start_under(&prefix, "full", &[("SYNCLINE_LOG", "debug")], &worker));
    let run = fleet.submit();
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "{record:#}");
}
