//! What only SQL Server has.

use harness::database::Database;
use harness::{Server, oracle};

use crate::syncline;

/// Types of its own, computed columns, identities and filtered indexes, from one server to another.
#[tokio::test]
async fn what_is_its_own_is_kept() {
    let (from, to) = (Database::fresh(Server::Sqlserver).await, Database::fresh(Server::Sqlserver).await);
    from.exec(
        "CREATE TABLE [it's a [t]]able] ([the id] int NOT NULL IDENTITY(1,1), [n] nvarchar(40) COLLATE Latin1_General_CI_AS NULL, \
         [price] money NOT NULL, [at] datetime NULL, [twice] AS ([the id] * 2), [v] rowversion, \
         CONSTRAINT [the key] PRIMARY KEY ([the id]));
         INSERT INTO [it's a [t]]able] ([n], [price], [at]) VALUES (N'é', 922337203685477.5807, '2024-02-29T01:02:03.127'), (NULL, -0.0001, NULL), (NULL, 0, NULL);
         CREATE UNIQUE INDEX [by n] ON [it's a [t]]able] ([n]) WHERE [n] IS NOT NULL",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: \"*\", exclude: [v] }");
    let plan = syncline.run(&["plan", &spec]).expect(0).stdout;
    assert!(!plan.contains('!'), "nothing is lost: {plan}");
    let _ = syncline.run(&["run", &spec]).expect(0);
    let column =
        |name: &str| format!("SELECT DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE COLUMN_NAME = '{name}'");
    for (name, native) in [("price", "money"), ("at", "datetime"), ("n", "nvarchar"), ("twice", "int")] {
        assert_eq!(to.text(&column(name)).await.as_deref(), Some(native), "{name}");
    }
    assert_eq!(to.number("SELECT COUNT(*) FROM sys.indexes WHERE is_unique = 1 AND has_filter = 1").await, 1);
    let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(again["record"]["counts"]["unchanged"], 3, "{again:#}");
    // The next row gets the next number.
    to.exec("INSERT INTO [it's a [t]]able] ([price], [twice]) VALUES (1, 0)").await;
    assert_eq!(to.number("SELECT MAX([the id]) FROM [it's a [t]]able]").await, 4);
}

/// Rows that the table's own rules refuse are found one by one, and the others of their chunk come in.
#[tokio::test]
async fn rules_of_a_table_refuse_their_rows_alone() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlserver).await);
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, c VARCHAR(9), u INTEGER)").await;
    let rows: Vec<String> = (1..=500).map(|i| format!("({i}, {i}, 'abc', {i})")).collect();
    from.exec(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
    from.exec(
        "UPDATE t SET n = -1 WHERE id = 17; UPDATE t SET n = NULL WHERE id = 101; UPDATE t SET u = 200 WHERE id = 201;
         UPDATE t SET c = 'é日' WHERE id = 300; UPDATE t SET c = 'é€' WHERE id = 301; UPDATE t SET c = 'too long' WHERE id = 302",
    )
    .await;
    to.exec(
        "CREATE TABLE t (id bigint NOT NULL PRIMARY KEY, n bigint NOT NULL CHECK (n > 0), c varchar(5) NULL, u bigint UNIQUE)",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: t, on_lossy_type: quarantine }");
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["counts"]["quarantined"], 5, "{record:#}");
    let listed = syncline.run(&["quarantine", "list", "latest"]).expect(0).stdout;
    for (id, kind) in
        [(17, "check"), (101, "not-null"), (201, "duplicate-key"), (300, "encoding"), (302, "too-long")]
    {
        let is_listed = listed.lines().any(|line| line.contains(&format!(" {id} ")) && line.contains(kind));
        assert!(is_listed, "{id} {kind}: {listed}");
    }
    from.exec("DELETE FROM t WHERE id IN (17, 101, 201, 300, 302)").await;
    oracle::assert_equal(&from, &to, &["t"]);
}

/// A source that allows no snapshots is read under locks, and `doctor` says what would be better.
#[tokio::test]
async fn doctor_says_what_the_source_should_allow() {
    let (from, to) = (Database::fresh(Server::Sqlserver).await, Database::fresh(Server::Sqlite).await);
    from.exec("CREATE TABLE t (id int NOT NULL PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let told = syncline.run(&["doctor", &spec]).stdout;
    assert!(told.contains("ALLOW_SNAPSHOT_ISOLATION"), "{told}");
    from.exec(&format!("ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION ON", from.name)).await;
    let told = syncline.run(&["doctor", &spec]).stdout;
    assert!(!told.contains("ALLOW_SNAPSHOT_ISOLATION"), "{told}");
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &["t"]);
}

/// A database that is only to be read is a source, and is refused as a target before a write.
#[tokio::test]
async fn a_read_only_database_is_refused_as_a_target() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlserver).await);
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    to.exec(&format!("ALTER DATABASE {} SET READ_ONLY", to.name)).await;
    let syncline = syncline();
    let done = syncline.run(&["run", &syncline.spec(&from, &to, "tables:\n  - from: t")]);
    assert_ne!(done.code, Some(0));
    assert!(done.stderr.contains("read-only"), "{}", done.stderr);
    assert_eq!(to.tables().await, 0);
}
