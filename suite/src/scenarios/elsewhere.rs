//! What nodes are to each other: publishers, tokens, questions.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use netchan_node::words::{ErrorKind, NewRecord, Note, Offset, ProducerId, ReaderKind, Start};
use netchan_node::{Handle, NodeBuilder};

use crate::pair::{Pair, is_at_end, listening, open, open_sender, receives, send, start, try_start};
use crate::runtime::Runtime;

/// A producer that sends again what it does not know to be there.
pub fn a_publisher_elsewhere_is_counted_once<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    for (done, upto) in [(0, 10), (10, 25)] {
        let log = open_sender(pair.there.sender(pair.target("once")).producer(ProducerId([7; 16])));
        let next = R::producer(&log).unwrap().next_sequence;
        assert_eq!(next, done);
        (next..upto).for_each(|number| drop(send::<R>(&log, number.to_string())));
        R::close(&log).unwrap();
        assert_eq!(R::send(&log, NewRecord::new("late")).map(|_| ()).unwrap_err().kind(), ErrorKind::Closed);
    }
    let mut receiver = open(pair.here.receiver("once").from(Start::Earliest).follow(false));
    receives::<S>(&mut receiver, 0, (0..25).map(|number: u64| number.to_string().into_bytes()));
    is_at_end::<S>(&mut receiver);
}

/// With what comes after it, or not at all.
pub fn a_note_is_given_back_to_its_producer<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let producer = || pair.there.sender(pair.target("noted")).producer(ProducerId([8; 16]));
    let log = open_sender(producer());
    assert_eq!(R::producer(&log).unwrap().next_sequence, 0);
    send::<R>(&log, "one");
    let note = Note::new("read up to line 1").unwrap();
    assert_eq!(R::note(&log, 7, note.clone()).unwrap_err().kind(), ErrorKind::Config);
    R::note(&log, 1, note.clone()).unwrap();
    send::<R>(&log, "two");
    R::close(&log).unwrap();
    let again = R::producer(&open_sender(producer())).unwrap();
    assert_eq!((again.next_sequence, again.note), (2, note));
    let local = pair.sender("noted");
    assert_eq!(S::producer(&local).map(|_| ()).unwrap_err().kind(), ErrorKind::Config);
}

/// With nobody to take them, records wait up to a limit, then senders do.
pub fn what_waits_too_long_is_refused_and_not_lost<S: Runtime, R: Runtime>() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let there = start::<R>(Handle::builder());
    let log = open_sender(there.sender(format!("{free}/later")));
    let mut taken = 0;
    let refused = loop {
        match R::try_send(&log, NewRecord::new(vec![taken; 1 << 20])) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert!(taken >= 7, "{taken} MiB");
    // One that waits goes on when there is room.
    let waiting = thread::spawn(move || {
        send::<R>(&log, vec![taken; 1 << 20]);
        R::flush(&log).unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let here = start::<S>(Handle::builder().data_dir(dir.path()).listen(free.to_string()));
    let mut receiver = open(here.receiver("later").from(Start::Earliest));
    receives::<S>(&mut receiver, 0, (0..=taken).map(|number| vec![number; 1 << 20]));
    waiting.join().unwrap();
}

/// Promise 12, and what the token is for.
pub fn who_has_the_token_comes_in_and_nobody_else_does<S: Runtime, R: Runtime>() {
    let dir = tempfile::tempdir().unwrap();
    let here = start::<S>(listening(dir.path()).token("open sesame"));
    S::durable(&send::<S>(&open_sender(here.sender("secret")), "treasure")).unwrap();
    let target = format!("{}/secret", here.local_addr().unwrap());

    let right = start::<R>(Handle::builder().token("open sesame"));
    let mut receiver = open(right.receiver(&target).from(Start::Earliest));
    receives::<R>(&mut receiver, 0, [b"treasure".to_vec()].into_iter());
    R::durable(&send::<R>(&open_sender(right.sender(&target)), "more")).unwrap();

    for builder in [Handle::builder().token("open barley"), Handle::builder()] {
        let wrong: Handle<R> = start(builder);
        let mut receiver = open(wrong.receiver(&target).from(Start::Earliest));
        assert_eq!(R::recv(&mut receiver).unwrap_err().kind(), ErrorKind::Auth);
        is_at_end::<R>(&mut receiver);
        let log = open_sender(wrong.sender(&target));
        let refused = R::send(&log, NewRecord::new("intrusion")).and_then(|sent| R::durable(&sent));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Auth);
        assert_eq!(R::wait(|| wrong.info(&target)).unwrap_err().kind(), ErrorKind::Auth);
    }
    assert_eq!(S::wait(|| here.info("secret")).unwrap().next, Offset(2));

    let anywhere = |builder: NodeBuilder<S>| builder.listen("0.0.0.0:0");
    let elsewhere = tempfile::tempdir().unwrap();
    let open = || Handle::builder().data_dir(elsewhere.path());
    assert_eq!(try_start::<S>(anywhere(open())).unwrap_err().kind(), ErrorKind::Config);
    drop(start::<S>(anywhere(open()).token("t")));
}

/// What is no preface delivers nothing, is answered, and shut out; others don't notice.
pub fn one_bad_client_harms_nobody<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let (log, mut receiver) = (pair.sender("calm"), pair.receiver("calm"));
    let mut silent = Vec::new();
    for number in 0..10u64 {
        let mut bad = TcpStream::connect(pair.address).unwrap();
        match number % 3 {
            0 => bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap(),
            1 => bad.write_all(&[0xff; 100]).unwrap(),
            _ => {
                silent.push(bad);
                continue;
            }
        }
        let mut answer = Vec::new();
        let _ = bad.read_to_end(&mut answer);
        assert!(number % 3 != 0 || String::from_utf8_lossy(&answer).contains("HTTP"));
        send::<S>(&log, number.to_string());
        receives::<R>(
            &mut receiver,
            2 * (number / 3) + number % 3,
            [number.to_string().into_bytes()].into_iter(),
        );
    }
    let counters = S::wait(|| pair.here.own_status()).unwrap().counters;
    assert_eq!(counters.handshakes_done(), Some(1));
}

/// Questions about channels, at home and from afar.
pub fn channels_are_asked_about_listed_sealed_and_deleted<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    for name in ["a/1", "a/2", "b"] {
        S::durable(&send::<S>(&pair.sender(name), name)).unwrap();
    }
    let place = pair.address.to_string();
    let names = |place: String| {
        let infos = R::wait(|| pair.there.channels(place)).unwrap();
        infos.into_iter().map(|info| info.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(place.clone()), ["a/1", "a/2", "b"]);
    assert_eq!(names(format!("{place}/a/")), ["a/1", "a/2"]);
    assert_eq!(S::wait(|| pair.here.channels("a/")).unwrap().len(), 2);
    assert_eq!(R::wait(|| pair.there.info(pair.target("b"))).unwrap().next, Offset(1));
    assert_eq!(R::wait(|| pair.there.seal(pair.target("b"))).unwrap(), Offset(1));
    assert!(S::wait(|| pair.here.info("b")).unwrap().sealed);
    R::wait(|| pair.there.delete(pair.target("a/1"))).unwrap();
    let gone = R::wait(|| pair.there.delete(pair.target("a/1"))).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NoChannel);
    assert_eq!(S::wait(|| pair.here.info("a/1")).unwrap_err().kind(), ErrorKind::NoChannel);
    let status = R::wait(|| pair.there.status(&place)).unwrap();
    assert_eq!(status.node, pair.here.id());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = R::wait(|| pair.there.info(format!("{nobody}/x"))).unwrap_err();
    assert!(error.kind() == ErrorKind::Unreachable && error.is_retryable(), "{error}");
    assert_eq!(R::wait(|| pair.there.info("not a name/")).unwrap_err().kind(), ErrorKind::Target);
}

/// Who reads what, and how far.
pub fn readers_are_told_with_their_places<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let publisher = open_sender(pair.there.sender(pair.target("watched")));
    R::durable(&send::<R>(&publisher, "x")).unwrap();
    let mut receiver = pair.receiver("watched");
    R::recv(&mut receiver).unwrap().unwrap();
    let told = R::wait(|| pair.there.readers(pair.address.to_string())).unwrap();
    let [publishes, reads] = &told.readers[..] else { panic!("{told:?}") };
    assert_eq!((publishes.kind, publishes.records), (ReaderKind::Publishes, 1));
    assert_eq!((reads.kind, reads.node), (ReaderKind::Reads, pair.there.id()));
    assert_eq!((reads.offset, reads.records), (Some(Offset(1)), 1));
    assert_eq!(S::wait(|| pair.here.readers("watched")).unwrap().readers.len(), 2);
}
