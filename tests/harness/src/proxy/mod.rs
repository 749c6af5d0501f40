//! A TCP proxy that does what a bad network does, on purpose and countably. Needs no rights.
//!
//! A test puts one between the binary and a server ([`crate::Database::through`]) and adds [`Rule`]s while it runs. The
//! proxy lives on a thread of its own, so that a test may block. It knows bytes only: with TLS on, patterns never match.

mod armed;
mod pump;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use armed::Board;
pub use armed::Hits;
use pump::carry;

/// MySQL's packet `COMMIT`, without its header.
pub const MYSQL_COMMIT: &[u8] = b"\x03COMMIT";

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dir {
    ToServer,
    ToClient,
}

/// When a rule strikes a connection.
#[derive(Debug, Clone, Copy)]
pub enum After {
    /// When so many bytes have gone that way on the connection since the rule was added: to the byte.
    Bytes(u64),
    /// When these bytes have gone by.
    Pattern(&'static [u8]),
    /// When the first and after it the second have gone by.
    Then(&'static [u8], &'static [u8]),
    /// So long after the rule was added.
    Time(Duration),
}

/// What a struck connection suffers, from there on.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Each piece that was read comes later by `mean`, give or take up to `jitter`, evenly spread and seeded.
    Latency { mean: Duration, jitter: Duration },
    /// Bytes a second.
    Rate(u32),
    /// So many bytes at a time, a millisecond apart.
    Slice(usize),
    /// Bytes that way are read and lost, and neither end ever learns that the other has left.
    BlackHole,
    /// Bytes that way are not even read.
    Stall,
    /// The connection is closed both ways, in order.
    Fin,
    /// The connection is reset both ways.
    Rst,
    /// What goes that way arrives; the answer to it is swallowed and the connection is reset. The server has done it,
    /// the client does not know.
    CutAfterReplyWithheld,
    /// New connections are reset at once; `dir` and `after` mean nothing.
    RefuseNew,
    /// In turn, `up` all is well, then `down` every connection is reset; `dir` and `after` mean nothing.
    Flap { up: Duration, down: Duration },
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub dir: Dir,
    pub after: After,
    pub act: Act,
    /// Connections it strikes at most; then it is spent.
    pub times: usize,
    /// Strikes only connections of the process with this id. Of a process on this machine that is alive.
    pub client: Option<u32>,
}

impl Rule {
    /// A rule for every connection there is and will be.
    #[must_use]
    pub const fn new(dir: Dir, after: After, act: Act) -> Self {
        Self { dir, after, act, times: usize::MAX, client: None }
    }

    /// At most so many connections.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Connections of this process alone.
    #[must_use]
    pub const fn of(mut self, pid: u32) -> Self {
        self.client = Some(pid);
        self
    }
}

/// A proxy in front of one server. Dropped, it resets what it carries.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    board: Arc<Board>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and carries to `server` (`host:port`).
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn to(server: &str) -> Self {
        Self::between("127.0.0.1", server)
    }

    /// As [`Proxy::to`], listening on another address of this machine.
    ///
    /// # Panics
    /// As [`Proxy::to`].
    #[must_use]
    pub fn between(host: &str, server: &str) -> Self {
        let listener = std::net::TcpListener::bind((host, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound socket has an address");
        let board = Arc::new(Board::new(u64::from(address.port())));
        let (stop, stopped) = oneshot::channel();
        let (shared, server) = (Arc::clone(&board), server.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                tokio::select! {
                    () = serve(listener, server, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, board, stop: Some(stop), thread: Some(thread) }
    }

    /// Adds a rule, which strikes from now on, connections that exist included; its counter.
    #[must_use]
    pub fn add(&self, rule: Rule) -> Hits {
        self.board.add(rule)
    }

    /// Takes all rules away. A connection that lost bytes stays as it is; others and new ones are whole.
    pub fn heal(&self) {
        self.board.clear();
    }

    /// Connections accepted so far, those refused included.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.board.accepted()
    }

    /// Bytes carried that way so far.
    #[must_use]
    pub fn carried(&self, dir: Dir) -> u64 {
        self.board.carried(dir)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, server: String, board: Arc<Board>) {
    let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Out of descriptors for a moment: the next one may do better.
        let Ok((client, peer)) = listener.accept().await else { continue };
        let (server, board) = (server.clone(), Arc::clone(&board));
        connections.spawn(async move { connect(client, peer, &server, board).await });
    }
}

async fn connect(client: TcpStream, peer: SocketAddr, server: &str, board: Arc<Board>) {
    board.accept();
    let inode = client.local_addr().ok().and_then(|here| armed::inode_of(peer, here));
    if board.refuses(inode) {
        let _ = client.set_zero_linger();
        return;
    }
    match TcpStream::connect(server).await {
        Ok(upstream) => carry(client, upstream, board, inode).await,
        Err(_) => drop(client.set_zero_linger()),
    }
}
