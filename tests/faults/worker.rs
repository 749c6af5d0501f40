//! W: a worker dies, sleeps, hangs or is too many.

use std::time::{Duration, Instant};

use crate::bed::{Fleet, ROWS};

/// Killed at one of its steps: taken over within a lease and a second, by another (O13: at most the chunks it held).
async fn killed_at(point: &str) {
    let mut fleet = Fleet::new(ROWS).await;
    let _ = fleet.serve("");
    let _ = fleet.worker(&format!("{point}:3=abort"));
    let run = fleet.submit();
    fleet.met(point).await;
    let died = Instant::now();
    let _ = fleet.worker("");
    let record = fleet.assert_sound(&run).await;
    assert!(died.elapsed() < Duration::from_secs(60), "{:?}", died.elapsed());
    assert!(record["retries"].as_u64().unwrap() <= 2, "{record:#}");
    assert!(!fleet.workers[0].is_alive(), "it was killed");
}

#[tokio::test]
async fn w1_killed_before_the_claim() {
    killed_at("k0").await;
}

#[tokio::test]
async fn w1_killed_before_reading() {
    killed_at("k1").await;
}

#[tokio::test]
async fn w2_killed_while_reading() {
    killed_at("k2").await;
}

#[tokio::test]
async fn w3_killed_in_mid_write() {
    killed_at("k3").await;
}

#[tokio::test]
async fn w4_killed_after_commit() {
    killed_at("k4").await;
}

#[tokio::test]
async fn w4_killed_before_verify() {
    killed_at("k5").await;
}

#[tokio::test]
async fn w4_killed_before_settle() {
    killed_at("k6").await;
}

#[tokio::test]
async fn w5_killed_before_the_acknowledgement() {
    killed_at("k7").await;
}
