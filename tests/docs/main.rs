//! The commands and specs of the documentation are true: each page is followed in a folder of its own.
//!
//! In a `console` block, `$ ` begins a command and `> ` goes on with it; what follows is output, each line of which
//! must come, numbers, times and ids aside. `…` stands for more. Commands end with 0, or as `console exit=3` says.
//! A `yaml` block with `version: 1` is a spec that `syncline check` accepts, kept under the name in its first line.
//! A `serve` block is a service that runs in the background while the rest of the page is followed, at a port of its own.
//! Blocks that need servers are `sh` and not run.

#![allow(clippy::unwrap_used, reason = "tests")]

mod seeds;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fenced block: what stands behind the fence, and its lines.
struct Block {
    line: usize,
    info: String,
    lines: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                blocks.push(Block { line: at + 1, info: info.trim().to_owned(), lines: Vec::new() });
            }
            None if open => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            None => {}
        }
    }
    assert!(!open, "a block is not closed");
    blocks
}

/// A folder with a `bin` that holds the binary under test and a `sqlite3` that runs statements.
struct Reader {
    dir: tempfile::TempDir,
    service: Option<Service>,
}

/// A `serve` in the background.
struct Service {
    process: std::process::Child,
    /// Where it listens, instead of where the page says.
    address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where pages say that a service listens.
const USUAL: &str = "127.0.0.1:7733";

impl Reader {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join(".bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_syncline"), bin.join("syncline")).unwrap();
        let sqlite3 = "#!/usr/bin/env python3\nimport sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])\n";
        std::fs::write(bin.join("sqlite3"), sqlite3).unwrap();
        std::fs::set_permissions(bin.join("sqlite3"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        Self { dir, service: None }
    }

    fn bash(&self, command: &str) -> Output {
        let address = self.service.as_ref().map_or(USUAL, |service| &service.address);
        self.command(&command.replace(USUAL, address)).output().unwrap()
    }

    fn command(&self, command: &str) -> Command {
        let path = format!("{}:{}", self.dir.path().join(".bin").display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-c", command]).current_dir(self.dir.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNCLINE_")) {
            bash.env_remove(name);
        }
        bash.env("PATH", path).env("COLUMNS", "200").env_remove("CI");
        bash
    }

    /// Starts what the block says, and waits until it listens.
    async fn serve(&mut self, block: &Block) {
        let line = block.lines[0].strip_prefix("$ ").expect("a block begins with a command");
        let log = self.dir.path().join("serve.log");
        let mut bash = self.command(&format!("exec {line} --listen 127.0.0.1:0"));
        let process = bash.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        self.service = Some(Service { process, address: USUAL.to_owned() });
        let address = harness::http::told(|| std::fs::read_to_string(&log).unwrap()).await;
        if let Some(service) = &mut self.service {
            service.address = address;
        }
    }

    fn check(&self, spec: &Block) {
        let name = spec.lines[0].strip_prefix("# ").filter(|name| Path::new(name).extension().is_some());
        let name = name.unwrap_or("spec.yaml");
        std::fs::write(self.dir.path().join(name), spec.lines.join("\n")).unwrap();
        let output = self.bash(&format!("syncline check {name}"));
        assert_ended(&output, 0, &format!("the spec in line {}", spec.line));
    }

    fn follow(&self, console: &Block) {
        let code = console.info.split_once("exit=").map_or(0, |(_, code)| code.parse().unwrap());
        let mut lines = console.lines.iter().peekable();
        while let Some(line) = lines.next() {
            let mut command = line.strip_prefix("$ ").expect("a block begins with a command").to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
                command += &format!("\n{}", &more[2..]);
            }
            let output = self.bash(&command);
            assert_ended(&output, code, &format!("line {}: {command}", console.line));
            let printed: Vec<String> = text(&output).lines().map(settled).collect();
            while let Some(shown) = lines.next_if(|line| !line.starts_with("$ ")) {
                let is_there = shown == "…" || printed.contains(&settled(shown));
                assert!(is_there, "{command}\ndoes not print\n{shown}\nbut\n{}", text(&output));
            }
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn assert_ended(output: &Output, code: i32, what: &str) {
    assert_eq!(output.status.code(), Some(code), "{what}\n{}", text(output));
}

/// A line without what changes from run to run: widths, rules, ids, durations, versions.
fn settled(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| !word.starts_with('─'));
    let words = words.map(|word| word.trim_matches([',', '"']));
    let is_run = |word: &str| word.starts_with("run_") || word.contains(":\"run_");
    let words: Vec<&str> = words.map(|word| if is_run(word) { "RUN" } else { word }).collect();
    let mut settled = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        match words.get(at + 1) {
            Some(&("ms" | "s")) if is_number => settled.push("TIME"),
            _ if matches!(*word, "ms" | "s") => {}
            _ if is_number && word.contains('T') && word.ends_with('Z') => settled.push("MOMENT"),
            _ if is_number && word.matches('.').count() == 2 => settled.push("VERSION"),
            _ => settled.push(word),
        }
    }
    settled.join(" ")
}

#[tokio::test]
async fn every_command_and_spec_of_the_documentation_works() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let in_docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let mut followed = 0;
    for page in std::iter::once(root.join("README.md")).chain(in_docs.filter(is_page)) {
        println!("{}", page.display());
        let mut reader = Reader::new();
        for block in blocks(&std::fs::read_to_string(&page).unwrap()) {
            match block.info.split(' ').next() {
                Some("console") => reader.follow(&block),
                Some("serve") => reader.serve(&block).await,
                Some("yaml") if block.lines.iter().any(|line| line == "version: 1") => reader.check(&block),
                _ => continue,
            }
            followed += 1;
        }
    }
    assert!(followed > 10, "{followed} blocks were found");
}

/// The catalogue of faults says what is tested, and nothing that is not.
#[test]
fn every_fault_is_tested_or_said_to_be_missing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    for entry in std::fs::read_dir(root.join("tests/faults")).unwrap() {
        tests += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    let page = std::fs::read_to_string(root.join("docs/failures.md")).unwrap();
    let rows: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.splitn(2, " | ");
            let id = cells.next().filter(|id| id[1..].parse::<u32>().is_ok())?;
            Some((id, cells.next()?))
        })
        .collect();
    assert_eq!(rows.len(), 16 + 11 + 12 + 8, "the whole catalogue");
    for (id, text) in rows {
        let name = format!(" {}_", id.to_lowercase());
        assert_ne!(tests.contains(&name), text.contains("not built yet"), "{id}: {text}");
    }
}
