//! A store on a simulated disk, driven by hand, and what the tests look at it with.
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used)] // a panic is a failed test

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Waker};

use netchan_proto::batch::{Batch, BatchHeader, BatchKind};
use netchan_proto::{AsRecord, ChannelName, Digest, Durability, LogId, Offset, Record, Timestamp};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Buffer, Clock, Commit, Log, LogError, LogOptions, Part, Run, Store, StoreOptions};

/// A clock that is set by hand and goes on by a microsecond each time it is read.
#[derive(Clone, Default)]
pub(crate) struct HandClock(pub(crate) Arc<AtomicI64>);

impl HandClock {
    pub(crate) fn set(&self, nanos: i64) {
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

pub(crate) fn options(clock: &HandClock) -> StoreOptions {
    StoreOptions {
        commit: Commit::Manual,
        min_free_percent: 0,
        clock: Arc::new(clock.clone()),
        seed: Some(7),
        ..StoreOptions::default()
    }
}

pub(crate) fn open(disk: &SimDisk) -> Store {
    try_open(disk).unwrap()
}

pub(crate) fn try_open(disk: &SimDisk) -> Result<Store, netchan_store::StoreError> {
    // Each opening makes other identities than the ones before.
    let seed = Some(7 + disk.operations());
    let options = StoreOptions { seed, ..options(&HandClock::default()) };
    Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options)
}

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

pub(crate) fn small(durability: Durability) -> LogOptions {
    LogOptions { durability, segment_bytes: 8 << 10, ..LogOptions::default() }
}

pub(crate) fn append(log: &Log, text: &str) -> Offset {
    log.append(&text.as_record()).unwrap()
}

/// Runs what the committer would, each time a minute later: idle logs rest now and then.
pub(crate) fn commit(store: &Store) {
    static NOW: AtomicI64 = AtomicI64::new(i64::MAX / 2);
    store.run_commits(Timestamp(NOW.fetch_add(60_000_000_000, Ordering::Relaxed)));
}

pub(crate) fn with_cx<T>(poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    poll(&mut Context::from_waker(Waker::noop()))
}

/// The batches of a run, checked as a receiver does.
pub(crate) fn batches(id: LogId, mut bytes: bytes::Bytes) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(chunk) = bytes.first_chunk() {
        let header = BatchHeader::decode(chunk, &id.0).unwrap();
        batches.push(Batch::verify(bytes.split_to(header.stored_len()), &id.0).unwrap());
    }
    batches
}

/// What one pass over a log from `from` gives: its records, and the ranges that are damaged or gone.
pub(crate) fn read_from(log: &Log, from: Offset, max: usize) -> (Vec<Record>, Vec<(Offset, Offset)>) {
    let (mut records, mut holes) = (Vec::new(), Vec::new());
    let mut at = from;
    while at < log.visible() {
        match log.read(at, max) {
            Ok(run) => {
                assert!(run.first <= at && at < run.next, "{run:?} at {at}");
                let mut next = run.first;
                for batch in batches(log.id(), run.bytes) {
                    assert_eq!(batch.header().base_offset, next, "batches follow each other");
                    next = batch.header().next_offset();
                    records.extend(batch.records().map(Result::unwrap).filter(|record| record.offset >= at));
                }
                assert_eq!(next, run.next);
                at = run.next;
            }
            Err(LogError::Damaged { from, to, .. } | LogError::Trimmed { from, to }) => {
                assert!(from <= at && at < to, "{from}..{to} at {at}");
                holes.push((at, to));
                at = to;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (records, holes)
}

/// The payloads of a log without holes, from its first record on.
pub(crate) fn texts(log: &Log) -> Vec<String> {
    let (records, holes) = read_from(log, log.first(), 1 << 20);
    assert_eq!(holes, []);
    let mut expected = log.first();
    let mut before = Timestamp::MIN;
    let texts = records.iter().map(|record| {
        assert_eq!(record.offset, expected);
        assert!(record.timestamp > before);
        before = record.timestamp;
        expected = expected.plus(1);
        String::from_utf8(record.payload.to_vec()).unwrap()
    });
    texts.collect()
}

/// The path of a log's segment that begins with `base`.
pub(crate) fn segment(log: &Log, base: u64) -> String {
    format!("channels/{}/{base:020}.log", log.id())
}

/// As `log.read`, but never more than `max` bytes at a time.
pub(crate) fn read_in_parts(log: &Log, from: Offset, max: usize) -> Result<Run, LogError> {
    let mut whole = Vec::new();
    loop {
        match log.read_part(from, whole.len(), Buffer::new(max))? {
            Part::Run(run) => {
                assert!(whole.is_empty() && run.bytes.len() <= max.max(64));
                return Ok(run);
            }
            Part::OfBatch { bytes, at, len, next, .. } => {
                assert!(at == whole.len() && bytes.len() <= max && len > max && !bytes.is_empty());
                whole.extend_from_slice(&bytes);
                if whole.len() == len {
                    return Ok(Run { bytes: whole.into(), first: from, next });
                }
            }
        }
    }
}

/// What a receiver finds a log to come to that has all of it, from offset 0 on.
pub(crate) fn digest(log: &Log) -> Digest {
    let (mut digest, mut at) = (Digest::START, Offset(0));
    while at < log.visible() {
        let run = log.read(at, 10_000).unwrap();
        for batch in batches(log.id(), run.bytes) {
            assert_eq!(batch.header().base_offset, at);
            digest = digest.with(batch.header(), batch.stored());
            at = batch.header().next_offset();
        }
    }
    digest
}

/// The header of the seal in a log's segment.
pub(crate) fn seal_in(disk: &SimDisk, path: &str, id: LogId) -> Option<BatchHeader> {
    let bytes = disk.contents(path)?;
    (4096..bytes.len() - 64).step_by(8).find_map(|at| {
        let header = BatchHeader::decode(bytes[at..].first_chunk()?, &id.0).ok()?;
        (header.kind == BatchKind::Seal).then_some(header)
    })
}
