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

mod builder;
mod header;

use bytes::Bytes;

pub use self::builder::{BatchBuilder, Stamp, seal_batch};
use self::header::RAW_PREFIX;
pub use self::header::{
    BatchError, BatchHeader, BatchKind, HEADER_LEN, MAGIC, PRODUCER_PREFIX, RECORD_PREFIX, header_crc,
};
use crate::compression::Compression;
use crate::crc::crc32c;
use crate::limits::MAX_BODY;
use crate::record::{NO_KEY, Record, TAGGED, Tags};
use crate::types::ProducerId;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::record::{AsRecord, NewRecord};
    use crate::types::{Epoch, Offset, Timestamp};
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
