//! The dashboard in a real browser, at a fleet of real processes. The scenes are in `tests/browser`.

use std::path::PathBuf;
use std::time::Duration;

use harness::browser::Scene;
use harness::database::Database;
use harness::{Server, http, wait_until};

use crate::bed::{Fleet, ROWS, RUN_MAX};

const HOSTILE: &str = "<img src=x onerror=alert(1)>";
/// Every worker dies at this chunk, on every attempt.
const POISON: &str = "k2@7=abort";

fn token(syncline: &harness::Syncline, role: &str) -> String {
    let made = syncline.run(&["token", "create", "--name", role, "--role", role]).expect(0);
    made.stdout.split_whitespace().find(|word| word.starts_with("syn_")).expect("a token").to_owned()
}

/// The place that a `serve` listened at, to listen there again.
fn place(base: &str) -> String {
    base.strip_prefix("http://").expect("an address").to_owned()
}

/// Log in, start, watch, lose workers, see others take over, open what they left, retry it, pause, change the interval, log
/// out: in Chromium, without one complaint of its console.
#[tokio::test]
async fn an_operator_on_a_bad_day() {
    let schedule = "schedule: { every: 1h }\n".to_owned();
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").expect("make servers");
    let mut fleet = Fleet::on(ROWS, &redis, |spec| schedule + &spec).await;
    let (operator, viewer) = (token(&fleet.syncline, "operator"), token(&fleet.syncline, "viewer"));
    let serve =
        |fleet: &Fleet, at: &str| fleet.syncline.start("serve", &["serve", &fleet.spec, "--listen", at]);
    let mut server = serve(&fleet, "127.0.0.1:0");
    let base = http::address(&server).await;
    // The first start is due at once, and nobody is there to work: the scene starts one of its own.
    let first = "SELECT count(*) FROM syncline_run";
    wait_until("the first run", RUN_MAX, async || fleet.ledger.number(first).await == 1).await;
    let run = fleet.ledger.text("SELECT id FROM syncline_run").await.expect("a run");
    let _ = fleet.syncline.run(&["cancel", &run]).expect(0);
    let mut scene =
        Scene::begin("flow", &base, &[("SYNCLINE_OPERATOR", &operator), ("SYNCLINE_VIEWER", &viewer)]);
    while let Some(asked) = scene.asked() {
        match asked.as_str() {
            "worker" => {
                one_that_dies(&mut fleet);
            }
            "deaths" => {
                let aside = "SELECT count(*) FROM syncline_chunk WHERE state = 'quarantined'";
                wait_until("a chunk is set aside", RUN_MAX, async || {
                    if !fleet.workers.last_mut().is_some_and(|worker| worker.is_alive()) {
                        one_that_dies(&mut fleet);
                    }
                    fleet.ledger.number(aside).await == 1
                })
                .await;
            }
            "healthy-worker" => {
                fleet.worker("");
            }
            "stop-serve" => server.kill(),
            "start-serve" => {
                server = serve(&fleet, &place(&base));
                http::address(&server).await;
            }
            other => panic!("asked for {other}"),
        }
        scene.answer();
    }
    fleet.met("k2").await;
}

fn one_that_dies(fleet: &mut Fleet) {
    fleet.worker_with(&[("SYNCLINE_FAILPOINTS", POISON)], &["--concurrency", "1", "--lease", "2s"]);
}

/// Where pictures for the documentation go, if any are wanted.
fn shots() -> String {
    std::env::var("SYNCLINE_SCREENSHOTS").unwrap_or_default()
}

/// Of which a row was changed on both sides.
const STOCK: &str = "CREATE TABLE stock (article TEXT PRIMARY KEY, pieces INTEGER, changed DATETIME)";

/// A `serve` with a pipeline whose tables and values are hostile; its address, and a run that has ended.
struct Stage {
    syncline: harness::Syncline,
    ledger: PathBuf,
    base: String,
    run: String,
    _server: harness::syncline::Background,
    _from: Database,
    to: Database,
}

impl Stage {
    async fn new(rows: u32) -> Self {
        let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
        from.exec(&format!(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, amount DECIMAL(10,2), name TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO items SELECT i, i + 0.25, '<script>alert(3)</script>' FROM n;
             UPDATE items SET amount = '<b>alert(4)</b>' WHERE id = 3;
             CREATE TABLE \"{HOSTILE}\" (id INTEGER PRIMARY KEY, \"<svg onload=alert(2)>\" DECIMAL(10,2));
             INSERT INTO \"{HOSTILE}\" VALUES (1, '\"><script>alert(5)</script>');
             {STOCK}; INSERT INTO stock VALUES ('<i>alert(6)</i>', 40, '2026-03-01 10:00:00')"
        ))
        .await;
        to.exec(&format!("{STOCK}; INSERT INTO stock VALUES ('<i>alert(6)</i>', 39, '2026-03-05 09:30:00')"))
            .await;
        let syncline = harness::Syncline::new(env!("CARGO_BIN_EXE_syncline"));
        let tables = format!(
            "schedule: {{ every: 1h }}\ntables: [{{ from: items }}, {{ from: \"{HOSTILE}\" }}, {{ from: stock, policy: {{ newest: changed }} }}]"
        );
        let spec = syncline.spec(&from, &to, &tables);
        let server = syncline.start("serve", &["serve", &spec, "--workers", "2", "--listen", "127.0.0.1:0"]);
        let base = http::address(&server).await;
        let mut run = String::new();
        wait_until("the first run ends", Duration::from_secs(60), async || {
            let runs = http::curl("GET", &format!("{base}/v1/runs"), &[]).json();
            let first = &runs["items"][0];
            run = first["id"].as_str().unwrap_or_default().to_owned();
            first["state"] == "done-with-quarantine"
        })
        .await;
        let ledger = syncline.dir.path().join("ledger.db");
        Self { syncline, ledger, base, run, _server: server, _from: from, to }
    }

    fn play(&self, name: &str) {
        let chunks = http::curl("GET", &format!("{}/v1/runs/{}/chunks", self.base, self.run), &[]).json();
        let chunk = chunks["items"][0]["id"].as_str().expect("a chunk").to_owned();
        let variables = [
            ("SYNCLINE_RUN", self.run.as_str()),
            ("SYNCLINE_CHUNK", &chunk),
            ("SYNCLINE_HOSTILE", HOSTILE),
            ("SYNCLINE_SCREENSHOTS", &shots()),
        ];
        let asked = Scene::begin(name, &self.base, &variables).asked();
        assert_eq!(asked, None);
    }
}

/// Names of tables and columns, and values, are text and nothing else on every screen; light and dark, wide and narrow.
#[tokio::test]
async fn every_screen_shows_hostile_names_as_text() {
    let stage = Stage::new(40).await;
    stage.play("screens");
    let listed = stage.syncline.run(&["quarantine", "list", "latest"]).expect(0);
    assert!(!listed.stdout.contains("alert(4)"), "{}", listed.stdout);
}

/// 10,000 chunks of a table: the run's page and the picture of its cells are there within a second.
#[tokio::test]
async fn ten_thousand_chunks_are_one_picture() {
    let stage = Stage::new(40).await;
    // The chunk that was done, many times over: what the page reads, without hours of work.
    let columns = "run, tbl, pass, state, attempt, tries, deaths, worker, due_ms, started_ms, ended_ms, c_read, c_inserted";
    let more = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
         INSERT INTO syncline_chunk (id, ordinal, {columns}) \
         SELECT 'chunk_' || lower(hex(randomblob(16))), c.ordinal + i * 1000, {columns} FROM syncline_chunk c, n \
         WHERE c.run = '{}' AND c.tbl = 0",
        stage.run
    );
    Database::at(&stage.ledger).exec(&more).await;
    stage.play("cells");
}

/// Quarantine → correct → replay, by who may.
#[tokio::test]
async fn a_quarantined_row_is_corrected_and_arrives() {
    let stage = Stage::new(40).await;
    let (operator, admin) = (token(&stage.syncline, "operator"), token(&stage.syncline, "admin"));
    let variables = [
        ("SYNCLINE_OPERATOR", operator.as_str()),
        ("SYNCLINE_ADMIN", &admin),
        ("SYNCLINE_SCREENSHOTS", &shots()),
    ];
    let mut scene = Scene::begin("mend", &stage.base, &variables);
    assert_eq!(scene.asked().as_deref(), Some("look"));
    assert_eq!(stage.to.text("SELECT amount FROM items WHERE id = 3").await.as_deref(), Some("12.5"));
    let other = format!("SELECT count(*) FROM \"{HOSTILE}\" WHERE \"<svg onload=alert(2)>\" IS NULL");
    assert_eq!(stage.to.number(&other).await, 1);
    scene.answer();
    assert_eq!(scene.asked(), None);
    let events = stage.syncline.run(&["security", "--json"]).expect(0).stdout;
    assert!(events.contains("row-corrected") && !events.contains("12.50"), "{events}");
}
