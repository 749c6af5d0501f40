//! What Prometheus is told, and its alerts, by Prometheus' own tool.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::database::Database;
use harness::http::{address, curl};
use harness::{Server, wait_until};

use crate::syncline;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/observability")
}

fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: make servers");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// 4-18: the five key figures, and all others, of runs whose outcome is known.
#[tokio::test]
async fn s4_18_the_figures_of_a_pipeline() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, amount DECIMAL(10,2));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO t SELECT i, i FROM n;
         UPDATE t SET amount = 'canary' WHERE id IN (3, 4, 5);
         CREATE TABLE \"a\"\"b\\c\" (id INTEGER PRIMARY KEY)",
    )
    .await;
    let syncline = syncline();
    let skips = "fields: { rules: { id: { max: 198, on_fail: skip } } }";
    let rest = format!("schedule: 1h\ntables: [{{ from: t, {skips} }}, {{ from: 'a\"b\\c' }}]");
    let spec = syncline.spec(&from, &to, &rest);
    let serve = syncline.start("serve", &["serve", &spec, "--workers", "2", "--listen", "127.0.0.1:0"]);
    let at = address(&serve).await;
    let mut text = String::new();
    wait_until("the first run ends", Duration::from_secs(60), async || {
        text = curl("GET", &format!("{at}/metrics"), &[]).expect(200).text;
        text.contains("syncline_run_state{pipeline=\"test\",state=\"done-with-quarantine\"} 1")
    })
    .await;
    promtool(&["check", "metrics"], &text);
    let found = samples(&text);
    for (name, value) in [
        ("syncline_success_ratio{pipeline=\"test\"}", 1.0),
        ("syncline_failed_attempts{pipeline=\"test\"}", 0.0),
        ("syncline_validation_failure_ratio{pipeline=\"test\"}", 0.025),
        ("syncline_last_run_rows{pipeline=\"test\",outcome=\"read\"}", 200.0),
        ("syncline_last_run_rows{pipeline=\"test\",outcome=\"inserted\"}", 195.0),
        ("syncline_last_run_rows{pipeline=\"test\",outcome=\"filtered\"}", 2.0),
        ("syncline_quarantined_rows{pipeline=\"test\",table=\"t\"}", 3.0),
        ("syncline_quarantined_rows{pipeline=\"test\",table=\"a\\\"b\\\\c\"}", 0.0),
        ("syncline_pipeline_interval_seconds{pipeline=\"test\"}", 3600.0),
        ("syncline_pipeline_paused{pipeline=\"test\",by=\"person\"}", 0.0),
        ("syncline_chunks{state=\"ready\"}", 0.0),
        ("syncline_workers{state=\"alive\"}", 1.0),
        ("syncline_worker_slots", 2.0),
        ("syncline_attempts_total{outcome=\"done\"}", 2.0),
        ("syncline_security_events_total", 0.0),
        ("syncline_audit_head_seq", 1.0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}\n{text}");
    }
    let (took, latency) = (
        found["syncline_run_duration_seconds{pipeline=\"test\"}"],
        found["syncline_latency_seconds{pipeline=\"test\"}"],
    );
    assert!((took - latency).abs() < 1e-9, "a first run: {took} {latency}");
    let pace = found["syncline_transfer_rows_per_minute{pipeline=\"test\"}"];
    assert!((pace - 200.0 * 60.0 / took).abs() < 1e-6 * pace, "{pace} {took}");
    assert!(!text.contains("canary") && !text.contains("run_0"), "{text}");

    // A pause, and a second run: its latency counts from the first one's start.
    let _ = curl("POST", &format!("{at}/v1/pipelines/test/trigger"), &[]).expect(202);
    wait_until("the second run ends", Duration::from_secs(60), async || {
        text = curl("GET", &format!("{at}/metrics"), &[]).text;
        samples(&text)["syncline_attempts_total{outcome=\"done\"}"] >= 4.0
            && text.contains("state=\"done-with-quarantine\"} 1")
    })
    .await;
    let found = samples(&text);
    let (took, latency) = (
        found["syncline_run_duration_seconds{pipeline=\"test\"}"],
        found["syncline_latency_seconds{pipeline=\"test\"}"],
    );
    assert!(latency > took, "{took} {latency}");
    let _ = curl("POST", &format!("{at}/v1/pipelines/test/pause"), &[]).expect(200);
    let paused = curl("GET", &format!("{at}/metrics"), &[]).text;
    assert!(paused.contains("syncline_pipeline_paused{pipeline=\"test\",by=\"person\"} 1"), "{paused}");
}

/// Every alert fires when it should and only then, names metrics that there are, and has a page to turn to.
#[test]
fn alerts_fire_when_they_should() {
    promtool(&["test", "rules", "alerts_test.yml"], "");
    let rules = std::fs::read_to_string(folder().join("alerts.yml")).unwrap();
    let source = std::fs::read_to_string(folder().join("../../coordinator/api/src/metrics.rs")).unwrap();
    let page = std::fs::read_to_string(folder().join("../../docs/alerts.md")).unwrap();
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter_map(|word| word.strip_prefix("syncline_")).map(str::to_owned).collect()
    };
    let used = words(&rules);
    assert!(used.len() >= 10, "{used:?}");
    for name in used {
        assert!(source.contains(&format!("\"{name}\"")), "no metric is called {name}");
    }
    let told =
        source.lines().filter_map(|line| line.trim().strip_prefix("text.family(\"")?.split('"').next());
    for name in told {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/alerts.md");
    }
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(page.contains(&format!("## {alert}\n")), "{alert} is not in docs/alerts.md");
        assert!(rules.contains(&format!("docs/alerts.md#{}\n", alert.to_lowercase())), "{alert}");
    }
}
