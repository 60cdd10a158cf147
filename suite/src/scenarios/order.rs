//! Order, starts and ends of one channel.

use std::thread;
use std::time::{Duration, Instant};

use netchan_node::Handle;
use netchan_node::words::{Durability, ErrorKind, GapReason, NewRecord, Offset, Retention, Start};

use crate::pair::{Pair, is_at_end, listening, open, open_sender, payload, receives, send, start};
use crate::runtime::Runtime;

/// For fifty records there and back, on a machine that is slow and busy. Who sleeps through its wake-ups until the next sign of
/// life, each 15 s, needs twelve times as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn words<'a>(words: &'a [&'a str]) -> impl Iterator<Item = Vec<u8>> + 'a {
    words.iter().map(|word| word.as_bytes().to_vec())
}

fn numbers(range: std::ops::Range<u64>) -> impl Iterator<Item = Vec<u8>> {
    range.map(|number| number.to_string().into_bytes())
}

/// Key, headers and payload arrive as they were sent, and times only grow.
pub fn what_is_sent_is_received_with_its_key_headers_and_time<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("greetings");
    let sent = send::<S>(&log, "hello");
    S::durable(&sent).unwrap();
    assert_eq!(S::offset(&sent), Some(Offset(0)));
    S::send(&log, NewRecord::new("world").key("k").header("h", "v")).unwrap();
    let mut receiver = pair.receiver("greetings");
    let hello = R::recv(&mut receiver).unwrap().unwrap();
    assert_eq!((&hello.payload[..], hello.offset, hello.key()), (&b"hello"[..], Offset(0), None));
    let world = R::recv(&mut receiver).unwrap().unwrap();
    assert_eq!((&world.payload[..], world.key().unwrap().as_ref()), (&b"world"[..], &b"k"[..]));
    assert_eq!(world.headers().get("h"), Some(&b"v"[..]));
    assert!(world.timestamp > hello.timestamp);
    assert_eq!(R::position(&receiver).unwrap().offset, Offset(2));
}

/// Queued, written, durable; at home and from afar, in each mode.
pub fn a_record_is_as_safe_as_it_was_said_to_be<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let name = format!("safe-{durability}");
        let log = open_sender(pair.here.sender(&name).durability(durability));
        let sent = send::<S>(&log, "at home");
        S::written(&sent).unwrap();
        S::durable(&sent).unwrap();
        let afar = open_sender(pair.there.sender(pair.target(&name)));
        let sent = (0..100).map(|i| send::<R>(&afar, i.to_string())).last().unwrap();
        R::written(&sent).unwrap();
        assert_eq!(R::offset(&sent), Some(Offset(100)));
        R::durable(&sent).unwrap();
        R::flush(&afar).unwrap();
        let info = S::info(&log).unwrap();
        assert_eq!((info.durability, info.next, info.durable), (durability, Offset(101), Offset(101)));
        assert_eq!(R::info(&afar).unwrap().next, Offset(101));
    }
}

/// Who is early waits.
pub fn a_receiver_may_come_before_the_channel_and_before_its_node<S: Runtime, R: Runtime>() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let there = start::<R>(Handle::builder());
    let mut receiver = open(there.receiver(format!("{free}/early")).from(Start::Earliest));
    let reading = thread::spawn(move || receives::<R>(&mut receiver, 0, words(&["bird", "worm"])));
    let here = start::<S>(Handle::builder().data_dir(dir.path()).listen(free.to_string()));
    let log = open_sender(here.sender("early"));
    send::<S>(&log, "bird");
    send::<S>(&log, "worm");
    reading.join().unwrap();
}

/// And is not kept waiting.
pub fn who_does_not_want_to_wait_is_told_that_there_is_no_channel<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let mut receiver = open(pair.there.receiver(pair.target("never")).wait(false));
    assert_eq!(R::recv(&mut receiver).unwrap_err().kind(), ErrorKind::NoChannel);
    is_at_end::<R>(&mut receiver);
    let opened = S::wait(|| pair.here.sender("never").create(false).open());
    assert_eq!(opened.map(|_| ()).unwrap_err().kind(), ErrorKind::NoChannel);
}

/// A receiver that is open has its place.
pub fn nothing_sent_after_open_is_missed<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = open_sender(pair.here.sender("live").durability(Durability::Os));
    for round in 0..10 {
        S::written(&send::<S>(&log, "before")).unwrap();
        let mut receiver = open(pair.there.receiver(pair.target("live")));
        send::<S>(&log, format!("after {round}"));
        receives::<R>(&mut receiver, 2 * round + 1, words(&[&format!("after {round}")]));
    }
}

/// Promise 5.
pub fn a_seal_is_the_end_and_nothing_else_is<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("complete");
    let mut receiver = pair.receiver("complete");
    send::<S>(&log, "only");
    receives::<R>(&mut receiver, 0, words(&["only"]));
    assert!(R::recv_for(&mut receiver, Duration::from_millis(20)).is_none(), "nothing, and not the end");
    assert_eq!(S::seal(&log).unwrap(), Offset(1));
    is_at_end::<R>(&mut receiver);
    let more = S::send(&log, NewRecord::new("more")).map(|_| ());
    assert_eq!(more.unwrap_err().kind(), ErrorKind::Sealed);
}

/// Starts, positions, seeking.
pub fn reading_begins_where_it_is_told_and_goes_on_from_a_position<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("numbers");
    numbers(0..100).for_each(|number| drop(send::<S>(&log, number)));
    S::flush(&log).unwrap();
    let from = |start| pair.there.receiver(pair.target("numbers")).from(start).follow(false);
    let mut receiver = open(from(Start::Last(3)));
    receives::<R>(&mut receiver, 97, numbers(97..98));
    let position = R::position(&receiver).unwrap();
    drop(receiver);
    let mut receiver = open(from(Start::Resume(position)));
    receives::<R>(&mut receiver, 98, numbers(98..100));
    is_at_end::<R>(&mut receiver);
    R::seek(&mut receiver, Start::Offset(Offset(50)));
    receives::<R>(&mut receiver, 50, numbers(50..52));
    let mut receiver = open(from(Start::Ago(Duration::from_secs(3600))));
    let first = R::recv(&mut receiver).unwrap().unwrap();
    assert_eq!(first.offset, Offset(0));
    let mut none = open(from(Start::Earliest).until(first.timestamp));
    is_at_end::<R>(&mut none);
}

/// Promise 4.
pub fn a_gap_is_told_once_and_reading_goes_on<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let retention = Retention { max_bytes: Some(16 << 10), ..Retention::default() };
    let log = open_sender(
        pair.here.sender("trimmed").retention(retention).segment_bytes(8 << 10).durability(Durability::Os),
    );
    for number in 0..100u64 {
        S::written(&send::<S>(&log, vec![number as u8; 1000])).unwrap();
    }
    // Retention comes once a second.
    let first = loop {
        let info = S::info(&log).unwrap();
        if info.first > Offset(0) {
            break info.first;
        }
        thread::yield_now();
    };
    let begin = pair.there.receiver(pair.target("trimmed")).from(Start::Offset(Offset(0)));
    let mut receiver = open(begin);
    let gap = R::recv(&mut receiver).unwrap_err();
    let ErrorKind::Gap { from: Offset(0), to, why: GapReason::Retention } = gap.kind() else {
        panic!("{gap}");
    };
    assert!(to >= first && to < Offset(100));
    receives::<R>(&mut receiver, to.0, (to.0..100).map(|number| vec![number as u8; 1000]));
}

/// In batches of the program's; and what refuses one record leaves those before it sent.
pub fn what_is_taken_together_is_what_would_have_come_one_by_one<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("together");
    let all = |range: std::ops::Range<u64>| range.map(|number| NewRecord::new(payload(number))).collect();
    assert!(S::send_batch(&log, Vec::new()).unwrap().is_none());
    let last = S::send_batch(&log, all(0..500)).unwrap().unwrap();
    assert_eq!(S::offset(&last), Some(Offset(499)));
    let afar = open_sender(pair.there.sender(pair.target("together")));
    let last = R::send_batch(&afar, all(500..700)).unwrap().unwrap();
    R::written(&last).unwrap();
    let mut too_large: Vec<NewRecord> = all(700..702);
    too_large.extend([NewRecord::new(vec![0; (16 << 20) + 1]), NewRecord::new("not this")]);
    let refused = S::send_batch(&log, too_large).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.to_string().contains("record 3"), "{refused}");
    S::seal(&log).unwrap();
    let (mut receiver, mut next) = (pair.receiver("together"), 0);
    for most in (0..20).cycle() {
        let records = R::recv_batch(&mut receiver, most).unwrap();
        assert!(records.len() <= most.max(1));
        if records.is_empty() {
            break;
        }
        for record in records {
            assert!(record.offset == Offset(next) && record.payload == payload(next));
            next += 1;
        }
    }
    assert_eq!((next, R::recv_batch(&mut receiver, 7).unwrap()), (702, vec![]));
}

/// The whole history replays.
pub fn a_late_joiner_reads_all_of_it<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("history");
    for number in 0..2000 {
        send::<S>(&log, payload(number));
    }
    S::seal(&log).unwrap();
    let mut receiver = pair.receiver("history");
    receives::<R>(&mut receiver, 0, (0..2000).map(payload));
    is_at_end::<R>(&mut receiver);
}

/// Each at its own pace.
pub fn ten_receivers_get_a_hundred_values_each<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("wide");
    let receivers: Vec<R::Receiver> = (0..10).map(|_| pair.receiver("wide")).collect();
    thread::scope(|scope| {
        for mut receiver in receivers {
            scope.spawn(move || {
                receives::<R>(&mut receiver, 0, numbers(0..100));
                is_at_end::<R>(&mut receiver);
            });
        }
        numbers(0..100).for_each(|number| drop(send::<S>(&log, number)));
        S::seal(&log).unwrap();
    });
}

/// A record larger than what may be under way.
pub fn a_large_record_goes_through_a_small_window<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("large");
    let large = vec![7u8; 5 << 20];
    send::<S>(&log, large.clone());
    send::<S>(&log, "small");
    let target = pair.target("large");
    let mut receiver = open(pair.there.receiver(target).from(Start::Earliest).window(64 << 10));
    receives::<R>(&mut receiver, 0, [large, b"small".to_vec()].into_iter());
}

/// Whole, in some order, each once.
pub fn many_threads_send_through_clones_of_one_handle<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("crowd");
    thread::scope(|scope| {
        for thread in 0..4u8 {
            let log = log.clone();
            scope.spawn(move || (0..250u8).for_each(|number| drop(send::<S>(&log, [thread, number]))));
        }
    });
    S::seal(&log).unwrap();
    let mut receiver = pair.receiver("crowd");
    let mut next = [0; 4];
    while let Some(record) = R::recv(&mut receiver).unwrap() {
        let [thread, number] = record.payload[..] else { panic!("{record:?}") };
        assert_eq!(next[usize::from(thread)], number);
        next[usize::from(thread)] += 1;
    }
    assert_eq!(next, [250; 4]);
}

/// Two channels, two connections, one pair of nodes; and each record wakes who waits for it, not the next sign of life.
pub fn records_pass_both_ways_at_once<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let other = tempfile::tempdir().unwrap();
    let there = start::<R>(listening(other.path()));
    let (ping, mut heard) = (pair.sender("ping"), pair.receiver("ping"));
    let pong = open_sender(there.sender("pong"));
    let address = there.local_addr().unwrap();
    let mut echoed = open(pair.here.receiver(format!("{address}/pong")).from(Start::Earliest));
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(record) = R::recv(&mut heard).unwrap() {
                send::<R>(&pong, record.payload.to_vec());
            }
            R::seal(&pong).unwrap();
        });
        let began = Instant::now();
        for number in 0..50 {
            assert!(began.elapsed() < PATIENCE, "nobody was woken");
            send::<S>(&ping, number.to_string());
            receives::<S>(&mut echoed, number, numbers(number..number + 1));
        }
        S::seal(&ping).unwrap();
        is_at_end::<S>(&mut echoed);
    });
}
