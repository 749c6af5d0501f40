//! W: a worker dies, sleeps, hangs or is too many.

use std::time::{Duration, Instant};

use crate::bed::{Fleet, ROWS};

/// Killed at one of its steps: taken over within a lease and a second, by another (O13: at most the chunks it held).
async fn killed_at(point: &str) -> Duration {
    let mut fleet = Fleet::new(ROWS).await;
    let _ = fleet.serve("");
    let _ = fleet.worker(&format!("{point}:3=abort"));
    let run = fleet.submit();
    fleet.met(point).await;
    let died = Instant::now();
    let died_ms = fleet.ledger.number("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)").await;
    let _ = fleet.worker("");
    let record = fleet.assert_sound(&run).await;
    assert!(died.elapsed() < Duration::from_secs(60), "{:?}", died.elapsed());
    assert!(record["retries"].as_u64().unwrap() <= 2, "{record:#}");
    assert!(!fleet.workers[0].is_alive(), "it was killed");
    let ended_ms = record["ended_ms"].as_i64().unwrap();
    Duration::from_millis(u64::try_from(ended_ms - died_ms).unwrap())
}

#[tokio::test]
async fn w1_killed_before_the_claim() {
    // What it had fetched comes back when the queue's claim ends: with the lease of 2 s, and a look a second.
    let took = killed_at("k0").await;
    assert!(took < Duration::from_secs(2 + 8), "the whole rest of the run took {took:?}");
}

#[tokio::test]
async fn w1_killed_before_reading() {
    let _ = killed_at("k1").await;
}

#[tokio::test]
async fn w2_killed_while_reading() {
    let _ = killed_at("k2").await;
}

#[tokio::test]
async fn w3_killed_in_mid_write() {
    let _ = killed_at("k3").await;
}

#[tokio::test]
async fn w4_killed_after_commit() {
    let _ = killed_at("k4").await;
}

#[tokio::test]
async fn w4_killed_before_verify() {
    let _ = killed_at("k5").await;
}

#[tokio::test]
async fn w4_killed_before_settle() {
    let _ = killed_at("k6").await;
}

#[tokio::test]
async fn w5_killed_before_the_acknowledgement() {
    let _ = killed_at("k7").await;
}
