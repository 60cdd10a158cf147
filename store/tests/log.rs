//! What a log promises while nothing goes wrong.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::time::Duration;

use netchan_proto::batch::{Batch, BatchBuilder, BatchHeader, Stamp};
use netchan_proto::{
    AsRecord, Compression, Durability, Epoch, NewRecord, Offset, Position, Start, Timestamp,
};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{
    AppendError, Log, LogError, LogOptions, Mark, Retention, Store, StoreError, StoreOptions, TailRead,
};
use rig::*;

#[test]
fn what_is_appended_is_read_in_order_over_segments_and_reopening() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let expected: Vec<String> = (0..500).map(|n| format!("record {n} {}", "x".repeat(n % 90))).collect();
    for (n, text) in expected.iter().enumerate() {
        assert_eq!(append(&log, text), Offset(n as u64));
        if n % 7 == 0 {
            commit(&store);
        }
    }
    commit(&store);
    assert!(log.info().segments > 3);
    assert_eq!(texts(&log), expected);
    store.close();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(texts(&log), expected);
    assert_eq!(append(&log, "more"), Offset(500));
}

#[test]
fn a_record_is_queued_then_written_then_durable() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    append(&log, "first of its epoch: synced");
    commit(&store);
    assert_eq!(log.durable(), Offset(1));
    append(&log, "x");
    assert_eq!((log.queued(), log.written(), log.durable()), (Offset(2), Offset(1), Offset(1)));
    assert_eq!(log.read_tail(Offset(1)), TailRead::End);
    commit(&store);
    assert_eq!((log.written(), log.durable(), log.visible()), (Offset(2), Offset(1), Offset(2)));
    assert!(
        matches!(log.read_tail(Offset(1)), TailRead::Batch(_, header) if header.base_offset == Offset(1))
    );
    assert!(with_cx(|cx| log.poll_reached(Mark::Written, Offset(2), cx)).is_ready());
    // Somebody wants to know: then it is synced, in this mode too.
    assert!(with_cx(|cx| log.poll_reached(Mark::Durable, Offset(2), cx)).is_pending());
    commit(&store);
    assert!(with_cx(|cx| log.poll_reached(Mark::Durable, Offset(2), cx)).is_ready());
}

#[test]
fn who_may_wait_writes_a_few_that_come_after_a_pause_and_need_one_write_each() {
    const PAUSE: i64 = 50_000;
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options(&clock)).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    let mut now = 0;
    let mut send = |log: &netchan_store::Log, after: i64, payload: &[u8]| {
        now += after;
        clock.set(now);
        let offset = log.append_waiting(&payload.as_record()).unwrap();
        log.written() > offset
    };
    assert!(!send(&log, PAUSE, b"the first of its epoch wants a sync"));
    commit(&store);
    assert!(send(&log, PAUSE, b"alone"));
    assert_eq!(log.durable(), Offset(1), "nothing is synced for it");
    assert!(matches!(log.read_tail(Offset(1)), TailRead::Batch(..)), "it is seen");
    for few in 2..=4 {
        assert!(send(&log, PAUSE - 2_000, b"soon after"), "{few} since the pause");
    }
    for _ in 0..2 {
        assert!(!send(&log, PAUSE - 2_000, b"this is a stream"));
        commit(&store);
    }
    assert!(!send(&log, PAUSE - 2_000, b"of that stream still"));
    assert!(!send(&log, PAUSE, b"while another waits"));
    commit(&store);
    assert!(send(&log, PAUSE, b"alone again"));
    assert!(with_cx(|cx| log.poll_reached(Mark::Durable, log.queued(), cx)).is_pending());
    commit(&store);
    assert!(!send(&log, PAUSE, &[0; 8 << 10]), "a segment has to be begun");
    commit(&store);
    assert!(with_cx(|cx| log.poll_reached(Mark::Visible, log.queued(), cx)).is_ready());

    let synced = store.create_or_open(&name("b"), &small(Durability::Sync)).unwrap();
    assert!(!send(&synced, PAUSE, b"first"));
    commit(&store);
    assert!(!send(&synced, PAUSE, b"it would have to be synced"));
    assert_eq!(texts(&log).len(), 11);
    store.close();
    let store = open(&disk);
    assert_eq!(texts(&store.open_existing(&name("a")).unwrap().unwrap()).len(), 11);
}

#[test]
fn in_sync_mode_nothing_is_visible_before_it_is_durable() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "x");
    assert_eq!(log.visible(), Offset(0));
    assert_eq!(log.read(Offset(0), 100).unwrap().bytes.len(), 0);
    assert_eq!(log.read_tail(Offset(1)), TailRead::Beyond);
    commit(&store);
    assert_eq!((log.visible(), log.durable()), (Offset(1), Offset(1)));
    assert_eq!(texts(&log), ["x"]);
}

#[test]
fn interval_mode_syncs_when_its_time_has_come() {
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    let store = Store::open(std::sync::Arc::new(disk), options(&clock)).unwrap();
    let options = LogOptions {
        durability: Durability::Interval,
        interval: Duration::from_secs(1),
        ..LogOptions::default()
    };
    let log = store.create_or_open(&name("a"), &options).unwrap();
    append(&log, "first");
    store.run_commits(Timestamp(0));
    append(&log, "x");
    store.run_commits(Timestamp(1_000));
    assert_eq!((log.written(), log.durable()), (Offset(2), Offset(1)));
    store.run_commits(Timestamp(999_999_999));
    assert_eq!(log.durable(), Offset(1));
    store.run_commits(Timestamp(1_000_001_000));
    assert_eq!(log.durable(), Offset(2));
}

#[test]
fn intervals_of_several_logs_that_end_at_once_are_all_synced() {
    let store =
        Store::open(Arc::new(SimDisk::new(1)) as Arc<dyn Disk>, options(&HandClock::default())).unwrap();
    let options = LogOptions {
        durability: Durability::Interval,
        interval: Duration::from_secs(1),
        ..LogOptions::default()
    };
    let logs = ["a", "b", "c"].map(|it| store.create_or_open(&name(it), &options).unwrap());
    for _ in 0..2 {
        for log in &logs {
            append(log, "x");
        }
        store.run_commits(Timestamp(0));
    }
    assert_eq!(logs.each_ref().map(Log::durable), [Offset(1); 3]);
    store.run_commits(Timestamp(1_000_000_000));
    assert_eq!(logs.each_ref().map(Log::durable), [Offset(2); 3]);
}

#[test]
fn a_sealed_log_takes_no_more_and_says_so_at_its_end() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "x");
    assert_eq!(log.seal().unwrap(), Offset(1));
    assert_eq!(log.seal().unwrap(), Offset(1));
    let ends = |log: &netchan_store::Log| {
        assert_eq!(log.sealed_at(), Some(Offset(1)));
        assert_eq!(log.read_tail(Offset(1)), TailRead::Sealed(Offset(1)));
        assert!(matches!(log.append(&"y".as_record()), Err(AppendError::Sealed { at: Offset(1) })));
    };
    ends(&log);
    disk.crash();
    let store = open(&disk);
    ends(&store.open_existing(&name("a")).unwrap().unwrap());
}

#[test]
fn a_full_queue_refuses_and_says_when_there_is_room() {
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    let mut options = options(&clock);
    options.max_queued = 10_000;
    let store = Store::open(std::sync::Arc::new(disk), options).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let record = vec![0u8; 4000];
    append(&log, "a");
    log.append(&record.as_record()).unwrap();
    log.append(&record.as_record()).unwrap();
    assert!(matches!(log.append(&record.as_record()), Err(AppendError::Full)));
    assert!(with_cx(|cx| log.poll_capacity(cx)).is_pending());
    commit(&store);
    assert!(with_cx(|cx| log.poll_capacity(cx)).is_ready());
    assert_eq!(log.append(&record.as_record()).unwrap(), Offset(3));
    commit(&store);
    // An empty queue takes what is larger than the queue.
    log.append(&vec![1u8; 1 << 20].as_record()).unwrap();
    commit(&store);
    assert_eq!(log.durable(), Offset(5));
    assert_eq!(log.read(Offset(4), 100).unwrap().next, Offset(5));
}

#[test]
fn a_batch_larger_than_what_memory_there_is_comes_in_parts() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    for size in [10, 300_000, 20, 64, 1 << 20] {
        append(&log, &"x".repeat(size));
        commit(&store);
    }
    for max in [1, 64, 1000, 65_536, 299_999, 2 << 20] {
        let mut at = Offset(0);
        while at < log.visible() {
            let (whole, parts) = (log.read(at, max).unwrap(), read_in_parts(&log, at, max).unwrap());
            assert_eq!((parts.next, &parts.bytes), (whole.next, &whole.bytes), "at {at}, {max} at a time");
            at = whole.next;
        }
    }
}

#[test]
fn keys_and_headers_come_back() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    log.append(&NewRecord::new("p").key("k").header("h", "v").as_record()).unwrap();
    commit(&store);
    let (records, _) = read_from(&log, Offset(0), 100);
    assert_eq!(records[0].key().unwrap(), "k");
    assert_eq!(records[0].headers().get("h"), Some(&b"v"[..]));
}

#[test]
fn the_end_is_a_start_and_what_is_beyond_it_is_none() {
    let store = open(&SimDisk::new(1));
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for end in 0..3 {
        assert_eq!(log.resolve(&Start::Offset(Offset(end))).unwrap().start, Offset(end));
        assert_eq!(log.resolve(&Start::Latest).unwrap().start, Offset(end));
        let beyond = log.resolve(&Start::Offset(Offset(end + 1)));
        assert!(matches!(beyond, Err(LogError::BeyondEnd { end: at, .. }) if at == Offset(end)));
        append(&log, "x");
        commit(&store);
    }
}

#[test]
fn starts_are_found_by_offset_count_and_position() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    assert_eq!(log.resolve(&Start::Earliest).unwrap().start, Offset(0));
    for n in 0..10 {
        append(&log, &n.to_string());
    }
    commit(&store);
    let start = |start| log.resolve(&start).unwrap().start;
    assert_eq!(start(Start::Earliest), Offset(0));
    assert_eq!(start(Start::Latest), Offset(10));
    assert_eq!(start(Start::Offset(Offset(3))), Offset(3));
    assert_eq!(start(Start::Last(4)), Offset(6));
    assert_eq!(start(Start::Last(40)), Offset(0));
    assert!(matches!(
        log.resolve(&Start::Offset(Offset(11))),
        Err(LogError::BeyondEnd { end: Offset(10), .. })
    ));
    let position = |epoch, offset| Position { log: log.id(), epoch: Epoch(epoch), offset: Offset(offset) };
    assert_eq!(start(Start::Resume(position(1, 7))), Offset(7));
    assert_eq!((log.epoch_before(Offset(0)), log.epoch_before(Offset(7))), (Epoch(0), Epoch(1)));
    // What was trimmed cannot be compared.
    assert_eq!(start(Start::Resume(position(0, 0))), Offset(0));
    // An epoch that this log never had: its files were put back from an older copy.
    assert!(matches!(log.resolve(&Start::Resume(position(2, 7))), Err(LogError::OtherLog { .. })));
    let other = Position { log: netchan_proto::LogId([9; 16]), ..position(1, 7) };
    assert!(matches!(log.resolve(&Start::Resume(other)), Err(LogError::OtherLog { .. })));
}

#[test]
fn timestamps_strictly_increase_over_a_clock_that_jumps_back_and_a_restart() {
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    let mut last = Timestamp::MIN;
    for round in 0..3 {
        let store = Store::open(std::sync::Arc::new(disk.clone()), options(&clock)).unwrap();
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for now in [5_000_000_000i64, 1_000_000, 7_000_000_000, 0] {
            clock.set(now - round);
            for n in 0..50 {
                append(&log, &n.to_string());
            }
            commit(&store);
        }
        let (records, _) = read_from(&log, log.first(), 1 << 20);
        for pair in records.windows(2) {
            assert!(pair[0].timestamp < pair[1].timestamp);
        }
        assert!(records.last().unwrap().timestamp > last);
        last = records.last().unwrap().timestamp;
        store.close();
    }
}

#[test]
fn a_time_is_found_exactly() {
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    let store = Store::open(std::sync::Arc::new(disk.clone()), options(&clock)).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..400i64 {
        clock.set(n * n * 10_000);
        append(&log, &"x".repeat(usize::try_from(n).unwrap() % 200));
        if n % 3 == 0 {
            commit(&store);
        }
    }
    commit(&store);
    store.close();
    let store = Store::open(std::sync::Arc::new(disk), options(&clock)).unwrap();
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    let (records, _) = read_from(&log, Offset(0), 1 << 20);
    let mut times: Vec<i64> =
        records.iter().flat_map(|r| [r.timestamp.0 - 1, r.timestamp.0, r.timestamp.0 + 1]).collect();
    times.extend([i64::MIN, -1, 0, i64::MAX]);
    // From the end, so that the index of each segment is learnt by seeking.
    for time in times.into_iter().rev() {
        let expected = records.iter().find(|r| r.timestamp.0 >= time).map_or(Offset(400), |r| r.offset);
        assert_eq!(log.resolve(&Start::Time(Timestamp(time))).unwrap().start, expected, "{time}");
    }
    clock.set(records[200].timestamp.0 + 60_000_000_000);
    let ago = log.resolve(&Start::Ago(Duration::from_secs(60))).unwrap().start;
    assert_eq!(ago, Offset(200));
}

#[test]
fn retention_removes_whole_old_segments_and_readers_learn_of_the_gap() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..300 {
        append(&log, &format!("{n} {}", "x".repeat(100)));
        commit(&store);
    }
    assert_eq!(log.first(), Offset(0), "nothing goes unless asked");
    let seen = log.seen();
    log.set_retention(Retention { max_bytes: Some(20 << 10), ..Retention::default() }).unwrap();
    assert!(with_cx(|cx| log.poll_changed(seen, cx)).is_ready());
    let first = log.first();
    assert!(first > Offset(100) && log.info().bytes <= 20 << 10, "{first}");
    assert!(matches!(log.read(Offset(5), 100), Err(LogError::Trimmed { to, .. }) if to == first));
    assert_eq!(log.read_tail(Offset(5)), TailRead::Gap { to: first });
    let resolved = log.resolve(&Start::Offset(Offset(5))).unwrap();
    assert_eq!((resolved.start, resolved.gap_from), (first, Some(Offset(5))));
    assert_eq!(texts(&log).len() as u64, 300 - first.0);
    store.close();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(log.first(), first);
    for _ in 0..100 {
        append(&log, &"y".repeat(200));
        commit(&store);
    }
    assert!(log.first() > first, "the wish was kept over the restart");
}

#[test]
fn retention_by_age_goes_by_the_last_record_of_a_segment() {
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    let store = Store::open(std::sync::Arc::new(disk), options(&clock)).unwrap();
    let retention = Retention { max_age: Some(Duration::from_secs(100)), ..Retention::default() };
    let log = store.create_or_open(&name("a"), &LogOptions { retention, ..small(Durability::Sync) }).unwrap();
    for second in 0..200i64 {
        clock.set(second * 1_000_000_000);
        append(&log, &"x".repeat(200));
        store.run_commits(Timestamp(second * 1_000_000_000));
    }
    let (records, _) = read_from(&log, log.first(), 1 << 20);
    let first = records[0].timestamp.0 / 1_000_000_000;
    assert!((60..100).contains(&first), "{first}");
    // Without appends too.
    clock.set(1_000_000_000_000);
    store.run_commits(Timestamp(1_000_000_000_000));
    assert_eq!(
        (log.info().segments, log.first()),
        (1, Offset(200)),
        "the active segment was closed for its age"
    );
    assert_eq!(append(&log, "x"), Offset(200));
}

#[test]
fn a_deleted_channel_comes_back_with_another_identity() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let old = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&old, "x");
    commit(&store);
    let seen = old.seen();
    store.delete(&name("a")).unwrap();
    assert!(with_cx(|cx| old.poll_changed(seen, cx)).is_ready());
    assert!(matches!(old.append(&"y".as_record()), Err(AppendError::Deleted)));
    assert!(!store.contains(&name("a")));
    assert!(matches!(store.delete(&name("a")), Err(StoreError::NoChannel { .. })));
    assert!(with_cx(|cx| store.poll_created(&name("a"), cx)).is_pending());
    let new = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    assert!(with_cx(|cx| store.poll_created(&name("a"), cx)).is_ready());
    assert_ne!(new.id(), old.id());
    assert_eq!(new.queued(), Offset(0));
    disk.crash();
    let store = open(&disk);
    assert_eq!(store.open_existing(&name("a")).unwrap().unwrap().id(), new.id());
}

#[test]
fn channels_are_listed_by_name() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    for channel in ["b/2", "a", "b/1", "c"] {
        store.create_or_open(&name(channel), &small(Durability::Os)).unwrap();
    }
    store.close();
    let store = open(&disk);
    let names = |after: Option<&str>, prefix: &str, limit| -> Vec<String> {
        let infos = store.list(after.map(name).as_ref(), prefix, limit);
        infos.iter().map(|info| info.name.to_string()).collect()
    };
    assert_eq!(names(None, "", 10), ["a", "b/1", "b/2", "c"]);
    assert_eq!(names(Some("a"), "", 2), ["b/1", "b/2"]);
    assert_eq!(names(None, "b/", 10), ["b/1", "b/2"]);
    assert_eq!(store.open_existing(&name("c")).unwrap().unwrap().durability(), Durability::Os);
}

// NC-DSK-002
#[test]
fn a_second_store_on_the_same_directory_is_refused() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    assert!(matches!(try_open(&disk), Err(StoreError::Locked { .. })));
    store.close();
    open(&disk);
}

#[test]
fn who_waits_past_a_seal_or_a_deletion_is_told() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let sealed = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&sealed, "x");
    commit(&store);
    let wait = |log: &netchan_store::Log| with_cx(|cx| log.poll_reached(Mark::Visible, Offset(2), cx));
    assert!(wait(&sealed).is_pending());
    sealed.seal().unwrap();
    assert!(matches!(wait(&sealed), std::task::Poll::Ready(Err(LogError::Sealed { at: Offset(1) }))));
    let deleted = store.create_or_open(&name("b"), &small(Durability::Sync)).unwrap();
    assert!(wait(&deleted).is_pending());
    store.delete(&name("b")).unwrap();
    assert!(matches!(wait(&deleted), std::task::Poll::Ready(Err(LogError::Deleted))));
}

#[test]
fn a_seal_outlives_retention_by_age_and_reopening() {
    let disk = SimDisk::new(1);
    let clock = HandClock::default();
    let store = Store::open(std::sync::Arc::new(disk.clone()), options(&clock)).unwrap();
    let retention = Retention { max_age: Some(Duration::from_secs(100)), ..Retention::default() };
    let log = store.create_or_open(&name("a"), &LogOptions { retention, ..small(Durability::Sync) }).unwrap();
    append(&log, "x");
    commit(&store);
    assert_eq!(log.seal().unwrap(), Offset(1));
    for second in [60i64, 200, 1000] {
        clock.set(second * 1_000_000_000);
        store.run_commits(Timestamp(second * 1_000_000_000));
    }
    disk.crash();
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(log.sealed_at(), Some(Offset(1)));
    assert!(matches!(log.append(&"more".as_record()), Err(AppendError::Sealed { .. })));
}

/// A published batch of one record: the sequence is its base offset.
fn published(producer: netchan_proto::ProducerId, sequence: u64, text: &str) -> Batch {
    let mut builder = BatchBuilder::new(Offset(sequence), None);
    builder.push(Timestamp(1), &text.as_record());
    let stamp = Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    Batch::verify(builder.finish(stamp).1, &producer.0).unwrap()
}

#[test]
fn an_older_life_of_a_producer_appends_nothing_and_a_full_queue_takes_a_batch_whole_or_not_at_all() {
    let disk = SimDisk::new(1);
    let options = StoreOptions { max_queued: 4000, ..options(&HandClock::default()) };
    let store = Store::open(std::sync::Arc::new(disk.clone()), options).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let producer = netchan_proto::ProducerId([3; 16]);
    let old = log.claim(producer);
    assert_eq!(log.append_batch(&old, &published(producer, 0, "first")).unwrap().count, 1);
    let new = log.claim(producer);
    assert!(!log.holds(&old) && log.holds(&new) && new.next_sequence == 1);
    let refused = log.append_batch(&old, &published(producer, 1, "late"));
    assert!(matches!(refused, Err(AppendError::Superseded)), "{refused:?}");
    assert_eq!((log.queued(), log.next_sequence(producer)), (Offset(1), 1));
    // No room: nothing of it is queued, and it is told when to come again.
    let large = published(producer, 1, &"x".repeat(3990));
    assert!(matches!(log.append_batch(&new, &large), Err(AppendError::Full)));
    assert_eq!((log.queued(), log.next_sequence(producer)), (Offset(1), 1));
    assert!(with_cx(|cx| log.poll_capacity(cx)).is_pending());
    commit(&store);
    assert!(with_cx(|cx| log.poll_capacity(cx)).is_ready());
    assert_eq!(log.append_batch(&new, &large).unwrap().first_offset, Some(Offset(1)));
    // A seal is nobody's to publish.
    let stamp = Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    let (_, seal) = netchan_proto::batch::seal_batch(Offset(2), Timestamp(9), None, stamp);
    let seal = Batch::verify(seal, &producer.0).unwrap();
    let refused = log.append_batch(&new, &seal);
    assert!(matches!(refused, Err(AppendError::NotPublishable { .. })), "{refused:?}");
    assert_eq!((log.queued(), log.is_sealed()), (Offset(2), false));
    // Nor is what a filter went over, or what is compressed.
    let sparse =
        BatchHeader { base_offset: Offset(2), offset_span: 1, sparse: true, ..BatchHeader::default() };
    let sparse = Batch::verify(sparse.encode(&producer.0).to_vec().into(), &producer.0).unwrap();
    let mut builder = BatchBuilder::new(Offset(2), None);
    builder.push(Timestamp(1), &"x".repeat(2000).as_record());
    let (_, shorter) = builder.finish_as(stamp, Compression::Lz4);
    let shorter = Batch::verify(shorter, &producer.0).unwrap();
    assert!(sparse.header().sparse && shorter.header().compression == Compression::Lz4);
    for batch in [sparse, shorter] {
        let refused = log.append_batch(&new, &batch);
        assert!(matches!(refused, Err(AppendError::NotPublishable { .. })), "{refused:?}");
        assert_eq!((log.queued(), log.next_sequence(producer)), (Offset(2), 2));
    }
}

/// Counts how often somebody is woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn who_says_that_it_waits_no_longer_is_not_kept_and_not_woken() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let wakers: [std::sync::Arc<Woken>; 2] = Default::default();
    let woken = || wakers.each_ref().map(|woken| woken.0.load(std::sync::atomic::Ordering::Relaxed));
    let both = wakers.each_ref().map(|woken| std::task::Waker::from(std::sync::Arc::clone(woken)));
    for waker in &both {
        let cx = &mut std::task::Context::from_waker(waker);
        assert!(log.poll_reached(Mark::Visible, Offset(1), cx).is_pending());
        assert!(store.poll_created(&name("b"), cx).is_pending());
        assert!(store.poll_created(&name("c"), cx).is_pending());
    }
    // Twice does not count twice, and who never waited may say so.
    assert!(store.poll_created(&name("b"), &mut std::task::Context::from_waker(&both[1])).is_pending());
    log.forget(Mark::Visible, Offset(1), &both[0]);
    log.forget(Mark::Written, Offset(7), &both[0]);
    store.forget(&name("b"), &both[0]);
    both.iter().for_each(|waker| store.forget(&name("c"), waker));
    store.forget(&name("d"), &both[0]);
    append(&log, "x");
    commit(&store);
    assert_eq!(woken(), [0, 1], "by the record");
    for made in ["b", "c"] {
        store.create_or_open(&name(made), &small(Durability::Sync)).unwrap();
    }
    assert_eq!(woken(), [0, 2], "by the channel that was made");
    drop(both);
    let kept = wakers.each_ref().map(std::sync::Arc::strong_count);
    assert_eq!(kept, [1, 1], "nobody is kept");
}

#[test]
fn what_was_not_asked_for_is_not_synced() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    append(&log, "first of its epoch: synced");
    commit(&store);
    assert_eq!(log.durable(), Offset(1));
    let syncs = disk.syncs();
    // Whoever waits for it to be written, or seen, or to be durable before it was appended, asks for none.
    for (mark, offset) in [(Mark::Written, 2), (Mark::Visible, 2), (Mark::Durable, 3)] {
        assert!(with_cx(|cx| log.poll_reached(mark, Offset(offset), cx)).is_pending());
    }
    append(&log, "x");
    commit(&store);
    assert!(with_cx(|cx| log.poll_reached(Mark::Written, Offset(2), cx)).is_ready());
    append(&log, "x");
    commit(&store);
    assert_eq!((log.written(), log.durable(), disk.syncs()), (Offset(3), Offset(1), syncs));
    // What was asked for was so once.
    assert!(with_cx(|cx| log.poll_reached(Mark::Durable, Offset(3), cx)).is_pending());
    commit(&store);
    append(&log, "x");
    commit(&store);
    assert_eq!((log.written(), log.durable(), disk.syncs()), (Offset(4), Offset(3), syncs + 1));
}

#[test]
fn whoever_waits_for_whatever_is_woken_when_it_will_not_come() {
    for end in ["closed", "deleted", "failed", "dropped"] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        append(&log, "x");
        let wakers: [Arc<Woken>; 5] = Default::default();
        for (n, woken) in wakers.iter().enumerate() {
            let waker = std::task::Waker::from(Arc::clone(woken));
            let cx = &mut std::task::Context::from_waker(&waker);
            let is_pending = match n {
                0 => log.poll_reached(Mark::Written, Offset(9), cx).is_pending(),
                1 => log.poll_reached(Mark::Durable, Offset(9), cx).is_pending(),
                2 => log.poll_reached(Mark::Visible, Offset(9), cx).is_pending(),
                3 => log.poll_changed(log.seen(), cx).is_pending(),
                _ => {
                    // It is full for what was refused.
                    while log.append(&[0; 100_000].as_record()).is_ok() {}
                    log.poll_capacity(cx).is_pending()
                }
            };
            assert!(is_pending, "{n}");
        }
        match end {
            "closed" => store.close(),
            "deleted" => store.delete(&name("a")).unwrap(),
            "dropped" => drop(store),
            _ => {
                disk.fail_sync(1);
                commit(&store);
            }
        }
        let times = wakers.each_ref().map(|woken| woken.0.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(times, [1; 5], "{end}");
        assert!(with_cx(|cx| log.poll_reached(Mark::Durable, Offset(99_999), cx)).is_ready());
    }
}

#[test]
fn a_store_that_was_dropped_takes_no_more_from_who_has_a_log_of_it() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "before");
    commit(&store);
    drop(store);
    assert!(matches!(log.append(&"after".as_record()), Err(AppendError::Closed)));
    drop(log); // it had the directory's lock
    let store = open(&disk);
    assert_eq!(texts(&store.open_existing(&name("a")).unwrap().unwrap()), ["before"]);
}

#[test]
fn who_may_not_wait_writes_nothing_even_if_it_comes_alone() {
    let (disk, clock) = (SimDisk::new(1), HandClock::default());
    let store = Store::open(Arc::new(disk) as Arc<dyn Disk>, options(&clock)).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    append(&log, "first of its epoch");
    commit(&store);
    clock.set(1_000_000_000);
    append(&log, "alone");
    assert_eq!((log.queued(), log.written()), (Offset(2), Offset(1)));
    commit(&store);
    assert_eq!(log.written(), Offset(2));
}

#[test]
fn what_is_written_is_counted() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let count = |counter| store.counters().into_iter().find(|(it, _)| *it == counter).unwrap().1;
    use netchan_proto::wire::Counter;
    let (records, bytes) = (count(Counter::RECORDS_APPENDED), count(Counter::BYTES_APPENDED));
    for n in [3, 2] {
        (0..n).for_each(|_| assert!(append(&log, "x") < Offset(5)));
        commit(&store);
    }
    let run = log.read(Offset(0), 1 << 20).unwrap();
    assert_eq!(count(Counter::RECORDS_APPENDED) - records, 5);
    assert_eq!(count(Counter::BYTES_APPENDED) - bytes, run.bytes.len() as u64);
    // Each step has the syncs of those before it.
    let steps: Vec<u64> = Counter::sync_steps().map(|(step, _)| count(step)).collect();
    assert!(steps.is_sorted() && steps.last().is_some_and(|all| *all == count(Counter::SYNCS) && *all >= 2));
    assert_eq!(count(Counter::LOGS_FAILED), 0);
    disk.fail_sync(1);
    append(&log, "x");
    commit(&store);
    assert_eq!(count(Counter::LOGS_FAILED), 1);
}
