//! Requests about channels and their replies: one stream each (spec/05-streams.md).

use std::sync::Arc;

use nom::number::complete::{le_u16, le_u64};

use super::parse::{
    Parsed, Put, bytes8, durability, epoch, flag, invalid, log, maybe_name, maybe_offset, name, offset, text,
    timestamp, zeros,
};
use crate::limits::{MAX_LIST, MAX_NAME};
use crate::types::{ChannelName, Durability, Epoch, InvalidName, LogId, Offset, Timestamp};

/// What there is to know about one channel's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// The channel's name.
    pub name: ChannelName,
    /// The log's identity.
    pub id: LogId,
    /// The log's epoch.
    pub epoch: Epoch,
    /// What its acknowledgements mean.
    pub durability: Durability,
    /// Whether it is sealed.
    pub sealed: bool,
    /// The oldest record there is.
    pub first: Offset,
    /// The visible end.
    pub next: Offset,
    /// One past the last record that survives power loss.
    pub durable: Offset,
    /// The time of the oldest record; [`Timestamp::MIN`] where there is none.
    pub first_time: Timestamp,
    /// The time of the newest record; [`Timestamp::MIN`] where there is none.
    pub last_time: Timestamp,
    /// When the channel was made.
    pub created: Timestamp,
    /// Bytes it takes on the disk.
    pub bytes: u64,
    /// Segments it has.
    pub segments: u64,
}

impl LogInfo {
    /// Bytes of the shortest on the wire: a name of one byte.
    const MIN_LEN: usize = 2 + 16 + 4 + 4 + 8 * 8;

    /// Records from the first to the end that can be seen.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.next.0.saturating_sub(self.first.0)
    }

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, LogInfo> {
        let (input, name) = name(input)?;
        let (input, id) = log(input)?;
        let (input, epoch) = epoch(input)?;
        let (input, durability) = durability(input)?;
        let (input, sealed) = flag(input, "sealed")?;
        let (input, ()) = zeros::<2>(input)?;
        let (input, first) = offset(input)?;
        let (input, next) = offset(input)?;
        let (input, durable) = offset(input)?;
        let (input, first_time) = timestamp(input)?;
        let (input, last_time) = timestamp(input)?;
        let (input, created) = timestamp(input)?;
        let (input, bytes) = le_u64(input)?;
        let (input, segments) = le_u64(input)?;
        let info = LogInfo {
            name,
            id,
            epoch,
            durability,
            sealed,
            first,
            next,
            durable,
            first_time,
            last_time,
            created,
            bytes,
            segments,
        };
        Ok((input, info))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.bytes8(self.name.as_str().as_bytes());
        out.all(&self.id.0);
        out.u32(self.epoch.0);
        out.u8(self.durability.code());
        out.u8(self.sealed.into());
        out.zeros::<2>();
        out.offset(self.first);
        out.offset(self.next);
        out.offset(self.durable);
        out.timestamp(self.first_time);
        out.timestamp(self.last_time);
        out.timestamp(self.created);
        out.u64(self.bytes);
        out.u64(self.segments);
    }
}

/// What names begin with: any text of at most 255 bytes, the empty one for all names. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePrefix(Arc<str>);

impl NamePrefix {
    /// Keeps `prefix`.
    ///
    /// # Errors
    /// [`InvalidName::TooLong`]: no name begins so.
    pub fn new(prefix: &str) -> Result<NamePrefix, InvalidName> {
        if prefix.len() > MAX_NAME {
            return Err(InvalidName::TooLong { len: prefix.len() });
        }
        Ok(NamePrefix(prefix.into()))
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// LIST: asks for channels in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Only names after this one.
    pub after: Option<ChannelName>,
    /// Only names that begin so.
    pub prefix: NamePrefix,
}

impl List {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, List> {
        let (input, after) = maybe_name(input)?;
        let (input, prefix) = bytes8(input)?;
        Ok((input, List { after, prefix: NamePrefix(text(prefix, "prefix")?.into()) }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.maybe_name(self.after.as_ref());
        out.bytes8(self.prefix.as_str().as_bytes());
    }
}

/// LIST_REPLY: some channels, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReply {
    /// Whether there are more after the last of these.
    pub more: bool,
    /// At most 128, each name later than the one before. If there are more of them, only the first 128 are sent.
    pub logs: Vec<LogInfo>,
}

impl ListReply {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, ListReply> {
        let (input, more) = flag(input, "more")?;
        let (mut input, count) = le_u16(input)?;
        let count = usize::from(count);
        if count > MAX_LIST || (more && count == 0) {
            return invalid("count");
        }
        let mut logs: Vec<LogInfo> = Vec::with_capacity(count.min(input.len() / LogInfo::MIN_LEN));
        for _ in 0..count {
            let info;
            (input, info) = LogInfo::parse(input)?;
            if logs.last().is_some_and(|before| before.name >= info.name) {
                return invalid("order");
            }
            logs.push(info);
        }
        Ok((input, ListReply { more, logs }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let logs = &self.logs[..self.logs.len().min(MAX_LIST)];
        out.u8((self.more || logs.len() < self.logs.len()).into());
        out.u16(u16::try_from(logs.len()).unwrap_or(u16::MAX));
        logs.iter().for_each(|info| info.put(out));
    }
}

/// DONE: SEAL or DELETE has been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// After SEAL, one past the last record there will ever be; after DELETE none.
    pub final_offset: Option<Offset>,
}

impl Done {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Done> {
        maybe_offset(input).map(|(input, final_offset)| (input, Done { final_offset }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.offset(self.final_offset.unwrap_or(Offset::NONE));
    }
}
