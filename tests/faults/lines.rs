//! A fleet that reaches source, target, ledger and Redis over lines of its own, which a test may break.

use harness::database::Database;
use harness::proxy::{Act, After, Dir, Rule};
use harness::{Proxy, Server};

use crate::bed::Fleet;

/// Waits of source and target in these tests; the ledger's are half of it.
pub(crate) const DEADLINE: (&str, &str) = ("SYNCLINE_DEADLINE_MS", "3000");

/// Where a line leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Target,
    Ledger,
    Redis,
}

/// Four lines.
#[derive(Debug)]
pub(crate) struct Lines {
    source: Proxy,
    target: Proxy,
    ledger: Proxy,
    redis: Proxy,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1")
    }

    /// Lines that begin at another address of this machine.
    pub(crate) fn at(host: &str) -> Self {
        let database = || Proxy::between(host, &Server::Mariadb.place());
        let redis = redis();
        let place = redis.trim_start_matches("redis://").trim_end_matches('/');
        Self {
            source: database(),
            target: database(),
            ledger: database(),
            redis: Proxy::between(host, place),
        }
    }

    pub(crate) const fn to(&self, end: End) -> &Proxy {
        match end {
            End::Source => &self.source,
            End::Target => &self.target,
            End::Ledger => &self.ledger,
            End::Redis => &self.redis,
        }
    }

    pub(crate) fn heal(&self) {
        for end in [End::Source, End::Target, End::Ledger, End::Redis] {
            self.to(end).heal();
        }
    }

    /// A fleet over these lines, no process yet.
    pub(crate) async fn fleet(&self, rows: u64) -> Fleet {
        let fresh = async |line| Database::fresh(Server::Mariadb).await.through(line);
        let databases = [fresh(&self.source).await, fresh(&self.target).await, fresh(&self.ledger).await];
        let redis = format!("redis://{}/", self.redis.address);
        Fleet::of(databases, rows, &redis, |spec| spec).await
    }

    /// As [`Lines::fleet`], waiting no longer than [`DEADLINE`].
    pub(crate) async fn hasty_fleet(&self, rows: u64) -> Fleet {
        let mut fleet = self.fleet(rows).await;
        fleet.syncline = fleet.syncline.with(DEADLINE.0, DEADLINE.1);
        fleet
    }
}

fn redis() -> String {
    std::env::var("SYNCLINE_TEST_REDIS_URL").expect("SYNCLINE_TEST_REDIS_URL is not set: run `make servers`")
}

/// A rule for all that goes this way from the start.
pub(crate) const fn always(dir: Dir, act: Act) -> Rule {
    Rule::new(dir, After::Bytes(0), act)
}
