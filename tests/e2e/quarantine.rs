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

const DIRTY: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, amount DECIMAL(10,2) NOT NULL, name VARCHAR(40));
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
     INSERT INTO t SELECT i, i + 0.25, 'row ' || i FROM n;
     UPDATE t SET amount = 'canary-twelve' WHERE id = 7;
     UPDATE t SET amount = 'canary-thirteen' WHERE id = 700;";

/// What was mended in the source, and what a person says here, arrives when it is replayed; what still is wrong stays.
#[tokio::test]
async fn mended_and_corrected_rows_arrive_when_they_are_replayed() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec(DIRTY).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 100 } }\ntables:\n  - from: t");
    let _ = syncline.run(&["run", &spec]).expect(3);
    let rows = |limit: usize| {
        let listed = syncline.run(&["quarantine", "list", "latest", "--json"]).expect(0).stdout;
        let rows: Vec<serde_json::Value> =
            listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), limit, "{listed}");
        rows
    };
    let number = |row: &serde_json::Value| row["seq"].to_string();
    let found = rows(2);
    from.exec("UPDATE t SET amount = 12.5 WHERE id = 7").await;

    // A correction that is wrong too is refused at once, and not repeated.
    let row = number(&found[1]);
    for (wrong, why) in [
        (["--value", "canary-wrong", "--column", "amount"].as_slice(), "decimal(10,2)"),
        (&["--null"], "takes no NULL"),
        (&["--value", "1", "--column", "id"], "tells which row"),
        (&["--value", "1", "--column", "else"], "no column"),
    ] {
        let refused = syncline.run(&[&["quarantine", "correct", "latest", &row], wrong].concat()).expect(4);
        assert!(refused.stderr.contains(why) && !refused.stderr.contains("canary"), "{}", refused.stderr);
    }
    let _ = syncline.run(&["quarantine", "replay", "latest"]).expect(0);
    let record = syncline.run(&["run", &spec, "--resume", "latest", "--json"]).expect(3).json();
    let counts = &record["record"]["counts"];
    assert_eq!(
        (counts["inserted"].as_u64(), counts["quarantined"].as_u64()),
        (Some(999), Some(1)),
        "{record:#}"
    );
    assert_eq!(to.text("SELECT amount FROM t WHERE id = 7").await.as_deref(), Some("12.50"));

    // Corrected, while the source stays as it is.
    let row = number(&rows(1)[0]);
    let _ = syncline.run(&["quarantine", "correct", "latest", &row, "--value", "1.00"]).expect(0);
    let _ = syncline.run(&["quarantine", "correct", "latest", &row, "--value", "13.75"]).expect(0);
    let _ = syncline.run(&["quarantine", "replay", "latest", "--table", "t"]).expect(0);
    let record = syncline.run(&["run", &spec, "--resume", "latest", "--json"]).expect(0).json();
    assert_eq!(record["record"]["state"], "done", "{record:#}");
    assert_eq!(record["record"]["counts"]["inserted"], 1000, "{record:#}");
    assert_eq!(to.text("SELECT amount FROM t WHERE id = 700").await.as_deref(), Some("13.75"));
    assert_eq!(to.number("SELECT count(*) FROM t").await, 1000);
    rows(0);
    let ledger = Database::at(&syncline.dir.path().join("ledger.db"));
    assert_eq!(ledger.number("SELECT count(*) FROM syncline_correction").await, 0, "a value was kept");

    let _ = syncline.run(&["quarantine", "correct", "latest", &row, "--value", "1"]).expect(4);
    let nothing = syncline.run(&["quarantine", "replay", "latest"]).expect(0);
    assert!(nothing.stdout.contains("has no row in quarantine"), "{}", nothing.stdout);
}

/// A process that dies in the middle of a replay takes no correction with it, and writes nothing twice.
#[tokio::test]
async fn a_killed_replay_is_replayed() {
    for point in ["k3", "k4", "k6"] {
        let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
        from.exec(DIRTY).await;
        let syncline = syncline();
        let spec = syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 100 } }\ntables:\n  - from: t");
        let _ = syncline.run(&["run", &spec]).expect(3);
        for (row, value) in [("1", "12.5"), ("2", "13.75")] {
            let _ = syncline.run(&["quarantine", "correct", "latest", row, "--value", value]).expect(0);
        }
        let _ = syncline.run(&["quarantine", "replay", "latest"]).expect(0);
        let dies = [("SYNCLINE_FAILPOINTS", format!("{point}:1=abort"))];
        let dies: Vec<(&str, &str)> = dies.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let died = syncline.run_with(&dies, &["run", &spec, "--resume", "latest"]);
        assert_ne!(died.code, Some(0), "{died:?}");
        let record = syncline.run(&["run", &spec, "--resume", "latest", "--json"]).expect(0).json();
        assert_eq!(record["record"]["state"], "done", "{point}: {record:#}");
        assert_eq!(record["record"]["counts"]["inserted"], 1000, "{point}: {record:#}");
        let sum = to.text("SELECT sum(amount) FROM t WHERE id IN (7, 700)").await;
        assert_eq!(sum.as_deref(), Some("26.25"), "{point}");
    }
}
