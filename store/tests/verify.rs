//! What a data directory holds is told, and what doesn't hold is told with its place.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netchan_proto::batch::{BatchBuilder, BatchHeader, HEADER_LEN, Stamp, header_crc};
use netchan_proto::crc::crc32c;
use netchan_proto::{AsRecord, Durability, Epoch, Offset, Timestamp};
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

/// The newest segment of a closed log of three records, and what its last batch is.
fn closed_with_one(seal: bool) -> (SimDisk, Log, Vec<u8>, BatchHeader, u32) {
    let disk = SimDisk::new(8);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..3 {
        append(&log, &n.to_string());
        commit(&store);
    }
    if seal {
        log.seal().unwrap();
    }
    store.close();
    let bytes = disk.contents(&segment(&log, 0)).unwrap();
    let (mut at, mut last) = (4096, None);
    while let Some(chunk) = bytes[at..].first_chunk::<HEADER_LEN>() {
        let header = BatchHeader::decode(chunk, &log.id().0).unwrap();
        last = Some((header, header_crc(chunk)));
        at += header.stored_len();
    }
    let (header, crc) = last.unwrap();
    (disk, log, bytes, header, crc)
}

/// Batches whose checksums hold, and that do not stand in the order that the spec promises: NC-DSK-031, NC-DSK-033, NC-DSK-034,
/// NC-DSK-037.
#[test]
fn a_batch_that_holds_by_itself_and_breaks_the_order_is_told() {
    fn next<'a>(header: &BatchHeader, crc: u32, seed: &'a [u8; 16]) -> (Timestamp, Stamp<'a>) {
        let stamp =
            Stamp { seed, epoch: header.epoch, durable_offset: header.base_offset, previous_crc: crc };
        (header.last_time().plus_nanos(5), stamp)
    }
    let batch = |offset: Offset, time: Timestamp, stamp: Stamp<'_>| {
        let mut builder = BatchBuilder::new(offset, None);
        builder.push(time, &"one more".as_record());
        builder.finish(stamp).1.to_vec()
    };
    type Break = fn(&mut Timestamp, &mut Stamp<'_>);
    let breaks: [(&str, Break); 4] = [
        ("", |_, _| ()),
        ("does not follow the one before it", |_, stamp| stamp.previous_crc ^= 1),
        ("of an older epoch", |_, stamp| stamp.epoch = Epoch(0)),
        ("is not later than the one before", |time, _| *time = time.plus_nanos(-5)),
    ];
    for (words, broken) in breaks {
        let (disk, log, good, header, crc) = closed_with_one(false);
        let id = log.id();
        let (mut time, mut stamp) = next(&header, crc, &id.0);
        broken(&mut time, &mut stamp);
        disk.overwrite(&segment(&log, 0), [&good[..], &batch(header.next_offset(), time, stamp)].concat());
        let found = of(&disk, "a");
        assert_eq!(found.records, 4, "{words}");
        let told: Vec<&str> = found.problems.iter().map(|problem| &*problem.what).collect();
        match words {
            "" => assert!(told.is_empty(), "{told:?}"),
            words => assert!(told.len() == 1 && told[0].contains(words), "{words}: {told:?}"),
        }
        assert!(found.problems.iter().all(|problem| problem.byte == good.len() as u64));
    }
    // A seal is the last.
    let (disk, log, good, header, crc) = closed_with_one(true);
    let id = log.id();
    let (time, stamp) = next(&header, crc, &id.0);
    disk.overwrite(&segment(&log, 0), [&good[..], &batch(header.next_offset(), time, stamp)].concat());
    let found = of(&disk, "a");
    assert!(found.problems.iter().any(|problem| problem.what.contains("after the seal")), "{found:?}");
    // Records that are not those of the header, under checksums that hold.
    let (disk, log, good, header, crc) = closed_with_one(false);
    let id = log.id();
    let (time, stamp) = next(&header, crc, &id.0);
    let mut bad = batch(header.next_offset(), time, stamp);
    let header = BatchHeader::decode(bad.first_chunk().unwrap(), &log.id().0).unwrap();
    bad[HEADER_LEN] ^= 0x40;
    let body_crc = crc32c(&bad[HEADER_LEN..HEADER_LEN + header.body_len as usize]);
    bad[..HEADER_LEN].copy_from_slice(&BatchHeader { body_crc, ..header }.encode(&log.id().0));
    disk.overwrite(&segment(&log, 0), [&good[..], &bad].concat());
    let found = of(&disk, "a");
    let lost = Some((Offset(3), Offset(4)));
    let told = |it: &netchan_store::Problem| it.what.contains("contradicts its batch") && it.offsets == lost;
    assert!(found.problems.iter().any(told), "{found:?}");
}

#[test]
fn what_is_wrong_beyond_a_hundred_times_is_counted() {
    let disk = SimDisk::new(9);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &netchan_store::LogOptions::default()).unwrap();
    for n in 0..260 {
        append(&log, &n.to_string());
        commit(&store);
    }
    store.close();
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    let places: Vec<usize> =
        (4096..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"NCB1")).collect();
    places.iter().step_by(2).for_each(|at| bytes[at + HEADER_LEN] ^= 1);
    disk.overwrite(&path, bytes);
    let found = of(&disk, "a");
    assert_eq!((found.problems.len(), found.more_problems, found.records), (100, 30, 130));
}

#[test]
fn a_directory_with_a_name_that_nobody_knows_and_a_segment_that_overlaps_are_told() {
    let disk = SimDisk::new(10);
    let (store, log) = some(&disk);
    store.close();
    let path = segment(&log, 0);
    let good = disk.contents(&path).unwrap();
    let dir = format!("channels/{}", log.id());
    // A copy of the first segment as one that would begin with the second record of a batch of it.
    let store = open(&disk);
    let two = store.create_or_open(&name("two"), &small(Durability::Sync)).unwrap();
    append(&two, "in");
    append(&two, "one batch");
    two.sync().unwrap();
    store.close();
    let file = disk.open(&segment(&two, 1), netchan_store::disk::Open::CreateNew).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(&good)], 0).unwrap();
    let found = of(&disk, "two");
    assert!(found.problems.iter().any(|it| it.what.contains("begins within a batch")), "{found:?}");
    // Neither meta nor a head.
    let mut bad = good.clone();
    bad[20] ^= 1;
    for file in disk.list(&dir).unwrap() {
        let mut bytes = disk.contents(&format!("{dir}/{file}")).unwrap();
        bytes[20] ^= 1;
        disk.overwrite(&format!("{dir}/{file}"), bytes);
    }
    let found = all(&disk);
    let nameless = found.iter().find(|log| log.dir == dir).unwrap();
    assert!(nameless.name.is_none() && !nameless.holds(), "{nameless:?}");
    // A table of producers that is damaged costs no record.
    let disk = SimDisk::new(11);
    let (store, log) = some(&disk);
    let producer = netchan_proto::ProducerId([5; 16]);
    let mut builder = BatchBuilder::new(Offset(0), None);
    builder.push(Timestamp(1), &"published".as_record());
    let stamp = Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    let (header, bytes) = builder.finish(stamp);
    let batch = netchan_proto::batch::Batch::verify_body(header, bytes).unwrap();
    log.append_batch(&log.claim(producer), &batch).unwrap();
    for _ in 0..10 {
        append(&log, &"x".repeat(1000));
        commit(&store);
    }
    store.close();
    let newest =
        (0..50).rev().map(|base| segment(&log, base)).find(|path| disk.contents(path).is_some()).unwrap();
    let mut bytes = disk.contents(&newest).unwrap();
    bytes[4096 + 3] ^= 1;
    disk.overwrite(&newest, bytes);
    let found = of(&disk, "a");
    assert!(found.problems.len() == 1 && found.problems[0].what.contains("table of producers"), "{found:?}");
    assert_eq!(found.records, 41);
}
