//! Verification is honest: a difference of one bit is found and named, whoever made it.

use harness::database::Database;
use harness::{Server, data};

use crate::syncline;

#[tokio::test]
async fn one_changed_one_missing_and_one_extra_row_are_counted_and_named() {
    for target in [Server::Sqlite, Server::Mariadb, Server::Mysql, Server::Postgres] {
        if target.is_absent() {
            continue;
        }
        let (from, to) = (Database::fresh(Server::Mariadb).await, Database::fresh(target).await);
        from.exec(data::CUSTOMERS_MYSQL).await;
        for batch in data::customers(2_000, 5, true) {
            from.exec(&batch).await;
        }
        let syncline = syncline();
        let spec =
            syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 300 } }\ntables:\n  - from: customers");
        let _ = syncline.run(&["run", &spec]).expect(0);
        let _ = syncline.run(&["verify", &spec]).expect(0);

        let some = |n: u32| format!("SELECT id FROM customers ORDER BY id LIMIT 1 OFFSET {n}");
        let (changed, gone) = (to.number(&some(700)).await, to.number(&some(1_400)).await);
        to.exec(&format!("UPDATE customers SET credit = credit + 0.000001 WHERE id = {changed}")).await;
        to.exec(&format!("DELETE FROM customers WHERE id = {gone}")).await;
        let columns = "id, email, first_name, last_name, country, balance, active, updated_at";
        to.exec(&format!(
            "INSERT INTO customers ({columns}) SELECT 999999999, email, first_name, last_name, country, balance,
             active, updated_at FROM customers WHERE id = {changed}"
        ))
        .await;

        let record = syncline.run(&["verify", &spec, "--json"]).expect(3).json();
        let counts = &record["record"]["counts"];
        assert_eq!(counts["matching"], 1_998, "{record:#}");
        assert_eq!(counts["different"], 1, "{record:#}");
        assert_eq!(counts["missing"], 1, "{record:#}");
        assert_eq!(counts["extra"], 1, "{record:#}");

        let named = syncline.run(&["diff", &spec, "--table", "customers"]).expect(3).stdout;
        for key in [changed, gone, 999_999_999] {
            assert!(named.contains(&key.to_string()), "{key}: {named}");
        }
        assert!(named.contains("credit"), "{named}");
    }
}
