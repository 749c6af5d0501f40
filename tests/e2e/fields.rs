//! Fields on their way: renamed, changed, cast, joined, masked and checked. What is expected is written out by hand, or
//! computed by openssl; nothing of the product is asked what a rule means.

use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::database::Database;
use harness::{Server, Syncline, oracle};
use mongodb::bson::{Bson, Document, doc};

use crate::syncline;

const KEY: &str = "0123456789abcdef0123456789abcdef";

const CUSTOMERS: &str = "CREATE TABLE customers (id INT NOT NULL PRIMARY KEY, mail VARCHAR(60), phone VARCHAR(30), \
    status INT, first_name VARCHAR(30), last_name VARCHAR(30), country VARCHAR(2), extra VARCHAR(200), \
    price VARCHAR(20), born VARCHAR(10), ssn VARCHAR(20), note VARCHAR(40));
 INSERT INTO customers VALUES
 (1, '  Ann@Example.COM ', '+49 170 1234567', 1, 'Ann', 'Lee', NULL, '{\"a\":{\"b\":7}}', '12.50', '1990-02-03', '111-22-3333', 'canary-one'),
 (2, 'bob@b.org', NULL, 2, 'Bob', NULL, 'FR', NULL, '3', NULL, '111-22-3333', 'canary-two'),
 (3, 'c@d.e', '12', 3, NULL, NULL, 'DE', '{}', NULL, '2000-12-31', NULL, NULL);";

const RULES: &str = "tables:
  - from: customers
    exclude: [first_name, last_name]
    fields:
      rules:
        mail: { to: email, apply: [trim, lower], required: true, matches: '^[^@ ]+@[^@ ]+$' }
        phone: { apply: [{ keep_last: 4 }] }
        status: { apply: [{ values: { 1: active, 2: closed, '*': other } }], as: text(10) }
        name: { join: [first_name, last_name], with: ' ' }
        country: { apply: [{ default: DE }, lower], one_of: [de, fr] }
        extra: { to: b, apply: [{ json: /a/b }], as: int32, max: 7 }
        price: { as: 'decimal(10,2)', min: 0.5, max: 100 }
        born: { as: date, min: 1900-01-01 }
        ssn: { apply: [{ hash: '${env:HASH_KEY}' }] }
        note: { apply: [redact] }
        mail_domain: { join: [mail], as: text(60) }
        origin: { constant: shop-eu }
";

/// HMAC as another program computes it.
fn hmac(message: &[u8]) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", KEY, "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().unwrap().write_all(message).unwrap();
    let told = openssl.wait_with_output().unwrap().stdout;
    String::from_utf8(told).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn with_key() -> Syncline {
    syncline().with("HASH_KEY", KEY)
}

/// What must be in no file of the installation, and in no output.
fn assert_nowhere(syncline: &Syncline, canary: &str) {
    let folder = syncline.marks().parent().unwrap().to_path_buf();
    for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        let is_there = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!is_there, "{canary} in {}", entry.path().display());
    }
}

#[tokio::test]
async fn s4_02_fields_become_what_their_rules_say_on_every_engine() {
    for server in [Server::Sqlite, Server::Mysql, Server::Mariadb, Server::Postgres, Server::Sqlserver] {
        let (from, to) = (Database::fresh(server).await, Database::fresh(Server::Postgres).await);
        from.exec(CUSTOMERS).await;
        let syncline = with_key();
        let spec = syncline.spec(&from, &to, RULES);
        let plan = syncline.run(&["plan", &spec, "--table", "customers"]).expect(0).stdout;
        assert!(plan.contains("mail → email") && plan.contains("trim, lower, required"), "{plan}");
        let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(record["record"]["counts"]["inserted"], 3, "{server:?}: {record:#}");
        let row = "SELECT concat_ws('|', id, email, phone, status, country, b, price, born, note, name, origin) \
                   FROM customers WHERE id =";
        for (id, expected) in [
            (1, "1|ann@example.com|***********4567|active|de|7|12.50|1990-02-03|***|Ann Lee|shop-eu"),
            (2, "2|bob@b.org|closed|fr|3.00|***|Bob|shop-eu"),
            (3, "3|c@d.e|12|other|de|2000-12-31|shop-eu"),
        ] {
            let is = to.text(&format!("{row} {id}")).await;
            assert_eq!(is.as_deref(), Some(expected), "{server:?}");
        }
        let hashed = to.text("SELECT ssn FROM customers WHERE id = 1").await;
        assert_eq!(hashed, Some(hmac(b"customers.ssn\x00111-22-3333")), "{server:?}");
        assert_eq!(to.number("SELECT count(*) FROM customers WHERE ssn IS NULL AND id = 3").await, 1);
        let typed = "SELECT data_type FROM information_schema.columns WHERE table_name = 'customers' AND column_name =";
        for (column, logical) in [("b", "integer"), ("price", "numeric"), ("born", "date")] {
            assert_eq!(to.text(&format!("{typed} '{column}'")).await.as_deref(), Some(logical));
        }
        let _ = syncline.run(&["verify", &spec]).expect(0);
        let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(again["record"]["counts"]["unchanged"], 3, "{server:?}: {again:#}");
        for canary in ["111-22-3333", "canary-one", KEY] {
            assert_nowhere(&syncline, canary);
        }
        to.exec("UPDATE customers SET email = 'other' WHERE id = 2").await;
        let diff =
            syncline.run(&["diff", &spec, "--table", "customers", "--values", "--json"]).expect(3).stdout;
        assert!(diff.contains("\"email\"") && diff.contains("bob@b.org") && diff.contains("other"), "{diff}");
    }
}

#[tokio::test]
async fn s4_02_documents_have_the_fields_that_the_rules_make() {
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Mongodb).await);
    from.exec(CUSTOMERS).await;
    let syncline = with_key();
    let spec = syncline.spec(&from, &to, RULES);
    let _ = syncline.run(&["run", &spec]).expect(0);
    let customers = to.documents().await.collection::<Document>("customers");
    let ann = customers.find_one(doc! { "_id": 1 }).await.unwrap().unwrap();
    assert_eq!(ann.get_str("email").unwrap(), "ann@example.com");
    assert_eq!(ann.get("b"), Some(&Bson::Int32(7)));
    assert_eq!(ann.get("price"), Some(&Bson::Decimal128("12.50".parse().unwrap())));
    assert_eq!(ann.get_str("name").unwrap(), "Ann Lee");
    assert_eq!(ann.get_str("origin").unwrap(), "shop-eu");
    assert!(matches!(ann.get("born"), Some(Bson::DateTime(_))), "{ann}");
    assert!(!ann.contains_key("first_name") && !ann.contains_key("mail"), "{ann}");
    let _ = syncline.run(&["verify", &spec]).expect(0);
    // A rule that changes is another copy of the table.
    let changed = RULES
        .replace("shop-eu", "shop-us")
        .replace("from: customers", "from: customers\n    policy: source-wins");
    let spec = syncline.spec(&from, &to, &changed);
    let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(again["record"]["counts"]["updated"], 3, "{again:#}");
}

/// What another program makes of a text that the step `encrypt` made.
fn decrypted(sealed: &str, column: &str, key: &str) -> String {
    let program = "import sys; from base64 import b64decode; from cryptography.hazmat.primitives.ciphers.aead import AESSIV; \
        sealed, column, key = sys.argv[1:]; \
        print(AESSIV(bytes.fromhex(key)).decrypt(b64decode(sealed), [column.encode()]).decode(), end='')";
    let python = oracle::root().join(".venv/bin/python");
    let told = Command::new(python).args(["-c", program, sealed, column, key]).output().expect("python");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

/// 4-24: a field is encrypted on its way, its owner reads it, and nobody else.
#[tokio::test]
async fn s4_24_a_field_is_encrypted_for_whoever_has_the_key() {
    let key = "0123456789abcdef".repeat(8);
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Postgres).await);
    from.exec(CUSTOMERS).await;
    let syncline = syncline().with("FIELD_KEY", &key).with("SHORT_KEY", KEY);
    let spec = |reference: &str| {
        let rules = format!(
            "ssn: {{ apply: [{{ encrypt: '${{env:{reference}}}' }}] }}, price: {{ apply: [{{ encrypt: '${{env:{reference}}}' }}] }}"
        );
        let rest = format!(
            "tables: [{{ from: customers, policy: source-wins, fields: {{ rules: {{ {rules} }} }} }}]"
        );
        syncline.spec(&from, &to, &rest)
    };
    let refused = syncline.run(&["plan", &spec("SHORT_KEY")]);
    assert!(refused.code != Some(0) && refused.stderr.contains("openssl rand -hex 64"), "{}", refused.stderr);
    let spec = spec("FIELD_KEY");
    let _ = syncline.run(&["run", &spec]).expect(0);
    let ssn = to.text("SELECT ssn FROM customers WHERE id = 1").await.unwrap();
    assert_eq!(decrypted(&ssn, "customers.ssn", &key), "111-22-3333");
    assert_eq!(to.text("SELECT ssn FROM customers WHERE id = 2").await, Some(ssn), "equal values stay equal");
    assert_eq!(to.number("SELECT count(*) FROM customers WHERE id = 3 AND ssn IS NULL").await, 1);
    let price = to.text("SELECT price FROM customers WHERE id = 1").await.unwrap();
    assert_eq!(decrypted(&price, "customers.price", &key), "12.50");
    let _ = syncline.run(&["verify", &spec]).expect(0);
    let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(again["record"]["counts"]["unchanged"], 3, "{again:#}");
    for canary in ["111-22-3333", key.as_str()] {
        assert_nowhere(&syncline, canary);
    }
}

/// A row that breaks a rule is set aside, left out, or ends the run; its value is told to nobody.
#[tokio::test]
async fn s4_13_a_broken_rule_quarantines_skips_or_fails() {
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Mongodb).await);
    from.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, mail VARCHAR(40), n INT);
         INSERT INTO t VALUES (1, 'A@B', 1), (2, 'canary-mail', 2), (3, 'C@D', 3)",
    )
    .await;
    let documents = to.documents().await.collection::<Document>("t");
    let syncline = syncline();
    let rules = |on_fail: &str| {
        format!(
            "tables:\n  - from: t\n    fields: {{ rules: {{ mail: {{ apply: [lower], matches: '@', on_fail: {on_fail} }} }} }}"
        )
    };
    let failed = syncline.run(&["run", &syncline.spec(&from, &to, &rules("fail"))]).expect(8);
    let told = format!("{}{}", failed.stdout, failed.stderr);
    assert!(told.contains("field mail") && told.contains("on_fail: fail"), "{told}");
    assert_eq!(to.rows("t").await, 0, "the chunk is one transaction");

    let skipped = syncline.run(&["run", &syncline.spec(&from, &to, &rules("skip"))]).expect(0);
    assert!(skipped.stdout.contains("1 row left out by a rule"), "{}", skipped.stdout);
    let record = syncline.run(&["show", "latest", "--json"]).expect(0).json();
    assert_eq!(record["record"]["counts"]["filtered"], 1, "{record:#}");
    assert_eq!(to.rows("t").await, 2);

    let spec = syncline.spec(&from, &to, &rules("quarantine"));
    let _ = syncline.run(&["run", &spec]).expect(3);
    let listed = syncline.run(&["quarantine", "list", "latest"]).expect(0).stdout;
    assert!(listed.contains("does not match") && !listed.contains("canary-mail"), "{listed}");
    let none = syncline
        .run(&["quarantine", "correct", "latest", "1", "--column", "nothing", "--value", "x"])
        .expect(4);
    assert!(none.stderr.contains("no column nothing"), "{}", none.stderr);
    // What a person says stands for what the source holds: the rule is applied to it.
    let _ = syncline.run(&["quarantine", "correct", "latest", "1", "--value", "MENDED@X"]).expect(0);
    let _ = syncline.run(&["quarantine", "replay", "latest"]).expect(0);
    let _ = syncline.run(&["run", &spec, "--resume", "latest"]).expect(0);
    let mended = documents.find_one(doc! { "_id": 2 }).await.unwrap().unwrap();
    assert_eq!(mended.get_str("mail").unwrap(), "mended@x");
    assert_nowhere(&syncline, "canary-mail");
}

/// What is skipped stays as it is at the target, also under a mirror; what else the mirror deletes it deletes.
#[tokio::test]
async fn a_skipped_row_is_not_one_that_is_gone() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, -5), (4, 4)",
    )
    .await;
    to.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(
        &from,
        &to,
        "tables:\n  - from: t\n    mode: mirror\n    guard: { max_delete: 100% }\n    \
         fields: { rules: { n: { min: 0, on_fail: skip } } }",
    );
    let _ = syncline.run(&["run", &spec]).expect(0);
    let rows = "SELECT group_concat(id || '=' || n, ' ') FROM (SELECT * FROM t ORDER BY id)";
    assert_eq!(to.text(rows).await.as_deref(), Some("1=1 2=2 4=4"));
}

/// A table that is there keeps its columns; a rule says which column of the source goes where.
#[tokio::test]
async fn an_existing_table_gets_renamed_and_cast_columns() {
    let (from, to) = (Database::fresh(Server::Mariadb).await, Database::fresh(Server::Postgres).await);
    from.exec(
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, total VARCHAR(20), placed VARCHAR(30), tags VARCHAR(60));
         INSERT INTO orders VALUES (1, ' 10.00 ', '2024-05-01 10:00:00', 'red,big'), (2, '1,000', '2024-05-01', 'blue');",
    )
    .await;
    to.exec(
        "CREATE TABLE sales (order_no BIGINT PRIMARY KEY, amount NUMERIC(12,2), at TIMESTAMP, colour TEXT, size TEXT, \
         source TEXT NOT NULL)",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(
        &from,
        &to,
        "tables:
  - from: orders
    to: sales
    fields:
      rules:
        id: { to: order_no, min: 1 }
        total: { to: amount, apply: [trim], as: 'decimal(12,2)' }
        placed: { to: at, as: datetime }
        tags: { to: colour, apply: [{ split: { at: ',', part: 1 } }, upper] }
        size: { join: [tags], apply: [{ split: { at: ',', part: 2 } }] }
        source: { constant: mariadb }",
    );
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["counts"]["quarantined"], 1, "1,000 is no number here: {record:#}");
    let row = "SELECT concat_ws('|', order_no, amount, at, colour, size, source) FROM sales";
    assert_eq!(to.text(row).await.as_deref(), Some("1|10.00|2024-05-01 10:00:00|RED|big|mariadb"));
}

#[tokio::test]
async fn rules_that_cannot_hold_are_refused_before_any_write() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER, at DATETIME, raw BLOB)").await;
    let syncline = syncline();
    let planned = |rules: &str, more: &str| {
        let rest = format!("tables:\n  - from: t\n{more}    fields: {{ rules: {{ {rules} }} }}");
        let refused = syncline.run(&["plan", &syncline.spec(&from, &to, &rest)]);
        assert_ne!(refused.code, Some(0), "{rules}");
        refused.stderr
    };
    for (rules, more, expected) in [
        ("id: { apply: [trim] }", "", "must stay as they are"),
        ("at: { as: date }", "    incremental: at\n", "must stay as they are"),
        ("b: { to: c }", "", "column `b`"),
        ("x: { join: [a, b] }", "", "column `b`"),
        ("x: { join: [raw, a] }", "", "holds bytes"),
        ("a: { to: n }", "", "would be column `n`"),
        ("a: { to: x }, n: { to: x }", "", "two fields"),
        ("a: { min: 3 }", "", "no `min` and `max`"),
        ("n: { max: many }", "", "has a limit"),
        ("a: { as: varchar }", "", "unknown type `varchar`"),
        ("a: { matches: '(' }", "", "not a regular expression"),
        ("a: { apply: [trin] }", "", "trim"),
        ("a: { apply: [{ split: { at: '', part: 1 } }] }", "", "separator"),
        ("a: { apply: [{ hash: secret }] }", "", "reference"),
        ("a: { apply: [{ hash: '${env:NOBODY_SET_THIS}' }] }", "", "NOBODY_SET_THIS"),
        ("a: { constant: x, join: [a] }", "", "one of"),
        ("a: { to: b }", "    exclude: [a]\n", "excluded"),
        ("a: { empty: true, on_fail: delete, apply: [trim] }", "", "as it is"),
        ("a: { empty: true, on_fail: delete }", "    policy: { newest: at }\n", "newer at the target"),
        ("a: { empty: true, on_fail: drop }", "", "delete"),
    ] {
        let told = planned(rules, more);
        assert!(told.contains(expected), "{rules}: {told}");
    }
}

/// The shipped example, as it is.
#[tokio::test]
async fn the_example_makes_documents_of_products_orders_customers_and_inventory() {
    let example = oracle::root().join("examples/03-shop-to-mongodb");
    let (from, to) = (Database::fresh(Server::Mysql).await, Database::fresh(Server::Mongodb).await);
    from.exec(&std::fs::read_to_string(example.join("schema.sql")).unwrap()).await;
    let (place, mongodb) = (Server::Mysql.place(), Server::Mongodb.url());
    let (host, port) = place.split_once(':').unwrap();
    let user = from.url.split_once("://").and_then(|(_, rest)| rest.split_once(':')).unwrap().0;
    let mongodb = mongodb.trim_end_matches('/').rsplit_once(':').unwrap().1;
    let syncline = with_key()
        .with("MYSQL_HOST", host)
        .with("MYSQL_PORT", port)
        .with("MYSQL_USER", user)
        .with("MYSQL_PASSWORD", Server::Mysql.password())
        .with("MYSQL_DATABASE", &from.name)
        .with("MONGODB_PORT", mongodb)
        .with("MONGODB_DATABASE", &to.name);
    let spec = example.join("spec.yaml").display().to_string();
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    let counts = &record["record"]["counts"];
    assert_eq!(
        (&counts["inserted"], &counts["quarantined"], &counts["filtered"]),
        (&6.into(), &2.into(), &1.into())
    );
    let documents = to.documents().await;
    let one = async |name: &str, id: Bson| {
        documents.collection::<Document>(name).find_one(doc! { "_id": id }).await.unwrap().unwrap()
    };
    let lamp = one("products", 1_i64.into()).await;
    assert_eq!((text(&lamp, "sku"), text(&lamp, "maker")), ("AB-100", "Lumen"));
    assert_eq!(lamp.get("price"), Some(&Bson::Decimal128("19.90".parse().unwrap())));
    let order = one("orders", 10_i64.into()).await;
    assert_eq!((text(&order, "status"), text(&order, "currency")), ("open", "EUR"));
    let line =
        doc! { "line": 2, "product_id": 1, "pieces": 1, "price": Bson::Decimal128("19.90".parse().unwrap()) };
    assert_eq!(order.get_array("lines").unwrap()[1], Bson::Document(line), "{order}");
    let ada = one("customers", 1_i64.into()).await;
    assert_eq!((text(&ada, "email"), text(&ada, "name")), ("ada@example.org", "Ada Lovelace"));
    assert_eq!(text(&ada, "phone"), "************0123");
    assert_eq!(text(&ada, "tax_number"), hmac(b"customers.tax_number\x00GB 123"));
    let stock = documents.collection::<Document>("inventory").find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(stock.get("reserved"), Some(&Bson::Int32(0)));
    // Nothing has changed: only what was set aside comes again.
    from.exec("UPDATE orders SET status = 2, updated_at = '2026-02-01' WHERE id = 12").await;
    let _ = syncline.run(&["run", &spec]);
    assert_eq!(text(&one("orders", 12_i64.into()).await, "status"), "paid");
}

fn text<'a>(document: &'a Document, field: &str) -> &'a str {
    document.get_str(field).unwrap()
}

/// Rows that a column marks as deleted go from the target, whatever else they hold, and come back with the mark gone.
async fn marked_rows_are_deleted(server: Server, target: Server) {
    let (from, to) = (Database::fresh(server).await, Database::fresh(target).await);
    let moment = if server == Server::Postgres { "TIMESTAMPTZ" } else { "TIMESTAMP(6)" };
    from.exec(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY, mail VARCHAR(40) NOT NULL UNIQUE, born VARCHAR(20), \
         deleted_at {moment} NULL, changed {moment} NOT NULL);
         CREATE INDEX t_changed ON t (changed)"
    ))
    .await;
    let row = |id: i32| {
        let deleted = if id == 3 { "'2024-05-01 11:00:00'" } else { "NULL" };
        format!("({id}, '{id}@x', '2001-02-03', {deleted}, '2024-05-01 10:00:00')")
    };
    let rows: Vec<String> = (1..=400).map(row).collect();
    from.exec(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
    let syncline = syncline();
    let spec = syncline.spec(
        &from,
        &to,
        "defaults: { chunk: { rows_max: 150 } }
tables:
  - from: t
    incremental: changed
    fields: { rules: { born: { as: date }, deleted_at: { empty: true, on_fail: delete } } }",
    );
    let counts = |code: i32| {
        let record = syncline.run(&["run", &spec, "--json"]).expect(code).json();
        ["read", "inserted", "updated", "unchanged", "filtered", "quarantined", "deleted"]
            .map(|name| record["record"]["counts"][name].as_i64().expect("a number"))
    };
    assert_eq!(counts(0), [400, 399, 0, 1, 0, 0, 0], "a marked row never arrives");
    let planned = syncline.run(&["plan", &spec]).expect(0).stdout;
    assert!(planned.contains("else the row is deleted"), "{planned}");
    // Marked in one window: a row whose unique value another takes over, one with a value that cannot be read, one never seen.
    let now = if server == Server::Postgres { "clock_timestamp()" } else { "NOW(6)" };
    from.exec(&format!(
        "UPDATE t SET deleted_at = {now}, changed = {now} WHERE id IN (7, 8, 350);
         UPDATE t SET mail = 'gone' WHERE id = 7;
         UPDATE t SET born = 'never', deleted_at = {now}, changed = {now} WHERE id = 9;
         UPDATE t SET mail = 'new@x', changed = {now} WHERE id = 10;
         INSERT INTO t VALUES (500, 'e@x', '2001-02-03', {now}, {now}), (501, '7@x', '2001-02-03', NULL, {now})"
    ))
    .await;
    assert_eq!(counts(0), [7, 1, 1, 1, 0, 0, 4]);
    assert_eq!(to.rows("t").await, 396);
    let again = counts(0);
    assert_eq!((again[0], again[6]), (7, 0), "the overlap finds nothing to delete: {again:?}");
    from.exec(&format!("UPDATE t SET deleted_at = NULL, changed = {now} WHERE id = 8")).await;
    let back = counts(0);
    assert_eq!((back[1], back[6]), (1, 0), "{back:?}");
    let _ = syncline.run(&["verify", &spec]).expect(0);
    // Marked behind our back, so that no window shows it: a check of all rows does.
    from.exec("UPDATE t SET deleted_at = '2024-05-01 11:00:00' WHERE id = 20").await;
    let differs = syncline.run(&["verify", &spec, "--json"]).expect(3).json();
    assert_eq!(differs["record"]["counts"]["different"], 1, "{differs:#}");
    let _ = syncline.run(&["resync", &spec]).expect(0);
    let _ = syncline.run(&["verify", &spec]).expect(0);
    from.exec("DELETE FROM t WHERE deleted_at IS NOT NULL").await;
    assert_eq!(to.rows("t").await, from.rows("t").await);
}

#[tokio::test]
async fn rows_marked_in_mysql_are_deleted_in_mongodb() {
    marked_rows_are_deleted(Server::Mysql, Server::Mongodb).await;
}

#[tokio::test]
async fn rows_marked_in_mariadb_are_deleted_in_postgres() {
    marked_rows_are_deleted(Server::Mariadb, Server::Postgres).await;
}

#[tokio::test]
async fn rows_marked_in_postgres_are_deleted_in_mysql() {
    marked_rows_are_deleted(Server::Postgres, Server::Mysql).await;
}
