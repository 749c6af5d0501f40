//! Rows of other tables as documents and lists of documents in MongoDB. What is expected is written out by hand.

use harness::database::Database;
use harness::{Server, Syncline};
use mongodb::bson::{Bson, Document, doc};

use crate::syncline;

const SHOP: &str = "CREATE TABLE customers (id INT NOT NULL PRIMARY KEY, name VARCHAR(30) NOT NULL, vip INT);
 CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, customer_id INT, note VARCHAR(30),
   FOREIGN KEY (customer_id) REFERENCES customers (id));
 CREATE TABLE order_lines (order_id INT NOT NULL, line_no INT NOT NULL, sku VARCHAR(20), qty BIGINT, price DECIMAL(10,2),
   due DATE, PRIMARY KEY (order_id, line_no), FOREIGN KEY (order_id) REFERENCES orders (id));
 INSERT INTO customers VALUES (7, 'Ann', NULL), (8, 'Bob', 1);
 INSERT INTO orders VALUES (1, 7, 'first'), (2, 7, 'empty'), (3, NULL, 'no customer'), (4, 8, 'one');
 INSERT INTO order_lines VALUES (1, 10, 'C', 1, 0.10, NULL), (1, 9, 'B', 5000000000, 12.50, '2024-02-29'),
   (1, 2, NULL, NULL, NULL, NULL), (3, 1, 'A', 1, 3.00, NULL), (4, 1, 'A', 2, 3.00, NULL);";

const NESTED: &str = "tables:
  - from: orders
    policy: source-wins
    exclude: [customer_id]
    fields:
      rules:
        lines: { nest: order_lines, order_by: [line_no] }
        customer: { nest: customers, one: true, columns: [name] }
";

async fn sides(source: Server) -> (Database, Database, Syncline) {
    (Database::fresh(source).await, Database::fresh(Server::Mongodb).await, syncline())
}

async fn order(to: &Database, id: i32) -> Document {
    let orders = to.documents().await.collection::<Document>("orders");
    orders.find_one(doc! { "_id": id }).await.unwrap().expect("the order")
}

fn skus(order: &Document) -> Vec<&str> {
    let lines = order.get_array("lines").unwrap().iter();
    lines.map(|line| line.as_document().unwrap().get_str("sku").unwrap_or("-")).collect()
}

/// 4-02: an order holds its lines, in their order, and its customer; types are those of fields.
#[tokio::test]
async fn s4_02_an_order_holds_its_lines_and_its_customer() {
    for server in [Server::Sqlite, Server::Mysql, Server::Mariadb, Server::Postgres, Server::Sqlserver] {
        let (from, to, syncline) = sides(server).await;
        from.exec(SHOP).await;
        let spec = syncline.spec(&from, &to, NESTED);
        let plan = syncline.run(&["plan", &spec]).expect(0).stdout;
        assert!(plan.contains("rows of order_lines"), "{plan}");
        let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(record["record"]["counts"]["inserted"], 4, "{server:?}: {record:#}");

        let first = order(&to, 1).await;
        assert_eq!(first.get_document("customer").unwrap(), &doc! { "name": "Ann" }, "{server:?}");
        assert_eq!(skus(&first), ["-", "B", "C"], "{server:?}");
        let line = first.get_array("lines").unwrap()[1].as_document().unwrap();
        assert_eq!(line.keys().collect::<Vec<_>>(), ["line_no", "sku", "qty", "price", "due"], "{server:?}");
        assert_eq!(line.get("qty"), Some(&Bson::Int64(5_000_000_000)));
        assert_eq!(line.get("price"), Some(&Bson::Decimal128("12.50".parse().unwrap())), "{server:?}");
        assert!(matches!(line.get("due"), Some(Bson::DateTime(_))), "{line}");
        assert!(!first.contains_key("customer_id"), "{first}");
        assert_eq!(first.get_array("lines").unwrap()[0], Bson::Document(doc! { "line_no": 2 }));
        assert_eq!(order(&to, 2).await.get_array("lines").unwrap().len(), 0);
        assert!(!order(&to, 3).await.contains_key("customer"));

        let _ = syncline.run(&["verify", &spec]).expect(0);
        let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(again["record"]["counts"]["unchanged"], 4, "{server:?}: {again:#}");

        from.exec(
            "DELETE FROM order_lines WHERE order_id = 3; UPDATE customers SET name = 'Bea' WHERE id = 8",
        )
        .await;
        let diff = syncline.run(&["diff", &spec, "--table", "orders", "--json"]).expect(3).stdout;
        assert!(diff.contains("lines") && diff.contains("customer"), "{diff}");
        let again = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        assert_eq!(again["record"]["counts"]["updated"], 2, "{server:?}: {again:#}");
        assert_eq!(order(&to, 4).await.get_document("customer").unwrap(), &doc! { "name": "Bea" });
        let _ = syncline.run(&["verify", &spec]).expect(0);
    }
}

/// Many rows, over several batches and chunks: each line is in its order, once.
#[tokio::test]
async fn each_of_many_lines_is_in_its_order() {
    let (from, to, syncline) = sides(Server::Postgres).await;
    from.exec(
        "CREATE TABLE orders (id INT PRIMARY KEY); CREATE TABLE order_lines (id INT PRIMARY KEY, order_id INT, n INT);
         CREATE INDEX ON order_lines (order_id);
         INSERT INTO orders SELECT generate_series(1, 3300);
         INSERT INTO order_lines SELECT i, 1 + i % 3300, i FROM generate_series(1, 9900) i",
    )
    .await;
    let rule = "lines: { nest: order_lines, on: { order_id: id }, order_by: [n] }";
    let rest = format!(
        "defaults: {{ chunk: {{ rows_max: 700 }} }}\ntables: [{{ from: orders, fields: {{ rules: {{ {rule} }} }} }}]"
    );
    let spec = syncline.spec(&from, &to, &rest);
    let _ = syncline.run(&["run", &spec]).expect(0);
    for id in [1, 1000, 1001, 2_377, 3300] {
        let lines = order(&to, id).await;
        let lines = lines.get_array("lines").unwrap().iter().map(|line| line.as_document().unwrap());
        let numbers: Vec<i32> = lines.map(|line| line.get_i32("n").unwrap()).collect();
        let first = if id == 1 { 3300 } else { id - 1 };
        assert_eq!(numbers, [first, first + 3300, first + 6600], "{id}");
    }
    let _ = syncline.run(&["verify", &spec]).expect(0);
}

/// What the database takes for equal is equal, letter case and all.
#[tokio::test]
async fn keys_that_are_equal_to_the_database_alone_find_each_other() {
    for server in [Server::Mysql, Server::Sqlserver] {
        let (from, to, syncline) = sides(server).await;
        from.exec(
            "CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, code VARCHAR(10) NOT NULL);
             CREATE TABLE order_lines (id INT NOT NULL PRIMARY KEY, code VARCHAR(10), sku VARCHAR(10));
             INSERT INTO orders VALUES (1, 'abc'), (2, 'xyz');
             INSERT INTO order_lines VALUES (1, 'ABC', 'A'), (2, 'abc', 'B'), (3, 'xyz', 'C'), (4, NULL, 'D')",
        )
        .await;
        let rule = "lines: { nest: order_lines, on: { code: code }, order_by: [id] }";
        let rest = format!("tables: [{{ from: orders, fields: {{ rules: {{ {rule} }} }} }}]");
        let spec = syncline.spec(&from, &to, &rest);
        let _ = syncline.run(&["run", &spec]).expect(0);
        assert_eq!(skus(&order(&to, 1).await), ["A", "B"], "{server:?}");
        assert_eq!(skus(&order(&to, 2).await), ["C"], "{server:?}");
    }
}

/// A row whose documents cannot be made is set aside whole, named by its own key and told what is wrong.
#[tokio::test]
async fn a_row_whose_documents_cannot_be_made_is_set_aside() {
    let (from, to, syncline) = sides(Server::Sqlite).await;
    from.exec(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY);
         CREATE TABLE order_lines (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id), qty INTEGER);
         CREATE TABLE receipts (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id));
         INSERT INTO orders VALUES (1), (2), (3), (4);
         INSERT INTO order_lines VALUES (1, 1, 5), (2, 2, 'canary-many'), (3, 3, 1);
         INSERT INTO receipts VALUES (1, 1), (2, 3), (3, 3)",
    )
    .await;
    let rules = "lines: { nest: order_lines, required: true }, receipt: { nest: receipts, one: true }";
    let spec = syncline.spec(
        &from,
        &to,
        &format!("tables: [{{ from: orders, fields: {{ rules: {{ {rules} }} }} }}]"),
    );
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    assert_eq!(record["record"]["counts"]["quarantined"], 3, "{record:#}");
    let listed = syncline.run(&["quarantine", "list", "latest", "--json"]).expect(0).stdout;
    for why in ["order_lines.qty", "2 rows of receipts belong to it", "lines"] {
        assert!(listed.contains(why), "{why}: {listed}");
    }
    assert!(!listed.contains("canary"), "{listed}");
    from.exec("UPDATE order_lines SET qty = 2 WHERE id = 2; DELETE FROM receipts WHERE id = 3").await;
    from.exec("INSERT INTO order_lines VALUES (4, 4, 1)").await;
    let _ = syncline.run(&["run", &spec]).expect(0);
    let _ = syncline.run(&["verify", &spec]).expect(0);
}

/// An incremental table: what touches the order brings its lines as they are now.
#[tokio::test]
async fn lines_come_with_an_order_that_changed() {
    let (from, to, syncline) = sides(Server::Mysql).await;
    from.exec(
        "CREATE TABLE orders (id INT PRIMARY KEY, at TIMESTAMP(6) NOT NULL, KEY (at));
         CREATE TABLE order_lines (id INT PRIMARY KEY, order_id INT, sku VARCHAR(9),
           FOREIGN KEY (order_id) REFERENCES orders (id));
         INSERT INTO orders VALUES (1, '2024-01-01'), (2, '2024-01-01');
         INSERT INTO order_lines VALUES (1, 1, 'A'), (2, 2, 'B')",
    )
    .await;
    let spec = syncline.spec(
        &from,
        &to,
        "tables: [{ from: orders, policy: source-wins, incremental: at, fields: { rules: { lines: { nest: order_lines } } } }]",
    );
    let plan = syncline.run(&["plan", &spec, "--table", "orders"]).expect(0).stdout;
    assert!(plan.contains("seen when at of its row changes"), "{plan}");
    let _ = syncline.run(&["run", &spec]).expect(0);
    from.exec("INSERT INTO order_lines VALUES (3, 1, 'C'); UPDATE orders SET at = NOW(6) WHERE id = 1").await;
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(record["record"]["counts"]["read"], 1, "{record:#}");
    assert_eq!(skus(&order(&to, 1).await), ["A", "C"]);
}

#[tokio::test]
async fn nests_that_cannot_be_are_refused_before_any_write() {
    let (from, to, syncline) = sides(Server::Sqlite).await;
    let elsewhere = Database::fresh(Server::Sqlite).await;
    from.exec(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE order_lines (id INTEGER PRIMARY KEY, order_id INTEGER, sku TEXT)",
    )
    .await;
    let told = |to: &Database, rule: &str| {
        let rest = format!("tables: [{{ from: orders, fields: {{ rules: {{ lines: {{ {rule} }} }} }} }}]");
        let refused = syncline.run(&["plan", &syncline.spec(&from, to, &rest)]);
        assert_ne!(refused.code, Some(0), "{rule}");
        refused.stderr
    };
    for (rule, expected) in [
        ("nest: nowhere", "`nowhere`"),
        ("nest: order_lines", "not one foreign key tells"),
        ("nest: order_lines, on: { orderid: id }", "no column `orderid`"),
        ("nest: order_lines, on: { order_id: nr }", "`orders` has no column `nr`"),
        ("nest: order_lines, on: { order_id: id }, order_by: [line]", "no column `line`"),
        ("nest: order_lines, on: { order_id: id }, columns: [skus]", "no column `skus`"),
        ("nest: order_lines, apply: [trim]", "`apply` changes single values"),
        ("nest: order_lines, constant: a", "one of `constant`, `join` and `nest`"),
        ("order_by: [n]", "`order_by` stands beside `nest` only"),
    ] {
        let told = told(&to, rule);
        assert!(told.contains(expected), "{rule}: {told}");
    }
    let told = told(&elsewhere, "nest: order_lines, on: { order_id: id }");
    assert!(told.contains("which sqlite does not keep"), "{told}");
}
