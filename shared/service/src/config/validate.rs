//! Raw → model. Every problem is noted and the rest is checked on, so that one reading shows them all.

use std::ops::RangeInclusive;

use model::limits::{Brake, BrakeAt, Gauge};
use model::spec::ChunkLimits;
use model::{Limits, RetryPolicy, RunSpec};

use super::LoadedSpec;
use super::error::SpecProblem;
use super::form::{At, Place};
use super::parse::suggest;
use super::raw::{RawBrake, RawChunk, RawLimits, RawRetry, RawSpec};
use super::units::{parse_byte_rate, parse_millis, parse_row_rate, parse_size};
use crate::problem::{Page, code};
use crate::secret::Variables;

/// Bytes a chunk may aim at: less wastes round trips, more would not fit a worker's memory.
const TARGET_BYTES: std::ops::RangeInclusive<u64> = 1024..=64 * 1024 * 1024;
/// Milliseconds a chunk may aim at: it must end well within a lease.
const TARGET_MILLIS: std::ops::RangeInclusive<u64> = 1..=20_000;
const ROWS_MAX: std::ops::RangeInclusive<u64> = 1..=100_000;
const NAME_CHARS_MAX: usize = 63;

/// What was found so far.
pub(super) struct Findings<'a> {
    pub problems: Vec<SpecProblem>,
    pub warnings: Vec<String>,
    pub variables: Variables<'a>,
}

impl Findings<'_> {
    pub(super) fn refuse(
        &mut self,
        page: &'static Page,
        message: impl Into<String>,
        place: Place,
        help: &str,
    ) {
        self.problems.push(SpecProblem::new(page, message, place).help(help));
    }

    /// A number within these limits; `key` is for the message.
    pub(super) fn number<T>(&mut self, given: &At<u64>, limits: RangeInclusive<u64>, key: &str) -> Option<T>
    where
        T: TryFrom<u64>,
    {
        if !limits.contains(&given.value) {
            let help = format!("use {} to {}", limits.start(), limits.end());
            self.refuse(code::BAD_LIMIT, format!("{key} is out of range"), given.place, &help);
            return None;
        }
        T::try_from(given.value).ok()
    }

    /// A duration in milliseconds.
    pub(super) fn millis(&mut self, given: &At<String>, help: &str) -> Option<u64> {
        let millis = parse_millis(&given.value);
        if millis.is_none() {
            self.refuse(code::BAD_DURATION, "not a duration", given.place, help);
        }
        millis
    }

    /// The choice with this name; `kind` is for the message.
    pub(super) fn choose<T: Copy>(
        &mut self,
        page: &'static Page,
        given: &At<String>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = choices.iter().find(|(name, _choice)| *name == given.value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _choice)| *name).collect();
            self.refuse(
                page,
                format!("{} `{}`", page.title, given.value),
                given.place,
                &suggest(&given.value, &names),
            );
        }
        found.map(|(_name, choice)| *choice)
    }
}

pub(super) fn validate(raw: &RawSpec, variables: Variables<'_>) -> Result<LoadedSpec, Vec<SpecProblem>> {
    let mut findings = Findings { problems: Vec::new(), warnings: Vec::new(), variables };
    check_version(&raw.version, &mut findings);
    check_name(&raw.name, &mut findings);
    let source = super::connection::connection(&raw.source, "source", &mut findings);
    let target = super::connection::connection(&raw.target, "target", &mut findings);
    let chunk = raw.defaults.as_ref().and_then(|defaults| defaults.chunk.as_ref());
    let chunk = chunk.map_or_else(ChunkLimits::default, |chunk| chunk_limits(chunk, &mut findings));
    let limits = raw.limits.as_ref().map_or_else(Limits::default, |raw| limits(raw, &mut findings));
    let brakes = raw.brakes.iter().flatten().filter_map(|raw| brake(raw, &mut findings)).collect();
    let schedule = raw
        .schedule
        .as_ref()
        .and_then(|given| super::schedule::schedule(given, &raw.name.value, &mut findings));
    let retry = raw.retry.as_ref().map_or_else(RetryPolicy::default, |raw| retry(raw, &mut findings));
    let alerts =
        raw.alerts.iter().flatten().filter_map(|raw| super::alerts::rule(raw, &mut findings)).collect();
    let is_default = raw.default.as_ref().is_some_and(|given| given.value);
    let tables = super::tables::tables(raw, (source.as_ref(), target.as_ref()), &mut findings);
    match (source, target) {
        (Some(source), Some(target)) if findings.problems.is_empty() => Ok(LoadedSpec {
            spec: RunSpec {
                name: raw.name.value.clone(),
                source,
                target,
                tables,
                chunk,
                limits,
                brakes,
                reads_all: false,
                retry,
                alerts,
            },
            warnings: findings.warnings,
            schedule,
            is_default,
        }),
        _ => Err(findings.problems),
    }
}

fn check_version(version: &At<u64>, findings: &mut Findings<'_>) {
    if version.value != 1 {
        let message = format!("unknown version {}", version.value);
        findings.refuse(code::VERSION, message, version.place, "this program reads `version: 1`");
    }
}

/// Whether a spec, and so a pipeline, may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(is_plain)
}

fn check_name(name: &At<String>, findings: &mut Findings<'_>) {
    if !is_name(&name.value) {
        findings.refuse(code::BAD_NAME, "not a name for a spec", name.place, "use 1 to 63 of a-z, 0-9 and -");
    }
}

fn limits(raw: &RawLimits, findings: &mut Findings<'_>) -> Limits {
    let mut rate = |given: &Option<At<String>>, parse: fn(&str) -> Option<u64>, help: &str| {
        let given = given.as_ref()?;
        let rate = parse(&given.value);
        if rate.is_none() {
            findings.refuse(code::BAD_LIMIT, "not a rate", given.place, help);
        }
        rate
    };
    Limits {
        rows: rate(&raw.rows, parse_row_rate, "rows in a second: 5000/s"),
        bytes: rate(&raw.bytes, parse_byte_rate, "bytes in a second: 20MB/s"),
    }
}

fn retry(raw: &RawRetry, findings: &mut Findings<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        attempts: raw.attempts.as_ref().map_or(default.attempts, |given| {
            findings.number(given, 1..=100, "attempts").unwrap_or(default.attempts)
        }),
        delay_ms: raw
            .delay
            .as_ref()
            .and_then(|given| findings.millis(given, "a number and a unit: 500ms, 30s")),
    }
}

fn brake(raw: &RawBrake, findings: &mut Findings<'_>) -> Option<Brake> {
    let sides = [("source", BrakeAt::Source), ("target", BrakeAt::Target)];
    let at = findings.choose(code::BAD_LIMIT, &raw.at, &sides);
    let text = raw.gauge.value.trim();
    let gauge = match text {
        "running" => Some(Gauge::Running),
        "lag" => Some(Gauge::Lag),
        _ if is_one_select(text) => Some(Gauge::Query(text.to_owned())),
        _ => {
            let help = "`running`, `lag`, or one SELECT that finds a number";
            findings.refuse(code::BAD_LIMIT, "not a gauge", raw.gauge.place, help);
            None
        }
    };
    Some(Brake { at: at?, gauge: gauge?, max: raw.max.value })
}

/// Whether this is a SELECT and nothing behind it.
fn is_one_select(text: &str) -> bool {
    let is_select = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    is_select && text[6..].starts_with(char::is_whitespace) && !text.contains(';')
}

fn chunk_limits(raw: &RawChunk, findings: &mut Findings<'_>) -> ChunkLimits {
    let default = ChunkLimits::default();
    ChunkLimits {
        rows_max: raw.rows_max.as_ref().map_or(default.rows_max, |rows| {
            if !ROWS_MAX.contains(&rows.value) {
                findings.refuse(code::BAD_LIMIT, "rows_max is out of range", rows.place, "use 1 to 100000");
            }
            rows.value
        }),
        target_bytes: raw.target_size.as_ref().map_or(default.target_bytes, |size| {
            let bytes = parse_size(&size.value).unwrap_or_else(|| {
                findings.refuse(
                    code::BAD_SIZE,
                    "not a size",
                    size.place,
                    "a number and a unit: 512KiB, 16MiB, 20MB",
                );
                default.target_bytes
            });
            if !TARGET_BYTES.contains(&bytes) {
                findings.refuse(
                    code::BAD_LIMIT,
                    "target_size is out of range",
                    size.place,
                    "use 1KiB to 64MiB",
                );
            }
            bytes
        }),
        target_ms: raw.target_time.as_ref().map_or(default.target_ms, |time| {
            let millis = findings.millis(time, "a number and a unit: 500ms, 2s").unwrap_or(default.target_ms);
            if !TARGET_MILLIS.contains(&millis) {
                findings.refuse(code::BAD_LIMIT, "target_time is out of range", time.place, "use 1ms to 20s");
            }
            millis
        }),
    }
}
