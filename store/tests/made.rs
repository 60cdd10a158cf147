//! Who waits for channels to be made learns of each, once, in the order in which they were made.
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use netchan_proto::{ChannelName, Durability};
use netchan_store::Store;
use netchan_store::disk::SimDisk;
use rig::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
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
    waker: &Waker,
) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let made = store.made_after(*after, limit, is_meant, waker);
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
    let (count, mut after) = (Arc::new(Count::default()), 0);
    let waker = Waker::from(Arc::clone(&count));
    let woken = || count.0.load(Ordering::SeqCst);
    let any: fn(&ChannelName) -> bool = |_| true;
    for limit in [1, 2, 99] {
        assert_eq!(all(&store, &mut 0, limit, any, Waker::noop()), ["c", "a", "b/1"]);
    }
    assert_eq!(all(&store, &mut after, 9, any, &waker), ["c", "a", "b/1"]);
    assert_eq!(woken(), 0);
    make(&store, "a"); // it is there
    assert_eq!(woken(), 0);
    make(&store, "b");
    make(&store, "d");
    assert_eq!(woken(), 1, "once, until it is asked again");
    store.delete(&name("b")).unwrap();
    assert_eq!(all(&store, &mut after, 9, any, &waker), ["d"], "nobody needs to know of what is gone");
    store.delete(&name("d")).unwrap();
    make(&store, "d");
    assert_eq!(
        (woken(), all(&store, &mut after, 9, any, &waker)),
        (2, vec!["d".to_owned()]),
        "another of the name"
    );
    store.forget_made(&waker);
    make(&store, "e");
    assert_eq!((woken(), Arc::strong_count(&count)), (2, 2), "nothing is kept of who has gone");
    assert_eq!(all(&store, &mut after, 9, |name| name.as_str() > "e", &waker), [""; 0]);
    store.close();
    drop(store);
    assert_eq!(
        all(&open(&disk), &mut 0, 9, any, Waker::noop()),
        ["a", "b/1", "c", "d", "e"],
        "opened anew: by name"
    );
}

#[test]
fn a_thousand_are_looked_at_at_a_time() {
    let store = open(&SimDisk::new(2));
    for number in 0..1200 {
        make(&store, &format!("{number}"));
    }
    let last: fn(&ChannelName) -> bool = |name| name.as_str() == "1199";
    let made = store.made_after(0, 9, last, Waker::noop());
    assert_eq!((made.channels.len(), made.after, made.more), (0, 1000, true));
    assert_eq!(all(&store, &mut 0, 9, last, Waker::noop()), ["1199"]);
}
