//! Sizes, durations and shares as people write them.

/// Bytes of `16MiB`, `500kB`, `64B`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Milliseconds of `500ms`, `2s`, `5m`, `1h`.
pub fn parse_millis(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Rows in a second: `5000/s`.
pub fn parse_row_rate(text: &str) -> Option<u64> {
    text.trim().strip_suffix("/s")?.trim_end().parse().ok().filter(|rate| *rate > 0)
}

/// Bytes in a second: `20MB/s`.
pub fn parse_byte_rate(text: &str) -> Option<u64> {
    parse_size(text.trim().strip_suffix("/s")?).filter(|rate| *rate > 0)
}

/// The number before the `%`, 0 to 100.
pub(crate) fn parse_percent(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    number.parse().ok().filter(|percent| plain && (0.0..=100.0).contains(percent))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_never_nothing() {
        assert_eq!((parse_row_rate("5000/s"), parse_byte_rate("20MB/s")), (Some(5_000), Some(20_000_000)));
        for text in ["", "5000", "0/s", "-1/s", "5k/s", "20MB", "0B/s"] {
            assert_eq!((parse_row_rate(text), parse_byte_rate(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(parse_size("16MiB"), Some(16 * 1024 * 1024));
        assert_eq!(parse_size("500 kB"), Some(500_000));
        assert_eq!(parse_size("0B"), Some(0));
        for text in
            ["", "16", "MiB", "16 mib", "-1MiB", "1.5MiB", "99999999999999999999B", "18446744073709551615GiB"]
        {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_millis("2s"), Some(2_000));
        assert_eq!(parse_millis("500ms"), Some(500));
        assert_eq!(parse_millis("1 h"), Some(3_600_000));
        for text in ["", "2", "s", "2 weeks", "-2s", "18446744073709551615h"] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }

    #[test]
    fn shares_stay_within_a_hundred() {
        assert_eq!(parse_percent("10%"), Some(10.0));
        assert_eq!(parse_percent("0.5 %"), Some(0.5));
        for text in ["", "10", "%", "101%", "-1%", "NaN%", "1e1%", "inf%"] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }
}
