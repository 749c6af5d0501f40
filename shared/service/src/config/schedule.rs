//! When a spec runs by itself.

use model::RunKind;
use model::schedule::{IfRunning, Missed, Schedule, ScheduleError, When};

use super::form::{At, Form};
use super::raw::RawSchedule;
use super::units::parse_millis;
use super::validate::{Findings, is_name};
use crate::problem::code;

/// From start to start, in seconds.
const EVERY_S: std::ops::RangeInclusive<u64> = 1..=366 * 86_400;

pub(super) fn schedule(
    given: &At<Form<RawSchedule>>,
    name: &str,
    findings: &mut Findings<'_>,
) -> Option<Schedule> {
    let raw = match &given.value {
        Form::Text(text) => {
            let when = every(&At::new(text.clone(), given.place), findings)?;
            return Some(Schedule::of(when));
        }
        Form::Map(raw) => raw,
        Form::List(_) => return None,
    };
    let when = match (&raw.every, &raw.cron, &raw.after) {
        (Some(text), None, None) => every(text, findings),
        (None, Some(expression), None) => cron(expression, raw.timezone.as_ref(), findings),
        (None, None, Some(before)) => after(before, name, raw, findings),
        _ => {
            let help = "write `every: 15m`, `cron: \"0 1 * * *\"`, or `after: other-pipeline`";
            let message = "a schedule is one of `every`, `cron` and `after`";
            findings.refuse(code::BAD_SCHEDULE, message, given.place, help);
            None
        }
    };
    if let (Some(zone), None) = (&raw.timezone, &raw.cron) {
        let help = "remove it: an interval is the same in all zones";
        findings.refuse(code::BAD_SCHEDULE, "`timezone` stands beside `cron` only", zone.place, help);
    }
    let running = [("skip", IfRunning::Skip), ("queue", IfRunning::Queue)];
    let missed = [("once", Missed::Once), ("skip", Missed::Skip)];
    let if_running = raw.if_running.as_ref().map(|g| findings.choose(code::UNKNOWN_CHOICE, g, &running));
    let missed = raw.missed.as_ref().map(|g| findings.choose(code::UNKNOWN_CHOICE, g, &missed));
    let jobs = [("copy", RunKind::Copy), ("verify", RunKind::Verify)];
    let run = raw.run.as_ref().map(|given| findings.choose(code::UNKNOWN_CHOICE, given, &jobs));
    Some(Schedule {
        when: when?,
        if_running: if_running.flatten().unwrap_or_default(),
        missed: missed.flatten().unwrap_or_default(),
        run: run.flatten().unwrap_or_default(),
    })
}

fn every(text: &At<String>, findings: &mut Findings<'_>) -> Option<When> {
    let seconds = parse_millis(&text.value).map(|millis| millis / 1_000).filter(|s| EVERY_S.contains(s));
    if seconds.is_none() {
        let help = "a time from start to start, of a second or more: 15m, 1h, 24h";
        findings.refuse(code::BAD_SCHEDULE, "not an interval", text.place, help);
    }
    seconds.map(When::Every)
}

/// A start that is due while the run before is under way, or nobody is there, comes later: there is nothing to choose.
fn after(before: &At<String>, name: &str, raw: &RawSchedule, findings: &mut Findings<'_>) -> Option<When> {
    if before.value == name || !is_name(&before.value) {
        let help = "name another pipeline: the `name` of its spec";
        findings.refuse(code::BAD_SCHEDULE, "not a pipeline to run after", before.place, help);
        return None;
    }
    for choice in [&raw.if_running, &raw.missed].into_iter().flatten() {
        let message =
            "`if_running` and `missed` are for times: what runs after another comes as soon as it can";
        findings.refuse(code::BAD_SCHEDULE, message, choice.place, "remove it");
    }
    Some(When::After(before.value.clone()))
}

fn cron(expression: &At<String>, zone: Option<&At<String>>, findings: &mut Findings<'_>) -> Option<When> {
    let when = When::Cron {
        expression: expression.value.clone(),
        zone: zone.map_or_else(|| "UTC".to_owned(), |zone| zone.value.clone()),
    };
    let schedule = Schedule::of(when);
    let (error, place) = match schedule.next_after(0) {
        Ok(_) => return Some(schedule.when),
        Err(error @ ScheduleError::Zone) => (error, zone.map_or(expression.place, |zone| zone.place)),
        Err(error) => (error, expression.place),
    };
    let help = match error {
        ScheduleError::Zone => "see `timedatectl list-timezones`",
        ScheduleError::Cron => "minute, hour, day of the month, month, day of the week",
        ScheduleError::Never => "there is no such day",
    };
    findings.refuse(code::BAD_SCHEDULE, error.to_string(), place, help);
    None
}
