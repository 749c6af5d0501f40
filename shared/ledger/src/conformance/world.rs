//! A ledger of its own for each case, and the nouns that cases need.

use std::time::Duration;

use model::chunk::{ORDINAL_STEP, Report};
use model::plan::DeleteGuard;
use model::spec::ChunkLimits;
use model::{
    Attempt, ChunkDigest, ChunkId, ChunkOutcome, Column, ConnectionSpec, Counts, Engine, ErrorKind, Failure,
    Key, KeyRange, LogicalType, MergePolicy, Pass, RunId, RunKind, RunSpec, TablePlan, TableRef, TableSchema,
    TableState, Value, WorkerId,
};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::{Claimed, Due, Ledger, LedgerUrl, NewTable};

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const NOW: Duration = Duration::ZERO;

/// Where a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Sqlite,
    Mysql,
    Mariadb,
    Postgres,
}

impl Server {
    /// The address of the server; `None` if it may be missing and is.
    fn base(self) -> Option<String> {
        let variable = match self {
            Self::Sqlite => return None,
            Self::Mysql => "SYNCLINE_TEST_MYSQL_URL",
            Self::Mariadb => "SYNCLINE_TEST_MARIADB_URL",
            Self::Postgres => "SYNCLINE_TEST_POSTGRES_URL",
        };
        match std::env::var(variable) {
            Ok(url) => Some(url.trim_end_matches('/').to_owned()),
            Err(_)
                if self == Self::Mysql
                    && std::env::var("SYNCLINE_TEST_ALLOW_NO_MYSQL").is_ok_and(|v| v == "1") =>
            {
                None
            }
            Err(_) => {
                panic!("{variable} is not set: run `make servers`, then `eval \"$(tests/servers.sh env)\"`")
            }
        }
    }
}

/// A fresh ledger.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) server: Server,
    pub(super) ledger: Ledger,
    pub(super) url: LedgerUrl,
}

impl World {
    /// Runs a case on a ledger of its own, which is removed whatever comes of it.
    pub(super) async fn run<F, Fut>(server: Server, case: F)
    where
        F: FnOnce(World) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let base = server.base();
        if server != Server::Sqlite && base.is_none() {
            eprintln!("NOT RUN on MySQL: SYNCLINE_TEST_ALLOW_NO_MYSQL=1");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("ledger_{}", uuid::Uuid::new_v4().simple());
        let address = match &base {
            Some(base) => {
                admin(server, base, &format!("CREATE DATABASE {database}")).await;
                format!("{base}/{database}")
            }
            None => folder.path().join("ledger.db").to_str().expect("a UTF-8 path").to_owned(),
        };
        let url: LedgerUrl = address.parse().expect("an address");
        let mut set = tokio::task::JoinSet::new();
        set.spawn(async move {
            let ledger = Ledger::open(&url).await.expect("opens");
            case(Self { server, ledger: ledger.clone(), url }).await;
            ledger.close().await;
        });
        let ended = set.join_next().await.expect("one task");
        if let Some(base) = &base {
            let force = if server == Server::Postgres { "WITH (FORCE)" } else { "" };
            admin(server, base, &format!("DROP DATABASE {database} {force}")).await;
        }
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// A second handle, as another process would have it.
    pub(super) async fn other(&self) -> Ledger {
        Ledger::open(&self.url).await.expect("opens again")
    }

    /// A run with one planned table and chunks `0..count`, all `working`.
    pub(super) async fn work(&self, count: u64) -> Work {
        let run = self.ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
        self.work_in(run, 0, count).await
    }

    /// As [`World::work`], with chunks as far apart as a planner puts them.
    pub(super) async fn spaced_work(&self, count: u64) -> Work {
        let run = self.ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run").id;
        let chunks = numbered(ranges(count)).into_iter().map(|(n, range)| (n * ORDINAL_STEP, range));
        self.work_over(run, 0, &chunks.collect::<Vec<_>>()).await
    }

    pub(super) async fn work_in(&self, run: RunId, table: u32, count: u64) -> Work {
        self.work_over(run, table, &numbered(ranges(count))).await
    }

    async fn work_over(&self, run: RunId, table: u32, chunks: &[(u64, KeyRange)]) -> Work {
        let ledger = &self.ledger;
        ledger.add_tables(run, &[new_table(table)]).await.expect("a table");
        assert!(ledger.set_plan(run, table, &plan(), Pass::Copy, Some(10)).await.expect("a plan"));
        let added = ledger.add_chunks(run, table, Pass::Copy, chunks).await.expect("chunks");
        assert_eq!(added, chunks.len());
        let (from, to) = ((TableState::Planning, Pass::Copy), (TableState::Working, Pass::Copy));
        assert!(ledger.advance_table(run, table, from, to).await.expect("advances"));
        Work { ledger: ledger.clone(), run, table }
    }
}

async fn admin(server: Server, base: &str, statement: &str) {
    let sql = AssertSqlSafe(statement.to_owned());
    if server == Server::Postgres {
        let mut conn =
            PgConnection::connect(&format!("{base}/postgres")).await.expect("the test server answers");
        sqlx::query(sql).execute(&mut conn).await.expect("administers");
        return conn.close().await.expect("closes");
    }
    let mut conn = MySqlConnection::connect(&format!("{base}/")).await.expect("the test server answers");
    sqlx::query(sql).execute(&mut conn).await.expect("administers");
    conn.close().await.expect("closes");
}

/// A run at work.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) ledger: Ledger,
    pub(super) run: RunId,
    pub(super) table: u32,
}

impl Work {
    /// Everything due now, whether or not it was handed out before.
    pub(super) async fn due(&self) -> Vec<Due> {
        self.ledger.take_due(self.run, &[self.table], 1_000, NOW).await.expect("due chunks")
    }

    pub(super) async fn claim(&self, due: Due) -> Claimed {
        let claimed = self.ledger.claim(due.chunk, due.attempt, &worker("w"), LEASE).await;
        claimed.expect("claims").expect("the chunk is free")
    }

    /// Claims under a lease that is over at once.
    pub(super) async fn claim_and_die(&self, due: Due) -> Claimed {
        let claimed = self.ledger.claim(due.chunk, due.attempt, &worker("dead"), NOW).await;
        let claimed = claimed.expect("claims").expect("the chunk is free");
        tokio::time::sleep(Duration::from_millis(5)).await;
        claimed
    }

    pub(super) async fn settle(
        &self,
        chunk: ChunkId,
        attempt: Attempt,
        outcome: &ChunkOutcome,
    ) -> crate::Settled {
        self.ledger.settle(chunk, attempt, outcome, at_once()).await.expect("settles")
    }

    pub(super) async fn chunk(&self, chunk: ChunkId) -> crate::ChunkView {
        self.ledger.chunk(chunk).await.expect("reads").expect("exists")
    }
}

/// Tried again at once, as often as is usual.
pub(super) fn at_once() -> crate::Again {
    crate::Again { after: NOW, attempts_max: attempts_max() }
}

pub(super) fn attempts_max() -> u32 {
    model::RetryPolicy::default().attempts
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

pub(super) fn failure(kind: ErrorKind) -> Failure {
    Failure::new(kind, "it did not work")
}

pub(super) fn done(rows: u64) -> ChunkOutcome {
    let counts = Counts { read: rows, inserted: rows, bytes: rows * 10, matching: rows, ..Counts::default() };
    let digest = Some(ChunkDigest { rows, sum: u128::from(rows) });
    ChunkOutcome::Done(Report {
        counts,
        source_digest: digest,
        target_digest: digest,
        quarantined: vec![],
        conflicts: vec![],
        read_ms: 7,
        cut: None,
    })
}

pub(super) fn new_table(ordinal: u32) -> NewTable {
    let name = format!("t{ordinal}");
    NewTable {
        ordinal,
        source: TableRef::named(&name),
        target: TableRef::named(name),
        mode: "merge".to_owned(),
    }
}

pub(super) fn numbered(ranges: Vec<KeyRange>) -> Vec<(u64, KeyRange)> {
    (0..).zip(ranges).collect()
}

/// A whole chain of `count` ranges.
pub(super) fn ranges(count: u64) -> Vec<KeyRange> {
    let cuts = (1..count).map(|n| Key(vec![Value::Int(i64::try_from(n).expect("small") * 100)]));
    KeyRange::partition(cuts.collect())
}

fn connection(database: &str) -> ConnectionSpec {
    ConnectionSpec {
        host: Some("db.example".to_owned()),
        port: Some(3306),
        user: Some("app".to_owned()),
        password: Some("canary-hunter2".to_owned()),
        database: Some(database.to_owned()),
        tls: model::spec::Tls::Verify,
        ..ConnectionSpec::new(Engine::Mysql)
    }
}

pub(super) fn spec(name: &str) -> RunSpec {
    RunSpec {
        name: name.to_owned(),
        source: connection("from"),
        target: ConnectionSpec { password: Some("${env:PW}".to_owned()), ..connection("to") },
        tables: vec![],
        chunk: ChunkLimits::default(),
        limits: model::Limits::default(),
        brakes: vec![],
        reads_all: false,
        retry: model::RetryPolicy::default(),
        alerts: vec![],
    }
}

pub(super) fn plan() -> TablePlan {
    let column = Column::new("id", LogicalType::Int { bits: 64, unsigned: false }, false);
    let schema = TableSchema {
        table: TableRef::named("t"),
        columns: vec![column.clone()],
        primary_key: vec!["id".to_owned()],
        indexes: vec![],
        foreign_keys: vec![],
        row_estimate: None,
    };
    TablePlan {
        v: 1,
        source: schema.clone(),
        target: schema,
        columns: vec![model::ColumnPlan {
            source: column.clone(),
            target: column,
            canonical: LogicalType::Int { bits: 64, unsigned: false },
            loss: None,
            rule: None,
        }],
        key: vec![0],
        policy: MergePolicy::SourceWins,
        create_target: true,
        fresh: true,
        wave: 0,
        in_cycle: false,
        rows_per_chunk: 100,
        delete_guard: DeleteGuard::default(),
        quarantined_max: 10,
        notes: vec!["collations differ".to_owned()],
        window: None,
        range: None,
        inputs: Vec::new(),
        nests: vec![],
    }
}
