//! What a peer that reads with a filter is promised.

#![allow(clippy::unwrap_used)]

mod house;

use std::time::Duration;

use bytes::Bytes;
use house::{House, Link, append, name};
use netchan_node::Machine;
use netchan_proto::batch::{Batch, HEADER_LEN};
use netchan_proto::filter::View;
use netchan_proto::inflow::Inflow;
use netchan_proto::limits::{MAX_NODE_JOBS, PROGRESS_INTERVAL};
use netchan_proto::subscription::Subscription;
use netchan_proto::wire::{End, GapReason, StreamId};
use netchan_proto::{Compression, Content, Epoch, ErrorCode, Filter, NewRecord, Offset, Start, Timestamp};
use netchan_store::{Log, LogOptions, Retention};

fn cold_house() -> House {
    House::with(|options| options.tail_cache = 1)
}

fn filtered(filter: &str, start: Start) -> Subscription {
    let filter = Filter::parse(filter).unwrap();
    Subscription::new(name("my_log"), start, 1 << 20, false).filtered(Some(filter))
}

/// A reader, so that the log's tail stays in memory.
fn watch(house: &House) -> Link {
    let mut link = Link::new(house);
    link.read("my_log", Start::Latest);
    link
}

/// Records with the keys `k0` to `k9` in turn, `apart` of them a batch.
fn fill(house: &House, log: &Log, count: u64, apart: u64, bytes: usize) {
    let first = log.queued().0;
    for offset in first..first + count {
        let record = NewRecord::new(format!("{offset:0bytes$}")).key(format!("k{}", offset % 10));
        append(log, &record);
        if offset % apart == apart - 1 {
            house.commit();
        }
    }
    house.commit();
}

/// The batches that came to a reader.
fn batches(log: &Log, ranges: &[Bytes]) -> Vec<Batch> {
    let mut inflow = Inflow::new(log.id().0);
    ranges.iter().for_each(|range| inflow.push(range.clone()));
    std::iter::from_fn(|| inflow.next_batch().unwrap()).collect()
}

fn records(batches: &[Batch]) -> u32 {
    batches.iter().map(|batch| batch.header().record_count).sum()
}

/// NC-FLT-027, NC-FLT-028: from memory and from the disk.
#[test]
fn what_crosses_the_wire_is_what_passes_and_no_more() {
    for house in [House::new(), cold_house()] {
        let log = house.log_with("my_log", LogOptions { segment_bytes: 256 << 10, ..LogOptions::default() });
        let _watch = watch(&house);
        fill(&house, &log, 20_000, 700, 100);
        let mut link = Link::new(&house);
        let id = link.read_with(filtered("key == 'k3'", Start::Offset(Offset(5))));
        let reader = link.reader(id);
        assert_eq!(reader.offsets(), (5..20_000).filter(|offset| offset % 10 == 3).collect::<Vec<_>>());
        assert!(reader.got.iter().all(|(offset, payload)| *payload == format!("{offset:0100}")));
        let batches = batches(&log, &reader.ranges);
        assert_eq!(records(&batches), 1999);
        let bytes: usize = reader.ranges.iter().map(Bytes::len).sum();
        assert!(bytes < 2000 * 130 + batches.len() * 80, "{bytes} bytes for 1999 records");
        assert_eq!(reader.subscription.position().unwrap().offset, Offset(20_000));
    }
}

/// NC-FLT-028
#[test]
fn a_run_that_passes_whole_is_sent_as_it_stands() {
    for house in [House::new(), cold_house()] {
        let log = house.log("my_log");
        let _watch = watch(&house);
        fill(&house, &log, 5000, 500, 100);
        let read = |subscription| {
            let mut link = Link::new(&house);
            let id = link.read_with(subscription);
            link.reader(id).ranges.iter().flatten().copied().collect::<Vec<u8>>()
        };
        let all = read(Subscription::new(name("my_log"), Start::Earliest, 1 << 20, false));
        assert!(read(filtered("key ^= 'k' and size < 1000", Start::Earliest)) == all);
    }
}

/// NC-FLT-030, NC-STR-022
#[test]
fn a_filter_that_drops_everything_moves_the_position_all_the_same() {
    for house in [House::new(), cold_house()] {
        let log = house.log("my_log");
        let _watch = watch(&house);
        fill(&house, &log, 5000, 100, 100);
        let mut link = Link::new(&house);
        let id = link.read_with(filtered("key == 'none'", Start::Offset(Offset(7))));
        let reader = link.reader(id);
        assert_eq!(reader.got.len(), 0);
        let position = reader.subscription.position().unwrap();
        assert_eq!((position.offset, position.epoch), (Offset(5000), Epoch(1)));
        let told: usize = reader.ranges.iter().map(Bytes::len).sum();
        assert!(told <= 2 * HEADER_LEN, "{told} bytes to say that there is nothing");
        assert!(batches(&log, &reader.ranges).iter().all(|batch| batch.header().sparse));
        assert_eq!(reader.progress.last().unwrap().scanned, Offset(5000));
        log.seal().unwrap();
        link.pump();
        let reader = link.reader(id);
        assert_eq!(reader.end, Some(End::Sealed { final_offset: Offset(5000) }));
    }
}

/// NC-FLT-030: once a second at most, and then without anything else coming.
#[test]
fn at_the_tail_what_does_not_pass_is_told_once_in_a_while() {
    let house = House::new();
    let log = house.log("my_log");
    let mut link = Link::new(&house);
    let id = link.read_with(filtered("key == 'k0'", Start::Earliest));
    for _ in 0..100 {
        fill(&house, &log, 9, 1, 3);
        append(&log, "no key");
        link.pump();
    }
    let reader = link.reader(id);
    let passed = reader.got.len();
    assert!(passed >= 90, "{passed}");
    append(&log, "no key");
    link.pump();
    let before = link.reader(id).subscription.position().unwrap().offset;
    let ranges = link.reader(id).ranges.len();
    assert!(before < log.visible(), "it is told at once, each time");
    assert!(link.machine.deadline().is_some());
    link.wait(PROGRESS_INTERVAL);
    let reader = link.reader(id);
    assert_eq!(reader.subscription.position().unwrap().offset, log.visible());
    assert_eq!(reader.ranges.len(), ranges + 1);
}

/// NC-FLT-030: who wants to stop at what was there when it opened is told so at once.
#[test]
fn the_end_that_was_told_at_the_start_is_reached_at_once() {
    let house = cold_house();
    let log = house.log("my_log");
    fill(&house, &log, 40_000, 500, 100);
    let mut link = Link::new(&house);
    link.hold_jobs = true;
    let id = link.read_with(filtered("key == 'none'", Start::Earliest));
    let mut jobs = 0;
    while let Some(job) = link.jobs.pop_front() {
        job.run();
        link.pump();
        jobs += 1;
    }
    assert!(jobs > 4);
    let told = batches(&log, &link.reader(id).ranges);
    assert_eq!(told.len(), 2, "the first look, and the end");
    assert_eq!(told[1].header().next_offset(), Offset(40_000));
}

/// NC-FLT-030, NC-POS-015
#[test]
fn a_gap_comes_after_what_was_judged_before_it() {
    let house = cold_house();
    let log = house.log_with("my_log", LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() });
    fill(&house, &log, 3000, 20, 100);
    let mut link = Link::new(&house);
    link.hold_jobs = true;
    let id = link.read_with(filtered("key == 'none' or offset == 2999", Start::Earliest));
    for _ in 0..2 {
        link.jobs.pop_front().unwrap().run(); // the start, and the first run
        link.pump();
    }
    log.set_retention(Retention { max_bytes: Some(32 << 10), ..Retention::default() }).unwrap();
    house.commit();
    while let Some(job) = link.jobs.pop_front() {
        job.run();
        link.pump();
    }
    let reader = link.reader(id);
    assert_eq!(reader.gaps.len(), 1);
    assert_eq!((reader.gaps[0].to, reader.gaps[0].why), (log.first(), GapReason::Retention));
    assert!(reader.gaps[0].from > Offset(0));
    assert_eq!(reader.offsets(), [2999]);
}

/// NC-VAL-016
#[test]
fn the_time_of_an_event_is_asked_for_by_a_filter_and_by_nothing_else() {
    let house = House::new();
    let log = house.log("my_log");
    let noon = |day: i64| Timestamp((20_454 + day) * 86_400_000_000_000 + 43_200_000_000_000);
    for day in [2, 0, 1] {
        append(&log, NewRecord::new("").event_time(noon(day)));
    }
    house.commit();
    let given = |subscription| {
        let mut link = Link::new(&house);
        let id = link.read_with(subscription);
        (link.reader(id).offsets(), batches(&log, &link.reader(id).ranges))
    };
    assert_eq!(given(filtered("header.event-time >= 2026-01-02T00:00:00Z", Start::Earliest)).0, [0, 2]);
    assert_eq!(given(filtered("header.event-time < 2026-01-01T00:00:00Z + 36h", Start::Earliest)).0, [1]);
    let (_, all) = given(Subscription::new(name("my_log"), Start::Earliest, 1 << 20, false));
    let records: Vec<_> = all.iter().flat_map(Batch::records).map(Result::unwrap).collect();
    assert_eq!(
        records.iter().map(|record| record.event_time().unwrap()).collect::<Vec<_>>(),
        [2, 0, 1].map(noon)
    );
    for (at, record) in records.iter().enumerate() {
        let (offsets, _) =
            given(Subscription::new(name("my_log"), Start::Time(record.timestamp), 1 << 20, false));
        assert_eq!(offsets, (at as u64..3).collect::<Vec<_>>(), "the log's time counts");
    }
}

/// NC-FLT-031
#[test]
fn a_filter_holds_after_a_seek_too() {
    let house = House::new();
    let log = house.log("my_log");
    fill(&house, &log, 100, 7, 10);
    let mut link = Link::new(&house);
    let id = link.read_with(filtered("key == 'k4'", Start::Latest));
    assert_eq!(link.reader(id).got.len(), 0);
    link.seek(id, Start::Offset(Offset(42)));
    link.pump();
    assert_eq!(link.reader(id).offsets(), [44, 54, 64, 74, 84, 94]);
}

/// NC-FLT-024: for large records, which are judged by a job, and for small ones.
#[test]
fn a_filter_that_costs_too_much_on_a_record_ends_the_stream_there() {
    let costly = ["value ~ '*?*?*?*?*?*?*?*?*y'"; 16].join(" or ");
    for house in [House::new(), cold_house()] {
        let log = house.log("my_log");
        let _watch = watch(&house);
        fill(&house, &log, 10, 3, 100);
        append(&log, vec![b'x'; 1 << 20]);
        house.commit();
        let mut link = Link::new(&house);
        let id = link.read_with(filtered(&format!("key exists or ({costly})"), Start::Earliest));
        let reader = link.reader(id);
        assert_eq!(reader.offsets(), (0..10).collect::<Vec<_>>());
        let error = reader.error.as_ref().unwrap();
        assert_eq!((error.code, error.at, error.retryable), (ErrorCode::FILTER, Some(Offset(10)), false));
    }
}

/// NC-FLT-033
#[test]
fn payloads_that_were_transformed_are_not_judged() {
    let house = House::new();
    let log = house.log("my_log");
    assert!(log.set_content(&Content::new("json+lz4").unwrap()).unwrap());
    fill(&house, &log, 20, 5, 10);
    for filter in ["value == 'x'", "key exists and json.a == 1"] {
        let mut link = Link::new(&house);
        let id = link.read_with(filtered(filter, Start::Earliest));
        assert_eq!(link.reader(id).error.as_ref().unwrap().code, ErrorCode::FILTER);
    }
    let mut link = Link::new(&house);
    let id = link.read_with(filtered("key == 'k4' and size > 1", Start::Earliest));
    assert_eq!(link.reader(id).offsets(), [4, 14]);
}

/// NC-FLT-027, NC-FLT-028: from memory and from the disk.
#[test]
fn compressed_batches_are_judged_by_what_they_come_to() {
    for house in [House::new(), cold_house()] {
        let options = LogOptions { compression: Compression::Lz4, ..LogOptions::default() };
        let log = house.log_with("my_log", options);
        let _watch = watch(&house);
        fill(&house, &log, 500, 50, 300);
        let mut link = Link::new(&house);
        let id = link.read_with(filtered("key == 'k4' and value $= '4'", Start::Earliest));
        assert_eq!(link.reader(id).offsets(), (0..50).map(|n| n * 10 + 4).collect::<Vec<_>>());
        let mut link = Link::new(&house);
        let id = link.read_with(filtered("size == 300", Start::Earliest));
        assert_eq!(link.reader(id).offsets().len(), 500);
        let sent: usize = link.reader(id).ranges.iter().map(Bytes::len).sum();
        assert!(sent < 500 * 300 / 4, "what passes whole goes as it stands, compressed: {sent}");
    }
}

/// NC-LIM-016: also those that are larger than a run.
#[test]
fn large_records_pass_or_do_not() {
    for house in [House::new(), cold_house()] {
        let log = house.log("my_log");
        let _watch = watch(&house);
        let large = |level: &str, kib: usize| {
            NewRecord::new(format!("{{\"level\": \"{level}\", \"text\": \"{}\"}}", "x".repeat(kib << 10)))
        };
        for kib in [1, 70, 300, 1500, 5000] {
            for level in ["info", "error"] {
                append(&log, large(level, kib));
                house.commit();
            }
        }
        for step in [usize::MAX, 50_001] {
            let mut link = Link::new(&house);
            link.step = step;
            let id =
                link.read_with(filtered("json.level == 'error' and not json.text *= 'y'", Start::Earliest));
            let reader = link.reader(id);
            assert_eq!(reader.offsets(), [1, 3, 5, 7, 9]);
            assert_eq!(reader.got[4].1.len(), (5000 << 10) + 30);
            let id = link.read_with(filtered("json.level == 'info'", Start::Offset(Offset(3))));
            assert_eq!(link.reader(id).offsets(), [4, 6, 8]);
            assert_eq!(link.reader(id).subscription.position().unwrap().offset, Offset(10));
        }
    }
}

/// NC-LIM-016: of a node's jobs, half are for those who read without a filter.
#[test]
fn slow_filters_leave_others_their_turn() {
    let house = cold_house();
    let log = house.log("my_log");
    fill(&house, &log, 20_000, 500, 100);
    let slow = || filtered("json.a *= 'b' or json.b *= 'b' or value ~ '*b*b*b*b'", Start::Earliest);
    let mut slow_links: Vec<Link> = (0..MAX_NODE_JOBS).map(|_| Link::new(&house)).collect();
    for link in &mut slow_links {
        link.hold_jobs = true;
        let mut slow = slow();
        let id = link.peer.open(&slow.request()).unwrap();
        let reader = link.read_later(id, slow);
        link.readers.insert(id, reader);
        link.pump();
        // It is open, and wants to judge now.
        link.jobs.drain(..).for_each(netchan_node::Job::run);
        link.pump();
    }
    let judging: usize = slow_links.iter().map(|link| link.jobs.len()).sum();
    assert_eq!(judging, MAX_NODE_JOBS / 2);
    let mut link = Link::new(&house);
    let id = link.read("my_log", Start::Earliest);
    assert_eq!(link.reader(id).got.len(), 20_000, "who reads without a filter has to wait for those");
    // And none of them waits for ever.
    for _ in 0..1000 {
        for link in &mut slow_links {
            link.jobs.drain(..).for_each(netchan_node::Job::run);
            link.pump();
        }
    }
    for link in &slow_links {
        let reader = link.readers.values().next().unwrap();
        assert_eq!(reader.subscription.position().unwrap().offset, Offset(20_000));
    }
}

/// NC-LIM-016: at the tail, what is heavy is judged by a job, and what is light in the turn.
#[test]
fn what_takes_long_is_judged_where_nobody_waits() {
    let house = House::new();
    let log = house.log("my_log");
    let _watch = watch(&house);
    fill(&house, &log, 300, 300, 200);
    for (filter, jobs) in [("key == 'k1'", 0), (&*["value ~ '*x*y*z*'"; 8].join(" or "), 1)] {
        let mut link = Link::new(&house);
        link.hold_jobs = true;
        let id = link.read_with(filtered(filter, Start::Earliest));
        link.jobs.pop_front().unwrap().run(); // it is open
        link.pump();
        assert_eq!(link.jobs.len(), jobs, "{filter}");
        link.jobs.drain(..).for_each(netchan_node::Job::run);
        link.pump();
        let expected = if jobs == 0 { 30 } else { 0 };
        assert_eq!(link.reader(id).got.len(), expected);
        assert_eq!(link.reader(id).subscription.position().unwrap().offset, Offset(300));
    }
}

/// A slow peer's runs are given up and read again: what was begun goes on as it was.
#[test]
fn a_run_that_is_given_up_in_the_middle_goes_on_where_it_was() {
    let house = cold_house();
    let log = house.log("my_log");
    fill(&house, &log, 1500, 300, 100);
    let mut link = Link::new(&house);
    let ids: Vec<StreamId> = (0..60)
        .map(|index| {
            let filter = Filter::parse(&format!("not key == 'k{}'", index % 11)).unwrap();
            let mut subscription =
                Subscription::new(name("my_log"), Start::Earliest, 300 + index, false).filtered(Some(filter));
            let id = link.peer.open(&subscription.request()).unwrap();
            let mut reader = link.read_later(id, subscription);
            reader.starves = true;
            link.readers.insert(id, reader);
            id
        })
        .collect();
    link.pump();
    for id in &ids {
        let reader = link.readers.get_mut(id).unwrap();
        reader.starves = false;
        if let Some(total) = reader.subscription.credit_due() {
            link.peer.grant(*id, total);
        }
    }
    link.pump();
    for (index, id) in ids.iter().enumerate() {
        let dropped = index as u64 % 11;
        let expected: Vec<u64> = (0..1500).filter(|offset| offset % 10 != dropped).collect();
        assert_eq!(link.reader(*id).offsets(), expected);
    }
}

/// Small numbers from a seed.
fn dice(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

/// NC-FLT-027, NC-FLT-029, NC-FLT-030: each record that passes once, and no other, however often the connection breaks and wherever.
#[test]
fn a_thousand_cuts_lose_nothing_and_bring_nothing_twice() {
    let mut seed = 6;
    let mut cuts = 0;
    let filters = [
        "key == 'k3'",
        "key in ('k1', 'k2', 'k3', 'k5', 'k8')",
        "not key == 'k7'",
        "offset >= 2990",
        "key == 'x'",
    ];
    let mut round = 0;
    while cuts < 1000 {
        let house = if round % 2 == 0 { House::new() } else { cold_house() };
        let log = house.log_with("my_log", LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() });
        let _watch = watch(&house);
        fill(&house, &log, 3000, 1 + dice(&mut seed) as u64 % 300, 40);
        log.seal().unwrap();
        house.commit();
        let text = filters[round % filters.len()];
        let filter = Filter::parse(text).unwrap();
        let mut subscription =
            Subscription::new(name("my_log"), Start::Earliest, 2000 + dice(&mut seed) as u64 % 60_000, false)
                .filtered(Some(filter.clone()));
        let mut got = Vec::new();
        loop {
            let mut link = Link::new(&house);
            link.step = 1 + dice(&mut seed) % 6000;
            let id = link.peer.open(&subscription.request()).unwrap();
            let reader = link.read_later(id, subscription);
            link.readers.insert(id, reader);
            let turns = 4 + dice(&mut seed) % 30;
            for _ in 0..turns {
                link.turn();
                if dice(&mut seed).is_multiple_of(8) {
                    link.now = link.now.plus(Duration::from_millis(700));
                }
            }
            let reader = link.readers.remove(&id).unwrap();
            got.extend(reader.got);
            subscription = reader.subscription;
            if subscription.is_over() {
                break;
            }
            subscription.on_lost();
            cuts += 1;
            assert!(cuts < 100_000, "{text}: it does not come forward");
        }
        let expected: Vec<u64> = (0..3000)
            .filter(|offset| {
                let key = format!("k{}", offset % 10);
                let view = View { offset: Offset(*offset), key: Some(key.as_bytes()), ..View::default() };
                filter.matches(&view).unwrap()
            })
            .collect();
        assert_eq!(got.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), expected, "{text}");
        round += 1;
    }
    assert!(round > filters.len());
}
