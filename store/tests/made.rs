//! Who waits for channels to be made learns of each, once, in the order in which they were made.
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use netchan_proto::limits::WATCH_NAMES;
use netchan_proto::{ChannelName, Durability};
use netchan_store::disk::SimDisk;
use netchan_store::{MadeTicket, Store};
use rig::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Who does not come back.
macro_rules! nobody {
    () => {
        (&mut MadeTicket::default(), Waker::noop())
    };
}

fn make(store: &Store, channel: &str) {
    store.create_or_open(&name(channel), &small(Durability::Sync)).unwrap();
}

/// All there is after a place, however many calls that takes.
fn all(
    store: &Store,
    after: &mut u64,
    limit: usize,
    is_meant: fn(&ChannelName) -> bool,
    (ticket, waker): (&mut MadeTicket, &Waker),
) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let made = store.made_after(*after, limit, is_meant, ticket, waker);
        assert!(made.channels.len() <= limit && made.after >= *after);
        assert!(!made.more || made.after > *after, "it comes further");
        *after = made.after;
        names.extend(made.channels.iter().map(|(name, _)| name.to_string()));
        if !made.more {
            return names;
        }
    }
}

#[test]
fn channels_are_told_once_each_in_the_order_in_which_they_were_made() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    for channel in ["c", "a", "b/1"] {
        make(&store, channel);
    }
    let (count, mut after, mut ticket) = (Arc::new(Count::default()), 0, MadeTicket::default());
    let waker = Waker::from(Arc::clone(&count));
    let woken = || count.0.load(Ordering::SeqCst);
    let any: fn(&ChannelName) -> bool = |_| true;
    for limit in [1, 2, 99] {
        assert_eq!(all(&store, &mut 0, limit, any, nobody!()), ["c", "a", "b/1"]);
    }
    assert_eq!(all(&store, &mut after, 9, any, (&mut ticket, &waker)), ["c", "a", "b/1"]);
    assert_eq!(woken(), 0);
    make(&store, "a"); // it is there
    assert_eq!(woken(), 0);
    make(&store, "b");
    make(&store, "d");
    assert_eq!(woken(), 1, "once, until it is asked again");
    store.delete(&name("b")).unwrap();
    assert_eq!(
        all(&store, &mut after, 9, any, (&mut ticket, &waker)),
        ["d"],
        "nobody needs to know of what is gone"
    );
    store.delete(&name("d")).unwrap();
    make(&store, "d");
    assert_eq!(
        (woken(), all(&store, &mut after, 9, any, (&mut ticket, &waker))),
        (2, vec!["d".to_owned()]),
        "another of the name"
    );
    store.forget_made(&mut ticket);
    make(&store, "e");
    assert_eq!((woken(), Arc::strong_count(&count)), (2, 2), "nothing is kept of who has gone");
    assert_eq!(all(&store, &mut after, 9, |name| name.as_str() > "e", (&mut ticket, &waker)), [""; 0]);
    store.close();
    drop(store);
    assert_eq!(
        all(&open(&disk), &mut 0, 9, any, nobody!()),
        ["a", "b/1", "c", "d", "e"],
        "opened anew: by name"
    );
}

/// NC-LIM-017
#[test]
fn so_many_are_looked_at_at_a_time() {
    let store = open(&SimDisk::new(2));
    for number in 0..1200 {
        make(&store, &format!("{number}"));
    }
    let last: fn(&ChannelName) -> bool = |name| name.as_str() == "1199";
    let made = store.made_after(0, 9, last, &mut MadeTicket::default(), Waker::noop());
    assert_eq!((made.channels.len(), made.after, made.more), (0, WATCH_NAMES as u64, true));
    assert_eq!(all(&store, &mut 0, 9, last, nobody!()), ["1199"]);
}

#[test]
fn each_waits_for_itself_with_its_newest_waker() {
    let store = open(&SimDisk::new(3));
    let wakers: [_; 2] = std::array::from_fn(|_| Arc::new(Count::default()));
    let [first, second] = &wakers;
    let woken = || [first, second].map(|count| count.0.load(Ordering::SeqCst));
    let (mut one, mut other) = (MadeTicket::default(), MadeTicket::default());
    let wait = |ticket: &mut MadeTicket, count: &Arc<Count>| {
        let after = u64::MAX;
        store.made_after(after, 9, |_| true, ticket, &Waker::from(Arc::clone(count)));
    };
    // One task has both.
    wait(&mut one, first);
    wait(&mut other, first);
    store.forget_made(&mut other);
    store.forget_made(&mut other);
    make(&store, "a");
    assert_eq!(woken(), [1, 0], "the other one is gone, and this one waits still");
    wait(&mut one, first);
    wait(&mut one, second);
    wait(&mut one, second);
    assert_eq!(wakers.each_ref().map(Arc::strong_count), [1, 2], "one entry");
    make(&store, "b");
    assert_eq!(woken(), [1, 1]);
    wait(&mut other, first);
    make(&store, "c");
    assert_eq!(woken(), [2, 1]);
}

/// Each step takes about as long however many wait: with a list that is searched, each round would take ten thousand million
/// comparisons.
#[test]
fn very_many_who_wait_are_each_woken_once_for_each_channel() {
    const WATCHERS: usize = 150_000;
    let store = open(&SimDisk::new(4));
    let mut watchers: Vec<_> =
        (0..WATCHERS).map(|_| (Arc::new(Count::default()), 0, MadeTicket::default())).collect();
    for round in 0..3 {
        if round > 0 {
            make(&store, &format!("{round}"));
        }
        for (count, after, ticket) in &mut watchers {
            assert_eq!(count.0.load(Ordering::SeqCst), round);
            let made = store.made_after(*after, 9, |_| true, ticket, &Waker::from(Arc::clone(count)));
            assert_eq!((made.channels.len(), made.more), (round.min(1), false));
            *after = made.after;
        }
    }
    for (count, _, ticket) in &mut watchers {
        store.forget_made(ticket);
        assert_eq!(Arc::strong_count(count), 1);
    }
    make(&store, "later");
    assert!(watchers.iter().all(|(count, ..)| count.0.load(Ordering::SeqCst) == 2));
}
