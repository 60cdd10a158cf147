//! Cuts the power at every operation of scripts that append, roll, seal, trim, delete, close and recover, lets many
//! different subsets of what was not synced survive each cut, and looks at what is there afterwards.
//!
//! One *cut* is one pair of an operation and a survivor subset. At every operation either the power goes, or the process
//! is killed and the power goes in its next life; and for some cuts the power goes again at each operation of the
//! recovery. Every second recovery is cut short once more. Every test run takes a slice; for the whole of it:
//!
//! ```console
//! $ NETCHAN_CUTS=1000000 cargo test --release -p netchan-store --test cuts -- --nocapture
//! $ NETCHAN_CUT=SCRIPT,OPERATION,HOW,SUBSET cargo test -p netchan-store --test cuts     # one of them again
//! ```

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod check;
mod faults;
mod life;
#[path = "../rig/mod.rs"]
mod rig;
mod script;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use netchan_store::disk::SimDisk;

use check::check;
use script::{Script, Told, play};

/// Survivor subsets of each operation's cut.
const SUBSETS: u64 = 50;
/// Cuts that every test run takes.
const SLICE: u64 = 4_000;
/// They look at each so manieth operation of a script, to see more scripts.
const STRIDE: u64 = 7;

/// After so many operations of a script, recovery from that cut is itself cut at each of its operations.
const RECOVERIES: u64 = 24;

/// What goes, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The power. What survives is recovered from; every second time the power goes once more meanwhile.
    Cut,
    /// The process; then, in the life after it, the power.
    Kill,
    /// The power, and again at this operation of the recovery; every second time it goes a third time, in the recovery
    /// from that.
    Recovery(u64),
}

/// Which cut is being looked at, for who reads of a failure.
struct Where {
    script: u64,
    operation: u64,
    how: How,
    subset: u64,
}

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Where { script, operation, how, subset } = self;
            let how = match how {
                How::Cut => "cut".to_owned(),
                How::Kill => "kill".to_owned(),
                How::Recovery(at) => at.to_string(),
            };
            eprintln!("this was NETCHAN_CUT={script},{operation},{how},{subset}");
        }
    }
}

/// A script that was played until one operation.
struct Played {
    script: Script,
    seed: u64,
    operation: u64,
    disk: SimDisk,
    told: Told,
}

/// `None`: it has no so many operations.
fn played(seed: u64, operation: u64) -> Option<Played> {
    let _where = Where { script: seed, operation, how: How::Cut, subset: 0 };
    let script = Script::new(seed);
    let disk = SimDisk::new(seed);
    let told = play(&disk, &script, operation);
    (!disk.is_on()).then_some(Played { script, seed, operation, disk, told })
}

impl Played {
    fn look_at(&self, how: How, subset: u64) {
        let Played { seed, operation, told, .. } = self;
        let _where = Where { script: *seed, operation: *operation, how, subset };
        let disk = self.disk.fork(seed << 32 ^ operation << 8 ^ subset);
        match how {
            How::Cut => {
                disk.crash();
                self.recover_and_check(&disk, told, subset);
            }
            How::Kill => {
                disk.kill();
                disk.cut_power_at(1 + subset);
                let told = life::live(&disk, &self.script, told.clone());
                disk.crash();
                check(&disk, &told, subset.is_multiple_of(4));
            }
            How::Recovery(at) => {
                let survived = self.half_recovered(at).expect("a recovery of so many operations");
                let disk = survived.fork(seed << 32 ^ operation << 8 ^ at << 48 ^ subset);
                disk.crash();
                self.recover_and_check(&disk, told, subset);
            }
        }
    }

    fn recover_and_check(&self, disk: &SimDisk, told: &Told, subset: u64) {
        if subset % 2 == 1 {
            disk.cut_power_at(1 + subset / 2);
            check::recover(disk, told);
            disk.crash();
        }
        check(disk, told, subset.is_multiple_of(4));
    }

    /// What a cut has left, recovered from until the power goes at an operation; `None` if it does not go.
    fn half_recovered(&self, at: u64) -> Option<SimDisk> {
        let disk = self.disk.fork(self.seed << 32 ^ self.operation << 8);
        disk.crash();
        disk.cut_power_at(at);
        check::recover(&disk, &self.told);
        (!disk.is_on()).then_some(disk)
    }

    /// All cuts at this operation. Says how many there were, and at how many operations.
    fn look_at_all(&self) -> (u64, u64) {
        let mut operations = 2;
        let each = |how| (0..SUBSETS).for_each(|subset| self.look_at(how, subset));
        each(How::Cut);
        each(How::Kill);
        if self.operation % RECOVERIES == self.seed % RECOVERIES {
            for at in (1..).take_while(|&at| self.half_recovered(at).is_some()) {
                each(How::Recovery(at));
                operations += 1;
            }
        }
        (operations, operations * SUBSETS)
    }
}

/// One of them again, by what a failure said.
fn again(one: &str) {
    let words: Vec<&str> = one.split(',').collect();
    let how = match words[2] {
        "cut" => How::Cut,
        "kill" => How::Kill,
        at => How::Recovery(at.parse().unwrap()),
    };
    let played = played(words[0].parse().unwrap(), words[1].parse().unwrap()).unwrap();
    played.look_at(how, words[3].parse().unwrap());
}

// NC-DSK-030, NC-DSK-040, NC-DSK-041, NC-DSK-009
#[test]
fn whatever_survives_a_power_cut_nothing_durable_is_lost_and_nothing_wrong_is_read() {
    if let Ok(one) = std::env::var("NETCHAN_CUT") {
        return again(&one);
    }
    let wanted = std::env::var("NETCHAN_CUTS").map_or(SLICE, |cuts| cuts.parse().unwrap());
    let stride = if wanted > SLICE { 1 } else { STRIDE };
    let (scripts, operations, cuts) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let began = Instant::now();
    let work = || {
        let is_enough = || cuts.load(Ordering::Relaxed) >= wanted;
        while !is_enough() && !failed.load(Ordering::Relaxed) {
            let script = scripts.fetch_add(1, Ordering::Relaxed);
            for operation in (1 + script % stride..).step_by(stride as usize) {
                let Some(played) = played(script, operation) else { break };
                let (at, count) = played.look_at_all();
                operations.fetch_add(at, Ordering::Relaxed);
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
    assert!(cuts >= wanted && operations >= cuts / SUBSETS);
}
