//! One connection: two pumps, one per direction, and what strikes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::armed::{Armed, Board};
use super::{Act, After, Dir};

/// Between looks at a line that flaps.
const FLAP_LOOK: Duration = Duration::from_millis(20);

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Fin,
    Rst,
}

/// What both directions of a connection know.
struct Line {
    board: Arc<Board>,
    inode: Option<u64>,
    cut: watch::Sender<Option<Cut>>,
    /// The direction whose next bytes are swallowed before the connection is reset.
    withheld: watch::Sender<Option<Dir>>,
}

/// Carries until both ends have closed, or the connection is cut.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    board: Arc<Board>,
    inode: Option<u64>,
) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let line = Line { board, inode, cut: watch::Sender::new(None), withheld: watch::Sender::new(None) };
    let mut cut = line.cut.subscribe();
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Pump::new(&line, Dir::ToServer).run(from_client, to_server);
        let down = Pump::new(&line, Dir::ToClient).run(from_server, to_client);
        tokio::select! {
            _ = async { tokio::join!(up, down) } => {}
            _ = cut.wait_for(Option::is_some) => {}
            () = flapped(&line) => {}
        }
    }
    if *cut.borrow() == Some(Cut::Rst) {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Cuts the connection when a flapping line goes down.
async fn flapped(line: &Line) {
    loop {
        let flaps = line.board.rules().into_iter().any(|armed| match armed.rule.act {
            Act::Flap { up, down } => armed.is_down(up, down) && armed.concerns(line.inode) && armed.strike(),
            Act::Latency { .. }
            | Act::Rate(_)
            | Act::Slice(_)
            | Act::BlackHole
            | Act::Stall
            | Act::Fin
            | Act::Rst
            | Act::CutAfterReplyWithheld
            | Act::RefuseNew => false,
        });
        if flaps {
            line.cut.send_replace(Some(Cut::Rst));
            return;
        }
        tokio::time::sleep(FLAP_LOOK).await;
    }
}

/// How far a rule is with one direction of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Struck,
    /// Its turn came when the rule had no strikes left.
    Spent,
}

/// A rule as one direction of one connection has met it.
struct Met {
    armed: Arc<Armed>,
    /// Bytes that had gone when the rule was met.
    from: u64,
    /// Patterns still to go by, the next one first.
    patterns: Vec<&'static [u8]>,
    stage: Stage,
}

struct Pump<'a> {
    line: &'a Line,
    dir: Dir,
    gone: u64,
    /// The last bytes that went, in which a pattern may have begun.
    tail: Vec<u8>,
    met: Vec<Met>,
}

impl<'a> Pump<'a> {
    const fn new(line: &'a Line, dir: Dir) -> Self {
        Self { line, dir, gone: 0, tail: Vec::new(), met: Vec::new() }
    }

    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
        let mut version = self.line.board.version.subscribe();
        let mut withheld = self.line.withheld.subscribe();
        let mut buffer = vec![0; 64 << 10];
        loop {
            self.look_at_rules();
            self.strike_by_bytes();
            if self.has(|act| matches!(act, Act::Stall)) {
                std::future::pending::<()>().await;
            }
            let next = self.next_time();
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                _ = version.changed() => continue,
                () = sleep_until(next) => { self.strike_by_time(); continue; }
            };
            let Ok(length @ 1..) = read else { break };
            if *withheld.borrow_and_update() == Some(self.dir) {
                self.line.cut.send_replace(Some(Cut::Rst));
                return;
            }
            if self.forward(&buffer[..length], &mut to).await.is_err() {
                break;
            }
        }
        // Who fell into a black hole is never heard of again, not even that it left.
        if self.line.cut.borrow().is_none() && !self.has(|act| matches!(act, Act::BlackHole)) {
            let _ = to.shutdown().await;
        }
    }

    /// Forwards what was read, piece by piece up to where rules strike.
    async fn forward(&mut self, mut bytes: &[u8], to: &mut WriteHalf<'_>) -> std::io::Result<()> {
        while !bytes.is_empty() {
            self.look_at_rules();
            let until = self.bytes_until_struck().unwrap_or(u64::MAX);
            let length = usize::try_from(until).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(length);
            if !piece.is_empty() {
                self.write(piece, to).await?;
                self.gone += piece.len() as u64;
                self.match_patterns(piece);
            }
            self.strike_by_bytes();
            if self.line.cut.borrow().is_some() {
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            bytes = rest;
        }
        Ok(())
    }

    async fn write(&self, piece: &[u8], to: &mut WriteHalf<'_>) -> std::io::Result<()> {
        let (mut slice, mut rate) = (piece.len(), None);
        for met in self.met.iter().filter(|met| met.stage == Stage::Struck) {
            match met.armed.rule.act {
                Act::BlackHole => return Ok(()),
                Act::Latency { mean, jitter } => {
                    let offset = jitter.mul_f64(self.line.board.dice().abs());
                    let is_less = self.line.board.dice() < 0.0;
                    let wait = if is_less { mean.saturating_sub(offset) } else { mean + offset };
                    tokio::time::sleep(wait).await;
                }
                Act::Rate(bytes) => rate = Some(bytes.max(1)),
                Act::Slice(bytes) => slice = bytes.max(1),
                Act::Stall
                | Act::Fin
                | Act::Rst
                | Act::CutAfterReplyWithheld
                | Act::RefuseNew
                | Act::Flap { .. } => {}
            }
        }
        // A slow line delivers all the while, not at the end.
        let length = rate.map_or(slice, |rate| slice.min((rate / 20).max(1) as usize));
        for part in piece.chunks(length.max(1)) {
            if let Some(rate) = rate {
                let bytes = u32::try_from(part.len()).unwrap_or(u32::MAX);
                tokio::time::sleep(Duration::from_secs(1) * bytes / rate).await;
            }
            to.write_all(part).await?;
            self.line.board.carry(self.dir, part.len());
            if slice < piece.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    /// Meets rules that were added, forgets those that were removed. A black hole cannot be undone: its bytes are lost.
    fn look_at_rules(&mut self) {
        for armed in self.line.board.rules() {
            let is_known = self.met.iter().any(|met| Arc::ptr_eq(&met.armed, &armed));
            let is_here =
                armed.rule.dir == self.dir && !matches!(armed.rule.act, Act::RefuseNew | Act::Flap { .. });
            if is_known || !is_here || !armed.concerns(self.line.inode) {
                continue;
            }
            let patterns = match armed.rule.after {
                After::Pattern(only) => vec![only],
                After::Then(first, second) => vec![first, second],
                After::Bytes(_) | After::Time(_) => Vec::new(),
            };
            self.met.push(Met { armed, from: self.gone, patterns, stage: Stage::Waiting });
        }
        self.met.retain(|met| {
            !met.armed.is_removed()
                || met.stage == Stage::Struck && matches!(met.armed.rule.act, Act::BlackHole)
        });
    }

    fn bytes_until_struck(&self) -> Option<u64> {
        let due = self.met.iter().filter(|met| met.stage == Stage::Waiting).filter_map(|met| {
            match met.armed.rule.after {
                After::Bytes(bytes) => Some((met.from + bytes).saturating_sub(self.gone)),
                After::Pattern(_) | After::Then(..) | After::Time(_) => None,
            }
        });
        due.min()
    }

    fn next_time(&self) -> Option<Instant> {
        let due = self.met.iter().filter(|met| met.stage == Stage::Waiting).filter_map(|met| {
            match met.armed.rule.after {
                After::Time(wait) => Some(met.armed.since + wait),
                After::Bytes(_) | After::Pattern(_) | After::Then(..) => None,
            }
        });
        due.min()
    }

    fn strike_by_bytes(&mut self) {
        let gone = self.gone;
        self.strike(|met| matches!(met.armed.rule.after, After::Bytes(bytes) if met.from + bytes <= gone));
    }

    fn strike_by_time(&mut self) {
        let now = Instant::now();
        self.strike(|met| matches!(met.armed.rule.after, After::Time(wait) if met.armed.since + wait <= now));
    }

    fn match_patterns(&mut self, piece: &[u8]) {
        let longest = self.met.iter().flat_map(|met| &met.patterns).map(|p| p.len()).max().unwrap_or(0);
        let old = self.tail.len();
        self.tail.extend_from_slice(piece);
        let tail = std::mem::take(&mut self.tail);
        for met in self.met.iter_mut().filter(|met| met.stage == Stage::Waiting) {
            // A pattern that lies in what had gone before counted then.
            let mut start = old.saturating_sub(met.patterns.first().map_or(0, |p| p.len().saturating_sub(1)));
            while let Some(wanted) = met.patterns.first() {
                let Some(at) = tail[start..].windows(wanted.len()).position(|w| w == *wanted) else { break };
                start += at + wanted.len();
                met.patterns.remove(0);
            }
        }
        let keep = tail.len().min(longest.saturating_sub(1));
        self.tail = tail[tail.len() - keep..].to_vec();
        self.strike(|met| {
            matches!(met.armed.rule.after, After::Pattern(_) | After::Then(..)) && met.patterns.is_empty()
        });
    }

    fn strike(&mut self, is_due: impl Fn(&Met) -> bool) {
        for met in self.met.iter_mut().filter(|met| met.stage == Stage::Waiting) {
            if !is_due(met) {
                continue;
            }
            met.stage = if met.armed.strike() { Stage::Struck } else { Stage::Spent };
            if met.stage == Stage::Spent {
                continue;
            }
            match met.armed.rule.act {
                Act::Fin => drop(self.line.cut.send_replace(Some(Cut::Fin))),
                Act::Rst => drop(self.line.cut.send_replace(Some(Cut::Rst))),
                Act::CutAfterReplyWithheld => {
                    let answer = if self.dir == Dir::ToServer { Dir::ToClient } else { Dir::ToServer };
                    self.line.withheld.send_replace(Some(answer));
                }
                Act::Latency { .. }
                | Act::Rate(_)
                | Act::Slice(_)
                | Act::BlackHole
                | Act::Stall
                | Act::RefuseNew
                | Act::Flap { .. } => {}
            }
        }
    }

    fn has(&self, is: impl Fn(&Act) -> bool) -> bool {
        self.met.iter().any(|met| met.stage == Stage::Struck && is(&met.armed.rule.act))
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
