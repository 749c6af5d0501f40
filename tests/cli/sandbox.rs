//! A folder of its own per test, the binary, and output with everything that changes from run to run replaced.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

const CHINOOK: &str = include_str!("../data/chinook/Chinook_Sqlite.sql");

/// Two SQLite databases, a ledger and specs, in a folder that goes with the test.
pub(crate) struct Sandbox {
    dir: TempDir,
}

/// What a command left behind.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    /// With Chinook as `source.db`, and a spec that copies all of it to `target.db`.
    pub(crate) fn with_chinook() -> Self {
        let sandbox = Self::new();
        sandbox.sql("source.db", CHINOOK);
        sandbox.spec("tables: [{ from: \"*\" }]");
        sandbox
    }

    /// With one table of `rows` rows, and a spec that copies it in chunks of `chunk` rows.
    pub(crate) fn with_numbers(rows: u32, chunk: u32) -> Self {
        let sandbox = Self::new();
        sandbox.sql("source.db", &format!("
            CREATE TABLE numbers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount DECIMAL(10,2));
            INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            SELECT i, 'number ' || i, i / 4.0 FROM n"));
        sandbox
            .spec(&format!("defaults: {{ chunk: {{ rows_max: {chunk} }} }}\ntables: [{{ from: numbers }}]"));
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writes");
    }

    /// `spec.yaml`, from `source.db` to `target.db`.
    pub(crate) fn spec(&self, rest: &str) {
        let ends = "source: { engine: sqlite, path: source.db }\ntarget: { engine: sqlite, path: target.db }";
        self.write("spec.yaml", &format!("version: 1\nname: shop\n{ends}\n{rest}\n"));
    }

    /// Runs statements on a database of the sandbox.
    pub(crate) fn sql(&self, name: &str, sql: &str) {
        let path = self.path(name);
        on_runtime(async {
            let options =
                SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
            let mut db = SqliteConnection::connect_with(&options).await.expect("connects");
            sqlx::raw_sql("PRAGMA synchronous = OFF; BEGIN").execute(&mut db).await.expect("begins");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut db).await.expect("runs");
            sqlx::raw_sql("COMMIT").execute(&mut db).await.expect("commits");
            db.close().await.expect("closes");
        });
    }

    /// One number from a database of the sandbox.
    pub(crate) fn number(&self, name: &str, sql: &str) -> i64 {
        let path = self.path(name);
        on_runtime(async {
            let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
            let mut db = SqliteConnection::connect_with(&options).await.expect("connects");
            let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()));
            query.fetch_one(&mut db).await.expect("a number")
        })
    }

    /// The binary, in the folder, with a clean environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("syncline"));
        command.args(arguments).current_dir(self.dir.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNCLINE_") {
                command.env_remove(name);
            }
        }
        command.env_remove("NO_COLOR").env_remove("CI").env("COLUMNS", "100");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().expect("starts"), self.dir.path())
    }

    /// Runs a command that must end with this code.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}\n{}\n{}", ended.stdout, ended.stderr);
        ended
    }
}

impl Ended {
    pub(crate) fn of(output: &Output, dir: &Path) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*dir.to_string_lossy(), "DIR");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The JSON objects on stdout, each with the version of its form.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let events: Vec<serde_json::Value> =
            self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        for event in &events {
            assert_eq!(event["v"], 1, "{event}");
            assert!(event["event"].is_string(), "{event}");
        }
        events
    }

    /// Both streams and the code, as a snapshot shows them.
    pub(crate) fn shown(&self) -> String {
        format!(
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

/// Snapshots with ids, times and versions replaced.
pub(crate) fn settled(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter(r"run_[0-9a-f]{32}", "RUN");
    settings.add_filter(r" *\b\d+ ms\b", " TIME");
    settings.add_filter(r" *\b\d+\.\d s\b", " TIME");
    settings.add_filter(r"\d+ min \d\d s", "TIME");
    settings.add_filter(r"[0-9,]+ rows/s", "RATE rows/s");
    settings.add_filter(r"SQLite \d+\.\d+\.\d+", "SQLite V");
    settings.add_filter(r"(127\.0\.0\.1):\d+", "$1:PORT");
    // Widths follow the times that stand in the columns.
    settings.add_filter(r" +(TIME|time)\b", "  $1");
    settings.add_filter(r" +–", "  –");
    settings.add_filter(r"─{5,}", "─────");
    settings.bind(check);
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Runs statements on a MySQL or MariaDB.
pub(crate) fn mysql(url: &str, sql: &str) {
    on_runtime(async {
        let mut db = sqlx::mysql::MySqlConnection::connect(url).await.expect("connects");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut db).await.expect("runs");
        db.close().await.expect("closes");
    });
}
