//! MongoDB as it is found: documents of any shape, collections that others fill, servers of other kinds.

use std::time::Duration;

use harness::database::Database;
use harness::private_mongodb::{PrivateMongodb, USER};
use harness::proxy::{Dir, Proxy};
use harness::{Server, Syncline, oracle};
use mongodb::bson::{Bson, Decimal128, Document, doc, oid::ObjectId};

use crate::syncline;

/// Documents as an application writes them: nested, with types of every kind, fields that some lack.
fn orders() -> Vec<Document> {
    let when = mongodb::bson::DateTime::from_millis(1_709_208_000_123);
    let exact = |text: &str| text.parse::<Decimal128>().expect("a decimal");
    let id = |n: u32| ObjectId::from_parts(1_700_000_000 + n, [1; 5], [0, 0, 1]);
    let mut orders: Vec<Document> = (0..1_500)
        .map(|n| {
            doc! {
                "_id": id(n), "number": i64::from(n) << 33, "total": exact("12.50"), "paid": n % 2 == 0, "at": when,
                "lines": [{ "sku": format!("s{n}"), "qty": 2 }], "customer": { "name": "é😀", "tags": ["a", Bson::Null] },
            }
        })
        .collect();
    orders[1].remove("customer");
    orders[8].insert("total", exact("-0.000000000001"));
    orders[3].insert("total", Bson::Null);
    orders[4].insert("note", "only here");
    orders[5].insert("mixed", 5);
    orders[6].insert("mixed", "five");
    orders
}

#[tokio::test]
async fn documents_of_any_shape_become_rows() {
    let from = Database::fresh(Server::Mongodb).await;
    from.documents().await.collection::<Document>("orders").insert_many(orders()).await.unwrap();
    for target in [Server::Sqlite, Server::Mariadb, Server::Postgres, Server::Mongodb, Server::Sqlserver] {
        let to = Database::fresh(target).await;
        let syncline = syncline();
        let spec =
            syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 200 } }\ntables:\n  - from: orders");
        let columns = syncline.run(&["plan", &spec, "--table", "orders"]).expect(0).stdout;
        for (field, native) in [("_id", "objectId"), ("total", "decimal"), ("lines", "any"), ("mixed", "any")]
        {
            let is_told = columns.lines().any(|l| l.contains(field) && l.contains(native));
            assert!(is_told, "{field} {native}: {columns}");
        }
        let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(record["record"]["counts"]["inserted"], 1_500, "{target:?}: {record:#}");
        assert!(record["record"]["chunks"]["done"].as_u64().unwrap() >= 7, "cut by ObjectId: {record:#}");
        let _ = syncline.run(&["verify", &spec]).expect(0);
        let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(again["record"]["counts"]["unchanged"], 1_500, "{target:?}: {again:#}");
        if target == Server::Mongodb {
            // Types and the order of fields are kept, not only meanings; of a decimal its trailing zeros are not.
            let one = |db: mongodb::Database| async move {
                db.collection::<Document>("orders")
                    .find_one(doc! { "number": 8_i64 << 33 })
                    .await
                    .unwrap()
                    .unwrap()
            };
            assert_eq!(one(from.documents().await).await, one(to.documents().await).await);
        } else {
            oracle::assert_equal(&from, &to, &["orders"]);
        }
    }
}

/// An application's collection, told apart by its own ObjectIds, with a rule and fields that are nobody else's business.
#[tokio::test]
async fn a_collection_that_others_fill_keeps_what_is_theirs() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mongodb).await);
    from.exec(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20), age INTEGER);
         INSERT INTO users VALUES (1, 'ann', 31), (2, 'bob', 41), (3, 'cy', 7), (4, NULL, 50)",
    )
    .await;
    let documents = to.documents().await;
    let rule = doc! { "$jsonSchema": { "properties": { "age": { "minimum": 18 } } } };
    documents.create_collection("users").validator(rule).await.unwrap();
    let users = documents.collection::<Document>("users");
    users.insert_one(doc! { "id": 1, "name": "old", "age": 30, "theme": { "dark": true } }).await.unwrap();
    users.insert_one(doc! { "id": 9, "name": "zoe", "age": 90 }).await.unwrap();
    let index = mongodb::IndexModel::builder().keys(doc! { "id": 1 });
    let unique = mongodb::options::IndexOptions::builder().unique(true).build();
    users.create_index(index.options(unique).build()).await.unwrap();

    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: users");
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    let counts = &record["record"]["counts"];
    assert_eq!((&counts["inserted"], &counts["updated"]), (&2.into(), &1.into()), "{record:#}");
    assert_eq!(counts["quarantined"], 1, "the rule refuses one row, and that row only: {record:#}");
    let listed = syncline.run(&["quarantine", "list", "latest", "--json"]).expect(0).stdout;
    assert!(listed.contains("age") && listed.contains("check"), "{listed}");

    let found = |id: i64| {
        let users = users.clone();
        async move { users.find_one(doc! { "id": id }).projection(doc! { "_id": 0 }).await.unwrap() }
    };
    let ann = doc! { "id": 1, "name": "ann", "age": 31, "theme": { "dark": true } };
    assert_eq!(found(1).await, Some(ann), "fields that the source does not know stay");
    assert_eq!(found(9).await, Some(doc! { "id": 9, "name": "zoe", "age": 90 }));
    assert_eq!(
        found(4).await.and_then(|d| d.get("name").cloned()),
        None,
        "NULL is a field that is not there"
    );
    assert_eq!(found(3).await, None);
}

#[tokio::test]
async fn a_row_longer_than_a_document_is_set_aside() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Mongodb).await);
    from.exec(
        "CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB, more BLOB);
         INSERT INTO files VALUES (1, zeroblob(1000), NULL), (2, zeroblob(17000000), NULL),
           (3, zeroblob(9000000), zeroblob(9000000)), (4, zeroblob(9000000), NULL)",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: files");
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["counts"]["quarantined"], 2, "{record:#}");
    let listed = syncline.run(&["quarantine", "list", "latest"]).expect(0).stdout;
    assert!(listed.contains("16 MiB"), "{listed}");
    from.exec("DELETE FROM files WHERE id IN (2, 3)").await;
    oracle::assert_equal(&from, &to, &["files"]);
}

fn spec_at(port: u16, more: &str, source: &Database) -> String {
    format!(
        "version: 1\nname: x\nsource: {}\ntarget: {{ engine: mongodb, host: 127.0.0.1, port: {port}, database: shop{more} }}\n\
         tables:\n  - from: t\n",
        source.spec()
    )
}

fn written(syncline: &Syncline, text: &str) -> String {
    let path = syncline.dir.path().join("spec.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn one_row() -> Database {
    let from = Database::fresh(Server::Sqlite).await;
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    from
}

#[tokio::test]
async fn a_standalone_server_is_a_source_and_refused_as_a_target() {
    let server = PrivateMongodb::start(&["--standalone"]).await;
    let from = one_row().await;
    let syncline = syncline();
    let spec = written(&syncline, &spec_at(server.port, "", &from));
    let done = syncline.run(&["run", &spec]);
    assert_ne!(done.code, Some(0));
    assert!(done.stderr.contains("standalone") && done.stderr.contains("rs.initiate()"), "{}", done.stderr);
    let shop = server.client(None).database("shop");
    assert!(shop.list_collection_names().await.unwrap().is_empty());

    // To read from it needs no transactions.
    shop.collection::<Document>("t")
        .insert_many([doc! { "_id": 1, "v": "x" }, doc! { "_id": 2 }])
        .await
        .unwrap();
    let to = Database::fresh(Server::Sqlite).await;
    let spec = format!(
        "version: 1\nname: y\nsource: {{ engine: mongodb, host: 127.0.0.1, port: {}, database: shop }}\ntarget: {}\n\
         tables:\n  - from: t\n",
        server.port,
        to.spec()
    );
    let _ = syncline.run(&["run", &written(&syncline, &spec)]).expect(0);
    assert_eq!(
        to.text("SELECT group_concat(_id || coalesce(v, '-')) FROM t").await.as_deref(),
        Some("1x,2-")
    );
}

#[tokio::test]
async fn tls_is_verified_and_users_are_asked_for() {
    const PASSWORD: &str = "canary-p4ss:w/rd@";
    let server = PrivateMongodb::start_secured(PASSWORD).await;
    let authority = std::env::var("SYNCLINE_TEST_TLS_CA").unwrap();
    let from = one_row().await;
    let trusted = format!(", tls: verify, tls_ca: \"{authority}\"");
    let login = |password: &str| format!(", user: {USER}, password: \"${{env:{password}}}\"");
    let syncline = syncline().with("RIGHT", PASSWORD).with("WRONG", "canary-no");
    for (more, code) in [
        (trusted.clone() + &login("RIGHT"), None),
        (", tls: insecure, insecure_tls: accept-unverified".to_owned() + &login("RIGHT"), None),
        (", tls: verify".to_owned() + &login("RIGHT"), Some("SYN-20")),
        (trusted.clone() + &login("WRONG"), Some("SYN-20")),
        (trusted.clone(), Some("SYN-20")),
    ] {
        let spec = written(&syncline, &spec_at(server.port, &more, &from));
        let started = std::time::Instant::now();
        let done = syncline.run(&["run", &spec]);
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code == Some(0), code.is_none(), "{more}: {said}");
        assert!(!said.contains("canary"), "{said}");
        assert!(code.is_none_or(|code| said.contains(code)), "{more}: {said}");
        assert!(started.elapsed() < Duration::from_secs(60), "{more}: an answer comes before patience ends");
    }
}

/// 4-25: a line that is narrow is spared, if one asks for it.
#[tokio::test]
async fn s4_25_messages_are_compressed_on_the_wire() {
    let from = Database::fresh(Server::Sqlite).await;
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
         WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 2000)
         INSERT INTO t SELECT x, printf('%0200d', x) FROM i",
    )
    .await;
    let mut carried = Vec::new();
    for more in ["", ", compression: zlib"] {
        let to = Database::fresh(Server::Mongodb).await;
        let url = Server::Mongodb.url();
        let place = url.trim_start_matches("mongodb://").trim_end_matches('/');
        let proxy = Proxy::to(place);
        let spec = spec_at(proxy.address.port(), more, &from)
            .replace("database: shop", &format!("database: {}", to.name));
        let syncline = syncline();
        let _ = syncline.run(&["run", &written(&syncline, &spec)]).expect(0);
        oracle::assert_equal(&from, &to, &["t"]);
        carried.push((proxy.carried(Dir::ToServer), proxy.carried(Dir::ToClient)));
    }
    assert!(carried[1].0 * 2 < carried[0].0 && carried[1].1 < carried[0].1, "{carried:?}");
    let refused = spec_at(1, "", &from).replace("engine: mongodb", "engine: mysql, compression: zlib");
    let syncline = syncline();
    let told = syncline.run(&["check", &written(&syncline, &refused)]).expect(4).stderr;
    assert!(told.contains("mysql has no `compression`"), "{told}");
}
