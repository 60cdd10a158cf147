//! What a served connection promises about how channels are kept, and about what its peer may do.
#![allow(clippy::unwrap_used)]

mod house;

use std::num::NonZeroU16;
use std::sync::Arc;

use house::{House, Link, batch, name, peer_config};
use netchan_node::{Node, NodeConfig, Served};
use netchan_proto::conn::{Connection, ConnectionConfig, Event};
use netchan_proto::settings::Setting;
use netchan_proto::wire::{
    Before, CursorKey, CursorSet, CursorTake, Cursors, Description, ErrorFrame, Keep, List, Readers,
    StreamId, Truncate, Watch,
};
use netchan_proto::{
    CursorName, Durability, ErrorCode, Instant, LogOptions, Offset, Partitions, Pattern, Permissions,
    Retention, Roles, Settings, Side, Start, Timestamp, Token, WhenFull,
};

/// What came on a stream.
fn told(link: &mut Link, id: StreamId) -> Result<Description, ErrorFrame> {
    link.pump();
    if let Some(error) = link.stream_error(id) {
        return Err(error);
    }
    let found = link.events.iter().find_map(|event| match event {
        Event::Description(stream, description) if *stream == id => Some(description.clone()),
        _ => None,
    });
    Ok(found.unwrap())
}

fn keep(channel: &str, settings: &Settings) -> Keep {
    Keep { name: name(channel), settings: settings.clone() }
}

fn create(link: &mut Link, channel: &str, settings: &Settings) -> Result<Description, ErrorCode> {
    let id = link.peer.create(&keep(channel, settings)).unwrap();
    told(link, id).map_err(|error| error.code)
}

fn change(link: &mut Link, channel: &str, settings: &Settings) -> Result<Description, ErrorCode> {
    let id = link.peer.change(&keep(channel, settings)).unwrap();
    told(link, id).map_err(|error| error.code)
}

fn truncate(link: &mut Link, channel: &str, before: Before) -> Result<Description, ErrorCode> {
    let id = link.peer.truncate(&Truncate { name: name(channel), before }).unwrap();
    told(link, id).map_err(|error| error.code)
}

fn describe(link: &mut Link, channel: &str) -> Result<Description, ErrorCode> {
    let id = link.peer.describe(&name(channel)).unwrap();
    told(link, id).map_err(|error| error.code)
}

fn options(description: &Description) -> LogOptions {
    description.settings.over(&LogOptions::default())
}

/// NC-ADM-035
#[test]
fn a_channel_is_made_with_all_its_partitions_and_not_with_another_number() {
    let house = House::new();
    let mut link = Link::new(&house);
    let said = |count| Settings::default().partitions(Partitions::new(count).ok()).max_bytes(Some(1 << 20));
    let made = create(&mut link, "a", &said(3)).unwrap();
    assert_eq!((made.name.as_str(), options(&made).partitions), ("a@0", NonZeroU16::new(3)));
    for part in ["a@0", "a@1", "a@2"] {
        let kept = options(&describe(&mut link, part).unwrap());
        assert_eq!((kept.partitions, kept.retention.max_bytes), (NonZeroU16::new(3), Some(1 << 20)));
    }
    assert_eq!(create(&mut link, "a", &said(3)), Ok(made));
    assert_eq!(create(&mut link, "a", &said(4)), Err(ErrorCode::PARTITIONED));
    assert_eq!(create(&mut link, "a", &said(3).max_bytes(None)), Err(ErrorCode::EXISTS));
    assert_eq!(create(&mut link, "a", &Settings::default()), Err(ErrorCode::PARTITIONED));
    assert_eq!(describe(&mut link, "a"), Err(ErrorCode::PARTITIONED));
    create(&mut link, "b", &Settings::default()).unwrap();
    assert_eq!(create(&mut link, "b", &said(3)), Err(ErrorCode::EXISTS));
    assert_eq!(create(&mut link, "a@3", &Settings::default()), Err(ErrorCode::PARTITIONED));
}

/// NC-ADM-001, NC-ADM-005, NC-ADM-006, NC-ADM-007, NC-ADM-015
#[test]
fn a_channel_is_made_as_is_said_once_and_making_it_again_does_no_harm() {
    let house = House::new();
    let mut link = Link::new(&house);
    let said = Settings::default().durability(Durability::Os).max_bytes(Some(1 << 20)).unsealable(true);
    let made = create(&mut link, "a", &said).unwrap();
    let wanted = said.over(house.node.created_options());
    assert_eq!((options(&made), made.name.as_str(), made.start), (wanted, "a", Offset::ZERO));
    assert_eq!(made.settings.iter().count(), Setting::ALL.len());
    assert_eq!(house.node.info(&name("a")).unwrap().id, made.log);
    for again in [&said, &Settings::default(), &Settings::default().durability(Durability::Os)] {
        assert_eq!(create(&mut link, "a", again), Ok(made.clone()));
    }
    for other in [Settings::default().durability(Durability::Sync), said.clone().max_bytes(None)] {
        assert_eq!(create(&mut link, "a", &other), Err(ErrorCode::EXISTS));
    }
    assert_eq!(describe(&mut link, "a"), Ok(made));
}

/// NC-ADM-008
#[test]
fn a_segment_is_no_smaller_and_no_larger_than_one_may_be() {
    let house = House::new();
    let mut link = Link::new(&house);
    for (channel, said, kept) in [("small", 1, 8 << 10), ("large", u64::MAX, 1 << 30)] {
        let said = Settings::default().segment_bytes(said);
        for _ in 0..2 {
            assert_eq!(options(&create(&mut link, channel, &said).unwrap()).segment_bytes, kept);
        }
    }
}

/// NC-ADM-005, NC-ADM-009, NC-ADM-010, NC-ADM-011: what is told is there after the power is cut.
#[test]
fn what_is_changed_is_kept_and_nothing_else_is_changed() {
    let house = House::new();
    let mut link = Link::new(&house);
    let log = house.log_with("a", LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() });
    house.fill(&log, 2000, false);
    for _ in 0..40 {
        log.append(&netchan_proto::RecordRef { payload: &[7; 2000], key: None, headers: &[] }).unwrap();
        house.commit();
    }
    change(&mut link, "a", &Settings::default().keep_records(Some(3))).unwrap();
    let said = Settings::default().max_records(Some(10)).when_full(WhenFull::Block);
    let changed = options(&change(&mut link, "a", &said).unwrap());
    let (max_records, keep_records, when_full) = (Some(10), Some(3), WhenFull::Block);
    let retention = Retention { max_records, keep_records, when_full, ..Retention::default() };
    assert_eq!(changed, LogOptions { retention, segment_bytes: 8 << 10, ..LogOptions::default() });
    assert!(log.first() > Offset(2000), "what may go has gone: {}", log.first());
    for fixed in [
        Settings::default().durability(Durability::Os),
        Settings::default().unsealable(true),
        Settings::default().partitions(Partitions::new(2).ok()),
        Settings::default().segment_bytes(1 << 20),
    ] {
        assert_eq!(change(&mut link, "a", &fixed.max_records(None)), Err(ErrorCode::DENIED));
    }
    assert_eq!(options(&describe(&mut link, "a").unwrap()), changed);
    let none = Settings::default();
    assert_eq!(change(&mut link, "b", &none), Err(ErrorCode::NO_CHANNEL));
    assert_eq!(describe(&mut link, "b"), Err(ErrorCode::NO_CHANNEL));
    assert_eq!(truncate(&mut link, "b", Before::Offset(Offset(0))), Err(ErrorCode::NO_CHANNEL));
    let disk = house.disk.fork(1);
    disk.crash();
    let after = House::on(disk, None, |_| ());
    assert_eq!(options(&after.node.describe(&name("a")).unwrap()), changed);
}

/// NC-ADM-013, NC-ADM-014
#[test]
fn the_oldest_go_before_an_offset_or_a_time_and_nothing_beyond_the_end() {
    let house = House::new();
    let mut link = Link::new(&house);
    let log = house.log("a");
    house.fill(&log, 10, true);
    let to = |offset| Before::Offset(Offset(offset));
    assert_eq!(truncate(&mut link, "a", to(11)), Err(ErrorCode::OFFSET_BEYOND_END));
    assert_eq!(log.first(), Offset(0));
    assert_eq!(truncate(&mut link, "a", to(4)).unwrap().start, Offset(4));
    assert_eq!(truncate(&mut link, "a", to(2)).unwrap().start, Offset(4), "it never goes back");
    let disk = house.disk.fork(1);
    disk.crash();
    assert_eq!(House::on(disk, None, |_| ()).node.info(&name("a")).unwrap().first, Offset(4));
    let last = log.info().last_time;
    assert_eq!(truncate(&mut link, "a", Before::Time(last)).unwrap().start, Offset(9));
    assert_eq!(truncate(&mut link, "a", Before::Time(Timestamp::MIN)).unwrap().start, Offset(9));
    assert_eq!(truncate(&mut link, "a", Before::Time(Timestamp(i64::MAX))).unwrap().start, Offset(10));
}

/// NC-ADM-002
#[test]
fn who_does_not_publish_makes_and_changes_nothing() {
    let house = House::new();
    let _ = house.log("a");
    let config = ConnectionConfig { roles: Roles::RECEIVES, ..peer_config(Side::Dialler) };
    let mut link = Link::of(&house, config);
    let none = Settings::default();
    assert_eq!(create(&mut link, "b", &none), Err(ErrorCode::DENIED));
    assert_eq!(change(&mut link, "a", &none), Err(ErrorCode::DENIED));
    assert_eq!(truncate(&mut link, "a", Before::Offset(Offset(0))), Err(ErrorCode::DENIED));
    assert!(describe(&mut link, "a").is_ok());
}

fn token(secret: &str) -> Token {
    Token::new(secret).unwrap()
}

/// A peer that holds `secret`, at a node that grants these.
fn granted(house: &House, grants: &[(&str, Permissions)], secret: &str) -> Link {
    let node = Node::new(NodeConfig {
        store: Some(house.store.clone()),
        token: Some(token("the first")),
        grants: grants.iter().map(|(secret, may)| (token(secret), *may)).collect(),
        clock: Arc::new(house.clock.clone()),
        seed: Some(3),
        ..NodeConfig::default()
    });
    let served = Served::new(&node.unwrap(), Side::Listener, false, Instant(0));
    let config = ConnectionConfig { token: Some(token(secret)), ..peer_config(Side::Dialler) };
    let mut link = Link::between(served, config);
    link.pump();
    link
}

type Request = fn(&mut Connection, &str) -> StreamId;

/// A request of each kind about a channel, with the right that it needs.
fn requests() -> Vec<(Permissions, Request)> {
    fn key(channel: &str) -> CursorKey {
        CursorKey { channel: name(channel), cursor: CursorName::new("c").unwrap() }
    }
    let open: Request = |peer, channel| {
        let open = netchan_proto::wire::Open {
            name: name(channel),
            start: Start::Earliest,
            wait: false,
            credit: 1 << 20,
            filter: None,
        };
        peer.open(&open).unwrap()
    };
    let publish: Request = |peer, channel| {
        let open = netchan_proto::wire::PublishOpen {
            name: name(channel),
            create: true,
            durability: None,
            producer: netchan_proto::ProducerId([5; 16]),
            content: None,
            partitions: None,
        };
        peer.publish_open(&open).unwrap()
    };
    let take: Request = |peer, channel| {
        let take = CursorTake { key: key(channel), start: Start::Latest, make: true, wait: true, mine: 0 };
        peer.cursor_take(&take).unwrap()
    };
    let set: Request = |peer, channel| {
        peer.cursor_set(&CursorSet { key: key(channel), start: Start::Earliest, make: true }).unwrap()
    };
    vec![
        (Permissions::READ, open),
        (Permissions::READ, |peer, channel| peer.stat(&name(channel)).unwrap()),
        (Permissions::READ, |peer, channel| peer.describe(&name(channel)).unwrap()),
        (Permissions::READ, |peer, _| peer.list(&List::default()).unwrap()),
        (Permissions::READ, |peer, _| peer.cursors(&Cursors::default()).unwrap()),
        (Permissions::READ, |peer, _| peer.watch(&Watch { pattern: Pattern::new("**").unwrap() }).unwrap()),
        (Permissions::PUBLISH, publish),
        (Permissions::CREATE, |peer, channel| {
            peer.create(&Keep { name: name(channel), settings: Settings::default() }).unwrap()
        }),
        (Permissions::CHANGE, |peer, channel| {
            peer.change(&Keep { name: name(channel), settings: Settings::default() }).unwrap()
        }),
        (Permissions::TRUNCATE, |peer, channel| {
            let before = Before::Offset(Offset(0));
            peer.truncate(&Truncate { name: name(channel), before }).unwrap()
        }),
        (Permissions::CURSORS, take),
        (Permissions::CURSORS, set),
        (Permissions::CURSORS, |peer, channel| peer.cursor_delete(&key(channel)).unwrap()),
        (Permissions::STATUS, |peer, _| peer.status().unwrap()),
        (Permissions::STATUS, |peer, _| peer.readers(&Readers::default()).unwrap()),
        (Permissions::SEAL, |peer, channel| peer.seal(&name(channel)).unwrap()),
        (Permissions::DELETE, |peer, channel| peer.delete(&name(channel)).unwrap()),
    ]
}

/// NC-ADM-031: whatever the right, it gives what it is for and nothing else; and of a channel that is not there as much is told
/// as of one that is.
#[test]
fn each_right_gives_what_it_is_for_and_nothing_else() {
    for (right, _) in Permissions::EACH {
        for (needed, request) in requests() {
            let house = House::new();
            let log = house.log("there");
            house.fill(&log, 3, false);
            let mut link = granted(&house, &[("some", *right), ("none", Permissions::NONE)], "some");
            let there = request(&mut link.peer, "there");
            let nowhere = request(&mut link.peer, "nowhere");
            link.pump();
            let errors = [there, nowhere].map(|id| link.stream_error(id));
            if *right == needed {
                let codes = errors[0].as_ref().map(|error| error.code);
                assert_ne!(codes, Some(ErrorCode::PERMISSION), "{right} of {needed}");
                continue;
            }
            let [there, nowhere] = errors.map(Option::unwrap);
            assert_eq!((there.code, there.retryable), (ErrorCode::PERMISSION, false), "{right} of {needed}");
            assert!(there.text.contains(&needed.to_string()), "{}", there.text);
            assert_eq!(there, nowhere, "nothing else is told");
            assert!(!house.store.contains(&name("nowhere")));
            assert_eq!((log.first(), log.visible(), log.is_sealed()), (Offset(0), Offset(3), false));
        }
    }
}

/// NC-ADM-032
#[test]
fn who_may_publish_and_not_create_publishes_to_what_is_there() {
    let house = House::new();
    let log = house.log("there");
    let mut link = granted(&house, &[("some", Permissions::PUBLISH)], "some");
    let id = link.publish_open("nowhere", 5);
    let error = link.stream_error(id).unwrap();
    assert_eq!((error.code, house.store.contains(&name("nowhere"))), (ErrorCode::PERMISSION, false));
    assert!(error.text.contains("create"), "{}", error.text);
    let id = link.publish_open("there", 5);
    link.publish(id, batch(5, 0, &[b"x"]));
    house.commit();
    link.pump();
    assert_eq!(log.visible(), Offset(1));
    let mut link = granted(&house, &[("both", Permissions::PUBLISH.and(Permissions::CREATE))], "both");
    let id = link.publish_open("nowhere", 5);
    assert_eq!(link.stream_error(id), None);
    assert!(house.store.contains(&name("nowhere")));
}

/// NC-ADM-032, NC-PRT-014: what is missing beside a partition is made by who may make it, and kept as the others are.
#[test]
fn who_may_not_create_makes_no_partition_either() {
    let house = House::new();
    let mut link = Link::new(&house);
    let said = Settings::default().partitions(Partitions::new(3).ok()).durability(Durability::Os);
    create(&mut link, "a", &said.clone().max_bytes(Some(1 << 20))).unwrap();
    let missing = || [name("a@1"), name("a@2")].map(|name| !house.store.contains(&name));
    for part in ["a@1", "a@2"] {
        house.node.delete(&name(part)).unwrap();
    }
    let mut some = granted(&house, &[("some", Permissions::PUBLISH)], "some");
    let there = some.publish_open("a@0", 5);
    assert_eq!((some.stream_error(there), missing()), (None, [true; 2]));
    let gone = some.publish_open("a@1", 5);
    assert_eq!(some.stream_error(gone).unwrap().code, ErrorCode::PERMISSION);
    assert_eq!(missing(), [true; 2]);
    let may = Permissions::PUBLISH.and(Permissions::CREATE);
    let mut both = granted(&house, &[("both", may)], "both");
    let there = both.publish_open("a@0", 5);
    assert_eq!((both.stream_error(there), missing()), (None, [false; 2]));
    for part in ["a@0", "a@1", "a@2"] {
        let kept = options(&describe(&mut link, part).unwrap());
        assert_eq!((kept.durability, kept.retention.max_bytes), (Durability::Os, Some(1 << 20)), "{part}");
    }
}

/// NC-ADM-036
#[test]
fn who_calls_and_has_grants_alone_lets_nobody_do_anything_who_did_not_ask_for_a_token() {
    let house = House::new();
    let _ = house.log("a");
    for (grants, may) in [(vec![(token("r"), Permissions::READ)], false), (vec![], true)] {
        let node = Node::new(NodeConfig {
            store: Some(house.store.clone()),
            grants: grants.into(),
            clock: Arc::new(house.clock.clone()),
            seed: Some(3),
            ..NodeConfig::default()
        });
        let calling = Served::new(&node.unwrap(), Side::Dialler, false, Instant(0));
        let mut link = Link::between(calling, peer_config(Side::Listener));
        link.pump();
        assert!(link.peer.is_ready());
        let expected = if may { Ok(()) } else { Err(ErrorCode::PERMISSION) };
        assert_eq!(describe(&mut link, "a").map(drop), expected);
    }
}

/// NC-ADM-033: each token of many is found, the listener shows that it holds it, and no other is let in.
#[test]
fn a_peer_may_do_what_its_token_says_whichever_it_is() {
    let house = House::new();
    let _ = house.log("a");
    let secrets: Vec<String> = (0..15).map(|number| format!("secret {number}")).collect();
    let may = |number: usize| Permissions::EACH[number % Permissions::EACH.len()].0;
    let grants: Vec<_> =
        secrets.iter().enumerate().map(|(number, secret)| (&**secret, may(number))).collect();
    for (number, secret) in secrets.iter().enumerate() {
        let mut link = granted(&house, &grants, secret);
        assert!(link.peer.is_ready(), "the dialler has seen the proof of the token that it holds");
        assert_eq!(describe(&mut link, "a").is_ok(), may(number).has(Permissions::READ), "{secret}");
    }
    let mut first = granted(&house, &grants, "the first");
    assert!(describe(&mut first, "a").is_ok() && create(&mut first, "b", &Settings::default()).is_ok());
    let other = granted(&house, &grants, "secret 15");
    assert!(!other.peer.is_ready());
    assert!(matches!(other.machine.ended().unwrap().to_string(), text if text.contains("token")));
}
