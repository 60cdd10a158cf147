//! What one side has asked to be told, and the other has not told yet: AWAIT and RECEIVED (spec/05-streams.md).
//!
//! Owns the order of the questions of one stream and how many may be open. Both sides keep one, and one answer closes all
//! questions that it answers.

use std::collections::VecDeque;

use crate::limits::MAX_AWAITS;
use crate::types::Offset;

/// Offsets up to which it is to be told that records were received.
#[derive(Debug, Default)]
pub struct Awaited(VecDeque<Offset>);

impl Awaited {
    /// One more. `false`: there are as many as may be, and it was not taken.
    #[must_use]
    pub fn push(&mut self, offset: Offset) -> bool {
        let has_room = self.0.len() < MAX_AWAITS;
        if has_room {
            self.0.push_back(offset);
        }
        has_room
    }

    /// All before `offset` was received. Says whether that was awaited; it is not any more.
    #[must_use]
    pub fn take_up_to(&mut self, offset: Offset) -> bool {
        let open = self.0.len();
        while self.0.front().is_some_and(|awaited| *awaited <= offset) {
            self.0.pop_front();
        }
        self.0.len() < open
    }

    /// The first; [`Offset::NONE`] if there is none.
    #[must_use]
    pub fn first(&self) -> Offset {
        self.0.front().copied().unwrap_or(Offset::NONE)
    }

    /// Whether nothing is awaited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing is awaited any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_closes_all_questions_that_it_answers_and_no_others() {
        let mut awaited = Awaited::default();
        assert_eq!((awaited.first(), awaited.take_up_to(Offset(9))), (Offset::NONE, false));
        assert!([3, 5, 9].iter().all(|&offset| awaited.push(Offset(offset))));
        assert!(!awaited.take_up_to(Offset(2)));
        assert!(awaited.take_up_to(Offset(5)) && !awaited.is_empty());
        assert_eq!(awaited.first(), Offset(9));
        awaited.clear();
        assert!(awaited.is_empty());
    }

    #[test]
    fn no_more_than_so_many_are_open() {
        let mut awaited = Awaited::default();
        assert!((0..MAX_AWAITS as u64).all(|offset| awaited.push(Offset(offset + 1))));
        assert!(!awaited.push(Offset(1000)));
        assert!(awaited.take_up_to(Offset(1)) && awaited.push(Offset(1000)) && !awaited.push(Offset(1001)));
    }
}
