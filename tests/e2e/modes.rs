//! insert-only, merge under its policies, mirror with its guard; foreign keys in order, cycles included.

use harness::database::Database;
use harness::{Server, oracle};

use crate::syncline;

const PEOPLE: &str = "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(40), at DATETIME)";

async fn pair(source: &str, target: &str) -> (Database, Database) {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(&format!("{PEOPLE}; {source}")).await;
    to.exec(&format!("{PEOPLE}; {target}")).await;
    (from, to)
}

const SOURCE: &str =
    "INSERT INTO p VALUES (1, 'same', '2024-01-01 00:00:00'), (2, 'source', '2024-01-02 00:00:00'),
    (3, 'older', '2024-01-01 00:00:00'), (4, 'new', '2024-01-01 00:00:00'), (5, 'source', '2024-01-01 00:00:00')";
const TARGET: &str =
    "INSERT INTO p VALUES (1, 'same', '2024-01-01 00:00:00'), (2, 'target', '2024-01-01 00:00:00'),
    (3, 'newer', '2024-01-09 00:00:00'), (5, 'target', '2024-01-01 00:00:00'), (9, 'own', '2024-01-01 00:00:00')";

async fn names(db: &Database) -> String {
    db.text("SELECT group_concat(id || name) FROM (SELECT * FROM p ORDER BY id)").await.unwrap_or_default()
}

#[tokio::test]
async fn each_mode_and_policy_keeps_its_word() {
    for (rest, code, expected) in [
        ("mode: merge", 0, "1same,2source,3older,4new,5source,9own"),
        ("policy: keep-target", 0, "1same,2target,3newer,4new,5target,9own"),
        ("policy: { newest: at }", 0, "1same,2source,3newer,4new,5source,9own"),
        ("mode: insert-only", 3, "1same,2target,3newer,4new,5target,9own"),
        ("mode: mirror, guard: { max_delete: 50% }", 0, "1same,2source,3older,4new,5source"),
        // One of six is more than the guard's ten percent.
        ("mode: mirror", 8, "1same,2source,3older,4new,5source,9own"),
    ] {
        let (from, to) = pair(SOURCE, TARGET).await;
        let syncline = syncline();
        let spec = syncline.spec(&from, &to, &format!("tables:\n  - {{ from: p, {rest} }}"));
        let done = syncline.run(&["run", &spec]).expect(code);
        assert_eq!(names(&to).await, expected, "{rest}: {}", done.stdout);
    }
}

#[tokio::test]
async fn an_emptied_source_never_empties_the_target() {
    let (from, to) = pair("", TARGET).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: p, mode: mirror }");
    let _ = syncline.run(&["run", &spec]).expect(8);
    assert_eq!(to.number("SELECT count(*) FROM p").await, 5);
}

#[tokio::test]
async fn parents_come_before_children_and_cycles_are_checked_at_the_end() {
    cycles(Server::Mariadb, "SET foreign_key_checks = 0").await;
}

#[tokio::test]
async fn parents_come_before_children_and_cycles_are_checked_at_the_end_in_postgres() {
    cycles(Server::Postgres, "SET session_replication_role = replica").await;
}

async fn cycles(server: Server, unchecked: &str) {
    let (from, to) = (Database::fresh(server).await, Database::fresh(server).await);
    let tables = "
        CREATE TABLE z_parent (id INT PRIMARY KEY, boss INT, FOREIGN KEY (boss) REFERENCES z_parent (id));
        CREATE TABLE child (id INT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES z_parent (id));
        CREATE TABLE a (id INT PRIMARY KEY, b INT);
        CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id));
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id);";
    from.exec(tables).await;
    to.exec(tables).await;
    from.exec(&format!(
        "{unchecked}; INSERT INTO z_parent VALUES (1, 3), (2, 1), (3, NULL);
         INSERT INTO child VALUES (1, 1), (2, 3); INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1);"
    ))
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: \"*\"");
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &["z_parent", "child", "a", "b"]);

    // An orphan that only a cycle lets through is found at the end and said.
    from.exec(&format!("{unchecked}; UPDATE z_parent SET boss = 99 WHERE id = 2")).await;
    let done = syncline.run(&["run", &spec]).expect(3);
    assert!(done.stdout.contains("z_parent") && done.stdout.contains("foreign key"), "{}", done.stdout);
}
