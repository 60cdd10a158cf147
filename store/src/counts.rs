//! What the logs of a store have done since it was opened, and what they take.
//!
//! Owns the numbers. A log adds to them once a group or a sync, not once a record.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::wire::Counter;

use crate::clock::Clock;

/// The shortest step: syncs that took at most so many nanoseconds. Each of the next ones is twice as long.
const FIRST_STEP: u64 = 64_000;
/// Steps there are; what took longer is in none.
const STEPS: usize = 15;

/// Numbers that logs add to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    records: AtomicU64,
    bytes: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    steps: [AtomicU64; STEPS],
    failed: AtomicU64,
}

impl Tally {
    /// A group of batches was written.
    pub(crate) fn wrote(&self, records: u64, bytes: u64) {
        add(&self.records, records);
        add(&self.bytes, bytes);
        add(&self.writes, 1);
    }

    /// Syncs, and notes how long it took.
    pub(crate) fn time_sync(
        &self,
        clock: &dyn Clock,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let before = clock.now();
        sync()?;
        let nanos = u64::try_from(clock.now().since(before).as_nanos()).unwrap_or(u64::MAX);
        add(&self.syncs, 1);
        add(&self.sync_nanos, nanos);
        if let Some(step) = self.steps.get(step_of(nanos)) {
            add(step, 1);
        }
        Ok(())
    }

    /// A log has failed.
    pub(crate) fn log_failed(&self) {
        add(&self.failed, 1);
    }

    /// Each, with what it is the number of.
    pub(crate) fn report(&self, counters: &mut Vec<(Counter, u64)>) {
        counters.extend([
            (Counter::RECORDS_APPENDED, get(&self.records)),
            (Counter::BYTES_APPENDED, get(&self.bytes)),
            (Counter::WRITES, get(&self.writes)),
            (Counter::SYNC_TIME, get(&self.sync_nanos)),
            (Counter::LOGS_FAILED, get(&self.failed)),
        ]);
        // Steps before the whole: who reads never finds more in the steps.
        let mut sum = 0;
        for ((counter, _), step) in Counter::sync_steps().zip(&self.steps) {
            sum += get(step);
            counters.push((counter, sum));
        }
        counters.push((Counter::SYNCS, get(&self.syncs).max(sum)));
    }
}

/// The first step that is at least so long; `STEPS` or more if none is.
fn step_of(nanos: u64) -> usize {
    nanos.div_ceil(FIRST_STEP).max(1).next_power_of_two().trailing_zeros() as usize
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use netchan_proto::{AsRecord, ChannelName, Timestamp};

    use super::*;
    use crate::disk::SimDisk;
    use crate::{Commit, LogOptions, Store, StoreOptions};

    #[test]
    fn what_channels_take_is_told_without_opening_their_logs() {
        let disk = SimDisk::new(1);
        let open = || {
            let options = StoreOptions { commit: Commit::Manual, ..StoreOptions::default() };
            Store::open(Arc::new(disk.clone()), options).unwrap()
        };
        let told = |store: &Store| {
            let counters = store.counters();
            [Counter::CHANNELS, Counter::LOGS_OPEN, Counter::BYTES_ON_DISK]
                .map(|counter| counters.iter().find(|told| told.0 == counter).unwrap().1)
        };
        let store = open();
        let kept = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
        for name in ["a", "b"] {
            let log = store.create_or_open(&ChannelName::new(name).unwrap(), &kept).unwrap();
            for _ in 0..5 {
                log.append(&vec![7; 30_000][..].as_record()).unwrap();
                store.run_commits(Timestamp(0));
            }
        }
        let bytes = store.list(None, "", 9).iter().map(|info| info.bytes).sum();
        assert_eq!(told(&store), [2, 2, bytes]);
        store.close();
        drop(store);
        let store = open();
        assert_eq!(told(&store), [2, 0, bytes]);
        store.open_existing(&ChannelName::new("a").unwrap()).unwrap();
        assert_eq!(told(&store), [2, 1, bytes]);
        store.delete(&ChannelName::new("b").unwrap()).unwrap();
        assert_eq!(told(&store), [1, 1, bytes / 2]);
    }

    #[test]
    fn each_time_is_in_the_first_step_that_includes_it() {
        let steps: Vec<u64> = Counter::sync_steps().map(|(_, nanos)| nanos).collect();
        assert_eq!(steps.len(), STEPS);
        for nanos in [0, 1, 63_999, 64_000, 64_001, 128_000, 128_001, 5_000_000, 1_048_576_000] {
            let step = step_of(nanos);
            assert!(nanos <= steps[step] && (step == 0 || nanos > steps[step - 1]), "{nanos} in {step}");
        }
        assert!(step_of(1_048_576_001) == STEPS && step_of(u64::MAX / 2) > STEPS);
    }
}
