//! `kill -9` at any step of a chunk, then `--resume`: the target equals the source and the counters are exact.
//!
//! The crash points are those of the chunk's protocol (ARCHITECTURE.md): k0 before the claim, k1 claimed, k2 reading,
//! k3 in the write transaction, k4 committed but the answer lost, k5 before verify, k6 before settle, k7 settled but not
//! acknowledged, k8 between chunks.

use harness::database::Database;
use harness::{Server, data, oracle};

use crate::syncline;

const ROWS: u64 = 4_000;
const SPEC: &str = "defaults: { chunk: { rows_max: 500 } }\ntables:\n  - from: customers";

async fn survives(point: &str, target: Server) {
    if target.is_absent() {
        return;
    }
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(target).await);
    from.exec(data::CUSTOMERS_SQLITE).await;
    for batch in data::customers(ROWS, 7, false) {
        from.exec(&batch).await;
    }
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);

    // The third time the point is passed: some chunks are done, some are under way.
    let at = format!("{point}:3=abort");
    let died = syncline
        .run_with(&[("SYNCLINE_FAILPOINTS", &at)], &["run", &spec, "--workers", "2", "--lease", "1s"]);
    assert_eq!(died.code, None, "killed by a signal at {point}: {}{}", died.stdout, died.stderr);

    let record = syncline.run(&["run", &spec, "--resume", "--lease", "1s", "--json"]).expect(0).json();
    oracle::assert_equal(&from, &to, &["customers"]);
    let counts = &record["record"]["counts"];
    assert_eq!(counts["read"], ROWS, "{record:#}");
    assert_eq!(counts["inserted"], ROWS, "{record:#}");
    assert_eq!(counts["matching"], ROWS, "{record:#}");
    assert_eq!(counts["quarantined"], 0, "{record:#}");
    assert_eq!(record["record"]["source_digest"], record["record"]["target_digest"]);
}

macro_rules! crash_points {
    ($($point:ident),+) => {
        mod sqlite { $(#[tokio::test] async fn $point() { super::survives(stringify!($point), harness::Server::Sqlite).await; })+ }
        mod mysql { $(#[tokio::test] async fn $point() { super::survives(stringify!($point), harness::Server::Mysql).await; })+ }
        mod postgres { $(#[tokio::test] async fn $point() { super::survives(stringify!($point), harness::Server::Postgres).await; })+ }
        mod mongodb { $(#[tokio::test] async fn $point() { super::survives(stringify!($point), harness::Server::Mongodb).await; })+ }
        mod sqlserver { $(#[tokio::test] async fn $point() { super::survives(stringify!($point), harness::Server::Sqlserver).await; })+ }
        mod mariadb { $(#[tokio::test] async fn $point() { super::survives(stringify!($point), harness::Server::Mariadb).await; })+ }
    };
}
crash_points!(k0, k1, k2, k3, k4, k5, k6, k7, k8);

/// Committed, killed before the settle, and the source has moved on: the receipt does not vouch for the new rows.
#[tokio::test]
async fn a_source_that_moves_between_crash_and_resume_is_merged_again() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec(data::CUSTOMERS_SQLITE).await;
    for batch in data::customers(ROWS, 8, false) {
        from.exec(&batch).await;
    }
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);
    let died = syncline.run_with(&[("SYNCLINE_FAILPOINTS", "k5:1=abort")], &["run", &spec, "--lease", "1s"]);
    assert_eq!(died.code, None, "{}", died.stderr);
    from.exec("UPDATE customers SET city = 'elsewhere'").await;
    let _ = syncline.run(&["run", &spec, "--resume", "--lease", "1s"]).expect(0);
    oracle::assert_equal(&from, &to, &["customers"]);
}
