//! What can be seen while a sync is on the way.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "rig/meanwhile.rs"]
mod meanwhile;
mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use meanwhile::Meanwhile;
use netchan_proto::{Durability, Offset};
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
