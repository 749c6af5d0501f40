//! Tells people how runs ended: one message for each incident and rule, and one when it is over.
//!
//! Nothing depends on what is remembered here: which runs ended stands in the ledger, and so does which messages were
//! raised and taken.
//! Killed at any point, the next one goes on; several beside each other send each message once, unless one dies between
//! sending it and saying so.

mod anomaly;
mod incident;
mod message;
mod send;

use std::collections::HashSet;
use std::time::Duration;

use anomaly::Figures;
use incident::Event;
use ledger::{Alert, Ledger, NewAlert, Run};
use model::RunId;
use model::alert::{AlertRule, Occasion};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use message::test;
pub use send::{Resolve, Sender};

/// Between looks at the ledger.
const EVERY: Duration = Duration::from_secs(1);
/// Runs looked at, the latest.
const RUNS: u32 = 100;
/// Ends that are longer ago are no news.
const NEWS_MS: i64 = 24 * 3_600_000;
/// Messages sent between two looks.
const AT_ONCE: u32 = 20;
/// Tries; with the waits between, about a day.
const TRIES_MAX: u32 = 30;
/// The first wait, doubled for each one after.
const AGAIN_MS: i64 = 2_000;
const AGAIN_MS_MAX: i64 = 3_600_000;

/// What was looked at already.
#[derive(Default)]
struct Known {
    /// Messages that were raised: run, event and rule.
    raised: HashSet<(RunId, &'static str, u32)>,
    /// Runs whose figures were looked at.
    judged: HashSet<RunId>,
}

/// Raises and sends messages until `stop` is.
pub async fn run(ledger: &Ledger, sender: &Sender, stop: &CancellationToken) {
    let mut known = Known::default();
    while !stop.is_cancelled() {
        // What cannot be done now is done at the next look.
        if let Err(error) = raise(ledger, &mut known).await {
            debug!(error = %error, "alerts not looked for");
        }
        if let Err(error) = deliver(ledger, sender, stop).await {
            debug!(error = %error, "alerts not sent");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Raises a message for each end of a run that is news to somebody. Called again, it raises none.
async fn raise(ledger: &Ledger, known: &mut Known) -> ledger::Result<()> {
    let runs = ledger.runs(RUNS).await?;
    let is_there = |id: RunId| runs.iter().any(|run| run.id == id);
    known.raised.retain(|(id, ..)| is_there(*id));
    known.judged.retain(|id| is_there(*id));
    let now = ledger.now_ms().await?;
    let is_news =
        |run: &&Run| !run.spec.alerts.is_empty() && run.ended_ms.is_some_and(|ended| now - ended < NEWS_MS);
    let mut figures = Figures::of(ledger, &runs);
    // As it happened: the earliest first.
    for run in runs.iter().rev().filter(is_news) {
        let before = incident::before(run, &runs);
        let by_state = incident::event(run, before);
        if let Some(event) = by_state {
            tell(ledger, known, run, (event, None), None).await?;
        }
        if known.judged.contains(&run.id) {
            continue;
        }
        if let Some(told) = by_figures(&mut figures, run, before).await? {
            // Whoever was told that rows are in quarantine need not be told that they are many.
            let quarantine = Occasion::DoneWithQuarantine;
            let but = (by_state == Some(Event::Began(quarantine))).then_some(quarantine);
            tell(ledger, known, run, told, but).await?;
        }
        known.judged.insert(run.id);
    }
    Ok(())
}

/// What the figures of a run tell, if anybody wants to know.
async fn by_figures(
    figures: &mut Figures<'_>,
    run: &Run,
    before: Option<&Run>,
) -> ledger::Result<Option<(Event, Option<String>)>> {
    let is_wanted = run.spec.alerts.iter().any(|rule| rule.on.contains(&Occasion::Anomaly));
    if !is_wanted || !anomaly::can_be(run) {
        return Ok(None);
    }
    let now = figures.unusual(run).await?;
    let before = match before {
        Some(before) => figures.unusual(before).await?,
        None => None,
    };
    Ok(incident::of_figures(now.as_deref(), before.as_deref()).map(|event| (event, now)))
}

/// Raises the message for each rule that wants it, and does not want `but`.
async fn tell(
    ledger: &Ledger,
    known: &mut Known,
    run: &Run,
    (event, why): (Event, Option<String>),
    but: Option<Occasion>,
) -> ledger::Result<()> {
    let wants = |rule: &AlertRule| event.concerns(rule) && !but.is_some_and(|but| rule.on.contains(&but));
    for (rule, _) in (0_u32..).zip(&run.spec.alerts).filter(|(_, rule)| wants(rule)) {
        if known.raised.contains(&(run.id, event.name(), rule)) {
            continue;
        }
        let Some(record) = ledger.record(run.id).await? else { continue };
        let body = message::body(run, &record, event, why.as_deref());
        let id = format!("{}:{}:{rule}", run.id, event.name());
        if ledger.raise_alert(&NewAlert { id, run: run.id, rule, body }).await? {
            info!(run = %run.id, spec = run.spec.name, event = event.name(), "somebody is to be told");
        }
        known.raised.insert((run.id, event.name(), rule));
    }
    Ok(())
}

async fn deliver(ledger: &Ledger, sender: &Sender, stop: &CancellationToken) -> ledger::Result<()> {
    for alert in ledger.due_alerts(AT_ONCE).await? {
        if stop.is_cancelled() {
            break;
        }
        if ledger.take_alert(&alert).await? {
            deliver_one(ledger, sender, &alert).await?;
        }
    }
    Ok(())
}

async fn deliver_one(ledger: &Ledger, sender: &Sender, alert: &Alert) -> ledger::Result<()> {
    let run = ledger.run(alert.run).await?;
    let rule = run.as_ref().and_then(|run| run.spec.alerts.get(usize::try_from(alert.rule).ok()?));
    let sent = match rule {
        Some(rule) => sender.send(&rule.channel, &alert.id, &alert.body).await,
        None => Err("the run or its rule is gone".to_owned()),
    };
    match sent {
        Ok(()) => {
            info!(alert = alert.id, "told");
            ledger.alert_sent(&alert.id).await
        }
        Err(reason) => {
            let tries = alert.tries + 1;
            let again = (tries < TRIES_MAX && rule.is_some()).then(|| wait_ms(tries));
            warn!(alert = alert.id, tries, gives_up = again.is_none(), "nobody was told: {reason}");
            ledger.alert_failed(&alert.id, &reason, again).await
        }
    }
}

fn wait_ms(tries: u32) -> i64 {
    let doubled = 2_i64.checked_pow(tries.saturating_sub(1)).and_then(|times| AGAIN_MS.checked_mul(times));
    doubled.unwrap_or(AGAIN_MS_MAX).min(AGAIN_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_last_for_about_a_day() {
        let all: i64 = (1..TRIES_MAX).map(wait_ms).sum();
        assert!((NEWS_MS * 3 / 4..NEWS_MS * 5 / 4).contains(&all), "{all}");
        assert_eq!((wait_ms(1), wait_ms(2), wait_ms(60)), (2_000, 4_000, AGAIN_MS_MAX));
    }
}
