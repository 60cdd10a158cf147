//! Names, texts, identities and checksums, as frames hold them.

use netchan_proto::crc::{crc32c, crc32c_seeded};
use netchan_proto::wire::*;
use netchan_proto::{ChannelName, ErrorCode, LogId, Offset};

use crate::any::{frame, one_of_each, read};

fn stat(name: &[u8]) -> Result<Message, ErrorCode> {
    let len = u8::try_from(name.len()).unwrap();
    read(FrameType::STAT, [&[len], name].concat()).map_err(DecodeError::code)
}

/// NC-TYP-006, NC-TYP-007, NC-TYP-008, NC-TYP-009, NC-TYP-011, NC-TYP-016
#[test]
fn a_frame_with_a_name_that_breaks_the_rules_is_malformed() {
    for good in
        ["a", "my_log", "orders/eu/2026", "ünï", "a.b-c", "...", "a@0", "a/b@1023", ".a/b.", &"x".repeat(255)]
    {
        assert_eq!(stat(good.as_bytes()), Ok(Message::Stat(good.parse().unwrap())));
    }
    let bad = [
        "",
        "a b",
        "a\n",
        "a\u{85}",
        "a\u{3000}b",
        "a\0",
        "\u{7f}",
        "@x",
        "h:1",
        "a*",
        "#",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "./a",
        "a@",
        "a@01",
        "a@1024",
        "a@b",
        "a@1@2",
        "a@1/b",
        "a/@1",
        "..@1",
        "a@*",
    ];
    for bad in bad {
        assert_eq!(stat(bad.as_bytes()), Err(ErrorCode::MALFORMED), "{bad:?}");
    }
    for bad in [&[0xff][..], &[0xc3], &[0xed, 0xa0, 0x80], &[0xc0, 0xaf]] {
        assert_eq!(stat(bad), Err(ErrorCode::MALFORMED), "not UTF-8");
        let error = [&[2, 1, 0, 0][..], &[0xff; 8], &[u8::try_from(bad.len()).unwrap(), 0], bad].concat();
        assert!(read(FrameType::ERROR, error).is_err());
        let list = [&[0, u8::try_from(bad.len()).unwrap()], bad].concat();
        assert!(read(FrameType::LIST, list).is_err());
    }
}

/// NC-TYP-010
#[test]
fn names_are_ordered_by_their_bytes() {
    let names: [ChannelName; 4] = ["B", "a", "a/b", "é"].map(|name| name.parse().unwrap());
    assert!(names.is_sorted());
    assert_ne!("e\u{301}".parse::<ChannelName>(), "é".parse::<ChannelName>());
}

#[test]
fn a_prefix_is_as_long_as_a_name_at_most() {
    let longest = NamePrefix::new(&"n".repeat(255)).unwrap();
    let list = Message::List(List { after: None, prefix: longest });
    let (header, payload) = frame(&list);
    assert_eq!(Message::decode(&header, payload), Ok(list));
    assert!(NamePrefix::new(&"n".repeat(256)).is_err());
}

/// NC-TYP-012, NC-TYP-013
#[test]
fn checksums_are_crc_32c() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, appendix B.4
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c_seeded(&[b'0'; 16], b"1"), crc32c(b"00000000000000001"));
}

/// NC-TYP-014
#[test]
fn identities_are_written_in_the_order_of_their_bytes() {
    let id = LogId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xab, 0xcd, 0xef, 14, 15]);
    assert_eq!(id.to_string(), "000102030405060708090aabcdef0e0f");
}

/// NC-TYP-005
#[test]
fn a_flag_is_nothing_but_0_or_1() {
    for (kind, at) in [(FrameType::OPENED, 21), (FrameType::ERROR, 2), (FrameType::LIST_REPLY, 0)] {
        let sample = one_of_each().into_iter().find(|message| message.kind() == kind).unwrap();
        for flag in 2..=255 {
            let mut payload = frame(&sample).1.to_vec();
            payload[at] = flag;
            assert_eq!(read(kind, payload).map_err(DecodeError::code), Err(ErrorCode::MALFORMED));
        }
    }
}

/// NC-STR-025
#[test]
fn an_end_has_a_final_offset_if_and_only_if_the_channel_is_sealed() {
    let end = |why: u8, offset: u64| {
        read(FrameType::END, [&[why, 0, 0, 0, 0, 0, 0, 0], &offset.to_le_bytes()[..]].concat())
    };
    assert_eq!(end(1, 5), Ok(Message::End(End::Sealed { final_offset: Offset(5) })));
    assert_eq!(end(2, u64::MAX), Ok(Message::End(End::Closed)));
    assert_eq!(end(1, u64::MAX).map_err(DecodeError::code), Err(ErrorCode::MALFORMED));
    assert_eq!(end(2, 5).map_err(DecodeError::code), Err(ErrorCode::MALFORMED));
}

/// NC-POS-014
#[test]
fn a_gap_is_never_empty() {
    let gap = |from: u64, to: u64| {
        read(FrameType::GAP, [&from.to_le_bytes()[..], &to.to_le_bytes(), &[1, 0, 0, 0, 9, 0, 0, 0]].concat())
            .is_ok()
    };
    assert!(gap(0, 1) && gap(0, u64::MAX));
    assert!(!gap(0, 0) && !gap(1, 0) && !gap(u64::MAX, u64::MAX));
}

/// NC-PUB-022
#[test]
fn an_acknowledgement_is_of_at_least_one_record_and_of_no_more_than_there_are_numbers() {
    let ack = |first: u64, count: u64| {
        let payload =
            [&[2, 0, 0, 0, 1, 0, 0, 0], &first.to_le_bytes()[..], &count.to_le_bytes(), &[0; 8]].concat();
        read(FrameType::PUBLISH_ACK, payload).is_ok()
    };
    assert!(ack(0, 1) && ack(u64::MAX - 1, 1) && ack(0, u64::MAX));
    assert!(!ack(0, 0) && !ack(u64::MAX, 1) && !ack(2, u64::MAX - 1));
}

/// NC-EXT-003, NC-EXT-008
#[test]
fn grease_is_what_the_spec_says_it_is() {
    for byte in 0..=255u8 {
        let nonce = [byte; 16];
        let grease = Message::grease(&nonce);
        let (header, payload) = frame(&grease);
        assert!(FrameType::GREASE.contains(&header.kind) && payload.len() < 16);
        let hello = Hello { versions: vec![VERSION], roles: Roles(7), node: Default::default(), nonce };
        let (_, payload) = frame(&Message::Hello(hello));
        let param = &payload[37..];
        let id = u16::from_le_bytes([param[0], param[1]]);
        assert_eq!(id & 0x8f0f, 0x0a0a);
        assert!(param[2] <= 7 && param.len() == 4 + usize::from(param[2]));
    }
}
