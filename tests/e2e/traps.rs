//! Traps that a copier falls into with a smile: each would say `done` and be wrong.

use harness::database::Database;
use harness::{Server, oracle};

use crate::syncline;

/// Runs over two SQLite files made by these statements; exit code, everything printed, and the two files.
async fn run(source: &str, target: &str, table: &str, code: i32) -> (String, Database, Database) {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(source).await;
    if !target.is_empty() {
        to.exec(target).await;
    }
    let syncline = syncline();
    let spec = syncline.spec(
        &from,
        &to,
        &format!("defaults: {{ chunk: {{ rows_max: 20 }} }}\ntables:\n  - {table}"),
    );
    let done = syncline.run(&["run", &spec]).expect(code);
    (format!("{}{}", done.stdout, done.stderr), from, to)
}

const SERIES: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)";

/// SQLite lets NULL into most primary keys; no range holds such a row.
#[tokio::test]
async fn a_key_that_holds_null_is_refused() {
    let source = format!(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v INT); INSERT INTO t {SERIES} SELECT 'k' || i, i FROM n;
         INSERT INTO t VALUES (NULL, 1), (NULL, 2)"
    );
    let (said, ..) = run(&source, "", "{ from: t }", 8).await;
    assert!(said.contains('k') && said.contains("NULL"), "{said}");
    let clean = format!(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v INT); INSERT INTO t {SERIES} SELECT 'k' || i, i FROM n"
    );
    let (_, from, to) = run(&clean, "", "{ from: t }", 0).await;
    oracle::assert_equal(&from, &to, &["t"]);
}

/// Columns that do not tell rows apart would cut chunks without end, or overwrite rows with each other.
#[tokio::test]
async fn a_key_that_is_not_unique_is_refused_on_either_side() {
    let twice = "CREATE TABLE t (id INTEGER PRIMARY KEY, g TEXT NOT NULL, v INT);
                 INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 3)";
    let (said, ..) = run(twice, "", "{ from: t, key: [g] }", 8).await;
    assert!(said.contains("unique"), "{said}");
    let bare = "CREATE TABLE t (id INTEGER, g TEXT NOT NULL, v INT)";
    let (said, _, to) = run(twice, bare, "{ from: t }", 8).await;
    assert!(said.contains("target") && said.contains("unique"), "{said}");
    assert_eq!(to.number("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn newest_by_a_column_that_cannot_be_compared_is_refused() {
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, note TEXT)";
    for column in ["att", "note"] {
        let policy = format!("{{ from: t, policy: {{ newest: {column} }} }}");
        let (said, ..) = run(table, table, &policy, if column == "att" { 4 } else { 8 }).await;
        assert!(said.contains(column), "{said}");
    }
}

/// A policy may let rows differ; a verify still says that they do.
#[tokio::test]
async fn verify_compares_rows_that_the_policy_left_different() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    for (db, name) in [(&from, "one"), (&to, "another")] {
        db.exec(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, '{name}')"
        ))
        .await;
    }
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: t, policy: keep-target }");
    let _ = syncline.run(&["run", &spec]).expect(0);
    let record = syncline.run(&["verify", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["counts"]["different"], 1, "{record:#}");
    assert!(syncline.run(&["diff", &spec, "--table", "t"]).expect(3).stdout.contains("name"));
}

/// A row that the target will not let go of is not deleted, and that is said.
#[tokio::test]
async fn a_row_that_a_mirror_could_not_delete_is_counted() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec("CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1)").await;
    to.exec(
        "CREATE TABLE p (id BIGINT PRIMARY KEY); INSERT INTO p VALUES (1), (2), (3);
         CREATE TABLE other (id INT PRIMARY KEY, p BIGINT NOT NULL, FOREIGN KEY (p) REFERENCES p (id));
         INSERT INTO other VALUES (1, 2)",
    )
    .await;
    let syncline = syncline();
    let spec =
        syncline.spec(&from, &to, "tables:\n  - { from: p, mode: mirror, guard: { max_delete: 100% } }");
    let _ = syncline.run(&["run", &spec]).expect(3);
    assert_eq!(to.text("SELECT group_concat(id ORDER BY id) FROM p").await.as_deref(), Some("1,2"));
    assert!(syncline.run(&["quarantine", "list", "latest"]).expect(0).stdout.contains("foreign-key"));
}

/// Deleting a parent must not reach into tables that nobody named.
#[tokio::test]
async fn a_mirror_does_not_set_off_cascades() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec("CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1)").await;
    to.exec(
        "CREATE TABLE p (id BIGINT PRIMARY KEY); INSERT INTO p VALUES (1), (2);
         CREATE TABLE other (id INT PRIMARY KEY, p BIGINT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE);
         INSERT INTO other VALUES (1, 2)",
    )
    .await;
    let syncline = syncline();
    let spec =
        syncline.spec(&from, &to, "tables:\n  - { from: p, mode: mirror, guard: { max_delete: 100% } }");
    let done = syncline.run(&["run", &spec]).expect(8);
    assert!(done.stderr.contains("other"), "{}", done.stderr);
    assert_eq!(to.number("SELECT count(*) FROM other").await, 1);
}

/// SQLite keeps dates and UUIDs in whatever spelling they came; a mirror that asks in another would delete them.
#[tokio::test]
async fn a_mirror_refuses_keys_that_may_be_spelled_in_several_ways() {
    let table = "CREATE TABLE t (at DATETIME PRIMARY KEY NOT NULL, v INT); INSERT INTO t VALUES ('2024-01-01T00:00:00', 1)";
    let (said, ..) = run(table, "", "{ from: t, mode: mirror }", 8).await;
    assert!(said.contains("at") && said.contains("DATETIME"), "{said}");
}

#[tokio::test]
async fn a_table_name_in_other_letters_is_the_same_table_in_sqlite() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, n INT); INSERT INTO users VALUES (1, 1)").await;
    to.exec("CREATE TABLE Users (id INTEGER PRIMARY KEY, n INT); INSERT INTO Users VALUES (1, 2), (2, 2)")
        .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: users, mode: insert-only }");
    let _ = syncline.run(&["run", &spec]).expect(3);
    assert_eq!(to.text("SELECT group_concat(n) FROM Users").await.as_deref(), Some("2,2"));
}

/// The chunk's first attempt committed and died; its table has no key to merge by, so nothing is copied twice.
#[tokio::test]
async fn a_table_without_key_is_never_doubled() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec("CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, 'y')").await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: t, mode: insert-only }");
    let died = syncline.run_with(&[("SYNCLINE_FAILPOINTS", "k5:1=abort")], &["run", &spec, "--lease", "1s"]);
    assert_eq!(died.code, None, "{}", died.stderr);
    let _ = syncline.run(&["run", &spec, "--resume", "--lease", "1s"]).expect(0);
    assert_eq!(to.number("SELECT count(*) FROM t").await, 3);
    oracle::assert_equal(&from, &to, &["t"]);
}

/// A run is killed and never resumed; the one that takes its place still owes the table its indexes.
#[tokio::test]
async fn a_new_run_builds_the_indexes_that_a_killed_one_owed() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mariadb).await);
    from.exec(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, email VARCHAR(40), n INT);
         CREATE UNIQUE INDEX by_email ON t (email); CREATE INDEX by_n ON t (n);
         INSERT INTO t {SERIES} SELECT i, 'u' || i, i FROM n"
    ))
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 20 } }\ntables:\n  - from: t");
    let died = syncline.run_with(&[("SYNCLINE_FAILPOINTS", "k3:2=abort")], &["run", &spec, "--lease", "1s"]);
    assert_eq!(died.code, None, "{}", died.stderr);
    let _ = syncline.run(&["run", &spec]).expect(0);
    let indexes =
        "SELECT group_concat(DISTINCT index_name ORDER BY index_name) FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 't'";
    assert_eq!(to.text(indexes).await.as_deref(), Some("by_email,by_n,PRIMARY"));
    oracle::assert_equal(&from, &to, &["t"]);
}

/// MySQL puts the present moment into such a column of a row that is updated, unless the statement names it.
async fn a_column_that_updates_itself_stays_as_the_source_has_it(server: Server) {
    let (from, to) = (Database::fresh(server).await, Database::fresh(server).await);
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), n DECIMAL(8,2), \
        touched TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)";
    let rows: Vec<String> =
        (1..=400).map(|n| format!("({n}, 'v{n}', {n}.25, '2024-05-01 10:00:00')")).collect();
    for database in [&from, &to] {
        database.exec(table).await;
        database.exec(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
    }
    if server == Server::Mysql {
        // It takes so many statements and no more.
        to.exec("TRUNCATE performance_schema.events_statements_summary_by_digest").await;
    }
    from.exec("UPDATE t SET v = 'other', touched = touched WHERE id % 2 = 0").await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(record["record"]["counts"]["updated"], 200, "{record:#}");
    oracle::assert_equal(&from, &to, &["t"]);
    if server == Server::Mysql {
        let sets = "SELECT CAST(COALESCE(SUM(COUNT_STAR), 0) AS SIGNED) FROM performance_schema.events_statements_summary_by_digest \
            WHERE SCHEMA_NAME = DATABASE() AND DIGEST_TEXT LIKE 'UPDATE `_syncline_stage`%'";
        assert_eq!(to.number(sets).await, 1, "the rows are updated as one set");
    }
}

#[tokio::test]
async fn a_column_that_updates_itself_stays_in_mysql() {
    a_column_that_updates_itself_stays_as_the_source_has_it(Server::Mysql).await;
}

#[tokio::test]
async fn a_column_that_updates_itself_stays_in_mariadb() {
    a_column_that_updates_itself_stays_as_the_source_has_it(Server::Mariadb).await;
}

/// Rows are updated as one set out of a temporary table; whoever may not make one has them updated one by one.
async fn rows_are_updated_without_a_temporary_table(server: Server) {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(server).await);
    let numbers = |offset: i64| {
        let rows: Vec<String> = (1..=300).map(|n| format!("({n}, {})", n + offset)).collect();
        format!("INSERT INTO t VALUES {}", rows.join(", "))
    };
    for (database, offset) in [(&from, 0), (&to, 7)] {
        database.exec("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)").await;
        database.exec(&numbers(offset)).await;
    }
    let name = &to.name;
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX, ALTER";
    to.exec(&format!(
        "CREATE USER '{name}' IDENTIFIED BY 'plain-pw'; GRANT {rights} ON {name}.* TO '{name}'; GRANT PROCESS ON *.* TO '{name}'"
    ))
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let place = format!("user: root, password: \"${{env:{}}}\"", server.password_variable());
    let text = std::fs::read_to_string(&spec).unwrap();
    assert!(text.contains(&place), "{text}");
    std::fs::write(&spec, text.replace(&place, &format!("user: {name}, password: plain-pw"))).unwrap();
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    to.exec(&format!("DROP USER '{name}'")).await;
    assert_eq!(record["record"]["counts"]["updated"], 300, "{record:#}");
    oracle::assert_equal(&from, &to, &["t"]);
}

#[tokio::test]
async fn rows_are_updated_without_a_temporary_table_in_mysql() {
    rows_are_updated_without_a_temporary_table(Server::Mysql).await;
}

#[tokio::test]
async fn rows_are_updated_without_a_temporary_table_in_mariadb() {
    rows_are_updated_without_a_temporary_table(Server::Mariadb).await;
}
