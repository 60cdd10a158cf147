//! Receivers by pattern against a node that is scripted: it says which channels there are, and what is behind their names.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;
mod house;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use far::{Across, Busy, Got, Wire, node};
use house::name;
use netchan_node::{ChannelPositions, ErrorKind, Event, Machine, PatternCore, PatternOptions};
use netchan_proto::conn::{Connection, Event as Frame};
use netchan_proto::limits::{LANE_TIME, MAX_LANES, MAX_LIST, MAX_MATCHES, MAX_STREAMS};
use netchan_proto::wire::{End, ErrorFrame, Made, Opened, Seeked, StreamId, Watched};
use netchan_proto::{
    Durability, Epoch, ErrorCode, Instant, LogId, Offset, Pattern, Position, Side, Start, Timestamp,
};

fn pattern(pattern: &str) -> PatternOptions {
    PatternOptions { start: Start::Earliest, ..PatternOptions::new(Pattern::new(pattern).unwrap()) }
}

fn core(options: PatternOptions) -> PatternCore {
    PatternCore::new(&node(), options)
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
    /// What was told of each stream that was opened.
    opened: BTreeMap<StreamId, (String, Opened)>,
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
                    partitions: None,
                };
                connection.opened(id, &opened);
                self.opened.insert(id, (open.name.to_string(), opened));
                if !self.stays {
                    connection.end(id, End::Sealed { final_offset: Offset(0) });
                }
                true
            }
            Ok(Some(Frame::SeekRequest(id, seek))) => {
                let (name, opened) = self.opened[&id].clone();
                self.asked.push((name, seek.start));
                connection.seeked(id, &Seeked { seek_id: seek.seek_id, opened });
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

/// NC-PAT-017: it was made after all that were there were told, so that all of it is new.
#[test]
fn a_channel_that_was_made_again_before_it_was_opened_begins_as_one_that_is_told_later() {
    for (start, expected) in [
        (Start::Latest, &[Start::Latest, Start::Earliest][..]),
        (Start::Last(3), &[Start::Last(3), Start::Earliest]),
        (Start::Offset(Offset(7)), &[Start::Offset(Offset(7))]),
        (Start::Earliest, &[Start::Earliest]),
    ] {
        let names = numbered(2);
        let mut teller = Teller::of(&names);
        teller.behind.insert(names[0].clone(), LogId([9; 16]));
        let mut near = core(PatternOptions { start, ..pattern("**") });
        assert_eq!(Wire::new().run(&mut near, &mut teller), []);
        assert_eq!(teller.starts_of(&names[0]), expected, "{start:?}");
        assert_eq!(teller.starts_of(&names[1]), [start], "that which was told");
        assert_eq!(near.position(&name(&names[0])).unwrap().log, LogId([9; 16]));
    }
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
