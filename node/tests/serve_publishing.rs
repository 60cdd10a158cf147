//! What a peer that publishes is promised.

#![allow(clippy::unwrap_used)]

mod house;

use std::time::Duration;

use bytes::Bytes;
use house::{House, Link, append, batch, name, options, peer_config};
use netchan_node::Served;
use netchan_proto::limits::CREDIT_WINDOW;
use netchan_proto::wire::{AckLevel, End, Note, PublishAck, PublishNote, PublishOpen};
use netchan_proto::{AsRecord, Durability, ErrorCode, Instant, Offset, ProducerId, Side, Start};

fn payloads(house: &House, channel: &str) -> Vec<String> {
    let mut link = Link::new(house);
    let id = link.read(channel, Start::Earliest);
    link.reader(id).texts().iter().map(|text| (*text).to_owned()).collect()
}

fn durable(first_sequence: u64, count: u64, first_offset: Option<u64>) -> PublishAck {
    PublishAck {
        level: AckLevel::Durable,
        epoch: netchan_proto::Epoch(1),
        first_sequence,
        count,
        first_offset: first_offset.map(Offset),
    }
}

#[test]
fn what_is_published_is_in_the_log_and_acknowledged_with_its_offset() {
    let house = House::new();
    append(&house.log("my_log"), "mine");
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    let opened = link.publish_opened(id);
    assert_eq!(
        (opened.next_sequence, opened.credit, opened.durability),
        (0, CREDIT_WINDOW, Durability::Sync)
    );
    link.publish(id, batch(1, 0, &[b"a", b"b"]));
    link.publish(id, batch(1, 2, &[b"c"]));
    assert_eq!(link.acks(id), [durable(0, 2, Some(1)), durable(2, 1, Some(3))]);
    assert_eq!(payloads(&house, "my_log"), ["mine", "a", "b", "c"]);
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    link.commits = None;
    link.publish(id, batch(1, 0, &[b"a"]));
    let log = house.log("my_log");
    assert_eq!((log.queued(), log.durable()), (Offset(1), Offset(0)));
    assert_eq!(link.acks(id), []);
    let syncs = house.disk.syncs();
    house.commit();
    assert!(house.disk.syncs() > syncs);
    link.pump();
    assert_eq!(link.acks(id), [durable(0, 1, Some(0))]);
}

#[test]
fn a_failed_sync_is_an_error_and_never_an_acknowledgement() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    house.disk.fail_sync(1);
    link.publish(id, batch(1, 0, &[b"a"]));
    assert_eq!(link.acks(id), []);
    let error = link.stream_error(id).unwrap();
    assert_eq!((error.code, error.retryable), (ErrorCode::POISONED, true));
    let again = link.publish_open("my_log", 1);
    let next = link.publish_opened(again).next_sequence;
    let records: &[&[u8]] = if next == 0 { &[b"a", b"b"] } else { &[b"b"] };
    link.publish(again, batch(1, next, records));
    assert_eq!(payloads(&house, "my_log"), ["a", "b"]);
}

#[test]
fn what_is_sent_again_after_a_reconnect_is_in_the_log_once() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    link.publish(id, batch(1, 0, &[b"a", b"b"]));
    link.commits = None;
    link.publish(id, batch(1, 2, &[b"c", b"d"]));
    assert_eq!(link.acks(id).len(), 1, "the second is not known to be safe");
    drop(link);
    let served = Served::new(&house.node, Side::Listener, false, Instant(0));
    let mut link = Link::between(served, peer_config(Side::Dialler));
    link.pump();
    assert_eq!(house.log("my_log").durable(), Offset(2));
    let id = link.publish_open("my_log", 1);
    assert_eq!(link.publish_opened(id).next_sequence, 4);
    assert_eq!(house.log("my_log").durable(), Offset(4), "told before it was safe");
    link.commits = Some(house.store.clone());
    // A publisher that does not look at that sends all of it again, and more.
    link.publish(id, batch(1, 0, &[b"a", b"b"]));
    link.publish(id, batch(1, 2, &[b"c", b"d", b"e"]));
    assert_eq!(link.acks(id), [durable(0, 2, None), durable(2, 2, None), durable(4, 1, Some(4))]);
    assert_eq!(payloads(&house, "my_log"), ["a", "b", "c", "d", "e"]);
}

/// NC-PUB-032: a life of a program that was believed dead has nothing more to say, however late its bytes come.
#[test]
fn what_an_older_stream_of_the_same_producer_still_sends_is_not_taken() {
    let house = House::new();
    let mut old = Link::new(&house);
    let before = old.publish_open("my_log", 1);
    old.publish(before, batch(1, 0, &[b"a"]));
    let mut new = Link::new(&house);
    let id = new.publish_open("my_log", 1);
    assert_eq!(new.publish_opened(id).next_sequence, 1);
    old.publish(before, batch(1, 1, &[b"of the old life"]));
    assert_eq!(old.stream_error(before).unwrap().code, ErrorCode::SUPERSEDED);
    new.publish(id, batch(1, 1, &[b"b"]));
    assert_eq!(new.acks(id), [durable(1, 1, Some(1))]);
    assert_eq!(payloads(&house, "my_log"), ["a", "b"]);
}

#[test]
fn producers_do_not_share_their_sequences() {
    let house = House::new();
    let mut link = Link::new(&house);
    let (one, two) = (link.publish_open("my_log", 1), link.publish_open("my_log", 2));
    link.publish(one, batch(1, 0, &[b"a"]));
    link.publish(two, batch(2, 0, &[b"b"]));
    link.publish(one, batch(1, 1, &[b"c"]));
    assert_eq!(payloads(&house, "my_log"), ["a", "b", "c"]);
}

#[test]
fn in_weaker_modes_written_is_acknowledged_first_and_durable_when_it_is() {
    for durability in [Durability::Os, Durability::Interval] {
        let house = House::new();
        house.log_with("my_log", options(durability));
        let mut link = Link::new(&house);
        let id = link.publish_open("my_log", 1);
        assert_eq!(link.publish_opened(id).durability, durability);
        for sequence in 0..5 {
            link.publish(id, batch(1, sequence, &[b"x"]));
        }
        let levels = |link: &Link, level| {
            link.acks(id)
                .iter()
                .filter(|ack| ack.level == level)
                .map(|ack| ack.first_sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(&link, AckLevel::Written), [0, 1, 2, 3, 4]);
        link.wait(Duration::from_secs(1));
        link.wait(Duration::from_secs(1));
        assert_eq!(levels(&link, AckLevel::Durable), [0, 1, 2, 3, 4], "{durability}");
    }
}

#[test]
fn in_weaker_modes_a_busy_publisher_causes_no_more_than_a_sync_a_second() {
    for durability in [Durability::Os, Durability::Interval] {
        let house = House::new();
        house.log_with("my_log", options(durability));
        let mut link = Link::new(&house);
        let id = link.publish_open("my_log", 1);
        link.publish(id, batch(1, 0, &[b"x"]));
        let syncs = house.disk.syncs();
        for sequence in 1..100 {
            link.publish(id, batch(1, sequence, &[b"x"]));
        }
        assert!(house.disk.syncs() - syncs <= 2, "{} syncs", house.disk.syncs() - syncs);
    }
}

#[test]
fn the_channel_is_made_if_asked_and_as_durable_as_asked() {
    let house = House::new();
    let mut link = Link::new(&house);
    let mut open = PublishOpen {
        name: name("new"),
        create: false,
        durability: Some(Durability::Os),
        producer: ProducerId([1; 16]),
        content: None,
        partitions: None,
    };
    let refused = link.peer.publish_open(&open).unwrap();
    link.pump();
    assert_eq!(link.stream_error(refused).unwrap().code, ErrorCode::NO_CHANNEL);
    open.create = true;
    let made = link.peer.publish_open(&open).unwrap();
    link.pump();
    assert_eq!(link.publish_opened(made).durability, Durability::Os);
    open.durability = Some(Durability::Sync);
    let again = link.peer.publish_open(&open).unwrap();
    link.pump();
    assert_eq!(link.publish_opened(again).durability, Durability::Os, "an existing channel stays as it is");
}

#[test]
fn a_note_is_kept_after_what_came_before_it_and_before_what_comes_after() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    assert!(link.publish_opened(id).note.bytes().is_empty());
    let note = |sequence, text: &'static str| PublishNote {
        next_sequence: sequence,
        note: Note::new(text).unwrap(),
    };
    link.commits = None;
    link.publish(id, batch(1, 0, &[b"a"]));
    link.hold_jobs = true;
    link.peer.publish_note(id, &note(1, "after a"));
    link.publish(id, batch(1, 1, &[b"b"]));
    let log = house.log("my_log");
    assert_eq!(log.queued(), Offset(1), "b overtook the note");
    link.hold_jobs = false;
    link.jobs.pop_front().unwrap().run();
    assert_eq!(log.durable(), Offset(1), "the note is kept before what it is about");
    link.pump();
    assert_eq!(log.queued(), Offset(2));
    house.commit();
    let disk = house.disk.clone();
    drop((link, log));
    disk.crash();
    drop(house);
    let house = House::on(disk, None, |_| ());
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    let opened = link.publish_opened(id);
    assert_eq!((opened.next_sequence, &opened.note.bytes()[..]), (2, &b"after a"[..]));
    let other = link.publish_open("my_log", 2);
    assert!(link.publish_opened(other).note.bytes().is_empty());
    house.node.delete(&name("my_log")).unwrap();
    assert!(house.store.state().scan(b"note/").is_empty(), "notes go with their channel");
}

#[test]
fn a_publisher_has_no_credit_for_what_the_log_has_no_room_for() {
    let house = House::with(|options| options.max_queued = 300_000);
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    link.commits = None;
    let mut sent = 0u64;
    let mut rest = Bytes::new();
    while rest.is_empty() {
        rest = link.offer(id, batch(1, sent, &[&[7; 50_000]]));
        sent += 1;
    }
    let log = house.log("my_log");
    assert!(log.queued() < Offset(7), "{}", log.queued());
    assert!(sent * 50_000 <= CREDIT_WINDOW + 300_000 + 50_000, "{sent}");
    link.commits = Some(house.store.clone());
    link.pump();
    link.publish(id, rest);
    assert_eq!(log.durable(), Offset(sent));
    assert_eq!(link.acks(id).iter().map(|ack| ack.count).sum::<u64>(), sent);
}

#[test]
fn a_batch_that_found_no_room_is_taken_when_others_have_left_some() {
    let house = House::with(|options| options.max_queued = 100_000);
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    link.commits = None;
    let log = house.log("my_log");
    while log.append(&vec![0; 10_000].as_record()).is_ok() {}
    let queued = log.queued();
    link.publish(id, batch(1, 0, &[&[1; 10_000]]));
    assert_eq!(log.queued(), queued);
    house.commit();
    link.pump();
    assert_eq!(log.queued(), queued.plus(1));
}

#[test]
fn the_largest_record_can_be_published() {
    let house = House::new();
    let mut link = Link::new(&house);
    link.step = 200_000;
    let ids = [link.publish_open("one", 1), link.publish_open("two", 2)];
    let large = vec![9; 16 << 20];
    // Both at once: one waits for the other's batch.
    let mut rest = [batch(1, 0, &[&large]), batch(2, 0, &[&large])];
    for _ in 0..200 {
        for (id, rest) in ids.iter().zip(&mut rest) {
            let room = link.peer.room(*id).min(rest.len());
            link.peer.publish(*id, rest.split_to(room));
            link.turn();
        }
    }
    for (id, rest) in ids.iter().zip(rest) {
        link.publish(*id, rest);
    }
    for id in ids {
        assert_eq!(link.acks(id).len(), 1);
    }
    assert_eq!(house.log("two").durable(), Offset(1));
}

#[test]
fn only_one_batch_of_a_connection_at_a_time_may_be_larger_than_its_window() {
    let house = House::new();
    let mut link = Link::new(&house);
    let window = usize::try_from(CREDIT_WINDOW).unwrap();
    let (one, two) = (link.publish_open("one", 1), link.publish_open("two", 2));
    let large = vec![9; 4 << 20];
    let (mut first, mut second) = (batch(1, 0, &[&large]), batch(2, 0, &[&large]));
    link.publish(one, first.split_to(window));
    assert!(link.peer.room(one) > 0);
    link.publish(two, second.split_to(window));
    assert_eq!(link.peer.room(two), 0);
    link.publish(one, first);
    assert_eq!(link.acks(one).len(), 1);
    assert!(link.peer.room(two) > 0);
    link.publish(two, second);
    assert_eq!(link.acks(two).len(), 1);
}

#[test]
fn a_publisher_that_fails_leaves_the_right_to_a_large_batch_to_the_next() {
    let house = House::new();
    let mut link = Link::new(&house);
    let window = usize::try_from(CREDIT_WINDOW).unwrap();
    let (one, two) = (link.publish_open("one", 1), link.publish_open("two", 2));
    let large = vec![9; 4 << 20];
    link.publish(one, batch(1, 0, &[&large]).split_to(window));
    link.publish(two, batch(2, 0, &[&large]).split_to(window));
    assert_eq!(link.peer.room(two), 0);
    for _ in 0..65 {
        link.peer.publish_note(one, &PublishNote { next_sequence: 0, note: Note::default() });
    }
    link.pump();
    assert_eq!(link.stream_error(one).unwrap().code, ErrorCode::CALM);
    assert!(link.peer.room(two) > 0);
}

#[test]
fn publishing_to_a_sealed_channel_is_refused_with_its_code() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    link.publish(id, batch(1, 0, &[b"a"]));
    house.node.seal(&name("my_log")).unwrap();
    link.publish(id, batch(1, 1, &[b"b"]));
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::SEALED);
    assert_eq!(payloads(&house, "my_log"), ["a"]);
    let again = link.publish_open("my_log", 1);
    assert_eq!(link.publish_opened(again).next_sequence, 1, "who lost an answer still learns what is in it");
}

#[test]
fn publishing_to_a_deleted_channel_is_refused_with_its_code() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    house.node.delete(&name("my_log")).unwrap();
    link.publish(id, batch(1, 0, &[b"a"]));
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::DELETED);
}

#[test]
fn close_is_answered_after_the_last_acknowledgement() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    link.commits = None;
    link.publish(id, batch(1, 0, &[b"a"]));
    link.peer.publish_close(id);
    link.pump();
    assert_eq!(link.end_of(id), None);
    house.commit();
    link.pump();
    assert_eq!(link.acks(id).len(), 1);
    assert_eq!(link.end_of(id), Some(End::Closed));
}

#[test]
fn a_damaged_batch_and_a_gap_in_the_sequences_end_the_stream() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    let mut bad = batch(1, 0, &[b"abc"]).to_vec();
    bad[73] ^= 1;
    link.publish(id, bad.into());
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::MALFORMED);
    let id = link.publish_open("my_log", 1);
    link.publish(id, batch(2, 0, &[b"a"]));
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::MALFORMED, "another producer's batch");
    let id = link.publish_open("my_log", 1);
    link.publish(id, batch(1, 0, &[b"a"]));
    link.publish(id, batch(1, 2, &[b"c"]));
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::PROTOCOL);
    assert_eq!(payloads(&house, "my_log"), ["a"]);
}

#[test]
fn a_batch_may_come_a_byte_at_a_time() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    for byte in batch(1, 0, &[b"slow", b"ly"]) {
        link.publish(id, Bytes::copy_from_slice(&[byte]));
    }
    assert_eq!(link.acks(id), [durable(0, 2, Some(0))]);
}

#[test]
fn readers_of_the_same_connection_see_what_is_published_on_it() {
    let house = House::new();
    let mut link = Link::new(&house);
    let publisher = link.publish_open("my_log", 1);
    let reader = link.read("my_log", Start::Earliest);
    for sequence in 0..20 {
        link.publish(publisher, batch(1, sequence, &[b"x"]));
        assert_eq!(link.reader(reader).got.len() as u64, sequence + 1);
    }
}
