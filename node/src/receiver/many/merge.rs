//! The records of all channels in the order of their times.
//!
//! Owns the one record that is held back of each channel, and the decision which of them comes next: the earliest, once each other
//! channel has shown one that is later, or has nothing that was there when the receiver opened and has had its time.
//!
//! Nothing is buffered for this but that one record of each channel: the batch that it stands in is not consumed before it was
//! given, so what is held back stays within the credit of its channel.

use std::collections::VecDeque;
use std::time::Duration;

use netchan_proto::limits::MAX_LANES;
use netchan_proto::{Instant, Offset, Record};

use super::{Open, PatternCore, Received};
use crate::receiver::Next;

/// What merging knows of one channel.
#[derive(Debug)]
pub(super) struct Merging {
    held: Option<Held>,
    /// What was there when it was first opened ends here; before that is known, nowhere.
    stored: Offset,
    /// Where bytes end that came together, counted as its stream counts them, and when.
    arrivals: VecDeque<(u64, Instant)>,
}

/// The next record of a channel.
#[derive(Debug)]
struct Held {
    record: Record,
    arrived: Instant,
}

impl Merging {
    /// `was_there`: what it has stored is to be merged exactly.
    pub(super) fn new(was_there: bool) -> Merging {
        let stored = if was_there { Offset::NONE } else { Offset::ZERO };
        Merging { held: None, stored, arrivals: VecDeque::new() }
    }

    /// The record that is held back.
    pub(super) fn held(&self) -> Option<&Record> {
        self.held.as_ref().map(|held| &held.record)
    }

    /// When the bytes up to `end` had come.
    fn arrived(&mut self, end: u64, now: Instant) -> Instant {
        while self.arrivals.front().is_some_and(|(to, _)| *to < end) {
            self.arrivals.pop_front();
        }
        self.arrivals.front().map_or(now, |(_, at)| *at)
    }
}

impl Open {
    /// Whether it has something that was there when it was opened and that has not come yet.
    fn owes_stored(&self) -> bool {
        let position = self.core.position().map(|position| position.offset);
        position.is_none_or(|position| position < self.merging.stored) && self.merging.stored > Offset::ZERO
    }
}

impl PatternCore {
    /// The next record by time, or what there is in its place.
    pub(super) fn next_merged(&mut self, window: Duration, now: Instant) -> Option<Next<Received>> {
        self.merge_at = None;
        loop {
            if let Some(next) = self.hold_back(now) {
                return Some(next);
            }
            // The earliest record of all may be one of a channel that is not known yet.
            self.knows_all |= self.is_complete && (self.waiting.is_empty() || self.open == MAX_LANES);
            if !self.knows_all {
                return None;
            }
            let mut first: Option<(usize, &Open, &Held)> = None;
            let (mut is_missing, mut is_owed) = (false, false);
            for (at, lane) in self.lanes.iter().enumerate() {
                let Some(lane) = lane else { continue };
                let Some(held) = &lane.merging.held else {
                    is_missing = true;
                    is_owed |= !lane.rests() && lane.owes_stored();
                    continue;
                };
                let is_first = first.is_none_or(|(_, other, least)| {
                    (held.record.timestamp, &lane.name) < (least.record.timestamp, &other.name)
                });
                if is_first {
                    first = Some((at, lane, held));
                }
            }
            let (at, _, held) = first?;
            if is_owed {
                return None;
            }
            let until = held.arrived.plus(window);
            if is_missing && now < until {
                self.merge_at = Some(until);
                return None;
            }
            // What has come already may be what is missing.
            if is_missing && self.take_frame(now) {
                continue;
            }
            let lane = self.lanes[at].as_mut()?;
            let record = lane.merging.held.take()?.record;
            let channel = lane.name.clone();
            return Some(Next::Record(Received { channel, record }));
        }
    }

    /// Of each channel in line one record is held back, or it has none. Gives what is to be told at once.
    fn hold_back(&mut self, now: Instant) -> Option<Next<Received>> {
        let mut place = 0;
        while let Some(&at) = self.ready.get(place) {
            if self.lanes[at].as_ref().is_some_and(|lane| lane.merging.held.is_some()) {
                place += 1;
            } else if let Some(next) = self.ask_to_merge(at, now) {
                return Some(next);
            }
        }
        None
    }

    /// Asks one that is in line, and holds back what it gives.
    pub(super) fn ask_to_merge(&mut self, at: usize, now: Instant) -> Option<Next<Received>> {
        if self.lanes.get(at)?.as_ref().is_some_and(|lane| lane.merging.held.is_some()) {
            return None;
        }
        match self.ask(at, now)? {
            Next::Record(Received { record, .. }) => {
                let lane = self.lanes.get_mut(at)?.as_mut()?;
                let arrived = lane.merging.arrived(lane.core.taken(), now);
                lane.merging.held = Some(Held { record, arrived });
                // Its batch is whole, and others may wait for the right to one as large.
                self.see_to_large(at);
                None
            }
            other => Some(other),
        }
    }

    /// Bytes of a channel have come; or it was opened, and ends there.
    pub(super) fn note_arrival(&mut self, at: usize, end: Option<Offset>, now: Instant) {
        let Some(lane) = self.lanes.get_mut(at).and_then(Option::as_mut) else { return };
        let merging = &mut lane.merging;
        if let Some(end) = end {
            merging.arrivals.clear(); // another stream, which counts anew
            // Nobody waits for what was rolled back since.
            merging.stored = merging.stored.min(end);
        }
        let received = lane.core.subscription.received();
        if merging.arrivals.back().is_none_or(|(to, _)| *to < received) {
            merging.arrivals.push_back((received, now));
        }
    }
}
