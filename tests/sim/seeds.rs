//! Seeds, many: all promises, under every weather. See README.md for how to run one, or a hundred thousand.
//!
//! The seeds are parted into tests that run side by side. Each part also shows that what it is about was really met.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;

use sim::{Options, Outcome, simulate};

/// Seeds of all parts together, unless `SYNCLINE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 2_000;
const PARTS: u64 = 8;
/// Lines of a failed seed's history that are shown; `SYNCLINE_SIM_SEED` shows all.
const LINES_SHOWN: usize = 80;
/// Seeds that are run twice.
const TWICE: u64 = 40;
/// A target that forgets its fences is found out within so many seeds.
const FOUND_OUT_MAX: u64 = 30;

/// What must have been met in every part of at least this many seeds, or in as many more: a window that is never open
/// proves nothing.
const ENOUGH_TO_MEET: u64 = 200;
const SOMETIMES: [&str; 23] = [
    "claim refused",
    "commit answer lost",
    "coordinator restart",
    "duplicate delivery",
    "fenced write",
    "ghost transaction",
    "job dropped",
    "lease expired",
    "lease lost",
    "ledger answer lost",
    "ledger call retried",
    "ledger clock jumped",
    "ledger silent",
    "link cut",
    "queue forgot",
    "receipt found",
    "run cancelled",
    "run resumed",
    "silent transaction cut",
    "stale settle",
    "worker drained",
    "worker restart",
    "zombie resumed",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// Fails with the history's end if a promise was broken.
fn check(seed: u64) -> Outcome {
    let outcome = simulate(seed, Options::default());
    if !outcome.wrong.is_empty() {
        let told = simulate(seed, Options { keeps_history: true, ..Options::default() });
        let from = told.history.len().saturating_sub(LINES_SHOWN);
        println!("{}", told.history[from..].join("\n"));
        panic!("seed {seed}: {}\nrun it alone with SYNCLINE_SIM_SEED={seed}", outcome.wrong.join("\n"));
    }
    outcome
}

fn part(number_of_part: u64) {
    if number("SYNCLINE_SIM_SEED").is_some() {
        return;
    }
    let seeds = number("SYNCLINE_SIM_SEEDS").unwrap_or(SEEDS) / PARTS;
    let mut met = BTreeMap::<&str, u64>::new();
    let mut look = |seed: u64| {
        for (mark, times) in check(seed).marks {
            *met.entry(mark).or_default() += times;
        }
        SOMETIMES.into_iter().filter(|mark| !met.contains_key(mark)).collect::<Vec<_>>()
    };
    let mut never = Vec::new();
    for seed in number_of_part * seeds..(number_of_part + 1) * seeds {
        never = look(seed);
    }
    if seeds >= ENOUGH_TO_MEET {
        // What is met three times in so many seeds is missed altogether now and then: seeds of nobody else follow.
        let more = (PARTS + number_of_part) * seeds..(PARTS + number_of_part + 1) * seeds;
        for seed in more {
            if never.is_empty() {
                break;
            }
            never = look(seed);
        }
        assert!(never.is_empty(), "never met in {} seeds: {never:?}", 2 * seeds);
    }
    println!("{met:#?}");
}

macro_rules! parts {
    ($($name:ident = $number:literal)*) => {
        $(#[test] fn $name() { part($number); })*
    };
}
parts! { seeds_a = 0 seeds_b = 1 seeds_c = 2 seeds_d = 3 seeds_e = 4 seeds_f = 5 seeds_g = 6 seeds_h = 7 }

/// Shows the whole history of `SYNCLINE_SIM_SEED`.
#[test]
fn the_seed_that_was_asked_for() {
    let Some(seed) = number("SYNCLINE_SIM_SEED") else { return };
    let outcome = simulate(seed, Options { keeps_history: true, ..Options::default() });
    println!("{}\n{:#?}", outcome.history.join("\n"), outcome.marks);
    println!("hash {:016x}, {} virtual ms", outcome.hash, outcome.virtual_ms);
    assert!(outcome.wrong.is_empty(), "{}", outcome.wrong.join("\n"));
}

/// Seeds that failed once.
#[test]
fn regressions() {
    for line in include_str!("regressions.txt").lines() {
        let seed = line.split('#').next().unwrap_or_default().trim();
        if !seed.is_empty() {
            check(seed.parse().unwrap());
        }
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    for seed in 0..TWICE {
        let keep = || Options { keeps_history: true, ..Options::default() };
        let (first, second) = (simulate(seed, keep()), simulate(seed, keep()));
        if first.hash != second.hash {
            let at = first.history.iter().zip(&second.history).position(|(a, b)| a != b).unwrap_or_default();
            for history in [&first.history, &second.history] {
                println!("{}\n", history[at.saturating_sub(3)..(at + 3).min(history.len())].join("\n"));
            }
        }
        assert_eq!(first.hash, second.hash, "seed {seed} tells two stories");
        assert_eq!((first.virtual_ms, first.marks), (second.virtual_ms, second.marks), "seed {seed}");
    }
}

/// The oracles bite: fences and receipts are what keeps effects single, and a target without them is noticed.
#[test]
fn a_target_that_forgets_its_fences_is_found_out() {
    let is_found_out = |seed| {
        let outcome = simulate(seed, Options { is_forgetful: true, ..Options::default() });
        outcome.wrong.iter().any(|wrong| wrong.starts_with("O4") || wrong.starts_with("O5"))
    };
    assert!((0..FOUND_OUT_MAX).any(is_found_out), "nobody noticed");
}
