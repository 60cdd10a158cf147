//! The driven half: batches out, acknowledgements in, and again after a loss.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use netchan_proto::batch::{BatchBuilder, Stamp};
use netchan_proto::conn::Connection;
use netchan_proto::wire::{PublishNote, PublishOpen, Roles, StreamId};
use netchan_proto::{Durability, Epoch, Instant, LogId, Offset, ProducerId, Side};

use super::PublisherOptions;
use super::handle::Publisher;
use super::queue::{AnswerReply, Ask, Item, Request, Shared, closed};
use crate::error::{Error, ErrorKind};
use crate::machine::{Dialling, Lost, Machine};
use crate::node::Node;
use crate::redial::{Passed, Redial};

/// Frames that one [`Machine::work`] takes in, and batches that it sends, before it yields.
const WORK_BUDGET: usize = 256;

/// Notes that may wait at the other side, which keeps each with a sync (spec NC-PUB-031 lets it refuse from 64 on).
const MAX_NOTES: usize = 32;

/// A batch that is kept until it is acknowledged.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) first: u64,
    pub(super) end: u64,
    /// As the queue counted it.
    pub(super) cost: usize,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
pub(super) enum Outgoing {
    Batch(Kept),
    Note(PublishNote),
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) reply: Arc<AnswerReply>,
    /// Its stream on the connection there is.
    pub(super) stream: Option<StreamId>,
}

/// A stream on the connection there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) opened: bool,
    /// PUBLISH_CLOSE was sent.
    pub(super) closing: bool,
}

/// What the first PUBLISH_OPENED said of the channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) log: LogId,
    pub(super) durability: Durability,
}

/// The driven half of a publisher. See [`Machine`] and [`Dialling`] for how to drive it; beside that the driver closes
/// the byte stream, and reports it [`disconnected`](Machine::disconnected), once the connection is over and has nothing
/// to write; also when [`Machine::connection`] has become `None`. It stops when [`is_over`](Machine::is_over).
///
/// Dropped before, it fails what is not acknowledged.
#[derive(Debug)]
pub struct PublisherCore {
    pub(super) shared: Arc<Shared>,
    pub(super) redial: Redial,
    pub(super) open: PublishOpen,
    pub(super) channel: Option<Channel>,
    pub(super) stream: Option<Stream>,
    /// What was taken from the queue and is not acknowledged, in order.
    pub(super) outgoing: VecDeque<Outgoing>,
    /// How many of those went out on this connection, and how many bytes of the one after.
    pub(super) sent: usize,
    pub(super) sent_bytes: usize,
    pub(super) asked: Vec<Asked>,
    pub(super) fresh: Vec<Request>,
    pub(super) is_sealed: bool,
    pub(super) is_over: bool,
}

impl PublisherCore {
    /// A publisher of `node`, which has not dialled yet, and the first of its handles. When the last handle is gone, what was sent
    /// goes out, and then the publisher is over.
    pub fn new(node: &Node, options: PublisherOptions) -> (PublisherCore, Publisher) {
        let PublisherOptions { name, create, durability, producer, resume, content, partitions, .. } =
            options;
        let next = if resume { None } else { Some(0) };
        let shared = Arc::new(Shared::new(name.clone(), producer, next, options.max_unacknowledged));
        let core = PublisherCore {
            shared: Arc::clone(&shared),
            redial: Redial::new(node, Roles::PUBLISHES),
            open: PublishOpen { name, create, durability, producer, content, partitions },
            channel: None,
            stream: None,
            outgoing: VecDeque::new(),
            sent: 0,
            sent_bytes: 0,
            asked: Vec::new(),
            fresh: Vec::new(),
            is_sealed: false,
            is_over: false,
        };
        (core, Publisher::new(shared))
    }

    /// Takes nothing any more from any handle, sends what is here, and is over when that is acknowledged.
    pub fn begin_close(&self) {
        self.shared.begin_close();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sends what there is, as far as room and credit reach. Says whether there is more to do at once.
    fn fill(&mut self) -> bool {
        let Some(Stream { id, opened: true, closing: false }) = self.stream else { return false };
        for _ in 0..WORK_BUDGET {
            let Some(connection) = self.redial.connection() else { return false };
            let room = connection.room(id);
            if room == 0 {
                return false;
            }
            match self.outgoing.get(self.sent) {
                Some(Outgoing::Note(_)) if notes_among(self.outgoing.iter().take(self.sent)) >= MAX_NOTES => {
                    return false;
                }
                Some(Outgoing::Batch(batch)) => {
                    let end = batch.bytes.len().min(self.sent_bytes + room);
                    connection.publish(id, batch.bytes.slice(self.sent_bytes..end));
                    if self.sent_bytes == 0 {
                        self.shared.mark_sent(batch.end);
                    }
                    self.sent_bytes = end;
                    if end == batch.bytes.len() {
                        (self.sent, self.sent_bytes) = (self.sent + 1, 0);
                    }
                }
                Some(Outgoing::Note(note)) => {
                    connection.publish_note(id, note);
                    self.sent += 1;
                }
                None => match self.shared.take() {
                    Some(Item::Batch(batch)) => {
                        self.outgoing.push_back(Outgoing::Batch(Kept::new(batch, &self.shared.producer)));
                    }
                    Some(Item::Note(note)) => self.put_note(note),
                    None => return false,
                },
            }
        }
        true
    }

    /// A note with no record after the one before takes its place.
    fn put_note(&mut self, note: PublishNote) {
        if let Some(Outgoing::Note(_)) = self.outgoing.back() {
            self.outgoing.pop_back();
            self.sent = self.sent.min(self.outgoing.len());
        }
        self.outgoing.push_back(Outgoing::Note(note));
    }

    /// Whether no record waits for an acknowledgement or to be sent.
    pub(super) fn is_drained(&self) -> bool {
        !self.outgoing.iter().any(|item| matches!(item, Outgoing::Batch(_))) && self.shared.is_empty()
    }

    /// Puts the questions, as soon as their time has come: when the channel is there, which opening the stream may make;
    /// and a seal follows all records before it.
    fn ask(&mut self) {
        self.shared.take_requests(&mut self.fresh);
        for Request { ask, reply } in self.fresh.drain(..) {
            self.asked.push(Asked { ask, reply, stream: None });
        }
        if self.asked.is_empty() || self.stream.is_some_and(|stream| !stream.opened) {
            return;
        }
        let drained = self.is_drained();
        let Some(connection) = self.redial.connection().filter(|connection| connection.is_ready()) else {
            return;
        };
        for asked in self.asked.iter_mut().filter(|asked| asked.stream.is_none()) {
            asked.stream = match asked.ask {
                Ask::Seal if !drained => continue,
                Ask::Seal => connection.seal(&self.open.name).ok(),
                Ask::Info => connection.stat(&self.open.name).ok(),
            };
        }
    }

    /// Ends well, if that was asked for and nothing is left to do.
    fn close(&mut self) {
        if !self.shared.is_closing() || !self.asked.is_empty() || !self.shared.is_empty() {
            return;
        }
        match &mut self.stream {
            // Never connected, all acknowledged before the connection was lost, or sealed: nobody need be told.
            None if self.outgoing.is_empty() || self.is_sealed => self.finish(closed(&self.shared.name)),
            Some(stream)
                if stream.opened
                    && !stream.closing
                    && self.sent == self.outgoing.len()
                    && self.shared.is_ready_to_close() =>
            {
                stream.closing = true;
                let id = stream.id;
                if let Some(connection) = self.redial.connection() {
                    connection.publish_close(id);
                }
            }
            _ => {}
        }
    }

    /// Everything that is not acknowledged fails with `why`.
    pub(super) fn finish(&mut self, why: Error) {
        self.is_over = true;
        self.forget_connection();
        self.redial.finish();
        self.outgoing.clear();
        self.shared.take_requests(&mut self.fresh);
        let fresh = self.fresh.drain(..).map(|request| request.reply);
        for reply in self.asked.drain(..).map(|asked| asked.reply).chain(fresh) {
            reply.give(Err(why.clone()));
        }
        self.shared.finish(why);
    }

    /// What was sent on the connection is to be sent again.
    pub(super) fn forget_connection(&mut self) {
        self.stream = None;
        (self.sent, self.sent_bytes) = (0, 0);
        for asked in &mut self.asked {
            asked.stream = None;
        }
    }
}

/// Of what is under way, the notes that the other side may not have kept yet: it has, once a record after them is
/// acknowledged.
fn notes_among<'a>(under_way: impl Iterator<Item = &'a Outgoing>) -> usize {
    under_way.filter(|item| matches!(item, Outgoing::Note(_))).count()
}

impl Kept {
    fn new(batch: BatchBuilder, producer: &ProducerId) -> Kept {
        let (first, end, cost) = (batch.base_offset().0, batch.next_offset().0, batch.byte_len());
        let stamp =
            Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset::ZERO, previous_crc: 0 };
        Kept { first, end, cost, bytes: batch.finish(stamp).1 }
    }
}

impl Machine for PublisherCore {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.redial.connection()
    }

    fn work(&mut self, now: Instant, waker: &Waker) {
        self.shared.hang(waker);
        let mut more = true;
        for _ in 0..WORK_BUDGET {
            more = self.take_frame(now);
            if !more {
                break;
            }
        }
        more |= self.fill();
        self.ask();
        self.close();
        if more {
            waker.wake_by_ref();
        }
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
        self.on_disconnected(&why, now);
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Dialling for PublisherCore {
    fn wants_dial(&self, now: Instant) -> bool {
        self.redial.wants_dial(now)
    }

    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        if !self.is_over {
            self.forget_connection();
            self.redial.connected(side, trusted, now);
        }
    }
}

impl Drop for PublisherCore {
    fn drop(&mut self) {
        let name = &self.shared.name;
        let text = format!("{name}: what sends the records was stopped");
        self.finish(Error::new(ErrorKind::Closed, text));
    }
}
