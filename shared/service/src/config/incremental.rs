//! Incremental tables: what tells changes, and how far back each run looks.

use model::TableSpec;
use model::spec::Mode;
use model::watermark::{Incremental, OVERLAP_MS, Zone};

use super::form::{At, Form};
use super::raw::{RawIncremental, RawTable};
use super::validate::Findings;
use crate::problem::code;

/// Rows that are gone are looked for once in so many milliseconds.
const SWEEP_EVERY_MS: u64 = 24 * 3_600_000;
/// A zone is not further from UTC.
const AHEAD_MAX_MINUTES: i32 = 14 * 60;

pub(super) fn incremental(
    given: &At<Form<RawIncremental>>,
    findings: &mut Findings<'_>,
) -> Option<Incremental> {
    let (column, raw) = match &given.value {
        Form::Text(column) => (At::new(column.clone(), given.place), None),
        Form::Map(raw) => (raw.column.clone(), Some(raw)),
        Form::List(_) => return None,
    };
    if column.value.trim().is_empty() {
        let help = "name the column that rises with every change";
        findings.refuse(code::BAD_COLUMNS, "`incremental` names no column", column.place, help);
        return None;
    }
    let millis = |given: Option<&At<String>>, fallback: u64, findings: &mut Findings<'_>| {
        given.and_then(|given| findings.millis(given, "a number and a unit: 60s, 24h")).unwrap_or(fallback)
    };
    let missing = raw.and_then(|raw| raw.if_missing.as_ref());
    let choices = [("refuse", false), ("read-all", true)];
    let optional = missing.and_then(|given| findings.choose(code::UNKNOWN_CHOICE, given, &choices));
    let ways = [("watched", true), ("trusted", false)];
    let late = raw.and_then(|raw| raw.late_commits.as_ref());
    Some(Incremental {
        column: column.value,
        optional: optional.unwrap_or(false),
        overlap_ms: millis(raw.and_then(|raw| raw.overlap.as_ref()), OVERLAP_MS, findings),
        zone: raw
            .and_then(|raw| raw.zone.as_ref())
            .and_then(|given| zone(given, findings))
            .unwrap_or(Zone::Server),
        watched: late.and_then(|given| findings.choose(code::UNKNOWN_CHOICE, given, &ways)).unwrap_or(true),
        sweep_every_ms: millis(raw.and_then(|raw| raw.sweep_every.as_ref()), SWEEP_EVERY_MS, findings),
    })
}

/// `UTC`, `server`, or so far ahead of UTC: `+02:00`.
fn zone(given: &At<String>, findings: &mut Findings<'_>) -> Option<Zone> {
    let found = match given.value.as_str() {
        "server" => Some(Zone::Server),
        "UTC" | "utc" | "Z" => Some(Zone::Ahead(0)),
        other => ahead(other).map(Zone::Ahead),
    };
    if found.is_none() {
        findings.refuse(
            code::BAD_LIMIT,
            "not a zone",
            given.place,
            "use UTC, server, or a distance such as +02:00",
        );
    }
    found
}

/// Seconds that `±HH:MM` is ahead.
fn ahead(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| if text.len() == 2 { text.parse::<u8>().ok() } else { None };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = i32::from(hours) * 60 + i32::from(minutes);
    if minutes < 60 && all <= AHEAD_MAX_MINUTES { Some(sign * all * 60) } else { None }
}

pub(super) fn check_incremental(raw: &RawTable, table: &TableSpec, findings: &mut Findings<'_>) {
    let (Some(given), Some(incremental)) = (&raw.incremental, &table.incremental) else { return };
    if table.exclude.contains(&incremental.column) {
        let message = format!("`{}` tells changes and is excluded", incremental.column);
        findings.refuse(code::BAD_COLUMNS, message, given.place, "take it out of `exclude`");
    }
    if let (Form::Map(RawIncremental { sweep_every: Some(sweep), .. }), Mode::Merge | Mode::InsertOnly) =
        (&given.value, table.mode)
    {
        let message = "`sweep_every` is for mode mirror: no other deletes rows";
        findings.refuse(code::UNKNOWN_CHOICE, message, sweep.place, "remove it, or use `mode: mirror`");
    }
    if let (Form::Map(RawIncremental { overlap: Some(overlap), .. }), false) =
        (&given.value, incremental.watched)
        && incremental.overlap_ms < OVERLAP_MS
    {
        let message = "an overlap that must cover late commits is at least 60s";
        findings.refuse(code::BAD_LIMIT, message, overlap.place, "use 60s or more, better an hour");
    }
}
