//! What a peer that reads is promised.

#![allow(clippy::unwrap_used)]

mod house;

use std::time::Duration;

use bytes::Bytes;
use house::{House, Link, append, name, options};
use netchan_proto::batch::HEADER_LEN;
use netchan_proto::conn::Event;
use netchan_proto::inflow::Inflow;
use netchan_proto::subscription::Subscription;
use netchan_proto::wire::{End, GapReason, Open};
use netchan_proto::{Durability, Epoch, ErrorCode, LogId, Offset, Position, Start, Timestamp};
use netchan_store::disk::Disk;
use netchan_store::{LogOptions, Retention};

fn until(end: u64) -> Vec<u64> {
    (0..end).collect()
}

#[test]
fn each_kind_of_start_begins_where_it_says() {
    let house = House::new();
    let log = house.log("my_log");
    for second in 0..10i64 {
        house.clock.0.store(second * 1_000_000_000, std::sync::atomic::Ordering::Relaxed);
        append(&log, second.to_string());
        house.commit();
    }
    house.clock.0.store(10_000_000_000, std::sync::atomic::Ordering::Relaxed);
    let resume = Position { log: log.id(), epoch: Epoch(1), offset: Offset(8) };
    for (start, first) in [
        (Start::Earliest, 0),
        (Start::Latest, 10),
        (Start::Offset(Offset(4)), 4),
        (Start::Offset(Offset(10)), 10),
        (Start::Time(Timestamp(6_500_000_000)), 7),
        (Start::Time(Timestamp(60_000_000_000)), 10),
        (Start::Ago(Duration::from_secs(5)), 6),
        (Start::Last(3), 7),
        (Start::Last(100), 0),
        (Start::Resume(resume), 8),
    ] {
        let mut link = Link::new(&house);
        let id = link.read("my_log", start);
        let reader = link.reader(id);
        let opened = reader.opened.as_ref().unwrap();
        assert_eq!(opened.start, Offset(first), "{start:?}");
        assert_eq!(opened.next, Offset(10));
        assert_eq!(opened.log, log.id());
        assert_eq!(opened.epoch, if first == 0 { Epoch(0) } else { Epoch(1) }, "{start:?}");
        assert_eq!(reader.offsets(), (first..10).collect::<Vec<_>>(), "{start:?}");
        assert_eq!(reader.error, None);
    }
}

#[test]
fn what_is_appended_later_follows_as_soon_as_it_is_visible() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 3, true);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).offsets(), until(3));
    link.commits = None;
    for round in 0..50 {
        append(&log, format!("more {round}"));
        link.pump();
        assert_eq!(link.reader(id).got.len(), 3 + round, "seen before it was durable");
        house.commit();
        link.pump();
        assert_eq!(link.reader(id).got.len(), 4 + round);
    }
    assert_eq!(link.reader(id).offsets(), until(53));
}

#[test]
fn a_reader_that_asks_to_wait_gets_the_channel_when_it_is_made() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.read_with(Subscription::new(name("later"), Start::Earliest, 1 << 20, true));
    assert_eq!(link.reader(id).waiting, 1);
    assert_eq!(link.reader(id).opened, None);
    house.log("another");
    link.pump();
    assert_eq!(link.reader(id).opened, None);
    let log = house.log("later");
    link.pump();
    assert!(link.reader(id).opened.is_some());
    house.fill(&log, 2, false);
    link.pump();
    assert_eq!(link.reader(id).texts(), ["0", "1"]);
    assert_eq!(link.reader(id).waiting, 1);
}

#[test]
fn a_reader_that_does_not_wait_is_told_that_there_is_no_channel() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.read("nothing", Start::Earliest);
    let error = link.reader(id).error.clone().unwrap();
    assert_eq!((error.code, error.retryable), (ErrorCode::NO_CHANNEL, false));
    assert!(error.text.contains("nothing"));
}

#[test]
fn starts_that_cannot_be_are_refused_with_their_code() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 3, false);
    let other = Position { log: LogId([9; 16]), epoch: Epoch(1), offset: Offset(1) };
    for (start, code) in [
        (Start::Offset(Offset(4)), ErrorCode::OFFSET_BEYOND_END),
        (Start::Resume(other), ErrorCode::OTHER_LOG),
    ] {
        let mut link = Link::new(&house);
        let id = link.read("my_log", start);
        assert_eq!(link.reader(id).error.as_ref().unwrap().code, code);
    }
}

#[test]
fn credit_of_one_byte_at_a_time_still_delivers_everything() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 3, true);
    let mut link = Link::new(&house);
    let open = Open { name: name("my_log"), start: Start::Earliest, wait: false, credit: 0, filter: None };
    let id = link.peer.open(&open).unwrap();
    link.pump();
    let mut inflow = Inflow::new(log.id().0);
    let (mut received, mut records) = (0, Vec::new());
    while records.len() < 3 {
        link.peer.grant(id, received + 1);
        link.events.clear();
        link.pump();
        let ranges: Vec<Bytes> = link
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Data(_, range) => Some(range.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(ranges.iter().map(Bytes::len).collect::<Vec<_>>(), [1]);
        inflow.push(ranges[0].clone());
        received += 1;
        while let Some(batch) = inflow.next_batch().unwrap() {
            records.extend(batch.records().map(|record| record.unwrap().payload));
        }
    }
    assert_eq!(records, ["0", "1", "2"]);
}

#[test]
fn the_largest_record_arrives_whole() {
    let large: Vec<u8> = (0..16u32 << 20).map(|index| ((index * 7) >> 3) as u8).collect();
    for house in [House::new(), cold_house()] {
        let log = house.log("my_log");
        append(&log, "before");
        house.commit();
        append(&log, &large);
        house.commit();
        append(&log, "after");
        house.commit();
        let mut link = Link::new(&house);
        link.step = 100_000;
        let id = link.read("my_log", Start::Earliest);
        let got = &link.reader(id).got;
        assert_eq!(got.len(), 3);
        assert!(got[1].1 == large);
    }
}

/// A house whose logs keep next to nothing in memory.
fn cold_house() -> House {
    House::with(|options| options.tail_cache = 1)
}

#[test]
fn a_log_is_read_from_disk_where_memory_has_it_no_more() {
    let house = cold_house();
    let log = house.log_with("my_log", LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() });
    for index in 0..300u32 {
        append(&log, vec![index as u8; 20_000]);
        house.commit();
    }
    for step in [usize::MAX, 70_000, 4_001] {
        let mut link = Link::new(&house);
        link.step = step;
        let id = link.read("my_log", Start::Offset(Offset(7)));
        assert_eq!(link.reader(id).offsets(), (7..300).collect::<Vec<_>>());
        assert!(link.reader(id).got.iter().all(|(offset, payload)| payload[0] == *offset as u8));
    }
}

#[test]
fn ranges_end_where_batches_end_when_credit_is_plenty() {
    let house = cold_house();
    let log = house.log("my_log");
    for index in 0..200usize {
        append(&log, vec![1; 1 + index * 150]);
        house.commit();
    }
    for subscription_start in [Start::Earliest, Start::Offset(Offset(199))] {
        for step in [usize::MAX, 10_000] {
            let mut link = Link::new(&house);
            link.step = step;
            let id = link.read_with(Subscription::new(name("my_log"), subscription_start, 1 << 30, false));
            let ranges = &link.reader(id).ranges;
            if step == usize::MAX {
                assert!(ranges.len() < 100, "{} ranges for 3 MB", ranges.len());
            }
            for range in ranges {
                let mut rest = range.clone();
                while !rest.is_empty() {
                    let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
                    let stored = HEADER_LEN + len.next_multiple_of(8);
                    assert!(stored <= rest.len(), "a batch was cut");
                    rest = rest.slice(stored..);
                }
            }
        }
    }
}

#[test]
fn retention_before_the_start_is_a_gap_that_says_from_and_to() {
    let house = cold_house();
    let retention = Retention { max_bytes: Some(64 << 10), ..Retention::default() };
    let options = LogOptions { segment_bytes: 16 << 10, retention, ..LogOptions::default() };
    let log = house.log_with("my_log", options);
    for _ in 0..200 {
        append(&log, vec![1; 2000]);
        house.commit();
    }
    let first = log.first();
    assert!(first > Offset(3));
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Offset(Offset(3)));
    let reader = link.reader(id);
    assert_eq!(reader.opened.as_ref().unwrap().start, Offset(3));
    assert_eq!(reader.gaps.len(), 1);
    assert_eq!((reader.gaps[0].from, reader.gaps[0].to), (Offset(3), first));
    assert_eq!(reader.gaps[0].why, GapReason::Retention);
    assert_eq!(reader.offsets(), (first.0..200).collect::<Vec<_>>());
}

#[test]
fn what_is_trimmed_under_a_slow_reader_is_a_gap_too() {
    let house = cold_house();
    let retention = Retention { max_bytes: Some(64 << 10), ..Retention::default() };
    let options = LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() };
    let log = house.log_with("my_log", options);
    for _ in 0..100 {
        append(&log, vec![1; 2000]);
        house.commit();
    }
    let mut link = Link::new(&house);
    let mut subscription = Subscription::new(name("my_log"), Start::Earliest, 2072 * 2, false);
    let id = link.peer.open(&subscription.request()).unwrap();
    link.hold_jobs = true;
    let mut reader = link.read_later(id, subscription);
    reader.starves = false;
    link.readers.insert(id, reader);
    link.pump();
    link.jobs.pop_front().unwrap().run(); // it is open
    link.pump();
    log.set_retention(retention).unwrap();
    house.commit();
    let first = log.first();
    assert!(first > Offset(0));
    link.hold_jobs = false;
    while let Some(job) = link.jobs.pop_front() {
        job.run();
    }
    link.pump();
    let reader = link.reader(id);
    assert_eq!(reader.gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(Offset(0), first)]);
    assert_eq!(reader.offsets(), (first.0..100).collect::<Vec<_>>());
}

#[test]
fn a_batch_that_is_trimmed_half_sent_is_an_error_that_says_to_open_again() {
    let house = cold_house();
    let log = house.log_with("my_log", LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() });
    for _ in 0..100 {
        append(&log, vec![1; 2000]);
        house.commit();
    }
    let mut link = Link::new(&house);
    // So many that they cannot all keep what they have read.
    let open = Open { name: name("my_log"), start: Start::Earliest, wait: false, credit: 300, filter: None };
    let ids: Vec<_> = (0..60).map(|_| link.peer.open(&open).unwrap()).collect();
    link.pump();
    log.set_retention(Retention { max_bytes: Some(32 << 10), ..Retention::default() }).unwrap();
    house.commit();
    ids.iter().for_each(|id| link.peer.grant(*id, 1 << 20));
    link.pump();
    let errors: Vec<_> = ids.iter().filter_map(|id| link.stream_error(*id)).collect();
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|error| (error.code, error.retryable) == (ErrorCode::INTERNAL, true)));
}

#[test]
fn the_next_run_is_read_while_one_is_being_sent() {
    let house = cold_house();
    let log = house.log("my_log");
    for _ in 0..60 {
        append(&log, vec![1; 50_000]);
        house.commit();
    }
    let mut link = Link::new(&house);
    link.hold_jobs = true;
    let id = link.read("my_log", Start::Earliest);
    for _ in 0..2 {
        link.jobs.pop_front().unwrap().run(); // the start, and the first run
        link.peer_reads = false;
        link.pump();
    }
    assert_eq!(link.jobs.len(), 1, "the second run is not being read");
    link.hold_jobs = false;
    link.peer_reads = true;
    link.jobs.pop_front().unwrap().run();
    link.pump();
    assert_eq!(link.reader(id).offsets(), until(60));
}

#[test]
fn damage_is_a_gap_that_says_so_and_reading_goes_on_after_it() {
    let house = cold_house();
    let log = house.log_with("my_log", LogOptions { segment_bytes: 32 << 10, ..LogOptions::default() });
    for index in 0..40u8 {
        append(&log, vec![index; 1000]);
        house.commit();
    }
    let dir = format!("channels/{}", log.id());
    let files = house.disk.list(&dir).unwrap();
    let first = files.iter().filter(|file| file.ends_with(".log")).min().unwrap();
    let path = format!("{dir}/{first}");
    let mut bytes = house.disk.contents(&path).unwrap();
    let headers: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"NCB1")).collect();
    bytes[headers[3] + 20] ^= 1; // in the header of the fourth batch
    house.disk.overwrite(&path, bytes);
    let disk = house.disk.clone();
    house.store.close();
    drop((log, house));
    let house = House::on(disk, None, |options| options.tail_cache = 1);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    let reader = link.reader(id);
    assert_eq!(reader.error, None);
    let gaps: Vec<_> = reader.gaps.iter().map(|gap| (gap.from, gap.to, gap.why)).collect();
    assert_eq!(gaps, [(Offset(3), Offset(4), GapReason::Damaged)]);
    assert_eq!(reader.offsets(), (0..3).chain(4..40).collect::<Vec<_>>());
}

#[test]
fn a_roll_back_reaches_the_reader_as_truncated_once() {
    let house = House::new();
    let log = house.log_with("my_log", options(Durability::Os));
    house.fill(&log, 5, false);
    log.sync().unwrap();
    for index in 5..9 {
        append(&log, index.to_string());
    }
    house.commit();
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).offsets(), until(9));
    let position = link.reader(id).subscription.position().unwrap();
    drop((link, log));
    let disk = house.disk.clone();
    disk.crash();
    drop(house);
    let house = House::on(disk, None, |_| ());
    let log = house.log_with("my_log", options(Durability::Os));
    let kept = log.visible().0;
    assert!((5..=9).contains(&kept));
    for index in 0..10 {
        append(&log, format!("again {index}"));
    }
    house.commit();
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Resume(position));
    let reader = link.reader(id);
    assert_eq!(reader.opened.as_ref().unwrap().start, Offset(9));
    if kept < 9 {
        assert_eq!(reader.truncated.len(), 1);
        let truncated = reader.truncated[0];
        assert_eq!((truncated.epoch, truncated.log_epoch), (Epoch(1), Epoch(2)));
        assert_eq!(truncated.end, Offset(kept));
    }
    assert_eq!(reader.offsets(), (kept..kept + 10).collect::<Vec<_>>());
    assert!(kept < 9, "the seed of the disk should lose something");
}

#[test]
fn a_roll_back_is_told_also_where_retention_has_gone_past_it() {
    let house = House::new();
    let small = LogOptions { segment_bytes: 8 << 10, ..options(Durability::Os) };
    let log = house.log_with("my_log", small);
    house.fill(&log, 5, false);
    log.sync().unwrap();
    for index in 5..9 {
        append(&log, index.to_string());
    }
    house.commit();
    let position = Position { log: log.id(), epoch: Epoch(1), offset: Offset(9) };
    drop(log);
    let disk = house.disk.clone();
    disk.crash();
    drop(house);
    let house = House::on(disk, None, |_| ());
    let log = house.log_with("my_log", small);
    let kept = log.visible();
    assert!(kept < Offset(9), "the seed of the disk should lose something");
    for _ in 0..50 {
        append(&log, vec![1; 2000]);
        house.commit();
    }
    log.set_retention(Retention { max_bytes: Some(20_000), ..Retention::default() }).unwrap();
    house.commit();
    let first = log.first();
    assert!(first > Offset(9));
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Resume(position));
    let reader = link.reader(id);
    assert_eq!(reader.truncated.iter().map(|cut| cut.end).collect::<Vec<_>>(), [kept]);
    let gaps: Vec<_> = reader.gaps.iter().map(|gap| (gap.from, gap.to, gap.epoch)).collect();
    assert_eq!(gaps, [(kept, first, Epoch(2))]);
    assert_eq!(reader.got[0].0, first.0);
}

#[test]
fn a_seek_goes_on_elsewhere_and_each_is_answered_in_order() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 20, true);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    link.seek(id, Start::Offset(Offset(15)));
    link.pump();
    link.seek(id, Start::Earliest);
    link.seek(id, Start::Last(2));
    link.seek(id, Start::Offset(Offset(19)));
    link.pump();
    let reader = link.reader(id);
    assert_eq!(reader.seeked, [1, 2, 3, 4]);
    let expected: Vec<u64> = (0..20).chain(15..20).chain(19..20).collect();
    assert_eq!(reader.offsets(), expected);
    append(&log, "on");
    link.pump();
    assert_eq!(link.reader(id).got.last().unwrap().0, 20);
}

#[test]
fn close_is_answered_and_nothing_follows() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 2, false);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    link.peer.close_stream(id);
    link.pump();
    assert_eq!(link.reader(id).end, Some(End::Closed));
    append(&log, "more");
    link.pump();
    assert_eq!(link.reader(id).got.len(), 2);
}

#[test]
fn a_seal_ends_the_stream_after_the_last_record() {
    // NC-STR-039
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 4, true);
    let mut link = Link::new(&house);
    let (early, tail) = (link.read("my_log", Start::Earliest), link.read("my_log", Start::Latest));
    append(&log, "last");
    log.seal().unwrap();
    link.pump();
    for (id, from) in [(early, 0), (tail, 4)] {
        assert_eq!(link.reader(id).end, Some(End::Sealed { final_offset: Offset(5) }));
        assert_eq!(link.reader(id).offsets(), (from..5).collect::<Vec<_>>());
        assert!(log.digest().is_some() && link.reader(id).digest == log.digest());
    }
    assert_eq!(link.reader(early).subscription.digest(), log.digest(), "what was read comes to the same");
    let late = link.read("my_log", Start::Last(1));
    assert!(link.reader(late).opened.as_ref().unwrap().sealed);
    assert_eq!(link.reader(late).texts(), ["last"]);
    assert_eq!(link.reader(late).end, Some(End::Sealed { final_offset: Offset(5) }));
}

#[test]
fn a_sealed_log_is_read_from_disk_to_its_end() {
    let house = cold_house();
    let log = house.log("my_log");
    house.fill(&log, 50, true);
    log.seal().unwrap();
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).offsets(), until(50));
    assert_eq!(link.reader(id).end, Some(End::Sealed { final_offset: Offset(50) }));
}

#[test]
fn deletion_ends_a_stream_with_its_code() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 2, false);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    house.node.delete(&name("my_log")).unwrap();
    link.pump();
    assert_eq!(link.reader(id).error.as_ref().unwrap().code, ErrorCode::DELETED);
    assert_eq!(link.reader(id).got.len(), 2);
}

/// NC-STR-035, NC-POS-007
#[test]
fn a_late_reader_of_a_channel_that_was_made_again_is_told_and_gets_nothing_of_the_new_one() {
    let house = cold_house();
    let old = house.log("my_log");
    house.fill(&old, 300, true);
    let mut link = Link::new(&house);
    // One is there all the time, and one comes back with its position.
    let tail = link.read("my_log", Start::Offset(Offset(298)));
    let position = Position { log: old.id(), epoch: old.epoch(), offset: Offset(2) };
    house.node.delete(&name("my_log")).unwrap();
    let new = house.log("my_log");
    house.fill(&new, 305, true);
    link.pump();
    assert_eq!(link.reader(tail).error.as_ref().map(|error| error.code), Some(ErrorCode::DELETED));
    assert_eq!(link.reader(tail).offsets(), [298, 299]);
    let late = link.read("my_log", Start::Resume(position));
    assert_eq!(link.reader(late).error.as_ref().map(|error| error.code), Some(ErrorCode::OTHER_LOG));
    assert!(link.reader(late).got.is_empty());
}

#[test]
fn what_is_visible_of_a_log_that_failed_is_served_before_the_error() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 3, true);
    house.disk.fail_sync(1);
    append(&log, "lost");
    house.commit();
    assert!(log.poisoned().is_some());
    // The log is opened anew by who asks for it, so a reader of the old one is what is looked at.
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 3, true);
    let mut link = Link::new(&house);
    link.step = 50;
    let id = link.read("my_log", Start::Earliest);
    house.disk.fail_sync(1);
    append(&log, "lost");
    link.pump();
    let error = link.reader(id).error.clone().unwrap();
    assert_eq!((error.code, error.retryable), (ErrorCode::POISONED, true));
    assert_eq!(link.reader(id).offsets(), until(3));
    let again = link.read("my_log", Start::Earliest);
    assert!(link.reader(again).offsets().starts_with(&until(3)));
    assert_eq!(link.reader(again).error, None);
}

#[test]
fn progress_comes_at_the_tail_and_at_most_once_a_second() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 2, false);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    let told = |link: &Link| link.reader(id).progress.iter().map(|it| it.scanned.0).collect::<Vec<_>>();
    assert_eq!(told(&link), [2]);
    for _ in 0..10 {
        append(&log, "more");
        link.pump();
    }
    assert_eq!(told(&link), [2]);
    link.wait(Duration::from_secs(1));
    append(&log, "more");
    link.pump();
    assert_eq!(told(&link), [2, 13]);
}

#[test]
fn a_job_that_is_never_run_ends_its_stream_and_no_other() {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, 2, false);
    let mut link = Link::new(&house);
    link.hold_jobs = true;
    let lost = link.read("my_log", Start::Earliest);
    let kept = link.read("my_log", Start::Earliest);
    drop(link.jobs.pop_front());
    link.jobs.pop_front().unwrap().run();
    link.pump();
    let error = link.reader(lost).error.clone().unwrap();
    assert_eq!((error.code, error.retryable), (ErrorCode::GOING_AWAY, true));
    assert_eq!(link.reader(kept).offsets(), until(2));
}
