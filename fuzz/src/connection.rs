//! The connection machine: any bytes, any calls, in any order.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use netchan_proto::conn::{Connection, ConnectionConfig, Event, Side};
use netchan_proto::limits::{MAX_DATA, MAX_OUTBOUND_BYTES, PEER_TIMEOUT};
use netchan_proto::wire::{
    AckLevel, Before, Counter, CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors,
    CursorsReply, Description, End, ErrorFrame, FrameHeader, FrameType, Gap, GapReason, Keep, Message,
    NodeStatus, Note, Open, Opened, Progress, PublishAck, PublishNote, PublishOpen, PublishOpened,
    ReaderInfo, ReaderKind, Readers, ReadersReply, Roles, Seek, Seeked, Start, StreamId, Truncate, Truncated,
    Watch, Watched,
};
use netchan_proto::{
    ChannelName, CursorName, Durability, Epoch, ErrorCode, Filter, Instant, LogId, NodeId, Offset, Pattern,
    Position, Positions, ProducerId, Settings, Timestamp, Token,
};

use crate::Operations;

fn new(side: Side, token: Option<&str>) -> Connection {
    let config = ConnectionConfig {
        side,
        node: NodeId([1; 16]),
        roles: Roles::SENDS,
        nonce: [5; 16],
        token: token.and_then(|token| Token::new(token).ok()),
        grants: std::sync::Arc::default(),
        trusted: false,
        peer_timeout: PEER_TIMEOUT,
    };
    Connection::new(config, Instant(0))
}

/// One connection under a list of operations: raw bytes, well-formed frames, commands, time, output taken or not.
pub fn connection(data: &[u8]) {
    let mut input = Operations::new(data);
    let config = input.byte();
    let side = if config & 1 == 0 { Side::Dialler } else { Side::Listener };
    let mut connection = new(side, (config & 2 != 0).then_some("token"));
    if config & 4 == 0 {
        shake_hands(&mut connection, new(side.other(), (config & 2 != 0).then_some("token")));
    }
    if config & 8 != 0 {
        connection.limit(0, 0);
    }
    let mut now = Instant(0);
    for _ in 0..300 {
        if input.is_empty() {
            break;
        }
        match input.byte() % 6 {
            0 => {
                let len = usize::from(input.byte());
                feed(&mut connection, input.bytes(len), now);
            }
            1 => {
                let kind = FrameType(input.byte());
                let stream = StreamId(u32::from(input.byte() & 15));
                let len = usize::from(input.byte());
                let payload = input.bytes(len);
                let len = u32::try_from(payload.len()).unwrap_or(0);
                feed(&mut connection, &FrameHeader { len, kind, stream }.encode(), now);
                feed(&mut connection, payload, now);
            }
            2 => {
                let stream = StreamId(u32::from(input.byte() & 15));
                if let Some(message) = plausible(&mut input) {
                    let mut bytes = Vec::new();
                    message.encode(stream, &mut bytes);
                    if let Message::Data(range) | Message::Publish(range) = &message {
                        bytes.extend_from_slice(&range.bytes);
                    }
                    feed(&mut connection, &bytes, now);
                }
            }
            3 => command(&mut connection, &mut input),
            4 => {
                now = now.plus(Duration::from_millis(input.word().into()));
                let was_over = connection.is_over();
                let _ = connection.handle_timeout(now);
                if let Some((at, _)) = connection.deadline() {
                    assert!(at > now, "after a tick at t the deadline is later than t");
                }
                assert!(!was_over || connection.is_over());
            }
            _ => {
                let len = usize::from(input.word());
                connection.outbound().advance(len);
            }
        }
        let out = connection.outbound().remaining();
        assert!(out <= 2 * (MAX_OUTBOUND_BYTES + MAX_DATA) + (300 << 10), "the output has {out} bytes");
    }
}

fn feed(connection: &mut Connection, bytes: &[u8], now: Instant) {
    if connection.wants_read() {
        connection.read_buf().put_slice(bytes);
        connection.received(bytes.len(), now);
    }
    while let Ok(Some(_)) = connection.poll_event(now) {}
}

fn shake_hands(connection: &mut Connection, mut peer: Connection) {
    for _ in 0..4 {
        let out = connection.outbound();
        let bytes = out.copy_to_bytes(out.remaining());
        feed(&mut peer, &bytes, Instant(0));
        let out = peer.outbound();
        let bytes = out.copy_to_bytes(out.remaining());
        feed(connection, &bytes, Instant(0));
    }
    assert!(connection.is_ready() && peer.is_ready());
}

fn name() -> ChannelName {
    ChannelName::new("a").expect("a valid name")
}

fn start(input: &mut Operations<'_>) -> Start {
    match input.byte() % 4 {
        0 => Start::Earliest,
        1 => Start::Latest,
        2 => Start::Offset(Offset(input.long())),
        _ => Start::Last(input.long()),
    }
}

fn opened(input: &mut Operations<'_>) -> Opened {
    Opened {
        log: LogId([7; 16]),
        epoch: Epoch(1),
        durability: Durability::Sync,
        sealed: false,
        first: Offset(0),
        next: Offset(9),
        start: Offset(u64::from(input.byte())),
        clock: Timestamp(0),
        content: None,
        partitions: None,
    }
}

fn publish_opened(input: &mut Operations<'_>) -> PublishOpened {
    PublishOpened {
        log: LogId([7; 16]),
        epoch: Epoch(1),
        durability: Durability::Sync,
        next_sequence: u64::from(input.byte()),
        credit: u64::from(input.word()),
        note: Note::default(),
        partitions: None,
    }
}

fn status(input: &mut Operations<'_>) -> NodeStatus {
    let counters = Counter::ALL.iter().map(|counter| (*counter, u64::from(input.byte()))).take(3).collect();
    NodeStatus { version: "v".into(), counters, ..NodeStatus::default() }
}

fn readers(input: &mut Operations<'_>) -> ReadersReply {
    let info = ReaderInfo {
        id: 1 + u64::from(input.byte()),
        kind: ReaderKind::Reads,
        node: NodeId([1; 16]),
        since: Timestamp(0),
        offset: None,
        next: Some(Offset(u64::from(input.byte()))),
        time: Timestamp::MIN,
        behind: 0,
        credit: input.long(),
        records: 0,
        bytes: 0,
        channel: name(),
        peer: "p".into(),
    };
    ReadersReply { more: input.byte() & 1 == 1, now: Timestamp(1), readers: vec![info] }
}

fn open(input: &mut Operations<'_>, credit: impl FnOnce(&mut Operations<'_>) -> u64) -> Open {
    let (start, credit) = (start(input), credit(input));
    // Now and then, without a byte more of the input: the corpus is older than filters.
    let filter = if credit & 7 == 3 { Filter::parse("key exists").ok() } else { None };
    Open { name: name(), start, wait: true, credit, filter }
}

fn watch() -> Watch {
    Watch { pattern: Pattern::new("a/**").expect("a pattern") }
}

/// A message that an honest peer might send.
fn plausible(input: &mut Operations<'_>) -> Option<Message> {
    let choice = input.byte();
    Some(match choice % 20 {
        0 => Message::Open(open(input, |input| u64::from(input.word()))),
        1 => Message::Opened(opened(input)),
        2 => match input.long() {
            // Now and then, without a byte more of the input, as with filters.
            number if number & 15 == 5 => Message::Received(Offset(number >> 4)),
            number if number & 15 == 6 => Message::Await(Offset(number >> 4)),
            number => Message::Credit(number),
        },
        3 => Message::Seek(Seek { seek_id: u32::from(input.byte()), start: start(input) }),
        4 => Message::Seeked(Seeked { seek_id: u32::from(input.byte()), opened: opened(input) }),
        5 | 6 => {
            let at = u64::from(input.byte());
            let len = usize::from(input.byte());
            let range = netchan_proto::wire::Range { at, bytes: Bytes::copy_from_slice(input.bytes(len)) };
            if range.bytes.is_empty() {
                return None;
            }
            if at & 1 == 0 { Message::Data(range) } else { Message::Publish(range) }
        }
        7 => Message::End(End::Closed),
        8 => Message::Close(ErrorCode::NONE),
        9 => Message::PublishOpen(PublishOpen {
            name: name(),
            create: true,
            durability: None,
            producer: ProducerId([1; 16]),
            content: None,
            partitions: None,
        }),
        10 => Message::PublishOpened(publish_opened(input)),
        11 => Message::PublishClose,
        12 => Message::Stat(name()),
        13 => Message::Ping(input.long()),
        14 => Message::Error(ErrorFrame::new(ErrorCode::INTERNAL, "x")),
        15 => Message::Status,
        // Now and then others, without a byte more of the input, as filters.
        16 => match input.long() {
            after if after & 7 == 3 => Message::Watch(watch()),
            after if after & 7 == 5 => Message::Watched(Watched::default()),
            after => Message::Readers(Readers { after, channel: None }),
        },
        17 => Message::StatusReply(status(input)),
        18 => Message::ReadersReply(readers(input)),
        _ if choice < 128 => Message::Waiting,
        _ => cursors(input),
    })
}

fn cursor_key(input: &mut Operations<'_>) -> CursorKey {
    let cursor = CursorName::new(if input.byte() & 1 == 0 { "a" } else { "b" });
    CursorKey { channel: name(), cursor: cursor.expect("a name") }
}

fn cursor(input: &mut Operations<'_>) -> CursorInfo {
    let (key, generation) = (cursor_key(input), u64::from(input.byte()));
    let at = Position { log: LogId([7; 16]), epoch: Epoch(1), offset: Offset(u64::from(input.byte())) };
    let position = if input.byte() & 1 == 0 { at.into() } else { Positions::default() };
    let (created, moved) = (Timestamp(1), Timestamp(2));
    CursorInfo { key, generation, taken: generation, created, moved, position }
}

fn take(input: &mut Operations<'_>) -> CursorTake {
    let flags = input.byte();
    let (make, wait) = (flags & 1 == 0, flags & 2 == 0);
    CursorTake { key: cursor_key(input), start: start(input), make, wait, mine: u64::from(input.byte()) }
}

fn commit(input: &mut Operations<'_>) -> CursorCommit {
    let CursorInfo { key, generation, .. } = cursor(input);
    let position = Position { log: LogId([7; 16]), epoch: Epoch(1), offset: Offset(3) }.into();
    CursorCommit { key, generation, position }
}

fn keep(input: &mut Operations<'_>) -> Keep {
    Keep { name: name(), settings: Settings::default().max_bytes(Some(input.long() >> 1)) }
}

fn description(input: &mut Operations<'_>) -> Description {
    let Keep { name, settings } = keep(input);
    let start = Offset(u64::from(input.byte()));
    Description { name, log: LogId([7; 16]), start, digest: None, content: None, settings }
}

/// A frame about cursors or about how channels are kept that an honest peer might send.
fn cursors(input: &mut Operations<'_>) -> Message {
    match input.byte() % 12 {
        0 => Message::CursorTake(take(input)),
        1 => Message::CursorCommit(commit(input)),
        2 => Message::CursorSet(CursorSet { key: cursor_key(input), start: start(input), make: true }),
        3 => Message::CursorDelete(cursor_key(input)),
        4 => Message::CursorReply(cursor(input)),
        5 => Message::Cursors(Cursors { channel: None, after: Some(cursor_key(input)) }),
        6 => Message::CursorsReply(CursorsReply { more: true, cursors: vec![cursor(input)] }),
        7 => Message::Create(keep(input)),
        8 => Message::Change(keep(input)),
        9 => Message::Truncate(Truncate { name: name(), before: Before::Offset(Offset(input.long() >> 1)) }),
        10 => Message::Describe(name()),
        _ => Message::Description(description(input)),
    }
}

/// A command of the owner's, sensible or not.
fn command(connection: &mut Connection, input: &mut Operations<'_>) {
    let id = StreamId(u32::from(input.byte() & 15));
    match input.byte() % 32 {
        0 => drop(connection.open(&open(input, |input| input.long()))),
        1 => connection.seek(id, &Seek { seek_id: 1, start: start(input) }),
        2 => match input.long() {
            number if number & 15 == 5 => connection.tell_received(id, Offset(number >> 4)),
            number if number & 15 == 6 => connection.await_received(id, Offset(number >> 4)),
            number => connection.grant(id, number),
        },
        3 => connection.close_stream(id),
        4 => connection.opened(id, &opened(input)),
        5 => connection.waiting(id),
        6 => connection.seeked(id, &Seeked { seek_id: 1, opened: opened(input) }),
        7 => {
            let room = connection.room(id).min(usize::from(input.word()));
            connection.data(id, Bytes::from(vec![0; room]));
        }
        8 => connection.progress(id, &Progress { scanned: Offset(1), next: Offset(2), clock: Timestamp(3) }),
        9 => connection
            .gap(id, &Gap { from: Offset(0), to: Offset(1), why: GapReason::Retention, epoch: Epoch(1) }),
        10 => connection.truncated(id, &Truncated { epoch: Epoch(1), log_epoch: Epoch(2), end: Offset(0) }),
        11 => connection.end(id, End::Closed),
        12 => connection.stream_error(id, ErrorFrame::new(ErrorCode::NO_CHANNEL, "x")),
        13 => connection.publish_opened(id, &publish_opened(input)),
        14 => connection.publish_ack(
            id,
            &PublishAck {
                level: AckLevel::Written,
                epoch: Epoch(1),
                first_sequence: 0,
                count: 1,
                first_offset: Some(Offset(0)),
            },
        ),
        15 => {
            let room = connection.room(id).min(usize::from(input.word()));
            connection.publish(id, Bytes::from(vec![0; room]));
        }
        16 => connection.publish_note(id, &PublishNote { next_sequence: 0, note: Note::default() }),
        17 => drop(connection.status()),
        18 if id.0 & 1 == 1 => drop(connection.watch(&watch())),
        20 if id.0 & 1 == 1 => connection.watched(id, &Watched::default()),
        18 => drop(connection.readers(&Readers { after: 0, channel: Some(name()) })),
        19 => connection.status_reply(id, &status(input)),
        20 => connection.readers_reply(id, &readers(input)),
        21 => connection.publish_close(id),
        22 => drop(connection.cursor_take(&take(input))),
        23 => drop(connection.cursor_commit(&commit(input))),
        24 => drop(connection.cursor_delete(&cursor_key(input))),
        25 => drop(connection.cursors(&Cursors::default())),
        26 => connection.cursor_reply(id, &cursor(input)),
        28 => drop(connection.create(&keep(input))),
        29 => drop(connection.change(&keep(input))),
        30 => drop(connection.describe(&name())),
        31 => connection.description(id, &description(input)),
        _ => connection.cursors_reply(id, &CursorsReply { more: false, cursors: vec![cursor(input)] }),
    }
}

/// A handshake whose bytes are changed on their way: it never ends with both sides ready and different views, and a
/// listener that asks for a token is never ready for who has none.
pub fn handshake(data: &[u8]) {
    let mut input = Operations::new(data);
    let mut dialler = new(Side::Dialler, (input.byte() & 1 == 1).then_some("wrong"));
    let mut listener = new(Side::Listener, Some("right"));
    for _ in 0..4 {
        for towards_listener in [true, false] {
            let (from, to) =
                if towards_listener { (&mut dialler, &mut listener) } else { (&mut listener, &mut dialler) };
            let out = from.outbound();
            let mut bytes = out.copy_to_bytes(out.remaining()).to_vec();
            let changes = input.byte() & 3;
            for _ in 0..changes {
                let at = usize::from(input.word());
                let value = input.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                } else {
                    let len = usize::from(value);
                    bytes.extend_from_slice(input.bytes(len));
                }
            }
            if to.wants_read() {
                to.read_buf().put_slice(&bytes);
                to.received(bytes.len(), Instant(0));
                while let Ok(Some(event)) = to.poll_event(Instant(0)) {
                    assert!(!matches!(event, Event::Ready(_)) || !towards_listener, "in without the token");
                }
            }
        }
    }
    assert!(!listener.is_ready());
}
