//! What a process costs.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::{Database, Syncline, oracle, wait_until};

/// One process, or several that end together.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub wall: Duration,
    pub client_cpu: Duration,
    pub peak_kib: u64,
}

/// The binary that benches measure.
#[must_use]
pub fn release() -> Syncline {
    Syncline::new(oracle::root().join("target/release/syncline"))
}

/// Copies `customers`, of so many rows, and asserts that all of them were verified.
///
/// # Panics
/// `target/release/syncline` is not built, or the run does not end well.
#[must_use]
pub fn copy_customers(source: &Database, target: &Database, rows: u64) -> Measured {
    let syncline = release();
    let spec = syncline.spec(source, target, "tables:\n  - from: customers");
    let started = Instant::now();
    let mut command = syncline.command(&["run", &spec, "--plain"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it is built");
    let (client_cpu, peak_kib) = watch(child);
    let wall = started.elapsed();
    let record = syncline.run(&["show", "latest", "--json"]).json();
    assert_eq!(record["record"]["counts"]["matching"], rows, "verified: {record:#}");
    Measured { wall, client_cpu, peak_kib }
}

/// Rows a second.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub fn per_second(rows: u64, wall: Duration) -> f64 {
    rows as f64 / wall.as_secs_f64()
}

/// Copies `customers`, is killed with `kill -9` once half of the rows are `there`, and resumes: every row is inserted and
/// counted once, and the oracle finds both sides equal.
///
/// # Panics
/// That is not so.
#[allow(clippy::print_stdout, reason = "a bench talks to a person")]
pub async fn killed_and_resumed(
    source: &Database,
    target: &Database,
    rows: u64,
    there: impl AsyncFn() -> u64,
) {
    let syncline = release();
    let spec = syncline.spec(source, target, "tables:\n  - from: customers");
    let started = Instant::now();
    let mut run = syncline.start("run", &["run", &spec, "--plain", "--lease", "2s"]);
    wait_until("half of the rows are there", Duration::from_secs(600), async || there().await >= rows / 2)
        .await;
    run.kill();
    let record = syncline.run(&["run", &spec, "--resume", "--lease", "2s", "--json"]).expect(0).json();
    let counts = &record["record"]["counts"];
    assert_eq!(
        (&counts["inserted"], &counts["matching"]),
        (&rows.into(), &rows.into()),
        "exactly counted: {record:#}"
    );
    println!(
        "killed at half, resumed      {:6.1} s, every row inserted and counted once",
        started.elapsed().as_secs_f64()
    );
    oracle::assert_equal(source, target, &["customers"]);
    println!("equal by the oracle");
}

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
