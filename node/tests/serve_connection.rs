//! What a served connection promises besides its streams: who may, who called, and how it ends.

#![allow(clippy::unwrap_used)]

mod house;

use std::time::Duration;

use bytes::Buf;
use house::{House, Link, append, batch, name, peer_config};
use netchan_node::{Calling, Dialling, ErrorKind, Lost, Machine, Node, NodeConfig, Served};
use netchan_proto::conn::{ConnectionConfig, ConnectionError, Event};
use netchan_proto::limits::MAX_LIST;
use netchan_proto::wire::{Done, ErrorFrame, List, NamePrefix, Roles, StreamId};
use netchan_proto::{ChannelName, ErrorCode, Instant, LogInfo, Offset, Side, Start, Token};

fn with_token(token: &str, side: Side) -> ConnectionConfig {
    ConnectionConfig { token: Some(Token::new(token).unwrap()), ..peer_config(side) }
}

fn stat(link: &mut Link, channel: &str) -> Result<LogInfo, ErrorFrame> {
    let id = link.peer.stat(&name(channel)).unwrap();
    link.pump();
    link.events
        .iter()
        .find_map(|event| match event {
            Event::StatReply(stream, info) if *stream == id => Some(Ok(info.clone())),
            Event::StreamError(stream, error) if *stream == id => Some(Err(error.clone())),
            _ => None,
        })
        .unwrap()
}

fn list(link: &mut Link, after: Option<ChannelName>, prefix: &str) -> (bool, Vec<String>) {
    let id = link.peer.list(&List { after, prefix: NamePrefix::new(prefix).unwrap() }).unwrap();
    link.pump();
    link.events
        .iter()
        .find_map(|event| match event {
            Event::ListReply(stream, reply) if *stream == id => {
                Some((reply.more, reply.logs.iter().map(|info| info.name.to_string()).collect()))
            }
            _ => None,
        })
        .unwrap()
}

fn done(link: &mut Link, id: StreamId) -> Result<Done, ErrorFrame> {
    link.pump();
    link.events
        .iter()
        .find_map(|event| match event {
            Event::Done(stream, done) if *stream == id => Some(Ok(*done)),
            Event::StreamError(stream, error) if *stream == id => Some(Err(error.clone())),
            _ => None,
        })
        .unwrap()
}

#[test]
fn questions_about_channels_are_answered() {
    let house = House::new();
    let log = house.log("orders/eu");
    house.fill(&log, 3, false);
    house.log("orders/us");
    house.log("other");
    let mut link = Link::new(&house);
    let info = stat(&mut link, "orders/eu").unwrap();
    assert_eq!((info.id, info.next, info.sealed), (log.id(), Offset(3), false));
    assert_eq!(stat(&mut link, "none").unwrap_err().code, ErrorCode::NO_CHANNEL);
    assert_eq!(list(&mut link, None, "").1, ["orders/eu", "orders/us", "other"]);
    assert_eq!(list(&mut link, None, "orders/").1, ["orders/eu", "orders/us"]);
    assert_eq!(list(&mut link, Some(name("orders/eu")), "").1, ["orders/us", "other"]);

    let seal = link.peer.seal(&name("orders/eu")).unwrap();
    assert_eq!(done(&mut link, seal), Ok(Done { final_offset: Some(Offset(3)) }));
    let again = link.peer.seal(&name("orders/eu")).unwrap();
    assert_eq!(done(&mut link, again), Ok(Done { final_offset: Some(Offset(3)) }));
    assert!(stat(&mut link, "orders/eu").unwrap().sealed);

    let delete = link.peer.delete(&name("other")).unwrap();
    assert_eq!(done(&mut link, delete), Ok(Done { final_offset: None }));
    let again = link.peer.delete(&name("other")).unwrap();
    assert_eq!(done(&mut link, again).unwrap_err().code, ErrorCode::NO_CHANNEL);
    assert_eq!(list(&mut link, None, "").1, ["orders/eu", "orders/us"]);
}

#[test]
fn a_long_list_comes_in_parts() {
    let house = House::new();
    for channel in 0..MAX_LIST + 5 {
        house.log(&format!("c{channel:04}"));
    }
    let mut link = Link::new(&house);
    let (more, first) = list(&mut link, None, "");
    assert_eq!((more, first.len()), (true, MAX_LIST));
    let (more, rest) = list(&mut link, Some(name(first.last().unwrap())), "");
    assert_eq!((more, rest.len()), (false, 5));
}

#[test]
fn who_has_the_token_is_served() {
    let house = House::locked_by("secret");
    let log = house.log("my_log");
    house.fill(&log, 2, false);
    let mut link = Link::of(&house, with_token("secret", Side::Dialler));
    assert!(link.peer.is_ready());
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).got.len(), 2);
}

#[test]
fn who_has_a_wrong_token_or_none_learns_nothing() {
    let house = House::locked_by("secret");
    house.log("my_log");
    for peer in [with_token("guess", Side::Dialler), peer_config(Side::Dialler)] {
        let mut link = Link::of(&house, peer);
        link.pump();
        assert!(link.machine.is_over());
        assert!(!link.peer.is_ready());
        let ours = house.node.id().0;
        assert!(!link.said.windows(16).any(|bytes| bytes == ours), "the node's identity was told");
        assert!(!link.said.windows(6).any(|bytes| bytes == b"my_log"));
        let code = match link.machine.ended().unwrap() {
            Lost::Connection(error) => error.code().unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(code, ErrorCode::AUTH_FAILED | ErrorCode::AUTH_REQUIRED), "{code}");
    }
}

#[test]
fn a_trusted_way_in_needs_no_token() {
    let house = House::locked_by("secret");
    house.log("my_log");
    let served = Served::new(&house.node, Side::Listener, true, Instant(0));
    let mut link = Link::between(served, peer_config(Side::Dialler));
    link.pump();
    let id = link.read("my_log", Start::Earliest);
    assert!(link.reader(id).opened.is_some());
}

#[test]
fn the_node_may_be_the_one_who_calls() {
    let house = House::locked_by("secret");
    let log = house.log("my_log");
    house.fill(&log, 3, false);
    let mut calling = Calling::new(&house.node, "receiver:1", Instant(0));
    assert!(calling.wants_dial(Instant(0)));
    calling.connected(Side::Dialler, false, Instant(0));
    assert!(!calling.wants_dial(Instant(0)));
    let mut link = Link::between(calling, with_token("secret", Side::Listener));
    link.commits = Some(house.store.clone());
    link.pump();
    let reader = link.read("my_log", Start::Earliest);
    assert_eq!(reader.0 % 2, 0, "the listener opens even streams");
    let publisher = link.publish_open("my_log", 1);
    link.publish(publisher, batch(1, 0, &[b"from there"]));
    assert_eq!(link.reader(reader).texts(), ["0", "1", "2", "from there"]);

    // It calls again when the connection is lost, later each time.
    let mut calling = link.machine;
    let now = Instant(1_000_000_000);
    calling.disconnected(Lost::Eof, now);
    assert!(!calling.wants_dial(now));
    let at = calling.deadline().unwrap();
    assert!(at > now && calling.wants_dial(at) && !calling.is_over());
}

#[test]
fn a_node_that_is_refused_for_good_does_not_call_again() {
    let house = House::locked_by("secret");
    let mut calling = Calling::new(&house.node, "receiver:1", Instant(0));
    calling.connected(Side::Dialler, false, Instant(0));
    let mut link = Link::between(calling, with_token("another", Side::Listener));
    link.pump();
    let mut calling = link.machine;
    calling.disconnected(Lost::Eof, Instant(0));
    assert!(calling.is_over());
    assert_eq!(calling.error().unwrap().kind(), ErrorKind::Auth);
    assert_eq!(calling.deadline(), None);
}

#[test]
fn a_peer_gets_what_its_roles_in_the_handshake_allow_and_no_more() {
    let house = House::new();
    house.log("my_log");
    let reads = ConnectionConfig { roles: Roles::RECEIVES, ..peer_config(Side::Dialler) };
    let mut link = Link::of(&house, reads);
    let id = link.publish_open("my_log", 1);
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::DENIED);
    let delete = link.peer.delete(&name("my_log")).unwrap();
    assert_eq!(done(&mut link, delete).unwrap_err().code, ErrorCode::DENIED);
    let id = link.read("my_log", Start::Earliest);
    assert!(link.reader(id).opened.is_some());

    let publishes = ConnectionConfig { roles: Roles::PUBLISHES, ..peer_config(Side::Dialler) };
    let mut link = Link::of(&house, publishes);
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).error.as_ref().unwrap().code, ErrorCode::DENIED);
    let id = link.publish_open("my_log", 1);
    assert_eq!(link.publish_opened(id).next_sequence, 0);
}

#[test]
fn a_node_without_channels_says_so() {
    let node = Node::new(NodeConfig { seed: Some(1), ..NodeConfig::default() }).unwrap();
    let served = Served::new(&node, Side::Listener, false, Instant(0));
    let mut link = Link::between(served, peer_config(Side::Dialler));
    link.pump();
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).error.as_ref().unwrap().code, ErrorCode::DENIED);
    assert!(stat(&mut link, "my_log").is_err());
}

#[test]
fn a_node_that_stops_sends_what_is_in_its_logs_and_then_says_good_bye() {
    let house = House::new();
    let log = house.log("my_log");
    let mut link = Link::new(&house);
    let reader = link.read("my_log", Start::Earliest);
    let publisher = link.publish_open("my_log", 1);
    link.commits = None;
    append(&log, "queued");
    link.publish(publisher, batch(1, 0, &[b"too"]));
    house.node.shut_down(Duration::from_secs(10));
    link.pump();
    assert!(!link.machine.is_over());
    assert!(link.events.iter().any(|event| matches!(event, Event::GoAway(_))));
    let late = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(late).error.as_ref().unwrap().code, ErrorCode::GOING_AWAY);
    house.commit();
    link.pump();
    assert!(link.machine.is_over());
    assert_eq!(link.reader(reader).texts(), ["queued", "too"]);
    assert_eq!(link.acks(publisher).len(), 1);
    let error = link.error.unwrap();
    assert_eq!(error.code(), Some(ErrorCode::GOING_AWAY));
    assert!(matches!(error, ConnectionError::Theirs { .. }));
    assert_eq!(link.machine.deadline(), None);
}

#[test]
fn a_node_that_stops_waits_for_nobody_longer_than_it_said() {
    let house = House::new();
    let log = house.log("my_log");
    append(&log, "a");
    let mut link = Link::new(&house);
    link.commits = None;
    link.read("my_log", Start::Earliest);
    house.node.shut_down(Duration::from_secs(10));
    append(&log, "never committed");
    link.pump();
    link.wait(Duration::from_secs(9));
    assert!(!link.machine.is_over());
    link.wait(Duration::from_secs(1));
    assert!(link.machine.is_over());
}

#[test]
fn a_node_that_stops_does_not_wait_for_a_handshake() {
    let house = House::new();
    house.node.shut_down(Duration::from_secs(10));
    let mut link = Link::new(&house);
    link.pump();
    assert!(link.machine.is_over());
    assert_eq!(link.error.unwrap().code(), Some(ErrorCode::GOING_AWAY));
}

#[test]
fn last_words_that_nobody_reads_are_dropped_in_time() {
    let house = House::new();
    let mut link = Link::new(&house);
    link.peer_reads = false;
    house.node.shut_down(Duration::ZERO);
    link.pump();
    assert!(link.machine.is_over());
    assert!(link.machine.connection().unwrap().has_outbound());
    link.wait(Duration::from_secs(1));
    assert!(!link.machine.connection().unwrap().outbound().has_remaining());
    assert_eq!(link.machine.deadline(), None);
}

#[test]
fn a_peer_that_asks_much_and_reads_nothing_is_not_answered_without_end() {
    let house = House::new();
    house.log("my_log");
    let mut link = Link::new(&house);
    link.peer_reads = false;
    let mut asked = 0u64;
    for _ in 0..20_000 {
        link.now = link.now.plus(Duration::from_millis(5));
        if link.peer.list(&List::default()).is_ok() {
            asked += 1;
        }
        link.pump();
    }
    assert!(asked > 0);
    assert!(link.machine.connection().unwrap().outbound().remaining() < 1 << 20);
}

#[test]
fn a_lost_byte_stream_ends_everything_on_it() {
    let house = House::new();
    let log = house.log("my_log");
    let mut link = Link::new(&house);
    link.read("my_log", Start::Earliest);
    link.machine.disconnected(Lost::Io("reset".into()), link.now);
    assert!(link.machine.is_over());
    assert_eq!(link.machine.ended(), Some(&Lost::Io("reset".into())));
    append(&log, "x");
    house.commit();
    link.machine.disconnected(Lost::Eof, link.now);
    assert_eq!(link.machine.ended(), Some(&Lost::Io("reset".into())), "the first reason stays");
}

#[test]
fn a_faulty_peer_is_told_its_fault_and_the_node_goes_on() {
    let house = House::new();
    let mut link = Link::new(&house);
    let served = link.machine.connection().unwrap();
    served.read_buf().extend_from_slice(&[0xff; 64]);
    served.received(64, Instant(0));
    link.read("my_log", Start::Earliest);
    assert!(link.machine.is_over());
    assert_eq!(link.error.unwrap().code(), Some(ErrorCode::MALFORMED));
    let mut fresh = Link::new(&house);
    assert!(list(&mut fresh, None, "").1.is_empty());
}
