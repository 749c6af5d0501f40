//! What is SQLite's own: keys that hold NULL, names in another letter case, types that say less than they seem to.

use std::sync::Arc;
use std::time::Duration;

use connectors::{Circuit, ConnectionConfig, Role, Selection, Slice, Target};
use futures::TryStreamExt as _;
use model::{ConnectionSpec, Engine, ErrorKind, Key, KeyRange, LogicalType, TableRef, TableSchema, Value};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tempfile::TempDir;

/// A file with this content.
async fn file(sql: &str) -> (TempDir, Arc<dyn Target>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.db").to_string_lossy().into_owned();
    let spec = ConnectionSpec { path: Some(path), ..ConnectionSpec::new(Engine::Sqlite) };
    let deadline = Duration::from_secs(20);
    let circuit = Circuit::new(Engine::Sqlite, "the test's file");
    let config =
        ConnectionConfig { spec, password: None, role: Role::Target, connections_max: 2, deadline, circuit };
    let target = connectors::open(&config).expect("opened");
    target.server().await.expect("the file is made");
    run(&folder, sql).await;
    (folder, target)
}

async fn run(folder: &TempDir, sql: &str) {
    let path = folder.path().join("t.db");
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("connected");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("native SQL runs");
    connection.close().await.expect("closed");
}

async fn described(target: &dyn Target, name: &str) -> TableSchema {
    target.describe(&TableRef::named(name)).await.expect("described").expect("there")
}

async fn nullable(target: &dyn Target, name: &str) -> Vec<bool> {
    described(target, name).await.columns.iter().map(|c| c.nullable).collect()
}

#[tokio::test]
async fn a_key_column_is_nullable_while_a_row_has_null_there() {
    let (folder, target) = file(
        "CREATE TABLE by_text (k TEXT PRIMARY KEY, n INT); \
         CREATE TABLE by_int (k INT PRIMARY KEY, n INT); \
         CREATE TABLE upside_down (k INTEGER PRIMARY KEY DESC, n INT); \
         CREATE TABLE by_pair (a TEXT, b TEXT, c TEXT NOT NULL, PRIMARY KEY (b, a, c)); \
         CREATE TABLE rowid_alias (k INTEGER PRIMARY KEY, n INT); \
         CREATE TABLE without_rowid (a TEXT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID; \
         INSERT INTO by_text VALUES ('a', 1); INSERT INTO by_int VALUES (1, 1); \
         INSERT INTO upside_down VALUES (1, 1); INSERT INTO by_pair VALUES ('a', 'b', 'c'); \
         INSERT INTO rowid_alias VALUES (NULL, 1); INSERT INTO without_rowid VALUES ('a', 'b')",
    )
    .await;
    for (name, columns) in [
        ("by_text", vec![false, true]),
        ("by_int", vec![false, true]),
        ("upside_down", vec![false, true]),
        ("by_pair", vec![false; 3]),
        ("rowid_alias", vec![false, true]),
        ("without_rowid", vec![false; 2]),
    ] {
        assert_eq!(nullable(target.as_ref(), name).await, columns, "{name}");
    }
    run(
        &folder,
        "INSERT INTO by_text VALUES (NULL, 2), (NULL, 3); INSERT INTO by_int VALUES (NULL, 2); \
         INSERT INTO upside_down VALUES (NULL, 2); INSERT INTO by_pair VALUES (NULL, 'b', 'c')",
    )
    .await;
    for (name, columns) in [
        ("by_text", vec![true, true]),
        ("by_int", vec![true, true]),
        ("upside_down", vec![true, true]),
        ("by_pair", vec![true, false, false]),
        ("rowid_alias", vec![false, true]),
    ] {
        assert_eq!(nullable(target.as_ref(), name).await, columns, "{name}");
    }
    run(&folder, "DELETE FROM by_text WHERE k IS NULL").await;
    assert_eq!(nullable(target.as_ref(), "by_text").await, [false, true]);
}

#[tokio::test]
async fn a_boundary_with_null_is_an_error() {
    let (_folder, target) = file(
        "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b)); \
         INSERT INTO t VALUES ('x', NULL), ('x', NULL), ('x', NULL), ('y', 'b'), ('z', 'b')",
    )
    .await;
    let schema = described(target.as_ref(), "t").await;
    let key = ["a".to_owned(), "b".to_owned()];
    let error = target.next_boundary(&schema, &key, None, 2).await.expect_err("a NULL stands there");
    assert_eq!((error.kind, error.object.as_deref()), (ErrorKind::NotNull, Some("b")));
    let text = |t: &str| Value::Text(t.to_owned());
    let whole = target.next_boundary(&schema, &key, None, 3).await;
    assert_eq!(whole, Ok(Some(Key(vec![text("y"), text("b")]))));
}

#[tokio::test]
async fn a_table_is_found_in_any_letter_case_under_its_own_name() {
    let (_folder, target) = file("CREATE TABLE Users (id INTEGER PRIMARY KEY)").await;
    for name in ["users", "USERS", "Users"] {
        assert_eq!(described(target.as_ref(), name).await.table, TableRef::named("Users"));
    }
    assert_eq!(target.describe(&TableRef::named("user_")).await, Ok(None), "no pattern");
}

/// Other spellings of a UUID than ours are other bytes.
#[tokio::test]
async fn a_uuid_of_others_is_text() {
    let (_folder, target) = file(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, theirs UUID, ours UUID_TEXT, whatever); \
         INSERT INTO t VALUES (1, '5F2B5E0C-9C1D-4B7E-8C9A-0A1B2C3D4E5F', \
         '5f2b5e0c-9c1d-4b7e-8c9a-0a1b2c3d4e5f', 'x')",
    )
    .await;
    let schema = described(target.as_ref(), "t").await;
    let logical = |name: &str| schema.column(name).expect("there").logical.clone();
    assert_eq!(logical("theirs"), LogicalType::Text { max_chars: Some(36), fixed: false, long: false });
    assert_eq!(logical("ours"), LogicalType::Uuid);
    assert_eq!(logical("whatever"), LogicalType::Bytes { max_bytes: None, fixed: false, long: true });
    let slice = Slice {
        columns: schema.columns.clone().into(),
        key: schema.primary_key.clone(),
        rows: Selection::Range(KeyRange::all()),
        table: schema,
    };
    let batches: Vec<_> = target.read(&slice).try_collect().await.expect("read");
    assert_eq!(batches[0].rows[0][1], Value::Text("5F2B5E0C-9C1D-4B7E-8C9A-0A1B2C3D4E5F".to_owned()));
}
