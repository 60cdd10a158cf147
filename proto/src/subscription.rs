//! What a receiver wants of a channel, over as many connections as it takes.
//!
//! Owns the position, the credit and the order of what is delivered: records dense, or a gap that says so, or
//! a truncation told once, or the seal. It knows no connection: the owner passes frames in and sends out what
//! it is asked to (the request of a new stream, credit). Neighbours: [`crate::inflow`] makes batches of
//! ranges, [`crate::conn`] frames them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::batch::{Batch, BatchError, BatchKind};
use crate::digest::Digest;
use crate::filter::Filter;
use crate::inflow::Inflow;
use crate::limits::MAX_TOLD;
use crate::types::{ChannelName, Epoch, LogId, Offset, Position, Timestamp};
use crate::wire::{End, Gap, GapReason, Open, Opened, Start, Truncated};

/// What a receiver gets, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Records; those before `from` were not asked for and are to be skipped. There may be none, where none passed a filter.
    Batch {
        /// The batch, both CRCs checked.
        batch: Batch,
        /// The first record of it that was asked for.
        from: Offset,
    },
    /// Records that were asked for and are gone.
    Gap {
        /// The first one missing.
        from: Offset,
        /// The first one after the gap.
        to: Offset,
        /// Why they are gone.
        why: GapReason,
    },
    /// The log was rolled back behind this receiver: what it read from `end` on, in `epoch`, is void.
    Truncated {
        /// The epoch that ended early.
        epoch: Epoch,
        /// Where it ended: reading goes on here.
        end: Offset,
    },
    /// The channel is complete and all of it was delivered.
    Sealed {
        /// How many records the channel has had.
        end: Offset,
    },
}

/// What a sender did that no honest sender does. The stream is of no use after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// A batch is damaged, or not of this log.
    #[error("a batch in the stream is damaged: {0}")]
    Batch(#[from] BatchError),
    /// Offsets do not continue where they should.
    #[error("the stream continues at offset {found}, not at {expected}")]
    OutOfOrder {
        /// The offset that should come.
        expected: Offset,
        /// The offset that came.
        found: Offset,
    },
    /// Epochs or times go back.
    #[error("epoch or time goes back at offset {at}")]
    GoesBack {
        /// Where it was seen.
        at: Offset,
    },
    /// The sender answered with another log than the position is in.
    #[error("the stream is of another log than the position")]
    OtherLog,
    /// More bytes than credit allowed.
    #[error("{received} bytes came where {granted} were allowed")]
    CreditExceeded {
        /// Bytes allowed in all.
        granted: u64,
        /// Bytes received in all.
        received: u64,
    },
    /// The channel was read from its first record to its seal, and comes to something else than its sender says.
    #[error(
        "what was read comes to {read}, and the channel to {told}: batches were lost, doubled or changed"
    )]
    Digest {
        /// What was read comes to.
        read: Digest,
        /// What the sender says.
        told: Digest,
    },
    /// A frame that has no meaning in this state.
    #[error("{0} makes no sense here")]
    Unexpected(&'static str),
}

#[derive(Debug)]
enum Item {
    Opened(Opened),
    Range(Bytes),
    Gap(Gap),
    Truncated(Truncated),
    End(End),
}

/// A receiver's side of one channel.
#[derive(Debug)]
pub struct Subscription {
    name: ChannelName,
    start: Start,
    wait: bool,
    window: u64,
    filter: Option<Filter>,
    /// The next record to deliver; known from the first OPENED on.
    position: Option<Position>,
    /// The offset right after the last batch delivered in this stream: the next batch begins there.
    continues: bool,
    last_time: Timestamp,
    inflow: Option<Inflow>,
    queue: VecDeque<Item>,
    /// Byte totals of the current stream.
    granted: u64,
    received: u64,
    consumed: u64,
    /// While set, a SEEK is under way and what comes before its SEEKED belongs to the old place.
    seeking: Option<u32>,
    seeks: u32,
    /// What the sender last said of the channel's end.
    tail: Offset,
    stream_is_open: bool,
    /// What was read comes to, and where it ends, if it was read from the first record on and without a gap.
    read: Option<(Offset, Digest)>,
    /// What the sender says that the sealed channel comes to.
    told_digest: Option<Digest>,
    /// GAP, TRUNCATED and END frames in the queue.
    told: usize,
    /// The sender told more of them than may wait.
    is_flooded: bool,
    over: bool,
}

impl Subscription {
    /// A subscription to `name` from `start`, with `window` bytes of credit in flight. `wait`: for a channel
    /// that doesn't exist yet.
    pub fn new(name: ChannelName, start: Start, window: u64, wait: bool) -> Subscription {
        Subscription {
            name,
            start,
            wait,
            window,
            filter: None,
            position: None,
            continues: false,
            last_time: Timestamp::MIN,
            inflow: None,
            queue: VecDeque::new(),
            granted: 0,
            received: 0,
            consumed: 0,
            seeking: None,
            seeks: 0,
            tail: Offset::ZERO,
            stream_is_open: false,
            read: None,
            told_digest: None,
            told: 0,
            is_flooded: false,
            over: false,
        }
    }

    /// Only of the records that pass `filter`, if there is one.
    #[must_use]
    pub fn filtered(mut self, filter: Option<Filter>) -> Subscription {
        self.filter = filter;
        self
    }

    /// The channel's name.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What to open on a new connection: the first time where the user wanted, later where delivery stopped.
    /// What an earlier stream left undelivered is forgotten; it comes again.
    pub fn request(&mut self) -> Open {
        self.inflow = None;
        self.forget_queue();
        self.continues = false;
        self.seeking = None;
        self.stream_is_open = true;
        (self.granted, self.received, self.consumed) = (self.window, 0, 0);
        let start = self.position.map_or_else(|| self.start, Start::Resume);
        let (name, filter) = (self.name.clone(), self.filter.clone());
        Open { start, wait: self.wait, credit: self.window, name, filter }
    }

    /// The next record to be delivered, once the sender has said where that is.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The channel's visible end, as the sender last told it.
    pub fn tail(&self) -> Offset {
        self.tail
    }

    /// Whether the seal was delivered.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Starts again at another place. Returns the SEEK's id if a stream is open; else the next request says it.
    pub fn seek(&mut self, start: Start) -> Option<u32> {
        self.start = start;
        self.over = false;
        self.position = None;
        self.forget_undelivered();
        if !self.stream_is_open {
            return None;
        }
        self.seeks = self.seeks.wrapping_add(1);
        self.seeking = Some(self.seeks);
        self.seeking
    }

    /// The stream or its connection is gone. What came whole before is still delivered.
    pub fn on_lost(&mut self) {
        self.stream_is_open = false;
        self.seeking = None;
    }

    /// OPENED came.
    pub fn on_opened(&mut self, opened: Opened) {
        self.queue.push_back(Item::Opened(opened));
    }

    /// SEEKED came. An answer to a seek that another one followed is passed over.
    pub fn on_seeked(&mut self, seek_id: u32, opened: Opened) {
        if self.seeking == Some(seek_id) {
            self.seeking = None;
            self.forget_undelivered();
            self.queue.push_back(Item::Opened(opened));
        }
    }

    /// DATA came.
    ///
    /// # Errors
    /// [`SubscriptionError::CreditExceeded`].
    pub fn on_data(&mut self, range: Bytes) -> Result<(), SubscriptionError> {
        self.received = self.received.saturating_add(range.len() as u64);
        if self.received > self.granted {
            let (granted, received) = (self.granted, self.received);
            return Err(SubscriptionError::CreditExceeded { granted, received });
        }
        if self.seeking.is_some() {
            self.consumed += range.len() as u64;
        } else {
            self.queue.push_back(Item::Range(range));
        }
        Ok(())
    }

    /// PROGRESS came: how far the channel reaches.
    pub fn on_progress(&mut self, tail: Offset) {
        self.tail = tail;
    }

    /// GAP came.
    pub fn on_gap(&mut self, gap: Gap) {
        self.push_unless_seeking(Item::Gap(gap));
    }

    /// TRUNCATED came.
    pub fn on_truncated(&mut self, truncated: Truncated) {
        self.push_unless_seeking(Item::Truncated(truncated));
    }

    /// DIGEST came: what the channel comes to, which is sealed.
    pub fn on_digest(&mut self, digest: Digest) {
        self.told_digest = Some(digest);
    }

    /// What was read comes to, if that was all of the channel up to here.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.read.map(|(_, digest)| digest)
    }

    /// END came.
    pub fn on_end(&mut self, end: End) {
        self.push_unless_seeking(Item::End(end));
    }

    /// The next thing to deliver; `None` until more comes.
    ///
    /// # Errors
    /// [`SubscriptionError`]: the sender, or the way from it, is at fault. The stream is to be given up; a new
    /// one continues at the position.
    pub fn next_delivery(&mut self) -> Result<Option<Delivery>, SubscriptionError> {
        loop {
            if let Some(batch) = self.inflow.as_mut().map(Inflow::next_batch).transpose()?.flatten() {
                return self.deliver_batch(batch).map(Some);
            }
            let Some(item) = self.queue.pop_front() else {
                let flood = SubscriptionError::Unexpected("so many gaps and truncations at once");
                return if self.is_flooded { Err(flood) } else { Ok(None) };
            };
            if !matches!(item, Item::Range(_) | Item::Opened(_)) {
                self.told -= 1;
            }
            match item {
                Item::Range(range) => match &mut self.inflow {
                    Some(inflow) => inflow.push(range),
                    None => return Err(SubscriptionError::Unexpected("DATA before OPENED")),
                },
                Item::Opened(opened) => self.begin(&opened)?,
                Item::Gap(gap) => return self.deliver_gap(gap).map(Some),
                Item::Truncated(truncated) => return self.deliver_truncated(truncated).map(Some),
                Item::End(end) => {
                    if let Some(delivery) = self.deliver_end(end)? {
                        return Ok(Some(delivery));
                    }
                }
            }
        }
    }

    /// Bytes of the current stream that came, in all.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of the current stream that are done with, in all.
    pub fn consumed_total(&self) -> u64 {
        self.consumed
    }

    /// `bytes` of delivered batches are done with.
    pub fn consumed(&mut self, bytes: usize) {
        // A seek counted what was delivered before it as consumed already.
        self.consumed = self.consumed.saturating_add(bytes as u64).min(self.received);
    }

    /// The new credit total, if it is worth a CREDIT frame: a quarter of the window came free, or the batch in
    /// the making needs it.
    #[must_use = "the total is to be sent in a CREDIT frame"]
    pub fn credit_due(&mut self) -> Option<u64> {
        let partial = self.inflow.as_ref().map_or(0, Inflow::partial_len) as u64;
        let total = self.consumed.saturating_add(self.window.max(partial));
        let exhausted = self.granted == self.received && total > self.granted;
        if total.saturating_sub(self.granted) >= self.window / 4 || exhausted {
            self.granted = self.granted.max(total);
            return Some(self.granted);
        }
        None
    }

    /// Whether a batch has begun to come that is larger than the window: the next credit is for all of it.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.inflow.as_ref().map_or(0, Inflow::partial_len) as u64 > self.window
    }

    /// Queues what costs no credit: there is a limit to how much of it waits for the user.
    fn push_unless_seeking(&mut self, item: Item) {
        if self.seeking.is_some() {
            return;
        }
        if self.told == MAX_TOLD {
            self.is_flooded = true;
        } else {
            self.told += 1;
            self.queue.push_back(item);
        }
    }

    fn forget_queue(&mut self) {
        self.queue.clear();
        (self.told, self.is_flooded) = (0, false);
    }

    /// Everything received so far counts as consumed; no batch of it will be delivered.
    fn forget_undelivered(&mut self) {
        self.forget_queue();
        self.inflow = None;
        self.consumed = self.received;
    }

    fn begin(&mut self, opened: &Opened) -> Result<(), SubscriptionError> {
        if self.position.is_some_and(|position| position.log != opened.log) {
            return Err(SubscriptionError::OtherLog);
        }
        if let Some(position) = self.position
            && position.offset != opened.start
        {
            return Err(SubscriptionError::OutOfOrder { expected: position.offset, found: opened.start });
        }
        if opened.start == Offset::NONE {
            return Err(SubscriptionError::Unexpected("OPENED at no offset"));
        }
        if self.position.is_none() {
            self.position = Some(Position { log: opened.log, epoch: opened.epoch, offset: opened.start });
            self.last_time = Timestamp::MIN;
            let is_whole = opened.start == Offset::ZERO;
            (self.read, self.told_digest) = (is_whole.then_some((Offset::ZERO, Digest::START)), None);
        }
        self.tail = opened.next;
        self.continues = false;
        self.inflow = Some(Inflow::new(opened.log.0));
        Ok(())
    }

    fn expected(&mut self) -> Result<&mut Position, SubscriptionError> {
        self.position.as_mut().ok_or(SubscriptionError::Unexpected("a frame before OPENED"))
    }

    fn deliver_batch(&mut self, batch: Batch) -> Result<Delivery, SubscriptionError> {
        let (continues, last_time) = (self.continues, self.last_time);
        if batch.header().sparse && self.filter.is_none() {
            return Err(SubscriptionError::Unexpected("a sparse batch where there is no filter"));
        }
        let position = self.expected()?;
        let header = batch.header();
        let from = position.offset;
        let fits = if continues { header.base_offset == from } else { header.base_offset <= from };
        if !fits || header.next_offset() <= from || header.kind != BatchKind::Data {
            return Err(SubscriptionError::OutOfOrder { expected: from, found: header.base_offset });
        }
        if header.epoch < position.epoch || (continues && header.base_time <= last_time) {
            return Err(SubscriptionError::GoesBack { at: header.base_offset });
        }
        position.offset = header.next_offset();
        position.epoch = header.epoch;
        self.read = self.read.and_then(|read| with(read, &batch));
        self.continues = true;
        self.last_time = header.last_time();
        self.tail = self.tail.max(header.next_offset());
        Ok(Delivery::Batch { batch, from })
    }

    fn deliver_gap(&mut self, gap: Gap) -> Result<Delivery, SubscriptionError> {
        self.check_between_batches("GAP within a batch")?;
        let position = self.expected()?;
        if gap.from != position.offset || gap.to <= gap.from || gap.to == Offset::NONE {
            return Err(SubscriptionError::OutOfOrder { expected: position.offset, found: gap.from });
        }
        // 0: the log has forgotten which; then the older epoch of this position holds there.
        if gap.epoch != Epoch(0) && gap.epoch < position.epoch {
            return Err(SubscriptionError::GoesBack { at: gap.to });
        }
        position.offset = gap.to;
        position.epoch = position.epoch.max(gap.epoch);
        self.read = None;
        self.continues = false;
        Ok(Delivery::Gap { from: gap.from, to: gap.to, why: gap.why })
    }

    fn deliver_truncated(&mut self, truncated: Truncated) -> Result<Delivery, SubscriptionError> {
        self.check_between_batches("TRUNCATED within a batch")?;
        let position = self.expected()?;
        if truncated.end >= position.offset {
            return Err(SubscriptionError::OutOfOrder { expected: position.offset, found: truncated.end });
        }
        position.offset = truncated.end;
        self.read = None;
        self.continues = false;
        self.last_time = Timestamp::MIN;
        Ok(Delivery::Truncated { epoch: truncated.epoch, end: truncated.end })
    }

    fn deliver_end(&mut self, end: End) -> Result<Option<Delivery>, SubscriptionError> {
        self.check_between_batches("END within a batch")?;
        let position = self.expected()?;
        match end {
            End::Sealed { final_offset } if final_offset == position.offset => {
                if let (Some((end, read)), Some(told)) = (self.read, self.told_digest)
                    && end == final_offset
                    && read != told
                {
                    return Err(SubscriptionError::Digest { read, told });
                }
                self.over = true;
                Ok(Some(Delivery::Sealed { end: final_offset }))
            }
            End::Sealed { final_offset } => {
                Err(SubscriptionError::OutOfOrder { expected: position.offset, found: final_offset })
            }
            End::Closed => Ok(None),
        }
    }

    fn check_between_batches(&self, what: &'static str) -> Result<(), SubscriptionError> {
        match &self.inflow {
            Some(inflow) if inflow.is_between_batches() => Ok(()),
            _ => Err(SubscriptionError::Unexpected(what)),
        }
    }

    /// The log this subscription reads, once known.
    pub fn log(&self) -> Option<LogId> {
        self.position.map(|position| position.log)
    }
}

/// What was read comes to with one more batch. One that was read before, of which records come again because the stream
/// broke off within it, is in it already.
fn with((end, digest): (Offset, Digest), batch: &Batch) -> Option<(Offset, Digest)> {
    let header = batch.header();
    if header.sparse {
        None
    } else if header.base_offset == end {
        Some((header.next_offset(), digest.with(header, batch.stored())))
    } else {
        (header.next_offset() == end).then_some((end, digest))
    }
}
