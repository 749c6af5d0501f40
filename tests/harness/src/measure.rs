//! What a process costs.

use std::process::Child;
use std::time::Duration;

/// Waits for the end; processor time and peak memory as the kernel counted them until just before.
///
/// # Panics
/// It ended badly.
#[must_use]
pub fn watch(mut child: Child) -> (Duration, u64) {
    let (mut cpu, mut peak) = (Duration::ZERO, 0);
    loop {
        let place = format!("/proc/{}", child.id());
        if let Ok(status) = std::fs::read_to_string(format!("{place}/status")) {
            let kib = status
                .lines()
                .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
            peak = kib.unwrap_or(peak);
        }
        if let Ok(stat) = std::fs::read_to_string(format!("{place}/stat")) {
            // After the name in brackets: utime and stime are fields 14 and 15, in hundredths.
            let ticks: u64 = stat.rsplit(") ").next().map_or(0, |rest| {
                rest.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
            });
            cpu = cpu.max(Duration::from_millis(ticks * 10));
        }
        match child.try_wait() {
            Ok(None) => pause(),
            Ok(Some(status)) => {
                assert!(status.success(), "it ended well: {status}");
                return (cpu, peak);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a sampling interval, on a thread that does nothing else")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
