//! The independent oracle: Python reads both sides and compares; see `tests/oracle`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Database;

/// Asserts that tables (`SOURCE` or `SOURCE=TARGET`) are equal, row for row and value for value.
///
/// # Panics
/// They are not; the message shows what differs.
pub fn assert_equal(source: &Database, target: &Database, tables: &[&str]) {
    let reports = compare(source, target, tables);
    assert_eq!(reports.len(), tables.len(), "a report for each table");
    for report in reports {
        assert_eq!(report["equal"], Value::Bool(true), "{report:#}");
    }
}

/// One report per table, as the oracle prints them.
///
/// # Panics
/// The oracle cannot run.
#[must_use]
pub fn compare(source: &Database, target: &Database, tables: &[&str]) -> Vec<Value> {
    let root = root();
    let python = root.join(".venv/bin/python");
    assert!(python.exists(), "the oracle is not set up: run `make test`, or tests/oracle/setup.sh");
    let mut command = Command::new(python);
    command.arg(root.join("tests/oracle/compare.py"));
    command.args(["--source", &source.url, "--target", &target.url]);
    for table in tables {
        command.args(["--table", table]);
    }
    let output = command.output().expect("the oracle runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let reports: Vec<Value> =
        serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().unwrap_or_default();
    assert!(!reports.is_empty(), "the oracle said nothing: {}", String::from_utf8_lossy(&output.stderr));
    reports
}

/// The top of the source tree.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
