//! Over a network that cuts connections.

use std::thread;

use netchan_node::words::{Durability, Event, Offset, Start};

use crate::pair::{Pair, is_at_end, open, open_sender, payload, receives, send};
use crate::proxy::Proxy;
use crate::runtime::Runtime;

const RECORDS: u64 = 1500;
/// More than the largest batch, or nothing would ever pass; less than a third of all.
const WITHIN: u64 = 600 << 10;

/// A receiver resumes by itself.
pub fn over_connections_that_are_cut_everything_comes_once_and_in_order<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, WITHIN, 1);
    let target = format!("{}/weathered", proxy.address);
    let mut receiver = open(pair.there.receiver(target).from(Start::Earliest).window(128 << 10));
    let log = open_sender(pair.here.sender("weathered").durability(Durability::Os));
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..RECORDS).for_each(|number| drop(send::<S>(&log, payload(number))));
            S::seal(&log).unwrap();
        });
        receives::<R>(&mut receiver, 0, (0..RECORDS).map(payload));
        is_at_end::<R>(&mut receiver);
    });
    assert!(proxy.connections() > 2, "nothing was cut: {} connections", proxy.connections());
}

/// A sender sends again, and counts once.
pub fn over_connections_that_are_cut_everything_is_delivered_once<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, WITHIN, 2);
    let log = open_sender(pair.there.sender(format!("{}/weathered", proxy.address)));
    (0..RECORDS).for_each(|number| drop(send::<R>(&log, payload(number))));
    R::flush(&log).unwrap();
    assert_eq!(R::seal(&log).unwrap(), Offset(RECORDS));
    let mut receiver = open(pair.here.receiver("weathered").from(Start::Earliest));
    receives::<S>(&mut receiver, 0, (0..RECORDS).map(payload));
    is_at_end::<S>(&mut receiver);
    assert!(proxy.connections() > 2, "nothing was cut: {} connections", proxy.connections());
}

/// Connected, opened, lost, resumed: of a receiver and of a sender.
pub fn events_tell_what_happens_beside_the_records<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, WITHIN, 3);
    let log = pair.sender("events");
    let mut receiver = open(pair.there.receiver(format!("{}/events", proxy.address)).from(Start::Earliest));
    (0..100u8).for_each(|number| drop(send::<S>(&log, vec![number; 20_000])));
    receives::<R>(&mut receiver, 0, (0..100u8).map(|number| vec![number; 20_000]));
    let mut seen = [false; 4];
    while seen != [true; 4] {
        match R::next_event(&mut receiver).unwrap() {
            Event::Connected { node } => seen[0] = node == pair.here.id(),
            Event::Opened { .. } => seen[1] = true,
            Event::Lost { .. } => seen[2] = true,
            Event::Resumed { at } => seen[3] = at <= 100,
            _ => {}
        }
    }
    let publisher = open_sender(pair.there.sender(pair.target("events")));
    assert!(matches!(R::sender_event(&publisher), Some(Event::Connected { .. })));
    assert!(matches!(R::sender_event(&publisher), Some(Event::Opened { .. })));
    R::close(&publisher).unwrap();
    while R::sender_event(&publisher).is_some() {}
    assert!(S::sender_event(&log).is_none(), "a channel of this node has no way");
}
