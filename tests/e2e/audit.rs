//! The audit log: who asked for what, by every way in, in a chain that another program can check.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::http::{address, curl};
use harness::{Database, Server, Syncline, oracle, wait_until};
use serde_json::{Value, json};

use crate::syncline;

/// Checks the chain by what the documentation says of it, and shares no code with the product.
const CHECKER: &str = "
import hashlib, hmac, json, sqlite3, sys
key = sys.argv[2].encode()
before, kinds = '', []
for seq, at_ms, id, is_keyed, body, digest in sqlite3.connect(sys.argv[1]).execute(
        'SELECT seq, at_ms, id, is_keyed, body, hash FROM syncline_audit ORDER BY seq'):
    text = f'{before}\\n{seq}\\n{at_ms}\\n{is_keyed}\\n{id}\\n'.encode() + body
    made = hmac.new(key, text, hashlib.sha256) if is_keyed else hashlib.sha256(text)
    assert made.hexdigest() == digest, seq
    before = digest
    kinds.append(is_keyed)
print(json.dumps({'head': before, 'kinds': kinds}))
";

fn checked(ledger: &str, key: &str) -> Value {
    let done = Command::new(oracle::root().join(".venv/bin/python"))
        .args(["-c", CHECKER, ledger, key])
        .output()
        .expect("python");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

struct Bed {
    /// Kept until the end.
    _data: [Database; 2],
    syncline: Syncline,
    spec: String,
}

async fn bed(more: &str) -> Bed {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 2), (2, 'canary-x')",
    )
    .await;
    let syncline = syncline();
    let spec = syncline.spec(&from, &to, &format!("{more}\ntables: [{{ from: t }}]"));
    Bed { _data: [from, to], syncline, spec }
}

/// Actor, way, action and object of all entries, oldest first.
fn entries(syncline: &Syncline) -> Vec<[String; 4]> {
    let listed = syncline.run(&["audit", "list", "--json", "--limit", "1000"]).expect(0).stdout;
    let entry = |line: &str| {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        ["actor", "via", "action", "object"].map(|name| entry[name].as_str().unwrap_or_default().to_owned())
    };
    let mut entries: Vec<_> = listed.lines().map(entry).collect();
    entries.reverse();
    entries
}

/// 1-43, 1-45, 4-24: commands, looks at rows, log-ins and refusals are kept, whichever way they come.
#[tokio::test]
async fn s1_43_s1_45_s4_24_the_audit_log_says_who_asked_for_what() {
    let bed = bed("schedule: 1h").await;
    let syncline = &bed.syncline;
    let token = |role: &str, name: &str| {
        let made = syncline.run(&["token", "create", "--role", role, "--name", name]).expect(0);
        made.stdout.trim().to_owned()
    };
    let (viewer, operator, admin) = (token("viewer", "eyes"), token("operator", "ci"), token("admin", ""));
    let serve = syncline.start("serve", &["serve", &bed.spec, "--workers", "1", "--listen", "127.0.0.1:0"]);
    let at = address(&serve).await;
    let ask = |method: &str, path: &str, token: &str| {
        curl(method, &format!("{at}{path}"), &["--header", &format!("Authorization: Bearer {token}")])
    };
    let runs = || ask("GET", "/v1/runs", &viewer).json()["items"].clone();
    wait_until("a run has ended", Duration::from_secs(60), async || {
        runs()[0]["state"] == "done-with-quarantine"
    })
    .await;
    let run = runs()[0]["id"].as_str().expect("an id").to_owned();
    let quarantine = format!("/v1/runs/{run}/quarantine");
    let _ = ask("GET", &quarantine, &viewer).expect(200);
    let _ = ask("GET", &quarantine, &admin).expect(200);
    let _ = ask("POST", "/v1/pipelines/test/pause", &viewer).expect(403);
    let _ = ask("POST", "/v1/pipelines/test/pause", &operator).expect(200);
    let _ = ask("POST", "/v1/pipelines/test/trigger", "syn_wrong").expect(401);
    let login = curl("POST", &format!("{at}/login"), &["--data", &format!("token={operator}")]).expect(303);
    assert!(login.headers.contains("set-cookie: "), "{login:?}");
    let _ = syncline.run(&["pipelines", "resume", "test"]).expect(0);
    let _ = syncline.run(&["quarantine", "list", "latest"]).expect(0);

    let id = |token: &str| token.split('_').nth(1).expect("an id").to_owned();
    let (viewer, operator, admin) = (id(&viewer), id(&operator), id(&admin));
    let all = entries(syncline);
    let by_tokens: Vec<[&str; 4]> =
        all.iter().filter(|it| it[1] != "cli").map(|it| it.each_ref().map(String::as_str)).collect();
    let (eyes, ci, nameless) =
        (format!("token {viewer} (eyes)"), format!("token {operator} (ci)"), format!("token {admin}"));
    let expected: [[&str; 4]; 4] = [
        [&nameless, "api", "GET /v1/runs/{run}/quarantine", &quarantine],
        [&eyes, "api", "POST", "/v1/pipelines/test/pause"],
        [&ci, "api", "POST /v1/pipelines/{name}/pause", "/v1/pipelines/test/pause"],
        [&ci, "dashboard", "log in", "dashboard"],
    ];
    assert_eq!(by_tokens, expected);
    let by_hand: Vec<[&str; 2]> =
        all.iter().filter(|it| it[1] == "cli").map(|it| [it[2].as_str(), it[3].as_str()]).collect();
    assert_eq!(
        by_hand,
        [
            ["token create --role viewer", viewer.as_str()],
            ["token create --role operator", operator.as_str()],
            ["token create --role admin", admin.as_str()],
            ["serve", "test"],
            ["pipelines resume", "test"],
            ["quarantine list", run.as_str()],
        ]
    );
    assert!(all.iter().filter(|it| it[1] == "cli").all(|it| it[0].contains("uid ")), "{all:?}");
    // Nothing of it is a secret or a value, and it is for admins.
    let listed = syncline.run(&["audit", "list", "--json"]).expect(0).stdout;
    assert!(!listed.contains("canary") && !listed.contains("syn_"), "{listed}");
    assert!(
        listed.contains(r#""refused":"forbidden""#) && listed.contains(r#""address":"127.0.0.1""#),
        "{listed}"
    );
}

/// 1-45, 4-24: another program comes to the same chain; one entry altered, and `audit verify` says where.
#[tokio::test]
async fn s1_45_s4_24_an_altered_entry_of_the_audit_log_is_named() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let bed = bed("").await;
    let plain = &bed.syncline;
    let _ = plain.run(&["run", &bed.spec]).expect(3);
    let _ = plain.run(&["verify", &bed.spec]);
    let folder = Path::new(&bed.spec).parent().expect("a folder");
    let ledger = folder.join("ledger.db");
    let keyed = |args: &[&str], key: &str| plain.run_with(&[("SYNCLINE_AUDIT_KEY", key)], args);
    let short = keyed(&["audit", "list"], "too-short").expect(4);
    assert!(
        short.stderr.contains("SYNCLINE_AUDIT_KEY") && !short.stderr.contains("too-short"),
        "{}",
        short.stderr
    );
    let _ = keyed(&["retry", "latest"], KEY).expect(0);
    // Who has no key adds nothing any more, and so does nothing.
    let refused = plain.run(&["retry", "latest"]).expect(5);
    assert!(refused.stderr.contains("SYNCLINE_AUDIT_KEY"), "{}", refused.stderr);
    let _ = keyed(&["retry", "latest"], KEY).expect(0);
    assert_eq!(
        entries(plain).iter().map(|it| it[2].as_str()).collect::<Vec<_>>(),
        ["run", "verify", "retry", "retry"]
    );

    let found = checked(&ledger.display().to_string(), KEY);
    assert_eq!(found["kinds"], json!([0, 0, 1, 1]));
    let verified = keyed(&["audit", "verify", "--json"], KEY).expect(0).json();
    assert_eq!((&verified["checked"], &verified["head"]["hash"]), (&4.into(), &found["head"]), "{verified}");
    let head = format!("4:{}", found["head"].as_str().expect("a hash"));
    let printed = keyed(&["audit", "verify", "--head", &head], KEY).expect(0).stdout;
    assert!(printed.contains("4 entries") && printed.contains(&head), "{printed}");
    let unkeyed = plain.run(&["audit", "verify"]).expect(3);
    assert!(unkeyed.stderr.contains("2 entries made with a key"), "{}", unkeyed.stderr);
    let out = folder.join("audit.jsonl").display().to_string();
    let _ = plain.run(&["audit", "export", "--out", &out]).expect(0);
    let lines = std::fs::read_to_string(&out).expect("a file");
    assert_eq!(lines.lines().count(), 4, "{lines}");

    let copy = Database::at(&ledger);
    copy.exec("UPDATE syncline_audit SET body = replace(body, 'verify', 'verifz') WHERE seq = 2").await;
    let broken = keyed(&["audit", "verify"], KEY).expect(1);
    assert!(broken.stderr.contains("entry 2:") && broken.stderr.contains("SYN-3011"), "{}", broken.stderr);
    let restore =
        "UPDATE syncline_audit SET body = CAST(replace(body, 'verifz', 'verify') AS BLOB) WHERE seq = 2";
    copy.exec(restore).await;
    let _ = keyed(&["audit", "verify"], KEY).expect(0);
    // Its end is cut off, and the counter turned back: only who remembers the end finds it.
    copy.exec(
        "DELETE FROM syncline_audit WHERE seq = 4; UPDATE syncline_meta SET n = 3 WHERE name = 'audit'",
    )
    .await;
    let _ = keyed(&["audit", "verify"], KEY).expect(0);
    let cut = keyed(&["audit", "verify", "--head", &head], KEY).expect(1);
    assert!(cut.stderr.contains("entry 4:"), "{}", cut.stderr);
}
