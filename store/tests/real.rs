//! A store in a real directory, with its threads.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use netchan_proto::{AsRecord, Durability, Offset, Start};
use netchan_store::disk::{Disk, Open, RealDisk};
use netchan_store::{
    AppendError, Commit, Log, LogError, LogOptions, Mark, Retention, Store, StoreError, StoreOptions,
    TailRead,
};
use rig::{name, read_from, small, texts};

/// Waits in this thread for what is polled.
fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    struct Signal(Sender<()>);
    impl Wake for Signal {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let (sender, woken) = channel();
    let waker = Waker::from(Arc::new(Signal(sender)));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut cx) {
            return value;
        }
        woken.recv_timeout(Duration::from_secs(20)).expect("a wake-up was lost");
    }
}

fn open(dir: &tempfile::TempDir) -> Store {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
    loop {
        let options = StoreOptions { min_free_percent: 0, ..StoreOptions::default() };
        match Store::open(Arc::clone(&disk), options) {
            // A store that was dropped without closing is held until its threads have noticed.
            Err(StoreError::Locked { .. }) => thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn append(log: &Log, record: &[u8]) -> Offset {
    loop {
        match log.append(&record.as_record()) {
            Ok(offset) => return offset,
            Err(AppendError::Full) => wait(|cx| log.poll_capacity(cx)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn durable(log: &Log, end: Offset) {
    wait(|cx| log.poll_reached(Mark::Durable, end, cx)).unwrap();
}

#[test]
fn three_segments_are_read_after_reopening_with_and_without_closing() {
    let dir = tempfile::tempdir().unwrap();
    let sent: Vec<String> = (0..300).map(|n| format!("{n} {}", "x".repeat(70))).collect();
    let mut expected = 0;
    for round in 0..4 {
        let store = open(&dir);
        let log = store.create_or_open(&name("a/b"), &small(Durability::Sync)).unwrap();
        assert_eq!(texts(&log), sent[..expected], "round {round}");
        for text in &sent[expected..expected + 75] {
            let offset = append(&log, text.as_bytes());
            durable(&log, offset.plus(1));
        }
        expected += 75;
        assert_eq!(texts(&log), sent[..expected]);
        if round % 2 == 0 {
            store.close();
        }
    }
    let log = open(&dir).open_existing(&name("a/b")).unwrap().unwrap();
    assert!(log.info().segments >= 3);
}

#[test]
fn concurrent_appenders_keep_one_dense_order_and_each_its_own() {
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let options = LogOptions { segment_bytes: 256 << 10, ..small(durability) };
        let log = store.create_or_open(&name("a"), &options).unwrap();
        let mut offsets: Vec<Vec<Offset>> = thread::scope(|scope| {
            let appenders: Vec<_> = (0..4u32)
                .map(|thread| {
                    let log = log.clone();
                    scope.spawn(move || {
                        let record = |n: u32| format!("{thread} {n}");
                        let offsets: Vec<Offset> =
                            (0..5000).map(|n| append(&log, record(n).as_bytes())).collect();
                        durable(&log, offsets[4999].plus(1));
                        offsets
                    })
                })
                .collect();
            appenders.into_iter().map(|appender| appender.join().unwrap()).collect()
        });
        for (thread, offsets) in offsets.iter().enumerate() {
            assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));
            let (records, _) = read_from(&log, offsets[17], 1 << 20);
            assert_eq!(records[0].payload, format!("{thread} 17"));
        }
        let all: HashSet<Offset> = offsets.drain(..).flatten().collect();
        assert_eq!(all.len(), 20_000);
        assert_eq!(texts(&log).len(), 20_000);
        store.close();
    }
}

#[test]
fn a_reader_of_the_tail_is_woken_for_every_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    let reader = {
        let log = log.clone();
        thread::spawn(move || {
            let mut at = Offset(0);
            loop {
                let seen = log.seen();
                match log.read_tail(at) {
                    TailRead::Batch(_, header) => at = header.next_offset(),
                    TailRead::Cold => at = log.read(at, 1 << 20).unwrap().next,
                    TailRead::End => drop(wait(|cx| log.poll_changed(seen, cx))),
                    TailRead::Sealed(end) => return (at, end),
                    other => panic!("{other:?}"),
                }
            }
        })
    };
    for n in 0..3000u32 {
        append(&log, &n.to_le_bytes());
        if n % 50 == 0 {
            wait(|cx| log.poll_reached(Mark::Visible, log.queued(), cx)).unwrap();
        }
    }
    log.seal().unwrap();
    assert_eq!(reader.join().unwrap(), (Offset(3000), Offset(3000)));
    store.close();
}

#[test]
fn who_waits_for_a_change_is_woken_by_each() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    let (sender, got) = channel();
    let reader = {
        let log = log.clone();
        thread::spawn(move || {
            for end in 1..=300 {
                loop {
                    let seen = log.seen();
                    if log.visible() >= Offset(end) {
                        break;
                    }
                    wait(|cx| log.poll_changed(seen, cx));
                }
                sender.send(end).unwrap();
            }
        })
    };
    for end in 1..=300 {
        append(&log, b"x");
        // The next one is sent when this one was seen: no later change covers a wake-up that was lost.
        assert_eq!(got.recv_timeout(Duration::from_secs(20)), Ok(end));
    }
    reader.join().unwrap();
}

// NC-DSK-002
#[test]
fn a_second_store_on_the_same_directory_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let second = || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
        Store::open(disk, StoreOptions::default())
    };
    assert!(matches!(second(), Err(StoreError::Locked { .. })));
    store.close();
    assert!(second().is_ok());
    assert!(matches!(log.append(&"x".as_record()), Err(AppendError::Closed)));
    assert!(matches!(wait(|cx| log.poll_reached(Mark::Durable, Offset(1), cx)), Err(LogError::Closed)));
}

#[test]
fn many_logs_share_the_committers_threads() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
    let commit = Commit::Threads(NonZeroUsize::MIN);
    let store =
        Store::open(disk, StoreOptions { commit, min_free_percent: 0, ..StoreOptions::default() }).unwrap();
    let logs: Vec<Log> = (0..50)
        .map(|n| store.create_or_open(&name(&n.to_string()), &small(Durability::Sync)).unwrap())
        .collect();
    for round in 0..10u8 {
        let ends: Vec<Offset> = logs.iter().map(|log| append(log, &[round; 100]).plus(1)).collect();
        for (log, end) in logs.iter().zip(ends) {
            durable(log, end);
        }
    }
    store.close();
    let store = open(&dir);
    assert!(store.list(None, "", 100).iter().all(|info| info.next == Offset(10)));
}

#[test]
fn an_interval_passes_without_anyone_asking() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let options = LogOptions { interval: Duration::from_millis(5), ..small(Durability::Interval) };
    let log = store.create_or_open(&name("a"), &options).unwrap();
    for n in 0..5 {
        let end = append(&log, b"x").plus(1);
        wait(|cx| log.poll_reached(Mark::Visible, end, cx)).unwrap();
        let start = Instant::now();
        while log.durable() < end {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing was synced");
            thread::yield_now(); // asking with a waker would have it synced at once
        }
        assert_eq!(log.durable(), Offset(n + 1));
    }
}

#[test]
fn the_largest_record_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let record = vec![5u8; netchan_proto::limits::MAX_PAYLOAD];
    append(&log, &record);
    append(&log, b"small");
    durable(&log, Offset(2));
    store.close();
    let store = open(&dir);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    let (records, _) = read_from(&log, Offset(0), 1 << 20);
    assert_eq!(records[0].payload, record);
    assert_eq!(records[1].payload, "small");
}

/// Files below `dir` that this process has open, removed ones too.
#[cfg(target_os = "linux")]
fn open_segments(dir: &tempfile::TempDir) -> usize {
    let handles = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = handles.filter_map(|handle| std::fs::read_link(handle.unwrap().path()).ok());
    targets
        .filter(|path| path.starts_with(dir.path()) && path.to_string_lossy().contains("channels/"))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn however_many_segments_are_told_of_searched_and_trimmed_few_files_stay_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let log = store.create_or_open(&name("many"), &small(Durability::Os)).unwrap();
    for _ in 0..100 {
        append(&log, &[7; 4000]);
        log.sync().unwrap(); // a batch of its own
    }
    let info = log.info();
    assert!(info.segments > 30, "{}", info.segments);
    assert!(open_segments(&dir) <= 6, "{} after telling of them", open_segments(&dir));
    for start in [Start::Time(info.first_time), Start::Time(info.last_time)] {
        log.resolve(&start).unwrap();
    }
    assert!(open_segments(&dir) <= 6, "{} after searching them", open_segments(&dir));
    assert_eq!(texts(&log).len(), 100);
    log.set_retention(Retention { max_bytes: Some(1), ..Retention::default() }).unwrap();
    assert_eq!((log.info().segments, open_segments(&dir)), (1, 1));
}

#[test]
fn a_write_in_more_parts_than_the_system_takes_at_once_is_whole_and_directories_go_when_they_are_empty() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(dir.path().join("made")).unwrap();
    assert_eq!(disk.root(), RealDisk::existing(dir.path().join("made")).unwrap().root());
    assert!(RealDisk::existing(dir.path().join("nowhere")).is_err());
    let file = disk.open("many", Open::CreateNew).unwrap();
    let bytes: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
    // 3750 parts, some of them empty.
    let parts: Vec<std::io::IoSlice<'_>> = bytes
        .chunks(16)
        .flat_map(|chunk| [&chunk[..8.min(chunk.len())], &chunk[8.min(chunk.len())..], &[]])
        .map(std::io::IoSlice::new)
        .collect();
    file.write_all_at(&parts, 5).unwrap();
    file.write_all_at(&[], 5).unwrap();
    file.sync().unwrap();
    assert_eq!(std::fs::read(disk.root().join("many")).unwrap()[5..], bytes);
    assert_eq!((disk.size("many").unwrap(), file.size().unwrap()), (30_005, 30_005));
    file.allocate(100).unwrap();
    assert_eq!(file.size().unwrap(), 30_005, "what has more room already keeps it");
    file.allocate(40_000).unwrap();
    assert_eq!(file.size().unwrap(), 40_000);
    assert!(disk.open("many", Open::CreateNew).is_err() && disk.open("none", Open::Write).is_err());
    file.set_len(7).unwrap();
    assert_eq!(file.size().unwrap(), 7);
    assert!(disk.sync_dir("nowhere").is_err() && disk.create_dir("no/where").is_err());
    disk.create_dir("sub").unwrap();
    disk.create_dir("sub").unwrap();
    disk.rename("many", "sub/many").unwrap();
    assert!(disk.remove_dir("sub").is_err(), "it is not empty");
    disk.remove_file("sub/many").unwrap();
    disk.remove_dir("sub").unwrap();
    assert!(disk.list("").unwrap().is_empty() && disk.list("sub").is_err());
}

#[test]
fn a_store_is_closed_though_others_append_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    let (ended, ends) = channel();
    for _ in 0..3 {
        let (log, ended) = (log.clone(), ended.clone());
        thread::spawn(move || {
            let refused = loop {
                match log.append(&[7; 4000].as_record()) {
                    Ok(_) | Err(AppendError::Full) => {}
                    Err(error) => break error,
                }
            };
            ended.send(refused).unwrap();
        });
    }
    append(&log, b"they are at it");
    let closing = thread::spawn(move || store.close());
    for _ in 0..3 {
        let refused = ends.recv_timeout(Duration::from_secs(60)).expect("the store is not closed");
        assert!(matches!(refused, AppendError::Closed), "{refused}");
    }
    closing.join().unwrap();
}

/// What was just written is in memory; a system that cannot tell says so, and a reader waits there.
#[test]
fn what_is_in_the_systems_memory_is_read_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(dir.path()).unwrap();
    let file = disk.open("a", Open::CreateNew).unwrap();
    let written: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    file.write_all_at(&[std::io::IoSlice::new(&written)], 0).unwrap();
    let mut read = vec![0; 100_000];
    let mut at = 10;
    while at < written.len() {
        match file.read_at_now(&mut read[at..], at as u64) {
            Ok(count) => at += count,
            Err(_) => break,
        }
        assert_eq!(read[10..at], written[10..at]);
    }
    if cfg!(target_os = "linux") && at > 10 {
        assert_eq!(file.read_at_now(&mut read, 100_000).unwrap(), 0, "the end of the file");
    }
    println!("{at} bytes of {} without waiting", written.len());
}
