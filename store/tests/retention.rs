//! What goes, what stays, and what becomes of appends where there is no room: by age, bytes, records and free space, under a
//! floor and a ceiling, whatever the clock does.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use netchan_proto::{AsRecord, Durability, Offset, Start, Timestamp};
use netchan_store::disk::{Fault, SimDisk};
use netchan_store::{
    AppendError, Log, LogError, LogOptions, Mark, Retention, Store, StoreOptions, TailRead, WhenFull,
};
use rig::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2026-01-01.
const NOW: i64 = 1_767_225_600 * SECOND;
/// 2100-01-01.
const FAR: i64 = 4_102_444_800 * SECOND;

struct Scene {
    disk: SimDisk,
    clock: HandClock,
    store: Store,
    log: Log,
}

fn with(retention: Retention, change: impl FnOnce(StoreOptions) -> StoreOptions) -> Scene {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    clock.set(NOW);
    let store = Store::open(Arc::new(disk.clone()), change(options(&clock))).unwrap();
    let kept = LogOptions { retention, ..small(Durability::Sync) };
    let log = store.create_or_open(&name("a"), &kept).unwrap();
    Scene { disk, clock, store, log }
}

impl Scene {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.0.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Does what is due by the log's own clock.
    fn run(&self) {
        self.store.run_commits(self.now());
    }

    /// Appends a record of about a kilobyte: four fit a segment of 8 KiB, whose head takes half.
    fn one(&self) -> Result<Offset, AppendError> {
        let offset = self.log.append(&[7; 900][..].as_record())?;
        self.run();
        Ok(offset)
    }

    fn many(&self, count: u64) {
        for _ in 0..count {
            self.one().unwrap();
        }
    }

    fn records(&self) -> u64 {
        self.log.visible().0 - self.log.first().0
    }

    fn bytes(&self) -> u64 {
        self.log.info().bytes
    }

    /// Lets time go by, as a clock tells it: a minute a step.
    fn wait(&self, minutes: u64) {
        for _ in 0..minutes {
            self.clock.set(self.now().0 + 60 * SECOND);
            self.run();
        }
    }
}

// NC-DSK-080, NC-DSK-082, NC-DSK-083
#[test]
fn any_combination_of_limits_holds_as_far_as_the_floor_lets_it_and_the_active_segment_stays() {
    let choices = |some: u64| [None, Some(some)];
    for max_records in choices(10) {
        for max_bytes in choices(20_000) {
            for keep_records in choices(16) {
                for keep_bytes in choices(30_000) {
                    let retention = Retention {
                        max_records,
                        max_bytes,
                        keep_records,
                        keep_bytes,
                        ..Retention::default()
                    };
                    let scene = with(retention, |options| options);
                    for n in 1..=60 {
                        scene.many(1);
                        let (records, bytes, segments) =
                            (scene.records(), scene.bytes(), scene.log.info().segments);
                        let floor = n.min(keep_records.unwrap_or(0));
                        assert!(records >= floor, "{records} records with {retention:?}");
                        assert!(segments >= 1);
                        let trims = max_records.is_some() || max_bytes.is_some();
                        assert!(trims || records == n, "{records} of {n} with {retention:?}");
                        // A segment has four records or less; it goes when the next begins.
                        let over_records = max_records.is_some_and(|most| records > most + 4);
                        let over_bytes = max_bytes.is_some_and(|most| bytes > most + (8 << 10));
                        let held = keep_records.is_some_and(|least| records < least + 8)
                            || keep_bytes.is_some_and(|least| bytes < least + (16 << 10));
                        assert!(held || !(over_records || over_bytes), "{records} {bytes} {retention:?}");
                    }
                    let first = scene.log.first();
                    let (records, holes) = read_from(&scene.log, first, 1 << 20);
                    assert!(holes.is_empty() && records.len() as u64 == scene.records());
                }
            }
        }
    }
}

// NC-DSK-082
#[test]
fn the_oldest_go_while_the_volume_has_less_room_than_it_shall_have_whoever_took_it() {
    let scene = with(Retention { min_free: Some(100_000), ..Retention::default() }, |options| options);
    scene.disk.set_capacity(1 << 20);
    scene.many(40);
    assert_eq!(scene.log.first(), Offset(0));
    let used = scene.disk.used();
    // Somebody else takes room, down to what shall be free and further.
    scene.disk.set_capacity(used + 90_000);
    scene.wait(1);
    let first = scene.log.first();
    assert!(first > Offset(0) && scene.disk.used() <= used - 10_000, "{first}");
    assert!(scene.disk.used() > used - 30_000, "no more went than was lacking");
    scene.disk.set_capacity(10);
    scene.wait(1);
    assert_eq!(scene.log.info().segments, 1);
    assert!(scene.records() > 0, "the active segment stays");
}

// NC-DSK-084
#[test]
fn whoever_wanted_what_went_is_told_from_where_to_where() {
    let scene = with(Retention { max_records: Some(8), ..Retention::default() }, |options| options);
    scene.many(40);
    let first = scene.log.first();
    assert!(first > Offset(0));
    match scene.log.read(Offset(0), 1 << 20) {
        Err(LogError::Trimmed { from, to }) => assert_eq!((from, to), (Offset(0), first)),
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.log.read_tail(Offset(0)), TailRead::Gap { to: first });
    let resolved = scene.log.resolve(&Start::Offset(Offset(3))).unwrap();
    assert_eq!((resolved.start, resolved.gap_from), (first, Some(Offset(3))));
}

// NC-DSK-085
#[test]
fn a_clock_that_was_ahead_and_came_back_freezes_no_retention() {
    let max_age = Some(Duration::from_secs(3600));
    let scene = with(Retention { max_age, ..Retention::default() }, |options| options);
    scene.many(20);
    scene.clock.set(FAR);
    scene.many(20); // their times are of the year 2100, and so are all after them
    let ahead = scene.log.visible();
    scene.clock.set(NOW + 60 * SECOND);
    scene.many(1);
    scene.wait(100);
    assert!(
        scene.log.first() >= ahead,
        "what was written by the clock that was ahead is {:?}",
        scene.log.info()
    );
    // It goes on so, and keeps what is young.
    let kept = scene.log.visible();
    scene.many(20);
    scene.wait(20);
    assert!(scene.log.first() <= kept && scene.records() >= 20);
    scene.wait(100);
    assert!(scene.log.first() > kept);
    // Over a restart, too.
    let again = {
        scene.store.close();
        let store = Store::open(Arc::new(scene.disk.clone()), options(&scene.clock)).unwrap();
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        Scene { disk: scene.disk.clone(), clock: scene.clock.clone(), store, log }
    };
    let kept = again.log.visible();
    again.many(20);
    again.wait(120);
    assert!(again.log.first() > kept);
}

// NC-DSK-085
#[test]
fn a_clock_that_went_back_to_1970_freezes_no_retention_and_takes_nothing_young() {
    let max_age = Some(Duration::from_secs(3600));
    let scene = with(Retention { max_age, ..Retention::default() }, |options| options);
    scene.many(20);
    scene.clock.set(0);
    scene.many(1);
    scene.wait(20);
    assert_eq!(scene.log.first(), Offset(0), "all of it is younger than an hour");
    scene.wait(120);
    assert!(scene.log.first() >= Offset(16), "{:?}", scene.log.info());
    // And when it has come forward again, what was written meanwhile is young.
    scene.many(8);
    let young = scene.log.visible();
    scene.clock.set(NOW + DAY);
    scene.run();
    scene.many(8);
    scene.wait(20);
    assert!(scene.log.first() <= young.plus(8));
    scene.wait(120);
    assert!(scene.log.first() >= young);
}

// NC-DSK-085
#[test]
fn a_clock_that_went_back_delays_no_sync_of_an_interval() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    clock.set(FAR);
    let store = Store::open(Arc::new(disk), options(&clock)).unwrap();
    let kept = LogOptions { interval: Duration::from_secs(5), ..small(Durability::Interval) };
    let log = store.create_or_open(&name("a"), &kept).unwrap();
    append(&log, "the epoch's first is synced at once");
    store.run_commits(Timestamp(FAR));
    append(&log, "this one waits");
    store.run_commits(Timestamp(FAR));
    assert_eq!((log.durable(), log.written()), (Offset(1), Offset(2)));
    for second in 0..=6 {
        store.run_commits(Timestamp(NOW + second * SECOND));
    }
    assert_eq!(log.durable(), Offset(2));
}

fn full(when_full: WhenFull, keep_records: Option<u64>) -> Scene {
    let retention = Retention { when_full, keep_records, ..Retention::default() };
    let scene = with(retention, |options| StoreOptions { min_free_percent: 5, ..options });
    scene.disk.set_capacity(4 << 20);
    scene.many(40);
    scene.disk.set_capacity(scene.disk.used() + 100_000);
    scene
}

/// Appends until it is refused, at most `most` records.
fn until_refused(scene: &Scene, most: u64) -> Option<AppendError> {
    (0..most).find_map(|_| scene.one().err())
}

// NC-DSK-086
#[test]
fn a_full_volume_refuses_where_it_shall_fail_and_takes_nothing_away() {
    let scene = full(WhenFull::Fail, None);
    let refused = until_refused(&scene, 1000).unwrap();
    assert!(matches!(refused, AppendError::NoSpace { min_free_percent: 5 }), "{refused}");
    assert!(scene.log.shortage().is_some());
    assert_eq!(scene.log.first(), Offset(0));
    scene.disk.set_capacity(4 << 20);
    scene.many(1);
    assert_eq!(scene.log.shortage(), None);
}

// NC-DSK-086
#[test]
fn a_full_volume_holds_appends_back_where_it_shall_block_until_there_is_room() {
    let scene = full(WhenFull::Block, None);
    let refused = until_refused(&scene, 1000).unwrap();
    assert!(matches!(refused, AppendError::Full), "{refused}");
    let end = scene.log.visible();
    assert!(with_cx(|cx| scene.log.poll_capacity(cx)).is_pending());
    for _ in 0..5 {
        scene.wait(1);
        assert!(matches!(scene.one(), Err(AppendError::Full)));
        assert!(with_cx(|cx| scene.log.poll_capacity(cx)).is_pending());
    }
    assert_eq!((scene.log.first(), scene.log.visible()), (Offset(0), end));
    assert!(scene.log.shortage().is_some(), "and it is told");
    scene.disk.set_capacity(4 << 20);
    scene.wait(1);
    assert_eq!(with_cx(|cx| scene.log.poll_capacity(cx)), Poll::Ready(()));
    scene.many(1);
}

/// The same where the volume has no byte more, and no share is to stay free.
// NC-DSK-086
#[test]
fn a_volume_without_a_byte_holds_appends_back_or_takes_the_oldest_too() {
    for when_full in [WhenFull::Block, WhenFull::TrimOldest] {
        let scene = with(Retention { when_full, ..Retention::default() }, |options| options);
        scene.many(40);
        scene.disk.set_capacity(scene.disk.used());
        let refused = until_refused(&scene, 200);
        if when_full == WhenFull::TrimOldest {
            assert!(refused.is_none(), "{refused:?}");
            assert!(scene.log.first() > Offset(100) && scene.log.visible() == Offset(240));
            continue;
        }
        assert!(matches!(refused, Some(AppendError::Full)), "{refused:?}");
        assert_eq!(scene.log.first(), Offset(0));
        scene.disk.set_capacity(4 << 20);
        scene.wait(1);
        let queued = scene.log.queued();
        assert!(
            with_cx(|cx| scene.log.poll_reached(Mark::Durable, queued, cx)).is_ready(),
            "nothing is lost"
        );
        scene.many(1);
    }
}

// NC-DSK-080
#[test]
fn at_its_limit_nothing_goes_and_beyond_it_the_oldest_segment_does() {
    for by_records in [false, true] {
        let scene = with(Retention::default(), |options| options);
        scene.many(20);
        scene.wait(1);
        let is = if by_records { scene.records() } else { scene.bytes() };
        let limit = |most: u64| match by_records {
            true => Retention { max_records: Some(most), ..Retention::default() },
            false => Retention { max_bytes: Some(most), ..Retention::default() },
        };
        scene.log.set_retention(limit(is)).unwrap();
        assert_eq!(scene.log.first(), Offset(0));
        scene.log.set_retention(limit(is - 1)).unwrap();
        assert_eq!(scene.log.first(), Offset(4));
    }
}

// NC-DSK-086
#[test]
fn a_full_volume_on_which_there_is_no_oldest_to_go_stalls_the_log_and_nothing_else() {
    let retention = Retention { when_full: WhenFull::TrimOldest, ..Retention::default() };
    let scene = with(retention, |options| options);
    scene.many(1);
    scene.disk.set_capacity(scene.disk.used());
    let refused = until_refused(&scene, 200);
    assert!(matches!(refused, Some(AppendError::Stalled { .. })), "{refused:?}");
    scene.disk.set_capacity(4 << 20);
    scene.wait(1);
    scene.many(10);
}

/// Room is made for what lacks room, and for nothing else.
// NC-DSK-086
#[test]
fn where_the_oldest_go_for_room_none_goes_because_a_write_failed_or_files_are_short() {
    let retention = Retention { when_full: WhenFull::TrimOldest, ..Retention::default() };
    for fault in [Fault::Io, Fault::NoSpace] {
        let scene = with(retention, |options| options);
        scene.many(20);
        // There is room that was reserved: the write is the next operation.
        scene.disk.fail_at(1, fault);
        scene.log.append(&"x".as_record()).unwrap();
        scene.run();
        assert!(!scene.disk.is_to_fail() && scene.log.poisoned().is_some(), "{fault:?}");
        assert_eq!(scene.log.first(), Offset(0), "{fault:?}");
    }
    let scene = with(retention, |options| StoreOptions { idle_after: Duration::from_secs(1), ..options });
    scene.many(20);
    scene.wait(3);
    scene.disk.set_max_open_files(0);
    scene.log.append(&"x".as_record()).unwrap();
    scene.wait(3);
    assert_eq!((scene.log.poisoned(), scene.log.first(), scene.log.written()), (None, Offset(0), Offset(20)));
    scene.disk.set_max_open_files(100);
    scene.wait(1);
    assert_eq!((scene.log.first(), scene.log.written()), (Offset(0), Offset(21)));
}

#[test]
fn a_segment_that_cannot_be_begun_for_want_of_room_is_begun_later_and_any_other_failure_is_one() {
    let retention = Retention { max_age: Some(Duration::from_secs(3600)), ..Retention::default() };
    let begun = |operation: u64, fault| {
        let scene = with(retention, |options| options);
        scene.many(2);
        scene.clock.set(scene.now().0 + 1900 * SECOND);
        scene.disk.fail_at(operation, fault);
        scene.run();
        let was_hit = !scene.disk.is_to_fail();
        (was_hit, scene)
    };
    let (mut short, mut failed) = (0, 0);
    for operation in 1.. {
        let (was_hit, scene) = begun(operation, Fault::Io);
        if !was_hit {
            break;
        }
        assert!(scene.log.poisoned().is_some(), "operation {operation}");
        failed += 1;
        let (_, scene) = begun(operation, Fault::NoSpace);
        if scene.log.poisoned().is_none() {
            scene.wait(2);
            assert_eq!(
                (scene.log.info().segments, scene.log.durable()),
                (2, Offset(2)),
                "operation {operation}"
            );
            short += 1;
        }
    }
    assert!(failed >= 4 && short >= 2, "{failed} {short}");
}

/// A segment that was begun for its age and failed may be found again after a power cut: nothing may stand at its place elsewhere.
#[test]
fn a_segment_that_could_not_be_begun_loses_nothing_that_comes_after_whatever_a_power_cut_brings_back() {
    let retention = Retention { max_age: Some(Duration::from_secs(3600)), ..Retention::default() };
    for operation in 1..8 {
        for seed in 0..30 {
            let scene = with(retention, |options| options);
            scene.many(2);
            scene.clock.set(scene.now().0 + 1900 * SECOND);
            scene.disk.fail_at(operation, Fault::NoSpace);
            scene.run();
            let mut sent = 2;
            for _ in 0..2 {
                if scene.log.append(&"small".as_record()).is_ok() {
                    sent += 1;
                }
                scene.run();
            }
            let durable = scene.log.durable();
            assert!(durable.0 <= sent);
            // What is short comes back; what has failed has.
            assert!(operation > 1 || scene.log.poisoned().is_none(), "cutting what was reserved");
            let disk = scene.disk.fork(seed);
            disk.crash();
            let store = open(&disk);
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            let (records, holes) = read_from(&log, Offset(0), 1 << 20);
            assert_eq!(holes, [], "operation {operation}, seed {seed}");
            assert!(
                records.len() as u64 >= durable.0,
                "operation {operation}, seed {seed}: {}",
                records.len()
            );
        }
    }
}

// NC-DSK-086
#[test]
fn a_log_comes_close_to_its_ceiling_and_lets_no_more_go_there_than_it_must() {
    let ceiling = Some(80_000);
    let scene = with(Retention { ceiling, ..Retention::default() }, |options| options);
    assert!(matches!(until_refused(&scene, 200), Some(AppendError::AtCeiling { bytes: 80_000 })));
    assert!((80_000 - 6_000..=80_000).contains(&scene.bytes()), "{}", scene.bytes());
    let when_full = WhenFull::TrimOldest;
    let scene = with(Retention { ceiling, when_full, ..Retention::default() }, |options| options);
    for n in 0..200 {
        scene.many(1);
        assert!(n < 100 || (60_000..=80_000).contains(&scene.bytes()), "{}", scene.bytes());
    }
}

/// Of a log with large segments, in which much is reserved at once where there is room.
#[test]
fn a_log_with_large_segments_comes_as_close_to_its_ceiling_and_uses_the_last_page_too() {
    let scene =
        with(Retention::default(), |options| StoreOptions { idle_after: Duration::from_secs(1), ..options });
    let retention = Retention { ceiling: Some(300_000), ..Retention::default() };
    let large = LogOptions { segment_bytes: 1 << 20, retention, ..small(Durability::Sync) };
    let log = scene.store.create_or_open(&name("large"), &large).unwrap();
    let refused = (0..1000).find_map(|_| {
        let refused = log.append(&[7; 900][..].as_record()).err();
        scene.run();
        refused
    });
    assert!(matches!(refused, Some(AppendError::AtCeiling { .. })), "{refused:?}");
    assert!((290_000..=300_000).contains(&log.info().bytes), "{}", log.info().bytes);

    let large = LogOptions { segment_bytes: 1 << 20, ..small(Durability::Sync) };
    let log = scene.store.create_or_open(&name("last-page"), &large).unwrap();
    let append = || log.append(&[7; 900][..].as_record()).map(|_| scene.run());
    append().unwrap();
    scene.wait(3);
    scene.disk.set_capacity(scene.disk.used() + 4096);
    append().unwrap();
    assert_eq!((log.poisoned(), log.durable()), (None, Offset(2)));
}

/// There is room for the seal, and not for what was queued before it.
#[test]
fn a_seal_does_not_pass_what_is_queued() {
    let scene = with(Retention::default(), |options| options);
    let large = LogOptions { segment_bytes: 1 << 20, ..small(Durability::Sync) };
    let log = scene.store.create_or_open(&name("large"), &large).unwrap();
    log.append(&b"x"[..].as_record()).unwrap();
    scene.run();
    scene.disk.set_capacity(scene.disk.used() + 10_000);
    log.append(&vec![7; 500_000].as_record()).unwrap();
    scene.run();
    let sealed = log.seal();
    assert!(matches!(sealed, Err(LogError::Stalled { .. })), "{sealed:?}");
    assert_eq!((log.sealed_at(), log.poisoned()), (None, None));
    scene.disk.set_capacity(4 << 20);
    scene.wait(1);
    assert_eq!(log.seal().unwrap(), Offset(2));
    assert_eq!(texts_len(&log), 2);
}

/// What is reserved is a wish: where there is room for the record alone, it is taken.
#[test]
fn the_last_page_of_a_volume_is_used_and_a_file_system_that_cannot_reserve_is_written_all_the_same() {
    for fault in [None, Some(Fault::Io)] {
        let change = |options| StoreOptions { idle_after: Duration::from_secs(1), ..options };
        let scene = with(Retention::default(), change);
        scene.many(1);
        scene.wait(3);
        match fault {
            None => scene.disk.set_capacity(scene.disk.used() + 4096),
            Some(fault) => scene.disk.fail_at(1, fault),
        }
        scene.many(2);
        assert!(!scene.disk.is_to_fail());
        assert_eq!((scene.log.poisoned(), scene.log.durable()), (None, Offset(3)), "{fault:?}");
    }
}

#[test]
fn a_log_without_room_for_its_seal_waits_for_it_and_is_not_sealed_before_what_is_queued_is_written() {
    let change = |options| StoreOptions { idle_after: Duration::from_secs(1), ..options };
    for queued in [0, 3] {
        let scene = with(Retention::default(), change);
        scene.many(1);
        scene.wait(3);
        scene.disk.set_capacity(scene.disk.used());
        for _ in 0..queued {
            scene.log.append(&"x".as_record()).unwrap();
        }
        if queued > 0 {
            scene.run();
        }
        let sealed = scene.log.seal();
        assert!(matches!(sealed, Err(LogError::Stalled { .. })), "{sealed:?}");
        assert_eq!((scene.log.poisoned(), scene.log.sealed_at()), (None, None));
        scene.disk.set_capacity(4 << 20);
        scene.wait(1);
        assert_eq!(scene.log.seal().unwrap(), Offset(1 + queued));
        assert!(scene.disk.used() < 100_000, "{}", scene.disk.used());
        assert_eq!(texts_len(&scene.log), 1 + queued);
    }
}

fn texts_len(log: &Log) -> u64 {
    let (records, holes) = read_from(log, log.first(), 1 << 20);
    assert_eq!(holes, []);
    records.len() as u64
}

/// More than one group is queued when there is room again.
#[test]
fn all_that_was_queued_in_a_shortage_is_written_once_there_is_room() {
    let scene = with(Retention::default(), |options| StoreOptions { max_queued: 64 << 20, ..options });
    scene.many(1);
    scene.disk.set_capacity(scene.disk.used());
    for _ in 0..12 {
        scene.log.append(&vec![0; 1 << 20].as_record()).unwrap();
    }
    scene.run();
    assert_eq!(scene.log.written(), Offset(1));
    scene.disk.set_capacity(1 << 30);
    scene.clock.set(scene.now().0 + 2 * SECOND);
    scene.run();
    assert_eq!((scene.log.durable(), scene.log.queued()), (Offset(13), Offset(13)));
}

/// A log that fills its segments slowly begins one after half the time that records may stay.
// NC-DSK-080
#[test]
fn a_segment_is_closed_at_half_the_age_and_what_was_in_it_goes_at_the_whole() {
    let hours = |hours: u64| Some(Duration::from_secs(3600 * hours));
    let scene = with(Retention { max_age: hours(1), ..Retention::default() }, |options| options);
    scene.many(1);
    scene.wait(25);
    assert_eq!((scene.log.info().segments, scene.records()), (1, 1));
    scene.wait(8);
    assert_eq!((scene.log.info().segments, scene.records()), (2, 1));
    scene.wait(40);
    assert_eq!((scene.log.info().segments, scene.records()), (1, 0));
    // A short time is looked at more often.
    let age = Some(Duration::from_secs(8));
    let scene = with(Retention { max_age: age, ..Retention::default() }, |options| options);
    scene.many(1);
    for _ in 0..15 {
        scene.clock.set(scene.now().0 + SECOND);
        scene.run();
    }
    assert_eq!(scene.records(), 0);
    // One that was begun by a clock that was ahead is closed by the right one.
    let scene = with(Retention { max_age: hours(24), ..Retention::default() }, |options| options);
    scene.clock.set(FAR);
    scene.many(5);
    assert_eq!(scene.log.info().segments, 2);
    scene.clock.set(NOW);
    scene.wait(3);
    assert_eq!(scene.log.info().segments, 3);
}

// NC-DSK-083, NC-DSK-086
#[test]
fn a_full_volume_takes_the_oldest_where_it_shall_down_to_the_floor() {
    let scene = full(WhenFull::TrimOldest, None);
    scene.many(500);
    assert!(scene.log.first() > Offset(400), "{:?}", scene.log.info());
    // With room for some 85 records: nothing of a hundred may go.
    let scene = full(WhenFull::TrimOldest, Some(100));
    let refused = until_refused(&scene, 1000).unwrap();
    assert!(matches!(refused, AppendError::NoSpace { .. }), "{refused}");
    assert_eq!(scene.log.first(), Offset(0), "{:?}", scene.log.info());
    let scene = full(WhenFull::TrimOldest, Some(60));
    scene.many(500);
    assert!(scene.records() >= 60 && scene.log.first() > Offset(400), "{:?}", scene.log.info());
}

// NC-DSK-086
#[test]
fn at_its_ceiling_a_log_refuses_waits_or_lets_its_oldest_go() {
    for when_full in [WhenFull::Fail, WhenFull::Block, WhenFull::TrimOldest] {
        let ceiling = Some(80_000);
        let scene = with(Retention { ceiling, when_full, ..Retention::default() }, |options| options);
        let refused = until_refused(&scene, 300);
        assert!(scene.bytes() <= 80_000 + 2000, "{when_full:?}: {}", scene.bytes());
        match (when_full, refused) {
            (WhenFull::Fail, Some(AppendError::AtCeiling { bytes: 80_000 }))
            | (WhenFull::Block, Some(AppendError::Full)) => {
                assert!(scene.log.shortage().is_some());
                assert_eq!(scene.log.first(), Offset(0));
                // It is raised.
                let retention = Retention { ceiling: Some(200_000), when_full, ..Retention::default() };
                scene.log.set_retention(retention).unwrap();
                assert!(with_cx(|cx| scene.log.poll_capacity(cx)).is_ready());
                scene.many(10);
                assert_eq!(scene.log.shortage(), None);
            }
            (WhenFull::TrimOldest, None) => {
                assert_eq!(scene.log.visible(), Offset(300));
                assert!(scene.log.first() > Offset(200));
            }
            (_, refused) => panic!("{when_full:?}: {refused:?}"),
        }
    }
}

// NC-DSK-014
#[test]
fn all_of_it_is_kept_over_a_restart_and_a_failure() {
    let retention = Retention {
        max_records: Some(12),
        keep_bytes: Some(1),
        ceiling: Some(1 << 30),
        hold_cursors: Some(1 << 29),
        when_full: WhenFull::Block,
        ..Retention::default()
    };
    let scene = with(Retention::default(), |options| options);
    scene.log.set_retention(retention).unwrap();
    scene.many(4);
    // A log that failed is opened with what was set last.
    scene.disk.fail_sync(1);
    let _ = scene.one();
    assert!(scene.log.poisoned().is_some());
    let again = scene.store.open_existing(&name("a")).unwrap().unwrap();
    let scene = Scene { log: again, ..scene };
    scene.many(60);
    assert!(scene.records() <= 16, "{}", scene.records());
    scene.store.close();
    let store = Store::open(Arc::new(scene.disk.clone()), options(&scene.clock)).unwrap();
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    let scene = Scene { store, log, ..scene };
    scene.many(60);
    assert!(scene.records() <= 16);
    let kept = netchan_store::kept(&scene.disk, &name("a")).unwrap().unwrap();
    assert_eq!((kept.options.retention, kept.log), (retention, scene.log.id()));
    assert_eq!(netchan_store::kept(&scene.disk, &name("b")).unwrap(), None);
}
