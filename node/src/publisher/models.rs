//! Models of what senders and the driver of a publisher share: nobody waits for ever.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::future::block_on;
use loom::thread;
use netchan_proto::wire::{AckLevel, Note};
use netchan_proto::{AsRecord, ChannelName, ProducerId};

use super::handle::{Publisher, Reached};
use super::queue::{Item, Producer, Refused, Shared, closed};
use crate::sync::model;

const PRODUCER: ProducerId = ProducerId([7; 16]);

fn shared(next: Option<u64>, limit: usize) -> Arc<Shared> {
    Arc::new(Shared::new(ChannelName::new("modelled").unwrap(), PRODUCER, next, limit))
}

/// As a sender does.
fn send(shared: &Arc<Shared>) -> u64 {
    let mut ticket = None;
    block_on(poll_fn(|cx| match shared.push(&"r".as_record(), Some((&mut ticket, cx.waker()))) {
        Ok(sequence) => Poll::Ready(sequence),
        Err(Refused::Full) => Poll::Pending,
        Err(Refused::Never(error)) => panic!("{error}"),
    }))
}

/// As the driver does: hangs up its waker, takes what there is, and has it acknowledged. Until so many were.
fn drive(shared: &Arc<Shared>, records: u64) {
    let mut taken = 0;
    block_on(poll_fn(|cx| {
        shared.hang(cx.waker());
        while let Some(item) = shared.take() {
            let Item::Batch(batch) = item else { continue };
            taken += batch.len() as u64;
            shared.release(batch.byte_len());
            shared.acknowledge_until(taken);
        }
        if taken == records { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// With room for one record at a time: the driver is woken by each, the sender by the room and by what was acknowledged.
#[test]
fn a_sender_that_waits_for_room_and_its_driver_wake_each_other() {
    model(3, || {
        let shared = shared(Some(0), 1);
        let sending = Arc::clone(&shared);
        let sender = thread::spawn(move || {
            send(&sending);
            let last = send(&sending);
            block_on(Reached::new(sending, Some(last), AckLevel::Durable)).unwrap();
        });
        drive(&shared, 2);
        sender.join().unwrap();
    });
}

/// One that gives up is in nobody's way.
#[test]
fn two_senders_get_room_though_a_third_gives_up() {
    model(2, || {
        let shared = shared(Some(0), 1);
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let sending = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut ticket = None;
                    let waiting = Some((&mut ticket, Waker::noop()));
                    if sending.push(&"r".as_record(), waiting).is_err() {
                        sending.leave_room(ticket.unwrap());
                        send(&sending);
                    }
                })
            })
            .collect();
        drive(&shared, 2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// It waits to be told which sequence comes next.
#[test]
fn a_sender_waits_for_its_sequence() {
    model(3, || {
        let shared = shared(None, 1 << 20);
        let sending = Arc::clone(&shared);
        let sender = thread::spawn(move || assert_eq!(send(&sending), 5));
        shared.begin(Producer { id: PRODUCER, next_sequence: 5, note: Note::default() });
        let mut taken = false;
        block_on(poll_fn(|cx| {
            shared.hang(cx.waker());
            taken |= shared.take().is_some();
            if taken { Poll::Ready(()) } else { Poll::Pending }
        }));
        sender.join().unwrap();
    });
}

/// The driver hears of the end, and tells it to who waits for that; who waits for what never comes is told too.
#[test]
fn closing_reaches_the_driver_and_comes_back() {
    model(3, || {
        let shared = shared(Some(0), 1 << 20);
        let publisher = Publisher::new(Arc::clone(&shared));
        let handle = publisher.clone();
        let closing = thread::spawn(move || {
            send(handle.shared());
            let info = handle.info();
            let close = handle.close();
            drop(handle);
            block_on(close).unwrap();
            assert!(block_on(info).is_err());
        });
        drop(publisher);
        let mut taken = 0;
        block_on(poll_fn(|cx| {
            shared.hang(cx.waker());
            while let Some(item) = shared.take() {
                let Item::Batch(batch) = item else { continue };
                taken += batch.len() as u64;
                shared.release(batch.byte_len());
                shared.acknowledge_until(taken);
            }
            if shared.is_ready_to_close() && shared.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        shared.finish(closed(&shared.name));
        closing.join().unwrap();
        assert_eq!(taken, 1);
    });
}
