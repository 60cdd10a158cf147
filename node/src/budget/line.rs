//! Connections that wait for something that others have, in the order in which they came.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::sync::{AtomicBool, Mutex};
use crate::wake::{Bell, lock};

/// A connection that may wait. In each line it stands once at most.
#[derive(Debug)]
pub(crate) struct Waiter {
    bell: Arc<Bell>,
    stands_in: [AtomicBool; 3],
}

/// Which line.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    Jobs,
    Large,
    Judging,
}

impl Waiter {
    pub(crate) fn new(bell: &Arc<Bell>) -> Arc<Waiter> {
        Arc::new(Waiter { bell: Arc::clone(bell), stands_in: Default::default() })
    }

    fn stands_in(&self, line: For) -> &AtomicBool {
        &self.stands_in[line as usize]
    }
}

/// Who waits for one thing.
#[derive(Debug)]
pub(super) struct Line {
    what: For,
    some: AtomicBool,
    waiting: Mutex<VecDeque<Weak<Waiter>>>,
}

impl Line {
    pub(super) fn new(what: For) -> Line {
        Line { what, some: AtomicBool::new(false), waiting: Mutex::default() }
    }

    pub(super) fn is_some(&self) -> bool {
        self.some.load(Ordering::Acquire)
    }

    /// Stands in line, if not already.
    pub(super) fn join(&self, waiter: &Arc<Waiter>) {
        if !waiter.stands_in(self.what).swap(true, Ordering::AcqRel) {
            let mut waiting = lock(&self.waiting);
            waiting.push_back(Arc::downgrade(waiter));
            self.some.store(true, Ordering::Release);
        }
    }

    /// Waits no more.
    pub(super) fn leave(&self, waiter: &Arc<Waiter>) {
        if waiter.stands_in(self.what).swap(false, Ordering::AcqRel) {
            let mut waiting = lock(&self.waiting);
            waiting.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(waiter)));
            self.some.store(!waiting.is_empty(), Ordering::Release);
        }
    }

    /// Rings the first. It looks again, and stands in line again if that was not enough.
    ///
    /// Always under the lock: who joins looks once more after that, so either it is found here, or it finds what has come back.
    pub(super) fn ring_next(&self) {
        let mut waiting = lock(&self.waiting);
        let next = std::iter::from_fn(|| waiting.pop_front()).find_map(|waiter| waiter.upgrade());
        self.some.store(!waiting.is_empty(), Ordering::Release);
        drop(waiting);
        if let Some(waiter) = next {
            waiter.stands_in(self.what).swap(false, Ordering::AcqRel);
            waiter.bell.ring();
        }
    }
}
