//! Bad input: a clear message that names the object and the next step, before the first write, with the documented
//! exit code.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use crate::sandbox::{Ended, Sandbox, settled};

/// A user that owns nothing, on every Linux.
const NOBODY: u32 = 65_534;

/// The command must leave no target behind.
fn refused(name: &str, sandbox: &Sandbox, code: i32, arguments: &[&str]) {
    let ended = sandbox.ends(code, arguments);
    settled(|| insta::assert_snapshot!(name, ended.shown()));
    assert!(ended.shown().contains("next:"), "{}", ended.stderr);
    assert!(!sandbox.path("syncline.db").exists(), "nothing may be written before the spec is known to work");
}

#[test]
fn unknown_key_in_a_spec() {
    let sandbox = Sandbox::with_numbers(5, 100);
    sandbox.spec("tables:\n  - from: numbers\n    mod: merge");
    refused("unknown-key", &sandbox, 4, &["check", "spec.yaml"]);
    refused("unknown-key-run", &sandbox, 4, &["run", "spec.yaml"]);
}

#[test]
fn missing_spec_file() {
    refused("missing-spec", &Sandbox::new(), 4, &["run", "nothing.yaml"]);
}

#[test]
fn missing_table() {
    let sandbox = Sandbox::with_numbers(5, 100);
    sandbox.spec("tables: [{ from: nombers }]");
    refused("missing-table", &sandbox, 4, &["run", "spec.yaml"]);
    sandbox.spec("tables: [{ from: \"x*\" }]");
    refused("pattern-without-table", &sandbox, 4, &["plan", "spec.yaml"]);
}

#[test]
fn table_without_a_key_under_merge() {
    let sandbox = Sandbox::new();
    sandbox.sql("source.db", "CREATE TABLE log (line TEXT)");
    sandbox.spec("tables: [{ from: log }]");
    refused("no-key", &sandbox, 8, &["run", "spec.yaml"]);
}

#[test]
fn source_that_does_not_exist() {
    let sandbox = Sandbox::new();
    sandbox.spec("tables: [{ from: \"*\" }]");
    refused("missing-source", &sandbox, 4, &["run", "spec.yaml"]);
}

#[test]
fn read_only_target() {
    let sandbox = Sandbox::with_numbers(5, 100);
    sandbox.sql(
        "target.db",
        "CREATE TABLE numbers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount DECIMAL(10,2))",
    );
    let mode = |name: &str, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.path(name), permissions).expect("sets the mode");
    };
    mode("target.db", 0o444);
    // Root may write to anything: the command runs as somebody else, from where that one may read it.
    mode("", 0o777);
    std::fs::copy(assert_cmd::cargo::cargo_bin!("syncline"), sandbox.path("syncline")).expect("copies");
    let mut command = std::process::Command::new(sandbox.path("syncline"));
    command.args(["run", "spec.yaml"]).current_dir(sandbox.path("")).env("COLUMNS", "100");
    if std::fs::OpenOptions::new().append(true).open(sandbox.path("target.db")).is_ok() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let ended = Ended::of(&command.output().expect("starts"), &sandbox.path(""));
    assert_eq!(ended.code, 6, "{}", ended.shown());
    settled(|| insta::assert_snapshot!("read-only-target", ended.shown()));
    assert!(!sandbox.path("syncline.db").exists(), "nothing may be written");
}

#[test]
fn unreachable_host() {
    let sandbox = Sandbox::with_numbers(5, 100);
    let port = TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("an address").port();
    let target = format!("{{ engine: mysql, host: 127.0.0.1, port: {port}, database: shop, user: me }}");
    sandbox.write("spec.yaml", &format!(
        "version: 1\nname: shop\nsource: {{ engine: sqlite, path: source.db }}\ntarget: {target}\ntables: [{{ from: numbers }}]\n"
    ));
    refused("unreachable", &sandbox, 5, &["run", "spec.yaml"]);
    refused("unreachable-doctor", &sandbox, 5, &["doctor", "spec.yaml"]);
}

#[test]
fn variable_that_is_not_set() {
    let sandbox = Sandbox::with_numbers(5, 100);
    sandbox.write("spec.yaml", "version: 1\nname: shop\nsource: { engine: sqlite, path: source.db }\n\
        target: { engine: mysql, database: shop, user: me, password: \"${env:NO_SUCH_PASSWORD}\" }\ntables: [{ from: numbers }]\n");
    refused("variable-missing", &sandbox, 4, &["run", "spec.yaml"]);
}

#[test]
fn lossy_type_is_refused_or_marked() {
    let sandbox = Sandbox::new();
    sandbox.sql("source.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'short'), (2, 'far too long')");
    sandbox.sql("target.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(5))");
    sandbox.spec("tables: [{ from: t }]");
    refused("lossy-type", &sandbox, 8, &["run", "spec.yaml"]);
    sandbox.spec("tables: [{ from: t, on_lossy_type: quarantine }]");
    settled(|| insta::assert_snapshot!("lossy-plan", sandbox.ends(0, &["plan", "spec.yaml"]).shown()));
}

#[test]
fn unknown_run_and_ledger() {
    let sandbox = Sandbox::with_numbers(5, 100);
    refused("no-ledger", &sandbox, 5, &["status"]);
    refused("bad-ledger-url", &sandbox, 4, &["run", "spec.yaml", "--ledger", "oracle://h/d"]);
    sandbox.ends(0, &["run", "spec.yaml"]);
    let ended = sandbox.ends(4, &["show", "run_00000000000000000000000000000000"]);
    settled(|| insta::assert_snapshot!("unknown-run", ended.shown()));
    sandbox.ends(4, &["status", "nonsense"]);
}

#[test]
fn services_refuse_to_start_without_what_they_share() {
    let sandbox = Sandbox::new();
    refused("serve-alone", &sandbox, 4, &["serve"]);
}

#[test]
fn errors_are_objects_with_json() {
    let ended = Sandbox::new().ends(4, &["run", "nothing.yaml", "--json"]);
    assert_eq!(ended.stdout, "");
    let error: serde_json::Value = serde_json::from_str(&ended.stderr).expect("one object");
    assert_eq!(error["error"]["code"], "SYN-1001");
    assert_eq!(error["error"]["exit"], 4);
}

#[test]
fn init_never_overwrites() {
    let sandbox = Sandbox::with_numbers(5, 100);
    sandbox.ends(0, &["init", "--from", "sqlite:source.db", "--to", "sqlite:target.db", "--out", "new.yaml"]);
    refused("init-exists", &sandbox, 7, &["init", "--from", "sqlite:source.db", "--out", "new.yaml"]);
}

#[test]
fn target_that_grants_no_writes() {
    let Some((host, port, user, password)) = mariadb() else {
        panic!(
            "SYNCLINE_TEST_MARIADB_URL is not set: run `make servers`, then `eval \"$(tests/servers.sh env)\"`"
        );
    };
    let sandbox = Sandbox::with_numbers(5, 100);
    let (name, admin) =
        (format!("cli_{}", std::process::id()), format!("mysql://{user}:{password}@{host}:{port}/"));
    crate::sandbox::mysql(
        &admin,
        &format!(
            "CREATE DATABASE {name}; CREATE USER {name} IDENTIFIED BY 'reader-pw'; GRANT SELECT ON {name}.* TO {name}"
        ),
    );
    sandbox.write("spec.yaml", &format!(
        "version: 1\nname: shop\nsource: {{ engine: sqlite, path: source.db }}\n\
         target: {{ engine: mysql, host: {host}, port: {port}, database: {name}, user: {name}, password: reader-pw }}\n\
         tables: [{{ from: numbers }}]\n"
    ));
    let ended = sandbox.run(&["run", "spec.yaml"]);
    crate::sandbox::mysql(&admin, &format!("DROP USER {name}; DROP DATABASE {name}"));
    assert_eq!(ended.code, 6, "{}", ended.shown());
    assert!(!ended.shown().contains("reader-pw"), "{}", ended.shown());
    let shown = ended.shown().replace(&name, "DATABASE");
    settled(|| insta::assert_snapshot!("no-write-grant", shown));
}

/// `mysql://user:password@host:port` of a MariaDB that tests may use.
fn mariadb() -> Option<(String, u16, String, String)> {
    let url = std::env::var("SYNCLINE_TEST_MARIADB_URL").ok()?;
    let rest = url.split_once("://")?.1.split('/').next()?;
    let (login, address) = rest.rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    let (host, port) = address.split_once(':')?;
    Some((host.to_owned(), port.parse().ok()?, user.to_owned(), password.to_owned()))
}

#[test]
fn wrong_password() {
    let Some((host, port, user, password)) = mariadb() else {
        panic!(
            "SYNCLINE_TEST_MARIADB_URL is not set: run `make servers`, then `eval \"$(tests/servers.sh env)\"`"
        );
    };
    let sandbox = Sandbox::with_numbers(5, 100);
    sandbox.write("spec.yaml", &format!(
        "version: 1\nname: shop\nsource: {{ engine: sqlite, path: source.db }}\n\
         target: {{ engine: mysql, host: {host}, port: {port}, database: mysql, user: {user}, password: \"${{env:TEST_PW}}\" }}\n\
         tables: [{{ from: numbers }}]\n"
    ));
    let ended = sandbox
        .command(&["run", "spec.yaml"])
        .env("TEST_PW", format!("{password}-not"))
        .output()
        .expect("starts");
    let ended = crate::sandbox::Ended::of(&ended, &sandbox.path(""));
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert!(!ended.stderr.contains(&password), "{}", ended.stderr);
    settled(|| insta::assert_snapshot!("wrong-password", ended.shown()));
}
