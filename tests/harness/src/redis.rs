//! A Redis server of a test's own: in its own folder, on a free port, to be killed, stopped, filled and misled.
//!
//! Speaks to it over its own protocol with raw bytes, so that a test can forge what no client would send.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far above what a start takes on a busy machine.
const READY: Duration = Duration::from_secs(30);
/// A server that is stopped or asleep must not hold a test for ever.
const ANSWER: Duration = Duration::from_secs(20);

/// What a server keeps of what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing survives the process.
    Nothing,
    /// Append-only file, on disk every second.
    EverySecond,
    /// Append-only file, on disk before the answer.
    Always,
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    pub keep: Keep,
    /// A folder that is there already, such as a mounted disk; else one is made.
    pub folder: Option<PathBuf>,
    /// Also listens with TLS, by the certificate of `tests/servers.sh`.
    pub tls: bool,
    /// More options, as on the command line: `["--maxmemory", "3mb"]`.
    pub more: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { keep: Keep::Nothing, folder: None, tls: false, more: Vec::new() }
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nil,
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Refused(String),
}

impl Answer {
    /// As text; lists one item a line.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Nil => String::new(),
            Self::Int(n) => n.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::List(items) => items.iter().map(Self::text).collect::<Vec<_>>().join("\n"),
            Self::Refused(text) => text.clone(),
        }
    }

    /// As a number.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn int(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("no number: {self:?}"))
    }
}

/// A private server; it ends, by its process id, when it is dropped.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    _made: Option<tempfile::TempDir>,
    pub port: u16,
    pub tls_port: u16,
    program: &'static str,
    args: Vec<String>,
    child: Option<Child>,
    /// Who the test is, if the server asks.
    login: Option<(String, String)>,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// The program is not installed, or does not come up.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let mut args: Vec<String> = ["--save", "", "--enable-debug-command", "yes"].map(str::to_owned).into();
        args.extend(match options.keep {
            Keep::Nothing => vec!["--appendonly".into(), "no".into()],
            Keep::EverySecond => aof("everysec"),
            Keep::Always => aof("always"),
        });
        args.extend(options.more.iter().cloned());
        Self::launch("redis-server", args, options)
    }

    /// Starts a copy of `self` that follows it, and waits until it has caught up.
    ///
    /// # Panics
    /// As [`Redis::start`], or the copy is not made in time.
    #[must_use]
    pub fn replica(&self, options: &Options) -> Self {
        let mut options = options.clone();
        options.more.extend(["--replicaof".into(), "127.0.0.1".into(), self.port.to_string()]);
        options.more.extend(["--repl-diskless-sync-delay".into(), "0".into()]);
        let mut replica = Self::start(&options);
        replica.login.clone_from(&self.login);
        let end = Instant::now() + READY;
        while !replica.cli(&["INFO", "replication"]).text().contains("master_link_status:up") {
            assert!(Instant::now() < end, "the replica does not catch up: {}", replica.log());
            pause();
        }
        replica
    }

    /// Starts a sentinel that watches `self` as `name` and alone decides on a failover, after half a second of
    /// silence. `more` are lines of its configuration.
    ///
    /// # Panics
    /// As [`Redis::start`].
    #[must_use]
    pub fn sentinel(&self, name: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let conf = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor {name} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 3000\n{more}\n",
            self.port
        );
        std::fs::write(&conf, text).expect("the configuration can be written");
        let options = Options { folder: Some(folder.path().to_owned()), ..Options::default() };
        let mut sentinel = Self::launch("redis-sentinel", vec![conf.display().to_string()], &options);
        sentinel._made = Some(folder);
        sentinel
    }

    fn launch(program: &'static str, args: Vec<String>, options: &Options) -> Self {
        let made = options.folder.is_none().then(|| tempfile::tempdir().expect("a temporary folder"));
        let folder = match (&options.folder, &made) {
            (Some(folder), _) => folder.clone(),
            (None, Some(made)) => made.path().to_owned(),
            (None, None) => unreachable!("one of both"),
        };
        let mut server =
            Self { folder, _made: made, port: 0, tls_port: 0, program, args, child: None, login: None };
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..20 {
            server.port = free_port();
            server.tls_port = if options.tls { free_port() } else { 0 };
            if server.boot() {
                return server;
            }
        }
        panic!("{program} does not start: {}", server.log());
    }

    /// Starts the process; whether it came up.
    fn boot(&mut self) -> bool {
        // Debian's redis-tools has the server under another name; it goes by the name it is called.
        let binary = if which("redis-server").is_some() { "redis-server" } else { "redis-check-rdb" };
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = Command::new(which(binary).expect("install redis-tools: tests/servers.sh up"));
        // Defaults first: what the test asks for comes last and wins.
        command.arg0(self.program).current_dir(&self.folder);
        if self.program == "redis-sentinel" {
            command.args(&self.args);
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.arg("--dir").arg(&self.folder);
        if self.tls_port != 0 {
            let tls = PathBuf::from(std::env::var("SYNCLINE_TEST_TLS_CA").expect("tests/servers.sh env"));
            command.args(["--tls-port", &self.tls_port.to_string(), "--tls-auth-clients", "optional"]);
            for (option, file) in [("ca-cert", "ca.pem"), ("cert", "server.pem"), ("key", "server.key")] {
                command.arg(format!("--tls-{option}-file")).arg(tls.with_file_name(file));
            }
        }
        if self.program != "redis-sentinel" {
            command.args(&self.args);
        }
        let log_too = log.try_clone().expect("a second handle");
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(log_too).spawn();
        self.child = Some(spawned.expect("the server starts"));
        let end = Instant::now() + READY;
        while Instant::now() < end {
            if !self.is_alive() {
                return false;
            }
            match self.try_cli(&["PING"]) {
                Some(Answer::Refused(text)) if text.starts_with("LOADING") => {}
                Some(_) => return true,
                None => {}
            }
            pause();
        }
        false
    }

    /// The address for `SYNCLINE_REDIS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on the test logs in as this user.
    pub fn login(&mut self, user: &str, password: &str) {
        self.login = Some((user.to_owned(), password.to_owned()));
    }

    /// `kill -9`: nothing is written, nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same address, with whatever its folder holds.
    ///
    /// # Panics
    /// It does not come up.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.boot(), "the server does not come back: {}", self.log());
    }

    /// Sends a signal: `STOP`, `CONT`.
    ///
    /// # Panics
    /// The process is gone.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let done = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(done.success(), "the server is there");
    }

    /// Whether the process has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    // Not in the server's folder, which may be a disk that is full.
    fn log_path(&self) -> PathBuf {
        match &self._made {
            Some(made) => made.path().join("redis.log"),
            None => {
                std::env::temp_dir().join(format!("syncline-redis-{}-{}.log", std::process::id(), self.port))
            }
        }
    }

    /// One command.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn cli(&self, words: &[&str]) -> Answer {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.raw(&words).unwrap_or_else(|| panic!("no answer to {:?}: {}", words.first(), self.log()))
    }

    /// As [`Redis::cli`]; `None` if the server does not answer.
    #[must_use]
    pub fn try_cli(&self, words: &[&str]) -> Option<Answer> {
        self.raw(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// One command of arbitrary bytes; `None` if there is no answer.
    #[must_use]
    pub fn raw(&self, words: &[&[u8]]) -> Option<Answer> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        let mut reader = BufReader::new(stream);
        if let Some((user, password)) = &self.login {
            ask(&mut reader, &[b"AUTH", user.as_bytes(), password.as_bytes()])?;
        }
        ask(&mut reader, words)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        if self._made.is_none() {
            let _ = std::fs::remove_file(self.log_path());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that starts a server has nothing else to do meanwhile")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

fn aof(fsync: &str) -> Vec<String> {
    ["--appendonly", "yes", "--appendfsync", fsync].map(str::to_owned).into()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Where a program is.
#[must_use]
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn ask(reader: &mut BufReader<TcpStream>, words: &[&[u8]]) -> Option<Answer> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    reader.get_mut().write_all(&request).ok()?;
    answer(reader)
}

fn answer(reader: &mut BufReader<TcpStream>) -> Option<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let (kind, rest) = line.trim_end().split_at_checked(1)?;
    match kind {
        "+" => Some(Answer::Bytes(rest.as_bytes().to_vec())),
        "-" => Some(Answer::Refused(rest.to_owned())),
        ":" => rest.parse().ok().map(Answer::Int),
        "$" => {
            let Ok(length) = rest.parse::<usize>() else { return Some(Answer::Nil) };
            let mut bytes = vec![0; length + 2];
            reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(length);
            Some(Answer::Bytes(bytes))
        }
        "*" => {
            let Ok(length) = rest.parse::<usize>() else { return Some(Answer::Nil) };
            (0..length).map(|_| answer(reader)).collect::<Option<Vec<_>>>().map(Answer::List)
        }
        _ => None,
    }
}
