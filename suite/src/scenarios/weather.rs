//! Over a network that cuts connections, and dribbles.

use std::thread;

use netchan_node::words::{Durability, Event, Offset, Start};

use crate::pair::{Pair, is_at_end, open, open_sender, payload, receives, send};
use crate::proxy::{Proxy, Weather};
use crate::runtime::Runtime;

const RECORDS: u64 = 1500;
/// Where each is cut into crumbs.
const FEW: u64 = 300;
/// More than the largest batch, or nothing would ever pass; less than a third of all.
const WITHIN: u64 = 600 << 10;

/// A receiver resumes by itself.
pub fn over_connections_that_are_cut_everything_comes_once_and_in_order<S: Runtime, R: Runtime>() {
    let connections = receives_everything::<S, R>(Weather::Cuts { within: WITHIN }, RECORDS, 1);
    assert!(connections > 2, "nothing was cut: {connections} connections");
}

/// Who says nothing more may hear still, and who hears nothing more may speak.
pub fn over_connections_of_which_half_ends_everything_comes_once_and_in_order<S: Runtime, R: Runtime>() {
    let connections = receives_everything::<S, R>(Weather::HalfCloses { within: WITHIN }, RECORDS, 11);
    assert!(connections > 1, "nothing was cut: {connections} connections");
}

/// However small the pieces.
pub fn what_comes_in_crumbs_is_received<S: Runtime, R: Runtime>() {
    receives_everything::<S, R>(Weather::Dribbles, FEW, 12);
}

fn receives_everything<S: Runtime, R: Runtime>(weather: Weather, records: u64, seed: u64) -> u64 {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, weather, seed);
    let target = format!("{}/weathered", proxy.address);
    let mut receiver = open(pair.there.receiver(target).from(Start::Earliest).window(128 << 10));
    let log = open_sender(pair.here.sender("weathered").durability(Durability::Os));
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..records).for_each(|number| drop(send::<S>(&log, payload(number))));
            S::seal(&log).unwrap();
        });
        receives::<R>(&mut receiver, 0, (0..records).map(payload));
        is_at_end::<R>(&mut receiver);
    });
    proxy.connections()
}

/// A sender sends again, and counts once.
pub fn over_connections_that_are_cut_everything_is_delivered_once<S: Runtime, R: Runtime>() {
    let connections = delivers_everything::<S, R>(Weather::Cuts { within: WITHIN }, RECORDS, 2);
    assert!(connections > 2, "nothing was cut: {connections} connections");
}

/// The same of what is sent.
pub fn what_goes_in_crumbs_is_delivered<S: Runtime, R: Runtime>() {
    delivers_everything::<S, R>(Weather::Dribbles, FEW, 31);
}

fn delivers_everything<S: Runtime, R: Runtime>(weather: Weather, records: u64, seed: u64) -> u64 {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, weather, seed);
    let log = open_sender(pair.there.sender(format!("{}/weathered", proxy.address)));
    (0..records).for_each(|number| drop(send::<R>(&log, payload(number))));
    R::flush(&log).unwrap();
    assert_eq!(R::seal(&log).unwrap(), Offset(records));
    let mut receiver = open(pair.here.receiver("weathered").from(Start::Earliest));
    receives::<S>(&mut receiver, 0, (0..records).map(payload));
    is_at_end::<S>(&mut receiver);
    proxy.connections()
}

/// Connected, opened, lost, resumed: of a receiver and of a sender.
pub fn events_tell_what_happens_beside_the_records<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, Weather::Cuts { within: WITHIN }, 3);
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
