//! The sessions of the spec, spoken by two real connections: they say byte for byte what the pages show.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes};
use netchan_proto::conn::{Connection, ConnectionConfig, Event};
use netchan_proto::limits::PEER_TIMEOUT;
use netchan_proto::wire::{End, FRAME_HEADER_LEN, FrameType, Message, Roles, StreamId};
use netchan_proto::{Instant, NodeId, Side, Token};

use crate::form::frame;
use crate::pages::{Example, page};

const NOW: Instant = Instant(0);

/// The side of the spec's sessions.
fn connection(side: Side, token: Option<&str>) -> Connection {
    let (node, roles, nonce) = match side {
        Side::Dialler => (0xd1, Roles::RECEIVES, 0x1020_3040_5051_5253_5455_5657_5859_5a5b_u128),
        Side::Listener => (0xe2, Roles::SENDS, 0xa3b2_c1d0_e0e1_e2e3_e4e5_e6e7_e8e9_eaeb),
    };
    let config = ConnectionConfig {
        side,
        node: NodeId([node; 16]),
        roles,
        nonce: nonce.to_be_bytes(),
        token: token.map(|token| Token::new(token).unwrap()),
        grants: std::sync::Arc::default(),
        trusted: false,
        peer_timeout: PEER_TIMEOUT,
    };
    Connection::new(config, NOW)
}

fn said(connection: &mut Connection) -> Bytes {
    let out = connection.outbound();
    out.copy_to_bytes(out.remaining())
}

fn hear(connection: &mut Connection, bytes: &[u8]) -> Vec<Event> {
    connection.read_buf().put_slice(bytes);
    connection.received(bytes.len(), NOW);
    std::iter::from_fn(|| connection.poll_event(NOW).unwrap()).collect()
}

/// Lets both sides speak until they are silent, and holds what each says against its lines of the page.
fn hold(dialler: &mut Connection, listener: &mut Connection, lines: &mut Lines) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let (from_dialler, from_listener) = (said(dialler), said(listener));
        if from_dialler.is_empty() && from_listener.is_empty() {
            return events;
        }
        lines.take("D", &from_dialler);
        lines.take("L", &from_listener);
        events.extend(hear(listener, &from_dialler));
        events.extend(hear(dialler, &from_listener));
    }
}

/// What is left of a session, by side.
struct Lines(VecDeque<Example>);

impl Lines {
    fn of(number: &str) -> Lines {
        let blocks = page(number).blocks();
        Lines(blocks.into_iter().find(|block| block[0].name == "D").unwrap().into())
    }

    /// Takes the lines of one side that make up `bytes`.
    fn take(&mut self, side: &str, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.0.iter().position(|line| line.name == side).expect("the page has more lines");
            let line = self.0.remove(at).unwrap();
            let len = line.bytes.len().min(bytes.len());
            assert_eq!(&bytes[..len], line.bytes, "{side}: {}", line.form);
            bytes = &bytes[len..];
        }
    }

    /// What the page's next line of this side says, to be said.
    fn next(&self, side: &str, kind: FrameType) -> Message {
        let lines = self.0.iter().filter(|line| line.name == side && line.bytes.len() >= FRAME_HEADER_LEN);
        let mut messages = lines.map(|line| frame(&line.bytes).unwrap().1);
        messages.find(|message| message.kind() == kind).unwrap()
    }
}

/// NC-EXT-003: grease is the first frame of each side that is READY.
#[test]
fn the_overviews_session_is_what_two_connections_say() {
    let mut lines = Lines::of("00");
    let (mut dialler, mut listener) = (connection(Side::Dialler, None), connection(Side::Listener, None));
    hold(&mut dialler, &mut listener, &mut lines);
    assert!(dialler.is_ready() && listener.is_ready());
    let stream = match lines.next("D", FrameType::OPEN) {
        Message::Open(open) => dialler.open(&open).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(stream, StreamId(1));
    hold(&mut dialler, &mut listener, &mut lines);
    match (lines.next("L", FrameType::OPENED), lines.next("L", FrameType::DATA)) {
        (Message::Opened(opened), Message::Data(range)) => {
            listener.opened(stream, &opened);
            listener.data(stream, range.bytes);
        }
        other => panic!("{other:?}"),
    }
    match lines.next("L", FrameType::END) {
        Message::End(end @ End::Sealed { .. }) => listener.end(stream, end),
        other => panic!("{other:?}"),
    }
    let events = hold(&mut dialler, &mut listener, &mut lines);
    assert!(matches!(events[..], [Event::Opened(..), Event::Data(..), Event::End(..)]), "{events:?}");
    assert!(lines.0.is_empty(), "nobody said {:?}", lines.0);
}

#[test]
fn the_handshake_with_a_token_is_what_two_connections_say() {
    let mut lines = Lines::of("04");
    let mut dialler = connection(Side::Dialler, Some("secret"));
    let mut listener = connection(Side::Listener, Some("secret"));
    hold(&mut dialler, &mut listener, &mut lines);
    assert!(dialler.is_ready() && listener.is_ready());
    assert!(lines.0.is_empty(), "nobody said {:?}", lines.0);
}

/// NC-FLW-002, NC-STR-024
#[test]
fn the_publishers_stream_is_what_two_connections_say() {
    let mut lines = Lines::of("10");
    let (mut dialler, mut listener) = (connection(Side::Dialler, None), connection(Side::Listener, None));
    while {
        let (a, b) = (said(&mut dialler), said(&mut listener));
        hear(&mut listener, &a);
        hear(&mut dialler, &b);
        !a.is_empty() || !b.is_empty()
    } {}
    let stream = match lines.next("D", FrameType::PUBLISH_OPEN) {
        Message::PublishOpen(open) => dialler.publish_open(&open).unwrap(),
        other => panic!("{other:?}"),
    };
    hold(&mut dialler, &mut listener, &mut lines);
    assert_eq!(dialler.room(stream), 0, "no credit before PUBLISH_OPENED");
    match lines.next("L", FrameType::PUBLISH_OPENED) {
        Message::PublishOpened(opened) => listener.publish_opened(stream, &opened),
        other => panic!("{other:?}"),
    }
    hold(&mut dialler, &mut listener, &mut lines);
    match lines.next("D", FrameType::PUBLISH) {
        Message::Publish(range) => dialler.publish(stream, range.bytes),
        other => panic!("{other:?}"),
    }
    dialler.publish_close(stream);
    hold(&mut dialler, &mut listener, &mut lines);
    match lines.next("L", FrameType::PUBLISH_ACK) {
        Message::PublishAck(ack) => listener.publish_ack(stream, &ack),
        other => panic!("{other:?}"),
    }
    listener.end(stream, End::Closed);
    hold(&mut dialler, &mut listener, &mut lines);
    assert!(lines.0.is_empty(), "nobody said {:?}", lines.0);
}
