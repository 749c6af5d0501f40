//! The pipeline that the environment alone describes: MySQL → MongoDB, no spec file.

use std::sync::Arc;
use std::time::Duration;

use connectors::{Circuit, ConnectionConfig, Role};
use harness::{Database, Server, Syncline, oracle, wait_until};
use model::spec::PoolLimits;
use model::{ConnectionSpec, Engine, ErrorKind};
use mongodb::bson::{Document, doc};
use secrecy::SecretString;
use serde_json::Value;

use crate::syncline;

const SOON: Duration = Duration::from_secs(60);
const TABLES: [&str; 5] = ["products", "orders", "customers", "inventory", "categories"];
const ROWS: usize = 150;

struct Shop {
    from: Database,
    to: Database,
    syncline: Syncline,
}

/// The five tables; one of them does not tell when its rows change.
async fn shop() -> Shop {
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Mongodb).await);
    for table in TABLES {
        let changed = if table == "categories" { "" } else { ", updated_at TIMESTAMP(6) NOT NULL" };
        let value = if table == "categories" { "" } else { ", '2024-05-01 10:00:00'" };
        from.exec(&format!("CREATE TABLE {table} (id INT UNSIGNED PRIMARY KEY, name VARCHAR(40){changed})"))
            .await;
        let rows: Vec<String> = (1..=ROWS).map(|id| format!("({id}, 'é {id}'{value})")).collect();
        from.exec(&format!("INSERT INTO {table} VALUES {}", rows.join(", "))).await;
    }
    let (host, port) =
        Server::Mysql.place().split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    let user = from.url.split_once("://").and_then(|(_, rest)| rest.split_once(':')).unwrap().0.to_owned();
    let uri = Server::Mongodb.url();
    let syncline = syncline()
        .with("MYSQL_HOST", host)
        .with("MYSQL_PORT", port)
        .with("MYSQL_USER", user)
        .with("MYSQL_PASSWORD", Server::Mysql.password())
        .with("MYSQL_DATABASE", &from.name)
        .with("MONGODB_URI", format!("{}/?retryWrites=true&w=majority", uri.trim_end_matches('/')))
        .with("MONGODB_DATABASE", &to.name)
        .with("SYNC_TABLES", TABLES.join(","));
    Shop { from, to, syncline }
}

fn lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// 4-01, 4-05, 4-17, 4-30: the variables alone, with the two that MongoDB needs, start `serve`, which syncs the five tables
/// and reads only what changed after that.
#[tokio::test]
async fn s4_30_the_environment_alone_starts_a_service() {
    let shop = shop().await;
    let mut serve = shop.syncline.start("serve", &["serve", "--workers", "2", "--log-format", "json"]);
    let ended = |operation: &str, log: &str| {
        lines(log).into_iter().filter(|line| line["operation"] == operation).collect::<Vec<_>>()
    };
    wait_until("five tables are in", SOON, async || ended("sync_completed", &serve.log()).len() == 5).await;
    oracle::assert_equal(&shop.from, &shop.to, &TABLES);
    let pipeline = shop.syncline.run(&["pipelines", "--json"]).expect(0).json();
    assert_eq!(pipeline["pipeline"], "mysql-to-mongodb");
    assert_eq!(
        (&pipeline["default"], &pipeline["schedule"]["when"]["every"]),
        (&true.into(), &3_600.into()),
        "{pipeline}"
    );

    shop.from.exec("UPDATE products SET name = 'new', updated_at = NOW(6) WHERE id IN (3, 77)").await;
    shop.from.exec("INSERT INTO products VALUES (900, 'more', NOW(6))").await;
    let _ = shop.syncline.run(&["pipelines", "trigger", "mysql-to-mongodb"]).expect(0);
    wait_until("and again", SOON, async || ended("sync_completed", &serve.log()).len() == 10).await;
    oracle::assert_equal(&shop.from, &shop.to, &TABLES);
    let log = serve.log();
    for line in ended("sync_completed", &log) {
        let of = |key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{key}: {line}"));
        let sum = of("records_updated") + of("records_created") + of("records_skipped");
        assert_eq!(of("records_processed"), sum, "{line}");
        assert_eq!((&line["level"], &line["component"]), (&"INFO".into(), &"sync_service".into()), "{line}");
        assert!(line["duration_seconds"].is_number() && of("errors") == 0, "{line}");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    let products: Vec<Value> =
        ended("sync_completed", &log).into_iter().filter(|l| l["table"] == "products").collect();
    assert_eq!(
        (&products[0]["records_created"], &products[1]["records_processed"]),
        (&150.into(), &3.into())
    );
    assert_eq!(ended("sync_started", &log).len(), 10);
    // Where nothing tells changes, everything is read, and the record says so.
    let latest = shop.syncline.run(&["show", "latest", "--json"]).expect(0).stdout;
    assert!(latest.contains("no column updated_at: read whole each time"), "{latest}");
    assert!(!log.contains(&Server::Mysql.password()));
    assert_eq!(serve.terminate(), Some(0), "{log}");
}

/// 4-08, 4-09, 4-10: `.env` is read, the real environment wins, and one is told which.
#[tokio::test]
async fn s4_10_a_file_of_variables_gives_way_to_the_environment() {
    let shop = shop().await;
    let file =
        "SYNC_TABLES='[\"products\", \"inventory\"]'\nSYNC_INVENTORY_COLLECTION=stock\nSYNC_RETRY_DELAY=7\n";
    std::fs::write(shop.syncline.dir.path().join(".env"), file).unwrap();
    let shown =
        shop.syncline.run_with(&[("SYNC_RETRY_DELAY", "9")], &["config", "show", "--origin", "--json"]);
    let shown = lines(&shown.expect(0).stdout);
    let of = |name: &str| shown.iter().find(|line| line["name"] == name).unwrap().clone();
    assert_eq!(
        (of("SYNC_RETRY_DELAY")["value"].clone(), of("SYNC_RETRY_DELAY")["from"].clone()),
        ("9".into(), "environment".into())
    );
    assert_eq!(of("SYNC_TABLES")["from"], "environment", "five tables, as the environment says");
    assert_eq!(of("SYNC_BATCH_SIZE")["from"], "default");
    assert_eq!(of("MYSQL_PASSWORD")["value"], "(hidden)");
    let two = shop.syncline.run_with(&[("SYNC_TABLES", "products,inventory")], &["run"]).expect(0);
    assert!(!two.stderr.contains(&Server::Mysql.password()), "{}", two.stderr);
    let documents = shop.to.documents().await;
    let stock = documents.collection::<mongodb::bson::Document>("stock");
    assert_eq!(stock.count_documents(mongodb::bson::doc! {}).await.unwrap(), ROWS as u64);
    // The text of the spec is one that can be kept as a file.
    let text = shop.syncline.run(&["config", "show"]).expect(0).stdout;
    std::fs::write(shop.syncline.dir.path().join("kept.yaml"), &text).unwrap();
    let _ = shop.syncline.run(&["check", "--strict", "kept.yaml"]).expect(0);
    let two = [("SYNC_TABLES", "products,inventory")];
    let _ = shop.syncline.run_with(&two, &["verify", "env:"]).expect(0);

    std::fs::write(shop.syncline.dir.path().join(".env"), "A=1\ncanary without a sign\n").unwrap();
    let refused = shop.syncline.run(&["config", "show"]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains(".env") && !refused.stderr.contains("canary"), "{}", refused.stderr);
}

/// 4-19: the password of the login is changed while the service waits for its next run, which then is refused
/// until `.env` has the new one, and then everything goes on, without a restart and without a failed run.
#[tokio::test]
async fn s4_19_a_changed_password_is_taken_without_a_restart() {
    let shop = shop().await;
    let login = Login::new(&shop.from, "canary-one").await;
    let file = shop.syncline.dir.path().join(".env");
    let write = |password: &str| std::fs::write(&file, format!("MYSQL_PASSWORD={password}\n")).unwrap();
    write("canary-one");
    let syncline = shop.syncline.without("MYSQL_PASSWORD").with("MYSQL_USER", &shop.from.name);
    let mut serve = syncline.start("serve", &["serve", "--workers", "2"]);
    let done = || {
        // Before `serve` has made its ledger there is none.
        let runs = syncline.run(&["runs", "--json"]).stdout;
        lines(&runs).into_iter().filter(|run| run["state"] == "done").count()
    };
    wait_until("the first run is done", SOON, async || done() == 1).await;

    for (nth, password) in [(2, "canary-two"), (3, "canary-three")] {
        shop.from
            .exec(&format!("UPDATE products SET name = '{password}', updated_at = NOW(6) WHERE id < 50"))
            .await;
        login.change(password).await;
        let _ = syncline.run(&["pipelines", "trigger", "mysql-to-mongodb"]).expect(0);
        let refused = || serve.log().matches("authentication").count();
        let before = refused();
        wait_until("the old password is refused", SOON, async || refused() > before).await;
        write(password);
        wait_until("the run is done all the same", SOON, async || done() == nth).await;
    }
    oracle::assert_equal(&shop.from, &shop.to, &TABLES);
    let pipeline = syncline.run(&["pipelines", "--json"]).expect(0).json();
    assert_eq!(pipeline["paused_ms"], Value::Null, "{pipeline}");
    assert!(!serve.log().contains("canary"), "{}", serve.log());
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
}

/// 4-19: as above, in the middle of a run whose password stands in a file: chunks are given back until the file has the new
/// one, and none of them has failed.
#[tokio::test]
async fn s4_19_a_password_changed_in_the_middle_of_a_run() {
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Postgres).await);
    let login = Login::new(&from, "canary-one").await;
    for database in [&from, &to] {
        database.exec("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40))").await;
    }
    let rows: Vec<String> = (1..=40_000).map(|id| format!("({id}, 'row {id}')")).collect();
    from.exec(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
    let syncline = syncline();
    let file = syncline.dir.path().join("password");
    std::fs::write(&file, "canary-one").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let spec = syncline.spec(&from, &to, "tables: [{ from: t }]\ndefaults: { chunk: { rows_max: 100 } }\n");
    let text = std::fs::read_to_string(&spec).unwrap();
    let reference = format!("${{env:{}}}", Server::Mysql.password_variable());
    let (first, rest) = text.split_once(&reference).unwrap();
    let first = first.replace("user: root", &format!("user: {}", from.name));
    assert!(first.contains(&from.name));
    std::fs::write(&spec, format!("{first}${{file:{}}}{rest}", file.display())).unwrap();

    let mut run = syncline.start("run", &["run", &spec, "--workers", "2", "-v"]);
    let moved = async || {
        assert!(run.is_alive(), "{}", run.log());
        to.number("SELECT count(*) FROM t").await > 500
    };
    wait_until("the first chunks are in", SOON, moved).await;
    login.change("canary-two").await;
    let mut refused = || {
        assert!(run.is_alive(), "{}", run.log());
        run.log().contains("not ready")
    };
    wait_until("the old one is refused", SOON, async || refused()).await;
    std::fs::write(&file, "canary-two").unwrap();
    assert_eq!(run.child.wait().unwrap().code(), Some(0), "{}", run.log());
    oracle::assert_equal(&from, &to, &["t"]);
    let record = syncline.run(&["show", "latest", "--json"]).expect(0);
    assert!(!record.stdout.contains("\"failed\":1") && !run.log().contains("canary"), "{}", run.log());
}

/// A login of MySQL that sees one database and what is under way at the server.
struct Login<'a> {
    database: &'a Database,
    name: String,
}

impl<'a> Login<'a> {
    async fn new(database: &'a Database, password: &str) -> Self {
        let name = format!("'{}'@'%'", database.name);
        let grant = format!("GRANT ALL ON {}.* TO {name}; GRANT PROCESS ON *.* TO {name}", database.name);
        database.exec(&format!("CREATE USER {name} IDENTIFIED BY '{password}'; {grant}")).await;
        Self { database, name }
    }

    /// Changes the password and ends all sessions.
    async fn change(&self, password: &str) {
        self.database.exec(&format!("ALTER USER {} IDENTIFIED BY '{password}'", self.name)).await;
        let sessions = format!(
            "SELECT COALESCE(GROUP_CONCAT(CONCAT('KILL ', id) SEPARATOR ';'), 'DO 0') \
             FROM information_schema.processlist WHERE user = '{}'",
            self.database.name
        );
        let kill = self.database.text(&sessions).await.unwrap();
        // One that has ended by itself is no failure.
        let _ = self.database.try_exec(&kill).await;
    }
}

/// 4-21: of rows that were changed on both sides the later one stays, at a tie MySQL's; each is in the log with both values,
/// both times, the winner and the rule, and what only one side changed is not.
#[tokio::test]
async fn s4_21_the_last_write_wins_and_conflicts_are_logged() {
    let shop = shop().await;
    let mut serve = shop.syncline.start("serve", &["serve", "--workers", "2", "--log-format", "json"]);
    let completed = || lines(&serve.log()).iter().filter(|l| l["operation"] == "sync_completed").count();
    wait_until("the first run is done", SOON, async || completed() == 5).await;

    let at = "2031-02-03 10:00:0";
    for (id, second) in [(1, 1), (2, 9), (3, 5), (4, 4)] {
        let set = format!("SET name = 'mysql {id}', updated_at = '{at}{second}' WHERE id = {id}");
        shop.from.exec(&format!("UPDATE products {set}")).await;
    }
    let products = shop.to.documents().await.collection::<Document>("products");
    for id in [1, 2, 3, 7] {
        let at = mongodb::bson::DateTime::parse_rfc3339_str("2031-02-03T10:00:05Z").unwrap();
        let set = doc! { "$set": { "name": format!("mongo {id}"), "updated_at": at } };
        assert_eq!(products.update_one(doc! { "_id": id }, set).await.unwrap().modified_count, 1);
    }
    let _ = shop.syncline.run(&["pipelines", "trigger", "mysql-to-mongodb"]).expect(0);
    wait_until("and the second", SOON, async || completed() == 10).await;
    for (id, name) in [(1, "mongo 1"), (2, "mysql 2"), (3, "mysql 3"), (4, "mysql 4"), (7, "mongo 7")] {
        let found = products.find_one(doc! { "_id": id }).await.unwrap().unwrap();
        assert_eq!(found.get_str("name").unwrap(), name);
    }

    let listed = shop.syncline.run(&["conflicts", "latest", "--values", "--json"]).expect(0).stdout;
    let conflicts: Vec<Value> = lines(&listed);
    let told = |n: usize| {
        let c = &conflicts[n];
        let name = &c["columns"][0];
        assert_eq!((&c["rule"], &c["table"]), (&"newest: updated_at".into(), &"products".into()), "{c}");
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        [&c["key"], &c["winner"], &name["source"], &name["target"], &c["source_mark"], &c["target_mark"]]
            .map(text)
    };
    assert_eq!(conflicts.len(), 3, "{listed}");
    let mark = |second| format!("2031-02-03T10:00:0{second}Z");
    let row = |id: &str, winner: &str, at: u8| {
        let (mysql, mongo) = (format!("\"mysql {id}\""), format!("\"mongo {id}\""));
        [id.to_owned(), winner.to_owned(), mysql, mongo, mark(at), mark(5)]
    };
    let expected = [row("1", "target", 1), row("2", "source", 9), row("3", "source", 5)];
    let mut found: Vec<_> = (0..3).map(told).collect();
    found.sort();
    assert_eq!(found, expected);
    let unasked = shop.syncline.run(&["conflicts", "latest"]).expect(0).stdout;
    assert!(unasked.contains("3 conflicts") && !unasked.contains("mongo 1"), "{unasked}");
    let log = serve.log();
    let resolved: Vec<_> =
        lines(&log).into_iter().filter(|l| l["operation"] == "conflict_resolved").collect();
    assert_eq!((resolved.len(), &resolved[0]["conflicts"]), (1, &3.into()), "{log}");
    assert!(!log.contains("mongo 1") && !log.contains("mysql 1"), "a value in the log");
    assert_eq!(serve.terminate(), Some(0), "{log}");
}

/// 4-05: all that is missing, at once, before anything is connected to.
#[test]
fn s4_05_what_is_missing_is_listed() {
    let syncline = syncline().with("MYSQL_HOST", "db.invalid");
    for command in [&["serve"][..], &["run"], &["plan"], &["check"]] {
        let refused = syncline.run(command);
        assert_eq!(refused.code, Some(4), "{}", refused.stderr);
        for name in ["MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE", "MONGODB_URI", "MONGODB_DATABASE"] {
            assert!(refused.stderr.contains(name), "{name}: {}", refused.stderr);
        }
    }
}

/// 4-06: no more connections than the variable says, and none older.
#[tokio::test]
async fn s4_06_a_pool_keeps_its_limits() {
    let shop = shop().await;
    let pool = PoolLimits { min: 1, max: Some(2), wait_ms: Some(300), recycle_ms: Some(1_000) };
    let (host, port) =
        Server::Mysql.place().split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    let user =
        shop.from.url.split_once("://").and_then(|(_, rest)| rest.split_once(':')).unwrap().0.to_owned();
    let spec = ConnectionSpec {
        host: Some(host),
        port: port.parse().ok(),
        user: Some(user),
        database: Some(shop.from.name.clone()),
        pool,
        ..ConnectionSpec::new(Engine::Mysql)
    };
    let config = ConnectionConfig {
        password: Some(SecretString::from(Server::Mysql.password())),
        role: Role::Source,
        connections_max: 2,
        deadline: Duration::from_secs(20),
        circuit: Circuit::new(Engine::Mysql, "the test's server"),
        spec,
    };
    let source = connectors::open(&config).unwrap();
    let sessions =
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let slow = model::limits::Gauge::Query("SELECT SLEEP(1.5)".to_owned());
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (source, slow) = (Arc::clone(&source), slow.clone());
            async move { source.gauge(&slow).await }
        })
        .collect();
    let busy = futures::future::join_all(busy);
    let meanwhile = async {
        wait_until("both are at work", SOON, async || shop.from.number(sessions).await == 2).await;
        let refused = source.tables().await.expect_err("no connection is free");
        assert_eq!(refused.kind, ErrorKind::Timeout);
        assert!(refused.to_string().contains("none of 2 connections became free"), "{refused}");
    };
    let (done, ()) = tokio::join!(busy, meanwhile);
    for one in done {
        one.unwrap();
    }
    // Both are older than a second by now: the next statement has a new one.
    wait_until("both are closed", SOON, async || shop.from.number(sessions).await == 0).await;
    source.tables().await.unwrap();
    assert_eq!(shop.from.number(sessions).await, 1);
}
