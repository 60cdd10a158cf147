//! Receivers and publishers against a served connection, over a wire that breaks anywhere: nothing is scripted.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;
mod house;
mod there;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use far::sending::{PRODUCER, now, poll, publisher, send};
use far::{Across, Got, Wire, Woken, node};
use house::{House, append, name, options};
use netchan_node::{
    Answer, Ask, Dialling, ErrorKind, Machine, Names, PublisherOptions, Question, ReceiverCore,
    ReceiverOptions, Sender,
};
use netchan_proto::wire::{NamePrefix, Note};
use netchan_proto::{Durability, Epoch, Instant, Offset, Pattern, Position, Start};
use netchan_store::disk::SimDisk;
use netchan_store::{LogOptions, Retention};
use there::There;

fn receiver(options: ReceiverOptions) -> ReceiverCore {
    ReceiverCore::new(&node(), options)
}

fn from_start() -> ReceiverOptions {
    ReceiverOptions { start: Start::Earliest, ..ReceiverOptions::new(name("my_log")) }
}

fn records(range: std::ops::Range<u64>) -> Vec<Got> {
    range.map(|offset| Got::Record(offset, offset.to_string())).collect()
}

fn with_over(mut got: Vec<Got>) -> Vec<Got> {
    got.push(Got::Over);
    got
}

fn publishing() -> PublisherOptions {
    PublisherOptions::new(name("my_log"), PRODUCER)
}

/// All that a log has, as a receiver gets it.
fn content(there: &There) -> Vec<Got> {
    let mut reader = receiver(ReceiverOptions { follow: false, ..from_start() });
    Wire::new().run(&mut reader, &mut There::new(Arc::clone(&there.house)))
}

fn filled(count: u64, apart: bool, seal: bool) -> There {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, count, apart);
    if seal {
        log.seal().unwrap();
    }
    There::new(house)
}

#[test]
fn a_receiver_cut_after_any_byte_either_way_loses_doubles_and_reorders_nothing() {
    for apart in [false, true] {
        let mut whole = Wire::new();
        assert_eq!(
            whole.run(&mut receiver(from_start()), &mut filled(12, apart, true)),
            with_over(records(0..12))
        );
        let mut there = filled(12, apart, true);
        let mut cuts = 0;
        for abrupt in [false, true] {
            for (to_near, bytes) in [(true, whole.passed_to_near), (false, whole.passed_to_far)] {
                for cut in 1..bytes {
                    let mut wire = Wire { abrupt, step: 1 + cut % 97, ..Wire::new() };
                    *(if to_near { &mut wire.to_near } else { &mut wire.to_far }) = cut;
                    let got = wire.run(&mut receiver(from_start()), &mut there);
                    assert_eq!(
                        got,
                        with_over(records(0..12)),
                        "cut at {cut}, to_near {to_near}, abrupt {abrupt}"
                    );
                    cuts += 1;
                }
            }
        }
        assert!(cuts > 1000, "{cuts}");
    }
}

#[test]
fn a_publisher_cut_after_any_byte_either_way_loses_doubles_and_reorders_nothing() {
    let play = |wire: &mut Wire, durability: Durability| {
        let house = House::new();
        house.log_with("my_log", options(durability));
        let mut there = There::new(house);
        let (mut core, handle, sender) = publisher(publishing());
        let first = send(&sender, 0..6);
        wire.run(&mut core, &mut there);
        now(sender.note(6, Note::new("six").unwrap())).unwrap().unwrap();
        let second = send(&sender, 6..15);
        let mut closing = pin!(handle.close());
        wire.run(&mut core, &mut there);
        let closed = closing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(closed, Poll::Ready(Ok(()))), "{closed:?}");
        for sent in first.iter().chain(&second) {
            now(sent.written()).unwrap().unwrap();
        }
        assert_eq!(there.house.log("my_log").next_sequence(PRODUCER), 15);
        content(&there)
    };
    for durability in [Durability::Sync, Durability::Os] {
        let mut whole = Wire::new();
        assert_eq!(play(&mut whole, durability), with_over(records(0..15)));
        let mut cuts = 0;
        for (to_near, bytes) in [(true, whole.passed_to_near), (false, whole.passed_to_far)] {
            for cut in 1..bytes {
                let mut wire = Wire { abrupt: cut % 2 == 0, step: 1 + cut % 97, ..Wire::new() };
                *(if to_near { &mut wire.to_near } else { &mut wire.to_far }) = cut;
                let told = format!("cut at {cut}, to_near {to_near}, {durability}");
                assert_eq!(play(&mut wire, durability), with_over(records(0..15)), "{told}");
                cuts += 1;
            }
        }
        assert!(cuts > 600, "{cuts}");
    }
}

#[test]
fn a_power_cut_at_any_operation_of_the_disk_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let (mut operation, mut unsure) = (1, 0);
    loop {
        let disk = SimDisk::new(operation);
        let house = House::on(disk.clone(), None, |_| ());
        house.log("my_log");
        let begin = disk.operations();
        let mut there = There::new(house);
        disk.cut_power_at(operation);
        let (mut core, handle, sender) = publisher(publishing());
        let mut sent = send(&sender, 0..5);
        let mut wire = Wire { dials: 2, ..Wire::new() };
        wire.run(&mut core, &mut there);
        sent.extend(send(&sender, 5..9));
        wire.run(&mut core, &mut there);
        let acknowledged = sent.iter().filter(|sent| matches!(now(sent.durable()), Some(Ok(())))).count();
        let was_cut = disk.operations() >= begin + operation;
        there.hang_up();
        there.house.store.close();
        disk.crash();
        drop(there);

        let house = House::on(disk.clone(), None, |_| ());
        let safe = house.node.existing_log(&name("my_log")).unwrap().next_sequence(PRODUCER);
        assert!(
            safe >= acknowledged as u64,
            "{acknowledged} acknowledged, {safe} there, operation {operation}"
        );
        let mut there = There::new(house);
        let mut closing = pin!(handle.close());
        let mut wire = Wire { now: wire.now.plus(Duration::from_secs(30)), ..Wire::new() };
        core.handle_timeout(wire.now);
        wire.run(&mut core, &mut there);
        let closed = closing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(closed, Poll::Ready(Ok(()))), "{closed:?} at operation {operation}");
        assert_eq!(content(&there), with_over(records(0..9)), "operation {operation}");
        unsure += usize::from(acknowledged < 9);
        if !was_cut {
            assert!(operation > 5 && unsure > 3, "{operation}, {unsure}");
            return;
        }
        operation += 1;
    }
}

#[test]
fn what_is_published_reaches_a_receiver_that_follows() {
    let mut there = There::new(House::new());
    let mut reader = receiver(from_start());
    let mut wire = Wire::new();
    // The receiver comes first, and waits.
    assert_eq!(wire.run(&mut reader, &mut there), []);
    let (mut core, _handle, sender) = publisher(publishing());
    let sent = send(&sender, 0..3);
    Wire::new().run(&mut core, &mut There::new(Arc::clone(&there.house)));
    assert_eq!(sent[2].offset(), Some(Offset(2)));
    now(sender.flush()).unwrap().unwrap();
    assert_eq!(wire.run(&mut reader, &mut there), records(0..3));
    assert_eq!(wire.dials, 9);
}

#[test]
fn a_gap_that_retention_made_is_told_once() {
    let house = House::new();
    let small = LogOptions {
        segment_bytes: 8 << 10,
        retention: Retention { max_bytes: Some(16 << 10), ..Retention::default() },
        ..LogOptions::default()
    };
    let log = house.log_with("my_log", small);
    for _ in 0..100 {
        append(&log, vec![b'x'; 1000]);
        house.commit();
    }
    let first = log.first();
    assert!(first > Offset(0));
    let mut there = There::new(house);
    let mut reader =
        receiver(ReceiverOptions { start: Start::Offset(Offset(0)), follow: false, ..from_start() });
    let got = Wire::new().run(&mut reader, &mut there);
    assert!(
        matches!(got[0], Got::Error(ErrorKind::Gap { from: Offset(0), to, .. }) if to == first),
        "{:?}",
        got[0]
    );
    assert_eq!(got.len() as u64, 1 + (100 - first.0) + 1);
}

#[test]
fn a_position_past_what_survived_is_told_as_truncated_once() {
    let disk = SimDisk::new(1);
    let house = House::on(disk.clone(), None, |_| ());
    let log = house.log_with("my_log", options(Durability::Os));
    house.fill(&log, 3, true);
    log.sync().unwrap();
    for number in 3..6 {
        append(&log, number.to_string());
        house.commit();
    }
    let mut there = There::new(house);
    let mut reader = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut reader, &mut there), records(0..6));
    there.hang_up();
    disk.crash();
    drop(there);
    let house = House::on(disk, None, |_| ());
    let log = house.node.existing_log(&name("my_log")).unwrap();
    let kept = log.queued().0;
    assert!((3..6).contains(&kept), "the power cut took nothing: {kept}");
    for number in kept..kept + 2 {
        append(&log, number.to_string());
    }
    house.commit();
    let mut there = There::new(house);
    let got = wire.run(&mut reader, &mut there);
    let truncated = ErrorKind::Truncated { epoch: Epoch(1), end: Offset(kept) };
    assert_eq!(got, [vec![Got::Error(truncated)], records(kept..kept + 2)].concat());
    let position = reader.position().unwrap();
    assert_eq!(position, Position { log: log.id(), epoch: Epoch(2), offset: Offset(kept + 2) });
}

#[test]
fn seeks_go_where_they_say() {
    let mut there = filled(30, true, false);
    let mut reader = receiver(from_start());
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut reader, &mut there), records(0..30));
    for (start, from) in [(Start::Offset(Offset(7)), 7), (Start::Last(4), 26), (Start::Earliest, 0)] {
        reader.seek(start);
        assert_eq!(wire.run(&mut reader, &mut there), records(from..30), "{start:?}");
    }
    assert_eq!(wire.dials, 9);
}

#[test]
fn a_remote_seal_ends_the_channel_for_everybody() {
    let mut there = There::new(House::new());
    let (mut core, _handle, sender) = publisher(publishing());
    send(&sender, 0..4);
    let mut sealing = Box::pin(sender.seal());
    assert!(poll(&mut sealing).is_pending());
    Wire::new().run(&mut core, &mut there);
    assert_eq!(now(sealing).unwrap().unwrap(), Offset(4));
    let mut reader = receiver(from_start());
    assert_eq!(Wire::new().run(&mut reader, &mut there), with_over(records(0..4)));
}

#[test]
fn a_producer_goes_on_after_its_own_end_where_its_note_says() {
    let mut there = There::new(House::new());
    {
        let (mut core, _handle, sender) = publisher(publishing());
        send(&sender, 0..5);
        now(sender.note(5, Note::new("after 5").unwrap())).unwrap().unwrap();
        send(&sender, 5..7);
        Wire::new().run(&mut core, &mut there);
    }
    let (mut core, _handle, sender) = publisher(PublisherOptions { resume: true, ..publishing() });
    Wire::new().run(&mut core, &mut there);
    let producer = now(sender.producer()).unwrap().unwrap();
    assert_eq!((producer.next_sequence, &producer.note.bytes()[..]), (7, &b"after 5"[..]));
    send(&sender, 7..9);
    Wire::new().run(&mut core, &mut there);
    assert_eq!(content(&there), with_over(records(0..9)));
}

#[test]
fn large_records_pass_both_ways() {
    let mut there = There::new(House::new());
    let (mut core, _handle, sender) = publisher(publishing());
    let sizes = [3 << 20, 100, 16 << 20, 0];
    for size in sizes {
        let mut sending = Box::pin(sender.send(vec![b'z'; size]));
        while poll(&mut sending).is_pending() {
            Wire::new().run(&mut core, &mut there);
        }
    }
    Wire::new().run(&mut core, &mut there);
    now(sender.flush()).unwrap().unwrap();
    let got = content(&there);
    let lengths: Vec<usize> = got
        .iter()
        .filter_map(|got| if let Got::Record(_, text) = got { Some(text.len()) } else { None })
        .collect();
    assert_eq!(lengths, sizes);
}

/// Asks, and drives until there is an answer.
fn ask(there: &mut There, ask: Ask) -> Result<Answer, ErrorKind> {
    let mut question = Question::new(&node(), ask, "there:4747");
    let mut wire = Wire::new();
    wire.run(&mut question, there);
    assert!(question.is_over());
    question.take_answer().unwrap().map_err(|error| error.kind())
}

impl far::Near for Question {
    fn turn(&mut self, now: Instant, _: &mut Vec<Got>) -> bool {
        self.work(now, Waker::noop());
        false
    }
}

#[test]
fn questions_are_answered() {
    let mut there = filled(3, true, false);
    let Ok(Answer::Info(info)) = ask(&mut there, Ask::Info(name("my_log"))) else { panic!() };
    assert_eq!((info.next, info.sealed), (Offset(3), false));
    assert_eq!(ask(&mut there, Ask::Info(name("none"))), Err(ErrorKind::NoChannel));
    assert_eq!(ask(&mut there, Ask::Seal(name("my_log"))), Ok(Answer::Sealed(Offset(3))));
    assert_eq!(ask(&mut there, Ask::Delete(name("my_log"))), Ok(Answer::Deleted));
    assert_eq!(ask(&mut there, Ask::Delete(name("my_log"))), Err(ErrorKind::NoChannel));
}

#[test]
fn a_list_longer_than_a_page_comes_whole_and_in_order() {
    let house = House::new();
    let names: Vec<String> = (0..300).map(|number| format!("log{number:03}")).collect();
    for name in &names {
        house.log(name);
    }
    house.log("other");
    let mut there = There::new(house);
    let mut listed = |after: Option<&str>, prefix: &str, limit| {
        let after = after.map(name);
        let prefix = NamePrefix::new(prefix).unwrap();
        match ask(&mut there, Ask::List { after, names: prefix.into(), limit }).unwrap() {
            Answer::List(list) => list.iter().map(|info| info.name.to_string()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(listed(None, "log", usize::MAX), names);
    assert_eq!(listed(Some("log290"), "log", usize::MAX), names[291..]);
    assert_eq!(listed(None, "", 200), names[..200]);
    assert_eq!(listed(None, "zzz", 10), Vec::<String>::new());
}

/// NC-PAT-008
#[test]
fn a_list_by_a_pattern_has_what_matches_over_all_pages() {
    let house = House::new();
    let names: Vec<String> = (0..300).map(|number| format!("logs/{}/{number:03}", number % 2)).collect();
    for name in names.iter().map(String::as_str).chain(["logs", "logs/1", "logsx/1/a", "a/1/000"]) {
        house.log(name);
    }
    let local = house.node.clone();
    let mut there = There::new(house);
    let mut listed = |pattern: &str, limit| {
        let names = Names::Pattern(Pattern::new(pattern).unwrap());
        let here = local.list(None, &names, limit).unwrap();
        match ask(&mut there, Ask::List { after: None, names, limit }).unwrap() {
            Answer::List(list) => {
                assert_eq!(list, here, "the same on this machine");
                list.iter().map(|info| info.name.to_string()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let odd: Vec<String> = (0..150).map(|number| format!("logs/1/{:03}", 2 * number + 1)).collect();
    assert_eq!(listed("logs/1/*", usize::MAX), odd);
    assert_eq!(listed("logs/1/*", 130), odd[..130]);
    assert_eq!(listed("logs/**", usize::MAX).len(), 302);
    assert_eq!(listed("*/1/00*", usize::MAX).len(), 6);
    assert_eq!(listed("**/299", usize::MAX), ["logs/1/299"]);
    assert_eq!(listed("none/*", usize::MAX), Vec::<String>::new());
}

#[test]
fn a_question_that_cannot_be_put_is_answered_by_that() {
    let mut question = Question::new(&node(), Ask::Info(name("my_log")), "there:4747");
    assert!(question.wants_dial(Instant(1)));
    question.disconnected(netchan_node::Lost::Io("connection refused".to_owned()), Instant(1));
    let error = question.take_answer().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "there:4747: my_log: connection refused");
    assert!(question.is_over() && !question.wants_dial(Instant(u64::MAX)));
}

/// A directory that changes hands has nobody to answer for a moment.
#[test]
fn a_patient_question_is_put_again_until_it_is_answered_or_the_time_is_over() {
    let refused = || netchan_node::Lost::Io("connection refused".to_owned());
    let new =
        || Question::new(&node(), Ask::Info(name("my_log")), "this machine").patient(Instant(1_000_000_000));
    let mut question = new();
    question.disconnected(refused(), Instant(0));
    assert!(!question.is_over() && !question.wants_dial(Instant(0)));
    let again = question.deadline().unwrap();
    question.handle_timeout(again);
    assert!(question.wants_dial(again));
    let mut there = filled(3, true, false);
    Wire::new().run(&mut question, &mut there);
    assert!(matches!(question.take_answer(), Some(Ok(Answer::Info(info))) if info.next == Offset(3)));

    let mut question = new();
    question.disconnected(refused(), Instant(1_000_000_000));
    assert_eq!(question.take_answer().unwrap().unwrap_err().kind(), ErrorKind::Unreachable);
}

#[test]
fn a_local_sender_keeps_the_same_promises() {
    let house = House::new();
    let log = house.log("my_log");
    let sender = Sender::local(log);
    let sent = now(sender.send("hello")).unwrap().unwrap();
    assert_eq!(sent.offset(), Some(Offset(0)));
    let mut durable = sent.durable();
    let (woken, waker) = Woken::new();
    assert!(Pin::new(&mut durable).poll(&mut Context::from_waker(&waker)).is_pending());
    let mut flush = sender.flush();
    assert!(poll(&mut flush).is_pending());
    house.commit();
    assert_eq!(woken.count(), 1);
    assert!(matches!(poll(&mut durable), Poll::Ready(Ok(()))));
    assert!(matches!(poll(&mut flush), Poll::Ready(Ok(()))));
    assert_eq!(now(sender.info()).unwrap().unwrap().next, Offset(1));
    assert_eq!(now(sender.producer()).unwrap().unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_full_local_channel_makes_senders_wait_until_the_disk_has_caught_up() {
    let house = House::with(|options| options.max_queued = 64 << 10);
    let sender = Sender::local(house.log("my_log"));
    let payload = vec![1u8; 10_000];
    let mut sent = 0;
    while sender.try_send(&payload).is_ok() {
        sent += 1;
    }
    assert!((1..20).contains(&sent), "{sent}");
    assert_eq!(sender.try_send(&payload).unwrap_err().kind(), ErrorKind::Full);
    let (woken, waker) = Woken::new();
    let mut sending = pin!(sender.send(&payload));
    assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    house.commit();
    assert!(woken.count() >= 1);
    assert!(sending.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn what_blocks_on_a_local_channel_is_a_job_if_it_is_told_where() {
    let house = House::new();
    let log = house.log("my_log");
    append(&log, "0");
    let jobs = Arc::new(std::sync::Mutex::new(Vec::new()));
    let place = Arc::clone(&jobs);
    let sender = Sender::local(log).running_jobs_on(Arc::new(move |job| place.lock().unwrap().push(job)));
    let mut asking = Box::pin(sender.info());
    assert!(poll(&mut asking).is_pending());
    jobs.lock().unwrap().pop().unwrap().run();
    assert_eq!(now(asking).unwrap().unwrap().next, Offset(0));
    let mut dropped = Box::pin(sender.seal());
    assert!(poll(&mut dropped).is_pending());
    jobs.lock().unwrap().clear();
    assert_eq!(now(dropped).unwrap().unwrap_err().kind(), ErrorKind::Closed);
    let mut sealing = Box::pin(sender.seal());
    assert!(poll(&mut sealing).is_pending());
    jobs.lock().unwrap().pop().unwrap().run();
    assert_eq!(now(sealing).unwrap().unwrap(), Offset(1));
    assert_eq!(sender.try_send("late").unwrap_err().kind(), ErrorKind::Sealed);
}

fn is_send_and_static(_: impl Future + Send + 'static) {}

#[test]
fn what_waits_can_be_moved_to_another_thread() {
    let house = House::new();
    let sender = Sender::local(house.log("my_log"));
    let sent = now(sender.send("x")).unwrap().unwrap();
    is_send_and_static(sent.durable());
    is_send_and_static(sender.flush());
    is_send_and_static(async move {
        sender.send("y").await.unwrap().written().await.unwrap();
        sender.seal().await.unwrap();
        sender.info().await.unwrap();
        let _ = sender.producer().await;
        sender.close().await.unwrap();
    });
}
