//! What must hold, checked at every step.
//!
//! Owns the truth of one run: which record stands at which offset, what was acknowledged, what each receiver has
//! been given. It learns from what programs see (acknowledgements, records, gaps) and, after each restart of the
//! node, from the log as it was recovered. A first violation ends the run.

use std::collections::{BTreeMap, BTreeSet};

use netchan_proto::wire::{AckLevel, GapReason};
use netchan_proto::{Durability, Timestamp};

use crate::audit::Found;
use crate::workload::{RecordId, Wanted};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Breaks off with a violation.
macro_rules! violated {
    ($($text:tt)*) => { return Err(crate::oracle::Violation(format!($($text)*))) };
}
pub(crate) use violated;

/// What every check answers.
pub type Checked = Result<(), Violation>;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    id: Option<RecordId>,
    time: Option<Timestamp>,
    was_given: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ack {
    level: AckLevel,
    generation: usize,
}

impl Ack {
    /// Whether the record may be gone: a power cut, after an acknowledgement that did not promise to survive one.
    fn may_be_lost(self, durability: Durability, restarts: &[Restart]) -> bool {
        durability != Durability::Sync
            && self.level == AckLevel::Written
            && restarts[self.generation..].iter().any(|restart| restart.was_power_cut)
    }
}

/// One producer's records, by sequence.
#[derive(Debug, Default)]
struct Producer {
    at: Vec<Option<u64>>,
    acks: Vec<Option<Ack>>,
    /// The sequences before which it has put a note that says so.
    notes: BTreeSet<u64>,
}

/// How a generation of the node's process ended, and what the next one found.
#[derive(Clone, Copy, Debug)]
struct Restart {
    was_power_cut: bool,
    end: u64,
}

/// What one receiver has been given.
#[derive(Clone, Debug)]
struct View {
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
    fn roll_back(&mut self, end: u64) {
        if let Some(next) = self.next {
            self.roll_back_to(end, next);
        }
    }

    /// The log was rolled back to `end`, and it is at `next`.
    fn roll_back_to(&mut self, end: u64, next: u64) {
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

/// The truth of one run.
#[derive(Debug)]
pub struct Oracle {
    durability: Durability,
    entries: Vec<Entry>,
    producers: Vec<Producer>,
    restarts: Vec<Restart>,
    views: Vec<View>,
    kept: Vec<View>,
    /// What a receiver by a cursor has asked to be committed, and was not told of yet.
    asked: Vec<Option<View>>,
    /// Who was told that what stands at an offset is not what they want, where nobody knew yet what that is.
    passed_over: BTreeMap<u64, Vec<(usize, Wanted)>>,
    /// The first record that was there when somebody looked last.
    first: u64,
    sealed: Option<u64>,
    lost: u64,
}

impl Oracle {
    /// Nothing has happened.
    pub fn new(durability: Durability) -> Oracle {
        Oracle {
            durability,
            entries: Vec::new(),
            producers: Vec::new(),
            restarts: Vec::new(),
            views: Vec::new(),
            kept: Vec::new(),
            asked: Vec::new(),
            passed_over: BTreeMap::new(),
            first: 0,
            sealed: None,
            lost: 0,
        }
    }

    /// Records that power cuts took from a channel of a weaker mode, and that somebody had seen.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Another producer. Says its number.
    pub fn add_producer(&mut self) -> u16 {
        self.producers.push(Producer::default());
        u16::try_from(self.producers.len() - 1).unwrap_or(u16::MAX)
    }

    /// Another receiver. Says its number.
    pub fn add_receiver(&mut self) -> usize {
        self.views.push(View::default());
        self.kept.push(View::default());
        self.asked.push(None);
        self.views.len() - 1
    }

    /// The generation of the node's process that runs, or ran last.
    pub fn generation(&self) -> usize {
        self.restarts.len()
    }

    // ---- producers ----

    /// How many records a producer has taken, in all its lives.
    pub fn count_handed(&self, producer: u16) -> u64 {
        self.producers[usize::from(producer)].at.len() as u64
    }

    /// A producer took its next record; a local one says where it queued it.
    ///
    /// # Errors
    /// Another record stands there.
    pub fn handed(&mut self, id: RecordId, offset: Option<u64>) -> Checked {
        let producer = &mut self.producers[usize::from(id.producer)];
        if producer.at.len() as u64 == id.sequence {
            producer.at.push(None);
            producer.acks.push(None);
        }
        match offset {
            Some(offset) => self.learn(offset, id, None),
            None => Ok(()),
        }
    }

    /// A producer has put a note before its record `sequence`.
    pub fn noted(&mut self, producer: u16, sequence: u64) {
        self.producers[usize::from(producer)].notes.insert(sequence);
    }

    /// A publisher that came back is told which of its records comes next, and what it noted last.
    ///
    /// # Errors
    /// One before it is promised and not there, or nobody sent it.
    pub fn resumed(&mut self, producer: u16, next: u64, note: &[u8], generation: usize) -> Checked {
        let now = self.generation();
        let (durability, restarts) = (self.durability, &self.restarts);
        let records = &mut self.producers[usize::from(producer)];
        if next > records.at.len() as u64 {
            violated!("producer {producer} is told to go on at {next}, and sent {}", records.at.len());
        }
        // A note is kept before any record after it is, and not before all those before it are.
        let note = <[u8; 8]>::try_from(note).ok().map(u64::from_le_bytes);
        let owed = records.notes.range(..next).next_back().copied();
        if note < owed || note.is_some_and(|note| note > next || !records.notes.contains(&note)) {
            violated!(
                "producer {producer} is told to go on at {next} with note {note:?}; it is owed {owed:?}"
            );
        }
        for (sequence, ack) in records.acks.iter_mut().enumerate() {
            if sequence < index(next) {
                // Everything below is durable when it is told.
                ack.get_or_insert(Ack { level: AckLevel::Durable, generation });
            } else if generation == now
                && let Some(ack) = ack
                && !ack.may_be_lost(durability, restarts)
            {
                violated!(
                    "producer {producer} is told to go on at {next}; {sequence} was acknowledged: {ack:?}"
                );
            }
        }
        Ok(())
    }

    /// A record was acknowledged by the node of this generation.
    pub fn acknowledged(
        &mut self,
        id: RecordId,
        level: AckLevel,
        offset: Option<u64>,
        generation: usize,
    ) -> Checked {
        if let Some(offset) = offset
            && offset < self.holds_until(generation)
        {
            self.learn(offset, id, None)?;
        } else if let Some(offset) = offset {
            if level == AckLevel::Durable {
                violated!("{id:?} at {offset} is told durable, but a restart before that had lost it");
            }
            self.check_taken(offset, generation, "acknowledged")?;
        }
        let ack = &mut self.producers[usize::from(id.producer)].acks[index(id.sequence)];
        if ack.is_none_or(|ack| ack.level <= level) {
            *ack = Some(Ack { level, generation });
        }
        Ok(())
    }

    /// A publisher is told that a power cut took a record of which it knew that it was written.
    ///
    /// # Errors
    /// That cannot be.
    pub fn told_lost(&self, id: RecordId, generation: usize) -> Checked {
        let ack = self.producers[usize::from(id.producer)].acks[index(id.sequence)];
        let was_cut = self.restarts.iter().take(generation).any(|restart| restart.was_power_cut);
        if self.durability == Durability::Sync
            || !was_cut
            || ack.is_some_and(|ack| ack.level == AckLevel::Durable)
        {
            violated!("{id:?} ({ack:?}) is told to be lost, and may not be");
        }
        Ok(())
    }

    // ---- the log ----

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

    /// All is over: whatever was handed to these producers must be there, but for what was trimmed or lost.
    pub fn check_complete(&self, producers: &[u16]) -> Checked {
        for producer in producers {
            let records = &self.producers[usize::from(*producer)];
            if let Some(sequence) = records.acks.iter().position(Option::is_none) {
                violated!("record {sequence} of producer {producer} was never acknowledged");
            }
        }
        Ok(())
    }

    /// Each producer's records stand in the log once, in order, and none is missing that was promised.
    fn check_producers(&self, first: u64) -> Checked {
        for (number, producer) in self.producers.iter().enumerate() {
            let mut before = None;
            let present = |at: &Option<u64>| at.is_some_and(|at| at >= first);
            let oldest = producer.at.iter().position(present);
            let newest = producer.at.iter().rposition(present);
            for (sequence, at) in producer.at.iter().enumerate() {
                if present(at) {
                    if before >= *at {
                        violated!("record {sequence} of producer {number} is out of order, at {at:?}");
                    }
                    before = *at;
                    continue;
                }
                let was_trimmed = first > 0
                    && (at.is_some_and(|at| at < first) || oldest.is_none_or(|oldest| sequence < oldest));
                let ack = producer.acks[sequence];
                let was_lost = ack.is_some_and(|ack| ack.may_be_lost(self.durability, &self.restarts));
                let is_owed = ack.is_some() || newest.is_some_and(|newest| sequence < newest);
                if is_owed && !was_trimmed && !was_lost {
                    violated!("record {sequence} of producer {number} ({ack:?}) is missing in the log");
                }
            }
        }
        Ok(())
    }

    /// The record at `offset` is this one: it always was, and it is nowhere else.
    fn learn(&mut self, offset: u64, id: RecordId, time: Option<Timestamp>) -> Checked {
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
    fn holds_until(&self, generation: usize) -> u64 {
        self.restarts[generation..].iter().map(|restart| restart.end).min().unwrap_or(u64::MAX)
    }

    /// Something that a node of an earlier generation showed is gone: may that be?
    fn check_taken(&self, offset: u64, generation: usize, what: &str) -> Checked {
        let mut lost_by = self.restarts[generation..].iter().filter(|restart| restart.end <= offset);
        if self.durability == Durability::Sync || !lost_by.any(|restart| restart.was_power_cut) {
            violated!("offset {offset} was {what}, and a restart took it away");
        }
        Ok(())
    }

    // ---- receivers ----

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
    fn may_pass_to(&self, view: &View, offset: u64) -> bool {
        let Some(next) = view.next else { return false };
        let is_old =
            |passed| view.since > Timestamp::MIN && self.time_of(passed).is_none_or(|time| time < view.since);
        offset == next
            || (offset > next
                && (next..offset).all(|passed| is_old(passed) || self.is_unwanted(view, passed)))
    }

    /// Whether what stands at `offset`, as far as that is known, is not what a receiver asked for.
    fn is_unwanted(&self, view: &View, offset: u64) -> bool {
        let known = self.entries.get(index(offset)).and_then(|entry| entry.id);
        // What an earlier node had there may have been something else.
        let known = known.filter(|_| offset < self.holds_until(view.generation));
        view.wanted.is_some_and(|wanted| known.is_none_or(|id| !wanted.is(id)))
    }

    /// A receiver goes on at `offset`, which it may: what nobody knows of what is between is remembered.
    fn pass_to(&mut self, receiver: usize, offset: u64) {
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

/// Offsets and sequences of a run are small.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
