//! What one connection holds of what the node has for all of them, and when it is given up.
//!
//! Owns the connection's seat, its count of bytes, and the right to a large batch while it has that. Settled after each
//! turn: what the peer made the node hold is counted, and how much more it may make it hold follows from what is free.
//! A turn adds at most a read and an output to what is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use netchan_proto::Instant;
use netchan_proto::conn::Connection;
use netchan_proto::limits::{CONNECTION_COST, HOLD_BYTES, HOLD_TIME, LARGE_TIME, MAX_READ, STREAM_COST};

use crate::budget::{Budget, Held, LargePermit, Seat, Waiter, Wish};
use crate::wake::Bell;

/// How long what was read from the disk may stand still; and how often it looks whether others need what does.
const LOOK: Duration = Duration::from_secs(1);
/// How often who waits for memory looks whether there is some.
const LOOK_FOR_MEMORY: Duration = Duration::from_millis(250);
/// The output may have this part of a connection's share: what stands there cannot be given back.
const OUTPUT: usize = 4;
/// Microseconds after which nothing of what was moved counts.
const SECOND: u64 = 1_000_000;

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Account {
    budget: Budget,
    waiter: Arc<Waiter>,
    held: Held,
    seat: Option<Seat>,
    large: Option<(LargePermit, Instant)>,
    /// Stands in line for the right to a large batch.
    wants_large: bool,
    /// Waits for memory.
    wants_bytes: Option<Wish>,
    /// Something is held for the peer.
    holds: bool,
    /// When what was held last moved as much as it has to, and the connection's traffic by then.
    moved: (Instant, u64),
    /// Bytes that go over the connection in a second, of late.
    pace: u64,
    /// When that was, and the connection's traffic by then.
    paced: (Instant, u64),
    settled: Instant,
}

/// What the streams of a connection hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// How many there are.
    pub(super) streams: usize,
    /// Bytes of the patterns of those that watch.
    pub(super) patterns: usize,
    /// Bytes that came and are not in a log.
    pub(super) intake: usize,
    /// Bytes from the disk that are not sent; counted where they are held.
    pub(super) runs: usize,
    /// Somebody waits for memory to read from the disk.
    pub(super) starves: bool,
}

impl Account {
    pub(super) fn new(budget: &Budget, bell: &Arc<Bell>, now: Instant) -> Account {
        Account {
            waiter: Waiter::new(bell),
            held: budget.count(0),
            budget: budget.clone(),
            seat: None,
            large: None,
            wants_large: false,
            wants_bytes: None,
            holds: false,
            moved: (now, 0),
            pace: 0,
            paced: (now, 0),
            settled: now,
        }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    /// The connection has this seat.
    pub(super) fn take_seat(&mut self, seat: Seat, bell: &Arc<Bell>) {
        seat.ring_when_withdrawn(bell);
        self.seat = Some(seat);
    }

    /// The handshake is done.
    pub(super) fn prove(&self) {
        if let Some(seat) = &self.seat {
            seat.prove();
        }
    }

    /// Others need the seat, and the handshake is not done.
    pub(super) fn is_unseated(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::is_withdrawn)
    }

    /// Bytes that go over the connection in a second, of late.
    pub(super) fn pace(&self) -> u64 {
        self.pace
    }

    /// Looks what waits for the peer, and whether it moves.
    pub(super) fn observe(&mut self, connection: &mut Connection, intake: usize, now: Instant) -> usize {
        let waiting = intake + connection.unparsed() + connection.outbound().remaining();
        let traffic = connection.traffic();
        let traffic = traffic.bytes_in + traffic.bytes_out;
        if waiting == 0 || traffic - self.moved.1 >= HOLD_BYTES as u64 {
            self.moved = (now, traffic);
        }
        let (then, before) = std::mem::replace(&mut self.paced, (now, traffic));
        let passed = u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX).min(SECOND);
        self.pace = self.pace - self.pace / 1000 * passed / (SECOND / 1000) + (traffic - before);
        waiting
    }

    /// One more stream watches, with a pattern of so many bytes: counted before the next one asks, however many come at once.
    pub(super) fn on_watch(&mut self, pattern: usize) {
        self.held.add(STREAM_COST + pattern);
    }

    /// Counts what is held now, and lets the connection take as much more as it may.
    pub(super) fn settle(&mut self, connection: &mut Connection, load: Load, now: Instant) {
        self.settled = now;
        let waiting = self.observe(connection, load.intake, now);
        let counted_apart = self.large.as_ref().map_or(0, |(permit, _)| permit.bytes());
        let waiting_here = waiting.saturating_sub(counted_apart);
        let streams = STREAM_COST * load.streams + load.patterns;
        self.held.set(streams + waiting_here.saturating_sub(CONNECTION_COST));
        self.holds = waiting + load.runs > 0;
        let share = self.budget.share(self.pace);
        // What comes of the large batch has its memory already.
        let has_right = self.large.is_some();
        connection.limit(if has_right { MAX_READ } else { share }, share / OUTPUT);
        connection.pause(load.intake > share && !has_right);
        if self.stands_still(now) {
            connection.outbound().compact();
        }
        let wants = connection.wants_memory() || load.starves;
        if wants != self.wants_bytes.is_some() {
            self.wants_bytes = wants.then(|| self.budget.await_bytes());
        }
    }

    /// Whether something is held that has not moved for a while.
    fn stands_still(&self, now: Instant) -> bool {
        self.holds && now.since(self.moved.0) >= LOOK
    }

    /// Whether what it holds has to go: it does not move, and others need the memory.
    pub(super) fn is_overdue(&self) -> bool {
        self.holds && self.settled.since(self.moved.0) >= HOLD_TIME && self.budget.is_overdrawn()
    }

    /// It is given up.
    pub(super) fn close(&mut self) {
        self.held.announce();
        self.wants_bytes = None;
        self.budget.leave(&self.waiter);
    }

    /// Whether `runs` bytes of runs, of which one cannot go on, are too many, to be read again later: for want of credit at
    /// once if others need the memory and the connection does not move as much all the time, after a while in any case.
    pub(super) fn must_give_way(&self, by_credit: bool, runs: usize, now: Instant) -> bool {
        let misses = || self.budget.is_tight() && !self.budget.moves(self.pace, runs);
        (by_credit && misses()) || self.stands_still(now)
    }

    /// The right to a batch of `bytes`, larger than any window, if it is to be had.
    pub(super) fn take_large(&mut self, bytes: usize, now: Instant) -> bool {
        if self.large.is_none() {
            self.large = self.budget.take_large(bytes, &self.waiter).map(|permit| (permit, now));
            self.wants_large = self.large.is_none();
        }
        self.large.is_some()
    }

    /// The large batch is whole, or given up.
    pub(super) fn release_large(&mut self) {
        self.large = None;
        self.forget_wish();
    }

    /// Whoever waited for the right to a large batch may be gone: who does still asks again.
    pub(super) fn forget_wish(&mut self) {
        if std::mem::take(&mut self.wants_large) {
            self.budget.leave_large(&self.waiter);
        }
    }

    /// Whether it waits for the right to a large batch.
    pub(super) fn wants_large(&self) -> bool {
        self.wants_large
    }

    /// Whether its large batch takes too long, and others wait.
    pub(super) fn is_large_overdue(&self, now: Instant) -> bool {
        self.budget.is_large_wanted()
            && self.large.as_ref().is_some_and(|(_, since)| now.since(*since) >= LARGE_TIME)
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let look = if self.wants_bytes.is_some() { LOOK_FOR_MEMORY } else { LOOK };
        (self.holds || self.wants_bytes.is_some() || self.wants_large).then(|| self.settled.plus(look))
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.leave(&self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    #[test]
    fn a_run_without_credit_gives_way_where_memory_is_short_unless_as_much_moves_all_the_time() {
        const RUNS: usize = 1 << 20;
        let budget = Budget::new(Limits { memory: 1 << 20, ..Limits::default() });
        let mut account = Account::new(&budget, &Arc::default(), Instant(0));
        assert!(!account.must_give_way(true, RUNS, Instant(0)), "there is enough");
        let _others = budget.count(1 << 20);
        assert!(account.must_give_way(true, RUNS, Instant(0)));
        assert!(!account.must_give_way(false, RUNS, Instant(0)), "it waits for the socket only");
        account.pace = 100 << 20;
        assert!(!account.must_give_way(true, RUNS, Instant(0)));
        account.pace = 50 << 20;
        assert!(account.must_give_way(true, RUNS, Instant(0)));
    }
}
