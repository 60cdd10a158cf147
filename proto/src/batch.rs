//! The batch: records that are written, stored and sent as one block, byte for byte the same on disk and wire.
//!
//! Owns the 64-byte header and the walk through a body (spec/07-batch.md), compressed or not. It never reads past what a checked
//! header announced, and nothing is believed of a header before its CRC holds.
//!
//! Header, little-endian; batches start at multiples of 8:
//!
//! ```text
//!  0 u32 magic "NCB1"        4 u32 header_crc (8..64, seeded)   8 u32 body_len          12 u32 body_crc
//! 16 u64 base_offset        24 i64 base_time ns                32 u32 last_time_delta  36 u32 offset_span
//! 40 u32 record_count       44 u32 epoch                       48 u64 durable_offset   56 u32 previous header's crc
//! 60 u8 kind                61 u8 codec                        62 u16 attributes
//! ```

use bytes::Bytes;

use crate::compression::{Compression, CompressionError};
use crate::crc::{crc32c, crc32c_seeded};
use crate::digest::Digest;
use crate::limits::{BATCH_TARGET, MAX_BATCH_RECORDS, MAX_BODY};
use crate::record::{NO_KEY, Record, RecordRef, TAG_PREFIX, TAGGED, Tags};
use crate::types::{Epoch, Offset, ProducerId, Timestamp};

/// Bytes of a batch's header.
pub const HEADER_LEN: usize = 64;
/// The first four bytes of every batch.
pub const MAGIC: [u8; 4] = *b"NCB1";
/// Bytes before a plain payload: length and time delta.
pub const RECORD_PREFIX: usize = 8;
/// Bytes that a producer's identity and first sequence take at the head of a body.
pub const PRODUCER_PREFIX: usize = 24;
/// Bytes that tell, before compressed records, how many those are.
const RAW_PREFIX: usize = 4;

/// The body begins with a producer's id and the sequence of the first record.
const ATTR_PRODUCER: u16 = 1;
/// Each record has an offset delta of its own, because a filter dropped others.
const ATTR_SPARSE: u16 = 2;

/// What a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchKind {
    /// Records.
    #[default]
    Data,
    /// The channel's end: no records, and none may follow.
    Seal,
}

/// A checked batch header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of the body, without padding.
    pub body_len: u32,
    /// CRC-32C of the body as stored.
    pub body_crc: u32,
    /// Offset of the first record (in a published batch: its sequence).
    pub base_offset: Offset,
    /// Timestamp of the first record.
    pub base_time: Timestamp,
    /// Nanoseconds from the first record to the last.
    pub last_time_delta: u32,
    /// How many offsets the batch covers; the next batch begins right after.
    pub offset_span: u32,
    /// How many records stand in it; less than the span only in a filtered batch.
    pub record_count: u32,
    /// The log's generation that wrote it.
    pub epoch: Epoch,
    /// What was durable when it was written. Local to the log that holds it.
    pub durable_offset: Offset,
    /// The CRC of the header before it in the log. Local to the log that holds it.
    pub previous_crc: u32,
    /// Data or seal.
    pub kind: BatchKind,
    /// Whether the body begins with a producer's id and sequence.
    pub has_producer: bool,
    /// Whether records carry offset deltas.
    pub sparse: bool,
    /// How the records are compressed.
    pub compression: Compression,
}

impl BatchHeader {
    /// Reads and checks a header that belongs to the log (or producer) `seed`.
    ///
    /// # Errors
    /// [`BatchError`], and nothing of the header may be believed then.
    pub fn decode(bytes: &[u8; HEADER_LEN], seed: &[u8; 16]) -> Result<BatchHeader, BatchError> {
        if bytes[..4] != MAGIC {
            return Err(BatchError::Magic);
        }
        if le_u32(bytes, 4) != crc32c_seeded(seed, &bytes[8..]) {
            return Err(BatchError::HeaderCrc);
        }
        let attributes = u16::from_le_bytes([bytes[62], bytes[63]]);
        let header = BatchHeader {
            body_len: le_u32(bytes, 8),
            body_crc: le_u32(bytes, 12),
            base_offset: Offset(le_u64(bytes, 16)),
            base_time: Timestamp(le_u64(bytes, 24).cast_signed()),
            last_time_delta: le_u32(bytes, 32),
            offset_span: le_u32(bytes, 36),
            record_count: le_u32(bytes, 40),
            epoch: Epoch(le_u32(bytes, 44)),
            durable_offset: Offset(le_u64(bytes, 48)),
            previous_crc: le_u32(bytes, 56),
            kind: match bytes[60] {
                0 => BatchKind::Data,
                1 => BatchKind::Seal,
                kind => return Err(BatchError::UnknownKind { kind }),
            },
            has_producer: attributes & ATTR_PRODUCER != 0,
            sparse: attributes & ATTR_SPARSE != 0,
            compression: Compression::from_code(bytes[61])
                .ok_or(BatchError::UnknownCodec { codec: bytes[61] })?,
        };
        if attributes & !(ATTR_PRODUCER | ATTR_SPARSE) != 0 {
            return Err(BatchError::UnknownAttributes { attributes });
        }
        header.check_numbers()?;
        Ok(header)
    }

    /// What no CRC can vouch for: numbers that contradict each other or a limit.
    fn check_numbers(&self) -> Result<(), BatchError> {
        let end = self.base_offset.0.checked_add(u64::from(self.offset_span));
        let last_time = self.base_time.0.checked_add(i64::from(self.last_time_delta));
        let count = self.record_count as usize;
        let body = self.body_len as usize;
        let data = self.kind == BatchKind::Data;
        // Of compressed records it is known how long they are when they are read.
        let holds_records = match self.compression {
            Compression::None => count.saturating_mul(RECORD_PREFIX) <= body,
            _ => data && !self.sparse && body > self.prefix_len(),
        };
        let consistent = end.is_some_and(|end| end < u64::MAX)
            && last_time.is_some()
            && body <= MAX_BODY
            && count <= MAX_BATCH_RECORDS
            && holds_records
            && self.record_count <= self.offset_span
            && (self.sparse || self.record_count == self.offset_span)
            && (if data {
                self.offset_span > 0 && (count > 0 || self.sparse)
            } else {
                self.offset_span == 0
            });
        if consistent { Ok(()) } else { Err(BatchError::Inconsistent) }
    }

    /// Writes the header with its CRC.
    pub fn encode(&self, seed: &[u8; 16]) -> [u8; HEADER_LEN] {
        let mut bytes = [0u8; HEADER_LEN];
        let attributes =
            if self.has_producer { ATTR_PRODUCER } else { 0 } | if self.sparse { ATTR_SPARSE } else { 0 };
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base_offset.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base_time.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.last_time_delta.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.offset_span.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.durable_offset.0.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.previous_crc.to_le_bytes());
        bytes[60] = match self.kind {
            BatchKind::Data => 0,
            BatchKind::Seal => 1,
        };
        bytes[61] = self.compression.code();
        bytes[62..64].copy_from_slice(&attributes.to_le_bytes());
        let crc = crc32c_seeded(seed, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Bytes of the body before the records.
    fn prefix_len(&self) -> usize {
        let producer = if self.has_producer { PRODUCER_PREFIX } else { 0 };
        producer + if self.compression == Compression::None { 0 } else { RAW_PREFIX }
    }

    /// Bytes the batch takes: header, body, and zeros up to a multiple of 8.
    pub fn stored_len(&self) -> usize {
        HEADER_LEN + (self.body_len as usize).next_multiple_of(8)
    }

    /// The offset right after the batch.
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.offset_span))
    }

    /// The timestamp of the last record.
    pub fn last_time(&self) -> Timestamp {
        self.base_time.plus_nanos(i64::from(self.last_time_delta))
    }
}

/// The CRC that stands in an encoded header: what the next header keeps as `previous_crc`.
pub fn header_crc(stored: &[u8]) -> u32 {
    stored.get(4..8).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn le_u32(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn le_u64(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    u64::from(le_u32(bytes, at)) | u64::from(le_u32(bytes, at + 4)) << 32
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Does not begin with "NCB1".
    #[error("no batch begins here")]
    Magic,
    /// The header's CRC does not hold, or the batch belongs to another log.
    #[error("the batch header's checksum does not hold")]
    HeaderCrc,
    /// The body's CRC does not hold.
    #[error("the batch body's checksum does not hold")]
    BodyCrc,
    /// A kind this version does not know.
    #[error("unknown batch kind {kind}")]
    UnknownKind {
        /// The number found.
        kind: u8,
    },
    /// A codec this version does not know.
    #[error("unknown batch codec {codec}")]
    UnknownCodec {
        /// The number found.
        codec: u8,
    },
    /// Attribute bits this version does not know.
    #[error("unknown batch attributes {attributes:#06x}")]
    UnknownAttributes {
        /// The bits found.
        attributes: u16,
    },
    /// Numbers in the header contradict each other or a limit.
    #[error("the batch header contradicts itself or a limit")]
    Inconsistent,
    /// The bytes end before the batch does.
    #[error("the batch is cut short")]
    Short,
    /// A record's lengths, time or offset contradict the header.
    #[error("a record contradicts its batch")]
    Record,
    /// The records cannot be made again of what they were compressed to.
    #[error("the batch's records cannot be read: {0}")]
    Compression(#[from] CompressionError),
}

/// A whole batch whose two CRCs hold. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    stored: Bytes,
}

impl Batch {
    /// Checks `stored`, which holds exactly one batch with its padding.
    ///
    /// # Errors
    /// [`BatchError`] says which check failed.
    pub fn verify(stored: Bytes, seed: &[u8; 16]) -> Result<Batch, BatchError> {
        let header = BatchHeader::decode(stored.first_chunk().ok_or(BatchError::Short)?, seed)?;
        Batch::verify_body(header, stored)
    }

    /// As [`Batch::verify`], where the header was decoded from these very bytes before.
    ///
    /// # Errors
    /// [`BatchError::Short`] or [`BatchError::BodyCrc`].
    pub fn verify_body(header: BatchHeader, stored: Bytes) -> Result<Batch, BatchError> {
        if stored.len() != header.stored_len() {
            return Err(BatchError::Short);
        }
        let body = &stored[HEADER_LEN..HEADER_LEN + header.body_len as usize];
        if crc32c(body) != header.body_crc {
            return Err(BatchError::BodyCrc);
        }
        if header.has_producer && body.len() < PRODUCER_PREFIX {
            return Err(BatchError::Record);
        }
        Ok(Batch { header, stored })
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes as they stand on disk and wire.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// Who produced the records, and the sequence of the first.
    pub fn producer(&self) -> Option<(ProducerId, u64)> {
        if !self.header.has_producer {
            return None;
        }
        let prefix = self.stored.get(HEADER_LEN..HEADER_LEN + PRODUCER_PREFIX)?;
        let (id, sequence) = prefix.split_first_chunk::<16>()?;
        Some((ProducerId(*id), u64::from_le_bytes(sequence.try_into().ok()?)))
    }

    /// The records, as slices of the batch's bytes; of bytes that are made again, if it is compressed. What keeps that from
    /// being done is the first thing of the walk, and the last.
    pub fn records(&self) -> Records {
        let (body, failed) = match self.body() {
            Ok(body) => (body, None),
            Err(error) => (Bytes::new(), Some(error)),
        };
        Records { header: self.header, body, failed, at: 0, index: 0, last_time: None, last_offset: None }
    }

    /// The bytes of the records.
    fn body(&self) -> Result<Bytes, BatchError> {
        records_of(&self.header, &self.stored)
    }
}

/// The bytes of the records of the batch that `stored` begins with: a slice of it, or made again, if it is compressed.
pub(crate) fn records_of(header: &BatchHeader, stored: &Bytes) -> Result<Bytes, BatchError> {
    let (begin, end) = (HEADER_LEN + header.prefix_len(), HEADER_LEN + header.body_len as usize);
    if begin > end || end > stored.len() {
        return Err(BatchError::Short);
    }
    let body = stored.slice(begin..end);
    if header.compression == Compression::None {
        return Ok(body);
    }
    let raw_len = stored.get(begin - RAW_PREFIX..begin).and_then(|len| len.try_into().ok());
    let raw_len = raw_len.map_or(usize::MAX, |len| u32::from_le_bytes(len) as usize);
    if (header.record_count as usize).saturating_mul(RECORD_PREFIX) > raw_len {
        return Err(BatchError::Record);
    }
    Ok(header.compression.decompress(&body, raw_len, MAX_BODY)?.into())
}

/// The walk through a batch's records. After an error it ends.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    body: Bytes,
    failed: Option<BatchError>,
    at: usize,
    index: u32,
    last_time: Option<u32>,
    last_offset: Option<u32>,
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.header.record_count {
            return None;
        }
        let record = self.step();
        if record.is_none() {
            self.index = self.header.record_count;
            return Some(Err(self.failed.take().unwrap_or(BatchError::Record)));
        }
        record.map(Ok)
    }
}

impl Records {
    /// Whether none is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.index == self.header.record_count
    }

    #[inline]
    fn word(&mut self) -> Option<u32> {
        let word = self.body.get(self.at..self.at + 4)?.try_into().ok()?;
        self.at += 4;
        Some(u32::from_le_bytes(word))
    }

    #[inline]
    fn step(&mut self) -> Option<Record> {
        let length = self.word()?;
        let time_delta = self.word()?;
        let offset_delta = if self.header.sparse { self.word()? } else { self.index };
        let last = self.index + 1 == self.header.record_count;
        let time_holds = self.last_time.is_none_or(|before| before < time_delta)
            && (self.index > 0 || time_delta == 0 || self.header.sparse)
            && (!last || self.header.sparse || time_delta == self.header.last_time_delta);
        let offset_holds = self.last_offset.is_none_or(|before| before < offset_delta)
            && offset_delta < self.header.offset_span;
        if !(time_holds && offset_holds) {
            return None;
        }
        let end = self.at.checked_add((length & !TAGGED) as usize)?;
        if end > self.body.len() || (last && end != self.body.len()) {
            return None;
        }
        let tags = if length & TAGGED == 0 { None } else { Some(Box::new(self.tags(end)?)) };
        let payload = self.body.slice(self.at..end);
        self.at = end;
        self.index += 1;
        self.last_time = Some(time_delta);
        self.last_offset = Some(offset_delta);
        Some(Record {
            offset: self.header.base_offset.plus(u64::from(offset_delta)),
            timestamp: self.header.base_time.plus_nanos(i64::from(time_delta)),
            payload,
            tags,
        })
    }

    /// Reads key and headers, and leaves `at` on the payload.
    fn tags(&mut self, end: usize) -> Option<Tags> {
        let key_len = self.word()?;
        let headers_len = self.word()? as usize;
        let key_bytes = if key_len == NO_KEY { 0 } else { key_len as usize };
        let headers_at = self.at.checked_add(key_bytes)?;
        let payload_at = headers_at.checked_add(headers_len)?;
        if payload_at > end {
            return None;
        }
        let key = (key_len != NO_KEY).then(|| self.body.slice(self.at..headers_at));
        let headers = self.body.slice(headers_at..payload_at);
        self.at = payload_at;
        Some(Tags { key, headers })
    }
}

/// A batch in the making: one growing buffer, header room first.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    base_offset: Offset,
    base_time: Timestamp,
    last_time: Timestamp,
    count: u32,
    producer: Option<ProducerId>,
}

/// What a batch's header says of the log that writes it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The log's id (a producer's, for a published batch).
    pub seed: &'a [u8; 16],
    /// The log's generation.
    pub epoch: Epoch,
    /// What is durable now.
    pub durable_offset: Offset,
    /// The CRC of the header before.
    pub previous_crc: u32,
}

impl BatchBuilder {
    /// A batch that will begin with `base_offset`, from `producer` and its sequence if it has one.
    pub fn new(base_offset: Offset, producer: Option<(ProducerId, u64)>) -> BatchBuilder {
        BatchBuilder::reusing(Vec::with_capacity(BATCH_TARGET), base_offset, producer)
    }

    /// As [`BatchBuilder::new`], in memory that served before.
    pub fn reusing(
        mut buffer: Vec<u8>,
        base_offset: Offset,
        producer: Option<(ProducerId, u64)>,
    ) -> BatchBuilder {
        buffer.clear();
        buffer.resize(HEADER_LEN, 0);
        if let Some((id, sequence)) = producer {
            buffer.extend_from_slice(&id.0);
            buffer.extend_from_slice(&sequence.to_le_bytes());
        }
        let producer = producer.map(|(id, _)| id);
        BatchBuilder {
            buffer,
            base_offset,
            base_time: Timestamp::MIN,
            last_time: Timestamp::MIN,
            count: 0,
            producer,
        }
    }

    /// Whether `record`, taken at `time`, may join: there is room, and the time is near enough. An empty batch
    /// takes any record.
    #[inline]
    pub fn fits(&self, time: Timestamp, record: &RecordRef<'_>) -> bool {
        self.count == 0
            || (self.buffer.len() + RECORD_PREFIX + record.body_len() <= BATCH_TARGET
                && (self.count as usize) < MAX_BATCH_RECORDS
                && time.0.checked_sub(self.base_time.0).is_some_and(|delta| delta < i64::from(u32::MAX)))
    }

    /// Takes a record. `time` must be later than the record's before, and the record must [fit](Self::fits) and
    /// be within [its limits](RecordRef::check): otherwise receivers refuse the batch.
    #[inline]
    pub fn push(&mut self, time: Timestamp, record: &RecordRef<'_>) {
        if self.count == 0 {
            self.base_time = time;
        }
        let length = u32::try_from(record.body_len()).unwrap_or(u32::MAX >> 1);
        let delta = u32::try_from(time.0 - self.base_time.0).unwrap_or(u32::MAX);
        self.last_time = time;
        self.count += 1;
        if record.is_tagged() {
            return self.push_tagged(length | TAGGED, delta, record);
        }
        let mut prefix = [0u8; RECORD_PREFIX];
        prefix[..4].copy_from_slice(&length.to_le_bytes());
        prefix[4..].copy_from_slice(&delta.to_le_bytes());
        self.buffer.extend_from_slice(&prefix);
        self.buffer.extend_from_slice(record.payload);
    }

    fn push_tagged(&mut self, length: u32, delta: u32, record: &RecordRef<'_>) {
        let key_len = record.key.map_or(NO_KEY, |key| u32::try_from(key.len()).unwrap_or(NO_KEY));
        let headers_len = u32::try_from(record.headers.len()).unwrap_or(u32::MAX);
        let mut prefix = [0u8; RECORD_PREFIX + TAG_PREFIX];
        for (field, value) in prefix.chunks_exact_mut(4).zip([length, delta, key_len, headers_len]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.buffer.extend_from_slice(&prefix);
        self.buffer.extend_from_slice(record.key.unwrap_or_default());
        self.buffer.extend_from_slice(record.headers);
        self.buffer.extend_from_slice(record.payload);
    }

    /// How many records stand in it.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether no record stands in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, header included.
    pub fn byte_len(&self) -> usize {
        self.buffer.len()
    }

    /// Whose records it takes.
    pub fn producer(&self) -> Option<ProducerId> {
        self.producer
    }

    /// The offset of the first record.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The offset right after the last record.
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.count))
    }

    /// The timestamp of the last record.
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Computes both CRCs and gives the batch as it is stored and sent. The builder must not be empty.
    pub fn finish(self, stamp: Stamp<'_>) -> (BatchHeader, Bytes) {
        self.finish_as(stamp, Compression::None)
    }

    /// As [`finish`](Self::finish), with its records compressed, if the batch is shorter so by a sixteenth at least.
    pub fn finish_as(mut self, stamp: Stamp<'_>, compression: Compression) -> (BatchHeader, Bytes) {
        let compression = self.compress(compression);
        let header = BatchHeader {
            body_len: u32::try_from(self.buffer.len() - HEADER_LEN).unwrap_or(u32::MAX),
            body_crc: crc32c(&self.buffer[HEADER_LEN..]),
            base_offset: self.base_offset,
            base_time: self.base_time,
            last_time_delta: u32::try_from(self.last_time.0 - self.base_time.0).unwrap_or(u32::MAX),
            offset_span: self.count,
            record_count: self.count,
            epoch: stamp.epoch,
            durable_offset: stamp.durable_offset,
            previous_crc: stamp.previous_crc,
            kind: BatchKind::Data,
            has_producer: self.producer.is_some(),
            sparse: false,
            compression,
        };
        let mut buffer = self.buffer;
        buffer[..HEADER_LEN].copy_from_slice(&header.encode(stamp.seed));
        buffer.resize(header.stored_len(), 0);
        // A nearly empty buffer of 64 KiB is not worth keeping for one small batch.
        let stored = if buffer.len() < buffer.capacity() / 2 {
            Bytes::copy_from_slice(&buffer)
        } else {
            buffer.into()
        };
        (header, stored)
    }
}

impl BatchBuilder {
    /// Says how the records are compressed then.
    fn compress(&mut self, compression: Compression) -> Compression {
        let records = HEADER_LEN + if self.producer.is_some() { PRODUCER_PREFIX } else { 0 };
        let Ok(raw_len) = u32::try_from(self.buffer.len() - records) else { return Compression::None };
        if compression == Compression::None {
            return compression;
        }
        let mut shorter = Vec::with_capacity(self.buffer.len());
        shorter.extend_from_slice(&self.buffer[..records]);
        shorter.extend_from_slice(&raw_len.to_le_bytes());
        let is_shorter = compression.compress(&self.buffer[records..], &mut shorter);
        if !is_shorter || shorter.len() > self.buffer.len() - self.buffer.len() / 16 {
            return Compression::None;
        }
        self.buffer = shorter;
        compression
    }
}

/// The batch that seals a channel at `next_offset`, with the digest of all before it if that is known.
pub fn seal_batch(
    next_offset: Offset,
    time: Timestamp,
    digest: Option<Digest>,
    stamp: Stamp<'_>,
) -> (BatchHeader, Bytes) {
    let number = digest.map(|digest| digest.get().to_le_bytes());
    let body = number.as_ref().map_or(&[][..], |number| number);
    let header = BatchHeader {
        body_len: if digest.is_some() { 8 } else { 0 },
        base_offset: next_offset,
        base_time: time,
        body_crc: crc32c(body),
        epoch: stamp.epoch,
        durable_offset: stamp.durable_offset,
        previous_crc: stamp.previous_crc,
        kind: BatchKind::Seal,
        ..BatchHeader::default()
    };
    (header, [&header.encode(stamp.seed), body].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AsRecord, NewRecord};
    use proptest::prelude::*;

    const SEED: [u8; 16] = [7; 16];

    fn stamp() -> Stamp<'static> {
        Stamp { seed: &SEED, epoch: Epoch(3), durable_offset: Offset(9), previous_crc: 11 }
    }

    fn build(records: &[NewRecord]) -> Bytes {
        let mut builder = BatchBuilder::new(Offset(10), None);
        for (index, record) in records.iter().enumerate() {
            builder.push(Timestamp(1000 + index as i64 * 5), &record.as_record());
        }
        builder.finish(stamp()).1
    }

    #[test]
    fn plain_records_cost_eight_bytes_each() {
        let stored = build(&[NewRecord::new("12345678"), NewRecord::new("")]);
        assert_eq!(stored.len(), HEADER_LEN + 8 + 8 + 8);
    }

    #[test]
    fn producer_and_sequence_stand_at_the_head_of_the_body() {
        let mut builder = BatchBuilder::new(Offset(0), Some((ProducerId([5; 16]), 77)));
        builder.push(Timestamp(1), &"x".as_record());
        let batch = Batch::verify(builder.finish(stamp()).1, &SEED).unwrap();
        assert_eq!(batch.producer(), Some((ProducerId([5; 16]), 77)));
        assert_eq!(batch.records().next().unwrap().unwrap().payload, "x");
    }

    // NC-BAT-027
    #[test]
    fn a_seal_has_no_records_and_says_what_stands_before_it() {
        for (digest, len) in [(None, HEADER_LEN), (Some(Digest::START), HEADER_LEN + 8)] {
            let stored = seal_batch(Offset(5), Timestamp(6), digest, stamp()).1;
            assert_eq!(stored.len(), len);
            let batch = Batch::verify(stored, &SEED).unwrap();
            assert_eq!(batch.header().kind, BatchKind::Seal);
            assert_eq!(batch.header().next_offset(), Offset(5));
            assert_eq!(batch.records().count(), 0);
            assert_eq!(Digest::of_seal(batch.header(), batch.stored()), digest);
        }
    }

    #[test]
    fn a_batch_of_another_log_is_refused() {
        assert_eq!(Batch::verify(build(&[NewRecord::new("x")]), &[8; 16]), Err(BatchError::HeaderCrc));
    }

    #[test]
    fn every_flipped_bit_is_found_or_harmless() {
        let good = build(&[NewRecord::new("abc").key("k").header("h", "v"), NewRecord::new("def")]);
        let expected: Vec<_> = Batch::verify(good.clone(), &SEED).unwrap().records().collect();
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok(batch) = Batch::verify(bad.into(), &SEED) {
                assert_eq!(batch.records().collect::<Vec<_>>(), expected, "bit {bit}"); // padding
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_built_is_read(parts in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..200), prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), any::<bool>()), 1..50)) {
            let records: Vec<_> = parts.iter().map(|(payload, key, header)| {
                let mut record = NewRecord::new(payload.clone());
                if let Some(key) = key { record = record.key(key.clone()); }
                if *header { record = record.header("name", "value"); }
                record
            }).collect();
            let batch = Batch::verify(build(&records), &SEED).unwrap();
            let read: Vec<_> = batch.records().map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), records.len());
            for (index, (read, (payload, key, header))) in read.iter().zip(&parts).enumerate() {
                prop_assert_eq!(read.offset, Offset(10 + index as u64));
                prop_assert_eq!(read.timestamp, Timestamp(1000 + index as i64 * 5));
                prop_assert_eq!(&read.payload[..], &payload[..]);
                prop_assert_eq!(read.key().map(|k| k.to_vec()), key.clone());
                prop_assert_eq!(read.headers().get("name").is_some(), *header);
            }
        }

        #[test]
        fn rubbish_with_good_checksums_never_panics(body in prop::collection::vec(any::<u8>(), 0..300), count in 0u32..20, attributes in 0u16..4) {
            let header = BatchHeader {
                body_len: body.len() as u32, body_crc: crc32c(&body), offset_span: count.max(1), record_count: count,
                has_producer: attributes & 1 != 0, sparse: attributes & 2 != 0, ..BatchHeader::default()
            };
            let mut stored = header.encode(&SEED).to_vec();
            stored.extend_from_slice(&body);
            stored.resize(header.stored_len(), 0);
            if let Ok(batch) = Batch::verify(stored.into(), &SEED) {
                prop_assert!(batch.records().count() <= count as usize);
            }
        }
    }
}
