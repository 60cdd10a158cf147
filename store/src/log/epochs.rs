//! The generations of a log: pairs of (epoch, offset of its first record), oldest first.

use netchan_proto::{Epoch, Offset};

/// Pairs that are kept. Older ones are forgotten, and positions of theirs are taken to hold.
pub(super) const MAX_EPOCHS: usize = 256;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs(Vec<(Epoch, Offset)>);

impl Epochs {
    pub(super) fn last(&self) -> Epoch {
        self.0.last().map_or(Epoch(0), |&(epoch, _)| epoch)
    }

    pub(super) fn pairs(&self) -> &[(Epoch, Offset)] {
        &self.0
    }

    /// Notes that `epoch` begins at `first`, if it is a new one.
    pub(super) fn note(&mut self, epoch: Epoch, first: Offset) {
        if epoch <= self.last() {
            return;
        }
        // An epoch whose first batch never came has no records: the one after it takes its place.
        while self.0.last().is_some_and(|&(_, offset)| offset >= first) {
            self.0.pop();
        }
        if self.0.len() == MAX_EPOCHS {
            self.0.remove(0);
        }
        self.0.push((epoch, first));
    }

    /// Where the records of `epoch` end: at the first record of a later one, or at `end`.
    pub(super) fn end_of(&self, epoch: Epoch, end: Offset) -> Offset {
        self.0.iter().find(|&&(later, _)| later > epoch).map_or(end, |&(_, first)| first.min(end))
    }

    /// The epoch of the record before `offset`; 0 if there is none or it was forgotten.
    pub(super) fn before(&self, offset: Offset) -> Epoch {
        let begun = self.0.iter().take_while(|&&(_, first)| first < offset);
        begun.last().map_or(Epoch(0), |&(epoch, _)| epoch)
    }

    /// Whether `epoch` is older than what is remembered.
    pub(super) fn has_forgotten(&self, epoch: Epoch) -> bool {
        self.0.len() == MAX_EPOCHS && self.0.first().is_some_and(|&(oldest, _)| epoch < oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_where_a_later_one_begins() {
        let mut epochs = Epochs::default();
        epochs.note(Epoch(1), Offset(0));
        epochs.note(Epoch(2), Offset(10));
        epochs.note(Epoch(2), Offset(11));
        epochs.note(Epoch(5), Offset(20));
        let end = Offset(30);
        assert_eq!(epochs.end_of(Epoch(1), end), Offset(10));
        assert_eq!(epochs.end_of(Epoch(3), end), Offset(20));
        assert_eq!(epochs.end_of(Epoch(5), end), end);
        assert_eq!(epochs.end_of(Epoch(9), end), end);
        let before: Vec<u32> = [0, 1, 10, 11, 20, 21].map(|at| epochs.before(Offset(at)).0).to_vec();
        assert_eq!(before, [0, 1, 1, 2, 2, 5]);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut epochs = Epochs::default();
        for epoch in 1..=300 {
            epochs.note(Epoch(epoch), Offset(u64::from(epoch)));
        }
        assert_eq!(epochs.pairs().len(), MAX_EPOCHS);
        assert!(epochs.has_forgotten(Epoch(44)));
        assert!(!epochs.has_forgotten(Epoch(45)));
    }
}
