//! What all peers together may make this node hold and do: the one place with the node's numbers.
//!
//! Owns what there is of four things, and who has it: [seats](Seat) for connections, bytes of memory, jobs that run, and
//! the right to a batch larger than any window. Each is a permit, and comes back when it is dropped. Whose turn it is
//! within a connection is [`serve`](crate::serve)'s.
//!
//! Memory is shared by three rules:
//!
//! 1. Each connection may hold an eighth of what is free in the first half of the memory, so one alone has all it can use,
//!    and many that hold something leave less to each new one.
//! 2. The second half is for who moves: there each may hold what it has moved in a 64th of a second, or one frame, but
//!    again no more than an eighth of what is free.
//! 3. What was read from the disk and does not move for a second is given back, to be read again; and who holds
//!    something that does not move for ten seconds is given up if memory is short by then.
//!
//! Being connected costs nothing of it: connections have a number of their own.

mod line;
#[cfg(all(test, loom))]
mod models;
mod seats;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netchan_proto::limits::{
    MAX_CONNECTIONS, MAX_FRAME, MAX_MEMORY, MAX_NODE_JOBS, MAX_PER_ADDRESS, MAX_UNPROVEN,
};
use netchan_store::Buffers;

pub(crate) use self::line::Waiter;
use self::line::{For, Line};
use self::seats::Seats;
pub(crate) use self::seats::{Seat, TurnedAway};
use crate::sync::{AtomicUsize, Mutex, MutexGuard};
use crate::wake::lock;

/// A connection may hold this part of what is free.
pub(crate) const SHARE: usize = 8;
/// Who moves may hold what it moves in this part of a second.
const PACE: u64 = 64;
/// What anyone may hold in the half of who moves, to begin with: a frame, and a little.
const LEAST: usize = MAX_FRAME + (6 << 10);

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
    /// Bytes that connections hold: their streams, what was read from them and is not in a log, what was read for them and
    /// is not sent, beyond 8 KiB each. Default 16 MiB. One batch larger than any window may come on top.
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
    buffers: Buffers,
    /// Bytes of connections that are given up, and have their last words still.
    leaving: AtomicUsize,
    /// Connections that wait for bytes.
    want_bytes: AtomicUsize,
    jobs: AtomicUsize,
    /// Jobs that judge records by filters.
    judging: AtomicUsize,
    judging_large: Mutex<()>,
    /// Bytes of the large batch; 0: there is none.
    large: AtomicUsize,
    want_jobs: Line,
    want_large: Line,
    want_judging: Line,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Budget {
        Budget(Arc::new(Inner {
            limits,
            seats: Seats::default(),
            bytes: AtomicUsize::new(0),
            buffers: Buffers::default(),
            leaving: AtomicUsize::new(0),
            want_bytes: AtomicUsize::new(0),
            jobs: AtomicUsize::new(0),
            judging: AtomicUsize::new(0),
            judging_large: Mutex::new(()),
            large: AtomicUsize::new(0),
            want_jobs: Line::new(For::Jobs),
            want_large: Line::new(For::Large),
            want_judging: Line::new(For::Judging),
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    // ---- bytes ----

    /// Bytes that are held, also for the large batch.
    pub(crate) fn held(&self) -> usize {
        self.shared() + self.0.large.load(Ordering::Relaxed)
    }

    fn shared(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Where what is read from the disk has its memory from.
    pub(crate) fn buffers(&self) -> &Buffers {
        &self.0.buffers
    }

    /// Bytes that one connection may hold beside what it holds, if it moves so many a second.
    pub(crate) fn share(&self, pace: u64) -> usize {
        let (memory, held) = (self.0.limits.memory, self.shared());
        let of = |part: usize| part.saturating_sub(held) / SHARE;
        let moved = usize::try_from(pace / PACE).unwrap_or(usize::MAX);
        of(memory / 2).max(of(memory).min(moved.max(LEAST)))
    }

    /// Whether who moves so many bytes a second has these moved before others miss them.
    pub(crate) fn moves(&self, pace: u64, bytes: usize) -> bool {
        bytes as u64 <= pace / PACE
    }

    /// Whether memory is short: who holds some and does not move is given up.
    pub(crate) fn is_tight(&self) -> bool {
        self.is_nearly_full() || self.are_bytes_wanted()
    }

    /// Whether somebody has to go: what those have who are going already is not enough.
    pub(crate) fn is_overdrawn(&self) -> bool {
        let leaving = self.0.leaving.load(Ordering::Relaxed);
        let stays = self.shared().saturating_sub(leaving);
        stays > self.0.limits.memory / 4 * 3 || (leaving == 0 && self.are_bytes_wanted())
    }

    /// Whether most of the memory is held.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.shared() > self.0.limits.memory / 4 * 3
    }

    /// Whether somebody waits for memory.
    pub(crate) fn are_bytes_wanted(&self) -> bool {
        self.0.want_bytes.load(Ordering::Relaxed) > 0
    }

    /// Counts `bytes` that are taken, or will be at once.
    pub(crate) fn count(&self, bytes: usize) -> Held {
        let mut held = Held { budget: self.clone(), bytes: 0, leaving: 0 };
        held.set(bytes);
        held
    }

    /// One more waits for memory, and looks by itself whether there is some: it comes back in such small parts that
    /// ringing for each would cost more than the waiting.
    pub(crate) fn await_bytes(&self) -> Wish {
        self.0.want_bytes.fetch_add(1, Ordering::Relaxed);
        Wish(self.clone())
    }

    /// `waiter` waits for nothing any more. What it was rung for, and has not looked at, is the next one's.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        self.0.want_jobs.leave(waiter);
        if self.0.jobs.load(Ordering::Acquire) < self.0.limits.jobs {
            self.0.want_jobs.ring_next();
        }
        self.0.want_judging.leave(waiter);
        if self.0.judging.load(Ordering::Acquire) < self.0.most_judging() {
            self.0.want_judging.ring_next();
        }
        self.leave_large(waiter);
    }

    /// `waiter` does not want the right to a large batch any more.
    pub(crate) fn leave_large(&self, waiter: &Arc<Waiter>) {
        self.0.want_large.leave(waiter);
        if self.0.large.load(Ordering::Acquire) == 0 {
            self.0.want_large.ring_next();
        }
    }

    // ---- jobs ----

    /// The right to run a job; `None`: `waiter` is rung when there is one.
    pub(crate) fn take_job(&self, waiter: &Arc<Waiter>) -> Option<JobPermit> {
        let (jobs, most) = (&self.0.jobs, self.0.limits.jobs);
        take_one(jobs, most, &self.0.want_jobs, waiter).then(|| JobPermit(self.clone()))
    }

    /// The right to run a job that judges records by a filter: half of the jobs may, so that slow filters leave the others
    /// to who reads without. `None`: `waiter` is rung when there is one.
    pub(crate) fn take_judging(&self, waiter: &Arc<Waiter>) -> Option<JudgingPermit> {
        let (judging, most) = (&self.0.judging, self.0.most_judging());
        take_one(judging, most, &self.0.want_judging, waiter).then(|| JudgingPermit(self.clone()))
    }

    /// The right to read a batch larger than a run whole, to judge it: one job at a time has it, the others wait. Blocks.
    pub(crate) fn judge_large(&self) -> MutexGuard<'_, ()> {
        lock(&self.0.judging_large)
    }

    // ---- the large batch ----

    /// The right to a batch of `bytes`, larger than any window; `None`: `waiter` is rung when it is free.
    pub(crate) fn take_large(&self, bytes: usize, waiter: &Arc<Waiter>) -> Option<LargePermit> {
        let bytes = bytes.max(1);
        let take = || {
            let was_free = self.0.large.compare_exchange(0, bytes, Ordering::AcqRel, Ordering::Acquire);
            was_free.is_ok().then(|| LargePermit { budget: self.clone(), bytes })
        };
        let taken = take().or_else(|| {
            self.0.want_large.join(waiter);
            take()
        });
        taken.inspect(|_| self.0.want_large.leave(waiter))
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

impl Inner {
    /// Half of the jobs.
    fn most_judging(&self) -> usize {
        self.limits.jobs.div_ceil(2)
    }
}

/// Takes one of `most`; false: `waiter` stands in `line`.
fn take_one(taken: &AtomicUsize, most: usize, line: &Line, waiter: &Arc<Waiter>) -> bool {
    // Who finds none must not take one for a moment: giving it back would ring who waits, itself among them.
    let one_more = |taken| (taken < most).then_some(taken + 1);
    let take = || taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
    // It may have come back between the look and the wait.
    let is_taken = take() || {
        line.join(waiter);
        take()
    };
    // Also who was not rung yet, or one ring would be lost on it: that of its own giving back, say.
    if is_taken {
        line.leave(waiter);
    }
    is_taken
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

    /// Counts so many more.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// Counts this many from now on.
    pub(crate) fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let counter = &self.budget.0.bytes;
        if bytes > before {
            counter.fetch_add(bytes - before, Ordering::AcqRel);
        } else if bytes < before {
            counter.fetch_sub(before - bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
        self.budget.0.leaving.fetch_sub(self.leaving, Ordering::Relaxed);
    }
}

/// Somebody waits for memory.
#[derive(Debug)]
pub(crate) struct Wish(Budget);

impl Drop for Wish {
    fn drop(&mut self) {
        self.0.0.want_bytes.fetch_sub(1, Ordering::Relaxed);
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

/// The right to run one job that judges.
#[derive(Debug)]
pub(crate) struct JudgingPermit(Budget);

impl Drop for JudgingPermit {
    fn drop(&mut self) {
        let inner = &self.0.0;
        inner.judging.fetch_sub(1, Ordering::AcqRel);
        inner.want_judging.ring_next();
    }
}

/// The right to a batch larger than any window.
#[derive(Debug)]
pub(crate) struct LargePermit {
    budget: Budget,
    bytes: usize,
}

impl LargePermit {
    /// The bytes that are counted for the batch.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for LargePermit {
    fn drop(&mut self) {
        let inner = &self.budget.0;
        inner.large.store(0, Ordering::Release);
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

    /// One that waits, and how often it was rung.
    fn counting() -> (Arc<Waiter>, impl Fn() -> usize) {
        let (bell, rung) = (Arc::new(Bell::default()), Arc::new(Rung::default()));
        bell.hang(&Arc::clone(&rung).into());
        (Waiter::new(&bell), move || rung.0.load(Ordering::Relaxed))
    }

    #[test]
    fn who_gets_a_right_before_it_is_rung_leaves_the_line() {
        let budget = budget(1 << 20);
        let held = [waiter(), waiter()].map(|waiter| budget.take_job(&waiter).unwrap());
        let ((first, first_rung), (second, second_rung)) = (counting(), counting());
        assert!(budget.take_job(&first).is_none() && budget.take_job(&second).is_none());
        let [one, _other] = held;
        drop(one);
        assert_eq!((first_rung(), second_rung()), (1, 0));
        // It looks for another reason, and is faster.
        let taken = budget.take_job(&second).unwrap();
        assert!(budget.take_job(&first).is_none());
        drop(taken);
        assert_eq!((first_rung(), second_rung()), (2, 0));
    }

    #[test]
    fn who_goes_away_after_it_was_rung_passes_that_on() {
        let budget = budget(1 << 20);
        let held = [waiter(), waiter()].map(|waiter| budget.take_job(&waiter).unwrap());
        let ((first, first_rung), (second, second_rung)) = (counting(), counting());
        assert!(budget.take_job(&first).is_none() && budget.take_job(&second).is_none());
        let [one, _other] = held;
        drop(one);
        assert_eq!((first_rung(), second_rung()), (1, 0));
        budget.leave(&first);
        assert_eq!((first_rung(), second_rung()), (1, 1));
    }

    /// NC-LIM-012
    #[test]
    fn what_each_may_hold_shrinks_with_what_is_held_and_the_sum_stays_within_the_limit() {
        for pace in [0, 1 << 20, 1 << 40] {
            let budget = budget(1 << 20);
            let mut all = Vec::new();
            let mut before = usize::MAX;
            for _ in 0..1000 {
                let share = budget.share(pace);
                assert!(share <= before);
                before = share;
                all.push(budget.count(share));
                assert!(budget.held() <= 1 << 20);
            }
            assert!(budget.is_tight());
            all.clear();
            assert_eq!(budget.held(), 0);
            assert!(budget.share(pace) >= (1 << 20) / 2 / SHARE);
            assert!(!budget.is_tight());
        }
    }

    /// NC-LIM-012
    #[test]
    fn where_those_who_move_nothing_hold_all_they_may_who_moves_much_may_hold_more() {
        const MEMORY: usize = 16 << 20;
        let budget = budget(MEMORY);
        // As many slow readers as an attack has, each with one frame and a little once the first half is taken.
        let slow: Vec<Held> = (0..100).map(|_| budget.count(budget.share(0) / 4)).collect();
        assert!(budget.held() > MEMORY / 3, "{}", budget.held());
        assert!(budget.share(0) <= LEAST);
        assert_eq!(budget.share(20 << 20), (20 << 20) / 64, "what it moves in a 64th of a second");
        assert!(budget.share(1 << 30) >= MEMORY / 2 / SHARE / 2, "{}", budget.share(1 << 30));
        drop(slow);
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
    fn memory_is_short_for_as_long_as_somebody_waits_for_some() {
        let budget = budget(100);
        let wishes = [budget.await_bytes(), budget.await_bytes()];
        assert!(budget.is_tight());
        drop(wishes);
        assert!(!budget.is_tight());
    }
}
