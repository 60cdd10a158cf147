//! What a receiver promises, over a wire that breaks anywhere.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;

use std::time::Duration;

use far::{Far, Got, Wire, name, node, node_with, time_of};
use netchan_node::{Dialling, ErrorKind, Event, Lost, Machine, Next, ReceiverCore, ReceiverOptions};
use netchan_proto::limits::PING_INTERVAL;
use netchan_proto::wire::{ErrorFrame, GapReason};
use netchan_proto::{
    Digest, Epoch, ErrorCode, Instant, LogId, Offset, Position, Side, Start, Timestamp, Token,
};

fn from_start() -> ReceiverOptions {
    ReceiverOptions { start: Start::Earliest, ..ReceiverOptions::new(name()) }
}

fn receiver(options: ReceiverOptions) -> ReceiverCore {
    ReceiverCore::new(&node(), options)
}

fn records(range: std::ops::Range<u64>) -> Vec<Got> {
    range.map(|offset| Got::Record(offset, offset.to_string())).collect()
}

fn events(receiver: &mut ReceiverCore) -> Vec<Event> {
    std::iter::from_fn(|| receiver.poll_event()).collect()
}

fn with_over(mut got: Vec<Got>) -> Vec<Got> {
    got.push(Got::Over);
    got
}

#[test]
fn records_come_in_order_and_the_seal_ends_them() {
    let mut far = Far::with_batches(&[3, 1, 4]);
    far.sealed = true;
    let mut receiver = receiver(from_start());
    let got = Wire::new().run(&mut receiver, &mut far);
    assert_eq!(got, with_over(records(0..8)));
    assert_eq!(receiver.position(), Some(Position { log: far.log, epoch: Epoch(1), offset: Offset(8) }));
    assert!(receiver.is_over() && receiver.connection().is_none());
    let events = events(&mut receiver);
    assert!(matches!(
        events[..],
        [Event::Connected { .. }, Event::Opened { .. }, Event::Sealed { end: Offset(8) }]
    ));
}

/// NC-STR-040
#[test]
fn who_has_read_all_holds_the_end_to_the_digest_and_ends_with_an_error_where_it_is_another() {
    let whole = Far::with_batches(&[3, 1, 4]);
    let digest = whole.batches.iter().fold(Digest::START, |sum, batch| sum.with(&batch.header, &batch.bytes));
    for (told, start, holds) in [
        (digest, from_start(), true),
        (Digest::START, from_start(), false),
        // Who has not read all of it cannot tell.
        (Digest::START, ReceiverOptions { start: Start::Offset(Offset(3)), ..from_start() }, true),
    ] {
        let mut far = Far::with_batches(&[3, 1, 4]);
        (far.sealed, far.digest) = (true, Some(told));
        let mut receiver = receiver(start);
        let mut got = Wire::new().run(&mut receiver, &mut far);
        assert_eq!(got.pop(), Some(Got::Over));
        match got.last() {
            Some(Got::Error(ErrorKind::Damaged)) => assert!(!holds),
            last => assert!(holds, "{last:?}"),
        }
        assert_eq!(far.opens, 1, "another connection would not mend it");
    }
}

#[test]
fn a_cut_after_any_byte_either_way_loses_doubles_and_reorders_nothing() {
    let sizes = [3, 1, 40, 2, 7];
    let total = sizes.iter().sum::<usize>() as u64;
    let far = || {
        let mut far = Far::with_batches(&sizes);
        far.sealed = true;
        far
    };
    let mut whole = Wire::new();
    assert_eq!(whole.run(&mut receiver(from_start()), &mut far()), with_over(records(0..total)));
    let mut cuts = 0;
    for abrupt in [false, true] {
        for (to_near, bytes) in [(true, whole.passed_to_near), (false, whole.passed_to_far)] {
            for cut in 1..bytes {
                let (mut receiver, mut far, mut wire) = (receiver(from_start()), far(), Wire::new());
                (wire.abrupt, wire.step) = (abrupt, 1 + cut % 97);
                *(if to_near { &mut wire.to_near } else { &mut wire.to_far }) = cut;
                let got = wire.run(&mut receiver, &mut far);
                assert_eq!(
                    got,
                    with_over(records(0..total)),
                    "cut at {cut}, to_near {to_near}, abrupt {abrupt}"
                );
                cuts += 1;
            }
        }
    }
    assert!(cuts > 2000, "{cuts}");
}

#[test]
fn a_cut_is_never_the_end() {
    let mut far = Far::with_batches(&[5]);
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..5));
    for round in 0..5 {
        far.hang_up();
        far.append(2);
        let next = 5 + round * 2;
        assert_eq!(wire.run(&mut receiver, &mut far), records(next..next + 2));
    }
    let events = events(&mut receiver);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Lost { .. })).count(), 5);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Resumed { .. })).count(), 5);
}

#[test]
fn a_new_receiver_goes_on_at_a_position_within_a_batch() {
    let mut far = Far::with_batches(&[10, 10]);
    far.sealed = true;
    for taken in 0..=20 {
        let mut first = receiver(from_start());
        let mut wire = Wire::new();
        let mut position = None;
        first.connected(Side::Dialler, false, wire.now);
        far.accept(wire.now);
        let mut given = 0;
        wire.dials = 0;
        // One record at a time, as a user takes them.
        while given < taken || position.is_none() {
            match first.next(wire.now) {
                Next::Record(record) => {
                    assert_eq!(record.offset.0, given);
                    given += 1;
                }
                Next::Idle => {
                    let connection = first.connection().unwrap();
                    let there = far.connection.as_mut().unwrap();
                    exchange(connection, there, wire.now);
                    far.turn(wire.now);
                }
                other => panic!("{other:?}"),
            }
            position = first.position();
        }
        let start = Start::Resume(position.unwrap());
        let mut second = receiver(ReceiverOptions { start, ..ReceiverOptions::new(name()) });
        assert_eq!(second.position(), position);
        let got = Wire::new().run(&mut second, &mut far);
        assert_eq!(got, with_over(records(given..20)), "after {given}");
    }
}

fn exchange(
    here: &mut netchan_proto::conn::Connection,
    there: &mut netchan_proto::conn::Connection,
    now: Instant,
) {
    use bytes::Buf;
    for back in [false, true] {
        let (from, to) = if back { (&mut *there, &mut *here) } else { (&mut *here, &mut *there) };
        let out = from.outbound();
        let bytes = out.copy_to_bytes(out.remaining());
        to.read_buf().extend_from_slice(&bytes);
        to.received(bytes.len(), now);
    }
}

#[test]
fn a_gap_is_told_once_and_reading_goes_on() {
    let mut far = Far::with_batches(&[5, 5, 5]);
    let mut receiver = receiver(ReceiverOptions { start: Start::Offset(Offset(2)), ..from_start() });
    far.first = Offset(5);
    let mut wire = Wire::new();
    let gap = ErrorKind::Gap { from: Offset(2), to: Offset(5), why: GapReason::Retention };
    assert_eq!(wire.run(&mut receiver, &mut far), [vec![Got::Error(gap)], records(5..15)].concat());
    far.hang_up();
    far.append(1);
    assert_eq!(wire.run(&mut receiver, &mut far), records(15..16));
    assert_eq!(receiver.position().unwrap().offset, Offset(16));
}

#[test]
fn a_gap_cut_after_any_byte_is_still_told_once() {
    let gap = ErrorKind::Gap { from: Offset(0), to: Offset(5), why: GapReason::Retention };
    let expected = with_over([vec![Got::Error(gap)], records(5..15)].concat());
    let far = || {
        let mut far = Far::with_batches(&[5, 5, 5]);
        (far.sealed, far.first) = (true, Offset(5));
        far
    };
    let options = || ReceiverOptions { start: Start::Offset(Offset(0)), ..from_start() };
    let mut whole = Wire::new();
    whole.run(&mut receiver(options()), &mut far());
    for cut in 1..whole.passed_to_near {
        let mut wire = Wire { to_near: cut, ..Wire::new() };
        assert_eq!(wire.run(&mut receiver(options()), &mut far()), expected, "cut at {cut}");
    }
}

#[test]
fn a_rolled_back_log_is_told_once_and_reading_goes_on_where_it_ended() {
    let mut far = Far::with_batches(&[5, 5]);
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..10));
    far.hang_up();
    far.roll_back(Offset(5));
    far.append(3);
    let truncated = ErrorKind::Truncated { epoch: Epoch(1), end: Offset(5) };
    assert_eq!(wire.run(&mut receiver, &mut far), [vec![Got::Error(truncated)], records(5..8)].concat());
    far.hang_up();
    far.append(1);
    assert_eq!(wire.run(&mut receiver, &mut far), records(8..9));
    assert_eq!(receiver.position(), Some(Position { log: far.log, epoch: Epoch(2), offset: Offset(9) }));
}

#[test]
fn without_following_it_is_over_at_the_tail_that_was_there() {
    let mut far = Far::with_batches(&[5, 5]);
    let options = || ReceiverOptions { follow: false, ..from_start() };
    assert_eq!(Wire::new().run(&mut receiver(options()), &mut far), with_over(records(0..10)));
    // Cut anywhere, with more records there when it is back.
    for cut in 1..900 {
        let mut far = Far::with_batches(&[5, 5]);
        let mut receiver = receiver(options());
        let mut wire = Wire { to_near: cut, dials: 1, ..Wire::new() };
        let mut got = wire.run(&mut receiver, &mut far);
        let knew = receiver.position().is_some();
        far.append(2);
        wire.dials = 5;
        if got.last() != Some(&Got::Over) {
            got.extend(wire.run(&mut receiver, &mut far));
        }
        assert_eq!(got, with_over(records(0..if knew { 10 } else { 12 })), "cut at {cut}");
    }
    let mut empty = Far::new();
    assert_eq!(Wire::new().run(&mut receiver(options()), &mut empty), [Got::Over]);
    let mut sealed = Far::with_batches(&[1]);
    sealed.sealed = true;
    let mut receiver = receiver(options());
    assert_eq!(Wire::new().run(&mut receiver, &mut sealed), with_over(records(0..1)));
    assert!(events(&mut receiver).iter().any(|event| matches!(event, Event::Sealed { .. })));
}

#[test]
fn a_log_that_ends_before_a_receiver_that_does_not_follow_is_told_and_then_over() {
    let mut far = Far::with_batches(&[5, 5]);
    let position = Position { log: far.log, epoch: Epoch(1), offset: Offset(10) };
    far.roll_back(Offset(5));
    let options = ReceiverOptions { start: Start::Resume(position), follow: false, ..from_start() };
    let truncated = ErrorKind::Truncated { epoch: Epoch(1), end: Offset(5) };
    assert_eq!(Wire::new().run(&mut receiver(options), &mut far), [Got::Error(truncated), Got::Over]);
}

#[test]
fn until_a_time_gives_nothing_at_or_after_it() {
    let mut far = Far::with_batches(&[5, 5]);
    let until = |offset| Some(time_of(Offset(offset)));
    let mut early = receiver(ReceiverOptions { until: until(7), ..from_start() });
    assert_eq!(Wire::new().run(&mut early, &mut far), with_over(records(0..7)));
    assert_eq!(early.position().unwrap().offset, Offset(7));
    let mut between =
        receiver(ReceiverOptions { until: Some(Timestamp(time_of(Offset(7)).0 - 1)), ..from_start() });
    assert_eq!(Wire::new().run(&mut between, &mut far), with_over(records(0..7)));
    let mut late = receiver(ReceiverOptions { until: until(10), ..from_start() });
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut late, &mut far), records(0..10));
    far.append(1);
    assert_eq!(wire.run(&mut late, &mut far), [Got::Over]);
}

// NC-POS-018
#[test]
fn since_a_time_gives_nothing_before_it_though_it_was_not_visible_when_the_sender_looked() {
    let mut far = Far::with_batches(&[5]);
    let start = |offset| ReceiverOptions { start: Start::Time(time_of(Offset(offset))), ..from_start() };
    let (mut there, mut coming) = (receiver(start(3)), receiver(start(8)));
    let (mut one, mut other) = (Wire::new(), Wire::new());
    assert_eq!(one.run(&mut there, &mut far), records(3..5));
    far.hang_up();
    assert_eq!(other.run(&mut coming, &mut far), []);
    far.append(2);
    far.append(4);
    assert_eq!(other.run(&mut coming, &mut far), records(8..11));
    assert_eq!(coming.position().unwrap().offset, Offset(11));
    coming.seek(Start::Earliest);
    assert_eq!(other.run(&mut coming, &mut far), records(0..11));
}

#[test]
fn a_receiver_that_came_first_waits_for_the_channel() {
    let mut far = Far::new();
    far.exists = false;
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), []);
    assert!(events(&mut receiver).iter().any(|event| matches!(event, Event::Waiting)));
    far.exists = true;
    far.append(2);
    far.hang_up();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..2));
}

#[test]
fn what_no_other_try_can_cure_is_told_and_over() {
    let cases = [
        (ErrorCode::DENIED, ErrorKind::Denied),
        (ErrorCode::OTHER_LOG, ErrorKind::OtherLog),
        (ErrorCode::DELETED, ErrorKind::Deleted),
        (ErrorCode::OFFSET_BEYOND_END, ErrorKind::BeyondEnd),
        (ErrorCode::DAMAGED, ErrorKind::Damaged),
        (ErrorCode::FILTER, ErrorKind::Filter),
    ];
    for (code, kind) in cases {
        let mut far = Far::with_batches(&[1]);
        far.refuse = Some(ErrorFrame::new(code, "no"));
        let mut receiver = receiver(from_start());
        let mut wire = Wire::new();
        assert_eq!(wire.run(&mut receiver, &mut far), [Got::Error(kind), Got::Over], "{code}");
        assert_eq!(far.opens, 1, "{code}");
        assert!(!receiver.wants_dial(wire.now) && receiver.deadline().is_none());
    }
    let mut far = Far::new();
    far.exists = false;
    let mut impatient = receiver(ReceiverOptions { wait: false, ..from_start() });
    assert_eq!(Wire::new().run(&mut impatient, &mut far), [Got::Error(ErrorKind::NoChannel), Got::Over]);
}

#[test]
fn a_wrong_or_missing_token_is_told_and_not_tried_again() {
    for token in [None, Some(Token::new("wrong").unwrap())] {
        let mut far = Far::with_batches(&[1]);
        far.token = Some(Token::new("right").unwrap());
        let mut receiver = ReceiverCore::new(&node_with(token), from_start());
        let mut wire = Wire::new();
        assert_eq!(wire.run(&mut receiver, &mut far), [Got::Error(ErrorKind::Auth), Got::Over]);
        assert_eq!(wire.dials, 9);
    }
    let mut far = Far::with_batches(&[1]);
    far.token = Some(Token::new("right").unwrap());
    let token = far.token.clone();
    assert_eq!(
        Wire::new().run(&mut ReceiverCore::new(&node_with(token), from_start()), &mut far),
        records(0..1)
    );
}

#[test]
fn what_may_pass_is_tried_again_ever_more_slowly() {
    let mut far = Far::with_batches(&[1]);
    far.refuse = Some(ErrorFrame::new(ErrorCode::INTERNAL, "not now"));
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), []);
    assert_eq!(far.opens, 10);
    assert!(wire.now > Instant(1).plus(Duration::from_secs(8)), "{:?}", wire.now);
    assert!(wire.now < Instant(1).plus(Duration::from_secs(45)), "{:?}", wire.now);
    far.refuse = None;
    wire.dials = 1;
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..1));
}

#[test]
fn a_damaged_batch_is_never_given_out_and_asked_for_again() {
    let mut far = Far::with_batches(&[3, 3]);
    let mut receiver = receiver(from_start());
    let mut wire = Wire { dials: 3, ..Wire::new() };
    far.spoil = Some(|bytes| *bytes.last_mut().unwrap() ^= 1);
    far.spoil = Some(|bytes| bytes[70] ^= 1);
    assert_eq!(wire.run(&mut receiver, &mut far), []);
    assert_eq!(far.opens, 3);
    assert!(events(&mut receiver).iter().any(|event| matches!(event, Event::Lost { .. })));
    far.spoil = None;
    wire.dials = 1;
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..6));
}

#[test]
fn a_batch_that_its_writer_garbled_is_a_gap() {
    use netchan_proto::batch::{BatchHeader, HEADER_LEN};
    let mut far = Far::with_batches(&[3, 3]);
    // The second record's time goes back: both checksums hold.
    let header = far.batches[0].header;
    let mut bytes = far.batches[0].bytes.to_vec();
    let second = HEADER_LEN + 8 + 1;
    bytes[second + 4..second + 8].copy_from_slice(&0u32.to_le_bytes());
    let body = &bytes[HEADER_LEN..HEADER_LEN + header.body_len as usize];
    let header = BatchHeader { body_crc: netchan_proto::crc::crc32c(body), ..header };
    bytes[..HEADER_LEN].copy_from_slice(&header.encode(&far.log.0));
    far.batches[0].bytes = bytes.into();
    let gap = ErrorKind::Gap { from: Offset(1), to: Offset(3), why: GapReason::Damaged };
    let mut receiver = receiver(from_start());
    let got = Wire::new().run(&mut receiver, &mut far);
    assert_eq!(got, [records(0..1), vec![Got::Error(gap)], records(3..6)].concat());
}

#[test]
fn another_log_under_the_same_name_is_told_and_over() {
    let mut far = Far::with_batches(&[2]);
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..2));
    let mut far = Far::with_batches(&[2, 2]);
    far.log = LogId([8; 16]);
    assert_eq!(wire.run(&mut receiver, &mut far), [Got::Error(ErrorKind::OtherLog), Got::Over]);
}

#[test]
fn credit_follows_what_was_given_out_and_large_batches_pass_a_small_window() {
    let mut far = Far::new();
    let large = "x".repeat(300_000);
    for _ in 0..4 {
        far.append_all(&[large.as_str()]);
    }
    far.append(2000);
    let total = far.next.0;
    far.sealed = true;
    let mut receiver = receiver(ReceiverOptions { window: 1, ..from_start() });
    let mut wire = Wire::new();
    let got = wire.run(&mut receiver, &mut far);
    assert_eq!(got.len() as u64, total + 1);
    assert_eq!(far.opens, 1);
}

#[test]
fn nothing_more_comes_than_credit_allows_while_nobody_asks() {
    let mut far = Far::new();
    for _ in 0..100 {
        far.append_all(&["y".repeat(30_000)]);
    }
    let mut receiver = receiver(ReceiverOptions { window: 128 << 10, ..from_start() });
    let mut wire = Wire { dials: 0, ..Wire::new() };
    receiver.connected(Side::Dialler, false, wire.now);
    far.accept(wire.now);
    // The machine is driven, its records are not taken.
    let mut passed = 0;
    for _ in 0..100 {
        receiver.work(wire.now, std::task::Waker::noop());
        exchange(receiver.connection().unwrap(), far.connection.as_mut().unwrap(), wire.now);
        far.turn(wire.now);
        use bytes::Buf;
        passed += far.connection.as_mut().unwrap().outbound().remaining();
    }
    assert!((100_000..140_000).contains(&passed), "{passed}");
    assert_eq!(wire.run(&mut receiver, &mut far).len(), 100);
}

#[test]
fn seeking_goes_on_elsewhere_at_any_moment() {
    for sealed in [false, true] {
        for cut in 1..1500 {
            let mut far = Far::with_batches(&[10, 10, 10]);
            far.sealed = sealed;
            let mut receiver = receiver(from_start());
            // Stops somewhere, seeks, goes on.
            let mut wire = Wire { dials: 1, to_near: cut, ..Wire::new() };
            if cut % 2 == 0 {
                wire.run(&mut receiver, &mut far);
            } else {
                wire.step = cut;
                receiver.connected(Side::Dialler, false, wire.now);
                far.accept(wire.now);
                for _ in 0..cut % 7 {
                    let _ = receiver.next(wire.now);
                    exchange(receiver.connection().unwrap(), far.connection.as_mut().unwrap(), wire.now);
                    far.turn(wire.now);
                }
            }
            receiver.seek(Start::Offset(Offset(15)));
            let mut wire = Wire::new();
            wire.now = wire.now.plus(Duration::from_secs(60));
            receiver.handle_timeout(wire.now);
            let mut got = wire.run(&mut receiver, &mut far);
            if sealed {
                assert_eq!(got.pop(), Some(Got::Over), "cut at {cut}");
            }
            assert_eq!(got, records(15..30), "cut at {cut}, sealed {sealed}");
        }
    }
}

#[test]
fn a_receiver_that_is_over_can_seek_back() {
    let mut far = Far::with_batches(&[4]);
    far.sealed = true;
    let mut receiver = receiver(from_start());
    assert_eq!(Wire::new().run(&mut receiver, &mut far), with_over(records(0..4)));
    receiver.seek(Start::Last(1));
    assert_eq!(Wire::new().run(&mut receiver, &mut far), with_over(records(3..4)));
}

#[test]
fn a_user_who_was_away_finds_the_connection_alive() {
    let mut far = Far::with_batches(&[2]);
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..2));
    wire.now = wire.now.plus(Duration::from_secs(300));
    // The socket is read first: there is nothing. Then the deadline, long past, makes a PING and no verdict.
    far.append(1);
    receiver.handle_timeout(wire.now);
    assert_eq!(wire.run(&mut receiver, &mut far), records(2..3));
    assert_eq!(wire.dials, 9);
}

#[test]
fn a_silent_peer_is_given_up_and_dialled_again() {
    let mut far = Far::with_batches(&[2]);
    let mut receiver = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..2));
    wire.now = receiver.deadline().unwrap();
    receiver.handle_timeout(wire.now); // idle: gives memory back
    wire.now = receiver.deadline().unwrap();
    assert!(wire.now > Instant(0).plus(PING_INTERVAL - Duration::from_secs(1)));
    receiver.handle_timeout(wire.now); // PING, which goes nowhere
    wire.now = receiver.deadline().unwrap();
    receiver.handle_timeout(wire.now); // given up, with last words
    assert!(receiver.connection().unwrap().is_over());
    wire.now = receiver.deadline().unwrap();
    receiver.handle_timeout(wire.now); // which nobody took
    assert!(receiver.connection().is_none());
    assert!(events(&mut receiver).iter().any(|event| matches!(event, Event::Lost { .. })));
    far.hang_up();
    far.append(1);
    assert_eq!(wire.run(&mut receiver, &mut far), records(2..3));
}

#[test]
fn a_failed_dial_is_tried_again_later() {
    let mut receiver = receiver(from_start());
    let now = Instant(5);
    assert!(receiver.wants_dial(now));
    receiver.disconnected(Lost::Io("connection refused".to_owned()), now);
    assert!(!receiver.wants_dial(now));
    let at = receiver.deadline().unwrap();
    assert!(at > now && receiver.wants_dial(at));
    receiver.handle_timeout(at);
    assert!(receiver.deadline().is_none() && receiver.wants_dial(at));
    assert!(matches!(receiver.next(at), Next::Idle));
    let Some(Event::Lost { why, .. }) = receiver.poll_event() else { panic!() };
    assert_eq!(why.to_string(), "orders: connection refused");
    assert_eq!(why.kind(), ErrorKind::Unreachable);
}

#[test]
fn the_only_stream_there_was_being_lost_is_told_and_over() {
    let mut far = Far::with_batches(&[2]);
    let mut receiver = receiver(from_start());
    assert!(!receiver.is_settled());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut receiver, &mut far), records(0..2));
    assert!(receiver.is_settled());
    receiver.disconnected(Lost::Final("the stream ended".to_owned()), wire.now);
    assert_eq!(wire.run(&mut receiver, &mut far), [Got::Error(ErrorKind::Unreachable), Got::Over]);
}

#[test]
fn it_is_settled_once_the_first_try_came_to_something() {
    let mut refused = receiver(from_start());
    refused.disconnected(Lost::Io("connection refused".to_owned()), Instant(1));
    assert!(refused.is_settled());
    let mut far = Far::new();
    far.exists = false;
    let mut waiting = receiver(from_start());
    assert!(!waiting.is_settled());
    Wire::new().run(&mut waiting, &mut far);
    assert!(waiting.is_settled() && waiting.position().is_none());
}
