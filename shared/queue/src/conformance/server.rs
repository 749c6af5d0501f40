//! A Redis server for one test.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const URL: &str = "SYNCLINE_TEST_REDIS_URL";

/// A private server on 127.0.0.1; it ends, by its process id, when it is dropped.
pub(super) struct Server {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

/// The server the user names, else a private one.
pub(super) async fn private_or_given() -> (String, Option<Server>) {
    if let Ok(url) = std::env::var(URL) {
        return (url, None);
    }
    let server = Server::start().await;
    (server.url(), Some(server))
}

impl Server {
    pub(super) async fn start() -> Self {
        // Tests run in many processes at once: each begins to look elsewhere, and the server itself settles who has it.
        let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        for port in first..first + 200 {
            let mut server = Self { directory: tempfile::tempdir().unwrap(), port, child: None };
            if server.boot().await {
                return server;
            }
        }
        panic!("no free port for redis-server from {first} on");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// As a crash: nothing is written, nobody is told.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The same address, nothing in it.
    pub(super) async fn restart(&mut self) {
        self.kill();
        assert!(self.boot().await, "redis-server does not come back on port {}", self.port);
    }

    pub(super) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// `false` if the port is somebody else's.
    async fn boot(&mut self) -> bool {
        let port = self.port.to_string();
        let child = program()
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("set {URL} to a Redis server, or install the binary redis-server (apt-get install redis-tools): {error}")
        });
        let client = redis::Client::open(self.url()).unwrap();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                // Another server may answer on this port while ours is about to give up.
                let pid = process_id(&mut connection).await;
                if pid == Some(child.id()) {
                    self.child = Some(child);
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Debian's package redis-tools has the server under another name; it goes by the name it is called.
fn program() -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_server = std::env::split_paths(&path).any(|folder| folder.join("redis-server").is_file());
    let mut command = Command::new(if has_server { "redis-server" } else { "redis-check-rdb" });
    command.arg0("redis-server");
    command
}

async fn process_id(connection: &mut redis::aio::MultiplexedConnection) -> Option<u32> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok())
}
