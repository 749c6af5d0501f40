//! Readings of gauges, as numbers.

/// A number that is not negative, rounded up; `None` for any other text.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let number: f64 = text.trim().parse().ok().filter(|number: &f64| number.is_finite())?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped; a float saturates")]
    let whole = number.max(0.0).ceil() as u64;
    Some(whole)
}

#[cfg(test)]
mod tests {
    #[test]
    fn readings_are_rounded_up() {
        let readings = ["0", "7", "0.2", "-3", "1e3"].map(super::whole);
        assert_eq!(readings, [Some(0), Some(7), Some(1), Some(0), Some(1_000)]);
        assert_eq!(["", "many", "NaN", "inf"].map(super::whole), [None; 4]);
    }
}
