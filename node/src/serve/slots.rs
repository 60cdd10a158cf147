//! The bound on log bytes that one connection holds in memory: so many runs from the disk, whoever reads them.
//!
//! Who finds no slot waits in line; who holds one and cannot send gives it back when somebody waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use netchan_proto::wire::StreamId;

/// Runs of one connection that are read, held or sent at the same time.
pub(super) const MAX_RUNS: usize = 2;
/// Bytes of log that one read asks for.
pub(super) const RUN_BYTES: usize = 1 << 20;

/// The right to hold one run. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The slots of one connection.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: Arc<AtomicUsize>,
    line: VecDeque<StreamId>,
}

impl Slots {
    /// A slot for `stream`, or a place in line.
    pub(super) fn take(&mut self, stream: StreamId) -> Option<Slot> {
        let turn = self.line.front().is_none_or(|first| *first == stream);
        if turn && let Some(slot) = self.free() {
            self.line.pop_front();
            return Some(slot);
        }
        if !self.line.contains(&stream) {
            self.line.push_back(stream);
        }
        None
    }

    /// A slot that nobody else waits for.
    pub(super) fn spare(&mut self) -> Option<Slot> {
        if self.is_wanted() { None } else { self.free() }
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

    fn free(&self) -> Option<Slot> {
        if self.held.load(Ordering::Acquire) >= MAX_RUNS {
            return None;
        }
        // Only this connection's own turn takes slots; other threads merely give them back.
        self.held.fetch_add(1, Ordering::AcqRel);
        Some(Slot(Arc::clone(&self.held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_go_in_line_and_come_back_when_dropped() {
        let mut slots = Slots::default();
        let a = slots.take(StreamId(1)).unwrap();
        let b = slots.spare().unwrap();
        assert!(slots.take(StreamId(3)).is_none());
        assert!(slots.take(StreamId(5)).is_none());
        drop(a);
        assert!(slots.take(StreamId(1)).is_none(), "others came first");
        assert!(slots.spare().is_none());
        let c = slots.take(StreamId(3)).unwrap();
        drop((b, c));
        slots.forget(StreamId(5));
        assert!(slots.take(StreamId(1)).is_some());
        assert!(!slots.is_wanted());
        assert!(slots.spare().is_some());
    }
}
