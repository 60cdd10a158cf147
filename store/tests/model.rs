//! The log against a plain vector: any series of operations, with power cuts, kills, failures and restarts among them.
//!
//! Every test run takes a slice; for the whole of it:
//!
//! ```console
//! $ NETCHAN_MODELS=100000 cargo test --release -p netchan-store --test model -- --nocapture
//! ```

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;

use netchan_proto::batch::Batch;
use netchan_proto::{AsRecord, Durability, Offset, Record, Start, Timestamp};
use netchan_store::disk::SimDisk;
use netchan_store::{AppendError, Log, LogError, LogOptions, Retention, Store, StoreOptions, TailRead};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rig::*;

#[derive(Clone, Debug)]
enum Step {
    Append { count: usize, size: usize },
    Clock(i64),
    Commit,
    Sync,
    Read { from: u64, max: usize },
    Seek { record: usize, aside: i64 },
    Trim { bytes: u64 },
    Seal,
    Delete,
    Restart,
    Kill,
    FailedSync,
    PowerCut { after: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1usize..12, 0usize..1500).prop_map(|(count, size)| Step::Append { count, size }),
        2 => (-2_000_000i64..2_000_000).prop_map(Step::Clock),
        6 => Just(Step::Commit),
        2 => Just(Step::Sync),
        4 => (0u64..400, 1usize..40_000).prop_map(|(from, max)| Step::Read { from, max }),
        2 => (0usize..400, -2i64..3).prop_map(|(record, aside)| Step::Seek { record, aside }),
        1 => (8_000u64..60_000).prop_map(|bytes| Step::Trim { bytes }),
        1 => Just(Step::Seal),
        1 => Just(Step::Delete),
        2 => Just(Step::Restart),
        2 => Just(Step::Kill),
        1 => Just(Step::FailedSync),
        2 => prop::option::of(0u64..15).prop_map(|after| Step::PowerCut { after }),
    ]
}

/// What ought to be in the log.
#[derive(Default)]
struct Model {
    sent: Vec<Vec<u8>>,
    /// Times of the records that were seen.
    times: Vec<Timestamp>,
    durable: usize,
    sealed: bool,
    /// Records that went with retention.
    trimmed: usize,
    /// As far as everything was compared, since anything but the end could have changed.
    compared: usize,
}

struct Rig {
    disk: SimDisk,
    clock: HandClock,
    options: LogOptions,
    store: Store,
    log: Log,
    model: Model,
    counter: usize,
}

impl Rig {
    fn new(seed: u64, durability: Durability) -> Rig {
        let (disk, clock, options) = (SimDisk::new(seed), HandClock::default(), small(durability));
        let store = Store::open(Arc::new(disk.clone()), rig::options(&clock)).unwrap();
        let log = store.create_or_open(&name("a"), &options).unwrap();
        Rig { disk, clock, options, store, log, model: Model::default(), counter: 0 }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append { count, size } => self.append(count, size),
            Step::Clock(by) => {
                self.clock.set((self.clock.0.load(std::sync::atomic::Ordering::Relaxed) + by).max(0))
            }
            Step::Commit => commit(&self.store),
            Step::Sync => self.sync(),
            Step::Read { from, max } => self.read(from, max),
            Step::Seek { record, aside } => self.seek(record, aside),
            Step::Trim { bytes } => {
                let before = self.log.info();
                let retention = Retention { max_bytes: Some(bytes), ..Retention::default() };
                self.log.set_retention(retention).unwrap();
                let after = self.log.info();
                assert!(after.bytes <= bytes || after.segments == 1, "{after:?} for {bytes}");
                assert!(before.bytes > bytes || after.first == before.first, "trimmed for nothing");
                assert_eq!((after.next, after.durable), (before.next, before.durable));
                self.log.set_retention(Retention::default()).unwrap();
                self.model.compared = 0;
            }
            Step::Seal => {
                let end = Offset(self.model.sent.len() as u64);
                assert_eq!(self.log.seal().unwrap(), end);
                self.model.sealed = true;
                self.model.durable = self.model.sent.len();
            }
            Step::Delete => {
                self.store.delete(&name("a")).unwrap();
                assert!(matches!(self.log.read(Offset(0), 1), Ok(_) | Err(_)));
                let old = self.log.clone();
                self.log = self.store.create_or_open(&name("a"), &self.options).unwrap();
                assert!(old.id() != self.log.id() && self.log.visible() == Offset(0));
                assert!(matches!(old.append(&"late".as_record()), Err(AppendError::Deleted)));
                self.model = Model::default();
            }
            Step::Restart => {
                self.store.close();
                self.model.durable = self.model.sent.len();
                self.reopen();
                assert_eq!(self.log.durable().0, self.model.sent.len() as u64);
            }
            Step::Kill => {
                self.note_durable();
                let written = usize::try_from(self.log.written().0).unwrap();
                self.disk.kill();
                self.reopen();
                self.forget_lost(written);
            }
            Step::FailedSync => {
                self.note_durable();
                self.append(1, 10);
                self.disk.fail_sync(1);
                // Where nothing is to be synced the failure is for whoever syncs next.
                let failed = self.log.sync().is_err();
                assert_eq!(failed, self.log.poisoned().is_some());
                if failed {
                    assert_eq!(self.log.durable().0, self.model.durable as u64);
                    self.log = self.store.create_or_open(&name("a"), &self.options).unwrap();
                    self.forget_lost(self.model.durable);
                } else {
                    assert!(self.model.sealed);
                    self.disk.fail_sync(u64::MAX);
                }
            }
            Step::PowerCut { after } => {
                if let Some(after) = after {
                    // In the middle of a commit.
                    self.disk.cut_power_at(1 + after);
                    for _ in 0..5 {
                        self.append(3, 900);
                        commit(&self.store);
                    }
                }
                self.note_durable();
                self.disk.crash();
                self.reopen();
                self.forget_lost(self.model.durable);
            }
        }
        self.check();
    }

    fn append(&mut self, count: usize, size: usize) {
        for _ in 0..count {
            self.counter += 1;
            let record = [self.counter.to_string().as_bytes(), &vec![b'.'; size][..]].concat();
            match self.log.append(&record.as_record()) {
                Ok(offset) => {
                    assert_eq!(offset, Offset(self.model.sent.len() as u64));
                    self.model.sent.push(record);
                }
                Err(AppendError::Sealed { .. }) => assert!(self.model.sealed),
                Err(AppendError::Poisoned { .. }) => assert!(self.log.poisoned().is_some()),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn sync(&mut self) {
        assert_eq!(self.log.sync().unwrap(), Offset(self.model.sent.len() as u64));
        self.note_durable();
        assert_eq!(self.model.durable, self.model.sent.len());
    }

    fn note_durable(&mut self) {
        self.model.durable = self.model.durable.max(usize::try_from(self.log.durable().0).unwrap());
    }

    fn reopen(&mut self) {
        let seed = Some(7 + self.disk.operations());
        let options = StoreOptions { seed, ..rig::options(&self.clock) };
        self.store = Store::open(Arc::new(self.disk.clone()), options).unwrap();
        self.log = self.store.create_or_open(&name("a"), &self.options).unwrap();
        assert!(!self.model.sealed || self.log.is_sealed());
        self.model.sealed = self.log.is_sealed();
    }

    /// What was not written is gone with its process, and what was not durable may be gone with the power; at least
    /// `kept` records are there.
    fn forget_lost(&mut self, kept: usize) {
        let found = usize::try_from(self.log.visible().0).unwrap();
        assert!(found >= kept.max(self.model.durable), "{found} of {kept}, {} durable", self.model.durable);
        assert!(found <= self.model.sent.len());
        self.model.sent.truncate(found);
        self.model.times.truncate(found);
        self.model.durable = found;
        self.model.compared = 0;
    }

    fn same(&self, records: &[Record], from: u64) {
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.offset.0, from + index as u64);
            assert_eq!(record.payload, self.model.sent[usize::try_from(record.offset.0).unwrap()]);
        }
    }

    fn read(&mut self, from: u64, max: usize) {
        let (first, end) = (self.log.first().0, self.log.visible().0);
        match self.log.read(Offset(from), max) {
            Ok(run) => {
                assert!(first <= from && from <= end);
                let batches = batches(self.log.id(), run.bytes.clone());
                assert_eq!(batches.is_empty(), from == end);
                assert!(run.bytes.len() <= max.max(64) || batches.len() == 1);
                let records: Vec<Record> =
                    batches.iter().flat_map(Batch::records).map(Result::unwrap).collect();
                self.same(&records, run.first.0);
            }
            Err(LogError::Trimmed { to, .. }) => assert!(from < first && to.0 == first),
            Err(LogError::BeyondEnd { .. }) => assert!(from > end),
            Err(error) => panic!("{error}"),
        }
        match self.log.read_tail(Offset(from)) {
            TailRead::Batch(bytes, header) => {
                assert!(header.base_offset.0 <= from && from < header.next_offset().0);
                let batch = Batch::verify(bytes, &self.log.id().0).unwrap();
                self.same(&batch.records().map(Result::unwrap).collect::<Vec<_>>(), header.base_offset.0);
            }
            TailRead::End => assert!(from == end && !self.model.sealed),
            TailRead::Sealed(at) => assert!(from == end && self.model.sealed && at.0 == end),
            TailRead::Gap { to } => assert!(from < first && to.0 == first),
            TailRead::Cold => assert!(first <= from && from < end),
            TailRead::Beyond => assert!(from > end),
            other => panic!("{other:?}"),
        }
    }

    fn seek(&mut self, record: usize, aside: i64) {
        let (records, holes) = read_from(&self.log, self.log.first(), 9000);
        assert_eq!(holes, []);
        let Some(chosen) = records.get(record % records.len().max(1)) else { return };
        let time = chosen.timestamp.plus_nanos(aside);
        let expected = records.iter().find(|record| record.timestamp >= time);
        let expected = expected.map_or(self.log.visible(), |record| record.offset);
        assert_eq!(self.log.resolve(&Start::Time(time)).unwrap().start, expected);
    }

    fn check(&mut self) {
        let log = &self.log;
        assert!(
            log.durable() <= log.written() && log.written() <= log.queued() && log.visible() <= log.written()
        );
        assert!(log.first() <= log.visible());
        if log.poisoned().is_none() {
            assert_eq!(log.queued().0, self.model.sent.len() as u64);
        }
        assert!(log.first().0 >= self.model.trimmed as u64, "what was trimmed is back");
        let from = log.first().max(Offset(self.model.compared as u64));
        let (records, holes) = read_from(log, from, 20_000);
        assert_eq!(holes, []);
        self.same(&records, from.0);
        assert_eq!(records.len() as u64, log.visible().0 - from.0);
        self.model.compared = usize::try_from(log.visible().0).unwrap();
        // Times strictly increase, and never change once seen.
        for record in &records {
            let index = usize::try_from(record.offset.0).unwrap();
            match self.model.times.get(index) {
                Some(&seen) => assert!(seen == record.timestamp || seen == Timestamp::MIN),
                None => {
                    self.model.times.resize(index, Timestamp::MIN);
                    assert!(self.model.times.last().is_none_or(|&before| before < record.timestamp));
                    self.model.times.push(record.timestamp);
                }
            }
        }
        self.model.trimmed = usize::try_from(log.first().0).unwrap();
    }
}

/// Sequences that every test run takes, and the most steps of one.
const SLICE: u32 = 200;
const STEPS: usize = 200;

// NC-DSK-040
#[test]
fn the_log_is_a_vector_that_survives() {
    let wanted = std::env::var("NETCHAN_MODELS").map_or(SLICE, |sequences| sequences.parse().unwrap());
    let steps = std::sync::atomic::AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    let work = || {
        let cases = wanted.div_ceil(threads);
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let sequence = (any::<u64>(), 0u8..3, prop::collection::vec(step(), 1..=STEPS));
        let done = TestRunner::new(config).run(&sequence, |(seed, mode, sequence)| {
            steps.fetch_add(sequence.len() as u64, std::sync::atomic::Ordering::Relaxed);
            let mut rig = Rig::new(seed, Durability::from_code(mode).unwrap());
            sequence.into_iter().for_each(|step| rig.run(step));
            rig.model.compared = 0;
            rig.check();
            Ok(())
        });
        done.unwrap_or_else(|error| panic!("{error}"));
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    println!("{wanted} sequences, {} steps: no difference", steps.into_inner());
}
