//! The format on disk, read by the page of the spec that describes it and by nothing else.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::num::NonZeroU16;

use netchan_proto::batch::{Batch, BatchHeader, BatchKind, HEADER_LEN};
use netchan_proto::crc::crc32c;
use netchan_proto::{
    Compression, Content, Durability, Offset, Partitions, ProducerId, RecordRef, Settings, Timestamp,
};
use netchan_store::disk::{Disk, Open, SimDisk};
use netchan_store::{Log, LogOptions, Retention, StoreError};
use rig::*;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The segments of a log, by their names' offsets.
fn segments(disk: &SimDisk, dir: &str) -> Vec<(u64, Vec<u8>)> {
    let mut names: Vec<String> =
        disk.list(dir).unwrap().into_iter().filter(|name| name.ends_with(".log")).collect();
    names.sort();
    let read =
        |name: &String| (name[..20].parse().unwrap(), disk.contents(&format!("{dir}/{name}")).unwrap());
    names.iter().map(read).collect()
}

/// Writes a log of several segments and epochs, with a producer in it, and closes the store.
fn write(disk: &SimDisk) -> Log {
    let mut log = None;
    for epoch in 0..3u8 {
        let store = open(disk);
        let opened = store.create_or_open(&name("orders/eu"), &small(Durability::Os)).unwrap();
        for n in 0..40u8 {
            opened.append(&RecordRef { payload: &[n; 150], key: Some(&[epoch]), headers: &[] }).unwrap();
            let producer = ProducerId([9; 16]);
            let sequence = opened.next_sequence(producer);
            opened.append_batch(&opened.claim(producer), &published(producer, sequence)).unwrap();
            commit(&store);
        }
        if epoch == 2 {
            opened.seal().unwrap();
        }
        store.close();
        log = Some(opened);
    }
    log.unwrap()
}

fn published(producer: ProducerId, sequence: u64) -> Batch {
    use netchan_proto::batch::{BatchBuilder, Stamp};
    let mut builder = BatchBuilder::new(Offset(sequence), None);
    builder.push(Timestamp(0), &RecordRef { payload: b"published", ..RecordRef::default() });
    let stamp = Stamp {
        seed: &producer.0,
        epoch: netchan_proto::Epoch(0),
        durable_offset: Offset(0),
        previous_crc: 0,
    };
    Batch::verify(builder.finish(stamp).1, &producer.0).unwrap()
}

// NC-DSK-001, NC-DSK-003, NC-DSK-005, NC-DSK-006
#[test]
fn the_directory_holds_what_the_spec_says_and_rubbish_in_it_is_no_log() {
    let disk = SimDisk::new(1);
    let log = write(&disk);
    let mut names = disk.list("").unwrap();
    names.sort();
    assert_eq!(names, ["LOCK", "channels", "node", "state"]);
    assert_eq!(disk.list("channels").unwrap(), [log.id().to_string()]);
    let dir = format!("channels/{}", log.id());
    for name in ["123.log", "00000000000000000001.log.bad", "notes.txt"] {
        disk.open(&format!("{dir}/{name}"), Open::CreateNew).unwrap();
    }
    for name in ["0123.trash", "0123456789abcdef0123456789abcdef"] {
        disk.create_dir(&format!("channels/{name}")).unwrap();
        disk.open(&format!("channels/{name}/meta.tmp"), Open::CreateNew).unwrap();
    }
    let store = open(&disk);
    let again = store.open_existing(&name("orders/eu")).unwrap().unwrap();
    assert_eq!(again.visible(), log.visible());
    assert_eq!(disk.list("channels").unwrap(), [log.id().to_string()]);
}

// NC-DSK-010, NC-DSK-011, NC-DSK-012
#[test]
fn small_files_are_laid_out_as_the_spec_says() {
    let disk = SimDisk::new(1);
    let log = write(&disk);
    let dir = format!("channels/{}", log.id());
    let meta = disk.contents(&format!("{dir}/meta")).unwrap();
    assert_eq!(&meta[..8], b"NCMETA03");
    assert_eq!((meta[8], meta[9]), (2, 9));
    assert_eq!(meta[10..16], [0; 6]);
    assert_eq!(meta[16..32], log.id().0);
    assert_eq!(u64_at(&meta, 40), 1_000_000_000);
    assert_eq!(u64_at(&meta, 48), 8 << 10);
    assert!((56..112).step_by(8).all(|at| u64_at(&meta, at) == u64::MAX));
    assert_eq!((u64_at(&meta, 112), u64_at(&meta, 120)), (0, 0));
    assert_eq!(meta[12], 0, "nobody has said what the payloads are");
    assert_eq!(&meta[128..137], b"orders/eu");
    assert_eq!((u32_at(&meta, 137), meta.len()), (crc32c(&meta[..137]), 141));
    let node = disk.contents("node").unwrap();
    assert_eq!(&node[..8], b"NCNODE01");
    assert_eq!((u32_at(&node, 24), node.len()), (crc32c(&node[..24]), 28));
    assert!(disk.list(&dir).unwrap().iter().all(|name| !name.ends_with(".tmp")));
    let mut bad = node;
    bad[10] ^= 1;
    disk.overwrite("node", bad);
    assert!(matches!(try_open(&disk), Err(StoreError::Damaged { .. })));
}

// NC-DSK-004, NC-DSK-020, NC-DSK-021, NC-DSK-022, NC-DSK-023, NC-DSK-030, NC-DSK-031, NC-DSK-032, NC-DSK-033,
// NC-DSK-034, NC-DSK-035, NC-DSK-037, NC-DSK-050
#[test]
fn segments_and_batches_are_laid_out_as_the_spec_says() {
    let disk = SimDisk::new(1);
    let log = write(&disk);
    let segments = segments(&disk, &format!("channels/{}", log.id()));
    assert!(segments.len() > 3);
    let (mut offset, mut time, mut previous, mut epoch, mut sequence) = (0u64, i64::MIN, 0u32, 0u32, 0u64);
    let (mut durable, mut epochs, mut sealed) = (0u64, Vec::new(), false);
    for (base, bytes) in &segments {
        assert_eq!(&bytes[..8], b"NCSEG001");
        assert_eq!(u32_at(bytes, 4092), crc32c(&bytes[..4092]));
        assert_eq!((*base, u64_at(bytes, 32)), (offset, offset));
        assert_eq!(bytes[16..32], log.id().0);
        assert_eq!(u32_at(bytes, 12), previous);
        assert_eq!(u64_at(bytes, 40).cast_signed(), time);
        let pairs: Vec<(u32, u64)> = (0..u32_at(bytes, 56) as usize)
            .map(|pair| (u32_at(bytes, 80 + 12 * pair), u64_at(bytes, 84 + 12 * pair)))
            .collect();
        assert!(pairs.starts_with(&epochs) && pairs.len() <= epochs.len() + 1, "{pairs:?} {epochs:?}");
        let producers = u32_at(bytes, 60) as usize;
        assert_eq!(u32_at(bytes, 64), crc32c(&bytes[4096..4096 + 32 * producers]));
        if producers > 0 {
            assert_eq!(bytes[4096..4112], [9; 16]);
            assert_eq!(u64_at(bytes, 4112), sequence);
            assert!(u64_at(bytes, 4120) < offset);
        }
        assert_eq!((bytes[68], &bytes[3152..3161]), (9, &b"orders/eu"[..]));
        let mut at = u32_at(bytes, 8) as usize;
        assert_eq!(at, 4096 + (32 * producers).next_multiple_of(4096));
        while at < bytes.len() {
            assert!(!sealed, "nothing follows a seal");
            let header =
                BatchHeader::decode(bytes[at..at + HEADER_LEN].try_into().unwrap(), &log.id().0).unwrap();
            let stored = bytes[at..at + header.stored_len()].to_vec();
            assert_eq!((header.base_offset.0, header.previous_crc), (offset, previous));
            assert!(header.epoch.0 >= epoch && header.durable_offset.0 >= durable);
            assert!(header.durable_offset.0 <= offset);
            if header.epoch.0 > epoch {
                assert_eq!(header.epoch.0, epoch + 1);
                epochs.push((header.epoch.0, offset));
            }
            (epoch, durable, previous) = (header.epoch.0, header.durable_offset.0, u32_at(&stored, 4));
            sealed = header.kind == BatchKind::Seal;
            let batch = Batch::verify(stored.into(), &log.id().0).unwrap();
            if let Some((producer, first)) = batch.producer() {
                assert_eq!((producer, first), (ProducerId([9; 16]), sequence));
                sequence += u64::from(header.record_count);
            }
            for record in batch.records().map(Result::unwrap) {
                assert_eq!(record.offset.0, offset);
                assert!(record.timestamp.0 > time);
                (offset, time) = (offset + 1, record.timestamp.0);
            }
            at += header.stored_len();
        }
    }
    assert_eq!((offset, epoch, sealed, sequence), (240, 3, true, 120));
}

// NC-DSK-013, NC-DSK-046
#[test]
fn a_segment_that_was_never_begun_is_set_aside() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "x");
    commit(&store);
    store.close();
    for rubbish in [vec![], vec![0; 70_000], vec![7; 5000]] {
        let next = segment(&log, 1);
        disk.open(&next, Open::CreateNew).unwrap();
        disk.overwrite(&next, rubbish);
        disk.sync_dir(next.rsplit_once('/').unwrap().0).unwrap();
        let store = open(&disk);
        let again = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(texts(&again), ["x"]);
        assert!(disk.contents(&next).is_none() && disk.contents(&format!("{next}.bad")).is_some());
        store.close();
    }
}

// NC-DSK-070, NC-DSK-071, NC-DSK-072
#[test]
fn the_state_log_is_a_log_of_changes() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    store.state().put(b"k", b"1").unwrap();
    store.state().put(b"k", b"2").unwrap();
    store.state().remove(b"k").unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "x");
    store.close();
    let meta = disk.contents("state/meta").unwrap();
    let id: [u8; 16] = meta[16..32].try_into().unwrap();
    let (_, bytes) = segments(&disk, "state").remove(0);
    let mut changes = Vec::new();
    for batch in batches(netchan_proto::LogId(id), bytes[4096..].to_vec().into()) {
        for record in batch.records().map(Result::unwrap) {
            changes.push((record.key().unwrap().to_vec(), record.payload.to_vec()));
        }
    }
    let mark = format!("store/durable/{}", log.id()).into_bytes();
    let change = |key: &[u8], payload: &[u8]| (key.to_vec(), payload.to_vec());
    assert_eq!(
        changes,
        [
            change(b"k", b"\x011"),
            change(b"k", b"\x012"),
            change(b"k", b"\x00"),
            // one record is durable, its batch begins after the head, and there is no seal
            change(&mark, &[&[1][..], &1u64.to_le_bytes(), &4096u64.to_le_bytes(), &[0]].concat()),
        ]
    );
}

// NC-DSK-080, NC-DSK-081
#[test]
fn a_power_cut_while_segments_are_trimmed_leaves_a_run_without_a_hole() {
    let whole = |disk: &SimDisk| {
        let store = open(disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for n in 0..200 {
            append(&log, &format!("{n} {}", "x".repeat(150)));
            commit(&store);
        }
        (store, log)
    };
    for cut in 1..12 {
        for seed in 0..6 {
            let disk = SimDisk::new(seed);
            let (store, log) = whole(&disk);
            disk.cut_power_at(cut);
            let retention = Retention { max_bytes: Some(1), ..Retention::default() };
            let _ = log.set_retention(retention);
            drop((store, log));
            disk.crash();
            let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
            assert_eq!(texts(&log).len() as u64, 200 - log.first().0, "cut {cut} seed {seed}");
        }
    }
}

// NC-DSK-061
#[test]
fn many_producers_stand_in_the_head_and_the_oldest_are_forgotten() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let options = LogOptions { segment_bytes: 300 << 10, ..LogOptions::default() };
    let log = store.create_or_open(&name("a"), &options).unwrap();
    let id = |n: u32| {
        let mut id = [1; 16];
        id[..4].copy_from_slice(&n.to_le_bytes());
        ProducerId(id)
    };
    for n in 0..9000 {
        log.append_batch(&log.claim(id(n)), &published(id(n), u64::from(n))).unwrap();
        if n % 1000 == 0 {
            commit(&store);
        }
    }
    log.sync().unwrap();
    let known = |log: &Log| (0..9000).filter(|&n| log.next_sequence(id(n)) == u64::from(n) + 1).count();
    let before = known(&log);
    assert!((3800..=4096).contains(&before), "{before}");
    assert_eq!(log.next_sequence(id(8999)), 9000);
    assert!(log.info().segments > 1);
    store.close();
    let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(known(&log), before);
}

// NC-VAL-001, NC-DSK-010
#[test]
fn what_the_payloads_are_is_said_once_before_the_first_record_and_for_good() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let content = |names: &str| Content::new(names).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    assert_eq!(log.content(), None);
    assert!(log.set_content(&content("json+lz4")).unwrap());
    assert!(log.set_content(&content("json+lz4")).unwrap());
    assert!(!log.set_content(&content("json")).unwrap());
    let untyped = store.create_or_open(&name("b"), &small(Durability::Sync)).unwrap();
    append(&untyped, "record");
    assert!(!untyped.set_content(&content("json")).unwrap());
    // What else is written there leaves it as it is.
    log.set_retention(Retention { max_records: Some(7), ..Retention::default() }).unwrap();
    let meta = disk.contents(&format!("channels/{}/meta", log.id())).unwrap();
    assert_eq!((meta[12], &meta[129..137]), (8, &b"json+lz4"[..]));
    // The power goes, with nothing closed.
    disk.lose_all();
    let store = open(&disk);
    let again = |text| store.open_existing(&name(text)).unwrap().unwrap();
    assert_eq!(again("a").content(), Some(&content("json+lz4")));
    assert_eq!(again("b").content(), None);
}

// NC-DSK-014
#[test]
fn a_directory_of_the_first_version_opens_with_all_that_is_in_it() {
    let disk = SimDisk::new(1);
    let log = write(&disk);
    let path = format!("channels/{}/meta", log.id());
    let new = disk.contents(&path).unwrap();
    for mut old in [
        [b"NCMETA01", &new[8..72], b"orders/eu"].concat(),
        [b"NCMETA02", &new[8..120], b"orders/eu"].concat(),
    ] {
        old.extend_from_slice(&crc32c(&old).to_le_bytes());
        disk.overwrite(&path, old.clone());
        let store = open(&disk);
        let again = store.open_existing(&name("orders/eu")).unwrap().unwrap();
        assert_eq!((again.id(), again.durability()), (log.id(), Durability::Os));
        assert_eq!((again.first(), again.visible(), again.is_sealed()), (Offset(0), log.visible(), true));
        store.close();
        assert_eq!(disk.contents(&path).unwrap(), old, "opening writes nothing there");
    }
    // What changes is written as it is written now.
    let store = open(&disk);
    let again = store.open_existing(&name("orders/eu")).unwrap().unwrap();
    again.set_retention(Retention { hold_cursors: Some(9), ..Retention::default() }).unwrap();
    let now = disk.contents(&path).unwrap();
    assert_eq!((&now[..8], u64_at(&now, 120), &now[128..137]), (&b"NCMETA03"[..], 9, &b"orders/eu"[..]));
}

// NC-DSK-016
#[test]
fn of_how_many_partitions_a_channel_is_one_stays_as_it_was_made() {
    let disk = SimDisk::new(1);
    let of = |number| LogOptions { partitions: NonZeroU16::new(number), ..small(Durability::Sync) };
    let store = open(&disk);
    store.create_partitioned(&name("a"), Partitions::new(300).unwrap(), &of(0)).unwrap();
    let id = store.open_existing(&name("a@256")).unwrap().unwrap().id();
    store.close();
    let path = format!("channels/{id}/meta");
    for (said, durability) in [(300, Durability::Sync), (0, Durability::Os)] {
        let store = open(&disk);
        let other = store.create_or_open(&name("a@256"), &of(7)).unwrap_err();
        assert!(matches!(other, StoreError::Partitioned { count, .. } if count.get() == 300));
        let said = LogOptions { durability, ..of(said) };
        let log = store.create_or_open(&name("a@256"), &said).unwrap();
        log.set_retention(Retention::default()).unwrap();
        store.close();
        let meta = disk.contents(&path).unwrap();
        assert_eq!((&meta[14..16], meta[8]), (&[44, 1][..], durability.code()), "of 300");
        let kept = netchan_store::kept(&disk, &name("a@256")).unwrap().unwrap();
        assert_eq!(kept.options, LogOptions { durability, ..of(300) });
    }
}

/// How a channel is compressed may change; its durability may not.
#[test]
fn what_may_change_is_kept_otherwise_from_the_next_batch_on_and_over_restarts_and_nothing_else_is() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let made = LogOptions {
        retention: Retention { max_records: Some(1000), ..Retention::default() },
        segment_bytes: 1 << 20,
        ..small(Durability::Sync)
    };
    let log = store.create_or_open(&name("a"), &made).unwrap();
    let send = |log: &Log| {
        let before = log.info().bytes;
        append(log, &"x".repeat(3000));
        log.sync().unwrap();
        log.info().bytes - before
    };
    assert!(send(&log) > 3000);
    let settings = Settings::default().compression(Compression::Lz4).durability(Durability::Os);
    log.change(&settings).unwrap();
    assert!(send(&log) < 300, "compressed");
    let expected = LogOptions { compression: Compression::Lz4, ..made };
    assert_eq!(netchan_store::kept(&disk, &name("a")).unwrap().unwrap().options, expected);
    drop((store, log));
    disk.lose_all();
    disk.crash();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert!(send(&log) < 300, "compressed in the next life");
    log.change(&Settings::default().max_records(None)).unwrap();
    let expected = LogOptions { retention: Retention::default(), ..expected };
    assert_eq!(log.kept().unwrap().options, expected);
    store.close();
    assert!(matches!(log.change(&settings), Err(StoreError::Closed)));
}
