//! The bound on log bytes that one connection holds in memory: what is being read from the disk, is read ahead, or
//! is being sent, whoever reads it.
//!
//! The more streams there are, the smaller their reads; and the less memory the node has free, the smaller those of all
//! connections, but for one that moves much. Who finds no room waits in line; who has some and cannot send gives it back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use netchan_proto::limits::BATCH_TARGET;
use netchan_proto::wire::StreamId;
use netchan_store::{Buffer, Buffers, Part};

use crate::budget::{Budget, Held, SHARE};

/// Bytes of runs that one connection may have at a time: one that is sent, and one that is read ahead.
const HELD_BYTES: usize = 2 * RUN_BYTES;
/// The most bytes of log that one read asks for, and the least.
const RUN_BYTES: usize = 1 << 20;
const MIN_RUN_BYTES: usize = BATCH_TARGET;
/// The most bytes of a run that nobody has read ahead: it is read in a turn of the connection, and stays in the processor's cache
/// until it is sent.
const AT_ONCE_BYTES: usize = 256 << 10;

/// The right to hold one run. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot {
    held: Arc<AtomicUsize>,
    counted: Option<Held>,
    buffers: Buffers,
    bytes: usize,
}

impl Slot {
    /// Bytes that it is for.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }

    /// Memory for the run.
    pub(super) fn buffer(&self) -> Buffer {
        self.buffers.take(self.bytes)
    }

    /// The same run. The node counts it until its last slice is gone. A short one is copied, to let go of what was read
    /// with it.
    pub(super) fn hold(&mut self, run: Bytes) -> Bytes {
        let Some(mut counted) = self.counted.take().filter(|_| !run.is_empty()) else { return Bytes::new() };
        // What passes a filter has more to say of each record than what it was made of.
        if let Some(more) = run.len().checked_sub(self.bytes).filter(|more| *more > 0) {
            self.bytes += more;
            self.held.fetch_add(more, Ordering::AcqRel);
            counted.set(self.bytes);
        }
        if run.len() > self.bytes / 2 {
            return Bytes::from_owner(Run { run, _counted: counted });
        }
        let run = Bytes::copy_from_slice(&run);
        let unused = self.bytes - run.len();
        self.bytes -= unused;
        self.held.fetch_sub(unused, Ordering::AcqRel);
        counted.set(self.bytes);
        Bytes::from_owner(Run { run, _counted: counted })
    }
}

impl Slot {
    /// As [`hold`](Self::hold), what was read.
    pub(super) fn hold_part(&mut self, part: Part) -> Part {
        match part {
            Part::Run(run) => Part::Run(netchan_store::Run { bytes: self.hold(run.bytes), ..run }),
            Part::OfBatch { bytes, at, len, records, next } => {
                Part::OfBatch { bytes: self.hold(bytes), at, len, records, next }
            }
        }
    }
}

/// A run, and what is counted for it.
struct Run {
    run: Bytes,
    _counted: Held,
}

impl AsRef<[u8]> for Run {
    fn as_ref(&self) -> &[u8] {
        &self.run
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// The slots of one connection.
#[derive(Debug)]
pub(super) struct Slots {
    budget: Budget,
    /// Bytes that the connection moves in a second.
    pace: u64,
    held: Arc<AtomicUsize>,
    line: VecDeque<StreamId>,
    /// The first in line waits for other connections' memory.
    starves: bool,
}

impl Slots {
    pub(super) fn new(budget: &Budget) -> Slots {
        Slots { budget: budget.clone(), pace: 0, held: Arc::default(), line: VecDeque::new(), starves: false }
    }

    /// The connection moves so many bytes a second, of late.
    pub(super) fn keep_pace(&mut self, pace: u64) {
        self.pace = pace;
    }

    /// A slot for `stream`, one of so many `readers`, or a place in line. It is for a run that is read at once, if that is in memory.
    pub(super) fn take(&mut self, stream: StreamId, readers: usize) -> Option<Slot> {
        let turn = self.line.front().is_none_or(|first| *first == stream);
        if turn && let Some(slot) = self.free(readers, AT_ONCE_BYTES) {
            self.line.pop_front();
            self.starves = false;
            return Some(slot);
        }
        if !self.line.contains(&stream) {
            self.line.push_back(stream);
        }
        self.starves = self.share() < MIN_RUN_BYTES;
        None
    }

    /// Whether somebody in line waits for what other connections have.
    pub(super) fn starves(&self) -> bool {
        self.starves && self.is_wanted()
    }

    /// Bytes that are taken.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// A slot that nobody else waits for, or that is free again before that matters: what is read ahead for who moves it at once.
    pub(super) fn spare(&mut self, readers: usize) -> Option<Slot> {
        let is_short =
            self.budget.are_bytes_wanted() && !self.budget.moves(self.pace, self.held() + MIN_RUN_BYTES);
        if self.is_wanted() || is_short { None } else { self.free(readers, RUN_BYTES) }
    }

    /// Whether somebody waits in line.
    pub(super) fn is_wanted(&self) -> bool {
        !self.line.is_empty()
    }

    /// Whether it stands in line.
    pub(super) fn awaits(&self, stream: StreamId) -> bool {
        self.line.contains(&stream)
    }

    /// `stream` needs none any more.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.line.retain(|waiting| *waiting != stream);
    }

    /// What the node can spare for a run.
    fn share(&self) -> usize {
        self.budget.share(self.pace)
    }

    fn free(&self, readers: usize, most: usize) -> Option<Slot> {
        let held = self.held.load(Ordering::Acquire);
        let own = (RUN_BYTES / readers.max(1)).max(MIN_RUN_BYTES);
        let share = self.share();
        // Of few sizes: memory of the same size is used again.
        let bytes = 1 << own.min(share).min(most).max(1).ilog2();
        // Where memory is short: one that is sent and one that is read ahead, however many streams there are.
        let is_short = share < own && held + bytes > 2 * (share + held / SHARE);
        if held + own > HELD_BYTES || is_short || bytes < MIN_RUN_BYTES {
            return None;
        }
        // Only this connection's own turn takes slots; other threads give them back.
        self.held.fetch_add(bytes, Ordering::AcqRel);
        let (held, counted) = (Arc::clone(&self.held), Some(self.budget.count(bytes)));
        Some(Slot { held, counted, buffers: self.budget.buffers().clone(), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    fn slots_of(memory: usize) -> Slots {
        Slots::new(&Budget::new(Limits { memory, ..Limits::default() }))
    }

    fn slots() -> Slots {
        slots_of(1 << 30)
    }

    #[test]
    fn slots_go_in_line_and_come_back_when_dropped() {
        let mut slots = slots();
        let a = slots.take(StreamId(1), 1).unwrap();
        let b = slots.spare(1).unwrap();
        assert!(slots.take(StreamId(3), 1).is_none());
        assert!(slots.take(StreamId(5), 1).is_none());
        drop(a);
        assert!(slots.take(StreamId(1), 1).is_none(), "others came first");
        assert!(slots.spare(1).is_none());
        let c = slots.take(StreamId(3), 1).unwrap();
        drop((b, c));
        slots.forget(StreamId(5));
        assert!(slots.take(StreamId(1), 1).is_some());
        assert!(!slots.is_wanted());
        assert!(slots.spare(1).is_some());
    }

    #[test]
    fn all_runs_together_stay_within_the_bound_however_many_readers_there_are() {
        for readers in 0..300 {
            let mut slots = slots();
            let held: Vec<Slot> = (0..600).filter_map(|_| slots.spare(readers)).collect();
            let bytes: usize = held.iter().map(|slot| slot.bytes).sum();
            assert!(bytes <= HELD_BYTES && bytes > HELD_BYTES / 2);
            // Up to 16 readers have one run to send and one ahead; up to 32 have one.
            assert!(held.len() >= (2 * readers).min(32));
        }
    }

    #[test]
    fn all_connections_together_stay_within_the_budget_and_wait_for_each_other() {
        const MEMORY: usize = 8 << 20;
        let first = slots_of(MEMORY);
        let budget = first.budget.clone();
        let mut all: Vec<Slots> = (0..500).map(|_| Slots::new(&budget)).collect();
        let held: Vec<Slot> = all.iter_mut().filter_map(|slots| slots.take(StreamId(1), 1)).collect();
        assert!(held.len() > 15 && budget.held() <= MEMORY);
        assert!(all.last().unwrap().starves() && budget.is_tight());
        drop(held);
        assert_eq!(budget.held(), 0);
        assert!(all.last_mut().unwrap().take(StreamId(1), 1).is_some());
        assert!(!all.last().unwrap().starves());
        assert!(first.free(1, RUN_BYTES).is_some());
    }

    #[test]
    fn a_run_counts_until_its_last_slice_is_gone_and_for_no_more_than_it_has() {
        let mut slots = slots();
        let mut slot = slots.take(StreamId(1), 1).unwrap();
        assert_eq!(slots.budget.held(), AT_ONCE_BYTES);
        let run = slot.hold(Bytes::from(vec![7; 5000]));
        assert_eq!((slots.budget.held(), slots.held.load(Ordering::Acquire)), (5000, 5000));
        let slice = run.slice(100..101);
        drop((run, slot));
        assert_eq!(slots.held.load(Ordering::Acquire), 0);
        assert_eq!(slots.budget.held(), 5000, "a slice keeps the whole run in memory");
        drop(slice);
        assert_eq!(slots.budget.held(), 0);
    }

    #[test]
    fn runs_have_few_sizes_however_much_memory_there_is() {
        for memory in (600 << 10..20 << 20).step_by(100_000) {
            for readers in [1, 3, 7] {
                let slot = slots_of(memory).spare(readers);
                assert!(slot.is_none_or(|slot| slot.bytes.is_power_of_two() && slot.bytes >= MIN_RUN_BYTES));
            }
        }
    }

    #[test]
    fn who_moves_what_it_holds_at_once_reads_ahead_though_others_wait_for_memory() {
        let mut slots = slots();
        let _wish = slots.budget.await_bytes();
        assert!(slots.spare(1).is_none());
        slots.keep_pace(1 << 30);
        let sent = slots.take(StreamId(1), 1).unwrap();
        let ahead = slots.spare(1).unwrap();
        assert_eq!((sent.bytes, ahead.bytes), (AT_ONCE_BYTES, RUN_BYTES));
        drop(ahead);
        slots.keep_pace(1 << 20);
        assert!(slots.spare(1).is_none());
    }
}
