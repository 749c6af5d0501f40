//! What a run costs that follows changes, beside the run that read the table whole: 1 % of the rows changed, spread over
//! all keys. Prints a table; look at the ratios.
//!
//! MySQL's cache is made to hold the tables: a changed row is one of a hundred on another page, and where each page must first come
//! from a disk, past the system's own cache, that is what one measures.
//!
//! An order of 20 columns is what such tables hold. One of 5 short columns is the worst case: to read and load such rows by
//! the thousand costs next to nothing, and to find and update one costs what it costs with any row.
//!
//! `make bench`. Figures of MySQL's own counters stand beside ours: rows it handed to us, whatever we say of them.

#![allow(clippy::print_stdout, reason = "a bench talks to a person")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};

use harness::{Database, Server, Syncline, measure, oracle};

const ROWS: u64 = 2_000_000;
/// The server that stands for MongoDB takes most of an hour for more, and goes through the whole collection where one of MongoDB
/// looks at its index or at a number that it keeps: to find the first `_id`, to say how many there are.
const DOCUMENTS: u64 = 200_000;
const TARGETS: [(&str, Server, u64); 5] = [
    ("mysql", Server::Mysql, ROWS),
    ("mariadb", Server::Mariadb, ROWS),
    ("postgres", Server::Postgres, ROWS),
    ("sqlite", Server::Sqlite, ROWS),
    ("mongodb", Server::Mongodb, DOCUMENTS),
];
/// Source and target, where that is MySQL, too.
const CACHE_BYTES: u64 = 2 << 30;
/// Every so many rows one changes.
const EVERY: u64 = 100;

/// What a row is made of.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// 20 columns, 300 bytes.
    Order,
    /// 5 columns, 60 bytes.
    Short,
}

impl Shape {
    /// Columns beside those that each has.
    const fn columns(self) -> &'static str {
        match self {
            Self::Order => {
                ", number VARCHAR(20) NOT NULL, state VARCHAR(12) NOT NULL, currency CHAR(3) NOT NULL, \
                 net DECIMAL(12,2) NOT NULL, tax DECIMAL(12,2) NOT NULL, discount DECIMAL(12,2), rate DOUBLE NOT NULL, \
                 positions INT NOT NULL, is_paid TINYINT NOT NULL, ordered_on DATE NOT NULL, due_on DATE, name VARCHAR(80) NOT NULL, \
                 street VARCHAR(80) NOT NULL, city VARCHAR(40) NOT NULL, mail VARCHAR(80)"
            }
            Self::Short => "",
        }
    }

    fn values(self, id: u64) -> String {
        match self {
            Self::Order => format!(
                ", 'R-2024-{id:08}', 'delivered', 'EUR', {0}.10, {0}.15, NULL, 1.19, {1}, {2}, '2024-05-02', '2024-06-01', \
                 'Customer number {3} and partners', 'Long Street of the Painters {1}', 'Hohenkirchen', 'orders{3}@example.com'",
                id % 900,
                id % 17,
                id % 2,
                id % 5_000
            ),
            Self::Short => String::new(),
        }
    }
}

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
        // Those that are named, or all.
        let asked: Vec<String> = std::env::args().skip(1).collect();
        for (name, target, rows) in TARGETS {
            if !asked.is_empty() && !asked.iter().any(|asked| asked == name) {
                continue;
            }
            for shape in [Shape::Order, Shape::Short] {
                measured(target, rows, shape).await;
            }
        }
        println!("goal: under 5 % of each");
    });
}

async fn measured(target: Server, rows: u64, shape: Shape) {
    let from = Database::fresh(Server::Mysql).await;
    from.exec(&format!("SET GLOBAL innodb_buffer_pool_size = {CACHE_BYTES}")).await;
    let to = Database::fresh(target).await;
    fill(&from, rows, shape).await;
    let syncline = measure::release();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: orders, incremental: updated_at }");
    let whole = run(&syncline, &spec, &from).await;
    // The second run still reads what the overlap covers: nothing here is as new as that.
    let update = format!("UPDATE orders SET note = 'changed', updated_at = NOW(6) WHERE id % {EVERY} = 0");
    from.exec(&update).await;
    let delta = run(&syncline, &spec, &from).await;
    oracle::assert_equal(&from, &to, &["orders"]);
    assert_eq!((whole.read, delta.read), (rows, rows / EVERY));
    println!("{target:?}, {rows} rows, {shape:?}:");
    print("all", &whole);
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
async fn fill(database: &Database, rows: u64, shape: Shape) {
    let create = format!(
        "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, customer BIGINT NOT NULL, total DECIMAL(12,2) NOT NULL, \
         note VARCHAR(60) NOT NULL, updated_at TIMESTAMP(6) NOT NULL{}, KEY orders_updated (updated_at))",
        shape.columns()
    );
    database.exec(&create).await;
    for from in (0..rows).step_by(10_000) {
        let values: Vec<String> = (from..from + 10_000)
            .map(|id| {
                let (day, second) = (1 + id / 86_400 % 28, id % 86_400);
                let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
                let moment = format!("2024-05-{day:02} {hour:02}:{minute:02}:{second:02}.000001");
                let more = shape.values(id);
                format!("({id}, {}, {}.25, 'order {id} as it was', '{moment}'{more})", id % 5_000, id % 900)
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
