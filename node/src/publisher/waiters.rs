//! Tasks that wait for a number to be passed: at most one entry for each, however often it looks.

use std::collections::BTreeMap;
use std::task::Waker;

/// Where a task waits. Given back when it stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    at: u64,
    id: u64,
}

/// Who waits, by what for and then by who came first.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    wakers: BTreeMap<Ticket, Waker>,
    next: u64,
}

impl Waiters {
    /// Waits, or goes on waiting, for `at` to be passed.
    pub(super) fn wait(&mut self, at: u64, ticket: &mut Option<Ticket>, waker: &Waker) {
        let place = *ticket.get_or_insert_with(|| {
            self.next += 1;
            Ticket { at, id: self.next }
        });
        self.wakers.entry(place).or_insert_with(|| waker.clone()).clone_from(waker);
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.wakers.remove(&ticket);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    /// Hands over who waits for less than `mark`.
    pub(super) fn take_below(&mut self, mark: u64, woken: &mut Vec<Waker>) {
        let rest = self.wakers.split_off(&Ticket { at: mark, id: 0 });
        woken.extend(std::mem::replace(&mut self.wakers, rest).into_values());
    }

    /// Hands over everybody.
    pub(super) fn take_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(std::mem::take(&mut self.wakers).into_values());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_less_than_the_mark_is_woken_and_who_left_is_not() {
        let mut waiters = Waiters::default();
        let mut tickets = [None; 4];
        for (at, ticket) in tickets.iter_mut().enumerate() {
            waiters.wait(at as u64, ticket, Waker::noop());
            waiters.wait(at as u64, ticket, Waker::noop());
        }
        waiters.leave(tickets[1].unwrap());
        let mut woken = Vec::new();
        waiters.take_below(3, &mut woken);
        assert_eq!(woken.len(), 2);
        waiters.take_all(&mut woken);
        assert_eq!(woken.len(), 3);
        assert!(waiters.is_empty());
    }
}
