//! `syncline doctor`: looks at everything a run needs and says what to do about what is wrong.

use std::path::PathBuf;

use connectors::config::Role;
use connectors::{Connections, ServerInfo};
use coordinator::PlanError;
use ledger::LedgerUrl;
use model::{ConnectionSpec, RunKind};
use serde_json::json;
use service::Problem;

use super::context::{Context, ledger_problem, plan_problem};
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome};
use crate::compose;
use crate::fleet::{self, Skew};
use model::human::{counted, millis};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The spec file; without it only ledger and queue are looked at
    spec: Option<PathBuf>,
}

/// One thing that was looked at.
struct Finding {
    what: String,
    verdict: Verdict,
    text: String,
    next: String,
}

enum Verdict {
    Ok,
    Warn,
    /// With the exit code that a run would end with.
    Fail(u8),
}

impl Finding {
    fn ok(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Ok, text: text.into(), next: String::new() }
    }

    fn warn(what: impl Into<String>, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Warn, text: text.into(), next: next.into() }
    }

    fn fail(what: impl Into<String>, problem: &Problem) -> Self {
        let text = match problem.detail.as_str() {
            "" => problem.title.clone(),
            detail => format!("{}: {detail}", problem.title),
        };
        Self { what: what.into(), verdict: Verdict::Fail(problem.exit), text, next: problem.next.clone() }
    }
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let mut findings = Vec::new();
    if let Some(path) = &args.spec {
        let loaded = context.load_spec_quietly(path)?;
        findings.push(Finding::ok("spec", format!("{} is valid", path.display())));
        findings.extend(
            loaded.warnings.iter().map(|text| Finding::warn("spec", text, "syncline check --strict")),
        );
        let connections = compose::connections(&[&loaded.spec], 1);
        let (source, target) = tokio::join!(
            database("source", &loaded.spec.source, Role::Source, &connections),
            database("target", &loaded.spec.target, Role::Target, &connections),
        );
        let reachable = source.1 && target.1;
        findings.extend(source.0);
        findings.extend(target.0);
        if reachable {
            findings.push(match coordinator::plan_run(&loaded.spec, RunKind::Copy, &connections).await {
                Ok(planned) => Finding::ok(
                    "tables",
                    format!("{} can be planned", counted(planned.tables.len() as u64, "table")),
                ),
                Err(error) => Finding::fail("tables", &plan_problem(&error)),
            });
        }
    }
    findings.extend(ledger_and_queue(context).await);
    report(context, &findings);
    let worst = findings.iter().map(|f| if let Verdict::Fail(exit) = f.verdict { exit } else { DONE }).max();
    Ok(worst.unwrap_or(DONE))
}

/// What a database says about itself, and whether it could be reached.
async fn database(
    name: &str,
    spec: &ConnectionSpec,
    role: Role,
    connections: &Connections,
) -> (Vec<Finding>, bool) {
    if let Err(error) = service::resolve_password(spec) {
        return (vec![Finding::fail(name, &Problem::from(&error))], false);
    }
    let asked = match connections.get(spec, role) {
        Ok(database) => database.server().await,
        Err(error) => Err(error),
    };
    match asked {
        Err(error) => (vec![Finding::fail(name, &plan_problem(&PlanError::from(error)))], false),
        Ok(info) => (server(name, spec, role, &info), true),
    }
}

fn server(name: &str, spec: &ConnectionSpec, role: Role, info: &ServerInfo) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(name, format!("{} at {}", info.version, spec.address()))];
    match info.encrypted {
        None => {}
        Some(true) => findings.push(Finding::ok(format!("{name} TLS"), "the connection is encrypted")),
        Some(false) if is_local(spec) => {
            findings.push(Finding::ok(format!("{name} TLS"), "plain text, on this machine only"));
        }
        Some(false) => findings.push(Finding::warn(
            format!("{name} TLS"),
            "rows and log-in cross the network in plain text",
            "set `tls: verify` in the spec",
        )),
    }
    if role == Role::Target {
        findings.push(if info.writable {
            Finding::ok("target writes", "the target takes writes")
        } else {
            Finding::fail("target writes", &Problem::of_kind(model::ErrorKind::ReadOnly, spec.address()))
        });
    }
    findings.extend(info.notes.iter().map(|note| Finding::warn(name, note, "see the note")));
    findings
}

fn is_local(spec: &ConnectionSpec) -> bool {
    matches!(spec.host.as_deref(), None | Some("localhost" | "127.0.0.1" | "::1"))
}

async fn ledger_and_queue(context: &Context) -> Vec<Finding> {
    let url = match context.ledger_url() {
        Ok(url) => url,
        Err(problem) => return vec![Finding::fail("ledger", &problem)],
    };
    if let LedgerUrl::Sqlite(path) = &url
        && !path.exists()
    {
        return vec![Finding::ok("ledger", format!("{url} will be made by the first run"))];
    }
    let ledger = match context.ledger().await {
        Ok(ledger) => ledger,
        Err(problem) => return vec![Finding::fail("ledger", &problem)],
    };
    let mut findings = vec![Finding::ok("ledger", ledger.address().to_owned())];
    match fleet::ledger_skew(&ledger).await {
        Ok(skew) => findings.push(clock("ledger clock", skew)),
        Err(error) => findings.push(Finding::fail("ledger clock", &ledger_problem(&error))),
    }
    if fleet::is_set() {
        // What the access rule of Redis must name, told before anything there is allowed.
        findings.push(Finding::ok("queue keys", format!("{{syncline:{}}}:*", ledger.install())));
        findings.extend(queue(&ledger).await);
    }
    if url.is_shared() {
        findings.push(workers(&ledger).await);
    }
    if url.is_shared() || fleet::is_set() {
        findings.push(security(&ledger).await);
    }
    findings
}

fn clock(what: &str, skew: Skew) -> Finding {
    let text = format!("{} from this machine's", millis(skew.ms.abs()));
    if skew.is_too_much() {
        return Finding::fail(what, &fleet::skewed("its", skew));
    }
    if skew.ms.abs() > 1_000 {
        return Finding::warn(what, text, "synchronise the clocks, for instance with chrony");
    }
    Finding::ok(what, text)
}

async fn queue(ledger: &ledger::Ledger) -> Vec<Finding> {
    let checked = async {
        let queue = fleet::open_queue(ledger, fleet::settings()?, worker::LEASE).await?;
        queue.probe().await.map_err(|error| fleet::queue_problem(&error))?;
        queue.check().await.map_err(|error| fleet::queue_problem(&error))
    };
    let info = match checked.await {
        Ok(info) => info,
        Err(problem) => return vec![Finding::fail("queue", &problem)],
    };
    let version = info.version.clone().unwrap_or_else(|| "version unknown".to_owned());
    let mut findings = vec![Finding::ok("queue", format!("{} {version}", info.backend))];
    findings.extend(fleet::queue_skew(&info).map(|skew| clock("queue clock", skew)));
    let policy = info.maxmemory_policy.clone().unwrap_or_else(|| "unknown".to_owned());
    findings.push(match (info.may_evict(), fleet::evicting(&info)) {
        (_, Some(problem)) => Finding::fail("queue memory", &problem),
        (Some(_), None) => Finding::ok("queue memory", format!("maxmemory-policy {policy}")),
        (None, None) => Finding::warn(
            "queue memory",
            "the user may not ask for maxmemory-policy",
            "make sure it is noeviction, or grant +info",
        ),
    });
    findings.push(match info.is_appending {
        Some(true) => Finding::ok("queue disk", "an append-only file keeps the jobs"),
        Some(false) => Finding::warn(
            "queue disk",
            fleet::FORGETS,
            "redis-cli config set appendonly yes, if seconds matter",
        ),
        None => Finding::warn(
            "queue disk",
            "the user may not ask whether jobs are kept",
            "make sure appendonly is yes, or grant +info",
        ),
    });
    findings
}

async fn workers(ledger: &ledger::Ledger) -> Finding {
    let (workers, now) = match (ledger.workers().await, ledger.now_ms().await) {
        (Ok(workers), Ok(now)) => (workers, now),
        (Err(error), _) | (_, Err(error)) => return Finding::fail("workers", &ledger_problem(&error)),
    };
    match workers.iter().filter(|worker| compose::is_alive(worker, now)).count() as u64 {
        0 => Finding::warn("workers", "none is alive", "syncline worker"),
        alive => Finding::ok("workers", format!("{} alive", counted(alive, "worker"))),
    }
}

async fn security(ledger: &ledger::Ledger) -> Finding {
    match ledger.security_count().await {
        Ok(0) => Finding::ok("security", "no job was ever refused"),
        Ok(count) => Finding::warn(
            "security",
            format!("{} not believed so far", counted(count, "job")),
            "syncline security",
        ),
        Err(error) => Finding::fail("security", &ledger_problem(&error)),
    }
}

fn report(context: &Context, findings: &[Finding]) {
    let screen = &context.screen;
    let mut grid = Grid::new(&[Column::text(""), Column::text("what"), Column::text("finding")]);
    for finding in findings {
        let (word, ink) = match finding.verdict {
            Verdict::Ok => ("ok", Ink::Good),
            Verdict::Warn => ("warn", Ink::Warn),
            Verdict::Fail(_) => ("fail", Ink::Bad),
        };
        if screen.json {
            screen.event(
                "check",
                &json!({
                    "what": finding.what, "verdict": word, "finding": finding.text, "next": finding.next,
                }),
            );
            continue;
        }
        grid.inked_row([
            (word.to_owned(), Some(ink)),
            (finding.what.clone(), None),
            (finding.text.clone(), None),
        ]);
        if !finding.next.is_empty() {
            grid.inked_row([
                (String::new(), None),
                (String::new(), None),
                (format!("next: {}", finding.next), Some(Ink::Name)),
            ]);
        }
    }
    if !screen.json {
        grid.print(screen);
    }
}
