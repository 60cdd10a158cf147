//! The bytes of one stream on their way from the log to the connection.
//!
//! Owns the place in the log to the byte, so that a run can be given up half sent and be taken up again. At the tail
//! it takes one batch at a time from the log's memory and holds none; before the tail it sends runs of up to 1 MiB
//! from the disk and has the next one read meanwhile. Ranges end where batches end as far as credit lets them: a
//! batch that lies in one frame is not copied by who receives it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use netchan_proto::batch::HEADER_LEN;
use netchan_proto::conn::Connection;
use netchan_proto::limits::{MAX_DATA, MAX_OUTBOUND_BYTES, PROGRESS_INTERVAL};
use netchan_proto::wire::{End, ErrorFrame, Gap, GapReason, Progress, StreamId};
use netchan_proto::{ErrorCode, Instant, Offset};
use netchan_store::{Log, LogError, Mark, Run, TailRead};

use super::desk::Answer;
use super::refusal::refuse;
use super::slots::Slot;
use super::{Shared, Step};
use crate::stats::{Done, Place};
use crate::wake::Flag;

/// Bytes that a stream sends before the next one has its turn.
const TURN_BYTES: usize = MAX_DATA;
/// Looks at the log that a stream takes in one turn.
const TURN_LOOKS: usize = 1024;

/// A run from the disk that is being sent.
#[derive(Debug)]
struct Held {
    _slot: Slot,
    /// What is left of it.
    bytes: Bytes,
    /// Bytes of it that are gone.
    sent: usize,
    /// Bytes left of the batch that is partly gone; 0 between batches.
    left: usize,
    /// What that batch is.
    batch: Glance,
    /// Where to go on after it.
    next: Offset,
}

/// Where a stream is in its log.
#[derive(Debug)]
pub(super) struct Sending {
    log: Log,
    /// What is sent next is in the run of batches that begins with the one that holds this offset ...
    next: Offset,
    /// ... after so many bytes of that run.
    skip: usize,
    held: Option<Held>,
    /// The run after the one that is held.
    ahead: Option<(Slot, Run)>,
    /// A job reads the run from there.
    fetching: Option<Offset>,
    /// All is sent; the flag goes up when there is more.
    at_tail: bool,
    progress_told: Option<Instant>,
    waker: Waker,
    /// Where it notes its place.
    place: Arc<Place>,
}

/// How much may be sent now.
#[derive(Clone, Copy, Debug)]
struct Room {
    bytes: usize,
    /// Less than that is because of credit: waiting for the socket changes nothing.
    by_credit: bool,
    /// Waiting for more of it is no loss: nobody else fills the output meanwhile, or the turn is over anyway.
    may_wait: bool,
}

impl Room {
    fn of(shared: &mut Shared, id: StreamId, budget: usize) -> Room {
        let room = shared.connection.room(id);
        let space = MAX_OUTBOUND_BYTES.saturating_sub(shared.connection.outbound().remaining());
        Room {
            bytes: room.min(budget),
            by_credit: room < space && room < budget,
            may_wait: shared.readers == 1 || budget <= room,
        }
    }

    /// How much to send of a batch of which `left` bytes are to be sent.
    fn cut(self, left: usize) -> usize {
        match left {
            left if left <= self.bytes => left,
            // It goes whole once the socket has taken some, or in the next turn.
            left if left <= MAX_DATA && !self.by_credit && self.may_wait => 0,
            _ => self.bytes,
        }
    }
}

impl Sending {
    /// Sends what follows `next`; `waker` is woken when there is more.
    pub(super) fn new(log: Log, next: Offset, waker: Waker, place: Arc<Place>) -> Sending {
        Sending {
            place,
            log,
            waker,
            next,
            skip: 0,
            held: None,
            ahead: None,
            fetching: None,
            at_tail: false,
            progress_told: None,
        }
    }

    /// Sends some. An error ends the stream.
    pub(super) fn turn(
        &mut self,
        id: StreamId,
        flag: &Flag,
        shared: &mut Shared,
    ) -> Result<Step, ErrorFrame> {
        if self.at_tail && !flag.lower() {
            return Ok(Step::Idle);
        }
        self.at_tail = false;
        let mut budget = TURN_BYTES;
        let mut step = Step::Idle;
        for _ in 0..TURN_LOOKS {
            let room = Room::of(shared, id, budget);
            if let Some(held) = &mut self.held {
                let (sent, done) = held.send(id, room, &mut shared.connection);
                self.place.count(&shared.counted, sent, done);
                if sent == 0 {
                    if room.by_credit && shared.slots.is_wanted() {
                        self.give_up_run();
                        return Ok(Step::Moved);
                    }
                    return Ok(step);
                }
                budget = budget.saturating_sub(sent);
                step = Step::Moved;
                self.turn_the_page(id, shared);
                continue;
            }
            if self.fetching.is_some_and(|from| from == self.next) {
                return Ok(step);
            }
            match self.log.read_tail(self.next) {
                TailRead::Batch(bytes, header) => {
                    let Some(left) = bytes.len().checked_sub(self.skip).filter(|left| *left > 0) else {
                        self.skip -= bytes.len();
                        self.next = header.next_offset();
                        continue;
                    };
                    let sent = room.cut(left);
                    if sent == 0 {
                        return Ok(step);
                    }
                    shared.connection.data(id, bytes.slice(self.skip..self.skip + sent));
                    budget = budget.saturating_sub(sent);
                    step = Step::Moved;
                    self.skip += sent;
                    let mut done = Done::default();
                    if sent == left {
                        (self.next, self.skip) = (header.next_offset(), 0);
                        done = Done { records: header.record_count.into(), next: Some(self.next) };
                    }
                    self.place.count(&shared.counted, sent, done);
                }
                TailRead::End => match self.poll_more() {
                    Poll::Pending => {
                        self.at_tail = true;
                        self.tell_progress(id, shared);
                        return Ok(step);
                    }
                    Poll::Ready(Ok(()) | Err(LogError::Sealed { .. })) => {}
                    Poll::Ready(Err(error)) => return Err(refuse(error)),
                },
                TailRead::Sealed(final_offset) => {
                    shared.connection.end(id, End::Sealed { final_offset });
                    return Ok(Step::Over);
                }
                TailRead::Gap { to } => {
                    self.pass_over(to, GapReason::Retention, id, shared)?;
                    step = Step::Moved;
                }
                // Nothing is read for who cannot send it.
                TailRead::Cold if room.bytes == 0 => return Ok(step),
                TailRead::Cold => {
                    let waited = shared.slots.awaits(id);
                    let Some(slot) = shared.slots.take(id, shared.readers) else {
                        // Who stands in line anew makes others look whether they can spare theirs.
                        return Ok(if waited { step } else { Step::Moved });
                    };
                    self.fetch(self.next, slot, id, shared);
                    return Ok(Step::Moved);
                }
                _ => {
                    let text = format!("offset {} is beyond the channel's end", self.next);
                    let at = Some(self.log.visible());
                    return Err(ErrorFrame { at, ..ErrorFrame::new(ErrorCode::OFFSET_BEYOND_END, text) });
                }
            }
        }
        Ok(Step::Moved)
    }

    fn poll_more(&self) -> Poll<Result<(), LogError>> {
        self.log.poll_reached(Mark::Visible, self.next.plus(1), &mut Context::from_waker(&self.waker))
    }

    /// Whether all that is in the log now was sent, also what cannot be seen yet.
    pub(super) fn is_drained(&self) -> bool {
        self.at_tail && self.log.queued() <= self.next
    }

    /// A run came from the disk.
    pub(super) fn on_run(
        &mut self,
        from: Offset,
        slot: Slot,
        run: Result<Run, LogError>,
        id: StreamId,
        shared: &mut Shared,
    ) -> Result<(), ErrorFrame> {
        if self.fetching != Some(from) {
            return Ok(());
        }
        self.fetching = None;
        if let Some(held) = &self.held {
            // It was read ahead. Its error, if any, is met again when it is needed.
            if held.next == from
                && let Ok(run) = run
            {
                self.ahead = Some((slot, run));
            }
            return Ok(());
        }
        if from != self.next {
            return Ok(());
        }
        match run {
            Ok(run) => {
                self.hold(slot, run, id, shared);
                Ok(())
            }
            Err(LogError::Trimmed { to, .. }) => self.pass_over(to, GapReason::Retention, id, shared),
            Err(LogError::Damaged { to, .. }) => self.pass_over(to, GapReason::Damaged, id, shared),
            Err(error) => Err(refuse(error)),
        }
    }

    /// Reads a run from the disk.
    fn fetch(&mut self, from: Offset, slot: Slot, id: StreamId, shared: &mut Shared) {
        self.fetching = Some(from);
        let log = self.log.clone();
        shared.desk.ask(id, move || {
            if slot.is_overrun() {
                // Nothing was read: it stands in line again.
                return Answer::Run {
                    from,
                    slot,
                    run: Ok(Run { bytes: Bytes::new(), first: from, next: from }),
                };
            }
            let run = log.read(from, slot.bytes()).map(|run| Run { bytes: slot.count(run.bytes), ..run });
            Answer::Run { from, slot, run }
        });
    }

    /// Begins to send a run, after what was sent of it before, and has the one after it read meanwhile.
    fn hold(&mut self, slot: Slot, run: Run, id: StreamId, shared: &mut Shared) {
        let (bytes, batch) = (run.bytes, Glance::default());
        let mut held = Held { _slot: slot, bytes, sent: 0, left: 0, batch, next: run.next };
        // Whole batches of what was sent before are counted already.
        let _ = held.pass(self.skip.min(held.bytes.len()));
        if held.bytes.is_empty() {
            self.skip -= held.sent;
            self.next = held.next;
            return;
        }
        let next = held.next;
        self.held = Some(held);
        if self.ahead.is_none()
            && self.fetching.is_none()
            && matches!(self.log.read_tail(next), TailRead::Cold)
            && let Some(slot) = shared.slots.spare(shared.readers)
        {
            self.fetch(next, slot, id, shared);
        }
    }

    /// Once all of a run is sent: goes on with the one that was read ahead.
    fn turn_the_page(&mut self, id: StreamId, shared: &mut Shared) {
        if self.held.as_ref().is_none_or(|held| !held.bytes.is_empty()) {
            return;
        }
        if let Some(held) = self.held.take() {
            (self.next, self.skip) = (held.next, 0);
        }
        if let Some((slot, run)) = self.ahead.take() {
            self.hold(slot, run, id, shared);
        }
    }

    /// Lets others have the memory. What was sent of the run is remembered, and not sent again.
    fn give_up_run(&mut self) {
        self.skip = self.held.take().map_or(self.skip, |held| held.sent);
        self.ahead = None;
        self.fetching = None;
    }

    /// Goes on at `to`, and says that what is before it will not come.
    fn pass_over(
        &mut self,
        to: Offset,
        why: GapReason,
        id: StreamId,
        shared: &mut Shared,
    ) -> Result<(), ErrorFrame> {
        if self.skip > 0 || to <= self.next {
            let text =
                format!("what follows offset {} was lost while it was being sent; open again", self.next);
            return Err(ErrorFrame { at: Some(self.next), ..ErrorFrame::new(ErrorCode::INTERNAL, text) });
        }
        shared.tell_gap(id, &Gap { from: self.next, to, why, epoch: self.log.epoch_before(to) });
        self.next = to;
        self.place.move_to(to);
        Ok(())
    }

    fn tell_progress(&mut self, id: StreamId, shared: &mut Shared) {
        if self.progress_told.is_some_and(|told| shared.now.since(told) < PROGRESS_INTERVAL) {
            return;
        }
        self.progress_told = Some(shared.now);
        let progress = Progress { scanned: self.next, next: self.log.visible(), clock: shared.node.clock() };
        shared.connection.progress(id, &progress);
    }
}

/// Who waits no more is forgotten: an idle log would keep the wakers of all who ever came.
impl Drop for Sending {
    fn drop(&mut self) {
        self.log.forget(Mark::Visible, self.next.plus(1), &self.waker);
    }
}

impl Held {
    /// Sends whole batches as far as there is room, or a part of one that is too large to come whole. Returns the
    /// number of bytes, and what of batches was whole with them.
    fn send(&mut self, id: StreamId, room: Room, connection: &mut Connection) -> (usize, Done) {
        let first = if self.left > 0 { self.left } else { Glance::at(&self.bytes).len };
        let mut count = room.cut(first);
        if count == first {
            while count < self.bytes.len() {
                let more = Glance::at(&self.bytes[count..]).len;
                if count + more > room.bytes.min(MAX_DATA) {
                    break;
                }
                count += more;
            }
        }
        let mut done = Done::default();
        if count > 0 {
            let range = self.bytes.slice(..count);
            done = self.pass(count);
            connection.data(id, range);
        }
        (count, done)
    }

    /// Goes `count` bytes on, which are there. Says what of batches ended in them.
    fn pass(&mut self, mut count: usize) -> Done {
        self.sent += count;
        let mut done = Done::default();
        while count > 0 {
            if self.left == 0 {
                self.batch = Glance::at(&self.bytes);
                self.left = self.batch.len;
            }
            let part = self.left.min(count);
            self.bytes.advance(part);
            self.left -= part;
            count -= part;
            if self.left == 0 {
                done.records += self.batch.records;
                done.next = Some(self.batch.next);
            }
        }
        done
    }
}

/// What a batch's header says, taken from a run. The store has checked it.
#[derive(Clone, Copy, Debug, Default)]
struct Glance {
    /// Bytes of the batch: at least one, and no more than are there.
    len: usize,
    records: u64,
    next: Offset,
}

impl Glance {
    /// The batch that begins here.
    fn at(bytes: &[u8]) -> Glance {
        let word = |at: usize| {
            let field = bytes.get(at..at + 4).and_then(|field| <[u8; 4]>::try_from(field).ok());
            field.map_or(0, u32::from_le_bytes)
        };
        let base = u64::from(word(16)) | u64::from(word(20)) << 32;
        Glance {
            len: (HEADER_LEN + (word(8) as usize).next_multiple_of(8)).min(bytes.len()),
            records: word(40).into(),
            next: Offset(base).plus(word(36).into()),
        }
    }
}
