//! The committer's threads: as many as there is work for, up to their number.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "rig/meanwhile.rs"]
mod meanwhile;
mod rig;

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use meanwhile::Meanwhile;
use netchan_proto::{Durability, Offset};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Commit, Log, Mark, Store, StoreOptions};
use rig::{HandClock, append, name, small};

/// Threads of the process are counted: each test is alone with its own.
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Default)]
struct Bell(Mutex<bool>, Condvar);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

fn durable(log: &Log, end: Offset) {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    while log
        .poll_reached(Mark::Durable, end, &mut Context::from_waker(&waker))
        .map(Result::unwrap)
        .is_pending()
    {
        let rung = bell.0.lock().unwrap();
        *bell.1.wait_while(rung, |rung| !*rung).unwrap() = false;
    }
}

/// Lets the next sync wait for something to be sent, and says so when it is there.
fn hang(disk: &Meanwhile) -> (Receiver<()>, Sender<()>) {
    let (is_there, there) = channel();
    let (go, goes) = channel::<()>();
    disk.on_sync(move || {
        is_there.send(()).unwrap();
        let _ = goes.recv();
    });
    (there, go)
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("netchan-commit")).count()
}

#[test]
fn while_one_sync_hangs_another_log_is_committed_by_another_thread_and_there_are_no_more_than_were_asked_for()
{
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let disk = Arc::new(Meanwhile::new(SimDisk::new(1)));
    let options = StoreOptions {
        commit: Commit::Threads(NonZeroUsize::new(2).unwrap()),
        min_free_percent: 0,
        // No sync but those that are waited for here.
        idle_after: Duration::from_secs(3600),
        ..StoreOptions::default()
    };
    let store = Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options).unwrap();
    let [a, b, c, d] =
        ["a", "b", "c", "d"].map(|it| store.create_or_open(&name(it), &small(Durability::Sync)).unwrap());
    // The first thread has waited for work before.
    append(&a, "x");
    durable(&a, Offset(1));
    // It takes the next log while yet another one waits: that is for a second thread.
    let (at_a, go_a) = hang(&disk);
    append(&a, "x");
    at_a.recv().unwrap();
    append(&b, "x");
    append(&c, "x");
    let (at_b, go_b) = hang(&disk);
    drop(go_a);
    at_b.recv().unwrap();
    // The second thread may have got to the disk first: then it is the other log that hangs.
    let (b, c) = loop {
        match (b.durable(), c.durable()) {
            (Offset(0), Offset(1)) => break (b, c),
            (Offset(1), Offset(0)) => break (c, b),
            _ => std::thread::yield_now(),
        }
    };
    // The second has time while the first hangs.
    append(&a, "x");
    durable(&a, Offset(3));
    // Both hang, and two logs wait: there is no third.
    let (at_c, go_c) = hang(&disk);
    append(&c, "x");
    at_c.recv().unwrap();
    append(&a, "x");
    append(&d, "x");
    drop(go_b);
    durable(&a, Offset(4));
    durable(&d, Offset(1));
    assert_eq!((b.durable(), c.durable()), (Offset(1), Offset(1)));
    #[cfg(target_os = "linux")]
    assert_eq!(threads(), 2);
    drop(go_c);
    durable(&c, Offset(2));
    store.close();
}

#[test]
fn a_thread_that_has_nothing_to_do_sleeps_until_it_has() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = HandClock::default();
    let options = StoreOptions {
        commit: Commit::Threads(NonZeroUsize::MIN),
        // A log that is opened rests in an hour: there is something to wait for.
        idle_after: Duration::from_secs(3600),
        ..rig::options(&clock)
    };
    let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "x");
    durable(&log, Offset(1));
    // Each look at the queue is one at the clock, which goes on by a microsecond. That none comes is no event to wait for.
    let before = clock.0.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(50));
    let looks = (clock.0.load(Ordering::Relaxed) - before) / 1000;
    assert!(looks < 10, "{looks}");
    append(&log, "y");
    durable(&log, Offset(2));
    store.close();
}

#[test]
fn however_much_is_appended_to_a_log_it_waits_for_a_thread_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (disk, clock) = (Arc::new(Meanwhile::new(SimDisk::new(1))), HandClock::default());
    let options = StoreOptions { commit: Commit::Threads(NonZeroUsize::MIN), ..rig::options(&clock) };
    let store = Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options).unwrap();
    let [a, b] = ["a", "b"].map(|it| store.create_or_open(&name(it), &small(Durability::Sync)).unwrap());
    append(&b, "x");
    durable(&b, Offset(1));
    // The one thread there is hangs in a sync of the other log.
    let (there, go) = hang(&disk);
    append(&a, "x");
    there.recv().unwrap();
    for _ in 0..1000 {
        append(&b, "x");
    }
    // Whatever is taken from the queue is taken at a time, and the clock goes on by a microsecond each time it is read.
    let before = clock.0.load(Ordering::Relaxed);
    drop(go);
    durable(&b, Offset(1001));
    store.close();
    let looks = (clock.0.load(Ordering::Relaxed) - before) / 1000;
    assert!(looks < 100, "{looks}");
}
