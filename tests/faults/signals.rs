//! Ctrl-C and SIGTERM at random times, once and twice, on a run in one process.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use harness::data::{self, Dice};
use harness::database::Database;
use harness::{Server, Syncline, oracle};

const ROWS: u64 = 60_000;
/// Slow enough that there is a middle to be hit fifty times.
const SPEC: &str =
    "defaults: { chunk: { rows_max: 500 } }\nlimits: { rows: 8000/s }\ntables:\n  - from: customers";
const TIMES: usize = 50;

/// Fifty signals, one after another, on one run that is resumed each time: the exit code says which signal it was, no
/// attempt is burnt, and at the end every row is there and counted once.
#[tokio::test]
async fn w6_fifty_signals_at_random_times_burn_nothing() {
    let (from, to) = (Database::fresh(Server::Sqlite).await, Database::fresh(Server::Sqlite).await);
    from.exec(data::CUSTOMERS_SQLITE).await;
    for batch in data::customers(ROWS, 5, false) {
        from.exec(&batch).await;
    }
    let syncline = Syncline::new(env!("CARGO_BIN_EXE_syncline"));
    let spec = syncline.spec(&from, &to, SPEC);
    let mut dice = Dice::new(50);
    let (mut hit, mut started) = (0, false);
    for n in 0..TIMES {
        let (name, code, signal) = if dice.below(2) == 0 { ("INT", 130, 2) } else { ("TERM", 143, 15) };
        let args: &[&str] = if started { &["run", &spec, "--resume"] } else { &["run", &spec] };
        let mut run = syncline.start(&format!("run{n}"), args);
        tokio::time::sleep(Duration::from_millis(20 + dice.below(400))).await;
        if !run.is_alive() {
            break;
        }
        run.signal(name);
        if dice.below(2) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
            if run.is_alive() {
                run.signal(name);
            }
        }
        let status = run.child.wait().unwrap();
        if status.code() == Some(0) {
            break;
        }
        // Before the handlers stand, the signal itself ends the process: shells call that 128 + its number.
        let ended = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(ended, Some(code), "{name} ({signal}): {}", run.log());
        let log = run.log();
        started |= syncline.run(&["runs", "--json"]).stdout.contains("run_");
        if status.code().is_some() {
            hit += 1;
            assert!(log.contains("next: syncline run"), "{log}");
        }
    }
    assert!(hit >= TIMES / 2, "only {hit} signals met a run at work");
    let record = syncline.run(&["run", &spec, "--resume", "--json"]).expect(0).json()["record"].clone();
    assert_eq!(record["counts"]["read"], ROWS, "{record:#}");
    assert_eq!(record["counts"]["inserted"], ROWS, "{record:#}");
    assert_eq!(record["retries"], 0, "an attempt was burnt: {record:#}");
    oracle::assert_equal(&from, &to, &["customers"]);
}
