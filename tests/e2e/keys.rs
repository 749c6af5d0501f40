//! Keys of every kind: ranges that neither gap nor overlap, and reads that cost what the chunk holds.

use harness::database::Database;
use harness::{Server, data, oracle};

use crate::syncline;

/// A table per kind of key: name, key columns, rows as SELECT over a series `n(i)` of 1 to 3,000.
const KINDS: [(&str, &str, &str, &str); 9] = [
    ("gaps", "k BIGINT, v INT, PRIMARY KEY (k)", "i * i * 1000003", ""),
    ("negative", "k BIGINT, v INT, PRIMARY KEY (k)", "(i - 1500) * 6148914691236517", ""),
    ("u64_max", "k BIGINT UNSIGNED, v INT, PRIMARY KEY (k)", "18446744073709551615 - (i - 1) * 3", ""),
    (
        "folded",
        "k VARCHAR(40) COLLATE utf8mb4_general_ci, v INT, PRIMARY KEY (k)",
        "CONCAT(IF(i % 2, 'Ä', 'b'), IF(i % 3, 'X', 'y'), i)",
        "",
    ),
    (
        "exact",
        "k VARCHAR(40) COLLATE utf8mb4_bin, v INT, PRIMARY KEY (k)",
        "CONCAT(ELT(1 + i % 4, 'a', 'A', 'ä', '_'), i)",
        "",
    ),
    (
        "ids",
        "k CHAR(36) CHARACTER SET ascii, v INT, PRIMARY KEY (k)",
        "LOWER(CONCAT_WS('-', LEFT(SHA2(i, 256), 8), MID(SHA2(i, 256), 9, 4), MID(SHA2(i, 256), 13, 4), MID(SHA2(i, 256), 17, 4), MID(SHA2(i, 256), 21, 12)))",
        "",
    ),
    ("raw", "k BINARY(16), v INT, PRIMARY KEY (k)", "UNHEX(LEFT(SHA2(i, 256), 32))", ""),
    ("days", "k DATE, v INT, PRIMARY KEY (k)", "DATE_ADD('1960-01-01', INTERVAL i * 7 DAY)", ""),
    ("money", "k DECIMAL(20,4), v INT, PRIMARY KEY (k)", "(i - 1500) * 1234567.8901", ""),
];

/// The same kinds, and the ones that only PostgreSQL has: key column and its value for `i` of 1 to 3,000.
const POSTGRES_KINDS: [(&str, &str, &str); 12] = [
    ("gaps", "bigint", "i::bigint * i * 1000003"),
    ("negative", "bigint", "(i - 1500) * 6148914691236517"),
    ("beyond", "numeric(20,0)", "18446744073709551615 - (i - 1) * 3"),
    ("worded", "varchar(40)", "(ARRAY['a', 'A', 'ä', '_'])[1 + i % 4] || i"),
    ("german", "text COLLATE \"de-x-icu\"", "(ARRAY['a', 'A', 'ä', '_'])[1 + i % 4] || i"),
    ("padded", "char(8)", "(ARRAY['a', 'B', ''])[1 + i % 3] || i"),
    ("ids", "uuid", "md5(i::text)::uuid"),
    ("raw", "bytea", "decode(md5(i::text), 'hex')"),
    ("days", "date", "date '1960-01-01' + i * 7"),
    ("moments", "timestamptz", "timestamptz '1999-12-31 23:59:59.999999+05' + i * interval '61.000001 s'"),
    ("money", "numeric", "(i - 1500) * 1234567.8901"),
    ("nets", "inet", "'10.0.0.0'::inet + i::bigint * 257"),
];

const SERIES: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)";

async fn every_kind_of_key(source: Server, target: Server) {
    if source.is_absent() || target.is_absent() {
        return;
    }
    let (from, to) = (Database::fresh(source).await, Database::fresh(target).await);
    for (name, columns, key, _) in KINDS {
        from.exec(&format!("CREATE TABLE {name} ({columns}) CHARACTER SET utf8mb4")).await;
        from.exec(&series(source, &format!("INSERT INTO {name} {SERIES} SELECT {key}, i FROM n"))).await;
    }
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 137 } }\ntables:\n  - from: \"*\"");
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    check_chunks(&record);
    oracle::assert_equal(&from, &to, &KINDS.map(|k| k.0));
    if !matches!(target, Server::Mongodb | Server::Sqlserver) {
        return;
    }
    // Its own keys, cut in its own order.
    let on = Database::fresh(Server::Sqlite).await;
    let spec = syncline.spec(&to, &on, "defaults: { chunk: { rows_max: 137 } }\ntables:\n  - from: \"*\"");
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    check_chunks(&record);
    oracle::assert_equal(&from, &on, &KINDS.map(|k| k.0));
}

/// Every table was read once, in many chunks.
fn check_chunks(record: &serde_json::Value) {
    for table in record["record"]["tables"].as_array().unwrap() {
        assert_eq!(table["counts"]["read"], 3_000, "each row in exactly one chunk: {table:#}");
        assert!(table["chunks"]["done"].as_u64().unwrap() >= 20, "{table:#}");
    }
}

/// MySQL stops recursion at 1,000 unless told otherwise in the same session.
fn series(server: Server, sql: &str) -> String {
    match server {
        Server::Mysql => format!("SET SESSION cte_max_recursion_depth = 100000; {sql}"),
        Server::Mariadb | Server::Sqlite | Server::Postgres | Server::Mongodb | Server::Sqlserver => {
            format!("SET SESSION max_recursive_iterations = 100000; {sql}")
        }
    }
}

#[tokio::test]
async fn every_kind_of_key_mariadb_to_mysql() {
    every_kind_of_key(Server::Mariadb, Server::Mysql).await;
}

#[tokio::test]
async fn every_kind_of_key_mysql_to_sqlite() {
    every_kind_of_key(Server::Mysql, Server::Sqlite).await;
}

#[tokio::test]
async fn every_kind_of_key_mysql_to_mongodb_to_sqlite() {
    every_kind_of_key(Server::Mysql, Server::Mongodb).await;
}

#[tokio::test]
async fn every_kind_of_key_mariadb_to_sqlserver_to_sqlite() {
    every_kind_of_key(Server::Mariadb, Server::Sqlserver).await;
}

#[tokio::test]
async fn every_kind_of_key_of_postgres() {
    let from = Database::fresh(Server::Postgres).await;
    for (name, native, key) in POSTGRES_KINDS {
        from.exec(&format!("CREATE TABLE {name} (k {native} PRIMARY KEY, v int)")).await;
        from.exec(&format!("INSERT INTO {name} SELECT {key}, i FROM generate_series(1, 3000) n(i)")).await;
        from.exec(&format!("ANALYZE {name}")).await;
    }
    // The order of an enum is that of its words, not of their letters.
    let words: Vec<String> = (1..=300).map(|i| format!("'{}'", (i * 7919) % 1_000)).collect();
    from.exec(&format!("CREATE TYPE rank AS ENUM ({})", words.join(", "))).await;
    from.exec("CREATE TABLE ranks (k rank, n int, v int, PRIMARY KEY (k, n))").await;
    from.exec(
        "INSERT INTO ranks SELECT r, n, n FROM unnest(enum_range(NULL::rank)) r, generate_series(1, 10) n",
    )
    .await;
    for target in [Server::Postgres, Server::Mariadb, Server::Sqlite, Server::Mongodb, Server::Sqlserver] {
        let to = Database::fresh(target).await;
        let syncline = syncline();
        // A key finer than a millisecond does not fit a date of MongoDB, and a key is never cut.
        let without = if target == Server::Mongodb { ", except: [moments]" } else { "" };
        let tables =
            format!("defaults: {{ chunk: {{ rows_max: 137 }} }}\ntables:\n  - {{ from: \"*\"{without} }}");
        let spec = syncline.spec(&from, &to, &tables);
        let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
        check_chunks(&record);
        let kinds = POSTGRES_KINDS.iter().map(|k| k.0).chain(["ranks"]);
        let tables: Vec<&str> = kinds.filter(|name| without.is_empty() || *name != "moments").collect();
        oracle::assert_equal(&from, &to, &tables);
    }
}

/// A chunk is read by a range of the key's index: rows touched at the source are the chunk's, never the table's.
async fn chunk_reads_touch_only_their_rows(server: Server) {
    if server.is_absent() {
        return;
    }
    const ROWS: u64 = 20_000;
    let (from, to) = (Database::fresh(server).await, Database::fresh(Server::Sqlite).await);
    let is_postgres = server == Server::Postgres;
    let table = data::ORDERS_MYSQL.replace("DATETIME", if is_postgres { "TIMESTAMP" } else { "DATETIME" });
    from.exec(&table).await;
    for batch in data::orders(ROWS, 11) {
        from.exec(&batch).await;
    }
    from.exec(if is_postgres { "VACUUM ANALYZE orders" } else { "ANALYZE TABLE orders" }).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 200 } }\ntables:\n  - from: orders");
    let read = match server {
        Server::Mysql => {
            "SELECT COUNT_READ FROM performance_schema.table_io_waits_summary_by_table
             WHERE OBJECT_SCHEMA = DATABASE() AND OBJECT_NAME = 'orders'"
        }
        Server::Postgres => {
            "SELECT seq_tup_read + COALESCE((SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes \
             WHERE relname = 'orders'), 0) FROM pg_stat_user_tables WHERE relname = 'orders'"
        }
        Server::Mariadb | Server::Sqlite | Server::Mongodb | Server::Sqlserver => {
            from.exec("SET GLOBAL userstat = 1").await;
            from.exec("DO (SELECT count(*) FROM orders)").await;
            "SELECT ROWS_READ FROM information_schema.TABLE_STATISTICS
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'orders'"
        }
    };
    let before = from.number(read).await;
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    let rows_read = from.number(read).await - before;
    let chunks = record["record"]["chunks"]["done"].as_i64().unwrap();
    assert!(chunks >= 100, "{record:#}");
    // One pass for boundaries, one for rows, the first 1,000 twice as a sample, a few rows a chunk for its ends. A
    // single read of the whole table for a chunk would be 20,000 more.
    let allowed = 2 * i64::try_from(ROWS).unwrap() + 2_100 + 3 * chunks;
    assert!(rows_read <= allowed, "{rows_read} rows read, {allowed} allowed");
    assert!(rows_read >= i64::try_from(ROWS).unwrap(), "the counter counts: {rows_read}");
    oracle::assert_equal(&from, &to, &["orders"]);
}

#[tokio::test]
async fn chunk_reads_touch_only_their_rows_mariadb() {
    chunk_reads_touch_only_their_rows(Server::Mariadb).await;
}

#[tokio::test]
async fn chunk_reads_touch_only_their_rows_postgres() {
    chunk_reads_touch_only_their_rows(Server::Postgres).await;
}

#[tokio::test]
async fn chunk_reads_touch_only_their_rows_mysql() {
    chunk_reads_touch_only_their_rows(Server::Mysql).await;
}

/// A key of text without end is made with one where the target's keys have one; the next run takes it as it is.
#[tokio::test]
async fn a_text_key_is_copied_twice() {
    for target in [Server::Mysql, Server::Sqlserver] {
        let (from, to) = (Database::fresh(Server::Postgres).await, Database::fresh(target).await);
        from.exec("CREATE TABLE t (k text PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('b', 2)")
            .await;
        let syncline = syncline();
        let spec = syncline.spec(&from, &to, "tables: [{ from: t }]");
        for updated in [0, 1] {
            let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
            assert_eq!(record["record"]["counts"]["updated"], updated, "{record:#}");
            from.exec("UPDATE t SET v = 3 WHERE k = 'b'").await;
        }
        from.exec("INSERT INTO t VALUES (repeat('x', 451), 4)").await;
        let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
        assert_eq!(record["record"]["counts"]["quarantined"], 1, "{record:#}");
    }
}
