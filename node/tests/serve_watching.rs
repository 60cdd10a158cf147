//! Streams that watch which channels a node has, and which it gets.
#![allow(clippy::unwrap_used)]

mod house;

use std::collections::BTreeSet;

use bytes::Buf;
use house::{House, Link, name};
use netchan_node::Machine;
use netchan_proto::conn::Event;
use netchan_proto::limits::{MAX_LIST, MAX_OUTBOUND_BYTES, WATCH_LOOKS, WATCH_NAMES};
use netchan_proto::subscription::Subscription;
use netchan_proto::wire::{End, Made, StreamId, Watch, Watched};
use netchan_proto::{ErrorCode, LogId, Pattern, Start};

fn watch(link: &mut Link, pattern: &str) -> StreamId {
    let id = link.peer.watch(&Watch { pattern: Pattern::new(pattern).unwrap() }).unwrap();
    link.pump();
    id
}

/// What was told on this stream since the last look.
fn told(link: &mut Link, id: StreamId) -> Vec<Watched> {
    link.pump();
    let told = heard(link, id);
    link.events.clear();
    told
}

fn heard(link: &Link, id: StreamId) -> Vec<Watched> {
    let heard = link.events.iter().filter_map(|event| match event {
        Event::Watched(stream, watched) if *stream == id => Some(watched.clone()),
        _ => None,
    });
    heard.collect()
}

fn names(told: &[Watched]) -> Vec<String> {
    told.iter().flat_map(|watched| &watched.made).map(|made| made.name.to_string()).collect()
}

/// NC-PAT-010, NC-PAT-011
#[test]
fn who_watches_is_told_what_is_there_and_what_is_made() {
    let house = House::new();
    for channel in ["logs/web", "logs/web/1", "other", "logs"] {
        house.log(channel);
    }
    let mut link = Link::new(&house);
    let (one, all, none) =
        (watch(&mut link, "logs/*"), watch(&mut link, "logs/**"), watch(&mut link, "none/*"));
    let first = link.events.iter().filter(|event| matches!(event, Event::Watched(..))).count();
    assert_eq!(first, 3, "each is told at once, also that there is nothing");
    assert_eq!(names(&heard(&link, one)), ["logs/web"]);
    assert_eq!(names(&heard(&link, all)), ["logs/web", "logs/web/1", "logs"]);
    assert_eq!(heard(&link, none), [Watched { complete: true, made: vec![] }]);
    assert!(heard(&link, all)[0].complete);
    link.events.clear();

    let log = house.log("logs/db");
    assert_eq!(
        told(&mut link, one),
        [Watched { complete: false, made: vec![Made { name: name("logs/db"), log: log.id() }] }]
    );
    house.log("other/1");
    assert_eq!(told(&mut link, one), [], "it does not match");
    house.node.delete(&name("logs/db")).unwrap();
    assert_eq!(told(&mut link, one), [], "what goes is not told here");
    let again = house.log("logs/db");
    assert_ne!(again.id(), log.id());
    assert_eq!(told(&mut link, one)[0].made[0].log, again.id());
    house.log("none/0");
    assert_eq!(names(&told(&mut link, none)), ["none/0"]);
}

/// NC-PAT-010, NC-PAT-014
#[test]
fn many_come_in_parts_and_wait_while_nobody_reads() {
    const WATCHES: usize = 15;
    let house = House::new();
    let longest = "x".repeat(240);
    let count = MAX_LIST + 20;
    for channel in 0..count {
        house.log(&format!("{longest}/{channel:06}"));
    }
    let mut link = Link::new(&house);
    link.peer_reads = false;
    let watches: Vec<StreamId> = (0..WATCHES).map(|_| watch(&mut link, "*/*")).collect();
    let waiting = link.machine.connection().unwrap().outbound().remaining();
    let page = MAX_LIST * 280;
    assert!(waiting > MAX_OUTBOUND_BYTES && waiting < WATCHES * page, "{waiting}: not all is made ready");
    assert!(waiting < MAX_OUTBOUND_BYTES * 5 / 4 + 2 * page, "{waiting}");
    link.peer_reads = true;
    link.pump();
    for id in watches {
        let parts = heard(&link, id);
        assert!(parts.iter().all(|part| part.made.len() <= MAX_LIST));
        let logs: BTreeSet<LogId> = parts.iter().flat_map(|part| &part.made).map(|made| made.log).collect();
        assert_eq!((logs.len(), names(&parts).len()), (count, count), "each once");
        assert_eq!(parts.iter().map(|part| part.complete).collect::<Vec<_>>(), [false, true]);
    }
}

/// NC-PAT-013
#[test]
fn closing_ends_it_and_leaves_nothing_behind() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = watch(&mut link, "**");
    link.events.clear();
    link.peer.close_stream(id);
    link.pump();
    assert_eq!(link.events, [Event::End(id, End::Closed)]);
    link.events.clear();
    house.log("later");
    link.pump();
    assert_eq!(link.events, []);
    // As many as there may be, again and again.
    for _ in 0..600 {
        let id = watch(&mut link, "**");
        link.peer.close_stream(id);
        link.pump();
    }
    assert!(!link.machine.is_over());
    assert!(!link.events.iter().any(|event| matches!(event, Event::StreamError(..))));
}

/// NC-PAT-012: what was told may be gone.
#[test]
fn a_channel_that_is_gone_when_it_is_opened_is_no_channel() {
    let house = House::new();
    house.log("brief");
    let mut link = Link::new(&house);
    let id = watch(&mut link, "*");
    assert_eq!(names(&heard(&link, id)), ["brief"]);
    house.node.delete(&name("brief")).unwrap();
    let open = Subscription::new(name("brief"), Start::Earliest, 1 << 20, false).request();
    let reader = link.peer.open(&open).unwrap();
    link.pump();
    assert_eq!(link.stream_error(reader).unwrap().code, ErrorCode::NO_CHANNEL);
}

/// NC-LIM-017
#[test]
fn few_look_in_one_turn_and_all_get_theirs() {
    const TURNS: usize = 5;
    let house = House::new();
    let mut link = Link::new(&house);
    let watches: BTreeSet<StreamId> = (0..TURNS * WATCH_LOOKS).map(|_| watch(&mut link, "**")).collect();
    for channel in ["one", "two"] {
        link.pump();
        link.events.clear();
        house.log(channel);
        let mut told = BTreeSet::new();
        for _ in 0..TURNS {
            link.turn();
            let new: Vec<StreamId> =
                watches.iter().copied().filter(|&id| names(&heard(&link, id)) == [channel]).collect();
            assert_eq!(new.len(), WATCH_LOOKS);
            told.extend(new);
            link.events.clear();
        }
        assert_eq!(told, watches, "each once");
    }
}

/// NC-LIM-017
#[test]
fn who_has_much_to_look_at_does_not_keep_others_waiting() {
    let house = House::new();
    for channel in 0..5 * WATCH_NAMES {
        house.log(&format!("{channel}"));
    }
    let mut link = Link::new(&house);
    let none = Watch { pattern: Pattern::new("none/*").unwrap() };
    let watches: Vec<StreamId> = (0..=WATCH_LOOKS).map(|_| link.peer.watch(&none).unwrap()).collect();
    let mut turns = Vec::new();
    while turns.last() != Some(&watches.len()) {
        assert!(link.turn(), "{turns:?}: it is at rest");
        turns.push(watches.iter().filter(|&&id| !heard(&link, id).is_empty()).count());
    }
    let between = turns.iter().filter(|&&complete| complete > 0 && complete < watches.len()).count();
    assert!(between <= 1, "{turns:?}");
    let most = (5 * watches.len()).div_ceil(WATCH_LOOKS);
    assert!(turns.len() >= most, "{turns:?}");
}
