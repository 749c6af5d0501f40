//! A MongoDB-compatible server of a test's own: with users, TLS, or no replica set.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use tempfile::TempDir;

use crate::private::free_port;
use crate::wait_until;

const START_MAX: Duration = Duration::from_secs(60);
/// The one user of a server that asks for users.
pub const USER: &str = "reader";

/// One server: its folder and its process, both gone when dropped.
#[derive(Debug)]
pub struct PrivateMongodb {
    _dir: TempDir,
    pub port: u16,
    server: Child,
    authority: Option<String>,
}

impl PrivateMongodb {
    /// Starts one with more arguments and waits until it answers.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub async fn start(more: &[&str]) -> Self {
        Self::begin(more, None).await
    }

    /// One that speaks TLS only, with the certificate of the test servers, and asks for users: it has [`USER`].
    ///
    /// # Panics
    /// As [`PrivateMongodb::start`], or there are no certificates.
    pub async fn start_secured(password: &str) -> Self {
        let authority = std::env::var("SYNCLINE_TEST_TLS_CA").expect("run `make servers`");
        let folder = Path::new(&authority).parent().expect("a folder").to_owned();
        let of = |name: &str| folder.join(name).display().to_string();
        let (certificate, key) = (of("server.pem"), of("server.key"));
        let arguments = ["--auth", "--tls-cert-file", &certificate, "--tls-key-file", &key];
        let this = Self::begin(&arguments, Some(authority)).await;
        let made = doc! { "createUser": USER, "pwd": password, "roles": ["root"] };
        this.client(None).database("admin").run_command(made).await.expect("the first user may be made");
        this
    }

    async fn begin(more: &[&str], authority: Option<String>) -> Self {
        let program = std::env::var("SYNCLINE_TEST_MONGODB_BIN").expect("run `make servers`");
        let (dir, port) = (tempfile::tempdir().expect("a temporary folder"), free_port());
        let log = std::fs::File::create(dir.path().join("log")).expect("a log file");
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--log-level", "WARNING", "--cache-size", "64M"]);
        command.args(["--log-file-max", "8MB", "--port", &port.to_string(), "--storage-path"]);
        command.arg(dir.path().join("data")).args(more).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let this = Self { _dir: dir, port, server: command.spawn().expect("it starts"), authority };
        wait_until("the private server answers", START_MAX, async || {
            this.client(None).database("admin").run_command(doc! { "hello": 1 }).await.is_ok()
        })
        .await;
        this
    }

    /// The driver's own client, as somebody or as nobody.
    ///
    /// # Panics
    /// The options are not valid.
    #[must_use]
    pub fn client(&self, credential: Option<Credential>) -> mongodb::Client {
        let tls = self.authority.as_ref().map(|authority| {
            Tls::Enabled(TlsOptions::builder().ca_file_path(Some(authority.into())).build())
        });
        let host = ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(self.port) };
        let options = ClientOptions::builder()
            .hosts(vec![host])
            .direct_connection(true)
            .tls(tls)
            .credential(credential)
            .server_selection_timeout(Duration::from_secs(2))
            .build();
        mongodb::Client::with_options(options).expect("valid options")
    }
}

impl Drop for PrivateMongodb {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
