//! Q12: clocks that are wrong, or become wrong.

use std::path::{Path, PathBuf};

use harness::redis::{Options, Redis};
use harness::wait_until;

use crate::bed::RUN_MAX;
use crate::queue::{LONG, attempts_beyond_the_first, fleet_on, under_way};

/// The library that gives a process another time; `tests/servers.sh up` installs it.
fn library() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let candidates: Vec<PathBuf> = folders.map(|f| f.join("faketime/libfaketimeMT.so.1")).collect();
    let found = candidates.iter().find(|path| path.is_file()).expect("install faketime: tests/servers.sh up");
    found.display().to_string()
}

#[tokio::test]
async fn q12_a_clock_that_is_wrong_is_refused_at_the_start() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, 2_000).await;
    let library = library();
    for (shift, seconds) in [("+1h", 3_600), ("-1h", 3_600), ("+1d", 86_400), ("-1d", 86_400), ("+4s", 4)] {
        let variables =
            [("LD_PRELOAD", library.as_str()), ("FAKETIME", shift), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        for command in ["worker", "serve", "doctor"] {
            let refused = fleet.syncline.run_with(&variables, &[command]).expect(8);
            let text = format!("{}{}", refused.stdout, refused.stderr);
            let near =
                [format!("{seconds} s,"), format!("{} s,", seconds + 1), format!("{} s,", seconds - 1)];
            let is_near =
                near.iter().any(|near| text.contains(near)) || (seconds == 4 && text.contains(" ms,"));
            assert!(text.contains("clock differs from this machine's by") && is_near, "{shift} {text}");
            assert!(text.contains("chrony"), "{text}");
        }
    }
    // A second is no reason to refuse; the run is sound by it.
    let second =
        [("LD_PRELOAD", library.as_str()), ("FAKETIME", "+1s"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let _ = fleet.worker_with(&second, &["--lease", "2s"]);
    let _ = fleet.serve("");
    let run = fleet.submit();
    fleet.assert_sound(&run).await;
}

fn set(file: &Path, shift: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{shift}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn q12_a_clock_that_jumps_drains_its_worker() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let file = fleet.syncline.dir.path().join("time");
    set(&file, "+0");
    let (library, path) = (library(), file.display().to_string());
    let shifted = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", path.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let _ = fleet.worker_with(&shifted, &["--lease", "2s"]);
    let run = under_way(&mut fleet, &redis).await;
    set(&file, "+86400");
    wait_until("the worker leaves", RUN_MAX, async || !fleet.workers[0].is_alive()).await;
    let log = fleet.workers[0].log();
    assert_eq!(fleet.workers[0].child.wait().unwrap().code(), Some(8), "{log}");
    assert!(log.contains("clock jumped") && log.contains("clock differs"), "{log}");
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "it finished what it held");
}
