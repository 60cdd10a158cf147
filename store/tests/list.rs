//! What a list tells of channels whose logs are not open: what opening them would tell, without opening those that were closed
//! cleanly.
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::{Durability, LogInfo, Offset, Timestamp};
use netchan_store::disk::SimDisk;
use netchan_store::{Log, Store};
use rig::*;

/// Channels of every shape: how many records, and whether sealed.
const SHAPES: [(&str, u64, bool); 7] = [
    ("empty", 0, false),
    ("few", 3, false),
    ("many", 300, false),
    ("one", 1, false),
    ("sealed-empty", 0, true),
    ("sealed-few", 3, true),
    ("sealed-many", 300, true),
];

fn fill(log: &Log, store: &Store, records: u64) {
    for n in 0..records {
        append(log, &format!("{n} {}", "x".repeat(100)));
        commit(store);
    }
}

fn made(disk: &SimDisk) -> Vec<LogInfo> {
    let store = open(disk);
    for (channel, records, sealed) in SHAPES {
        let log = store.create_or_open(&name(channel), &small(Durability::Sync)).unwrap();
        fill(&log, &store, records);
        if sealed {
            log.seal().unwrap();
        }
    }
    let told = store.list(None, "", 99);
    store.close();
    told
}

fn open_ones(store: &Store) -> Vec<&'static str> {
    let open = SHAPES.iter().filter(|(channel, ..)| store.existing(&name(channel)).is_some());
    open.map(|(channel, ..)| *channel).collect()
}

#[test]
fn a_list_of_logs_that_were_closed_tells_what_opening_them_tells_and_opens_none() {
    let disk = SimDisk::new(1);
    let told = made(&disk);
    assert_eq!(told.len(), SHAPES.len());
    for _ in 0..2 {
        let store = open(&disk);
        assert_eq!(store.list(None, "", 99), told);
        assert_eq!(open_ones(&store), [""; 0]);
        for info in &told {
            assert_eq!(&store.open_existing(&info.name).unwrap().unwrap().info(), info);
        }
        assert_eq!(store.list(None, "", 99), told);
        store.close();
    }
}

/// What closing noted says nothing of what came after it: not after a kill, a power cut, a rolled segment, a trim or a seal.
#[test]
fn a_list_never_tells_of_a_log_as_it_was_closed_once_when_it_is_not_so_any_more() {
    for crash in [false, true] {
        let disk = SimDisk::new(2);
        made(&disk);
        let store = open(&disk);
        for (channel, _, sealed) in SHAPES {
            let log = store.open_existing(&name(channel)).unwrap().unwrap();
            if !sealed {
                fill(&log, &store, 90);
            }
        }
        store.open_existing(&name("few")).unwrap().unwrap().seal().unwrap();
        // A power cut may give closed segments the reserved room back that was cut off them.
        let list = |store: &Store| {
            let mut told = store.list(None, "", 99);
            told.iter_mut().filter(|_| crash).for_each(|info| info.bytes = 0);
            told
        };
        let now = list(&store);
        if crash {
            disk.crash()
        } else {
            disk.kill()
        }
        drop(store);
        let store = open(&disk);
        assert_eq!(list(&store), now);
        assert_eq!(
            open_ones(&store),
            ["empty", "few", "many", "one"],
            "those that were not closed were opened"
        );
        store.close();
        let store = open(&disk);
        assert_eq!((list(&store), open_ones(&store).len()), (now, 0));
    }
}

/// The note of a closing is a hint where to look: whatever stands there instead, what is told is what opening finds.
#[test]
fn a_file_that_is_not_as_closing_left_it_is_opened_to_know() {
    let disk = SimDisk::new(3);
    let told = made(&disk);
    let info = told.iter().find(|info| info.name == name("few")).unwrap();
    let path = format!("channels/{}/{:020}.log", info.id, 0);
    let whole = disk.contents(&path).unwrap();
    for (at, what) in
        (4096..whole.len()).step_by(13).map(|at| (at, "flipped")).chain([(0, "longer"), (1, "shorter")])
    {
        let disk = disk.fork(at as u64);
        let mut bytes = whole.clone();
        match what {
            "flipped" => bytes[at] ^= 1,
            "longer" => bytes.resize(bytes.len() + 8, 0),
            _ => bytes.truncate(bytes.len() - 8),
        }
        disk.overwrite(&path, bytes);
        let listed = open(&disk.fork(1)).list(None, "few", 1);
        let opened = open(&disk).open_existing(&info.name).unwrap().map(|log| log.info());
        assert!(
            listed.first().zip(opened.as_ref()).is_some_and(|(listed, opened)| {
                (listed.next, listed.sealed, listed.epoch) == (opened.next, opened.sealed, opened.epoch)
            }),
            "{what} at {at}: {listed:?} and {opened:?}"
        );
    }
}

/// One record more after a closing: the newest segment begins as it was noted, and goes on.
#[test]
fn a_record_that_came_after_the_last_closing_is_listed() {
    let disk = SimDisk::new(4);
    made(&disk);
    let store = open(&disk);
    for channel in ["empty", "few", "one"] {
        let log = store.open_existing(&name(channel)).unwrap().unwrap();
        append(&log, "one more");
        log.sync().unwrap();
    }
    let now = store.list(None, "", 99);
    disk.kill();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.list(None, "", 99), now);
    let next = |channel| now.iter().find(|info| info.name == name(channel)).unwrap().next;
    assert_eq!((next("empty"), next("few"), next("one")), (Offset(1), Offset(4), Offset(2)));
}

#[test]
fn of_a_log_that_was_truncated_what_is_left_is_listed() {
    for before in [1, 150, 299, 300] {
        let disk = SimDisk::new(5);
        made(&disk);
        let store = open(&disk);
        let log = store.open_existing(&name("many")).unwrap().unwrap();
        log.truncate_before(Offset(before)).unwrap();
        let info = log.info();
        assert_eq!((info.first, info.next), (Offset(before), Offset(300)));
        assert_eq!(before == 300, info.last_time == Timestamp::MIN, "without a record there is no time");
        store.close();
        let store = open(&disk);
        assert_eq!(store.list(None, "many", 1), std::slice::from_ref(&info), "before {before}");
        assert_eq!(store.open_existing(&name("many")).unwrap().unwrap().info(), info, "before {before}");
    }
}

#[test]
fn a_log_in_whose_place_another_ones_segment_stands_is_left_out() {
    let disk = SimDisk::new(6);
    let store = open(&disk);
    let logs = ["a", "b"].map(|it| store.create_or_open(&name(it), &small(Durability::Sync)).unwrap());
    store.close();
    let [path, other] = logs.each_ref().map(|log| segment(log, 0));
    disk.overwrite(&path, disk.contents(&other).unwrap());
    let store = open(&disk);
    let names: Vec<_> = store.list(None, "", 9).into_iter().map(|info| info.name).collect();
    assert_eq!(names, [name("b")]);
    assert!(store.open_existing(&name("a")).is_err());
}
