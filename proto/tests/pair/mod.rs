//! Two connections and the bytes between them, in memory, with time that the test sets.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use netchan_proto::conn::{Connection, ConnectionConfig, ConnectionError, Event, Side};
use netchan_proto::limits::PEER_TIMEOUT;
use netchan_proto::wire::{Message, Roles, StreamId};
use netchan_proto::{Instant, NodeId, Token};

pub fn config(side: Side, token: Option<&str>) -> ConnectionConfig {
    ConnectionConfig {
        side,
        node: NodeId([if side == Side::Dialler { 1 } else { 2 }; 16]),
        roles: Roles::SENDS.and(Roles::RECEIVES),
        nonce: [if side == Side::Dialler { 3 } else { 4 }; 16],
        token: token.map(|token| Token::new(token).unwrap()),
        grants: std::sync::Arc::default(),
        trusted: false,
        peer_timeout: PEER_TIMEOUT,
    }
}

pub fn connection(side: Side) -> Connection {
    Connection::new(config(side, None), Instant(0))
}

/// Everything a connection has to say.
pub fn drain(from: &mut Connection) -> Bytes {
    let out = from.outbound();
    let len = out.remaining();
    out.copy_to_bytes(len)
}

/// Gives bytes to a connection and takes its events.
pub fn feed(to: &mut Connection, bytes: &[u8], now: Instant) -> Result<Vec<Event>, ConnectionError> {
    to.read_buf().put_slice(bytes);
    to.received(bytes.len(), now);
    let mut events = Vec::new();
    while let Some(event) = to.poll_event(now)? {
        events.push(event);
    }
    Ok(events)
}

pub struct Pair {
    pub dialler: Connection,
    pub listener: Connection,
    pub now: Instant,
    /// The most bytes that cross at once.
    pub cut: usize,
}

/// What came to each side.
#[derive(Debug, Default)]
pub struct Seen {
    pub dialler: Vec<Event>,
    pub listener: Vec<Event>,
    pub dialler_error: Option<ConnectionError>,
    pub listener_error: Option<ConnectionError>,
}

impl Pair {
    pub fn new(dialler: ConnectionConfig, listener: ConnectionConfig) -> Pair {
        let now = Instant(0);
        Pair {
            dialler: Connection::new(dialler, now),
            listener: Connection::new(listener, now),
            now,
            cut: usize::MAX,
        }
    }

    pub fn ready() -> Pair {
        let mut pair = Pair::new(config(Side::Dialler, None), config(Side::Listener, None));
        pair.run();
        assert!(pair.dialler.is_ready() && pair.listener.is_ready());
        pair
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    /// Carries bytes both ways until there are none.
    pub fn run(&mut self) -> Seen {
        let mut seen = Seen::default();
        loop {
            let to_listener = drain(&mut self.dialler);
            let to_dialler = drain(&mut self.listener);
            if to_listener.is_empty() && to_dialler.is_empty() {
                return seen;
            }
            for part in to_listener.chunks(self.cut) {
                match feed(&mut self.listener, part, self.now) {
                    Ok(events) => seen.listener.extend(events),
                    Err(error) => seen.listener_error = Some(error),
                }
            }
            for part in to_dialler.chunks(self.cut) {
                match feed(&mut self.dialler, part, self.now) {
                    Ok(events) => seen.dialler.extend(events),
                    Err(error) => seen.dialler_error = Some(error),
                }
            }
        }
    }
}

/// A frame as bytes; of DATA and PUBLISH the range too.
pub fn frame(stream: u32, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(StreamId(stream), &mut bytes);
    if let Message::Data(range) | Message::Publish(range) = message {
        bytes.extend_from_slice(&range.bytes);
    }
    bytes
}
