//! A slice of what `cargo run --release -p netchan-sim -- --seeds 20000` runs.

use netchan_sim::{Counters, run};

#[test]
fn no_promise_is_broken_in_300_seeds_and_every_fault_happens() {
    let mut counters = Counters::default();
    for seed in 0..300 {
        let outcome = run(seed, false);
        assert_eq!(outcome.violation, None, "cargo run --release -p netchan-sim -- --seed {seed} --trace");
        counters.add(&outcome.counters);
    }
    for (name, count) in counters.all() {
        // Too rare for a slice of this size to promise it.
        assert!(count > 0 || name == "trimmed_mid_batch", "no {name} in 300 seeds");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 300..340 {
        let (first, second) = (run(seed, false), run(seed, false));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.counters, second.counters, "seed {seed}");
        assert_ne!(first.hash, run(seed + 1, false).hash, "seed {seed} and the one after it");
    }
}
