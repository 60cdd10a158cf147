//! Who is to be woken, and at what. A waiter is registered under the lock that moves the marks, so no move is
//! missed; it is woken after that lock was given back.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use netchan_proto::Offset;

/// Wakers in the order in which they came, each once: they are told apart by their two pointers, so that a future that
/// is polled often is kept once. The order never depends on an address, and a simulation stays the same in every run.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    order: Vec<Waker>,
    known: BTreeSet<(usize, usize)>,
}

impl Wakers {
    pub(super) fn register(&mut self, waker: &Waker) {
        if self.known.insert(key(waker)) {
            self.order.push(waker.clone());
        }
    }

    pub(super) fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.known.clear();
        into.append(&mut self.order);
    }

    fn forget(&mut self, waker: &Waker, into: &mut Vec<Waker>) {
        if self.known.remove(&key(waker)) {
            into.extend(self.order.extract_if(.., |known| key(known) == key(waker)));
        }
    }
}

fn key(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

/// Waiters for one mark, by the offset they wait for.
#[derive(Debug, Default)]
pub(super) struct ByOffset(BTreeMap<Offset, Wakers>);

impl ByOffset {
    pub(super) fn register(&mut self, offset: Offset, waker: &Waker) {
        self.0.entry(offset).or_default().register(waker);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves out those whose offset is reached when the mark is at `mark`.
    pub(super) fn take_reached(&mut self, mark: Offset, into: &mut Vec<Waker>) {
        while let Some(first) = self.0.first_entry()
            && *first.key() <= mark
        {
            first.remove().take_all(into);
        }
    }

    fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.take_reached(Offset::NONE, into);
    }

    /// Moves out one who waits no more.
    pub(super) fn forget(&mut self, offset: Offset, waker: &Waker) -> Vec<Waker> {
        let mut gone = Vec::new();
        if let Some(wakers) = self.0.get_mut(&offset) {
            wakers.forget(waker, &mut gone);
            if wakers.order.is_empty() {
                self.0.remove(&offset);
            }
        }
        gone
    }
}

#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) written: ByOffset,
    pub(super) durable: ByOffset,
    /// For any change that a reader can see.
    pub(super) changed: Wakers,
    /// For room in the queue.
    pub(super) capacity: Wakers,
}

impl Waiters {
    pub(super) fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.written.take_all(into);
        self.durable.take_all(into);
        self.changed.take_all(into);
        self.capacity.take_all(into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waiter_is_kept_once_and_taken_when_its_offset_is_reached() {
        let waker = Waker::from(Arc::new(Count(AtomicUsize::new(0))));
        let mut waiters = ByOffset::default();
        for _ in 0..3 {
            waiters.register(Offset(5), &waker);
        }
        waiters.register(Offset(6), &waker);
        let mut taken = Vec::new();
        waiters.take_reached(Offset(4), &mut taken);
        assert_eq!(taken.len(), 0);
        assert_eq!((waiters.forget(Offset(6), &waker).len(), waiters.0.len()), (1, 1));
        assert_eq!(waiters.forget(Offset(5), Waker::noop()).len(), 0);
        waiters.register(Offset(6), &waker);
        waiters.take_reached(Offset(5), &mut taken);
        assert_eq!(taken.len(), 1);
        assert!(!waiters.is_empty());
    }
}
