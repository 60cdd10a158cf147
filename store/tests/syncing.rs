//! What can be seen while a sync is on the way.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "rig/meanwhile.rs"]
mod meanwhile;
mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use meanwhile::Meanwhile;
use netchan_proto::{AsRecord, Durability, Offset, Timestamp};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Log, Mark, Store};
use rig::*;

fn made(durability: Durability) -> (Arc<Meanwhile>, Store, Log) {
    let disk = Arc::new(Meanwhile::new(SimDisk::new(1)));
    let store = Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options(&HandClock::default())).unwrap();
    let log = store.create_or_open(&name("a"), &small(durability)).unwrap();
    (disk, store, log)
}

/// Commits, and says what was written, durable and visible during the first sync of that.
fn during_sync(disk: &Meanwhile, store: &Store, log: &Log) -> Option<[u64; 3]> {
    let seen = Arc::new(Mutex::new(None));
    let (by, into) = (log.clone(), Arc::clone(&seen));
    disk.on_sync(move || {
        *into.lock().unwrap() = Some([by.written(), by.durable(), by.visible()].map(|mark| mark.0));
    });
    commit(store);
    *seen.lock().unwrap()
}

#[test]
fn in_sync_mode_nothing_shows_during_the_sync_but_to_who_waits_for_it_to_be_written() {
    let (disk, store, log) = made(Durability::Sync);
    for n in 0..3 {
        append(&log, "x");
        assert_eq!(during_sync(&disk, &store, &log), Some([n, n, n]));
    }
    assert!(with_cx(|cx| log.poll_reached(Mark::Written, Offset(4), cx)).is_pending());
    append(&log, "x");
    assert_eq!(during_sync(&disk, &store, &log), Some([4, 3, 3]));
    assert_eq!(log.visible(), Offset(4));
}

#[test]
fn in_the_other_modes_the_first_of_an_epoch_shows_after_its_sync_and_what_follows_before_one() {
    for durability in [Durability::Os, Durability::Interval] {
        let (disk, store, log) = made(durability);
        append(&log, "x");
        assert_eq!(during_sync(&disk, &store, &log), Some([0, 0, 0]), "{durability}");
        assert_eq!(log.visible(), Offset(1));
        append(&log, "x");
        assert!(with_cx(|cx| log.poll_reached(Mark::Durable, Offset(2), cx)).is_pending());
        assert_eq!(during_sync(&disk, &store, &log), Some([2, 1, 2]), "{durability}");
        assert_eq!(log.durable(), Offset(2));
    }
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Who waits for what is durable, and looks while the sync is on the way because somebody else was told that it is written,
/// is woken by the end of the sync.
#[test]
fn who_looks_during_the_sync_is_woken_by_its_end() {
    let (disk, store, log) = made(Durability::Sync);
    append(&log, "first");
    commit(&store);
    append(&log, "second");
    assert!(with_cx(|cx| log.poll_reached(Mark::Written, Offset(2), cx)).is_pending());
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let by = log.clone();
    disk.on_sync(move || {
        let cx = &mut Context::from_waker(&waker);
        assert!(by.poll_reached(Mark::Visible, Offset(2), cx).is_pending());
    });
    commit(&store);
    assert_eq!((log.visible(), woken.0.load(Ordering::Relaxed)), (Offset(2), 1));
}

/// A log whose next record comes alone, after so long, and the clock that says so.
fn quiet() -> (Arc<Meanwhile>, HandClock, Store, Log) {
    let (disk, clock) = (Arc::new(Meanwhile::new(SimDisk::new(1))), HandClock::default());
    let store = Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options(&clock)).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    append(&log, "the first of its epoch wants a sync");
    commit(&store);
    (disk, clock, store, log)
}

/// Appends as who may wait does, long after the last, and says whether that has written it.
fn alone(clock: &HandClock, log: &Log) -> bool {
    clock.set(clock.0.load(Ordering::Relaxed) + 50_000);
    let offset = log.append_waiting(&"alone".as_record()).unwrap();
    log.written() > offset
}

#[test]
fn who_may_wait_does_not_open_the_file_of_a_log_at_rest() {
    let (disk, clock, store, log) = quiet();
    assert!(alone(&clock, &log));
    while disk.disk.open_files() > 0 {
        commit(&store);
    }
    assert!(!alone(&clock, &log), "its file has to be opened");
    commit(&store);
    assert!(alone(&clock, &log));
    assert_eq!(texts(&log).len(), 4);
}

#[test]
fn what_comes_while_who_appends_writes_alone_is_left_to_the_committer() {
    let (disk, clock, store, log) = quiet();
    let by = log.clone();
    disk.on_write(move || assert_eq!(append(&by, "meanwhile"), Offset(2)));
    assert!(alone(&clock, &log));
    assert_eq!((log.written(), log.queued()), (Offset(2), Offset(3)));
    commit(&store);
    assert_eq!(log.written(), Offset(3));
    // And who only waits for a sync that comes meanwhile.
    let by = log.clone();
    disk.on_write(move || {
        assert!(with_cx(|cx| by.poll_reached(Mark::Durable, Offset(4), cx)).is_pending());
    });
    assert!(alone(&clock, &log));
    assert_eq!((log.written(), log.durable()), (Offset(4), Offset(1)));
    commit(&store);
    assert_eq!(log.durable(), Offset(4));
}

#[test]
fn who_waits_for_something_to_be_written_or_seen_has_nothing_synced() {
    for durability in [Durability::Os, Durability::Interval] {
        let (disk, store, log) = made(durability);
        append(&log, "the first of its epoch wants a sync");
        commit(&store);
        let syncs = disk.disk.syncs();
        for (mark, at) in [(Mark::Written, 2), (Mark::Visible, 3)] {
            append(&log, "x");
            assert!(with_cx(|cx| log.poll_reached(mark, Offset(at), cx)).is_pending());
            store.run_commits(Timestamp(0));
            assert_eq!((log.visible(), log.durable(), disk.disk.syncs()), (Offset(at), Offset(1), syncs));
        }
    }
}
