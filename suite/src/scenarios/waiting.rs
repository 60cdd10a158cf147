//! Waiting for receivers, and for what they have.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use netchan_node::words::{Error, ErrorKind, NewRecord, ProducerId, Start};

use crate::pair::{Pair, is_at_end, open, open_sender, payload, receives, send};
use crate::runtime::Runtime;

/// Longer than anything here may take on a machine that is slow and busy.
const LONG: Duration = Duration::from_secs(60);

/// As many as were asked for, wherever they are; who leaves is not there.
pub fn who_waits_for_receivers_waits_until_they_are_there<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("ready");
    assert_eq!(S::receivers(&log).unwrap(), 0);
    S::wait_until_ready(&log, 0).unwrap();
    let (told, is_ready) = mpsc::channel();
    let waiting = thread::spawn({
        let log = log.clone();
        move || {
            S::wait_until_ready(&log, 3).unwrap();
            told.send(()).unwrap();
        }
    });
    let first = pair.receiver("ready");
    let second = open(pair.here.receiver("ready").from(Start::Earliest));
    // Of another channel, and one that waits for a channel.
    let other = pair.sender("other");
    let _elsewhere = (pair.receiver("other"), pair.receiver("later"));
    assert_eq!((S::receivers(&log).unwrap(), S::receivers(&other).unwrap()), (2, 1));
    assert!(is_ready.try_recv().is_err());
    let third = pair.receiver("ready");
    waiting.join().unwrap();
    drop((first, second, third));
    while S::receivers(&log).unwrap() > 0 {
        thread::yield_now();
    }
    let later = pair.sender("later");
    S::wait_until_ready(&later, 1).unwrap();
}

/// And not before. Of those that are there, one took its records before it was asked, and one has taken none of them.
pub fn done_is_when_all_who_are_there_have_all<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("done");
    (0..300).for_each(|number| drop(send::<S>(&log, payload(number))));
    // With nobody there it is done when it is acknowledged.
    assert_eq!(S::done(&log).unwrap(), 0);
    let (mut quick, mut slow) = (pair.receiver("done"), pair.receiver("done"));
    let reading = thread::spawn(move || {
        receives::<R>(&mut quick, 0, (0..301).map(payload));
        quick
    });
    let (told, is_done) = mpsc::channel();
    let waiting = thread::spawn({
        let log = log.clone();
        move || told.send(S::done(&log)).unwrap()
    });
    receives::<R>(&mut slow, 0, (0..299).map(payload));
    assert!(is_done.try_recv().is_err());
    receives::<R>(&mut slow, 299, [payload(299)].into_iter());
    // Whatever it was asked when, it tells when it is asked for more.
    let slow = thread::spawn(move || {
        receives::<R>(&mut slow, 300, [payload(300)].into_iter());
        slow
    });
    assert_eq!(is_done.recv_timeout(LONG).unwrap().unwrap(), 2);
    waiting.join().unwrap();
    send::<S>(&log, payload(300));
    drop((slow.join().unwrap(), reading.join().unwrap()));
}

/// By a drop; with what it had it is not counted.
pub fn who_leaves_is_waited_for_no_longer<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("left");
    let (mut stays, leaves) = (pair.receiver("left"), pair.receiver("left"));
    (0..50).for_each(|number| drop(send::<S>(&log, payload(number))));
    let staying = thread::spawn(move || {
        receives::<R>(&mut stays, 0, (0..50).map(payload));
        is_at_end::<R>(&mut stays);
    });
    let (told, is_done) = mpsc::channel();
    let waiting = thread::spawn({
        let log = log.clone();
        move || told.send(S::done(&log)).unwrap()
    });
    assert!(is_done.try_recv().is_err());
    drop(leaves);
    assert_eq!(is_done.recv_timeout(LONG).unwrap().unwrap(), 1);
    waiting.join().unwrap();
    S::seal(&log).unwrap();
    staying.join().unwrap();
}

/// With one receiver, and with some; also if they come later, and read from the start.
pub fn a_send_without_a_buffer_is_done_when_its_receiver_has_the_record<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("rendezvous");
    let mut receiver = pair.receiver("rendezvous");
    let (has, taken) = mpsc::channel();
    let reading = thread::spawn(move || {
        for number in 0..100 {
            // What is said before the next one is received was said before the sender could go on.
            receives::<R>(&mut receiver, number, [payload(number)].into_iter());
            has.send(number).unwrap();
        }
        receiver
    });
    for number in 0..100 {
        assert!(taken.try_recv().is_err(), "it has what was not sent");
        S::send_to(&log, 1, NewRecord::new(payload(number))).unwrap();
        assert_eq!(taken.recv().unwrap(), number);
    }
    // Nobody is asked to come back for the last one: its receiver has it, and does nothing more.
    let idle = reading.join().unwrap();
    let sending = thread::spawn({
        let log = log.clone();
        move || S::send_to(&log, 2, NewRecord::new("to two")).map(drop)
    });
    let two: Vec<_> = (0..2)
        .map(|_| {
            let mut receiver = pair.receiver("rendezvous");
            thread::spawn(move || {
                receives::<R>(&mut receiver, 0, (0..100).map(payload));
                receives::<R>(&mut receiver, 100, [b"to two".to_vec()].into_iter());
                // It tells in any case when it is asked for more.
                is_at_end::<R>(&mut receiver);
            })
        })
        .collect();
    sending.join().unwrap().unwrap();
    drop(idle);
    S::seal(&log).unwrap();
    two.into_iter().for_each(|receiver| receiver.join().unwrap());
}

/// Nothing passes to one, and the last does not pass to the other.
pub fn what_does_not_pass_is_had_once_that_is_known<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("sifted");
    let filtered = |filter: &str| {
        let mut receiver =
            open(pair.there.receiver(pair.target("sifted")).from(Start::Earliest).filter(filter));
        thread::spawn(move || {
            let mut count = 0;
            while R::recv(&mut receiver).unwrap().is_some() {
                count += 1;
            }
            count
        })
    };
    let (none, some) = (filtered("key == 'none'"), filtered("key == 'some'"));
    S::wait_until_ready(&log, 2).unwrap();
    for number in 0..10 {
        let key = if number % 3 == 1 { "some" } else { "other" };
        S::send(&log, NewRecord::new(payload(number)).key(key)).unwrap();
    }
    assert_eq!(S::done(&log).unwrap(), 2);
    S::send_to(&log, 2, NewRecord::new("x").key("other")).unwrap();
    S::send_to(&log, 2, NewRecord::new("x").key("some")).unwrap();
    S::seal(&log).unwrap();
    assert_eq!((none.join().unwrap(), some.join().unwrap()), (0, 4));
}

/// An error at once, and nothing was sent.
pub fn who_publishes_elsewhere_is_told_that_nobody_knows_there_who_receives<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let _log = pair.sender("afar");
    let mut receiver = pair.receiver("afar");
    let afar = open_sender(pair.there.sender(pair.target("afar")));
    let producer = open_sender(pair.here.sender("afar").producer(ProducerId([7; 16])));
    assert_eq!(R::receivers(&afar).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(R::wait_until_ready(&afar, 1).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(R::done(&afar).unwrap_err().kind(), ErrorKind::Config);
    let sent = R::send_to(&afar, 1, NewRecord::new("not this"));
    assert_eq!(sent.map(drop).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(S::done(&producer).unwrap_err().kind(), ErrorKind::Config);
    send::<R>(&afar, payload(0));
    receives::<R>(&mut receiver, 0, [payload(0)].into_iter());
}

/// By an error, where nobody can come any more.
pub fn waiting_ends_with_the_node_and_the_channel<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let (log, gone) = (pair.sender("ends"), pair.sender("gone"));
    let waiting = |log: &S::Sender| {
        let (ready, sends) = (log.clone(), log.clone());
        [
            thread::spawn(move || S::wait_until_ready(&ready, 7)),
            thread::spawn(move || S::send_to(&sends, 7, NewRecord::new("x")).map(drop)),
        ]
    };
    let (ends, deleted) = (waiting(&log), waiting(&gone));
    type Ends = [thread::JoinHandle<Result<(), Error>>; 2];
    let end = |waiting: Ends| waiting.map(|it| it.join().unwrap().unwrap_err().kind());
    S::wait(|| pair.here.delete("gone")).unwrap();
    assert_eq!(end(deleted), [ErrorKind::Deleted; 2]);
    S::wait(|| pair.here.shutdown(LONG)).unwrap();
    assert_eq!(end(ends), [ErrorKind::Closed; 2]);
}
