//! What the program says about itself.

use crate::sandbox::{Sandbox, settled};

const COMMANDS: [&str; 29] = [
    "init",
    "check",
    "doctor",
    "plan",
    "run",
    "verify",
    "diff",
    "status",
    "runs",
    "show",
    "quarantine",
    "quarantine list",
    "quarantine export",
    "retry",
    "pause",
    "resume",
    "set",
    "cancel",
    "workers",
    "workers drain",
    "serve",
    "worker",
    "security",
    "ledger",
    "ledger reconcile",
    "demo",
    "completions",
    "explain",
    "config schema",
];

#[test]
fn help_of_the_program_and_of_each_command() {
    let sandbox = Sandbox::new();
    settled(|| {
        insta::assert_snapshot!("help", sandbox.ends(0, &["--help"]).stdout);
        for command in COMMANDS {
            let mut arguments: Vec<&str> = command.split(' ').collect();
            arguments.push("--help");
            let name = format!("help-{}", command.replace(' ', "-"));
            insta::assert_snapshot!(name, sandbox.ends(0, &arguments).stdout);
        }
    });
}

#[test]
fn wrong_usage_exits_2() {
    let sandbox = Sandbox::new();
    sandbox.ends(2, &["--no-such-flag"]);
    sandbox.ends(2, &["no-such-command"]);
    sandbox.ends(2, &["run"]);
    sandbox.ends(2, &["run", "spec.yaml", "--workers", "0"]);
}

#[test]
fn codes_are_explained_offline() {
    let sandbox = Sandbox::new();
    settled(|| insta::assert_snapshot!("explain", sandbox.ends(0, &["explain", "syn-2002"]).shown()));
    assert!(sandbox.ends(0, &["explain"]).stdout.contains("SYN-3001"));
    sandbox.ends(4, &["explain", "SYN-0000"]);
}

#[test]
fn shells_and_editors_are_served() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.ends(0, &["completions", shell]).stdout.contains("quarantine"), "{shell}");
    }
    let schema = sandbox.ends(0, &["config", "schema"]).stdout;
    assert_eq!(schema, include_str!("../../schema/spec.v1.json"));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let sandbox = Sandbox::with_numbers(5, 100);
    assert!(!sandbox.ends(0, &["plan", "spec.yaml"]).stdout.contains('\u{1b}'));
    assert!(sandbox.ends(0, &["plan", "spec.yaml", "--color", "always"]).stdout.contains('\u{1b}'));
}
