//! Channels with partitions: made all or none, whatever happens meanwhile, and never beside a channel of the same name.
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};

use netchan_proto::{Durability, LogId, Partitions};
use netchan_store::disk::{Disk, Fault, SimDisk};
use netchan_store::{Store, StoreError};
use rig::*;

fn count(count: u16) -> Partitions {
    Partitions::new(count).unwrap()
}

fn make(store: &Store, channel: &str, partitions: u16) -> Result<(), StoreError> {
    store.create_partitioned(&name(channel), count(partitions), &small(Durability::Sync))
}

fn ids(store: &Store) -> Vec<(String, LogId)> {
    store.list(None, "", usize::MAX).into_iter().map(|info| (info.name.to_string(), info.id)).collect()
}

fn names(store: &Store) -> Vec<String> {
    ids(store).into_iter().map(|(name, _)| name).collect()
}

/// NC-PRT-001
#[test]
fn a_set_is_made_once_and_is_there_at_the_next_open() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    make(&store, "x", 12).unwrap();
    let made = ids(&store);
    assert_eq!(made.len(), 12);
    let log = store.open_existing(&name("x@11")).unwrap().unwrap();
    assert_eq!((log.partitions(), append(&log, "first").0), (Some(count(12)), 0));
    make(&store, "x", 12).unwrap();
    assert_eq!(ids(&store), made, "made again it is the same");
    assert_eq!(store.create_or_open(&name("x@11"), &small(Durability::Os)).unwrap().id(), log.id());
    assert_eq!(log.partitions(), Some(count(12)), "other options do not change that");
    store.close();
    drop((store, log));
    let store = open(&disk);
    assert_eq!((ids(&store), store.partitions(&name("x"))), (made, Some(count(12))));
    assert_eq!(store.partitions(&name("x@3")), Some(count(12)));
    let log = store.open_existing(&name("x@11")).unwrap().unwrap();
    assert_eq!((log.visible().0, log.partitions()), (1, Some(count(12))));
}

/// NC-PRT-001, NC-PRT-008, NC-PRT-009, NC-PRT-010, NC-PRT-012, NC-PRT-013
#[test]
fn what_contradicts_a_set_is_refused_and_makes_nothing() {
    let store = open(&SimDisk::new(2));
    let options = small(Durability::Sync);
    let partitioned = |error: StoreError| match error {
        StoreError::Partitioned { name, count } => (name.to_string(), count.get()),
        other => panic!("{other}"),
    };
    assert!(matches!(store.create_or_open(&name("x@0"), &options), Err(StoreError::NoChannel { .. })));
    assert!(store.open_existing(&name("x@0")).unwrap().is_none());
    for beyond in ["x@4", "x@5"] {
        let options = netchan_store::LogOptions { partitions: std::num::NonZeroU16::new(4), ..options };
        let refused = store.create_or_open(&name(beyond), &options).unwrap_err();
        assert_eq!(partitioned(refused), ("x".to_owned(), 4), "{beyond}");
    }
    assert!(names(&store).is_empty());
    make(&store, "x", 4).unwrap();
    let before = ids(&store);
    let x4 = ("x".to_owned(), 4);
    for other in [1, 3, 5, 1024] {
        assert_eq!(partitioned(make(&store, "x", other).unwrap_err()), x4);
    }
    for wrong in ["x", "x@4", "x@1023"] {
        assert_eq!(partitioned(store.create_or_open(&name(wrong), &options).unwrap_err()), x4, "{wrong}");
        assert_eq!(partitioned(store.open_existing(&name(wrong)).unwrap_err()), x4, "{wrong}");
    }
    let error = store.open_existing(&name("x")).unwrap_err().to_string();
    assert!(error.contains("x has 4 partitions") && error.contains("x@*"), "{error}");
    assert_eq!(ids(&store), before);
    // Names beside it are others.
    for other in ["x/y", "xy", "w", "x!"] {
        store.create_or_open(&name(other), &options).unwrap();
    }
    assert!(matches!(make(&store, "w", 2), Err(StoreError::Exists { .. })));
    assert!(matches!(make(&store, "xy", 1), Err(StoreError::Exists { .. })));
    assert!(matches!(make(&store, &"n".repeat(254), 1), Err(StoreError::Name(_))));
    assert!(matches!(make(&store, "x@1", 1), Err(StoreError::Name(_))));
    assert_eq!(names(&store), ["w", "x!", "x/y", "x@0", "x@1", "x@2", "x@3", "xy"]);
    make(&store, &"n".repeat(253), 1).unwrap();
}

/// NC-PRT-014
#[test]
fn what_is_missing_is_made_again_and_a_name_is_free_when_the_last_is_deleted() {
    let store = open(&SimDisk::new(3));
    make(&store, "x", 3).unwrap();
    append(&store.open_existing(&name("x@2")).unwrap().unwrap(), "stays");
    let before = ids(&store);
    store.delete(&name("x@1")).unwrap();
    assert!(store.open_existing(&name("x@1")).unwrap().is_none());
    assert_eq!(names(&store), ["x@0", "x@2"], "reading makes nothing");
    // Whichever is opened, without being told their number.
    store.open_partition(&name("x@2"), &small(Durability::Sync)).unwrap();
    let after = ids(&store);
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_ne!(after[1], before[1], "another log of the same name");
    for number in 0..3 {
        assert!(matches!(make(&store, "x", 2), Err(StoreError::Partitioned { .. })));
        store.delete(&name("x").with_partition(number).unwrap()).unwrap();
    }
    assert_eq!(store.partitions(&name("x")), None);
    make(&store, "x", 2).unwrap();
}

/// The power goes at every operation of making a set, and what is left is completed: the same numbers, the logs that had been made
/// among them, and nothing in the way.
#[test]
fn whatever_a_crash_leaves_of_a_set_is_completed() {
    let mut partly = 0;
    for survivors in 0..8 {
        let mut at = 1;
        loop {
            let disk = SimDisk::new(survivors);
            open(&disk).close();
            disk.cut_power_at(at);
            let told = {
                let store = try_open(&disk).ok();
                store.as_ref().is_some_and(|store| make(store, "x", 5).is_ok())
            };
            if disk.is_on() {
                assert!(told && at > 30, "{at} operations");
                break;
            }
            disk.crash();
            let store = open(&disk);
            let left = ids(&store);
            assert!(!told || left.len() == 5, "{left:?} of a set that was made");
            partly += usize::from(!left.is_empty() && left.len() < 5);
            if left.is_empty() {
                // Nobody was told of it: the name is free.
                assert!(store.create_or_open(&name("x"), &small(Durability::Sync)).is_ok());
            } else {
                assert_eq!(store.partitions(&name("x")), Some(count(5)), "{left:?}");
                assert!(matches!(make(&store, "x", 4), Err(StoreError::Partitioned { .. })));
                // What is missing is kept as the others, whatever is said now.
                let log = store.open_partition(&name("x@3"), &small(Durability::Os)).unwrap();
                assert_eq!((log.partitions(), log.durability()), (Some(count(5)), Durability::Sync));
                let all = ids(&store);
                assert_eq!(names(&store), ["x@0", "x@1", "x@2", "x@3", "x@4"]);
                assert!(left.iter().all(|one| all.contains(one)), "{left:?} {all:?}");
            }
            at += 1;
        }
    }
    assert!(partly > 50, "only {partly} sets were left half made");
}

/// A disk that fails leaves no name behind that nobody can have.
#[test]
fn a_set_that_could_not_be_made_leaves_its_name_free() {
    let disk = SimDisk::new(4);
    let store = open(&disk);
    let began = disk.operations();
    make(&store, "y", 3).unwrap();
    for at in 1..=(disk.operations() - began) {
        let disk = SimDisk::new(5);
        let store = open(&disk);
        disk.fail_at(at, Fault::Io);
        if make(&store, "x", 3).is_ok() {
            continue;
        }
        let made = names(&store);
        if made.is_empty() {
            store.create_or_open(&name("x"), &small(Durability::Sync)).unwrap();
        } else {
            make(&store, "x", 3).unwrap();
            assert_eq!(names(&store), ["x@0", "x@1", "x@2"]);
        }
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// NC-PRT-015
#[test]
fn who_waits_for_a_name_hears_that_it_has_partitions() {
    let store = open(&SimDisk::new(6));
    for waits_for in ["x", "x@9", "x@1"] {
        let [woken, other] = [(), ()].map(|()| Arc::new(Count::default()));
        let [waker, waits_on] = [&woken, &other].map(|count| Waker::from(Arc::clone(count)));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(store.poll_created(&name(waits_for), &mut cx), Poll::Pending);
        assert_eq!(store.poll_created(&name("xy"), &mut Context::from_waker(&waits_on)), Poll::Pending);
        make(&store, "x", 2).unwrap();
        assert!(woken.0.load(Ordering::SeqCst) > 0, "{waits_for}");
        assert_eq!(other.0.load(Ordering::SeqCst), 0, "xy is another channel");
        assert_eq!(store.poll_created(&name(waits_for), &mut cx), Poll::Ready(()));
        assert_eq!(store.poll_created(&name("xy"), &mut cx), Poll::Pending);
        store.delete(&name("x@0")).unwrap();
        store.delete(&name("x@1")).unwrap();
    }
}

/// Of a plain channel and a set, and of two sets, that are made at the same time, one is there, whole.
#[test]
fn of_two_who_make_the_same_name_at_once_one_is_refused() {
    for seed in 0..40 {
        let store = open(&SimDisk::new(seed));
        let begin = Barrier::new(4);
        let outcomes = std::thread::scope(|scope| {
            let plain = scope.spawn(|| {
                begin.wait();
                store.create_or_open(&name("x"), &small(Durability::Sync)).map(|_| 0u16)
            });
            let sets = [3, 3, 5].map(|partitions| {
                let (store, begin) = (&store, &begin);
                scope.spawn(move || {
                    begin.wait();
                    make(store, "x", partitions).map(|()| partitions)
                })
            });
            let mut outcomes = vec![plain.join().unwrap()];
            outcomes.extend(sets.into_iter().map(|set| set.join().unwrap()));
            outcomes
        });
        let made: Vec<u16> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
        let first = made[0];
        assert!(made.iter().all(|&other| other == first), "{made:?}");
        assert_eq!(names(&store).len(), usize::from(first.max(1)), "{:?}", names(&store));
    }
}

/// A meta that is lost is made again from its segment, and its number of partitions from the others.
#[test]
fn a_partition_whose_meta_is_lost_is_one_of_its_set_still() {
    let disk = SimDisk::new(7);
    let store = open(&disk);
    for (other, partitions) in [("w", 5), ("x", 3), ("x/y", 7), ("z", 2)] {
        make(&store, other, partitions).unwrap();
    }
    let id = store.open_existing(&name("x@1")).unwrap().unwrap().id();
    store.close();
    drop(store);
    let dyn_disk: &dyn netchan_store::disk::Disk = &disk;
    dyn_disk.remove_file(&format!("channels/{id}/meta")).unwrap();
    let store = open(&disk);
    let log = store.open_existing(&name("x@1")).unwrap().unwrap();
    assert_eq!((log.id(), log.partitions()), (id, Some(count(3))));
    // And it says so by itself, when it is the last.
    for other in ["x@0", "x@2"] {
        store.delete(&name(other)).unwrap();
    }
    store.close();
    assert_eq!(open(&disk).partitions(&name("x")), Some(count(3)));
}

#[test]
fn a_channel_that_is_no_partition_has_no_number_of_them_whatever_is_said() {
    let disk = SimDisk::new(9);
    let store = open(&disk);
    let said =
        netchan_store::LogOptions { partitions: std::num::NonZeroU16::new(4), ..small(Durability::Sync) };
    let log = store.create_or_open(&name("x"), &said).unwrap();
    let none = |log: &netchan_store::Log| {
        assert_eq!(log.partitions(), None);
        assert_eq!(log.kept().unwrap().options, small(Durability::Sync));
        assert_eq!(netchan_store::kept(&disk, &name("x")).unwrap().unwrap().options, small(Durability::Sync));
    };
    none(&log);
    store.close();
    let store = open(&disk);
    none(&store.create_or_open(&name("x"), &said).unwrap());
    assert_eq!((store.partitions(&name("x")), names(&store)), (None, vec!["x".to_owned()]));
}

/// What each meta says it says once.
#[test]
fn opening_a_store_writes_nothing_into_the_partitions_that_it_finds() {
    let metas = |disk: &SimDisk| {
        let dirs = disk.list("channels").unwrap();
        dirs.iter().map(|dir| disk.contents(&format!("channels/{dir}/meta")).unwrap()).collect::<Vec<_>>()
    };
    let opened = |partitioned: bool| {
        let disk = SimDisk::new(8);
        let store = open(&disk);
        match partitioned {
            true => make(&store, "x", 6).unwrap(),
            false => (0..6).for_each(|n| {
                store.create_or_open(&name(&format!("x{n}")), &small(Durability::Sync)).unwrap();
            }),
        }
        store.close();
        let (before, had) = (disk.operations(), metas(&disk));
        open(&disk).close();
        assert_eq!(metas(&disk), had);
        disk.operations() - before
    };
    assert_eq!(opened(true), opened(false));
}
