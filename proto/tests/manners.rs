//! What one side does with what the other says, rule by rule, where proto/tests/connection.rs doesn't have it: the
//! handshake's lies, the scope of errors, what needs credit and what does not, and what is dropped.
#![allow(clippy::unwrap_used)] // a panic here is a failed test

mod pair;

use bytes::Bytes;
use netchan_proto::batch::{BatchBuilder, Stamp, seal_batch};
use netchan_proto::conn::{Connection, Event, Side};
use netchan_proto::subscription::{Delivery, Subscription, SubscriptionError};
use netchan_proto::wire::*;
use netchan_proto::{
    AsRecord, ChannelName, Digest, Durability, Epoch, ErrorCode, Instant, LogId, NodeId, Offset, ProducerId,
    Timestamp,
};
use pair::{Pair, config, connection, drain, feed, frame};

const NOW: Instant = Instant(0);
const LOG: LogId = LogId([7; 16]);

fn open() -> Open {
    Open {
        name: ChannelName::new("demo").unwrap(),
        start: Start::Earliest,
        wait: false,
        credit: 1000,
        filter: None,
    }
}

fn opened(start: u64) -> Opened {
    Opened {
        log: LOG,
        epoch: Epoch(1),
        durability: Durability::Sync,
        sealed: false,
        first: Offset(0),
        next: Offset(1000),
        start: Offset(start),
        clock: Timestamp(0),
        content: None,
        partitions: None,
    }
}

/// The messages in what a connection says.
fn said(connection: &mut Connection) -> Vec<(u32, Message)> {
    let mut bytes = drain(connection);
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::decode(bytes.first_chunk().unwrap()).unwrap();
        let _ = bytes.split_to(FRAME_HEADER_LEN);
        let payload = bytes.split_to(header.len as usize);
        messages.push((header.stream.0, Message::decode(&header, payload).unwrap()));
    }
    messages
}

/// A dialler that has said HELLO, and WELCOME as an honest listener would answer it.
fn welcomed() -> (Connection, Welcome) {
    let mut dialler = connection(Side::Dialler);
    let hello = drain(&mut dialler);
    let mut listener = connection(Side::Listener);
    feed(&mut listener, &hello, NOW).unwrap();
    let answer = drain(&mut listener).slice(PREFACE.len()..);
    let header = FrameHeader::decode(answer.first_chunk().unwrap()).unwrap();
    let payload = answer.slice(FRAME_HEADER_LEN..FRAME_HEADER_LEN + header.len as usize);
    match Message::decode(&header, payload).unwrap() {
        Message::Welcome(welcome) => (dialler, welcome),
        other => panic!("{other:?}"),
    }
}

fn answer(dialler: &mut Connection, message: Message, stream: u32) -> Option<ErrorCode> {
    let bytes = [&PREFACE[..], &frame(stream, &message)].concat();
    feed(dialler, &bytes, NOW).err().and_then(|error| error.code())
}

/// NC-HSK-012, NC-HSK-013
#[test]
fn a_welcome_that_does_not_answer_this_hello_is_refused() {
    let (mut dialler, welcome) = welcomed();
    assert_eq!(answer(&mut dialler, Message::Welcome(welcome.clone()), 0), None);
    assert!(dialler.is_ready());
    for version in [0, 2, u16::MAX] {
        let (mut dialler, welcome) = welcomed();
        let other = Message::Welcome(Welcome { version, ..welcome });
        assert_eq!(answer(&mut dialler, other, 0), Some(ErrorCode::PROTOCOL));
    }
    for byte in 0..32 {
        let (mut dialler, mut welcome) = welcomed();
        welcome.hello[byte] ^= 1;
        assert_eq!(answer(&mut dialler, Message::Welcome(welcome), 0), Some(ErrorCode::PROTOCOL));
    }
}

/// NC-HSK-007
#[test]
fn an_error_of_a_stream_makes_no_sense_before_there_are_streams() {
    let error = Message::Error(ErrorFrame::new(ErrorCode::DENIED, ""));
    assert_eq!(answer(&mut connection(Side::Dialler), error.clone(), 1), Some(ErrorCode::PROTOCOL));
    assert_eq!(answer(&mut connection(Side::Dialler), error, 0), Some(ErrorCode::DENIED));
}

/// NC-FRM-020
#[test]
fn nothing_is_ignored_before_the_handshake_is_done() {
    for kind in [0x7e, 0x8b, 0xc1] {
        for side in [Side::Dialler, Side::Listener] {
            let mut fresh = connection(side);
            let header = FrameHeader { len: 0, kind: FrameType(kind), stream: StreamId(0) }.encode();
            let error = feed(&mut fresh, &[&PREFACE[..], &header].concat(), NOW).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::PROTOCOL), "{kind:#x}");
        }
    }
}

/// NC-ERR-001, NC-ERR-002
#[test]
fn an_error_on_the_connection_is_the_last_thing_said_and_not_answered() {
    let mut pair = Pair::ready();
    let stream = pair.dialler.open(&open()).unwrap();
    drain(&mut pair.dialler);
    pair.dialler.close_with(ErrorCode::INTERNAL, "why");
    pair.dialler.close_with(ErrorCode::INTERNAL, "again");
    pair.dialler.close_stream(stream);
    pair.dialler.go_away(std::time::Duration::ZERO);
    let last = said(&mut pair.dialler);
    assert!(
        matches!(&last[..], [(0, Message::Error(error))] if error.code == ErrorCode::INTERNAL),
        "{last:?}"
    );
    let error = feed(&mut pair.listener, &frame(0, &last[0].1), NOW).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INTERNAL));
    assert_eq!(said(&mut pair.listener), []);
    assert!(pair.listener.is_over());
}

/// NC-ERR-003, NC-ERR-005
#[test]
fn an_error_on_a_stream_ends_that_stream_only_whatever_its_code() {
    for code in [ErrorCode::NO_CHANNEL, ErrorCode(0x0777), ErrorCode::APPLICATION] {
        let mut pair = Pair::ready();
        let first = pair.dialler.open(&open()).unwrap();
        let second = pair.dialler.open(&open()).unwrap();
        pair.run();
        let error = ErrorFrame { retryable: true, ..ErrorFrame::new(code, "so") };
        pair.listener.stream_error(first, error.clone());
        assert_eq!(pair.run().dialler, [Event::StreamError(first, error)]);
        pair.listener.opened(second, &opened(0));
        assert_eq!(pair.run().dialler, [Event::Opened(second, opened(0))]);
    }
}

/// NC-FLW-006, NC-STR-011
#[test]
fn a_seek_begins_a_new_run_on_the_old_credit() {
    let mut pair = Pair::ready();
    let stream = pair.dialler.open(&open()).unwrap();
    pair.run();
    pair.listener.opened(stream, &opened(0));
    pair.listener.data(stream, Bytes::from(vec![1; 600]));
    pair.dialler.seek(stream, &Seek { seek_id: 1, start: Start::Latest });
    pair.run();
    pair.listener.seeked(stream, &Seeked { seek_id: 1, opened: opened(0) });
    assert_eq!(pair.listener.room(stream), 400);
    pair.listener.data(stream, Bytes::from(vec![2; 400]));
    let after = said(&mut pair.listener);
    assert!(
        matches!(&after[..], [(1, Message::Seeked(_)), (1, Message::Data(Range { at: 0, .. }))]),
        "{after:?}"
    );
    for (stream, message) in &after {
        feed(&mut pair.dialler, &frame(*stream, message), NOW).unwrap();
    }
    let more = Message::Data(Range { at: 400, bytes: Bytes::from_static(b"x") });
    let error = feed(&mut pair.dialler, &frame(1, &more), NOW).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FLOW));
}

/// NC-FLW-011, NC-STR-022
#[test]
fn what_is_not_data_needs_no_credit_and_leaves_the_run_alone() {
    let mut pair = Pair::ready();
    let stream = pair.dialler.open(&Open { credit: 0, ..open() }).unwrap();
    pair.run();
    pair.listener.opened(stream, &opened(0));
    assert_eq!(pair.listener.room(stream), 0);
    let progress = Progress { scanned: Offset(3), next: Offset(9), clock: Timestamp(1) };
    pair.listener.progress(stream, &progress);
    pair.listener
        .gap(stream, &Gap { from: Offset(0), to: Offset(9), why: GapReason::Retention, epoch: Epoch(1) });
    assert_eq!(pair.run().dialler.len(), 3);
    pair.dialler.grant(stream, 20);
    pair.run();
    pair.listener.data(stream, Bytes::from_static(b"ten bytes."));
    pair.listener.progress(stream, &progress);
    pair.listener.data(stream, Bytes::from_static(b"ten more.."));
    let ranges: Vec<_> =
        pair.run().dialler.into_iter().filter(|event| matches!(event, Event::Data(..))).collect();
    assert_eq!(ranges.len(), 2);
}

/// NC-PUB-009, NC-FLW-002, NC-FLW-005
#[test]
fn a_publisher_keeps_to_its_place_and_its_credit() {
    let accepting = || {
        let mut pair = Pair::ready();
        let open = PublishOpen {
            name: ChannelName::new("demo").unwrap(),
            create: true,
            durability: None,
            producer: ProducerId([9; 16]),
            content: None,
            partitions: None,
        };
        let stream = pair.dialler.publish_open(&open).unwrap();
        pair.run();
        let opened = PublishOpened {
            log: LOG,
            epoch: Epoch(1),
            durability: Durability::Sync,
            next_sequence: 0,
            credit: 10,
            note: Note::default(),
            partitions: None,
        };
        pair.listener.publish_opened(stream, &opened);
        pair.run();
        assert_eq!(pair.dialler.room(stream), 10);
        (pair.listener, stream.0)
    };
    for (at, len, refused) in [(0, 10, None), (0, 11, Some(ErrorCode::FLOW)), (1, 5, Some(ErrorCode::FLOW))] {
        let (mut listener, stream) = accepting();
        let range = Message::Publish(Range { at, bytes: Bytes::from(vec![0; len]) });
        let answer = feed(&mut listener, &frame(stream, &range), NOW);
        assert_eq!(answer.err().and_then(|error| error.code()), refused, "{len} at {at}");
    }
}

/// NC-ERR-008, NC-STR-004, NC-EXT-007: and the number cannot be used again.
#[test]
fn a_stream_that_asks_for_what_is_not_there_is_refused_by_itself() {
    let mut plain = frame(1, &Message::Open(open()));
    plain.extend_from_slice(&[0x01, 0x80, 0, 0]); // parameter 0x8001
    let len = u32::try_from(plain.len() - FRAME_HEADER_LEN).unwrap();
    plain[..FRAME_HEADER_LEN]
        .copy_from_slice(&FrameHeader { len, kind: FrameType::OPEN, stream: StreamId(1) }.encode());
    let mut listener = Pair::ready().listener;
    assert_eq!(feed(&mut listener, &plain, NOW), Ok(vec![]));
    let told = said(&mut listener);
    assert!(
        matches!(&told[..], [(1, Message::Error(error))] if error.code == ErrorCode::UNKNOWN_CRITICAL),
        "{told:?}"
    );
    assert_eq!(feed(&mut listener, &frame(1, &Message::Credit(5)), NOW), Ok(vec![]), "dropped");
    assert!(feed(&mut listener, &frame(3, &Message::Open(open())), NOW).is_ok());
    assert!(feed(&mut listener, &frame(1, &Message::Open(open())), NOW).is_err());
}

/// NC-EXT-005, NC-HSK-025: HELLO of a node that knows more, with a role bit, a version and a parameter that mean nothing here.
#[test]
fn a_newer_peer_is_understood_as_far_as_it_goes() {
    let hello = Hello { versions: vec![9, 1], roles: Roles(0xfff2), node: NodeId([5; 16]), nonce: [6; 16] };
    let mut bytes = frame(0, &Message::Hello(hello));
    bytes.extend_from_slice(&[0x34, 0x12, 3, 0, 1, 2, 3]);
    let len = u32::try_from(bytes.len() - FRAME_HEADER_LEN).unwrap();
    bytes[..FRAME_HEADER_LEN]
        .copy_from_slice(&FrameHeader { len, kind: FrameType::HELLO, stream: StreamId(0) }.encode());
    let mut listener = Connection::new(config(Side::Listener, None), NOW);
    let events = feed(&mut listener, &[&PREFACE[..], &bytes].concat(), NOW).unwrap();
    assert!(matches!(events[..], [Event::Ready(peer)] if peer.roles.has(Roles::RECEIVES)));
    let answer = drain(&mut listener).slice(PREFACE.len()..);
    assert_eq!(answer[FRAME_HEADER_LEN..FRAME_HEADER_LEN + 2], [1, 0], "the version that both speak");
}

// ---- what a receiver makes of a run of batches ----

fn batch(base: u64, time: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Offset(base), None);
    builder.push(Timestamp(time), &"first".as_record());
    builder.push(Timestamp(time + 1), &"second".as_record());
    builder.finish(Stamp { seed: &LOG.0, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 }).1
}

fn reading() -> Subscription {
    let mut subscription =
        Subscription::new(ChannelName::new("demo").unwrap(), Start::Offset(Offset(0)), 10_000, false);
    subscription.request();
    subscription.on_opened(opened(0));
    subscription
}

/// NC-STR-019
#[test]
fn a_time_that_does_not_increase_is_the_senders_fault() {
    for (time, good) in [(12, true), (11, false), (10, false), (0, false)] {
        let mut subscription = reading();
        subscription.on_data(batch(0, 10)).unwrap();
        subscription.on_data(batch(2, time)).unwrap();
        assert!(matches!(subscription.next_delivery(), Ok(Some(Delivery::Batch { .. }))));
        assert_eq!(subscription.next_delivery().is_ok(), good, "{time}");
    }
}

/// NC-STR-026
#[test]
fn a_gap_or_a_seal_within_a_batch_is_the_senders_fault() {
    let told: [fn(&mut Subscription); 3] = [
        |s| s.on_gap(Gap { from: Offset(0), to: Offset(2), why: GapReason::Retention, epoch: Epoch(1) }),
        |s| s.on_truncated(Truncated { epoch: Epoch(1), log_epoch: Epoch(2), end: Offset(0) }),
        |s| s.on_end(End::Sealed { final_offset: Offset(0) }),
    ];
    for tell in told {
        let mut subscription = reading();
        subscription.on_data(batch(0, 10).slice(..70)).unwrap();
        tell(&mut subscription);
        assert!(matches!(subscription.next_delivery(), Err(SubscriptionError::Unexpected(_))));
    }
}

/// NC-STR-012
#[test]
fn a_batch_that_a_seek_interrupted_is_forgotten() {
    let mut subscription = reading();
    subscription.on_data(batch(0, 10).slice(..70)).unwrap();
    assert_eq!(subscription.next_delivery(), Ok(None));
    let seek = subscription.seek(Start::Offset(Offset(6))).unwrap();
    subscription.on_seeked(seek, opened(6));
    subscription.on_data(batch(6, 20)).unwrap();
    match subscription.next_delivery() {
        Ok(Some(Delivery::Batch { from, batch })) => {
            assert_eq!((from, batch.header().next_offset()), (Offset(6), Offset(8)));
        }
        other => panic!("{other:?}"),
    }
}

/// NC-STR-021
#[test]
fn a_seal_is_told_by_end_and_by_nothing_else() {
    let mut subscription = reading();
    let stamp = Stamp { seed: &LOG.0, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
    subscription.on_data(seal_batch(Offset(0), Timestamp(1), None, stamp).1).unwrap();
    assert!(subscription.next_delivery().is_err());
    assert!(!subscription.is_over());
}

fn pair_of(base: u64) -> (netchan_proto::batch::BatchHeader, Bytes) {
    let mut builder = BatchBuilder::new(Offset(base), None);
    builder.push(Timestamp(base as i64 + 1), &"x".as_record());
    builder.push(Timestamp(base as i64 + 2), &"y".as_record());
    let stamp = Stamp { seed: &LOG.0, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
    builder.finish(stamp)
}

/// NC-STR-039, NC-STR-040
#[test]
fn who_has_read_all_of_a_sealed_channel_holds_it_to_its_digest() {
    let batches = [pair_of(0), pair_of(2), pair_of(4)];
    let whole = batches.iter().fold(Digest::START, |digest, (header, bytes)| digest.with(header, bytes));
    let end = End::Sealed { final_offset: Offset(6) };
    for told in [None, Some(whole), Some(Digest::START)] {
        let mut subscription = reading();
        for (_, bytes) in &batches {
            subscription.on_data(bytes.clone()).unwrap();
            assert!(matches!(subscription.next_delivery(), Ok(Some(Delivery::Batch { .. }))));
        }
        assert_eq!(subscription.digest(), Some(whole));
        told.into_iter().for_each(|told| subscription.on_digest(told));
        subscription.on_end(end);
        match (told, subscription.next_delivery()) {
            (None, Ok(Some(Delivery::Sealed { .. }))) => {}
            (Some(told), Ok(Some(Delivery::Sealed { .. }))) => assert_eq!(told, whole),
            (Some(told), Err(SubscriptionError::Digest { read, told: said })) => {
                assert!(told == said && read == whole && told != whole);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// NC-STR-040: a batch that comes again because the stream broke off counts once; a gap is nobody's fault.
#[test]
fn a_digest_is_held_over_connections_and_not_over_gaps() {
    let batches = [pair_of(0), pair_of(2)];
    let whole = batches.iter().fold(Digest::START, |digest, (header, bytes)| digest.with(header, bytes));
    let mut subscription = reading();
    subscription.on_data(batches[0].1.clone()).unwrap();
    assert!(subscription.next_delivery().unwrap().is_some());
    subscription.on_lost();
    let _ = subscription.request();
    subscription.on_opened(opened(2));
    subscription.on_data(batches[1].1.clone()).unwrap();
    assert!(subscription.next_delivery().unwrap().is_some());
    assert_eq!(subscription.digest(), Some(whole));
    subscription.on_gap(Gap { from: Offset(4), to: Offset(6), why: GapReason::Retention, epoch: Epoch(1) });
    assert!(subscription.next_delivery().unwrap().is_some());
    assert_eq!(subscription.digest(), None);
    subscription.on_digest(Digest::START);
    subscription.on_end(End::Sealed { final_offset: Offset(6) });
    assert!(matches!(subscription.next_delivery(), Ok(Some(Delivery::Sealed { .. }))));
}

/// NC-STR-041
#[test]
fn a_digest_of_nothing_known_is_no_digest() {
    let header = FrameHeader { len: 8, kind: FrameType::DIGEST, stream: StreamId(1) };
    let error = Message::decode(&header, Bytes::from_static(&[0; 8])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::MALFORMED);
}

/// NC-STR-049
#[test]
fn to_have_received_up_to_nowhere_means_nothing() {
    for kind in [FrameType::AWAIT, FrameType::RECEIVED] {
        let header = FrameHeader { len: 8, kind, stream: StreamId(1) };
        let payload = Bytes::copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Message::decode(&header, payload).unwrap_err().code(), ErrorCode::MALFORMED);
    }
}

/// Each RECEIVED has an AWAIT: who sends another one is cut off; and after SEEKED those from before count no more.
/// NC-STR-044, NC-STR-045
#[test]
fn nobody_tells_what_was_not_asked() {
    let mut pair = Pair::ready();
    let stream = pair.dialler.open(&open()).unwrap();
    pair.run();
    pair.listener.opened(stream, &opened(0));
    pair.run();
    pair.listener.await_received(stream, Offset(5));
    pair.dialler.seek(stream, &Seek { seek_id: 1, start: Start::Earliest });
    // It knows by itself that a seek is under way.
    pair.dialler.tell_received(stream, Offset(5));
    let seen = pair.run();
    assert!(!seen.dialler.iter().any(|event| matches!(event, Event::Await(..))));
    assert!(!seen.listener.iter().any(|event| matches!(event, Event::Received(..))));
    pair.listener.seeked(stream, &Seeked { seek_id: 1, opened: opened(0) });
    pair.run();
    let unasked = frame(stream.0, &Message::Received(Offset(5)));
    let error = feed(&mut pair.listener, &unasked, NOW).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PROTOCOL));
}
