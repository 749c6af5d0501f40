//! The real binary, with a folder and a ledger of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::{Database, Server};

/// Where failpoints leave a file of their name when they act.
const MARKS: &str = "marks";

/// A place to run the binary in.
#[derive(Debug)]
pub struct Syncline {
    binary: PathBuf,
    pub dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
    /// Words in front of every command, which end in running it.
    prefix: Vec<String>,
}

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Asserts the exit code.
    ///
    /// # Panics
    /// It is another one; the message shows all that was printed.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The last JSON line of standard output.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let line = self.stdout.lines().rev().find(|l| l.starts_with('{')).expect("a line of JSON");
        serde_json::from_str(line).expect("valid JSON")
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Syncline {
    /// `binary` is `env!("CARGO_BIN_EXE_syncline")` in tests of the root package.
    ///
    /// # Panics
    /// No temporary folder can be made.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let marks = dir.path().join(MARKS);
        std::fs::create_dir(&marks).expect("a folder for marks");
        let mut variables = vec![
            // Many run at once: who wants an API names a port.
            ("SYNCLINE_LISTEN".to_owned(), "off".to_owned()),
            ("SYNCLINE_LEDGER".to_owned(), format!("sqlite:{}", dir.path().join("ledger.db").display())),
            ("SYNCLINE_FAILPOINTS_DIR".to_owned(), marks.display().to_string()),
        ];
        for (server, address) in [
            (Server::Mysql, "SYNCLINE_TEST_MYSQL_URL"),
            (Server::Mariadb, "SYNCLINE_TEST_MARIADB_URL"),
            (Server::Postgres, "SYNCLINE_TEST_POSTGRES_URL"),
            (Server::Sqlserver, "SYNCLINE_TEST_MSSQL_URL"),
        ] {
            if std::env::var(address).is_ok() {
                variables.push((server.password_variable().to_owned(), server.password()));
            }
        }
        Self { binary: binary.into(), dir, variables, prefix: Vec::new() }
    }

    /// The folder in which failpoints leave their marks.
    #[must_use]
    pub fn marks(&self) -> PathBuf {
        self.dir.path().join(MARKS)
    }

    /// Sets an environment variable for everything that is run from here.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Takes an environment variable away that [`Syncline::with`] has set.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// Runs everything inside the network namespace `name`; needs root.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        self.prefix = ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
        self
    }

    /// Writes `spec.yaml`: source, target and the rest as given (`tables:` and `defaults:` at least).
    ///
    /// # Panics
    /// The file cannot be written.
    #[must_use]
    pub fn spec(&self, source: &Database, target: &Database, rest: &str) -> String {
        let path = self.dir.path().join("spec.yaml");
        let text =
            format!("version: 1\nname: test\nsource: {}\ntarget: {}\n{rest}\n", source.spec(), target.spec());
        std::fs::write(&path, text).expect("the spec can be written");
        path.display().to_string()
    }

    /// The command, ready to run.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match self.prefix.split_first() {
            None => Command::new(&self.binary),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.binary);
                command
            }
        };
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// The binary cannot be started.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Finished {
        self.command(args).output().expect("the binary starts").into()
    }

    /// Runs with extra environment variables.
    ///
    /// # Panics
    /// The binary cannot be started.
    #[must_use]
    pub fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Finished {
        self.command(args).envs(variables.iter().copied()).output().expect("the binary starts").into()
    }

    /// Starts in the background, output to `<name>.log` in the folder.
    ///
    /// # Panics
    /// The binary cannot be started.
    #[must_use]
    pub fn start(&self, name: &str, args: &[&str]) -> Background {
        self.start_with(name, &[], args)
    }

    /// As [`Syncline::start`], with extra environment variables.
    ///
    /// # Panics
    /// The binary cannot be started.
    #[must_use]
    pub fn start_with(&self, name: &str, variables: &[(&str, &str)], args: &[&str]) -> Background {
        self.start_under(&[], name, variables, args)
    }

    /// As [`Syncline::start_with`], under a command that in the end becomes the binary: `faketime`, `sh -c 'exec "$@"'`.
    ///
    /// # Panics
    /// The command cannot be started.
    #[must_use]
    pub fn start_under(
        &self,
        prefix: &[&str],
        name: &str,
        variables: &[(&str, &str)],
        args: &[&str],
    ) -> Background {
        let mut command = self.command(args);
        if let Some((first, rest)) = prefix.split_first() {
            let mut outer = Command::new(first);
            outer.args(rest).arg(command.get_program()).args(command.get_args());
            outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            outer.current_dir(self.dir.path()).stdin(Stdio::null());
            command = outer;
        }
        let log = std::fs::File::create(self.dir.path().join(format!("{name}.log"))).expect("a log file");
        let child = command
            .envs(variables.iter().copied())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Background { child, log: self.dir.path().join(format!("{name}.log")) }
    }
}

/// A process in the background; killed when dropped.
#[derive(Debug)]
pub struct Background {
    pub child: Child,
    log: PathBuf,
}

impl Background {
    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end with SIGTERM and returns its exit code.
    ///
    /// # Panics
    /// It cannot be signalled.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    ///
    /// # Panics
    /// The process is gone.
    pub fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.child.id().to_string());
        let done = Command::new("kill").args([&signal, &pid]).status().expect("kill runs");
        assert!(done.success(), "the process is there");
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}
