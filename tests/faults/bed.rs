//! A fleet of the test's own, and what every fault test asserts at its end.

use std::time::Duration;

use harness::database::Database;
use harness::syncline::Background;
use harness::{Server, Syncline, data, oracle, wait_until};
use serde_json::Value;

/// Rows of most tests: twenty chunks.
pub(crate) const ROWS: u64 = 6_000;
const SPEC: &str = "defaults: { chunk: { rows_max: 300 } }\ntables:\n  - from: customers";
/// Long enough for any fault here on a busy machine; a run that needs longer hangs.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(120);

/// Source, target and, if a test does not say otherwise, ledger on MariaDB, a queue on Redis, and the processes that a test starts.
pub(crate) struct Fleet {
    pub(crate) from: Database,
    pub(crate) to: Database,
    pub(crate) ledger: Database,
    pub(crate) syncline: Syncline,
    pub(crate) spec: String,
    pub(crate) rows: u64,
    pub(crate) serves: Vec<Background>,
    pub(crate) workers: Vec<Background>,
}

impl Fleet {
    /// Databases with `rows` customers, a table at the target that logs who writes it, no process yet.
    pub(crate) async fn new(rows: u64) -> Self {
        let redis = std::env::var("SYNCLINE_TEST_REDIS_URL")
            .expect("SYNCLINE_TEST_REDIS_URL is not set: run `make servers`");
        Self::on(rows, &redis, |spec| spec).await
    }

    /// As [`Fleet::new`], over the queue at `redis`; `change` may alter the text of the spec before it is written.
    pub(crate) async fn on(rows: u64, redis: &str, change: impl FnOnce(String) -> String) -> Self {
        Self::over(rows, redis, Database::fresh(Server::Mariadb).await, change).await
    }

    /// As [`Fleet::on`], over this ledger.
    pub(crate) async fn over(
        rows: u64,
        redis: &str,
        ledger: Database,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let fresh = async || Database::fresh(Server::Mariadb).await;
        Self::of([fresh().await, fresh().await, ledger], rows, redis, change).await
    }

    /// As [`Fleet::on`], over these: source, target and ledger.
    pub(crate) async fn of(
        [from, to, ledger]: [Database; 3],
        rows: u64,
        redis: &str,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        from.exec(data::CUSTOMERS_MYSQL).await;
        for batch in data::customers(rows, 3, true) {
            from.exec(&batch).await;
        }
        // Committed writes only: the log is in the transaction of the rows.
        to.exec(data::CUSTOMERS_MYSQL).await;
        to.exec(
            "CREATE TABLE witness (seq BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL, what CHAR(1) NOT NULL, \
             session BIGINT NOT NULL, at DATETIME(6) NOT NULL, KEY (id)); \
             CREATE TRIGGER witness_insert AFTER INSERT ON customers FOR EACH ROW \
               INSERT INTO witness (id, what, session, at) VALUES (NEW.id, 'i', CONNECTION_ID(), NOW(6)); \
             CREATE TRIGGER witness_update AFTER UPDATE ON customers FOR EACH ROW \
               INSERT INTO witness (id, what, session, at) VALUES (NEW.id, 'u', CONNECTION_ID(), NOW(6)); \
             CREATE TRIGGER witness_delete AFTER DELETE ON customers FOR EACH ROW \
               INSERT INTO witness (id, what, session, at) VALUES (OLD.id, 'd', CONNECTION_ID(), NOW(6))",
        )
        .await;
        let syncline = Syncline::new(env!("CARGO_BIN_EXE_syncline"))
            .with("SYNCLINE_LEDGER", ledger.service_url())
            .with("SYNCLINE_REDIS", redis)
            .with("SYNCLINE_QUEUE_KEY", "0123456789abcdef0123456789abcdef");
        let spec = syncline.spec(&from, &to, &change(SPEC.to_owned()));
        Self { from, to, ledger, syncline, spec, rows, serves: Vec::new(), workers: Vec::new() }
    }

    /// Starts a coordinator that fails where `failpoints` says (nowhere, if empty).
    pub(crate) fn serve(&mut self, failpoints: &str) -> &mut Background {
        let name = format!("serve{}", self.serves.len());
        let started = self.syncline.start_with(&name, &[("SYNCLINE_FAILPOINTS", failpoints)], &["serve"]);
        self.serves.push(started);
        self.serves.last_mut().unwrap()
    }

    /// Starts a worker of two slots with a lease of 2 s.
    pub(crate) fn worker(&mut self, failpoints: &str) -> &mut Background {
        self.worker_with(&[("SYNCLINE_FAILPOINTS", failpoints)], &["--concurrency", "2", "--lease", "2s"])
    }

    pub(crate) fn worker_with(&mut self, variables: &[(&str, &str)], args: &[&str]) -> &mut Background {
        let name = format!("worker{}", self.workers.len());
        let args: Vec<&str> = ["worker"].into_iter().chain(args.iter().copied()).collect();
        self.workers.push(self.syncline.start_with(&name, variables, &args));
        self.workers.last_mut().unwrap()
    }

    /// Stores a run for the fleet; its id.
    pub(crate) fn submit(&self) -> String {
        let run = self.syncline.run(&["run", &self.spec, "--detach"]).expect(0).stdout.trim().to_owned();
        assert!(run.starts_with("run_"), "{run}");
        run
    }

    pub(crate) async fn chunks(&self, state: &str) -> i64 {
        self.ledger.number(&format!("SELECT count(*) FROM syncline_chunk WHERE state = '{state}'")).await
    }

    pub(crate) async fn some_chunks_are_done(&self, at_least: i64) {
        wait_until("some chunks are done", RUN_MAX, async || self.chunks("done").await >= at_least).await;
    }

    /// Waits for a mark that a failpoint left (O14).
    pub(crate) async fn met(&self, mark: &str) {
        let path = self.syncline.marks().join(mark);
        wait_until(&format!("the fault `{mark}` is met"), RUN_MAX, async || path.exists()).await;
    }

    /// Waits until the run has ended (O7); its record.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
        let end = std::time::Instant::now() + RUN_MAX;
        while self.ledger.text(&state).await.as_deref() == Some("running") {
            assert!(std::time::Instant::now() < end, "the run hangs\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.syncline.run(&["show", run, "--json"]).expect(0).json()["record"].clone()
    }

    /// The last lines of every process.
    pub(crate) fn logs(&self) -> String {
        let tail = |p: &Background| {
            let log = p.log();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        self.serves.iter().chain(&self.workers).map(tail).collect::<Vec<_>>().join("\n--\n")
    }

    /// The end of every fault test: O1, O4, O5, O9. `run` must have ended as `done`.
    pub(crate) async fn assert_sound(&mut self, run: &str) -> Value {
        let record = self.ended(run).await;
        assert_eq!(record["state"], "done", "{record:#}\n{}", self.logs());
        self.assert_equal().await;
        self.assert_counters(run, &record).await;
        self.assert_written_once().await;
        self.leave().await;
        record
    }

    /// O1. Of a million rows the oracle would take minutes: there, the server's own checksum of both tables is compared.
    async fn assert_equal(&self) {
        if self.rows <= 200_000 {
            oracle::assert_equal(&self.from, &self.to, &["customers"]);
            return;
        }
        let checksum = |db: &Database| format!("CHECKSUM TABLE {}.customers", db.name);
        let (from, to) = (checksum(&self.from), checksum(&self.to));
        let second = async |sql: &str| self.to.column(sql, 1).await.expect("a checksum");
        assert_eq!(second(&from).await, second(&to).await, "the tables differ");
    }

    /// O4: record = chunks = receipts = databases.
    async fn assert_counters(&self, run: &str, record: &Value) {
        let rows = i64::try_from(self.rows).unwrap();
        let counts = &record["counts"];
        for name in ["read", "inserted", "matching"] {
            assert_eq!(counts[name], self.rows, "{name}: {record:#}");
        }
        for name in ["updated", "quarantined", "deleted", "different", "missing"] {
            assert_eq!(counts[name], 0, "{name}: {record:#}");
        }
        assert_eq!(record["source_digest"], record["target_digest"], "{record:#}");
        for column in ["c_read", "c_inserted", "c_matching"] {
            let sum =
                format!("SELECT sum({column}) FROM syncline_chunk WHERE run = '{run}' AND pass = 'copy'");
            assert_eq!(self.ledger.number(&sum).await, rows, "{column}");
        }
        let receipts = format!(
            "SELECT sum(JSON_VALUE(receipt, '$.counts.inserted')) FROM _syncline_fence WHERE run = '{run}'"
        );
        assert_eq!(self.to.number(&receipts).await, rows, "the receipts");
        assert_eq!(self.to.number("SELECT count(*) FROM customers").await, rows);
        let open = format!(
            "SELECT count(*) FROM syncline_chunk WHERE run = '{run}' AND state NOT IN ('done', 'quarantined')"
        );
        assert_eq!(self.ledger.number(&open).await, 0, "open chunks");
    }

    /// O5: each row was written by one committed transaction, and each chunk settled by one attempt.
    async fn assert_written_once(&self) {
        let rows = i64::try_from(self.rows).unwrap();
        assert_eq!(self.to.number("SELECT count(*) FROM witness").await, rows, "rows written twice");
        assert_eq!(self.to.number("SELECT count(DISTINCT id) FROM witness").await, rows);
        let twice = "SELECT count(*) FROM (SELECT chunk FROM syncline_attempt WHERE outcome = 'done' \
            GROUP BY chunk HAVING count(*) > 1) AS twice";
        assert_eq!(self.ledger.number(twice).await, 0, "chunks settled twice");
    }

    /// Ends every process as an operator would, then O9: nothing of ours is left open at the databases.
    pub(crate) async fn leave(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.serves) {
            if !process.is_alive() {
                continue;
            }
            assert_eq!(process.terminate(), Some(0), "{}", process.log());
        }
        let names = format!("'{}', '{}', '{}'", self.from.name, self.to.name, self.ledger.name);
        let open = format!(
            "SELECT count(*) FROM information_schema.PROCESSLIST WHERE DB IN ({names}) AND ID <> CONNECTION_ID()"
        );
        wait_until("no connection is left", Duration::from_secs(10), async || {
            self.to.number(&open).await == 0
        })
        .await;
        if self.ledger.server == Server::Postgres {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
            wait_until("no connection to the ledger is left", Duration::from_secs(10), async || {
                self.ledger.number(open).await == 0
            })
            .await;
        }
    }
}
