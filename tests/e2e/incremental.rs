//! Incremental runs: what changed is read and nothing else, and no late commit is ever skipped.

use std::time::Duration;

use harness::database::Database;
use harness::{Finished, Server, oracle, wait_until};
use mongodb::bson::{Document, doc};
use serde_json::Value;

use crate::syncline;

const ROWS: i64 = 3_000;
const SPEC: &str =
    "defaults: { chunk: { rows_max: 500 } }\ntables:\n  - { from: orders, incremental: changed }";

/// A table whose rows changed long ago, one after the other.
async fn orders(db: &Database, server: Server) {
    let kind = match server {
        Server::Postgres => "TIMESTAMPTZ",
        Server::Mysql | Server::Mariadb => "TIMESTAMP(6)",
        Server::Sqlserver => "datetime2(6)",
        Server::Sqlite | Server::Mongodb => "DATETIME",
    };
    db.exec(&format!(
        "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(40), changed {kind} NOT NULL);
         CREATE INDEX orders_changed ON orders (changed)"
    ))
    .await;
    let row = |id: i64| {
        let (hour, minute, second) = (id / 3_600, id / 60 % 60, id % 60);
        format!("({id}, 'first', '2024-05-01 0{hour}:{minute:02}:{second:02}.250000')")
    };
    for first in (1..=ROWS).step_by(1_000) {
        let rows: Vec<String> = (first..first + 1_000).map(row).collect();
        db.exec(&format!("INSERT INTO orders VALUES {}", rows.join(", "))).await;
    }
}

/// The server's clock as an expression that the column takes.
const fn now(server: Server) -> &'static str {
    match server {
        Server::Postgres => "clock_timestamp()",
        Server::Mysql | Server::Mariadb => "NOW(6)",
        Server::Sqlserver => "SYSDATETIME()",
        Server::Sqlite | Server::Mongodb => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    }
}

fn read(done: &Finished) -> i64 {
    let record: Value = done.json();
    record["record"]["counts"]["read"].as_i64().expect("a number")
}

async fn changes_alone_are_read(server: Server, target: Server) {
    let (from, to) = (Database::fresh(server).await, Database::fresh(target).await);
    orders(&from, server).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);
    assert_eq!(read(&syncline.run(&["run", &spec, "--json"]).expect(0)), ROWS);
    let now = now(server);
    from.exec(&format!("UPDATE orders SET note = 'second', changed = {now} WHERE id IN (1, 700, 3000)"))
        .await;
    from.exec(&format!("INSERT INTO orders VALUES (5001, 'new', {now}), (5002, 'new', {now})")).await;
    let second = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    let counts = &second["record"]["counts"];
    assert_eq!(
        (&counts["read"], &counts["inserted"], &counts["updated"]),
        (&5.into(), &2.into(), &3.into()),
        "{second:#}"
    );
    oracle::assert_equal(&from, &to, &["orders"]);
    // What lies within the overlap is read again, and changes nothing.
    let third = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(
        (&third["record"]["counts"]["read"], &third["record"]["counts"]["unchanged"]),
        (&5.into(), &5.into())
    );
    // More changes than a chunk holds, many at one moment: cut by the marks, and by the key where they tie.
    from.exec(&format!("UPDATE orders SET note = 'third', changed = {now} WHERE id > 1000")).await;
    let fourth = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(fourth["record"]["counts"]["updated"], 2_002, "{fourth:#}");
    assert!(fourth["record"]["chunks"]["done"].as_i64().expect("a number") > 3, "{fourth:#}");
    oracle::assert_equal(&from, &to, &["orders"]);
}

#[tokio::test]
async fn changes_alone_are_read_from_mysql() {
    changes_alone_are_read(Server::Mysql, Server::Mongodb).await;
}

#[tokio::test]
async fn changes_alone_are_read_from_mariadb() {
    changes_alone_are_read(Server::Mariadb, Server::Mysql).await;
}

#[tokio::test]
async fn changes_alone_are_read_from_postgres() {
    changes_alone_are_read(Server::Postgres, Server::Sqlite).await;
}

#[tokio::test]
async fn changes_alone_are_read_from_sqlite() {
    changes_alone_are_read(Server::Sqlite, Server::Mariadb).await;
}

#[tokio::test]
async fn changes_alone_are_read_from_sql_server() {
    changes_alone_are_read(Server::Sqlserver, Server::Mysql).await;
}

/// A transaction that was open while a run read, and committed afterwards, with marks older than that run.
async fn a_late_commit_is_never_skipped(server: Server, begin: &str) {
    let (from, to) = (Database::fresh(server).await, Database::fresh(Server::Sqlite).await);
    orders(&from, server).await;
    let syncline = syncline();
    let spec = syncline.spec(
        &from,
        &to,
        &SPEC.replace("incremental: changed", "incremental: { column: changed, overlap: 0s }"),
    );
    let _ = syncline.run(&["run", &spec]).expect(0);
    let late = from.session().await;
    late.exec(&format!("{begin}; UPDATE orders SET note = 'late', changed = {} WHERE id = 1", now(server)))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await; // The mark is well below what follows.
    from.exec(&format!("UPDATE orders SET note = 'quick', changed = {} WHERE id = 2", now(server))).await;
    let said = syncline.run(&["run", &spec]).expect(0);
    assert!(said.stdout.contains("the watermark lags"), "{}", said.stdout);
    assert_eq!(
        to.text("SELECT note FROM orders WHERE id = 2").await.as_deref(),
        Some("quick"),
        "it is not waited for"
    );
    late.exec("COMMIT").await;
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &["orders"]);
}

#[tokio::test]
async fn a_late_commit_is_never_skipped_in_mysql() {
    a_late_commit_is_never_skipped(Server::Mysql, "BEGIN").await;
}

#[tokio::test]
async fn a_late_commit_is_never_skipped_in_mariadb() {
    a_late_commit_is_never_skipped(Server::Mariadb, "BEGIN").await;
}

#[tokio::test]
async fn a_late_commit_is_never_skipped_in_postgres() {
    a_late_commit_is_never_skipped(Server::Postgres, "BEGIN").await;
}

/// A run of changes is killed where its rows are in and its watermark is not, or is: nothing is lost, nothing doubled.
/// 4-12: killed between the rows and the watermark, nothing is lost and nothing doubled.
#[tokio::test]
async fn a_killed_run_loses_no_change_and_no_watermark() {
    for point in ["k3:1=abort", "k4:1=abort", "k7:1=abort", "r6:1=abort", "w1:1=abort"] {
        let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
        orders(&from, Server::Sqlite).await;
        let syncline = syncline();
        let spec = syncline.spec(&from, &to, SPEC);
        let _ = syncline.run(&["run", &spec]).expect(0);
        let change = |note| {
            format!("UPDATE orders SET note = '{note}', changed = {} WHERE id % 3 = 0", now(Server::Sqlite))
        };
        from.exec(&change("second")).await;
        let died = syncline.run_with(&[("SYNCLINE_FAILPOINTS", point)], &["run", &spec, "--lease", "1s"]);
        assert_eq!(died.code, None, "{point}: {}", died.stderr);
        from.exec(
            "UPDATE orders SET note = 'between', changed = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = 4",
        )
        .await;
        let record = syncline.run(&["run", &spec, "--resume", "--lease", "1s", "--json"]).expect(0).json();
        assert_eq!(
            record["record"]["counts"]["updated"].as_i64().map(|n| (1_000..=1_001).contains(&n)),
            Some(true),
            "{record:#}"
        );
        let last = syncline.run(&["run", &spec, "--json"]).expect(0);
        assert!(read(&last) <= 1_001, "{point}: {}", last.stdout);
        oracle::assert_equal(&from, &to, &["orders"]);
    }
}

/// A new column is in no row that was copied before: the table is read whole once more.
/// 4-20: a table that looks otherwise than when its watermark was set is not read from there.
#[tokio::test]
async fn another_shape_is_read_whole() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    orders(&from, Server::Sqlite).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);
    let _ = syncline.run(&["run", &spec]).expect(0);
    for db in [&from, &to] {
        db.exec("ALTER TABLE orders ADD COLUMN city VARCHAR(20) DEFAULT 'nowhere'").await;
    }
    from.exec("UPDATE orders SET city = 'Bern' WHERE id = 5").await; // Without a mark.
    assert_eq!(read(&syncline.run(&["run", &spec, "--json"]).expect(0)), ROWS);
    oracle::assert_equal(&from, &to, &["orders"]);
    to.exec("DELETE FROM orders").await;
    assert_eq!(read(&syncline.run(&["run", &spec, "--json"]).expect(0)), ROWS, "an emptied target is filled");
    oracle::assert_equal(&from, &to, &["orders"]);
}

/// A row that was set aside is looked up by its key, however old its mark is when it is mended.
#[tokio::test]
async fn a_row_in_quarantine_comes_in_when_it_is_mended() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    orders(&from, Server::Sqlite).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, SPEC);
    from.exec("UPDATE orders SET note = CAST(X'ff' AS TEXT) WHERE id = 9").await;
    let _ = syncline.run(&["run", &spec]).expect(3);
    let _ = syncline.run(&["run", &spec]).expect(3);
    from.exec("UPDATE orders SET note = 'mended' WHERE id = 9").await; // Without a mark.
    let third = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(third["record"]["counts"]["inserted"], 1, "{third:#}");
    oracle::assert_equal(&from, &to, &["orders"]);
    assert_eq!(read(&syncline.run(&["run", &spec, "--json"]).expect(0)), 0);
}

/// Rows that are gone are looked for once in a while, under the guard.
#[tokio::test]
async fn a_mirror_looks_for_gone_rows_when_it_is_due() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    orders(&from, Server::Sqlite).await;
    let syncline = syncline();
    let tables = |every: &str| {
        format!(
            "tables:\n  - {{ from: orders, mode: mirror, incremental: {{ column: changed, sweep_every: {every} }} }}"
        )
    };
    let spec = syncline.spec(&from, &to, &tables("24h"));
    let _ = syncline.run(&["run", &spec]).expect(0);
    from.exec("DELETE FROM orders WHERE id <= 50").await;
    let _ = syncline.run(&["run", &spec]).expect(0);
    assert_eq!(to.rows("orders").await, ROWS, "it is not due");
    let spec = syncline.spec(&from, &to, &tables("0s"));
    let done = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(
        (&done["record"]["counts"]["read"], &done["record"]["counts"]["deleted"]),
        (&0.into(), &50.into()),
        "{done:#}"
    );
    oracle::assert_equal(&from, &to, &["orders"]);
    from.exec("DELETE FROM orders WHERE id <= 2000").await;
    let _ = syncline.run(&["run", &spec]).expect(8);
    assert_eq!(to.rows("orders").await, ROWS - 50, "the guard holds");
}

/// A part of a table by its keys: what is outside it stays as it is, and so does the watermark.
#[tokio::test]
async fn a_range_of_keys_is_read_once_more() {
    for server in [Server::Sqlite, Server::Mysql, Server::Mariadb, Server::Postgres, Server::Sqlserver] {
        let (from, to) = (Database::fresh(server).await, Database::fresh(Server::Postgres).await);
        orders(&from, server).await;
        from.exec("CREATE TABLE pairs (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b))").await;
        let syncline = syncline();
        let spec = syncline.spec(
            &from,
            &to,
            "defaults: { chunk: { rows_max: 500 } }\ntables: [{ from: orders, mode: mirror, incremental: changed }, { from: pairs }]",
        );
        let _ = syncline.run(&["run", &spec]).expect(0);
        to.exec(
            "UPDATE orders SET note = 'edited' WHERE id IN (999, 1000, 2999, 3000); INSERT INTO orders VALUES (2000000, 'stray', now())",
        )
        .await;
        let resync = |more: &[&str]| syncline.run(&[&["resync", &spec], more, &["--json"]].concat());
        let record = resync(&["orders", "--from", "1000", "--below", "3000"]).expect(0).json();
        let counts = &record["record"]["counts"];
        assert_eq!(
            (&counts["read"], &counts["updated"]),
            (&2_000.into(), &2.into()),
            "{server:?}: {record:#}"
        );
        let edited = "SELECT count(*) FROM orders WHERE note = 'edited' AND id IN (999, 3000)";
        assert_eq!(to.number(edited).await, 2, "{server:?}");
        assert_eq!(
            to.number("SELECT count(*) FROM orders WHERE id = 2000000").await,
            1,
            "nothing is deleted"
        );

        from.exec(&format!("UPDATE orders SET note = 'new', changed = {} WHERE id = 5", now(server))).await;
        assert_eq!(read(&syncline.run(&["run", &spec, "--json"]).expect(0)), 1, "{server:?}");
        assert_eq!(read(&resync(&["orders", "--from", "2999"]).expect(0)), 2);
        assert_eq!(read(&resync(&["orders", "--below", "-4"]).expect(0)), 0);
        for (args, expected) in [
            (&["orders", "--from", "first"][..], "no key of table `orders`"),
            (&["pairs", "--from", "1"], "is not one column"),
            (&["*", "--from", "1"], "name the table"),
        ] {
            let refused = resync(args);
            assert!(
                refused.code != Some(0) && refused.stderr.contains(expected),
                "{expected}: {}",
                refused.stderr
            );
        }
    }
}

/// 4-28: small windows, one after the other, carry a stream of changes; nobody starts them, and none is lost though commits
/// come in another order than their marks.
#[tokio::test]
async fn s4_28_changes_stream_in_windows_of_a_second() {
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Mongodb).await);
    orders(&from, Server::Mysql).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, &format!("schedule: 1s\n{SPEC}"));
    let mut serve = syncline.start("serve", &["serve", &spec, "--workers", "2", "--lease", "2s"]);
    let documents = to.documents().await.collection::<Document>("orders");
    let there = async |filter: Document| documents.count_documents(filter).await.expect("counted");
    let soon = Duration::from_secs(90);
    wait_until("the table was read whole", soon, async || there(doc! {}).await == 3_000).await;
    for id in 6_001..=6_004_i64 {
        // Begun before and committed after a change that is newer.
        let late = from.session().await;
        late.exec("BEGIN").await;
        late.exec(&format!("INSERT INTO orders VALUES ({id}, 'late', NOW(6))")).await;
        from.exec(&format!(
            "UPDATE orders SET note = 'moved {id}', changed = NOW(6) WHERE id = {}",
            id - 6_000
        ))
        .await;
        let moved = format!("moved {id}");
        wait_until("the newer change is there", soon, async || there(doc! { "note": &moved }).await == 1)
            .await;
        late.exec("COMMIT").await;
        wait_until("the late one is there", soon, async || there(doc! { "_id": id }).await == 1).await;
    }
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
    oracle::assert_equal(&from, &to, &["orders"]);
    let listed = syncline.run(&["runs", "--json", "--limit", "1000"]).expect(0).stdout;
    assert!(listed.lines().count() > 4, "{listed}");
}
