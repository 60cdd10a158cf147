//! Channels in the order in which they were made, and who waits for the next.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

use netchan_proto::limits::WATCH_NAMES;
use netchan_proto::{ChannelName, LogId};

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

/// Where one stands among those who wait for channels to be made in one store, by who came first: however many they are, nobody
/// is searched for. Given back with [`Store::forget_made`](super::Store::forget_made).
#[derive(Debug, Default)]
pub struct MadeTicket(Option<u64>);

/// The channels there are, by a number that each gets when it is made: places are never given twice while a store is open.
#[derive(Default)]
pub(super) struct Row {
    channels: BTreeMap<u64, (ChannelName, LogId)>,
    places: HashMap<LogId, u64>,
    last: u64,
    /// By their tickets.
    waiting: BTreeMap<u64, Waker>,
    tickets: u64,
}

impl FromIterator<(ChannelName, LogId)> for Row {
    fn from_iter<T: IntoIterator<Item = (ChannelName, LogId)>>(channels: T) -> Row {
        let mut row = Row::default();
        for (name, id) in channels {
            row.put(name, id);
        }
        row
    }
}

impl Row {
    /// One more is made. Gives who is to be woken, without the lock.
    pub(super) fn add(&mut self, name: ChannelName, id: LogId) -> impl Iterator<Item = Waker> + use<> {
        self.put(name, id);
        std::mem::take(&mut self.waiting).into_values()
    }

    fn put(&mut self, name: ChannelName, id: LogId) {
        self.last += 1;
        self.channels.insert(self.last, (name, id));
        self.places.insert(id, self.last);
    }

    /// One is deleted.
    pub(super) fn remove(&mut self, id: LogId) {
        if let Some(place) = self.places.remove(&id) {
            self.channels.remove(&place);
        }
    }

    /// Gives a waker besides, to be dropped without the lock: that which waited with this ticket before.
    pub(super) fn after(
        &mut self,
        after: u64,
        limit: usize,
        is_meant: impl Fn(&ChannelName) -> bool,
        (ticket, waker): (&mut MadeTicket, &Waker),
    ) -> (Made, Option<Waker>) {
        let mut made = Made { after, ..Made::default() };
        for (&place, (name, id)) in self.channels.range(after.saturating_add(1)..).take(WATCH_NAMES) {
            if made.channels.len() >= limit {
                break;
            }
            made.after = place;
            if is_meant(name) {
                made.channels.push((name.clone(), *id));
            }
        }
        made.more = self.channels.range(made.after.saturating_add(1)..).next().is_some();
        if made.more {
            return (made, None);
        }
        let ticket = *ticket.0.get_or_insert_with(|| {
            self.tickets += 1;
            self.tickets
        });
        (made, self.waiting.insert(ticket, waker.clone()))
    }

    /// Gives the waker that waited with this ticket, to be dropped without the lock.
    pub(super) fn forget(&mut self, ticket: &mut MadeTicket) -> Option<Waker> {
        self.waiting.remove(&ticket.0.take()?)
    }
}
