//! What has lost records in other logs, and loses none here. `pitfalls.md` beside this directory lists thirty such, each with the
//! tests that hold it; those that stand nowhere else are here.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "../rig/mod.rs"]
mod rig;
mod rot;
mod stall;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use netchan_proto::batch::{BatchHeader, HEADER_LEN};
use netchan_proto::{AsRecord, Durability, Offset, Start, Timestamp};
use netchan_store::disk::{Disk, Open, RealDisk, SimDisk};
use netchan_store::{AppendError, Log, LogError, Retention, Store, StoreError, StoreOptions, TailRead};
use rig::*;

fn numbered(count: usize, size: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n} {}", "x".repeat(size + n % 7))).collect()
}

/// A log of these records, each a synced batch of its own.
fn filled(disk: &SimDisk, texts: &[String]) -> (Store, Log) {
    let store = open(disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for text in texts {
        append(&log, text);
        commit(&store);
    }
    (store, log)
}

fn reopened(disk: &SimDisk) -> (Store, Log) {
    let store = open(disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    (store, log)
}

/// The files in a channel's directory that end in `suffix`, in order, with what is in them.
fn files(disk: &SimDisk, log: &Log, suffix: &str) -> Vec<(String, Vec<u8>)> {
    let dir = format!("channels/{}", log.id());
    let mut names = disk.list(&dir).unwrap();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    let read = |name: String| (format!("{dir}/{name}"), disk.contents(&format!("{dir}/{name}")).unwrap());
    names.into_iter().map(read).collect()
}

/// Where each batch of a segment begins.
fn batches_at(bytes: &[u8], log: &Log) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER_LEN>())
        && let Ok(header) = BatchHeader::decode(chunk, &log.id().0)
    {
        found.push(at);
        at += header.stored_len();
    }
    found
}

/// What is read is what was sent, and the rest is told; says how many records that is.
fn lost(log: &Log, sent: &[String]) -> u64 {
    let (records, holes) = read_from(log, log.first(), 1 << 20);
    for record in &records {
        assert!(record.payload == sent[usize::try_from(record.offset.0).unwrap()], "{}", record.offset);
    }
    let lost = holes.iter().map(|(from, to)| to.0 - from.0).sum();
    assert_eq!(records.len() as u64 + lost, log.visible().0 - log.first().0);
    lost
}

// 2
#[test]
fn the_first_record_acknowledged_in_a_new_segment_survives_the_loss_of_all_that_was_not_synced() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let mut rolls = 0;
    let sent = numbered(60, 900);
    for (n, text) in sent.iter().enumerate() {
        let segments = log.info().segments;
        append(&log, text);
        commit(&store);
        if log.info().segments > segments {
            rolls += 1;
            let disk = disk.fork(0);
            disk.lose_all();
            assert_eq!(texts(&reopened(&disk).1), sent[..=n]);
        }
    }
    assert!(rolls > 5);
}

// 1, 17: each way in which something is told to be done.
#[test]
fn whatever_is_told_to_be_durable_is_so_if_nothing_else_survives() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let after = |look: &dyn Fn(&Store)| {
            let disk = disk.fork(0);
            disk.lose_all();
            look(&open(&disk));
        };
        let log = store.create_or_open(&name("a"), &small(durability)).unwrap();
        after(&|store| assert!(store.contains(&name("a"))));
        let sent = numbered(30, 700);
        for (n, text) in sent.iter().enumerate() {
            append(&log, text);
            match n % 3 {
                0 => drop(log.sync().unwrap()),
                _ => commit(&store),
            }
            let durable = usize::try_from(log.durable().0).unwrap();
            assert!(durable > n || n % 3 > 0);
            after(&|store| {
                let found = texts(&store.open_existing(&name("a")).unwrap().unwrap());
                assert!(found.len() >= durable && found == sent[..found.len()]);
            });
        }
        store.state().put(b"key", b"value").unwrap();
        after(&|store| assert_eq!(store.state().get(b"key").unwrap(), "value"));
        store.state().remove(b"key").unwrap();
        after(&|store| assert_eq!(store.state().get(b"key"), None));
        let retention = Retention { max_bytes: Some(20_000), ..Retention::default() };
        log.set_retention(retention).unwrap();
        let first = log.first();
        assert!(first > Offset(0));
        after(&|store| assert_eq!(store.open_existing(&name("a")).unwrap().unwrap().first(), first));
        log.seal().unwrap();
        after(&|store| assert!(store.open_existing(&name("a")).unwrap().unwrap().is_sealed()));
        store.delete(&name("a")).unwrap();
        after(&|store| assert!(!store.contains(&name("a"))));
    }
}

// 6
#[test]
fn however_small_files_are_damaged_or_missing_no_segment_is_touched() {
    let sent = numbered(30, 900);
    let good = SimDisk::new(1);
    let (store, log) = filled(&good, &sent);
    store.close();
    let dir = format!("channels/{}", log.id());
    let state: Vec<_> = good.list("state").unwrap().into_iter().map(|name| format!("state/{name}")).collect();
    for path in ["node".to_owned(), format!("{dir}/meta")].into_iter().chain(state) {
        let bytes = good.contents(&path).unwrap();
        let flipped: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
        let half = bytes[..bytes.len() / 2].to_vec();
        for bad in [None, Some(Vec::new()), Some(half), Some(vec![0; bytes.len()]), Some(flipped)] {
            let disk = good.fork(0);
            match bad.clone() {
                Some(bad) => disk.overwrite(&path, bad),
                None => disk.remove_file(&path).unwrap(),
            }
            for _ in 0..2 {
                let Ok(store) = try_open(&disk) else { continue };
                let log = store.open_existing(&name("a")).unwrap().expect("the channel is there");
                assert_eq!(texts(&log), sent, "{path}");
                store.close();
            }
            for (path, bytes) in files(&good, &log, ".log") {
                assert_eq!(disk.contents(&path), Some(bytes));
            }
            if let Some(bad) = bad.filter(|_| path.ends_with("meta") && path.starts_with(&dir)) {
                assert_eq!(files(&disk, &log, ".bad").iter().filter(|(_, kept)| *kept == bad).count(), 1);
            }
        }
    }
}

// 6
#[test]
fn a_channels_directory_without_meta_or_segment_that_holds_is_removed_only_if_nothing_was_in_it() {
    let disk = SimDisk::new(1);
    drop(open(&disk));
    disk.kill();
    let dir = "channels/0123456789abcdef0123456789abcdef";
    for (file, stays) in [("meta", false), ("00000000000000000000-4096.bad", true), ("notes", true)] {
        disk.create_dir(dir).unwrap();
        disk.open(&format!("{dir}/{file}"), Open::CreateNew).unwrap();
        open(&disk).close();
        assert_eq!(disk.list("channels").unwrap().len(), usize::from(stays), "{file}");
        if stays {
            disk.remove_file(&format!("{dir}/{file}")).unwrap();
            disk.remove_dir(dir).unwrap();
        }
    }
}

// 3: what was set aside once is not lost to what is set aside later.
#[test]
fn tails_that_are_torn_at_the_same_place_are_all_kept() {
    let disk = SimDisk::new(1);
    let (store, log) = filled(&disk, &numbered(2, 100));
    store.close();
    let path = segment(&log, 0);
    let good = disk.contents(&path).unwrap();
    for n in 1..=4u8 {
        disk.overwrite(&path, [&good[..], &[n; 100]].concat());
        let (store, log) = reopened(&disk);
        assert_eq!(texts(&log).len(), 2);
        store.close();
        let kept = files(&disk, &log, ".bad");
        assert_eq!(kept.len(), usize::from(n), "{kept:?}");
        assert!((1..=n).all(|n| kept.iter().any(|(_, bytes)| *bytes == [n; 100])));
    }
}

// 8
#[test]
fn no_index_is_believed_for_none_is_written() {
    let disk = SimDisk::new(1);
    let sent = numbered(60, 900);
    let (store, log) = filled(&disk, &sent);
    log.resolve(&Start::Time(Timestamp(1))).unwrap();
    store.close();
    let dir = format!("channels/{}", log.id());
    for file in disk.list(&dir).unwrap() {
        assert!(file == "meta" || file.ends_with(".log"), "{file}");
        let index = format!("{dir}/{}", file.replace(".log", ".idx"));
        if file != "meta" {
            disk.open(&index, Open::CreateNew).unwrap();
            disk.overwrite(&index, vec![0xff; 5000]);
        }
    }
    let (_store, log) = reopened(&disk);
    assert_eq!(texts(&log), sent);
    assert_eq!(log.read(Offset(40), 1).unwrap().first, Offset(40));
}

// 14
#[test]
fn a_writeback_that_failed_behind_is_never_acknowledged_though_another_descriptor_heard_of_it() {
    for heard in [false, true] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
        append(&log, "0");
        commit(&store);
        append(&log, "1");
        store.run_commits(Timestamp(0));
        assert_eq!((log.written(), log.durable()), (Offset(2), Offset(1)));
        let other = disk.open(&segment(&log, 0), Open::Write).unwrap();
        disk.lose_writeback();
        if heard {
            assert!(other.sync().is_err());
            assert!(other.sync().is_ok());
        }
        assert!(matches!(log.sync(), Err(LogError::Poisoned { .. })));
        assert_eq!(log.durable(), Offset(1));
        // Opened anew it is written again, and lasts.
        let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
        let found = texts(&log);
        disk.lose_all();
        assert_eq!(texts(&reopened(&disk).1), found);
    }
}

// 13: a log that fails again when it is opened anew still knows what was durable.
#[test]
fn what_was_durable_is_known_though_opening_a_failed_log_failed_too() {
    let disk = SimDisk::new(1);
    let (store, log) = filled(&disk, &numbered(3, 100));
    append(&log, "not");
    disk.set_read_only(true);
    commit(&store);
    assert!(log.poisoned().is_some());
    assert!(store.open_existing(&name("a")).is_err());
    disk.set_read_only(false);
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    let last = *batches_at(&bytes, &log).last().unwrap();
    bytes[last + 70] ^= 1;
    disk.overwrite(&path, bytes);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(
        (log.visible(), read_from(&log, Offset(0), 1 << 20).1),
        (Offset(3), vec![(Offset(2), Offset(3))])
    );
}

// 16
#[test]
fn a_remount_as_read_only_moves_nothing() {
    let disk = SimDisk::new(1);
    let sent = numbered(20, 900);
    let (store, log) = filled(&disk, &sent);
    disk.set_read_only(true);
    append(&log, "not");
    commit(&store);
    assert_eq!((log.durable(), log.visible()), (Offset(20), Offset(20)));
    assert_eq!(texts(&log), sent);
    assert!(matches!(log.append(&"x".as_record()), Err(AppendError::Poisoned { .. })));
    assert!(store.create_or_open(&name("a"), &small(Durability::Sync)).is_err());
    assert!(store.create_or_open(&name("b"), &small(Durability::Sync)).is_err());
    assert!(store.state().put(b"key", b"value").is_err());
    assert!(store.delete(&name("a")).is_err());
    drop((store, log));
    disk.kill();
    assert!(matches!(try_open(&disk), Err(StoreError::Io { .. })));
    disk.set_read_only(false);
    let (store, log) = reopened(&disk);
    assert_eq!(texts(&log), sent);
    assert!(!store.contains(&name("b")));
    assert_eq!(append(&log, "on"), Offset(20));
    log.sync().unwrap();
}

// 18, 19
#[test]
fn while_segments_are_trimmed_appends_keep_their_offsets_and_a_slow_reader_gets_data_or_the_gap() {
    let disk = SimDisk::new(1);
    let options = StoreOptions { min_free_percent: 0, ..StoreOptions::default() };
    let store = Store::open(Arc::new(disk.clone()), options).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    const EACH: u64 = 600;
    thread::scope(|scope| {
        let appenders: Vec<_> = (0..2)
            .map(|appender| {
                let log = log.clone();
                scope.spawn(move || {
                    let append = |n| {
                        let text = format!("{appender} {n} {}", "x".repeat(400));
                        let offset = log.append(&text.as_record()).unwrap();
                        log.sync().unwrap();
                        (offset, text)
                    };
                    (0..EACH).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        let trimmer = scope.spawn(|| {
            while log.visible().0 < 2 * EACH {
                log.set_retention(Retention { max_bytes: Some(1), ..Retention::default() }).unwrap();
                log.set_retention(Retention::default()).unwrap();
                thread::yield_now();
            }
        });
        let reader = scope.spawn(|| {
            let (mut at, mut read) = (Offset(0), Vec::new());
            while at.0 < 2 * EACH {
                let (records, gaps) = read_from(&log, at, 1000);
                let gone: u64 = gaps.iter().map(|(from, to)| to.0 - from.0).sum();
                let next = at.0 + records.len() as u64 + gone;
                read.extend(records);
                at = Offset(next);
                thread::yield_now();
            }
            read
        });
        let mut sent: Vec<(Offset, String)> =
            appenders.into_iter().flat_map(|appender| appender.join().unwrap()).collect();
        trimmer.join().unwrap();
        sent.sort();
        assert!(sent.iter().map(|(offset, _)| offset.0).eq(0..2 * EACH), "an offset twice, or none");
        for record in reader.join().unwrap() {
            assert_eq!(record.payload, sent[usize::try_from(record.offset.0).unwrap()].1);
        }
        let left = texts(&log);
        let first = usize::try_from(log.first().0).unwrap();
        assert!(first > 0 && sent[first..].iter().map(|(_, text)| text).eq(&left));
    });
    store.close();
}

// 10: trimming that fails goes no further, so nothing is missing in the middle, and no removed key is back.
#[test]
fn where_an_old_segment_cannot_be_removed_no_newer_one_is() {
    for operation in 2..20 {
        let disk = SimDisk::new(operation);
        let sent = numbered(60, 900);
        let (store, log) = filled(&disk, &sent);
        disk.fail_at(operation, netchan_store::disk::Fault::Io);
        let _ = log.set_retention(Retention { max_bytes: Some(1), ..Retention::default() });
        drop((store, log));
        for seed in 0..20 {
            let disk = disk.fork(seed);
            disk.crash();
            let (_store, log) = reopened(&disk);
            assert_eq!(lost(&log, &sent), 0, "operation {operation}, seed {seed}");
        }
    }
}

// 20
#[test]
fn a_late_reader_of_a_deleted_channel_is_told_so_and_never_gets_the_new_ones_records() {
    let disk = SimDisk::new(1);
    let sent = numbered(30, 900);
    let (store, old) = filled(&disk, &sent);
    let position = netchan_proto::Position { log: old.id(), epoch: old.epoch(), offset: Offset(7) };
    store.delete(&name("a")).unwrap();
    let new = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for text in numbered(30, 100) {
        append(&new, &text);
    }
    new.sync().unwrap();
    // It finishes what it has open, or is told; it never gets another's.
    for at in 0..30 {
        match old.read(Offset(at), 100) {
            Ok(run) => {
                for batch in batches(old.id(), run.bytes) {
                    let text = &sent[usize::try_from(batch.header().base_offset.0).unwrap()];
                    assert_eq!(batch.records().next().unwrap().unwrap().payload, *text);
                }
            }
            Err(error) => assert!(matches!(error, LogError::Deleted), "{error}"),
        }
    }
    assert!(matches!(old.read(Offset(0), 100), Err(LogError::Deleted)));
    assert!(matches!(old.append(&"x".as_record()), Err(AppendError::Deleted)));
    assert!(matches!(old.sync(), Ok(_) | Err(LogError::Deleted)));
    assert!(matches!(new.resolve(&Start::Resume(position)), Err(LogError::OtherLog { .. })));
}

// 21
#[test]
fn after_a_restart_a_reader_of_the_tail_gets_what_is_on_disk_before_what_is_new() {
    let disk = SimDisk::new(1);
    let mut sent = numbered(20, 900);
    let (store, _) = filled(&disk, &sent);
    store.close();
    let (store, log) = reopened(&disk);
    let mut read = Vec::new();
    let mut at = Offset(0);
    for n in 20..40 {
        append(&log, &format!("{n} new"));
        sent.push(format!("{n} new"));
        commit(&store);
        for _ in 0..3 {
            let bytes = match log.read_tail(at) {
                TailRead::Batch(bytes, _) => bytes,
                TailRead::Cold => log.read(at, 1).unwrap().bytes,
                TailRead::End => continue,
                other => panic!("{other:?}"),
            };
            for batch in batches(log.id(), bytes) {
                read.extend(batch.records().map(|record| record.unwrap().payload));
                at = batch.header().next_offset();
            }
        }
    }
    assert_eq!(read, sent);
}

// 22
#[test]
fn over_a_clock_that_jumps_to_1970_and_2100_times_increase_and_are_found_exactly() {
    const YEAR: i64 = 31_556_952_000_000_000;
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    for now in [56 * YEAR, 0, 130 * YEAR, 56 * YEAR + 1, -YEAR, 131 * YEAR] {
        clock.set(now);
        let store = Store::open(Arc::new(disk.clone()), options(&clock)).unwrap();
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for text in numbered(20, 600) {
            append(&log, &text);
            commit(&store);
        }
        let (records, _) = read_from(&log, Offset(0), 1 << 20);
        assert!(records.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp));
        for record in &records {
            for (aside, found) in [(0, record.offset), (1, record.offset.plus(1))] {
                let time = record.timestamp.plus_nanos(aside);
                assert_eq!(log.resolve(&Start::Time(time)).unwrap().start, found);
            }
        }
        store.close();
    }
}

// 23
#[test]
fn a_lock_is_held_though_its_file_is_removed_and_is_not_handed_to_a_child() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(RealDisk::new(dir.path()).unwrap());
        Store::open(disk, options(&HandClock::default()))
    };
    let store = open().unwrap();
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is cat");
    // Until it answers it may be this process still, with its locks.
    child.stdin.as_ref().unwrap().write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    assert!(matches!(open(), Err(StoreError::Locked { .. })));
    store.close();
    let again = open();
    child.kill().unwrap();
    child.wait().unwrap();
    again.unwrap().close();
}

// 24
#[test]
fn opening_reads_the_newest_segment_and_nothing_of_the_older_ones() {
    let disk = SimDisk::new(1);
    let (store, log) = filled(&disk, &numbered(900, 3000));
    assert!(log.info().segments > 800);
    store.close();
    let before = disk.bytes_read();
    let (_store, log) = reopened(&disk);
    let read = disk.bytes_read() - before;
    assert!(read < 64 << 10, "{read} bytes for {} segments", log.info().segments);
}

/// Each pitfall of the list has tests that are there, or says why it needs none.
#[test]
fn every_pitfall_has_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = fs::read_to_string(root.join("store/tests/pitfalls.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=30), "{numbers:?}");
    for row in rows {
        let tests: Vec<&str> = row[2].split('`').filter(|word| word.contains("::")).collect();
        assert!(!tests.is_empty() || row[2].starts_with("cannot happen:"), "{row:?}");
        for test in tests {
            let (file, function) = test.split_once("::").unwrap();
            let source = fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("{file}: {row:?}"));
            let stands = source.split("#[test]").skip(1).any(|after| {
                let line = after.lines().find(|line| line.trim_start().starts_with("fn "));
                line.is_some_and(|line| line.trim_start().starts_with(&format!("fn {function}(")))
            });
            assert!(stands, "{test} is no test that is there");
        }
    }
}
