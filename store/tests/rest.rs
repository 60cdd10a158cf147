//! Logs that nobody uses give up their files and memory, and stay what they are.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use netchan_proto::{AsRecord, Durability, Epoch, Offset, ProducerId, Timestamp};
use netchan_store::disk::{Disk, Open, SimDisk};
use netchan_store::{AppendError, Log, LogError, LogOptions, Mark, Store, StoreOptions, TailRead};
use rig::{HandClock, append, commit, name, open, options, segment, small, texts};

/// Long enough without use for everything to rest.
fn rest(store: &Store) {
    for _ in 0..3 {
        commit(store);
    }
}

fn with(disk: &SimDisk, change: impl FnOnce(&mut StoreOptions)) -> Store {
    let mut options = options(&HandClock::default());
    change(&mut options);
    Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap()
}

fn logs(store: &Store, count: usize, kept: &LogOptions) -> Vec<Log> {
    (0..count).map(|n| store.create_or_open(&name(&format!("log{n}")), kept).unwrap()).collect()
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_idle_log_has_no_file_open_and_no_room_reserved() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let all = logs(&store, 20, &small(durability));
        for log in &all {
            append(log, "a record");
            commit(&store);
            assert!(matches!(log.read_tail(Offset(0)), TailRead::Batch(..)));
        }
        assert!(disk.open_files() > 0);
        rest(&store);
        assert_eq!(disk.open_files(), 0, "{durability}");
        for log in &all {
            let file = disk.contents(&segment(log, 0)).unwrap();
            assert!(file.len() < 4400, "{} bytes: what was reserved is given back", file.len());
            // In the other modes too: a file is not closed before it is synced.
            assert_eq!(log.durable(), Offset(1));
            assert_eq!(log.read_tail(Offset(0)), TailRead::Cold);
            assert_eq!(texts(log), ["a record"]);
        }
    }
}

#[test]
fn a_log_that_rested_goes_on_in_its_epoch_with_its_waiters_claims_and_producers() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "0");
    commit(&store);
    let claim = log.claim(ProducerId([7; 16]));
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(log.poll_reached(Mark::Visible, Offset(2), &mut cx).is_pending());
    let seen = log.seen();
    assert_eq!(log.poll_changed(seen, &mut cx), Poll::Pending);
    rest(&store);
    assert_eq!((disk.open_files(), woken.0.load(Ordering::Relaxed)), (0, 0));
    assert!(log.holds(&claim));
    assert_eq!(append(&log, "1"), Offset(1));
    commit(&store);
    assert_eq!(woken.0.load(Ordering::Relaxed), 2, "who waits live is woken");
    assert!(matches!(log.poll_reached(Mark::Visible, Offset(2), &mut cx), Poll::Ready(Ok(()))));
    assert_eq!((log.epoch(), texts(&log).len()), (Epoch(1), 2));
    // And what it wrote after its rest is found after a power cut, in the same epoch.
    disk.crash();
    drop((store, log));
    let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
    assert_eq!((log.epoch(), texts(&log)), (Epoch(1), vec!["0".to_owned(), "1".to_owned()]));
}

#[test]
fn a_log_that_rests_is_sealed_deleted_closed_and_trimmed_as_any() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let all = logs(&store, 4, &small(Durability::Os));
    for log in &all {
        append(log, "x");
    }
    rest(&store);
    assert_eq!(disk.open_files(), 0);
    assert_eq!(all[0].seal().unwrap(), Offset(1));
    store.delete(&name("log1")).unwrap();
    assert!(matches!(all[1].append(&"y".as_record()), Err(AppendError::Deleted)));
    all[2].set_retention(netchan_store::Retention { max_bytes: Some(1), ..Default::default() }).unwrap();
    rest(&store);
    assert_eq!(all[0].read_tail(Offset(1)), TailRead::Sealed(Offset(1)));
    store.close();
    assert!(matches!(all[3].sync(), Ok(Offset(1))));
    assert_eq!(disk.open_files(), 0);
    let store = open(&disk);
    assert!(store.open_existing(&name("log0")).unwrap().unwrap().is_sealed());
    assert_eq!(store.open_existing(&name("log3")).unwrap().unwrap().epoch(), Epoch(1));
}

#[test]
fn a_sync_that_fails_before_the_file_is_closed_poisons() {
    let disk = SimDisk::new(4);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    append(&log, "0"); // the epoch's first record is synced
    commit(&store);
    append(&log, "1");
    commit(&store);
    assert_eq!((log.written(), log.durable()), (Offset(2), Offset(1)));
    disk.fail_sync(1);
    rest(&store);
    assert!(log.poisoned().is_some());
    assert_eq!((log.durable(), disk.open_files()), (Offset(1), 0));
}

#[test]
fn however_many_logs_are_used_few_files_are_open() {
    let disk = SimDisk::new(5);
    let store = with(&disk, |options| options.max_open_files = 10);
    let all = logs(&store, 50, &small(Durability::Sync));
    for round in 0..20 {
        for log in &all {
            append(log, &format!("{round} {}", "x".repeat(700)));
        }
        commit(&store);
        assert!(disk.open_files() <= 11, "{} files", disk.open_files());
    }
    for log in &all {
        assert_eq!((texts(log).len(), log.epoch()), (20, Epoch(1)));
        assert!(log.info().segments > 1 && disk.open_files() <= 11);
    }
}

#[test]
fn where_the_system_has_no_more_files_logs_share_what_there_is() {
    let disk = SimDisk::new(6);
    let store = open(&disk);
    disk.set_max_open_files(3);
    let all = logs(&store, 20, &small(Durability::Sync));
    for _ in 0..10 {
        for log in &all {
            append(log, &"x".repeat(1500));
        }
        commit(&store);
    }
    all.iter().for_each(|log| assert_eq!(texts(log).len(), 10));
}

#[test]
fn without_enough_files_a_log_stalls_keeps_what_is_durable_and_goes_on_later() {
    // At whichever of the files that a roll opens there are no more.
    for files in 0..3 {
        without_more_than(files);
    }
}

fn without_more_than(files: usize) {
    let disk = SimDisk::new(7);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let mut sent = 0;
    while log.info().segments < 2 {
        append(&log, &"x".repeat(1500));
        commit(&store);
        sent += 1;
    }
    disk.set_max_open_files(files);
    let mut taken = 0;
    while log.append(&"y".repeat(1500).as_record()).is_ok() {
        commit(&store);
        taken += 1;
    }
    assert!(taken < 20 && log.poisoned().is_none());
    assert!(matches!(log.append(&"z".as_record()), Err(AppendError::Stalled { .. })));
    assert!(matches!(log.sync(), Err(LogError::Stalled { .. })));
    disk.set_max_open_files(100);
    commit(&store);
    assert_eq!((log.durable(), log.epoch()), (Offset(sent + taken), Epoch(1)));
    assert_eq!(texts(&log).len() as u64, sent + taken);
}

#[test]
fn all_tails_together_stay_within_the_budget() {
    let disk = SimDisk::new(8);
    let budget = 100 << 10;
    let store = with(&disk, |options| options.tail_budget = budget);
    let all = logs(&store, 30, &LogOptions::default());
    for round in 0..10 {
        for log in &all {
            append(log, &"x".repeat(10_000));
            commit(&store);
            let in_memory: usize = all.iter().map(tail_bytes).sum();
            assert!(in_memory <= budget, "{in_memory} bytes");
        }
        // What came before anybody read it was not kept.
        assert!(round == 0 || all.iter().any(|log| tail_bytes(log) > 0));
    }
}

fn tail_bytes(log: &Log) -> usize {
    let mut bytes = 0;
    for offset in 0..log.visible().0 {
        if let TailRead::Batch(batch, _) = log.read_tail(Offset(offset)) {
            bytes += batch.len();
        }
    }
    bytes
}

#[test]
fn a_log_in_use_keeps_its_tail() {
    let disk = SimDisk::new(9);
    let store = with(&disk, |options| options.idle_after = Duration::from_secs(1000));
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    append(&log, "x");
    commit(&store);
    assert!(matches!(log.read_tail(Offset(0)), TailRead::Batch(..)));
}

#[test]
fn where_everything_rests_nothing_is_done_any_more() {
    let disk = SimDisk::new(12);
    let store = open(&disk);
    for log in logs(&store, 3, &small(Durability::Os)) {
        append(&log, "x");
        store.run_commits(Timestamp(0));
        assert!(matches!(log.read_tail(Offset(0)), TailRead::Batch(..)));
    }
    let hours = |n: i64| Timestamp(n * 3_600_000_000_000);
    assert!(store.run_commits(hours(1)));
    for n in 2..10 {
        store.run_commits(hours(n));
    }
    let busy: Vec<i64> = (10..20).filter(|n| store.run_commits(hours(*n))).collect();
    assert_eq!(busy, [0; 0]);
}

/// One whose files were closed for others has its newest batches in memory still, until it rests.
#[test]
fn a_log_that_gave_up_its_files_for_others_gives_up_its_memory_when_it_rests() {
    let disk = SimDisk::new(13);
    let store = with(&disk, |options| options.max_open_files = 1);
    let all = logs(&store, 3, &small(Durability::Os));
    let in_memory = |log: &Log, offset| matches!(log.read_tail(Offset(offset)), TailRead::Batch(..));
    for (n, log) in all.iter().enumerate() {
        append(log, "x");
        store.run_commits(Timestamp(n as i64));
    }
    assert!(disk.open_files() <= 2 && all.iter().all(|log| in_memory(log, 0)), "{}", disk.open_files());
    rest(&store);
    assert!(!all.iter().any(|log| in_memory(log, 0)));
}

/// None rests: they give up what is too much by themselves.
#[test]
fn all_tails_of_logs_in_use_stay_within_the_budget() {
    let disk = SimDisk::new(15);
    let budget = 100 << 10;
    let store = with(&disk, |options| {
        options.tail_budget = budget;
        options.idle_after = Duration::from_secs(1 << 32);
    });
    let all = logs(&store, 10, &LogOptions::default());
    let mut most = 0;
    for _ in 0..10 {
        for log in &all {
            log.read_tail(Offset(0));
            append(log, &"x".repeat(10_000));
            commit(&store);
        }
        let in_memory: usize = all.iter().map(tail_bytes).sum();
        assert!(in_memory <= budget, "{in_memory} bytes");
        most = most.max(in_memory);
    }
    assert!(most > budget / 2, "{most} bytes: no more is given up than must be");
}

#[test]
fn what_logs_that_are_gone_had_in_memory_is_there_for_others() {
    for end in ["deleted", "failed"] {
        let disk = SimDisk::new(17);
        let store = with(&disk, |options| {
            options.tail_budget = 100 << 10;
            options.idle_after = Duration::from_secs(1 << 32);
        });
        for _ in 0..10 {
            let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
            log.read_tail(Offset(0));
            for _ in 0..5 {
                append(&log, &"x".repeat(10_000));
                commit(&store);
            }
            assert!(tail_bytes(&log) >= 50_000, "{end}: {}", tail_bytes(&log));
            if end == "deleted" {
                store.delete(&name("a")).unwrap();
            } else {
                disk.fail_sync(1);
                append(&log, "x");
                log.sync().unwrap_err();
            }
        }
    }
}

#[test]
fn as_many_files_are_closed_as_others_need() {
    let disk = SimDisk::new(16);
    let store = with(&disk, |options| {
        options.max_open_files = 5;
        options.idle_after = Duration::from_secs(1 << 32);
    });
    for log in logs(&store, 10, &LogOptions::default()) {
        append(&log, "x");
        commit(&store);
    }
    assert_eq!(disk.open_files(), 5);
}

#[test]
fn logs_that_are_read_share_the_budget_of_tails_evenly() {
    let disk = SimDisk::new(14);
    let store = with(&disk, |options| options.tail_budget = 1 << 20);
    let all = logs(&store, 4, &LogOptions::default());
    for round in 0..60 {
        for log in &all {
            log.read_tail(Offset(0));
            append(log, &"x".repeat(10_000));
            store.run_commits(Timestamp(round));
        }
    }
    for log in &all {
        let bytes = tail_bytes(log);
        assert!((180 << 10..=256 << 10).contains(&bytes), "{bytes}");
    }
}

/// As [`without_any_file_a_log_stalls_keeps_what_is_durable_and_goes_on_later`], for logs whose files were closed for
/// others while room was reserved in them: nothing of what is queued may be taken before the file is open again.
#[test]
fn a_log_that_finds_no_file_for_its_next_write_keeps_what_is_queued_and_its_chain() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let disk = SimDisk::new(10);
        // None rests for want of use: that would give its room back.
        let store = with(&disk, |options| {
            options.idle_after = Duration::from_secs(1 << 32);
            options.max_open_files = 1;
        });
        let all = logs(&store, 2, &small(durability));
        for log in &all {
            append(log, "0");
            commit(&store);
        }
        // The other one has the file now.
        disk.set_max_open_files(0);
        append(&all[0], "1");
        commit(&store);
        assert_eq!((all[0].written(), all[0].poisoned()), (Offset(1), None));
        assert!(matches!(all[0].append(&"z".as_record()), Err(AppendError::Stalled { .. })));
        disk.set_max_open_files(100);
        commit(&store);
        append(&all[0], "2");
        commit(&store);
        assert_eq!(texts(&all[0]), ["0", "1", "2"]);
        // A seal is no different.
        append(&all[1], "1");
        commit(&store);
        disk.set_max_open_files(0);
        assert!(matches!(all[0].seal(), Err(LogError::Stalled { .. })));
        commit(&store);
        disk.set_max_open_files(100);
        assert_eq!(all[0].seal().unwrap(), Offset(3));
        disk.crash();
        drop((store, all));
        let log = open(&disk).open_existing(&name("log0")).unwrap().unwrap();
        assert_eq!((texts(&log).len(), log.sealed_at()), (3, Some(Offset(3))), "{durability}");
    }
}

#[test]
fn a_channel_that_could_not_be_made_is_not_in_the_way_of_the_one_that_is_made_later() {
    let disk = SimDisk::new(12);
    let store = open(&disk);
    rest(&store);
    // Enough for the file of its meta, none for the directory that it stands in.
    disk.set_max_open_files(disk.open_files() + 1);
    assert!(store.create_or_open(&name("a"), &LogOptions::default()).is_err());
    disk.set_max_open_files(100);
    assert_eq!(disk.list("channels").unwrap(), [""; 0], "it is removed, as far as can be seen");
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    append(&log, "x");
    commit(&store);
    drop((store, log));
    disk.crash();
    assert_eq!(texts(&open(&disk).open_existing(&name("a")).unwrap().unwrap()), ["x"]);
}

#[test]
fn what_a_power_cut_has_left_of_a_channel_that_was_never_made_gives_way() {
    // Another disk's channel, older and of the same name: its meta, and nothing else.
    let (disk, other) = (SimDisk::new(13), SimDisk::new(14));
    let seeded = Store::open(
        Arc::new(other.clone()),
        StoreOptions { seed: Some(8), ..options(&HandClock::default()) },
    );
    let id = seeded.unwrap().create_or_open(&name("a"), &LogOptions::default()).unwrap().id();
    let meta = other.contents(&format!("channels/{id}/meta")).unwrap();
    let clock = HandClock::default();
    clock.set(1 << 40);
    let store = Store::open(Arc::new(disk.clone()), options(&clock)).unwrap();
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    append(&log, "x");
    commit(&store);
    drop((store, log));
    disk.kill();
    disk.create_dir(&format!("channels/{id}")).unwrap();
    let file = disk.open(&format!("channels/{id}/meta"), Open::CreateNew).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(&meta)], 0).unwrap();
    drop(file);
    assert_eq!(texts(&open(&disk).open_existing(&name("a")).unwrap().unwrap()), ["x"]);
    assert_eq!(disk.list("channels").unwrap().len(), 1);
}
