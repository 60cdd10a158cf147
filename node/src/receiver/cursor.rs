//! The cursor by which a receiver reads: taken before reading begins, and moved by commits over the same connection.
//!
//! Owns what of that is to be said on which connection, and what the answers mean. A commit that was under way when a
//! connection was lost is made again on the next: made twice, it moves the cursor once.

use netchan_proto::wire::{CursorCommit, CursorInfo, CursorKey, CursorTake, ErrorFrame, StreamId};
use netchan_proto::{CursorName, ErrorCode, Instant, Positions, Start};

use super::{Phase, ReceiverCore};
use crate::error::{Error, ErrorKind};

/// Whose the cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Not ours yet; `mine` is the generation under which it was, or 0.
    Untaken { mine: u64 },
    /// Ours, unless somebody took it since.
    Taken { generation: u64 },
}

/// A receiver's cursor.
#[derive(Debug)]
pub(super) struct Held {
    name: CursorName,
    /// Where it is to stand if it is made.
    start: Start,
    hold: Hold,
    taking: Option<StreamId>,
    /// What is to be committed.
    wanted: Option<Positions>,
    /// Where that was asked for.
    asked: Option<StreamId>,
    outcome: Option<Result<(), Error>>,
    /// The user said where to read from before the cursor did.
    was_sought: bool,
    /// Somebody set it to another place: what was read before that is not committed.
    was_moved: bool,
}

impl Held {
    pub(super) fn new(name: CursorName, start: Start) -> Held {
        Held {
            name,
            start,
            hold: Hold::Untaken { mine: 0 },
            taking: None,
            wanted: None,
            asked: None,
            outcome: None,
            was_sought: false,
            was_moved: false,
        }
    }

    fn is_untaken(&self) -> bool {
        matches!(self.hold, Hold::Untaken { .. })
    }

    /// Its streams are gone, with the connection.
    pub(super) fn forget_streams(&mut self) {
        (self.taking, self.asked) = (None, None);
    }

    /// A commit that waits will not be made.
    pub(super) fn give_up(&mut self, error: &Error) {
        if self.wanted.take().is_some() {
            self.outcome = Some(Err(error.clone()));
        }
    }
}

impl ReceiverCore {
    /// Says that everything before `position` is done with: the cursor stands there once
    /// [`take_outcome`](Self::take_outcome) says so. A commit that has no outcome yet is given up for this one. Needs to be
    /// driven, also when receiving is over.
    pub fn commit(&mut self, position: Positions) {
        let name = self.name().clone();
        let reached = self.position();
        let Some(held) = &mut self.cursor else { return };
        held.asked = None;
        let is_from_before = match (position.only(), reached) {
            _ if !held.was_moved => false,
            _ if held.is_untaken() => true,
            (Some(position), Some(reached)) => position.offset > reached.offset,
            _ => true,
        };
        if is_from_before {
            let what = "the cursor was set elsewhere: what was read before is not committed";
            (held.wanted, held.outcome) =
                (None, Some(Err(Error::new(ErrorKind::CursorMoved, what).about(name))));
            return;
        }
        if position.is_empty() {
            let error = Error::new(ErrorKind::Config, "a commit of no position").about(name);
            held.outcome = Some(Err(error));
            return;
        }
        (held.wanted, held.outcome) = (Some(position), None);
        self.redial.wake_up();
        self.send_commit();
    }

    /// What came of the last [`commit`](Self::commit), once. Without a cursor there is nothing to commit to.
    pub fn take_outcome(&mut self) -> Option<Result<(), Error>> {
        match &mut self.cursor {
            Some(held) => held.outcome.take(),
            None => {
                let what = "this receiver reads by no cursor, so there is nothing to commit to";
                Some(Err(Error::new(ErrorKind::Config, what).about(self.name())))
            }
        }
    }

    /// Whether a commit waits for its answer.
    pub(super) fn is_committing(&self) -> bool {
        self.cursor.as_ref().is_some_and(|held| held.wanted.is_some())
    }

    /// Whether reading has to wait for the cursor, which says where it begins.
    pub(super) fn waits_for_cursor(&self) -> bool {
        self.cursor.as_ref().is_some_and(Held::is_untaken)
    }

    /// The user reads from elsewhere.
    pub(super) fn mark_sought(&mut self) {
        if let Some(held) = &mut self.cursor {
            held.was_sought = held.is_untaken();
            held.was_moved &= held.is_untaken();
        }
    }

    fn key(&self, cursor: &CursorName) -> CursorKey {
        CursorKey { channel: self.name().clone(), cursor: cursor.clone() }
    }

    /// The connection is up: takes the cursor, or goes on with what there is to do.
    pub(super) fn begin(&mut self) {
        if self.waits_for_cursor() {
            return self.send_take();
        }
        if matches!(self.phase, Phase::Reading) {
            self.open_stream();
        }
        self.send_commit();
    }

    fn send_take(&mut self) {
        let Some(held) = &self.cursor else { return };
        let Hold::Untaken { mine } = held.hold else { return };
        let (key, start, wait) = (self.key(&held.name), held.start, self.wait);
        let take = CursorTake { key, start, make: mine == 0, wait, mine };
        let asked = self.redial.connection().and_then(|connection| connection.cursor_take(&take).ok());
        tracing::debug!(channel = %take.key.channel, cursor = %take.key.cursor, mine, "CURSOR_TAKE");
        if let Some(held) = &mut self.cursor {
            held.taking = asked;
        }
    }

    fn send_commit(&mut self) {
        let Some(held) = &self.cursor else { return };
        let (Hold::Taken { generation }, Some(position), None) = (held.hold, &held.wanted, held.asked) else {
            return;
        };
        let commit = CursorCommit { key: self.key(&held.name), generation, position: position.clone() };
        let connection = self.redial.connection().filter(|connection| connection.is_ready());
        let asked = connection.and_then(|connection| connection.cursor_commit(&commit).ok());
        if let Some(held) = &mut self.cursor {
            held.asked = asked;
        }
    }

    /// Whether `id` is a stream of the cursor's.
    pub(super) fn is_cursors(&self, id: StreamId) -> bool {
        self.cursor.as_ref().is_some_and(|held| held.taking == Some(id) || held.asked == Some(id))
    }

    pub(super) fn on_cursor_reply(&mut self, id: StreamId, info: &CursorInfo, now: Instant) {
        let Some(held) = &mut self.cursor else { return };
        if held.asked == Some(id) {
            (held.asked, held.wanted, held.outcome) = (None, None, Some(Ok(())));
            let offset = info.position.only().map_or(0, |position| position.offset.0);
            tracing::debug!(channel = %self.name(), offset, "the cursor is committed");
            return;
        }
        if held.taking != Some(id) {
            return;
        }
        held.taking = None;
        held.hold = Hold::Taken { generation: info.generation };
        let was_sought = std::mem::take(&mut held.was_sought);
        self.redial.mark_useful(now);
        tracing::debug!(channel = %self.name(), generation = info.generation, at = ?info.position, "the cursor is taken");
        if info.position.len() > 1 {
            let what = "the cursor covers several logs, which this version cannot read as one";
            return self.fail(Error::new(ErrorKind::Protocol, what).about(self.name()));
        }
        if !was_sought && !matches!(self.phase, Phase::Over) {
            self.place_at(info.position.only().map_or(Start::Earliest, Start::Resume));
        }
        self.begin();
    }

    pub(super) fn on_cursor_error(&mut self, id: StreamId, error: &ErrorFrame, now: Instant) {
        let why = Error::of_code(error.code, error.at, &error.text, self.name());
        let Some(held) = &mut self.cursor else { return };
        if held.taking == Some(id) {
            held.taking = None;
            return if self.can_be_cured(error) { self.start_over(why, now) } else { self.fail(why) };
        }
        held.asked = None;
        match error.code {
            // Who is stopping has not done it: the next connection asks again.
            ErrorCode::GOING_AWAY => {}
            ErrorCode::CURSOR_MOVED => {
                held.give_up(&why);
                self.take_again();
            }
            ErrorCode::CURSOR_TAKEN => {
                held.give_up(&why);
                self.drop_undelivered();
                self.fail(why);
            }
            _ => held.give_up(&why),
        }
    }

    /// Somebody set the cursor to another place: what was read is forgotten, and reading goes on from there.
    fn take_again(&mut self) {
        let Some(held) = &mut self.cursor else { return };
        if let Hold::Taken { generation } = held.hold {
            held.hold = Hold::Untaken { mine: generation };
        }
        held.was_moved = true;
        if !matches!(self.phase, Phase::Reading) {
            // After the end there is more to read, perhaps.
            self.phase = Phase::Reading;
        }
        self.drop_undelivered();
        self.is_placed = false;
        self.send_take();
    }

    /// Nothing that came is given out any more; the stream it came on is closed.
    fn drop_undelivered(&mut self) {
        if let (Some(stream), Some(connection)) = (self.stream.take(), self.redial.connection()) {
            connection.close_stream(stream.id);
        }
        self.seeking = None;
        self.subscription.on_lost();
        (self.current, self.held) = (None, None);
        self.is_tainted = true;
    }
}
