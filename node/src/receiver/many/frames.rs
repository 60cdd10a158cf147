//! What the other side says to a receiver by pattern: to all of it, or to one of its channels.

use netchan_proto::conn::{ConnectionError, Event as Frame};
use netchan_proto::limits::LANE_TIME;
use netchan_proto::wire::{ErrorFrame, StreamId};
use netchan_proto::{ErrorCode, Instant, LogId};

use super::{Lane, MOST_OPENS, PatternCore};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::receiver::Phase;
use crate::redial::{error_of_connection, is_final_for_connection};

impl PatternCore {
    /// Takes one frame off the connection. Says whether anything happened.
    pub(super) fn take_frame(&mut self, now: Instant) -> bool {
        match self.redial.poll_frame(now) {
            Some(Ok(frame)) => self.on_frame(frame, now),
            Some(Err(error)) => self.on_failure(&error, now),
            None => return false,
        }
        true
    }

    fn on_frame(&mut self, frame: Frame, now: Instant) {
        match frame {
            Frame::Ready(peer) => {
                self.events.push(Event::Connected { node: peer.node });
                self.opens = MOST_OPENS - self.open;
                self.begin_watching(now);
                for at in 0..self.lanes.len() {
                    self.lend(at, |core| {
                        if matches!(core.phase, Phase::Reading) {
                            core.open_stream();
                        }
                    });
                }
                self.open_waiting(now);
            }
            Frame::GoAway(go_away) => self.events.push(Event::GoingAway { drain: go_away.drain }),
            Frame::Watched(id, watched) if self.watch == Some(id) => {
                self.redial.mark_useful(now);
                self.redial.mark_progress();
                self.on_watched(watched, now);
            }
            Frame::StreamError(id, error) if self.watch == Some(id) => self.on_refusal(&error, now),
            frame => {
                let Some(id) = stream_of(&frame) else { return };
                let Some(at) = (0..self.lanes.len()).find(|&at| self.stream_of(at) == Some(id)) else {
                    return; // of a stream that was given up
                };
                let is_progress = matches!(frame, Frame::Progress(..));
                let (is_another, end) = match &frame {
                    Frame::Opened(_, opened) => (self.see_to_log(at, opened.log), Some(opened.next)),
                    _ => (false, None),
                };
                let is_opened = end.is_some();
                let is_data = matches!(frame, Frame::Data(..) | Frame::Gap(..) | Frame::Truncated(..));
                self.lend(at, |core| core.on_frame(frame, now));
                if self.options.merge.is_some() {
                    self.note_arrival(at, end, now);
                }
                if is_another {
                    self.begin_later(at);
                }
                if !is_progress {
                    self.make_ready(at, is_data);
                }
                self.see_to_rest(at, is_opened, now);
            }
        }
    }

    /// A channel is opened by its name: what is behind it may be made again since it was told, or since that was told too.
    /// Says whether it is another one than was told, in which reading has not begun.
    fn see_to_log(&mut self, at: usize, log: LogId) -> bool {
        if let Some(lane) = &self.lanes[at]
            && lane.core.position().is_none()
            && let Some(known) = self.known.get_mut(&lane.name)
        {
            let before = std::mem::replace(&mut known.log, log);
            known.again = known.again.filter(|again| *again != log);
            return before != log;
        }
        false
    }

    /// A channel was opened that was made after the one that was told: where that was to begin does not hold for it.
    fn begin_later(&mut self, at: usize) {
        let later = self.later_start();
        if let Some(lane) = &mut self.lanes[at]
            && std::mem::replace(&mut lane.start, later) != later
        {
            self.lend(at, |core| core.seek(later));
        }
    }

    /// After a frame: one that rests is tried again later.
    fn see_to_rest(&mut self, at: usize, is_opened: bool, now: Instant) {
        let Some(lane) = &mut self.lanes[at] else { return };
        let Some(known) = self.known.get_mut(&lane.name) else { return };
        known.is_unavailable &= !is_opened;
        let Some(why) = lane.core.lane.as_ref().and_then(|lane| lane.rests.as_ref()) else { return };
        lane.since = now;
        self.turn_at.get_or_insert(now.plus(LANE_TIME));
        if !std::mem::replace(&mut known.is_unavailable, true) {
            self.events.push(Event::Unavailable { channel: lane.name.clone(), why: why.clone() });
        }
    }

    /// The other side does not tell which channels it has.
    fn on_refusal(&mut self, error: &ErrorFrame, now: Instant) {
        self.watch = None;
        let why = Error::of_code(error.code, error.at, &error.text, &self.options.pattern);
        if error.retryable || error.code.is_retryable() {
            self.forget_streams();
            if let Some(connection) = self.redial.connection() {
                connection.close_with(ErrorCode::NONE, "the stream is over; starting again");
            }
            self.redial.fail(why, now);
        } else {
            self.fail(why);
        }
        self.is_settled = true;
    }

    /// The connection is over.
    pub(super) fn on_failure(&mut self, error: &ConnectionError, now: Instant) {
        self.forget_streams();
        let why = error_of_connection(error, &self.options.pattern);
        match error.code() {
            Some(ErrorCode::UNKNOWN_CRITICAL) => {
                let text = format!("{}: the other side knows no patterns", self.options.pattern);
                self.fail(Error::new(ErrorKind::Protocol, text));
            }
            Some(code) if is_final_for_connection(code) => self.fail(why),
            _ => self.redial.fail(why, now),
        }
        self.is_settled = true;
    }

    pub(super) fn forget_streams(&mut self) {
        (self.watch, self.is_telling) = (None, false);
        self.large = None;
        for lane in self.lanes.iter_mut().flatten() {
            lane.core.lane = Some(Lane::default());
            lane.core.forget_stream();
            lane.core.is_settled = true;
        }
    }
}

/// The stream that a frame to a receiver is on.
fn stream_of(frame: &Frame) -> Option<StreamId> {
    match frame {
        Frame::Waiting(id)
        | Frame::Opened(id, _)
        | Frame::Seeked(id, _)
        | Frame::Data(id, _)
        | Frame::Progress(id, _)
        | Frame::Gap(id, _)
        | Frame::Truncated(id, _)
        | Frame::Digest(id, _)
        | Frame::End(id, _)
        | Frame::StreamError(id, _) => Some(*id),
        _ => None,
    }
}
