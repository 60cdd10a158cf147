//! What a receiver is promised over any number of connections: dense, or told why not.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use netchan_proto::batch::{BatchBuilder, BatchError, Stamp};
use netchan_proto::limits::MAX_TOLD;
use netchan_proto::sift::{Sifted, Skip, sift};
use netchan_proto::subscription::{Delivery, Subscription, SubscriptionError};
use netchan_proto::wire::{End, Gap, GapReason, Opened, Start, Truncated};
use netchan_proto::{
    AsRecord, ChannelName, Durability, Epoch, Filter, LogId, NewRecord, Offset, Position, Timestamp,
};

const LOG: LogId = LogId([7; 16]);
const WINDOW: u64 = 10_000;

fn subscription(start: Start) -> Subscription {
    Subscription::new(ChannelName::new("x").unwrap(), start, WINDOW, true)
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

fn batch(base: u64, count: u64, epoch: u32) -> Bytes {
    let mut builder = BatchBuilder::new(Offset(base), None);
    for offset in base..base + count {
        builder.push(Timestamp(i64::try_from(offset).unwrap() * 10), &offset.to_le_bytes().as_record());
    }
    let stamp = Stamp { seed: &LOG.0, epoch: Epoch(epoch), durable_offset: Offset(0), previous_crc: 0 };
    builder.finish(stamp).1
}

/// Opens at `start` and gives back what the sender was asked.
fn begun(start: u64) -> Subscription {
    let mut subscription = subscription(Start::Offset(Offset(start)));
    subscription.request();
    subscription.on_opened(opened(start));
    subscription
}

fn offsets(delivery: Option<Delivery>) -> (u64, u64) {
    match delivery {
        Some(Delivery::Batch { batch, from }) => (from.0, batch.header().next_offset().0),
        other => panic!("{other:?}"),
    }
}

/// NC-STR-016
#[test]
fn records_come_dense_from_the_middle_of_a_batch_on() {
    let mut subscription = begun(3);
    subscription.on_data(batch(0, 5, 1)).unwrap();
    subscription.on_data(batch(5, 5, 1)).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (3, 5));
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (5, 10));
    assert_eq!(subscription.next_delivery(), Ok(None));
    assert_eq!(subscription.position(), Some(Position { log: LOG, epoch: Epoch(1), offset: Offset(10) }));
}

#[test]
fn a_new_connection_resumes_where_delivery_stopped_and_not_where_reception_did() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 1)).unwrap();
    subscription.next_delivery().unwrap();
    let second = batch(5, 5, 1);
    subscription.on_data(second.slice(..second.len() - 1)).unwrap();
    assert_eq!(subscription.next_delivery(), Ok(None));
    subscription.on_lost();
    let position = Position { log: LOG, epoch: Epoch(1), offset: Offset(5) };
    assert_eq!(subscription.request().start, Start::Resume(position));
    subscription.on_opened(opened(5));
    subscription.on_data(second).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (5, 10));
}

#[test]
fn before_the_first_opened_a_new_connection_asks_what_the_user_asked() {
    let mut subscription = subscription(Start::Last(7));
    assert_eq!(subscription.request().start, Start::Last(7));
    subscription.on_lost();
    assert_eq!(subscription.request().start, Start::Last(7));
}

/// NC-STR-017, NC-STR-020
#[test]
fn a_hole_a_repeat_and_a_step_back_are_the_senders_fault() {
    for base in [0, 4, 6] {
        let mut subscription = begun(0);
        subscription.on_data(batch(0, 5, 1)).unwrap();
        subscription.next_delivery().unwrap();
        subscription.on_data(batch(base, 2, 1)).unwrap();
        let expected = SubscriptionError::OutOfOrder { expected: Offset(5), found: Offset(base) };
        assert_eq!(subscription.next_delivery(), Err(expected));
    }
}

/// NC-STR-018
#[test]
fn an_epoch_that_goes_back_is_the_senders_fault() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 3)).unwrap();
    subscription.next_delivery().unwrap();
    subscription.on_data(batch(5, 5, 2)).unwrap();
    assert_eq!(subscription.next_delivery(), Err(SubscriptionError::GoesBack { at: Offset(5) }));
}

/// NC-BAT-003, NC-STR-020
#[test]
fn a_batch_of_another_log_is_never_delivered() {
    let mut subscription = begun(0);
    let mut other = batch(0, 5, 1).to_vec();
    other[40] ^= 1;
    subscription.on_data(other.into()).unwrap();
    assert_eq!(subscription.next_delivery(), Err(SubscriptionError::Batch(BatchError::HeaderCrc)));
}

#[test]
fn a_gap_is_told_between_what_stands_around_it() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 1)).unwrap();
    subscription.on_gap(Gap { from: Offset(5), to: Offset(8), why: GapReason::Retention, epoch: Epoch(1) });
    subscription.on_data(batch(7, 3, 1)).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (0, 5));
    let gap = Delivery::Gap { from: Offset(5), to: Offset(8), why: GapReason::Retention };
    assert_eq!(subscription.next_delivery(), Ok(Some(gap)));
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (8, 10));
}

/// NC-POS-015
/// NC-POS-017: a position behind a gap carries the epoch of what stood before its end, or resuming would be refused.
#[test]
fn after_a_gap_the_position_has_the_epoch_that_the_gap_names() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 2)).unwrap();
    subscription.on_gap(Gap { from: Offset(5), to: Offset(8), why: GapReason::Retention, epoch: Epoch(4) });
    subscription.next_delivery().unwrap();
    subscription.next_delivery().unwrap();
    assert_eq!(subscription.position(), Some(Position { log: LOG, epoch: Epoch(4), offset: Offset(8) }));
    subscription.on_gap(Gap { from: Offset(8), to: Offset(9), why: GapReason::Retention, epoch: Epoch(0) });
    subscription.next_delivery().unwrap();
    assert_eq!(subscription.position().unwrap().epoch, Epoch(4), "0 says that it is not known");
    subscription.on_gap(Gap { from: Offset(9), to: Offset(10), why: GapReason::Retention, epoch: Epoch(3) });
    assert_eq!(subscription.next_delivery(), Err(SubscriptionError::GoesBack { at: Offset(10) }));
}

#[test]
fn a_gap_that_does_not_begin_here_is_the_senders_fault() {
    let mut subscription = begun(0);
    subscription.on_gap(Gap { from: Offset(1), to: Offset(8), why: GapReason::Retention, epoch: Epoch(1) });
    assert!(subscription.next_delivery().is_err());
}

/// NC-TYP-002: after "none" nothing could come, and a receiver would take that for the end.
#[test]
fn no_sender_leads_a_receiver_to_an_offset_that_no_record_has() {
    let mut subscription = begun(0);
    let (from, to) = (Offset(0), Offset::NONE);
    subscription.on_gap(Gap { from, to, why: GapReason::Retention, epoch: Epoch(1) });
    assert!(subscription.next_delivery().is_err());
    assert_eq!(subscription.position().unwrap().offset, Offset(0));
    let mut subscription = self::subscription(Start::Latest);
    subscription.request();
    subscription.on_opened(opened(Offset::NONE.0));
    assert!(subscription.next_delivery().is_err());
    assert_eq!(subscription.position(), None);
}

/// NC-POS-013
#[test]
fn a_roll_back_is_told_once_and_reading_goes_on_at_its_end() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 10, 1)).unwrap();
    subscription.next_delivery().unwrap();
    subscription.on_lost();
    subscription.request();
    subscription.on_opened(opened(10));
    subscription.on_truncated(Truncated { epoch: Epoch(1), log_epoch: Epoch(2), end: Offset(6) });
    subscription.on_data(batch(6, 2, 2)).unwrap();
    let truncated = Delivery::Truncated { epoch: Epoch(1), end: Offset(6) };
    assert_eq!(subscription.next_delivery(), Ok(Some(truncated)));
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (6, 8));
    assert_eq!(subscription.position().unwrap().epoch, Epoch(2));
}

/// NC-STR-027
/// What costs no credit has a limit of its own, or a sender could fill a receiver whose user is away.
#[test]
fn more_gaps_than_may_wait_are_the_senders_fault() {
    let mut subscription = begun(0);
    let gap = |from: u64| Gap {
        from: Offset(from),
        to: Offset(from + 1),
        why: GapReason::Retention,
        epoch: Epoch(1),
    };
    for from in 0..2 * MAX_TOLD as u64 {
        subscription.on_gap(gap(from));
    }
    for from in 0..MAX_TOLD as u64 {
        let told = subscription.next_delivery().unwrap();
        assert!(matches!(told, Some(Delivery::Gap { from: at, .. }) if at == Offset(from)));
    }
    assert!(matches!(subscription.next_delivery(), Err(SubscriptionError::Unexpected(_))));
    subscription.on_lost();
    subscription.request();
    assert_eq!(subscription.next_delivery(), Ok(None), "a new stream begins anew");
}

#[test]
fn only_a_seal_at_the_end_of_all_records_is_the_end() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 1)).unwrap();
    subscription.on_end(End::Sealed { final_offset: Offset(5) });
    subscription.next_delivery().unwrap();
    assert_eq!(subscription.next_delivery(), Ok(Some(Delivery::Sealed { end: Offset(5) })));
    assert!(subscription.is_over());

    let mut short = begun(0);
    short.on_data(batch(0, 5, 1)).unwrap();
    short.on_end(End::Sealed { final_offset: Offset(6) });
    short.next_delivery().unwrap();
    assert!(short.next_delivery().is_err(), "a record is missing");
    assert!(!short.is_over());
}

/// NC-FLW-009
#[test]
fn credit_is_given_as_records_are_consumed() {
    let mut subscription = begun(0);
    let first = batch(0, 300, 1);
    let len = first.len();
    subscription.on_data(first).unwrap();
    subscription.next_delivery().unwrap();
    assert_eq!(subscription.credit_due(), None, "nothing is consumed yet");
    subscription.consumed(len);
    assert_eq!(subscription.credit_due(), Some(WINDOW + len as u64));
    assert_eq!(subscription.credit_due(), None, "told once");
}

/// NC-FLW-008
#[test]
fn a_batch_larger_than_the_window_gets_the_credit_it_needs() {
    let mut subscription = begun(0);
    let large = batch(0, 5000, 1);
    let window = usize::try_from(WINDOW).unwrap();
    assert!(large.len() > 4 * window);
    let mut sent = 0;
    let mut granted = window;
    while sent < large.len() {
        let upto = granted.min(large.len());
        assert!(upto > sent, "stuck at {sent} of {}", large.len());
        subscription.on_data(large.slice(sent..upto)).unwrap();
        sent = upto;
        let delivery = subscription.next_delivery().unwrap();
        assert_eq!(delivery.is_some(), sent == large.len());
        granted = subscription.credit_due().map_or(granted, |total| usize::try_from(total).unwrap());
    }
}

#[test]
fn more_than_the_credit_is_the_senders_fault() {
    let mut subscription = begun(0);
    let window = usize::try_from(WINDOW).unwrap();
    subscription.on_data(Bytes::from(vec![0; window])).unwrap();
    let error = subscription.on_data(Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error, SubscriptionError::CreditExceeded { granted: WINDOW, received: WINDOW + 1 });
}

/// NC-STR-011, NC-FLW-007
#[test]
fn what_comes_before_seeked_belongs_to_the_old_place_and_costs_no_credit_for_ever() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 1)).unwrap();
    let id = subscription.seek(Start::Offset(Offset(20))).unwrap();
    let old = batch(5, 5, 1);
    subscription.on_data(old).unwrap();
    assert_eq!(subscription.next_delivery(), Ok(None));
    subscription.on_seeked(id, opened(20));
    subscription.on_data(batch(20, 2, 1)).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (20, 22));
    let all = batch(20, 2, 1).len();
    subscription.consumed(all);
    let total = (batch(0, 5, 1).len() + batch(5, 5, 1).len() + all) as u64 + WINDOW;
    assert!(subscription.credit_due().is_none_or(|due| due == total));
}

#[test]
fn the_answer_to_a_seek_that_another_followed_is_passed_over() {
    let mut subscription = begun(0);
    let first = subscription.seek(Start::Offset(Offset(20))).unwrap();
    let second = subscription.seek(Start::Offset(Offset(40))).unwrap();
    subscription.on_seeked(first, opened(20));
    subscription.on_data(batch(20, 2, 1)).unwrap();
    assert_eq!(subscription.next_delivery(), Ok(None));
    subscription.on_seeked(second, opened(40));
    subscription.on_data(batch(40, 2, 1)).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (40, 42));
}

#[test]
fn another_log_of_the_same_name_is_not_taken_for_this_one() {
    let mut subscription = begun(0);
    subscription.on_data(batch(0, 5, 1)).unwrap();
    subscription.next_delivery().unwrap();
    subscription.request();
    subscription.on_opened(Opened { log: LogId([8; 16]), ..opened(5) });
    assert_eq!(subscription.next_delivery(), Err(SubscriptionError::OtherLog));
}

fn filtered(start: u64) -> Subscription {
    let filter = Filter::parse("key exists").unwrap();
    let mut subscription = subscription(Start::Offset(Offset(start))).filtered(Some(filter.clone()));
    assert_eq!(subscription.request().filter, Some(filter));
    subscription.on_opened(opened(start));
    subscription
}

/// What passed of the batch from `base` on, of which `kept` records had a key; and that of none, up to `to`.
fn sifted(base: u64, kept: &[u64], count: u64, epoch: u32) -> Sifted {
    let mut builder = BatchBuilder::new(Offset(base), None);
    for offset in base..base + count {
        let record = NewRecord::new("x");
        let record = if kept.contains(&offset) { record.key("k") } else { record };
        builder.push(Timestamp(i64::try_from(offset).unwrap() * 10), &record.as_record());
    }
    let stamp = Stamp { seed: &LOG.0, epoch: Epoch(epoch), durable_offset: Offset(0), previous_crc: 0 };
    let filter = Filter::parse("key exists").unwrap();
    sift(&filter, &builder.finish(stamp).1, Offset(0), &LOG.0, u64::MAX).unwrap()
}

/// NC-FLT-029, NC-FLT-030: also the epoch is that of what was passed over, so that the position holds.
#[test]
fn what_did_not_pass_moves_the_position_too() {
    let mut subscription = filtered(2);
    subscription.on_data(sifted(0, &[1, 3], 5, 1).bytes).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (2, 5));
    let none = sifted(5, &[], 5, 3);
    subscription
        .on_data(Skip { from: Offset(5), to: Offset(10), last: none.last }.encode(&LOG.0).into())
        .unwrap();
    match subscription.next_delivery() {
        Ok(Some(Delivery::Batch { batch, .. })) => assert_eq!(batch.records().count(), 0),
        other => panic!("{other:?}"),
    }
    let position = Position { log: LOG, epoch: Epoch(3), offset: Offset(10) };
    assert_eq!(subscription.position(), Some(position));
    subscription.on_lost();
    let open = subscription.request();
    assert_eq!((open.start, open.filter.unwrap().text()), (Start::Resume(position), "key exists"));
    subscription.on_opened(opened(10));
    subscription.on_data(batch(10, 2, 3)).unwrap();
    assert_eq!(offsets(subscription.next_delivery().unwrap()), (10, 12), "what passes whole is as it stands");
    subscription.on_end(End::Sealed { final_offset: Offset(12) });
    assert_eq!(subscription.next_delivery(), Ok(Some(Delivery::Sealed { end: Offset(12) })));
}

/// NC-FLT-032
#[test]
fn a_sparse_batch_where_no_filter_is_is_the_senders_fault() {
    let mut subscription = begun(0);
    subscription.on_data(sifted(0, &[1, 3], 5, 1).bytes).unwrap();
    assert!(matches!(subscription.next_delivery(), Err(SubscriptionError::Unexpected(_))));
}

/// NC-FLT-029, NC-STR-017
#[test]
fn a_hole_is_the_senders_fault_also_where_a_filter_is() {
    let mut subscription = filtered(0);
    subscription.on_data(sifted(0, &[1], 5, 1).bytes).unwrap();
    subscription.next_delivery().unwrap();
    subscription.on_data(sifted(6, &[7], 5, 1).bytes).unwrap();
    assert!(matches!(subscription.next_delivery(), Err(SubscriptionError::OutOfOrder { .. })));
}
