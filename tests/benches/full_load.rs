//! Full load, MySQL to MariaDB, beside `mysqldump | mariadb` in the same run: wall time, processor time of the client,
//! peak memory. Prints ratios, since the machine's speed differs from hour to hour.
//!
//! `make bench`, or `SYNCLINE_BENCH_ROWS=200000 make bench` for a quick look.

#![allow(clippy::print_stdout, reason = "a bench talks to a person")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::measure::{Measured, copy_customers, release, watch};
use harness::{Database, Server, data};

const ROUNDS: usize = 3;

fn main() {
    let rows = std::env::var("SYNCLINE_BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench(rows));
}

async fn bench(rows: u64) {
    small().await;
    let source = Database::fresh(Server::Mysql).await;
    println!("loading {rows} customers into MySQL ..");
    data::load_customers(&source, rows).await;
    let (mut dumps, mut copies) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let target = Database::fresh(Server::Mariadb).await;
        let dump = dump_and_load(&source, &target);
        check(&target, rows).await;
        report(round, "mysqldump | mariadb", rows, dump);
        let target = Database::fresh(Server::Mariadb).await;
        let copy = copy_customers(&source, &target, rows);
        check(&target, rows).await;
        report(round, "syncline run", rows, copy);
        dumps.push(dump);
        copies.push(copy);
    }
    let (dump, copy) = (best(&dumps), best(&copies));
    println!("\nbest of {ROUNDS}, {rows} rows of 14 columns, digests of both sides included:");
    report(0, "mysqldump | mariadb", rows, dump);
    report(0, "syncline run", rows, copy);
    let ratio = copy.wall.as_secs_f64() / dump.wall.as_secs_f64();
    println!("wall time ratio syncline / mysqldump: {ratio:.2} (goal 0.45, must be under 1)");
    println!("peak memory: {} MiB (limit 256, goal 64)", copy.peak_kib / 1024);
    assert!(copy.peak_kib < 256 * 1024, "the memory limit holds");
}

/// What a command costs before there is work to do: best of five.
async fn small() {
    let source = Database::fresh(Server::Sqlite).await;
    source.exec(data::CUSTOMERS_SQLITE).await;
    for batch in data::customers(100, 1, false) {
        source.exec(&batch).await;
    }
    let target = Database::fresh(Server::Sqlite).await;
    let syncline = release();
    let spec = syncline.spec(&source, &target, "tables:\n  - from: customers");
    for (what, goal, args) in [("--help", 50, vec!["--help"]), ("a run of 100 rows", 300, vec!["run", &spec])]
    {
        let fastest = (0..5).map(|_| {
            let started = Instant::now();
            let _ = syncline.run(&args).expect(0);
            started.elapsed()
        });
        let fastest = fastest.min().unwrap_or_default();
        println!("{what:32} {:7.0} ms (goal {goal})", fastest.as_secs_f64() * 1_000.0);
    }
}

fn dump_and_load(source: &Database, target: &Database) -> Measured {
    let (from, to) = (Login::of(&source.url), Login::of(&target.url));
    let tools = PathBuf::from(std::env::var("SYNCLINE_TEST_MYSQL_BIN").unwrap_or_default());
    let started = Instant::now();
    let mut dump = Command::new(tools.join("mysqldump"))
        .args(["--host", &from.host, "--port", &from.port, "--user", &from.user, "--set-gtid-purged=OFF"])
        .args([
            "--single-transaction",
            "--quick",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
            &source.name,
        ])
        .arg("customers")
        .env("MYSQL_PWD", &from.password)
        .stdout(Stdio::piped())
        .spawn()
        .expect("mysqldump starts");
    let pipe = dump.stdout.take().expect("a pipe");
    let load = Command::new("mariadb")
        .args(["--host", &to.host, "--port", &to.port, "--user", &to.user, &target.name])
        .env("MYSQL_PWD", &to.password)
        .stdin(pipe)
        .spawn()
        .expect("mariadb starts");
    let (a, b) = (watch(dump), load);
    let b = watch(b);
    Measured { wall: started.elapsed(), client_cpu: a.0 + b.0, peak_kib: a.1.max(b.1) }
}

async fn check(target: &Database, rows: u64) {
    let found = target.number("SELECT count(*) FROM customers").await;
    assert_eq!(u64::try_from(found), Ok(rows), "all rows arrived");
}

fn best(of: &[Measured]) -> Measured {
    of.iter().copied().min_by_key(|m| m.wall).expect("at least one round")
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn report(round: usize, name: &str, rows: u64, m: Measured) {
    let name = if round == 0 { name.to_owned() } else { format!("round {round}: {name}") };
    println!(
        "{name:32} {:7.1} s {:8.0} rows/s   client cpu {:5.1} s   peak {:4} MiB",
        m.wall.as_secs_f64(),
        rows as f64 / m.wall.as_secs_f64(),
        m.client_cpu.as_secs_f64(),
        m.peak_kib / 1024
    );
}

struct Login {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Login {
    fn of(url: &str) -> Self {
        let part = |text: &str, from: char, to: char| {
            let rest = text.split_once(from).map_or("", |(_, rest)| rest);
            rest.split_once(to).map_or(rest, |(part, _)| part).to_owned()
        };
        let login = url.trim_start_matches("mysql://");
        Self {
            user: login.split(':').next().unwrap_or_default().to_owned(),
            password: part(login, ':', '@'),
            host: part(login, '@', ':'),
            port: part(login.split_once('@').map_or("", |(_, rest)| rest), ':', '/'),
        }
    }
}
