//! The frames of a stream that reads a channel (spec/05-streams.md).
//!
//! Owns their fields and bytes. When each may be sent is said by the table in spec/03-frames.md and kept by the
//! connection.

use std::fmt;

use bytes::Bytes;
use nom::bytes::complete::take;
use nom::number::complete::{le_u8, le_u16, le_u32, le_u64};

use super::params::{Said, params, params_with_content, put_content, put_partitions};
use super::parse::{
    Fault, Parsed, Put, durability, epoch, fail, flag, invalid, log, name, offset, timestamp, zeros,
};
use super::start::Start;
use crate::filter::Filter;
use crate::partition::Partitions;
use crate::types::{ChannelName, Content, Durability, Epoch, LogId, Offset, Timestamp};

/// OPEN: asks to read a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Open {
    /// Which channel.
    pub name: ChannelName,
    /// From where.
    pub start: Start,
    /// Whether to wait for the channel if it does not exist yet.
    pub wait: bool,
    /// Bytes of DATA that may come, in all, counted from OPENED.
    pub credit: u64,
    /// Which records are wanted; `None`: all.
    pub filter: Option<Filter>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Open { name, start, wait, credit, filter } = self;
        let mut open = f.debug_struct("Open");
        open.field("name", name).field("start", start).field("wait", wait).field("credit", credit);
        if let Some(filter) = filter {
            open.field("filter", &filter.text());
        }
        open.finish()
    }
}

/// The bit of OPEN's flags that asks to wait.
const FLAG_WAIT: u8 = 1;

impl Open {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Open> {
        let (input, (start, flags)) = Start::parse(input)?;
        if flags & !FLAG_WAIT != 0 {
            return invalid("flags");
        }
        let (input, credit) = le_u64(input)?;
        let (input, name) = name(input)?;
        let (input, filter_len) = le_u16(input)?;
        let (input, filter) = take(filter_len)(input)?;
        let filter = match filter {
            [] => None,
            text => match Filter::from_bytes(text) {
                Ok(filter) => Some(filter),
                Err(error) => return fail(Fault::Filter(error)),
            },
        };
        let (input, ()) = params(input)?;
        Ok((input, Open { name, start, wait: flags & FLAG_WAIT != 0, credit, filter }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u8(self.start.code());
        out.u8(if self.wait { FLAG_WAIT } else { 0 });
        out.zeros::<2>();
        self.start.put_rest(out);
        out.u64(self.credit);
        out.bytes8(self.name.as_str().as_bytes());
        out.bytes16(self.filter.as_ref().map_or("", Filter::text).as_bytes());
    }
}

/// OPENED: reading begins. SEEKED carries the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The log behind the name: what its batch headers are seeded with.
    pub log: LogId,
    /// The log's epoch.
    pub epoch: Epoch,
    /// What the channel's acknowledgements mean, and so what is visible.
    pub durability: Durability,
    /// Whether the channel is sealed.
    pub sealed: bool,
    /// The oldest record there is.
    pub first: Offset,
    /// The visible end: one past the last record that may be read now.
    pub next: Offset,
    /// The offset that the start came to: no record before it is wanted.
    pub start: Offset,
    /// The clock of the side that has the log.
    pub clock: Timestamp,
    /// What the channel's payloads are, if its senders have said so.
    pub content: Option<Content>,
    /// How many partitions the channel has of which this is one.
    pub partitions: Option<Partitions>,
}

impl Opened {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Opened> {
        let (input, log) = log(input)?;
        let (input, epoch) = epoch(input)?;
        let (input, durability) = durability(input)?;
        let (input, sealed) = flag(input, "sealed")?;
        let (input, ()) = zeros::<2>(input)?;
        let (input, first) = offset(input)?;
        let (input, next) = offset(input)?;
        let (input, start) = offset(input)?;
        let (input, clock) = timestamp(input)?;
        let (input, Said { content, partitions }) = params_with_content(input)?;
        Ok((input, Opened { log, epoch, durability, sealed, first, next, start, clock, content, partitions }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.all(&self.log.0);
        out.u32(self.epoch.0);
        out.u8(self.durability.code());
        out.u8(self.sealed.into());
        out.zeros::<2>();
        out.offset(self.first);
        out.offset(self.next);
        out.offset(self.start);
        out.timestamp(self.clock);
        put_content(self.content.as_ref(), out);
        put_partitions(self.partitions, out);
    }
}

/// SEEK: read on from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seek {
    /// What SEEKED will carry, so that who asks knows which of its seeks is answered.
    pub seek_id: u32,
    /// From where.
    pub start: Start,
}

impl Seek {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Seek> {
        let (input, seek_id) = le_u32(input)?;
        let (input, (start, flags)) = Start::parse(input)?;
        if flags != 0 {
            return invalid("reserved");
        }
        Ok((input, Seek { seek_id, start }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u32(self.seek_id);
        out.u8(self.start.code());
        out.zeros::<3>();
        self.start.put_rest(out);
    }
}

/// SEEKED: what follows is from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeked {
    /// The SEEK's.
    pub seek_id: u32,
    /// As at the beginning.
    pub opened: Opened,
}

impl Seeked {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Seeked> {
        let (input, seek_id) = le_u32(input)?;
        let (input, ()) = zeros::<4>(input)?;
        let (input, opened) = Opened::parse(input)?;
        Ok((input, Seeked { seek_id, opened }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u32(self.seek_id);
        out.zeros::<4>();
        self.opened.put(out);
    }
}

/// DATA and PUBLISH: a range of a run of batches, cut anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// How many bytes of the run came before.
    pub at: u64,
    /// 1 to 65,536 bytes.
    pub bytes: Bytes,
}

/// PROGRESS: how far the sender has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything before this offset was sent, or need not be.
    pub scanned: Offset,
    /// The visible end.
    pub next: Offset,
    /// The clock of the side that has the log.
    pub clock: Timestamp,
}

impl Progress {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Progress> {
        let (input, scanned) = offset(input)?;
        let (input, next) = offset(input)?;
        let (input, clock) = timestamp(input)?;
        Ok((input, Progress { scanned, next, clock }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.offset(self.scanned);
        out.offset(self.next);
        out.timestamp(self.clock);
    }
}

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Retention removed them.
    Retention,
    /// They can no longer be read.
    Damaged,
}

/// GAP: records that were asked for and will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: Offset,
    /// One past the last: where reading goes on. Later than `from`.
    pub to: Offset,
    /// Why.
    pub why: GapReason,
    /// The epoch of the record before `to`: what a position there carries.
    pub epoch: Epoch,
}

impl Gap {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Gap> {
        let (input, from) = offset(input)?;
        let (input, to) = offset(input)?;
        if from >= to {
            return invalid("to");
        }
        let (input, why) = match le_u8(input)? {
            (input, 1) => (input, GapReason::Retention),
            (input, 2) => (input, GapReason::Damaged),
            _ => return invalid("why"),
        };
        let (input, ()) = zeros::<3>(input)?;
        let (input, epoch) = epoch(input)?;
        Ok((input, Gap { from, to, why, epoch }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.offset(self.from);
        out.offset(self.to);
        out.u8(match self.why {
            GapReason::Retention => 1,
            GapReason::Damaged => 2,
        });
        out.zeros::<3>();
        out.u32(self.epoch.0);
    }
}

/// TRUNCATED: the position's epoch ended before its offset. What was read past that end is no longer in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The position's epoch.
    pub epoch: Epoch,
    /// The log's epoch.
    pub log_epoch: Epoch,
    /// Where the position's epoch ends: the stream goes on from here.
    pub end: Offset,
}

impl Truncated {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Truncated> {
        let (input, position) = epoch(input)?;
        let (input, log_epoch) = epoch(input)?;
        let (input, end) = offset(input)?;
        Ok((input, Truncated { epoch: position, log_epoch, end }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u32(self.epoch.0);
        out.u32(self.log_epoch.0);
        out.offset(self.end);
    }
}

/// END: nothing more follows on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The channel is sealed and all of it was sent.
    Sealed {
        /// One past the last record there will ever be.
        final_offset: Offset,
    },
    /// As the other side asked by CLOSE or PUBLISH_CLOSE.
    Closed,
}

impl End {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, End> {
        let (input, why) = le_u8(input)?;
        let (input, ()) = zeros::<7>(input)?;
        let (input, final_offset) = offset(input)?;
        match (why, final_offset) {
            (1, Offset::NONE) => invalid("final offset"),
            (1, _) => Ok((input, End::Sealed { final_offset })),
            (2, Offset::NONE) => Ok((input, End::Closed)),
            (2, _) => invalid("final offset"),
            _ => invalid("why"),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (why, final_offset) = match *self {
            End::Sealed { final_offset } => (1, final_offset),
            End::Closed => (2, Offset::NONE),
        };
        out.u8(why);
        out.zeros::<7>();
        out.offset(final_offset);
    }
}
