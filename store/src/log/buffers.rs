//! Memory that runs are read into, and that is used again.
//!
//! A run is read on one thread, sent on another, and gone once its last slice is. An allocator that keeps what is freed for
//! the thread that asked for it would keep some runs for every thread that ever read one; so they come back here, and
//! whoever reads next, on whatever thread, takes them. Little is kept once no run is in use: as much as one reader needs, who has
//! none between two runs and would have the system find the memory anew for each.

use std::sync::{Arc, PoisonError};

use netchan_proto::limits::{MAX_IDLE_SPARE, MAX_SPARE};

use crate::sync::{Mutex, MutexGuard};

/// What is smaller is not kept.
const LEAST: usize = 64 << 10;

/// What of its memory a node uses again for runs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    spare: Vec<Vec<u8>>,
    bytes: usize,
    /// Buffers that somebody has.
    in_use: usize,
}

/// Memory for one run. Dropping it gives it back.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

impl Buffers {
    /// A buffer for `size` bytes. What stands in it means nothing.
    #[must_use]
    pub fn take(&self, size: usize) -> Buffer {
        if size < LEAST {
            return Buffer::new(size);
        }
        let mut shelf = self.shelf();
        shelf.in_use += 1;
        // Not one that is larger: a read fills all there is.
        let fitting = shelf.spare.iter().rposition(|bytes| bytes.capacity() == size);
        let bytes = fitting.map(|at| shelf.spare.remove(at));
        shelf.bytes -= bytes.as_ref().map_or(0, Vec::capacity);
        drop(shelf);
        let bytes = bytes.unwrap_or_else(|| Vec::with_capacity(size));
        Buffer { bytes, home: Some(self.clone()) }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut shelf = self.shelf();
        shelf.in_use -= 1;
        shelf.bytes += bytes.capacity();
        shelf.spare.push(bytes);
        let most = if shelf.in_use == 0 { MAX_IDLE_SPARE } else { MAX_SPARE };
        let mut gone = Vec::new();
        while shelf.bytes > most {
            let oldest = shelf.spare.remove(0);
            shelf.bytes -= oldest.capacity();
            gone.push(oldest);
        }
        // What goes is freed outside the lock.
        drop(shelf);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// One that belongs to nobody, for `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Buffer {
        Buffer { bytes: Vec::with_capacity(size), home: None }
    }

    /// How much is read into it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.capacity()
    }

    /// Fills it with these bytes instead of what it holds.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NC-LIM-015
    #[test]
    fn what_comes_back_is_used_again_within_a_limit_and_less_when_nobody_reads() {
        let buffers = Buffers::default();
        let mut first = buffers.take(1 << 20);
        first.fill(b"what is replaced");
        first.fill(b"some");
        assert_eq!(first.as_ref(), b"some");
        let at = first.as_ref().as_ptr();
        let other = buffers.take(1 << 19);
        drop(first);
        let again = buffers.take(1 << 20);
        assert_eq!(again.as_ref().as_ptr(), at);
        let many: Vec<_> = (0..20).map(|_| buffers.take(1 << 20)).collect();
        drop((many, again));
        let kept = buffers.shelf().bytes;
        assert!(kept > MAX_SPARE / 2 && kept <= MAX_SPARE, "{kept}");
        drop(other);
        let kept = buffers.shelf().bytes;
        assert!(kept > MAX_IDLE_SPARE / 2 && kept <= MAX_IDLE_SPARE, "{kept}");
    }

    /// NC-LIM-015
    #[test]
    fn one_reader_alone_who_has_no_run_for_a_moment_finds_its_memory_again() {
        let buffers = Buffers::default();
        let two = || [buffers.take(MAX_IDLE_SPARE / 2), buffers.take(MAX_IDLE_SPARE / 2)];
        let places = |two: &[Buffer; 2]| {
            let mut places = two.each_ref().map(|buffer| buffer.as_ref().as_ptr().addr());
            places.sort_unstable();
            places
        };
        let first = two();
        let at = places(&first);
        drop(first);
        assert_eq!(places(&two()), at);
    }

    #[test]
    fn small_ones_are_not_kept() {
        let buffers = Buffers::default();
        let large = buffers.take(LEAST);
        drop(buffers.take(LEAST - 1));
        assert_eq!(buffers.shelf().bytes, 0);
        drop(large);
        assert_eq!(buffers.shelf().bytes, LEAST);
    }
}
