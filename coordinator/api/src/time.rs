//! Times as they are written in answers: RFC 3339, UTC.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since 1970 with their milliseconds.
pub(crate) fn precise(ms: i64) -> Option<String> {
    moment(ms).map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The same, to the second.
pub(crate) fn seconds(ms: i64) -> Option<String> {
    moment(ms).map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn moment(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms)
}

/// A span as `HH:MM:SS`.
pub(crate) fn clock(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(precise(1_736_519_400_123).as_deref(), Some("2025-01-10T14:30:00.123Z"));
        assert_eq!(seconds(1_736_519_400_999).as_deref(), Some("2025-01-10T14:30:00Z"));
        assert_eq!(
            (clock(135_000), clock(-5), clock(360_000_000)),
            ("00:02:15".into(), "00:00:00".into(), "100:00:00".into())
        );
        assert_eq!(seconds(i64::MAX), None);
    }
}
