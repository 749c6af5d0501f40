//! Pipelines of `serve`: each due time makes one run, and neither a schedule nor a pause is lost, whenever it is killed.

use std::process::Command;
use std::time::Duration;

use harness::receiver::Receiver;
use harness::{Database, Server, Syncline, oracle, wait_until};
use serde_json::Value;

use crate::disk::Disk;

/// Longest wait for a run of two rows.
const SOON: Duration = Duration::from_secs(60);

struct Bed {
    from: Database,
    to: Database,
    syncline: Syncline,
    spec: String,
}

async fn bed(schedule: &str) -> Bed {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
        .await;
    let syncline = Syncline::new(env!("CARGO_BIN_EXE_syncline"));
    let spec = syncline.spec(&from, &to, &format!("schedule: {schedule}\ntables: [{{ from: t }}]"));
    Bed { from, to, syncline, spec }
}

impl Bed {
    fn serve(&self, name: &str, failpoints: &str) -> harness::syncline::Background {
        let args = ["serve", &self.spec, "--workers", "2", "--lease", "1s"];
        self.syncline.start_with(name, &[("SYNCLINE_FAILPOINTS", failpoints)], &args)
    }

    /// Runs of the ledger by state.
    fn runs(&self, state: &str) -> usize {
        let listed = self.syncline.run(&["runs", "--json", "--limit", "1000"]);
        let lines = listed.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == "run" && (state == "any" || line["state"] == state)).count()
    }

    fn pipeline(&self) -> Value {
        self.syncline.run(&["pipelines", "--json"]).expect(0).json()
    }

    async fn until_done(&self, runs: usize) {
        wait_until("the runs are done", SOON, async || self.runs("done") >= runs).await;
    }
}

/// 4-03: from start to start; changed, paused, triggered and resumed while it runs.
#[tokio::test]
async fn s4_03_a_pipeline_heeds_its_interval_and_a_person() {
    let bed = bed("1s").await;
    let mut serve = bed.serve("serve", "");
    bed.until_done(3).await;
    oracle::assert_equal(&bed.from, &bed.to, &["t"]);

    let _ = bed.syncline.run(&["pipelines", "pause", "test"]).expect(0);
    wait_until("nothing is under way", SOON, async || bed.runs("running") == 0).await;
    let before = bed.runs("any");
    let refused = bed.syncline.run(&["pipelines", "trigger", "test"]);
    assert!(refused.stderr.contains("is paused") && refused.code == Some(7), "{}", refused.stderr);
    bed.from.exec("INSERT INTO t VALUES (3, 'c')").await;
    tokio::time::sleep(Duration::from_secs(3)).await; // Three starts that must not be.
    assert_eq!(bed.runs("any"), before);

    let _ = bed.syncline.run(&["pipelines", "interval", "test", "1h"]).expect(0);
    let _ = bed.syncline.run(&["pipelines", "resume", "test"]).expect(0);
    let triggered = bed.syncline.run(&["pipelines", "trigger", "test"]).expect(0);
    assert!(triggered.stdout.starts_with("run_"), "{}", triggered.stdout);
    bed.until_done(before + 1).await;
    oracle::assert_equal(&bed.from, &bed.to, &["t"]);
    let found = bed.pipeline();
    let (next, last) = (&found["next_ms"], &found["last_start_ms"]);
    assert_eq!(next.as_i64().zip(last.as_i64()).map(|(next, last)| next - last), Some(3_600_000), "{found}");

    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
    let mut again = bed.serve("again", "");
    wait_until("it is registered", SOON, async || again.log().contains("pipeline registered")).await;
    assert_eq!(bed.pipeline()["interval_set_s"], 3_600, "what a person has set wins over the file");
    assert_eq!(again.terminate(), Some(0), "{}", again.log());
    assert_eq!(bed.runs("any"), before + 1);
}

/// Killed before a due run is made, and after: one run, which the next `serve` ends.
#[tokio::test]
async fn a_kill_at_the_start_of_a_run_loses_none_and_doubles_none() {
    for point in ["p1:1=abort", "p2:1=abort"] {
        let bed = bed("1h").await;
        let mut serve = bed.serve("serve", point);
        wait_until("it is killed", SOON, async || !serve.is_alive()).await;
        assert!(bed.runs("done") == 0, "{point}");
        let mut again = bed.serve("again", "");
        bed.until_done(1).await;
        assert_eq!(bed.runs("any"), 1, "{point}");
        oracle::assert_equal(&bed.from, &bed.to, &["t"]);
        let found = bed.pipeline();
        assert_eq!(found["last_state"], "done", "{found}");
        assert!(found["next_ms"].as_i64() > found["last_start_ms"].as_i64(), "{found}");
        again.kill();
    }
}

#[tokio::test]
async fn a_pause_outlives_the_process() {
    let bed = bed("1s").await;
    let mut serve = bed.serve("serve", "");
    bed.until_done(1).await;
    let _ = bed.syncline.run(&["pipelines", "pause", "test"]).expect(0);
    serve.kill();
    let before = bed.runs("any");
    let mut again = bed.serve("again", "");
    wait_until("it is registered", SOON, async || again.log().contains("pipeline registered")).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // Three starts that must not be.
    assert_eq!(bed.runs("any"), before);
    assert!(bed.pipeline()["paused_ms"].is_i64());
    again.kill();
}

/// 4-13: what no retry can heal pauses the pipeline and says why; once mended and resumed, it goes on.
#[tokio::test]
async fn s4_13_a_critical_error_pauses_the_pipeline() {
    let bed = bed("1s").await;
    let mut serve = bed.serve("serve", "");
    bed.until_done(1).await;
    bed.from.exec("ALTER TABLE t RENAME TO elsewhere").await;
    wait_until("it is paused", SOON, async || bed.pipeline()["paused_ms"].is_i64()).await;
    let found = bed.pipeline();
    assert_eq!(found["cause"]["kind"], "unknown-table", "{found}");
    assert!(serve.log().contains("the pipeline is paused"), "{}", serve.log());
    bed.from.exec("ALTER TABLE elsewhere RENAME TO t; INSERT INTO t VALUES (3, 'c')").await;
    let done = bed.runs("done");
    let _ = bed.syncline.run(&["pipelines", "resume", "test"]).expect(0);
    bed.until_done(done + 1).await;
    oracle::assert_equal(&bed.from, &bed.to, &["t"]);
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
}

/// 4-23: a target whose disk is full is told of once, and neither stormed nor given up: the rows come when there is room.
#[tokio::test]
async fn s4_23_a_full_target_is_waited_for() {
    let slack = Receiver::new();
    let from = Database::fresh(Server::Sqlite).await;
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)").await;
    let disk = Disk::new("12M");
    let syncline = Syncline::new(env!("CARGO_BIN_EXE_syncline")).with("CANARY_SLACK", &slack.url);
    let spec = syncline.dir.path().join("full.yaml").display().to_string();
    let target = disk.folder().join("to.db").display().to_string();
    let text = format!(
        "version: 1\nname: test\nsource: {}\ntarget: sqlite:{target}\nschedule: 2s\n\
         alerts: [{{ slack: \"${{env:CANARY_SLACK}}\" }}]\ntables: [{{ from: t }}]\n",
        from.spec()
    );
    std::fs::write(&spec, text).unwrap();
    let to = Database::fresh(Server::Sqlite).await;
    let bed = Bed { from, to, syncline, spec };
    let mut serve = bed.serve("serve", "");
    bed.until_done(1).await;
    disk.fill();
    let rows = "WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 20000) \
        INSERT INTO t SELECT x, printf('%0100d', x) FROM i";
    bed.from.exec(rows).await;
    wait_until("it was tried again", SOON, async || bed.runs("failed") >= 3).await;
    assert!(serve.log().contains("disk-full"), "{}", serve.log());
    assert!(bed.pipeline()["paused_ms"].is_null(), "nobody has to let it go on");
    assert_eq!(slack.posted().len(), 1, "one incident: {:?}", slack.posted());
    let done = bed.runs("done");
    disk.free();
    bed.until_done(done + 1).await;
    let count = format!(
        "import sqlite3; print(sqlite3.connect('{target}').execute('SELECT count(*) FROM t').fetchone()[0])"
    );
    let there = Command::new("python3").args(["-c", &count]).output().expect("python3");
    assert_eq!(String::from_utf8_lossy(&there.stdout).trim(), "20000");
    let is_over = async || slack.posted().iter().any(|told| told.body.contains("*test* is well again"));
    wait_until("that it is over is told", SOON, is_over).await;
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
}

/// 4-27: drift is looked for by a schedule, told, and not touched.
#[tokio::test]
async fn s4_27_both_sides_are_compared_by_a_schedule() {
    let slack = Receiver::new();
    let mut bed = bed("1h").await;
    bed.syncline = bed.syncline.with("CANARY_SLACK", &slack.url);
    let check = bed.syncline.dir.path().join("check.yaml").display().to_string();
    let (source, target) = (bed.from.spec(), bed.to.spec());
    let alerts = "alerts: [{ slack: \"${env:CANARY_SLACK}\" }]";
    let ends =
        format!("source: {source}\ntarget: {target}\n{alerts}\nschedule: {{ after: test, run: verify }}");
    std::fs::write(&check, format!("version: 1\nname: check\n{ends}\ntables: [{{ from: t }}]\n")).unwrap();
    let args = ["serve", &bed.spec, &check, "--workers", "2", "--listen", "127.0.0.1:0"];
    let serve = bed.syncline.start_with("serve", &[], &args);
    bed.until_done(2).await;

    bed.to.exec("UPDATE t SET v = 'edited' WHERE id = 1; INSERT INTO t VALUES (9, 'stray')").await;
    let _ = bed.syncline.run(&["pipelines", "trigger", "check"]).expect(0);
    wait_until("it is found", SOON, async || bed.runs("done-with-quarantine") == 1).await;
    let latest = bed.syncline.run(&["show", "latest", "--json"]).expect(0).json();
    assert_eq!(
        (&latest["record"]["kind"], &latest["record"]["counts"]["different"]),
        (&"verify".into(), &1.into()),
        "{latest}"
    );
    assert_eq!(latest["record"]["counts"]["extra"], 1, "{latest}");
    assert_eq!(bed.to.rows("t").await, 3, "nothing is mended or deleted");
    let listed = bed.syncline.run(&["pipelines"]).expect(0).stdout;
    assert!(listed.contains("after test: verify"), "{listed}");
    wait_until("it is told", SOON, async || !slack.posted().is_empty()).await;
    let told = slack.posted().remove(0).body;
    assert!(told.contains("*check*: 2 rows are not equal on both sides"), "{told}");

    // The next copy mends what was edited; what stands at the target alone is no business of an upsert.
    bed.to.exec("DELETE FROM t WHERE id = 9").await;
    let _ = bed.syncline.run(&["pipelines", "trigger", "test"]).expect(0);
    bed.until_done(4).await;
    oracle::assert_equal(&bed.from, &bed.to, &["t"]);
    drop(serve);
}

/// 4-28: a workflow. What one run has brought, the next takes on, once, wherever `serve` is killed between them.
#[tokio::test]
async fn s4_28_a_pipeline_runs_after_another() {
    for point in ["", "p1:2=abort", "p2:2=abort"] {
        let bed = bed("1h").await;
        let third = Database::fresh(Server::Sqlite).await;
        let second = bed.syncline.dir.path().join("second.yaml").display().to_string();
        let (source, target) = (bed.to.spec(), third.spec());
        let ends = format!("source: {source}\ntarget: {target}\nschedule: {{ after: test }}");
        std::fs::write(&second, format!("version: 1\nname: second\n{ends}\ntables: [{{ from: t }}]\n"))
            .unwrap();
        let args = ["serve", &bed.spec, &second, "--workers", "2", "--lease", "1s"];
        let mut serve = bed.syncline.start_with("serve", &[("SYNCLINE_FAILPOINTS", point)], &args);
        if !point.is_empty() {
            wait_until("it is killed", SOON, async || !serve.is_alive()).await;
            serve = bed.syncline.start_with("again", &[], &args);
        }
        bed.until_done(2).await;
        oracle::assert_equal(&bed.from, &third, &["t"]);
        let listed = bed.syncline.run(&["pipelines"]).expect(0).stdout;
        assert!(listed.contains("after test"), "{listed}");

        bed.from.exec("INSERT INTO t VALUES (3, 'c')").await;
        let _ = bed.syncline.run(&["pipelines", "trigger", "test"]).expect(0);
        bed.until_done(4).await;
        oracle::assert_equal(&bed.from, &third, &["t"]);

        let circle = std::fs::read_to_string(&bed.spec)
            .unwrap()
            .replace("schedule: 1h", "schedule: { after: second }");
        let path = bed.syncline.dir.path().join("circle.yaml");
        std::fs::write(&path, circle).unwrap();
        let refused = bed.syncline.run(&["serve", &path.display().to_string(), "--workers", "1"]).expect(4);
        assert!(refused.stderr.contains("in a circle: test, second"), "{}", refused.stderr);

        bed.from.exec("ALTER TABLE t RENAME TO gone").await;
        let _ = bed.syncline.run(&["pipelines", "trigger", "test"]).expect(0);
        wait_until("it fails", SOON, async || bed.runs("failed") == 1).await;
        tokio::time::sleep(Duration::from_secs(2)).await; // Looks at the schedule that must find nothing.
        assert_eq!(bed.runs("any"), 5, "{point}");
        serve.kill();
    }
}
