//! Channels in the order in which they were made, and who waits for the next.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

use netchan_proto::{ChannelName, LogId};

/// Channels that one call looks at, with the store's lock held.
const LOOK: usize = 1000;

/// Some channels in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Those that are meant.
    pub channels: Vec<(ChannelName, LogId)>,
    /// The place of the last that was looked at: where to go on.
    pub after: u64,
    /// Whether there are more to be looked at.
    pub more: bool,
}

/// The channels there are, by a number that each gets when it is made: places are never given twice while a store is open.
#[derive(Default)]
pub(super) struct Row {
    channels: BTreeMap<u64, (ChannelName, LogId)>,
    places: HashMap<LogId, u64>,
    last: u64,
    waiting: Vec<Waker>,
}

impl FromIterator<(ChannelName, LogId)> for Row {
    fn from_iter<T: IntoIterator<Item = (ChannelName, LogId)>>(channels: T) -> Row {
        let mut row = Row::default();
        for (name, id) in channels {
            row.add(name, id);
        }
        row
    }
}

impl Row {
    /// One more is made. Gives who is to be woken, without the lock.
    pub(super) fn add(&mut self, name: ChannelName, id: LogId) -> Vec<Waker> {
        self.last += 1;
        self.channels.insert(self.last, (name, id));
        self.places.insert(id, self.last);
        std::mem::take(&mut self.waiting)
    }

    /// One is deleted.
    pub(super) fn remove(&mut self, id: LogId) {
        if let Some(place) = self.places.remove(&id) {
            self.channels.remove(&place);
        }
    }

    pub(super) fn after(
        &mut self,
        after: u64,
        limit: usize,
        is_meant: impl Fn(&ChannelName) -> bool,
        waker: &Waker,
    ) -> Made {
        let mut made = Made { after, ..Made::default() };
        for (&place, (name, id)) in self.channels.range(after.saturating_add(1)..).take(LOOK) {
            if made.channels.len() >= limit {
                break;
            }
            made.after = place;
            if is_meant(name) {
                made.channels.push((name.clone(), *id));
            }
        }
        made.more = self.channels.range(made.after.saturating_add(1)..).next().is_some();
        if !made.more && !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
        made
    }

    /// Gives the wakers that are these, to be dropped without the lock.
    pub(super) fn forget(&mut self, waker: &Waker) -> Vec<Waker> {
        self.waiting.extract_if(.., |known| known.will_wake(waker)).collect()
    }
}
