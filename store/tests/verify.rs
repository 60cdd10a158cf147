//! What a data directory holds is told, and what doesn't hold is told with its place.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netchan_proto::{AsRecord, Durability, Offset};
use netchan_store::disk::{Disk, RealDisk, SimDisk};
use netchan_store::{Log, Store, StoreOptions, Verified, verify};
use rig::{append, commit, name, open, segment, small};

fn all(disk: &dyn Disk) -> Vec<Verified> {
    let mut found = Vec::new();
    verify(disk, &[], |log| found.push(log), |_| ()).unwrap();
    found
}

fn of(disk: &dyn Disk, channel: &str) -> Verified {
    let mut found = Vec::new();
    verify(disk, &[name(channel)], |log| found.push(log), |_| ()).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Thirty records of a kilobyte: four segments.
fn some(disk: &SimDisk) -> (Store, Log) {
    let store = open(disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..30 {
        append(&log, &format!("{n} {}", "x".repeat(1000)));
        commit(&store);
    }
    (store, log)
}

#[test]
fn a_sound_directory_holds_before_and_after_closing_and_nothing_is_changed() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk);
    store.create_or_open(&name("empty"), &small(Durability::Os)).unwrap();
    for closed in [false, true] {
        if closed {
            log.seal().unwrap();
            store.close();
        }
        let operations = disk.operations();
        let mut read = (0, 0);
        let mut found = Vec::new();
        verify(&disk, &[], |log| found.push(log), |now| read = (now.read, now.total)).unwrap();
        assert_eq!(operations, disk.operations());
        assert_eq!(read.0, read.1);
        let told: Vec<_> = found.iter().map(|log| (log.dir.clone(), log.problems.clone())).collect();
        assert!(found.len() == 3 && found.iter().all(Verified::holds), "{told:?}");
        let of = &found[0];
        assert_eq!((of.records, of.sealed, of.unfinished), (30, closed, 0));
        assert!(of.segments > 3 && of.offsets == Some((Offset(0), Offset(30))));
    }
    let missing = verify(&disk, &[name("nobody")], |_| (), |_| ()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn every_flipped_bit_of_what_is_durable_is_told_with_its_file() {
    let disk = SimDisk::new(2);
    let (store, log) = some(&disk);
    let segments = log.info().segments;
    store.close();
    let mut bases = vec![0];
    let mut base = 0;
    while (bases.len() as u64) < segments {
        base += 1;
        if disk.contents(&segment(&log, base)).is_some() {
            bases.push(base);
        }
    }
    for base in &bases[..bases.len() - 1] {
        let path = segment(&log, *base);
        let good = disk.contents(&path).unwrap();
        for byte in (0..good.len()).step_by(61) {
            // Between a head's last field and its end there is nothing that a checksum does not cover.
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            disk.overwrite(&path, bad);
            let found = of(&disk, "a");
            let told =
                found.problems.iter().any(|problem| problem.path == path && problem.byte <= byte as u64);
            assert!(told || is_padding(&good, byte), "byte {byte} of {path}: {:?}", found.problems);
            let lost: u64 =
                found.problems.iter().filter_map(|it| it.offsets).map(|(from, to)| to.0 - from.0).sum();
            assert!(found.records + lost == 30 && lost <= 1, "byte {byte}: {lost} lost");
        }
        disk.overwrite(&path, good);
    }
    assert!(of(&disk, "a").holds());
}

/// Whether a byte fills a batch up to a multiple of 8.
fn is_padding(segment: &[u8], byte: usize) -> bool {
    let mut at = 4096;
    while at + 64 <= segment.len() {
        let body = u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap()) as usize;
        let end = (at + 64 + body).next_multiple_of(8);
        if byte < end {
            return byte >= at + 64 + body;
        }
        at = end;
    }
    false
}

#[test]
fn what_is_missing_is_told_and_a_torn_tail_is_none_of_it() {
    let disk = SimDisk::new(3);
    let (_store, log) = some(&disk);
    let base = (0..30).rev().find(|base| disk.contents(&segment(&log, *base)).is_some()).unwrap();
    let newest = segment(&log, base);
    let good = disk.contents(&newest).unwrap();
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut torn = good[..end].to_vec();
    torn.extend_from_slice(b"half a batch");
    disk.overwrite(&newest, torn);
    let found = of(&disk, "a");
    assert!(found.holds() && found.records == 30 && found.unfinished > 0, "{found:?}");
    disk.overwrite(&newest, good);
    // A whole segment that is gone.
    let store = open(&SimDisk::new(4));
    drop(store);
    disk.remove_file(&segment(
        &log,
        (1..30).find(|base| disk.contents(&segment(&log, *base)).is_some()).unwrap(),
    ))
    .unwrap();
    let found = of(&disk, "a");
    let lost = found.problems.iter().find_map(|problem| problem.offsets).unwrap();
    assert!(!found.holds() && found.records + (lost.1.0 - lost.0.0) == 30, "{found:?}");
}

/// NC-DSK-071: what closing noted is missed where it is gone, although nothing that is left speaks of it.
#[test]
fn what_is_cut_off_a_log_that_was_closed_is_missed() {
    let disk = SimDisk::new(6);
    let (store, log) = some(&disk);
    store.close();
    let base = (0..30).rev().find(|base| disk.contents(&segment(&log, *base)).is_some()).unwrap();
    let newest = segment(&log, base);
    let good = disk.contents(&newest).unwrap();
    for len in (0..good.len()).rev().step_by(97) {
        disk.overwrite(&newest, good[..len].to_vec());
        let found = of(&disk, "a");
        let lost: u64 =
            found.problems.iter().filter_map(|it| it.offsets).map(|(from, to)| to.0 - from.0).sum();
        assert!(!found.holds() && found.records + lost == 30 && lost > 0, "cut to {len}: {found:?}");
        assert!(found.problems.iter().all(|problem| problem.path == newest), "cut to {len}: {found:?}");
    }
    let dir = format!("channels/{}", log.id());
    for file in disk.list(&dir).unwrap() {
        if file.ends_with(".log") {
            disk.remove_file(&format!("{dir}/{file}")).unwrap();
        }
    }
    let lost = of(&disk, "a").problems;
    assert!(lost.len() == 1 && lost[0].offsets == Some((Offset(0), Offset(30))), "{lost:?}");
}

/// A channel whose meta is gone still has its name in its segments.
#[test]
fn a_channel_whose_meta_is_damaged_is_found_by_its_name() {
    let disk = SimDisk::new(7);
    let (store, log) = some(&disk);
    store.close();
    disk.overwrite(&format!("channels/{}/meta", log.id()), b"NCMETA01 and then nothing".to_vec());
    let found = of(&disk, "a");
    assert!(found.problems.len() == 1 && found.records == 30, "{found:?}");
}

#[test]
fn small_files_that_are_damaged_are_told() {
    let disk = SimDisk::new(5);
    let (store, log) = some(&disk);
    store.close();
    for path in ["node".to_owned(), format!("channels/{}/meta", log.id()), "state/meta".to_owned()] {
        let good = disk.contents(&path).unwrap();
        let mut bad = good.clone();
        bad[9] ^= 1;
        disk.overwrite(&path, bad);
        let found = all(&disk);
        assert!(found.iter().flat_map(|log| &log.problems).any(|problem| problem.path == path), "{found:?}");
        disk.overwrite(&path, good);
    }
    assert!(all(&disk).iter().all(Verified::holds));
}

#[test]
fn a_directory_in_use_is_verified_while_it_is_written_rolled_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(dir.path()).unwrap();
    let options = StoreOptions { min_free_percent: 0, ..StoreOptions::default() };
    let store = Store::open(Arc::new(disk.clone()), options).unwrap();
    let mut kept = small(Durability::Os);
    kept.segment_bytes = 100_000;
    kept.retention.max_bytes = Some(1_000_000);
    let log = store.create_or_open(&name("a"), &kept).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = log.append(&[7_u8; 900].as_record());
            }
        });
        // Often, and until segments have rolled and gone meanwhile, however slow the machine is.
        let mut looks = 0;
        while looks < 50 || log.first() == Offset(0) {
            let found = of(&disk, "a");
            if !found.holds() {
                stop.store(true, Ordering::Relaxed);
            }
            assert!(found.holds(), "{found:?}");
            looks += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.close();
}
