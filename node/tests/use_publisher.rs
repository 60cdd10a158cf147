//! What a publisher promises, over a wire that breaks anywhere.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use far::sending::{now, numbers, options, poll, publisher, send};
use far::{Far, Wire, Woken};
use netchan_node::{ErrorKind, Event, Lost, Machine, Publisher, PublisherOptions};
use netchan_proto::limits::{BACKOFF_FIRST, BATCH_TARGET};
use netchan_proto::{Durability, Instant, NewRecord, Offset};

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

fn waits(handle: &Publisher) -> Vec<Duration> {
    std::iter::from_fn(|| handle.events().try_next())
        .filter_map(|event| if let Event::Lost { retry_in, .. } = event { Some(retry_in) } else { None })
        .collect()
}

#[test]
fn who_gets_on_though_each_acknowledgement_is_lost_dials_soon() {
    let (mut core, handle, sender) = publisher(options());
    let mut far = Far::new();
    far.acknowledges = false;
    let mut wire = Wire { dials: usize::MAX, ..Wire::new() };
    for number in 0..12 {
        send(&sender, number..number + 1);
        wire.run(&mut core, &mut far);
        far.hang_up();
    }
    assert_eq!(far.published(), numbers(0..12));
    let waits = waits(&handle);
    assert!(waits.len() > 8 && waits.iter().all(|wait| *wait <= BACKOFF_FIRST), "{waits:?}");
}

/// Where the log has half a batch, each PUBLISH_OPENED tells of more than was acknowledged whole: once that is news.
#[test]
fn who_is_told_the_same_again_and_again_waits_longer_each_time() {
    let (mut core, handle, sender) = publisher(options());
    let mut far = Far::new();
    far.acknowledges = false;
    let mut wire = Wire { dials: usize::MAX, ..Wire::new() };
    send(&sender, 0..6);
    wire.run(&mut core, &mut far);
    far.producers.values_mut().for_each(|producer| producer.next = 3);
    far.window = 0;
    waits(&handle);
    for _ in 0..8 {
        far.hang_up();
        wire.run(&mut core, &mut far);
    }
    let waits = waits(&handle);
    assert!(waits.iter().any(|wait| *wait > 10 * BACKOFF_FIRST), "{waits:?}");
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
