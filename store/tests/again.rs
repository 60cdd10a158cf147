//! A channel that is deleted and made again: who is late with the old one is told, and never reads of the new one.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::{Durability, Offset, Position, Start};
use netchan_store::disk::{Fault, SimDisk};
use netchan_store::{LogError, Mark, StoreError};
use rig::*;

#[test]
fn a_late_reader_of_a_channel_that_was_deleted_and_made_again_is_told_so_and_reads_nothing_of_the_new_one() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let old = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..40 {
        append(&old, &format!("old {n} {}", "x".repeat(900)));
        commit(&store);
    }
    let position = Position { log: old.id(), epoch: old.epoch(), offset: Offset(7) };
    store.delete(&name("a")).unwrap();
    let new = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..60 {
        append(&new, &format!("new {n} {}", "x".repeat(900)));
        commit(&store);
    }
    // From wherever it reads, in whatever way.
    for at in 0..40 {
        match old.read(Offset(at), 4000) {
            Err(LogError::Deleted) => {}
            Ok(run) => {
                for batch in batches(old.id(), run.bytes) {
                    let records = batch.records().map(Result::unwrap);
                    records.for_each(|record| assert!(record.payload.starts_with(b"old ")));
                }
            }
            other => panic!("{other:?} at {at}"),
        }
    }
    assert!(matches!(old.read(Offset(7), 4000), Err(LogError::Deleted)), "its files are gone");
    for mark in [Mark::Written, Mark::Durable, Mark::Visible] {
        let reached = with_cx(|cx| old.poll_reached(mark, Offset(41), cx));
        assert!(matches!(reached, std::task::Poll::Ready(Err(LogError::Deleted))), "{reached:?}");
    }
    assert!(matches!(old.seal(), Err(LogError::Deleted)));
    assert!(matches!(old.truncate_before(Offset(3)), Err(StoreError::Closed)));
    // Who kept a position learns that it is of another log.
    let (theirs, ours) = (old.id(), new.id());
    match new.resolve(&Start::Resume(position)) {
        Err(LogError::OtherLog { theirs: told, ours: own }) => assert_eq!((told, own), (theirs, ours)),
        other => panic!("{other:?}"),
    }
    assert_eq!(texts(&new).len(), 60);
}

/// A deletion that fails leaves the channel, or is done again by whoever next asks for its name; in neither case is a record lost
/// that is acknowledged after that, nor does one of the channel that is gone come back.
#[test]
fn a_deletion_that_failed_blocks_no_name() {
    let filled = SimDisk::new(1);
    let store = open(&filled);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "old");
    log.sync().unwrap();
    store.close();
    let (mut stayed, mut went) = (0, 0);
    for seed in 0..40 {
        for operation in 1.. {
            let disk = filled.fork(seed);
            let store = open(&disk);
            let old = store.open_existing(&name("a")).unwrap().unwrap();
            disk.fail_at(operation, Fault::Io);
            let deleted = store.delete(&name("a"));
            if disk.is_to_fail() {
                break;
            }
            if deleted.is_err() && seed % 2 == 0 {
                // Who looks only is told that it is gone, or gets it as it was.
                let found = store.open_existing(&name("a")).unwrap();
                assert!(found.is_none_or(|log| log.id() == old.id() && texts(&log) == ["old"]));
            }
            let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
            let expected: &[&str] = if log.id() == old.id() { &["old", "new"] } else { &["new"] };
            stayed += u64::from(log.id() == old.id());
            went += u64::from(log.id() != old.id() && deleted.is_err());
            append(&log, "new");
            log.sync().unwrap();
            let id = log.id();
            drop((store, log, old));
            disk.crash();
            let store = open(&disk);
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            assert_eq!(log.id(), id, "operation {operation}, seed {seed}");
            assert_eq!(texts(&log), expected, "operation {operation}, seed {seed}");
        }
    }
    assert!(stayed > 0 && went > 0, "{stayed} stayed, {went} went");
}
