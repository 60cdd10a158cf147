//! What is queued: how much of it, from whom, with which times, and how it goes to the disk.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;

use netchan_proto::batch::{Batch, BatchBuilder, Stamp};
use netchan_proto::{AsRecord, Durability, Epoch, NewRecord, Offset, ProducerId, Timestamp};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{AppendError, Log, LogOptions, Store, StoreOptions, TailRead};
use rig::*;

/// A batch of one record as `producer` publishes it.
fn published(producer: ProducerId, sequence: u64, text: &str) -> Batch {
    let mut builder = BatchBuilder::new(Offset(sequence), None);
    builder.push(Timestamp(1), &text.as_record());
    let stamp = Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    Batch::verify(builder.finish(stamp).1, &producer.0).unwrap()
}

fn id(n: u32) -> ProducerId {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&n.to_le_bytes());
    ProducerId(id)
}

fn with(disk: &SimDisk, clock: &HandClock, max_queued: usize) -> Store {
    let options = StoreOptions { max_queued, ..options(clock) };
    Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap()
}

fn all_batches(log: &Log) -> Vec<Batch> {
    batches(log.id(), log.read(Offset(0), 1 << 20).unwrap().bytes)
}

#[test]
fn a_published_batch_is_refused_where_a_record_is_and_begins_the_epoch_as_one_does() {
    let disk = SimDisk::new(1);
    let (one, two) = (id(1), id(2));
    for life in 1..4 {
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        log.append_batch(&log.claim(one), &published(one, life, "published")).unwrap();
        commit(&store);
        assert_eq!(log.epoch(), Epoch(u32::try_from(life).unwrap()), "a life has an epoch of its own");
        assert_eq!(all_batches(&log).last().unwrap().header().epoch, log.epoch());
        if life == 3 {
            log.seal().unwrap();
            let refused = log.append_batch(&log.claim(two), &published(two, 0, "late"));
            assert!(matches!(refused, Err(AppendError::Sealed { at: Offset(3) })), "{refused:?}");
        }
        store.close();
        if life < 3 {
            let refused = log.append_batch(&log.claim(two), &published(two, 0, "late"));
            assert!(matches!(refused, Err(AppendError::Closed)), "{refused:?}");
        }
        assert_eq!(log.queued(), Offset(life));
    }
}

#[test]
fn claims_of_as_many_producers_as_are_remembered_hold_beside_each_other() {
    let store = open(&SimDisk::new(1));
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let claims: Vec<_> = (0..4096).map(|n| log.claim(id(n))).collect();
    assert!(claims.iter().all(|claim| log.holds(claim)));
    let one_more = log.claim(id(4096));
    assert!(log.holds(&one_more) && !log.holds(&claims[0]), "the oldest is forgotten");
    assert!(claims[1..].iter().all(|claim| log.holds(claim)));
}

#[test]
fn what_is_queued_goes_into_one_batch_as_far_as_it_is_from_one_producer() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let (one, two) = (id(1), id(2));
    append(&log, "local");
    append(&log, "local too");
    log.append_batch(&log.claim(one), &published(one, 0, "of one")).unwrap();
    log.append_batch(&log.claim(one), &published(one, 1, "of one too")).unwrap();
    log.append_batch(&log.claim(two), &published(two, 2, "of two")).unwrap();
    log.append_batch(&log.claim(two), &published(two, 4, "of two after a gap")).unwrap();
    append(&log, "local again");
    commit(&store);
    let kinds: Vec<_> =
        all_batches(&log).iter().map(|batch| (batch.producer(), batch.header().record_count)).collect();
    assert_eq!(kinds, [(None, 2), (Some((one, 0)), 2), (Some((two, 2)), 1), (Some((two, 4)), 1), (None, 1)]);
    disk.kill();
    drop((log, store));
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!((log.next_sequence(one), log.next_sequence(two)), (2, 5));
}

#[test]
fn the_clock_is_looked_at_once_in_thirty_two_records_of_a_batch() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = with(&disk, &clock, 1 << 20);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let later = 1_000_000_000;
    for n in 0..70 {
        append(&log, "x");
        if n == 0 {
            clock.set(later);
        }
        if n == 40 {
            clock.set(2 * later);
        }
    }
    commit(&store);
    let (records, _) = read_from(&log, Offset(0), 1 << 20);
    let times: Vec<i64> = records.iter().map(|record| record.timestamp.0 / later).collect();
    assert_eq!(times, [[0; 32], [1; 32]].concat().into_iter().chain([2; 6]).collect::<Vec<_>>());
}

#[test]
fn the_queue_has_a_limit_over_all_its_batches_and_counts_keys_and_headers() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = with(&disk, &clock, 300 << 10);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    for _ in 0..3 {
        let taken = (0..).take_while(|_| log.append(&[0; 10_000].as_record()).is_ok()).count();
        assert!((29..=30).contains(&taken), "{taken}");
        assert!(with_cx(|cx| log.poll_capacity(cx)).is_pending());
        commit(&store);
        assert!(with_cx(|cx| log.poll_capacity(cx)).is_ready());
    }
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = with(&disk, &clock, 4000);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let large = "x".repeat(3950);
    append(&log, "first");
    for record in [NewRecord::new("p").key(large.clone()), NewRecord::new("p").header("h", &large)] {
        assert!(matches!(log.append(&record.as_record()), Err(AppendError::Full)));
    }
    let record = NewRecord::new("p").key("k").header("h", "v");
    log.append(&record.as_record()).unwrap();
    // Two published ones have room in a little more than they take.
    for sequence in 0..2 {
        log.append_batch(&log.claim(id(1)), &published(id(1), sequence, &"x".repeat(900))).unwrap();
    }
    assert_eq!(log.queued(), Offset(4));
}

#[test]
fn much_that_is_queued_is_synced_in_groups() {
    let disk = SimDisk::new(1);
    let store = with(&disk, &HandClock::default(), 64 << 20);
    let options = LogOptions { durability: Durability::Sync, ..LogOptions::default() };
    let log = store.create_or_open(&name("a"), &options).unwrap();
    append(&log, "first");
    commit(&store);
    let syncs = disk.syncs();
    for _ in 0..12 {
        log.append(&vec![0; 1 << 20].as_record()).unwrap();
    }
    commit(&store);
    assert_eq!((log.durable(), disk.syncs() - syncs), (Offset(13), 3), "four MiB at a time");
}

#[test]
fn of_what_nobody_reads_the_newest_four_kilobytes_are_in_memory() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    let ten_more = || {
        for _ in 0..10 {
            append(&log, &"x".repeat(1000));
            commit(&store);
        }
    };
    let in_memory = |offset| matches!(log.read_tail(Offset(offset)), TailRead::Batch(..));
    ten_more();
    assert_eq!([6, 7, 8, 9].map(in_memory), [false, true, true, true]);
    // From then on somebody reads.
    ten_more();
    assert!((7..20).all(in_memory) && !in_memory(6));
}

#[test]
fn a_seal_has_a_time_after_every_record() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = with(&disk, &clock, 1 << 20);
    for (channel, clock_says) in [("a", 5_000_000), ("b", 0)] {
        clock.set(1_000_000);
        let log = store.create_or_open(&name(channel), &small(Durability::Sync)).unwrap();
        append(&log, "x");
        clock.set(clock_says);
        log.seal().unwrap();
        let seal = seal_in(&disk, &segment(&log, 0), log.id());
        let (records, _) = read_from(&log, Offset(0), 1 << 20);
        let time = seal.unwrap().base_time;
        assert!(time > records[0].timestamp && time >= Timestamp(clock_says), "{time:?}");
    }
}

#[test]
fn what_was_refused_before_the_queue_was_empty_keeps_nobody_waiting() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = with(&disk, &clock, 4000);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let is_ready = || with_cx(|cx| log.poll_capacity(cx)).is_ready();
    append(&log, "first");
    assert!(matches!(log.append(&"x".repeat(3950).as_record()), Err(AppendError::Full)));
    assert!(!is_ready());
    commit(&store);
    append(&log, &"x".repeat(2000));
    assert!(is_ready(), "nothing was refused since");
    assert!(matches!(log.append(&"x".repeat(3000).as_record()), Err(AppendError::Full)));
    assert!(!is_ready());
}
