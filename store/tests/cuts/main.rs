//! Cuts the power at every operation of scripts that append, roll, seal, trim, delete, close and recover, lets many
//! different subsets of what was not synced survive each cut, and looks at what is there afterwards.
//!
//! One *cut* is one pair of an operation and a survivor subset. Every second one cuts the power once more while the first
//! is being recovered from. Every test run takes a slice; for the whole of it:
//!
//! ```console
//! $ NETCHAN_CUTS=1000000 cargo test --release -p netchan-store --test cuts -- --nocapture
//! $ NETCHAN_CUT=SCRIPT,OPERATION,SUBSET cargo test -p netchan-store --test cuts     # one of them again
//! ```

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod check;
#[path = "../rig/mod.rs"]
mod rig;
mod script;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use netchan_store::disk::SimDisk;

use check::check;
use script::{Script, play};

/// Survivor subsets of each operation's cut.
const SUBSETS: u64 = 50;
/// Cuts that every test run takes.
const SLICE: u64 = 4_000;

/// Which cut is being looked at, for who reads of a failure.
struct Where {
    script: u64,
    operation: u64,
    subset: u64,
}

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Where { script, operation, subset } = self;
            eprintln!("this was NETCHAN_CUT={script},{operation},{subset}");
        }
    }
}

/// Cuts a script at one operation, and looks at what `subsets` leave of it. `None`: it has no so many operations.
fn cut(seed: u64, operation: u64, subsets: std::ops::Range<u64>) -> Option<u64> {
    let _where = Where { script: seed, operation, subset: subsets.start };
    let script = Script::new(seed);
    let disk = SimDisk::new(seed);
    let told = play(&disk, &script, operation);
    if disk.is_on() {
        return None;
    }
    let count = subsets.end - subsets.start;
    for subset in subsets {
        let _where = Where { script: seed, operation, subset };
        let fork = disk.fork(seed << 32 ^ operation << 8 ^ subset);
        fork.crash();
        if subset % 2 == 1 {
            fork.cut_power_at(1 + subset / 2);
            check::recover(&fork, &told);
            fork.crash();
        }
        check(&fork, &told, subset % 4 == 0);
    }
    Some(count)
}

// NC-DSK-030, NC-DSK-040, NC-DSK-041
#[test]
fn whatever_survives_a_power_cut_nothing_durable_is_lost_and_nothing_wrong_is_read() {
    if let Ok(one) = std::env::var("NETCHAN_CUT") {
        let numbers: Vec<u64> = one.split(',').map(|number| number.parse().unwrap()).collect();
        cut(numbers[0], numbers[1], numbers[2]..numbers[2] + 1).unwrap();
        return;
    }
    let wanted = std::env::var("NETCHAN_CUTS").map_or(SLICE, |cuts| cuts.parse().unwrap());
    let (scripts, operations, cuts) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let began = Instant::now();
    let work = || {
        while cuts.load(Ordering::Relaxed) < wanted && !failed.load(Ordering::Relaxed) {
            let script = scripts.fetch_add(1, Ordering::Relaxed);
            for operation in 1.. {
                let Some(count) = cut(script, operation, 0..SUBSETS) else { break };
                operations.fetch_add(1, Ordering::Relaxed);
                cuts.fetch_add(count, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if worker.join().is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        }
    });
    assert!(!failed.into_inner(), "the cut that failed is named above");
    let (scripts, operations, cuts) = (scripts.into_inner(), operations.into_inner(), cuts.into_inner());
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{cuts} cuts: {operations} operations of {scripts} scripts, {SUBSETS} survivor subsets each; 0 durable records \
         lost, 0 wrong records, 0 hangs; {:.0} cuts a second",
        cuts as f64 / seconds
    );
    assert!(cuts >= wanted && operations > 100);
}
