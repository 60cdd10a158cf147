//! Cursors: who moves one, where to, and what a power cut leaves of that.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::limits::{MAX_CHANNEL_CURSORS, MAX_NODE_CURSORS};
use netchan_proto::wire::CursorKey;
use netchan_proto::{CursorName, Durability, Epoch, LogId, Offset, Position, Positions, Start, Timestamp};
use netchan_store::disk::SimDisk;
use netchan_store::{CursorError, Log, LogError, Store};
use rig::*;

fn key(channel: &str, cursor: &str) -> CursorKey {
    CursorKey { channel: name(channel), cursor: CursorName::new(cursor).unwrap() }
}

fn log_of(store: &Store, records: usize) -> Log {
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for _ in 0..records {
        append(&log, "x");
    }
    log.sync().unwrap();
    log
}

fn at(log: &Log, offset: u64) -> Positions {
    let offset = Offset(offset);
    Position { log: log.id(), epoch: log.epoch_before(offset), offset }.into()
}

fn stands(store: &Store, key: &CursorKey) -> Option<u64> {
    Some(store.cursors().get(key)?.position.only()?.offset.0)
}

const NOW: Timestamp = Timestamp(1);

/// NC-CUR-005, NC-CUR-011, NC-CUR-012, NC-CUR-015: the later taker wins, and nobody's generation comes again.
#[test]
fn only_who_took_a_cursor_last_moves_it() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let (log, cursors, key) = (log_of(&store, 10), store.cursors(), key("a", "c"));
    let first = cursors.take(&key, None, Some(&at(&log, 2)), NOW).unwrap();
    assert_eq!((first.taken, stands(&store, &key)), (first.generation, Some(2)));
    cursors.commit(&log, &key, first.generation, &at(&log, 4), NOW).unwrap();
    let second = cursors.take(&key, None, None, NOW).unwrap();
    assert!(second.generation > first.generation && second.position == at(&log, 4));
    let late = cursors.commit(&log, &key, first.generation, &at(&log, 5), NOW);
    assert!(matches!(late, Err(CursorError::Taken(_))), "{late:?}");
    let again = cursors.take(&key, Some(first.generation), Some(&at(&log, 0)), NOW);
    assert!(matches!(again, Err(CursorError::Taken(_))), "{again:?}");
    cursors.commit(&log, &key, second.generation, &at(&log, 6), NOW).unwrap();

    // Set: who has it is told, and may take it again, unless another did meanwhile.
    let set = cursors.set(&key, &at(&log, 1), false, NOW).unwrap();
    assert_eq!((set.taken, stands(&store, &key)), (second.generation, Some(1)));
    let moved = cursors.commit(&log, &key, second.generation, &at(&log, 7), NOW);
    assert!(matches!(moved, Err(CursorError::Moved(_))), "{moved:?}");
    let third = cursors.take(&key, Some(second.generation), None, NOW).unwrap();
    cursors.commit(&log, &key, third.generation, &at(&log, 2), NOW).unwrap();

    // Made again, or found again after a restart, it gives nobody a generation that somebody had.
    cursors.delete(&key).unwrap();
    store.close();
    let store = open(&disk);
    let (log, cursors) = (log_of(&store, 0), store.cursors());
    assert!(matches!(cursors.take(&key, None, None, NOW), Err(CursorError::NoCursor(_))));
    // Who was given it is told that it is gone, and does not make it again where it began.
    let gone = cursors.take(&key, Some(third.generation), Some(&at(&log, 0)), NOW);
    assert!(matches!(gone, Err(CursorError::NoCursor(_))), "{gone:?}");
    let unmade = cursors.set(&key, &at(&log, 0), false, NOW);
    assert!(matches!(unmade, Err(CursorError::NoCursor(_))), "{unmade:?}");
    assert_eq!(stands(&store, &key), None);
    let fourth = cursors.take(&key, None, Some(&at(&log, 0)), NOW).unwrap();
    assert!(fourth.generation > third.generation);
    let late = cursors.commit(&log, &key, third.generation, &at(&log, 5), NOW);
    assert!(matches!(late, Err(CursorError::Taken(_))), "{late:?}");
}

/// NC-CUR-014, NC-CUR-016, NC-CUR-017, NC-CUR-018, NC-CUR-021
#[test]
fn a_commit_stays_in_the_log_and_does_not_go_back_and_a_set_may() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let (log, cursors, key) = (log_of(&store, 10), store.cursors(), key("a", "c"));
    let generation = cursors.take(&key, None, Some(&at(&log, 0)), NOW).unwrap().generation;
    let commit = |position: Positions| cursors.commit(&log, &key, generation, &position, Timestamp(9));
    let moved = commit(at(&log, 5)).unwrap();
    assert_eq!(moved.moved, Timestamp(9));
    let operations = disk.operations();
    commit(at(&log, 5)).unwrap();
    assert_eq!(disk.operations(), operations, "where it stands already, nothing is written");

    assert!(matches!(commit(at(&log, 4)), Err(CursorError::Back { at: Offset(5) })));
    let beyond = |end| {
        move |result| match result {
            Err(CursorError::Log(LogError::BeyondEnd { end: Offset(at), .. })) => assert_eq!(at, end),
            other => panic!("{other:?}"),
        }
    };
    beyond(10)(commit(at(&log, 11)));
    let other = |position: Position| match commit(position.into()) {
        Err(CursorError::Log(LogError::OtherLog { .. })) => {}
        other => panic!("{other:?}"),
    };
    let here = at(&log, 7).only().unwrap();
    other(Position { log: LogId([9; 16]), ..here });
    other(Position { epoch: Epoch(99), ..here });
    let two = Positions::new([here, Position { log: LogId([9; 16]), ..here }]).unwrap();
    match commit(two) {
        Err(CursorError::Log(LogError::OtherLog { theirs, ours })) => {
            assert_eq!((theirs, ours), (LogId([9; 16]), log.id()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stands(&store, &key), Some(5), "what was refused has moved nothing");

    commit(at(&log, 10)).unwrap();
    cursors.set(&key, &cursors.place(&log, &Start::Last(7)).unwrap(), false, NOW).unwrap();
    assert_eq!(stands(&store, &key), Some(3));
    for (start, offset) in [(Start::Earliest, 0), (Start::Latest, 10), (Start::Offset(Offset(4)), 4)] {
        assert_eq!(cursors.place(&log, &start).unwrap(), at(&log, offset));
    }
    let past = Position { offset: Offset(12), ..here };
    for start in [Start::Offset(Offset(12)), Start::Resume(past)] {
        assert!(matches!(cursors.place(&log, &start), Err(LogError::BeyondEnd { .. })));
    }
}

/// NC-CUR-016: in a mode that syncs later, a power cut may take from the log what a cursor has passed.
#[test]
fn a_cursor_that_its_log_was_rolled_back_behind_counts_as_the_end_of_its_epoch() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    for _ in 0..4 {
        append(&log, "x");
    }
    log.sync().unwrap();
    for _ in 0..6 {
        append(&log, "lost");
    }
    while log.written() < Offset(10) {
        store.run_commits(NOW);
    }
    let (cursors, key) = (store.cursors(), key("a", "c"));
    let generation = cursors.take(&key, None, Some(&at(&log, 10)), NOW).unwrap().generation;
    // The power goes, and takes all that was not synced.
    let disk = (0..64)
        .map(|survivors| {
            let disk = disk.fork(survivors);
            disk.crash();
            disk
        })
        .find(|disk| {
            let store = open(disk);
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            let is_shorter = log.visible() < Offset(10);
            store.close();
            is_shorter
        })
        .expect("a cut that takes something");
    let store = open(&disk);
    let (log, cursors) = (store.open_existing(&name("a")).unwrap().unwrap(), store.cursors());
    let end = log.visible().0;
    assert_eq!(stands(&store, &key), Some(10));
    append(&log, "after");
    log.sync().unwrap();
    let back = cursors.commit(&log, &key, generation, &at(&log, end - 1), NOW);
    assert!(matches!(back, Err(CursorError::Back { at }) if at.0 == end), "{back:?}");
    cursors.commit(&log, &key, generation, &at(&log, end + 1), NOW).unwrap();
    assert_eq!(stands(&store, &key), Some(end + 1));
}

/// NC-CUR-004: a channel that is deleted and made again is another, and the cursor says so.
#[test]
fn a_cursor_outlives_its_channel_and_stands_in_the_log_that_is_gone() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let (log, cursors, key) = (log_of(&store, 10), store.cursors(), key("a", "c"));
    let generation = cursors.take(&key, None, Some(&at(&log, 5)), NOW).unwrap().generation;
    store.delete(&name("a")).unwrap();
    let old = at(&log, 5);
    let log = log_of(&store, 10);
    assert_eq!(cursors.take(&key, Some(generation), None, NOW).unwrap().position, old);
    let generation = cursors.get(&key).unwrap().generation;
    for position in [old, at(&log, 6)] {
        let commit = cursors.commit(&log, &key, generation, &position, NOW);
        assert!(matches!(commit, Err(CursorError::Log(LogError::OtherLog { .. }))), "{commit:?}");
    }
    cursors.set(&key, &at(&log, 0), false, NOW).unwrap();
    let generation = cursors.take(&key, Some(generation), None, NOW).unwrap().generation;
    cursors.commit(&log, &key, generation, &at(&log, 6), NOW).unwrap();
}

/// NC-CUR-033
#[test]
fn cursors_are_listed_by_channel_and_name_from_anywhere() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let cursors = store.cursors();
    let all = [("a", "x"), ("a", "y"), ("a/b", "x"), ("ab", "a"), ("b", "x")].map(|(a, b)| key(a, b));
    for key in all.iter().rev() {
        cursors.take(key, None, Some(&Positions::default()), NOW).unwrap();
    }
    let keys = |channel, after: Option<&CursorKey>, limit| {
        let channel: Option<&str> = channel;
        let channel = channel.map(name);
        cursors.list(channel.as_ref(), after, limit).into_iter().map(|info| info.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(None, None, 9), all);
    assert_eq!(keys(None, None, 2), all[..2]);
    assert_eq!(keys(None, Some(&all[1]), 2), all[2..4]);
    assert_eq!(keys(Some("a"), None, 9), all[..2]);
    assert_eq!(keys(Some("a"), Some(&all[0]), 9), all[1..2]);
    assert_eq!(keys(Some("ab"), Some(&all[0]), 9), all[3..4]);
    assert_eq!(keys(Some("a"), Some(&all[4]), 9), []);
    // One that cannot be read is left out; a page is no longer for it, and no shorter.
    store.state().put(b"cursor/a\0xx", b"of another version").unwrap();
    for limit in 0..=all.len() {
        assert_eq!(keys(None, None, limit), all[..limit]);
    }
}

/// NC-CUR-008
#[test]
fn a_channel_and_a_node_have_only_so_many_cursors() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let cursors = store.cursors();
    let make = |channel: usize, cursor: usize| {
        let key = key(&format!("c{channel:02}"), &format!("n{cursor}"));
        cursors.take(&key, None, Some(&Positions::default()), NOW).map(drop)
    };
    let channels = MAX_NODE_CURSORS / MAX_CHANNEL_CURSORS;
    make(0, 0).unwrap();
    // The others, as they stand in the state log, with one sync for all.
    let pairs =
        (0..channels).flat_map(|channel| (0..MAX_CHANNEL_CURSORS).map(move |cursor| (channel, cursor)));
    let keys: Vec<_> = pairs.map(|(channel, cursor)| format!("cursor/c{channel:02}\0n{cursor}")).collect();
    let value = store.state().get(keys[0].as_bytes()).unwrap();
    store.state().put_all(keys.iter().map(|key| (key.as_bytes(), Some(&value[..])))).unwrap();
    let limit = |result: Result<(), CursorError>| match result {
        Err(CursorError::TooMany { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(limit(make(0, MAX_CHANNEL_CURSORS)), "the channel");
    assert_eq!(limit(make(channels, 0)), "the node");
    make(0, 0).unwrap();
    cursors.delete(&key("c00", "n0")).unwrap();
    make(channels, 0).unwrap();
}

/// NC-CUR-006, NC-DSK-070: the power goes at each operation of a script of takes, commits, sets and removals, with many
/// survivor subsets: what was answered is there, in order, and no generation is given twice.
#[test]
fn whatever_the_power_cut_takes_a_cursor_is_where_its_last_answer_said() {
    /// What was answered, and what was asked and may have come about.
    #[derive(Clone, Default)]
    struct Told {
        stands: Option<u64>,
        asked: Option<Option<u64>>,
        generation: u64,
    }
    let key = key("a", "c");
    let play = |disk: &SimDisk, cut: u64, compacts: bool| -> Told {
        let mut told = Told::default();
        let _: Option<()> = (|| {
            let store = try_open(disk).ok()?;
            let log = log_of(&store, 40);
            let cursors = store.cursors();
            disk.cut_power_at(cut);
            for round in 0..3_u64 {
                told.asked = Some(Some(round));
                let start = at(&log, round);
                let taken = cursors.take(&key, None, Some(&start), NOW).ok()?;
                (told.stands, told.generation) = (Some(taken.position.only()?.offset.0), taken.generation);
                for offset in (round + 1)..(round + 8) {
                    told.asked = Some(Some(offset));
                    cursors.commit(&log, &key, told.generation, &at(&log, offset), NOW).ok()?;
                    told.stands = Some(offset);
                    if compacts {
                        // A good deal beside it, so that the state log begins a new segment.
                        store.state().put(b"beside", &vec![round as u8; 60_000]).ok()?;
                    }
                }
                told.asked = Some(Some(round + 2));
                let set = cursors.set(&key, &at(&log, round + 2), false, NOW).ok()?;
                (told.stands, told.generation) = (Some(round + 2), set.generation);
                if round < 2 {
                    told.asked = Some(None);
                    cursors.delete(&key).ok()?;
                    told.stands = None;
                }
            }
            Some(())
        })();
        told
    };
    for compacts in [false, true] {
        let mut cuts = 0;
        for cut in (1..).step_by(if compacts { 3 } else { 1 }) {
            let disk = SimDisk::new(5);
            let told = play(&disk, cut, compacts);
            for survivors in 0..8 {
                let disk = disk.fork(cut << 8 | survivors);
                disk.crash();
                let store = open(&disk);
                let found = stands(&store, &key);
                let may_be = found == told.stands || told.asked == Some(found);
                assert!(may_be, "cut {cut}.{survivors}: {found:?}, answered {:?}", told.stands);
                let next = store.cursors().take(&key, None, Some(&Positions::default()), NOW).unwrap();
                assert!(next.generation > told.generation, "cut {cut}.{survivors}");
                cuts += 1;
            }
            if disk.is_on() {
                break;
            }
        }
        assert!(cuts > 200, "only {cuts} cuts");
    }
}
