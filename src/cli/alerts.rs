//! `syncline alerts`: messages to people about runs, and whether they arrive.

use std::path::PathBuf;

use clap::Subcommand;
use ledger::Alert;
use model::human::{ago, counted};
use serde_json::json;
use service::Problem;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome};
use crate::compose;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List messages: sent, waiting, or given up
    List {
        /// Messages listed at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Send a message to each address of a spec now, to see that it arrives
    Test {
        /// The spec file; without one the pipeline that MYSQL_*, MONGODB_* and SYNC_* describe
        #[arg(default_value = super::context::ENVIRONMENT, hide_default_value = true)]
        spec: PathBuf,
    },
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    match args.what {
        What::List { limit } => list(context, limit).await,
        What::Test { spec } => test(context, &spec).await,
    }
}

async fn list(context: &Context, limit: u32) -> Outcome {
    let screen = &context.screen;
    let ledger = context.existing_ledger().await?;
    let all = ledger.alerts(limit).await.map_err(|e| ledger_problem(&e))?;
    let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
    if screen.json {
        for alert in &all {
            screen.event("alert", &as_json(alert));
        }
        return Ok(DONE);
    }
    if all.is_empty() {
        screen.say("nobody was told anything");
        return Ok(DONE);
    }
    let mut grid = Grid::new(&[
        Column::number("when"),
        Column::text("spec"),
        Column::text("what"),
        Column::text("run"),
        Column::text("state"),
        Column::number("tries"),
        Column::text("why not"),
    ]);
    for alert in &all {
        let of = |field: &str| alert.body[field].as_str().unwrap_or("–").to_owned();
        let (state, ink) = state(alert);
        grid.inked_row([
            (ago(now - alert.raised_ms), None),
            (of("spec"), None),
            (of("event"), None),
            (alert.run.to_string(), None),
            (state.to_owned(), Some(ink)),
            (alert.tries.to_string(), None),
            (alert.error.clone().unwrap_or_default(), None),
        ]);
    }
    grid.print(screen);
    Ok(DONE)
}

const fn state(alert: &Alert) -> (&'static str, Ink) {
    match (alert.sent_ms, alert.given_up_ms) {
        (Some(_), _) => ("sent", Ink::Good),
        (None, Some(_)) => ("given up", Ink::Bad),
        (None, None) => ("waits", Ink::Warn),
    }
}

fn as_json(alert: &Alert) -> serde_json::Value {
    json!({
        "id": alert.id, "run": alert.run, "rule": alert.rule, "state": state(alert).0, "tries": alert.tries,
        "raised_ms": alert.raised_ms, "sent_ms": alert.sent_ms, "given_up_ms": alert.given_up_ms,
        "error": alert.error, "body": alert.body,
    })
}

async fn test(context: &Context, path: &std::path::Path) -> Outcome {
    let spec = context.load_spec(path)?.spec;
    if spec.alerts.is_empty() {
        let detail = format!("`{}` tells nobody", spec.name);
        let next = "write `alerts: [{ slack: \"${env:SLACK_URL}\" }]` into it";
        return Err(Problem::new(code::BAD_SETTING, detail, next));
    }
    let sender = compose::alert_sender();
    let mut failed = 0;
    for (rule, alert) in spec.alerts.iter().enumerate() {
        let sent = sender.send(&alert.channel, &format!("test:{rule}"), &alerts::test(&spec.name)).await;
        let name = alert.channel.name();
        failed += u64::from(sent.is_err());
        if context.screen.json {
            let event = json!({ "rule": rule, "channel": name, "sent": sent.is_ok(), "error": sent.err() });
            context.screen.event("alert-tested", &event);
            continue;
        }
        match sent {
            Ok(()) => context.screen.print(format!("{} {name}", context.screen.ink(Ink::Good, "ok"))),
            Err(why) => context.screen.print(format!("{} {name}: {why}", context.screen.ink(Ink::Bad, "no"))),
        }
    }
    if failed > 0 {
        let detail = format!("{} not taken", counted(failed, "message"));
        let next = "correct what the reference leads to; each process resolves it by itself";
        return Err(Problem::new(code::ALERT_NOT_TAKEN, detail, next));
    }
    Ok(DONE)
}
