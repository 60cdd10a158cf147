//! The 64 bytes before a batch's body, and why bytes are no batch.

use crate::compression::{Compression, CompressionError};
use crate::crc::crc32c_seeded;
use crate::limits::{MAX_BATCH, MAX_BATCH_RECORDS, MAX_BODY};
use crate::types::{Epoch, Offset, Timestamp};

/// Bytes of a batch's header.
pub const HEADER_LEN: usize = 64;
// A limit names no format: that it is right is seen here.
const _: () = assert!(MAX_BATCH == HEADER_LEN + MAX_BODY + 8);
/// The first four bytes of every batch.
pub const MAGIC: [u8; 4] = *b"NCB1";
/// Bytes before a plain payload: length and time delta.
pub const RECORD_PREFIX: usize = 8;
/// Bytes that a producer's identity and first sequence take at the head of a body.
pub const PRODUCER_PREFIX: usize = 24;
/// Bytes that tell, before compressed records, how many those are.
pub(super) const RAW_PREFIX: usize = 4;

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
    pub(super) fn prefix_len(&self) -> usize {
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
