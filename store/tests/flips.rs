//! A cleanly closed channel of three segments, with every single bit flipped in turn and cut at every length: a reader
//! gets what was sent, or is told which records are damaged; opening it removes nothing that it has not set aside.
//!
//! Every test run takes a slice (each bit of each 41st byte, each 7th length); for the whole of it:
//!
//! ```console
//! $ NETCHAN_FLIPS=all cargo test --release -p netchan-store --test flips -- --nocapture
//! ```

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::{Durability, Offset};
use netchan_store::Log;
use netchan_store::disk::{Disk, SimDisk};
use rig::*;

/// A disk with a closed channel, the channel's files, and what was sent.
struct Closed {
    disk: SimDisk,
    files: Vec<String>,
    sent: Vec<String>,
}

fn closed() -> Closed {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let mut sent = Vec::new();
    while log.info().segments < 3 || sent.len() % 7 != 0 {
        let text = format!("{} {}", sent.len(), "x".repeat(sent.len() * 37 % 300));
        append(&log, &text);
        if sent.len() % 5 == 4 {
            commit(&store);
        }
        sent.push(text);
    }
    log.sync().unwrap();
    let dir = format!("channels/{}", log.id());
    store.close();
    assert_eq!(log.info().segments, 3);
    let files: Vec<_> = disk.list(&dir).unwrap().into_iter().map(|name| format!("{dir}/{name}")).collect();
    assert_eq!(files.len(), 4, "three segments and meta: {files:?}");
    Closed { disk, files, sent }
}

/// Reads everything: what comes is what was sent, and what doesn't is told. Says how many records are damaged.
fn read_all(log: &Log, sent: &[String]) -> u64 {
    let end = sent.len() as u64;
    assert_eq!((log.first(), log.visible(), log.durable()), (Offset(0), Offset(end), Offset(end)));
    let (records, holes) = read_from(log, Offset(0), 1 << 20);
    for record in &records {
        assert!(
            record.payload == sent[usize::try_from(record.offset.0).unwrap()],
            "record {}",
            record.offset
        );
    }
    let lost: u64 = holes.iter().map(|(from, to)| to.0 - from.0).sum();
    assert_eq!(records.len() as u64 + lost, end, "neither read nor told: {holes:?}");
    lost
}

/// Puts `bad` into the place of one file, opens and reads. Says how many records are damaged.
fn look(closed: &Closed, path: &str, bad: &[u8], seed: u64) -> u64 {
    let disk = closed.disk.fork(seed);
    disk.overwrite(path, bad.to_vec());
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().expect("the channel is there");
    let lost = read_all(&log, &closed.sent);
    // What is not in its place any more is beside it.
    let dir = path.rsplit_once('/').unwrap().0;
    let aside =
        |name: &String| name.ends_with(".bad").then(|| disk.contents(&format!("{dir}/{name}")).unwrap());
    let aside: Vec<u8> = disk.list(dir).unwrap().iter().filter_map(aside).flatten().collect();
    let now = disk.contents(path).unwrap_or_default();
    let kept = now.starts_with(bad) || [&now[..], &aside].concat().starts_with(bad) || aside.starts_with(bad);
    assert!(kept, "{path}: {} bytes of {} are nowhere", bad.len() - now.len(), bad.len());
    lost
}

/// Runs every case of a file on all cores, and says how many there were, and how many records at most were damaged.
fn every(cases: u64, case: impl Fn(u64) -> u64 + Sync) -> u64 {
    let (next, worst) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= cases {
                return;
            }
            worst.fetch_max(case(index), Ordering::Relaxed);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    worst.into_inner()
}

fn is_whole() -> bool {
    std::env::var("NETCHAN_FLIPS").is_ok_and(|which| which == "all")
}

// NC-DSK-020, NC-DSK-043, NC-DSK-044
#[test]
fn any_single_bit_that_flips_is_told_or_does_no_harm() {
    let closed = closed();
    let step = if is_whole() { 1 } else { 41 };
    for path in &closed.files {
        let good = closed.disk.contents(path).unwrap();
        let bytes = (good.len() as u64).div_ceil(step);
        let worst = every(bytes * 8, |index| {
            let (at, bit) = (usize::try_from(index / 8 * step).unwrap(), index % 8);
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            look(&closed, path, &bad, index)
        });
        println!(
            "{path}: {} flips, at most {worst} of {} records damaged by one",
            bytes * 8,
            closed.sent.len()
        );
        assert!(worst <= 5, "{path}: one bit costs more than its batch");
    }
}

// NC-DSK-041, NC-DSK-042, NC-DSK-044
#[test]
fn a_file_that_was_cut_at_any_length_is_told() {
    let closed = closed();
    let step = if is_whole() { 1 } else { 7 };
    for path in &closed.files {
        let good = closed.disk.contents(path).unwrap();
        let lengths = (good.len() as u64).div_ceil(step);
        let worst = every(lengths, |index| {
            let len = usize::try_from(index * step).unwrap();
            look(&closed, path, &good[..len], index)
        });
        println!(
            "{path}: cut at {lengths} lengths, at most {worst} of {} records damaged",
            closed.sent.len()
        );
    }
}
