//! Models of what stands between who appends, the committer's threads and who waits: whatever the order in which they
//! meet, nobody waits for ever. The code is the shipped one, on a simulated disk; locks, condition variables and threads
//! are loom's, and a nap of the committer never ends by itself. `.ci/loom` runs them.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;

use loom::future::block_on;
use loom::thread;
use netchan_proto::{AsRecord, ChannelName, Durability, Offset, Timestamp};

use crate::disk::SimDisk;
use crate::{AppendError, Clock, Commit, Log, LogOptions, Mark, Store, StoreOptions, TailRead};

/// Goes on by a microsecond each time it is read.
struct Steps(AtomicI64);

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(run);
}

/// A store with so many threads that commit, and a log in it.
fn log(threads: usize, durability: Durability, max_queued: usize) -> (Store, Log) {
    let options = StoreOptions {
        commit: Commit::Threads(NonZeroUsize::new(threads).unwrap()),
        min_free_percent: 0,
        max_queued,
        clock: Arc::new(Steps(AtomicI64::new(1))),
        seed: Some(7),
        ..StoreOptions::default()
    };
    let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
    let options = LogOptions { durability, ..LogOptions::default() };
    let log = store.create_or_open(&ChannelName::new("modelled").unwrap(), &options).unwrap();
    (store, log)
}

fn wait(log: &Log, mark: Mark, end: u64) {
    block_on(poll_fn(|cx| log.poll_reached(mark, Offset(end), cx))).unwrap();
}

/// What is appended while the committer sleeps, or works on what came before, is committed; and its threads end.
#[test]
fn what_is_appended_is_committed() {
    model(4, || {
        let (store, log) = log(1, Durability::Sync, 1 << 20);
        log.append(&"one".as_record()).unwrap();
        log.append(&"two".as_record()).unwrap();
        wait(&log, Mark::Durable, 2);
        store.close();
    });
}

/// Two append; each waits for its own.
#[test]
fn two_who_append_are_both_told() {
    model(2, || {
        let (store, log) = log(1, Durability::Os, 1 << 20);
        let other = log.clone();
        let appending = thread::spawn(move || {
            let offset = other.append(&"one".as_record()).unwrap();
            wait(&other, Mark::Written, offset.0 + 1);
        });
        let offset = log.append(&"two".as_record()).unwrap();
        // Where the mode syncs nothing by itself.
        wait(&log, Mark::Durable, offset.0 + 1);
        appending.join().unwrap();
        store.close();
    });
}

/// A reader that has seen all there is wakes for what comes.
#[test]
fn a_reader_is_told_of_each_change() {
    model(2, || {
        let (store, log) = log(1, Durability::Os, 1 << 20);
        let reading = log.clone();
        let reader = thread::spawn(move || {
            let mut at = Offset(0);
            block_on(poll_fn(|cx| {
                loop {
                    // As a served connection does: what was told is taken before the look.
                    let seen = reading.seen();
                    match reading.read_tail(at) {
                        TailRead::Batch(_, header) => at = header.next_offset(),
                        TailRead::End if at == Offset(2) => return Poll::Ready(()),
                        TailRead::End => match reading.poll_changed(seen, cx) {
                            Poll::Ready(_) => {}
                            Poll::Pending => return Poll::Pending,
                        },
                        other => panic!("{other:?}"),
                    }
                }
            }));
        });
        log.append(&"one".as_record()).unwrap();
        wait(&log, Mark::Written, 1);
        log.append(&"two".as_record()).unwrap();
        reader.join().unwrap();
        store.close();
    });
}

/// One that finds the queue full is told when there is room.
#[test]
fn who_waits_for_room_gets_it() {
    model(3, || {
        let (store, log) = log(1, Durability::Os, 1);
        for _ in 0..2 {
            block_on(poll_fn(|cx| {
                loop {
                    match log.append(&[7; 64].as_record()) {
                        Ok(_) => return Poll::Ready(()),
                        Err(AppendError::Full) => match log.poll_capacity(cx) {
                            Poll::Ready(()) => {}
                            Poll::Pending => return Poll::Pending,
                        },
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
        wait(&log, Mark::Written, 2);
        store.close();
    });
}

/// Two logs, and two threads for them: the second is started when it is needed.
#[test]
fn a_second_thread_is_started_and_ends() {
    model(2, || {
        let (store, log) = log(2, Durability::Os, 1 << 20);
        let second = ChannelName::new("second").unwrap();
        let second = store.create_or_open(&second, &LogOptions::default()).unwrap();
        log.append(&"one".as_record()).unwrap();
        second.append(&"two".as_record()).unwrap();
        wait(&log, Mark::Written, 1);
        wait(&second, Mark::Written, 1);
        store.close();
    });
}

/// Closing commits what is queued, and who waits for what never comes is told.
#[test]
fn closing_leaves_nobody_waiting() {
    model(3, || {
        let (store, log) = log(1, Durability::Sync, 1 << 20);
        let waiting = log.clone();
        let waiter = thread::spawn(move || {
            let reached = block_on(poll_fn(|cx| waiting.poll_reached(Mark::Durable, Offset(2), cx)));
            assert!(reached.is_err());
        });
        log.append(&"one".as_record()).unwrap();
        store.close();
        assert_eq!(log.durable(), Offset(1));
        waiter.join().unwrap();
    });
}

/// Who waits when the store is dropped is told something, and the thread ends, or loom finds it asleep.
#[test]
fn dropping_leaves_no_thread_asleep() {
    model(4, || {
        let (store, log) = log(1, Durability::Sync, 1 << 20);
        log.append(&"one".as_record()).unwrap();
        drop(store);
        let _ = block_on(poll_fn(|cx| log.poll_reached(Mark::Durable, Offset(1), cx)));
    });
}
