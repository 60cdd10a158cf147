//! One stream that publishes into a log of this node, from PUBLISH_OPEN to END.
//!
//! Owns the order in which published batches and notes take effect, the credit that a publisher has, and which
//! acknowledgements it is owed. Batches go into the log as soon as it has room; nothing is acknowledged before the
//! log says that it is written, or durable.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use netchan_proto::batch::Batch;
use netchan_proto::inflow::Inflow;
use netchan_proto::limits::{CREDIT_WINDOW, MAX_NOTES, SMALL_WINDOW};
use netchan_proto::wire::{
    AckLevel, End, ErrorFrame, Note, PublishAck, PublishNote, PublishOpen, PublishOpened, ReaderKind,
    StreamId,
};
use netchan_proto::{Durability, ErrorCode, Instant, Offset, Permissions, ProducerId};
use netchan_store::{AppendError, Claim, Log, LogError, LogOptions, Mark, Store};

use super::answer::{Accepted, Answer};
use super::permits::lacks;
use super::refusal::refuse;
use super::{Shared, Step};
use crate::error::Error;
use crate::node::{Node, agree, note_key};
use crate::stats::{Counted, Place, Standing};
use crate::wake::Flag;

/// Publishers of one connection that have a whole window.
const WHOLE_WINDOWS: usize = 8;
/// Where an acknowledgement is owed before records are durable: how often they are made so nevertheless, so that a
/// publisher who waits for that is answered.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Opens the log for a publisher, or makes it. Blocks.
fn accept(node: &Node, open: &PublishOpen, window: u64, may: Permissions) -> Result<Accepted, ErrorFrame> {
    let no_channel = || {
        ErrorFrame::new(
            ErrorCode::NO_CHANNEL,
            format!("there is no channel {}, and it is not to be made", open.name),
        )
    };
    let store = node.store().ok_or_else(no_channel)?;
    let mut options: LogOptions = *node.created_options();
    options.durability = open.durability.unwrap_or(options.durability);
    options.partitions = open.partitions.and_then(|count| NonZeroU16::new(count.get()));
    let log = match store.open_existing(&open.name).map_err(refuse)? {
        Some(log) => {
            // Those that are missing beside it are made, by who may.
            let completes = open.create && may.has(Permissions::CREATE);
            match (open.partitions, log.partitions()) {
                (said, Some(_)) if completes || said.is_some_and(|said| log.partitions() != Some(said)) => {
                    store.open_partition(&open.name, &options).map_err(refuse)?
                }
                _ => log,
            }
        }
        None if !open.create => return Err(no_channel()),
        None if !may.has(Permissions::CREATE) => return Err(lacks(may, Permissions::CREATE)),
        None => store.create_or_open(&open.name, &options).map_err(refuse)?,
    };
    if let Some(content) = &open.content {
        agree(&log, content).map_err(refuse)?;
    }
    // The publisher forgets what is before this sequence, so all of that has to be safe before it is told.
    let claim = log.claim(open.producer);
    match log.sync() {
        Ok(_) | Err(LogError::Sealed { .. }) => {}
        Err(error) => return Err(refuse(error)),
    }
    let opened = PublishOpened {
        log: log.id(),
        epoch: log.epoch(),
        durability: log.durability(),
        next_sequence: claim.next_sequence,
        credit: window,
        note: kept_note(store, &log, open.producer),
        partitions: log.partitions(),
    };
    Ok(Accepted { log, claim, opened })
}

/// The note that the producer left last. It is kept behind the sequence it is about.
fn kept_note(store: &Store, log: &Log, producer: ProducerId) -> Note {
    let kept = store.state().get(&note_key(log.id(), producer));
    kept.filter(|kept| kept.len() >= 8).and_then(|kept| Note::new(kept.slice(8..)).ok()).unwrap_or_default()
}

/// Makes what came before the note safe, then the note. Blocks.
fn keep_note(node: &Node, log: &Log, claim: &Claim, note: &PublishNote) -> Result<(), Error> {
    let Some(store) = node.store() else { return Ok(()) };
    log.sync()?;
    if !log.holds(claim) {
        return Err(AppendError::Superseded.into());
    }
    let value = [&note.next_sequence.to_le_bytes(), &note.note.bytes()[..]].concat();
    store.state().put(&note_key(log.id(), claim.producer), &value)?;
    Ok(())
}

/// What a publisher sent, in order.
#[derive(Debug)]
enum Item {
    Range(Bytes),
    /// Ranges that came while the ones before them had to wait, copied together: a range by itself costs more than its
    /// bytes, and keeps all that was read with it.
    Waiting(BytesMut),
    Note(PublishNote),
}

/// An acknowledgement that is owed once the log has reached `end`.
#[derive(Clone, Copy, Debug)]
struct Owed {
    end: Offset,
    first_sequence: u64,
    count: u64,
    first_offset: Option<Offset>,
}

#[derive(Debug)]
struct Intake {
    log: Log,
    claim: Claim,
    durability: Durability,
    queue: VecDeque<Item>,
    notes: usize,
    inflow: Inflow,
    /// A batch that the log had no room for.
    full: Option<Batch>,
    /// A job keeps a note; nothing after it is taken in meanwhile.
    noting: bool,
    /// The sequence of the next batch, once one came.
    next_sequence: Option<u64>,
    window: u64,
    granted: u64,
    received: u64,
    appended: u64,
    written: VecDeque<Owed>,
    durable: VecDeque<Owed>,
    /// Where acknowledgements do not wait for a sync: when the next one may be asked for.
    sync_at: Instant,
    closing: bool,
}

/// A stream that publishes.
#[derive(Debug)]
pub(super) struct Publishing {
    id: StreamId,
    /// Once its log is open.
    intake: Option<Intake>,
    flag: Arc<Flag>,
    waker: Waker,
    standing: Standing,
}

impl Publishing {
    pub(super) fn new(id: StreamId, open: PublishOpen, others: usize, shared: &mut Shared) -> Publishing {
        let flag = Flag::new(&shared.bell);
        let window = if others < WHOLE_WINDOWS { CREDIT_WINDOW } else { SMALL_WINDOW };
        let standing = shared.standing(ReaderKind::Publishes, &open.name);
        let node = shared.node.clone();
        let may = shared.may();
        shared.desk.ask(id, move || Answer::Accepted(accept(&node, &open, window, may)));
        Publishing { id, intake: None, waker: Waker::from(Arc::clone(&flag)), flag, standing }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// The log is open, or cannot be.
    pub(super) fn on_accepted(
        &mut self,
        accepted: Result<Accepted, ErrorFrame>,
        shared: &mut Shared,
    ) -> Step {
        match accepted {
            Ok(Accepted { log, claim, opened }) => {
                shared.connection.publish_opened(self.id, &opened);
                let place = self.standing.place();
                place.find(&log, Offset::NONE);
                place.credit.set(opened.credit);
                self.intake = Some(Intake::new(log, claim, opened.credit, shared.now));
                Step::Moved
            }
            Err(error) => self.fail(error, shared),
        }
    }

    /// PUBLISH came.
    pub(super) fn on_range(&mut self, range: Bytes) -> Step {
        if let Some(intake) = &mut self.intake {
            intake.received += range.len() as u64;
            intake.enqueue(range);
            self.flag.raise();
        }
        Step::Moved
    }

    /// PUBLISH_NOTE came.
    pub(super) fn on_note(&mut self, note: PublishNote, shared: &mut Shared) -> Step {
        let Some(intake) = &mut self.intake else { return Step::Idle };
        if intake.notes == MAX_NOTES {
            return self.fail(ErrorFrame::new(ErrorCode::CALM, "too many notes at once"), shared);
        }
        intake.notes += 1;
        intake.queue.push_back(Item::Note(note));
        self.flag.raise();
        Step::Moved
    }

    /// The note is kept, or cannot be.
    pub(super) fn on_noted(&mut self, kept: Result<(), ErrorFrame>, shared: &mut Shared) -> Step {
        if let Err(error) = kept {
            return self.fail(error, shared);
        }
        if let Some(intake) = &mut self.intake {
            intake.noting = false;
            intake.notes -= 1;
            self.flag.raise();
        }
        Step::Moved
    }

    /// PUBLISH_CLOSE came.
    pub(super) fn on_close(&mut self) -> Step {
        if let Some(intake) = &mut self.intake {
            intake.closing = true;
            self.flag.raise();
        }
        Step::Moved
    }

    /// When it wants a turn without being woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.intake.as_ref().and_then(Intake::sync_due)
    }

    /// Whether all that came is in the log and acknowledged.
    pub(super) fn is_drained(&self) -> bool {
        self.intake.as_ref().is_some_and(Intake::is_drained)
    }

    /// Bytes that came and are not in the log, and what is kept beside them.
    pub(super) fn held(&self) -> usize {
        self.intake.as_ref().map_or(0, Intake::held)
    }

    /// Takes in what it can, and acknowledges what it owes.
    pub(super) fn turn(&mut self, shared: &mut Shared) -> Step {
        let Some(intake) = &mut self.intake else { return Step::Idle };
        let is_due = intake.sync_due().is_some_and(|at| at <= shared.now);
        if !self.flag.lower() && !is_due {
            return Step::Idle;
        }
        let mut context = Context::from_waker(&self.waker);
        let done = intake
            .take_in(self.id, self.standing.place(), &mut context, shared)
            .and_then(|()| intake.acknowledge(self.id, &mut context, shared));
        if let Err(error) = done {
            return self.fail(error, shared);
        }
        if intake.is_finished() {
            intake.grant(self.id, shared); // gives back the right to a large batch
            shared.connection.end(self.id, End::Closed);
            return Step::Over;
        }
        intake.grant(self.id, shared);
        self.standing.place().credit.set(shared.connection.credit(self.id));
        Step::Moved
    }

    /// Something that it may wait for has changed: another stream's large batch is whole.
    pub(super) fn look_again(&self) {
        self.flag.raise();
    }

    fn fail(&self, error: ErrorFrame, shared: &mut Shared) -> Step {
        shared.release_large(self.id);
        shared.refuse(self.id, error);
        Step::Over
    }
}

impl Intake {
    fn new(log: Log, claim: Claim, window: u64, now: Instant) -> Intake {
        Intake {
            durability: log.durability(),
            log,
            claim,
            queue: VecDeque::new(),
            notes: 0,
            inflow: Inflow::new(claim.producer.0),
            full: None,
            noting: false,
            next_sequence: None,
            window,
            granted: window,
            received: 0,
            appended: 0,
            written: VecDeque::new(),
            durable: VecDeque::new(),
            sync_at: now,
            closing: false,
        }
    }

    fn enqueue(&mut self, range: Bytes) {
        if !self.noting && self.full.is_none() {
            return self.queue.push_back(Item::Range(range));
        }
        match self.queue.back_mut() {
            Some(Item::Waiting(waiting)) => waiting.extend_from_slice(&range),
            _ => self.queue.push_back(Item::Waiting(BytesMut::from(&*range))),
        }
    }

    fn held(&self) -> usize {
        let queued = self.queue.iter().map(|item| match item {
            Item::Range(range) => range.len(),
            Item::Waiting(ranges) => ranges.capacity(),
            Item::Note(note) => note.note.bytes().len(),
        });
        let owed = (self.written.len() + self.durable.len()) * size_of::<Owed>();
        let full = self.full.as_ref().map_or(0, |batch| batch.stored().len());
        queued.sum::<usize>() + self.inflow.held() + full + owed
    }

    fn take_in(
        &mut self,
        id: StreamId,
        place: &Place,
        context: &mut Context<'_>,
        shared: &mut Shared,
    ) -> Result<(), ErrorFrame> {
        while !self.noting {
            let batch = match self.full.take() {
                Some(batch) => Some(batch),
                None => self.inflow.next_batch().map_err(|error| {
                    ErrorFrame::new(ErrorCode::MALFORMED, format!("a published batch is damaged: {error}"))
                })?,
            };
            if let Some(batch) = batch {
                if !self.append(batch, place, context, &shared.counted)? {
                    return Ok(());
                }
                continue;
            }
            match self.queue.pop_front() {
                Some(Item::Range(range)) => self.inflow.push(range),
                Some(Item::Waiting(ranges)) => self.inflow.push(ranges.freeze()),
                Some(Item::Note(note)) => self.keep(note, id, shared)?,
                None if self.closing => return self.check_between_batches("PUBLISH_CLOSE"),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Gives a batch to the log; false if it has no room now, and then it is held.
    fn append(
        &mut self,
        batch: Batch,
        place: &Place,
        context: &mut Context<'_>,
        counted: &Counted,
    ) -> Result<bool, ErrorFrame> {
        let header = *batch.header();
        let first = header.base_offset.0;
        if self.next_sequence.is_some_and(|expected| expected != first) {
            let text = format!("a batch begins with sequence {first}, where another should follow");
            return Err(ErrorFrame::new(ErrorCode::PROTOCOL, text));
        }
        let appended = match self.log.append_batch(&self.claim, &batch) {
            Ok(appended) => appended,
            Err(AppendError::Full) => {
                self.full = Some(batch);
                return Ok(self.log.poll_capacity(context).is_ready());
            }
            Err(error) => return Err(refuse(error)),
        };
        self.next_sequence = Some(header.next_offset().0);
        self.appended += batch.stored().len() as u64;
        let (count, end) = (u64::from(header.record_count), appended.end);
        let new = if appended.first_offset.is_some() { appended.count.min(count) } else { 0 };
        counted.records_published.add(new);
        place.records.add(new);
        place.bytes.add(batch.stored().len() as u64);
        place.move_to(end);
        if new < count {
            self.owe(Owed { end, first_sequence: first, count: count - new, first_offset: None });
        }
        if new > 0 {
            let first_sequence = first + (count - new);
            self.owe(Owed { end, first_sequence, count: new, first_offset: appended.first_offset });
        }
        Ok(true)
    }

    fn owe(&mut self, owed: Owed) {
        if self.durability != Durability::Sync {
            self.written.push_back(owed);
        }
        self.durable.push_back(owed);
    }

    fn keep(&mut self, note: PublishNote, id: StreamId, shared: &mut Shared) -> Result<(), ErrorFrame> {
        self.check_between_batches("PUBLISH_NOTE")?;
        self.noting = true;
        let (node, log, claim) = (shared.node.clone(), self.log.clone(), self.claim);
        shared.desk.ask(id, move || Answer::Noted(keep_note(&node, &log, &claim, &note).map_err(refuse)));
        Ok(())
    }

    fn check_between_batches(&self, what: &str) -> Result<(), ErrorFrame> {
        if self.inflow.is_between_batches() {
            return Ok(());
        }
        Err(ErrorFrame::new(ErrorCode::PROTOCOL, format!("{what} in the middle of a batch")))
    }

    fn acknowledge(
        &mut self,
        id: StreamId,
        context: &mut Context<'_>,
        shared: &mut Shared,
    ) -> Result<(), ErrorFrame> {
        let (epoch, log) = (self.log.epoch(), &self.log);
        let levels = [
            (AckLevel::Written, Mark::Written, log.written(), &mut self.written),
            (AckLevel::Durable, Mark::Durable, log.durable(), &mut self.durable),
        ];
        for (level, mark, reached, queue) in levels {
            let mut reached = reached;
            while let Some(owed) = queue.front() {
                if owed.end > reached {
                    let last = queue.back().map_or(owed.end, |last| last.end);
                    let wait_for = if level == AckLevel::Durable && self.durability != Durability::Sync {
                        if shared.now < self.sync_at {
                            break;
                        }
                        self.sync_at = shared.now.plus(SYNC_INTERVAL);
                        last
                    } else {
                        owed.end
                    };
                    match log.poll_reached(mark, wait_for, context) {
                        Poll::Pending => break,
                        Poll::Ready(Ok(())) => reached = reached.max(wait_for),
                        Poll::Ready(Err(error)) => return Err(refuse(error)),
                    }
                    continue;
                }
                let &Owed { first_sequence, count, first_offset, .. } = owed;
                let ack = PublishAck { level, epoch, first_sequence, count, first_offset };
                shared.connection.publish_ack(id, &ack);
                queue.pop_front();
            }
        }
        Ok(())
    }

    fn sync_due(&self) -> Option<Instant> {
        let waits = self.durability != Durability::Sync && !self.durable.is_empty();
        waits.then_some(self.sync_at)
    }

    /// Whether the publisher is done and has all the acknowledgements it is owed.
    fn is_finished(&self) -> bool {
        self.closing && self.is_drained()
    }

    /// Whether all that came is in the log and acknowledged at the channel's own level.
    fn is_drained(&self) -> bool {
        let owes = if self.durability == Durability::Sync { &self.durable } else { &self.written };
        self.queue.is_empty() && !self.noting && self.full.is_none() && owes.is_empty()
    }

    /// Allows a window beyond what the log has taken, or the whole of the batch in the making.
    fn grant(&mut self, id: StreamId, shared: &mut Shared) {
        let partial = self.inflow.partial_len() as u64;
        let mut may_be_large = shared.large.is_none_or(|holder| holder == id);
        if partial > CREDIT_WINDOW && may_be_large {
            may_be_large = shared.account.take_large(self.inflow.partial_len(), shared.now);
        }
        if partial > self.window && may_be_large {
            shared.large = Some(id);
        } else {
            shared.release_large(id);
        }
        let window = if may_be_large { self.window.max(partial) } else { self.window };
        let total = self.appended + window;
        let exhausted = self.granted == self.received && total > self.granted;
        if total.saturating_sub(self.granted) >= self.window / 4 || exhausted {
            self.granted = total;
            shared.connection.grant(id, total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netchan_proto::ChannelName;
    use netchan_store::disk::SimDisk;
    use netchan_store::{Commit, StoreOptions};

    #[test]
    fn what_waits_behind_a_note_costs_its_bytes_and_no_more() {
        let options = StoreOptions { commit: Commit::Manual, ..StoreOptions::default() };
        let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
        let log = store.create_or_open(&ChannelName::new("log").unwrap(), &LogOptions::default()).unwrap();
        let claim = log.claim(ProducerId([1; 16]));
        let mut intake = Intake::new(log, claim, CREDIT_WINDOW, Instant(0));
        intake.noting = true;
        let frames = Bytes::from_iter((0..=255).cycle().take(10_000));
        for at in 0..frames.len() {
            intake.enqueue(frames.slice(at..=at));
        }
        assert_eq!(intake.queue.len(), 1);
        let Some(Item::Waiting(waiting)) = intake.queue.pop_front() else { panic!("it waits") };
        assert_eq!(waiting, frames);
        assert!(frames.is_unique(), "what was read is not kept");
    }
}
