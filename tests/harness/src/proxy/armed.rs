//! Rules at work: who is struck, how often, and whose connection it is.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Act, Dir, Rule};

/// How often a rule struck: the proof that a fault was met (O14).
#[derive(Debug, Clone)]
pub struct Hits(Arc<Armed>);

impl Hits {
    /// Connections struck so far; of a flapping line, connections cut or refused.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.hits.load(Ordering::SeqCst)
    }
}

/// A rule and what became of it.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) rule: Rule,
    pub(super) since: Instant,
    hits: AtomicUsize,
    removed: AtomicBool,
}

impl Armed {
    /// Takes one of the rule's strikes; `false` if there is none left.
    pub(super) fn strike(&self) -> bool {
        let spend = |hits| (hits < self.rule.times).then_some(hits + 1);
        self.hits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_ok()
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    pub(super) fn concerns(&self, inode: Option<u64>) -> bool {
        self.rule.client.is_none_or(|pid| inode.is_some_and(|inode| holds(pid, inode)))
    }

    /// Whether a flapping line is down now.
    pub(super) fn is_down(&self, up: Duration, down: Duration) -> bool {
        let period = (up + down).as_nanos().max(1);
        self.since.elapsed().as_nanos() % period >= up.as_nanos()
    }
}

/// All rules of a proxy, and what it has seen.
#[derive(Debug)]
pub(super) struct Board {
    rules: Mutex<Vec<Arc<Armed>>>,
    /// Raised by every change, to wake the connections.
    pub(super) version: watch::Sender<u64>,
    seed: AtomicU64,
    accepted: AtomicUsize,
    carried: [AtomicU64; 2],
}

impl Board {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rules: Mutex::default(),
            version: watch::Sender::new(0),
            seed: AtomicU64::new(seed | 1),
            accepted: AtomicUsize::new(0),
            carried: Default::default(),
        }
    }

    pub(super) fn add(&self, rule: Rule) -> Hits {
        let armed = Arc::new(Armed {
            rule,
            since: Instant::now(),
            hits: AtomicUsize::new(0),
            removed: AtomicBool::new(false),
        });
        self.lock().push(Arc::clone(&armed));
        self.version.send_modify(|version| *version += 1);
        Hits(armed)
    }

    pub(super) fn clear(&self) {
        for armed in self.lock().drain(..) {
            armed.removed.store(true, Ordering::SeqCst);
        }
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn rules(&self) -> Vec<Arc<Armed>> {
        self.lock().clone()
    }

    /// Whether a new connection is to be refused; counted.
    pub(super) fn refuses(&self, inode: Option<u64>) -> bool {
        self.rules().iter().any(|armed| {
            let refuses = match armed.rule.act {
                Act::RefuseNew => true,
                Act::Flap { up, down } => armed.is_down(up, down),
                Act::Latency { .. }
                | Act::Rate(_)
                | Act::Slice(_)
                | Act::BlackHole
                | Act::Stall
                | Act::Fin
                | Act::Rst
                | Act::CutAfterReplyWithheld => false,
            };
            refuses && armed.concerns(inode) && armed.strike()
        })
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn carry(&self, dir: Dir, bytes: usize) {
        self.carried[dir as usize].fetch_add(bytes as u64, Ordering::SeqCst);
    }

    pub(super) fn carried(&self, dir: Dir) -> u64 {
        self.carried[dir as usize].load(Ordering::SeqCst)
    }

    /// The next of a seeded row of numbers in `-1.0..=1.0` (xorshift).
    pub(super) fn dice(&self) -> f64 {
        let mut x = self.seed.load(Ordering::SeqCst);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.store(x, Ordering::SeqCst);
        f64::from(u32::try_from(x >> 32).unwrap_or_default()) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Armed>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads of the kernel's table at most: it changes while it is read, so that a line may be missed.
const LOOKS: usize = 5;

/// The kernel's number for the socket at the other end of a connection, if that is on this machine. Both ends are
/// compared: one port may lead to several servers at once, and older connections from it linger.
pub(super) fn inode_of(peer: SocketAddr, here: SocketAddr) -> Option<u64> {
    let (SocketAddr::V4(peer), SocketAddr::V4(here)) = (peer, here) else { return None };
    let name =
        |end: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_le_bytes(end.ip().octets()), end.port());
    let wanted = (name(peer), name(here));
    let look = || {
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_wanted =
                fields.get(1) == Some(&wanted.0.as_str()) && fields.get(2) == Some(&wanted.1.as_str());
            // A socket that nobody holds any more has the number 0.
            is_wanted.then(|| fields.get(9)?.parse().ok().filter(|inode| *inode != 0))?
        })
    };
    (0..LOOKS).find_map(|_| look())
}

/// Whether the process has this socket.
fn holds(pid: u32, inode: u64) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let name = format!("socket:[{inode}]");
    open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == name.as_str()))
}
