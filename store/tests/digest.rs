//! The end of a channel: final, durable, with a digest of all of it that who has read it can check; or never.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::batch::{BatchHeader, HEADER_LEN};
use netchan_proto::crc::crc32c;
use netchan_proto::{Durability, Offset};
use netchan_store::disk::SimDisk;
use netchan_store::{AppendError, LogError, LogOptions, Retention, Verified, verify};
use rig::*;

fn verified(disk: &SimDisk) -> Verified {
    let mut found = Vec::new();
    verify(disk, &[name("a")], |log| found.push(log), |_| ()).unwrap();
    found.remove(0)
}

// NC-DSK-038
#[test]
fn the_digest_is_that_of_all_that_was_ever_in_the_log_over_segments_restarts_and_power_cuts() {
    let disk = SimDisk::new(1);
    for life in 0..4 {
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
        assert_eq!(log.digest(), None, "it is not sealed");
        for n in 0..25 {
            append(&log, &format!("{life} {n} {}", "x".repeat(n * 40)));
            commit(&store);
        }
        match life {
            0 => store.close(),
            1 => disk.kill(),
            2 => {
                log.sync().unwrap();
                drop((log, store));
                disk.crash();
            }
            _ => {
                assert!(log.info().segments > 5);
                let whole = digest(&log);
                log.seal().unwrap();
                assert_eq!(log.digest(), Some(whole));
                store.close();
                let found = verified(&disk);
                assert_eq!((found.digest, found.problems), (Some(whole), vec![]));
                // What retention takes is in it still.
                let store = open(&disk);
                let log = store.open_existing(&name("a")).unwrap().unwrap();
                log.set_retention(Retention { max_records: Some(5), ..Retention::default() }).unwrap();
                assert!(log.first() > Offset(0) && log.digest() == Some(whole));
                store.close();
                let found = verified(&disk);
                assert_eq!((found.digest, found.problems), (Some(whole), vec![]));
                return;
            }
        }
    }
}

// NC-DSK-038
#[test]
fn an_empty_channel_has_a_digest_too() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    log.seal().unwrap();
    assert_eq!(log.digest(), Some(netchan_proto::Digest::START));
}

/// Every checksum of its own holds, and what it says has changed: only what all of it comes to tells.
// NC-DSK-038
#[test]
fn a_batch_that_was_replaced_by_another_that_holds_is_told() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "one");
    commit(&store);
    append(&log, "two");
    commit(&store);
    log.seal().unwrap();
    store.close();
    assert!(verified(&disk).holds());
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    // The last batch: nothing after it but the seal's chain speaks of it.
    let at = 4096 + 80;
    let mut header = BatchHeader::decode(bytes[at..].first_chunk().unwrap(), &log.id().0).unwrap();
    assert_eq!(header.base_offset, Offset(1));
    let body = at + HEADER_LEN..at + HEADER_LEN + header.body_len as usize;
    bytes[body.end - 1] ^= 1;
    header.body_crc = crc32c(&bytes[body]);
    bytes[at..at + HEADER_LEN].copy_from_slice(&header.encode(&log.id().0));
    disk.overwrite(&path, bytes);
    let problems = verified(&disk).problems;
    assert!(problems.iter().any(|problem| problem.what.contains("its seal says")), "{problems:?}");
}

/// A head of an earlier version says nothing of what stands before it.
// NC-DSK-038
#[test]
fn a_log_that_an_earlier_version_began_is_sealed_without_a_digest() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for _ in 0..10 {
        append(&log, &"x".repeat(1000));
        commit(&store);
    }
    store.close();
    let bases = (0..10).filter(|base| disk.contents(&segment(&log, *base)).is_some());
    for path in bases.map(|base| segment(&log, base)) {
        let mut bytes = disk.contents(&path).unwrap();
        bytes[4072..4080].fill(0);
        let crc = crc32c(&bytes[..4092]);
        bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
        disk.overwrite(&path, bytes);
    }
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    log.seal().unwrap();
    store.close();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!((log.digest(), log.is_sealed()), (None, true));
    assert!(verified(&disk).holds());
}

// NC-DSK-039
#[test]
fn a_channel_that_cannot_be_sealed_is_never_sealed_by_any_handle_and_takes_more() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let options = LogOptions { unsealable: true, ..small(Durability::Sync) };
    let log = store.create_or_open(&name("a"), &options).unwrap();
    append(&log, "one");
    assert!(matches!(log.seal(), Err(LogError::Unsealable)));
    append(&log, "two");
    store.close();
    // Nobody makes it sealable, not even who asks for other options.
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    log.set_retention(Retention::default()).unwrap();
    assert!(matches!(log.seal(), Err(LogError::Unsealable)));
    append(&log, "three");
    store.close();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert!(matches!(log.seal(), Err(LogError::Unsealable)));
    assert_eq!(texts(&log), ["one", "two", "three"]);
}

// NC-DSK-037
#[test]
fn a_seal_refuses_every_later_append_of_every_handle_and_life() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    let other = store.open_existing(&name("a")).unwrap().unwrap();
    append(&log, "one");
    assert_eq!(log.seal().unwrap(), Offset(1));
    let refused = |log: &netchan_store::Log| {
        use netchan_proto::AsRecord;
        matches!(log.append(&"x".as_record()), Err(AppendError::Sealed { at: Offset(1) }))
    };
    assert!(refused(&log) && refused(&other));
    drop((log, other, store));
    disk.crash(); // durable without a word more
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    assert!(refused(&log) && log.seal().unwrap() == Offset(1));
}
