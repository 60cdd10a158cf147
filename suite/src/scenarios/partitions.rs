//! Channels with partitions.

use std::collections::BTreeMap;

use netchan_node::words::{
    ErrorKind, NewRecord, Offset, PartitionedBuilder, PartitionedSender, Partitions, PatternBuilder,
    PatternReceiver, Start,
};

use crate::pair::{Pair, open, open_sender, send};
use crate::proxy::{Proxy, Weather};
use crate::runtime::Runtime;

const SENDERS: usize = 8;
const RECORDS: usize = 250;
const KEYS: usize = 23;

fn open_all<R: Runtime>(builder: PartitionedBuilder<R>) -> PartitionedSender<R> {
    R::wait(|| builder.open()).unwrap()
}

fn receive_all<R: Runtime>(builder: PatternBuilder<R>) -> PatternReceiver<R> {
    R::wait(|| builder.from(Start::Earliest).open()).unwrap()
}

/// Sends so many records of some keys, each of which says who sent it, and as which of its key.
fn send_keys<R: Runtime>(sender: &PartitionedSender<R>, who: usize) {
    let mut sent = [0; KEYS];
    for number in 0..RECORDS {
        let key = number * 7 % KEYS;
        let text = format!("{who} {key} {}{}", sent[key], " ".repeat(200));
        sent[key] += 1;
        R::send_keyed(sender, NewRecord::new(text).key(format!("key {key}"))).unwrap();
    }
    R::flush_all(sender).unwrap();
}

/// Receives all that the senders have sent: each in the partition of its key, and of each sender and key in order, once each.
fn gather_keys<R: Runtime>(receiver: &mut PatternReceiver<R>, count: Partitions) {
    let mut next = BTreeMap::new();
    for _ in 0..SENDERS * RECORDS {
        let received = R::recv_of(receiver).unwrap().expect("it does not end");
        let key = received.record.key().unwrap();
        assert_eq!(received.channel.partition(), Some(count.of_key(key)));
        let text = String::from_utf8(received.record.payload.to_vec()).unwrap();
        let [who, key, number] =
            text.split_whitespace().map(|word| word.parse::<usize>().unwrap()).collect::<Vec<_>>()[..]
        else {
            panic!("{text:?}")
        };
        let next = next.entry((who, key)).or_insert(0);
        assert_eq!(number, *next, "sender {who}, key {key}");
        *next += 1;
    }
    assert_eq!(next.len(), SENDERS * KEYS);
}

/// What another node has to say against a sender, it says to who sends.
fn refused_later<R: Runtime>(sender: &R::Sender) -> Result<(), netchan_node::Error> {
    R::send(sender, NewRecord::new("x")).and_then(|_| R::flush(sender))
}

/// NC-PRT-004, NC-PRT-005: of eight senders at once, here and from elsewhere.
pub fn records_of_a_key_stay_in_order_under_eight_senders<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let count = Partitions::new(5).unwrap();
    let mut there = receive_all(pair.there.receiver_of(pair.target("x@*")));
    std::thread::scope(|scope| {
        let pair = &pair;
        for who in 0..SENDERS {
            scope.spawn(move || match who % 2 {
                0 => send_keys::<S>(&open_all(pair.here.sender("x").partitions(5)), who),
                _ => send_keys::<R>(&open_all(pair.there.sender(pair.target("x")).partitions(5)), who),
            });
        }
        gather_keys::<R>(&mut there, count);
    });
    let mut here = receive_all(pair.here.receiver_of("x@*"));
    gather_keys::<S>(&mut here, count);
}

/// NC-PRT-005: and over connections that are cut, on which all is sent again that was not acknowledged: whole batches. One that is
/// larger than what any connection passes never passes; the largest batch of a sender here is 25 KiB, in partition 2.
pub fn over_connections_that_are_cut_records_of_a_key_stay_in_order<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, Weather::Cuts { within: 60 << 10 }, 11);
    // What it receives are whole batches, of up to 64 KiB.
    let wide = Proxy::start(pair.address, Weather::Cuts { within: 300 << 10 }, 12);
    let target = format!("{}/x", proxy.address);
    let through = format!("{}/x@*", wide.address);
    let mut there = receive_all(pair.there.receiver_of(through).window(64 << 10));
    std::thread::scope(|scope| {
        let (pair, target) = (&pair, &target);
        for who in 0..SENDERS {
            scope.spawn(move || send_keys::<R>(&open_all(pair.there.sender(target).partitions(3)), who));
        }
        gather_keys::<R>(&mut there, Partitions::new(3).unwrap());
    });
    assert!(proxy.connections() > 3 * SENDERS as u64, "nothing was cut");
}

/// The number of partitions is what it was made with, for who says it, who asks and who says another.
pub fn a_channel_keeps_its_number_of_partitions<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let kind = |error: netchan_node::Error| error.kind();
    let refused = ErrorKind::Partitioned { count: 4 };
    // Before it exists nobody knows how many it has.
    let unknown = R::wait(|| pair.there.sender(pair.target("x")).partitioned().open()).map(drop);
    assert_eq!(unknown.map_err(kind), Err(ErrorKind::NoChannel));
    let part = open_sender(pair.there.sender(pair.target("x@1")));
    assert_eq!(refused_later::<R>(&part).map_err(kind), Err(ErrorKind::NoChannel));

    let made = open_all(pair.there.sender(pair.target("x")).partitions(4));
    // Without a key they go around: each gets as many.
    for number in 0..20 {
        R::send_keyed(&made, NewRecord::new(number.to_string())).unwrap();
    }
    R::flush_all(&made).unwrap();
    let names = S::wait(|| pair.here.channels("x@")).unwrap();
    let names: Vec<_> = names.iter().map(|info| (info.name.to_string(), info.next.0)).collect();
    assert_eq!(names, [0, 1, 2, 3].map(|number| (format!("x@{number}"), 5)));

    let asked = open_all(pair.there.sender(pair.target("x")).partitioned());
    let here = open_all(pair.here.sender("x").partitioned());
    assert_eq!((asked.count().get(), here.count().get()), (4, 4));
    assert_eq!(R::wait(|| pair.there.info(pair.target("x"))).map(drop).map_err(kind), Err(refused));
    assert_eq!(S::wait(|| pair.here.sender("x").open()).map(drop).map_err(kind), Err(refused));
    assert_eq!(S::wait(|| pair.here.sender("x").partitions(5).open()).map(drop).map_err(kind), Err(refused));
    for wrong in ["x", "x@4"] {
        let plain = open_sender(pair.there.sender(pair.target(wrong)));
        assert_eq!(refused_later::<R>(&plain).map_err(kind), Err(refused), "{wrong}");
        let mut plain = open(pair.there.receiver(pair.target(wrong)));
        let error = R::recv(&mut plain).map(drop).unwrap_err();
        assert!(error.to_string().contains("x@*"), "it says what to do: {error}");
        assert_eq!(error.kind(), refused);
    }
    let other = open_all(pair.there.sender(pair.target("x")).partitions(2));
    R::send_keyed(&other, NewRecord::new("x")).unwrap();
    assert_eq!(R::flush_all(&other).map_err(kind), Err(refused));

    // One, some, all.
    let one = open(pair.here.receiver("x@2").from(Start::Earliest));
    drop(one);
    let some = pair.there.receiver_of(pair.target("x@*")).partitions([0, 3]).follow(false);
    let mut some = receive_all(some);
    let mut found = BTreeMap::new();
    while let Some(received) = R::recv_of(&mut some).unwrap() {
        *found.entry(received.channel.to_string()).or_insert(0) += 1;
    }
    assert_eq!(found, BTreeMap::from([("x@0".to_owned(), 5), ("x@3".to_owned(), 5)]));

    assert_eq!(R::seal_all(&asked).unwrap(), [Offset(5); 4]);
    let sealed = S::send_keyed(&here, NewRecord::new("late")).map(drop);
    assert_eq!(sealed.map_err(kind), Err(ErrorKind::Sealed));

    // A plain channel is not made one with partitions.
    send::<S>(&pair.sender("y"), "0");
    assert_eq!(
        S::wait(|| pair.here.sender("y").partitions(2).open()).map(drop).map_err(kind),
        Err(ErrorKind::Exists)
    );
    assert_eq!(
        S::wait(|| pair.here.sender("y").partitioned().open()).map(drop).map_err(kind),
        Err(ErrorKind::Config)
    );
    let error = S::wait(|| pair.here.sender("z").partitions(1025).open()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
