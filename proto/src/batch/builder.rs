//! Batches in the making: records as they come, and the seal.

use bytes::Bytes;

use super::header::{BatchHeader, BatchKind, HEADER_LEN, PRODUCER_PREFIX, RECORD_PREFIX};
use crate::compression::Compression;
use crate::crc::crc32c;
use crate::digest::Digest;
use crate::limits::{BATCH_TARGET, MAX_BATCH_RECORDS};
use crate::record::{NO_KEY, RecordRef, TAG_PREFIX, TAGGED};
use crate::types::{Epoch, Offset, ProducerId, Timestamp};

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
