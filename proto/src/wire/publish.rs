//! The frames of a stream that publishes to a channel (spec/10-publish.md).

use bytes::Bytes;
use nom::number::complete::{le_u8, le_u64};

use super::params::{Said, params_with_content, params_with_partitions, put_content, put_partitions};
use super::parse::{Parsed, Put, array, bytes16, durability, epoch, invalid, log, maybe_offset, name, zeros};
use crate::limits::MAX_NOTE;
use crate::partition::Partitions;
use crate::types::{ChannelName, Content, Durability, Epoch, LogId, Offset, ProducerId};

/// PUBLISH_OPEN: asks to publish to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOpen {
    /// Which channel.
    pub name: ChannelName,
    /// Whether to make it if it does not exist.
    pub create: bool,
    /// How durable it is to be if it is made; `None` leaves that to the node.
    pub durability: Option<Durability>,
    /// Who publishes.
    pub producer: ProducerId,
    /// What is to be published, if that is to be held to what the channel's payloads are.
    pub content: Option<Content>,
    /// How many partitions the channel has, or is to have if it is made; only with the name of one.
    pub partitions: Option<Partitions>,
}

/// The bit of PUBLISH_OPEN's flags that asks to create.
const FLAG_CREATE: u8 = 1;
/// The durability that leaves it to the node.
const NODE_DEFAULT: u8 = 255;

impl PublishOpen {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, PublishOpen> {
        let (input, flags) = le_u8(input)?;
        if flags & !FLAG_CREATE != 0 {
            return invalid("flags");
        }
        let (input, durability) = match le_u8(input)? {
            (input, NODE_DEFAULT) => (input, None),
            (input, code) => match Durability::from_code(code) {
                Some(durability) => (input, Some(durability)),
                None => return invalid("durability"),
            },
        };
        let (input, ()) = zeros::<2>(input)?;
        let (input, producer) = array(input)?;
        let (input, name) = name(input)?;
        let (input, Said { content, partitions }) = params_with_content(input)?;
        if partitions.is_some() && name.partition().is_none() {
            return invalid("partitions");
        }
        let (create, producer) = (flags & FLAG_CREATE != 0, ProducerId(producer));
        Ok((input, PublishOpen { name, create, durability, producer, content, partitions }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u8(if self.create { FLAG_CREATE } else { 0 });
        out.u8(self.durability.map_or(NODE_DEFAULT, Durability::code));
        out.zeros::<2>();
        out.all(&self.producer.0);
        out.bytes8(self.name.as_str().as_bytes());
        put_content(self.content.as_ref(), out);
        put_partitions(self.partitions, out);
    }
}

/// What a producer asks to be kept beside its sequence: at most 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note(Bytes);

impl Note {
    /// Keeps `note`.
    ///
    /// # Errors
    /// [`NoteTooLong`].
    pub fn new(note: impl Into<Bytes>) -> Result<Note, NoteTooLong> {
        let note = note.into();
        if note.len() > MAX_NOTE { Err(NoteTooLong { len: note.len() }) } else { Ok(Note(note)) }
    }

    /// The note's bytes; empty if there never was one.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    fn parse(input: &[u8]) -> Parsed<'_, Note> {
        let (input, note) = bytes16(input, MAX_NOTE, "note")?;
        Ok((input, Note(Bytes::copy_from_slice(note))))
    }
}

/// A note of more bytes than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a producer's note has {len} bytes; {MAX_NOTE} is the most")]
pub struct NoteTooLong {
    /// Its length in bytes.
    pub len: usize,
}

/// PUBLISH_OPENED: publishing begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOpened {
    /// The log behind the name.
    pub log: LogId,
    /// The log's epoch.
    pub epoch: Epoch,
    /// What the channel's acknowledgements mean.
    pub durability: Durability,
    /// The producer's first sequence that is not in the log yet; 0 for a new producer.
    pub next_sequence: u64,
    /// Bytes of PUBLISH that may come, in all, counted from here.
    pub credit: u64,
    /// The producer's note, as stored last.
    pub note: Note,
    /// How many partitions the channel has of which this is one.
    pub partitions: Option<Partitions>,
}

impl PublishOpened {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, PublishOpened> {
        let (input, log) = log(input)?;
        let (input, epoch) = epoch(input)?;
        let (input, durability) = durability(input)?;
        let (input, ()) = zeros::<3>(input)?;
        let (input, next_sequence) = le_u64(input)?;
        let (input, credit) = le_u64(input)?;
        let (input, note) = Note::parse(input)?;
        let (input, partitions) = params_with_partitions(input)?;
        Ok((input, PublishOpened { log, epoch, durability, next_sequence, credit, note, partitions }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.all(&self.log.0);
        out.u32(self.epoch.0);
        out.u8(self.durability.code());
        out.zeros::<3>();
        out.u64(self.next_sequence);
        out.u64(self.credit);
        out.bytes16(&self.note.0);
        put_partitions(self.partitions, out);
    }
}

/// How safe acknowledged records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AckLevel {
    /// Written: they survive the process.
    Written,
    /// Durable: they survive power loss.
    Durable,
}

/// PUBLISH_ACK: a run of the producer's records is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishAck {
    /// How safe they are.
    pub level: AckLevel,
    /// The log's epoch.
    pub epoch: Epoch,
    /// The first record's sequence.
    pub first_sequence: u64,
    /// How many records.
    pub count: u64,
    /// The first record's offset; `None` where all of them were in the log before.
    pub first_offset: Option<Offset>,
}

impl PublishAck {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, PublishAck> {
        let (input, level) = match le_u8(input)? {
            (input, 1) => (input, AckLevel::Written),
            (input, 2) => (input, AckLevel::Durable),
            _ => return invalid("level"),
        };
        let (input, ()) = zeros::<3>(input)?;
        let (input, epoch) = epoch(input)?;
        let (input, first_sequence) = le_u64(input)?;
        let (input, count) = le_u64(input)?;
        if count == 0 || first_sequence.checked_add(count).is_none() {
            return invalid("count");
        }
        let (input, first_offset) = maybe_offset(input)?;
        Ok((input, PublishAck { level, epoch, first_sequence, count, first_offset }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u8(match self.level {
            AckLevel::Written => 1,
            AckLevel::Durable => 2,
        });
        out.zeros::<3>();
        out.u32(self.epoch.0);
        out.u64(self.first_sequence);
        out.u64(self.count);
        out.offset(self.first_offset.unwrap_or(Offset::NONE));
    }
}

/// PUBLISH_NOTE: keep this beside the producer's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishNote {
    /// The sequence of the next record that will be published.
    pub next_sequence: u64,
    /// What to keep.
    pub note: Note,
}

impl PublishNote {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, PublishNote> {
        let (input, next_sequence) = le_u64(input)?;
        let (input, note) = Note::parse(input)?;
        Ok((input, PublishNote { next_sequence, note }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.next_sequence);
        out.bytes16(&self.note.0);
    }
}
