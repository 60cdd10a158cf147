//! What one connection promises, through its public door, in virtual time.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod pair;
mod states;

use std::time::Duration;

use bytes::Bytes;
use netchan_proto::conn::{Connection, ConnectionError, Deadline, Event, Side};
use netchan_proto::limits::{
    HANDSHAKE_TIMEOUT, IDLE_TIME, MAX_CONTROL_RATE, MAX_DATA, MAX_HANDSHAKE_FRAME, MAX_OUTBOUND_BYTES,
    MAX_STREAMS, MIN_READ, PEER_TIMEOUT, PING_INTERVAL,
};
use netchan_proto::wire::{
    AckLevel, Auth, Before, CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors,
    CursorsReply, Description, Done, End, ErrorFrame, FrameHeader, FrameType, Gap, GapReason, GoAway, Hello,
    Keep, List, ListReply, LogInfo, Message, NamePrefix, NodeStatus, Note, Open, Opened, PREFACE, Progress,
    PublishAck, PublishNote, PublishOpen, PublishOpened, Range, Readers, ReadersReply, Reject, Roles, Seek,
    Seeked, Start, StreamId, Truncate, Truncated, Watch, Watched, Welcome,
};
use netchan_proto::{
    ChannelName, CursorName, Durability, Epoch, ErrorCode, Instant, LogId, NodeId, Offset, Pattern, Position,
    ProducerId, Settings, Timestamp,
};
use pair::{Pair, config, connection, drain, feed, frame};
use states::{cursor, cursor_key, dialler_after, every_frame};

fn name() -> ChannelName {
    ChannelName::new("my_log").unwrap()
}

fn open(credit: u64) -> Open {
    Open { name: name(), start: Start::Earliest, wait: false, credit, filter: None }
}

fn opened() -> Opened {
    Opened {
        log: LogId([9; 16]),
        epoch: Epoch(0),
        durability: Durability::Sync,
        sealed: false,
        first: Offset(0),
        next: Offset(5),
        start: Offset(0),
        clock: Timestamp(1),
        content: None,
        partitions: None,
    }
}

fn publish_open() -> PublishOpen {
    PublishOpen {
        name: name(),
        create: true,
        durability: None,
        producer: ProducerId([5; 16]),
        content: None,
        partitions: None,
    }
}

fn publish_opened(credit: u64) -> PublishOpened {
    PublishOpened {
        log: LogId([9; 16]),
        epoch: Epoch(1),
        durability: Durability::Sync,
        next_sequence: 0,
        credit,
        note: Note::default(),
        partitions: None,
    }
}

fn info() -> LogInfo {
    LogInfo {
        name: name(),
        id: LogId([9; 16]),
        epoch: Epoch(1),
        durability: Durability::Sync,
        sealed: false,
        first: Offset(0),
        next: Offset(1),
        durable: Offset(1),
        first_time: Timestamp(1),
        last_time: Timestamp(1),
        created: Timestamp(0),
        bytes: 1,
        segments: 1,
    }
}

fn code(error: &Option<ConnectionError>) -> Option<ErrorCode> {
    error.as_ref().and_then(ConnectionError::code)
}

// ---- handshake ----

/// Preface, HELLO, WELCOME, whoever has which role.
/// NC-HSK-001, NC-HSK-003, NC-HSK-004, NC-HSK-024
#[test]
fn both_sides_come_to_know_each_other_however_the_bytes_are_cut() {
    for cut in [1, 2, 7, 64, usize::MAX] {
        let mut pair = Pair::new(config(Side::Dialler, None), config(Side::Listener, None));
        pair.cut = cut;
        let seen = pair.run();
        assert!(
            matches!(&seen.dialler[..], [Event::Ready(peer)] if peer.node == NodeId([2; 16])),
            "{seen:?}"
        );
        assert!(
            matches!(&seen.listener[..], [Event::Ready(peer)] if peer.node == NodeId([1; 16])),
            "{seen:?}"
        );
    }
}

#[test]
fn who_holds_the_token_gets_in_and_learns_that_the_listener_holds_it_too() {
    let mut pair = Pair::new(config(Side::Dialler, Some("s3cret")), config(Side::Listener, Some("s3cret")));
    let seen = pair.run();
    assert!(
        matches!(seen.dialler[..], [Event::Ready(_)]) && matches!(seen.listener[..], [Event::Ready(_)]),
        "{seen:?}"
    );
}

/// NC-HSK-020
#[test]
fn a_wrong_token_is_refused_and_tells_nothing() {
    let mut pair = Pair::new(config(Side::Dialler, Some("guess")), config(Side::Listener, Some("s3cret")));
    let seen = pair.run();
    assert_eq!(code(&seen.listener_error), Some(ErrorCode::AUTH_FAILED));
    assert!(matches!(seen.dialler_error, Some(ConnectionError::Theirs { code: ErrorCode::AUTH_FAILED, .. })));
    assert!(seen.dialler.is_empty() && seen.listener.is_empty());
}

/// NC-HSK-023
#[test]
fn a_listener_that_does_not_ask_for_the_token_is_not_believed_either() {
    let mut pair = Pair::new(config(Side::Dialler, Some("s3cret")), config(Side::Listener, None));
    assert_eq!(code(&pair.run().dialler_error), Some(ErrorCode::AUTH_REQUIRED));
    let mut trusting = config(Side::Dialler, Some("s3cret"));
    trusting.trusted = true;
    assert!(Pair::new(trusting, config(Side::Listener, None)).run().dialler_error.is_none());
}

/// NC-HSK-017
#[test]
fn without_a_token_the_dialler_gives_up_by_itself() {
    let mut pair = Pair::new(config(Side::Dialler, None), config(Side::Listener, Some("s3cret")));
    let seen = pair.run();
    assert_eq!(code(&seen.dialler_error), Some(ErrorCode::AUTH_REQUIRED));
    assert!(seen.listener.is_empty());
}

/// NC-HSK-021
#[test]
fn a_listener_that_does_not_hold_the_token_is_not_believed() {
    // The impostor answers WELCOME with auth asked, and then plays the dialler's own proof back.
    let mut dialler = Connection::new(config(Side::Dialler, Some("s3cret")), Instant(0));
    let mut impostor = Connection::new(config(Side::Listener, Some("other")), Instant(0));
    let hello = drain(&mut dialler);
    feed(&mut impostor, &hello, Instant(0)).unwrap();
    let welcome = drain(&mut impostor);
    feed(&mut dialler, &welcome, Instant(0)).unwrap();
    let auth = drain(&mut dialler);
    let error = feed(&mut dialler, &auth, Instant(0)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::AUTH_FAILED));
}

/// NC-HSK-014
#[test]
fn nothing_of_the_node_stands_in_a_welcome_that_asks_for_a_token() {
    let mut listener = Connection::new(config(Side::Listener, Some("s3cret")), Instant(0));
    let hello = drain(&mut connection(Side::Dialler));
    feed(&mut listener, &hello, Instant(0)).unwrap();
    let said = drain(&mut listener);
    assert!(!said.windows(16).any(|window| window == [2; 16]), "the node's id is told");
}

#[test]
fn a_trusted_transport_needs_no_token() {
    let mut listener = config(Side::Listener, Some("s3cret"));
    listener.trusted = true;
    let seen = Pair::new(config(Side::Dialler, None), listener).run();
    assert!(matches!(seen.dialler[..], [Event::Ready(_)]));
}

/// NC-HSK-002
#[test]
fn other_protocols_are_told_what_this_is() {
    let others: [(&[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP"),
        (&[0x16, 0x03, 0x01, 0x02, 0x00], "TLS"),
        (&[0; 20], "not the first bytes"),
    ];
    for (bytes, word) in others {
        let mut listener = connection(Side::Listener);
        let error = feed(&mut listener, bytes, Instant(0)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::PREFACE));
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// NC-HSK-015
#[test]
fn a_peer_of_no_common_version_is_told_which_there_are() {
    let mut listener = connection(Side::Listener);
    let hello = Hello { versions: vec![7, 9], roles: Roles::RECEIVES, node: NodeId::NONE, nonce: [0; 16] };
    let error = feed(&mut listener, &[&PREFACE[..], &frame(0, &Message::Hello(hello))].concat(), Instant(0));
    assert_eq!(error.unwrap_err().code(), Some(ErrorCode::VERSION));
    let mut dialler = connection(Side::Dialler);
    let error = feed(&mut dialler, &drain(&mut listener), Instant(0)).unwrap_err();
    assert!(
        matches!(&error, ConnectionError::Theirs { code: ErrorCode::VERSION, text } if text.contains("[1]")),
        "{error}"
    );
}

/// NC-FRM-006, NC-LIM-005
#[test]
fn a_large_frame_before_the_handshake_is_refused_by_its_header() {
    let mut listener = connection(Side::Listener);
    let len = u32::try_from(MAX_HANDSHAKE_FRAME + 1).unwrap();
    let header = FrameHeader { len, kind: FrameType::HELLO, stream: StreamId(0) }.encode();
    let error = feed(&mut listener, &[&PREFACE[..], &header].concat(), Instant(0)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FRAME_TOO_LARGE));
}

/// NC-HSK-005
#[test]
fn a_handshake_that_takes_too_long_is_given_up() {
    let mut listener = connection(Side::Listener);
    let (at, what) = listener.deadline().unwrap();
    assert_eq!((at, what), (Instant(0).plus(HANDSHAKE_TIMEOUT), Deadline::Handshake));
    feed(&mut listener, &PREFACE, Instant(5)).unwrap();
    assert_eq!(listener.deadline().unwrap().0, at, "bytes do not prolong it");
    assert_eq!(listener.handle_timeout(at).unwrap_err().code(), Some(ErrorCode::TIMEOUT));
    assert!(listener.is_over() && listener.deadline().is_none());
}

// ---- the table of spec/03-frames.md: every frame in every state ----

/// NC-FRM-019, NC-FRM-024, NC-HSK-006
#[test]
fn the_connections_own_frames_are_taken_only_in_their_state() {
    for message in every_frame() {
        let kind = message.kind();
        let mut ready = Pair::ready().listener;
        let allowed = [FrameType::PING, FrameType::PONG, FrameType::GOAWAY].contains(&kind);
        let taken = feed(&mut ready, &frame(0, &message), Instant(0)).is_ok();
        assert_eq!(taken, allowed, "{kind} on stream 0");

        let mut fresh = connection(Side::Listener);
        let stream = u32::from(kind.scope() == netchan_proto::wire::Scope::Stream);
        let taken = feed(&mut fresh, &[&PREFACE[..], &frame(stream, &message)].concat(), Instant(0)).is_ok();
        assert_eq!(taken, kind == FrameType::HELLO, "{kind} as the first frame");
    }
}

/// NC-EXT-001, NC-FRM-013
#[test]
fn unknown_frames_are_ignored_if_their_top_bit_is_set_and_fatal_if_not() {
    let mut listener = Pair::ready().listener;
    for kind in FrameType::GREASE {
        let header = FrameHeader { len: 3, kind, stream: StreamId(77) }.encode();
        assert_eq!(feed(&mut listener, &[&header[..], b"abc"].concat(), Instant(0)), Ok(vec![]));
    }
    let header = FrameHeader { len: 0, kind: FrameType(0x7E), stream: StreamId(0) }.encode();
    assert_eq!(
        feed(&mut listener, &header, Instant(0)).unwrap_err().code(),
        Some(ErrorCode::UNKNOWN_CRITICAL)
    );
}

// ---- flow ----

/// NC-FLW-001, NC-FLW-003, NC-FLW-004, NC-FLW-010
#[test]
fn data_flows_only_as_far_as_credit_and_the_output_allow() {
    let mut pair = Pair::ready();
    let id = pair.dialler.open(&open(100)).unwrap();
    pair.run();
    assert_eq!(pair.listener.room(id), 0, "not before OPENED");
    pair.listener.opened(id, &opened());
    assert_eq!(pair.listener.room(id), 100);
    pair.listener.data(id, Bytes::from(vec![1; 100]));
    assert_eq!(pair.listener.room(id), 0);
    pair.run();
    pair.dialler.grant(id, 50); // a smaller total has no effect
    pair.dialler.grant(id, 130);
    let seen = pair.run();
    assert_eq!(seen.listener, [Event::Credit(id)]);
    assert_eq!(pair.listener.room(id), 30);
    pair.dialler.grant(id, u64::MAX);
    pair.run();
    assert_eq!(pair.listener.room(id), MAX_OUTBOUND_BYTES);
}

/// NC-FLW-005
#[test]
fn one_byte_more_than_the_credit_ends_the_connection() {
    for (bytes, taken) in [(100, true), (101, false)] {
        let (mut dialler, id) = dialler_after(|c| c.open(&open(100)).unwrap(), &[Message::Opened(opened())]);
        let range = Range { at: 0, bytes: Bytes::from(vec![0; bytes]) };
        let result = feed(&mut dialler, &frame(id, &Message::Data(range)), Instant(0));
        assert_eq!(result.is_ok(), taken, "{bytes}");
        assert!(taken || result.unwrap_err().code() == Some(ErrorCode::FLOW));
    }
}

/// NC-STR-015
#[test]
fn a_range_out_of_place_ends_the_connection() {
    let (mut dialler, id) = dialler_after(|c| c.open(&open(100)).unwrap(), &[Message::Opened(opened())]);
    let range = Range { at: 1, bytes: Bytes::from_static(b"x") };
    let error = feed(&mut dialler, &frame(id, &Message::Data(range)), Instant(0)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FLOW));
}

#[test]
fn a_long_range_is_cut_into_frames_and_comes_whole() {
    let mut pair = Pair::ready();
    pair.cut = 1000;
    let id = pair.dialler.open(&open(1 << 30)).unwrap();
    pair.run();
    pair.listener.opened(id, &opened());
    let sent: Vec<u8> = (0..3 * MAX_DATA + 17).map(|i| (i % 251) as u8).collect();
    pair.listener.data(id, sent.clone().into());
    let got: Vec<u8> = pair
        .run()
        .dialler
        .into_iter()
        .filter_map(|event| match event {
            Event::Data(_, range) => Some(range.to_vec()),
            _ => None,
        })
        .flatten()
        .collect();
    assert!(got == sent);
}

/// NC-FRM-022
#[test]
fn after_close_nothing_of_the_stream_is_told_but_its_end() {
    let mut pair = Pair::ready();
    let id = pair.dialler.open(&open(100)).unwrap();
    pair.run();
    pair.listener.opened(id, &opened());
    pair.run();
    pair.listener.data(id, Bytes::from_static(b"under way"));
    pair.dialler.close_stream(id);
    let seen = pair.run();
    assert_eq!(seen.listener, [Event::CloseRequest(id)]);
    assert_eq!(seen.dialler, []);
    pair.listener.end(id, End::Closed);
    assert_eq!(pair.run().dialler, [Event::End(id, End::Closed)]);
}

/// NC-FRM-007, NC-HSK-011
/// NC-ERR-001: the ERROR that ends a connection is the last thing said on it.
#[test]
fn after_the_error_that_ends_it_a_connection_says_nothing_more() {
    let (mut dialler, id) = dialler_after(|c| c.open(&open(100)).unwrap(), &[Message::Opened(opened())]);
    drain(&mut dialler);
    dialler.close_with(ErrorCode::INTERNAL, "enough");
    let said = drain(&mut dialler);
    assert_eq!(said, frame(0, &Message::Error(ErrorFrame::new(ErrorCode::INTERNAL, "enough"))));
    dialler.close_stream(StreamId(id));
    dialler.seek(StreamId(id), &Seek { seek_id: 1, start: Start::Earliest });
    dialler.grant(StreamId(id), 1000);
    dialler.go_away(Duration::ZERO);
    dialler.close_with(ErrorCode::INTERNAL, "again");
    assert!(drain(&mut dialler).is_empty());
}

#[test]
fn a_publisher_that_closes_before_it_is_opened_says_so_after_it() {
    let mut pair = Pair::ready();
    let id = pair.dialler.publish_open(&publish_open()).unwrap();
    pair.dialler.publish_note(id, &PublishNote { next_sequence: 0, note: Note::default() });
    pair.dialler.publish_close(id);
    assert!(matches!(pair.run().listener[..], [Event::PublishRequest(..)]));
    pair.listener.publish_opened(id, &publish_opened(10));
    let seen = pair.run();
    assert!(matches!(seen.dialler[..], [Event::PublishOpened(..)]));
    assert_eq!(seen.listener, [Event::PublishCloseRequest(id)]);
    pair.dialler.publish(id, Bytes::from_static(b"too late"));
    assert!(pair.run().listener.is_empty());
}

#[test]
fn either_side_may_read_from_the_other_over_one_connection() {
    let mut pair = Pair::ready();
    let from_dialler = pair.dialler.open(&open(10)).unwrap();
    let from_listener = pair.listener.open(&open(10)).unwrap();
    assert_eq!((from_dialler, from_listener), (StreamId(1), StreamId(2)));
    let seen = pair.run();
    assert!(matches!(seen.listener[..], [Event::OpenRequest(StreamId(1), _)]));
    assert!(matches!(seen.dialler[..], [Event::OpenRequest(StreamId(2), _)]));
}

// ---- limits ----

/// NC-STR-005
#[test]
fn one_stream_too_many_is_refused_and_the_connection_goes_on() {
    let mut pair = Pair::ready();
    for _ in 0..MAX_STREAMS {
        pair.dialler.open(&open(1)).unwrap();
    }
    assert!(pair.dialler.open(&open(1)).is_err(), "an honest side does not ask");
    pair.run();
    let id = u32::try_from(2 * MAX_STREAMS + 1).unwrap();
    let events = feed(&mut pair.listener, &frame(id, &Message::Open(open(1))), Instant(0)).unwrap();
    assert_eq!(events, []);
    assert!(!drain(&mut pair.listener).is_empty(), "the peer is told");
    assert!(!pair.listener.is_over());
}

/// NC-FRM-008, NC-FRM-009
#[test]
fn stream_numbers_rise_and_are_the_openers_own() {
    for id in [2, 4] {
        let mut listener = Pair::ready().listener;
        let error = feed(&mut listener, &frame(id, &Message::Open(open(1))), Instant(0)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::PROTOCOL));
    }
    let mut listener = Pair::ready().listener;
    feed(&mut listener, &frame(5, &Message::Open(open(1))), Instant(0)).unwrap();
    assert!(feed(&mut listener, &frame(3, &Message::Open(open(1))), Instant(0)).is_err());
}

/// NC-FRM-028
#[test]
fn a_flood_of_control_frames_is_told_to_calm_down() {
    let mut listener = Pair::ready().listener;
    let ping = frame(0, &Message::Ping(1));
    let mut pings = 0;
    let error = loop {
        drain(&mut listener);
        match feed(&mut listener, &ping, Instant(0)) {
            Ok(_) => pings += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::CALM));
    assert_eq!(
        pings,
        4 * MAX_CONTROL_RATE - 1,
        "the burst, of which the handshake's ignorable frame took one"
    );

    let mut listener = Pair::ready().listener;
    for step in 0..20 * u64::from(MAX_CONTROL_RATE) {
        let now = Instant(step * 1_000_000_000 / u64::from(MAX_CONTROL_RATE));
        feed(&mut listener, &ping, now).unwrap();
        drain(&mut listener);
    }
}

/// NC-FRM-028: a commit waits for its answer, and so for a disk; the others about cursors are as any request.
#[test]
fn commits_have_no_rate_and_the_other_requests_about_cursors_do() {
    let commit = CursorCommit { key: cursor_key(), generation: 1, position: cursor().position };
    let mut pair = Pair::ready();
    for _ in 0..20 * MAX_CONTROL_RATE {
        let id = pair.dialler.cursor_commit(&commit).unwrap();
        let asked = drain(&mut pair.dialler);
        feed(&mut pair.listener, &asked, Instant(0)).unwrap();
        pair.listener.cursor_reply(id, &cursor());
        let answer = drain(&mut pair.listener);
        feed(&mut pair.dialler, &answer, Instant(0)).unwrap();
    }
    let requests: [fn(&mut Connection) -> StreamId; 8] = [
        |c| {
            let (key, start) = (cursor_key(), Start::Earliest);
            c.cursor_take(&CursorTake { key, start, make: true, wait: true, mine: 0 }).unwrap()
        },
        |c| c.cursor_set(&CursorSet { key: cursor_key(), start: Start::Earliest, make: true }).unwrap(),
        |c| c.cursor_delete(&cursor_key()).unwrap(),
        |c| c.cursors(&Cursors::default()).unwrap(),
        |c| c.create(&states::keep()).unwrap(),
        |c| c.change(&states::keep()).unwrap(),
        |c| c.truncate(&states::truncate()).unwrap(),
        |c| c.describe(&name()).unwrap(),
    ];
    for request in requests {
        let mut pair = Pair::ready();
        let error = (0..20 * MAX_CONTROL_RATE).find_map(|_| {
            let id = request(&mut pair.dialler);
            let asked = drain(&mut pair.dialler);
            let error = feed(&mut pair.listener, &asked, Instant(0)).err();
            pair.listener.stream_error(id, ErrorFrame::new(ErrorCode::NO_CURSOR, ""));
            let answer = drain(&mut pair.listener);
            error.or_else(|| feed(&mut pair.dialler, &answer, Instant(0)).map(|_| None).unwrap_or_else(Some))
        });
        assert_eq!(error.and_then(|error| error.code()), Some(ErrorCode::CALM));
    }
}

#[test]
fn a_peer_that_does_not_read_is_not_listened_to_for_ever() {
    let mut listener = Pair::ready().listener;
    let flood = frame(0, &Message::Ping(1)).repeat(100);
    let mut now = Instant(0);
    let mut fed = 0;
    while listener.wants_read() {
        now = now.plus(Duration::from_secs(1));
        feed(&mut listener, &flood, now).unwrap();
        fed += flood.len();
        assert!(fed < 2 * (MAX_OUTBOUND_BYTES + MAX_DATA), "the output grows without limit");
    }
    drain(&mut listener);
    assert!(listener.wants_read());
}

/// NC-FLW-012
#[test]
fn credit_that_answers_no_data_has_the_rate_of_control_frames() {
    let mut pair = Pair::ready();
    let id = pair.dialler.open(&open(1 << 40)).unwrap();
    pair.run();
    pair.listener.opened(id, &opened());
    let mut total = 1 << 40;
    let mut credit = |listener: &mut Connection| {
        total += 1;
        drain(listener);
        feed(listener, &frame(id.0, &Message::Credit(total)), Instant(0))
    };
    for _ in 0..3 * MAX_CONTROL_RATE {
        pair.listener.data(id, Bytes::from_static(b"some bytes"));
        for _ in 0..4 {
            credit(&mut pair.listener).unwrap();
        }
    }
    let mut unearned = 0;
    let error = loop {
        match credit(&mut pair.listener) {
            Ok(_) => unearned += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::CALM));
    assert_eq!(unearned, 4 * MAX_CONTROL_RATE - 2, "the burst, of which grease and OPEN took two");
}

/// NC-LIM-007
#[test]
fn a_connection_holds_no_more_than_its_owner_can_spare_and_reads_on_when_there_is_more() {
    let mut pair = Pair::ready();
    let publish = pair.dialler.publish_open(&publish_open()).unwrap();
    let read = pair.dialler.open(&open(1 << 40)).unwrap();
    pair.run();
    pair.listener.publish_opened(publish, &publish_opened(1 << 40));
    pair.listener.opened(read, &opened());
    pair.run();
    assert_eq!(pair.listener.room(read), MAX_OUTBOUND_BYTES);
    pair.listener.limit(0, 0);
    assert_eq!(pair.listener.room(read), MIN_READ);

    let whole = frame(publish.0, &Message::Publish(Range { at: 0, bytes: vec![7; MAX_DATA].into() }));
    let mut sent = 0;
    while pair.listener.wants_read() {
        assert!(pair.listener.read_buf().capacity() <= 2 * MIN_READ, "{sent}");
        assert_eq!(feed(&mut pair.listener, &whole[sent..sent + 512], Instant(0)), Ok(Vec::new()));
        sent += 512;
    }
    assert!(pair.listener.unparsed() <= MIN_READ + 512);
    pair.listener.limit(usize::MAX, usize::MAX);
    assert!(pair.listener.wants_read());
    assert_eq!(feed(&mut pair.listener, &whole[sent..], Instant(0)).unwrap().len(), 1);
}

/// NC-LIM-008
#[test]
fn what_a_busy_time_has_left_is_given_back_a_second_after_it() {
    let mut listener = Pair::ready().listener;
    let flood = frame(0, &Message::Ping(1)).repeat(300);
    for step in 0..200 {
        feed(&mut listener, &flood, Instant(step * 1_000_000_000)).unwrap();
        drain(&mut listener);
    }
    assert!(listener.read_buf().capacity() > MIN_READ);
    let (at, what) = listener.deadline().unwrap();
    assert_eq!((at, what), (Instant(199_000_000_000).plus(IDLE_TIME), Deadline::Idle));
    listener.handle_timeout(at).unwrap();
    assert!(listener.read_buf().capacity() <= MIN_READ);
    assert_eq!(listener.deadline().unwrap().1, Deadline::Ping);
}

// ---- liveness ----

/// Lets the time pass after which it gives back what it needs no more.
fn relax(connection: &mut Connection, since: Instant) {
    assert_eq!(connection.deadline(), Some((since.plus(IDLE_TIME), Deadline::Idle)));
    connection.handle_timeout(since.plus(IDLE_TIME)).unwrap();
}

/// NC-FRM-023, NC-FRM-025, NC-FRM-026, NC-FRM-027
#[test]
fn silence_is_asked_about_and_then_ends_the_connection() {
    let mut pair = Pair::ready();
    relax(&mut pair.dialler, Instant(0));
    let (at, what) = pair.dialler.deadline().unwrap();
    assert_eq!((at, what), (Instant(0).plus(PING_INTERVAL), Deadline::Ping));
    pair.now = at;
    pair.dialler.handle_timeout(at).unwrap();
    assert!(pair.dialler.deadline().unwrap().0 > at, "after a tick the deadline is later");
    pair.run(); // the PONG
    relax(&mut pair.dialler, at);
    assert_eq!(pair.dialler.deadline(), Some((at.plus(PING_INTERVAL), Deadline::Ping)));

    let at = at.plus(PING_INTERVAL);
    pair.dialler.handle_timeout(at).unwrap();
    let (end, what) = pair.dialler.deadline().unwrap();
    assert_eq!((end, what), (at.plus(PEER_TIMEOUT), Deadline::Silence));
    assert_eq!(pair.dialler.handle_timeout(end).unwrap_err().code(), Some(ErrorCode::TIMEOUT));
}

#[test]
fn a_timeout_before_its_time_does_nothing() {
    let mut pair = Pair::ready();
    pair.dialler.handle_timeout(Instant(1)).unwrap();
    assert!(!pair.dialler.has_outbound());
}

#[test]
fn the_end_of_the_byte_stream_is_told_after_what_came_before_it() {
    let mut pair = Pair::ready();
    pair.dialler.open(&open(1)).unwrap();
    let bytes = drain(&mut pair.dialler);
    pair.listener.read_buf().extend_from_slice(&bytes);
    pair.listener.received(bytes.len(), Instant(0));
    pair.listener.end_of_stream();
    assert!(matches!(pair.listener.poll_event(Instant(0)), Ok(Some(Event::OpenRequest(..)))));
    assert_eq!(pair.listener.poll_event(Instant(0)), Err(ConnectionError::Closed));
    assert_eq!(pair.listener.poll_event(Instant(0)), Ok(None), "told once");
}
