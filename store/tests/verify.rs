//! What a data directory holds is told, and what doesn't hold is told with its place.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "rig/meanwhile.rs"]
mod meanwhile;
mod rig;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use meanwhile::Meanwhile;
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
        let names = disk.list(&format!("channels/{}", log.id())).unwrap();
        let lens = names.iter().filter(|name| name.ends_with(".log"));
        let lens = lens.map(|name| disk.contents(&format!("channels/{}/{name}", log.id())).unwrap().len());
        assert!(read.0 == read.1 && read.1 > lens.sum::<usize>() as u64, "{read:?}");
        let told: Vec<_> = found.iter().map(|log| (log.dir.clone(), log.problems.clone())).collect();
        assert!(found.len() == 3 && found.iter().all(Verified::holds), "{told:?}");
        let of = &found[0];
        assert_eq!((of.records, of.sealed, of.unfinished), (30, closed, 0));
        let run: usize = (0..30).map(|at| log.read(Offset(at), 1).unwrap().bytes.len()).sum();
        let seal = u64::from(closed) * 72;
        assert_eq!((of.batches, of.bytes), (30 + u64::from(closed), run as u64 + seal));
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
    assert!(found.holds() && found.records == 30, "{found:?}");
    let end = end.next_multiple_of(8) as u64; // a batch ends there
    assert_eq!(found.unfinished, 12 - (end - (good.iter().rposition(|byte| *byte != 0).unwrap() + 1) as u64));
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
    assert!(
        !found.problems.iter().any(|it| it.what.contains("ends before the next one begins")),
        "{found:?}"
    );
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
    // Nor does the rest of the head.
    let mut bytes = disk.contents(&newest).unwrap();
    bytes[20] ^= 1;
    disk.overwrite(&newest, bytes);
    let found = of(&disk, "a");
    assert!(found.problems.len() == 1 && found.problems[0].what.contains("head does not hold"), "{found:?}");
    assert_eq!(found.records, 41);
}

#[test]
fn what_goes_while_it_is_verified_is_no_damage() {
    let (whole, id) = {
        let disk = SimDisk::new(12);
        let (store, log) = some(&disk);
        store.close();
        (disk, log.id())
    };
    let dir = format!("channels/{id}");
    let happens = |before: &str, what: &str| {
        let disk = Meanwhile::new(whole.fork(1));
        let (fork, of, what) = (disk.disk.clone(), dir.clone(), what.to_owned());
        disk.on_open(before, move || {
            for file in fork.list(&of)?.iter().filter(|file| file.starts_with(&what)) {
                fork.remove_file(&format!("{of}/{file}"))?;
            }
            if what.is_empty() { fork.remove_dir(&of) } else { Ok(()) }
        });
        all(&disk).into_iter().filter(|log| log.dir == dir).collect::<Vec<_>>()
    };
    let first = format!("{:020}.log", 0);
    let path = format!("{dir}/{first}");
    // The oldest segment, trimmed before it is read: what is left holds.
    let found = happens(&path, &first);
    assert!(found.len() == 1 && found[0].holds() && found[0].records < 30, "{found:?}");
    // The channel, before its segments are listed, and while they are read.
    assert_eq!(happens("state/meta", "").len(), 0);
    let found = happens(&path, "");
    assert!(found.len() == 1 && found[0].holds() && found[0].records == 0, "{found:?}");
}

/// It is made before its head is written, and whoever looks at that moment finds nothing in it.
#[test]
fn a_segment_that_is_being_begun_is_no_damage_and_one_that_was_begun_and_has_lost_all_is() {
    for bytes in [vec![], vec![0; 5000]] {
        let disk = SimDisk::new(20);
        let (store, log) = some(&disk);
        let file = disk.open(&segment(&log, 30), netchan_store::disk::Open::CreateNew).unwrap();
        file.write_all_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
        let found = of(&disk, "a");
        assert!(found.holds() && found.records == 30, "{found:?}");
        disk.remove_file(&segment(&log, 30)).unwrap();
        store.close();
        let newest = (0..30).rev().map(|base| segment(&log, base)).find(|it| disk.contents(it).is_some());
        disk.overwrite(&newest.unwrap(), bytes);
        assert!(!of(&disk, "a").holds());
    }
}

#[test]
fn what_there_is_nothing_of_is_not_told() {
    let disk = SimDisk::new(13);
    let (store, log) = some(&disk);
    let empty = store.create_or_open(&name("empty"), &small(Durability::Sync)).unwrap();
    store.close();
    // A directory in which nothing was made yet, a channel without a record and its segment, a node that has no identity.
    disk.create_dir(&format!("channels/{}", "ab".repeat(16))).unwrap();
    disk.remove_file(&segment(&empty, 0)).unwrap();
    disk.remove_file("node").unwrap();
    let found = all(&disk);
    let dirs: Vec<_> = found.iter().map(|log| log.dir.clone()).collect();
    assert!(found.iter().all(Verified::holds), "{found:?}");
    assert_eq!(
        dirs,
        [format!("channels/{}", log.id()), format!("channels/{}", empty.id()), "state".to_owned()]
    );
}

#[test]
fn a_second_channel_of_a_name_is_told_by_its_directory() {
    let disk = SimDisk::new(14);
    let (store, log) = some(&disk);
    store.close();
    let other = SimDisk::new(15);
    let store = open(&other);
    store.create_or_open(&name("z"), &small(Durability::Sync)).unwrap();
    let same = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&same, "of another machine");
    store.close();
    let dir = format!("channels/{}", same.id());
    disk.create_dir(&dir).unwrap();
    let bytes = other.contents(&segment(&same, 0)).unwrap();
    let file = disk.open(&segment(&same, 0), netchan_store::disk::Open::CreateNew).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
    let found = all(&disk);
    let told = |dir: &str| found.iter().find(|log| log.dir == dir).map(|log| (log.name.clone(), log.records));
    let is_known = told(&format!("channels/{}", log.id())).unwrap();
    let other = told(&dir).unwrap();
    assert_eq!((is_known.1, other.1), (30, 1));
    assert_eq!([is_known.0, other.0].iter().flatten().collect::<Vec<_>>(), [&name("a")], "one has the name");
}

/// NC-DSK-071: what the state log says behind damage of its own is known too.
#[test]
fn a_damaged_state_log_still_says_how_logs_were_closed_as_far_as_it_holds() {
    let disk = SimDisk::new(16);
    for life in 0..3 {
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        append(&log, &format!("of life {life}"));
        store.close();
    }
    let log = open(&disk.fork(1)).open_existing(&name("a")).unwrap().unwrap();
    let path = segment(&log, 0);
    let whole = disk.contents(&path).unwrap();
    let last = whole.windows(4).rposition(|bytes| bytes == b"NCB1").unwrap();
    disk.overwrite(&path, whole[..last].to_vec());
    let state = format!("state/{:020}.log", 0);
    let good = disk.contents(&state).unwrap();
    let places: Vec<usize> =
        (4096..good.len() - 4).step_by(8).filter(|at| good[*at..].starts_with(b"NCB1")).collect();
    assert!(places.len() >= 3, "{places:?}");
    for bad in [vec![], vec![20], vec![places[0] + 20], vec![20, places[0] + 20], vec![places[1] + 70]] {
        let mut bytes = good.clone();
        bad.iter().for_each(|at| bytes[*at] ^= 1);
        disk.overwrite(&state, bytes);
        let lost: Vec<_> = of(&disk, "a").problems.iter().filter_map(|problem| problem.offsets).collect();
        assert_eq!(lost, [(Offset(2), Offset(3))], "{bad:?}");
    }
}

#[test]
fn what_is_wrong_is_said_in_words_that_fit_it() {
    let disk = SimDisk::new(17);
    let (store, log) = some(&disk);
    store.close();
    let told = |path: &str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let disk = disk.fork(1);
        let mut bytes = disk.contents(path).unwrap();
        spoil(&mut bytes);
        disk.overwrite(path, bytes);
        let problems = of(&disk, "a").problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        (problems[0].what.to_string(), problems[0].offsets)
    };
    let newest =
        (0..30).rev().map(|base| segment(&log, base)).find(|it| disk.contents(it).is_some()).unwrap();
    let batch = 64 + 8 + 1002_usize;
    let first = segment(&log, 0);
    let one = Some((Offset(1), Offset(2)));
    let second = 4096 + batch.next_multiple_of(8);
    let (what, lost) = told(&first, &|bytes| bytes[second + 70] ^= 1);
    assert!(what.contains("body does not match") && lost == one, "{what} {lost:?}");
    let (what, lost) = told(&first, &|bytes| bytes[second + 20] ^= 1);
    assert!(what.contains("no batch that holds") && lost == one, "{what} {lost:?}");
    // One that stands elsewhere in the log stands in its place.
    let third = second + batch.next_multiple_of(8);
    let (what, lost) =
        told(&first, &|bytes| bytes.copy_within(third..third + batch.next_multiple_of(8), second));
    assert!(what.contains("no batch that holds") && lost == one, "{what} {lost:?}");
    let (what, _) = told(&first, &|bytes| bytes.truncate(third));
    assert!(what.contains("the segment ends before the next one begins"), "{what}");
    let (what, _) = told(&newest, &|bytes| bytes.truncate(4096));
    assert!(what.contains("the file ends before what was told durable does"), "{what}");
}

#[test]
fn a_long_log_tells_how_far_it_is_every_mebibyte() {
    let disk = SimDisk::new(18);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &netchan_store::LogOptions::default()).unwrap();
    for _ in 0..40 {
        append(&log, &"x".repeat(100_000));
        commit(&store);
    }
    store.close();
    for is_repair in [false, true] {
        let mut steps = Vec::new();
        let mut progress = |now: netchan_store::VerifyProgress<'_>| steps.push((now.read, now.total));
        match is_repair {
            true => netchan_store::repair(&disk, &[name("a")], true, |_| (), &mut progress).unwrap(),
            false => verify(&disk, &[name("a")], |_| (), &mut progress).unwrap(),
        }
        let total = disk.contents(&segment(&log, 0)).unwrap().len() as u64;
        assert!(steps.iter().all(|step| step.1 == total), "{steps:?}");
        let mut before = 0;
        for (read, _) in &steps {
            assert!(*read > before && read - before < (1 << 20) + 110_000, "{steps:?}");
            before = *read;
        }
        assert!(before == total && (3..=4).contains(&steps.len()), "{steps:?}");
    }
}

#[test]
fn a_torn_tail_of_megabytes_is_measured() {
    let disk = SimDisk::new(19);
    let (store, log) = some(&disk);
    store.close();
    let newest =
        (0..30).rev().map(|base| segment(&log, base)).find(|it| disk.contents(it).is_some()).unwrap();
    let good = disk.contents(&newest).unwrap();
    for zeros in [0, (1 << 20) - 1, 1 << 20, 3 << 20] {
        disk.overwrite(&newest, [&good[..], &vec![0; zeros], &[7], &[0; 100]].concat());
        let found = of(&disk, "a");
        assert!(found.holds() && found.unfinished == zeros as u64 + 1, "{zeros}: {found:?}");
    }
}

#[test]
fn a_segment_that_goes_meanwhile_takes_nothing_with_it_that_was_known_and_one_that_cannot_be_opened_has_not_gone()
 {
    let disk = SimDisk::new(12);
    let (store, log) = some(&disk);
    let other = store.create_or_open(&name("b"), &small(Durability::Sync)).unwrap();
    for n in 0..30 {
        append(&other, &format!("{n} {}", "x".repeat(1000)));
        commit(&store);
    }
    store.close();
    let opened = |disk: &SimDisk, kind: ErrorKind| {
        let (disk, mut found) = (Meanwhile::new(disk.fork(1)), Vec::new());
        disk.on_open(&segment(&log, 0), move || Err(kind.into()));
        verify(&disk, &[name("a")], |log| found.push(log), |_| ()).map(|()| found.remove(0))
    };
    assert!(opened(&disk, ErrorKind::NotFound).unwrap().holds());
    assert!(opened(&disk, ErrorKind::PermissionDenied).is_err());
    // What was noted when it was closed: the last batch is missing.
    let bases: Vec<_> = (0..30).filter(|base| disk.contents(&segment(&log, *base)).is_some()).collect();
    let newest = segment(&log, *bases.last().unwrap());
    let bytes = disk.contents(&newest).unwrap();
    let last = (4096..bytes.len() - 4).step_by(8).rfind(|at| bytes[*at..].starts_with(b"NCB1")).unwrap();
    let cut = disk.fork(1);
    cut.overwrite(&newest, bytes[..last].to_vec());
    let found = opened(&cut, ErrorKind::NotFound).unwrap();
    assert_eq!(found.problems[0].offsets, Some((Offset(29), Offset(30))), "{found:?}");
    // Which log it is: the next segment is another's.
    let next = segment(&log, bases[1]);
    disk.overwrite(&next, disk.contents(&segment(&other, bases[1])).unwrap());
    let found = opened(&disk, ErrorKind::NotFound).unwrap();
    let is_told =
        found.problems.iter().any(|it| it.path == next && it.what.contains("belongs to another log"));
    assert!(is_told, "{found:?}");
}

#[test]
fn what_does_not_hold_where_the_next_segment_has_taken_over_is_told_and_no_record_of_it_is_missing() {
    let disk = SimDisk::new(12);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for text in ["0", "1", "2", "3", "4", "5"] {
        append(&log, text);
        if log.queued() == Offset(3) {
            commit(&store);
        }
    }
    store.close();
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    disk.overwrite(&path, bytes);
    // The next one begins within the first batch, says its name.
    drop(disk.open(&segment(&log, 1), netchan_store::disk::Open::CreateNew).unwrap());
    let found = of(&disk, "a");
    let body = found.problems.iter().find(|it| it.what.contains("body does not match")).unwrap();
    assert_eq!((&body.path, body.offsets), (&path, None), "{found:?}");
}
