//! What must hold of channels that come and go, and of who receives them by a pattern.
//!
//! All of them are of the mode `sync` and have one appender, so that what was seen once stands for good while the channel
//! does. Of each channel a receiver by pattern must be given all that it wants, in order, from where it began: nothing
//! doubled, nothing of a name that does not match, nothing of a channel after that of a later making of its name, and no
//! record may be missing but where it was told a gap.

use std::collections::{BTreeMap, BTreeSet};

use netchan_node::receiver::ChannelPositions;
use netchan_proto::wire::GapReason;
use netchan_proto::{ChannelName, Instant, LogId, Position, Timestamp};

use super::{Checked, index, violated};
use crate::names::{GathererPlan, NameRecord};

/// One making of a name.
#[derive(Debug)]
pub struct Making {
    /// The name.
    pub name: ChannelName,
    /// The log.
    pub log: LogId,
    /// When it was made.
    pub made: Instant,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// The first record that was there when somebody looked last.
    first: u64,
    /// The visible end, then.
    end: u64,
    /// Which record stands at each offset, where somebody has seen it.
    ids: Vec<Option<u64>>,
}

/// What one receiver was given of one making.
#[derive(Clone, Copy, Debug)]
struct View {
    next: u64,
    last_time: Timestamp,
}

/// What one receiver by pattern was given.
#[derive(Clone, Debug, Default)]
struct Gathered {
    views: BTreeMap<u32, View>,
    /// Of which making of a name it was given something last.
    newest: BTreeMap<ChannelName, u32>,
}

/// One receiver by pattern.
#[derive(Debug)]
struct Gatherer {
    plan: GathererPlan,
    now: Gathered,
    kept: Gathered,
    /// It goes on at what it kept: of what is not in that it wants all.
    is_resumed: bool,
    /// With which it came: those that were made before that are there.
    came_at: Instant,
    /// The visible end of each making then.
    ends: Vec<u64>,
    /// When it was known that it knows all that are there: what is made later is read from its first record on.
    knows_all: Option<Instant>,
    /// Those that it said have joined, and have not left.
    joined: BTreeSet<ChannelName>,
}

/// The truth of channels that come and go.
#[derive(Debug, Default)]
pub struct Names {
    makings: Vec<Making>,
    gatherers: Vec<Gatherer>,
}

impl Making {
    /// Whether the record at `offset` was there once, as far as somebody has looked.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    fn learn(&mut self, offset: u64, id: u64) -> Checked {
        let at = index(offset);
        if at >= self.ids.len() {
            self.ids.resize(at + 1, None);
        }
        if let Some(before) = self.ids[at].replace(id).filter(|before| *before != id) {
            violated!("{}: at offset {offset} stood {before:x}, and {id:x} does", self.name);
        }
        Ok(())
    }
}

/// Whether a receiver at `next` may be given, or stand at, `to`: what is between it does not want.
fn may_pass(plan: &GathererPlan, next: u64, to: u64) -> bool {
    to >= next && (next..to).all(|passed| !plan.wants(passed))
}

impl Names {
    // ---- channels ----

    /// A name was made. Says which making that is.
    pub fn made(&mut self, name: ChannelName, log: LogId, now: Instant) -> u32 {
        self.makings.push(Making {
            name,
            log,
            made: now,
            is_deleted: false,
            first: 0,
            end: 0,
            ids: Vec::new(),
        });
        u32::try_from(self.makings.len() - 1).unwrap_or(u32::MAX)
    }

    /// It was deleted.
    pub fn deleted(&mut self, making: u32) {
        self.makings[making as usize].is_deleted = true;
    }

    /// Those that there are.
    pub fn living(&self) -> impl Iterator<Item = (u32, &Making)> {
        let makings = self.makings.iter().zip(0..);
        makings.filter(|(making, _)| !making.is_deleted).map(|(making, number)| (number, making))
    }

    /// How a log stands.
    ///
    /// # Errors
    /// Something that could be seen is gone.
    pub fn saw(&mut self, making: u32, first: u64, end: u64) -> Checked {
        let making = &mut self.makings[making as usize];
        if end < making.end || first < making.first {
            violated!(
                "{} holds {first}..{end}, and held {}..{} before",
                making.name,
                making.first,
                making.end
            );
        }
        (making.first, making.end) = (first, end);
        Ok(())
    }

    /// The log holds this record.
    ///
    /// # Errors
    /// Another stood there, or it is not of this log.
    pub fn found(&mut self, making: u32, record: NameRecord) -> Checked {
        let known = &mut self.makings[making as usize];
        if record.making != making {
            violated!("{} holds {record:?}, and is making {making}", known.name);
        }
        known.learn(record.offset, record.id())
    }

    /// In this log stands this record.
    ///
    /// # Errors
    /// Another stood there.
    pub fn learn(&mut self, making: u32, offset: u64, id: u64) -> Checked {
        self.makings[making as usize].learn(offset, id)
    }

    /// Which log it is.
    pub fn log_of(&self, making: u32) -> LogId {
        self.makings[making as usize].log
    }

    /// Whether there was a log of this identity.
    pub fn is_known(&self, log: LogId) -> bool {
        self.makings.iter().any(|making| making.log == log)
    }

    // ---- receivers ----

    /// Another receiver by pattern. Says its number.
    pub fn add_gatherer(&mut self, plan: GathererPlan) -> usize {
        self.gatherers.push(Gatherer {
            plan,
            now: Gathered::default(),
            kept: Gathered::default(),
            is_resumed: false,
            came_at: Instant(0),
            ends: Vec::new(),
            knows_all: None,
            joined: BTreeSet::new(),
        });
        self.gatherers.len() - 1
    }

    /// A receiver comes, or comes back, with what it kept if it kept something.
    pub fn came(&mut self, number: usize, is_resumed: bool, now: Instant) {
        let ends = self.makings.iter().map(|making| making.end).collect();
        let gatherer = &mut self.gatherers[number];
        (gatherer.is_resumed, gatherer.came_at, gatherer.ends) = (is_resumed, now, ends);
        gatherer.now = if is_resumed { gatherer.kept.clone() } else { Gathered::default() };
        (gatherer.knows_all, gatherer.joined) = (None, BTreeSet::new());
    }

    /// It said that a channel has joined.
    ///
    /// # Errors
    /// It does not match, or was never there, or has joined before.
    pub fn joined(&mut self, number: usize, channel: &ChannelName, log: LogId, now: Instant) -> Checked {
        let gatherer = &mut self.gatherers[number];
        // There are fewer channels than one frame tells of, so all that are there are told with the first.
        gatherer.knows_all.get_or_insert(now);
        if !gatherer.plan.pattern.matches(channel.as_str()) {
            violated!("{channel} joins in, and {} does not match it", gatherer.plan.pattern.text());
        }
        if !self.makings.iter().any(|making| making.name == *channel && making.log == log) {
            violated!("{channel} joins in as {log}, which never was there");
        }
        if !gatherer.joined.insert(channel.clone()) {
            violated!("{channel} joins in and had joined before");
        }
        Ok(())
    }

    /// It said that a channel has left.
    ///
    /// # Errors
    /// It was not deleted.
    pub fn left(&mut self, number: usize, channel: &ChannelName, is_deleted: bool) -> Checked {
        let was_deleted = self.makings.iter().any(|making| making.name == *channel && making.is_deleted);
        if !is_deleted || !was_deleted {
            violated!("{channel} has left (deleted: {is_deleted}), and was deleted: {was_deleted}");
        }
        self.gatherers[number].joined.remove(channel);
        Ok(())
    }

    /// Some events were not seen: who has joined is not known any more.
    pub fn missed(&mut self, number: usize) {
        self.gatherers[number].joined.clear();
    }

    /// A receiver was given a record of this making, of which `id` tells it from others.
    ///
    /// # Errors
    /// It should not have been.
    pub fn given(
        &mut self,
        number: usize,
        channel: &ChannelName,
        (making_number, id): (u32, u64),
        offset: u64,
        time: Timestamp,
    ) -> Checked {
        let Some(making) = self.makings.get(making_number as usize) else {
            violated!("pattern receiver {number} got {making_number}/{id}, which nobody has sent");
        };
        let gatherer = &self.gatherers[number];
        let plan = gatherer.plan;
        if making.name != *channel {
            violated!("pattern receiver {number} got {making:?}/{id} as {channel} at {offset}");
        }
        if !plan.pattern.matches(channel.as_str()) {
            violated!("pattern receiver {number} of {} got a record of {channel}", plan.pattern.text());
        }
        if !plan.wants(offset) {
            violated!("pattern receiver {number} got {channel} at {offset}, which its filter does not pass");
        }
        if gatherer.now.newest.get(channel).is_some_and(|newest| *newest > making_number) {
            violated!("pattern receiver {number} got {id} of {channel}, which was made again since");
        }
        let before = match gatherer.now.views.get(&making_number) {
            Some(view) => *view,
            None => self.begin(number, making_number, offset)?,
        };
        if !may_pass(&plan, before.next, offset) {
            violated!(
                "pattern receiver {number} got {channel} at {offset}, where {} should come",
                before.next
            );
        }
        if time <= before.last_time {
            violated!("pattern receiver {number}: time does not increase at {channel} {offset}");
        }
        let making = &mut self.makings[making_number as usize];
        if offset >= making.end {
            violated!(
                "pattern receiver {number} got {channel} at {offset}; its visible end is {}",
                making.end
            );
        }
        making.learn(offset, id)?;
        let now = &mut self.gatherers[number].now;
        now.newest.insert(channel.clone(), making_number);
        now.views.insert(making_number, View { next: offset + 1, last_time: time });
        Ok(())
    }

    /// It stands at a position in a channel.
    ///
    /// # Errors
    /// It may not.
    pub fn stands(&mut self, number: usize, channel: &ChannelName, position: Position) -> Checked {
        let plan = self.gatherers[number].plan;
        let found = self.makings.iter().position(|making| making.log == position.log);
        let Some(making) = found.and_then(|found| u32::try_from(found).ok()) else {
            violated!("pattern receiver {number} stands in {channel} at {position:?}: no such log was there");
        };
        if self.makings[making as usize].name != *channel || !plan.pattern.matches(channel.as_str()) {
            violated!("pattern receiver {number} of {} stands in {channel}", plan.pattern.text());
        }
        let offset = position.offset.0;
        let view = match self.gatherers[number].now.views.get(&making) {
            Some(view) => *view,
            None => self.begin(number, making, offset)?,
        };
        if !may_pass(&plan, view.next, offset) {
            violated!(
                "pattern receiver {number} stands in {channel} at {offset}, where {} comes next",
                view.next
            );
        }
        self.gatherers[number].now.views.insert(making, View { next: offset, ..view });
        Ok(())
    }

    /// It begins in a channel, and the first that is known of that is that it is at `offset`: it may be?
    fn begin(&self, number: usize, making: u32, offset: u64) -> Result<View, super::Violation> {
        let Gatherer { plan, is_resumed, ends, knows_all, .. } = &self.gatherers[number];
        let known = &self.makings[making as usize];
        // It may have begun where the log does, or did.
        let from_first = offset <= known.first || may_pass(plan, known.first, offset);
        let was_there = ends.get(making as usize);
        let is_late = knows_all.is_some_and(|at| at < known.made);
        let may = match (plan.from_latest && !is_resumed, was_there) {
            (true, Some(end)) => offset >= *end,
            (true, None) => !is_late || from_first,
            (false, _) => from_first,
        };
        if !may {
            violated!(
                "pattern receiver {number} begins in {} at {offset}; {is_resumed} {was_there:?} {is_late} {known:?}",
                known.name
            );
        }
        Ok(View { next: offset, last_time: Timestamp::MIN })
    }

    /// It was told a gap of the log in which it stands.
    ///
    /// # Errors
    /// Nothing is gone there.
    pub fn gap(&mut self, number: usize, log: LogId, from: u64, to: u64, why: GapReason) -> Checked {
        if why != GapReason::Retention {
            violated!("pattern receiver {number} was told of a gap because of {why:?}; nothing was damaged");
        }
        let found = self.makings.iter().zip(0..).find(|(making, _)| making.log == log);
        let Some((known, making)) = found else {
            violated!("pattern receiver {number} was told of a gap in {log}: no such log was there");
        };
        let view = match self.gatherers[number].now.views.get(&making) {
            Some(view) => *view,
            // It may have begun there, and heard of nothing else yet.
            None => self.begin(number, making, from)?,
        };
        if to > known.first || to <= from || !may_pass(&self.gatherers[number].plan, view.next, from) {
            violated!("pattern receiver {number} was told of a gap {from}..{to} in {known:?} at {view:?}");
        }
        self.gatherers[number].now.views.insert(making, View { next: to, ..view });
        Ok(())
    }

    /// It stores `positions`.
    pub fn keep(&mut self, number: usize, positions: &ChannelPositions) {
        let Gatherer { now, kept, .. } = &mut self.gatherers[number];
        *kept = now.clone();
        let makings = &self.makings;
        kept.views.retain(|making, _| {
            let making = &makings[*making as usize];
            positions.get(&making.name).is_some_and(|position| position.log == making.log)
        });
    }

    /// The first channel that a receiver should have reached the end of, and has not.
    pub fn is_behind(&self, number: usize) -> Option<&Making> {
        let Gatherer { plan, now, .. } = &self.gatherers[number];
        self.living().find_map(|(number, making)| {
            let matches = plan.pattern.matches(making.name.as_str());
            let arrived = now.views.get(&number).is_some_and(|view| may_pass(plan, view.next, making.end));
            (matches && !arrived).then_some(making)
        })
    }

    /// A channel that was there since `since`, and that this receiver has not begun to read.
    pub fn is_missing(&self, number: usize, since: Instant) -> Option<&Making> {
        let Gatherer { plan, now, .. } = &self.gatherers[number];
        self.living().find_map(|(number, making)| {
            let matches = plan.pattern.matches(making.name.as_str());
            (matches && making.made <= since && !now.views.contains_key(&number)).then_some(making)
        })
    }
}
