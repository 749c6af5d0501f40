//! When a spec runs by itself.

use model::schedule::{IfRunning, Missed, Schedule, ScheduleError, When};

use super::form::{At, Form};
use super::raw::RawSchedule;
use super::units::parse_millis;
use super::validate::Findings;
use crate::problem::code;

/// From start to start, in seconds.
const EVERY_S: std::ops::RangeInclusive<u64> = 1..=366 * 86_400;

pub(super) fn schedule(given: &At<Form<RawSchedule>>, findings: &mut Findings<'_>) -> Option<Schedule> {
    let raw = match &given.value {
        Form::Text(text) => {
            let when = every(&At::new(text.clone(), given.place), findings)?;
            return Some(Schedule { when, if_running: IfRunning::default(), missed: Missed::default() });
        }
        Form::Map(raw) => raw,
        Form::List(_) => return None,
    };
    let when = match (&raw.every, &raw.cron) {
        (Some(text), None) => every(text, findings),
        (None, Some(expression)) => cron(expression, raw.timezone.as_ref(), findings),
        (Some(_), Some(_)) | (None, None) => {
            let help = "write `every: 15m`, or `cron: \"0 1 * * *\"`";
            findings.refuse(code::BAD_SCHEDULE, "a schedule is one of `every` and `cron`", given.place, help);
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
    Some(Schedule {
        when: when?,
        if_running: if_running.flatten().unwrap_or_default(),
        missed: missed.flatten().unwrap_or_default(),
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

fn cron(expression: &At<String>, zone: Option<&At<String>>, findings: &mut Findings<'_>) -> Option<When> {
    let when = When::Cron {
        expression: expression.value.clone(),
        zone: zone.map_or_else(|| "UTC".to_owned(), |zone| zone.value.clone()),
    };
    let schedule = Schedule { when, if_running: IfRunning::default(), missed: Missed::default() };
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
