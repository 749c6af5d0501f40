//! Messages to people: signed, one for each incident, kept until they are taken.

use std::process::Command;
use std::time::Duration;

use harness::receiver::{Posted, Receiver};
use harness::{Database, Server, Syncline, wait_until};
use serde_json::Value;

use crate::syncline;

const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "canary-secret";

struct Stage {
    from: Database,
    /// Dropped last.
    _to: Database,
    syncline: Syncline,
    spec: String,
}

/// A pipeline that nobody starts, and tells both addresses.
async fn stage(slack: &Receiver, webhook: &str) -> Stage {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n DECIMAL(6,2)); INSERT INTO t VALUES (1, 2.5), (2, 3)",
    )
    .await;
    let syncline = syncline()
        .with("CANARY_SLACK", format!("{}/canary-address", slack.url))
        .with("CANARY_WEBHOOK", webhook)
        .with("CANARY_SECRET", SECRET);
    let spec = syncline.spec(
        &from,
        &to,
        "alerts:\n  - slack: \"${env:CANARY_SLACK}\"\n  - { webhook: \"${env:CANARY_WEBHOOK}\", secret: \"${env:CANARY_SECRET}\", \
         on: [failed] }\ntables: [{ from: t }]",
    );
    Stage { from, _to: to, syncline, spec }
}

impl Stage {
    fn trigger(&self) {
        let _ = self.syncline.run(&["pipelines", "trigger", "test"]).expect(0);
    }

    fn ended(&self) -> usize {
        let runs = self.syncline.run(&["runs", "--json"]).stdout;
        let runs = runs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        runs.filter(|run| run["state"] != "running").count()
    }

    async fn run_ends(&self, nth: usize) {
        self.trigger();
        wait_until("the run ends", SOON, async || self.ended() == nth).await;
    }

    /// Every message is sent: what is not there by now does not come.
    async fn all_is_told(&self, count: usize) {
        wait_until("all is told", SOON, async || {
            let listed = self.syncline.run(&["alerts", "list", "--json"]).expect(0).stdout;
            listed.matches("\"state\":\"sent\"").count() == count
        })
        .await;
    }
}

fn events(posted: &[Posted]) -> Vec<String> {
    posted
        .iter()
        .map(|posted| {
            let body: Value = serde_json::from_str(&posted.body).unwrap();
            body["event"].as_str().or(body["text"].as_str()).unwrap().to_owned()
        })
        .collect()
}

/// What openssl makes of it.
fn signature(time: &str, body: &str) -> String {
    let sh = format!("printf '%s' \"$0\" | openssl dgst -sha256 -hmac {SECRET}");
    let out = Command::new("sh").args(["-c", &sh, &format!("{time}.{body}")]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().rsplit(' ').next().unwrap().to_owned()
}

/// 4-04, 4-13: rows in quarantine, the same again, a failure, and all well: who wants to know is told of each once.
#[tokio::test]
async fn s4_13_an_incident_is_told_once_and_when_it_is_over() {
    let (slack, webhook) = (Receiver::new(), Receiver::new());
    let stage = stage(&slack, &webhook.url).await;
    let tested = stage.syncline.run(&["alerts", "test", &stage.spec]).expect(0).stdout;
    assert!(tested.contains("slack") && tested.contains("webhook"), "{tested}");
    assert_eq!((events(&slack.posted()).len(), events(&webhook.posted())), (1, vec!["test".to_owned()]));

    let mut serve = stage.syncline.start("serve", &["serve", &stage.spec, "--workers", "1"]);
    wait_until("it is registered", SOON, async || serve.log().contains("pipeline registered")).await;
    stage.run_ends(1).await;
    stage.from.exec("UPDATE t SET n = 'much' WHERE id = 2").await;
    stage.run_ends(2).await;
    stage.run_ends(3).await;
    stage.from.exec("ALTER TABLE t RENAME TO gone").await;
    stage.run_ends(4).await;
    stage.from.exec("ALTER TABLE gone RENAME TO t; UPDATE t SET n = 4 WHERE id = 2").await;
    let _ = stage.syncline.run(&["pipelines", "resume", "test"]).expect(0);
    stage.run_ends(5).await;
    stage.all_is_told(5).await;

    let told = events(&slack.posted());
    let expected = ["messages arrive", "set 1 of 2 rows aside", "failed: ", "well again"];
    assert!(told.len() == 4 && told.iter().zip(expected).all(|(told, part)| told.contains(part)), "{told:?}");
    let posted = webhook.posted();
    assert_eq!(events(&posted), ["test", "failed", "resolved"]);
    for Posted { head, body } in &posted {
        let signed = head.lines().find_map(|line| line.strip_prefix("x-syncline-signature: t=")).unwrap();
        let (time, mac) = signed.split_once(",v1=").unwrap();
        assert_eq!(mac, signature(time, body), "{head}");
    }
    let failed: Value = serde_json::from_str(&posted[1].body).unwrap();
    assert_eq!(failed["cause"]["kind"], "unknown-table", "{failed}");
    assert!(failed["id"].as_str().unwrap().ends_with(":failed:1"), "{failed}");
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
    let ledger = std::fs::read(stage.syncline.dir.path().join("ledger.db")).unwrap();
    for seen in [serve.log(), String::from_utf8_lossy(&ledger).into_owned()] {
        assert!(!seen.contains("canary-") && !seen.contains(&webhook.url), "an address or a secret is kept");
    }
}

/// A receiver that refuses, and then is away, gets the message when it is back, though `serve` was killed meanwhile.
#[tokio::test]
async fn s4_04_a_message_waits_until_it_is_taken() {
    let (slack, webhook) = (Receiver::new(), Receiver::new());
    let stage = stage(&slack, &webhook.url).await;
    webhook.answer(&[503, 302, 500]);
    stage.from.exec("ALTER TABLE t RENAME TO gone").await;
    stage.from.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, n DECIMAL(6,2))").await;
    let mut serve = stage.syncline.start("serve", &["serve", &stage.spec, "--workers", "1"]);
    wait_until("it is registered", SOON, async || serve.log().contains("pipeline registered")).await;
    stage.from.exec("DROP TABLE t").await;
    stage.run_ends(1).await;
    wait_until("it is refused", SOON, async || !webhook.posted().is_empty()).await;
    serve.kill();
    let waiting = stage.syncline.run(&["alerts", "list"]).expect(0).stdout;
    assert!(waiting.contains("waits"), "{waiting}");
    let mut serve = stage.syncline.start("serve-again", &["serve", "--workers", "1"]);
    stage.all_is_told(2).await;
    let ids: Vec<String> = webhook
        .posted()
        .iter()
        .map(|posted| serde_json::from_str::<Value>(&posted.body).unwrap()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 4, "three refusals and one that was taken: {ids:?}");
    assert!(ids.windows(2).all(|two| two[0] == two[1]), "one message: {ids:?}");
    assert_eq!(serve.terminate(), Some(0), "{}", serve.log());
}

/// What cannot work is told at once, and without the secret.
#[tokio::test]
async fn an_alert_that_cannot_work_is_refused() {
    let slack = Receiver::new();
    let stage = stage(&slack, "http://elsewhere.example/canary-address").await;
    let refused = stage.syncline.run(&["alerts", "test", &stage.spec]).expect(5);
    assert!(refused.stdout.contains("https://"), "{refused:?}");
    let unset = stage.syncline.without("CANARY_SLACK");
    let refused = unset.run(&["alerts", "test", &stage.spec]).expect(5);
    assert!(refused.stdout.contains("CANARY_SLACK is not set"), "{refused:?}");
    let text = std::fs::read_to_string(&stage.spec).unwrap();
    std::fs::write(&stage.spec, text.replace("${env:CANARY_SLACK}", "https://hooks.example/canary-address"))
        .unwrap();
    let refused = unset.run(&["check", &stage.spec]).expect(4);
    assert!(refused.stderr.contains("SYN-1035") && !refused.stderr.contains("canary-"), "{refused:?}");
}

/// 4-04: anomalies, by figures that are counted here: rows that a rule leaves out, and a table that has shrunk.
#[tokio::test]
async fn s4_04_figures_that_are_not_as_usual_are_told() {
    let webhook = Receiver::new();
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);
         WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 100) INSERT INTO t SELECT x, 1 FROM i",
    )
    .await;
    let syncline = syncline().with("CANARY_WEBHOOK", &webhook.url);
    let spec = syncline.spec(
        &from,
        &to,
        "alerts:\n  - webhook: \"${env:CANARY_WEBHOOK}\"\n\
         tables: [{ from: t, fields: { rules: { n: { max: 9, on_fail: skip } } } }]",
    );
    let stage = Stage { from, _to: to, syncline, spec };
    let _serve = stage.syncline.start("serve", &["serve", &stage.spec, "--workers", "1"]);
    wait_until("the pipeline is there", SOON, async || {
        stage.syncline.run(&["pipelines", "--json"]).stdout.contains("test")
    })
    .await;
    for (nth, change) in [
        "UPDATE t SET n = 1",
        "UPDATE t SET n = 10 WHERE id = 1",
        "UPDATE t SET n = 10 WHERE id <= 2",
        "UPDATE t SET n = 11 WHERE id <= 2",
        "UPDATE t SET n = 1",
        "DELETE FROM t WHERE id > 49",
    ]
    .into_iter()
    .enumerate()
    {
        stage.from.exec(change).await;
        stage.run_ends(nth + 1).await;
    }
    stage.all_is_told(3).await;
    let posted = webhook.posted();
    assert_eq!(events(&posted), ["anomaly", "resolved", "anomaly"]);
    let why = |at: usize| serde_json::from_str::<Value>(&posted[at].body).unwrap()["why"].clone();
    assert_eq!(why(0), "2 of 100 rows were set aside or left out by rules");
    assert_eq!(why(2), "49 rows were read; mostly there are 100");
}
