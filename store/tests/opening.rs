//! What opening a data directory keeps, refuses and leaves out; and what closing it notes.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "rig/meanwhile.rs"]
mod meanwhile;
mod rig;

use std::io::{Error, ErrorKind, IoSlice};
use std::sync::Arc;

use meanwhile::Meanwhile;
use netchan_proto::{AsRecord, Content, Durability, Offset};
use netchan_store::disk::{Disk, Open, SimDisk};
use netchan_store::{AppendError, Log, LogError, LogOptions, Store, StoreError, StoreOptions};
use rig::*;

fn with_records(disk: &SimDisk, channel: &str, count: usize) -> Log {
    with_records_at(disk, 0, channel, count)
}

/// Of a channel that is made at a time of its own.
fn with_records_at(disk: &SimDisk, time: i64, channel: &str, count: usize) -> Log {
    let clock = HandClock::default();
    clock.set(time);
    let options = StoreOptions { seed: Some(7 + disk.operations() + count as u64 * 1000), ..options(&clock) };
    let store = Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap();
    let log = store.create_or_open(&name(channel), &small(Durability::Sync)).unwrap();
    for n in 0..count {
        append(&log, &format!("{channel} {n} {}", "x".repeat(400)));
        commit(&store);
    }
    store.close();
    log
}

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let file = disk.open(path, Open::CreateNew).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    file.sync().unwrap();
}

fn copy_dir(from: &SimDisk, dir: &str, to: &SimDisk, into: &str) {
    to.create_dir(into).unwrap();
    for file in from.list(dir).unwrap() {
        put(to, &format!("{into}/{file}"), &from.contents(&format!("{dir}/{file}")).unwrap());
    }
}

// NC-DSK-011
#[test]
fn an_identity_that_cannot_be_read_for_now_is_not_replaced_by_another() {
    let disk = SimDisk::new(1);
    with_records(&disk, "a", 1);
    let node = disk.contents("node").unwrap();
    for small_file in ["node", "state/meta", "meta"] {
        let meanwhile = Meanwhile::new(disk.fork(1));
        meanwhile.on_open(small_file, || Err(Error::from(ErrorKind::PermissionDenied)));
        let fork = meanwhile.disk.clone();
        let opened = Store::open(Arc::new(meanwhile), options(&HandClock::default()));
        assert!(matches!(opened, Err(StoreError::Io { .. })), "{small_file}: {opened:?}");
        drop(opened);
        assert_eq!(fork.contents("node").unwrap(), node);
        assert_eq!(texts(&open(&fork).open_existing(&name("a")).unwrap().unwrap()).len(), 1);
    }
}

#[test]
fn identities_from_the_system_are_random_in_every_half() {
    let identity = || {
        let options = StoreOptions { seed: None, ..options(&HandClock::default()) };
        Store::open(Arc::new(SimDisk::new(1)) as Arc<dyn Disk>, options).unwrap().node_id().0
    };
    let (one, two) = (identity(), identity());
    for half in [0..8, 8..16] {
        assert!(one[half.clone()] != [0; 8] && one[half.clone()] != two[half], "{one:?} {two:?}");
    }
    assert_ne!(one[..8], one[8..]);
}

#[test]
fn options_of_the_first_opening_count_and_are_kept_and_a_channel_that_cannot_be_sealed_stays_so() {
    let disk = SimDisk::new(1);
    let channel = name("a");
    let never = LogOptions { unsealable: true, ..small(Durability::Sync) };
    open(&disk).create_or_open(&channel, &never).unwrap();
    for kept in [never, small(Durability::Sync), never] {
        let store = open(&disk);
        let log = store.create_or_open(&channel, &kept).unwrap();
        assert!(matches!(log.seal(), Err(LogError::Unsealable)));
        store.close();
    }
    let store = open(&disk);
    store.create_or_open(&channel, &small(Durability::Os)).unwrap();
    assert_eq!(
        store.create_or_open(&channel, &small(Durability::Sync)).unwrap().durability(),
        Durability::Os
    );
    store.close();
    let store = open(&disk);
    let log = store.open_existing(&channel).unwrap().unwrap();
    assert_eq!(log.durability(), Durability::Os);
    assert!(matches!(log.seal(), Err(LogError::Unsealable)));
}

/// Two cannot be made; should they be there all the same, the older has the name, wherever its directory is listed.
// NC-DSK-013
#[test]
fn of_two_channels_of_one_name_the_older_is_opened() {
    let (first, second) = (SimDisk::new(1), SimDisk::new(2));
    let older = with_records(&first, "a", 1);
    with_records(&second, "z", 3);
    let younger = with_records_at(&second, 1_000_000_000, "a", 2);
    for (disk, other, log) in [(&first, &second, &younger), (&second, &first, &older)] {
        let disk = disk.fork(3);
        let dir = format!("channels/{}", log.id());
        copy_dir(other, &dir, &disk, &dir);
        let store = open(&disk);
        assert_eq!(store.open_existing(&name("a")).unwrap().unwrap().id(), older.id());
        assert!(disk.contents(&segment(log, 0)).is_some(), "nothing of the other is removed");
    }
}

#[test]
fn a_directory_whose_meta_is_another_channels_is_left_out() {
    let disk = SimDisk::new(1);
    let log = with_records(&disk, "a", 2);
    let dir = format!("channels/{}", log.id());
    let other = format!("channels/{}", "ab".repeat(16));
    copy_dir(&disk, &dir, &disk, &other);
    let store = open(&disk);
    assert_eq!(store.list(None, "", 9).len(), 1);
    assert_eq!(store.open_existing(&name("a")).unwrap().unwrap().id(), log.id());
    assert!(disk.contents(&format!("{other}/meta")).is_some());
    // Also where it is the only one.
    let renamed = SimDisk::new(1);
    let log = with_records(&renamed, "a", 2);
    renamed.rename(&format!("channels/{}", log.id()), &other).unwrap();
    let store = open(&renamed);
    assert!(!store.contains(&name("a")) && store.list(None, "", 9).is_empty());
}

// NC-DSK-010
#[test]
fn the_longest_name_with_the_longest_content_is_known_again() {
    let disk = SimDisk::new(1);
    let long = name(&"n".repeat(255));
    let content = Content::new(&"c".repeat(96)).unwrap();
    let store = open(&disk);
    let log = store.create_or_open(&long, &small(Durability::Sync)).unwrap();
    assert!(log.set_content(&content).unwrap());
    store.close();
    let log = open(&disk).open_existing(&long).unwrap().unwrap();
    assert_eq!(log.content(), Some(&content));
}

#[test]
fn closing_notes_what_has_changed_and_nothing_of_a_log_that_failed() {
    let disk = SimDisk::new(1);
    with_records(&disk, "a", 3);
    let state = format!("state/{:020}.log", 0);
    let noted = |disk: &SimDisk| {
        let bytes = disk.contents(&state).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[..=end].to_vec()
    };
    let before = noted(&disk);
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(texts(&log).len(), 3);
    store.close();
    assert_eq!(noted(&disk), before, "it is as it was");
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    append(&log, "not durable");
    disk.fail_sync(1);
    commit(&store);
    assert!(log.poisoned().is_some());
    store.close();
    assert_eq!(noted(&disk), before, "nobody knows how it ends");
}

#[test]
fn a_store_that_was_dropped_with_something_queued_gives_its_directory_back() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "never committed");
    drop(store);
    assert!(matches!(log.append(&"after".as_record()), Err(AppendError::Closed)));
    drop(log);
    let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(log.visible(), Offset(0));
}

#[test]
fn what_is_printed_says_which_it_is() {
    let store = open(&SimDisk::new(1));
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    assert_eq!(format!("{log:?}"), format!("Log(a {})", log.id()));
    store.state().put(b"key", b"value").unwrap();
    assert_eq!(format!("{:?}", store.state()), "StateLog { keys: 1 }");
    let printed = format!("{store:?}");
    assert!(printed.contains(&format!("{:?}", store.node_id())), "{printed}");
}

#[test]
fn a_segment_is_not_smaller_than_the_smallest_whatever_was_asked_for() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let tiny = LogOptions { segment_bytes: 1, ..small(Durability::Sync) };
    let log = store.create_or_open(&name("a"), &tiny).unwrap();
    for _ in 0..20 {
        append(&log, &"x".repeat(100));
        commit(&store);
    }
    assert_eq!(log.info().segments, 1);
}

struct Told(std::sync::atomic::AtomicBool);

impl std::task::Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_channel_that_is_only_being_made_is_not_there_for_who_waits_for_it() {
    let disk = Arc::new(Meanwhile::new(SimDisk::new(1)));
    let store = Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options(&HandClock::default())).unwrap();
    let told = Arc::new(Told(false.into()));
    let (by, waits) = (store.clone(), Arc::clone(&told));
    let (saw, seen) = std::sync::mpsc::channel();
    disk.on_sync(move || {
        let waker = std::task::Waker::from(waits);
        let polled = by.poll_created(&name("a"), &mut std::task::Context::from_waker(&waker));
        saw.send((polled.is_pending(), by.contains(&name("a")))).unwrap();
    });
    store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let (waits, contains) = seen.try_recv().unwrap();
    assert!(waits && !contains, "it is not durable yet");
    assert!(told.0.load(std::sync::atomic::Ordering::SeqCst), "it is now");
    assert!(with_cx(|cx| store.poll_created(&name("a"), cx)).is_ready());
}
