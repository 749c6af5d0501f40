//! What more workers bring, and what one chunk costs beside its rows. Prints tables; the machine's speed differs from
//! hour to hour, so look at the ratios.
//!
//! `make bench`. The source is slowed down by a proxy (20 ms for each answer), since on one machine everything else would
//! only measure that machine's processors.

#![allow(clippy::print_stdout, reason = "a bench talks to a person")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};

use harness::proxy::{Act, After, Dir, Proxy, Rule};
use harness::{Database, Server, Syncline, wait_until};

const CHUNKS: u64 = 2_000;
const ROWS_PER_CHUNK: u64 = 10;
const SLOW: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(600);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        scaling().await;
        overhead().await;
    });
}

/// A narrow table of as many chunks as there are.
async fn numbers(database: &Database, chunks: u64) {
    let rows = chunks * ROWS_PER_CHUNK;
    database.exec("CREATE TABLE numbers (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL)").await;
    for from in (0..rows).step_by(1_000) {
        let values: Vec<String> =
            (from..(from + 1_000).min(rows)).map(|id| format!("({id}, 'row {id}')")).collect();
        database.exec(&format!("INSERT INTO numbers VALUES {}", values.join(", "))).await;
    }
}

async fn scaling() {
    println!(
        "{CHUNKS} chunks, each answer of the source {} ms late, one chunk at a time per worker:",
        SLOW.as_millis()
    );
    println!("{:>8} {:>9} {:>11} {:>8}", "workers", "seconds", "chunks/s", "times");
    let mut alone = None;
    for workers in [1, 2, 4, 8] {
        let took = fleet(workers).await;
        let alone = *alone.get_or_insert(took);
        println!(
            "{workers:>8} {:>9.1} {:>11.1} {:>8.2}",
            took.as_secs_f64(),
            CHUNKS as f64 / took.as_secs_f64(),
            alone.as_secs_f64() / took.as_secs_f64()
        );
    }
    println!("goal: at least 6 times from 1 to 8\n");
}

/// How long so many workers take for all chunks, once these are cut.
async fn fleet(workers: usize) -> Duration {
    let from = Database::fresh(Server::Mariadb).await;
    let to = Database::fresh(Server::Mariadb).await;
    let ledger = Database::fresh(Server::Mariadb).await;
    numbers(&from, CHUNKS).await;
    let base = Server::Mariadb.place();
    let proxy = Proxy::to(&base);
    let from = from.through(&proxy);
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").expect("run `make servers`");
    let syncline = Syncline::new(harness::oracle::root().join("target/release/syncline"))
        .with("SYNCLINE_LEDGER", &ledger.url)
        .with("SYNCLINE_REDIS", redis)
        .with("SYNCLINE_QUEUE_KEY", "0123456789abcdef0123456789abcdef");
    let spec = syncline.spec(
        &from,
        &to,
        &format!("defaults: {{ chunk: {{ rows_max: {ROWS_PER_CHUNK} }} }}\ntables:\n  - from: numbers"),
    );
    let _serve = syncline.start("serve", &["serve"]);
    let run = syncline.run(&["run", &spec, "--detach"]).expect(0).stdout.trim().to_owned();
    let cut = "SELECT count(*) FROM syncline_table WHERE state = 'working'";
    wait_until("the table is cut", LONG, async || ledger.number(cut).await == 1).await;
    let _hits = proxy.add(Rule::new(
        Dir::ToClient,
        After::Bytes(0),
        Act::Latency { mean: SLOW, jitter: Duration::ZERO },
    ));
    let started = Instant::now();
    let _workers: Vec<_> = (0..workers)
        .map(|n| syncline.start(&format!("worker{n}"), &["worker", "--concurrency", "1"]))
        .collect();
    let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
    wait_until("the run ends", LONG, async || ledger.text(&state).await.as_deref() != Some("running")).await;
    let took = started.elapsed();
    assert_eq!(ledger.text(&state).await.as_deref(), Some("done"));
    took
}

/// What a chunk costs beside its rows, at one worker: on a ledger of each kind.
async fn overhead() {
    const FEW: u64 = 1_000;
    println!("{FEW} chunks of {ROWS_PER_CHUNK} rows, SQLite to SQLite, one worker, one chunk at a time:");
    println!("{:>9} {:>10} {:>10} {:>22}", "ledger", "chunks/s", "ms/chunk", "of it ledger and queue");
    for server in [Server::Sqlite, Server::Mysql, Server::Mariadb, Server::Postgres] {
        let from = Database::fresh(Server::Sqlite).await;
        let to = Database::fresh(Server::Sqlite).await;
        numbers(&from, FEW).await;
        let mut syncline = Syncline::new(harness::oracle::root().join("target/release/syncline"));
        let shared = (server != Server::Sqlite).then_some(Database::fresh(server).await);
        if let Some(ledger) = &shared {
            syncline = syncline.with("SYNCLINE_LEDGER", &ledger.url);
        }
        let spec = syncline.spec(
            &from,
            &to,
            &format!("defaults: {{ chunk: {{ rows_max: {ROWS_PER_CHUNK} }} }}\ntables:\n  - from: numbers"),
        );
        let started = Instant::now();
        let _ = syncline.run(&["run", &spec, "--workers", "1"]).expect(0);
        let wall = started.elapsed().as_secs_f64() * 1_000.0 / FEW as f64;
        let inside = inside(&syncline);
        println!("{server:>9?} {:>10.0} {wall:>10.2} {:>22.2}", 1_000.0 / wall, wall - inside);
    }
    println!("goal: under 5 ms for ledger and queue");
}

/// Milliseconds that a chunk was at work between its claim and its settle, on average.
fn inside(syncline: &Syncline) -> f64 {
    let shown = syncline.run(&["show", "latest", "--table", "numbers", "--json"]).expect(0);
    let spans: Vec<f64> = shown
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|event| Some((event["ended_ms"].as_i64()? - event["started_ms"].as_i64()?) as f64))
        .collect();
    spans.iter().sum::<f64>() / spans.len().max(1) as f64
}
