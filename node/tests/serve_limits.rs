//! What all peers together may make a node hold, and who is given up when it is short of memory.

#![allow(clippy::unwrap_used)] // a panic here is a failed test

mod house;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use house::{House, Link, append, batch};
use netchan_node::{Limits, Lost, Machine, Node, NodeConfig};
use netchan_proto::limits::{
    CONNECTION_COST, CREDIT_WINDOW, HOLD_TIME, LARGE_TIME, MAX_OUTBOUND_BYTES, STREAM_COST,
};
use netchan_proto::subscription::Subscription;
use netchan_proto::wire::{Counter, Open, StreamId, Watch};
use netchan_proto::{ErrorCode, Pattern, Start};

/// A node that has this much memory for its peers, and logs that keep next to nothing in memory.
fn house_with(memory: usize) -> House {
    let mut house = House::with(|options| options.tail_cache = 1);
    house.node = Node::new(NodeConfig {
        store: Some(house.store.clone()),
        clock: Arc::new(house.clock.clone()),
        seed: Some(3),
        limits: Limits { memory, ..Limits::default() },
        ..NodeConfig::default()
    })
    .unwrap();
    house
}

fn held(house: &House) -> u64 {
    house.node.status().counters.get(Counter::MEMORY_HELD).unwrap()
}

/// A reader of a channel with much in it, who does not read from its socket.
fn slow_reader(house: &House) -> Link {
    let mut link = Link::new(house);
    link.pump();
    let open = Open {
        name: house::name("much"),
        start: Start::Earliest,
        wait: false,
        credit: u64::MAX,
        filter: None,
    };
    link.peer.open(&open).unwrap();
    link.peer_reads = false;
    link.pump();
    link
}

fn fill(house: &House) {
    let log = house.log("much");
    for _ in 0..100 {
        append(&log, vec![7; 60_000]);
        house.commit();
    }
}

/// NC-LIM-012
#[test]
fn slow_readers_hold_no_more_than_the_node_has_for_them_and_a_good_one_is_served_all_the_same() {
    const MEMORY: usize = 4 << 20;
    let house = house_with(MEMORY);
    fill(&house);
    let mut slow: Vec<Link> = (0..100).map(|_| slow_reader(&house)).collect();
    // What a connection needs to go on at all comes on top.
    assert!(held(&house) <= (MEMORY + 100 * 2 * CONNECTION_COST) as u64, "{}", held(&house));
    let last = slow.last_mut().unwrap().machine.connection().unwrap();
    let held_by_one = bytes::Buf::remaining(last.outbound());
    assert!(held_by_one < MAX_OUTBOUND_BYTES / 4, "{held_by_one}");
    let mut good = Link::new(&house);
    let id = good.read("much", Start::Earliest);
    for _ in 0..HOLD_TIME.as_secs() + 2 {
        slow.iter_mut().for_each(|link| link.wait(Duration::from_secs(1)));
        good.wait(Duration::from_secs(1));
    }
    assert_eq!(good.reader(id).got.len(), 100);
}

/// NC-LIM-013
#[test]
fn who_does_not_take_what_it_asked_for_is_given_up_when_memory_is_short_and_not_before() {
    for (memory, is_short) in [(700 << 10, true), (1 << 30, false)] {
        let house = house_with(memory);
        fill(&house);
        let mut all: Vec<Link> = (0..60).map(|_| slow_reader(&house)).collect();
        let mut given_up = 0;
        for _ in 0..HOLD_TIME.as_secs() + 2 {
            all.iter_mut().for_each(|link| link.wait(Duration::from_secs(1)));
        }
        for link in &mut all {
            if let Some(Lost::Connection(error)) = link.machine.ended() {
                assert_eq!(error.code(), Some(ErrorCode::CALM));
                given_up += 1;
            }
        }
        if is_short {
            assert!(given_up > 0 && given_up < 60, "{given_up}: as many as it takes");
        } else {
            assert_eq!(given_up, 0);
            // The runs that they were sent parts of are given back all the same.
            let most = all.len() * (MAX_OUTBOUND_BYTES + STREAM_COST);
            assert!(held(&house) <= most as u64, "{} of {most}", held(&house));
        }
    }
}

/// NC-LIM-012
#[test]
fn streams_cost_memory_and_are_refused_when_it_is_short_but_for_the_first_of_each_connection() {
    let house = house_with(64 << 10);
    let mut links: Vec<Link> = (0..2).map(|_| Link::new(&house)).collect();
    let mut refused = 0;
    for link in &mut links {
        let waiting = || Subscription::new(house::name("nothing_yet"), Start::Earliest, 100, true);
        let ids: Vec<_> = (0..100).map(|_| link.read_with(waiting())).collect();
        assert_eq!(link.reader(ids[0]).error, None);
        for id in ids {
            if let Some(error) = &link.reader(id).error {
                assert_eq!((error.code, error.retryable), (ErrorCode::TOO_MANY_STREAMS, true));
                refused += 1;
            }
        }
    }
    assert!(refused > 100 && refused < 190, "{refused}");
    drop(links);
    assert_eq!(held(&house), 0);
}

fn watch(link: &mut Link, pattern: &str) -> StreamId {
    let id = link.peer.watch(&Watch { pattern: Pattern::new(pattern).unwrap() }).unwrap();
    link.pump();
    id
}

/// With many bytes that are different.
fn letters() -> String {
    ('\u{b0}'..'\u{ff}').chain('A'..='Z').chain('a'..='z').collect()
}

/// NC-LIM-012
#[test]
fn watching_more_than_once_is_refused_when_memory_is_short_as_reading_is() {
    let house = house_with(64 << 10);
    let mut links: Vec<Link> = (0..2).map(|_| Link::new(&house)).collect();
    let mut refused = 0;
    for link in &mut links {
        let ids: Vec<_> = (0..100).map(|_| watch(link, "**")).collect();
        assert_eq!(link.stream_error(ids[0]), None);
        for id in ids {
            if let Some(error) = link.stream_error(id) {
                assert_eq!((error.code, error.retryable), (ErrorCode::TOO_MANY_STREAMS, true));
                refused += 1;
            }
        }
        // Who receives by a pattern gets on.
        let id = link.read_with(Subscription::new(house::name("nothing_yet"), Start::Earliest, 100, true));
        assert_eq!(link.reader(id).error, None);
    }
    assert!(refused > 100 && refused < 190, "{refused}");
    drop(links);
    assert_eq!(held(&house), 0);
}

/// NC-LIM-012
#[test]
fn what_a_pattern_takes_is_counted() {
    let house = house_with(1 << 20);
    let mut link = Link::new(&house);
    watch(&mut link, "**");
    assert_eq!(held(&house), STREAM_COST as u64);
    let letters = letters();
    let id = watch(&mut link, &letters);
    // As it is kept: 32 bytes at least for each byte that is another.
    let distinct = letters.bytes().collect::<BTreeSet<u8>>().len();
    assert!(held(&house) >= (2 * STREAM_COST + 32 * distinct) as u64, "{} of {distinct}", held(&house));
    link.peer.close_stream(id);
    link.pump();
    assert_eq!(held(&house), STREAM_COST as u64);
}

/// NC-LIM-012
#[test]
fn watching_often_at_once_is_refused_at_once() {
    let house = house_with(256 << 10);
    let mut link = Link::new(&house);
    let pattern = Watch { pattern: Pattern::new(&letters()).unwrap() };
    let ids: Vec<StreamId> = (0..200).map(|_| link.peer.watch(&pattern).unwrap()).collect();
    link.pump();
    let refused = ids.iter().filter(|&&id| link.stream_error(id).is_some()).count();
    assert!(refused > 100 && refused < 190, "{refused}");
    assert!(held(&house) < 256 << 10, "{}", held(&house));
}

/// NC-LIM-014
#[test]
fn one_large_batch_at_a_time_comes_to_a_node_and_who_takes_too_long_makes_way() {
    let house = house_with(64 << 20);
    let window = usize::try_from(CREDIT_WINDOW).unwrap();
    let large = vec![9; 4 << 20];
    let (mut slow, mut other) = (Link::new(&house), Link::new(&house));
    let (one, two) = (slow.publish_open("one", 1), other.publish_open("two", 2));
    let (mut first, mut second) = (batch(1, 0, &[&large]), batch(2, 0, &[&large]));
    slow.publish(one, first.split_to(window));
    assert!(slow.peer.room(one) > 0, "it may send the rest");
    other.publish(two, second.split_to(window));
    assert_eq!(other.peer.room(two), 0, "it waits");
    assert!(held(&house) < 10 << 20);
    for _ in 0..LARGE_TIME.as_secs() - 1 {
        slow.wait(Duration::from_secs(1));
    }
    assert_eq!(slow.stream_error(one), None);
    slow.wait(Duration::from_secs(2));
    let error = slow.stream_error(one).unwrap();
    assert_eq!((error.code, error.retryable), (ErrorCode::CALM, true));
    other.pump();
    other.publish(two, second);
    assert_eq!(other.acks(two).len(), 1);
    assert!(slow.error.is_none());
    drop((slow, other));
    assert_eq!(held(&house), 0);
}

/// NC-LIM-012
#[test]
fn parts_of_batches_wait_for_memory_and_go_on_when_there_is_some() {
    let house = house_with(400 << 10);
    let mut links: Vec<(Link, _)> = (0..20)
        .map(|n| {
            let mut link = Link::new(&house);
            let id = link.publish_open("log", n);
            (link, id)
        })
        .collect();
    // Halves of batches take what there is.
    let mut rest = Vec::new();
    for (n, (link, id)) in links.iter_mut().enumerate() {
        let mut batch = batch(u8::try_from(n).unwrap(), 0, &[&[1; 60_000]]);
        link.peer.publish(*id, batch.split_to(40_000));
        link.pump();
        rest.push(batch);
    }
    assert!(held(&house) <= 560 << 10, "{}", held(&house));
    assert!(held(&house) > (20 * CONNECTION_COST) as u64);
    // Those go who do not move, the others go on.
    let mut all: Vec<_> = links.into_iter().zip(rest).collect();
    for _ in 0..40 {
        all.iter_mut().for_each(|((link, _), _)| link.wait(Duration::from_secs(1)));
        all.retain(|((link, _), _)| !link.machine.is_over());
    }
    let mut came = 0;
    for ((link, id), rest) in &mut all {
        link.publish(*id, std::mem::take(rest));
        came += link.acks(*id).len();
    }
    assert!(came > 0 && came < 20, "{came} got through");
    drop(all);
    assert_eq!(held(&house), 0);
}
