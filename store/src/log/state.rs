//! What appenders, readers and the committer share, under one lock that is held for nanoseconds: the open batch,
//! the queue, the marks, the tail, the waiters. Nothing here touches the disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use netchan_proto::batch::{BatchBuilder, BatchHeader, HEADER_LEN, PRODUCER_PREFIX, RECORD_PREFIX};
use netchan_proto::{Digest, Durability, Offset, ProducerId, Record, RecordRef, Timestamp};

use super::epochs::Epochs;
use super::producers::{MAX_PRODUCERS, Producers};
use super::segment::Segment;
use super::waiters::{ByOffset, Waiters};
use super::{Appended, Claim, Mark, Seen};
use crate::clock::Clock;
use crate::warm::Share;
use crate::{AppendError, LogError, Retention, StoreOptions, WhenFull};

/// Records that may pass before an open batch looks at the clock again.
const RECORDS_PER_CLOCK: u32 = 32;
/// Nanoseconds after the record before at which one comes after a pause: about what it takes to write one and have it read.
const PAUSE: i64 = 50_000;
/// Records after a pause that whoever appends them may write: a handful is no stream yet.
const FEW: u8 = 4;
/// Bytes of its newest batches that a log keeps in memory which nobody reads.
const UNREAD_TAIL: usize = 4 << 10;
/// What a batch in the tail costs beside its bytes.
const TAIL_OVERHEAD: usize = 160;

/// Why appends are refused.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Sealed(Offset),
    Deleted,
    Closed,
    Poisoned(Arc<str>),
    NoSpace(Lack),
    Stalled(Arc<str>),
}

/// What there is no room in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lack {
    Volume,
    /// The log's own limit, so many bytes.
    Ceiling(u64),
}

/// A stored batch in memory.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) header: BatchHeader,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) refusal: Option<Refusal>,
    open: Option<BatchBuilder>,
    closed: VecDeque<BatchBuilder>,
    /// The sequence that continues the open batch, where a producer fills it.
    open_sequence: u64,
    /// Bytes of closed batches and of those that are being committed.
    backlog: usize,
    max_queued: usize,
    /// The most that a refused append wanted since the queue was empty.
    refused_room: usize,
    min_free_percent: u8,
    pub(super) queued: Offset,
    last_time: Timestamp,
    clock_left: u32,
    /// Records that found nothing queued since the last pause, as far as they count.
    since_pause: u8,
    /// Whether the log stands in the committer's queue or is worked on.
    pub(super) scheduled: bool,
    /// Whether this opening has its epoch.
    epoch_taken: bool,
    pub(super) epochs: Epochs,
    pub(super) producers: Producers,
    /// Who may append as which producer: the number of the newest claim.
    claims: BTreeMap<ProducerId, u64>,
    last_claim: u64,

    pub(super) durability: Durability,
    pub(super) retention: Retention,
    /// Records before this were truncated, whether or not their bytes are there.
    pub(super) start: Offset,
    pub(super) written: Offset,
    pub(super) durable: Offset,
    /// Somebody waits for this much to be durable, though the mode would not sync it.
    pub(super) sync_wanted: Offset,
    /// Where the visible part of the newest segment ends.
    pub(super) visible_pos: u64,
    /// Oldest first; never empty.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) sealed_at: Option<Offset>,
    /// What the sealed log comes to, if that is known.
    pub(super) digest: Option<Digest>,
    /// The time of the newest record that was written.
    pub(super) written_time: Timestamp,
    tail: VecDeque<Stored>,
    tail_bytes: Share,
    tail_cache: usize,
    /// Whether anybody asked for the tail since it was dropped last.
    is_read: bool,
    changes: u64,
    pub(super) waiters: Waiters,
}

/// What a log is when it has been opened.
pub(super) struct Opened {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) end: Offset,
    pub(super) end_pos: u64,
    pub(super) last_time: Timestamp,
    pub(super) epochs: Epochs,
    pub(super) producers: Producers,
    pub(super) sealed: bool,
    pub(super) durability: Durability,
    pub(super) retention: Retention,
    pub(super) start: Offset,
    pub(super) digest: Option<Digest>,
}

impl State {
    pub(super) fn new(opened: Opened, options: &StoreOptions, tail: Share) -> State {
        let sealed_at = opened.sealed.then_some(opened.end);
        State {
            refusal: sealed_at.map(Refusal::Sealed),
            open: None,
            closed: VecDeque::new(),
            open_sequence: 0,
            backlog: 0,
            max_queued: options.max_queued,
            refused_room: 0,
            min_free_percent: options.min_free_percent,
            queued: opened.end,
            last_time: opened.last_time,
            clock_left: 0,
            since_pause: 0,
            scheduled: false,
            epoch_taken: false,
            epochs: opened.epochs,
            producers: opened.producers,
            claims: BTreeMap::new(),
            last_claim: 0,
            durability: opened.durability,
            retention: opened.retention,
            // What a power cut took had been told durable, or it would not have been truncated.
            start: opened.start.min(opened.end),
            written: opened.end,
            durable: opened.end,
            sync_wanted: Offset::ZERO,
            visible_pos: opened.end_pos,
            segments: opened.segments,
            sealed_at,
            digest: opened.digest.filter(|_| opened.sealed),
            written_time: opened.last_time,
            tail: VecDeque::new(),
            tail_bytes: tail,
            tail_cache: options.tail_cache,
            is_read: false,
            changes: 1,
            waiters: Waiters::default(),
        }
    }

    /// Queues one record. The caller has checked its lengths.
    #[inline]
    pub(super) fn append(
        &mut self,
        record: &RecordRef<'_>,
        clock: &dyn Clock,
    ) -> Result<Offset, AppendError> {
        if self.refusal.is_some() || !self.epoch_taken {
            self.begin()?;
        }
        let need = RECORD_PREFIX * 2
            + record.payload.len()
            + record.key.map_or(0, <[u8]>::len)
            + record.headers.len();
        if !self.has_room(need) {
            self.refused_room = self.refused_room.max(need);
            return Err(AppendError::Full);
        }
        let offset = self.queued;
        self.push(record, None, clock);
        Ok(offset)
    }

    /// Queues the records of a published batch whose sequences are new. `bytes` is the size of the batch.
    pub(super) fn append_batch(
        &mut self,
        claim: &Claim,
        first_sequence: u64,
        records: &[Record],
        bytes: usize,
        clock: &dyn Clock,
    ) -> Result<Appended, AppendError> {
        if self.refusal.is_some() || !self.epoch_taken {
            self.begin()?;
        }
        if !self.holds(claim) {
            return Err(AppendError::Superseded);
        }
        let producer = claim.producer;
        let known = self.producers.get(producer);
        let next = known.map_or(0, |entry| entry.next);
        let fresh = records.partition_point(|record| record.offset.0 < next);
        let Some(first) = records.get(fresh) else {
            // The last record of a duplicate stands at or before the producer's last.
            let end = known.map_or(self.queued, |entry| entry.last.plus(1));
            return Ok(Appended { first_offset: None, first_sequence, count: 0, end });
        };
        let need = bytes + HEADER_LEN + PRODUCER_PREFIX;
        if !self.has_room(need) {
            self.refused_room = self.refused_room.max(need);
            return Err(AppendError::Full);
        }
        let first_offset = self.queued;
        for record in &records[fresh..] {
            self.push(&record.as_ref(), Some((producer, record.offset.0)), clock);
        }
        let count = (records.len() - fresh) as u64;
        let next = records.last().map_or(0, |record| record.offset.0.saturating_add(1));
        self.producers.note(producer, next, Offset(self.queued.0.saturating_sub(1)));
        Ok(Appended {
            first_offset: Some(first_offset),
            first_sequence: first.offset.0,
            count,
            end: self.queued,
        })
    }

    /// Gives the right to append as `producer` to the caller, and takes it from who had it.
    pub(super) fn claim(&mut self, producer: ProducerId) -> Claim {
        self.last_claim += 1;
        if self.claims.len() >= MAX_PRODUCERS
            && let Some(oldest) = self.claims.iter().min_by_key(|(_, number)| **number).map(|(id, _)| *id)
        {
            self.claims.remove(&oldest);
        }
        self.claims.insert(producer, self.last_claim);
        let next_sequence = self.producers.get(producer).map_or(0, |entry| entry.next);
        Claim { producer, next_sequence, number: self.last_claim }
    }

    pub(super) fn holds(&self, claim: &Claim) -> bool {
        self.claims.get(&claim.producer) == Some(&claim.number)
    }

    #[inline]
    fn push(&mut self, record: &RecordRef<'_>, from: Option<(ProducerId, u64)>, clock: &dyn Clock) {
        let soonest = self.last_time.plus_nanos(1);
        let mut time = soonest;
        if self.clock_left == 0 || self.open.is_none() {
            self.clock_left = RECORDS_PER_CLOCK;
            time = soonest.max(clock.now());
        }
        self.clock_left -= 1;
        let continues = self.open.as_ref().is_some_and(|open| {
            open.producer() == from.map(|(id, _)| id)
                && from.is_none_or(|(_, sequence)| sequence == self.open_sequence)
                && open.fits(time, record)
        });
        if !continues {
            self.close_batch();
        }
        let base = self.queued;
        let open = self.open.get_or_insert_with(|| BatchBuilder::new(base, from));
        open.push(time, record);
        if let Some((_, sequence)) = from {
            self.open_sequence = sequence.saturating_add(1);
        }
        self.queued = self.queued.plus(1);
        self.last_time = time;
    }

    /// What is not done for every record: refuses, or takes the epoch at the first append after an open.
    #[cold]
    fn begin(&mut self) -> Result<(), AppendError> {
        if let Some(refusal) = &self.refusal {
            return Err(match refusal {
                Refusal::Sealed(at) => AppendError::Sealed { at: *at },
                Refusal::Deleted => AppendError::Deleted,
                Refusal::Closed => AppendError::Closed,
                Refusal::Poisoned(why) => AppendError::Poisoned { why: Arc::clone(why) },
                Refusal::NoSpace(_) | Refusal::Stalled(_) if self.blocks() => AppendError::Full,
                Refusal::NoSpace(Lack::Volume) => {
                    AppendError::NoSpace { min_free_percent: self.min_free_percent }
                }
                Refusal::NoSpace(Lack::Ceiling(bytes)) => AppendError::AtCeiling { bytes: *bytes },
                Refusal::Stalled(why) => AppendError::Stalled { why: Arc::clone(why) },
            });
        }
        self.take_epoch();
        Ok(())
    }

    pub(super) fn take_epoch(&mut self) {
        if !self.epoch_taken {
            self.epoch_taken = true;
            let next = netchan_proto::Epoch(self.epochs.last().0.saturating_add(1));
            self.epochs.note(next, self.queued);
        }
    }

    /// A time later than every record's, for the seal.
    pub(super) fn take_time(&mut self, clock: &dyn Clock) -> Timestamp {
        self.last_time = self.last_time.plus_nanos(1).max(clock.now());
        self.last_time
    }

    /// Whether `need` bytes may be queued. An empty queue takes anything, or the largest records would never go.
    #[inline]
    fn has_room(&self, need: usize) -> bool {
        let queued = self.queued_bytes();
        queued + need <= self.max_queued || queued == 0
    }

    /// Whether appends wait for room on the disk.
    pub(super) fn blocks(&self) -> bool {
        self.retention.when_full == WhenFull::Block
            && matches!(self.refusal, Some(Refusal::NoSpace(_) | Refusal::Stalled(_)))
    }

    /// Whether what was refused for want of room may come again.
    pub(super) fn has_room_again(&self) -> bool {
        self.has_room(self.refused_room)
    }

    #[cold]
    fn close_batch(&mut self) {
        if let Some(open) = self.open.take() {
            self.backlog += open.byte_len();
            self.closed.push_back(open);
        }
    }

    /// Moves up to about `max` bytes of batches out, the oldest first. They count as queued until
    /// [`State::release`].
    pub(super) fn take_group(&mut self, max: usize, into: &mut Vec<BatchBuilder>) -> usize {
        let mut bytes = 0;
        while bytes < max {
            let Some(batch) = self.closed.pop_front() else { break };
            bytes += batch.byte_len();
            into.push(batch);
        }
        if self.closed.is_empty() && bytes < max {
            // What is open goes along: it has waited for the disk, not for more records.
            self.close_batch();
            if let Some(batch) = self.closed.pop_front() {
                bytes += batch.byte_len();
                into.push(batch);
            }
        }
        bytes
    }

    /// Puts back what was taken and could not be written for now.
    pub(super) fn put_back(&mut self, group: impl DoubleEndedIterator<Item = BatchBuilder>) {
        // A deletion has dropped the queue meanwhile.
        if self.failure().is_none() || matches!(self.refusal, Some(Refusal::Closed)) {
            for batch in group.rev() {
                self.closed.push_front(batch);
            }
        }
    }

    /// Takes appends again, should a shortage have kept them out.
    pub(super) fn go_on(&mut self, wake: &mut Vec<Waker>) {
        if matches!(self.refusal, Some(Refusal::Stalled(_))) {
            self.refusal = None;
            self.change(wake);
            self.waiters.capacity.take_all(wake);
        }
    }

    /// The time of the newest record that is queued.
    pub(super) fn newest_time(&self) -> Timestamp {
        self.last_time
    }

    /// Whether what was queued just now after `before`, with nothing else queued, may be seen before it is synced and is of the
    /// first few after a pause.
    pub(super) fn is_of_few(&mut self, before: Timestamp) -> bool {
        if self.last_time >= before.plus_nanos(PAUSE) {
            self.since_pause = 0;
        }
        self.since_pause = self.since_pause.saturating_add(1);
        self.durability != Durability::Sync && self.since_pause <= FEW
    }

    /// Bytes that are queued.
    pub(super) fn queued_bytes(&self) -> usize {
        self.backlog + self.open.as_ref().map_or(0, BatchBuilder::byte_len)
    }

    pub(super) fn has_queue(&self) -> bool {
        self.open.is_some() || !self.closed.is_empty()
    }

    /// The bytes of a group are no longer queued.
    pub(super) fn release(&mut self, bytes: usize, wake: &mut Vec<Waker>) {
        self.backlog = self.backlog.saturating_sub(bytes);
        if self.backlog == 0 {
            self.refused_room = 0;
        }
        self.waiters.capacity.take_all(wake);
    }

    /// Drops what is queued: it will not be committed.
    pub(super) fn drop_queue(&mut self) {
        self.open = None;
        self.closed.clear();
        self.backlog = 0;
    }

    pub(super) fn visible(&self) -> Offset {
        if self.durability == Durability::Sync { self.durable } else { self.written }
    }

    pub(super) fn first(&self) -> Offset {
        self.segments.first().map_or(self.start, |segment| segment.base.max(self.start))
    }

    pub(super) fn seen(&self) -> Seen {
        Seen(self.changes)
    }

    /// Something that readers can see has changed.
    pub(super) fn change(&mut self, wake: &mut Vec<Waker>) {
        self.changes += 1;
        self.waiters.changed.take_all(wake);
    }

    /// Who waits for `mark` to move.
    pub(super) fn waiters_for(&mut self, mark: Mark) -> &mut ByOffset {
        match mark {
            Mark::Written => &mut self.waiters.written,
            Mark::Visible if self.durability != Durability::Sync => &mut self.waiters.written,
            Mark::Durable | Mark::Visible => &mut self.waiters.durable,
        }
    }

    pub(super) fn set_written(&mut self, end: Offset, time: Timestamp, wake: &mut Vec<Waker>) {
        if end > self.written {
            self.written = end;
            self.written_time = time;
            self.waiters.written.take_reached(end, wake);
        }
    }

    pub(super) fn set_durable(&mut self, end: Offset, wake: &mut Vec<Waker>) {
        if end > self.durable {
            self.durable = end;
            self.waiters.durable.take_reached(end, wake);
        }
    }

    /// Refuses appends from now on, and wakes everybody.
    pub(super) fn refuse(&mut self, refusal: Refusal, wake: &mut Vec<Waker>) {
        // A seal or a failure is never covered by a mere closing, a deletion by nothing.
        let keep = matches!(
            (&self.refusal, &refusal),
            (Some(Refusal::Deleted), _)
                | (Some(Refusal::Poisoned(_) | Refusal::Sealed(_)), Refusal::Closed)
                | (Some(_), Refusal::NoSpace(_))
                | (Some(Refusal::Poisoned(_) | Refusal::Sealed(_) | Refusal::Closed), Refusal::Stalled(_))
        );
        if !keep {
            self.refusal = Some(refusal);
        }
        self.changes += 1;
        self.waiters.take_all(wake);
    }

    /// Why what is waited for will not come, if so.
    pub(super) fn failure(&self) -> Option<LogError> {
        match &self.refusal {
            Some(Refusal::Poisoned(why)) => Some(LogError::Poisoned { why: Arc::clone(why) }),
            Some(Refusal::Deleted) => Some(LogError::Deleted),
            Some(Refusal::Closed) => Some(LogError::Closed),
            Some(Refusal::Sealed(_) | Refusal::NoSpace(_) | Refusal::Stalled(_)) | None => None,
        }
    }

    /// Keeps batches for readers, as many as `limit` (and the log's own) lets it. Where there are none the memory goes
    /// back at once, while it is warm in the processor's cache: who comes later reads from the disk first, and that is in
    /// the system's cache.
    pub(super) fn push_tail(&mut self, batches: &mut Vec<Stored>, limit: usize) {
        for stored in batches.drain(..) {
            self.tail_bytes.take(stored.bytes.len() + TAIL_OVERHEAD);
            self.tail.push_back(stored);
        }
        let most = if self.is_read { self.tail_cache.min(limit) } else { self.tail_cache.min(UNREAD_TAIL) };
        while self.tail_bytes.bytes() > most {
            let Some(oldest) = self.tail.pop_front() else { break };
            self.tail_bytes.give_back(oldest.bytes.len() + TAIL_OVERHEAD);
        }
    }

    pub(super) fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Somebody reads what is new: it is worth keeping.
    pub(super) fn note_read(&mut self) {
        self.is_read = true;
    }

    pub(super) fn drop_tail(&mut self) {
        self.is_read = false;
        self.tail = VecDeque::new();
        self.tail_bytes.give_back(self.tail_bytes.bytes());
    }

    /// The batch in memory that holds `offset`, which is visible.
    pub(super) fn tail_at(&self, offset: Offset) -> Option<&Stored> {
        let oldest = self.tail.front()?;
        if offset < oldest.header.base_offset {
            return None;
        }
        let index = self.tail.partition_point(|stored| stored.header.next_offset() <= offset);
        self.tail.get(index)
    }
}
