//! What a log of many closed segments costs: opening it and finding a time in it take what one segment takes, however many there
//! are. (How long it takes is measured by `examples/many_segments.rs`.)
#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::{Durability, Offset, Start};
use netchan_store::disk::{Disk, DiskFile, DiskLock, Open, SimDisk, Space};
use netchan_store::{Log, LogOptions, Store};
use rig::*;

/// A disk that counts what is read from it.
#[derive(Clone, Debug)]
struct Counting {
    disk: SimDisk,
    opens: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Counting {
    fn new(disk: &SimDisk) -> Counting {
        Counting { disk: disk.clone(), opens: Arc::default(), bytes: Arc::default() }
    }

    /// Files opened and bytes read since the last time.
    fn take(&self) -> (u64, u64) {
        (self.opens.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct CountingFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl Disk for Counting {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(CountingFile(self.disk.open(path, how)?, Arc::clone(&self.bytes))))
    }
    fn size(&self, path: &str) -> io::Result<u64> {
        self.disk.size(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }
    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(path)
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        let read = self.0.read_at(into, at)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.0.write_all_at(parts, at)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

/// A log of so many segments of one record each, and the disk that it was opened from; with what opening it took.
fn opened(segments: u64) -> (Counting, Store, Log, (u64, u64)) {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let kept = LogOptions { segment_bytes: 8 << 10, ..small(Durability::Os) };
    let log = store.create_or_open(&name("a"), &kept).unwrap();
    for n in 0..segments {
        append(&log, &format!("{n} {}", "x".repeat(4000)));
        commit(&store);
    }
    assert_eq!(log.info().segments, segments);
    store.close();
    drop((log, store));
    let counting = Counting::new(&disk);
    let store = Store::open(Arc::new(counting.clone()), options(&HandClock::default())).unwrap();
    counting.take();
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    let took = counting.take();
    (counting, store, log, took)
}

#[test]
fn opening_reads_the_newest_segment_and_nothing_of_closed_ones() {
    let (_, _, _, few) = opened(3);
    let (_, _, log, many) = opened(300);
    assert_eq!(log.durable(), Offset(300));
    assert_eq!(few, many, "files opened, bytes read");
}

#[test]
fn a_time_is_found_in_as_many_steps_as_the_number_of_segments_has_digits() {
    let records = {
        let (_, _store, log, _) = opened(300);
        read_from(&log, Offset(0), 1 << 20).0
    };
    // The same once more, of which nothing has been read.
    let (disk, _store, log, _) = opened(300);
    for at in [0_usize, 1, 77, 150, 298, 299] {
        disk.take();
        let found = log.resolve(&Start::Time(records[at].timestamp)).unwrap();
        assert_eq!(found.start, records[at].offset);
        let (opens, bytes) = disk.take();
        // 9 heads of 4 KiB, and one segment, which it may have to read from its start.
        assert!(opens <= 11 && bytes <= 11 * 4096 + 2 * 8192, "{opens} files, {bytes} bytes");
        assert_eq!(log.resolve(&Start::Time(records[at].timestamp)).unwrap(), found);
        let (opens, bytes) = disk.take();
        assert!(opens <= 1 && bytes <= 2 * 8192, "again: {opens} files, {bytes} bytes");
    }
}

#[test]
fn what_there_is_to_say_of_a_log_is_said_without_opening_its_closed_segments() {
    let (disk, store, log, _) = opened(300);
    let info = log.info();
    assert_eq!((info.segments, info.next), (300, Offset(300)));
    let (opens, bytes) = disk.take();
    assert!(opens <= 1 && bytes <= 4096 + 8192, "{opens} files, {bytes} bytes");
    store.close();
    // Nor of one that is not open.
    let store = Store::open(Arc::new(disk.clone()), options(&HandClock::default())).unwrap();
    disk.take();
    assert_eq!(store.list(None, "", 10), [info]);
    let (opens, bytes) = disk.take();
    assert!(opens <= 4 && bytes <= 4 * (4096 + 8192), "{opens} files, {bytes} bytes");
}
