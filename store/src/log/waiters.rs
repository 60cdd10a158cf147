//! Who is to be woken, and at what. A waiter is registered under the lock that moves the marks, so no move is
//! missed; it is woken after that lock was given back.

use std::collections::BTreeMap;
use std::task::Waker;

use netchan_proto::Offset;

/// Waiters for one mark, by the offset they wait for. A waker is told apart by its two pointers, so that a future
/// that is polled often is kept once.
#[derive(Debug, Default)]
pub(super) struct ByOffset(BTreeMap<(Offset, usize, usize), Waker>);

impl ByOffset {
    pub(super) fn register(&mut self, offset: Offset, waker: &Waker) {
        let vtable = std::ptr::from_ref(waker.vtable()).addr();
        self.0.entry((offset, waker.data().addr(), vtable)).or_insert_with(|| waker.clone());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves out those whose offset is reached when the mark is at `mark`.
    pub(super) fn take_reached(&mut self, mark: Offset, into: &mut Vec<Waker>) {
        if self.0.first_key_value().is_some_and(|(key, _)| key.0 <= mark) {
            let later = self.0.split_off(&(mark.plus(1), 0, 0));
            into.extend(std::mem::replace(&mut self.0, later).into_values());
        }
    }

    fn take_all(&mut self, into: &mut Vec<Waker>) {
        into.extend(std::mem::take(&mut self.0).into_values());
    }
}

#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) queued: ByOffset,
    pub(super) written: ByOffset,
    pub(super) durable: ByOffset,
    /// For any change that a reader can see.
    pub(super) changed: Vec<Waker>,
    /// For room in the queue.
    pub(super) capacity: Vec<Waker>,
}

impl Waiters {
    pub(super) fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.queued.take_all(into);
        self.written.take_all(into);
        self.durable.take_all(into);
        into.append(&mut self.changed);
        into.append(&mut self.capacity);
    }
}

/// Adds `waker` where it isn't yet.
pub(super) fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
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
        waiters.take_reached(Offset(5), &mut taken);
        assert_eq!(taken.len(), 1);
        assert!(!waiters.is_empty());
    }
}
