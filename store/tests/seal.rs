//! What a seal promises when it comes to the disk, and what is told of a sealed log when it is opened again.
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::{AsRecord, Durability, Offset};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{AppendError, verify};
use rig::*;

/// The seal's own sync fails, and the system takes its page for clean. Whoever opens the log then and tells that it is sealed
/// must have it on disk, though every record was durable before.
#[test]
fn a_seal_whose_sync_failed_is_written_again_before_anybody_is_told_of_it() {
    let mut told = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for n in 0..seed {
            append(&log, &format!("{n}"));
            commit(&store);
        }
        disk.fail_sync(1);
        log.seal().unwrap_err();
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        assert_eq!(log.durable(), Offset(seed));
        let sealed_at = log.sealed_at();
        told += u32::from(sealed_at.is_some());
        disk.crash();
        drop((log, store));
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!((log.durable(), log.sealed_at()), (Offset(seed), sealed_at), "seed {seed}");
    }
    assert!(told > 0, "no seal was found");
}

#[test]
fn what_is_told_of_a_sealed_log_is_the_same_after_it_was_opened_again() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let kept = small(Durability::Sync);
    for (channel, records) in [("none", 0), ("one", 1), ("some", 5), ("segments", 300)] {
        let log = store.create_or_open(&name(channel), &kept).unwrap();
        for n in 0..records {
            append(&log, &format!("{n} {}", "x".repeat(100)));
            commit(&store);
        }
        log.seal().unwrap();
    }
    let told = store.list(None, "", 9);
    assert!(told.len() == 4 && told.iter().all(|info| info.sealed) && told[2].segments > 1, "{told:?}");
    for (info, (records, _)) in told.iter().map(|info| {
        let log = store.existing(&info.name).unwrap();
        (info, read_from(&log, log.first(), 1 << 20))
    }) {
        let last = records.last().map_or(netchan_proto::Timestamp::MIN, |record| record.timestamp);
        assert_eq!(info.last_time, last, "{}", info.name);
    }
    store.close();
    drop(store);
    assert_eq!(open(&disk).list(None, "", 9), told);
}

// NC-DSK-048, NC-DSK-071
/// A channel that was sealed and closed stays sealed, whatever becomes of the seal: no bit of it and no length of the file
/// lets it take records again, nothing of it is cut off, and verify tells.
#[test]
fn a_closed_channel_stays_sealed_whatever_becomes_of_its_seal() {
    for records in [0, 3] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for n in 0..records {
            append(&log, &format!("{n}"));
            commit(&store);
        }
        let path = segment(&log, 0);
        log.seal().unwrap();
        let begins = log.info().bytes;
        store.close();
        drop((log, store));
        let whole = disk.contents(&path).unwrap();
        assert_eq!(begins, whole.len() as u64);
        let seal = seal_of(&whole);
        let mut damaged: Vec<Vec<u8>> = (seal..whole.len()).map(|len| whole[..len].to_vec()).collect();
        damaged.extend((seal * 8..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        }));
        for (case, bytes) in damaged.into_iter().enumerate() {
            disk.overwrite(&path, bytes.clone());
            let mut found = Vec::new();
            verify(&disk as &dyn Disk, &[name("a")], |log| found.push(log), |_| ()).unwrap();
            let store = open(&disk);
            let told = store.list(None, "", 1).remove(0);
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            assert!(told.sealed && log.sealed_at() == Some(Offset(records)), "case {case}: {told:?}");
            assert!(matches!(log.append(&"x".as_record()), Err(AppendError::Sealed { .. })), "case {case}");
            if !found[0].holds() {
                assert_eq!(disk.contents(&path).unwrap(), bytes, "case {case}: nothing is cut off");
            } else {
                assert_eq!(
                    bytes[..whole.len() - 8],
                    whole[..whole.len() - 8],
                    "case {case}: only padding may pass"
                );
            }
            store.close();
        }
    }
}

/// Where the last batch of a segment begins, which is a seal.
fn seal_of(segment: &[u8]) -> usize {
    segment.windows(4).rposition(|bytes| bytes == b"NCB1").unwrap()
}
