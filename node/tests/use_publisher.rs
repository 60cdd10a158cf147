//! What a publisher promises, over a wire that breaks anywhere.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use far::{Far, Wire, Woken, name, node, node_with};
use netchan_node::{
    Error, ErrorKind, Event, Lost, Machine, Publisher, PublisherCore, PublisherOptions, Sender, Sent,
};
use netchan_proto::limits::BATCH_TARGET;
use netchan_proto::wire::{ErrorFrame, Note};
use netchan_proto::{Durability, ErrorCode, Instant, LogId, NewRecord, Offset, ProducerId, Token};

const PRODUCER: ProducerId = ProducerId([5; 16]);

fn options() -> PublisherOptions {
    PublisherOptions::new(name(), PRODUCER)
}

fn publisher(options: PublisherOptions) -> (PublisherCore, Publisher, Sender) {
    let (core, handle) = PublisherCore::new(&node(), options);
    let sender = Sender::remote(handle.clone());
    (core, handle, sender)
}

fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn send(sender: &Sender, range: std::ops::Range<u32>) -> Vec<Sent> {
    range.map(|number| now(sender.send(number.to_string())).unwrap().unwrap()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn kind(result: Option<Result<(), Error>>) -> ErrorKind {
    result.unwrap().unwrap_err().kind()
}

#[test]
fn what_is_sent_arrives_in_order_and_its_offset_comes_back() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    let mut wire = Wire::new();
    let sent = send(&sender, 0..10);
    assert!(sent[3].offset().is_none() && now(sent[3].written()).is_none());
    let record = NewRecord::new("10").key("k").header("h", "v");
    now(sender.send(&record)).unwrap().unwrap();
    wire.run(&mut core, &mut far);
    assert_eq!(far.published(), numbers(0..11));
    for (index, sent) in sent.iter().enumerate() {
        assert_eq!(sent.offset(), Some(Offset(index as u64)));
        now(sent.durable()).unwrap().unwrap();
        now(sent.written()).unwrap().unwrap();
    }
    now(sender.flush()).unwrap().unwrap();
}

#[test]
fn a_cut_after_any_byte_either_way_loses_doubles_and_reorders_nothing() {
    let play = |wire: &mut Wire, durability| {
        let (mut core, handle, sender) = publisher(options());
        let mut far = Far::new();
        (far.window, far.durability) = (300, durability);
        let first = send(&sender, 0..20);
        wire.run(&mut core, &mut far);
        let second = send(&sender, 20..50);
        let mut closing = pin!(handle.close());
        wire.run(&mut core, &mut far);
        let closed = closing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(closed, Poll::Ready(Ok(()))), "{closed:?}");
        for sent in first.iter().chain(&second) {
            now(sent.written()).unwrap().unwrap();
        }
        assert!(core.is_over());
        far.published()
    };
    for durability in [Durability::Sync, Durability::Os] {
        let mut whole = Wire { step: 50, ..Wire::new() };
        assert_eq!(play(&mut whole, durability), numbers(0..50));
        let mut cuts = 0;
        for abrupt in [false, true] {
            for (to_near, bytes) in [(true, whole.passed_to_near), (false, whole.passed_to_far)] {
                for cut in 1..bytes {
                    let mut wire = Wire { abrupt, step: 1 + cut % 97, ..Wire::new() };
                    *(if to_near { &mut wire.to_near } else { &mut wire.to_far }) = cut;
                    let told = format!("cut at {cut}, to_near {to_near}, abrupt {abrupt}");
                    assert_eq!(play(&mut wire, durability), numbers(0..50), "{told}");
                    cuts += 1;
                }
            }
        }
        assert!(cuts > 2000, "{cuts}");
    }
}

#[test]
fn a_resend_counts_once() {
    // The other side has everything and can say so only partly: what it had when the connection came back.
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.acknowledges = false;
    let mut wire = Wire::new();
    let sent = send(&sender, 0..5);
    wire.run(&mut core, &mut far);
    assert_eq!(far.published().len(), 5);
    assert!(now(sent[0].durable()).is_none());
    far.acknowledges = true;
    far.hang_up();
    let after = send(&sender, 5..6);
    wire.run(&mut core, &mut far);
    assert_eq!(far.published(), numbers(0..6));
    now(sent[4].durable()).unwrap().unwrap();
    assert_eq!(sent[4].offset(), None, "what was found there has no offset to tell");
    assert_eq!(after[0].offset(), Some(Offset(5)));
}

#[test]
fn records_gather_into_batches_while_the_other_side_is_away() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    let mut wire = Wire::new();
    let payload = vec![7u8; 1000];
    let count = 4 * BATCH_TARGET / 1000;
    for _ in 0..count {
        now(sender.send(&payload)).unwrap().unwrap();
    }
    wire.run(&mut core, &mut far);
    assert_eq!(far.published.len(), count);
    // Five batches, so a handful of frames, not hundreds.
    assert!(wire.passed_to_far < count * 1008 + 3000, "{}", wire.passed_to_far);
}

#[test]
fn a_full_publisher_makes_senders_wait_and_lets_one_large_record_through() {
    let (mut core, _handle, sender) = publisher(PublisherOptions { max_unacknowledged: 10_000, ..options() });
    let mut far = Far::new();
    far.acknowledges = false;
    let mut wire = Wire::new();
    let large = vec![1u8; 50_000];
    now(sender.send(&large)).unwrap().unwrap();
    assert_eq!(sender.try_send("x").unwrap_err().kind(), ErrorKind::Full);
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    let mut waiting = Box::pin(sender.send("next"));
    let mut dropped = Box::pin(sender.send("never"));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    drop(dropped);
    wire.run(&mut core, &mut far);
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    assert_eq!(woken.count(), 0);
    far.acknowledges = true;
    far.hang_up();
    wire.run(&mut core, &mut far);
    assert_eq!(woken.count(), 1);
    assert!(waiting.as_mut().poll(&mut cx).is_ready());
    wire.run(&mut core, &mut far);
    let published: Vec<usize> = far.published.iter().map(|(_, payload)| payload.len()).collect();
    assert_eq!(published, [50_000, 4]);
}

#[test]
fn memory_stays_within_the_limit_however_much_is_sent() {
    let limit = 100_000;
    let (mut core, _handle, sender) = publisher(PublisherOptions { max_unacknowledged: limit, ..options() });
    let mut far = Far::new();
    let mut wire = Wire::new();
    let mut taken = 0;
    for _ in 0..50 {
        let mut before = taken;
        while sender.try_send(vec![0u8; 500]).is_ok() {
            taken += 1;
        }
        assert!((taken - before) * 508 <= limit);
        before = taken;
        wire.run(&mut core, &mut far);
        assert_eq!(far.published.len(), before);
    }
    assert!(taken > 50 * 150);
}

#[test]
fn a_record_wakes_an_idle_driver_once_and_a_busy_one_not() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    Wire::new().run(&mut core, &mut far);
    let (woken, waker) = Woken::new();
    core.work(Instant(1), &waker);
    assert_eq!(woken.count(), 0);
    send(&sender, 0..10);
    assert_eq!(woken.count(), 1);
    core.work(Instant(1), &waker);
    send(&sender, 10..20);
    assert_eq!(woken.count(), 2);
}

#[test]
fn an_acknowledgement_wakes_who_waits_for_it() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    let mut wire = Wire::new();
    let sent = send(&sender, 0..1);
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    let mut durable = sent[0].durable();
    assert!(Pin::new(&mut durable).poll(&mut cx).is_pending());
    assert!(Pin::new(&mut durable).poll(&mut cx).is_pending());
    let mut flush = sender.flush();
    assert!(Pin::new(&mut flush).poll(&mut cx).is_pending());
    drop(flush);
    wire.run(&mut core, &mut far);
    assert_eq!(woken.count(), 1);
    assert!(matches!(poll(&mut durable), Poll::Ready(Ok(()))));
}

#[test]
fn a_weaker_mode_acknowledges_written_and_tells_durable_later() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.durability = Durability::Os;
    let mut wire = Wire::new();
    let sent = send(&sender, 0..3);
    wire.run(&mut core, &mut far);
    now(sent[2].written()).unwrap().unwrap();
    assert_eq!(sent[2].offset(), Some(Offset(2)));
    assert!(now(sent[2].durable()).is_none());
    far.sync();
    wire.run(&mut core, &mut far);
    now(sent[2].durable()).unwrap().unwrap();
}

#[test]
fn durable_is_told_even_if_the_connection_is_lost_after_written() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.durability = Durability::Os;
    let mut wire = Wire::new();
    let sent = send(&sender, 0..3);
    wire.run(&mut core, &mut far);
    far.hang_up();
    wire.run(&mut core, &mut far);
    far.sync();
    wire.run(&mut core, &mut far);
    now(sent[0].durable()).unwrap().unwrap();
    assert_eq!(far.published(), numbers(0..3));
}

#[test]
fn records_that_the_other_side_lost_are_reported_and_publishing_goes_on() {
    let (mut core, handle, sender) = publisher(options());
    let mut far = Far::new();
    far.durability = Durability::Os;
    let mut wire = Wire::new();
    let mut sent = send(&sender, 0..2);
    wire.run(&mut core, &mut far);
    far.sync();
    for batch in 1..4 {
        sent.extend(send(&sender, batch * 2..batch * 2 + 2));
        wire.run(&mut core, &mut far);
    }
    far.hang_up();
    far.lose_power();
    assert_eq!(far.published(), numbers(0..2));
    wire.run(&mut core, &mut far);
    // 2..8 were acknowledged as written and let go.
    assert_eq!(far.published(), numbers(0..2));
    let lost = std::iter::from_fn(|| handle.events().try_next())
        .find_map(|event| if let Event::RolledBack { from, to } = event { Some((from, to)) } else { None });
    assert_eq!(lost, Some((2, 8)));
    let after = send(&sender, 8..9);
    wire.run(&mut core, &mut far);
    far.sync();
    wire.run(&mut core, &mut far);
    now(sent[1].durable()).unwrap().unwrap();
    assert_eq!(kind(now(sent[2].durable())), ErrorKind::Poisoned);
    assert_eq!(kind(now(sent[7].durable())), ErrorKind::Poisoned);
    now(after[0].durable()).unwrap().unwrap();
    assert_eq!(far.published(), ["0", "1", "8"]);
}

#[test]
fn resuming_begins_where_an_earlier_run_stopped() {
    let mut far = Far::new();
    let mut wire = Wire::new();
    let (mut core, _handle, sender) = publisher(options());
    assert!(now(sender.producer()).is_none());
    send(&sender, 0..7);
    now(sender.note(7, Note::new("at 7").unwrap())).unwrap().unwrap();
    send(&sender, 7..9);
    wire.run(&mut core, &mut far);
    drop((core, sender));

    let (mut core, _handle, sender) = publisher(PublisherOptions { resume: true, ..options() });
    let mut waiting = Box::pin(sender.send("9"));
    assert!(poll(&mut waiting).is_pending(), "which sequence it has is not known yet");
    let (woken, waker) = Woken::new();
    let mut asking = Box::pin(sender.producer());
    assert!(asking.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    wire.dials = 10;
    wire.run(&mut core, &mut far);
    assert_eq!(woken.count(), 1);
    let producer = now(asking).unwrap().unwrap();
    assert_eq!((producer.id, producer.next_sequence), (PRODUCER, 9));
    assert_eq!(&producer.note.bytes()[..], b"at 7");
    assert!(poll(&mut waiting).is_ready());
    wire.run(&mut core, &mut far);
    assert_eq!(far.published(), numbers(0..10));
}

#[test]
fn a_note_stands_between_the_records_before_and_after_it_whatever_is_cut() {
    let play = |wire: &mut Wire| {
        let (mut core, handle, sender) = publisher(options());
        let mut far = Far::new();
        for chunk in 0..5 {
            now(sender.note(u64::from(chunk) * 4, Note::new(chunk.to_string()).unwrap())).unwrap().unwrap();
            send(&sender, chunk * 4..chunk * 4 + 4);
        }
        let _ = now(handle.close());
        wire.run(&mut core, &mut far);
        assert!(core.is_over());
        assert_eq!(&far.producers[&PRODUCER].note.bytes()[..], b"4");
        far.published()
    };
    let mut whole = Wire::new();
    assert_eq!(play(&mut whole), numbers(0..20));
    for cut in 1..whole.passed_to_far {
        assert_eq!(play(&mut Wire { to_far: cut, ..Wire::new() }), numbers(0..20), "cut at {cut}");
    }
    for cut in 1..whole.passed_to_near {
        assert_eq!(play(&mut Wire { to_near: cut, ..Wire::new() }), numbers(0..20), "cut at {cut}");
    }
}

#[test]
fn a_note_for_another_place_is_refused() {
    let (_core, _handle, sender) = publisher(options());
    send(&sender, 0..2);
    assert_eq!(kind(now(sender.note(1, Note::default()))), ErrorKind::Config);
}

#[test]
fn another_program_with_the_same_producer_id_is_found_out() {
    let mut far = Far::new();
    let (mut core, _handle, sender) = publisher(options());
    send(&sender, 0..3);
    Wire::new().run(&mut core, &mut far);
    let (mut core, _handle, sender) = publisher(options());
    let sent = send(&sender, 0..1);
    Wire::new().run(&mut core, &mut far);
    assert_eq!(kind(now(sent[0].written())), ErrorKind::Config);
    assert_eq!(far.published(), numbers(0..3));
}

#[test]
fn what_no_other_try_can_cure_fails_everything_and_says_what_is_not_known() {
    let cases = [
        (ErrorCode::SEALED, ErrorKind::Sealed),
        (ErrorCode::DELETED, ErrorKind::Deleted),
        (ErrorCode::DENIED, ErrorKind::Denied),
        (ErrorCode::NO_CHANNEL, ErrorKind::NoChannel),
    ];
    for (code, expected) in cases {
        let (mut core, handle, sender) = publisher(options());
        let mut far = Far::new();
        let mut wire = Wire::new();
        let safe = send(&sender, 0..2);
        wire.run(&mut core, &mut far);
        far.acknowledges = false;
        let unsure = send(&sender, 2..4);
        wire.run(&mut core, &mut far);
        far.hang_up();
        wire.dials = 0;
        wire.run(&mut core, &mut far);
        wire.dials = 1;
        far.refuse = Some(ErrorFrame::new(code, "no"));
        let unsent = send(&sender, 4..5);
        let mut flush = sender.flush();
        assert!(poll(&mut flush).is_pending());
        wire.run(&mut core, &mut far);
        assert!(core.is_over());
        now(safe[1].durable()).unwrap().unwrap();
        let error = now(unsure[0].durable()).unwrap().unwrap_err();
        assert_eq!(error.kind(), expected);
        assert!(error.to_string().contains("record 2 may or may not be in the channel"), "{error}");
        let error = now(unsent[0].written()).unwrap().unwrap_err();
        assert!(error.to_string().contains("record 4 was not sent"), "{error}");
        assert!(matches!(poll(&mut flush), Poll::Ready(Err(_))));
        assert_eq!(sender.try_send("x").unwrap_err().kind(), expected);
        assert_eq!(kind(now(handle.close())), expected);
        assert_eq!(now(sender.info()).unwrap().unwrap_err().kind(), expected);
    }
}

#[test]
fn a_wrong_token_is_told() {
    let node = node_with(Some(Token::new("wrong").unwrap()));
    let (mut core, handle) = PublisherCore::new(&node, options());
    let sender = Sender::remote(handle);
    let mut far = Far::new();
    far.token = Some(Token::new("right").unwrap());
    let sent = send(&sender, 0..1);
    let mut wire = Wire::new();
    wire.run(&mut core, &mut far);
    assert_eq!(kind(now(sent[0].written())), ErrorKind::Auth);
    assert_eq!(wire.dials, 9);
}

#[test]
fn a_full_disk_is_tried_again() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.refuse = Some(ErrorFrame::new(ErrorCode::DISK_FULL, "full"));
    let sent = send(&sender, 0..1);
    let mut wire = Wire { dials: 3, ..Wire::new() };
    wire.run(&mut core, &mut far);
    assert_eq!(far.opens, 3);
    far.refuse = None;
    wire.dials = 1;
    wire.run(&mut core, &mut far);
    now(sent[0].durable()).unwrap().unwrap();
}

#[test]
fn a_channel_that_was_made_anew_is_not_taken_for_the_old_one() {
    let (mut core, _handle, sender) = publisher(options());
    let mut wire = Wire::new();
    send(&sender, 0..1);
    wire.run(&mut core, &mut Far::new());
    let mut far = Far::new();
    far.log = LogId([8; 16]);
    let sent = send(&sender, 1..2);
    wire.run(&mut core, &mut far);
    assert_eq!(kind(now(sent[0].written())), ErrorKind::OtherLog);
    assert!(far.published.is_empty());
}

#[test]
fn sealing_follows_everything_sent_whatever_is_cut() {
    let play = |wire: &mut Wire| {
        let (mut core, _handle, sender) = publisher(options());
        let mut far = Far::new();
        let sent = send(&sender, 0..10);
        let mut sealing = Box::pin(sender.seal());
        assert!(poll(&mut sealing).is_pending());
        assert_eq!(sender.try_send("late").unwrap_err().kind(), ErrorKind::Sealed);
        wire.run(&mut core, &mut far);
        assert!(far.sealed);
        assert_eq!(now(sealing).unwrap().unwrap(), Offset(10));
        now(sent[9].durable()).unwrap().unwrap();
        assert_eq!(sender.try_send("late").unwrap_err().kind(), ErrorKind::Sealed);
        let mut info = Box::pin(sender.info());
        assert!(poll(&mut info).is_pending());
        let mut closing = Box::pin(sender.close());
        assert!(poll(&mut closing).is_pending());
        wire.run(&mut core, &mut far);
        assert!(now(info).unwrap().unwrap().sealed);
        now(closing).unwrap().unwrap();
        far.published()
    };
    let mut whole = Wire::new();
    assert_eq!(play(&mut whole), numbers(0..10));
    for cut in 1..whole.passed_to_far {
        assert_eq!(play(&mut Wire { to_far: cut, ..Wire::new() }), numbers(0..10), "cut at {cut}");
    }
    for cut in 1..whole.passed_to_near {
        assert_eq!(play(&mut Wire { to_near: cut, ..Wire::new() }), numbers(0..10), "cut at {cut}");
    }
}

#[test]
fn a_channel_sealed_by_others_tells_where_it_stands_and_takes_nothing() {
    let mut far = Far::new();
    far.sealed = true;
    let (mut core, _handle, sender) = publisher(options());
    let mut wire = Wire::new();
    wire.run(&mut core, &mut far);
    assert_eq!(now(sender.producer()).unwrap().unwrap().next_sequence, 0);
    let mut info = Box::pin(sender.info());
    assert!(poll(&mut info).is_pending());
    wire.run(&mut core, &mut far);
    assert!(now(info).unwrap().unwrap().sealed);
    let sent = send(&sender, 0..1);
    wire.run(&mut core, &mut far);
    assert_eq!(kind(now(sent[0].written())), ErrorKind::Sealed);
    assert_eq!(sender.try_send("x").unwrap_err().kind(), ErrorKind::Sealed);
}

#[test]
fn many_notes_are_never_more_under_way_than_the_other_side_takes() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.acknowledges = false;
    for number in 0..100 {
        now(sender.note(u64::from(number), Note::new(number.to_string()).unwrap())).unwrap().unwrap();
        send(&sender, number..number + 1);
    }
    let mut wire = Wire::new();
    wire.run(&mut core, &mut far);
    assert_eq!(far.published(), numbers(0..32));
    far.acknowledges = true;
    far.hang_up();
    wire.run(&mut core, &mut far);
    assert_eq!(far.published(), numbers(0..100));
    assert_eq!(&far.producers[&PRODUCER].note.bytes()[..], b"99");
}

#[test]
fn the_only_stream_there_was_being_lost_fails_what_waits() {
    let (mut core, _handle, sender) = publisher(options());
    let sent = send(&sender, 0..1);
    core.disconnected(Lost::Final("the stream ended".to_owned()), Instant(1));
    assert!(core.is_over());
    assert_eq!(kind(now(sent[0].written())), ErrorKind::Unreachable);
}

#[test]
fn the_driver_can_close_it_and_everything_goes_out() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    let sent = send(&sender, 0..3);
    core.begin_close();
    assert_eq!(sender.try_send("x").unwrap_err().kind(), ErrorKind::Closed);
    Wire::new().run(&mut core, &mut far);
    assert!(core.is_over());
    now(sent[2].durable()).unwrap().unwrap();
}

#[test]
fn the_last_handle_gone_what_was_sent_goes_out_and_it_is_over() {
    let (mut core, handle, sender) = publisher(options());
    let mut far = Far::new();
    let sent = send(&sender, 0..5);
    drop(handle);
    let mut wire = Wire { dials: 0, ..Wire::new() };
    wire.run(&mut core, &mut far);
    assert!(!core.is_over());
    drop(sender);
    wire.dials = 3;
    wire.run(&mut core, &mut far);
    assert!(core.is_over());
    assert_eq!(far.published(), numbers(0..5));
    now(sent[4].durable()).unwrap().unwrap();
}

#[test]
fn a_publisher_that_is_stopped_fails_what_waits() {
    let (core, _handle, sender) = publisher(options());
    let sent = send(&sender, 0..1);
    let mut sealing = Box::pin(sender.seal());
    assert!(poll(&mut sealing).is_pending());
    drop(core);
    assert_eq!(kind(now(sent[0].durable())), ErrorKind::Closed);
    assert_eq!(now(sealing).unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(sender.try_send("x").unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn closing_with_nothing_sent_is_over_at_once() {
    let (mut core, handle, sender) = publisher(options());
    let mut closing = Box::pin(handle.close());
    assert!(poll(&mut closing).is_pending());
    core.work(Instant(1), Waker::noop());
    assert!(core.is_over());
    now(closing).unwrap().unwrap();
    assert_eq!(sender.try_send("x").unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_record_over_its_limit_is_refused_and_nothing_is_sent() {
    let (mut core, _handle, sender) = publisher(options());
    let record = NewRecord::new("x").key(vec![0; 70_000]);
    assert_eq!(sender.try_send(&record).unwrap_err().kind(), ErrorKind::TooLarge);
    let mut far = Far::new();
    Wire::new().run(&mut core, &mut far);
    assert!(far.published.is_empty());
}

#[test]
fn the_largest_record_passes_a_small_window() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.window = 10_000;
    let sent = now(sender.send(vec![9u8; 16 << 20])).unwrap().unwrap();
    Wire::new().run(&mut core, &mut far);
    now(sent.durable()).unwrap().unwrap();
    assert_eq!(far.published[0].1.len(), 16 << 20);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a thread that blocks is what is tested")]
fn a_thread_that_blocks_waits_on_the_same_futures() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => std::thread::park(),
            }
        }
    }
    let (mut core, handle, sender) = publisher(PublisherOptions { max_unacknowledged: 2_000, ..options() });
    let user = std::thread::spawn(move || {
        for number in 0..3000u32 {
            block_on(sender.send(number.to_string())).unwrap();
        }
        block_on(sender.flush()).unwrap();
        block_on(sender.close())
    });
    drop(handle);
    let mut far = Far::new();
    let mut wire = Wire { dials: usize::MAX, ..Wire::new() };
    while !core.is_over() {
        wire.run(&mut core, &mut far);
        std::thread::yield_now();
    }
    user.join().unwrap().unwrap();
    assert_eq!(far.published(), numbers(0..3000));
}

#[test]
fn a_dial_that_fails_is_an_event_and_nothing_else() {
    let (mut core, handle, sender) = publisher(options());
    let sent = send(&sender, 0..1);
    core.disconnected(Lost::Io("connection refused".to_owned()), Instant(1));
    assert!(matches!(handle.events().try_next(), Some(Event::Lost { .. })));
    assert!(now(sent[0].written()).is_none());
    let mut far = Far::new();
    Wire::new().run(&mut core, &mut far);
    now(sent[0].durable()).unwrap().unwrap();
}
