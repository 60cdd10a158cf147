//! What all peers together may make this node hold and do: the one place with the node's numbers.
//!
//! Owns what there is of four things, and who has it: [seats](Seat) for connections, bytes of memory, jobs that run, and
//! the right to a batch larger than any window. Each is a permit, and comes back when it is dropped. Whose turn it is
//! within a connection is [`serve`](crate::serve)'s.
//!
//! Memory is shared by a rule that needs no plan: each connection may hold a part of what is *free*. One alone has all it
//! can use; the more there are that hold something, the less each new one may, and the sum never reaches the limit. Who
//! holds some that does not move, while others wait for it, is given up after a while.

mod line;
mod seats;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use netchan_proto::limits::{MAX_CONNECTIONS, MAX_MEMORY, MAX_NODE_JOBS, MAX_PER_ADDRESS, MAX_UNPROVEN};

pub(crate) use self::line::Waiter;
use self::line::{For, Line};
use self::seats::Seats;
pub(crate) use self::seats::{Seat, TurnedAway};

/// A connection may hold this part of what is free.
const SHARE: usize = 8;

/// What peers may make a node hold and do, all together (spec/12-limits.md). The defaults suit a node that has some tens
/// of MiB for its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Those that come through the socket in the data directory are counted apart, up to the same
    /// number: who is on the machine is not kept out by who is not. Default 4096.
    pub connections: usize,
    /// Connections at once whose handshake is not done. When one more comes, the oldest of them goes. Default 256.
    pub unproven: usize,
    /// Connections at once from one address. Default 2048.
    pub per_address: usize,
    /// Bytes that connections hold: themselves, their streams, what was read from them and is not in a log, what was
    /// read for them and is not sent. Default 24 MiB. One batch larger than any window may come on top.
    pub memory: usize,
    /// Jobs of the disk that run at once for peers. Default 8: each runs on a thread
    /// that keeps some memory.
    pub jobs: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: MAX_CONNECTIONS,
            unproven: MAX_UNPROVEN,
            per_address: MAX_PER_ADDRESS,
            memory: MAX_MEMORY,
            jobs: MAX_NODE_JOBS,
        }
    }
}

/// The budget of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    seats: Seats,
    bytes: AtomicUsize,
    /// Bytes of connections that are given up, and have their last words still.
    leaving: AtomicUsize,
    jobs: AtomicUsize,
    large: AtomicBool,
    want_bytes: Line,
    want_jobs: Line,
    want_large: Line,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Budget {
        Budget(Arc::new(Inner {
            limits,
            seats: Seats::default(),
            bytes: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            jobs: AtomicUsize::new(0),
            large: AtomicBool::new(false),
            want_bytes: Line::new(For::Bytes),
            want_jobs: Line::new(For::Jobs),
            want_large: Line::new(For::Large),
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    // ---- bytes ----

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that one connection may hold beside what it holds.
    pub(crate) fn share(&self) -> usize {
        self.0.limits.memory.saturating_sub(self.held()) / SHARE
    }

    /// Whether memory is short: who holds some and does not move is given up.
    pub(crate) fn is_tight(&self) -> bool {
        self.is_nearly_full() || self.are_bytes_wanted()
    }

    /// Whether somebody has to go: what those have who are going already is not enough.
    pub(crate) fn is_overdrawn(&self) -> bool {
        let leaving = self.0.leaving.load(Ordering::Relaxed);
        let stays = self.held().saturating_sub(leaving);
        stays > self.0.limits.memory / 4 * 3 || (leaving == 0 && self.are_bytes_wanted())
    }

    /// Whether most of the memory is held.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.held() > self.0.limits.memory / 4 * 3
    }

    /// Whether somebody waits for memory.
    pub(crate) fn are_bytes_wanted(&self) -> bool {
        self.0.want_bytes.is_some()
    }

    /// Counts `bytes` that are taken, or will be at once.
    pub(crate) fn count(&self, bytes: usize) -> Held {
        let mut held = Held { budget: self.clone(), bytes: 0, leaving: 0 };
        held.set(bytes);
        held
    }

    /// `waiter` is rung when there is more.
    pub(crate) fn await_bytes(&self, waiter: &Arc<Waiter>) {
        self.0.want_bytes.join(waiter);
    }

    /// `waiter` has what it wanted; there may be some for others.
    pub(crate) fn has_bytes(&self, waiter: &Arc<Waiter>) {
        self.0.want_bytes.leave(waiter);
        self.0.want_bytes.ring_next();
    }

    /// `waiter` waits for nothing any more.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        let Inner { want_bytes, want_jobs, want_large, .. } = &*self.0;
        [want_bytes, want_jobs, want_large].iter().for_each(|line| line.leave(waiter));
    }

    /// `waiter` does not want the right to a large batch any more.
    pub(crate) fn leave_large(&self, waiter: &Arc<Waiter>) {
        self.0.want_large.leave(waiter);
    }

    // ---- jobs ----

    /// The right to run a job; `None`: `waiter` is rung when there is one.
    pub(crate) fn take_job(&self, waiter: &Arc<Waiter>) -> Option<JobPermit> {
        // Who finds none must not take one for a moment: giving it back would ring who waits, itself among them.
        let one_more = |taken| (taken < self.0.limits.jobs).then_some(taken + 1);
        let take = || {
            let taken = self.0.jobs.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
            taken.is_ok().then(|| JobPermit(self.clone()))
        };
        // It may have come back between the look and the wait.
        take().or_else(|| {
            self.0.want_jobs.join(waiter);
            take().inspect(|_| self.0.want_jobs.leave(waiter))
        })
    }

    // ---- the large batch ----

    /// The right to a batch of `bytes`, larger than any window; `None`: `waiter` is rung when it is free.
    pub(crate) fn take_large(&self, bytes: usize, waiter: &Arc<Waiter>) -> Option<LargePermit> {
        let take = || {
            let free = !self.0.large.swap(true, Ordering::AcqRel);
            free.then(|| LargePermit { held: self.count(bytes) })
        };
        take().or_else(|| {
            self.0.want_large.join(waiter);
            take().inspect(|_| self.0.want_large.leave(waiter))
        })
    }

    /// Whether somebody waits for the right to a large batch.
    pub(crate) fn is_large_wanted(&self) -> bool {
        self.0.want_large.is_some()
    }

    // ---- seats ----

    /// A seat for a connection; `trusted`: it comes through the socket in the data directory.
    ///
    /// # Errors
    /// [`TurnedAway`].
    pub(crate) fn admit(&self, from: Option<IpAddr>, trusted: bool) -> Result<Seat, TurnedAway> {
        self.0.seats.admit(self, from, trusted)
    }
}

/// Bytes that are counted.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    bytes: usize,
    leaving: usize,
}

impl Held {
    /// These will be given back soon.
    pub(crate) fn announce(&mut self) {
        self.leaving += self.bytes;
        self.budget.0.leaving.fetch_add(self.bytes, Ordering::Relaxed);
    }

    /// Counts this many from now on.
    pub(crate) fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let counter = &self.budget.0.bytes;
        if bytes > before {
            counter.fetch_add(bytes - before, Ordering::AcqRel);
        } else if bytes < before {
            counter.fetch_sub(before - bytes, Ordering::AcqRel);
            self.budget.0.want_bytes.ring_next();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
        self.budget.0.leaving.fetch_sub(self.leaving, Ordering::Relaxed);
    }
}

/// The right to run one job.
#[derive(Debug)]
pub(crate) struct JobPermit(Budget);

impl Drop for JobPermit {
    fn drop(&mut self) {
        let inner = &self.0.0;
        inner.jobs.fetch_sub(1, Ordering::AcqRel);
        inner.want_jobs.ring_next();
    }
}

/// The right to a batch larger than any window.
#[derive(Debug)]
pub(crate) struct LargePermit {
    held: Held,
}

impl LargePermit {
    /// The bytes that are counted for the batch.
    pub(crate) fn bytes(&self) -> usize {
        self.held.bytes
    }
}

impl Drop for LargePermit {
    fn drop(&mut self) {
        let inner = &self.held.budget.0;
        inner.large.store(false, Ordering::Release);
        inner.want_large.ring_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wake::Bell;

    fn budget(memory: usize) -> Budget {
        Budget::new(Limits { memory, jobs: 2, ..Limits::default() })
    }

    fn waiter() -> Arc<Waiter> {
        Waiter::new(&Arc::new(Bell::default()))
    }

    #[test]
    fn what_each_may_hold_shrinks_with_what_is_held_and_the_sum_stays_within_the_limit() {
        let budget = budget(1 << 20);
        let mut all = Vec::new();
        let mut before = usize::MAX;
        for _ in 0..1000 {
            let share = budget.share();
            assert!(share <= before);
            before = share;
            all.push(budget.count(share));
            assert!(budget.held() <= 1 << 20);
        }
        assert!(budget.is_tight());
        all.clear();
        assert_eq!((budget.held(), budget.share()), (0, (1 << 20) / SHARE));
        assert!(!budget.is_tight());
    }

    /// NC-LIM-011
    #[test]
    fn jobs_and_the_large_batch_are_given_to_who_waits_when_they_come_back() {
        let budget = budget(1 << 20);
        let (a, b) = (waiter(), waiter());
        let jobs = [budget.take_job(&a).unwrap(), budget.take_job(&a).unwrap()];
        assert!(budget.take_job(&b).is_none());
        drop(jobs);
        assert!(budget.take_job(&b).is_some());
        let large = budget.take_large(1000, &a).unwrap();
        assert_eq!(budget.held(), 1000);
        assert!(budget.take_large(1, &b).is_none() && budget.is_large_wanted());
        drop(large);
        assert!(!budget.is_large_wanted(), "it was rung");
        assert!(budget.take_large(1, &b).is_some());
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn who_waits_for_a_job_is_left_alone_until_one_comes_back() {
        let budget = budget(1 << 20);
        let rung = Arc::new(Rung::default());
        let bell = Arc::new(Bell::default());
        bell.hang(&std::task::Waker::from(Arc::clone(&rung)));
        let (a, b) = (waiter(), Waiter::new(&bell));
        let jobs = [budget.take_job(&a).unwrap(), budget.take_job(&a).unwrap()];
        for _ in 0..10 {
            assert!(budget.take_job(&b).is_none() && budget.take_job(&a).is_none());
        }
        assert_eq!(rung.0.load(Ordering::Relaxed), 0);
        drop(jobs);
        assert_eq!(rung.0.load(Ordering::Relaxed), 1);
    }

    #[derive(Default)]
    struct Rung(AtomicUsize);

    impl std::task::Wake for Rung {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_gives_memory_back_rings_the_next_in_line_that_is_still_there() {
        let budget = budget(100);
        let mut held = budget.count(100);
        let (gone, here) = (waiter(), waiter());
        budget.await_bytes(&gone);
        budget.await_bytes(&here);
        budget.await_bytes(&here);
        drop(gone);
        assert!(budget.are_bytes_wanted());
        held.set(50);
        assert!(!budget.are_bytes_wanted());
    }
}
