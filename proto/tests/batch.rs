//! What makes a batch valid, number by number (spec/07-batch.md). Headers and records are written here byte by byte, with
//! checksums that hold, as a faulty or hostile peer would.
#![allow(clippy::unwrap_used)] // a panic here is a failed test

use bytes::Bytes;
use netchan_proto::batch::{Batch, BatchError, BatchHeader, HEADER_LEN};
use netchan_proto::compression::CompressionError;
use netchan_proto::crc::{crc32c, crc32c_seeded};
use netchan_proto::record::Headers;
use netchan_proto::{AsRecord, Compression, Offset, Record};

const SEED: [u8; 16] = [5; 16];

/// A batch as numbers.
#[derive(Clone)]
struct Raw {
    magic: [u8; 4],
    body_len: u32,
    base_offset: u64,
    base_time: i64,
    last_time_delta: u32,
    span: u32,
    count: u32,
    local: [u8; 12],
    kind: u8,
    codec: u8,
    attributes: u16,
    body: Vec<u8>,
}

const PRODUCER: u16 = 1;
const SPARSE: u16 = 2;

/// A batch of these records, each a prefix and what follows it.
fn raw(records: &[Vec<u8>], last_time_delta: u32) -> Raw {
    let body = records.concat();
    let count = u32::try_from(records.len()).unwrap();
    Raw {
        magic: *b"NCB1",
        body_len: u32::try_from(body.len()).unwrap(),
        base_offset: 10,
        base_time: 1000,
        last_time_delta,
        span: count,
        count,
        local: [0; 12],
        kind: 0,
        codec: 0,
        attributes: 0,
        body,
    }
}

fn record(time_delta: u32, payload: &[u8]) -> Vec<u8> {
    words_and(&[u32::try_from(payload.len()).unwrap(), time_delta], payload)
}

fn sparse(time_delta: u32, offset_delta: u32, payload: &[u8]) -> Vec<u8> {
    words_and(&[u32::try_from(payload.len()).unwrap(), time_delta, offset_delta], payload)
}

fn words_and(words: &[u32], rest: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).chain(rest.iter().copied()).collect()
}

impl Raw {
    fn header(&self) -> [u8; HEADER_LEN] {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.body_len.to_le_bytes());
        bytes.extend_from_slice(&crc32c(&self.body).to_le_bytes());
        bytes.extend_from_slice(&self.base_offset.to_le_bytes());
        bytes.extend_from_slice(&self.base_time.to_le_bytes());
        for word in [self.last_time_delta, self.span, self.count, 1] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.local);
        bytes.extend_from_slice(&[self.kind, self.codec]);
        bytes.extend_from_slice(&self.attributes.to_le_bytes());
        let crc = crc32c_seeded(&SEED, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes.try_into().unwrap()
    }

    fn stored(&self) -> Bytes {
        let mut bytes = self.header().to_vec();
        bytes.extend_from_slice(&self.body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.into()
    }

    /// The header's verdict.
    fn header_error(&self) -> Option<BatchError> {
        BatchHeader::decode(&self.header(), &SEED).err()
    }

    /// The batch's records, or the first error on the way to them.
    fn read(&self) -> Result<Vec<Record>, BatchError> {
        Batch::verify(self.stored(), &SEED)?.records().collect()
    }
}

fn good() -> Raw {
    raw(&[record(0, b"a"), record(4, b"bc"), record(9, b"")], 9)
}

#[test]
fn a_batch_written_by_hand_is_read() {
    let read = good().read().unwrap();
    let seen: Vec<_> = read.iter().map(|r| (r.offset.0, r.timestamp.0, &r.payload[..])).collect();
    assert_eq!(seen, [(10, 1000, &b"a"[..]), (11, 1004, b"bc"), (12, 1009, b"")]);
}

/// NC-BAT-001, NC-BAT-002
#[test]
fn nothing_is_believed_before_magic_and_checksum() {
    assert_eq!(Raw { magic: *b"NCB2", ..good() }.header_error(), Some(BatchError::Magic));
    let mut header = good().header();
    header[8..12].fill(0xff);
    assert_eq!(BatchHeader::decode(&header, &SEED), Err(BatchError::HeaderCrc));
}

/// NC-BAT-004
#[test]
fn a_body_that_changed_on_its_way_is_refused_whole() {
    let stored = good().stored();
    for at in HEADER_LEN..HEADER_LEN + good().body.len() {
        let mut changed = stored.to_vec();
        changed[at] ^= 0x10;
        assert_eq!(Batch::verify(changed.into(), &SEED), Err(BatchError::BodyCrc));
    }
}

/// NC-BAT-005
#[test]
fn unknown_kinds_codecs_and_attributes_are_refused() {
    for kind in 2..=255 {
        assert_eq!(Raw { kind, ..good() }.header_error(), Some(BatchError::UnknownKind { kind }));
    }
    for codec in 3..=255 {
        assert_eq!(Raw { codec, ..good() }.header_error(), Some(BatchError::UnknownCodec { codec }));
    }
    for bit in 2..16 {
        let attributes = 1 << bit;
        let error = Raw { attributes, ..good() }.header_error();
        assert_eq!(error, Some(BatchError::UnknownAttributes { attributes }));
    }
}

/// NC-BAT-006, NC-BAT-007, NC-BAT-008
#[test]
fn numbers_of_a_header_have_limits() {
    let inconsistent = |raw: Raw| raw.header_error() == Some(BatchError::Inconsistent);
    let most = Raw { body_len: 16_908_352, ..good() };
    assert_eq!(most.header_error(), None);
    assert!(inconsistent(Raw { body_len: 16_908_353, ..good() }));
    assert!(inconsistent(Raw { body_len: u32::MAX, ..good() }));
    assert_eq!(Raw { count: 65_536, span: 65_536, ..most.clone() }.header_error(), None);
    assert!(inconsistent(Raw { count: 65_537, span: 65_537, ..most }));
    assert_eq!(Raw { base_offset: u64::MAX - 4, ..good() }.header_error(), None);
    assert!(inconsistent(Raw { base_offset: u64::MAX - 3, ..good() }));
    assert_eq!(Raw { base_time: i64::MAX - 9, ..good() }.header_error(), None);
    assert!(inconsistent(Raw { base_time: i64::MAX - 8, ..good() }));
    assert_eq!(Raw { body_len: 24, ..good() }.header_error(), None);
    assert!(inconsistent(Raw { body_len: 23, ..good() }));
}

/// NC-BAT-009, NC-BAT-010, NC-BAT-011
#[test]
fn counts_fit_the_span_and_the_kind() {
    let inconsistent = |raw: Raw| raw.header_error() == Some(BatchError::Inconsistent);
    assert!(inconsistent(Raw { span: 2, ..good() }));
    assert!(inconsistent(Raw { span: 4, ..good() }));
    assert_eq!(Raw { span: 4, attributes: SPARSE, ..good() }.header_error(), None);
    assert!(inconsistent(Raw { span: 2, attributes: SPARSE, ..good() }));
    assert!(inconsistent(Raw { span: 0, count: 0, ..good() }));
    assert_eq!(Raw { span: 5, count: 0, attributes: SPARSE, ..good() }.header_error(), None);
    let seal = Raw { kind: 1, ..raw(&[], 0) };
    assert_eq!(seal.header_error(), None);
    assert!(inconsistent(Raw { span: 1, ..seal }));
}

/// NC-BAT-012, NC-BAT-013
#[test]
fn a_batch_fills_up_to_a_multiple_of_eight_with_anything() {
    let stored = good().stored();
    let header = BatchHeader::decode(stored.first_chunk().unwrap(), &SEED).unwrap();
    assert_eq!((header.stored_len(), header.next_offset()), (HEADER_LEN + 32, Offset(13)));
    let mut padded = stored.to_vec();
    let end = HEADER_LEN + good().body.len();
    padded[end..].fill(0xff);
    assert!(Batch::verify(padded.into(), &SEED).is_ok());
}

/// NC-BAT-014
#[test]
fn what_is_local_to_a_log_may_be_anything() {
    let strange = Raw { local: [0xff; 12], ..good() };
    assert_eq!(strange.read().unwrap(), good().read().unwrap());
}

/// NC-BAT-015
#[test]
fn a_body_with_a_producer_has_room_for_it() {
    let of = |body: Vec<u8>| Raw { attributes: PRODUCER, ..raw(&[body], 0) };
    let whole = [&[6; 16][..], &77u64.to_le_bytes(), &record(0, b"x")].concat();
    let batch = Batch::verify(of(whole.clone()).stored(), &SEED).unwrap();
    assert_eq!(batch.producer().unwrap().1, 77);
    assert_eq!(batch.records().next().unwrap().unwrap().payload, "x");
    assert_eq!(of(whole[..23].to_vec()).read(), Err(BatchError::Record));
    assert_eq!(of(whole[..24].to_vec()).read(), Err(BatchError::Record));
}

/// NC-BAT-016, NC-BAT-017
#[test]
fn times_increase_from_the_headers_first_to_its_last() {
    for (deltas, last, good) in [
        ([0, 1, 2], 2, true),
        ([0, 0, 1], 1, false),
        ([0, 2, 1], 1, false),
        ([1, 2, 3], 3, false),
        ([0, 1, 2], 3, false),
        ([0, 1, 3], 2, false),
    ] {
        let records: Vec<_> = deltas.iter().map(|&delta| record(delta, b"r")).collect();
        assert_eq!(raw(&records, last).read().is_ok(), good, "{deltas:?} with {last}");
    }
}

/// NC-BAT-018, NC-BAT-019
#[test]
fn offsets_are_dense_or_increase_within_the_span() {
    assert_eq!(good().read().unwrap().last().unwrap().offset, Offset(12));
    for (deltas, span, good) in
        [([0, 1], 2, true), ([2, 7], 8, true), ([2, 7], 7, false), ([2, 2], 8, false), ([7, 2], 8, false)]
    {
        let records = [sparse(3, deltas[0], b"x"), sparse(5, deltas[1], b"y")];
        let read = Raw { span, attributes: SPARSE, ..raw(&records, 9) }.read();
        assert_eq!(read.is_ok(), good, "{deltas:?} of {span}");
        if let Ok(read) = read {
            assert_eq!(read[1].offset, Offset(10 + u64::from(deltas[1])));
        }
    }
}

/// These records, compressed.
fn compressed(records: &[Vec<u8>], last_time_delta: u32) -> Raw {
    let plain = raw(records, last_time_delta);
    let mut body = u32::try_from(plain.body.len()).unwrap().to_le_bytes().to_vec();
    assert!(Compression::Lz4.compress(&plain.body, &mut body));
    Raw { codec: 1, body_len: u32::try_from(body.len()).unwrap(), body, ..plain }
}

fn long_ones() -> Raw {
    compressed(&[record(0, &[b'a'; 100]), record(4, &[b'b'; 100])], 4)
}

/// NC-BAT-008, NC-BAT-029
#[test]
fn compressed_records_are_read_as_they_were_and_only_plain_batches_are_compressed() {
    let read = long_ones().read().unwrap();
    assert_eq!((&read[0].payload[..], &read[1].payload[..]), (&[b'a'; 100][..], &[b'b'; 100][..]));
    assert_eq!((read[1].offset, read[1].timestamp.0), (Offset(11), 1004));
    let many: Vec<_> = (0..1000).map(|delta| record(delta, b"")).collect();
    let many = compressed(&many, 999);
    assert!(many.body.len() < 8 * 1000);
    assert_eq!(many.read().unwrap().len(), 1000);
    assert_eq!(Raw { attributes: SPARSE, ..long_ones() }.header_error(), Some(BatchError::Inconsistent));
    assert_eq!(
        Raw { kind: 1, span: 0, count: 0, ..long_ones() }.header_error(),
        Some(BatchError::Inconsistent)
    );
    assert_eq!(Raw { codec: 3, ..long_ones() }.header_error(), Some(BatchError::UnknownCodec { codec: 3 }));
    // Nothing after the raw length, and not even that.
    for body in [vec![16, 0, 0, 0], vec![0], Vec::new()] {
        let body_len = u32::try_from(body.len()).unwrap();
        let short = Raw { body, body_len, ..long_ones() };
        assert_eq!(short.header_error(), Some(BatchError::Inconsistent));
    }
}

/// NC-BAT-030
#[test]
fn a_raw_length_that_cannot_be_is_refused_and_nothing_is_delivered() {
    let claiming = |raw_len: u32| {
        let mut lie = long_ones();
        lie.body[..4].copy_from_slice(&raw_len.to_le_bytes());
        let batch = Batch::verify(lie.stored(), &SEED).unwrap();
        let told: Vec<_> = batch.records().collect();
        assert_eq!(told.len(), 1, "{told:?}");
        told.into_iter().next().unwrap().unwrap_err()
    };
    let block = u32::try_from(long_ones().body.len() - 4).unwrap();
    for too_large in [255 * block + 1, 16_908_353, u32::MAX] {
        let error = claiming(too_large);
        assert!(matches!(error, BatchError::Compression(CompressionError::TooLarge { .. })), "{error}");
    }
    for other in [215, 217, 255 * block] {
        assert_eq!(claiming(other), BatchError::Compression(CompressionError::Damaged(Compression::Lz4)));
    }
    assert_eq!(claiming(15), BatchError::Record, "less than its records take at least");
}

/// NC-BAT-031
#[test]
fn a_batch_of_a_codec_that_is_not_at_hand_is_checked_and_its_records_are_not() {
    let packed = Raw { codec: 2, ..long_ones() };
    let batch = Batch::verify(packed.stored(), &SEED).unwrap();
    assert_eq!(batch.header().next_offset(), Offset(12));
    let told: Vec<_> = batch.records().collect();
    let without = CompressionError::Without(Compression::Zstd);
    let damaged = CompressionError::Damaged(Compression::Zstd);
    let expected = if Compression::Zstd.is_known() { damaged } else { without };
    assert_eq!(told, [Err(BatchError::Compression(expected))]);
}

/// NC-BAT-020, NC-BAT-025
#[test]
fn records_fill_the_body_and_an_error_is_the_last_thing_told() {
    let long = raw(&[record(0, b"a"), words_and(&[9, 1], b"short")], 1);
    let short = raw(&[record(0, b"a"), words_and(&[2, 1], b"short")], 1);
    let middle = raw(&[record(0, b"a"), record(0, b"b"), record(2, b"c")], 2);
    for broken in [long, short, middle] {
        let batch = Batch::verify(broken.stored(), &SEED).unwrap();
        let told: Vec<_> = batch.records().collect();
        assert_eq!(told.len(), 2);
        assert!(told[0].is_ok() && told[1] == Err(BatchError::Record));
    }
}

const TAGGED: u32 = 1 << 31;
const NO_KEY: u32 = u32::MAX;

fn tagged(key_len: u32, headers_len: u32, rest: &[u8]) -> Result<Vec<Record>, BatchError> {
    let length = u32::try_from(8 + rest.len()).unwrap();
    raw(&[words_and(&[length | TAGGED, 0, key_len, headers_len], rest)], 0).read()
}

/// NC-BAT-021, NC-BAT-023
#[test]
fn key_and_headers_lie_within_their_record() {
    let read = tagged(3, 0, b"keypayload").unwrap();
    assert_eq!((read[0].key().unwrap(), &read[0].payload), (&Bytes::from("key"), &Bytes::from("payload")));
    assert_eq!(tagged(0, 0, b"p").unwrap()[0].key(), Some(&Bytes::new()));
    assert_eq!(tagged(NO_KEY, 0, b"p").unwrap()[0].key(), None);
    for (key_len, headers_len) in [(4, 0), (0, 4), (2, 2), (NO_KEY - 1, 0), (0, u32::MAX), (NO_KEY, 4)] {
        assert_eq!(tagged(key_len, headers_len, b"abc"), Err(BatchError::Record));
    }
    let cut = raw(&[words_and(&[4 | TAGGED, 0, NO_KEY], b"")], 0);
    assert_eq!(cut.read(), Err(BatchError::Record));
}

/// NC-BAT-022
#[test]
fn a_record_has_limits() {
    let limits = [(16_777_216, 65_536, 65_536), (16_777_217, 0, 0), (0, 65_537, 0), (0, 0, 65_537)];
    for (index, (payload, key, headers)) in limits.into_iter().enumerate() {
        let (payload, key, headers) = (vec![0; payload], vec![0; key], vec![0; headers]);
        let record = netchan_proto::RecordRef { payload: &payload, key: Some(&key), headers: &headers };
        assert_eq!(record.as_record().check().is_ok(), index == 0);
    }
}

/// NC-BAT-024
#[test]
fn headers_end_where_they_stop_making_sense() {
    let header = |name: &[u8], value: &[u8]| {
        let mut bytes = u16::try_from(name.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
        bytes
    };
    let first = header(b"a", b"1");
    for broken in [&b"\x01"[..], b"\x01\0\xff\xff\xff\xffx", &header(b"\xff", b""), &header(b"b", b"22")[..8]]
    {
        let encoded = [&first, broken].concat();
        assert_eq!(Headers::decode(&encoded).collect::<Vec<_>>(), [("a", &b"1"[..])]);
    }
}
