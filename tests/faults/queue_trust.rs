//! Q, W15: jobs nobody believes, rights that are taken away, and who may talk to whom.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use harness::redis::{Answer, Options, Redis};
use harness::wait_until;

use crate::bed::{Fleet, RUN_MAX};
use crate::queue::{
    LONG, attempts_beyond_the_first, events, fleet_at, fleet_on, key, under_way, until_waiting,
};

/// Twenty chunks.
const ROWS: u64 = 2_000;

/// Puts a payload into the queue under an id, as somebody would who got hold of Redis.
async fn forge(redis: &Redis, fleet: &Fleet, id: &[u8], payload: &[u8]) {
    let (ready, jobs) = (key(fleet, "ready").await, key(fleet, "jobs").await);
    redis.raw(&[b"HSET", jobs.as_bytes(), id, payload]).unwrap();
    redis.raw(&[b"ZADD", ready.as_bytes(), b"0", id]).unwrap();
}

#[tokio::test]
async fn q10_forged_jobs_are_set_aside_and_told() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, ROWS).await;
    let _ = fleet.serve("");
    let run = fleet.submit();
    let (ready, jobs) = (key(&fleet, "ready").await, key(&fleet, "jobs").await);
    wait_until("jobs are queued", RUN_MAX, async || redis.cli(&["ZCARD", &ready]).int() >= 20).await;
    let Answer::List(ids) = redis.cli(&["ZRANGE", &ready, "0", "0"]) else { panic!("no list") };
    let (id, good) = (ids[0].text(), redis.cli(&["HGET", &jobs, &ids[0].text()]).text());
    let signed = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let mut flipped = good.clone().into_bytes();
    flipped[40] ^= 1;
    let install = good.split("\"install\":\"").nth(1).unwrap().split('"').next().unwrap();
    let forged: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no-envelope", b"DROP TABLE customers".to_vec(), "not an envelope"),
        ("truncated", good.as_bytes()[..good.len() - 7].to_vec(), "not an envelope"),
        ("flipped", flipped, ""),
        ("other-attempt", signed("\"attempt_seen\":0", "\"attempt_seen\":7"), "bad signature"),
        ("other-key", signed("\"kid\":\"k1\"", "\"kid\":\"k9\""), "signed with an unknown key"),
        ("other-install", signed(install, "elsewhere"), "bad signature"),
        ("other-version", signed("\"v\":1", "\"v\":9"), "unknown version"),
        ("other-id", good.clone().into_bytes(), "queued under another job's id"),
        ("huge", vec![b'x'; 10 << 20], "longer than 512 bytes"),
    ];
    for (id, payload, _) in &forged {
        forge(&redis, &fleet, id.as_bytes(), payload).await;
    }
    forge(&redis, &fleet, b"\xff'; DROP TABLE x", b"{}").await;
    let _ = fleet.worker("");
    fleet.ended(&run).await;
    // Replayed after its chunk is done: believed, and without effect.
    forge(&redis, &fleet, id.as_bytes(), good.as_bytes()).await;
    wait_until("the replayed job is taken", RUN_MAX, async || redis.cli(&["HLEN", &jobs]).int() == 0).await;

    let count = forged.len() as i64 + 1;
    assert_eq!(redis.cli(&["LLEN", &key(&fleet, "dead").await]).int(), count);
    let counted = "SELECT n FROM syncline_meta WHERE name = 'security'";
    wait_until("all are counted", RUN_MAX, async || fleet.ledger.number(counted).await == count).await;
    let listed = fleet.syncline.run(&["security", "--json"]).expect(0).stdout;
    for (_, _, reason) in &forged {
        assert!(listed.contains(reason), "{reason}: {listed}");
    }
    assert!(!listed.contains("DROP") && !listed.contains("xxxx"), "nothing of a payload is kept: {listed}");
    let shown = fleet.syncline.run(&["security"]).expect(0).stdout;
    assert!(shown.contains("job-rejected") && shown.contains("bad signature"), "{shown}");
    let doctor = fleet.syncline.run(&["doctor"]).expect(0).stdout;
    assert!(doctor.contains(&format!("{count} jobs not believed so far")), "{doctor}");
    assert!(fleet.workers[0].log().contains("job payload not believed"), "{}", fleet.logs());
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "nothing was executed");
    let attempts = fleet.ledger.number("SELECT count(*) FROM syncline_attempt").await;
    assert_eq!(attempts, fleet.ledger.number("SELECT count(*) FROM syncline_chunk").await);
}

/// A newer coordinator's jobs: an older worker refuses them and says so; who sends them again is understood.
#[tokio::test]
async fn w15_jobs_of_an_unknown_version_are_left_to_others() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, ROWS).await;
    let _ = fleet.serve("");
    let run = fleet.submit();
    let (ready, jobs) = (key(&fleet, "ready").await, key(&fleet, "jobs").await);
    wait_until("jobs are queued", RUN_MAX, async || redis.cli(&["ZCARD", &ready]).int() >= 20).await;
    let newer = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, 4)) do \
        redis.call('HSET', KEYS[2], id, (string.gsub(redis.call('HGET', KEYS[2], id), '\"v\":1', '\"v\":2'))) end";
    redis.cli(&["EVAL", newer, "2", &ready, &jobs]);
    let _ = fleet.worker("");
    fleet.assert_sound(&run).await;
    assert!(fleet.workers[0].log().contains("unknown version"), "{}", fleet.logs());
    let listed = fleet.syncline.run(&["security", "--json"]).expect(0).stdout;
    assert!(listed.contains("unknown version"), "{listed}");
    let counted = "SELECT n FROM syncline_meta WHERE name = 'security'";
    assert_eq!(fleet.ledger.number(counted).await, 5);
    assert!(events(&fleet, "queue-rebuilt").await > 0, "they were sent again");
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0);
}

fn write_secret(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn q11_rights_revoked_and_the_password_rotated_in_mid_run() {
    let redis = Redis::start(&Options::default());
    redis.cli(&["ACL", "SETUSER", "app", "reset", "on", ">first-secret", "~*", "+@all"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redis");
    write_secret(&file, "first-secret\n");
    let url = format!("redis://app:${{file:{}}}@127.0.0.1:{}/", file.display(), redis.port);
    let mut fleet = fleet_at(&url, LONG).await;
    let run = under_way(&mut fleet, &redis).await;

    redis.cli(&["ACL", "SETUSER", "app", "-evalsha", "-eval"]);
    until_waiting(&fleet, &run, "queue auth failed").await;
    redis.cli(&["ACL", "SETUSER", "app", "+evalsha"]);
    let done = fleet.chunks("done").await;
    fleet.some_chunks_are_done(done + 1).await;

    redis.cli(&["ACL", "SETUSER", "app", "resetpass", ">second-secret"]);
    redis.cli(&["CLIENT", "KILL", "USER", "app"]);
    until_waiting(&fleet, &run, "queue auth failed").await;
    assert!(fleet.chunks("done").await < 100, "the run waits");
    write_secret(&file, "second-secret\n");
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "no attempt is spent");
    for process in fleet.serves.iter().chain(&fleet.workers) {
        assert!(!process.log().contains("-secret"), "a secret in a log");
    }
}

/// The rule that the guide prints, as a reader would use it.
fn rule_of_the_guide(install: &str, password: &str) -> Vec<String> {
    let guide = std::fs::read_to_string(harness::oracle::root().join("docs/guide.md")).unwrap();
    let rule = guide.split("ACL SETUSER syncline ").nth(1).expect("the guide has the rule");
    let rule = rule.split("```").next().unwrap().split("\nACL SETUSER").next().unwrap();
    let rule = rule.replace("PASSWORD", password).replace("INSTALL", install);
    let words = rule.split_whitespace().filter(|word| *word != "\\").map(str::to_owned);
    ["ACL".to_owned(), "SETUSER".into(), "syncline".into()].into_iter().chain(words).collect()
}

#[tokio::test]
async fn q11_the_user_of_the_guide_may_do_all_that_is_needed_and_no_more() {
    let mut redis = Redis::start(&Options::default());
    redis.cli(&["ACL", "SETUSER", "admin", "reset", "on", ">admin", "~*", "+@all"]);
    let url = format!("redis://syncline:least@127.0.0.1:{}/", redis.port);
    let mut fleet = fleet_at(&url, ROWS).await;
    let _ = fleet.syncline.run(&["runs"]); // Makes the ledger, and with it the id of the installation.
    let install = fleet.ledger.text("SELECT txt FROM syncline_meta WHERE name = 'install'").await.unwrap();
    redis.login("admin", "admin");
    let rule = rule_of_the_guide(&install, "least");
    let set = redis.cli(&rule.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(set.text(), "OK", "{rule:?}");
    redis.cli(&["ACL", "SETUSER", "default", "off"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);

    let doctor = fleet.syncline.run(&["doctor"]).expect(0).stdout;
    assert!(doctor.contains("maxmemory-policy noeviction") && doctor.contains(&install), "{doctor}");
    let _ = fleet.serve("");
    let run = fleet.submit();
    forge(&redis, &fleet, b"forged", b"x").await;
    let _ = fleet.worker("");
    fleet.assert_sound(&run).await;
    assert_eq!(redis.cli(&["ACL", "LOG"]), Answer::List(Vec::new()), "nothing was refused");
    redis.login("syncline", "least");
    for forbidden in [
        &["FLUSHALL"][..],
        &["CONFIG", "GET", "*"],
        &["KEYS", "*"],
        &["CLIENT", "LIST"],
        &["ACL", "LIST"],
        &["SCRIPT", "FLUSH"],
        &["EVAL", "return 1", "0"],
        &["GET", "x"],
        &["HGET", "{syncline:other}:jobs", "x"],
        &["ZADD", "{syncline:other}:ready", "0", "x"],
        &["SHUTDOWN"],
    ] {
        let answer = redis.cli(forbidden);
        assert!(
            matches!(&answer, Answer::Refused(text) if text.starts_with("NOPERM")),
            "{forbidden:?} {answer:?}"
        );
    }
}

fn authority() -> PathBuf {
    PathBuf::from(std::env::var("SYNCLINE_TEST_TLS_CA").expect("run `make servers`"))
}

#[tokio::test]
async fn q11_tls_is_verified_and_a_client_certificate_is_shown() {
    let more = ["--tls-auth-clients", "yes"].map(str::to_owned).into();
    let redis = Redis::start(&Options { tls: true, more, ..Options::default() });
    let (url, ca) = (format!("rediss://127.0.0.1:{}/", redis.tls_port), authority());
    let mut fleet = fleet_at(&url, ROWS).await;
    let at = |name: &str| ca.with_file_name(name).display().to_string();
    let (ca, certificate, secret) = (at("ca.pem"), at("server.pem"), at("server.key"));
    let files = [
        ("SYNCLINE_REDIS_CA", ca.as_str()),
        ("SYNCLINE_REDIS_CERT", certificate.as_str()),
        ("SYNCLINE_REDIS_CERT_KEY", secret.as_str()),
    ];
    let doctor = |variables: &[(&str, &str)]| fleet.syncline.run_with(variables, &["doctor"]);
    assert!(doctor(&files).expect(0).stdout.contains("maxmemory-policy"));
    let _ = doctor(&files[1..]).expect(5); // The authority is not the system's.
    let _ = doctor(&files[..1]).expect(5); // No certificate is shown.
    let _ = doctor(&files[..2]).expect(4); // A certificate without its key.

    let wrong = fleet.syncline.dir.path().join("wrong.pem").display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=another authority", "-keyout", "/dev/null", "-out", &wrong])
        .output()
        .unwrap();
    assert!(made.status.success());
    let _ = doctor(&[("SYNCLINE_REDIS_CA", wrong.as_str()), files[1], files[2]]).expect(5);
    for (bad, code) in [
        (format!("{url}#insecure"), 4),                    // Never without verification.
        (format!("redis://127.0.0.1:{}/", redis.port), 4), // Certificates, but no TLS.
        (format!("rediss://127.0.0.2:{}/", redis.tls_port), 5), // Nobody there.
    ] {
        let mut variables = files.to_vec();
        variables.push(("SYNCLINE_REDIS", &bad));
        let _ = doctor(&variables).expect(code);
    }

    let _ = fleet.worker_with(&files, &["--lease", "2s"]);
    fleet.serves.push(fleet.syncline.start_with("serve0", &files, &["serve"]));
    let run = fleet.submit();
    fleet.assert_sound(&run).await;
}
