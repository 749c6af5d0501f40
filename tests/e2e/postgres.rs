//! What only PostgreSQL has: identity columns, schemas, row security, roles, names shared by a schema.

use harness::database::Database;
use harness::{Server, oracle};

use crate::syncline;

const ALL: &str = "tables:\n  - from: \"*\"";

#[tokio::test]
async fn an_identity_goes_on_after_the_rows_that_were_copied() {
    let (from, to) = (Database::fresh(Server::Mariadb).await, Database::fresh(Server::Postgres).await);
    from.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT); INSERT INTO t VALUES (41, 1)")
        .await;
    let syncline = syncline();
    let _ = syncline.run(&["run", &syncline.spec(&from, &to, ALL)]).expect(0);
    to.exec("INSERT INTO t (v) VALUES (2)").await;
    assert_eq!(to.number("SELECT max(id) FROM t").await, 42);
}

#[tokio::test]
async fn tables_of_other_schemas_are_named_with_them_and_parts_are_read_through_the_whole() {
    let (from, to) = (Database::fresh(Server::Postgres).await, Database::fresh(Server::Postgres).await);
    from.exec(
        "CREATE SCHEMA \"Old Books\"; CREATE TABLE \"Old Books\".t (id int PRIMARY KEY);
         INSERT INTO \"Old Books\".t VALUES (1), (2);
         CREATE TABLE log (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE log_24 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
         CREATE TABLE log_25 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
         INSERT INTO log SELECT i, date '2024-01-01' + i FROM generate_series(0, 700) n(i);",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: \"*\"\n  - { from: Old Books.t, to: books }");
    let record = syncline.run(&["run", &spec, "--json"]).expect(0).json();
    assert_eq!(record["record"]["tables"].as_array().unwrap().len(), 2, "{record:#}");
    assert_eq!(to.number("SELECT count(*) FROM books").await, 2);
    oracle::assert_equal(&from, &to, &["log"]);
}

/// Rows that a policy hides would be missing without a word.
#[tokio::test]
async fn row_security_that_hides_rows_is_an_error_and_no_smaller_table() {
    let (from, to) = (Database::fresh(Server::Postgres).await, Database::fresh(Server::Sqlite).await);
    let user = format!("u_{}", &from.name);
    from.exec(&format!(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON t USING (id = 1);
         CREATE ROLE {user} LOGIN PASSWORD 'syncline-root'; GRANT SELECT ON t TO {user}"
    ))
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, ALL);
    let text = std::fs::read_to_string(&spec).unwrap().replace("user: postgres", &format!("user: {user}"));
    std::fs::write(&spec, text).unwrap();
    let done = syncline.run(&["run", &spec]);
    from.exec(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
    assert_eq!(done.code, Some(6), "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("42501"), "{}", done.stderr);
}

/// Tables that are there and refer to each other in a circle are written as a replica writes them; who may not is told.
#[tokio::test]
async fn a_circle_of_foreign_keys_needs_a_right_and_says_which() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Postgres).await);
    let user = format!("u_{}", &to.name);
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES t (id)); INSERT INTO t VALUES (1, 2), (2, 1)")
        .await;
    to.exec(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'syncline-root'; GRANT CREATE ON SCHEMA public TO {user};
         CREATE TABLE t (id bigint PRIMARY KEY, boss bigint REFERENCES t (id)); GRANT ALL ON t TO {user}"
    ))
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let as_admin = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, as_admin.replace("user: postgres", &format!("user: {user}"))).unwrap();
    let done = syncline.run(&["run", &spec]);
    assert_eq!(done.code, Some(6), "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("session_replication_role"), "{}", done.stderr);
    to.exec(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
    std::fs::write(&spec, as_admin).unwrap();
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &["t"]);
}

/// A key that its column cannot even be asked for costs its row, in a first run and in a later one.
#[tokio::test]
async fn a_key_that_is_no_word_of_the_enum_is_quarantined_alone() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Postgres).await);
    from.exec("CREATE TABLE t (k VARCHAR(20) PRIMARY KEY, v INTEGER)").await;
    let words: Vec<String> = (0..40).map(|n| format!("'word {n}'")).collect();
    to.exec(&format!(
        "CREATE TYPE word AS ENUM ({}); CREATE TABLE t (k word PRIMARY KEY, v bigint)",
        words.join(", ")
    ))
    .await;
    let rows =
        words.iter().map(String::as_str).chain(["'bogus'", "'a''; --'"]).map(|word| format!("({word}, 1)"));
    from.exec(&format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", "))).await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - { from: t, on_lossy_type: quarantine }");
    for value in 1..=2 {
        from.exec(&format!("UPDATE t SET v = {value}")).await;
        let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
        assert_eq!(record["record"]["counts"]["quarantined"], 2, "{record:#}");
        assert_eq!(to.number(&format!("SELECT count(*) FROM t WHERE v = {value}")).await, 40);
    }
}

/// Names of indexes, which are a table's own elsewhere, are a schema's here.
/// Many changes are few statements, of values as the columns take them; a row that is refused is set aside alone. A role
/// that may not make temporary tables writes the same, one by one.
#[tokio::test]
async fn many_changes_are_written_as_sets() {
    let (from, to) = (Database::fresh(Server::Postgres).await, Database::fresh(Server::Postgres).await);
    let role = format!("u_{}", &to.name);
    let types = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN small AS int CHECK (VALUE < 5000);";
    let columns =
        "id small PRIMARY KEY, c char(4), b bit(5), m mood, n numeric(6,2), d timestamp(0), j jsonb";
    from.exec(&format!(
        "{types} CREATE TABLE t ({columns}, v text);
         INSERT INTO t SELECT i, 'c', i::bit(5), 'sad', i, timestamp '2024-01-01' + i * interval '1 min', '{{}}', 'v' \
         FROM generate_series(1, 2000) n(i);"
    ))
    .await;
    to.exec(&format!(
        "{types} CREATE TABLE t ({columns}, v text CHECK (length(v) < 9), made_by text NOT NULL DEFAULT 'here');
         CREATE TABLE statements (n int); GRANT ALL ON statements TO PUBLIC;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN INSERT INTO statements VALUES (1); RETURN NULL; END $$;
         CREATE TRIGGER noted AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
         REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC;
         CREATE ROLE {role} LOGIN PASSWORD 'syncline-root'; GRANT CREATE ON SCHEMA public TO {role}",
        name = to.name
    ))
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "tables:\n  - from: t");
    let _ = syncline.run(&["run", &spec]).expect(0);
    to.exec("UPDATE t SET made_by = 'hand'; TRUNCATE statements").await;

    let rows = "SELECT md5(string_agg((id, c, b, m, n, d, j, v)::text, ',' ORDER BY id)) FROM t";
    let change = "UPDATE t SET c = 'x' || id % 7, b = ~b, m = 'glad', n = n + 0.25, d = d + interval '1 s', \
                  j = jsonb_build_object('a', id), v = 'v' || id";
    from.exec(&format!("{change}; UPDATE t SET v = 'much too long' WHERE id = 700")).await;
    let record = syncline.run(&["run", &spec, "--json"]).expect(3).json();
    let counts = &record["record"]["counts"];
    assert_eq!(
        (counts["updated"].as_u64(), counts["quarantined"].as_u64()),
        (Some(1_999), Some(1)),
        "{record}"
    );
    let statements = to.number("SELECT count(*) FROM statements").await;
    assert!(statements < 300, "{statements} statements for 1,999 rows");
    from.exec("UPDATE t SET v = 'short' WHERE id = 700").await;
    let _ = syncline.run(&["run", &spec]).expect(0);
    assert_eq!(from.text(rows).await, to.text(rows).await);
    assert_eq!(
        to.number("SELECT count(*) FROM t WHERE made_by = 'hand'").await,
        2_000,
        "what is not ours stays"
    );

    to.exec(&format!("TRUNCATE statements; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).await;
    let text = std::fs::read_to_string(&spec).unwrap();
    let (source, target) = text.split_once("target:").unwrap();
    let target = target.replace("user: postgres", &format!("user: {role}"));
    std::fs::write(&spec, format!("{source}target:{target}")).unwrap();
    from.exec(change).await;
    let done = syncline.run(&["run", &spec]);
    to.exec(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    let _ = done.expect(0);
    assert_eq!(from.text(rows).await, to.text(rows).await);
    assert_eq!(to.number("SELECT count(*) FROM statements").await, 2_000);
}

#[tokio::test]
async fn indexes_of_one_name_are_built_for_each_table() {
    let (from, to) = (Database::fresh(Server::Mariadb).await, Database::fresh(Server::Postgres).await);
    from.exec(
        "CREATE TABLE a (id INT PRIMARY KEY, v INT, KEY idx (v)); CREATE TABLE b (id INT PRIMARY KEY, v INT, UNIQUE idx (v));
         CREATE TABLE idx (id INT PRIMARY KEY)",
    )
    .await;
    let syncline = syncline();
    let _ = syncline.run(&["run", &syncline.spec(&from, &to, ALL)]).expect(0);
    let built = "SELECT string_agg(tablename || ' ' || indexname, ', ' ORDER BY tablename, indexname) FROM pg_indexes \
         WHERE schemaname = 'public' AND tablename IN ('a', 'b') AND indexname NOT LIKE '%_pkey'";
    assert_eq!(to.text(built).await.as_deref(), Some("a a_idx, b b_idx"));
}

/// Whoever restarts the server, or ends its sessions, costs time and no rows.
#[tokio::test]
async fn sessions_that_the_server_ends_are_made_anew() {
    let (from, to) = (Database::fresh(Server::Postgres).await, Database::fresh(Server::Postgres).await);
    from.exec("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 60000) n(i)")
        .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, "defaults: { chunk: { rows_max: 1000 } }\ntables:\n  - from: t");
    let mut run =
        syncline.command(&["run", &spec, "--json"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut ended = 0;
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        for side in [&from, &to] {
            ended += side.number(end).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    };
    assert_eq!(status.code(), Some(0));
    assert!(ended >= 4, "{ended} sessions were ended");
    oracle::assert_equal(&from, &to, &["t"]);
}

/// Certificates are verified, for both servers in one process; one of another authority is refused before a password
/// is sent.
#[tokio::test]
async fn tls_is_verified_on_both_sides() {
    let (from, to) = (Database::fresh(Server::Postgres).await, Database::fresh(Server::Mariadb).await);
    from.exec("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')").await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, ALL);
    let plain = std::fs::read_to_string(&spec).unwrap();
    let verified =
        |authority: &str| plain.replace(" }\n", &format!(", tls: verify, tls_ca: \"{authority}\" }}\n"));
    let authority = std::env::var("SYNCLINE_TEST_TLS_CA").expect("run `make servers`");
    std::fs::write(&spec, verified(&authority)).unwrap();
    let doctor = syncline.run(&["doctor", &spec]).stdout;
    assert!(doctor.contains("PostgreSQL 15") && !doctor.contains("not encrypted"), "{doctor}");
    let _ = syncline.run(&["run", &spec]).expect(0);
    oracle::assert_equal(&from, &to, &["t"]);

    let wrong = syncline.dir.path().join("wrong.pem").display().to_string();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=another authority", "-keyout", "/dev/null", "-out", &wrong])
        .output()
        .unwrap();
    assert!(made.status.success());
    std::fs::write(&spec, verified(&wrong)).unwrap();
    let refused = syncline.run(&["run", &spec]).expect(5).stderr;
    assert!(refused.contains("postgres") && refused.contains("certificate"), "{refused}");
}
