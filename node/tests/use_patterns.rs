//! Receivers by pattern against a served connection, over a wire that breaks anywhere; and against a node that is scripted.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;
mod house;
mod there;

use std::collections::BTreeMap;

use far::{Across, Busy, Got, Wire, node};
use house::{House, append, name, options};
use netchan_node::{
    ChannelPositions, ErrorKind, Event, Machine, Next, PatternCore, PatternOptions, Received, ReceiverCore,
    ReceiverOptions,
};
use netchan_proto::limits::{LANE_TIME, LANE_TURN, MAX_LANES};
use netchan_proto::{Durability, Filter, Offset, Pattern, Start, Timestamp};
use netchan_store::{LogOptions, Retention};
use there::There;

fn pattern(pattern: &str) -> PatternOptions {
    PatternOptions { start: Start::Earliest, ..PatternOptions::new(Pattern::new(pattern).unwrap()) }
}

fn core(options: PatternOptions) -> PatternCore {
    PatternCore::new(&node(), options)
}

/// What was got of each channel, in order; whatever else was got makes this panic.
fn by_channel(got: &[Got]) -> BTreeMap<String, Vec<u64>> {
    let mut found = BTreeMap::<String, Vec<u64>>::new();
    for got in got {
        match got {
            Got::Record(offset, text) => {
                let (channel, payload) = text.split_once(": ").unwrap();
                assert_eq!(payload, offset.to_string());
                found.entry(channel.to_owned()).or_default().push(*offset);
            }
            Got::Over => {}
            Got::Error(error) => panic!("{error:?}"),
        }
    }
    found
}

fn each(channels: &[(&str, std::ops::Range<u64>)]) -> BTreeMap<String, Vec<u64>> {
    channels.iter().map(|(name, range)| ((*name).to_owned(), range.clone().collect())).collect()
}

fn fill(house: &House, channel: &str, count: u64) {
    let log = house.log(channel);
    let from = log.visible().0;
    for offset in from..from + count {
        append(&log, offset.to_string());
    }
    house.commit();
}

fn events(core: &mut PatternCore) -> Vec<String> {
    let told = std::iter::from_fn(|| core.poll_event()).map(|event| match event {
        Event::Joined { channel, .. } => format!("+{channel}"),
        Event::Left { channel, is_deleted: false } => format!("-{channel}"),
        Event::Left { channel, is_deleted: true } => format!("x{channel}"),
        Event::Connected { .. } => "connected".to_owned(),
        other => format!("{other:?}"),
    });
    told.collect()
}

/// NC-PAT-015, NC-PAT-016, NC-PAT-017, NC-PAT-018
#[test]
fn channels_that_match_are_received_join_in_and_leave() {
    let house = House::new();
    for (channel, count) in [("logs/a", 3), ("logs/b", 2), ("other", 5), ("logs/b/1", 1)] {
        fill(&house, channel, count);
    }
    let mut there = There::new(house);
    let mut wire = Wire::new();
    let mut near = core(pattern("logs/*"));
    let got = wire.run(&mut near, &mut there);
    assert_eq!(by_channel(&got), each(&[("logs/a", 0..3), ("logs/b", 0..2)]));
    assert!(near.is_settled());
    assert_eq!(events(&mut near), ["connected", "+logs/a", "+logs/b"]);

    fill(&there.house, "logs/c", 2);
    fill(&there.house, "none", 2);
    let got = wire.run(&mut near, &mut there);
    assert_eq!(by_channel(&got), each(&[("logs/c", 0..2)]), "it joins in, without being asked for");
    there.house.node.delete(&name("logs/a")).unwrap();
    assert_eq!(wire.run(&mut near, &mut there), [], "what is deleted leaves without an error");
    there.house.node.seal(&name("logs/b")).unwrap();
    assert_eq!(wire.run(&mut near, &mut there), []);
    assert_eq!(events(&mut near), ["+logs/c", "xlogs/a", "-logs/b"]);
    fill(&there.house, "logs/a", 1);
    let got = wire.run(&mut near, &mut there);
    assert_eq!(by_channel(&got), each(&[("logs/a", 0..1)]), "made again, it is another");
    let positions = near.positions();
    assert_eq!(
        positions.iter().map(|(name, at)| (name.as_str(), at.offset.0)).collect::<Vec<_>>(),
        [("logs/a", 1), ("logs/b", 2), ("logs/c", 2)]
    );
}

/// NC-PAT-017: `Latest` is for what is there; what is made later is all new.
#[test]
fn the_start_is_that_of_channels_that_are_there_and_what_is_made_later_is_read_whole() {
    for (start, there_from, later_from) in [
        (Start::Latest, 3, 0),
        (Start::Last(1), 2, 0),
        (Start::Offset(Offset(1)), 1, 1),
        (Start::Time(Timestamp(0)), 0, 0),
        (Start::Earliest, 0, 0),
    ] {
        let house = House::new();
        fill(&house, "logs/a", 3);
        let mut there = There::new(house);
        let mut wire = Wire::new();
        let mut near = core(PatternOptions { start, ..pattern("logs/*") });
        let mut got = wire.run(&mut near, &mut there);
        fill(&there.house, "logs/a", 1);
        fill(&there.house, "logs/b", 2);
        got.extend(wire.run(&mut near, &mut there));
        let expected = each(&[("logs/a", there_from..4), ("logs/b", later_from..2)]);
        assert_eq!(by_channel(&got), expected, "{start:?}");
    }
}

#[test]
fn filters_and_until_are_each_channels() {
    let house = House::new();
    fill(&house, "logs/a", 4);
    fill(&house, "logs/b", 6);
    let mut there = There::new(house);
    let filter = Some(Filter::parse("offset >= 2 and offset < 5").unwrap());
    let options = PatternOptions { filter, follow: false, ..pattern("logs/*") };
    let got = Wire::new().run(&mut core(options), &mut there);
    assert_eq!(by_channel(&got), each(&[("logs/a", 2..4), ("logs/b", 2..5)]));
    assert_eq!(got.last(), Some(&Got::Over));
    let options = PatternOptions { until: Some(Timestamp(0)), follow: false, ..pattern("logs/*") };
    assert_eq!(Wire::new().run(&mut core(options), &mut there), [Got::Over]);
}

#[test]
fn who_does_not_follow_ends_with_what_is_there() {
    let house = House::new();
    fill(&house, "logs/a", 2);
    let mut there = There::new(house);
    let not_following = || PatternOptions { follow: false, ..pattern("logs/*") };
    let got = Wire::new().run(&mut core(not_following()), &mut there);
    assert_eq!(got.last(), Some(&Got::Over));
    assert_eq!(by_channel(&got), each(&[("logs/a", 0..2)]));
    let none = PatternOptions { follow: false, ..pattern("none/*") };
    let got = Wire::new().run(&mut core(none), &mut there);
    assert_eq!(got, [Got::Error(ErrorKind::NoChannel), Got::Over]);
}

/// NC-PAT-016, NC-PAT-019
#[test]
fn cut_after_any_byte_either_way_nothing_is_lost_doubled_or_reordered() {
    let play = |wire: &mut Wire| {
        let house = House::new();
        fill(&house, "logs/a", 5);
        fill(&house, "logs/b", 3);
        house.log("logs/c");
        let mut there = There::new(house);
        let mut near = core(pattern("logs/**"));
        let mut got = wire.run(&mut near, &mut there);
        fill(&there.house, "logs/d", 2);
        fill(&there.house, "logs/a", 2);
        there.house.node.seal(&name("logs/b")).unwrap();
        got.extend(wire.run(&mut near, &mut there));
        by_channel(&got)
    };
    let expected = each(&[("logs/a", 0..7), ("logs/b", 0..3), ("logs/d", 0..2)]);
    let mut whole = Wire::new();
    assert_eq!(play(&mut whole), expected);
    let mut cuts = 0;
    for (to_near, bytes) in [(true, whole.passed_to_near), (false, whole.passed_to_far)] {
        for cut in 1..bytes {
            let mut wire = Wire { abrupt: cut % 2 == 0, step: 1 + cut % 97, ..Wire::new() };
            *(if to_near { &mut wire.to_near } else { &mut wire.to_far }) = cut;
            assert_eq!(play(&mut wire), expected, "cut at {cut}, to_near {to_near}");
            cuts += 1;
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

/// NC-PAT-020
#[test]
fn channels_that_have_something_take_turns() {
    let house = House::new();
    for channel in ["logs/a", "logs/b", "logs/c"] {
        fill(&house, channel, 1000);
    }
    let got = Wire::new().run(&mut core(pattern("logs/*")), &mut There::new(house));
    assert_eq!(by_channel(&got), each(&[("logs/a", 0..1000), ("logs/b", 0..1000), ("logs/c", 0..1000)]));
    let channel = |got: &Got| match got {
        Got::Record(_, text) => text[..6].to_owned(),
        other => panic!("{other:?}"),
    };
    let runs: Vec<usize> = got.chunk_by(|a, b| channel(a) == channel(b)).map(<[Got]>::len).collect();
    assert!(runs[..runs.len() - 2].iter().all(|&run| run <= 2 * LANE_TURN), "{runs:?}");
    assert!(runs.len() > 3 * 1000 / LANE_TURN / 2, "{runs:?}");
}

/// NC-PAT-021
#[test]
fn more_channels_than_may_be_open_take_each_others_places() {
    const CHANNELS: usize = MAX_LANES + 70;
    let house = House::new();
    let names: Vec<String> = (0..CHANNELS).map(|number| format!("logs/{number:03}")).collect();
    for channel in &names {
        fill(&house, channel, 2);
    }
    let mut there = There::new(house);
    let mut wire = Wire::new();
    let mut near = core(pattern("logs/*"));
    let mut got = wire.run(&mut near, &mut there);
    assert_eq!(by_channel(&got).len(), MAX_LANES, "as many as may be open");
    assert!(near.deadline().is_some_and(|at| at <= wire.now.plus(LANE_TIME)));
    let mut seconds = |near: &mut PatternCore, there: &mut There, got: &mut Vec<Got>, count: u32| {
        for _ in 0..count {
            wire.now = wire.now.plus(LANE_TIME);
            near.handle_timeout(wire.now);
            got.extend(wire.run(near, there));
        }
    };
    seconds(&mut near, &mut there, &mut got, 4);
    let all = |count: u64| names.iter().map(|name| (name.clone(), (0..count).collect())).collect();
    assert_eq!(by_channel(&got), all(2), "each once, and in order");
    for channel in &names {
        fill(&there.house, channel, 1);
    }
    seconds(&mut near, &mut there, &mut got, 6);
    assert_eq!(by_channel(&got), all(3));
    assert_eq!(near.positions().len(), CHANNELS);
    assert!(near.positions().iter().all(|(_, position)| position.offset == Offset(3)));
    let not_following = PatternOptions { follow: false, ..pattern("logs/*") };
    let got = Wire::new().run(&mut core(not_following), &mut there);
    assert_eq!((by_channel(&got), got.last()), (all(3), Some(&Got::Over)), "without waiting");
}

/// NC-PAT-022
#[test]
fn what_nobody_asks_for_stays_with_the_sender_and_large_batches_come_one_at_a_time() {
    const LARGE: usize = 1 << 20;
    const CHANNELS: usize = 24;
    let house = House::new();
    for channel in 0..CHANNELS {
        let log = house.log(&format!("logs/{channel:02}"));
        for _ in 0..2 {
            append(&log, "x".repeat(LARGE));
        }
        house.commit();
    }
    let mut there = There::new(house);
    let mut wire = Wire::new();
    let mut near = core(PatternOptions { window: 0, ..pattern("logs/*") });
    wire.run(&mut Busy(&mut near), &mut there);
    let windows = CHANNELS * (64 << 10);
    assert!(
        wire.passed_to_near >= windows && wire.passed_to_near < windows + (64 << 10),
        "{}",
        wire.passed_to_near
    );
    // The first has the right to the rest of a large one. Whatever else is asked for, the others have their windows only.
    let mut given = 0;
    loop {
        match near.next(wire.now) {
            Next::Record(Received { record, .. }) => {
                assert_eq!(record.payload.len(), LARGE);
                given += 1;
            }
            Next::Idle if given == 2 * CHANNELS => break,
            Next::Idle => {
                let before = wire.passed_to_near;
                wire.run(&mut Busy(&mut near), &mut there);
                let passed = wire.passed_to_near - before;
                assert!(passed > 0 && passed < LARGE + LARGE / 2, "{passed} bytes for one large batch");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// NC-PAT-023
#[test]
fn positions_go_on_where_another_receiver_had_come_to() {
    let house = House::new();
    fill(&house, "logs/a", 5);
    fill(&house, "logs/b", 5);
    fill(&house, "logs/gone", 2);
    let mut there = There::new(house);
    let mut wire = Wire::new();
    let mut near = core(pattern("logs/*"));
    wire.run(&mut Busy(&mut near), &mut there);
    let mut first = Vec::new();
    for _ in 0..7 {
        match near.next(wire.now) {
            Next::Record(Received { channel, record }) => {
                assert_eq!(near.position(&channel).unwrap().offset, record.offset.plus(1));
                first.push(Got::Record(record.offset.0, format!("{channel}: {}", record.offset)));
            }
            other => panic!("{other:?}"),
        }
    }
    let kept: ChannelPositions = near.positions().iter().map(|(name, at)| (name.clone(), *at)).collect();
    drop(near);
    there.house.node.delete(&name("logs/gone")).unwrap();
    fill(&there.house, "logs/gone", 1);
    fill(&there.house, "logs/new", 2);
    there.hang_up();
    let options = PatternOptions { start: Start::Latest, resume: Some(kept.clone()), ..pattern("logs/*") };
    let mut near = core(options);
    assert_eq!(near.positions(), kept, "before anything is heard, they are what they were");
    assert!(kept.iter().all(|(name, at)| near.position(name) == Some(*at)));
    let rest = Wire::new().run(&mut near, &mut there);
    let (first, rest) = (by_channel(&first), by_channel(&rest));
    for channel in ["logs/a", "logs/b"] {
        let part = |parts: &BTreeMap<String, Vec<u64>>| parts.get(channel).cloned().unwrap_or_default();
        assert_eq!([part(&first), part(&rest)].concat(), [0, 1, 2, 3, 4], "{channel}");
    }
    assert_eq!((&rest["logs/gone"][..], &rest["logs/new"][..]), (&[0][..], &[0, 1][..]));
    assert_eq!(near.positions().len(), 4);
}

#[test]
fn a_gap_of_one_channel_is_told_once_and_all_go_on() {
    let house = House::new();
    let retention = Retention { max_records: Some(3), ..Retention::default() };
    let log = house
        .log_with("logs/a", LogOptions { retention, segment_bytes: 8 << 10, ..options(Durability::Sync) });
    for offset in 0..40 {
        append(&log, format!("{offset}{}", " ".repeat(1000)));
        house.commit();
    }
    fill(&house, "logs/b", 2);
    let got = Wire::new().run(
        &mut core(PatternOptions { start: Start::Offset(Offset(0)), ..pattern("logs/*") }),
        &mut There::new(house),
    );
    let gaps = got.iter().filter(|got| matches!(got, Got::Error(ErrorKind::Gap { .. }))).count();
    assert_eq!(gaps, 1);
    assert!(got.iter().any(|got| *got == Got::Record(1, "logs/b: 1".to_owned())));
    assert!(got.iter().any(|got| matches!(got, Got::Record(39, _))));
}

#[test]
fn what_was_opened_and_not_asked_for_goes_on_where_it_began_on_another_connection() {
    let house = House::new();
    fill(&house, "logs/a", 3);
    let mut there = There::new(house);
    let options = ReceiverOptions { start: Start::Latest, ..ReceiverOptions::new(name("logs/a")) };
    let (mut near, mut wire) = (ReceiverCore::new(&node(), options), Wire::new());
    assert_eq!(wire.run(&mut Busy(&mut near), &mut there), []);
    assert!(near.is_settled(), "what is sent after this is received");
    fill(&there.house, "logs/a", 2);
    wire.run(&mut Busy(&mut near), &mut there);
    there.hang_up();
    wire.run(&mut Busy(&mut near), &mut there);
    assert_eq!(wire.run(&mut near, &mut there), [3, 4].map(|at| Got::Record(at, at.to_string())));
}
