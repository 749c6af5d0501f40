//! N: the network is slow, silent, or breaks at the worst moment.

use std::time::Duration;

use harness::proxy::{Act, After, Dir, Hits, MYSQL_COMMIT, Rule};
use serde_json::Value;

use crate::bed::{Fleet, ROWS};
use crate::lines::{End, Lines, always};

const ENDS: [End; 4] = [End::Source, End::Target, End::Ledger, End::Redis];

/// A run over `lines` whose one worker meets `rules` from its first chunk on; the record, and what the rules struck.
async fn met(lines: &Lines, fleet: &mut Fleet, end: End, rules: &[Rule]) -> (Value, Vec<Hits>) {
    let _ = fleet.serve("");
    let worker = fleet.worker("").child.id();
    let hits: Vec<Hits> = rules.iter().map(|rule| lines.to(end).add(rule.of(worker))).collect();
    let run = fleet.submit();
    let record = fleet.assert_sound(&run).await;
    for (rule, hits) in rules.iter().zip(&hits) {
        assert!(hits.count() >= 1, "{rule:?} struck nothing\n{}", fleet.logs());
    }
    (record, hits)
}

/// Attempts that any chunk needed, those that were given back for free left out.
async fn tries_max(fleet: &Fleet) -> i64 {
    fleet.ledger.number("SELECT max(tries) FROM syncline_chunk").await
}

fn was_begun_anew(fleet: &Fleet) -> bool {
    fleet.syncline.marks().join("retried_inside").exists()
}

#[tokio::test]
async fn n1_far_away() {
    let lines = Lines::new();
    let mut fleet = lines.fleet(600).await;
    let act = Act::Latency { mean: Duration::from_millis(200), jitter: Duration::from_millis(100) };
    let hits: Vec<Hits> = ENDS.map(|end| lines.to(end).add(always(Dir::ToClient, act))).into();
    let _ = fleet.serve("");
    // A lease has to last for connecting to the ledger anew and some answers, twice: about 60 round trips.
    let _ = fleet.worker_with(&[], &["--concurrency", "2", "--lease", "15s"]);
    let run = fleet.submit();
    let record = fleet.assert_sound(&run).await;
    assert!(hits.iter().all(|hits| hits.count() >= 1));
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1), "{}", fleet.logs());
}

#[tokio::test]
async fn n1_a_thin_line() {
    let lines = Lines::new();
    // The deadline is for an answer, not for all of them.
    let mut fleet = lines.hasty_fleet(3_000).await;
    let megabit = Act::Rate(125_000);
    let hits: Vec<Hits> = [End::Source, End::Target]
        .into_iter()
        .flat_map(|end| [Dir::ToServer, Dir::ToClient].map(|dir| lines.to(end).add(always(dir, megabit))))
        .collect();
    let _ = fleet.serve("");
    let _ = fleet.worker("");
    let run = fleet.submit();
    let record = fleet.assert_sound(&run).await;
    assert!(hits.iter().all(|hits| hits.count() >= 1));
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1), "leases are kept");
}

#[tokio::test]
async fn n1_a_line_that_dribbles() {
    let lines = Lines::new();
    let mut fleet = lines.fleet(300).await;
    let hits: Vec<Hits> = [(End::Source, Dir::ToClient), (End::Target, Dir::ToServer)]
        .map(|(end, dir)| lines.to(end).add(always(dir, Act::Slice(16))))
        .into();
    let _ = fleet.serve("");
    let _ = fleet.worker("");
    let run = fleet.submit();
    let record = fleet.assert_sound(&run).await;
    assert!(hits.iter().all(|hits| hits.count() >= 1));
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1), "leases are kept");
}

/// Connections lead nowhere after some bytes, and neither end is told. The end of the fleet asserts that the server has
/// let go of them (O9).
async fn black_hole(end: End, dir: Dir, bytes: u64) -> (Fleet, Value) {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    let hole = Rule::new(dir, After::Bytes(bytes), Act::BlackHole).times(2);
    let (record, _) = met(&lines, &mut fleet, end, &[hole]).await;
    (fleet, record)
}

#[tokio::test]
async fn n3_the_source_falls_silent() {
    let (fleet, record) = black_hole(End::Source, Dir::ToClient, 60_000).await;
    assert!(was_begun_anew(&fleet), "{}", fleet.logs());
    assert_eq!(record["retries"], 0, "no attempt is burnt: {record:#}");
}

#[tokio::test]
async fn n3_the_target_falls_silent() {
    let (fleet, record) = black_hole(End::Target, Dir::ToServer, 60_000).await;
    assert!(was_begun_anew(&fleet), "{}", fleet.logs());
    assert_eq!(record["retries"], 0, "no attempt is burnt: {record:#}");
}

#[tokio::test]
async fn n3_answers_of_the_target_are_lost() {
    let (fleet, record) = black_hole(End::Target, Dir::ToClient, 60_000).await;
    assert!(was_begun_anew(&fleet), "{}", fleet.logs());
    assert_eq!(record["retries"], 0, "no attempt is burnt: {record:#}");
}

#[tokio::test]
async fn n3_the_ledger_falls_silent() {
    let (fleet, _) = black_hole(End::Ledger, Dir::ToServer, 6_000).await;
    assert!(tries_max(&fleet).await <= 2, "{}", fleet.logs());
}

#[tokio::test]
async fn n3_answers_of_the_ledger_are_lost() {
    let (fleet, _) = black_hole(End::Ledger, Dir::ToClient, 6_000).await;
    assert!(tries_max(&fleet).await <= 2, "{}", fleet.logs());
}

#[tokio::test]
async fn n3_redis_falls_silent() {
    let (fleet, _) = black_hole(End::Redis, Dir::ToClient, 1_000).await;
    assert_eq!(tries_max(&fleet).await, 1, "{}", fleet.logs());
}

/// The connection ends in the middle of a result: never taken for the end of the rows.
async fn cut_short(end: End, act: Act) {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    // In the first packet of rows, and deep in the chunk.
    let rules = [20_000, 90_000].map(|bytes| Rule::new(Dir::ToClient, After::Bytes(bytes), act).times(1));
    let (record, hits) = met(&lines, &mut fleet, end, &rules).await;
    assert_eq!(hits.iter().map(Hits::count).sum::<usize>(), 2);
    assert!(was_begun_anew(&fleet), "{}", fleet.logs());
    assert_eq!(record["retries"], 0, "no attempt is burnt: {record:#}");
}

#[tokio::test]
async fn n4_reset_while_reading_the_source() {
    cut_short(End::Source, Act::Rst).await;
}

#[tokio::test]
async fn n4_closed_while_reading_the_source() {
    cut_short(End::Source, Act::Fin).await;
}

#[tokio::test]
async fn n4_reset_while_reading_back_the_target() {
    cut_short(End::Target, Act::Rst).await;
}

#[tokio::test]
async fn n5_the_targets_answer_to_commit_is_lost() {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    let act = Act::CutAfterReplyWithheld;
    let lost = Rule::new(Dir::ToServer, After::Pattern(MYSQL_COMMIT), act).times(3);
    let (record, hits) = met(&lines, &mut fleet, End::Target, &[lost]).await;
    assert_eq!(hits[0].count(), 3);
    // The receipt is found by the same attempt, and says that the rows are there: the end of the fleet counts them.
    assert!(was_begun_anew(&fleet), "{}", fleet.logs());
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1));
}

#[tokio::test]
async fn n5_the_ledgers_answers_to_commits_are_lost() {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    let act = Act::CutAfterReplyWithheld;
    // Claims, beats and settles alike.
    let lost = Rule::new(Dir::ToServer, After::Pattern(MYSQL_COMMIT), act).times(5);
    let (record, hits) = met(&lines, &mut fleet, End::Ledger, &[lost]).await;
    assert_eq!(hits[0].count(), 5);
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1), "{}", fleet.logs());
}

#[tokio::test]
async fn n6_the_answer_to_a_settle_is_lost() {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    let after = After::Then(b"chunk-done", MYSQL_COMMIT);
    let lost = Rule::new(Dir::ToServer, after, Act::CutAfterReplyWithheld).times(3);
    let (record, hits) = met(&lines, &mut fleet, End::Ledger, &[lost]).await;
    assert_eq!(hits[0].count(), 3);
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1));
    let told = fleet.ledger.number("SELECT count(*) FROM syncline_event WHERE kind = 'chunk-done'").await;
    let chunks = fleet.ledger.number("SELECT count(*) FROM syncline_chunk").await;
    assert_eq!(told, chunks, "a settle that is repeated changes nothing");
}

#[tokio::test]
async fn n6_the_answer_to_an_acknowledgement_is_lost() {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    // Only an acknowledgement names the list of dead letters.
    let lost = Rule::new(Dir::ToServer, After::Pattern(b":dead\r\n"), Act::CutAfterReplyWithheld).times(3);
    let (record, hits) = met(&lines, &mut fleet, End::Redis, &[lost]).await;
    assert_eq!(hits[0].count(), 3);
    assert_eq!((record["retries"].as_u64(), tries_max(&fleet).await), (Some(0), 1));
}
