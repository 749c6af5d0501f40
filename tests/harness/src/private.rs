//! A PostgreSQL server of a test's own, which the test may stop, kill, fill up and make read-only.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::wait_until;

/// Initialising and starting take a few seconds; on a busy machine more.
const START_MAX: Duration = Duration::from_secs(90);

/// One server: its folder and its processes, all gone when dropped.
#[derive(Debug)]
pub struct PrivatePostgres {
    dir: TempDir,
    port: u16,
    server: Option<Child>,
    is_mounted: bool,
}

impl PrivatePostgres {
    /// Makes one and waits until it answers.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    pub async fn start() -> Self {
        Self::begin(None).await
    }

    /// One whose data (but not its log of writes) is on a disk of its own, of `megabytes`; needs root.
    ///
    /// # Panics
    /// As [`PrivatePostgres::start`], or the disk cannot be made.
    pub async fn start_on_small_disk(megabytes: u32) -> Self {
        Self::begin(Some(megabytes)).await
    }

    async fn begin(megabytes: Option<u32>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut this = Self { dir, port: free_port(), server: None, is_mounted: false };
        std::fs::create_dir(this.disk()).expect("a folder");
        if let Some(megabytes) = megabytes {
            let size = format!("size={megabytes}m");
            let disk = this.disk();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &size, "syncline-test"]).arg(&disk);
            assert!(mount.status().expect("mount runs").success(), "a small disk can be mounted");
            this.is_mounted = true;
        }
        give_to_postgres(this.dir.path());
        give_to_postgres(&this.disk());
        let made = this
            .program("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg("--pgdata")
            .arg(this.data())
            .arg("--waldir")
            .arg(this.dir.path().join("wal"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        this.launch().await;
        this
    }

    /// As the addresses of servers in the environment are; any password is taken.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:any@127.0.0.1:{}", self.port)
    }

    /// Stops every process of the server: its sockets stay open and nobody answers.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// `kill -9`, all of it. It stays away until [`PrivatePostgres::restart`].
    ///
    /// # Panics
    /// It is not running.
    pub fn kill(&mut self) {
        self.signal_all("KILL");
        let mut server = self.server.take().expect("it runs");
        let _ = server.wait();
    }

    /// Starts it again, with what it had committed, and waits until it answers.
    ///
    /// # Panics
    /// It does not start.
    pub async fn restart(&mut self) {
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        self.launch().await;
    }

    /// Runs one statement that is a constant of the test.
    ///
    /// # Panics
    /// It fails.
    pub async fn exec(&self, sql: &'static str) {
        let url = format!("{}/postgres", self.url());
        let mut db = PgConnection::connect(&url).await.expect("the private server answers");
        sqlx::raw_sql(sql).execute(&mut db).await.expect("the statement runs");
        db.close().await.expect("closes");
    }

    /// Fills the disk to the last byte.
    ///
    /// # Panics
    /// The disk is not a small one, or is not full afterwards.
    pub fn fill_disk(&self) {
        assert!(self.is_mounted, "only a disk of its own may be filled");
        let mut filled = Command::new("dd");
        filled.arg("if=/dev/zero").arg(format!("of={}", self.filler().display())).arg("bs=4096");
        let done = filled.stderr(Stdio::null()).status().expect("dd runs");
        assert!(!done.success(), "it wrote until there was no space left");
    }

    /// Frees what [`PrivatePostgres::fill_disk`] took.
    ///
    /// # Panics
    /// It was not filled.
    pub fn free_disk(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.disk().join("filler")
    }

    async fn launch(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log file");
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "shared_buffers=16MB",
            "max_connections=60",
            "max_wal_size=64MB",
        ];
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.server = Some(command.spawn().expect("postgres starts"));
        let url = format!("{}/postgres", self.url());
        wait_until("the private server answers", START_MAX, async || {
            PgConnection::connect(&url).await.is_ok()
        })
        .await;
    }

    /// A program of the newest PostgreSQL, as a user whom it does not refuse.
    fn program(&self, name: &str) -> Command {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed: run `make servers`")
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("postgres").exists())
            .collect();
        versions.sort();
        let bin = versions.pop().expect("PostgreSQL is installed: run `make servers`");
        let mut command = Command::new(bin.join(name));
        command.current_dir(self.dir.path());
        if is_root() {
            command.uid(id(&["-u", "postgres"])).gid(id(&["-g", "postgres"]));
        }
        command
    }

    /// The server first: it starts no more processes while its children are told.
    fn signal_all(&self, name: &str) {
        let Some(server) = &self.server else { return };
        let pid = server.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        signal(name, &pid.to_string());
        for child in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            signal(name, child);
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // Children are found through their parent: while it is still there.
        self.freeze();
        self.signal_all("KILL");
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
        if self.is_mounted {
            let _ = Command::new("umount").arg("--lazy").arg(self.disk()).status();
        }
    }
}

/// Whether this process may mount disks and change users.
#[must_use]
pub fn is_root() -> bool {
    id(&["-u"]) == 0
}

fn id(args: &[&str]) -> u32 {
    let output = Command::new("id").args(args).output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number; is PostgreSQL installed?")
}

fn give_to_postgres(folder: &Path) {
    if is_root() {
        let (user, group) = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
        std::os::unix::fs::chown(folder, Some(user), Some(group)).expect("root may give it away");
    }
}

fn signal(name: &str, pid: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), pid]).stderr(Stdio::null()).status();
}

/// A port that nobody listens at now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
