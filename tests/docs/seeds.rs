//! The page that says what was asked for is held against the tests that carry the ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Ids of the group that the page is about.
const IDS: std::ops::RangeInclusive<u32> = 1..=30;
/// Set to write the column of tests instead of comparing it.
const WRITE_VARIABLE: &str = "SYNCLINE_WRITE_DOCS";

/// Tests by the id that their name (`s4_14_…`) or the lines before them (`4-14`) carry.
fn tests() -> BTreeMap<u32, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> =
        ["tests", "shared", "coordinator", "worker"].map(|dir| root.join(dir)).into();
    let mut found = BTreeMap::<u32, Vec<String>>::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for (id, name) in carried(&std::fs::read_to_string(&path).unwrap()) {
                found.entry(id).or_default().push(name);
            }
        }
    }
    for names in found.values_mut() {
        names.sort();
        names.dedup();
    }
    found
}

/// Whether the text names the id; in `2024-05-01` there is none.
fn names(text: &str, id: &str) -> bool {
    text.match_indices(id).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_digit()))
}

fn carried(file: &str) -> Vec<(u32, String)> {
    let (mut found, mut before, mut is_test) = (Vec::new(), String::new(), false);
    for line in file.lines().map(str::trim) {
        if line.starts_with("///") {
            before += line;
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]");
        } else {
            let name =
                line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let (Some(name), true) = (name, is_test) {
                let text = format!("{before} {}", name.replace('_', "-"));
                let ids = IDS.filter(|id| names(&text, &format!("4-{id:02}")));
                found.extend(ids.map(|id| (id, name.to_owned())));
            }
            before.clear();
            is_test = false;
        }
    }
    found
}

#[test]
fn every_id_of_the_seed_has_tests_or_a_word() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/seeds.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let tests = tests();
    let mut seen = Vec::new();
    let lines: Vec<String> = page
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let id = cells.get(1).and_then(|cell| cell.strip_prefix("4-")).and_then(|id| id.parse().ok());
            let Some(id) = id else { return line.to_owned() };
            let names = tests.get(&id).cloned().unwrap_or_default();
            let (what, notes) = (cells[2], cells[4]);
            assert!(!names.is_empty() || !notes.is_empty(), "4-{id:02} has neither a test nor a word");
            seen.push(id);
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("| 4-{id:02} | {what} | {} | {notes} |", names.join(", "))
        })
        .collect();
    assert_eq!(seen, IDS.collect::<Vec<u32>>(), "every id, in order");
    let written = lines.join("\n") + "\n";
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(&path, &written).unwrap();
        return;
    }
    assert_eq!(page, written, "set {WRITE_VARIABLE}=1 and run this test to write it");
}
