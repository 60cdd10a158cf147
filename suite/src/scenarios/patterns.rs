//! One receiver of many channels.

use std::collections::BTreeMap;
use std::time::Instant;

use netchan_node::words::{
    ChannelPositions, ErrorKind, Event, MERGE_WINDOW, Offset, PatternBuilder, PatternReceiver, Start,
};

use crate::pair::{Pair, open_sender, send};
use crate::proxy::{Proxy, Weather};
use crate::runtime::Runtime;

fn open<R: Runtime>(builder: PatternBuilder<R>) -> PatternReceiver<R> {
    R::wait(|| builder.open()).unwrap()
}

/// Receives so many records: of each channel, their payloads, whose offsets must be dense.
fn gather<R: Runtime>(
    receiver: &mut PatternReceiver<R>,
    count: usize,
    from: u64,
) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..count {
        let received = R::recv_of(receiver).unwrap().expect("it does not end");
        let of = found.entry(received.channel.to_string()).or_default();
        assert_eq!(received.record.offset, Offset(from + of.len() as u64), "{}", received.channel);
        of.push(String::from_utf8(received.record.payload.to_vec()).unwrap());
    }
    found
}

fn numbers(count: u64) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn fill<S: Runtime>(pair: &Pair<S, impl Runtime>, name: &str, count: u64) -> S::Sender {
    let log = pair.sender(name);
    for number in 0..count {
        send::<S>(&log, number.to_string());
    }
    S::flush(&log).unwrap();
    log
}

/// Joined or left, of all that happens.
fn next_change<R: Runtime>(receiver: &mut PatternReceiver<R>) -> (String, bool) {
    loop {
        match R::event_of(receiver) {
            Some(Event::Joined { channel, .. }) => return (channel.to_string(), true),
            Some(Event::Left { channel, .. }) => return (channel.to_string(), false),
            Some(_) => {}
            None => panic!("it does not end"),
        }
    }
}

/// What is there comes in the order of time, on request, here and elsewhere.
pub fn channels_merged_by_time_come_in_the_order_of_time<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let logs = ["m/a", "m/b", "m/c/d"].map(|name| pair.sender(name));
    for number in 0..60 {
        send::<S>(&logs[number * number % 7 % 3], number.to_string());
    }
    for log in &logs {
        S::flush(log).unwrap();
    }
    let here = pair.here.receiver_of("m/**").from(Start::Earliest).merge_by_time(MERGE_WINDOW);
    let there = pair.there.receiver_of(pair.target("m/**")).from(Start::Earliest).merge_by_time(MERGE_WINDOW);
    let (mut here, mut there) = (open(here), open(there));
    let mut before = None;
    for _ in 0..60 {
        let received = [S::recv_of(&mut here), R::recv_of(&mut there)];
        let [here, there] = received.map(|received| received.unwrap().unwrap());
        assert_eq!((&here.channel, &here.record), (&there.channel, &there.record));
        let time = Some((here.record.timestamp, here.channel));
        assert!(before < time, "{before:?}, then {time:?}");
        before = time;
    }
}

/// Those that are there, those that are made later, here and from elsewhere, and not those that do not match or are gone.
pub fn channels_that_match_are_received_and_join_in_and_leave<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    fill(&pair, "logs/web", 20);
    fill(&pair, "logs/db", 10);
    fill(&pair, "logs/web/deep", 3);
    fill(&pair, "other", 3);
    let mut here = open(pair.here.receiver_of("logs/**").from(Start::Earliest));
    let mut there = open(pair.there.receiver_of(pair.target("logs/*")).from(Start::Earliest));
    let expected: BTreeMap<_, _> =
        [("logs/db".into(), numbers(10)), ("logs/web".into(), numbers(20))].into_iter().collect();
    assert_eq!(gather::<R>(&mut there, 30, 0), expected);
    assert_eq!(gather::<S>(&mut here, 33, 0).len(), 3);
    assert_eq!(
        [next_change::<R>(&mut there), next_change::<R>(&mut there)],
        [("logs/web".into(), true), ("logs/db".into(), true)]
    );

    // Made by another node, which publishes to this one.
    let log = open_sender(pair.there.sender(pair.target("logs/new")));
    let before = Instant::now();
    send::<R>(&log, "0");
    let received = R::recv_of(&mut there).unwrap().unwrap();
    println!("a channel that was made joined in, with its first record, after {:?}", before.elapsed());
    assert_eq!((received.channel.as_str(), received.record.offset), ("logs/new", Offset(0)));
    assert_eq!(next_change::<R>(&mut there), ("logs/new".into(), true));
    assert_eq!(gather::<S>(&mut here, 1, 0).keys().collect::<Vec<_>>(), ["logs/new"]);

    S::wait(|| pair.here.delete("logs/db")).unwrap();
    assert_eq!(next_change::<R>(&mut there), ("logs/db".into(), false));
    fill(&pair, "logs/db", 2);
    assert_eq!(next_change::<R>(&mut there), ("logs/db".into(), true), "made again, it is another");
    assert_eq!(gather::<R>(&mut there, 2, 0)["logs/db"], numbers(2));
    let positions = there.positions();
    assert_eq!(positions.iter().map(|(_, at)| at.offset.0).collect::<Vec<_>>(), [2, 1, 20]);
}

/// Positions of all go on where they were, and what is made in between is read whole.
pub fn positions_of_many_channels_go_on_elsewhere<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let names: Vec<String> = (0..20).map(|number| format!("site/{number:02}/temp")).collect();
    for name in &names {
        fill(&pair, name, 10);
    }
    let mut first = open(pair.there.receiver_of(pair.target("site/**/temp")).from(Start::Earliest));
    let mut found = gather::<R>(&mut first, 77, 0);
    let positions: ChannelPositions =
        first.positions().iter().map(|(name, at)| (name.clone(), *at)).collect();
    for (name, values) in &found {
        assert_eq!(first.position(&name.parse().unwrap()).unwrap().offset.0, values.len() as u64);
    }
    drop(first);
    fill(&pair, "site/new/temp", 5);
    let rest = pair.there.receiver_of(pair.target("site/**/temp")).resume(positions).follow(false);
    let mut rest = open(rest);
    while let Some(received) = R::recv_of(&mut rest).unwrap() {
        let of = found.entry(received.channel.to_string()).or_default();
        assert_eq!(received.record.offset, Offset(of.len() as u64));
        of.push(String::from_utf8(received.record.payload.to_vec()).unwrap());
    }
    assert!(names.iter().all(|name| found[name] == numbers(10)));
    assert_eq!(found["site/new/temp"], numbers(5));
    assert_eq!(found.len(), 21);
    let nothing = pair.there.receiver_of(pair.target("none/*")).follow(false);
    assert_eq!(R::recv_of(&mut open(nothing)).unwrap_err().kind(), ErrorKind::NoChannel);
    let error = R::wait(|| pair.there.receiver_of(pair.target("a**")).open()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("column 2"), "{error}");
}

/// Over a network that cuts, of each channel everything comes once and in order, also of those that are made meanwhile.
pub fn over_connections_that_are_cut_each_channel_of_many_comes_once_and_in_order<S: Runtime, R: Runtime>() {
    const CHANNELS: usize = 6;
    const RECORDS: u64 = 400;
    let pair = Pair::<S, R>::start();
    let proxy = Proxy::start(pair.address, Weather::Cuts { within: 300 << 10 }, 5);
    let target = format!("{}/many/*", proxy.address);
    let mut receiver = open(pair.there.receiver_of(target).from(Start::Earliest).window(64 << 10));
    std::thread::scope(|scope| {
        let pair = &pair;
        scope.spawn(move || {
            for channel in 0..CHANNELS {
                let log = pair.sender(&format!("many/{channel}"));
                for number in 0..RECORDS {
                    send::<S>(&log, format!("{number}{}", " ".repeat(600)));
                }
                S::flush(&log).unwrap();
            }
        });
        let found = gather::<R>(&mut receiver, CHANNELS * RECORDS as usize, 0);
        assert_eq!(found.len(), CHANNELS);
        for values in found.values() {
            assert!(values.iter().map(|value| value.trim_end().to_owned()).eq(numbers(RECORDS)));
        }
    });
    assert!(proxy.connections() > 2, "nothing was cut: {} connections", proxy.connections());
}
