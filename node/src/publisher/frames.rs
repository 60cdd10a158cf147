//! What frames and failures mean to a publisher.
//!
//! Owns the verdicts: which errors another connection may cure, and which fail everything that is not acknowledged.

use netchan_proto::conn::{ConnectionError, Event as Frame};
use netchan_proto::wire::{ErrorFrame, PublishAck, PublishOpened, StreamId};
use netchan_proto::{Durability, ErrorCode, Instant};

use super::driven::{Channel, Outgoing, PublisherCore, Stream};
use super::queue::{Answer, Ask, Producer, closed};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::machine::Lost;
use crate::redial::{error_of, error_of_connection, is_final, is_final_for_connection};

impl PublisherCore {
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
        let ours = |stream: Option<Stream>, id| stream.is_some_and(|stream| stream.id == id);
        match frame {
            Frame::Ready(peer) => {
                self.shared.events.push(Event::Connected { node: peer.node });
                let stream =
                    self.redial.connection().and_then(|connection| connection.publish_open(&self.open).ok());
                self.stream = stream.map(|id| Stream { id, opened: false, closing: false });
            }
            Frame::GoAway(go_away) => self.shared.events.push(Event::GoingAway { drain: go_away.drain }),
            Frame::PublishOpened(id, opened) if ours(self.stream, id) => {
                self.stream = Some(Stream { id, opened: true, closing: false });
                self.redial.mark_useful(now);
                self.on_opened(opened);
            }
            Frame::PublishAck(id, ack) if ours(self.stream, id) => self.on_ack(&ack, now),
            Frame::End(id, _) if ours(self.stream, id) => self.finish(closed(&self.shared.name)),
            Frame::StreamError(id, error) if ours(self.stream, id) => self.on_stream_error(&error, now),
            Frame::StreamError(id, error) => {
                let error = Error::of_code(error.code, error.at, &error.text, &self.open.name);
                self.answer(id, Err(error));
            }
            Frame::StatReply(id, info) => self.answer(id, Ok(Answer::Info(Box::new(info)))),
            Frame::Done(id, done) => {
                let answer = done.final_offset.map(Answer::Sealed).ok_or_else(|| {
                    Error::new(ErrorKind::Protocol, "sealed, but the answer does not say where")
                        .about(&self.open.name)
                });
                self.answer(id, answer);
            }
            // Of a stream that was given up; or a request, which was refused already.
            _ => {}
        }
    }

    fn on_opened(&mut self, opened: PublishOpened) {
        let name = self.open.name.clone();
        let told = opened.next_sequence;
        tracing::debug!(channel = %name, producer = %self.open.producer, next = told, epoch = opened.epoch.0, "PUBLISH_OPENED");
        let event = match &self.channel {
            None => Event::Opened { log: opened.log, durability: opened.durability },
            Some(channel) if channel.log == opened.log => Event::Resumed { at: told },
            Some(_) => {
                let text = "the channel was deleted and made again";
                return self.finish(Error::of_code(ErrorCode::OTHER_LOG, None, text, name));
            }
        };
        if self.shared.next_sequence().is_some_and(|next| told > next) {
            let text = format!(
                "{name}: records up to {told} of this producer are in the channel already: another program publishes \
                 under the same producer id, or this one did not ask to resume"
            );
            return self.finish(Error::new(ErrorKind::Config, text));
        }
        self.channel = Some(Channel { log: opened.log, durability: opened.durability });
        self.shared.events.push(event);
        // What the log lacks of what it had: acknowledged as written, and gone with the other side's power.
        let begin = self.outgoing.iter().find_map(|item| match item {
            Outgoing::Batch(batch) => Some(batch.first),
            Outgoing::Note(_) => None,
        });
        let begin = begin.unwrap_or(self.shared.written());
        let known = self.shared.next_sequence().map(|_| self.shared.written().max(begin));
        self.shared.begin(Producer { id: self.open.producer, next_sequence: told, note: opened.note });
        if told < begin {
            self.shared.events.push(Event::RolledBack { from: told, to: begin });
            self.shared.lose(told..begin);
        } else if known.is_some_and(|known| told > known) {
            // What was sent did arrive, and only its acknowledgement was lost.
            self.redial.mark_progress();
        }
        // All that the log has is durable, as PUBLISH_OPENED promises.
        self.shared.acknowledge_until(told);
        self.let_go(told, self.outgoing.len());
    }

    fn on_ack(&mut self, ack: &PublishAck, now: Instant) {
        let end = ack.first_sequence.saturating_add(ack.count);
        let sent = self.outgoing.iter().take(self.sent).rev().find_map(|item| match item {
            Outgoing::Batch(batch) => Some(batch.end),
            Outgoing::Note(_) => None,
        });
        if end > sent.unwrap_or(0).max(self.shared.written()) {
            if let Some(connection) = self.redial.connection() {
                let text = "PUBLISH_ACK for what was not published";
                tracing::warn!(channel = %self.open.name, end, "{text}");
                let error = connection.close_with(ErrorCode::PROTOCOL, text);
                self.on_failure(&error, now);
            }
            return;
        }
        self.redial.mark_progress();
        let marks = self.shared.acknowledge(ack);
        tracing::trace!(
            channel = %self.open.name, first = ack.first_sequence, count = ack.count, level = ?ack.level, "PUBLISH_ACK"
        );
        let is_sync = self.channel.is_none_or(|channel| channel.durability == Durability::Sync);
        let done = if is_sync { marks.durable } else { marks.written };
        self.let_go(done, self.sent);
    }

    /// Of the first `among` items, batches below `done`, and notes before them, need not be sent (again).
    fn let_go(&mut self, done: u64, among: usize) {
        let is_done = |item: &Outgoing| matches!(item, Outgoing::Batch(batch) if batch.end <= done);
        let Some(last) = self.outgoing.iter().take(among).rposition(is_done) else { return };
        self.sent = self.sent.saturating_sub(last + 1);
        let freed = self.outgoing.drain(..=last).map(|item| match item {
            Outgoing::Batch(batch) => batch.cost,
            Outgoing::Note(_) => 0,
        });
        self.shared.release(freed.sum());
    }

    fn answer(&mut self, id: StreamId, answer: Result<Answer, Error>) {
        let Some(index) = self.asked.iter().position(|asked| asked.stream == Some(id)) else { return };
        let asked = self.asked.swap_remove(index);
        if asked.ask == Ask::Seal {
            let sealed = match &answer {
                Ok(Answer::Sealed(at)) => {
                    self.is_sealed = true;
                    Some(format!(
                        "{}: the channel is sealed at offset {at}: nothing was sent",
                        self.open.name
                    ))
                }
                _ => None,
            };
            self.shared.refuse(sealed.map(|text| Error::new(ErrorKind::Sealed, text)));
        }
        asked.reply.give(answer);
    }

    fn on_stream_error(&mut self, error: &ErrorFrame, now: Instant) {
        let why = Error::of_code(error.code, error.at, &error.text, &self.open.name);
        tracing::debug!(channel = %self.open.name, code = %error.code, text = error.text, "ERROR for the stream");
        self.stream = None;
        if error.code == ErrorCode::SEALED && self.is_drained() {
            // Nothing is lost by it, and questions are still answered.
            self.is_sealed = true;
            return self.shared.refuse(Some(why));
        }
        if !(error.retryable || error.code.is_retryable()) {
            return self.finish(why);
        }
        self.forget_connection();
        if let Some(connection) = self.redial.connection() {
            connection.close_with(ErrorCode::NONE, "the stream is over; starting again");
        }
        self.redial.fail(why, now);
    }

    /// The connection is over.
    pub(super) fn on_failure(&mut self, error: &ConnectionError, now: Instant) {
        self.forget_connection();
        let why = error_of_connection(error, &self.open.name);
        match error.code() {
            Some(code) if is_final_for_connection(code) => self.finish(why),
            _ => self.redial.fail(why, now),
        }
    }

    pub(super) fn on_disconnected(&mut self, why: &Lost, now: Instant) {
        self.forget_connection();
        let error = error_of(why, &self.open.name);
        if is_final(why) {
            self.finish(error);
        } else if let Some((why, retry_in)) = self.redial.lost(error, now) {
            self.shared.events.push(Event::Lost { why, retry_in });
        }
    }
}
