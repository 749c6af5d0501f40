//! Seeds, many.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use sim::{Options, simulate};

#[test]
fn seeds() {
    let from: u64 = std::env::var("FROM").map_or(0, |s| s.parse().unwrap());
    let n: u64 = std::env::var("N").map_or(20, |s| s.parse().unwrap());
    let keep = std::env::var("KEEP").is_ok();
    let mut marks = std::collections::BTreeMap::new();
    for seed in from..from + n {
        let t = std::time::Instant::now();
        let out = simulate(seed, Options { keeps_history: keep, is_forgetful: false });
        let real = t.elapsed();
        if keep {
            for l in &out.history { println!("{l}"); }
        }
        for (k, v) in &out.marks { *marks.entry(*k).or_insert(0) += v; }
        println!("seed {seed}: {:?} virtual {} ms real {:?} hash {:x}", out.wrong, out.virtual_ms, real, out.hash);
    }
    println!("{marks:#?}");
}
