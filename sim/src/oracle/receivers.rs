//! What each receiver has been given, and what it must be given next.

use netchan_proto::Timestamp;
use netchan_proto::wire::GapReason;

use super::{Checked, Oracle, index, violated};
use crate::workload::{RecordId, Wanted};

/// What one receiver has been given.
#[derive(Clone, Debug)]
pub(super) struct View {
    next: Option<u64>,
    last_time: Timestamp,
    /// The log was rolled back to here, behind what this receiver was given, and it has not been told yet.
    void_from: Option<u64>,
    /// It asked for records of this time and later: older ones pass it by.
    since: Timestamp,
    /// What it asked for, if not for all.
    wanted: Option<Wanted>,
    /// The generation of the node that it reads from.
    generation: usize,
    over: bool,
}

impl Default for View {
    fn default() -> View {
        let never = Timestamp::MIN;
        View {
            next: None,
            last_time: never,
            void_from: None,
            since: never,
            wanted: None,
            generation: 0,
            over: false,
        }
    }
}

impl View {
    pub(super) fn roll_back(&mut self, end: u64) {
        if let Some(next) = self.next {
            self.roll_back_to(end, next);
        }
    }

    /// The log was rolled back to `end`, and it is at `next`.
    pub(super) fn roll_back_to(&mut self, end: u64, next: u64) {
        if next > end {
            self.void_from = Some(self.void_from.map_or(end, |from| from.min(end)));
        }
    }
}

/// A record that a receiver was given.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Which record its payload says it is.
    pub id: RecordId,
    /// Its offset.
    pub offset: u64,
    /// Its time.
    pub time: Timestamp,
    /// The generation of the node that sent it.
    pub generation: usize,
}

impl Oracle {
    /// The offset that comes next for this receiver, if it is known.
    pub fn next(&self, receiver: usize) -> Option<u64> {
        self.views[receiver].next
    }

    /// Whether this receiver was told of the end.
    pub fn is_over(&self, receiver: usize) -> bool {
        self.views[receiver].over
    }

    /// The sender told this receiver, of this generation's node, where it begins.
    pub fn positioned(&mut self, receiver: usize, offset: u64, generation: usize) {
        let holds = self.holds_until(generation);
        let view = &mut self.views[receiver];
        view.next = Some(offset);
        view.roll_back(holds);
    }

    /// A receiver goes on elsewhere.
    pub fn sought(&mut self, receiver: usize) {
        let View { wanted, generation, .. } = self.views[receiver];
        self.views[receiver] = View { wanted, generation, ..View::default() };
    }

    /// A receiver stores how far it is.
    pub fn keep(&mut self, receiver: usize) {
        self.kept[receiver] = self.views[receiver].clone();
    }

    /// A receiver asks for its cursor to be moved to where it is.
    pub fn ask_to_commit(&mut self, receiver: usize) {
        self.asked[receiver] = Some(self.views[receiver].clone());
    }

    /// It was told that it is; or (`!is_kept`) that it is not.
    pub fn committed(&mut self, receiver: usize, is_kept: bool) {
        if let (Some(view), true) = (self.asked[receiver].take(), is_kept) {
            self.kept[receiver] = view;
        }
    }

    /// A receiver is back, and its cursor says where.
    pub fn came_back_by_cursor(&mut self, receiver: usize) {
        self.views[receiver] = View::default();
    }

    /// The cursor said `offset`: what was committed last, or was to be when the receiver died. Without either it is
    /// no later than the first record. Says whether that is so, and whether it was moved by a commit.
    pub fn goes_on(&mut self, receiver: usize, offset: u64, generation: usize) -> Option<bool> {
        let (asked, kept) = (self.asked[receiver].take(), self.kept[receiver].clone());
        let view = asked.into_iter().chain([kept]).find(|view| view.next == Some(offset));
        match view {
            Some(view) => {
                self.kept[receiver] = view.clone();
                self.views[receiver] = view;
                Some(true)
            }
            None if self.kept[receiver].next.is_none() && offset <= self.first => {
                self.positioned(receiver, offset, generation);
                Some(false)
            }
            None => None,
        }
    }

    /// The first that it hears is that the log was rolled back to `end` behind its cursor.
    pub fn goes_on_void(&mut self, receiver: usize, end: u64) {
        let views = self.asked[receiver].iter().chain([&self.kept[receiver]]);
        if let Some(view) = views.into_iter().find(|view| view.void_from == Some(end)) {
            self.views[receiver] = view.clone();
        }
    }

    /// A receiver is back, at what it stored.
    pub fn came_back(&mut self, receiver: usize) {
        self.views[receiver] = self.kept[receiver].clone();
    }

    /// A receiver that has just come, or sought, wants nothing from before `since`.
    pub fn wants(&mut self, receiver: usize, since: Timestamp, wanted: Option<Wanted>) {
        let view = &mut self.views[receiver];
        (view.since, view.wanted) = (since, wanted);
    }

    /// A receiver reads from the node of this generation from now on.
    pub fn reads_from(&mut self, receiver: usize, generation: usize) {
        self.views[receiver].generation = generation;
    }

    /// Whether a receiver, where it is, may meet what stands at `offset`: what is between is older than it asked for.
    pub(super) fn may_pass_to(&self, view: &View, offset: u64) -> bool {
        let Some(next) = view.next else { return false };
        let is_old =
            |passed| view.since > Timestamp::MIN && self.time_of(passed).is_none_or(|time| time < view.since);
        offset == next
            || (offset > next
                && (next..offset).all(|passed| is_old(passed) || self.is_unwanted(view, passed)))
    }

    /// Whether what stands at `offset`, as far as that is known, is not what a receiver asked for.
    pub(super) fn is_unwanted(&self, view: &View, offset: u64) -> bool {
        let known = self.entries.get(index(offset)).and_then(|entry| entry.id);
        // What an earlier node had there may have been something else.
        let known = known.filter(|_| offset < self.holds_until(view.generation));
        view.wanted.is_some_and(|wanted| known.is_none_or(|id| !wanted.is(id)))
    }

    /// A receiver goes on at `offset`, which it may: what nobody knows of what is between is remembered.
    pub(super) fn pass_to(&mut self, receiver: usize, offset: u64) {
        let view = &self.views[receiver];
        let (Some(wanted), Some(next)) = (view.wanted, view.next) else { return };
        let holds_until = self.holds_until(view.generation);
        for passed in next..offset.min(holds_until) {
            // Where it asked for a time, it may be spared what is older, whatever that is.
            let may_be_old = view.since > Timestamp::MIN;
            if !may_be_old && self.entries.get(index(passed)).is_none_or(|entry| entry.id.is_none()) {
                self.passed_over.entry(passed).or_default().push((receiver, wanted));
            }
        }
    }

    /// A receiver says that it is at `offset`; says whether it may be.
    pub fn stands(&mut self, receiver: usize, offset: u64) -> bool {
        let may = self.may_pass_to(&self.views[receiver], offset);
        if may {
            self.pass_to(receiver, offset);
            // It may have been led here by a node that is gone, whose log was rolled back since.
            let holds_until = self.holds_until(self.views[receiver].generation);
            let view = &mut self.views[receiver];
            if view.wanted.is_some() {
                view.roll_back_to(holds_until, offset);
            }
            view.next = Some(offset);
        }
        may
    }

    /// A receiver was given a record.
    pub fn given(&mut self, receiver: usize, given: Given) -> Checked {
        let Given { id, offset, time, generation } = given;
        let holds = offset < self.holds_until(generation);
        let view = &self.views[receiver];
        let Some(next) = view.next else { violated!("receiver {receiver} got {offset} before any start") };
        if view.over {
            violated!("receiver {receiver} got {offset} after the end");
        }
        if !self.may_pass_to(view, offset) {
            violated!("receiver {receiver} got offset {offset} where {next} should come");
        }
        if time < view.since {
            violated!("receiver {receiver} got offset {offset} of {time:?}, and asked for {:?}", view.since);
        }
        if let Some(wanted) = view.wanted.filter(|wanted| !wanted.is(id)) {
            violated!("receiver {receiver} got {id:?} at {offset}, and asked for {wanted:?}");
        }
        if time <= view.last_time {
            violated!("receiver {receiver}: time does not increase at offset {offset}");
        }
        let mut void_from = view.void_from;
        self.pass_to(receiver, offset);
        if holds {
            if let Some(from) = void_from {
                violated!(
                    "receiver {receiver} got offset {offset}, but the log was rolled back to {from} and \
                     nobody told it"
                );
            }
            self.learn(offset, id, Some(time))?;
            self.entries[index(offset)].was_given = true;
        } else {
            self.check_taken(offset, generation, "given to a receiver")?;
            let holds_until = self.holds_until(generation);
            void_from = Some(void_from.map_or(holds_until, |from| from.min(holds_until)));
        }
        let view = &mut self.views[receiver];
        view.next = Some(offset + 1);
        view.last_time = time;
        view.void_from = void_from;
        Ok(())
    }

    /// A receiver was told of a gap.
    pub fn gap(&mut self, receiver: usize, from: u64, to: u64, why: GapReason) -> Checked {
        let view = &self.views[receiver];
        if why != GapReason::Retention {
            violated!("receiver {receiver} was told of a gap because of {why:?}; nothing was damaged");
        }
        if !self.may_pass_to(view, from) || to <= from {
            violated!("receiver {receiver} was told of a gap {from}..{to} at {:?}", view.next);
        }
        if to > self.first {
            violated!("receiver {receiver} was told of a gap {from}..{to}; trimmed is up to {}", self.first);
        }
        if let Some(void_from) = view.void_from {
            violated!("receiver {receiver} was told of a gap, but not of the roll-back to {void_from}");
        }
        self.pass_to(receiver, from);
        self.views[receiver].next = Some(to);
        Ok(())
    }

    /// A receiver was told that the log was rolled back.
    pub fn truncated(&mut self, receiver: usize, end: u64) -> Checked {
        let view = &mut self.views[receiver];
        // It may have passed by what was lost.
        let passed_by = view.void_from.is_none() && (view.since > Timestamp::MIN || view.wanted.is_some());
        if view.void_from != Some(end) && !passed_by {
            violated!(
                "receiver {receiver}, at {:?}, was told of a roll-back to {end}; it is to {:?}",
                view.next,
                view.void_from
            );
        }
        view.void_from = None;
        view.next = Some(end);
        view.last_time = end
            .checked_sub(1)
            .and_then(|last| self.entries.get(index(last)))
            .and_then(|entry| entry.time)
            .unwrap_or(Timestamp::MIN);
        Ok(())
    }

    /// A receiver was told that the channel is complete.
    pub fn sealed(&mut self, receiver: usize) -> Checked {
        let view = &self.views[receiver];
        if !self.sealed.is_some_and(|end| self.may_pass_to(view, end)) || view.void_from.is_some() {
            violated!(
                "receiver {receiver} was told of the end at {:?} (void from {:?}); the channel's end is {:?}",
                view.next,
                view.void_from,
                self.sealed
            );
        }
        if let Some(end) = self.sealed {
            self.pass_to(receiver, end);
        }
        self.views[receiver].over = true;
        Ok(())
    }
}
