//! What frames and failures mean to a receiver.
//!
//! Owns the verdicts: which errors another connection may cure, and which are told to the user and end it.

use std::task::Waker;

use netchan_proto::conn::{Connection, ConnectionError, Event as Frame};
use netchan_proto::subscription::SubscriptionError;
use netchan_proto::wire::{End, ErrorFrame, Opened, Seek};
use netchan_proto::{ErrorCode, Instant, Offset, Position, Side, Start};

use super::{Phase, ReceiverCore, Stream};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::machine::{Dialling, Lost, Machine};
use crate::node::content_error;
use crate::redial::{Passed, error_of, error_of_connection, is_final, is_final_for_connection};

/// Frames that one [`Machine::work`] takes in before it yields.
const WORK_BUDGET: usize = 256;

impl ReceiverCore {
    /// Takes one frame off the connection. Says whether anything happened.
    pub(super) fn take_frame(&mut self, now: Instant) -> bool {
        match self.redial.poll_frame(now) {
            Some(Ok(frame)) => self.on_frame(frame, now),
            Some(Err(error)) => self.on_failure(&error, now),
            None => return false,
        }
        true
    }

    pub(super) fn on_frame(&mut self, frame: Frame, now: Instant) {
        let ours = |stream: Option<Stream>, id| stream.is_some_and(|stream| stream.id == id);
        match frame {
            Frame::Ready(peer) => {
                self.events.push(Event::Connected { node: peer.node });
                self.begin();
            }
            Frame::GoAway(go_away) => self.events.push(Event::GoingAway { drain: go_away.drain }),
            Frame::Waiting(id) if ours(self.stream, id) => {
                self.redial.mark_useful(now);
                self.is_settled = true;
                self.events.push(Event::Waiting);
            }
            Frame::Opened(id, opened) if ours(self.stream, id) => {
                self.stream = Some(Stream { id, opened: true });
                self.redial.mark_useful(now);
                if self.agrees(&opened) {
                    self.on_opened(&opened);
                    self.subscription.on_opened(opened);
                }
            }
            Frame::Seeked(id, seeked) if ours(self.stream, id) => {
                if !self.agrees(&seeked.opened) {
                    return;
                }
                if self.seeking == Some(seeked.seek_id) {
                    self.seeking = None;
                    self.take_place(&seeked.opened);
                }
                self.subscription.on_seeked(seeked.seek_id, seeked.opened);
                self.grant();
            }
            Frame::Data(id, range) if ours(self.stream, id) => {
                if let Err(error) = self.subscription.on_data(range) {
                    return self.give_up_on(error, now);
                }
                self.grant();
            }
            Frame::Progress(id, progress) if ours(self.stream, id) => {
                self.subscription.on_progress(progress.next);
            }
            Frame::Gap(id, gap) if ours(self.stream, id) => self.subscription.on_gap(gap),
            Frame::Truncated(id, truncated) if ours(self.stream, id) => {
                self.subscription.on_truncated(truncated);
            }
            Frame::Await(id, end) if ours(self.stream, id) => {
                if !self.awaited.push(end) {
                    return self.give_up_on(SubscriptionError::Unexpected("so many AWAITs at once"), now);
                }
                self.await_at = self.awaited.first();
                self.tell();
            }
            Frame::Digest(id, digest) if ours(self.stream, id) => self.subscription.on_digest(digest),
            Frame::End(id, end) if ours(self.stream, id) => self.on_end(end, now),
            Frame::CursorReply(id, info) => self.on_cursor_reply(id, &info, now),
            Frame::StreamError(id, error) if self.is_cursors(id) => self.on_cursor_error(id, &error, now),
            Frame::StreamError(id, error) if ours(self.stream, id) => self.on_stream_error(&error, now),
            // Of a stream that was given up; or a request, which was refused already.
            _ => {}
        }
    }

    fn on_opened(&mut self, opened: &Opened) {
        self.take_place(opened);
        tracing::debug!(
            channel = %self.name(), start = opened.start.0, first = opened.first.0, next = opened.next.0,
            epoch = opened.epoch.0, sealed = opened.sealed, "OPENED"
        );
        self.events.push(if self.has_read {
            Event::Resumed { at: opened.start.0 }
        } else {
            Event::Opened { log: opened.log, durability: opened.durability }
        });
        self.has_read = true;
    }

    /// Learns where reading begins, and where it is to stop.
    fn take_place(&mut self, opened: &Opened) {
        self.is_settled = true;
        if !self.is_placed {
            self.position = Position { log: opened.log, epoch: opened.epoch, offset: opened.start };
            self.is_placed = true;
        }
        // A sealed channel tells its end itself. An end before the start is told by TRUNCATED, first.
        if !self.follow && !opened.sealed && opened.next >= opened.start {
            self.stop_at = self.stop_at.min(opened.next);
        }
    }

    /// Whether the channel's payloads are what they must be, as far as that can be known: if it has no record yet and
    /// nobody has said what they will be, it is asked again when the first comes. If they are not, it is over.
    fn agrees(&mut self, opened: &Opened) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        self.is_agreed = match &opened.content {
            Some(content) => *content == wanted.content,
            None => wanted.trust,
        };
        if self.is_agreed || (opened.content.is_none() && opened.next == Offset::ZERO) {
            return true;
        }
        let error = content_error(opened.content.as_ref(), &wanted.content).about(self.name());
        self.is_tainted = true;
        (self.current, self.held) = (None, None);
        self.fail(error);
        false
    }

    /// Has the sender say again what the payloads are, and goes on where it stands.
    pub(super) fn ask_again(&mut self) {
        let (Some(Stream { id, opened: true }), Some(position)) = (self.stream, self.subscription.position())
        else {
            return; // the next OPENED says it
        };
        let start = Start::Resume(position);
        self.forget_awaited();
        self.seeking = self.subscription.seek(start);
        if let (Some(connection), Some(seek_id)) = (self.redial.connection(), self.seeking) {
            connection.seek(id, &Seek { seek_id, start });
        }
    }

    pub(super) fn open_stream(&mut self) {
        self.is_tainted = false;
        self.seeking = None;
        self.forget_awaited();
        let mut open = self.subscription.request();
        if self.is_placed && !matches!(open.start, Start::Resume(_)) {
            // It was said where reading begins, and nobody has asked for what was there: on this stream it begins there too.
            self.subscription.seek(Start::Resume(self.position));
            open = self.subscription.request();
        }
        let opened = self.redial.connection().and_then(|connection| connection.open(&open).ok());
        tracing::debug!(channel = %open.name, start = ?open.start, wait = open.wait, is_sent = opened.is_some(), "OPEN");
        self.stream = opened.map(|id| Stream { id, opened: false });
    }

    fn on_end(&mut self, end: End, now: Instant) {
        self.stream = None;
        self.subscription.on_end(end);
        self.subscription.on_lost();
        if self.seeking.take().is_some() {
            self.open_stream(); // it ended before the SEEK came there
        } else if end == End::Closed {
            let why =
                Error::new(ErrorKind::Unreachable, "the sender closed the stream unasked").about(self.name());
            self.start_over(why, now);
        }
    }

    fn on_stream_error(&mut self, error: &ErrorFrame, now: Instant) {
        let why = Error::of_code(error.code, error.at, &error.text, self.name());
        tracing::debug!(channel = %self.name(), code = %error.code, text = error.text, "ERROR for the stream");
        if self.can_be_cured(error) {
            self.start_over(why, now);
        } else {
            self.forget_stream();
            self.fail(why);
        }
    }

    /// Whether another try may end better than this error of our stream.
    pub(super) fn can_be_cured(&self, error: &ErrorFrame) -> bool {
        error.retryable
            || error.code.is_retryable()
            || (error.code == ErrorCode::NO_CHANNEL && self.wait)
            || matches!(
                error.code,
                ErrorCode::IO
                    | ErrorCode::POISONED
                    | ErrorCode::PROTOCOL
                    | ErrorCode::MALFORMED
                    | ErrorCode::FLOW
                    | ErrorCode::BAD_STATE
            )
    }

    /// The sender, or the way from it, broke a rule: nothing more is believed of this stream.
    pub(super) fn give_up_on(&mut self, error: SubscriptionError, now: Instant) {
        self.is_tainted = true;
        tracing::warn!(channel = %self.name(), %error, "what the sender sends is not to be believed");
        if error == SubscriptionError::OtherLog {
            let code = ErrorCode::OTHER_LOG;
            return self.fail(Error::of_code(code, None, &error.to_string(), self.name()));
        }
        if let SubscriptionError::Digest { .. } = error {
            // Another connection would bring the same end.
            return self.fail(Error::new(ErrorKind::Damaged, error.to_string()).about(self.name()));
        }
        if let Some(connection) = self.redial.connection() {
            let error = connection.close_with(ErrorCode::PROTOCOL, &error.to_string());
            self.on_failure(&error, now);
        }
    }

    /// The connection works, but the stream does not: both are made again.
    pub(super) fn start_over(&mut self, why: Error, now: Instant) {
        self.forget_stream();
        if let Some(lane) = &mut self.lane {
            lane.rests = Some(why); // the others go on
            self.is_settled = true;
            return;
        }
        if let Some(connection) = self.redial.connection() {
            connection.close_with(ErrorCode::NONE, "the stream is over; starting again");
        }
        self.redial.fail(why, now);
    }

    /// The connection is over.
    fn on_failure(&mut self, error: &ConnectionError, now: Instant) {
        self.forget_stream();
        let why = error_of_connection(error, self.name());
        match error.code() {
            Some(code) if is_final_for_connection(code) => self.fail(why),
            _ => self.redial.fail(why, now),
        }
        self.is_settled = true;
    }

    /// No connection will cure this: it is told once, after what came whole before it.
    pub(super) fn fail(&mut self, error: Error) {
        self.is_settled = true;
        if let Some(held) = &mut self.cursor {
            held.give_up(&error);
        }
        if matches!(self.phase, Phase::Reading) {
            tracing::debug!(channel = %self.name(), %error, "receiving ends: no other connection would cure this");
            self.phase = Phase::Failing(error);
        }
        if self.lane.is_none() {
            self.redial.finish();
        }
    }

    pub(super) fn forget_stream(&mut self) {
        self.stream = None;
        self.seeking = None;
        self.forget_awaited();
        if let Some(held) = &mut self.cursor {
            held.forget_streams();
        }
        self.subscription.on_lost();
        for current in [&mut self.current, &mut self.held].into_iter().flatten() {
            current.bytes = 0;
        }
    }
}

impl Machine for ReceiverCore {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.redial.connection()
    }

    /// Takes frames in, as far as credit reaches. Not needed by who calls [`ReceiverCore::next`] anyway.
    fn work(&mut self, now: Instant, waker: &Waker) {
        for _ in 0..WORK_BUDGET {
            if !self.take_frame(now) {
                return;
            }
        }
        waker.wake_by_ref();
    }

    fn deadline(&self) -> Option<Instant> {
        self.redial.deadline()
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.redial.handle_timeout(now) {
            Passed::Nothing => {}
            Passed::Silent(error) => self.on_failure(&error, now),
            Passed::Unheard => self.disconnected(Lost::Eof, now),
        }
    }

    fn disconnected(&mut self, why: Lost, now: Instant) {
        self.forget_stream();
        self.is_settled = true;
        let error = error_of(&why, self.name());
        if is_final(&why) {
            self.fail(error);
        } else if let Some((why, retry_in)) = self.redial.lost(error, now) {
            self.events.push(Event::Lost { why, retry_in });
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && !self.is_committing()
    }
}

impl Dialling for ReceiverCore {
    fn wants_dial(&self, now: Instant) -> bool {
        self.redial.wants_dial(now)
    }

    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        if matches!(self.phase, Phase::Reading) || self.is_committing() {
            self.forget_stream();
            self.redial.connected(side, trusted, now);
        }
    }
}
