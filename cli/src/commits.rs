//! The cadence of `recv --cursor`: what was written out is committed, at most so often, and at the end.
//!
//! Owns what may be committed and when. The order is: output first, commit second; so who is killed between the two
//! gives some records twice, and leaves none out.

use std::time::Duration;

use netchan::Position;
use tokio::time::Instant;

/// What is to be committed.
#[derive(Debug)]
pub(crate) struct Commits {
    every: Duration,
    due: Instant,
    /// Behind what was given to the output.
    given: Option<Position>,
    /// Behind what has arrived there.
    written: Option<Position>,
    committed: Option<Position>,
    /// Something was written since it was last looked whether it is time.
    is_fresh: bool,
}

impl Commits {
    /// At most once in `every`.
    pub(crate) fn new(every: Duration) -> Commits {
        let due = Instant::now() + every;
        Commits { every, due, given: None, written: None, committed: None, is_fresh: false }
    }

    /// All before `position` was given to the output.
    pub(crate) fn give(&mut self, position: Option<Position>) {
        self.given = position;
    }

    /// All that was given has arrived.
    pub(crate) fn arrived(&mut self) {
        self.is_fresh |= self.written != self.given;
        self.written = self.given;
    }

    /// When to commit again, if nothing comes: who has nothing new asks whether the cursor is still its own.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Whether something new is to be committed now.
    pub(crate) fn is_due(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh) && (self.every.is_zero() || Instant::now() >= self.due)
    }

    /// What is not committed yet, of what has arrived.
    pub(crate) fn left(&self) -> Option<Position> {
        self.written.filter(|written| self.committed != Some(*written))
    }

    /// What to commit now: also what is committed already.
    pub(crate) fn begin(&mut self) -> Option<Position> {
        // An interval of nothing asks for a commit after each write, and not for one while there is none.
        self.due = Instant::now() + if self.every.is_zero() { Duration::from_secs(1) } else { self.every };
        self.written
    }

    /// It is.
    pub(crate) fn done(&mut self, position: Position) {
        self.committed = Some(position);
    }

    /// The cursor was set to another place, and what was written is behind it or before it, whichever.
    pub(crate) fn forget(&mut self) {
        (self.given, self.written, self.committed, self.is_fresh) = (None, None, None, false);
    }
}

#[cfg(test)]
mod tests {
    use netchan::{Epoch, LogId, Offset};

    use super::*;

    fn at(offset: u64) -> Option<Position> {
        Some(Position { log: LogId([1; 16]), epoch: Epoch(1), offset: Offset(offset) })
    }

    #[test]
    fn only_what_has_arrived_is_committed_and_a_move_forgets_it() {
        let mut commits = Commits::new(Duration::ZERO);
        commits.give(at(3));
        assert!(!commits.is_due() && commits.left().is_none() && commits.begin().is_none());
        commits.arrived();
        commits.give(at(5));
        assert!(commits.is_due() && !commits.is_due());
        assert_eq!((commits.left(), commits.begin()), (at(3), at(3)));
        commits.done(at(3).unwrap());
        assert_eq!((commits.left(), commits.begin()), (None, at(3)));
        commits.arrived();
        assert_eq!(commits.left(), at(5));
        commits.forget();
        assert!(!commits.is_due() && commits.left().is_none());
    }

    #[test]
    fn it_is_not_committed_more_often_than_was_said() {
        let mut commits = Commits::new(Duration::from_secs(3600));
        commits.give(at(3));
        commits.arrived();
        assert!(!commits.is_due());
        assert_eq!(commits.left(), at(3));
    }
}
