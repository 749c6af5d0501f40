//! When the runs of a pipeline begin.

use std::str::FromStr as _;

use chrono::{DateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use serde::{Deserialize, Serialize};

use crate::run::RunKind;

/// When a pipeline runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub when: When,
    #[serde(default)]
    pub if_running: IfRunning,
    #[serde(default)]
    pub missed: Missed,
    /// What is done then.
    #[serde(default)]
    pub run: RunKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// So many seconds from start to start.
    Every(u64),
    /// At the times of a cron expression (five fields, or six with seconds first) in a time zone of the IANA database.
    Cron { expression: String, zone: String },
    /// Each time when a run of the pipeline of this name has ended well.
    After(String),
}

/// What becomes of a start whose pipeline still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfRunning {
    /// It is left out.
    #[default]
    Skip,
    /// It comes when the run has ended, once.
    Queue,
}

/// What becomes of starts while nobody was there to make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// One run makes up for all of them.
    #[default]
    Once,
    /// They are left out.
    Skip,
}

/// The schedule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("not a cron expression: five fields, such as `0 1 * * *`")]
    Cron,
    #[error("not a time zone: a name such as `Europe/Berlin` or `UTC`")]
    Zone,
    #[error("the expression names a time that never comes")]
    Never,
}

impl Schedule {
    /// Copies, and makes up once for starts that were missed.
    #[must_use]
    pub const fn of(when: When) -> Self {
        Self { when, if_running: IfRunning::Skip, missed: Missed::Once, run: RunKind::Copy }
    }

    /// The first start after a moment, both in milliseconds since 1970. An interval counts from that moment; a local time
    /// that clocks skip comes when they have skipped it, one that they pass twice comes once. What runs after another names none.
    ///
    /// # Errors
    /// The expression or its zone is none, or names no time to come.
    pub fn next_after(&self, ms: i64) -> Result<i64, ScheduleError> {
        match &self.when {
            When::Every(seconds) => {
                Ok(ms.saturating_add(i64::try_from(*seconds).unwrap_or(i64::MAX).saturating_mul(1_000)))
            }
            When::Cron { expression, zone } => {
                let zone = Tz::from_str(zone).map_err(|_| ScheduleError::Zone)?;
                let cron = Cron::from_str(expression).map_err(|_| ScheduleError::Cron)?;
                let from: DateTime<Tz> =
                    Utc.timestamp_millis_opt(ms).single().ok_or(ScheduleError::Never)?.with_timezone(&zone);
                let next = cron.find_next_occurrence(&from, false).map_err(|_| ScheduleError::Never)?;
                Ok(next.timestamp_millis())
            }
            When::After(_) => Err(ScheduleError::Never),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
    }

    fn cron(expression: &str, zone: &str) -> Schedule {
        let when = When::Cron { expression: expression.to_owned(), zone: zone.to_owned() };
        Schedule::of(when)
    }

    #[test]
    fn a_time_of_day_is_that_of_its_zone_in_summer_and_winter() {
        let nightly = cron("0 1 * * *", "Europe/Berlin");
        assert_eq!(nightly.next_after(at("2026-01-10T12:00:00Z")), Ok(at("2026-01-11T00:00:00Z")));
        assert_eq!(nightly.next_after(at("2026-07-10T12:00:00Z")), Ok(at("2026-07-10T23:00:00Z")));
    }

    #[test]
    fn an_hour_that_clocks_skip_or_pass_twice_has_one_start() {
        let nightly = cron("30 2 * * *", "Europe/Berlin");
        let starts = |from: &str, to: &str| {
            let (mut ms, mut found) = (at(from), 0);
            loop {
                ms = nightly.next_after(ms).expect("a time to come");
                if ms >= at(to) {
                    return found;
                }
                found += 1;
            }
        };
        assert_eq!(starts("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), 1, "clocks go forward");
        assert_eq!(starts("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"), 1, "clocks go back");
    }

    #[test]
    fn what_is_no_schedule_is_said() {
        assert_eq!(cron("61 * * * *", "UTC").next_after(0), Err(ScheduleError::Cron));
        assert_eq!(cron("0 1 * * *", "Europe/Atlantis").next_after(0), Err(ScheduleError::Zone));
        assert_eq!(cron("0 0 30 2 *", "UTC").next_after(0), Err(ScheduleError::Never));
    }
}
