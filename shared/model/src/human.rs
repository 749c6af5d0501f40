//! Numbers as people read them.

use std::time::Duration;

/// `1234567` as `1,234,567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2,000 rows`.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `640 B`, `34.2 MiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut whole, mut rest, mut unit) = (n, 0, None);
    for name in UNITS {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024, whole / 1024, Some(name));
    }
    match unit {
        None => format!("{n} B"),
        Some(unit) => format!("{whole}.{} {unit}", rest * 10 / 1024),
    }
}

/// `0.3 s`, `12.4 s`, `4 min 05 s`, `2 h 03 min`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() < 100 => format!("{} ms", time.as_millis()),
        0..=59 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time that is only guessed: whole seconds, then minutes.
#[must_use]
pub fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=89 => format!("{} s", seconds.max(1)),
        seconds @ 90..=5_399 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// As [`duration`], of milliseconds that a clock may have made negative.
#[must_use]
pub fn millis(ms: i64) -> String {
    duration(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// `just now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 days ago`.
#[must_use]
pub fn ago(ms: i64) -> String {
    let seconds = u64::try_from(ms).unwrap_or(0) / 1000;
    match seconds {
        0..=1 => "just now".to_owned(),
        2..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        86_400..=172_799 => "1 day ago".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_their_edges() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1_023, 1_024, 35_900_000].map(bytes), ["0 B", "1023 B", "1.0 KiB", "34.2 MiB"]);
        let times = [12, 340, 59_950, 60_000, 7_380_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(times, ["12 ms", "0.3 s", "59.9 s", "1 min 00 s", "2 h 03 min"]);
        assert_eq!([-5, 61_000, 90_000_000].map(ago), ["just now", "1 min ago", "1 day ago"]);
    }
}
