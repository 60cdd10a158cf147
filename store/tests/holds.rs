//! Retention leaves what cursors have not passed, up to a size; a cursor that moves, or goes, lets go.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::time::Duration;

use netchan_proto::wire::CursorKey;
use netchan_proto::{
    AsRecord, CursorName, Durability, Epoch, LogId, Offset, Position, Positions, Start, Timestamp,
};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Log, LogError, LogOptions, Retention, Store, WhenFull};
use rig::*;

const SECOND: i64 = 1_000_000_000;
/// 2026-01-01.
const NOW: i64 = 1_767_225_600 * SECOND;
const PLENTY: Option<u64> = Some(1 << 30);

struct Scene {
    disk: SimDisk,
    clock: HandClock,
    store: Store,
    log: Log,
}

fn key(cursor: &str) -> CursorKey {
    CursorKey { channel: name("a"), cursor: CursorName::new(cursor).unwrap() }
}

fn at(log: &Log, offset: u64) -> Positions {
    let offset = Offset(offset);
    Position { log: log.id(), epoch: log.epoch_before(offset), offset }.into()
}

impl Scene {
    fn new(retention: Retention) -> Scene {
        let (disk, clock) = (SimDisk::new(1), HandClock::default());
        clock.set(NOW);
        let store = Store::open(Arc::new(disk.clone()), options(&clock)).unwrap();
        let log = store.create_or_open(&name("a"), &kept(retention)).unwrap();
        Scene { disk, clock, store, log }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.0.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn run(&self) {
        self.store.run_commits(self.now());
    }

    /// Records of a kilobyte: four fill a segment.
    fn many(&self, count: u64) {
        for _ in 0..count {
            append(&self.log, &"x".repeat(900));
            self.run();
        }
    }

    /// Makes a cursor, or moves it, and has done what that asks for.
    fn set(&self, cursor: &str, to: &Positions) {
        self.store.cursors().set(&key(cursor), to, true, self.now()).unwrap();
        self.run();
    }

    /// As who reads by it.
    fn commit(&self, cursor: &str, to: u64) {
        let taken = self.store.cursors().take(&key(cursor), None, None, self.now()).unwrap();
        let to = at(&self.log, to);
        self.store.cursors().commit(&self.log, &key(cursor), taken.generation, &to, self.now()).unwrap();
        self.run();
    }

    /// The process goes on in another life, with the power gone between the two or not.
    fn again(self, crash: bool) -> Scene {
        let Scene { disk, clock, store, log } = self;
        if crash {
            disk.crash();
        } else {
            store.close();
        }
        drop((store, log));
        let store = Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options(&clock)).unwrap();
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        Scene { disk, clock, store, log }
    }
}

fn kept(retention: Retention) -> LogOptions {
    LogOptions { retention, ..small(Durability::Sync) }
}

fn few(hold_cursors: Option<u64>) -> Retention {
    Retention { max_records: Some(8), hold_cursors, ..Retention::default() }
}

// NC-DSK-087
#[test]
fn no_limit_takes_what_a_cursor_has_not_passed_and_each_takes_it_then() {
    let none = Retention::default();
    for limit in [
        few(None),
        Retention { max_age: Some(Duration::from_secs(10)), ..none },
        Retention { max_bytes: Some(20_000), ..none },
        Retention { min_free: Some(1 << 62), ..none },
    ] {
        let scene = Scene::new(Retention { hold_cursors: PLENTY, ..limit });
        scene.disk.set_capacity(1 << 40);
        scene.set("c", &at(&scene.log, 0));
        let wait = || {
            scene.clock.set(scene.now().0 + 60 * SECOND);
            scene.run();
        };
        scene.many(20);
        wait();
        scene.many(20);
        wait();
        assert_eq!(scene.log.first(), Offset(0), "{limit:?}");
        // To the segment, not beyond it: the cursor's own record stays.
        scene.commit("c", 22);
        wait();
        let first = scene.log.first().0;
        assert!((18..=22).contains(&first), "{limit:?}: {first}");
        let next = scene.log.resolve(&Start::Resume(at(&scene.log, 22).only().unwrap())).unwrap();
        assert_eq!((next.start, next.gap_from), (Offset(22), None));
        // Without the number, it goes whoever stands there.
        scene.log.set_retention(limit).unwrap();
        wait();
        assert!(scene.log.first() > Offset(22), "{limit:?}: {}", scene.log.first());
    }
}

// NC-DSK-087
#[test]
fn past_the_size_it_goes_all_the_same_and_who_wanted_it_is_told() {
    let hold = 40_000;
    let scene = Scene::new(few(Some(hold)));
    scene.set("c", &at(&scene.log, 0));
    let mut most = 0;
    while scene.log.first() == Offset(0) {
        most = scene.log.info().bytes;
        assert!(most <= hold + 16_384, "{most}");
        scene.many(1);
    }
    assert!(most > hold - 16_384, "{most}");
    scene.many(100);
    let bytes = scene.log.info().bytes;
    assert!((hold - 16_384..=hold + 16_384).contains(&bytes), "{bytes}");
    let first = scene.log.first();
    let position = at(&scene.log, 0).only().unwrap();
    let next = scene.log.resolve(&Start::Resume(position)).unwrap();
    assert_eq!((next.start, next.gap_from), (first, Some(Offset(0))));
    assert!(matches!(scene.log.read(Offset(0), 9), Err(LogError::Trimmed { to, .. }) if to == first));
}

// NC-DSK-087, NC-DSK-083
#[test]
fn want_of_room_and_truncation_heed_no_cursor_and_the_floor_holds_without_one() {
    let retention = Retention {
        ceiling: Some(80_000),
        when_full: WhenFull::TrimOldest,
        hold_cursors: PLENTY,
        ..Retention::default()
    };
    let scene = Scene::new(retention);
    scene.set("c", &at(&scene.log, 0));
    scene.many(100);
    assert!(scene.log.first() > Offset(0) && scene.log.shortage().is_none());
    assert_eq!(scene.log.truncate_before(Offset(95)).unwrap(), Offset(95));

    let scene = Scene::new(Retention { keep_records: Some(30), ..few(PLENTY) });
    scene.set("c", &at(&scene.log, 0));
    scene.many(40);
    scene.commit("c", 40);
    let left = scene.log.visible().0 - scene.log.first().0;
    assert!((30..40).contains(&left), "{left}");
}

// NC-DSK-088
#[test]
fn the_slowest_holds_and_one_of_another_log_or_channel_nothing_and_one_without_a_position_all() {
    let scene = Scene::new(few(PLENTY));
    scene.many(4);
    scene.set("slow", &at(&scene.log, 1));
    scene.set("fast", &at(&scene.log, 4));
    scene.many(40);
    assert_eq!(scene.log.first(), Offset(0));
    scene.commit("fast", 40);
    assert_eq!(scene.log.first(), Offset(0));
    scene.commit("slow", 21);
    let first = scene.log.first();
    assert!((Offset(17)..=Offset(21)).contains(&first), "{first}");
    // Back to where nothing is any more: what is there is held from now on.
    scene.set("fast", &at(&scene.log, 0));
    scene.commit("slow", 40);
    assert_eq!(scene.log.first(), first);
    // In a log that is gone.
    let gone = Position { log: LogId([9; 16]), epoch: Epoch(1), offset: Offset(0) };
    scene.set("fast", &gone.into());
    assert!(scene.log.first() > first, "{}", scene.log.first());
    let first = scene.log.first();
    // Nowhere yet: it reads all there is.
    scene.set("fast", &Positions::default());
    scene.many(40);
    assert_eq!(scene.log.first(), first);
    scene.store.cursors().delete(&key("fast")).unwrap();
    scene.run();
    // The slow one stands where it stood.
    assert!((Offset(37)..=Offset(40)).contains(&scene.log.first()), "{}", scene.log.first());
    // A cursor of the same name in a channel whose name begins with this one's.
    let other = CursorKey { channel: name("a/b"), ..key("slow") };
    scene.store.cursors().set(&other, &at(&scene.log, 37), true, scene.now()).unwrap();
    scene.commit("slow", scene.log.visible().0);
    assert!(scene.log.first() > Offset(40));
}

// NC-DSK-088
#[test]
fn a_partition_is_held_by_a_cursor_of_the_whole() {
    let scene = Scene::new(Retention::default());
    let options = LogOptions { partitions: std::num::NonZeroU16::new(2), ..kept(few(PLENTY)) };
    let [held, free] = ["p@0", "p@1"].map(|part| scene.store.create_or_open(&name(part), &options).unwrap());
    let whole = CursorKey { channel: name("p"), ..key("c") };
    scene.store.cursors().set(&whole, &at(&held, 0), true, scene.now()).unwrap();
    let fill = |log: &Log| {
        for _ in 0..40 {
            append(log, &"x".repeat(900));
            scene.run();
        }
    };
    fill(&held);
    fill(&free);
    assert_eq!(held.first(), Offset(0));
    assert!(free.first() > Offset(20));
    scene.store.cursors().set(&whole, &at(&held, 40), false, scene.now()).unwrap();
    scene.run();
    assert!(held.first() > Offset(20));
}

// NC-DSK-088, NC-DSK-089
#[test]
fn each_log_that_waits_goes_on_when_its_own_cursor_has_passed() {
    let scene = Scene::new(Retention::default());
    let options = LogOptions { partitions: std::num::NonZeroU16::new(2), ..kept(few(PLENTY)) };
    let logs = ["b", "p@0", "p@1", "c"].map(|channel| {
        let options = if channel.contains('@') { options } else { kept(few(PLENTY)) };
        scene.store.create_or_open(&name(channel), &options).unwrap()
    });
    let stand = |log: &Log, offset| {
        let own = CursorKey { channel: log.name().clone(), ..key("c") };
        scene.store.cursors().set(&own, &at(log, offset), true, scene.now()).unwrap();
        scene.run();
    };
    logs.iter().for_each(|log| stand(log, 0));
    for log in &logs {
        for _ in 0..40 {
            append(log, &"x".repeat(900));
            scene.run();
        }
    }
    let held = || logs.iter().map(|log| log.first() == Offset(0)).collect::<Vec<_>>();
    assert_eq!(held(), [true; 4], "each by its own cursor");
    for (nth, log) in logs.iter().enumerate() {
        stand(log, 40);
        assert_eq!(held(), [0, 1, 2, 3].map(|other| other > nth), "after {nth}");
        assert!(log.first() > Offset(20));
    }
}

// NC-DSK-088
#[test]
fn where_a_cursor_was_rolled_back_it_holds_from_where_it_goes_on() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    clock.set(NOW);
    let store = Store::open(Arc::new(disk.clone()), options(&clock)).unwrap();
    let kept = LogOptions { durability: Durability::Os, ..kept(few(PLENTY)) };
    let log = store.create_or_open(&name("a"), &kept).unwrap();
    let scene = Scene { disk, clock, store, log };
    scene.many(1);
    scene.log.sync().unwrap();
    scene.many(3);
    // All that fits the segment was read, and committed durably; the records were not durable.
    scene.set("c", &at(&scene.log, 4));
    scene.disk.lose_all();
    let scene = scene.again(true);
    assert_eq!(scene.log.visible(), Offset(1));
    scene.many(40);
    assert_eq!(scene.log.first(), Offset(0), "records 1 to 3 are new to it");
    scene.set("c", &at(&scene.log, 40));
    assert!(scene.log.first() > Offset(20));
}

// NC-DSK-089
#[test]
fn over_a_restart_cursors_hold_from_the_first_moment() {
    for crash in [false, true] {
        let mut scene = Scene::new(few(PLENTY));
        scene.many(2);
        scene.set("c", &at(&scene.log, 2));
        for life in 1..4 {
            scene = scene.again(crash);
            scene.run();
            scene.many(20);
            assert_eq!(scene.log.first(), Offset(0), "life {life}");
        }
        // Nobody but a move lets go, also of what was held in an earlier life.
        scene = scene.again(crash);
        scene.run();
        assert_eq!(scene.log.first(), Offset(0));
        scene.commit("c", 60);
        assert!(scene.log.first() > Offset(50), "{}", scene.log.first());
    }
}

// NC-DSK-089
#[test]
fn a_channel_that_was_full_for_a_cursor_goes_on_when_it_has_passed_in_a_later_life_too() {
    for is_gone in [false, true] {
        let scene = Scene::new(Retention { ceiling: Some(60_000), ..few(PLENTY) });
        scene.set("c", &at(&scene.log, 0));
        while scene.log.append(&"x".repeat(900).as_bytes().as_record()).is_ok() {
            scene.run();
        }
        let end = scene.log.visible();
        assert!(end > Offset(20) && scene.log.first() == Offset(0), "{end}");
        let scene = scene.again(false);
        scene.run();
        match is_gone {
            true => scene.store.cursors().delete(&key("c")).unwrap(),
            false => scene.commit("c", end.0),
        }
        scene.run();
        assert!(scene.log.first() > Offset(0), "{is_gone}");
        scene.many(2);
        assert_eq!(scene.log.visible(), end.plus(2));
    }
}

// NC-DSK-089
#[test]
fn a_move_that_is_not_durable_lets_nothing_go() {
    let scene = Scene::new(few(PLENTY));
    scene.set("c", &at(&scene.log, 0));
    scene.many(40);
    // The sync of the state log fails: whether the cursor moved is not known before the next life.
    scene.disk.fail_sync(1);
    scene.store.cursors().set(&key("c"), &at(&scene.log, 40), false, scene.now()).unwrap_err();
    scene.run();
    scene.many(8);
    assert_eq!(scene.log.first(), Offset(0));
    scene.disk.lose_all();
    let scene = scene.again(true);
    assert_eq!(scene.store.cursors().get(&key("c")).unwrap().position, at(&scene.log, 0));
    assert_eq!(scene.log.resolve(&Start::Resume(at(&scene.log, 0).only().unwrap())).unwrap().gap_from, None);
}

/// The power goes at each operation of commits and of the trimming that they let happen.
// NC-DSK-089
#[test]
fn wherever_the_power_goes_no_cursor_finds_a_gap() {
    let play = |disk: &SimDisk, cut: u64| {
        let clock = HandClock::default();
        clock.set(NOW);
        let store = Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options(&clock)).unwrap();
        let log = store.create_or_open(&name("a"), &kept(few(PLENTY))).unwrap();
        let scene = Scene { disk: disk.clone(), clock, store, log };
        scene.set("c", &at(&scene.log, 0));
        disk.cut_power_at(cut);
        let now = scene.now();
        let mut went = false;
        let taken = scene.store.cursors().take(&key("c"), None, None, now);
        let Ok(taken) = taken else { return went };
        for round in 1..=6 {
            for _ in 0..6 {
                let _ = scene.log.append(&netchan_proto::RecordRef {
                    payload: &[7; 900],
                    key: None,
                    headers: &[],
                });
                scene.run();
            }
            let to = at(&scene.log, scene.log.durable().0.min(round * 5));
            let done = scene.store.cursors().commit(&scene.log, &key("c"), taken.generation, &to, now);
            // The trimming comes after it, or not at all.
            scene.run();
            went |= scene.log.first() > Offset(0);
            if done.is_err() {
                break;
            }
        }
        went
    };
    let (mut cuts, mut trimmed) = (0, 0);
    for cut in 1.. {
        let disk = SimDisk::new(3);
        let went = play(&disk, cut);
        let is_over = disk.is_on();
        for subset in 0..12 {
            let fork = disk.fork(cut << 8 | subset);
            fork.crash();
            let store = Store::open(Arc::new(fork) as Arc<dyn Disk>, options(&HandClock::default())).unwrap();
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            let stands = store.cursors().get(&key("c")).unwrap().position.only().unwrap();
            let found = log.resolve(&Start::Resume(stands)).unwrap();
            assert_eq!((found.gap_from, found.truncated), (None, None), "cut {cut}.{subset}: {stands:?}");
            cuts += 1;
            trimmed += u64::from(log.first() > Offset(0));
        }
        if is_over {
            assert!(went);
            break;
        }
    }
    assert!(cuts > 500 && trimmed > 100, "{cuts} cuts, {trimmed} of them after some trimming");
}

// NC-DSK-089
#[test]
fn with_threads_a_commit_wakes_the_trimming() {
    let disk = SimDisk::new(1);
    let store = Store::open(Arc::new(disk), netchan_store::StoreOptions::default()).unwrap();
    let log = store.create_or_open(&name("a"), &kept(few(PLENTY))).unwrap();
    store.cursors().set(&key("c"), &at(&log, 0), true, Timestamp(NOW)).unwrap();
    for _ in 0..40 {
        append(&log, &"x".repeat(900));
        log.sync().unwrap();
    }
    assert_eq!(log.first(), Offset(0));
    let (woken, waits) = std::sync::mpsc::channel();
    let waker = std::task::Waker::from(Arc::new(Wake(woken)));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut seen = log.seen();
    store.cursors().set(&key("c"), &at(&log, 40), false, Timestamp(NOW)).unwrap();
    // Nobody appends any more: the change of the log is the trimming.
    while log.first() < Offset(30) {
        match log.poll_changed(seen, &mut cx) {
            std::task::Poll::Ready(now) => seen = now,
            // Longer than it takes on any machine.
            std::task::Poll::Pending => waits.recv_timeout(Duration::from_secs(60)).unwrap(),
        }
    }
    store.close();
}

struct Wake(std::sync::mpsc::Sender<()>);

impl std::task::Wake for Wake {
    fn wake(self: Arc<Wake>) {
        let _ = self.0.send(());
    }
}
