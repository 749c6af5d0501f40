//! What a run costs that follows changes, beside the run that read the table whole: 1 % of the rows changed, spread over
//! all keys. Prints a table; look at the ratios.
//!
//! `make bench`. Figures of MySQL's own counters stand beside ours: rows it handed to us, whatever we say of them.

#![allow(clippy::print_stdout, reason = "a bench talks to a person")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};

use harness::{Database, Server, Syncline, measure, oracle};

const ROWS: u64 = 2_000_000;
/// The server that stands for MongoDB takes most of an hour for more.
const DOCUMENTS: u64 = 200_000;
/// Every so many rows one changes.
const EVERY: u64 = 100;

/// What a run took.
struct Cost {
    wall: Duration,
    /// Rows that the run says it has read.
    read: u64,
    /// Rows that the server says it has read, to find them.
    touched: i64,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!("1 % of the rows changed:");
        println!("{:>22} {:>10} {:>12} {:>16}", "", "seconds", "rows read", "server's reads");
        for (target, rows) in [(Server::Postgres, ROWS), (Server::Mongodb, DOCUMENTS)] {
            measured(target, rows).await;
        }
        println!("goal: under 5 % of each");
    });
}

async fn measured(target: Server, rows: u64) {
    let from = Database::fresh(Server::Mysql).await;
    let to = Database::fresh(target).await;
    fill(&from, rows).await;
    let syncline = measure::release();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: orders, incremental: updated_at }");
    let whole = run(&syncline, &spec, &from).await;
    // The second run still reads what the overlap covers: nothing here is as new as that.
    let update = format!("UPDATE orders SET note = 'changed', updated_at = NOW(6) WHERE id % {EVERY} = 0");
    from.exec(&update).await;
    let delta = run(&syncline, &spec, &from).await;
    oracle::assert_equal(&from, &to, &["orders"]);
    assert_eq!((whole.read, delta.read), (rows, rows / EVERY));
    print(&format!("{target:?}, all {rows}"), &whole);
    print("what changed", &delta);
    let percent = |part: f64, all: f64| 100.0 * part / all;
    println!(
        "{:>22} {:>9.1}% {:>11.1}% {:>15.1}%",
        "ratio",
        percent(delta.wall.as_secs_f64(), whole.wall.as_secs_f64()),
        percent(delta.read as f64, whole.read as f64),
        percent(delta.touched as f64, whole.touched as f64)
    );
}

fn print(what: &str, cost: &Cost) {
    println!("{what:>22} {:>10.1} {:>12} {:>16}", cost.wall.as_secs_f64(), cost.read, cost.touched);
}

/// Rows that changed long ago, one after the other.
async fn fill(database: &Database, rows: u64) {
    database
        .exec(
            "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, customer BIGINT NOT NULL, total DECIMAL(12,2) NOT NULL, \
             note VARCHAR(60) NOT NULL, updated_at TIMESTAMP(6) NOT NULL, KEY orders_updated (updated_at))",
        )
        .await;
    for from in (0..rows).step_by(10_000) {
        let values: Vec<String> = (from..from + 10_000)
            .map(|id| {
                let (day, second) = (1 + id / 86_400 % 28, id % 86_400);
                let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
                let moment = format!("2024-05-{day:02} {hour:02}:{minute:02}:{second:02}.000001");
                format!("({id}, {}, {}.25, 'order {id} as it was', '{moment}')", id % 5_000, id % 900)
            })
            .collect();
        database.exec(&format!("INSERT INTO orders VALUES {}", values.join(", "))).await;
    }
    database.exec("ANALYZE TABLE orders").await;
}

async fn run(syncline: &Syncline, spec: &str, source: &Database) -> Cost {
    let before = touched(source).await;
    let started = Instant::now();
    let record = syncline.run(&["run", spec, "--json"]).expect(0).json();
    let wall = started.elapsed();
    let read = record["record"]["counts"]["read"].as_u64().expect("a number");
    Cost { wall, read, touched: touched(source).await - before }
}

/// Rows of the table that the server has read since it started, by any index.
async fn touched(source: &Database) -> i64 {
    let sql = "SELECT CAST(COALESCE(SUM(COUNT_READ), 0) AS SIGNED) FROM performance_schema.table_io_waits_summary_by_table \
        WHERE OBJECT_SCHEMA = DATABASE() AND OBJECT_NAME = 'orders'";
    source.number(sql).await
}
