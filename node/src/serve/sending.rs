//! The bytes of one stream on their way from the log to the connection.
//!
//! Owns the place in the log to the byte, so that a run can be given up half sent and be taken up again. At the tail
//! it takes one batch at a time from the log's memory and holds none. Before the tail it sends runs: what the system has
//! in memory it reads itself, 256 KiB at a time; what is on the disk only a job reads, up to 1 MiB, and the next one meanwhile. Ranges end where batches end as far as credit lets them: a
//! batch that lies in one frame is not copied by who receives it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use netchan_proto::batch::BatchHeader;
use netchan_proto::conn::Connection;
use netchan_proto::limits::{FILTER_TURN, MAX_DATA, MAX_OUTBOUND_BYTES, PROGRESS_INTERVAL};
use netchan_proto::sift::Sifted;
use netchan_proto::wire::{End, ErrorFrame, Gap, GapReason, Progress, StreamId};
use netchan_proto::{Compression, ErrorCode, Instant, Offset};
use netchan_store::{Log, LogError, Mark, Part, TailRead};

use super::answer::Answer;
use super::glance::{At, Glance};
use super::refusal::refuse;
use super::sifting::{Loaded, NotLoaded, Sieve, judge_batch, judge_part};
use super::slots::Slot;
use super::{Shared, Step};
use crate::budget;
use crate::stats::{Done, Place};
use crate::wake::Flag;

/// Bytes that a stream sends before the next one has its turn.
const TURN_BYTES: usize = MAX_DATA;
/// Looks at the log that a stream takes in one turn.
const TURN_LOOKS: usize = 1024;

/// A run from the disk, or a part of a large batch, that is being sent.
#[derive(Debug)]
struct Held {
    _slot: Option<Slot>,
    /// Memory of its own is counted here.
    _counted: Option<budget::Held>,
    /// What is left of it.
    bytes: Bytes,
    /// Bytes after the place where it begins that are gone.
    sent: usize,
    /// Bytes left of the batch that is partly gone; 0 between batches.
    left: usize,
    /// What that batch is.
    batch: Glance,
    /// The offset after the last batch that is gone.
    reached: Option<Offset>,
    /// Where to go on after it.
    next: At,
    /// It is what passed of a run: how far that covers the run, and the header of the run's last batch.
    sifted: Option<(Offset, BatchHeader)>,
}

/// Where a stream is in its log.
#[derive(Debug)]
pub(super) struct Sending {
    log: Log,
    /// What is sent next.
    next: At,
    held: Option<Held>,
    /// What follows what is held.
    ahead: Option<(Option<Slot>, Loaded)>,
    /// A job reads from there.
    fetching: Option<At>,
    /// What it read last was not in memory, or is judged by a job: what comes next is read ahead.
    waits_for_disk: bool,
    /// All is sent; the flag goes up when there is more.
    at_tail: bool,
    /// Which records are wanted, if not all.
    sieve: Option<Sieve>,
    /// Where reading goes on after a gap that is not told yet, and why.
    gap_due: Option<(Offset, GapReason)>,
    progress_told: Option<Instant>,
    waker: Waker,
    /// Where it notes its place.
    place: Arc<Place>,
}

/// What came of a batch of the tail.
#[derive(Clone, Copy, Debug)]
enum Judged {
    /// It goes as it is.
    Passes,
    /// It is dealt with, in so many steps.
    Did(u64),
    /// A job says.
    Later,
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
        let space = shared.connection.space();
        Room {
            bytes: room.min(budget),
            by_credit: room < space && room < budget,
            may_wait: shared.connection.has_outbound() && (shared.readers == 1 || budget <= room),
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
    pub(super) fn new(
        log: Log,
        next: Offset,
        waker: Waker,
        place: Arc<Place>,
        sieve: Option<Sieve>,
    ) -> Sending {
        Sending {
            place,
            log,
            waker,
            next: At::start_of(next),
            held: None,
            ahead: None,
            fetching: None,
            at_tail: false,
            waits_for_disk: false,
            sieve,
            gap_due: None,
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
        if self.at_tail && !flag.lower() && !self.is_skip_due(shared.now) {
            return Ok(Step::Idle);
        }
        self.at_tail = false;
        let mut budget = TURN_BYTES;
        let mut step = Step::Idle;
        let mut steps = 0;
        for _ in 0..TURN_LOOKS {
            let room = Room::of(shared, id, budget);
            if let Some(sieve) = &mut self.sieve {
                if sieve.has_rest() {
                    if room.bytes == 0 {
                        return Ok(step);
                    }
                    if let Some((bytes, done)) = sieve.take_rest(room.bytes) {
                        budget = budget.saturating_sub(bytes.len());
                        self.place.count(&shared.counted, bytes.len(), done);
                        shared.connection.data(id, bytes);
                    }
                    step = Step::Moved;
                    continue;
                }
                let begins = self.held.as_ref().is_some_and(|held| held.sent == 0) || self.gap_due.is_some();
                if sieve.is_due(self.next.offset, shared.now) || (begins && sieve.owes(self.next.offset)) {
                    sieve.tell(self.next.offset, shared.now);
                    continue;
                }
            }
            if let Some((to, why)) = self.gap_due.take() {
                self.pass_over(to, why, id, shared)?;
                step = Step::Moved;
                continue;
            }
            if let Some(held) = &mut self.held {
                let (sent, done) = held.send(id, room, &mut shared.connection);
                self.place.count(&shared.counted, sent, done);
                if sent == 0 {
                    let is_stuck = room.by_credit && shared.slots.is_wanted();
                    if is_stuck || shared.must_give_way(room.by_credit) {
                        self.give_up_run(shared);
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
            match self.log.read_tail(self.next.offset) {
                TailRead::Batch(bytes, header) => {
                    match self.judge_tail(&bytes, &header, id, shared)? {
                        Judged::Passes => {}
                        Judged::Did(took) => {
                            steps += took;
                            if steps > FILTER_TURN {
                                // On with it in the next turn, after others had theirs.
                                (self.at_tail, step) = (true, Step::Idle);
                                flag.raise();
                                shared.bell.ring();
                                return Ok(step);
                            }
                            continue;
                        }
                        Judged::Later => return Ok(step),
                    }
                    let skip = self.next.skip;
                    let Some(left) = bytes.len().checked_sub(skip).filter(|left| *left > 0) else {
                        self.next = At { offset: header.next_offset(), skip: skip - bytes.len() };
                        continue;
                    };
                    let sent = room.cut(left);
                    if sent == 0 {
                        return Ok(step);
                    }
                    let range = bytes.slice(skip..skip + sent);
                    // A slice of a large batch would keep all of it, for as long as this peer takes to read.
                    let is_large = bytes.len() > MAX_OUTBOUND_BYTES;
                    let range = if is_large { Bytes::copy_from_slice(&range) } else { range };
                    shared.connection.data(id, range);
                    budget = budget.saturating_sub(sent);
                    step = Step::Moved;
                    self.next.skip += sent;
                    let mut done = Done::default();
                    if sent == left {
                        self.next = At::start_of(header.next_offset());
                        if let Some(sieve) = &mut self.sieve {
                            sieve.cover(self.next.offset, None);
                        }
                        done = Done { records: header.record_count.into(), next: Some(self.next.offset) };
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
                TailRead::Sealed(_) | TailRead::Gap { .. } if self.owes() => self.tell_skip(shared.now),
                TailRead::Sealed(_) if self.place.is_held() => {
                    self.at_tail = true;
                    return Ok(step);
                }
                TailRead::Sealed(final_offset) => {
                    if let Some(digest) = self.log.digest() {
                        shared.connection.digest(id, digest);
                    }
                    shared.connection.end(id, End::Sealed { final_offset });
                    return Ok(Step::Over);
                }
                // Who has no credit is not woken by what goes, and hears of it with what comes next.
                TailRead::Gap { .. } if room.bytes == 0 && room.by_credit => return Ok(step),
                TailRead::Gap { to } => {
                    self.pass_over(to, GapReason::Retention, id, shared)?;
                    step = Step::Moved;
                }
                // Nothing is read for who cannot send it.
                TailRead::Cold if room.bytes == 0 || shared.must_give_way(false) => return Ok(step),
                TailRead::Cold => {
                    let waited = shared.slots.awaits(id);
                    let Some(slot) = shared.slots.take(id, shared.readers) else {
                        // Who stands in line anew makes others look whether they can spare theirs.
                        return Ok(if waited { step } else { Step::Moved });
                    };
                    step = Step::Moved;
                    let Some(slot) = self.read_now(slot, id, shared) else { continue };
                    self.fetch(self.next, slot, id, shared);
                    return Ok(step);
                }
                _ => {
                    let text = format!("offset {} is beyond the channel's end", self.next.offset);
                    let at = Some(self.log.visible());
                    return Err(ErrorFrame { at, ..ErrorFrame::new(ErrorCode::OFFSET_BEYOND_END, text) });
                }
            }
        }
        Ok(Step::Moved)
    }

    /// Whether the receiver does not know yet that nothing passes up to here.
    fn owes(&self) -> bool {
        self.sieve.as_ref().is_some_and(|sieve| sieve.owes(self.next.offset))
    }

    fn is_skip_due(&self, now: Instant) -> bool {
        self.sieve.as_ref().is_some_and(|sieve| sieve.has_rest() || sieve.is_due(self.next.offset, now))
    }

    fn tell_skip(&mut self, now: Instant) {
        if let Some(sieve) = &mut self.sieve {
            sieve.tell(self.next.offset, now);
        }
    }

    /// When to look again what the receiver is to be told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sieve.as_ref().filter(|_| self.at_tail).and_then(|sieve| sieve.deadline(self.next.offset))
    }

    /// Judges a batch of the tail, here or where it keeps nobody waiting.
    fn judge_tail(
        &mut self,
        bytes: &Bytes,
        header: &BatchHeader,
        id: StreamId,
        shared: &mut Shared,
    ) -> Result<Judged, ErrorFrame> {
        let from = self.next;
        let Some(sieve) = &mut self.sieve else { return Ok(Judged::Passes) };
        if from.skip > 0 {
            return Ok(Judged::Passes); // the rest of one that did
        }
        if sieve.lets_pass(header.base_offset) {
            if sieve.owes(from.offset) {
                sieve.tell(from.offset, shared.now);
                return Ok(Judged::Did(0));
            }
            return Ok(Judged::Passes);
        }
        let log = self.log.id();
        // What compressed records come to is not known beforehand.
        if header.compression != Compression::None || !sieve.is_quick(bytes.len()) {
            let (filter, bytes) = (sieve.filter().clone(), bytes.clone());
            self.fetching = Some(from);
            shared.desk.ask_to_judge(id, move || {
                let part = judge_batch(&filter, log, from.offset, &bytes).map(|(loaded, _)| loaded);
                Answer::Run { from, slot: None, part }
            });
            return Ok(Judged::Later);
        }
        match judge_batch(sieve.filter(), log, from.offset, bytes) {
            Ok((loaded, steps)) => {
                self.take(None, loaded, id, shared);
                Ok(Judged::Did(steps))
            }
            Err(error) => {
                self.gap_due = Some(error.verdict()?);
                Ok(Judged::Did(0))
            }
        }
    }

    fn poll_more(&self) -> Poll<Result<(), LogError>> {
        self.log.poll_reached(Mark::Visible, self.next.offset.plus(1), &mut Context::from_waker(&self.waker))
    }

    /// Whether all that is in the log now was sent, also what cannot be seen yet.
    pub(super) fn is_drained(&self) -> bool {
        self.at_tail && self.log.queued() <= self.next.offset
    }

    /// A run came from the disk.
    pub(super) fn on_run(
        &mut self,
        from: At,
        slot: Option<Slot>,
        part: Result<Loaded, NotLoaded>,
        id: StreamId,
        shared: &mut Shared,
    ) -> Result<(), ErrorFrame> {
        if self.fetching != Some(from) {
            return Ok(());
        }
        self.fetching = None;
        if let Some(held) = &self.held {
            // It was read ahead. Its error, if any, is met again when it is needed.
            if held.next == from {
                self.ahead = part.ok().map(|part| (slot, part));
            }
            return Ok(());
        }
        if from != self.next {
            return Ok(());
        }
        match part {
            Ok(loaded) => self.take(slot, loaded, id, shared),
            Err(error) => self.gap_due = Some(error.verdict()?),
        }
        Ok(())
    }

    /// Goes on with what was read, and judged if there is a filter.
    fn take(&mut self, slot: Option<Slot>, loaded: Loaded, id: StreamId, shared: &mut Shared) {
        match loaded {
            Loaded::Part(part) => self.hold(slot, part, id, shared),
            Loaded::Sifted(sifted) => self.hold_sifted(slot, sifted, id, shared),
            Loaded::Passes => {
                if let (Some(sieve), TailRead::Batch(_, header)) =
                    (&mut self.sieve, self.log.read_tail(self.next.offset))
                {
                    sieve.let_pass(header.base_offset);
                }
            }
        }
    }

    /// Begins to send what passed of what follows `next`.
    fn hold_sifted(&mut self, slot: Option<Slot>, sifted: Sifted, id: StreamId, shared: &mut Shared) {
        let Sifted { bytes, covered, next, last, .. } = sifted;
        let next = At::start_of(next);
        if bytes.is_empty() {
            if let Some(sieve) = &mut self.sieve {
                sieve.pass_over(last);
            }
            self.next = next;
            self.place.move_to(next.offset);
            return;
        }
        let counted = slot.is_none().then(|| shared.account.budget().count(bytes.len()));
        self.held = Some(Held {
            _slot: slot,
            _counted: counted,
            bytes,
            sent: 0,
            left: 0,
            batch: Glance::default(),
            reached: None,
            next,
            sifted: Some((covered, last)),
        });
        self.read_ahead(next, id, shared);
    }

    /// Reads what comes next, if it is in memory and no filter looks at it: asking for a job, and hearing of it, takes longer. Gives the
    /// slot back if it is not so.
    fn read_now(&mut self, mut slot: Slot, id: StreamId, shared: &mut Shared) -> Option<Slot> {
        let run = match self.sieve {
            None => self.log.read_now(self.next.offset, slot.buffer()),
            Some(_) => None,
        };
        // A short one ends where what is in memory does, or a segment.
        self.waits_for_disk = run.as_ref().is_none_or(|run| run.bytes.len() < slot.size() / 2);
        let Some(run) = run else { return Some(slot) };
        let part = slot.hold_part(Part::Run(run));
        self.hold(Some(slot), part, id, shared);
        None
    }

    /// Reads from the disk what follows `from`.
    fn fetch(&mut self, from: At, mut slot: Slot, id: StreamId, shared: &mut Shared) {
        self.fetching = Some(from);
        let log = self.log.clone();
        // Asked for here: an allocator that keeps some memory for each thread that ever asked would keep it for each that runs jobs.
        let into = slot.buffer();
        let Some(sieve) = &self.sieve else {
            return shared.desk.ask(id, move || {
                let part = log.read_part(from.offset, from.skip, into).map(|part| slot.hold_part(part));
                Answer::Run { from, slot: Some(slot), part: part.map(Loaded::Part).map_err(NotLoaded::Log) }
            });
        };
        let (filter, budget) = (sieve.filter().clone(), shared.account.budget().clone());
        shared.desk.ask_to_judge(id, move || {
            let part = log.read_part(from.offset, from.skip, into).map_err(NotLoaded::Log);
            let part = part.and_then(|part| judge_part(&filter, &log, from, part, &budget));
            let part = part.map(|loaded| match loaded {
                Loaded::Part(part) => Loaded::Part(slot.hold_part(part)),
                Loaded::Sifted(sifted) => Loaded::Sifted(Sifted { bytes: slot.hold(sifted.bytes), ..sifted }),
                Loaded::Passes => Loaded::Passes,
            });
            Answer::Run { from, slot: Some(slot), part }
        });
    }

    /// Begins to send what follows `next`, and has what is after it read meanwhile.
    fn hold(&mut self, slot: Option<Slot>, part: Part, id: StreamId, shared: &mut Shared) {
        let held = match part {
            Part::Run(run) => {
                let (bytes, batch) = (run.bytes, Glance::default());
                let mut held = Held {
                    _slot: slot,
                    _counted: None,
                    bytes,
                    sent: 0,
                    left: 0,
                    batch,
                    reached: None,
                    next: At::start_of(run.next),
                    sifted: None,
                };
                // Whole batches of what was sent before are counted already.
                let _ = held.pass(self.next.skip.min(held.bytes.len()));
                held
            }
            Part::OfBatch { bytes, at, len, records, next } => {
                let (left, end) = (bytes.len(), at + bytes.len());
                let (batch, next) = if end < len {
                    (Glance::default(), At { offset: self.next.offset, skip: end })
                } else {
                    let batch = Glance { len: left, records: records.into(), next: Some(next) };
                    (batch, At::start_of(next))
                };
                Held {
                    _slot: slot,
                    _counted: None,
                    bytes,
                    sent: at,
                    left,
                    batch,
                    reached: None,
                    next,
                    sifted: None,
                }
            }
        };
        let next = held.next;
        if held.bytes.is_empty() {
            self.next = At { skip: next.skip + self.next.skip.saturating_sub(held.sent), ..next };
            return;
        }
        self.held = Some(held);
        self.read_ahead(next, id, shared);
    }

    /// Has what follows what is held read meanwhile, if that takes a while and there is memory to spare.
    fn read_ahead(&mut self, next: At, id: StreamId, shared: &mut Shared) {
        if self.waits_for_disk
            && self.ahead.is_none()
            && self.fetching.is_none()
            && matches!(self.log.read_tail(next.offset), TailRead::Cold)
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
            self.next = held.next;
            if let Some(sieve) = &mut self.sieve {
                match held.sifted {
                    Some((covered, last)) => sieve.cover(covered, Some(last)),
                    // The last part of a batch that passed.
                    None if self.next.skip == 0 => sieve.cover(self.next.offset, None),
                    None => {}
                }
            }
        }
        if let Some((slot, loaded)) = self.ahead.take() {
            self.take(slot, loaded, id, shared);
        }
    }

    /// Lets others have the memory. What was sent of the run is remembered, and not sent again.
    fn give_up_run(&mut self, shared: &Shared) {
        self.ahead = None;
        self.fetching = None;
        let Some(held) = self.held.take() else { return };
        let Some((sieve, _)) = self.sieve.as_mut().zip(held.sifted) else {
            self.next.skip = held.sent;
            return;
        };
        // What passes is not written the same again if it is judged from elsewhere: a batch that was begun is kept.
        let mut reached = held.reached;
        if held.left > 0 {
            let rest = Bytes::copy_from_slice(&held.bytes[..held.left]);
            let counted = shared.account.budget().count(rest.len());
            reached = held.batch.next.or(reached);
            let done = Done { records: held.batch.records, next: reached };
            sieve.go_ahead(rest, done, Some(counted));
        }
        if let Some(reached) = reached {
            sieve.cover(reached, None);
            self.next = At::start_of(reached);
        }
    }

    /// Goes on at `to`, and says that what is before it will not come.
    fn pass_over(
        &mut self,
        to: Offset,
        why: GapReason,
        id: StreamId,
        shared: &mut Shared,
    ) -> Result<(), ErrorFrame> {
        let At { offset: from, skip } = self.next;
        if skip > 0 || to <= from {
            let text = format!("what follows offset {from} was lost while it was being sent; open again");
            return Err(ErrorFrame { at: Some(from), ..ErrorFrame::new(ErrorCode::INTERNAL, text) });
        }
        shared.tell_gap(id, &Gap { from, to, why, epoch: self.log.epoch_before(to) });
        self.next = At::start_of(to);
        if let Some(sieve) = &mut self.sieve {
            sieve.cover(to, None);
        }
        self.place.move_to(to);
        Ok(())
    }

    fn tell_progress(&mut self, id: StreamId, shared: &mut Shared) {
        if self.progress_told.is_some_and(|told| shared.now.since(told) < PROGRESS_INTERVAL) {
            return;
        }
        self.progress_told = Some(shared.now);
        let progress =
            Progress { scanned: self.next.offset, next: self.log.visible(), clock: shared.node.clock() };
        shared.connection.progress(id, &progress);
    }
}

/// Who waits no more is forgotten: an idle log would keep the wakers of all who ever came.
impl Drop for Sending {
    fn drop(&mut self) {
        self.log.forget(Mark::Visible, self.next.offset.plus(1), &self.waker);
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
                done.next = self.batch.next.or(done.next);
            }
        }
        self.reached = done.next.or(self.reached);
        done
    }
}
