//! What is written is read, what is read is written the same, and nothing else is read at all.

#![allow(clippy::unwrap_used)] // a panic here is a failed test

mod admin;
mod any;
mod cursors;
mod header;
mod limits;
mod status;
mod types;

use any::{frame, has_params, message, one_of_each, read};
use bytes::Bytes;
use netchan_proto::limits::MAX_PARTITIONS;
use netchan_proto::wire::*;
use netchan_proto::{ChannelName, ErrorCode, Offset, Partitions};
use proptest::prelude::*;

/// The payload without its parameters: where they begin is where the fields end, which the shortest payload that is
/// still read tells.
fn without_params(message: &Message) -> Bytes {
    let (header, payload) = frame(message);
    let mut shortest = payload.clone();
    for len in (0..payload.len()).rev() {
        if read(header.kind, payload.slice(..len)).as_ref() == Ok(message) {
            shortest = payload.slice(..len);
        }
    }
    shortest
}

/// Without what is said in parameters.
fn bare(mut message: Message) -> Message {
    match &mut message {
        Message::Opened(opened) => (opened.content, opened.partitions) = (None, None),
        Message::Seeked(seeked) => (seeked.opened.content, seeked.opened.partitions) = (None, None),
        Message::PublishOpen(open) => (open.content, open.partitions) = (None, None),
        Message::PublishOpened(opened) => opened.partitions = None,
        _ => {}
    }
    message
}

/// NC-TYP-002, NC-FRM-012
#[test]
fn there_is_a_message_for_every_type() {
    let mut kinds: Vec<_> =
        one_of_each().iter().map(Message::kind).filter(|kind| kind.name().is_some()).collect();
    kinds.sort();
    assert_eq!(kinds, FrameType::ALL);
}

/// NC-FRM-014
#[test]
fn every_truncation_is_refused() {
    for message in one_of_each().into_iter().map(bare) {
        let kind = message.kind();
        let payload = if has_params(kind) { without_params(&message) } else { frame(&message).1 };
        if kind.name().is_none() || matches!(kind, FrameType::DATA | FrameType::PUBLISH) {
            continue; // a range of any length is a range
        }
        for len in 0..payload.len() {
            let error = read(kind, payload.slice(..len)).expect_err("cut short");
            assert_eq!(error.code(), ErrorCode::MALFORMED, "{kind} cut to {len}: {error}");
        }
    }
    for kind in [FrameType::DATA, FrameType::PUBLISH] {
        for len in 0..=8 {
            assert_eq!(
                read(kind, vec![0; len]),
                Err(DecodeError::Short { kind }),
                "a range has at least a byte"
            );
        }
    }
}

/// NC-FRM-015, NC-EXT-005, NC-EXT-006, NC-EXT-007, NC-ERR-008
#[test]
fn every_extension_is_refused_or_a_parameter() {
    for message in one_of_each() {
        let kind = message.kind();
        if kind.is_ignorable() || matches!(kind, FrameType::DATA | FrameType::PUBLISH) {
            continue;
        }
        let payload = if has_params(kind) { without_params(&message) } else { frame(&message).1 };
        for byte in [0, 1, 0x80, 0xff] {
            let longer = [&payload[..], &[byte]].concat();
            assert_eq!(read(kind, longer).map_err(DecodeError::code), Err(ErrorCode::MALFORMED), "{kind}");
        }
        let with_param = |id: u16| [&payload[..], &id.to_le_bytes(), &[2, 0, 0xee, 0xee]].concat();
        if has_params(kind) {
            assert_eq!(read(kind, with_param(0x7fff)), Ok(message), "{kind}: unknown, skipped");
            let critical = read(kind, with_param(0x8001)).unwrap_err();
            assert_eq!(critical, DecodeError::UnknownParam { kind, id: 0x8001 });
            assert_eq!(critical.code(), ErrorCode::UNKNOWN_CRITICAL);
            let opens = [FrameType::OPEN, FrameType::PUBLISH_OPEN].contains(&kind);
            assert_eq!(critical.ends_stream_only(), opens);
        } else {
            assert!(read(kind, with_param(1)).is_err(), "{kind} has no parameters");
        }
    }
}

/// NC-FRM-016, NC-FRM-017
#[test]
fn frames_stay_on_their_streams() {
    for message in one_of_each() {
        let (header, payload) = frame(&message);
        for stream in [0, 1, 2, u32::MAX] {
            let header = FrameHeader { stream: StreamId(stream), ..header };
            let right = match header.kind.scope() {
                Scope::Connection => stream == 0,
                Scope::Stream => stream != 0,
                Scope::Any => true,
            };
            match Message::decode(&header, payload.clone()) {
                Ok(read) => assert!(right && read == message),
                Err(error) => assert!(!right && error.code() == ErrorCode::PROTOCOL, "{error}"),
            }
        }
    }
}

/// NC-FRM-013, NC-INV-005, NC-EXT-001
#[test]
fn unknown_types_are_ignorable_or_fatal() {
    for number in 0..=u8::MAX {
        let kind = FrameType(number);
        let answer = read(kind, vec![1, 2, 3]);
        if kind.is_ignorable() && kind.name().is_none() {
            assert_eq!(answer, Ok(Message::Ignorable { kind, payload: Bytes::from_static(&[1, 2, 3]) }));
        } else if kind.name().is_none() {
            let error = answer.unwrap_err();
            assert_eq!((error.code(), error.ends_stream_only()), (ErrorCode::UNKNOWN_CRITICAL, false));
        }
    }
}

/// NC-TYP-004, NC-STR-001, NC-POS-001, NC-PUB-001: of fields that are enumerations, every number but the named ones is refused.
#[test]
fn reserved_bytes_and_unknown_numbers_are_refused() {
    let zeros_or_enum: &[(FrameType, usize, &[u8])] = &[
        (FrameType::WELCOME, 36, &[0, 1]),
        (FrameType::AUTH, 0, &[1]),
        (FrameType::AUTH, 1, &[1, 2]),
        (FrameType::ERROR, 2, &[0, 1]),
        (FrameType::ERROR, 3, &[0]),
        (FrameType::OPEN, 0, &[0, 1, 2, 3, 4, 5, 6]),
        (FrameType::OPEN, 1, &[0, 1]),
        (FrameType::OPEN, 2, &[0]),
        (FrameType::OPEN, 3, &[0]),
        (FrameType::OPENED, 20, &[0, 1, 2]),
        (FrameType::OPENED, 21, &[0, 1]),
        (FrameType::OPENED, 22, &[0]),
        (FrameType::OPENED, 23, &[0]),
        (FrameType::SEEK, 4, &[0, 1, 2, 3, 4, 5, 6]),
        (FrameType::SEEK, 5, &[0]),
        (FrameType::SEEK, 6, &[0]),
        (FrameType::SEEK, 7, &[0]),
        (FrameType::SEEKED, 4, &[0]),
        (FrameType::SEEKED, 7, &[0]),
        (FrameType::GAP, 16, &[1, 2]),
        (FrameType::GAP, 17, &[0]),
        (FrameType::GAP, 19, &[0]),
        (FrameType::END, 0, &[1, 2]),
        (FrameType::END, 1, &[0]),
        (FrameType::END, 7, &[0]),
        (FrameType::PUBLISH_OPEN, 0, &[0, 1]),
        (FrameType::PUBLISH_OPEN, 1, &[0, 1, 2, 255]),
        (FrameType::PUBLISH_OPEN, 2, &[0]),
        (FrameType::PUBLISH_OPEN, 3, &[0]),
        (FrameType::PUBLISH_OPENED, 20, &[0, 1, 2]),
        (FrameType::PUBLISH_OPENED, 21, &[0]),
        (FrameType::PUBLISH_OPENED, 23, &[0]),
        (FrameType::PUBLISH_ACK, 0, &[1, 2]),
        (FrameType::PUBLISH_ACK, 1, &[0]),
        (FrameType::PUBLISH_ACK, 3, &[0]),
        (FrameType::LIST_REPLY, 0, &[0, 1]),
    ];
    let samples = one_of_each();
    for &(kind, at, allowed) in zeros_or_enum {
        let sample = samples.iter().find(|message| message.kind() == kind).unwrap();
        let payload = frame(sample).1;
        for byte in 0..=u8::MAX {
            let mut changed = payload.to_vec();
            changed[at] = byte;
            let read = read(kind, changed);
            if !allowed.contains(&byte) {
                assert!(read.is_err(), "{kind}: {byte} at {at} was read as {read:?}");
            }
        }
    }
}

/// NC-POS-002
#[test]
fn a_start_has_only_the_fields_of_its_kind() {
    for kind in 0..=6u8 {
        let start = |value: u64, log: u8, epoch: u32| {
            let mut payload = vec![9, 0, 0, 0, kind, 0, 0, 0];
            payload.extend_from_slice(&value.to_le_bytes());
            payload.extend_from_slice(&[log; 16]);
            payload.extend_from_slice(&epoch.to_le_bytes());
            read(FrameType::SEEK, payload).is_ok()
        };
        assert!(start(0, 0, 0));
        assert_eq!(start(5, 0, 0), kind > 1);
        assert_eq!(start(0, 1, 0), kind == 6);
        assert_eq!(start(0, 0, 1), kind == 6);
    }
}

/// NC-STR-004
#[test]
fn a_filter_ends_its_stream_only() {
    let name = ChannelName::new("a").unwrap();
    let sample = Message::Open(Open { name, start: Start::Earliest, wait: false, credit: 1, filter: None });
    let mut payload = without_params(&sample).to_vec();
    let at = payload.len() - 2;
    payload[at] = 3;
    payload.extend_from_slice(b"key");
    let error = read(FrameType::OPEN, payload.clone()).unwrap_err();
    assert_eq!((error.code(), error.ends_stream_only()), (ErrorCode::FILTER, true));
    assert_eq!(error.at(), Some(Offset(3)), "NC-FLT-025: where it goes wrong");
    assert!(error.to_string().contains("line 1, column 4: expected an operator"), "{error}");
    payload.truncate(at + 4);
    assert_eq!(read(FrameType::OPEN, payload).unwrap_err().code(), ErrorCode::MALFORMED);
}

/// NC-ERR-004
#[test]
fn an_error_text_is_cut_between_characters() {
    let text = "é".repeat(400);
    let message = Message::Error(ErrorFrame::new(ErrorCode::IO, format!("x{text}")));
    let (header, payload) = frame(&message);
    match Message::decode(&header, payload).unwrap() {
        Message::Error(error) => assert_eq!(error.text, format!("x{}", "é".repeat(255))),
        other => panic!("{other:?}"),
    }
}

/// NC-ERR-006
#[test]
fn an_error_text_is_shown_with_its_control_characters_escaped() {
    let error = ErrorFrame::new(ErrorCode::DENIED, "no\u{1b}[2J\r\n\u{202e}");
    assert_eq!(error.to_string(), "DENIED: no\\u{1b}[2J\\r\\n\\u{202e}");
}

/// NC-EXT-012: in OPEN it is unknown, and skipped.
#[test]
fn a_content_stands_once_where_it_may_and_is_one() {
    let sample = |kind| one_of_each().into_iter().find(|message| message.kind() == kind).unwrap();
    let with = |message: &Message, params: &[&[u8]]| {
        let payload = [&without_params(message)[..], &params.concat()].concat();
        read(message.kind(), payload)
    };
    let param = |content: &str| [&[0x10, 0, content.len() as u8, 0], content.as_bytes()].concat();
    let (postcard, json) = (param("postcard"), param("json"));
    let Message::Opened(opened) = sample(FrameType::OPENED) else { panic!() };
    let opened = Opened { partitions: None, ..opened };
    let plain = Message::Opened(Opened { content: None, ..opened.clone() });
    let content = Some("postcard".parse().unwrap());
    assert_eq!(with(&plain, &[&postcard]), Ok(Message::Opened(Opened { content, ..opened })));
    assert!(with(&plain, &[&postcard, &json]).is_err());
    assert!(with(&plain, &[&param("")]).is_err() && with(&plain, &[&param("Json")]).is_err());
    let longest = "x".repeat(netchan_proto::limits::MAX_CONTENT);
    assert!(with(&plain, &[&param(&longest)]).is_ok() && with(&plain, &[&param(&(longest + "x"))]).is_err());
    let open = sample(FrameType::OPEN);
    assert_eq!(with(&open, &[&postcard, &json]), Ok(open));
}

/// NC-EXT-014, NC-EXT-015
#[test]
fn a_number_of_partitions_stands_once_where_it_may_and_is_one() {
    let param = |count: &[u8]| [&[0x11, 0, count.len() as u8, 0], count].concat();
    let four = Partitions::new(4).ok();
    for message in one_of_each().into_iter().filter(|message| has_params(message.kind())).map(bare) {
        let (kind, name) = (message.kind(), "x@3".parse().unwrap());
        let message = match message {
            Message::PublishOpen(open) => Message::PublishOpen(PublishOpen { name, ..open }),
            other => other,
        };
        let with = |params: &[&[u8]]| read(kind, [&without_params(&message)[..], &params.concat()].concat());
        let mut said = message.clone();
        match &mut said {
            Message::Opened(opened) => opened.partitions = four,
            Message::Seeked(seeked) => seeked.opened.partitions = four,
            Message::PublishOpen(open) => open.partitions = four,
            Message::PublishOpened(opened) => opened.partitions = four,
            _ => {
                assert_eq!(
                    with(&[&param(&[4, 0]), &param(&[0, 0])]).as_ref(),
                    Ok(&message),
                    "{kind}: unknown"
                );
                continue;
            }
        }
        assert_eq!(with(&[&param(&[4, 0])]), Ok(said), "{kind}");
        assert!(with(&[&param(&[0, 4])]).is_ok(), "{kind}: {MAX_PARTITIONS}");
        let twice = [&param(&[4, 0])[..], &param(&[4, 0])];
        assert_eq!(with(&twice).map_err(DecodeError::code), Err(ErrorCode::MALFORMED), "{kind}: twice");
        for wrong in [&[][..], &[4], &[4, 0, 0], &[0, 0], &[1, 4], &[0xff, 0xff]] {
            assert_eq!(
                with(&[&param(wrong)]).map_err(DecodeError::code),
                Err(ErrorCode::MALFORMED),
                "{wrong:?}"
            );
        }
        if let Message::PublishOpen(open) = message {
            let plain = Message::PublishOpen(PublishOpen { name: "x".parse().unwrap(), ..open });
            let payload = [&without_params(&plain)[..], &param(&[4, 0])].concat();
            assert_eq!(
                read(kind, payload).map_err(DecodeError::code),
                Err(ErrorCode::MALFORMED),
                "no partition"
            );
        }
    }
}

/// NC-STR-030, NC-STR-031
#[test]
fn a_list_is_in_the_order_of_names_and_never_promises_more_of_nothing() {
    let info = |name: &str| {
        let sample = one_of_each().into_iter().find(|message| message.kind() == FrameType::STAT_REPLY);
        match sample {
            Some(Message::StatReply(info)) => LogInfo { name: name.parse().unwrap(), ..info },
            _ => unreachable!("asked for STAT_REPLY"),
        }
    };
    let reply = |more, names: &[&str]| {
        let logs = names.iter().map(|name| info(name)).collect();
        let (header, payload) = frame(&Message::ListReply(ListReply { more, logs }));
        Message::decode(&header, payload).is_ok()
    };
    assert!(reply(true, &["a", "ab", "b"]) && reply(false, &[]));
    assert!(!reply(false, &["b", "a"]) && !reply(false, &["a", "a"]) && !reply(true, &[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// NC-HSK-010: roles of any bits are among what is written.
    #[test]
    fn what_is_written_is_read(message in message()) {
        let (header, payload) = frame(&message);
        prop_assert_eq!(Message::decode(&header, payload), Ok(message));
    }

    /// NC-TYP-003
    #[test]
    fn what_is_read_is_written_the_same(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (header, payload) = frame(&message);
        let mut changed = payload.to_vec();
        if !changed.is_empty() {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        if let Ok(read) = read(header.kind, changed.clone()) {
            let again = if has_params(header.kind) { without_params(&bare(read)) } else { frame(&read).1 };
            // What is unknown is skipped, and not there any more.
            let unknown = match header.kind {
                FrameType::STATUS_REPLY => Some(10), // a counter
                FrameType::DESCRIPTION => Some(9),   // a setting
                _ => None,
            };
            let unknown = unknown.filter(|_| again.len() < changed.len());
            if has_params(header.kind) {
                prop_assert_eq!(&again[..], &changed[..again.len()]);
            } else if let Some(len) = unknown {
                prop_assert_eq!((changed.len() - again.len()) % len, 0, "whole counters and settings");
            } else {
                prop_assert_eq!(&again[..], &changed[..]);
            }
        }
    }

    /// NC-LIM-006
    #[test]
    fn rubbish_never_panics(kind in any::<u8>(), stream in 0u32..3, payload in prop::collection::vec(any::<u8>(), 0..600)) {
        let header = FrameHeader { len: payload.len().try_into().unwrap(), kind: FrameType(kind), stream: StreamId(stream) };
        let _ = Message::decode(&header, payload.into());
    }

    #[test]
    fn a_length_that_is_not_the_payloads_is_refused(message in message(), wrong in any::<u32>()) {
        let (header, payload) = frame(&message);
        if wrong != header.len {
            let header = FrameHeader { len: wrong, ..header };
            prop_assert!(Message::decode(&header, payload).is_err());
        }
    }
}
