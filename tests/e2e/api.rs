//! The HTTP API of `serve`, asked by curl.

use std::time::Duration;

use harness::http::{Answer, address, curl};
use harness::syncline::Background;
use harness::{Database, Server, Syncline, oracle, wait_until};
use serde_json::{Value, json};

use crate::syncline;

const SOON: Duration = Duration::from_secs(60);

struct Bed {
    from: Database,
    to: Database,
    syncline: Syncline,
    spec: String,
}

async fn bed(rest: &str) -> Bed {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'canary-a'), (2, 'canary-b')").await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, &format!("{rest}\ntables: [{{ from: t }}]"));
    Bed { from, to, syncline, spec }
}

impl Bed {
    fn serve(&self, name: &str) -> Background {
        self.syncline
            .start(name, &["serve", &self.spec, "--workers", "2", "--lease", "1s", "--listen", "127.0.0.1:0"])
    }
}

fn get(at: &str, path: &str) -> Answer {
    curl("GET", &format!("{at}{path}"), &[])
}

fn post(at: &str, path: &str) -> Answer {
    curl("POST", &format!("{at}{path}"), &[])
}

fn put(at: &str, path: &str, body: &Value) -> Answer {
    curl(
        "PUT",
        &format!("{at}{path}"),
        &["--header", "Content-Type: application/json", "--data", &body.to_string()],
    )
}

/// Seconds since 1970 of `2025-01-10T14:30:00Z`.
fn moment(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time}"));
    assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn until_idle(at: &str, runs: usize) {
    let done = || {
        get(at, "/v1/runs?limit=500").json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["state"] == "done")
            .count()
    };
    wait_until("the runs are done", SOON, async || done() >= runs).await;
}

/// 4-14: fields, types and invariants; 4-15: trigger, pause, resume, interval; 4-16: health.
#[tokio::test]
async fn s4_14_to_4_16_the_contract_of_the_sync_routes() {
    let bed = bed("schedule: 1h\ndefault: true").await;
    let mut serve = bed.serve("serve");
    let at = address(&serve).await;
    until_idle(&at, 1).await;
    let status = get(&at, "/sync/status").expect(200).json();
    let fields =
        ["sync_enabled", "last_sync", "next_sync", "sync_interval_minutes", "tables_synced", "sync_metrics"];
    assert_eq!(keys(&status), fields);
    assert_eq!(keys(&status["sync_metrics"]), ["total_records", "last_sync_duration", "success_rate"]);
    assert_eq!(moment(&status["next_sync"]) - moment(&status["last_sync"]), 3_600, "{status}");
    assert_eq!(
        (&status["sync_enabled"], &status["sync_interval_minutes"], &status["tables_synced"]),
        (&true.into(), &60.into(), &json!(["t"]))
    );
    assert_eq!(status["sync_metrics"]["total_records"], 2);
    assert_eq!(status["sync_metrics"]["success_rate"], 100.0);
    assert!(status["sync_metrics"]["last_sync_duration"].as_str().unwrap().starts_with("00:00:"), "{status}");
    let health = get(&at, "/sync/health").expect(200).json();
    let well = json!({ "mysql_connection": "healthy", "mongodb_connection": "healthy", "last_sync_status": "success",
        "pending_operations": 0, "error_count": 0 });
    assert_eq!(health, well);
    assert_eq!(keys(&health), keys(&well));

    let paused = post(&at, "/sync/pause").expect(200).json();
    assert_eq!((&paused["sync_enabled"], &paused["next_sync"]), (&false.into(), &Value::Null), "{paused}");
    let refused = post(&at, "/sync/trigger").expect(409);
    assert!(refused.headers.contains("application/problem+json"), "{refused:?}");
    assert_eq!(refused.json()["code"], "conflict");
    let set = put(&at, "/sync/interval", &json!({ "sync_interval_minutes": 5 })).expect(200).json();
    assert_eq!((&set["sync_interval_minutes"], &set["next_sync"]), (&5.into(), &Value::Null), "{set}");
    let resumed = post(&at, "/sync/resume").expect(200).json();
    assert_eq!(resumed["sync_enabled"], true);

    bed.from.exec("INSERT INTO t VALUES (3, 'c')").await;
    let triggered = post(&at, "/sync/trigger").expect(202);
    let run = triggered.json()["run_id"].as_str().unwrap().to_owned();
    assert!(triggered.headers.contains(&format!("location: /v1/runs/{run}")), "{triggered:?}");
    until_idle(&at, 2).await;
    oracle::assert_equal(&bed.from, &bed.to, &["t"]);
    let status = get(&at, "/sync/status").json();
    assert_eq!(
        moment(&status["next_sync"]) - moment(&status["last_sync"]),
        300,
        "a trigger re-bases the schedule: {status}"
    );

    for wrong in [
        json!({ "sync_interval_minutes": 0 }),
        json!({ "minutes": 5 }),
        json!([1]),
        json!({ "sync_interval_minutes": "5" }),
    ] {
        let refused = put(&at, "/sync/interval", &wrong).expect(422);
        assert_eq!(refused.json()["status"], 422, "{refused:?}");
    }
    // What a person has set outlives the process.
    serve.kill();
    let mut again = bed.serve("again");
    let at = address(&again).await;
    assert_eq!(get(&at, "/sync/status").json()["sync_interval_minutes"], 5);
    std::fs::rename(&bed.from.name, format!("{}.gone", bed.from.name)).unwrap();
    again.kill();
    let mut third = bed.syncline.start("third", &["serve", "--workers", "1", "--listen", "127.0.0.1:0"]);
    let at = address(&third).await;
    assert_eq!(get(&at, "/sync/health").expect(200).json()["mysql_connection"], "unhealthy");
    let _ = get(&at, "/healthz").expect(503);
    let _ = (get(&at, "/livez").expect(200), get(&at, "/readyz").expect(200));
    assert_eq!(third.terminate(), Some(0), "{}", third.log());
}

/// Which pipeline is meant must be clear before anything happens to one.
#[tokio::test]
async fn s4_15_of_several_pipelines_one_is_named() {
    let bed = bed("").await;
    let other = bed.syncline.dir.path().join("other.yaml");
    std::fs::write(&other, std::fs::read_to_string(&bed.spec).unwrap().replace("name: test", "name: other"))
        .unwrap();
    let other = other.display().to_string();
    let args = ["serve", &bed.spec, &other, "--workers", "1", "--listen", "127.0.0.1:0"];
    let mut serve = bed.syncline.start("serve", &args);
    let at = address(&serve).await;
    wait_until("both are there", SOON, async || {
        get(&at, "/v1/pipelines").json()["items"].as_array().unwrap().len() == 2
    })
    .await;
    let unclear = post(&at, "/sync/pause").expect(409).json();
    assert!(unclear["detail"].as_str().unwrap().contains("other, test"), "{unclear}");
    let _ = post(&at, "/sync/pause?pipeline=none").expect(404);
    let _ = post(&at, "/sync/pause?pipelines=test").expect(422);
    let _ = post(&at, "/sync/pause?pipeline=other").expect(200);
    assert!(get(&at, "/v1/pipelines/other").json()["paused_at"].is_string());
    assert!(get(&at, "/v1/pipelines/test").json()["paused_at"].is_null());
    // Without a schedule it waits to be asked, and says so.
    let status = get(&at, "/sync/status?pipeline=test").expect(200).json();
    assert_eq!((&status["sync_enabled"], &status["next_sync"]), (&false.into(), &Value::Null));
    let _ = post(&at, "/sync/trigger?pipeline=test").expect(202);
    until_idle(&at, 1).await;
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
}

/// A command that is sent again, because its answer was lost, is not done again.
#[tokio::test]
async fn a_command_that_names_itself_is_done_once() {
    let bed = bed("").await;
    let serve = bed.serve("serve");
    let at = address(&serve).await;
    let named = |path: &str, key: &str| {
        let header = format!("Idempotency-Key: {key}");
        curl("POST", &format!("{at}{path}"), &["--header", &header])
    };
    let once: Vec<Value> =
        (0..3).map(|_| named("/v1/pipelines/test/trigger", "first").expect(202).json()).collect();
    assert!(once.iter().all(|run| *run == once[0]), "{once:?}");
    let again = named("/v1/pipelines/test/trigger", "first").expect(202).headers.to_lowercase();
    assert!(
        again.contains("idempotency-replayed: true") && again.contains("location: /v1/runs/run_"),
        "{again}"
    );
    let other = named("/v1/pipelines/test/pause", "first").expect(422).text;
    assert!(other.contains("take a new one"), "{other}");
    let _ = named("/v1/pipelines/test/trigger", &"k".repeat(256)).expect(422);
    until_idle(&at, 1).await;
    assert_eq!(get(&at, "/v1/runs").json()["items"].as_array().unwrap().len(), 1);
    // A refusal is an answer, too; under another key it is another request.
    for is_replayed in [false, true] {
        let refused = named("/v1/runs/run_none/pause", "second").expect(404);
        assert_eq!(refused.json()["code"], "not-found");
        let headers = refused.headers.to_lowercase();
        assert_eq!(headers.contains("replayed"), is_replayed, "{headers}");
    }
    let _ = named("/v1/pipelines/test/trigger", "third").expect(202);
    until_idle(&at, 2).await;
}

#[tokio::test]
async fn a_run_is_watched_and_held_and_its_chunks_are_told_without_keys() {
    let bed = bed("defaults: { chunk: { rows_max: 10 } }").await;
    let rows: Vec<String> = (10..3_010).map(|id| format!("({id}, 'canary-{id}')")).collect();
    bed.from.exec(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
    let mut serve = bed.serve("serve");
    let at = address(&serve).await;
    let run =
        post(&at, "/v1/pipelines/test/trigger").expect(202).json()["run_id"].as_str().unwrap().to_owned();
    let run = format!("/v1/runs/{run}");
    let _ = put(&at, &format!("{run}/limits"), &json!({ "rows": 100 })).expect(200);
    let _ = put(&at, &format!("{run}/limits"), &json!({ "rows": 0 })).expect(422);
    let paused = post(&at, &format!("{run}/pause")).expect(200).json();
    assert!(paused["paused_at"].is_string() && paused["limits"]["rows"] == 100, "{paused}");
    let _ = post(&at, &format!("{run}/resume")).expect(200);
    let _ = put(&at, &format!("{run}/limits"), &json!({})).expect(200);
    until_idle(&at, 1).await;
    let record = get(&at, &run).expect(200).json();
    assert_eq!(
        (&record["counts"]["read"], &record["tables"][0]["source"]),
        (&3_002.into(), &"t".into()),
        "{record}"
    );

    let mut seen = pages(&at, &run);
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert!(all > 100 && seen.len() == all, "{all} chunks, {} of them different", seen.len());
    let chunk = get(&at, &format!("/v1/chunks/{}", seen[0])).expect(200).json();
    assert!(
        chunk["attempts"].as_array().unwrap().iter().any(|attempt| attempt["outcome"] == "done"),
        "{chunk}"
    );
    let _ = post(&at, &format!("/v1/chunks/{}/retry", seen[0])).expect(409);
    let odd = ["/v1/pipelines/%ff", "/v1/runs/%00", "/v1/runs/..%2f..", "/v1/pipelines/%E2%80%AE"];
    for path in
        ["/v1/runs/run_none", "/v1/chunks/none", "/v1/none", "/v1/pipelines/none"].into_iter().chain(odd)
    {
        assert_eq!(get(&at, path).expect(404).json()["code"], "not-found", "{path}");
    }
    let _ = get(&at, &format!("{run}/chunks?state=none")).expect(422);
    let _ = get(&at, &format!("{run}/chunks?limit=0")).expect(422);
    assert_eq!(post(&at, "/v1/runs").expect(405).json()["code"], "method-not-allowed");
    let _ = post(&at, &format!("{run}/cancel")).expect(409);
    let document = std::fs::read_to_string(harness::oracle::root().join("schema/openapi.v1.json")).unwrap();
    assert_eq!(get(&at, "/openapi.json").expect(200).text, document);

    events_are_replayed(&at, &run);
    let workers = get(&at, "/v1/workers").expect(200).json();
    assert_eq!(workers["items"][0]["state"], "alive");
    let queue = get(&at, "/v1/queue").expect(200).json();
    assert_eq!(
        (&queue["ready"], &queue["running"], &queue["oldest_ms"]),
        (&0.into(), &0.into(), &Value::Null)
    );
    assert_eq!(serve.terminate(), Some(0), "streams do not hold it up: {}", serve.log());
}

/// The chunks that are done, page by page, without a value of a row in any.
fn pages(at: &str, run: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(at, &format!("{run}/chunks?limit=100&state=done{after}")).expect(200);
        assert!(!page.text.contains("canary"), "{page:?}");
        let page = page.json();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|chunk| chunk["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    seen
}

/// All events of a run from the first, and the rest from where a client was cut off.
fn events_are_replayed(at: &str, run: &str) {
    let stream = |from: &str| {
        let header = format!("Last-Event-ID: {from}");
        let mut args = vec!["--max-time", "2", "--no-buffer"];
        if !from.is_empty() {
            args.extend(["--header", header.as_str()]);
        }
        curl("GET", &format!("{at}{run}/events"), &args).expect(200)
    };
    let whole = stream("");
    assert!(whole.headers.contains("text/event-stream"), "{}", whole.headers);
    let ids = |text: &str| {
        text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let numbers = ids(&whole.text);
    assert!(numbers.windows(2).all(|two| two[0] < two[1]) && numbers.len() > 300, "{} events", numbers.len());
    assert!(whole.text.contains("event: run-created") && !whole.text.contains("canary"));
    let middle = numbers[numbers.len() / 2];
    assert_eq!(ids(&stream(&middle.to_string()).text), numbers[numbers.len() / 2 + 1..]);
    // Of all runs: from now on, or from where the client was.
    let all = |more: &[&str]| {
        let args = [&["--max-time", "2", "--no-buffer"], more].concat();
        curl("GET", &format!("{at}/v1/events"), &args).expect(200).text
    };
    assert_eq!(ids(&all(&[])), [0; 0]);
    let header = format!("Last-Event-ID: {middle}");
    assert!(ids(&all(&["--header", &header])).ends_with(&numbers[numbers.len() / 2 + 1..]));
}

/// 1-43, 1-44: without a token this machine alone is answered; with one, nobody comes in without.
#[tokio::test]
async fn s1_43_s1_44_who_may_ask_and_command() {
    let bed = bed("schedule: 1h").await;
    let serve = bed.serve("serve");
    let at = address(&serve).await;
    until_idle(&at, 1).await;
    // A page that a browser on this machine shows, by a name that leads here, and across origins.
    let foreign = |options: &[&str]| curl("POST", &format!("{at}/sync/pause"), options).status;
    assert_eq!(foreign(&["--header", "Host: evil.example"]), 403);
    assert_eq!(foreign(&["--header", "Origin: http://evil.example"]), 403);
    assert_eq!(foreign(&["--header", "Sec-Fetch-Site: cross-site"]), 403);
    assert!(get(&at, "/sync/status").headers.contains("content-security-policy: default-src 'none'"));

    let token = |role: &str| {
        bed.syncline.run(&["token", "create", "--role", role]).expect(0).stdout.trim().to_owned()
    };
    let (viewer, operator) = (token("viewer"), token("operator"));
    let with = |method: &str, path: &str, token: &str| {
        curl(method, &format!("{at}{path}"), &["--header", &format!("Authorization: Bearer {token}")]).status
    };
    let refused = get(&at, "/sync/status").expect(401);
    assert!(refused.headers.contains("www-authenticate: Bearer"), "{refused:?}");
    assert_eq!((get(&at, "/livez").status, get(&at, "/healthz").status), (200, 401));
    assert_eq!((with("GET", "/sync/status", &viewer), with("POST", "/sync/pause", &viewer)), (200, 403));
    assert_eq!((with("POST", "/sync/pause", &operator), with("POST", "/sync/resume", &operator)), (200, 200));
    let last = if viewer.ends_with('0') { '1' } else { '0' };
    let damaged = format!("{}{last}", &viewer[..viewer.len() - 1]);
    for wrong in ["", "x", damaged.as_str(), &viewer[..20]] {
        assert_eq!(with("GET", "/sync/status", wrong), 401, "{wrong}");
    }
    let listed = bed.syncline.run(&["token", "list"]).expect(0).stdout;
    assert!(listed.contains("viewer") && !listed.contains(&viewer), "{listed}");
    let id = viewer.split('_').nth(1).unwrap();
    let _ = bed.syncline.run(&["token", "revoke", id]).expect(0);
    assert_eq!(with("GET", "/sync/status", &viewer), 401);
    // Five a minute are enough, at the log-in, too; who has a good token is not concerned.
    let again: Vec<u16> = (0..10).map(|_| with("GET", "/sync/status", &viewer)).collect();
    assert!(again.iter().filter(|status| **status == 429).count() >= 8, "{again:?}");
    let login = curl("POST", &format!("{at}/login"), &["--data", &format!("token={viewer}")]).expect(429);
    assert!(login.headers.contains("retry-after: "), "{login:?}");
    assert_eq!(with("GET", "/sync/status", &operator), 200);
    let events = bed.syncline.run(&["security", "--json"]).expect(0).stdout;
    assert!(events.contains("api-forbidden") && events.contains("api-token-refused"), "{events}");
    // Neither log nor ledger holds a token.
    let ledger = std::fs::read(bed.syncline.dir.path().join("ledger.db")).unwrap();
    for token in [&viewer, &operator] {
        assert!(!serve.log().contains(token.as_str()));
        assert!(!ledger.windows(token.len()).any(|bytes| bytes == token.as_bytes()));
    }
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused() {
    let bed = bed("").await;
    let serve = |more: &[&str]| {
        let args = [&["serve", &bed.spec, "--workers", "1"], more].concat();
        bed.syncline.run(&args)
    };
    let open = serve(&["--listen", "0.0.0.0:0"]);
    assert!(open.code == Some(8) && open.stderr.contains("SYN-1051"), "{}", open.stderr);
    let _ = bed.syncline.run(&["token", "create", "--role", "viewer"]).expect(0);
    let clear = serve(&["--listen", "0.0.0.0:0"]);
    assert!(clear.code == Some(8) && clear.stderr.contains("--behind-proxy"), "{}", clear.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = serve(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert!(refused.code == Some(4) && refused.stderr.contains("in use"), "{}", refused.stderr);
    assert_eq!(serve(&["--listen", "nowhere"]).code, Some(4));
    let none = bed.syncline.run(&["pipelines", "--json"]).expect(0);
    assert_eq!(none.stdout, "", "nothing was registered");
}
