//! What a sender is promised that waits for receivers: the side that has the log, against a scripted receiver.

#![allow(clippy::unwrap_used)]

mod house;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use house::{ALL, House, Link, Parked, peer_config};
use netchan_node::{Error, ErrorKind, Sender};
use netchan_proto::conn::{ConnectionConfig, Event};
use netchan_proto::limits::MAX_AWAITS;
use netchan_proto::wire::{End, FRAME_HEADER_LEN, FrameHeader, FrameType, PREFACE, Roles, StreamId};
use netchan_proto::{ErrorCode, Offset, Side, Start};

/// A receiver that tells what its user has.
fn telling(house: &House) -> Link {
    Link::of(house, ConnectionConfig { roles: ALL.and(Roles::TELLS), ..peer_config(Side::Dialler) })
}

fn sender(house: &House) -> Sender {
    Sender::local(house.log("my_log")).served_by(&house.node)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What the receiver was asked, since the last time.
fn asked(link: &mut Link) -> Vec<u64> {
    let events = std::mem::take(&mut link.events);
    let asked = |event| match event {
        Event::Await(_, end) => Some(end.0),
        _ => None,
    };
    events.into_iter().filter_map(asked).collect()
}

fn tell(link: &mut Link, id: StreamId, end: u64) {
    link.peer.tell_received(id, Offset(end));
    link.pump();
}

#[track_caller]
fn comes_to<T>(future: Pin<&mut impl Future<Output = Result<T, Error>>>) -> T {
    match poll(future) {
        Poll::Ready(done) => done.unwrap(),
        Poll::Pending => panic!("it waits still"),
    }
}

/// NC-STR-042
#[test]
fn who_does_not_tell_is_there_but_neither_asked_nor_waited_for() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = Link::new(&house);
    link.read("my_log", Start::Earliest);
    assert_eq!(sender.receivers().unwrap(), 1);
    assert!(poll(pin!(sender.wait_until_ready(1))).is_ready());
    sender.try_send("x").unwrap();
    let mut done = pin!(sender.done());
    assert!(poll(done.as_mut()).is_pending(), "it is not acknowledged");
    link.pump();
    assert_eq!(comes_to(done), 0);
    assert_eq!(asked(&mut link), [0u64; 0]);
}

/// NC-STR-042, NC-STR-044
#[test]
fn a_receiver_is_asked_when_somebody_waits_and_one_answer_is_for_all_before_it() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    (0..3).for_each(|_| drop(sender.try_send("x").unwrap()));
    link.pump();
    assert_eq!(asked(&mut link), [0u64; 0], "nobody waits");
    let mut first = pin!(sender.done());
    assert!(poll(first.as_mut()).is_pending());
    link.pump();
    sender.try_send("x").unwrap();
    let mut second = pin!(sender.done());
    assert!(poll(second.as_mut()).is_pending());
    link.pump();
    assert_eq!(asked(&mut link), [3, 4]);
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    tell(&mut link, id, 4);
    assert_eq!((comes_to(first), comes_to(second)), (1, 1));
    // What it has told, it is not asked again.
    assert_eq!(comes_to(pin!(sender.done())), 1);
    link.pump();
    assert_eq!(asked(&mut link), [0u64; 0]);
}

/// The receiver is to know before its user gets it, or it would tell when the user comes back.
#[test]
fn what_is_waited_for_is_asked_before_the_record_is_sent() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    let said = link.said.len();
    let mut sending = pin!(sender.send_to(1, "x"));
    assert!(poll(sending.as_mut()).is_pending());
    link.pump();
    let mut rest = &link.said[said.max(PREFACE.len())..];
    let mut kinds = Vec::new();
    while let Some(header) = rest.first_chunk::<FRAME_HEADER_LEN>() {
        let header = FrameHeader::decode(header).unwrap();
        kinds.push(header.kind);
        rest = &rest[FRAME_HEADER_LEN + header.len as usize..];
    }
    kinds.retain(|kind| [FrameType::AWAIT, FrameType::DATA].contains(kind));
    assert_eq!(kinds, [FrameType::AWAIT, FrameType::DATA]);
    assert!(poll(sending.as_mut()).is_pending(), "it was sent, and not received");
    tell(&mut link, id, 1);
    assert_eq!(comes_to(sending).offset(), Some(Offset(0)));
}

/// Who begins later does not have what is before it; who had it and left had it.
#[test]
fn who_has_a_record_is_who_began_before_it_and_told_so() {
    let house = House::new();
    let sender = sender(&house);
    let (mut early, mut late) = (telling(&house), telling(&house));
    let id = early.read("my_log", Start::Earliest);
    let mut sending = pin!(sender.send_to(2, "x"));
    assert!(poll(sending.as_mut()).is_pending());
    early.pump();
    late.read("my_log", Start::Latest);
    tell(&mut early, id, 1);
    assert!(poll(sending.as_mut()).is_pending());
    drop(early);
    assert_eq!(sender.receivers().unwrap(), 1);
    let mut third = telling(&house);
    let id = third.read("my_log", Start::Earliest);
    assert_eq!(asked(&mut third), [1], "who comes meanwhile is asked too");
    tell(&mut third, id, 1);
    comes_to(sending);
    assert_eq!(asked(&mut late), [0u64; 0]);
}

/// NC-STR-046
#[test]
fn no_more_is_asked_than_may_be_unanswered() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    let many = MAX_AWAITS as u64 + 10;
    let mut sending: Vec<_> = (0..many).map(|_| Box::pin(sender.send_to(1, "x"))).collect();
    assert!(sending.iter_mut().all(|sending| poll(sending.as_mut()).is_pending()));
    link.pump();
    assert_eq!(asked(&mut link), (1..=MAX_AWAITS as u64).collect::<Vec<_>>());
    tell(&mut link, id, 10);
    assert_eq!(asked(&mut link), (1..=10).map(|more| MAX_AWAITS as u64 + more).collect::<Vec<_>>());
    tell(&mut link, id, many);
    sending.iter_mut().for_each(|sending| drop(comes_to(sending.as_mut())));
}

/// NC-STR-047
#[test]
fn who_tells_that_it_has_what_nobody_can_see_is_refused() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    let mut sending = pin!(sender.send_to(1, "x"));
    assert!(poll(sending.as_mut()).is_pending());
    link.pump();
    tell(&mut link, id, 2);
    assert_eq!(link.reader(id).error.as_ref().unwrap().code, ErrorCode::PROTOCOL);
    assert!(poll(sending.as_mut()).is_pending());
    assert_eq!(sender.receivers().unwrap(), 0);
}

/// NC-STR-048
#[test]
fn the_end_waits_for_what_is_to_be_told_first() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    sender.try_send("x").unwrap();
    let mut done = pin!(sender.done());
    assert!(poll(done.as_mut()).is_pending());
    link.pump();
    house.node.seal(&house::name("my_log")).unwrap();
    link.pump();
    assert_eq!((asked(&mut link), link.reader(id).end), (vec![1], None));
    tell(&mut link, id, 1);
    assert_eq!(comes_to(done), 1);
    assert_eq!(link.reader(id).end, Some(End::Sealed { final_offset: Offset(1) }));
    // Nobody is connected to it any more.
    assert_eq!(comes_to(pin!(sender.done())), 0);
}

/// NC-STR-048
#[test]
fn a_node_that_stops_keeps_no_end_back() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    sender.try_send("x").unwrap();
    let mut done = pin!(sender.done());
    assert!(poll(done.as_mut()).is_pending());
    link.pump();
    house.node.seal(&house::name("my_log")).unwrap();
    link.pump();
    assert_eq!(link.reader(id).end, None);
    house.node.shut_down(Duration::from_secs(1));
    link.pump();
    assert_eq!(link.reader(id).end, Some(End::Sealed { final_offset: Offset(1) }));
    // It left, and had not told.
    assert_eq!(comes_to(done), 0);
    assert!(
        matches!(poll(pin!(sender.wait_until_ready(1))), Poll::Ready(Err(error)) if error.kind() == ErrorKind::Closed)
    );
}

/// NC-STR-045
#[test]
fn a_seek_ends_what_was_asked_and_it_is_asked_anew() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    let id = link.read("my_log", Start::Earliest);
    (0..4).for_each(|_| drop(sender.try_send("x").unwrap()));
    let mut done = pin!(sender.done());
    assert!(poll(done.as_mut()).is_pending());
    link.pump();
    assert_eq!(asked(&mut link), [4]);
    link.seek(id, Start::Offset(Offset(2)));
    link.pump();
    assert_eq!(asked(&mut link), [4]);
    assert!(poll(done.as_mut()).is_pending());
    // Past it: it does not want it, and is not waited for.
    link.seek(id, Start::Latest);
    link.pump();
    assert_eq!((asked(&mut link), comes_to(done)), (vec![], 1));
}

/// What is dropped is waited for by nobody.
#[test]
fn who_waits_no_more_has_nobody_asked() {
    let house = House::new();
    let sender = sender(&house);
    let mut link = telling(&house);
    link.read("my_log", Start::Earliest);
    {
        let mut sending = pin!(sender.send_to(1, "x"));
        assert!(poll(sending.as_mut()).is_pending());
    }
    link.pump();
    assert_eq!(asked(&mut link), [0u64; 0]);
    assert_eq!(link.readers.values().next().unwrap().offsets(), [0], "it was sent all the same");
}

/// What is sealed can still be received, until it is deleted.
#[test]
fn who_waits_on_a_sealed_channel_is_woken_when_it_is_deleted() {
    let house = House::new();
    let sender = sender(&house);
    let mut ready = pin!(sender.wait_until_ready(1));
    let parked = Parked::here();
    let waker = Waker::from(Arc::clone(&parked));
    house.node.seal(&house::name("my_log")).unwrap();
    house.commit();
    let mut polled = || ready.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled().is_pending());
    house.node.delete(&house::name("my_log")).unwrap();
    assert!(parked.wait(), "it was woken");
    let Poll::Ready(told) = polled() else { panic!("it waits still") };
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Deleted);
}

#[test]
fn a_sender_that_no_node_serves_says_so() {
    let house = House::new();
    let sender = Sender::local(house.log("my_log"));
    assert_eq!(sender.receivers().unwrap_err().kind(), ErrorKind::Config);
}
