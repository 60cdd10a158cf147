//! What the streams of one connection promise each other: a fair share, bounded memory, and no lost wake-up.

#![allow(clippy::unwrap_used)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use house::{House, Link, append, name, options};
use netchan_node::Machine;
use netchan_proto::subscription::Subscription;
use netchan_proto::wire::AckLevel;
use netchan_proto::{Durability, Start};

fn until(end: u64) -> Vec<u64> {
    (0..end).collect()
}

/// A house whose logs keep next to nothing in memory.
fn cold_house() -> House {
    House::with(|options| options.tail_cache = 1)
}

#[test]
fn several_streams_share_the_connection_fairly() {
    for house in [House::new(), cold_house()] {
        let mut ids = Vec::new();
        for stream in 0..4u8 {
            let log = house.log(&format!("log{stream}"));
            for _ in 0..100 {
                // One log has batches ten times as large.
                append(&log, vec![stream; if stream == 0 { 60_000 } else { 6_000 }]);
                house.commit();
            }
        }
        let mut link = Link::new(&house);
        link.step = 16_000;
        link.peer_reads = false;
        for stream in 0..4 {
            ids.push(link.read(&format!("log{stream}"), Start::Earliest));
        }
        link.peer_reads = true;
        let mut bytes = vec![0; 4];
        while ids.iter().all(|id| link.reader(*id).got.len() < 100) && link.turn() {
            bytes =
                ids.iter().map(|id| link.reader(*id).ranges.iter().map(Bytes::len).sum::<usize>()).collect();
        }
        let (least, most) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
        assert!(least * 3 > *most, "{bytes:?}");
        link.pump();
        for id in &ids {
            assert_eq!(link.reader(*id).offsets(), until(100));
        }
    }
}

#[test]
fn readers_without_credit_do_not_keep_memory_from_the_others() {
    let house = cold_house();
    for stream in 0..6 {
        let log = house.log(&format!("log{stream}"));
        for index in 0..60u8 {
            append(&log, vec![index; 50_000]);
            house.commit();
        }
    }
    let mut link = Link::new(&house);
    let mut starving = Vec::new();
    for stream in 0..4 {
        let window = if stream == 3 { 10 } else { 70_000 };
        let mut subscription =
            Subscription::new(name(&format!("log{stream}")), Start::Earliest, window, false);
        let id = link.peer.open(&subscription.request()).unwrap();
        let mut reader = link.read_later(id, subscription);
        reader.starves = true;
        link.readers.insert(id, reader);
        starving.push(id);
    }
    link.pump();
    for id in &starving[..3] {
        assert_eq!(link.reader(*id).got.len(), 1);
    }
    let ids = [link.read("log4", Start::Earliest), link.read("log5", Start::Earliest)];
    for id in ids {
        assert_eq!(link.reader(id).offsets(), until(60));
    }
    // Whoever gave its memory up goes on where it was, to the byte.
    for id in &starving[..3] {
        link.readers.get_mut(id).unwrap().starves = false;
        let total = link.readers.get_mut(id).unwrap().subscription.credit_due().unwrap();
        link.peer.grant(*id, total);
    }
    link.pump();
    for id in &starving[..3] {
        assert_eq!(link.reader(*id).offsets(), until(60));
    }
}

#[test]
fn few_reads_are_under_way_for_all_streams_together() {
    let house = cold_house();
    for stream in 0..6 {
        let log = house.log(&format!("log{stream}"));
        for _ in 0..60 {
            append(&log, vec![1; 50_000]);
            house.commit();
        }
    }
    let mut link = Link::new(&house);
    link.peer_reads = false;
    let ids: Vec<_> = (0..6).map(|stream| link.read(&format!("log{stream}"), Start::Earliest)).collect();
    link.hold_jobs = true;
    link.peer_reads = true;
    let mut most = 0;
    loop {
        link.pump();
        most = most.max(link.jobs.len());
        let Some(job) = link.jobs.pop_front() else { break };
        job.run();
    }
    assert!((1..=4).contains(&most), "{most} reads at once");
    for id in ids {
        assert_eq!(link.reader(id).offsets(), until(60));
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // a test of threads needs some
fn no_wake_up_is_lost_between_appending_committing_and_serving_threads() {
    const COUNT: u64 = 20_000;
    for durability in [Durability::Os, Durability::Sync] {
        let house = House::with(|options| {
            options.commit = netchan_store::Commit::Threads(2.try_into().unwrap());
            options.tail_cache = 100_000;
        });
        let log = house.log_with("my_log", options(durability));
        let mut link = Link::new(&house);
        link.commits = None;
        let id = link.read("my_log", Start::Earliest);
        let published = link.publish_open("my_log", 1);
        let parked = house::Parked::here();
        link.woken_by(Arc::clone(&parked).into());
        let appender = std::thread::spawn(move || {
            for index in 0..COUNT {
                append(&log, index.to_string());
                if index % 50 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut sequence = 0;
        loop {
            while link.turn_anyway() {}
            if sequence < 100 && link.peer.room(published) > 1000 {
                link.peer.publish(published, house::batch(1, sequence, &[b"p"]));
                sequence += 1;
                continue;
            }
            let acked = link.acks(published).iter().filter(|ack| ack.level == AckLevel::Durable).count();
            if link.reader(id).got.len() as u64 == COUNT + 100 && acked == 100 {
                break;
            }
            // Time stands still but for this: in Os mode a sync is due each second.
            match link.machine.deadline() {
                Some(due) if due <= link.now.plus(Duration::from_secs(1)) => {
                    link.now = due;
                    link.machine.handle_timeout(due);
                }
                _ => assert!(parked.wait(), "stands still at {}", link.reader(id).got.len()),
            }
        }
        appender.join().unwrap();
        assert_eq!(link.reader(id).offsets(), until(COUNT + 100));
        house.store.close();
    }
}

#[test]
fn who_waited_for_what_never_came_and_left_is_forgotten() {
    let house = House::new();
    let logs =
        [Durability::Sync, Durability::Os].map(|mode| house.log_with(&mode.to_string(), options(mode)));
    for log in &logs {
        house.fill(log, 3, true);
    }
    let parked = house::Parked::here();
    let mut link = Link::new(&house);
    for log in &logs {
        let id = link.read(log.name().as_str(), Start::Earliest);
        assert_eq!(link.reader(id).got.len(), 3);
        link.seek(id, Start::Latest);
        link.pump();
    }
    link.read_with(Subscription::new(name("nobody_makes_it"), Start::Latest, 1 << 20, true));
    link.woken_by(Arc::clone(&parked).into());
    while link.turn_anyway() {}
    assert!(Arc::strong_count(&parked) > 2, "it waits");
    drop(link);
    assert_eq!(Arc::strong_count(&parked), 1);
}

#[test]
fn many_readers_of_records_larger_than_their_share_all_get_them() {
    let house = cold_house();
    let log = house.log("large");
    for index in 0..3u8 {
        append(&log, vec![index; 3 << 20]);
        house.commit();
    }
    let mut link = Link::new(&house);
    let ids: Vec<_> = (0..40)
        .map(|_| {
            let request = Subscription::new(name("large"), Start::Earliest, 100_000, false);
            link.read_with(request)
        })
        .collect();
    link.pump();
    for id in ids {
        assert_eq!(link.reader(id).offsets(), until(3));
    }
}
