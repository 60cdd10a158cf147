//! What is truncated goes to the record, at once and for good, and whoever wanted it is told.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;

use netchan_proto::{AsRecord, Durability, Offset, Position, Start, Timestamp};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Log, LogError, Retention, Store, StoreError, TailRead, verify};
use rig::*;

/// Thirty records of a kilobyte in batches of three; several segments.
fn some(disk: &SimDisk, durability: Durability) -> (Store, Log) {
    let store = open(disk);
    let log = store.create_or_open(&name("a"), &small(durability)).unwrap();
    for n in 0..30 {
        append(&log, &format!("{n} {}", "x".repeat(600)));
        if n % 3 == 2 {
            commit(&store);
        }
    }
    (store, log)
}

fn numbers(log: &Log) -> Vec<u64> {
    let (records, holes) = read_from(log, log.first(), 5000);
    assert_eq!(holes, []);
    records.iter().map(|record| record.offset.0).collect()
}

fn segments(disk: &SimDisk, log: &Log) -> usize {
    let names = disk.list(&format!("channels/{}", log.id())).unwrap();
    names.iter().filter(|name| name.ends_with(".log")).count()
}

// NC-DSK-090, NC-DSK-091, NC-DSK-093
#[test]
fn every_record_before_the_offset_goes_and_no_other_and_it_stays_so() {
    for before in 0..=30 {
        let disk = SimDisk::new(1);
        let (store, log) = some(&disk, Durability::Sync);
        let had = segments(&disk, &log);
        let seen = log.seen();
        assert_eq!(log.truncate_before(Offset(before)).unwrap(), Offset(before));
        let left: Vec<u64> = (before..30).collect();
        assert_eq!((log.first(), numbers(&log)), (Offset(before), left.clone()), "before {before}");
        if before > 0 {
            assert_ne!(log.seen(), seen, "who waits is woken");
            assert!(
                matches!(log.read(Offset(before - 1), 9), Err(LogError::Trimmed { to, .. }) if to == Offset(before))
            );
            assert_eq!(log.read_tail(Offset(before - 1)), TailRead::Gap { to: Offset(before) });
            let found = log.resolve(&Start::Offset(Offset(0))).unwrap();
            assert_eq!((found.start, found.gap_from), (Offset(before), Some(Offset(0))));
        }
        assert!(before < 12 || segments(&disk, &log) < had, "their files go");
        assert!(before < 30 || segments(&disk, &log) == 1);
        assert_eq!(
            before == 30,
            disk.contents(&segment(&log, 30)).is_some(),
            "another one begins behind all"
        );
        assert_eq!(log.resolve(&Start::Time(Timestamp(0))).unwrap().start, Offset(before));
        let info = log.info();
        assert_eq!(info.first, Offset(before));
        if before < 30 {
            let (records, _) = read_from(&log, Offset(before), 1);
            assert_eq!(info.first_time, records[0].timestamp, "before {before}");
        }
        // Less than that, or the same again, changes nothing.
        assert_eq!(log.truncate_before(Offset(before / 2)).unwrap(), Offset(before));
        store.close();
        let mut found = Vec::new();
        verify(&disk, &[], |log| found.push(log), |_| ()).unwrap();
        assert!(found.iter().all(netchan_store::Verified::holds), "{found:?}");
        assert_eq!(found[0].offsets, Some((Offset(before), Offset(30))));
        // Over a restart, with other options, and further.
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(numbers(&log), left);
        log.set_retention(Retention { max_records: Some(1000), ..Retention::default() }).unwrap();
        assert_eq!(append(&log, "goes on"), Offset(30));
        log.sync().unwrap();
        store.close();
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        assert_eq!(numbers(&log), (before..31).collect::<Vec<_>>());
    }
}

// NC-DSK-090
#[test]
fn by_time_every_older_record_goes() {
    let disk = SimDisk::new(1);
    let (_store, log) = some(&disk, Durability::Sync);
    let (records, _) = read_from(&log, Offset(0), 1 << 20);
    for at in [0, 1, 7, 20, 29] {
        let time = records[at].timestamp;
        assert_eq!(log.truncate_before_time(time).unwrap(), records[at].offset);
        assert_eq!(log.first(), records[at].offset);
        let after = Timestamp(time.0 + 1);
        assert_eq!(log.truncate_before_time(after).unwrap(), records[at].offset.plus(1));
    }
    assert_eq!((log.first(), log.visible()), (Offset(30), Offset(30)));
}

// NC-DSK-092
#[test]
fn nothing_goes_that_is_not_durable_and_nothing_that_is_to_come() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk, Durability::Os);
    append(&log, "only queued");
    assert_eq!(log.truncate_before(Offset(1000)).unwrap(), Offset(31));
    drop((store, log));
    disk.crash();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!((log.first(), log.visible()), (Offset(31), Offset(31)));
    assert_eq!(append(&log, "the next"), Offset(31));
    log.sync().unwrap();
    assert_eq!(texts(&log), ["the next"]);
}

// NC-DSK-092
#[test]
fn a_position_before_the_cut_is_told_a_gap_and_one_after_it_holds() {
    let disk = SimDisk::new(1);
    let (_store, log) = some(&disk, Durability::Sync);
    log.truncate_before(Offset(20)).unwrap();
    for offset in [3, 20, 25, 30] {
        let position =
            Position { log: log.id(), epoch: log.epoch_before(Offset(30)), offset: Offset(offset) };
        let found = log.resolve(&Start::Resume(position)).unwrap();
        assert_eq!(found.truncated, None);
        assert_eq!(found.gap_from, (offset < 20).then_some(Offset(offset)));
        assert_eq!(found.start, Offset(offset.max(20)));
    }
}

// NC-DSK-091
#[test]
fn a_sealed_log_that_is_truncated_whole_stays_sealed_at_its_end() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk, Durability::Sync);
    log.seal().unwrap();
    let digest = log.digest();
    assert_eq!(log.truncate_before(Offset(30)).unwrap(), Offset(30));
    for again in [false, true] {
        let store = if again { open(&disk) } else { store.clone() };
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!((log.first(), log.sealed_at(), log.digest()), (Offset(30), Some(Offset(30)), digest));
        assert_eq!(log.read_tail(Offset(30)), TailRead::Sealed(Offset(30)));
        assert!(log.append(&"x".as_record()).is_err());
        store.close();
    }
}

// NC-DSK-091
#[test]
fn a_log_that_failed_and_is_opened_anew_begins_where_it_was_truncated() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk, Durability::Sync);
    log.truncate_before(Offset(10)).unwrap();
    disk.fail_sync(1);
    append(&log, "x");
    commit(&store);
    assert!(log.poisoned().is_some());
    assert!(matches!(log.truncate_before(Offset(12)), Err(StoreError::Closed)));
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(log.first(), Offset(10));
}

// NC-DSK-091
#[test]
fn a_log_that_was_deleted_is_closed_to_who_would_truncate_it() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk, Durability::Sync);
    store.delete(&name("a")).unwrap();
    assert!(matches!(log.truncate_before(Offset(10)), Err(StoreError::Closed)));
    assert!(matches!(log.truncate_before_time(Timestamp(1)), Err(StoreError::Closed)));
}

/// The power goes at every operation of it, with many subsets of what was on its way.
// NC-DSK-091
#[test]
fn cut_anywhere_it_is_done_or_not_begun_and_what_is_left_is_whole() {
    for before in [1, 7, 13, 22, 30] {
        for cut in 1.. {
            let disk = SimDisk::new(cut);
            let (store, log) = some(&disk, Durability::Sync);
            disk.cut_power_at(cut);
            let done = log.truncate_before(Offset(before)).is_ok();
            if disk.is_on() {
                assert!(done && cut > 5, "{cut}");
                break;
            }
            for subset in 0..50 {
                let fork = disk.fork(subset);
                fork.crash();
                if subset % 2 == 1 {
                    fork.cut_power_at(1 + subset / 2);
                    let _ = try_open(&fork).map(|store| store.open_existing(&name("a")).map(drop));
                    fork.crash();
                }
                let store =
                    Store::open(Arc::new(fork) as Arc<dyn Disk>, options(&HandClock::default())).unwrap();
                let log = store.open_existing(&name("a")).unwrap().unwrap();
                let first = log.first();
                assert!(first == Offset(before) || (first == Offset(0) && !done), "{first} of {before}");
                assert_eq!(numbers(&log), (first.0..30).collect::<Vec<_>>(), "{before} {cut} {subset}");
                assert_eq!(append(&log, "goes on"), Offset(30));
                log.sync().unwrap();
            }
            drop((store, log));
        }
    }
}

/// With which offset the oldest segment begins that has a file.
fn oldest(disk: &SimDisk, log: &Log) -> u64 {
    let names = disk.list(&format!("channels/{}", log.id())).unwrap();
    names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).min().unwrap()
}

// NC-DSK-081, NC-DSK-091
#[test]
fn whatever_fails_of_a_truncation_the_next_one_removes_what_it_has_left() {
    let whole = SimDisk::new(1);
    some(&whole, Durability::Sync).0.close();
    for operation in 1.. {
        let disk = whole.fork(operation);
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        disk.fail_at(operation, netchan_store::disk::Fault::Io);
        let first = log.truncate_before(Offset(12)).unwrap_or(Offset(0));
        let is_done = disk.is_to_fail();
        assert_eq!(log.first(), first, "operation {operation}");
        assert_eq!(numbers(&log), (first.0..30).collect::<Vec<_>>(), "operation {operation}");
        if is_done {
            break;
        }
        // So does the next opening.
        let again = disk.fork(operation);
        again.kill();
        let next = open(&again);
        let opened = next.open_existing(&name("a")).unwrap().unwrap();
        assert!(opened.first() == first || opened.first() == Offset(12), "operation {operation}");
        let stays = if opened.first() == Offset(0) { 0 } else { 12 };
        assert!(oldest(&again, &opened) <= stays && (stays == 0 || oldest(&again, &opened) > 8));
        assert_eq!(numbers(&opened), (stays..30).collect::<Vec<_>>(), "operation {operation}");
        assert_eq!(log.truncate_before(Offset(26)).unwrap(), Offset(26));
        assert!((21..=26).contains(&oldest(&disk, &log)), "operation {operation}");
        assert_eq!(numbers(&log), (26..30).collect::<Vec<_>>());
    }
    // What somebody else has removed is gone, and keeps nothing else.
    let disk = whole.fork(0);
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    disk.remove_file(&segment(&log, 0)).unwrap();
    log.truncate_before(Offset(26)).unwrap();
    assert!(segments(&disk, &log) <= 2);
}
