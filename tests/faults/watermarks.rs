//! Writers that commit late in every way, and two readers of their changes: one that keeps the greatest mark it saw, as
//! most tools do, and ours. Each trial is one transaction; the first reader loses many of them, ours loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use connectors::{Circuit, ConnectionConfig, Role, Selection, Slice, Target};
use futures::TryStreamExt as _;
use harness::{Database, Server, Session};
use model::watermark::{self, Watch, Watermark};
use model::{Key, KeyRange, RowBatch, RunId, TableRef, Value};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Sessions that write, and transactions of each: a thousand trials.
const WRITERS: i64 = 40;
const TRIALS: i64 = 25;
/// Rows marked by applications lie so far back.
const BACKDATED_S: i64 = 2;
/// What our second reader reads again: it must find those, too.
const OVERLAP_MS: u64 = 6_000;

/// How a transaction comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    Quick,
    /// Open for a while after its row.
    Held,
    /// Its row comes late in a transaction that began early.
    Old,
    /// Marks of whole seconds, so that many tie, committed late.
    Tie,
    /// Without a BEGIN: every statement opens a transaction.
    Unasked,
    /// The mark is the application's, and lies back.
    Backdated,
    /// Taken back: nobody may wait for it.
    RolledBack,
}

const CASES: [Case; 7] =
    [Case::Quick, Case::Held, Case::Old, Case::Tie, Case::Unasked, Case::Backdated, Case::RolledBack];

/// Words of one server.
struct Words {
    server: Server,
    kind: &'static str,
    now: &'static str,
    whole_second: &'static str,
    back: &'static str,
    begin: &'static str,
    unasked: (&'static str, &'static str),
    /// Keeps all others from the table until its end.
    lock: Option<(&'static str, &'static str)>,
}

fn words(server: Server) -> Words {
    match server {
        Server::Mysql | Server::Mariadb => Words {
            server,
            kind: "TIMESTAMP(6)",
            now: "NOW(6)",
            whole_second: "NOW(0)",
            back: "NOW(6) - INTERVAL 2 SECOND",
            begin: "BEGIN",
            unasked: ("SET autocommit = 0", "SET autocommit = 1"),
            lock: Some(("LOCK TABLES marks WRITE", "UNLOCK TABLES")),
        },
        Server::Postgres => Words {
            server,
            kind: "TIMESTAMPTZ",
            now: "now()",
            whole_second: "date_trunc('second', now())",
            back: "now() - interval '2 seconds'",
            begin: "BEGIN",
            unasked: ("BEGIN", "SELECT 1"),
            lock: Some(("BEGIN; LOCK TABLE marks IN ACCESS EXCLUSIVE MODE", "COMMIT")),
        },
        Server::Sqlserver => Words {
            server,
            kind: "datetime2(6)",
            now: "SYSDATETIME()",
            whole_second: "CAST(SYSDATETIME() AS datetime2(0))",
            // The double knows no DATEADD.
            back: "SYSDATETIME()",
            begin: "BEGIN TRANSACTION",
            unasked: ("BEGIN TRANSACTION", "SELECT 1"),
            lock: None,
        },
        Server::Sqlite | Server::Mongodb => unreachable!("no writers beside each other"),
    }
}

/// Where ids are handed out, and what became of each transaction.
struct Journal {
    next: AtomicI64,
    committed: Mutex<BTreeMap<i64, Case>>,
}

async fn write(db: Arc<Database>, words: Arc<Words>, journal: Arc<Journal>, writer: i64) {
    let session = db.session().await;
    for trial in 0..TRIALS {
        let case = CASES[usize::try_from((writer + trial) % 7).expect("small")];
        let id = journal.next.fetch_add(1, Ordering::SeqCst);
        // From nothing to two seconds, differently for each.
        let hold =
            Duration::from_millis(u64::try_from((writer * 377 + trial * 911) % 2_000).expect("positive"));
        if transact(&session, &words, case, id, hold).await && case != Case::RolledBack {
            journal.committed.lock().await.insert(id, case);
        }
    }
}

/// Whether it was committed.
async fn transact(session: &Session, words: &Words, case: Case, id: i64, hold: Duration) -> bool {
    let mark = match case {
        Case::Tie => words.whole_second,
        Case::Backdated => words.back,
        Case::Quick | Case::Held | Case::Old | Case::Unasked | Case::RolledBack => words.now,
    };
    let insert = format!("INSERT INTO marks VALUES ({id}, {mark})");
    let (before, after) = match case {
        Case::Quick | Case::Backdated => return session.try_exec(&insert).await,
        Case::Unasked => words.unasked,
        Case::Held | Case::Old | Case::Tie | Case::RolledBack => (words.begin, "SELECT 1"),
    };
    session.exec(before).await;
    if case == Case::Old {
        session.exec("SELECT COUNT(*) FROM other").await;
        tokio::time::sleep(hold / 2).await;
    }
    let is_in = session.try_exec(&insert).await;
    tokio::time::sleep(hold).await;
    let end = if is_in && case != Case::RolledBack { "COMMIT" } else { "ROLLBACK" };
    let is_done = session.try_exec(end).await && is_in;
    session.exec(after).await;
    is_done
}

/// Stalls everybody at the table again and again, as an ALTER TABLE does.
async fn stall(db: Arc<Database>, words: Arc<Words>) {
    let Some((lock, unlock)) = words.lock else { return };
    let session = db.session().await;
    loop {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        if session.try_exec(lock).await {
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            session.exec(unlock).await;
        }
    }
}

/// A reader and all that it has seen.
struct Reader {
    source: Arc<dyn Target>,
    slice: Slice,
    seen: BTreeSet<i64>,
    read: u64,
}

impl Reader {
    async fn new(source: &Arc<dyn Target>) -> Self {
        let table = source.describe(&TableRef::named("marks")).await.expect("describes").expect("is there");
        let rows = Selection::Range(KeyRange::all());
        let columns = table.columns.clone().into();
        let slice = Slice { key: vec!["id".to_owned()], table, columns, rows };
        Self { source: source.clone(), slice, seen: BTreeSet::new(), read: 0 }
    }

    /// Reads what is not below `since`; the greatest mark.
    async fn read(&mut self, since: Option<Value>) -> Option<Value> {
        let by = vec!["changed".to_owned(), "id".to_owned()];
        let lower = since.map(|since| Key(vec![since]));
        self.slice.rows = Selection::Window { by, range: KeyRange { lower, upper: None } };
        let batches: Vec<RowBatch> = self.source.read(&self.slice).try_collect().await.expect("reads");
        let mut last = None;
        for row in batches.into_iter().flat_map(|batch| batch.rows) {
            let Value::Int(id) = row[0] else { panic!("an id") };
            self.seen.insert(id);
            self.read += 1;
            last = Some(row[1].clone());
        }
        last
    }

    fn lost(&self, committed: &BTreeMap<i64, Case>) -> BTreeMap<Case, usize> {
        let mut lost = BTreeMap::new();
        for (_, case) in committed.iter().filter(|(id, _)| !self.seen.contains(id)) {
            *lost.entry(*case).or_default() += 1;
        }
        lost
    }
}

/// Reads as an incremental run does, without its chunks: looks, reads from the watermark on, and only then advances it.
async fn step(reader: &mut Reader, watch: &mut Watch, watermark: &mut Option<Watermark>, overlap_ms: u64) {
    let activity = reader.source.activity(true).await.expect("looks");
    let ahead_s = activity.ahead_s.unwrap_or(0);
    let proven = watch.look(&activity, None);
    let logical = &reader.slice.table.columns[1].logical;
    let since = watermark.as_ref().and_then(|w| watermark::since(w, logical, ahead_s, overlap_ms));
    reader.read(since).await;
    if let Some((mark, _)) = proven {
        let run = RunId::generate();
        *watermark = Some(Watermark { mark, ahead_s, shape: String::new(), run, swept_ms: None });
    }
}

fn connect(db: &Database) -> Arc<dyn Target> {
    let text = format!(
        "version: 1\nname: t\nsource: {}\ntarget: sqlite:x.db\ntables: [{{ from: marks }}]",
        db.spec()
    );
    let spec = service::config::parse_spec(&text, "t.yaml").expect("a spec").spec.source;
    let circuit = Circuit::new(spec.engine, "the test's server");
    let password = Some(db.server.password().into());
    let deadline = Duration::from_secs(30);
    let config =
        ConnectionConfig { spec, password, role: Role::Source, connections_max: 4, deadline, circuit };
    connectors::open(&config).expect("opens")
}

#[allow(clippy::print_stdout, reason = "the figures are worth a line")]
async fn no_late_commit_is_lost(server: Server, writers: i64, naive_cases: usize) {
    if server.is_absent() {
        return;
    }
    let (db, words) = (Arc::new(Database::fresh(server).await), Arc::new(words(server)));
    let kind = words.kind;
    db.exec(&format!("CREATE TABLE marks (id BIGINT NOT NULL PRIMARY KEY, changed {kind} NOT NULL)")).await;
    db.exec("CREATE INDEX marks_changed ON marks (changed)").await;
    db.exec("CREATE TABLE other (id INT NOT NULL PRIMARY KEY)").await;
    let source = connect(&db);
    let journal = Arc::new(Journal { next: AtomicI64::new(1), committed: Mutex::default() });
    let mut set = JoinSet::new();
    for writer in 0..writers {
        set.spawn(write(db.clone(), words.clone(), journal.clone(), writer));
    }
    let mut stalling = JoinSet::new();
    stalling.spawn(stall(db.clone(), words.clone()));
    let (mut naive, mut exact) = (Reader::new(&source).await, Reader::new(&source).await);
    let mut overlapping = Reader::new(&source).await;
    let (mut greatest, mut exact_mark, mut overlapping_mark) = (None, None, None);
    let (mut exact_watch, mut overlapping_watch) = (Watch::default(), Watch::default());
    while !set.is_empty() {
        while let Some(writer) = set.try_join_next() {
            writer.expect("a writer writes to its end");
        }
        greatest = naive.read(greatest.clone()).await.or(greatest);
        step(&mut exact, &mut exact_watch, &mut exact_mark, 0).await;
        step(&mut overlapping, &mut overlapping_watch, &mut overlapping_mark, OVERLAP_MS).await;
    }
    stalling.abort_all();
    naive.read(greatest).await;
    step(&mut exact, &mut exact_watch, &mut exact_mark, 0).await;
    step(&mut overlapping, &mut overlapping_watch, &mut overlapping_mark, OVERLAP_MS).await;

    let committed = journal.committed.lock().await.clone();
    let (naive_lost, exact_lost) = (naive.lost(&committed), exact.lost(&committed));
    println!(
        "{:?}: {} committed; lost by the greatest mark {naive_lost:?}, by ours {exact_lost:?}; rows read {} {} {}",
        words.server,
        committed.len(),
        naive.read,
        exact.read,
        overlapping.read
    );
    assert_eq!(overlapping.lost(&committed), BTreeMap::new());
    let unexpected: Vec<_> = exact_lost.keys().filter(|case| **case != Case::Backdated).collect();
    assert!(
        unexpected.is_empty(),
        "without an overlap only marks that applications put back are lost: {exact_lost:?}"
    );
    assert!(exact.read < overlapping.read, "it reads less");
    assert!(naive_lost.len() >= naive_cases, "the trials would find a reader that loses: {naive_lost:?}");
    assert!(BACKDATED_S * 1_000 < i64::try_from(OVERLAP_MS).expect("small"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_late_commit_is_lost_on_mysql() {
    no_late_commit_is_lost(Server::Mysql, WRITERS, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_late_commit_is_lost_on_mariadb() {
    no_late_commit_is_lost(Server::Mariadb, WRITERS, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_late_commit_is_lost_on_postgres() {
    no_late_commit_is_lost(Server::Postgres, WRITERS, 4).await;
}

/// The double lets one session write at a time: one writer, of whose marks the greatest loses what lies back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_late_commit_is_lost_on_sql_server() {
    no_late_commit_is_lost(Server::Sqlserver, 1, 0).await;
}
