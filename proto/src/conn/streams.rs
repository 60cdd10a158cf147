//! The streams of one connection: who opened them, what for, and what may still come on each.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::outbound::Outbound;
use crate::auth::Side;
use crate::limits::{MAX_DATA, MAX_STREAMS};
use crate::wire::{FrameType, StreamId, data_prefix};

/// A flow of byte ranges, seen from the side that sends it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outflow {
    /// Bytes the peer allows, in all.
    pub(super) limit: u64,
    /// Bytes sent, in all.
    pub(super) sent: u64,
    /// Bytes sent since OPENED or SEEKED.
    pub(super) at: u64,
    /// CREDIT frames that the ranges sent may be answered with.
    pub(super) earned: u32,
}

impl Outflow {
    pub(super) fn allow(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    pub(super) fn credit(&self) -> u64 {
        self.limit.saturating_sub(self.sent)
    }
}

/// A flow of byte ranges, seen from the side that gets it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inbound {
    /// Bytes allowed, in all.
    pub(super) granted: u64,
    /// Bytes received, in all.
    pub(super) received: u64,
    /// Bytes received since OPENED or SEEKED.
    pub(super) at: u64,
}

/// What a stream is, from this side.
#[derive(Debug)]
pub(super) enum Stream {
    /// Ours: reading the peer's channel.
    Reading { flow: Inbound, opened: bool, closing: bool, seeks: u32 },
    /// Ours: publishing to the peer's channel.
    Publishing { flow: Outflow, opened: bool, closing: bool },
    /// Ours: a request that waits for `reply`.
    Asking { reply: FrameType },
    /// Ours: watching which channels the peer has.
    Watching { closing: bool },
    /// The peer's: it reads our channel.
    Serving { flow: Outflow, opened: bool, awaits: u32 },
    /// The peer's: it publishes to our channel.
    Accepting { flow: Inbound, opened: bool, closing: bool },
    /// The peer's: it watches which channels we have.
    Watched,
    /// The peer's: a request that we have not answered.
    Asked,
}

impl Stream {
    /// Whether a CREDIT of the peer's answers data that was sent; then it may come as often as data goes.
    pub(super) fn earns_credit(&mut self) -> bool {
        match self {
            Stream::Serving { flow, .. } | Stream::Publishing { flow, .. } => {
                let earned = flow.earned.checked_sub(1);
                flow.earned = earned.unwrap_or(0);
                earned.is_some()
            }
            _ => false,
        }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Streams {
    side: Side,
    table: BTreeMap<StreamId, Stream>,
    next: Option<StreamId>,
    /// The highest number that the peer has used.
    highest: StreamId,
}

/// Why the peer may not open a stream of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The number is not the peer's to give, or was given before.
    Number,
    /// There are as many as may be.
    TooMany,
}

impl Streams {
    pub(super) fn new(side: Side) -> Streams {
        Streams { side, table: BTreeMap::new(), next: Some(StreamId::first(side)), highest: StreamId(0) }
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.table.get_mut(&id)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.table.get(&id)
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        self.table.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }

    /// A new stream of ours.
    pub(super) fn open(&mut self, stream: Stream) -> Option<StreamId> {
        if self.table.len() >= MAX_STREAMS {
            return None;
        }
        let id = self.next?;
        self.next = id.next();
        self.table.insert(id, stream);
        Some(id)
    }

    /// A new stream of the peer's.
    pub(super) fn accept(&mut self, id: StreamId, stream: Stream) -> Result<(), Refused> {
        if id.opener() != Some(self.side.other()) || id <= self.highest {
            return Err(Refused::Number);
        }
        self.highest = id;
        if self.table.len() >= MAX_STREAMS {
            return Err(Refused::TooMany);
        }
        self.table.insert(id, stream);
        Ok(())
    }

    /// Whether `id` was a stream of the peer's that is over: what is still under way for it means nothing.
    pub(super) fn is_past(&self, id: StreamId) -> bool {
        !self.table.contains_key(&id)
            && match id.opener() {
                Some(side) if side == self.side => self.next.is_none_or(|next| id < next),
                Some(_) => id <= self.highest,
                None => false,
            }
    }
}

/// CREDIT frames that a range may be answered with: one for each quarter of a window that it is at most.
const CREDITS_A_RANGE: u32 = 4;

/// Says how many frames it took.
pub(super) fn send_ranges(
    out: &mut Outbound,
    kind: FrameType,
    id: StreamId,
    flow: &mut Outflow,
    mut range: Bytes,
) -> u64 {
    let mut frames = 0;
    while !range.is_empty() {
        let part = range.split_to(range.len().min(MAX_DATA));
        out.gather(&data_prefix(kind, id, flow.at, part.len()));
        flow.at += part.len() as u64;
        flow.sent += part.len() as u64;
        flow.earned = flow.earned.saturating_add(CREDITS_A_RANGE);
        out.pass(part);
        frames += 1;
    }
    frames
}
