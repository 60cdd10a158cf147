//! What a served connection promises about cursors.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod house;

use house::{House, Link, name, peer_config};
use netchan_proto::conn::{ConnectionConfig, Event, Full};
use netchan_proto::limits::{MAX_CHANNEL_CURSORS, MAX_CURSORS};
use netchan_proto::wire::{
    CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors, CursorsReply, Done, ErrorFrame,
    StreamId,
};
use netchan_proto::{CursorName, Epoch, ErrorCode, LogId, Offset, Position, Positions, Roles, Side, Start};
use netchan_store::Log;

fn key(channel: &str, cursor: &str) -> CursorKey {
    CursorKey { channel: name(channel), cursor: CursorName::new(cursor).unwrap() }
}

fn at(log: &Log, offset: u64) -> Positions {
    let offset = Offset(offset);
    Position { log: log.id(), epoch: log.epoch_before(offset), offset }.into()
}

fn offset(info: &CursorInfo) -> Option<u64> {
    info.position.only().map(|position| position.offset.0)
}

/// What came on a stream.
fn reply(link: &mut Link, asked: Result<StreamId, Full>) -> Result<Event, ErrorFrame> {
    let id = asked.unwrap();
    link.pump();
    if let Some(error) = link.stream_error(id) {
        return Err(error);
    }
    let is_for = |event: &&Event| match event {
        Event::CursorReply(stream, _) | Event::CursorsReply(stream, _) | Event::Done(stream, _) => {
            *stream == id
        }
        _ => false,
    };
    Ok(link.events.iter().find(is_for).unwrap().clone())
}

fn cursor(replied: Result<Event, ErrorFrame>) -> Result<CursorInfo, (ErrorCode, Option<u64>)> {
    match replied {
        Ok(Event::CursorReply(_, info)) => Ok(info),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err((error.code, error.at.map(|at| at.0))),
    }
}

type Answered = Result<CursorInfo, (ErrorCode, Option<u64>)>;

fn take(link: &mut Link, key: &CursorKey, start: Start, make: bool, mine: u64) -> Answered {
    let asked = link.peer.cursor_take(&CursorTake { key: key.clone(), start, make, wait: false, mine });
    cursor(reply(link, asked))
}

/// One that may come before its channel.
fn take_early(link: &mut Link, key: &CursorKey) -> Answered {
    let key = key.clone();
    let take = CursorTake { key, start: Start::Latest, make: true, wait: true, mine: 0 };
    let asked = link.peer.cursor_take(&take);
    cursor(reply(link, asked))
}

fn commit(link: &mut Link, key: &CursorKey, generation: u64, position: Positions) -> Answered {
    let asked = link.peer.cursor_commit(&CursorCommit { key: key.clone(), generation, position });
    cursor(reply(link, asked))
}

fn set(link: &mut Link, key: &CursorKey, start: Start, make: bool) -> Answered {
    let asked = link.peer.cursor_set(&CursorSet { key: key.clone(), start, make });
    cursor(reply(link, asked))
}

fn delete(link: &mut Link, key: &CursorKey) -> Result<(), ErrorCode> {
    let asked = link.peer.cursor_delete(key);
    match reply(link, asked) {
        Ok(Event::Done(_, Done { final_offset: None })) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

fn page(link: &mut Link, asked: Cursors) -> CursorsReply {
    let asked = link.peer.cursors(&asked);
    match reply(link, asked) {
        Ok(Event::CursorsReply(_, reply)) => reply,
        other => panic!("{other:?}"),
    }
}

fn refused(code: ErrorCode) -> Answered {
    Err((code, None))
}

/// NC-CUR-007, NC-CUR-010, NC-CUR-011, NC-CUR-012, NC-CUR-022
#[test]
fn a_cursor_is_made_where_it_is_asked_for_once() {
    let house = House::new();
    let log = house.log("a");
    house.fill(&log, 10, false);
    let mut link = Link::new(&house);
    let key = key("a", "c");
    assert_eq!(take(&mut link, &key, Start::Latest, false, 0), refused(ErrorCode::NO_CURSOR));
    assert_eq!(commit(&mut link, &key, 1, at(&log, 1)), refused(ErrorCode::NO_CURSOR));
    assert_eq!(set(&mut link, &key, Start::Latest, false), refused(ErrorCode::NO_CURSOR));
    assert_eq!(delete(&mut link, &key), Err(ErrorCode::NO_CURSOR));
    // Whose it was it cannot be, if there is none; and where nothing is it is not made.
    assert_eq!(take(&mut link, &key, Start::Latest, true, 5), refused(ErrorCode::NO_CURSOR));
    let beyond = take(&mut link, &key, Start::Offset(Offset(11)), true, 0);
    assert_eq!(beyond.unwrap_err().0, ErrorCode::OFFSET_BEYOND_END);

    let made = take(&mut link, &key, Start::Last(3), true, 0).unwrap();
    assert_eq!((offset(&made), made.taken), (Some(7), made.generation));
    let again = take(&mut link, &key, Start::Offset(Offset(99)), true, 0).unwrap();
    assert_eq!(offset(&again), Some(7), "a cursor that is there stays where it is");
    let generation = made.generation;
    assert_eq!(take(&mut link, &key, Start::Latest, true, generation), refused(ErrorCode::CURSOR_TAKEN));
    assert!(take(&mut link, &key, Start::Latest, false, again.generation).is_ok());
    assert_eq!(delete(&mut link, &key), Ok(()));
    assert_eq!(offset(&set(&mut link, &key, Start::Earliest, true).unwrap()), Some(0));

    // Before there is a channel it stands before all that will come.
    let early = self::key("later", "c");
    assert_eq!(take(&mut link, &early, Start::Latest, true, 0), refused(ErrorCode::NO_CHANNEL));
    let made = take_early(&mut link, &early).unwrap();
    assert_eq!(offset(&made), None);
    let nothing = at(&log, 0);
    assert_eq!(commit(&mut link, &early, made.generation, nothing), refused(ErrorCode::NO_CHANNEL));
    assert_eq!(set(&mut link, &early, Start::Latest, false), refused(ErrorCode::NO_CHANNEL));
    let log = house.log("later");
    house.fill(&log, 3, false);
    let moved = commit(&mut link, &early, made.generation, at(&log, 2)).unwrap();
    assert_eq!(offset(&moved), Some(2));
}

/// NC-CUR-014, NC-CUR-015, NC-CUR-016, NC-CUR-017, NC-CUR-018, NC-CUR-021
#[test]
fn a_commit_is_refused_with_the_reason_and_the_offset() {
    let house = House::new();
    let log = house.log("a");
    house.fill(&log, 10, false);
    let (mut link, mut other) = (Link::new(&house), Link::new(&house));
    let key = key("a", "c");
    let generation = take(&mut link, &key, Start::Offset(Offset(4)), true, 0).unwrap().generation;
    let mut commit = |position| commit(&mut link, &key, generation, position);
    assert_eq!(offset(&commit(at(&log, 6)).unwrap()), Some(6));
    assert_eq!(offset(&commit(at(&log, 6)).unwrap()), Some(6));
    assert_eq!(commit(at(&log, 5)), Err((ErrorCode::CURSOR_BACK, Some(6))));
    assert_eq!(commit(at(&log, 11)), Err((ErrorCode::OFFSET_BEYOND_END, Some(10))));
    let here = at(&log, 7).only().unwrap();
    let elsewhere = Position { log: LogId([9; 16]), ..here };
    assert_eq!(commit(elsewhere.into()), refused(ErrorCode::OTHER_LOG));
    assert_eq!(commit(Position { epoch: Epoch(77), ..here }.into()), refused(ErrorCode::OTHER_LOG));
    assert_eq!(commit(Positions::new([here, elsewhere]).unwrap()), refused(ErrorCode::OTHER_LOG));

    // Reading moves it nowhere.
    let reading = other.read("a", Start::Earliest);
    assert_eq!(other.reader(reading).got.len(), 10);
    assert_eq!(offset(&commit(at(&log, 6)).unwrap()), Some(6));

    let moved = set(&mut other, &key, Start::Earliest, false).unwrap();
    assert_eq!((offset(&moved), moved.taken), (Some(0), generation));
    assert_eq!(commit(at(&log, 8)), refused(ErrorCode::CURSOR_MOVED));
    let past = Position { offset: Offset(12), ..here };
    assert_eq!(
        set(&mut other, &key, Start::Resume(past), false),
        Err((ErrorCode::OFFSET_BEYOND_END, Some(10)))
    );
    assert!(take(&mut other, &key, Start::Latest, false, 0).is_ok());
    assert_eq!(commit(at(&log, 8)), refused(ErrorCode::CURSOR_TAKEN));
}

/// NC-CUR-004
#[test]
fn a_cursor_stays_when_its_channel_is_deleted_and_says_that_it_is_of_another_log() {
    let house = House::new();
    let log = house.log("a");
    house.fill(&log, 10, false);
    let mut link = Link::new(&house);
    let key = key("a", "c");
    take(&mut link, &key, Start::Offset(Offset(4)), true, 0).unwrap();
    house.node.delete(&name("a")).unwrap();
    let log = house.log("a");
    house.fill(&log, 10, false);
    let taken = take(&mut link, &key, Start::Earliest, true, 0).unwrap();
    assert_eq!(offset(&taken), Some(4));
    let reading = link.read("a", Start::Resume(taken.position.only().unwrap()));
    assert_eq!(link.reader(reading).error.as_ref().unwrap().code, ErrorCode::OTHER_LOG);
    let generation = taken.generation;
    assert_eq!(commit(&mut link, &key, generation, at(&log, 5)), refused(ErrorCode::OTHER_LOG));
    set(&mut link, &key, Start::Earliest, false).unwrap();
    let generation = take(&mut link, &key, Start::Earliest, false, generation).unwrap().generation;
    assert!(commit(&mut link, &key, generation, at(&log, 5)).is_ok());
}

/// NC-CUR-009
#[test]
fn who_does_not_receive_takes_no_cursor() {
    let house = House::new();
    let log = house.log("a");
    house.fill(&log, 10, false);
    let config = ConnectionConfig { roles: Roles::PUBLISHES, ..peer_config(Side::Dialler) };
    let mut link = Link::of(&house, config);
    let key = key("a", "c");
    assert_eq!(take(&mut link, &key, Start::Latest, true, 0), refused(ErrorCode::DENIED));
    assert_eq!(commit(&mut link, &key, 1, at(&log, 1)), refused(ErrorCode::DENIED));
    let mut link = Link::of(&house, ConnectionConfig { roles: Roles(0), ..peer_config(Side::Dialler) });
    assert!(set(&mut link, &key, Start::Latest, true).is_ok());
    assert_eq!(page(&mut link, Cursors::default()).cursors.len(), 1);
    assert_eq!(delete(&mut link, &key), Ok(()));
}

/// NC-CUR-008, NC-CUR-033
#[test]
fn cursors_come_in_pages_and_there_are_only_so_many() {
    let house = House::new();
    let mut link = Link::new(&house);
    let count = MAX_CURSORS * 2 + 5;
    for cursor in 0..count {
        take_early(&mut link, &key("a", &format!("{cursor:03}"))).unwrap();
    }
    take_early(&mut link, &key("b", "x")).unwrap();
    let (mut asked, mut sizes, mut found) = (Cursors::default(), Vec::new(), Vec::new());
    loop {
        let page = page(&mut link, asked.clone());
        sizes.push(page.cursors.len());
        found.extend(page.cursors.into_iter().map(|info| info.key));
        if !page.more {
            break;
        }
        asked.after = found.last().cloned();
    }
    assert_eq!(sizes, [MAX_CURSORS, MAX_CURSORS, 6]);
    let mut all: Vec<_> = (0..count).map(|cursor| key("a", &format!("{cursor:03}"))).collect();
    let last_of_a = all.last().cloned();
    all.push(key("b", "x"));
    assert_eq!(found, all);
    let of_a = page(&mut link, Cursors { channel: Some(name("a")), after: last_of_a });
    assert_eq!(of_a, CursorsReply::default());

    for cursor in count..MAX_CHANNEL_CURSORS {
        // Not over the wire: so many requests in no time are too many.
        let key = key("a", &format!("{cursor:04}"));
        house.store.cursors().take(&key, None, Some(&Positions::default()), house.node.clock()).unwrap();
    }
    let one_more = take_early(&mut link, &key("a", "more"));
    assert_eq!(one_more, refused(ErrorCode::TOO_MANY_CURSORS));
    assert!(take_early(&mut link, &key("b", "more")).is_ok());
}

/// NC-CUR-006: nothing is told before the disk has it.
#[test]
fn what_is_told_is_there_after_the_power_is_cut_in_every_mode() {
    for durability in [netchan_proto::Durability::Sync, netchan_proto::Durability::Os] {
        let house = House::new();
        let log = house.log_with("a", house::options(durability));
        house.fill(&log, 10, false);
        let mut link = Link::new(&house);
        let key = key("a", "c");
        let taken = take(&mut link, &key, Start::Earliest, true, 0).unwrap();
        commit(&mut link, &key, taken.generation, at(&log, 6)).unwrap();
        let disk = house.disk.fork(1);
        disk.crash();
        let after = House::on(disk, None, |_| ());
        let info = after.store.cursors().get(&key).unwrap();
        assert_eq!((offset(&info), info.generation), (Some(6), taken.generation), "{durability}");
    }
}
