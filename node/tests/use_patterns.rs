//! Receivers by pattern against a served connection, over a wire that breaks anywhere; and against a node that is scripted.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;
mod house;
mod there;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use far::{Across, Busy, Got, Wire, node};
use house::{House, append, name, options};
use netchan_node::{
    ChannelPositions, ErrorKind, Event, Machine, Next, PatternCore, PatternOptions, Received, ReceiverCore,
    ReceiverOptions,
};
use netchan_proto::conn::{Connection, Event as Frame};
use netchan_proto::limits::{LANE_TIME, LANE_TURN, MAX_LANES, MAX_LIST, MAX_MATCHES, MAX_STREAMS};
use netchan_proto::wire::{End, ErrorFrame, Made, Opened, StreamId, Watched};
use netchan_proto::{
    Durability, Epoch, ErrorCode, Filter, Instant, LogId, Offset, Pattern, Position, Side, Start, Timestamp,
};
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

/// A node whose channels are all empty, and sealed if nothing else is said: it only tells of them.
#[derive(Default)]
struct Teller {
    names: Vec<String>,
    /// The logs that it tells of, and those that it opens, where they are not those that their names say.
    logs: BTreeMap<String, LogId>,
    behind: BTreeMap<String, LogId>,
    /// It does not say by itself which channels there are.
    silent: bool,
    /// What is opened stays open: nothing is sealed.
    stays: bool,
    /// How often opening a channel fails, in a way that may pass.
    failures: BTreeMap<String, usize>,
    /// What can never be opened.
    lost: BTreeSet<String>,
    /// Where each OPEN wanted to begin, in order.
    asked: Vec<(String, Start)>,
    /// The last stream of each channel.
    streams: BTreeMap<String, StreamId>,
    /// CLOSE is answered later, with these.
    closing: Option<Vec<StreamId>>,
    connection: Option<Connection>,
    watches: usize,
    opens: usize,
    watch: Option<StreamId>,
    refuses: Option<ErrorCode>,
}

fn log_of(name: &str) -> LogId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&name.as_bytes()[..8]);
    LogId(id)
}

impl Teller {
    /// Those that stay.
    fn of(names: &[String]) -> Teller {
        Teller { names: names.to_vec(), stays: true, ..Teller::default() }
    }

    /// Where opening a channel wanted to begin, each time.
    fn starts_of(&self, channel: &str) -> Vec<Start> {
        self.asked.iter().filter(|(asked, _)| asked == channel).map(|(_, start)| *start).collect()
    }

    fn seal(&mut self, channel: &str) {
        let connection = self.connection.as_mut().unwrap();
        connection.end(self.streams[channel], End::Sealed { final_offset: Offset(0) });
    }

    fn tell(&mut self, names: &[String], complete: bool) {
        let (Some(connection), Some(id)) = (&mut self.connection, self.watch) else { return };
        let log = |text: &String| self.logs.get(text).copied().unwrap_or_else(|| log_of(text));
        let made = names.iter().map(|text| Made { name: name(text), log: log(text) }).collect();
        connection.watched(id, &Watched { complete, made });
    }
}

impl Across for Teller {
    fn accept(&mut self, now: Instant) {
        self.connection = Some(Connection::new(house::peer_config(Side::Listener), now));
    }
    fn hang_up(&mut self) {
        self.connection = None;
    }
    fn turn(&mut self, now: Instant) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.poll_event(now) {
            Ok(Some(Frame::WatchRequest(id, _))) => {
                self.watches += 1;
                self.watch = Some(id);
                if let Some(code) = self.refuses {
                    connection.stream_error(id, ErrorFrame::new(code, "no"));
                    return true;
                }
                if self.silent {
                    return true;
                }
                let names = self.names.clone();
                let mut pages = names.chunks(MAX_LIST).peekable();
                while let Some(page) = pages.next() {
                    self.tell(page, pages.peek().is_none());
                }
                true
            }
            Ok(Some(Frame::OpenRequest(id, open))) => {
                self.opens += 1;
                self.asked.push((open.name.to_string(), open.start));
                self.streams.insert(open.name.to_string(), id);
                if let Some(left) = self.failures.get_mut(open.name.as_str()).filter(|left| **left > 0) {
                    *left -= 1;
                    connection.stream_error(id, ErrorFrame::new(ErrorCode::IO, "no"));
                    return true;
                }
                if self.lost.contains(open.name.as_str()) {
                    connection.stream_error(id, ErrorFrame::new(ErrorCode::OFFSET_BEYOND_END, "no"));
                    return true;
                }
                let log = self.behind.get(open.name.as_str()).copied();
                let opened = Opened {
                    log: log.unwrap_or_else(|| log_of(open.name.as_str())),
                    epoch: Epoch(0),
                    durability: Durability::Sync,
                    sealed: !self.stays,
                    first: Offset(0),
                    next: Offset(0),
                    start: Offset(0),
                    clock: Timestamp(0),
                    content: None,
                };
                connection.opened(id, &opened);
                if !self.stays {
                    connection.end(id, End::Sealed { final_offset: Offset(0) });
                }
                true
            }
            Ok(Some(Frame::CloseRequest(id))) => {
                match &mut self.closing {
                    Some(closing) => closing.push(id),
                    None => connection.end(id, End::Closed),
                }
                true
            }
            Ok(event) => event.is_some(),
            Err(_) => false,
        }
    }
    fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number:07}")).collect()
}

/// So many times places are changed, if others wait for them; nothing is got.
fn turns(count: usize, wire: &mut Wire, near: &mut PatternCore, teller: &mut Teller) {
    for _ in 0..count {
        wire.now = wire.now.plus(LANE_TIME);
        near.handle_timeout(wire.now);
        assert_eq!(wire.run(near, teller), []);
    }
}

/// NC-PAT-021
#[test]
fn more_channels_than_may_be_known_are_told_once_and_those_that_are_gone_make_room() {
    let names = numbered(MAX_MATCHES + 300);
    let mut teller = Teller { names: names.clone(), ..Teller::default() };
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut near, &mut teller), [Got::Error(ErrorKind::Full)], "told once");
    assert!(teller.opens < MAX_MATCHES, "so many are not opened at once");
    turns(20, &mut wire, &mut near, &mut teller);
    assert_eq!((teller.opens, near.positions().len()), (MAX_MATCHES, MAX_MATCHES));
    teller.tell(&names[MAX_MATCHES + 200..], false);
    assert_eq!(wire.run(&mut near, &mut teller), [], "and not again");
    assert_eq!(teller.watches, 1);

    let mut teller = Teller { names: names[..MAX_MATCHES].to_vec(), ..Teller::default() };
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut near, &mut teller), []);
    turns(20, &mut wire, &mut near, &mut teller);
    assert_eq!(near.positions().len(), MAX_MATCHES);
    // All but ten are deleted, which nobody tells; and one is made.
    teller.names.drain(10..);
    teller.names.push("new-one1".to_owned());
    teller.tell(&["new-one1".to_owned()], false);
    assert_eq!(wire.run(&mut near, &mut teller), [], "it is asked again what there is, and there is room");
    turns(20, &mut wire, &mut near, &mut teller);
    // Once to find who is gone, and once more for what had no place when it was told.
    assert_eq!((teller.watches, near.positions().len()), (3, 11));
}

/// NC-PAT-024
#[test]
fn who_cannot_tell_which_channels_there_are_is_told_to_the_user_or_asked_again() {
    for (code, expected, watches) in
        [(ErrorCode::DENIED, vec![Got::Error(ErrorKind::Denied), Got::Over], 1), (ErrorCode::CALM, vec![], 3)]
    {
        let mut teller = Teller { refuses: Some(code), ..Teller::default() };
        let mut wire = Wire { dials: 3, ..Wire::new() };
        let mut near = core(pattern("**"));
        assert_eq!(wire.run(&mut near, &mut teller), expected, "{code}");
        assert_eq!(teller.watches, watches, "{code}");
        assert!(near.is_settled());
    }
}

#[test]
fn positions_are_those_of_channels_by_name() {
    let at = |offset| Position { log: LogId([1; 16]), epoch: Epoch(1), offset: Offset(offset) };
    let mut positions: ChannelPositions = [(name("b"), at(1)), (name("a"), at(2))].into_iter().collect();
    assert!(!positions.is_empty() && positions.get(&name("c")).is_none());
    positions.set(name("a"), at(3));
    let offsets: BTreeSet<_> = positions.iter().map(|(name, at)| (name.as_str(), at.offset.0)).collect();
    assert_eq!(offsets, BTreeSet::from([("a", 3), ("b", 1)]));
    assert_eq!((positions.len(), ChannelPositions::default().len()), (2, 0));
    assert!(Duration::from_millis(1) < LANE_TIME);
}

/// NC-PAT-017, NC-PAT-021
#[test]
fn a_channel_that_gives_up_its_place_before_it_was_opened_still_begins_where_it_was_to_begin() {
    let mut teller = Teller::of(&numbered(2 * MAX_LANES));
    teller.failures.insert("new-one1".to_owned(), 3);
    let mut near = core(PatternOptions { start: Start::Latest, ..pattern("**") });
    let mut wire = Wire::new();
    assert_eq!(wire.run(&mut near, &mut teller), []);
    teller.tell(&["new-one1".to_owned()], false);
    turns(40, &mut wire, &mut near, &mut teller);
    let starts = teller.starts_of("new-one1");
    assert!(starts.len() > 3, "{starts:?}");
    assert_eq!(starts[..4], [Start::Earliest; 4], "all of it is new, however often it could not be opened");
    assert!(starts[4..].iter().all(|start| matches!(start, Start::Resume(_))), "{starts:?}");

    // Those that can never be opened leave room for others.
    let names = numbered(MAX_LANES + 2);
    let mut teller = Teller::of(&names);
    teller.failures = names[..MAX_LANES].iter().map(|name| (name.clone(), usize::MAX)).collect();
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut near, &mut teller), []);
    turns(4, &mut wire, &mut near, &mut teller);
    assert_eq!(near.positions().len(), 2);
}

/// NC-PAT-018
#[test]
fn a_channel_that_cannot_be_opened_is_told_once_and_nobody_waits_for_it() {
    let names = numbered(2);
    let mut teller = Teller::of(&names);
    teller.failures.insert(names[0].clone(), 3);
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut near, &mut teller), []);
    assert!(near.is_settled(), "it is known how the first try went");
    let told = |near: &mut PatternCore| -> Vec<(String, ErrorKind)> {
        let events = std::iter::from_fn(|| near.poll_event());
        let told = events.filter_map(|event| match event {
            Event::Unavailable { channel, why } => Some((channel.to_string(), why.kind())),
            _ => None,
        });
        told.collect()
    };
    assert_eq!(told(&mut near), [(names[0].clone(), ErrorKind::Io)]);
    turns(8, &mut wire, &mut near, &mut teller);
    assert_eq!(
        (told(&mut near), near.positions().len()),
        (vec![], 2),
        "not each time, until it can be opened"
    );
    teller.failures.insert(names[0].clone(), 1);
    teller.hang_up();
    assert_eq!(wire.run(&mut near, &mut teller), []);
    assert_eq!(told(&mut near), [(names[0].clone(), ErrorKind::Io)], "and again, after it could");
}

/// NC-PAT-021
#[test]
fn a_node_that_tells_without_end_makes_nothing_grow() {
    let held = |near: &PatternCore| format!("{near:?}").len();
    for count in [1, MAX_LANES + 10, MAX_MATCHES + MAX_LIST] {
        let names = numbered(count);
        let mut teller = Teller { silent: true, ..Teller::of(&[]) };
        let (mut near, mut wire) = (core(pattern("**")), Wire::new());
        assert_eq!(wire.run(&mut near, &mut teller), []);
        // Each time all of them are other ones, and it never says that these are all.
        let mut tell = |near: &mut PatternCore, round: u8| {
            let log =
                |name: &String| LogId([&[round; 8], &name.as_bytes()[..8]].concat().try_into().unwrap());
            teller.logs = names.iter().map(|name| (name.clone(), log(name))).collect();
            for page in names.chunks(MAX_LIST) {
                teller.tell(page, false);
                assert_eq!(wire.run(near, &mut teller), []);
            }
        };
        (1..4).for_each(|round| tell(&mut near, round));
        let before = held(&near);
        (4..24).for_each(|round| tell(&mut near, round));
        let grown = held(&near).saturating_sub(before);
        assert!(grown < before / 50, "{count} channels: {before}, and {grown} more");
        assert_eq!(teller.watches, 1);
    }
}

/// NC-PAT-016, NC-PAT-019
#[test]
fn a_channel_that_was_made_again_before_it_was_opened_is_read_once() {
    let (names, second) = (numbered(2), LogId([9; 16]));
    for failures in [0, 1] {
        for is_told_meanwhile in [false, true] {
            let mut teller = Teller { names: names.clone(), ..Teller::default() };
            teller.behind.insert(names[0].clone(), second);
            teller.failures.insert(names[0].clone(), failures);
            let (mut near, mut wire) = (core(pattern("**")), Wire::new());
            assert_eq!(wire.run(&mut near, &mut teller), []);
            teller.logs.insert(names[0].clone(), second);
            if is_told_meanwhile {
                teller.tell(&names[..1], false);
                assert_eq!(wire.run(&mut near, &mut teller), []);
            }
            turns(3, &mut wire, &mut near, &mut teller);
            teller.tell(&names[..1], false);
            turns(3, &mut wire, &mut near, &mut teller);
            let opens = teller.starts_of(&names[0]).len();
            assert_eq!(opens, failures + 1, "{failures} in vain, told meanwhile: {is_told_meanwhile}");
            assert_eq!(near.position(&name(&names[0])).unwrap().log, second);
        }
    }
    // Made again twice, and both are told after the last was opened.
    let mut teller = Teller { logs: BTreeMap::from([(names[0].clone(), second)]), ..Teller::of(&names) };
    teller.behind.insert(names[0].clone(), LogId([10; 16]));
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut near, &mut teller), []);
    for log in [LogId([8; 16]), LogId([10; 16])] {
        teller.logs.insert(names[0].clone(), log);
        teller.tell(&names[..1], false);
        assert_eq!(wire.run(&mut near, &mut teller), []);
    }
    teller.seal(&names[0]);
    assert_eq!(wire.run(&mut near, &mut teller), []);
    assert_eq!((teller.starts_of(&names[0]).len(), near.positions().len()), (1, 2));
}

/// NC-PAT-018
#[test]
fn what_ends_one_channel_keeps_nobody_from_opening_the_others() {
    let names = numbered(3);
    let mut teller = Teller::of(&names);
    teller.lost.extend(names[..2].iter().cloned());
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut Busy(&mut near), &mut teller), []);
    assert!(near.is_settled());
    assert_eq!((near.positions().len(), teller.opens), (1, 3));
    let ends = Got::Error(ErrorKind::BeyondEnd);
    assert_eq!(wire.run(&mut near, &mut teller), [ends.clone(), ends], "each is told");

    // Also where there is more to tell.
    let names = numbered(MAX_MATCHES + 1);
    let mut teller = Teller { lost: names[..1].iter().cloned().collect(), ..Teller::of(&names) };
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    assert_eq!(wire.run(&mut Busy(&mut near), &mut teller), []);
    assert!(near.is_settled());
    let got = wire.run(&mut near, &mut teller);
    assert!(
        got.len() == 2
            && [ErrorKind::BeyondEnd, ErrorKind::Full].map(Got::Error).iter().all(|one| got.contains(one))
    );
}

/// NC-PAT-021
#[test]
fn who_gets_its_place_again_joins_once() {
    let names = numbered(2 * MAX_LANES);
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    let mut teller = Teller::of(&names);
    assert_eq!(wire.run(&mut near, &mut teller), []);
    let mut told = events(&mut near);
    for _ in 0..12 {
        turns(1, &mut wire, &mut near, &mut teller);
        told.extend(events(&mut near));
    }
    assert!(names.iter().all(|name| teller.starts_of(name).len() > 2), "all had their place more than once");
    let joined: Vec<_> = told.into_iter().filter(|told| told.starts_with('+')).collect();
    assert_eq!(joined.iter().collect::<BTreeSet<_>>().len(), joined.len());
    assert!(joined.len() > MAX_LANES, "but for those that nobody looked at in time");
}

/// NC-PAT-021
#[test]
fn with_as_many_streams_as_may_be_open_it_asks_again_later() {
    let names = numbered(MAX_MATCHES);
    let (mut near, mut wire) = (core(pattern("**")), Wire::new());
    let mut teller = Teller { closing: Some(Vec::new()), ..Teller::of(&names) };
    assert_eq!(wire.run(&mut near, &mut teller), []);
    turns(4, &mut wire, &mut near, &mut teller);
    assert_eq!(teller.opens, MAX_STREAMS - 1, "one watches");
    // One is made that has no place among those that are known: it is asked who has gone.
    teller.tell(&["new-one1".to_owned()], false);
    assert_eq!(wire.run(&mut near, &mut teller), []);
    turns(2, &mut wire, &mut near, &mut teller);
    assert_eq!((teller.watches, teller.opens), (1, MAX_STREAMS - 1));
    for id in teller.closing.take().unwrap() {
        teller.connection.as_mut().unwrap().end(id, End::Closed);
    }
    assert_eq!(wire.run(&mut near, &mut teller), []);
    turns(2, &mut wire, &mut near, &mut teller);
    assert_eq!(teller.watches, 2);
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
