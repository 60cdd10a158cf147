//! What a reader gets where the disk does not give what was written: as little as possible is missing, and it is told what.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "rig/meanwhile.rs"]
mod meanwhile;
mod rig;

use std::io::{Error, ErrorKind};
use std::sync::Arc;

use meanwhile::Meanwhile;
use netchan_proto::{Durability, Offset, Start};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Buffer, Log, LogError, LogOptions, Store, StoreOptions, repair, verify};
use rig::*;

/// Forty records of 420 bytes, two in a batch: five segments and more.
fn some(disk: &SimDisk) -> (Store, Log) {
    let store = open(disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..40 {
        append(&log, &format!("{n} {}", "x".repeat(420)));
        if n % 2 == 1 {
            commit(&store);
        }
    }
    assert!(log.info().segments >= 5);
    (store, log)
}

fn reopened(disk: &SimDisk) -> (Store, Log) {
    let store = open(disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    (store, log)
}

/// Where in its segment, the one that begins with `base`, the batch with `offset` begins.
fn place_of(disk: &SimDisk, log: &Log, base: u64, offset: u64) -> usize {
    let run = log.read(Offset(offset), 1).unwrap();
    let bytes = disk.contents(&segment(log, base)).unwrap();
    bytes.windows(run.bytes.len()).position(|window| window == &run.bytes[..]).unwrap()
}

fn spoil(disk: &SimDisk, path: &str, at: usize) {
    let mut bytes = disk.contents(path).unwrap();
    bytes[at] ^= 1;
    disk.overwrite(path, bytes);
}

/// What a reader is told who asks for `at` first of all.
fn told(disk: &SimDisk, at: u64) -> Result<Offset, (Offset, Offset)> {
    let (_store, log) = reopened(&disk.fork(1));
    match log.read(Offset(at), 1) {
        Ok(run) => Ok(run.first),
        Err(LogError::Damaged { from, to, .. }) => Err((from, to)),
        Err(error) => panic!("{error}"),
    }
}

// NC-DSK-044
#[test]
fn whoever_asks_first_for_what_is_damaged_or_lies_behind_it_is_told_just_that() {
    for part in ["header", "body"] {
        let disk = SimDisk::new(1);
        let (store, log) = some(&disk);
        let path = segment(&log, 0);
        let at = place_of(&disk, &log, 0, 4);
        store.close();
        spoil(&disk, &path, if part == "header" { at + 20 } else { at + 80 });
        let lost = |from| Err((Offset(from), Offset(6)));
        assert_eq!((told(&disk, 4), told(&disk, 5)), (lost(4), lost(5)), "{part}");
        // Before it, behind it, and in the next segment.
        let first = |at| Ok(Offset(at));
        assert_eq!(
            [told(&disk, 3), told(&disk, 6), told(&disk, 9)],
            [first(2), first(6), first(8)],
            "{part}"
        );
        assert_eq!(told(&disk, 20), first(20), "{part}");
    }
}

/// It rots while the log is open and knows where everything stands.
// NC-DSK-044
#[test]
fn whoever_asks_for_what_lies_behind_what_has_rotted_since_is_given_it() {
    for part in ["header", "body"] {
        for asked in [4, 5, 6, 7] {
            let disk = SimDisk::new(1);
            let (_store, log) = some(&disk);
            assert_eq!(texts(&log).len(), 40);
            let at = place_of(&disk, &log, 0, 4);
            spoil(&disk, &segment(&log, 0), if part == "header" { at + 20 } else { at + 80 });
            let read = log.read(Offset(asked), 1).map(|run| run.first);
            let damaged =
                matches!(read, Err(LogError::Damaged { from, to, .. }) if (from.0, to.0) == (asked, 6));
            let given = matches!(read, Ok(first) if first == Offset(6));
            assert!(if asked < 6 { damaged } else { given }, "{part}, {asked}: {read:?}");
        }
    }
}

// NC-DSK-044
#[test]
fn a_damaged_head_takes_no_batch_with_it_and_a_damaged_batch_behind_it_only_itself() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk);
    let path = segment(&log, 0);
    let at = place_of(&disk, &log, 0, 0);
    store.close();
    spoil(&disk, &path, 20);
    assert_eq!([told(&disk, 0), told(&disk, 3)], [Ok(Offset(0)), Ok(Offset(2))]);
    spoil(&disk, &path, at + 20);
    let lost = |from| Err((Offset(from), Offset(2)));
    assert_eq!([told(&disk, 0), told(&disk, 1), told(&disk, 3)], [lost(0), lost(1), Ok(Offset(2))]);
    // In the newest segment too, which opening reads.
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for _ in 0..6 {
        append(&log, "x");
        append(&log, "y");
        commit(&store);
    }
    let at = place_of(&disk, &log, 0, 0);
    store.close();
    spoil(&disk, &segment(&log, 0), 20);
    assert_eq!([told(&disk, 0), told(&disk, 3)], [Ok(Offset(0)), Ok(Offset(2))]);
    spoil(&disk, &segment(&log, 0), at + 20);
    assert_eq!([told(&disk, 0), told(&disk, 1), told(&disk, 3)], [lost(0), lost(1), Ok(Offset(2))]);
}

/// What a power cut has brought back behind the end of a closed segment holds, and is another history's.
// NC-DSK-025
#[test]
fn what_stands_behind_a_closed_segment_is_not_read_though_it_holds_and_would_come_next() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let fill = |store: &Store, log: &Log, what: &str| {
        while log.info().segments < 2 {
            append(log, &format!("{} {what} {}", log.queued().0, "x".repeat(420)));
            commit(store);
        }
    };
    append(&log, "the same");
    commit(&store);
    store.close();
    let other = disk.fork(2);
    let texts_of = |disk: &SimDisk, what: &str| {
        let (store, log) = reopened(disk);
        fill(&store, &log, what);
        let second = log.visible().0 - 1;
        append(&log, what);
        store.close();
        second
    };
    let second = texts_of(&disk, "here");
    assert_eq!(texts_of(&other, "elsewhere"), second);
    let (path, next) = (segment(&log, 0), segment(&log, second));
    let stray = other.contents(&next).unwrap()[4096..].to_vec();
    let good = disk.contents(&path).unwrap();
    disk.overwrite(&path, [&good[..], &stray].concat());
    {
        let (_store, log) = reopened(&disk);
        assert_eq!(log.read(Offset(0), 1 << 20).unwrap().next, Offset(second));
        assert!(texts(&log).iter().all(|text| !text.contains("elsewhere")));
    }
    // Nor does it say where damage ends.
    let later = stray.windows(4).skip(4).position(|bytes| bytes == b"NCB1").unwrap() + 4;
    disk.overwrite(&path, [&good[..], &stray[later..]].concat());
    let last = good.windows(4).rposition(|bytes| bytes == b"NCB1").unwrap();
    spoil(&disk, &path, last + 20);
    let lost = (Offset(second - 1), Offset(second));
    assert_eq!(told(&disk, second - 1), Err(lost));
    let mut problems = Vec::new();
    verify(&disk, &[name("a")], |log| problems.extend(log.problems), |_| ()).unwrap();
    assert_eq!(problems.iter().filter_map(|problem| problem.offsets).collect::<Vec<_>>(), [lost]);
    let mut declared = Vec::new();
    repair(&disk, &[name("a")], true, |log| declared.extend(log.lost()), |_| ()).unwrap();
    assert_eq!(declared, [lost]);
}

/// Nothing of a batch is given before all of it was looked at, though it comes in parts.
// NC-DSK-044
#[test]
fn a_large_batch_is_checked_whole_before_its_first_part_is_given() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    let text: String = (0..200_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    append(&log, &text);
    append(&log, "after");
    commit(&store);
    let (at, path) = (place_of(&disk, &log, 0, 0), segment(&log, 0));
    store.close();
    for max in [64, 1000, 64 << 10, 199_999, 1 << 20] {
        let (_store, log) = reopened(&disk.fork(1));
        let (whole, parts) = (log.read(Offset(0), 1).unwrap(), read_in_parts(&log, Offset(0), max).unwrap());
        assert_eq!(&parts.bytes[..whole.bytes.len()], &whole.bytes[..], "{max} at a time");
        assert_eq!(log.read(Offset(1), 1).unwrap().first, Offset(1));
    }
    for byte in [20, 64, 80, 65_599, 65_600, 65_664, 131_200, 199_000, 200_071] {
        let disk = disk.fork(1);
        let (_store, log) = reopened(&disk);
        spoil(&disk, &path, at + byte);
        for _ in 0..2 {
            let read = log.read_part(Offset(0), 0, Buffer::new(1000));
            assert!(matches!(read, Err(LogError::Damaged { to: Offset(1), .. })), "{byte}: {read:?}");
        }
        assert_eq!(log.read(Offset(1), 1).unwrap().first, Offset(1));
    }
    // Cut off while it is open: no batch behind it is left, and the range reaches to the end.
    for len in [at + 64, at + 70_000, at + 150_000] {
        let disk = disk.fork(1);
        let (_store, log) = reopened(&disk);
        disk.overwrite(&path, disk.contents(&path).unwrap()[..len].to_vec());
        let read = read_in_parts(&log, Offset(0), 1000);
        assert!(matches!(read, Err(LogError::Damaged { to: Offset(2), .. })), "{len}: {read:?}");
    }
}

/// The index has a place each 32 KiB: the batches between are found by their headers, without their bytes.
#[test]
fn a_reader_with_little_room_finds_its_batch_among_large_ones_whatever_was_read_before() {
    let disk = SimDisk::new(1);
    let options = LogOptions { segment_bytes: 1 << 20, ..small(Durability::Sync) };
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &options).unwrap();
    for n in 0..12 {
        append(&log, &format!("{n} {}", "x".repeat(9000)));
        commit(&store);
    }
    store.close();
    for max in [1, 1000, 9500, 20_000] {
        for from in (0..12).step_by(4) {
            let (_store, log) = reopened(&disk.fork(1));
            for from in [from, 11 - from, (from + 5) % 12] {
                let run = log.read(Offset(from), max).unwrap();
                assert_eq!(run.first, Offset(from), "{max} bytes");
                let texts = batches(log.id(), run.bytes).into_iter().flat_map(|batch| {
                    batch.records().map(|record| record.unwrap().payload.to_vec()).collect::<Vec<_>>()
                });
                for (n, text) in (from..).zip(texts) {
                    assert!(text.starts_with(format!("{n} x").as_bytes()), "{max} bytes from {from}");
                }
                let part = read_in_parts(&log, Offset(from), max).unwrap();
                assert_eq!((part.first, part.next > Offset(from)), (Offset(from), true));
            }
        }
    }
}

/// The next batch is found however far behind the damage it begins: the search reads a MiB at a time.
// NC-DSK-044
#[test]
fn behind_a_damaged_batch_of_megabytes_the_next_one_is_found() {
    const STEP: usize = 1 << 20;
    for more in [0, 8, 16, 56, 64, 72, 80, 128, STEP / 2, STEP, STEP + 64] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let options = LogOptions { segment_bytes: 16 << 20, ..small(Durability::Sync) };
        let log = store.create_or_open(&name("a"), &options).unwrap();
        let texts = ["a".to_owned(), "b".repeat(STEP - 128 + more), "c".to_owned(), "d".to_owned()];
        for text in &texts {
            append(&log, text);
            commit(&store);
        }
        let at = place_of(&disk, &log, 0, 1);
        let path = segment(&log, 0);
        store.close();
        spoil(&disk, &path, at + 20);
        let (_store, log) = reopened(&disk);
        let (records, holes) = read_from(&log, Offset(0), 1000);
        let found: Vec<u64> = records.iter().map(|record| record.offset.0).collect();
        assert_eq!((found, holes), (vec![0, 2, 3], vec![(Offset(1), Offset(2))]), "{more}");
    }
}

#[test]
fn a_reader_keeps_four_segments_open_and_gives_back_those_that_go() {
    let disk = SimDisk::new(1);
    some(&disk).0.close();
    let (store, log) = reopened(&disk);
    let bases: Vec<u64> = {
        let names = disk.list(&format!("channels/{}", log.id())).unwrap();
        let mut bases: Vec<u64> =
            names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
        bases.sort_unstable();
        bases
    };
    let before = disk.open_files();
    let closed = &bases[..bases.len() - 1];
    let mut most = 0;
    for (index, base) in closed.iter().enumerate() {
        log.read(Offset(*base), 1).unwrap();
        most = (index + 1).min(4);
        assert_eq!(disk.open_files(), before + most);
    }
    assert_eq!(most, 4);
    // The oldest but one of those that are open goes, with what is before it.
    log.truncate_before(Offset(closed[closed.len() - 2])).unwrap();
    assert_eq!(disk.open_files(), before + 2);
    // Who rests has none.
    for _ in 0..4 {
        commit(&store);
    }
    assert_eq!(disk.open_files(), 0);
    log.read(log.first(), 1).unwrap();
    store.close();
    drop((log, store));
    assert_eq!(disk.open_files(), 0);
}

/// A log on such a disk, with its first segment closed and the second begun by the offset that is given back.
fn meanwhile() -> (Arc<Meanwhile>, Store, Log, Offset) {
    let disk = Arc::new(Meanwhile::new(SimDisk::new(1)));
    some(&disk.disk).0.close();
    let options = StoreOptions { seed: Some(3), ..options(&HandClock::default()) };
    let store = Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options).unwrap();
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    let second = (1..).map(Offset).find(|at| disk.disk.contents(&segment(&log, at.0)).is_some()).unwrap();
    (disk, store, log, second)
}

#[test]
fn what_is_trimmed_while_a_reader_opens_it_is_told_as_trimmed_and_what_is_gone_otherwise_is_not() {
    let (disk, _store, log, second) = meanwhile();
    let by = log.clone();
    disk.on_open(".log", move || {
        by.truncate_before(second).map(|_| ()).map_err(|_| Error::other("not truncated"))
    });
    let read = log.read(Offset(0), 100);
    assert!(matches!(read, Err(LogError::Trimmed { to, .. }) if to == second), "{read:?}");
    assert!(log.read(second, 100).is_ok());

    let (disk, _store, log, _) = meanwhile();
    disk.disk.remove_file(&segment(&log, 0)).unwrap();
    let read = log.read(Offset(0), 100);
    assert!(matches!(read, Err(LogError::Io { .. })), "{read:?}");
}

/// A log that has failed is read by who had it; what the log that was opened in its place has trimmed is gone for it.
#[test]
fn a_reader_of_a_failed_log_is_told_that_it_failed_where_its_successor_has_trimmed_and_of_other_errors_as_ever()
 {
    let (disk, store, log, second) = meanwhile();
    disk.disk.fail_sync(1);
    append(&log, "x");
    commit(&store);
    assert!(log.poisoned().is_some());
    let successor = store.open_existing(&name("a")).unwrap().unwrap();
    disk.on_open(".log", || Err(Error::from(ErrorKind::PermissionDenied)));
    let read = log.read(Offset(0), 100);
    assert!(matches!(read, Err(LogError::Io { .. })), "{read:?}");
    successor.truncate_before(second).unwrap();
    let read = log.read(Offset(0), 100);
    assert!(matches!(read, Err(LogError::Poisoned { .. })), "{read:?}");
    assert_eq!(log.resolve(&Start::Earliest).unwrap().start, Offset(0), "it does not know");
}

/// All that can be had without waiting, with those that cannot left to who waits: as many runs of each.
fn read_either_way(log: &Log, size: usize) -> (usize, usize) {
    let (mut now, mut waited, mut at) = (0, 0, log.first());
    while at < log.visible() {
        let whole = log.read(at, size).unwrap();
        match log.read_now(at, Buffer::new(size)) {
            Some(run) => {
                assert_eq!((run.first, &run.bytes[..]), (whole.first, &whole.bytes[..run.bytes.len()]));
                assert!(run.next > at && run.next <= whole.next);
                now += 1;
                at = run.next;
            }
            None => {
                waited += 1;
                at = whole.next;
            }
        }
    }
    (now, waited)
}

#[test]
fn what_is_read_without_waiting_is_what_is_read_by_waiting() {
    let disk = SimDisk::new(1);
    let (_store, log) = some(&disk);
    for size in [1000, 2000, 5000] {
        let (now, waited) = read_either_way(&log, size);
        assert!(now > 0 && waited > 0, "{size}: {now} {waited}");
    }
    let inside = log.read_now(Offset(1), Buffer::new(2000)).unwrap();
    assert_eq!(
        (inside.first, inside.bytes.len() % 8),
        (Offset(0), 0),
        "the batch with the record that is asked for"
    );
}

#[test]
fn who_goes_on_where_the_last_one_ended_has_all_that_is_in_memory_without_waiting() {
    let disk = SimDisk::new(1);
    some(&disk).0.close();
    let (_store, log) = reopened(&disk);
    assert_eq!(
        log.read(Offset(0), 1000).unwrap().next,
        Offset(2),
        "one batch, and nothing is known of the next"
    );
    let run = log.read_now(Offset(2), Buffer::new(1000)).unwrap();
    assert_eq!((run.first, run.next), (Offset(2), Offset(4)));
    // The system gives it in pieces that are smaller than a batch.
    let run = log.read_now(Offset(0), Buffer::new(2000)).unwrap();
    assert_eq!(
        (run.first, run.next, run.bytes),
        (Offset(0), Offset(4), log.read(Offset(0), 2000).unwrap().bytes)
    );
}

#[test]
fn what_needs_more_than_a_look_is_left_to_who_waits() {
    let disk = SimDisk::new(1);
    let (store, log) = some(&disk);
    let now = |log: &Log, at: u64, size| log.read_now(Offset(at), Buffer::new(size)).is_some();
    assert!(!now(&log, 40, 5000), "the end");
    assert!(!now(&log, 41, 5000), "behind the end");
    log.read(Offset(0), 5000).unwrap();
    assert!(now(&log, 0, 5000));
    assert!(!now(&log, 0, 500), "a batch that is larger than that");
    let (path, at) = (segment(&log, 0), place_of(&disk, &log, 0, 0));
    spoil(&disk, &path, at + 80);
    assert!(!now(&log, 0, 5000), "a batch that has rotted since");
    assert!(matches!(log.read(Offset(0), 5000), Err(LogError::Damaged { .. })));
    assert!(!now(&log, 0, 5000), "one that is known to be damaged");
    store.close();
    let (_store, log) = reopened(&disk);
    assert!(!now(&log, 20, 5000), "no file is open, and nobody knows where it stands");
}

#[test]
fn however_little_is_read_at_once_what_lies_before_a_record_hides_none() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..30 {
        append(&log, &"x".repeat(n * 3));
        commit(&store);
    }
    // Each look ends somewhere in the batches before, in their headers too.
    for size in (1..400).step_by(3) {
        for at in 0..30 {
            let run = log.read(Offset(at), size).unwrap();
            assert!(run.first <= Offset(at) && Offset(at) < run.next, "{size}: {run:?} at {at}");
        }
    }
}
