//! Whole runs, SQLite to SQLite, and what the commands say about them.

use crate::sandbox::{Sandbox, settled};

#[test]
fn chinook_is_copied_verified_and_unchanged_the_second_time() {
    let sandbox = Sandbox::with_chinook();
    settled(|| {
        insta::assert_snapshot!(
            "chinook-plan",
            sandbox.ends(0, &["plan", "spec.yaml", "--table", "*Line"]).shown()
        );
        insta::assert_snapshot!("chinook-run", sandbox.ends(0, &["run", "spec.yaml"]).stdout);
        insta::assert_snapshot!("chinook-again", sandbox.ends(0, &["run", "spec.yaml"]).stdout);
        insta::assert_snapshot!("chinook-verify", sandbox.ends(0, &["verify", "spec.yaml"]).stdout);
    });
    assert_eq!(sandbox.number("target.db", "SELECT count(*) FROM Track"), 3_503);
}

#[test]
fn differences_are_counted_named_and_shown_on_request() {
    let sandbox = Sandbox::with_numbers(100, 30);
    sandbox.ends(0, &["run", "spec.yaml"]);
    sandbox.ends(0, &["diff", "spec.yaml", "--table", "numbers"]);
    sandbox.sql(
        "target.db",
        "UPDATE numbers SET name = 'bent', amount = 0 WHERE id = 7; DELETE FROM numbers WHERE id = 50;
        INSERT INTO numbers VALUES (1000, 'alien', 1)",
    );
    settled(|| {
        insta::assert_snapshot!("verify-differs", sandbox.ends(3, &["verify", "spec.yaml"]).stdout);
        insta::assert_snapshot!(
            "diff",
            sandbox.ends(3, &["diff", "spec.yaml", "--table", "numbers"]).shown()
        );
        let shown = sandbox.ends(3, &["diff", "spec.yaml", "--table", "numbers", "--values"]).stdout;
        insta::assert_snapshot!("diff-values", shown);
    });
    assert!(
        sandbox.ends(3, &["diff", "spec.yaml", "--table", "numbers", "--key", "7"]).stdout.contains("name")
    );
    sandbox.ends(0, &["diff", "spec.yaml", "--table", "numbers", "--key", "8"]);
    sandbox.ends(4, &["diff", "spec.yaml", "--table", "numbers", "--key", "x"]);
}

#[test]
fn rows_that_do_not_fit_are_quarantined_listed_and_exported() {
    let sandbox = Sandbox::new();
    sandbox.sql("source.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'short'), (2, 'far too long')");
    sandbox.sql("target.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(5))");
    sandbox.spec("tables: [{ from: t, on_lossy_type: quarantine }]");
    settled(|| {
        insta::assert_snapshot!("quarantine-run", sandbox.ends(3, &["run", "spec.yaml"]).stdout);
        insta::assert_snapshot!(
            "quarantine-list",
            sandbox.ends(0, &["quarantine", "list", "latest"]).shown()
        );
    });
    sandbox.ends(0, &["quarantine", "export", "latest", "--out", "rows.jsonl"]);
    let line = std::fs::read_to_string(sandbox.path("rows.jsonl")).expect("is there");
    let row: serde_json::Value = serde_json::from_str(line.trim()).expect("one object");
    assert_eq!(
        (&row["table"], &row["column"], &row["kind"]),
        (&"t".into(), &"name".into(), &"too-long".into())
    );
    assert!(!line.contains("far too long"), "values stay where they are");
    sandbox.ends(7, &["quarantine", "export", "latest", "--out", "rows.jsonl"]);
}

#[test]
fn events_tell_the_run_and_end_with_its_record() {
    let sandbox = Sandbox::with_chinook();
    let events = sandbox.ends(0, &["run", "spec.yaml", "--json"]).events();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((named("run-started"), named("table-ended"), named("record")), (1, 11, 1));
    let record = &events.last().expect("some")["record"];
    assert_eq!(record["state"], "done");
    assert_eq!(record["counts"]["read"], record["counts"]["inserted"]);
    for command in
        [&["status", "--json"][..], &["runs", "--json"], &["show", "latest", "--table", "Track", "--json"]]
    {
        assert!(!sandbox.ends(0, command).events().is_empty(), "{command:?}");
    }
    assert!(sandbox.ends(0, &["plan", "spec.yaml", "--json"]).events().len() == 11);
    assert!(sandbox.ends(0, &["doctor", "spec.yaml", "--json"]).events().len() > 3);
}

#[test]
fn what_init_writes_can_be_run() {
    let sandbox = Sandbox::with_chinook();
    sandbox.sql("source.db", "CREATE TABLE keyless (a TEXT); INSERT INTO keyless VALUES ('x'), ('x')");
    let arguments = ["init", "--from", "sqlite:source.db", "--to", "sqlite:target.db"];
    settled(|| insta::assert_snapshot!("init", sandbox.ends(0, &arguments).shown()));
    sandbox.ends(0, &[&arguments[..], &["--out", "made.yaml"]].concat());
    sandbox.ends(0, &["check", "made.yaml", "--strict"]);
    sandbox.ends(0, &["run", "made.yaml"]);
    assert_eq!(sandbox.number("target.db", "SELECT count(*) FROM keyless"), 2);
}

#[test]
fn doctor_and_lists_say_what_is_there() {
    let sandbox = Sandbox::with_numbers(10, 100);
    sandbox.ends(0, &["run", "spec.yaml"]);
    settled(|| {
        insta::assert_snapshot!("doctor", sandbox.ends(0, &["doctor", "spec.yaml"]).shown());
        insta::assert_snapshot!("check", sandbox.ends(0, &["check", "spec.yaml"]).shown());
    });
    assert!(sandbox.ends(0, &["runs"]).stdout.contains("shop"));
    assert!(sandbox.ends(0, &["show", "latest", "--table", "numbers"]).stdout.contains("chunk_"));
}

#[test]
fn the_demo_shows_what_it_promises() {
    let sandbox = Sandbox::new();
    let ended = sandbox.ends(0, &["demo", "--dir", "d", "--rows", "60000"]);
    assert!(ended.stdout.contains("each copied exactly once"), "{}", ended.stdout);
    assert!(sandbox.path("d/target.db").exists());
    sandbox.ends(7, &["demo", "--dir", "d"]);
}
