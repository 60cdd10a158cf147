//! What the handles of a publisher and its driver share: records on their way out, and how far they have come.
//!
//! Owns the sequence numbers, the batches in the making, the marks that acknowledgements move, and everybody who waits
//! for them. One short lock; wakers are called outside it. It knows no connection: that is the driver's.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Waker};

use netchan_proto::batch::{BatchBuilder, RECORD_PREFIX};
use netchan_proto::wire::{AckLevel, Note, PublishAck, PublishNote};
use netchan_proto::{ChannelName, LogInfo, Offset, ProducerId, RecordRef, Timestamp};

use super::waiters::{Ticket, Waiters};
use crate::error::{Error, ErrorKind};
use crate::event::{Events, Whose};
use crate::reply::Reply;
use crate::sync::Mutex;
use crate::wake::lock;

/// Runs of acknowledged records whose offsets are remembered.
const MAX_RUNS: usize = 1024;
/// Ranges of records lost by the other side that are remembered.
const MAX_LOST: usize = 64;

/// What a producer is told when publishing begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Who publishes.
    pub id: ProducerId,
    /// The sequence of its next record: how many of its records the log has, counted over all its runs.
    pub next_sequence: u64,
    /// What it last asked to be kept beside its sequence.
    pub note: Note,
}

/// The shared half of a publisher.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) name: ChannelName,
    pub(super) producer: ProducerId,
    pub(super) events: Events,
    /// Bytes that may be unacknowledged.
    limit: usize,
    queue: Mutex<Queue>,
}

/// Something on its way out, in order.
#[derive(Debug)]
pub(super) enum Item {
    Batch(BatchBuilder),
    Note(PublishNote),
}

/// A question to the other side, and where its answer goes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ask: Ask,
    pub(super) reply: Arc<AnswerReply>,
}

pub(super) type AnswerReply = Reply<Result<Answer, Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Seal,
    Info,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Sealed(Offset),
    Info(Box<LogInfo>),
}

/// Records that follow each other in sequence and in the log.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    count: u64,
    offset: Offset,
}

#[derive(Debug, Default)]
struct Queue {
    /// The batch in the making, and what is closed before it.
    open: Option<BatchBuilder>,
    closed: VecDeque<Item>,
    /// The sequence of the next record; unknown until the other side says how far this producer is.
    next: Option<u64>,
    /// Bytes of all batches that are not acknowledged.
    bytes: usize,
    /// The first sequence that is not written, and not durable.
    written: u64,
    durable: u64,
    runs: VecDeque<Run>,
    lost: VecDeque<Range<u64>>,
    /// What the first PUBLISH_OPENED said.
    producer: Option<Producer>,
    /// The first sequence of which nothing ever left.
    unsent: u64,
    requests: Vec<Request>,
    /// Nothing is taken any more, for this reason.
    refusing: Option<Error>,
    /// Who holds handles is done: what is here goes out, and then it is over.
    is_closing: bool,
    /// It is over. What is not acknowledged never will be.
    over: Option<Error>,
    waiting_written: Waiters,
    waiting_durable: Waiters,
    waiting_room: Waiters,
    /// For anything that is rare.
    waiting_news: Waiters,
    driver: Option<Waker>,
    /// The driver has taken everything, and is to be woken by the next record.
    is_idle: bool,
}

/// Why a record was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no room, or it is not known yet which sequence comes next: wait.
    Full,
    /// It never will be.
    Never(Error),
}

/// What has changed by an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) written: u64,
    pub(super) durable: u64,
}

impl Shared {
    pub(super) fn new(name: ChannelName, producer: ProducerId, next: Option<u64>, limit: usize) -> Shared {
        let queue = Queue { next, ..Queue::default() };
        let events = Events::new(name.clone(), Whose::Publisher);
        Shared { name, producer, events, limit, queue: Mutex::new(queue) }
    }

    // ---- for the handles ----

    /// Takes a record and gives its sequence. With `waiting`, who finds no room is woken when there is.
    #[inline]
    pub(crate) fn push(
        &self,
        record: &RecordRef<'_>,
        waiting: Option<(&mut Option<Ticket>, &Waker)>,
    ) -> Result<u64, Refused> {
        record.check().map_err(|error| Refused::Never(error.into()))?;
        let mut queue = lock(&self.queue);
        if let Some(error) = &queue.refusing {
            return Err(Refused::Never(error.clone()));
        }
        let room = queue.bytes == 0 || queue.bytes + cost(record) <= self.limit;
        let Some(sequence) = queue.next.filter(|_| room) else {
            if let Some((ticket, waker)) = waiting {
                queue.waiting_room.wait(0, ticket, waker);
            }
            return Err(Refused::Full);
        };
        queue.add(sequence, record);
        let driver = if queue.is_idle { queue.rouse() } else { None };
        drop(queue);
        wake_one(driver);
        Ok(sequence)
    }

    pub(crate) fn leave_room(&self, ticket: Ticket) {
        lock(&self.queue).waiting_room.leave(ticket);
    }

    /// Puts a note between the records so far and the next.
    pub(super) fn note(&self, next_sequence: u64, note: Note) -> Result<(), Error> {
        let mut queue = lock(&self.queue);
        if let Some(error) = &queue.refusing {
            return Err(error.clone());
        }
        if queue.next != Some(next_sequence) {
            let at = queue.next.map_or_else(|| "not known yet".to_owned(), |next| next.to_string());
            let text =
                format!("{}: a note for sequence {next_sequence}, but the next one is {at}", self.name);
            return Err(Error::new(ErrorKind::Config, text));
        }
        queue.close_batch();
        if let Some(Item::Note(_)) = queue.closed.back() {
            queue.closed.pop_back(); // nothing came after it: the new one takes its place
        }
        queue.closed.push_back(Item::Note(PublishNote { next_sequence, note }));
        let driver = queue.rouse();
        drop(queue);
        wake_one(driver);
        Ok(())
    }

    /// Whether the record is as safe as `level` says; if not, `waker` is woken when it is or never will be.
    pub(super) fn poll_reached(
        &self,
        sequence: u64,
        level: AckLevel,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<(), Error>> {
        let mut queue = lock(&self.queue);
        if level == AckLevel::Durable && queue.lost.iter().any(|lost| lost.contains(&sequence)) {
            let text = format!(
                "{}: record {sequence} was written, and lost by the other side before it was durable",
                self.name
            );
            return Poll::Ready(Err(Error::new(ErrorKind::Poisoned, text)));
        }
        let mark = if level == AckLevel::Durable { queue.durable } else { queue.written };
        if sequence < mark {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &queue.over {
            let fate = match sequence {
                _ if sequence < queue.written => "was written, but is not known to be durable",
                _ if sequence < queue.unsent => "may or may not be in the channel",
                _ => "was not sent",
            };
            return Poll::Ready(Err(error.clone().about(format_args!("record {sequence} {fate}"))));
        }
        let waiters =
            if level == AckLevel::Durable { &mut queue.waiting_durable } else { &mut queue.waiting_written };
        waiters.wait(sequence, ticket, waker);
        Poll::Pending
    }

    pub(super) fn leave_reached(&self, level: AckLevel, ticket: Ticket) {
        let mut queue = lock(&self.queue);
        let waiters =
            if level == AckLevel::Durable { &mut queue.waiting_durable } else { &mut queue.waiting_written };
        waiters.leave(ticket);
    }

    /// The record's offset, while it is remembered.
    pub(crate) fn offset_of(&self, sequence: u64) -> Option<Offset> {
        let queue = lock(&self.queue);
        let index = queue.runs.partition_point(|run| run.first <= sequence).checked_sub(1)?;
        let run = queue.runs.get(index)?;
        let into = sequence - run.first;
        (into < run.count).then(|| run.offset.plus(into))
    }

    /// How many records the other side has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let queue = lock(&self.queue);
        queue.next.map_or(0, |next| next.saturating_sub(queue.written))
    }

    /// The last sequence that was given, if any was.
    pub(super) fn last_sequence(&self) -> Option<u64> {
        let queue = lock(&self.queue);
        let begin = queue.producer.as_ref().map_or(0, |producer| producer.next_sequence);
        queue.next.filter(|next| *next > begin).map(|next| next - 1)
    }

    pub(super) fn poll_producer(
        &self,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<Producer, Error>> {
        let mut queue = lock(&self.queue);
        if let Some(producer) = &queue.producer {
            let next_sequence = queue.next.unwrap_or(producer.next_sequence);
            return Poll::Ready(Ok(Producer { next_sequence, ..producer.clone() }));
        }
        if let Some(error) = queue.over.as_ref().or(queue.refusing.as_ref()) {
            return Poll::Ready(Err(error.clone()));
        }
        queue.waiting_news.wait(0, ticket, waker);
        Poll::Pending
    }

    /// Ready once all is over: well, if everything was acknowledged.
    pub(super) fn poll_over(&self, ticket: &mut Option<Ticket>, waker: &Waker) -> Poll<Result<(), Error>> {
        let mut queue = lock(&self.queue);
        match &queue.over {
            Some(error) if error.kind() != ErrorKind::Closed => Poll::Ready(Err(error.clone())),
            Some(error) => Poll::Ready(if queue.bytes == 0 { Ok(()) } else { Err(error.clone()) }),
            None => {
                queue.waiting_news.wait(0, ticket, waker);
                Poll::Pending
            }
        }
    }

    pub(super) fn leave_news(&self, ticket: Ticket) {
        lock(&self.queue).waiting_news.leave(ticket);
    }

    pub(super) fn ask(&self, ask: Ask) -> Arc<AnswerReply> {
        let reply = Arc::new(AnswerReply::default());
        let mut queue = lock(&self.queue);
        if let Some(error) = queue.over.clone() {
            drop(queue);
            reply.give(Err(error));
            return reply;
        }
        if ask == Ask::Seal && queue.refusing.is_none() {
            let text = format!("{}: it is being sealed: nothing was sent", self.name);
            queue.refusing = Some(Error::new(ErrorKind::Sealed, text));
        }
        queue.requests.push(Request { ask, reply: Arc::clone(&reply) });
        let driver = queue.rouse();
        drop(queue);
        wake_one(driver);
        reply
    }

    /// What is here goes out, and then it is over.
    pub(crate) fn begin_close(&self) {
        let mut queue = lock(&self.queue);
        queue.is_closing = true;
        queue.refusing.get_or_insert_with(|| closed(&self.name));
        let mut woken = Vec::from_iter(queue.rouse());
        queue.waiting_room.take_all(&mut woken);
        drop(queue);
        wake(woken);
    }

    // ---- for the driver ----

    pub(super) fn hang(&self, waker: &Waker) {
        let mut queue = lock(&self.queue);
        match &mut queue.driver {
            Some(driver) => driver.clone_from(waker),
            None => queue.driver = Some(waker.clone()),
        }
    }

    /// The oldest thing that has not been taken. With nothing there, the next record wakes the driver.
    pub(super) fn take(&self) -> Option<Item> {
        let mut queue = lock(&self.queue);
        let item = queue.closed.pop_front().or_else(|| queue.open.take().map(Item::Batch));
        queue.is_idle = item.is_none();
        item
    }

    pub(super) fn is_empty(&self) -> bool {
        let queue = lock(&self.queue);
        queue.closed.is_empty() && queue.open.is_none()
    }

    pub(super) fn take_requests(&self, requests: &mut Vec<Request>) {
        requests.append(&mut lock(&self.queue).requests);
    }

    /// Whether everything is to end, and nobody waits for more than what the mode acknowledges.
    pub(super) fn is_ready_to_close(&self) -> bool {
        let queue = lock(&self.queue);
        queue.is_closing && (queue.waiting_durable.is_empty() || Some(queue.durable) == queue.next)
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.queue).is_closing
    }

    pub(super) fn written(&self) -> u64 {
        lock(&self.queue).written
    }

    pub(super) fn next_sequence(&self) -> Option<u64> {
        lock(&self.queue).next
    }

    /// The other side has told where this producer stands.
    pub(super) fn begin(&self, producer: Producer) {
        let mut queue = lock(&self.queue);
        let mut woken = Vec::new();
        if queue.next.is_none() {
            let next = producer.next_sequence;
            (queue.next, queue.written, queue.durable, queue.unsent) = (Some(next), next, next, next);
            queue.waiting_room.take_all(&mut woken);
        }
        queue.producer.get_or_insert(producer);
        queue.waiting_news.take_all(&mut woken);
        drop(queue);
        wake(woken);
    }

    pub(super) fn mark_sent(&self, end: u64) {
        let mut queue = lock(&self.queue);
        queue.unsent = queue.unsent.max(end);
    }

    /// Moves the marks, and remembers offsets.
    pub(super) fn acknowledge(&self, ack: &PublishAck) -> Marks {
        let end = ack.first_sequence.saturating_add(ack.count);
        let durable = if ack.level == AckLevel::Durable { end } else { 0 };
        let run = ack.first_offset.map(|offset| Run { first: ack.first_sequence, count: ack.count, offset });
        self.move_marks(end, durable, run)
    }

    /// Everything before `end` is durable; at which offsets is not known.
    pub(super) fn acknowledge_until(&self, end: u64) {
        self.move_marks(end, end, None);
    }

    fn move_marks(&self, written: u64, durable: u64, run: Option<Run>) -> Marks {
        let mut queue = lock(&self.queue);
        let mut woken = Vec::new();
        if written > queue.written {
            queue.written = written;
            queue.waiting_written.take_below(written, &mut woken);
        }
        if durable > queue.durable {
            queue.durable = durable;
            queue.waiting_durable.take_below(durable, &mut woken);
        }
        if let Some(run) = run {
            queue.remember(run);
        }
        let marks = Marks { written: queue.written, durable: queue.durable };
        drop(queue);
        wake(woken);
        marks
    }

    /// `bytes` of batches are acknowledged.
    pub(super) fn release(&self, bytes: usize) {
        let mut queue = lock(&self.queue);
        queue.bytes = queue.bytes.saturating_sub(bytes);
        let mut woken = Vec::new();
        // Half of the room at least, or those who wait wake for one record each.
        if queue.bytes <= self.limit / 2 {
            queue.waiting_room.take_all(&mut woken);
        }
        drop(queue);
        wake(woken);
    }

    /// The other side had written these, and has lost them.
    pub(super) fn lose(&self, lost: Range<u64>) {
        let mut queue = lock(&self.queue);
        if queue.lost.len() == MAX_LOST {
            queue.lost.pop_front();
        }
        let mut woken = Vec::new();
        queue.waiting_durable.take_below(lost.end, &mut woken);
        queue.lost.push_back(lost);
        drop(queue);
        wake(woken);
    }

    /// Whether records are taken. `None`: they are.
    pub(super) fn refuse(&self, why: Option<Error>) {
        let mut queue = lock(&self.queue);
        if queue.is_closing || queue.over.is_some() {
            return;
        }
        queue.refusing = why;
        let mut woken = Vec::new();
        queue.waiting_news.take_all(&mut woken);
        queue.waiting_room.take_all(&mut woken);
        drop(queue);
        wake(woken);
    }

    /// It is over: who waits for more is told.
    pub(super) fn finish(&self, why: Error) {
        let mut queue = lock(&self.queue);
        if queue.over.is_some() {
            return;
        }
        queue.refusing = Some(why.clone());
        queue.over = Some(why.clone());
        queue.open = None;
        queue.closed.clear();
        let requests = std::mem::take(&mut queue.requests);
        let mut woken = Vec::new();
        queue.waiting_written.take_all(&mut woken);
        queue.waiting_durable.take_all(&mut woken);
        queue.waiting_news.take_all(&mut woken);
        queue.waiting_room.take_all(&mut woken);
        drop(queue);
        wake(woken);
        for request in requests {
            request.reply.give(Err(why.clone()));
        }
        self.events.finish();
    }
}

impl Queue {
    #[inline]
    fn add(&mut self, sequence: u64, record: &RecordRef<'_>) {
        let time = |open: &BatchBuilder| Timestamp(i64::try_from(open.len()).unwrap_or(i64::MAX));
        if self.open.as_ref().is_some_and(|open| !open.fits(time(open), record)) {
            self.close_batch();
        }
        // Times in a published batch mean nothing, but that they rise: the log gives its own.
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let open = self.open.insert(BatchBuilder::new(Offset(sequence), None));
                self.bytes += open.byte_len();
                open
            }
        };
        let before = open.byte_len();
        open.push(time(open), record);
        self.bytes += open.byte_len() - before;
        self.next = Some(sequence + 1);
    }

    fn close_batch(&mut self) {
        if let Some(open) = self.open.take() {
            self.closed.push_back(Item::Batch(open));
        }
    }

    fn remember(&mut self, run: Run) {
        if let Some(last) = self.runs.back_mut() {
            let end = last.first + last.count;
            if run.first < end {
                return; // known since it was written
            }
            if run.first == end && run.offset == last.offset.plus(last.count) {
                last.count += run.count;
                return;
            }
        }
        if self.runs.len() == MAX_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    fn rouse(&mut self) -> Option<Waker> {
        self.is_idle = false;
        self.driver.clone()
    }
}

/// What a record adds to a batch, at most.
fn cost(record: &RecordRef<'_>) -> usize {
    2 * RECORD_PREFIX + record.payload.len() + record.key.map_or(0, <[u8]>::len) + record.headers.len()
}

pub(super) fn closed(name: &ChannelName) -> Error {
    Error::new(ErrorKind::Closed, format!("{name}: this sender is closed"))
}

fn wake_one(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
