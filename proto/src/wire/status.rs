//! What a node tells about itself: STATUS, READERS and their replies (spec/13-status.md).

use std::time::Duration;

use nom::number::complete::{le_u8, le_u16, le_u64};

use super::counter::Counters;
use super::parse::{
    Parsed, Put, array, bytes8, flag, invalid, maybe_name, maybe_offset, name, text, timestamp, zeros,
};
use crate::limits::{MAX_PEER_TEXT, MAX_READERS};
use crate::types::{ChannelName, NodeId, Offset, Timestamp};

/// STATUS_REPLY: who a node is, and what it has counted since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Which program of which version it is, for people: at most 255 bytes, of which no more are sent.
    pub version: String,
    /// When it was started, by its clock.
    pub started: Timestamp,
    /// The time by its clock.
    pub now: Timestamp,
    /// What it counts.
    pub counters: Counters,
}

impl NodeStatus {
    /// How long it has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.now.since(self.started)
    }

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, NodeStatus> {
        let (input, node) = array(input)?;
        let (input, started) = timestamp(input)?;
        let (input, now) = timestamp(input)?;
        let (input, version) = bytes8(input)?;
        let version = text(version, "version")?.to_owned();
        let (input, counters) = Counters::parse(input)?;
        Ok((input, NodeStatus { node: NodeId(node), version, started, now, counters }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.all(&self.node.0);
        out.timestamp(self.started);
        out.timestamp(self.now);
        out.text8(&self.version, usize::from(u8::MAX));
        self.counters.put(out);
    }
}

/// READERS: asks who reads and publishes, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Only those after the one with this id; 0 for all.
    pub after: u64,
    /// Only those of this channel.
    pub channel: Option<ChannelName>,
}

impl Readers {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Readers> {
        let (input, after) = le_u64(input)?;
        let (input, channel) = maybe_name(input)?;
        Ok((input, Readers { after, channel }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.after);
        out.maybe_name(self.channel.as_ref());
    }
}

/// What a stream is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReaderKind {
    /// To read.
    Reads,
    /// To publish.
    Publishes,
}

/// Who reads a channel of a node, or publishes to it: one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderInfo {
    /// Its number, from 1, which the node gives to no other while it runs.
    pub id: u64,
    /// What it does.
    pub kind: ReaderKind,
    /// The node that has it; [`NodeId::NONE`] if it did not say.
    pub node: NodeId,
    /// Since when, by the asked node's clock.
    pub since: Timestamp,
    /// The offset that it is sent next, or that follows the last record it has published; `None` before it has a place.
    pub offset: Option<Offset>,
    /// The channel's visible end; `None` while there is no such channel.
    pub next: Option<Offset>,
    /// The time of the record at `offset`, or of one shortly before it; [`Timestamp::MIN`] where there is none, or it is not known.
    pub time: Timestamp,
    /// Bytes of log from there to the end, roughly.
    pub behind: u64,
    /// Bytes that it may be sent, or send, at this time.
    pub credit: u64,
    /// Records that it was sent, or that it published.
    pub records: u64,
    /// Bytes of batches that it was sent, or that it published.
    pub bytes: u64,
    /// The channel.
    pub channel: ChannelName,
    /// Where it calls from, for people: at most 128 bytes, of which no more are sent.
    pub peer: String,
}

impl ReaderInfo {
    /// Bytes of the shortest on the wire: a name of one byte and no address.
    const MIN_LEN: usize = 96 + 2 + 1;

    /// Records that it has not been sent yet; `None` before it has a place, and for publishers.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let reads = self.kind == ReaderKind::Reads;
        self.offset.filter(|_| reads).zip(self.next).map(|(at, next)| next.0.saturating_sub(at.0))
    }

    /// How long ago the record that it is sent next was written, if there is one; `now` is the asked node's clock.
    #[must_use]
    pub fn lag_time(&self, now: Timestamp) -> Option<Duration> {
        match self.lag()? {
            0 => Some(Duration::ZERO),
            _ if self.time == Timestamp::MIN => None,
            _ => Some(now.since(self.time)),
        }
    }

    fn parse(input: &[u8]) -> Parsed<'_, ReaderInfo> {
        let (input, id) = le_u64(input)?;
        let (input, kind) = match le_u8(input)? {
            (input, 1) => (input, ReaderKind::Reads),
            (input, 2) => (input, ReaderKind::Publishes),
            _ => return invalid("kind"),
        };
        let (input, ()) = zeros::<7>(input)?;
        let (input, node) = array(input)?;
        let (input, since) = timestamp(input)?;
        let (input, offset) = maybe_offset(input)?;
        let (input, next) = maybe_offset(input)?;
        let (input, time) = timestamp(input)?;
        let (input, behind) = le_u64(input)?;
        let (input, credit) = le_u64(input)?;
        let (input, records) = le_u64(input)?;
        let (input, bytes) = le_u64(input)?;
        let (input, channel) = name(input)?;
        let (input, peer) = bytes8(input)?;
        if peer.len() > MAX_PEER_TEXT {
            return invalid("peer");
        }
        let peer = text(peer, "peer")?.to_owned();
        let node = NodeId(node);
        let info = ReaderInfo {
            id,
            kind,
            node,
            since,
            offset,
            next,
            time,
            behind,
            credit,
            records,
            bytes,
            channel,
            peer,
        };
        Ok((input, info))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.id);
        out.u8(match self.kind {
            ReaderKind::Reads => 1,
            ReaderKind::Publishes => 2,
        });
        out.zeros::<7>();
        out.all(&self.node.0);
        out.timestamp(self.since);
        out.offset(self.offset.unwrap_or(Offset::NONE));
        out.offset(self.next.unwrap_or(Offset::NONE));
        out.timestamp(self.time);
        out.u64(self.behind);
        out.u64(self.credit);
        out.u64(self.records);
        out.u64(self.bytes);
        out.bytes8(self.channel.as_str().as_bytes());
        out.text8(&self.peer, MAX_PEER_TEXT);
    }
}

/// READERS_REPLY: some who read and publish, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadersReply {
    /// Whether there are more after the last of these.
    pub more: bool,
    /// The time by the node's clock.
    pub now: Timestamp,
    /// At most 128, each with a higher id than the one before. If there are more of them, only the first 128 are sent.
    pub readers: Vec<ReaderInfo>,
}

impl ReadersReply {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, ReadersReply> {
        let (input, now) = timestamp(input)?;
        let (input, more) = flag(input, "more")?;
        let (mut input, count) = le_u16(input)?;
        let count = usize::from(count);
        if count > MAX_READERS || (more && count == 0) {
            return invalid("count");
        }
        let mut readers: Vec<ReaderInfo> = Vec::with_capacity(count.min(input.len() / ReaderInfo::MIN_LEN));
        for _ in 0..count {
            let info;
            (input, info) = ReaderInfo::parse(input)?;
            if info.id <= readers.last().map_or(0, |before| before.id) {
                return invalid("order");
            }
            readers.push(info);
        }
        Ok((input, ReadersReply { more, now, readers }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let readers = &self.readers[..self.readers.len().min(MAX_READERS)];
        out.timestamp(self.now);
        out.u8((self.more || readers.len() < self.readers.len()).into());
        out.u16(u16::try_from(readers.len()).unwrap_or(u16::MAX));
        readers.iter().for_each(|info| info.put(out));
    }
}
