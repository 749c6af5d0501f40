//! SQL Server to MySQL: a whole run beside the plain driver that only reads the same rows, and a run that is killed with
//! `kill -9` in the middle and resumed. Prints ratios, since the machine's speed differs from hour to hour; with the tests'
//! double as the source, the source is what limits both.
//!
//! `SYNCLINE_BENCH_BILLING=200000 target/release/billing` for a quick look.

#![allow(clippy::print_stdout, reason = "a bench talks to a person")]

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use harness::measure::{Measured, copy_customers, killed_and_resumed, per_second};
use harness::{Database, Server, data, sqlserver};

fn main() {
    let rows = std::env::var("SYNCLINE_BENCH_BILLING").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench(rows));
}

async fn bench(rows: u64) {
    let source = Database::fresh(Server::Sqlserver).await;
    println!("loading {rows} customers into SQL Server ..");
    source.exec(&format!("ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION ON", source.name)).await;
    source.exec(data::CUSTOMERS_SQLSERVER).await;
    for batch in data::customers(rows, 42, false) {
        source.exec(&batch).await;
    }
    let target = Database::fresh(Server::Mysql).await;
    let Measured { wall, peak_kib, .. } = copy_customers(&source, &target, rows);
    let ceiling = read_by_the_driver(&source, rows).await;
    for (what, took) in
        [("rows read by the driver alone", ceiling), ("syncline run, read back and compared", wall)]
    {
        println!("{what:<38}{:7.1} s {:8.0} rows/s", took.as_secs_f64(), per_second(rows, took));
    }
    println!(
        "ratio of speeds: {:.2}   peak memory {} MiB (limit 256)",
        per_second(rows, wall) / per_second(rows, ceiling),
        peak_kib / 1024
    );
    assert!(peak_kib < 256 * 1024, "the memory limit holds");
    drop(target);
    let target = Database::fresh(Server::Mysql).await;
    killed_and_resumed(&source, &target, rows, async || {
        if target.try_exec("SELECT 1 FROM customers LIMIT 1").await {
            u64::try_from(target.rows("customers").await).unwrap_or_default()
        } else {
            0
        }
    })
    .await;
}

/// One statement over the whole table, in the order of its key; every cell is taken from the wire.
async fn read_by_the_driver(source: &Database, rows: u64) -> Duration {
    let mut session = sqlserver::session(&Server::Sqlserver.url(), &source.name).await.expect("answers");
    let started = Instant::now();
    let mut found =
        session.simple_query("SELECT * FROM customers ORDER BY id").await.expect("runs").into_row_stream();
    let mut count = 0;
    while let Some(row) = found.try_next().await.expect("read") {
        assert_eq!(row.len(), 14);
        count += 1;
    }
    assert_eq!(count, rows);
    started.elapsed()
}
