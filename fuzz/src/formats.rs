//! The decoders: whatever the bytes, no panic, no belief beyond what was checked, and one way to write a value.

use bytes::Bytes;
use netchan_proto::batch::{Batch, BatchBuilder, BatchHeader, HEADER_LEN, Stamp};
use netchan_proto::crc::{crc32c, crc32c_seeded};
use netchan_proto::inflow::Inflow;
use netchan_proto::limits::MAX_BODY;
use netchan_proto::wire::{FRAME_HEADER_LEN, FrameHeader, FrameType, Message, StreamId};

use netchan_proto::{AsRecord, Compression, Epoch, Offset, Timestamp};

use crate::Operations;

const SEED: [u8; 16] = [7; 16];

/// A frame header, as it is and with its CRC made right.
pub fn frame(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<FRAME_HEADER_LEN>() else { return };
    let mut mended = *bytes;
    mended[12..].copy_from_slice(&crc32c(&bytes[..12]).to_le_bytes());
    for bytes in [bytes, &mended] {
        if let Ok(header) = FrameHeader::decode(bytes) {
            assert_eq!(&header.encode(), bytes, "one way to write a header");
        }
    }
}

/// A payload of the type that the first byte says.
pub fn message(data: &[u8]) {
    let mut input = Operations::new(data);
    let kind = FrameType(input.byte());
    let stream = StreamId(u32::from(input.byte() & 3));
    let payload = Bytes::copy_from_slice(input.bytes(usize::MAX));
    let Ok(len) = u32::try_from(payload.len()) else { return };
    let header = FrameHeader { len, kind, stream };
    if let Ok(message) = Message::decode(&header, payload) {
        let again = encode(stream, &message);
        let reread = decode_frame(&again).expect("what is encoded can be decoded");
        assert_eq!(reread, message, "a value survives being written");
        assert_eq!(encode(stream, &reread), again, "and has one form");
    }
}

fn encode(stream: StreamId, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(stream, &mut bytes);
    if let Message::Data(range) | Message::Publish(range) = message {
        bytes.extend_from_slice(&range.bytes);
    }
    bytes
}

fn decode_frame(bytes: &[u8]) -> Option<Message> {
    let header = FrameHeader::decode(bytes.first_chunk()?).ok()?;
    Message::decode(&header, Bytes::copy_from_slice(&bytes[FRAME_HEADER_LEN..])).ok()
}

/// A stored batch, as it is and with its CRCs and length made right.
pub fn batch(data: &[u8]) {
    walk(data);
    walk(&mended(data, Compression::None));
}

/// Compressed bytes: of a batch whose checksums hold, and by themselves; and records that are compressed, and then changed.
pub fn compressed(data: &[u8]) {
    let mut input = Operations::new(data);
    let codec = if input.byte() & 1 == 0 { Compression::Lz4 } else { Compression::Zstd };
    let (claims, at, with) = (input.long() as usize % (2 * MAX_BODY), input.word(), input.byte());
    let rest = input.bytes(usize::MAX);
    walk(&mended(rest, codec));
    if let Ok(raw) = codec.decompress(rest, claims, MAX_BODY) {
        assert_eq!(raw.len(), claims);
        assert!(raw.len() <= MAX_BODY);
    }
    let mut builder = BatchBuilder::new(Offset(3), None);
    for (index, payload) in rest.chunks(usize::from(with) + 1).take(1000).enumerate() {
        builder.push(Timestamp(index as i64), &payload.as_record());
    }
    if builder.is_empty() {
        return;
    }
    let count = builder.len();
    let stamp = Stamp { seed: &SEED, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
    let (header, stored) = builder.finish_as(stamp, codec);
    let batch = Batch::verify(stored.clone(), &SEED).expect("what is built holds");
    let payloads = batch.records().map(|record| record.expect("what is built is read").payload);
    assert_eq!(
        payloads.flatten().collect::<Vec<_>>(),
        rest[..rest.len().min(1000 * (usize::from(with) + 1))]
    );
    assert_eq!(batch.records().count(), count);
    let mut changed = stored.to_vec();
    let at = HEADER_LEN + usize::from(at) % header.body_len.max(1) as usize;
    changed[at] ^= with;
    let body_crc = crc32c(&changed[HEADER_LEN..HEADER_LEN + header.body_len as usize]);
    changed[..HEADER_LEN].copy_from_slice(&BatchHeader { body_crc, ..header }.encode(&SEED));
    walk(&changed);
}

fn walk(data: &[u8]) {
    let stored = Bytes::copy_from_slice(data);
    if let Ok(batch) = Batch::verify(stored, &SEED) {
        let header = *batch.header();
        assert!(batch.records().count() <= header.record_count as usize);
        let _ = batch.producer();
        let mut bytes = 0;
        for record in batch.records().map_while(Result::ok) {
            assert!(record.offset >= header.base_offset && record.offset < header.next_offset());
            assert!(record.timestamp >= header.base_time);
            bytes += record.payload.len() + record.key().map_or(0, Bytes::len);
            bytes += record.headers().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        }
        let most = if header.compression == Compression::None { data.len() } else { MAX_BODY };
        assert!(bytes <= most);
    }
}

/// `data` as a batch whose checksums and body length hold.
fn mended(data: &[u8], compression: Compression) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(HEADER_LEN).next_multiple_of(8), 0);
    let body_len = (bytes.len() - HEADER_LEN).saturating_sub(usize::from(bytes[0] & 7));
    let body_crc = crc32c(&bytes[HEADER_LEN..HEADER_LEN + body_len]);
    bytes[..4].copy_from_slice(b"NCB1");
    bytes[8..12].copy_from_slice(&u32::try_from(body_len).unwrap_or(0).to_le_bytes());
    bytes[12..16].copy_from_slice(&body_crc.to_le_bytes());
    bytes[60] &= 1;
    bytes[61] = compression.code();
    bytes[62] &= 3;
    bytes[63] = 0;
    let crc = crc32c_seeded(&SEED, &bytes[8..HEADER_LEN]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A run of bytes cut into ranges: each batch that comes out was checked, and nothing grows past what went in.
pub fn inflow(data: &[u8]) {
    let mut input = Operations::new(data);
    let mut inflow = Inflow::new(SEED);
    let (mut pushed, mut given) = (0, 0);
    while !input.is_empty() {
        let len = usize::from(input.byte());
        let mend = input.byte() & 1 == 1;
        let range = input.bytes(len);
        let range = if mend { mended(range, Compression::None) } else { range.to_vec() };
        pushed += range.len();
        inflow.push(range.into());
        loop {
            match inflow.next_batch() {
                Ok(Some(batch)) => given += batch.stored().len(),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(given <= pushed);
        assert_eq!(inflow.is_between_batches(), given == pushed);
        let _ = BatchHeader::decode(&[0; HEADER_LEN], &SEED);
    }
}
