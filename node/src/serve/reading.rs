//! One stream that reads a log of this node, from OPEN to END.
//!
//! Owns where the stream is: looking for its place, waiting for its channel, sending. Bytes come from the log's tail
//! in memory, or from the disk a run at a time; they go out as they are stored, never copied here. Neighbours:
//! [`super::sending`] moves the bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use netchan_proto::awaited::Awaited;
use netchan_proto::limits::MAX_SEEKS;
use netchan_proto::wire::{
    End, ErrorFrame, Gap, GapReason, Open, Opened, ReaderKind, Seek, Seeked, StreamId, Truncated,
};
use netchan_proto::{ChannelName, ErrorCode, Filter, Instant, Offset, Roles, Start, Timestamp};
use netchan_store::{Log, LogError, Store};

use super::answer::{Answer, Found};
use super::glance::At;
use super::refusal::refuse;
use super::sending::Sending;
use super::sifting::{Loaded, NotLoaded, Sieve};
use super::slots::Slot;
use super::{Shared, Step};
use crate::attendance::Presence;
use crate::stats::Standing;
use crate::wake::Flag;

/// Finds a start in a log. Blocks.
fn find(log: Log, start: &Start, clock: Timestamp) -> Result<Found, LogError> {
    let resolved = match log.resolve(start) {
        // A log that failed stands still; opened anew, it may have what is asked for.
        Err(LogError::BeyondEnd { .. }) if log.poisoned().is_some() => {
            return Err(LogError::Poisoned { why: log.poisoned().unwrap_or_default() });
        }
        resolved => resolved?,
    };
    // What is asked for, before truncation and gaps move it: the receiver hears of those one by one.
    let (asked, epoch) = match start {
        Start::Resume(position) => (position.offset, position.epoch),
        _ => {
            let asked = resolved.gap_from.unwrap_or(resolved.start);
            (asked, log.epoch_before(asked))
        }
    };
    let opened = Opened {
        log: log.id(),
        epoch,
        durability: log.durability(),
        sealed: log.is_sealed(),
        first: log.first(),
        next: log.visible(),
        start: asked,
        clock,
        content: log.content().cloned(),
        partitions: log.partitions(),
    };
    let truncated =
        resolved.truncated.map(|cut| Truncated { epoch: cut.epoch, log_epoch: log.epoch(), end: cut.end });
    let from = truncated.map_or(asked, |cut| cut.end);
    let gap = (from < resolved.start).then_some(Gap {
        from,
        to: resolved.start,
        why: GapReason::Retention,
        epoch: log.epoch_before(resolved.start),
    });
    Ok(Found { log, opened, truncated, gap, next: resolved.start })
}

#[derive(Debug)]
enum State {
    /// A job finds the place.
    Finding,
    /// The channel does not exist yet.
    Absent,
    /// Batches go out.
    Sending(Box<Sending>),
    /// END or ERROR was sent.
    Over,
}

/// A stream that reads.
#[derive(Debug)]
pub(super) struct Reading {
    id: StreamId,
    name: ChannelName,
    start: Start,
    wait: bool,
    filter: Option<Filter>,
    told_waiting: bool,
    store: Option<Store>,
    /// Once it was found.
    log: Option<Log>,
    /// The first of them is being answered.
    seeks: VecDeque<Seek>,
    state: State,
    flag: Arc<Flag>,
    waker: Waker,
    standing: Standing,
    /// From when it is known where it reads.
    presence: Option<Presence>,
    /// What it was asked to tell, and has not told.
    awaited: Awaited,
    /// It was asked up to here.
    asked: Offset,
}

impl Reading {
    pub(super) fn new(id: StreamId, open: Open, shared: &mut Shared) -> Reading {
        let flag = Flag::new(&shared.bell);
        let standing = shared.standing(ReaderKind::Reads, &open.name);
        standing.place().credit.set(open.credit);
        let reading = Reading {
            id,
            name: open.name,
            start: open.start,
            wait: open.wait,
            filter: open.filter,
            told_waiting: false,
            store: shared.node.store().cloned(),
            log: None,
            seeks: VecDeque::new(),
            state: State::Finding,
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            standing,
            presence: None,
            awaited: Awaited::default(),
            asked: Offset::ZERO,
        };
        reading.look_for_it(shared);
        reading
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    fn look_for_it(&self, shared: &mut Shared) {
        let (node, name, start) = (shared.node.clone(), self.name.clone(), self.start);
        shared.desk.ask(self.id, move || {
            let Some(store) = node.store() else { return Answer::Found(Ok(None)) };
            Answer::Found(match store.open_existing(&name) {
                Ok(Some(log)) => find(log, &start, node.clock()).map(Some).map_err(refuse),
                Ok(None) => Ok(None),
                Err(error) => Err(refuse(error)),
            })
        });
    }

    /// SEEK came.
    pub(super) fn on_seek(&mut self, seek: Seek, shared: &mut Shared) -> Step {
        if self.seeks.len() == MAX_SEEKS {
            let error = ErrorFrame::new(ErrorCode::CALM, "too many SEEKs at once");
            return self.fail(error, shared);
        }
        self.seeks.push_back(seek);
        if self.seeks.len() == 1 {
            shared.slots.forget(self.id);
            self.state = State::Finding;
            self.next_seek(shared);
        }
        Step::Moved
    }

    /// Looks for the place of the first SEEK.
    fn next_seek(&self, shared: &mut Shared) {
        if let (Some(seek), Some(log)) = (self.seeks.front(), &self.log) {
            let (log, start, node) = (log.clone(), seek.start, shared.node.clone());
            shared.desk.ask(self.id, move || {
                Answer::Found(find(log, &start, node.clock()).map(Some).map_err(refuse))
            });
        }
    }

    /// The place was found, or not.
    pub(super) fn on_found(&mut self, found: Result<Option<Found>, ErrorFrame>, shared: &mut Shared) -> Step {
        if !matches!(self.state, State::Finding) {
            return Step::Idle;
        }
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) if self.wait => return self.begin_waiting(shared),
            Ok(None) => {
                let text = format!("there is no channel {}", self.name);
                return self.fail(ErrorFrame::new(ErrorCode::NO_CHANNEL, text), shared);
            }
            Err(error) => return self.fail(error, shared),
        };
        if let (Some(filter), Some(content)) = (&self.filter, &found.opened.content)
            && filter.reads_payload()
            && content.is_transformed()
        {
            let text = format!("the payloads are {content}: a filter cannot look at value or json there");
            return self.fail(ErrorFrame::new(ErrorCode::FILTER, text), shared);
        }
        let end = found.opened.next;
        match self.seeks.pop_front() {
            Some(seek) => {
                shared.connection.seeked(self.id, &Seeked { seek_id: seek.seek_id, opened: found.opened });
            }
            None => shared.connection.opened(self.id, &found.opened),
        }
        self.log = Some(found.log.clone());
        if !self.seeks.is_empty() {
            self.next_seek(shared);
            return Step::Moved;
        }
        if let Some(truncated) = &found.truncated {
            shared.counted.truncations_told.add(1);
            shared.connection.truncated(self.id, truncated);
        }
        if let Some(gap) = &found.gap {
            shared.tell_gap(self.id, gap);
        }
        self.attend(&found.log, found.next, shared);
        let place = self.standing.place();
        place.find(&found.log, found.next);
        let sieve = self.filter.clone();
        let sieve = sieve.map(|filter| Sieve::new(filter, found.log.id(), found.next, end));
        let sending = Sending::new(found.log, found.next, self.waker.clone(), Arc::clone(place), sieve);
        self.state = State::Sending(Box::new(sending));
        Step::Moved
    }

    /// It is there, or goes on elsewhere: what it was asked before counts no more.
    fn attend(&mut self, log: &Log, next: Offset, shared: &Shared) {
        self.awaited.clear();
        self.asked = Offset::ZERO;
        match &self.presence {
            Some(presence) => presence.goes_on_at(next),
            None => {
                let tells = shared.connection.peer().is_some_and(|peer| peer.roles.has(Roles::TELLS));
                let attendance = shared.node.attendance(log.id());
                self.presence = Some(attendance.come(next, tells, self.waker.clone()));
            }
        }
    }

    /// Asks it to tell when it has what somebody waits for. Its end is kept back until it has told.
    fn ask(&mut self, shared: &mut Shared) {
        let Some(presence) = &self.presence else { return };
        while let Some(end) = presence.awaited(self.asked) {
            if !self.awaited.push(end) {
                break;
            }
            self.asked = end;
            shared.connection.await_received(self.id, end);
        }
        let held = !self.awaited.is_empty() && !shared.node.is_stopping();
        if self.standing.place().hold(held) && !held {
            self.flag.raise();
        }
    }

    /// RECEIVED came.
    pub(super) fn on_received(&mut self, end: Offset, shared: &mut Shared) -> Step {
        let (State::Sending(_), Some(log)) = (&self.state, &self.log) else { return Step::Idle };
        if end > log.visible() {
            let error = ErrorFrame::new(ErrorCode::PROTOCOL, "RECEIVED of what cannot be seen yet");
            return self.fail(error, shared);
        }
        if self.awaited.take_up_to(end)
            && let Some(presence) = &self.presence
        {
            presence.has(end);
        }
        Step::Idle
    }

    fn begin_waiting(&mut self, shared: &mut Shared) -> Step {
        if !std::mem::replace(&mut self.told_waiting, true) {
            shared.connection.waiting(self.id);
        }
        self.state = State::Absent;
        self.flag.raise();
        Step::Moved
    }

    /// A run came from the disk.
    pub(super) fn on_run(
        &mut self,
        from: At,
        slot: Option<Slot>,
        part: Result<Loaded, NotLoaded>,
        shared: &mut Shared,
    ) -> Step {
        let State::Sending(sending) = &mut self.state else { return Step::Idle };
        match sending.on_run(from, slot, part, self.id, shared) {
            Ok(()) => Step::Moved,
            Err(error) => self.fail(error, shared),
        }
    }

    /// It is over, and waits to be forgotten.
    pub(super) fn mark_over(&mut self) {
        self.state = State::Over;
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether all that is in the log now was sent.
    pub(super) fn is_drained(&self) -> bool {
        match &self.state {
            State::Finding => false,
            State::Absent | State::Over => true,
            State::Sending(sending) => sending.is_drained(),
        }
    }

    /// When it has something to say, if nothing comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Sending(sending) => sending.deadline(),
            _ => None,
        }
    }

    /// More credit came: the next turn looks at it, and whoever asks.
    pub(super) fn on_credit(&self, shared: &Shared) -> Step {
        self.standing.place().credit.set(shared.connection.credit(self.id));
        Step::Idle
    }

    /// CLOSE came.
    pub(super) fn on_close(&mut self, shared: &mut Shared) -> Step {
        shared.connection.end(self.id, End::Closed);
        Step::Over
    }

    /// Does what can be done now, a little of it.
    pub(super) fn turn(&mut self, shared: &mut Shared) -> Step {
        match &mut self.state {
            State::Finding | State::Over => Step::Idle,
            State::Absent => {
                let Some(store) = &self.store else { return Step::Idle };
                let mut context = Context::from_waker(&self.waker);
                if !self.flag.lower() || store.poll_created(&self.name, &mut context) == Poll::Pending {
                    return Step::Idle;
                }
                self.state = State::Finding;
                self.look_for_it(shared);
                Step::Moved
            }
            State::Sending(_) => {
                self.ask(shared);
                self.send(shared)
            }
        }
    }

    fn send(&mut self, shared: &mut Shared) -> Step {
        match &mut self.state {
            State::Sending(sending) => match sending.turn(self.id, &self.flag, shared) {
                Ok(Step::Moved) => {
                    self.on_credit(shared);
                    Step::Moved
                }
                Ok(step) => step,
                Err(error) => self.fail(error, shared),
            },
            _ => Step::Idle,
        }
    }

    fn fail(&mut self, error: ErrorFrame, shared: &mut Shared) -> Step {
        shared.refuse(self.id, error);
        Step::Over
    }
}

/// Who waits no more is forgotten: the store would keep the names and wakers of all who ever asked.
impl Drop for Reading {
    fn drop(&mut self) {
        if let (State::Absent, Some(store)) = (&self.state, &self.store) {
            store.forget(&self.name, &self.waker);
        }
    }
}
