//! Which record stands where, over the lives of the node.

use netchan_proto::wire::AckLevel;
use netchan_proto::{Durability, Timestamp};

use super::{Checked, Oracle, index, violated};
use crate::workload::RecordId;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) id: Option<RecordId>,
    pub(super) time: Option<Timestamp>,
    pub(super) was_given: bool,
}

/// A record that somebody found in the log.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Which one it is.
    pub id: RecordId,
    /// Where it stands.
    pub offset: u64,
    /// Its time.
    pub time: Timestamp,
}

/// How a generation of the node's process ended, and what the next one found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    pub(super) was_power_cut: bool,
    pub(super) end: u64,
}

impl Oracle {
    /// Somebody looked: this is the first record there is.
    pub fn saw_first(&mut self, first: u64) {
        self.first = self.first.max(first);
    }

    /// The channel was sealed.
    pub fn saw_seal(&mut self, end: u64) -> Checked {
        if self.sealed.replace(end).is_some_and(|before| before != end) {
            violated!("the channel is sealed a second time, at {end}");
        }
        Ok(())
    }

    /// Whether somebody knows that the channel is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// The node came back and found this.
    pub fn restarted(&mut self, was_power_cut: bool, first: u64, end: u64, found: &[Found]) -> Checked {
        let weak = self.durability != Durability::Sync;
        for offset in end..self.entries.len() as u64 {
            let entry = self.entries[index(offset)];
            let Some(id) = entry.id else { continue };
            let producer = &mut self.producers[usize::from(id.producer)];
            let ack = producer.acks[index(id.sequence)];
            let level = ack.map(|ack| ack.level);
            if level == Some(AckLevel::Durable) {
                violated!("{id:?} at {offset} was told durable; after a restart the log ends at {end}");
            }
            let was_seen = entry.was_given || level.is_some();
            if was_seen && !(weak && was_power_cut) {
                let what = if entry.was_given { "given to a receiver" } else { "acknowledged" };
                let how = if was_power_cut { "a power cut" } else { "a kill" };
                violated!("{id:?} at {offset} was {what}; after {how} the log ends at {end}");
            }
            self.lost += u64::from(was_seen);
            producer.at[index(id.sequence)] = None;
        }
        self.entries.truncate(index(end));
        self.passed_over.split_off(&end);
        self.restarts.push(Restart { was_power_cut, end });
        let asked = self.asked.iter_mut().flatten();
        for view in self.views.iter_mut().chain(&mut self.kept).chain(asked) {
            view.roll_back(end);
        }
        self.audit(first, end, found)
    }

    /// The log holds exactly this.
    pub fn audit(&mut self, first: u64, end: u64, found: &[Found]) -> Checked {
        self.saw_first(first);
        let mut expected = first;
        let mut last_time = Timestamp::MIN;
        for Found { id, offset, time } in found {
            if *offset != expected {
                violated!("the log holds offset {offset} where {expected} should come");
            }
            if *time <= last_time {
                violated!("time does not increase at offset {offset} of the log");
            }
            self.learn(*offset, *id, Some(*time))?;
            expected += 1;
            last_time = *time;
        }
        if expected != end {
            violated!("the log ends at {end}, but its records end at {expected}");
        }
        self.check_producers(first)
    }

    /// The first record that was there when somebody looked last.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The end of what is known of the log.
    pub fn known_end(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The time of the record at `offset`, where it is known.
    pub fn time_of(&self, offset: u64) -> Option<Timestamp> {
        self.entries.get(index(offset))?.time
    }

    /// The record at `offset` is this one: it always was, and it is nowhere else.
    pub(super) fn learn(&mut self, offset: u64, id: RecordId, time: Option<Timestamp>) -> Checked {
        if offset >= self.entries.len() as u64 {
            self.entries.resize(index(offset) + 1, Entry::default());
        }
        let entry = &mut self.entries[index(offset)];
        if entry.id.is_some_and(|known| known != id) {
            violated!("offset {offset} holds {id:?}, and held {:?} before", entry.id);
        }
        if entry.time.is_some() && time.is_some() && entry.time != time {
            violated!("the time of offset {offset} has changed");
        }
        entry.id = Some(id);
        entry.time = entry.time.or(time);
        for (receiver, wanted) in self.passed_over.remove(&offset).into_iter().flatten() {
            if wanted.is(id) {
                violated!("receiver {receiver} wants {wanted:?}, and {id:?} at {offset} was passed over");
            }
        }
        let Some(at) = self
            .producers
            .get_mut(usize::from(id.producer))
            .and_then(|producer| producer.at.get_mut(index(id.sequence)))
        else {
            violated!("offset {offset} holds {id:?}, which nobody has sent");
        };
        if at.replace(offset).is_some_and(|before| before != offset) {
            violated!("{id:?} stands in the log twice; the second time at {offset}");
        }
        Ok(())
    }

    /// Up to here, what a node of this generation told is still so.
    pub(super) fn holds_until(&self, generation: usize) -> u64 {
        self.restarts[generation..].iter().map(|restart| restart.end).min().unwrap_or(u64::MAX)
    }

    /// Something that a node of an earlier generation showed is gone: may that be?
    pub(super) fn check_taken(&self, offset: u64, generation: usize, what: &str) -> Checked {
        let mut lost_by = self.restarts[generation..].iter().filter(|restart| restart.end <= offset);
        if self.durability == Durability::Sync || !lost_by.any(|restart| restart.was_power_cut) {
            violated!("offset {offset} was {what}, and a restart took it away");
        }
        Ok(())
    }
}
