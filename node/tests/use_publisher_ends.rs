//! How a publisher resumes, seals, closes and fails.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;

use std::task::{Context, Poll, Waker};

use far::sending::{PRODUCER, kind, now, numbers, options, poll, publisher, send};
use far::{Far, Wire, Woken, node_with};
use netchan_node::{ErrorKind, Event, Lost, Machine, PublisherCore, PublisherOptions, Sender};
use netchan_proto::wire::{ErrorFrame, Note};
use netchan_proto::{Durability, ErrorCode, Instant, LogId, Offset, Token};

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
fn questions_wait_until_the_channel_that_is_published_to_is_there() {
    let (mut core, _handle, sender) = publisher(options());
    let mut far = Far::new();
    far.making = true;
    let mut info = Box::pin(sender.info());
    let mut sealing = Box::pin(sender.seal());
    assert!(poll(&mut info).is_pending() && poll(&mut sealing).is_pending());
    let mut wire = Wire::new();
    wire.run(&mut core, &mut far);
    assert!(poll(&mut info).is_pending() && poll(&mut sealing).is_pending());
    far.making = false;
    wire.run(&mut core, &mut far);
    assert_eq!(now(info).unwrap().unwrap().name, far::name());
    assert_eq!(now(sealing).unwrap().unwrap(), Offset(0));
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
