//! What a node tells about itself: that it counts what happens, once and where it happened, and shows who is there.

#![allow(clippy::unwrap_used)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use house::{House, Link, append, batch, name, options, peer_config};
use netchan_node::{Machine, Node, NodeConfig, Served};
use netchan_proto::conn::{ConnectionConfig, Event};
use netchan_proto::limits::{HANDSHAKE_TIMEOUT, MAX_READERS, SERVED_TIMEOUT};
use netchan_proto::subscription::Subscription;
use netchan_proto::wire::{
    Counter, CounterKind, Counters, NodeStatus, Open, ReaderInfo, ReaderKind, Readers, ReadersReply, Roles,
};
use netchan_proto::{Durability, ErrorCode, Instant, NodeId, Offset, Side, Start, Timestamp, Token};
use netchan_store::{LogOptions, Retention};

/// What the node says of itself over this connection.
fn status(link: &mut Link) -> NodeStatus {
    let id = link.peer.status().unwrap();
    link.pump();
    let told = link.events.iter().find_map(|event| match event {
        Event::StatusReply(stream, status) if *stream == id => Some(status.clone()),
        _ => None,
    });
    told.unwrap()
}

fn counters(house: &House) -> Counters {
    house.node.status().counters
}

fn page(link: &mut Link, after: u64, channel: Option<&str>) -> ReadersReply {
    let id = link.peer.readers(&Readers { after, channel: channel.map(name) }).unwrap();
    link.pump();
    let told = link.events.iter().find_map(|event| match event {
        Event::ReadersReply(stream, reply) if *stream == id => Some(reply.clone()),
        _ => None,
    });
    told.unwrap()
}

fn readers(house: &House) -> Vec<ReaderInfo> {
    house.node.all_readers(None, usize::MAX).readers
}

fn role(roles: Roles) -> ConnectionConfig {
    ConnectionConfig { roles, ..peer_config(Side::Dialler) }
}

/// NC-STA-001
#[test]
fn each_request_is_answered_by_its_reply_or_by_an_error() {
    let house = House::new();
    let mut link = Link::of(&house, role(Roles::default())); // they need no role
    let status = status(&mut link);
    assert_eq!((status.node, status.node == NodeId::NONE), (house.node.id(), false));
    assert!(status.version.starts_with("netchan "), "{}", status.version);
    assert!(status.started < status.now && status.uptime() > Duration::ZERO);
    assert_eq!(page(&mut link, 0, None).readers, []);

    let nothing = Node::new(NodeConfig { seed: Some(1), ..NodeConfig::default() }).unwrap();
    let served = Served::new(&nothing, Side::Listener, false, Instant(0));
    let mut link = Link::between(served, peer_config(Side::Dialler));
    link.pump();
    let asked = [link.peer.status().unwrap(), link.peer.readers(&Readers::default()).unwrap()];
    link.pump();
    for id in asked {
        assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::DENIED);
    }
}

#[test]
fn who_has_not_the_token_is_told_nothing() {
    let house = House::locked_by("secret");
    let token = Some(Token::new("wrong").unwrap());
    let mut link = Link::of(&house, ConnectionConfig { token, ..peer_config(Side::Dialler) });
    assert!(!link.peer.is_ready());
    assert_eq!(link.events, []);
    let before = counters(&house);
    assert_eq!((before.handshakes_denied(), before.handshakes_done()), (Some(1), Some(0)));
    // Nor who has none, which says so itself.
    link = Link::new(&house);
    assert!(!link.peer.is_ready());
    assert_eq!(counters(&house).handshakes_denied(), Some(2));
}

/// NC-STA-004: a node without a store has nothing to say of channels and logs.
#[test]
fn what_a_node_does_not_count_is_left_out_and_is_not_zero() {
    let nothing = Node::new(NodeConfig { seed: Some(1), ..NodeConfig::default() }).unwrap();
    let counters = nothing.status().counters;
    assert_eq!((counters.channels(), counters.syncs(), counters.volume_free()), (None, None, None));
    assert_eq!((counters.connections_open(), counters.bytes_in()), (Some(0), Some(0)));
    let house = House::new();
    assert_eq!(house.node.status().counters.channels(), Some(0));
}

/// What came of a connection: a counter, what leads to it, and in which state the connection is before.
#[test]
fn how_handshakes_and_connections_end_is_counted_by_reason() {
    type Step = fn(&mut Link);
    let rubbish: Step = |link| {
        let connection = link.machine.connection().unwrap();
        connection.read_buf().put_slice(b"GET / HTTP/1.1\r\n\r\n");
        connection.received(18, Instant(0));
        link.turn_anyway();
    };
    let cases: [(Counter, bool, Step); 6] = [
        (Counter::HANDSHAKES_FOREIGN, false, rubbish),
        (Counter::PEERS_AT_FAULT, true, rubbish),
        (Counter::HANDSHAKES_LATE, false, |link| {
            link.now = link.now.plus(HANDSHAKE_TIMEOUT);
            link.machine.handle_timeout(link.now);
        }),
        (Counter::HANDSHAKES_LEFT, false, |link| {
            link.machine.disconnected(netchan_node::Lost::Eof, link.now)
        }),
        (Counter::PEERS_SILENT, true, |link| {
            link.peer_reads = false;
            for wait in [Duration::from_secs(15), SERVED_TIMEOUT] {
                link.now = link.now.plus(wait);
                link.machine.handle_timeout(link.now);
            }
        }),
        // Who says goodbye is no trouble.
        (Counter::HANDSHAKES_DONE, true, |link| link.machine.disconnected(netchan_node::Lost::Eof, link.now)),
    ];
    for (counter, proven, step) in cases {
        let house = House::new();
        let served = Served::new(&house.node, Side::Listener, false, Instant(0));
        let mut link = Link::between(served, peer_config(Side::Dialler));
        if proven {
            link.pump();
        }
        let before = counters(&house);
        assert_eq!((before.connections_open(), before.connections_accepted()), (Some(1), Some(1)));
        assert_eq!(before.connections_unproven(), Some(u64::from(!proven)));
        step(&mut link);
        drop(link);
        let after = counters(&house);
        assert_eq!((after.connections_open(), after.connections_unproven()), (Some(0), Some(0)), "{counter}");
        let ends = [
            Counter::HANDSHAKES_DONE,
            Counter::HANDSHAKES_DENIED,
            Counter::HANDSHAKES_FOREIGN,
            Counter::HANDSHAKES_LATE,
            Counter::HANDSHAKES_LEFT,
            Counter::PEERS_AT_FAULT,
            Counter::PEERS_SILENT,
        ];
        let expected: Vec<u64> = ends
            .iter()
            .map(|end| u64::from(*end == counter || (proven && *end == Counter::HANDSHAKES_DONE)))
            .collect();
        assert_eq!(ends.map(|end| after.get(end).unwrap()).to_vec(), expected, "{counter}");
    }
}

/// NC-STA-005
#[test]
fn counters_only_grow_also_when_their_connections_are_gone() {
    let house = House::new();
    let log = house.log("a");
    house.fill(&log, 10, true);
    let mut before = house.node.status();
    let mut links = Vec::new();
    for round in 0..6 {
        let mut link = Link::new(&house);
        link.read("a", Start::Earliest);
        let publisher = link.publish_open("b", round);
        link.publish(publisher, batch(round, 0, &[b"x", b"y"]));
        links.push(link);
        if round % 2 == 1 {
            links.remove(0);
        }
        let now = house.node.status();
        assert_eq!((now.node, now.started), (before.node, before.started));
        let mut grown = 0;
        for (counter, value) in
            now.counters.iter().filter(|(counter, _)| counter.kind() == CounterKind::Counter)
        {
            let was = before.counters.get(counter).unwrap();
            assert!(value >= was, "{counter}: {was} and then {value}");
            grown += u32::from(value > was);
        }
        assert!(grown > 10, "only {grown} have grown");
        before = now;
    }
    drop(links);
    let after = counters(&house);
    assert_eq!((after.readers(), after.publishers(), after.connections_open()), (Some(0), Some(0), Some(0)));
    assert_eq!((after.readers_opened(), after.publishers_opened()), (Some(6), Some(6)));
    assert_eq!((after.records_delivered(), after.records_published()), (Some(60), Some(12)));
    assert_eq!(after.records_appended(), Some(22));
}

#[test]
fn bytes_and_frames_are_those_that_went_over_the_connections() {
    let house = House::new();
    let log = house.log("a");
    append(&log, vec![7; 300_000]);
    house.commit();
    let mut link = Link::new(&house);
    let reader = link.read("a", Start::Earliest);
    let said = link.said.len() as u64;
    let data: usize = link.reader(reader).ranges.iter().map(Bytes::len).sum();
    let counters = counters(&house);
    assert_eq!(counters.bytes_out(), Some(said));
    assert_eq!(counters.bytes_delivered(), Some(data as u64));
    assert_eq!(counters.records_delivered(), Some(1));
    // WELCOME, grease, OPENED, DATA, and at most a PROGRESS.
    let ranges = link.reader(reader).ranges.len() as u64;
    let frames = counters.frames_out().unwrap();
    assert!((3 + ranges..=4 + ranges).contains(&frames), "{frames} frames with {ranges} ranges");
    let heard = link.peer.traffic();
    assert_eq!((counters.bytes_in(), counters.frames_in()), (Some(heard.bytes_out), Some(heard.frames_out)));
    assert_eq!((heard.bytes_in, heard.frames_in), (said, frames));
}

/// A batch larger than a frame, small ones, some from memory, some from the disk, and a reader that stops in the middle.
#[test]
fn records_count_as_delivered_when_their_batch_was_sent_whole() {
    let house = House::with(|options| options.tail_cache = 64 << 10);
    let log = house.log("a");
    house.fill(&log, 30, true);
    append(&log, vec![7; 200_000]);
    house.fill(&log, 20, false);
    let mut link = Link::new(&house);
    for expected in [51, 102] {
        let reader = link.read("a", Start::Earliest);
        assert_eq!(link.reader(reader).got.len(), 51);
        assert_eq!(counters(&house).records_delivered(), Some(expected));
        let info = readers(&house).pop().unwrap();
        assert_eq!((info.records, info.offset, info.lag()), (51, Some(Offset(51)), Some(0)));
        let bytes: usize = link.reader(reader).ranges.iter().map(Bytes::len).sum();
        assert_eq!(info.bytes, bytes as u64);
    }
    // Credit for the small ones and a part of the large one.
    let open = Open {
        name: name("a"),
        start: Start::Earliest,
        wait: false,
        credit: 30 * 80 + 100_000,
        filter: None,
    };
    link.peer.open(&open).unwrap();
    link.pump();
    let stuck = readers(&house).pop().unwrap();
    assert_eq!((stuck.records, stuck.offset, stuck.lag(), stuck.credit), (30, Some(Offset(30)), Some(21), 0));
    assert!(stuck.behind > 200_000 && stuck.behind < 300_000, "{} bytes", stuck.behind);
    assert_eq!(counters(&house).records_delivered(), Some(132));
}

#[test]
fn published_records_count_once_however_often_they_are_sent() {
    let house = House::new();
    let mut link = Link::new(&house);
    for (round, published) in [(0, 3), (1, 3)] {
        let id = link.publish_open("a", 9);
        link.publish(id, batch(9, 0, &[b"1", b"2", b"3"]));
        assert_eq!(counters(&house).records_published(), Some(published), "round {round}");
    }
    assert_eq!(counters(&house).records_appended(), Some(3));
    let publishers = readers(&house);
    assert_eq!(
        publishers.iter().map(|info| (info.kind, info.records)).collect::<Vec<_>>(),
        [(ReaderKind::Publishes, 3), (ReaderKind::Publishes, 0)]
    );
    assert_eq!(publishers[0].offset, Some(Offset(3)));
    assert_eq!(publishers[0].lag(), None, "who publishes is not behind");
}

#[test]
fn writes_and_syncs_of_the_logs_are_counted_with_the_time_they_took() {
    let house = House::new();
    let (log, lazy) = (house.log("a"), house.log_with("b", options(Durability::Os)));
    let before = counters(&house);
    house.fill(&log, 5, true);
    house.fill(&lazy, 7, true);
    let since = counters(&house).since(&before);
    assert_eq!((since.records_appended(), since.writes()), (Some(12), Some(12)));
    // The first records of an opening are synced in any mode.
    assert_eq!(since.syncs(), Some(6));
    // The hand clock goes on by a microsecond between the two looks at it.
    assert_eq!(
        (since.sync_time(), since.syncs_64us(), since.syncs_1049ms()),
        (Some(6_000), Some(6), Some(6))
    );
    assert_eq!(since.sync_quantile(0.99), Some(Duration::from_micros(64)));
    let bytes = since.bytes_appended().unwrap();
    assert!((12 * 72..12 * 100).contains(&bytes), "{bytes} bytes");
}

#[test]
fn channels_disk_and_failures_are_told() {
    let house = House::new();
    let counters = || house.node.status().counters;
    assert_eq!((counters().channels(), counters().logs_open()), (Some(0), Some(0)));
    let (log, _other) = (house.log("a"), house.log("b"));
    house.fill(&log, 5, true);
    let told = counters();
    assert_eq!((told.channels(), told.logs_open()), (Some(2), Some(2)));
    let listed: u64 = house.store.list(None, "", 10).iter().map(|info| info.bytes).sum();
    assert_eq!(told.bytes_on_disk(), Some(listed));
    assert!(told.volume_total() > Some(0) && told.volume_free() <= told.volume_total());
    assert_eq!(told.logs_failed(), Some(0));
    house.disk.fail_sync(1);
    append(&log, "lost");
    house.commit();
    assert!(log.poisoned().is_some());
    assert_eq!(counters().logs_failed(), Some(1));
}

#[test]
fn refusals_gaps_and_truncations_are_counted_where_they_are_told() {
    let house = House::new();
    let kept = LogOptions {
        segment_bytes: 64 << 10,
        retention: Retention { max_bytes: Some(100 << 10), ..Retention::default() },
        ..LogOptions::default()
    };
    let log = house.log_with("a", kept);
    for _ in 0..10 {
        append(&log, vec![7; 30_000]);
        house.commit();
    }
    assert!(log.first() > Offset(0));
    let mut link = Link::new(&house);
    let reader = link.read("a", Start::Earliest);
    link.read("a", Start::Offset(Offset(0)));
    link.read("none", Start::Earliest);
    link.peer.stat(&name("none")).unwrap();
    link.pump();
    let told = counters(&house);
    assert_eq!(link.reader(reader).gaps.len(), 0);
    assert_eq!((told.gaps_told(), told.refusals(), told.truncations_told()), (Some(1), Some(2), Some(0)));
    assert_eq!(told.requests(), Some(1));
}

/// NC-STA-006
#[test]
fn readers_come_in_pages_in_the_order_in_which_they_came() {
    let house = House::new();
    house.log("a");
    house.log("b");
    let mut links: Vec<Link> = Vec::new();
    for number in 0..MAX_READERS + 40 {
        if number % 100 == 0 {
            links.push(Link::new(&house));
        }
        let channel = if number % 4 == 0 { "b" } else { "a" };
        links.last_mut().unwrap().read(channel, Start::Latest);
    }
    let mut link = Link::new(&house);
    let first = page(&mut link, 0, None);
    assert_eq!((first.more, first.readers.len()), (true, MAX_READERS));
    let last = first.readers.last().unwrap().id;
    let rest = page(&mut link, last, None);
    assert_eq!((rest.more, rest.readers.len()), (false, 40));
    let all: Vec<u64> = first.readers.iter().chain(&rest.readers).map(|info| info.id).collect();
    assert!(all.is_sorted_by(|a, b| a < b));
    let of_b = page(&mut link, 0, Some("b"));
    assert_eq!((of_b.more, of_b.readers.len()), (false, (MAX_READERS + 40) / 4));
    assert!(of_b.readers.iter().all(|info| info.channel == name("b")));
    assert_eq!(page(&mut link, 0, Some("none")).readers, []);
    assert_eq!(page(&mut link, u64::MAX, None).readers, []);
    // Without pages it is the same.
    assert_eq!(readers(&house).iter().map(|info| info.id).collect::<Vec<_>>(), all);
    let some = house.node.all_readers(None, 5);
    assert_eq!((some.more, some.readers.len()), (true, 5));
}

/// NC-STA-009, NC-STA-011
#[test]
fn a_stream_is_on_the_list_under_a_number_of_its_own_from_its_beginning_to_its_end() {
    let house = House::new();
    let log = house.log("a");
    house.fill(&log, 3, true);
    let mut link = Link::new(&house);
    link.hold_jobs = true;
    let id = link.read("a", Start::Earliest);
    let opening = readers(&house);
    assert_eq!(opening.iter().map(|info| (info.offset, info.next)).collect::<Vec<_>>(), [(None, None)]);
    assert_eq!((opening[0].lag(), opening[0].records, opening[0].node), (None, 0, NodeId([8; 16])));
    link.hold_jobs = false;
    link.jobs.drain(..).for_each(netchan_node::Job::run);
    link.pump();
    let reading = readers(&house);
    assert_eq!((reading[0].id, reading[0].next, reading[0].lag()), (opening[0].id, Some(Offset(3)), Some(0)));
    assert!(reading[0].since > Timestamp(0) && reading[0].credit > 0);

    // Waiting for its channel, it has no place.
    let waiting = link.read_with(Subscription::new(name("later"), Start::Earliest, 1 << 20, true));
    assert_eq!(readers(&house).len(), 2);
    assert_eq!((readers(&house)[1].offset, readers(&house)[1].next), (None, None));
    link.readers.clear(); // what they are told at the end is not looked at here
    link.peer.close_stream(id);
    link.pump();
    let left = readers(&house);
    assert_eq!((left.len(), &left[0].channel), (1, &name("later")));
    link.peer.close_stream(waiting);
    link.pump();
    assert_eq!(readers(&house), []);

    link.read("a", Start::Latest);
    let publisher = link.publish_open("a", 1);
    let again = readers(&house);
    assert_eq!(
        again.iter().map(|info| info.kind).collect::<Vec<_>>(),
        [ReaderKind::Reads, ReaderKind::Publishes]
    );
    assert!(again[0].id > left[0].id, "no number is used twice");
    link.peer.publish_close(publisher);
    link.pump();
    assert_eq!(readers(&house).len(), 1);
    // The end of the connection ends them all, however it comes about.
    link.machine.disconnected(netchan_node::Lost::Eof, Instant(0));
    assert_eq!(readers(&house), []);
}

#[test]
fn a_reader_tells_where_it_calls_from_and_since_when_what_it_has_not_got_is_there() {
    let house = House::new();
    let log = house.log("a");
    let served = Served::new(&house.node, Side::Listener, false, Instant(0)).called_from("192.0.2.1:99");
    let mut link = Link::between(served, peer_config(Side::Dialler));
    link.pump();
    let open = Open { name: name("a"), start: Start::Earliest, wait: false, credit: 96, filter: None };
    link.peer.open(&open).unwrap();
    link.pump();
    house.clock.0.store(5_000_000_000, std::sync::atomic::Ordering::Relaxed);
    append(&log, "it has credit for this");
    house.commit();
    link.pump();
    house.clock.0.store(7_000_000_000, std::sync::atomic::Ordering::Relaxed);
    append(&log, "and not for this");
    house.commit();
    link.pump();
    house.clock.0.store(10_000_000_000, std::sync::atomic::Ordering::Relaxed);
    let told = house.node.all_readers(None, 1);
    let info = &told.readers[0];
    assert_eq!((info.peer.as_str(), info.lag()), ("192.0.2.1:99", Some(1)));
    assert_eq!(info.lag_time(told.now).unwrap().as_secs(), 3, "since the second was written");
    assert!(info.behind >= 72 && info.behind < 300, "{} bytes", info.behind);
}

/// Many connections that come and go in many threads, while others ask: nothing is counted twice or lost.
#[test]
fn what_connections_counted_is_neither_lost_nor_doubled_when_they_end() {
    let house = Arc::new(House::new());
    let log = house.log("a");
    house.fill(&log, 4, true);
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut last, mut asked) = (0, 0);
            while !ended.load(std::sync::atomic::Ordering::Relaxed) || asked == 0 {
                let now = counters(&house).records_delivered().unwrap();
                assert!(now >= last && now <= 4 * 40, "{last} and then {now}");
                (last, asked) = (now, asked + 1);
            }
        });
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let mut link = Link::new(&house);
                        link.read("a", Start::Earliest);
                    }
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        asking.join().unwrap();
    });
    let after = counters(&house);
    assert_eq!((after.records_delivered(), after.readers_opened()), (Some(160), Some(40)));
    assert_eq!((after.connections_accepted(), after.connections_open()), (Some(40), Some(0)));
}
