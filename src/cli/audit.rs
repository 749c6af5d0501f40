//! `syncline audit`: who asked for what, and whether the log still says what was written.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger::{Act, AuditEntry, AuditVerdict, Ledger};
use model::human::{ago, count};
use serde_json::json;
use service::Problem;
use service::problem::code;
use tokio_util::sync::CancellationToken;

use super::context::{Context, ledger_problem, output_problem};
use super::grid::{Column, Grid};
use super::screen::{Ink, JSON_VERSION};
use super::{DONE, INCOMPLETE, Outcome, init};
use crate::compose;

/// Entries that are read at once.
const PAGE: u32 = 1_000;
const ANCHORED_EVERY: Duration = Duration::from_secs(3_600);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The latest entries, newest first
    List {
        /// Entries listed at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Go along the chain and name the first entry that was altered, put in or taken out
    #[command(after_help = "\
The chain shows what was altered between its entries. That its end was cut off shows only what was
kept elsewhere: --head with the last line of an earlier `verify`, or of GET /v1/audit/head.")]
    Verify {
        /// Begin at this entry
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
        /// An entry that must be there as it was: its number and its hash
        #[arg(long, value_name = "N:HASH", value_parser = head)]
        head: Option<Head>,
    },
    /// Write all entries to a file, one JSON object a line
    Export {
        /// The file; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// An entry as somebody remembers it.
#[derive(Debug, Clone)]
struct Head {
    seq: u64,
    hash: String,
}

fn head(text: &str) -> Result<Head, String> {
    let parts = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash)));
    match parts {
        Some((seq, hash)) if seq > 0 && hash.len() == 64 => Ok(Head { seq, hash: hash.to_owned() }),
        _ => Err("an entry is written NUMBER:HASH, as `syncline audit verify` prints it".to_owned()),
    }
}

impl Context {
    /// Keeps in the audit log that this user asks for something, before it is done.
    pub(super) async fn audit(
        &self,
        ledger: &Ledger,
        action: &str,
        object: impl ToString,
    ) -> Result<(), Problem> {
        let act = Act {
            actor: user(),
            via: "cli".to_owned(),
            action: action.to_owned(),
            object: object.to_string(),
            detail: json!({ "host": compose::host(), "pid": std::process::id() }),
        };
        ledger.audit(&act).await.map_err(|e| ledger_problem(&e))
    }
}

/// The user of this process: the number is the system's word, the name the environment's.
fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let number = std::fs::metadata("/proc/self").map(|it| format!("uid {}", it.uid())).unwrap_or_default();
    match (name.is_empty(), number.is_empty()) {
        (true, true) => "unknown".to_owned(),
        (true, false) => number,
        (false, true) => name,
        (false, false) => format!("{name} ({number})"),
    }
}

/// Logs the last entry now and then: where logs go, whoever can write to the ledger cannot take it back.
pub(super) async fn anchor(ledger: &Ledger, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match ledger.latest_audit_entries(1).await {
            Ok(latest) => {
                if let Some(AuditEntry { seq, hash, .. }) = latest.first() {
                    tracing::info!(head = format!("{seq}:{hash}"), "audit log");
                }
            }
            Err(error) => tracing::debug!(error = %error, "the audit log could not be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(ANCHORED_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let ledger = context.existing_ledger().await?;
    match &args.what {
        What::List { limit } => list(context, &ledger, *limit).await,
        What::Verify { from, head } => verify(context, &ledger, *from, head.as_ref()).await,
        What::Export { out } => export(context, &ledger, out).await,
    }
}

async fn list(context: &Context, ledger: &Ledger, limit: u32) -> Outcome {
    let screen = &context.screen;
    let entries = ledger.latest_audit_entries(limit).await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    if screen.json {
        entries.iter().for_each(|entry| screen.event("audit", &as_json(entry)));
        return Ok(DONE);
    }
    if entries.is_empty() {
        screen.say("nobody asked for anything yet");
        return Ok(DONE);
    }
    let mut grid = Grid::new(&[
        Column::number("entry"),
        Column::number("when"),
        Column::text("who"),
        Column::text("by"),
        Column::text("what"),
    ]);
    for AuditEntry { seq, at_ms, act, .. } in &entries {
        let refused = act.detail.get("refused").map(|_| Ink::Warn);
        grid.inked_row([
            (count(*seq), None),
            (ago(now - at_ms), None),
            (act.actor.clone(), None),
            (act.via.clone(), None),
            (act.words(), refused),
        ]);
    }
    grid.print(screen);
    Ok(DONE)
}

fn as_json(AuditEntry { seq, at_ms, act, is_keyed, hash }: &AuditEntry) -> serde_json::Value {
    json!({
        "seq": seq, "at_ms": at_ms, "actor": act.actor, "via": act.via, "action": act.action, "object": act.object,
        "detail": act.detail, "keyed": is_keyed, "hash": hash,
    })
}

async fn verify(context: &Context, ledger: &Ledger, from: u64, head: Option<&Head>) -> Outcome {
    let mut verdict = ledger.verify_audit(from).await.map_err(|e| ledger_problem(&e))?;
    if let (Some(head), None) = (head, verdict.broken) {
        let there = ledger.audit_entries(head.seq - 1, 1).await.map_err(|e| ledger_problem(&e))?;
        if there.first().is_none_or(|entry| (entry.seq, &entry.hash) != (head.seq, &head.hash)) {
            verdict.broken = Some((head.seq, "it is not the one that --head names"));
        }
    }
    told(context, &verdict);
    match &verdict {
        AuditVerdict { broken: Some((seq, why)), .. } => {
            let next = "compare the ledger with a copy of it, and ask who may write to its database";
            Err(Problem::new(code::AUDIT_BROKEN, format!("entry {seq}: {why}"), next))
        }
        AuditVerdict { unchecked: 0, .. } => Ok(DONE),
        AuditVerdict { .. } => Ok(INCOMPLETE),
    }
}

fn told(context: &Context, verdict: &AuditVerdict) {
    let screen = &context.screen;
    let AuditVerdict { checked, unchecked, broken, head } = verdict;
    if screen.json {
        let head = head.as_ref().map(|(seq, hash)| json!({ "seq": seq, "hash": hash }));
        let broken = broken.map(|(seq, why)| json!({ "seq": seq, "why": why }));
        screen.event(
            "audit-verified",
            &json!({ "checked": checked, "unchecked": unchecked, "broken": broken, "head": head }),
        );
        return;
    }
    if broken.is_none() {
        screen.print(format!("{} {}", screen.ink(Ink::Good, "ok"), entries(*checked)));
    }
    if *unchecked > 0 {
        screen.warn(format!("{} made with a key: set SYNCLINE_AUDIT_KEY to check them", entries(*unchecked)));
    }
    if let Some((seq, hash)) = head {
        screen.print(format!("{seq}:{hash}"));
    }
}

fn entries(n: u64) -> String {
    format!("{} {}", count(n), if n == 1 { "entry" } else { "entries" })
}

async fn export(context: &Context, ledger: &Ledger, out: &Path) -> Outcome {
    let mut file = std::io::BufWriter::new(init::new_file(out)?);
    let (mut after, mut written) = (0, 0);
    loop {
        let page = ledger.audit_entries(after, PAGE).await.map_err(|e| ledger_problem(&e))?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in &page {
            let mut line = as_json(entry);
            line["v"] = JSON_VERSION.into();
            writeln!(file, "{line}").map_err(|e| output_problem(out, &e))?;
            written += 1;
        }
    }
    file.flush().map_err(|e| output_problem(out, &e))?;
    let screen = &context.screen;
    if screen.json {
        screen.event("exported", &json!({ "file": out, "entries": written }));
    } else {
        screen.say(format!("{} written to {}", entries(written), out.display()));
    }
    Ok(DONE)
}
