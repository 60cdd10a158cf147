//! STATUS_REPLY and READERS_REPLY: order, counts, and what is skipped.

use netchan_proto::limits::{MAX_COUNTERS, MAX_PEER_TEXT, MAX_READERS};
use netchan_proto::wire::*;
use netchan_proto::{ErrorCode, NodeId, Offset, Timestamp};

use crate::any::{frame, read};

/// The payload of a STATUS_REPLY with these counters.
fn status(counters: impl ExactSizeIterator<Item = (u16, u64)>) -> Vec<u8> {
    let mut payload = frame(&Message::StatusReply(NodeStatus::default())).1.to_vec();
    payload.truncate(payload.len() - 2);
    payload.extend_from_slice(&u16::try_from(counters.len()).unwrap().to_le_bytes());
    for (number, value) in counters {
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(&value.to_le_bytes());
    }
    payload
}

fn told(counters: &[(u16, u64)]) -> Result<Vec<(u16, u64)>, ErrorCode> {
    match read(FrameType::STATUS_REPLY, status(counters.iter().copied())) {
        Ok(Message::StatusReply(status)) => {
            Ok(status.counters.iter().map(|(counter, value)| (counter.number(), value)).collect())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code()),
    }
}

/// NC-STA-002
#[test]
fn counters_come_in_the_order_of_their_numbers_each_once() {
    assert_eq!(told(&[(1, 7), (2, 8), (0x20, 9)]), Ok(vec![(1, 7), (2, 8), (0x20, 9)]));
    assert_eq!(told(&[(2, 7), (1, 8)]), Err(ErrorCode::MALFORMED));
    assert_eq!(told(&[(1, 7), (1, 7)]), Err(ErrorCode::MALFORMED));
    // Also where none of them is known.
    assert_eq!(told(&[(0x9000, 7), (0x8fff, 8)]), Err(ErrorCode::MALFORMED));
}

/// NC-STA-003
#[test]
fn a_counter_of_a_later_version_is_skipped() {
    assert_eq!(told(&[(0, 1), (1, 2), (0x7fff, 3), (0xffff, 4)]), Ok(vec![(1, 2)]));
}

/// NC-LIM-003
#[test]
fn more_counters_than_the_most_are_refused() {
    let of = |count: usize| {
        read(
            FrameType::STATUS_REPLY,
            status((0..u16::try_from(count).unwrap()).map(|n| (n, 0)).collect::<Vec<_>>().into_iter()),
        )
    };
    assert!(of(MAX_COUNTERS).is_ok());
    assert_eq!(of(MAX_COUNTERS + 1).unwrap_err().code(), ErrorCode::MALFORMED);
}

fn reader(id: u64) -> ReaderInfo {
    ReaderInfo {
        id,
        kind: ReaderKind::Reads,
        node: NodeId([1; 16]),
        since: Timestamp(5),
        offset: Some(Offset(10)),
        next: Some(Offset(15)),
        time: Timestamp(1_000),
        behind: 0,
        credit: 0,
        records: 0,
        bytes: 0,
        channel: "c".parse().unwrap(),
        peer: String::new(),
    }
}

fn reply(more: bool, readers: Vec<ReaderInfo>) -> Message {
    Message::ReadersReply(ReadersReply { more, now: Timestamp(9), readers })
}

/// What comes of a reply that is sent.
fn sent(message: &Message) -> Result<Message, ErrorCode> {
    let (header, payload) = frame(message); // checks the length of the frame
    read(header.kind, payload).map_err(DecodeError::code)
}

/// NC-STA-007, NC-STA-008
#[test]
fn readers_come_in_the_order_of_their_ids_and_more_follows_some() {
    for good in [reply(false, vec![]), reply(true, vec![reader(1)]), reply(false, vec![reader(1), reader(3)])]
    {
        assert_eq!(sent(&good), Ok(good));
    }
    for bad in [
        reply(true, vec![]),
        reply(false, vec![reader(0)]),
        reply(false, vec![reader(3), reader(1)]),
        reply(false, vec![reader(3), reader(3)]),
    ] {
        assert_eq!(sent(&bad), Err(ErrorCode::MALFORMED), "{bad:?}");
    }
}

/// NC-STA-010
#[test]
fn a_page_of_the_most_readers_with_the_longest_texts_fits_a_frame_and_more_is_refused() {
    let longest = |id| ReaderInfo {
        channel: "n".repeat(255).parse().unwrap(),
        peer: "p".repeat(MAX_PEER_TEXT),
        ..reader(id)
    };
    let most = reply(false, (1..=MAX_READERS as u64).map(longest).collect());
    assert_eq!(sent(&most), Ok(most.clone()));
    let (header, payload) = frame(&most);
    let mut beyond = payload.to_vec();
    beyond[9..11].copy_from_slice(&u16::try_from(MAX_READERS + 1).unwrap().to_le_bytes());
    let (_, one) = frame(&reply(false, vec![reader(1 << 20)]));
    beyond.extend_from_slice(&one[11..]);
    assert_eq!(read(header.kind, beyond).unwrap_err().code(), ErrorCode::MALFORMED);
    // Who has more to tell sends as many as fit, and says so.
    match sent(&reply(false, (1..=MAX_READERS as u64 + 1).map(longest).collect())) {
        Ok(Message::ReadersReply(reply)) => assert!(reply.more && reply.readers.len() == MAX_READERS),
        other => panic!("{other:?}"),
    }
    // A text that is too long is sent as far as it fits, in whole characters.
    let named = |peer: String| reply(false, vec![ReaderInfo { peer, ..reader(1) }]);
    match sent(&named("é".repeat(MAX_PEER_TEXT))) {
        Ok(Message::ReadersReply(reply)) => assert_eq!(reply.readers[0].peer, "é".repeat(MAX_PEER_TEXT / 2)),
        other => panic!("{other:?}"),
    }
    let (header, payload) = frame(&named("p".repeat(MAX_PEER_TEXT)));
    let mut longer = payload.to_vec();
    let at = longer.len() - MAX_PEER_TEXT - 1;
    longer[at] += 1;
    longer.push(b'p');
    assert_eq!(read(header.kind, longer).unwrap_err().code(), ErrorCode::MALFORMED);
}

#[test]
fn a_reader_is_behind_by_what_it_was_not_sent_and_for_as_long_as_that_is_there() {
    let now = Timestamp(4_000);
    let behind = reader(1);
    assert_eq!((behind.lag(), behind.lag_time(now).unwrap().as_nanos()), (Some(5), 3_000));
    let at_end = ReaderInfo { offset: Some(Offset(15)), ..reader(1) };
    assert_eq!((at_end.lag(), at_end.lag_time(now).unwrap().as_nanos()), (Some(0), 0));
    let unknown = ReaderInfo { time: Timestamp::MIN, ..reader(1) };
    assert_eq!((unknown.lag(), unknown.lag_time(now)), (Some(5), None));
    for nowhere in [
        ReaderInfo { offset: None, ..reader(1) },
        ReaderInfo { next: None, ..reader(1) },
        ReaderInfo { kind: ReaderKind::Publishes, ..reader(1) },
    ] {
        assert_eq!((nowhere.lag(), nowhere.lag_time(now)), (None, None));
    }
}

#[test]
fn counters_since_are_what_was_counted_between_and_gauges_as_they_are() {
    let of = |opened, accepted| {
        [(Counter::CONNECTIONS_OPEN, opened), (Counter::CONNECTIONS_ACCEPTED, accepted)]
            .into_iter()
            .collect::<Counters>()
    };
    let since = of(3, 100).since(&of(7, 90));
    assert_eq!((since.connections_open(), since.connections_accepted()), (Some(3), Some(10)));
    assert_eq!(since.get(Counter::SYNCS), None);
    // A node that was started anew counts from zero.
    assert_eq!(of(3, 5).since(&of(7, 90)).connections_accepted(), Some(5));
}

#[test]
fn the_time_that_a_share_of_syncs_took_is_that_of_its_step() {
    let mut counters = Counters::default();
    assert_eq!(counters.sync_quantile(0.5), None);
    let steps: Vec<(Counter, u64)> = Counter::sync_steps().collect();
    assert_eq!(
        (steps[0], steps[14]),
        ((Counter::SYNCS_64US, 64_000), (Counter::SYNCS_1049MS, 1_048_576_000))
    );
    assert_eq!(steps.len(), 15);
    counters.set(Counter::SYNCS, 100);
    for (at, (counter, _)) in steps.iter().enumerate() {
        counters.set(*counter, [10, 50, 98, 99][at.min(3)]);
    }
    let micros = |share| counters.sync_quantile(share).map(|time| time.as_micros());
    assert_eq!([micros(0.1), micros(0.5), micros(0.98), micros(0.99)], [64, 128, 256, 512].map(Some));
    assert_eq!(micros(0.999), None, "one took longer than the last step");
}
