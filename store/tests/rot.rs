//! Files that are damaged in any way: nothing panics, nothing hangs, and what is served is what was sent.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_proto::batch::{Batch, BatchHeader};
use netchan_proto::{Durability, Offset, Start, Timestamp};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Log, LogError, LogOptions};
use proptest::prelude::*;
use rig::*;

#[derive(Clone, Debug)]
enum Rot {
    Flip { at: usize },
    Zero { at: usize, len: usize },
    Cut { at: usize },
    Copy { from: usize, to: usize, len: usize },
    Grow { by: usize },
}

fn rot() -> impl Strategy<Value = Rot> {
    let at = 0usize..20_000;
    prop_oneof![
        4 => at.clone().prop_map(|at| Rot::Flip { at }),
        2 => (at.clone(), 1usize..5000).prop_map(|(at, len)| Rot::Zero { at, len }),
        1 => at.clone().prop_map(|at| Rot::Cut { at }),
        2 => (at.clone(), at, 1usize..3000).prop_map(|(from, to, len)| Rot::Copy { from, to, len }),
        1 => (1usize..9000).prop_map(|by| Rot::Grow { by }),
    ]
}

fn apply(rot: &Rot, bytes: &mut Vec<u8>) {
    let size = bytes.len().max(1);
    let range = |at: usize, len: usize| at % size..(at % size + len).min(size);
    match *rot {
        _ if bytes.is_empty() => {}
        Rot::Flip { at } => bytes[at % size] ^= 1 << (at % 7),
        Rot::Zero { at, len } => bytes[range(at, len)].fill(0),
        Rot::Cut { at } => bytes.truncate(at % size),
        Rot::Copy { from, to, len } => {
            let source = bytes[range(from, len)].to_vec();
            let target = range(to, source.len());
            bytes[target.clone()].copy_from_slice(&source[..target.len()]);
        }
        Rot::Grow { by } => bytes.resize(size + by, 0xa5),
    }
}

/// Every file of the disk.
fn files(disk: &SimDisk, dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in disk.list(dir).unwrap() {
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        match disk.list(&path) {
            Ok(_) => found.extend(files(disk, &path)),
            Err(_) => found.push(path),
        }
    }
    found
}

/// Reads what can be read, and holds each record whose batch's CRCs hold to what was sent.
fn look(log: &Log, sent: &[String]) {
    for max in [64, 1 << 20] {
        let mut at = log.first();
        while at < log.visible() {
            let read = log.read(at, max);
            match (&read, read_in_parts(log, at, max)) {
                (Ok(run), Ok(parts)) => assert!(run.bytes == parts.bytes && run.next == parts.next),
                (Err(_), Err(_)) => {}
                (read, parts) => panic!("{read:?} but in parts {parts:?}"),
            }
            match read {
                Ok(run) => {
                    assert!(run.first <= at && at < run.next && run.next <= log.visible());
                    let mut rest = run.bytes;
                    while let Some(chunk) = rest.first_chunk() {
                        let header = BatchHeader::decode(chunk, &log.id().0).unwrap();
                        let stored = rest.split_to(header.stored_len());
                        let Ok(batch) = Batch::verify(stored, &log.id().0) else { continue };
                        for record in batch.records().map(Result::unwrap) {
                            // Where nothing says that the newest records were durable, others take their place.
                            let sent = sent.get(usize::try_from(record.offset.0).unwrap());
                            assert!(record.payload == "goes on" || record.payload == *sent.unwrap());
                        }
                    }
                    at = run.next;
                }
                Err(LogError::Damaged { from, to, .. } | LogError::Trimmed { from, to }) => {
                    assert!(from <= at && at < to, "{from} to {to} at {at}");
                    at = to;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    for time in [i64::MIN, 0, 50_000, 150_000, i64::MAX] {
        assert!(log.resolve(&Start::Time(Timestamp(time))).unwrap().start <= log.visible());
    }
    log.info();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    // NC-DSK-020, NC-DSK-044
    #[test]
    fn damaged_files_never_panic_and_never_lie(
        closed in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), rot()), 1..5),
    ) {
        let disk = SimDisk::new(1);
        let sent: Vec<String> = (0..120).map(|n| format!("{n} {}", "x".repeat(n * 13 % 200))).collect();
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for (n, text) in sent.iter().enumerate() {
            append(&log, text);
            if n % 3 == 0 {
                commit(&store);
            }
        }
        log.sync().unwrap();
        if closed {
            store.close();
        }
        drop((store, log));
        disk.crash();
        let files = files(&disk, "");
        for (which, rot) in &damage {
            let path = which.get(&files);
            let mut bytes = disk.contents(path).unwrap();
            apply(rot, &mut bytes);
            disk.overwrite(path, bytes);
        }
        for _ in 0..2 {
            let Ok(store) = try_open(&disk) else { return Ok(()) };
            let Ok(Some(log)) = store.open_existing(&name("a")) else { return Ok(()) };
            look(&log, &sent);
            if !log.is_sealed() {
                let end = log.queued();
                prop_assert_eq!(append(&log, "goes on"), end);
                log.sync().unwrap();
                let (last, _) = read_from(&log, end, 1 << 20);
                prop_assert_eq!(&last[0].payload[..], &b"goes on"[..]);
                prop_assert!(end <= Offset(122));
            }
            store.close();
        }
    }
}

#[test]
fn a_time_behind_rot_is_found_though_the_index_has_passed_both() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    for n in 0..10 {
        append(&log, &n.to_string());
        commit(&store);
    }
    let times: Vec<_> = read_from(&log, Offset(0), 1 << 20).0.iter().map(|record| record.timestamp).collect();
    assert_eq!(times.len(), 10);
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    let headers: Vec<_> =
        (0..bytes.len() - 4).step_by(8).filter(|&at| bytes[at..].starts_with(b"NCB1")).collect();
    bytes[headers[3] + 16] ^= 1;
    disk.overwrite(&path, bytes);
    for (asked, found) in [(2, 2), (3, 4), (4, 4), (7, 7)] {
        assert_eq!(
            log.resolve(&Start::Time(times[asked])).unwrap().start,
            Offset(found),
            "asked for {asked}"
        );
    }
}
