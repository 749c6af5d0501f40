//! Opening, migrating, and what reaches the database's files.

use std::time::Duration;

use model::{ChunkOutcome, ErrorKind, Key, KeyRange, Pass, RunKind, Value};
use tokio::task::JoinSet;

use super::world::{Server, World, new_table, plan, spec};
use crate::fields::Fields as _;
use crate::{Ledger, LedgerUrl};

/// Removes every table, so that the next opener finds an empty database.
async fn empty(world: &World) {
    for table in [
        "quarantine",
        "attempt",
        "share",
        "security",
        "event",
        "worker",
        "chunk",
        "table",
        "run",
        "meta",
        "schema_version",
    ] {
        let drop = world.ledger.sql(&format!("DROP TABLE syncline_{table}"));
        sqlx::query(drop).execute(&world.ledger.shared.pool).await.expect("drops");
    }
}

pub(super) async fn concurrent_openers_migrate_once(world: World) {
    for _ in 0..3 {
        empty(&world).await;
        let mut set = JoinSet::new();
        for _ in 0..4 {
            let url = world.url.clone();
            set.spawn(async move { Ledger::open(&url).await.expect("opens").install() });
        }
        let installs = set.join_all().await;
        assert!(installs.iter().all(|install| *install == installs[0]), "{installs:?}");
        assert_eq!(world.other().await.install(), installs[0]);
        let count = "SELECT COUNT(*) AS n, MAX(version) AS newest FROM syncline_schema_version";
        let row = sqlx::query(count).fetch_one(&world.ledger.shared.pool).await.expect("counts");
        let number = |column| row.int(column).expect("a number");
        assert_eq!(number("n"), number("newest"), "each version once");
    }
}

pub(super) async fn a_newer_ledger_is_refused(world: World) {
    let put = "INSERT INTO syncline_schema_version (version, applied_ms) VALUES (99, 0)";
    sqlx::query(put).execute(&world.ledger.shared.pool).await.expect("inserts");
    let error = Ledger::open(&world.url).await.expect_err("a newer version");
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (ErrorKind::Unsupported, "the ledger could not be opened (unsupported)")
    );
    let cause = error.source.to_string();
    assert!(cause.contains("version 99") && cause.contains("newer program"), "{cause}");
}

pub(super) async fn odd_bytes_survive(world: World) {
    let odd = Key(vec![
        Value::Text("O'Hara \"x\"; -- \u{0}\u{1F600}\\ %_?\r\n ".to_owned()),
        Value::Bytes((0..=255).collect()),
        Value::Float64(f64::NAN),
        Value::UInt(u64::MAX),
        Value::Int(i64::MIN),
        Value::Json("{\"a\":1.0}".to_owned()),
    ]);
    let ledger = &world.ledger;
    let run = ledger.create_run(RunKind::Copy, &spec("naïve '; DROP TABLE --")).await.expect("a run").id;
    let mut table = new_table(0);
    table.source.name = "tàble`\"[x]".to_owned();
    ledger.add_tables(run, &[table.clone()]).await.expect("a table");
    ledger.set_plan(run, 0, &plan(), Pass::Copy, None).await.expect("a plan");
    let chain = KeyRange::partition(vec![odd.clone()]);
    let chunks: Vec<_> = (0..).zip(chain.clone()).collect();
    assert_eq!(ledger.add_chunks(run, 0, Pass::Copy, &chunks).await.expect("adds"), 2);
    assert!(ledger.check_chain(run, 0, Pass::Copy).await.expect("checks"));
    let (_, last) = ledger.last_chunk(run, 0, Pass::Copy).await.expect("reads").expect("exists");
    assert_eq!(last, chain[1]);
    assert_eq!(ledger.tables(run).await.expect("lists")[0].source, table.source);
    let due = ledger.take_due(run, &[0], 1, std::time::Duration::ZERO).await.expect("due")[0];
    let claimed = ledger.claim(due.chunk, due.attempt, &super::world::worker("w"), super::world::LEASE).await;
    assert_eq!(claimed.expect("claims").expect("free").chunk.range, chain[0]);
    let message = "\u{0}\u{1F600}'\\".repeat(2_000);
    let failed = ChunkOutcome::Failed(model::Failure::new(ErrorKind::Conversion, message.clone()));
    let settled = ledger.settle(due.chunk, model::Attempt(1), &failed, super::world::at_once()).await;
    settled.expect("settles");
    let view = ledger.chunk(due.chunk).await.expect("reads").expect("exists");
    assert_eq!(view.failure.expect("a cause").message, message);
}

pub(super) async fn specs_keep_no_password(world: World) {
    let run = world.ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("a run");
    assert_eq!(run.spec.source.password, None);
    assert_eq!(run.spec.target.password.as_deref(), Some("${env:PW}"));
    let row = sqlx::query("SELECT spec FROM syncline_run")
        .fetch_one(&world.ledger.shared.pool)
        .await
        .expect("reads");
    let stored = row.opt_bytes("spec").expect("bytes").expect("a spec");
    assert!(!String::from_utf8_lossy(&stored).contains("hunter2"));
    let LedgerUrl::Sqlite(path) = &world.url else {
        return;
    };
    world.ledger.close().await;
    let folder = path.parent().expect("a folder");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("lists") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("reads");
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
        files += 1;
    }
    assert!(files > 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Another process holds what we want to write for a while.
pub(super) async fn a_busy_database_is_waited_for(world: World) {
    let work = world.work(1).await;
    let due = work.due().await[0];
    let other = world.other().await;
    let (held, holds) = tokio::sync::oneshot::channel();
    let mut set = JoinSet::new();
    set.spawn(async move {
        let mut tx = other.begin().await.expect("begins");
        other.lock_chunk(&mut tx, due.chunk).await.expect("locks").expect("exists");
        held.send(()).expect("heard");
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
    holds.await.expect("the other holds it");
    let started = std::time::Instant::now();
    work.claim(due).await;
    assert!(started.elapsed() >= Duration::from_millis(200), "it waited");
    set.join_all().await;
}

/// The server drops every connection: nobody above notices.
pub(super) async fn dropped_connections_are_replaced(world: World) {
    if world.server == Server::Sqlite {
        return;
    }
    let work = world.work(3).await;
    for due in work.due().await {
        let claimed = work.claim(due).await;
        drop_connections(&world.url).await;
        let settled = work.settle(due.chunk, claimed.chunk.attempt, &super::world::done(2)).await;
        assert_eq!(settled, crate::Settled::Yes(model::ChunkState::Done));
    }
    let record = work.ledger.record(work.run).await.expect("sums").expect("exists");
    assert_eq!((record.counts.read, record.chunks.done), (6, 3));
}

async fn drop_connections(url: &LedgerUrl) {
    use sqlx::Connection as _;
    let url = match url {
        LedgerUrl::Sqlite(_) => return,
        LedgerUrl::Mysql(url) => url,
        LedgerUrl::Postgres(url) => {
            let mut conn = sqlx::postgres::PgConnection::connect(&url.secret).await.expect("connects");
            let drop = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let dropped: i64 = sqlx::query_scalar(drop).fetch_one(&mut conn).await.expect("drops");
            assert!(dropped > 0);
            return conn.close().await.expect("closes");
        }
    };
    let mut conn = sqlx::mysql::MySqlConnection::connect(&url.secret).await.expect("connects");
    let list = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
        WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let ids: Vec<i64> = sqlx::query_scalar(list).fetch_all(&mut conn).await.expect("lists");
    assert!(!ids.is_empty());
    for id in ids {
        // One that ends by itself in between is no concern.
        let kill = sqlx::AssertSqlSafe(format!("KILL {id}"));
        drop(sqlx::query(kill).execute(&mut conn).await);
    }
    conn.close().await.expect("closes");
}

/// A ledger that is up to date is only read when it is opened: a role that may not make tables can work with it.
pub(super) async fn a_role_without_the_right_to_make_tables_opens(world: World) {
    let LedgerUrl::Postgres(url) = &world.url else {
        return;
    };
    let name = format!("syncline_{}", uuid::Uuid::new_v4().simple());
    let all = &world.ledger.shared.pool;
    for statement in [
        format!("CREATE ROLE {name} LOGIN PASSWORD 'few-rights'"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(all).await.expect("administers");
    }
    let (_, place) = url.secret.rsplit_once('@').expect("a login");
    let few: LedgerUrl = format!("postgres://{name}:few-rights@{place}").parse().expect("an address");
    let ledger = Ledger::open(&few).await.expect("opens");
    ledger.create_run(RunKind::Copy, &spec("shop")).await.expect("works");
    ledger.close().await;
    let wrong: LedgerUrl = format!("postgres://{name}:wrong@{place}").parse().expect("an address");
    let error = Ledger::open(&wrong).await.expect_err("a wrong password");
    assert_eq!(error.kind, ErrorKind::Authentication);
    for statement in [format!("DROP OWNED BY {name}"), format!("DROP ROLE {name}")] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(all).await.expect("administers");
    }
}
