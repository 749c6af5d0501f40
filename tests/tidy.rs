//! Rules that no compiler checks: crate edges, sizes of files, names, forbidden words.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates a crate may name. Data flows one way: model ← connectors, ledger, queue ← coordinator, worker ←
/// the binary. `coordinator` and `worker` never see each other.
const EDGES: [(&str, &[&str]); 14] = [
    ("shared/failpoint", &[]),
    ("shared/model", &[]),
    ("shared/connectors", &["model"]),
    ("shared/ledger", &["model", "seam"]),
    ("shared/queue", &[]),
    ("shared/seam", &[]),
    ("shared/service", &["model"]),
    ("coordinator", &["connectors", "failpoint", "ledger", "model", "queue", "seam"]),
    ("coordinator/alerts", &["ledger", "model"]),
    ("coordinator/api", &["connectors", "ledger", "model"]),
    ("worker", &["connectors", "failpoint", "ledger", "model", "queue", "seam"]),
    ("tests/harness", &[]),
    ("tests/sim", &["connectors", "coordinator", "ledger", "model", "queue", "seam", "worker"]),
    (
        ".",
        &[
            "alerts",
            "api",
            "connectors",
            "coordinator",
            "failpoint",
            "ledger",
            "model",
            "queue",
            "service",
            "worker",
        ],
    ),
];
const OURS: [&str; 13] = [
    "alerts",
    "api",
    "connectors",
    "coordinator",
    "failpoint",
    "harness",
    "ledger",
    "model",
    "queue",
    "seam",
    "service",
    "sim",
    "worker",
];
/// A file longer than this has more than one subject.
const LINES_MAX: usize = 500;
/// Drawers: names that say nothing about what is inside.
const DRAWERS: [&str; 7] = ["util", "utils", "common", "helpers", "types", "misc", "base"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        ["src", "shared", "coordinator", "worker", "tests"].iter().map(|d| root().join(d)).collect();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

/// The keys of a manifest's `[dependencies]`, without those for tests.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let mut section = String::new();
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if section == "dependencies" {
            names.extend(line.split(['.', ' ', '=']).next().filter(|n| !n.is_empty()).map(str::to_owned));
        }
    }
    names
}

#[test]
fn crates_name_only_what_lies_below_them() {
    let allowed: BTreeMap<_, _> = EDGES.into_iter().collect();
    for (krate, edges) in &allowed {
        let named = dependencies(&root().join(krate).join("Cargo.toml"));
        for name in named.iter().filter(|n| OURS.contains(&n.as_str())) {
            assert!(edges.contains(&name.as_str()), "{krate} must not depend on {name}");
        }
    }
}

#[test]
fn only_the_queue_names_apalis_and_redis() {
    for (krate, _) in EDGES.iter().filter(|(k, _)| *k != "shared/queue") {
        let named = dependencies(&root().join(krate).join("Cargo.toml"));
        assert!(!named.iter().any(|n| n.starts_with("apalis") || n == "redis"), "{krate}");
    }
}

#[test]
fn the_model_does_no_input_or_output() {
    let named = dependencies(&root().join("shared/model/Cargo.toml"));
    for forbidden in ["tokio", "sqlx", "futures", "tracing", "async-trait"] {
        assert!(!named.iter().any(|n| n == forbidden), "model names {forbidden}");
    }
}

#[test]
fn files_have_one_subject_and_a_name_that_says_it() {
    for path in sources() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!DRAWERS.contains(&name), "{} is a drawer", path.display());
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not begin with `//!`", path.display());
    }
}

#[test]
fn sql_is_vouched_for_in_few_places() {
    for path in sources() {
        let place = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let may = ["shared/connectors/src/sql/", "shared/ledger/", "tests/", "shared/connectors/tests/"];
        let vouches = fs::read_to_string(&path).unwrap().contains("AssertSqlSafe(");
        assert!(!vouches || may.iter().any(|m| place.starts_with(m)), "{place}");
    }
}

#[test]
fn every_crate_has_a_page_of_its_own() {
    for (krate, _) in EDGES {
        let readme = root().join(krate).join("README.md");
        assert!(readme.exists(), "{} is missing", readme.display());
    }
}
