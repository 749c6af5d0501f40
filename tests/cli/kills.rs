//! Interrupted, killed, resumed, cancelled.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::{Ended, Sandbox};

/// Enough work that there is a middle.
const ROWS: u32 = 200_000;
const CHUNK: u32 = 1_000;

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let mut command = sandbox.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// Waits until some rows are at the target.
fn wait_for_rows(sandbox: &Sandbox) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if sandbox.path("syncline.db").exists() {
            let status = sandbox.run(&["status", "--json"]);
            let read = status
                .stdout
                .lines()
                .next()
                .and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if read.is_some_and(|event| event["record"]["counts"]["read"].as_u64().unwrap_or(0) > 5_000) {
                return;
            }
        }
    }
    panic!("no rows were copied");
}

fn signal(child: &Child, name: &str) {
    let sent =
        std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

fn end(sandbox: &Sandbox, child: Child) -> Ended {
    Ended::of(&child.wait_with_output().expect("ends"), &sandbox.path(""))
}

#[test]
fn a_killed_run_is_resumed_and_every_row_counted_once() {
    let sandbox = Sandbox::with_numbers(ROWS, CHUNK);
    let mut child = start(&sandbox, &["run", "spec.yaml"]);
    wait_for_rows(&sandbox);
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert!(sandbox.ends(0, &["runs"]).stdout.contains("interrupted"));

    let started = Instant::now();
    let events = sandbox.ends(0, &["run", "spec.yaml", "--resume", "--json"]).events();
    let record = &events.last().expect("some")["record"];

    assert_eq!(record["counts"]["inserted"], ROWS, "{record}");
    assert_eq!(record["counts"]["unchanged"], 0, "receipts are honoured");
    assert!(started.elapsed() < Duration::from_secs(25), "leases of the dead are not waited for");
    assert_eq!(sandbox.number("target.db", "SELECT count(*) FROM numbers"), i64::from(ROWS));
    sandbox.ends(0, &["verify", "latest"]);
    sandbox.ends(7, &["run", "spec.yaml", "--resume"]);
}

#[test]
fn an_interrupted_run_gives_its_work_back() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let sandbox = Sandbox::with_numbers(ROWS, CHUNK);
        let child = start(&sandbox, &["run", "spec.yaml"]);
        wait_for_rows(&sandbox);
        signal(&child, name);
        let ended = end(&sandbox, child);
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert!(ended.stderr.contains("next: syncline run spec.yaml --resume"), "{}", ended.stderr);
        let chunks = sandbox.ends(0, &["status", "--json"]).events();
        assert_eq!(chunks[0]["record"]["chunks"]["running"], 0, "{}", chunks[0]);
        sandbox.ends(0, &["run", "spec.yaml", "--resume"]);
        assert_eq!(sandbox.number("target.db", "SELECT count(*) FROM numbers"), i64::from(ROWS));
    }
}

#[test]
fn two_runs_of_one_spec_do_not_meet() {
    let sandbox = Sandbox::with_numbers(ROWS, CHUNK);
    let mut child = start(&sandbox, &["run", "spec.yaml"]);
    wait_for_rows(&sandbox);
    let refused = sandbox.ends(7, &["run", "spec.yaml"]);
    assert!(refused.stderr.contains("another process works on"), "{}", refused.stderr);
    child.kill().expect("kills");
    child.wait().expect("ends");
    // A new run takes the place of the dead one.
    let ended = sandbox.ends(0, &["run", "spec.yaml"]);
    assert!(ended.stderr.contains("was interrupted; this is a new run"), "{}", ended.stderr);
    assert!(sandbox.ends(0, &["runs"]).stdout.contains("cancelled"));
}

#[test]
fn a_cancelled_run_stops_and_can_be_resumed() {
    let sandbox = Sandbox::with_numbers(ROWS, CHUNK);
    let child = start(&sandbox, &["run", "spec.yaml"]);
    wait_for_rows(&sandbox);
    sandbox.ends(0, &["cancel", "latest"]);
    let ended = end(&sandbox, child);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    sandbox.ends(7, &["cancel", "latest"]);
    sandbox.ends(0, &["run", "spec.yaml", "--resume"]);
    assert_eq!(sandbox.number("target.db", "SELECT count(*) FROM numbers"), i64::from(ROWS));
}
