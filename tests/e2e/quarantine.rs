//! One bad row never stops a run and is never changed in silence.

use harness::database::Database;
use harness::{Server, oracle};

use crate::syncline;

#[tokio::test]
async fn one_poison_row_among_100_000_is_quarantined_with_key_and_reason() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, amount DECIMAL(10,2), name VARCHAR(40));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO t SELECT i, (i % 1000) + 0.25, 'row ' || i FROM n;
         UPDATE t SET amount = 'twelve' WHERE id = 77777;",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["state"], "done-with-quarantine");
    let counts = &record["record"]["counts"];
    assert_eq!(counts["read"], 100_000);
    assert_eq!(counts["inserted"], 99_999);
    assert_eq!(counts["quarantined"], 1);
    assert_eq!(to.number("SELECT count(*) FROM t").await, 99_999);
    assert_eq!(to.number("SELECT count(*) FROM t WHERE id = 77777").await, 0);

    let listed = syncline.run(&["quarantine", "list", "latest", "--json"]).expect(0);
    assert!(listed.stdout.contains("77777") && listed.stdout.contains("amount"), "{}", listed.stdout);
    assert!(listed.stdout.contains("conversion"), "{}", listed.stdout);
    assert!(!listed.stdout.contains("twelve"), "a value was shown: {}", listed.stdout);
}

/// The target refuses rows that convert well: unique constraints, checks, foreign keys, character sets.
#[tokio::test]
async fn rows_the_target_refuses_are_found_by_bisection() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email VARCHAR(40), qty INTEGER, label VARCHAR(20));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO t SELECT i, 'u' || i, i, 'x' FROM n;
         UPDATE t SET email = 'u10' WHERE id = 20;
         UPDATE t SET qty = -1 WHERE id = 1500;
         UPDATE t SET label = '😀' WHERE id = 2999;",
    )
    .await;
    to.exec(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, email VARCHAR(40) UNIQUE, qty BIGINT CHECK (qty >= 0),
         label VARCHAR(20) CHARACTER SET utf8mb3)",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["counts"]["quarantined"], 3, "{record:#}");
    assert_eq!(record["record"]["counts"]["inserted"], 2_997);
    let listed = syncline.run(&["quarantine", "list", "latest", "--json"]).expect(0).stdout;
    for kind in ["duplicate-key", "check", "encoding"] {
        assert!(listed.contains(kind), "{kind}: {listed}");
    }
    // Mended at the source, the next run brings them in.
    from.exec("UPDATE t SET email = 'u20' WHERE id = 20; UPDATE t SET qty = 1 WHERE id = 1500; UPDATE t SET label = 'y' WHERE id = 2999").await;
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &["t"]);
}
