//! Which channels have a place, and when places change hands; and who may have a batch that is larger than its window.

use netchan_proto::limits::{LANE_TIME, MAX_DATA, MAX_LANES, SMALL_WINDOW};
use netchan_proto::wire::StreamId;
use netchan_proto::{Instant, Start};

use super::merge::Merging;
use super::{Known, Lane, MOST_OPENS, MOST_SWAPS, OPENS, Open, PatternCore, Place, WIDE_LANES};
use crate::event::Event;
use crate::machine::Machine;
use crate::receiver::{ReceiverCore, ReceiverOptions};

impl PatternCore {
    pub(super) fn open_waiting(&mut self, now: Instant) {
        while self.open < MAX_LANES
            && self.opens > 0
            && self.connection().is_some_and(|connection| connection.is_ready())
        {
            let Some(name) = self.waiting.pop_front() else { break };
            let Some(Known { place: Place::Waiting(start), log, was_there, .. }) = self.known.get(&name)
            else {
                continue;
            };
            let (start, log, was_there) = (*start, *log, *was_there);
            let is_wide = self.open < WIDE_LANES;
            let mut core = ReceiverCore::new(
                &self.node,
                ReceiverOptions {
                    start,
                    window: if is_wide { self.options.window } else { SMALL_WINDOW.max(MAX_DATA as u64) },
                    wait: false,
                    follow: self.options.follow,
                    until: self.options.until,
                    content: self.options.content.clone(),
                    filter: self.options.filter.clone(),
                    ..ReceiverOptions::new(name.clone())
                },
            );
            core.lane = Some(Lane::default());
            core.redial.finish();
            let lane = Open {
                name: name.clone(),
                core,
                start,
                is_ready: false,
                has_data: false,
                since: now,
                gave: now,
                merging: Merging::new(was_there),
            };
            let at = self.lanes.iter().position(Option::is_none).unwrap_or(self.lanes.len());
            if at == self.lanes.len() {
                self.lanes.push(None);
            }
            self.lanes[at] = Some(lane);
            self.open += 1;
            self.opens -= 1;
            self.lend(at, ReceiverCore::open_stream);
            if self.stream_of(at).is_none() {
                // As many streams are open as may be: some that end are not told of yet.
                self.lanes[at] = None;
                self.open -= 1;
                self.waiting.push_front(name);
                break;
            }
            if let Some(known) = self.known.get_mut(&name) {
                known.place = Place::Lane(at);
                if !std::mem::replace(&mut known.has_joined, true) {
                    self.events.push(Event::Joined { channel: name, log });
                }
            }
        }
        if !self.waiting.is_empty() {
            self.turn_at.get_or_insert(now.plus(LANE_TIME));
        }
    }

    pub(super) fn stream_of(&self, at: usize) -> Option<StreamId> {
        self.lanes[at].as_ref()?.core.stream.map(|stream| stream.id)
    }

    /// Gives the place of a channel to others.
    pub(super) fn clear(&mut self, at: usize) -> Option<Open> {
        let lane = self.lanes[at].take()?;
        self.open -= 1;
        self.ready.retain(|&ready| ready != at);
        self.given = 0;
        if self.large == Some(at) {
            self.large = None;
            self.pass_large();
        }
        Some(lane)
    }

    /// A channel is over, or deleted.
    pub(super) fn leave(&mut self, at: usize, is_deleted: bool, now: Instant) {
        let Some(Open { name, core, .. }) = self.clear(at) else { return };
        self.events.push(Event::Left { channel: name.clone(), is_deleted });
        let later = self.later_start();
        if let Some(known) = self.known.get_mut(&name) {
            match known.again.take() {
                Some(log) => {
                    let is_told = known.is_told;
                    *known = Known { is_told, ..Known::waiting(log, later) };
                    self.waiting.push_back(name);
                }
                None if is_deleted => drop(self.known.remove(&name)),
                None => known.place = Place::Done(core.position()),
            }
        }
        self.open_waiting(now);
    }

    /// Channels that have had a place for long give it to those that wait, the idle ones first; what rested tries again.
    pub(super) fn take_turns(&mut self, now: Instant) {
        if self.turn_at.is_none_or(|at| now < at) {
            return;
        }
        self.turn_at = None;
        self.opens = (self.opens + OPENS).min(MOST_OPENS);
        let is_old = |lane: &Open| now.since(lane.since) >= LANE_TIME;
        let (is_up, later) = (self.redial.is_up(), self.later_start());
        if self.options.follow && is_up && !self.waiting.is_empty() && self.open == MAX_LANES {
            let lanes = self.lanes.iter().enumerate();
            let mut old: Vec<_> = lanes
                .filter_map(|(at, lane)| {
                    let may_go = |lane: &&Open| is_old(lane) && lane.merging.held().is_none();
                    lane.as_ref().filter(may_go).map(|lane| (lane.gave, at))
                })
                .collect();
            old.sort_unstable();
            for (_, at) in old.into_iter().take(self.waiting.len().min(MOST_SWAPS)) {
                self.lend(at, |core| core.close_stream());
                let Some(Open { name, core, start, .. }) = self.clear(at) else { continue };
                if let Some(known) = self.known.get_mut(&name) {
                    let again = known.again.take();
                    known.log = again.unwrap_or(known.log);
                    known.has_joined &= again.is_none();
                    let start = match (again, core.position()) {
                        (Some(_), _) => later,
                        (None, Some(position)) => Start::Resume(position),
                        (None, None) => start,
                    };
                    known.place = Place::Waiting(start);
                    self.waiting.push_back(name);
                }
            }
        }
        // Who rests and did not have to give its place.
        for at in 0..self.lanes.len() {
            let Some(lane) = &mut self.lanes[at] else { continue };
            if lane.rests() {
                if is_up && is_old(lane) {
                    self.lend(at, ReceiverCore::open_stream);
                }
                match &mut self.lanes[at] {
                    Some(lane) if lane.core.stream.is_some() => {
                        lane.core.lane = Some(Lane::default());
                        lane.since = now;
                    }
                    _ => drop(self.turn_at.get_or_insert(now.plus(LANE_TIME))),
                }
            }
        }
        if self.is_telling && self.watch.is_none() {
            self.begin_watching(now);
        }
        self.open_waiting(now);
    }

    /// After a channel has given all it has: one that waits for the rest of a large batch may have it, if no other has.
    pub(super) fn see_to_large(&mut self, at: usize) {
        let Some(lane) = &mut self.lanes[at] else { return };
        let is_large = lane.core.subscription.is_large();
        match (is_large, self.large) {
            (false, Some(holder)) if holder == at => {
                lane.core.lane.iter_mut().for_each(|lane| lane.may_be_large = false);
                self.large = None;
                self.pass_large();
            }
            (true, None) => self.give_large(at),
            _ => {}
        }
    }

    pub(super) fn pass_large(&mut self) {
        let wants = |lane: &Option<Open>| lane.as_ref().is_some_and(|lane| lane.core.subscription.is_large());
        if let Some(next) = self.lanes.iter().position(wants) {
            self.give_large(next);
        }
    }

    pub(super) fn give_large(&mut self, at: usize) {
        self.large = Some(at);
        self.lend(at, |core| {
            core.lane.iter_mut().for_each(|lane| lane.may_be_large = true);
            core.grant();
        });
    }

    pub(super) fn make_ready(&mut self, at: usize, has_data: bool) {
        let Some(lane) = &mut self.lanes[at] else { return };
        lane.has_data |= has_data;
        if !std::mem::replace(&mut lane.is_ready, true) {
            self.ready.push_back(at);
        }
    }
}
