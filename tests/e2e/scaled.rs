//! Scaled out: `serve` and three `worker` processes over Redis and a shared ledger.

use std::time::Duration;

use harness::database::Database;
use harness::{Server, data, oracle, wait_until};

use crate::syncline;

const ROWS: u64 = 30_000;

/// Redis and a ledger of this test's own.
fn redis() -> String {
    std::env::var("SYNCLINE_TEST_REDIS_URL").expect("SYNCLINE_TEST_REDIS_URL is not set: run `make servers`")
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_delays_only_its_chunks() {
    let (from, to) = (Database::fresh(Server::Mariadb).await, Database::fresh(Server::Mariadb).await);
    let ledger = Database::fresh(Server::Mariadb).await;
    from.exec(data::CUSTOMERS_MYSQL).await;
    for batch in data::customers(ROWS, 3, true) {
        from.exec(&batch).await;
    }
    let syncline = syncline()
        .with("SYNCLINE_LEDGER", &ledger.url)
        .with("SYNCLINE_REDIS", redis())
        .with("SYNCLINE_QUEUE_KEY", "0123456789abcdef0123456789abcdef");
    let spec =
        syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 500 } }\ntables:\n  - from: customers");

    let mut serve = syncline.start("serve", &["serve"]);
    let mut workers: Vec<_> = (0..3)
        .map(|n| syncline.start(&format!("worker{n}"), &["worker", "--concurrency", "2", "--lease", "2s"]))
        .collect();
    let run = syncline.run(&["run", &spec, "--detach"]).expect(0).stdout.trim().to_owned();
    assert!(run.starts_with("run_"), "{run}");
    let twice = syncline.run(&["run", &spec, "--detach"]).expect(7);
    assert!(twice.stderr.contains(&run), "{}", twice.stderr);

    let done = "SELECT count(*) FROM syncline_chunk WHERE state = 'done'";
    wait_until("some chunks are done", Duration::from_secs(60), async || ledger.number(done).await >= 5)
        .await;
    workers[0].kill();
    let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
    wait_until("the run ends", Duration::from_secs(120), async || {
        ledger.text(&state).await.as_deref() != Some("running")
    })
    .await;

    let record = syncline.run(&["show", &run, "--json"]).expect(0).json();
    assert_eq!(record["record"]["state"], "done", "{record:#}\n{}\n{}", serve.log(), workers[1].log());
    assert_eq!(record["record"]["counts"]["read"], ROWS);
    assert_eq!(record["record"]["counts"]["inserted"], ROWS);
    oracle::assert_equal(&from, &to, &["customers"]);
    // No more chunks were tried twice than the dead worker can have held.
    assert!(record["record"]["retries"].as_u64().unwrap() <= 2, "{record:#}");

    for worker in &mut workers[1..] {
        assert_eq!(worker.terminate(), Some(0), "a drained worker exits 0: {}", worker.log());
    }
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
}
