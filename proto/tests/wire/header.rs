//! The preface and the frame header.

use netchan_proto::ErrorCode;
use netchan_proto::auth::Side;
use netchan_proto::crc::crc32c;
use netchan_proto::limits::{MAX_FRAME, MAX_HANDSHAKE_FRAME};
use netchan_proto::wire::*;
use proptest::prelude::*;

/// A header with any bytes at all and a CRC that holds.
fn sealed(mut bytes: [u8; 16]) -> [u8; 16] {
    let crc = crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// NC-INV-001
#[test]
fn the_preface_is_eight_bytes_that_no_text_begins_with() {
    assert_eq!(PREFACE, [0x89, 0x4e, 0x43, 0x48, 0x0d, 0x0a, 0x1a, 0x0a]);
}

/// NC-FRM-003
#[test]
fn every_flipped_bit_of_a_header_is_found() {
    let good = FrameHeader { len: 77, kind: FrameType::DATA, stream: StreamId(5) }.encode();
    for bit in 0..128 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        let error = FrameHeader::decode(&bad).expect_err("a flipped bit");
        assert_eq!((error, error.code()), (FrameError::Crc, ErrorCode::MALFORMED));
    }
}

/// NC-FRM-004
#[test]
fn reserved_bytes_of_a_header_must_be_zero() {
    for at in 5..8 {
        for bit in 0..8 {
            let mut bytes = FrameHeader { len: 0, kind: FrameType(0x8B), stream: StreamId(0) }.encode();
            bytes[at] = 1 << bit;
            assert_eq!(FrameHeader::decode(&sealed(bytes)), Err(FrameError::Reserved));
        }
    }
}

/// NC-FRM-005, NC-FRM-006
#[test]
fn a_length_over_the_limit_is_refused_by_the_header_alone() {
    let decode = |len: u32| {
        FrameHeader::decode(&FrameHeader { len, kind: FrameType::DATA, stream: StreamId(1) }.encode())
    };
    let max = u32::try_from(MAX_FRAME).unwrap();
    for len in [0, 1, max - 1, max] {
        assert_eq!(decode(len).unwrap().len, len);
    }
    for len in [max + 1, 1 << 31, u32::MAX - 1, u32::MAX] {
        assert_eq!(decode(len).unwrap_err().code(), ErrorCode::FRAME_TOO_LARGE);
    }
    let small = u32::try_from(MAX_HANDSHAKE_FRAME).unwrap();
    assert!(decode(small).unwrap().within(MAX_HANDSHAKE_FRAME).is_ok());
    assert_eq!(
        decode(small + 1).unwrap().within(MAX_HANDSHAKE_FRAME),
        Err(FrameError::TooLarge { len: small + 1, limit: MAX_HANDSHAKE_FRAME })
    );
}

/// NC-FRM-007, NC-FRM-008
#[test]
fn stream_numbers_tell_who_opened_the_stream() {
    assert_eq!(StreamId::CONNECTION.opener(), None);
    for side in [Side::Dialler, Side::Listener] {
        let first = StreamId::first(side);
        assert_eq!(first.opener(), Some(side));
        assert_eq!(first.next().unwrap().opener(), Some(side));
    }
    assert_eq!(StreamId(1).next(), Some(StreamId(3)));
    assert_eq!(StreamId(u32::MAX).next(), None);
    assert_eq!(StreamId(u32::MAX - 1).next(), None);
}

/// NC-FRM-018
#[test]
fn a_range_is_framed_as_a_message_is() {
    let bytes = bytes::Bytes::from_static(b"range");
    let mut out = Vec::new();
    Message::Data(Range { at: 1 << 40, bytes: bytes.clone() }).encode(StreamId(3), &mut out);
    assert_eq!(out, data_prefix(FrameType::DATA, StreamId(3), 1 << 40, bytes.len()));
}

proptest! {
    #[test]
    fn a_header_is_read_as_written(len in 0..=u32::try_from(MAX_FRAME).unwrap(), kind in any::<u8>(), stream in any::<u32>()) {
        let header = FrameHeader { len, kind: FrameType(kind), stream: StreamId(stream) };
        prop_assert_eq!(FrameHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn an_accepted_header_is_written_the_same(bytes in any::<[u8; 16]>()) {
        let bytes = sealed(bytes);
        if let Ok(header) = FrameHeader::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }
}
