//! A channel that is deleted and made again: who is late with the old one is told, and never reads of the new one.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::{Durability, Offset, Position, Start};
use netchan_store::disk::SimDisk;
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
