//! What a node keeps to with channels that have partitions.

#![allow(clippy::unwrap_used)]

mod house;

use house::{House, Link, append, batch, name};
use netchan_proto::conn::Event;
use netchan_proto::wire::{ErrorFrame, Open, Opened, PublishOpen, Seek, StreamId};
use netchan_proto::{ErrorCode, Offset, Partitions, ProducerId, Start};

fn publish(link: &mut Link, channel: &str, create: bool, partitions: Option<u16>) -> StreamId {
    let open = PublishOpen {
        name: name(channel),
        create,
        durability: None,
        producer: ProducerId([7; 16]),
        content: None,
        partitions: partitions.map(|count| Partitions::new(count).unwrap()),
    };
    let id = link.peer.publish_open(&open).unwrap();
    link.pump();
    id
}

fn read(link: &mut Link, channel: &str, wait: bool) -> StreamId {
    let open = Open { name: name(channel), start: Start::Earliest, wait, credit: 1 << 20, filter: None };
    let id = link.peer.open(&open).unwrap();
    link.pump();
    id
}

fn opened(link: &Link, id: StreamId) -> Option<Opened> {
    link.events.iter().find_map(|event| match event {
        Event::Opened(stream, opened) if *stream == id => Some(opened.clone()),
        _ => None,
    })
}

fn is_partitioned(error: Option<ErrorFrame>, count: u64) {
    let error = error.expect("it is refused");
    assert_eq!((error.code, error.at, error.retryable), (ErrorCode::PARTITIONED, Some(Offset(count)), false));
    assert!(error.text.contains(&format!("{count} partitions")), "{}", error.text);
}

fn names(house: &House) -> Vec<String> {
    house.store.list(None, "", 100).iter().map(|info| info.name.to_string()).collect()
}

/// NC-PRT-006, NC-PRT-007
#[test]
fn who_publishes_with_a_number_makes_all_of_them_and_who_opens_one_is_told_it() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = publish(&mut link, "x@2", true, Some(4));
    let four = Partitions::new(4).ok();
    assert_eq!(link.publish_opened(id).partitions, four);
    assert_eq!(names(&house), ["x@0", "x@1", "x@2", "x@3"]);
    link.publish(id, batch(7, 0, &[b"a"]));
    let reading = read(&mut link, "x@2", false);
    assert_eq!(opened(&link, reading).unwrap().partitions, four);
    link.peer.seek(reading, &Seek { seek_id: 1, start: Start::Earliest });
    link.pump();
    let seeked = link.events.iter().find_map(|event| match event {
        Event::Seeked(_, seeked) => Some(seeked.opened.partitions),
        _ => None,
    });
    assert_eq!(seeked, Some(four));
    // Of a plain channel nobody says a number.
    house.log("plain");
    let plain = publish(&mut link, "plain", false, None);
    assert_eq!(link.publish_opened(plain).partitions, None);
    let plain = read(&mut link, "plain", false);
    assert_eq!(opened(&link, plain).unwrap().partitions, None);
    // Without a number, or with the right one, it is as it was.
    for said in [None, Some(4)] {
        let again = publish(&mut link, "x@0", false, said);
        assert_eq!(link.publish_opened(again).partitions, four);
    }
}

/// NC-PRT-008, NC-PRT-009, NC-PRT-010, NC-PRT-011
#[test]
fn what_contradicts_the_partitions_is_refused_with_their_number() {
    let house = House::new();
    let mut link = Link::new(&house);
    publish(&mut link, "x@0", true, Some(3));
    for (channel, said) in [("x@0", Some(2)), ("x@1", Some(4)), ("x@3", None), ("x@3", Some(4)), ("x", None)]
    {
        for create in [false, true] {
            let id = publish(&mut link, channel, create, said);
            is_partitioned(link.stream_error(id), 3);
        }
    }
    for channel in ["x", "x@3"] {
        for wait in [false, true] {
            let id = read(&mut link, channel, wait);
            is_partitioned(link.stream_error(id), 3);
        }
    }
    for ask in [
        |link: &mut Link| link.peer.stat(&name("x")).unwrap(),
        |link: &mut Link| link.peer.seal(&name("x")).unwrap(),
        |link: &mut Link| link.peer.delete(&name("x")).unwrap(),
    ] {
        let id = ask(&mut link);
        link.pump();
        is_partitioned(link.stream_error(id), 3);
    }
    assert_eq!(names(&house), ["x@0", "x@1", "x@2"]);
}

/// NC-PRT-012, NC-PRT-013
#[test]
fn a_partition_of_nothing_is_refused_and_so_is_one_of_a_plain_channel() {
    let house = House::new();
    let mut link = Link::new(&house);
    for (create, said) in [(false, None), (true, None), (false, Some(4))] {
        let id = publish(&mut link, "x@0", create, said);
        assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::NO_CHANNEL, "{create} {said:?}");
    }
    append(&house.log("plain"), "mine");
    let id = publish(&mut link, "plain@0", true, Some(1));
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::EXISTS);
    assert_eq!(names(&house), ["plain"]);
}

/// NC-PRT-014
#[test]
fn partitions_that_are_missing_are_made_by_who_publishes_to_any() {
    let house = House::new();
    let mut link = Link::new(&house);
    let first = publish(&mut link, "x@0", true, Some(3));
    let log = link.publish_opened(first).log;
    for number in [1, 2] {
        house.store.delete(&name(&format!("x@{number}"))).unwrap();
    }
    let absent = read(&mut link, "x@1", false);
    assert_eq!(link.stream_error(absent).unwrap().code, ErrorCode::NO_CHANNEL, "reading makes nothing");
    let id = publish(&mut link, "x@0", false, None);
    assert_eq!(link.publish_opened(id).log, log);
    assert_eq!(names(&house), ["x@0"], "who is to make nothing makes nothing");
    let id = publish(&mut link, "x@0", true, None);
    assert_eq!(link.publish_opened(id).log, log);
    assert_eq!(names(&house), ["x@0", "x@1", "x@2"]);
}

/// NC-PRT-015
#[test]
fn who_waits_for_a_channel_is_told_that_it_is_made_with_partitions() {
    let house = House::new();
    let mut link = Link::new(&house);
    let (plain, beyond, part) =
        (read(&mut link, "x", true), read(&mut link, "x@7", true), read(&mut link, "x@1", true));
    assert!([plain, beyond, part].iter().all(|id| link.stream_error(*id).is_none()));
    publish(&mut link, "x@0", true, Some(2));
    link.pump();
    is_partitioned(link.stream_error(plain), 2);
    is_partitioned(link.stream_error(beyond), 2);
    assert_eq!(opened(&link, part).unwrap().partitions, Partitions::new(2).ok());
}
