//! The bound on log bytes that one connection holds in memory: what is being read from the disk, is read ahead, or
//! is being sent, whoever reads it.
//!
//! The more streams there are, the smaller their reads. Who finds no room waits in line; who has some and cannot send
//! gives it back when somebody waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use netchan_proto::limits::BATCH_TARGET;
use netchan_proto::wire::StreamId;

/// Bytes of runs that one connection may have at a time. A run of a single batch larger than its slot counts whole once
/// it is read, so only what is being read at the same time can exceed this.
const HELD_BYTES: usize = 2 * RUN_BYTES;
/// The most bytes of log that one read asks for, and the least.
const RUN_BYTES: usize = 1 << 20;
const MIN_RUN_BYTES: usize = BATCH_TARGET;

/// The right to hold one run. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Slot {
    /// How long the run may be.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether runs that were larger than their slots have taken the room since this one was given.
    pub(super) fn is_overrun(&self) -> bool {
        self.held.load(Ordering::Acquire) > HELD_BYTES
    }

    /// The same run. What it has beyond the slot counts too, as long as there is a slice of it.
    pub(super) fn count(&self, run: Bytes) -> Bytes {
        let bytes = run.len().saturating_sub(self.bytes);
        if bytes == 0 {
            return run;
        }
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Bytes::from_owner(Large { run, _beyond: Slot { held: Arc::clone(&self.held), bytes } })
    }
}

/// A run that is larger than its slot.
struct Large {
    run: Bytes,
    _beyond: Slot,
}

impl AsRef<[u8]> for Large {
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
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: Arc<AtomicUsize>,
    line: VecDeque<StreamId>,
}

impl Slots {
    /// A slot for `stream`, one of so many `readers`, or a place in line.
    pub(super) fn take(&mut self, stream: StreamId, readers: usize) -> Option<Slot> {
        let turn = self.line.front().is_none_or(|first| *first == stream);
        if turn && let Some(slot) = self.free(readers) {
            self.line.pop_front();
            return Some(slot);
        }
        if !self.line.contains(&stream) {
            self.line.push_back(stream);
        }
        None
    }

    /// A slot that nobody else waits for.
    pub(super) fn spare(&mut self, readers: usize) -> Option<Slot> {
        if self.is_wanted() { None } else { self.free(readers) }
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

    fn free(&self, readers: usize) -> Option<Slot> {
        let bytes = (RUN_BYTES / readers.max(1)).max(MIN_RUN_BYTES);
        if self.held.load(Ordering::Acquire) + bytes > HELD_BYTES {
            return None;
        }
        // Only this connection's own turn takes slots; other threads give them back, or count what they have read.
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Some(Slot { held: Arc::clone(&self.held), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_go_in_line_and_come_back_when_dropped() {
        let mut slots = Slots::default();
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
            let mut slots = Slots::default();
            let held: Vec<Slot> = (0..600).filter_map(|_| slots.spare(readers)).collect();
            let bytes: usize = held.iter().map(Slot::bytes).sum();
            assert!(bytes <= HELD_BYTES && bytes > HELD_BYTES / 2);
            // Up to 16 readers have one run to send and one ahead; up to 32 have one.
            assert!(held.len() >= (2 * readers).min(32));
        }
    }

    #[test]
    fn a_run_larger_than_its_slot_counts_whole_until_its_last_slice_is_gone() {
        let mut slots = Slots::default();
        let slot = slots.take(StreamId(1), 30).unwrap();
        let given_before = slots.take(StreamId(3), 30).unwrap();
        assert!(!given_before.is_overrun());
        let run = slot.count(Bytes::from(vec![7; 16 << 20]));
        assert!(given_before.is_overrun());
        drop(given_before);
        assert_eq!(slots.held.load(Ordering::Acquire), 16 << 20);
        assert!(slots.spare(30).is_none());
        let slice = run.slice(100..101);
        drop((slot, run));
        assert!(slots.spare(30).is_none(), "a slice keeps the whole run in memory");
        drop(slice);
        assert!(slots.spare(30).is_some());
        assert_eq!(slots.held.load(Ordering::Acquire), 0);
    }
}
