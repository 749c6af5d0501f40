//! MySQL to MongoDB: a whole run beside the driver's own `insert_many` of the same documents, and a run that is killed
//! with `kill -9` in the middle and resumed. Prints ratios, since the machine's speed differs from hour to hour.
//!
//! `SYNCLINE_BENCH_DOCUMENTS=200000 target/release/documents` for a quick look.

#![allow(clippy::print_stdout, reason = "a bench talks to a person")]

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use harness::measure::{Measured, copy_customers, killed_and_resumed, per_second};
use harness::{Database, Server, data};
use mongodb::bson::{RawDocumentBuf, doc};

/// Documents of one `insert_many`: as many as Syncline sends at once.
const BATCH: usize = 1_000;
/// Inserts under way at a time: as many as Syncline has workers on two cores.
const SIDE_BY_SIDE: usize = 2;

fn main() {
    let rows =
        std::env::var("SYNCLINE_BENCH_DOCUMENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench(rows));
}

async fn bench(rows: u64) {
    let source = Database::fresh(Server::Mysql).await;
    println!("loading {rows} customers into MySQL ..");
    data::load_customers(&source, rows).await;
    let target = Database::fresh(Server::Mongodb).await;
    let Measured { wall, peak_kib, .. } = copy_customers(&source, &target, rows);
    let ceiling = insert_many(&target).await;
    let speed = |wall: Duration| per_second(rows, wall);
    println!(
        "insert_many by the driver   {:7.1} s {:8.0} documents/s",
        ceiling.as_secs_f64(),
        speed(ceiling)
    );
    println!(
        "syncline run                {:7.1} s {:8.0} rows/s, read back and compared included",
        wall.as_secs_f64(),
        speed(wall)
    );
    println!(
        "ratio of speeds: {:.2} (goal 0.85)   peak memory {} MiB (limit 256)",
        speed(wall) / speed(ceiling),
        peak_kib / 1024
    );
    assert!(peak_kib < 256 * 1024, "the memory limit holds");
    drop(target);
    let target = Database::fresh(Server::Mongodb).await;
    let documents = target.documents().await.collection::<RawDocumentBuf>("customers");
    killed_and_resumed(&source, &target, rows, async || {
        documents.estimated_document_count().await.unwrap_or_default()
    })
    .await;
}

/// The very documents that Syncline has made, inserted anew; reading them is not counted.
async fn insert_many(made: &Database) -> Duration {
    let documents = made.documents().await;
    let all: Vec<RawDocumentBuf> = documents
        .collection("customers")
        .find(doc! {})
        .await
        .expect("found")
        .try_collect()
        .await
        .expect("read");
    let again = documents.collection::<RawDocumentBuf>("again");
    let started = Instant::now();
    futures::stream::iter(all.chunks(BATCH))
        .for_each_concurrent(SIDE_BY_SIDE, |batch| {
            let insert = again.insert_many(batch).ordered(false);
            async { drop(insert.await.expect("inserted")) }
        })
        .await;
    started.elapsed()
}
