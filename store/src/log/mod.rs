//! One channel's log.
//!
//! | room | holds |
//! |---|---|
//! | `state` | what appenders and readers share, under one short lock: queue, marks, tail, waiters |
//! | `writer` | the side that writes, under a lock of its own: groups, syncs, the seal; `writer/room`: its file, and the next |
//! | `read`, `index`, `seek` | batches from disk, and where they stand; `file`: its bytes |
//! | `open` | making a log, and finding it again after whatever happened |
//! | `segment`, `producers`, `epochs` | what a segment's head keeps |
//! | `torn` | what stands after the end, and where it goes |
//! | `sound`, `mend` | what of a segment holds; mending a log that is damaged |
//! | `trim`, `truncate` | retention, and what goes because somebody says so |
//! | `inner` | what else happens to a log: it rests, stalls, is sealed, closed, deleted |
//! | `answers` | what it says when it is asked; `behind`: how far from the end an offset is |
//! | `glance` | what there is to say of a log that is not open |
//!
//! Locks are taken in the order writer, state; neither is held while a waker is called.

mod answers;
mod behind;
mod buffers;
mod epochs;
mod file;
mod glance;
mod index;
mod inner;
mod mend;
mod open;
mod producers;
mod read;
mod seek;
mod segment;
mod sound;
mod state;
mod torn;
mod trim;
mod truncate;
mod waiters;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use netchan_proto::batch::{Batch, BatchKind};
use netchan_proto::{
    ChannelName, Compression, Content, Digest, Durability, Epoch, LogId, LogInfo, Offset, Partitions,
    ProducerId, Record, RecordRef, Settings, Start, Timestamp,
};

use crate::committer::Committer;
use crate::counts::Tally;
use crate::disk::{Disk, DiskLock, Space};
use crate::holds::Holds;
use crate::sync::{Mutex, MutexGuard};
use crate::warm::{Place, Warm};
use crate::{AppendError, Kept, LogError, Retention, StoreError, StoreOptions};
use inner::ByWhom;
use segment::Segment;
use state::{Lack, Refusal, State};
use writer::Writer;

pub use answers::{Appended, Claim, Mark, Part, Resolved, Run, Seen, TailRead, TruncatedAt};
pub use behind::Behind;
pub use buffers::{Buffer, Buffers};
pub(crate) use file::read_exactly;
pub(crate) use glance::{Closed, digest, glance};
pub(crate) use index::{Window, search};
pub(crate) use mend::mend;
pub(crate) use open::open;
pub(crate) use segment::{HEAD_LEN, SegmentHead, base_of, identity_of_segment, is_segment};

/// What all logs of a store share.
pub(crate) struct Env {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: StoreOptions,
    pub(crate) committer: Arc<Committer>,
    pub(crate) counts: Tally,
    /// Which logs hold what they could do without.
    pub(crate) warm: Arc<Warm>,
    /// Which records cursors hold.
    pub(crate) holds: Holds,
    /// Whether it was told that the volume is nearly full, and not yet that it has room again.
    pub(crate) nearly_full: AtomicBool,
    /// Held while any log could write.
    pub(crate) lock: Mutex<Option<Box<dyn DiskLock>>>,
}

impl Env {
    /// Bytes that are free on the volume, if it can tell.
    fn free(&self) -> Option<u64> {
        self.disk.space().ok().map(|space| space.free)
    }

    /// How many bytes of the share that must stay free would be lacking if `more` were taken.
    fn lacking(&self, more: u64) -> u64 {
        let percent = u64::from(self.options.min_free_percent);
        if percent == 0 {
            return 0;
        }
        // A volume that cannot tell is not taken for full.
        let lacking =
            |space: Space| (space.total / 100 * percent).saturating_add(more).saturating_sub(space.free);
        self.disk.space().map_or(0, lacking)
    }
}

pub(crate) struct Inner {
    this: Weak<Inner>,
    env: Arc<Env>,
    name: ChannelName,
    id: LogId,
    created: Timestamp,
    /// Whether it can never be sealed.
    unsealable: bool,
    /// Of how many partitions it is one.
    partitions: Option<Partitions>,
    /// What its payloads are. Set once, under the writer's lock.
    content: OnceLock<Content>,
    pub(crate) dir: String,
    state: Mutex<State>,
    writer: Mutex<Writer>,
    /// Segments that were read lately and are therefore open.
    read_lately: Mutex<VecDeque<Arc<Segment>>>,
    /// One that was trimmed and whose file may be there still.
    owed: Mutex<Option<Arc<Segment>>>,
    place: Place,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under one of these locks is a bug that ends its thread; the data it left is whole enough to refuse.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A channel's log. Cheap to clone.
#[derive(Clone)]
pub struct Log(pub(crate) Arc<Inner>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} {})", self.0.name, self.0.id)
    }
}

impl Log {
    /// The channel's name.
    pub fn name(&self) -> &ChannelName {
        &self.0.name
    }

    /// The log's identity.
    pub fn id(&self) -> LogId {
        self.0.id
    }

    /// The generation: that of the newest record, 0 before the first.
    pub fn epoch(&self) -> Epoch {
        locked(&self.0.state).epochs.last()
    }

    /// The mode.
    pub fn durability(&self) -> Durability {
        locked(&self.0.state).durability
    }

    /// What there is to say of the log. May read the head of its first and the length of its closed segments.
    pub fn info(&self) -> LogInfo {
        self.0.info()
    }

    /// Whether the log is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed_at().is_some()
    }

    /// The offset right after the last record, once the seal is durable.
    pub fn sealed_at(&self) -> Option<Offset> {
        locked(&self.0.state).sealed_at
    }

    /// What a sealed log comes to: a receiver that has read all of it from offset 0 comes to the same. `None` before the
    /// seal is durable, and where it is not known: records were lost to damage, or an earlier version began the log.
    pub fn digest(&self) -> Option<Digest> {
        let state = locked(&self.0.state);
        state.digest.filter(|_| state.sealed_at.is_some())
    }

    /// Why the log has failed, if it has: a write or a sync did. It takes nothing until it is
    /// [opened](crate::Store::create_or_open) anew.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        match &locked(&self.0.state).refusal {
            Some(Refusal::Poisoned(why)) => Some(Arc::clone(why)),
            _ => None,
        }
    }

    /// Queues a record: it has its place in the order when this returns, and nothing more. Waits for nothing.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was queued then.
    #[inline]
    pub fn append(&self, record: &RecordRef<'_>) -> Result<Offset, AppendError> {
        record.check()?;
        self.0.queue(|state| state.append(record, &*self.0.env.options.clock), ByWhom::Committer)
    }

    /// As [`append`](Self::append), by a thread that may wait for the system to take a write. Where the mode asks for no
    /// sync, a record of the first few after a pause (four; 50 us or more), with nothing to do but one write, is written when this
    /// returns: a hop to another thread costs more. All others wait for company, as ever.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    #[inline]
    pub fn append_waiting(&self, record: &RecordRef<'_>) -> Result<Offset, AppendError> {
        record.check()?;
        self.0.queue(|state| state.append(record, &*self.0.env.options.clock), ByWhom::ItselfIfFew)
    }

    /// Queues those records of a published batch that are not in the log yet, all or none. The batch's base offset
    /// is the producer's sequence; its times are ignored. A gap in the sequences is taken: the producer may have
    /// been told that the missing ones were written, before a power cut took them.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was queued then.
    pub fn append_batch(&self, claim: &Claim, batch: &Batch) -> Result<Appended, AppendError> {
        let header = batch.header();
        if header.kind != BatchKind::Data || header.sparse || header.compression != Compression::None {
            return Err(AppendError::NotPublishable {
                why: "it is a seal, compressed, or a filter went over it",
            });
        }
        let records: Vec<Record> = batch
            .records()
            .collect::<Result<_, _>>()
            .map_err(|_| AppendError::NotPublishable { why: "a record contradicts the header" })?;
        for record in &records {
            record.as_ref().check()?;
        }
        let bytes = batch.stored().len();
        self.0.queue(
            |state| {
                state.append_batch(claim, header.base_offset.0, &records, bytes, &*self.0.env.options.clock)
            },
            ByWhom::Committer,
        )
    }

    /// Takes over the right to append as `producer`: who claimed it before can append nothing more. So what the
    /// claim says of the next sequence holds until its owner appends.
    pub fn claim(&self, producer: ProducerId) -> Claim {
        locked(&self.0.state).claim(producer)
    }

    /// Whether nobody has taken the claim over.
    pub fn holds(&self, claim: &Claim) -> bool {
        locked(&self.0.state).holds(claim)
    }

    /// The first sequence of `producer` that is not in the log; 0 for one it doesn't know.
    pub fn next_sequence(&self, producer: ProducerId) -> u64 {
        locked(&self.0.state).producers.get(producer).map_or(0, |entry| entry.next)
    }

    /// The end of what is queued (exclusive, as all ends).
    pub fn queued(&self) -> Offset {
        locked(&self.0.state).queued
    }

    /// The end of what is written.
    pub fn written(&self) -> Offset {
        locked(&self.0.state).written
    }

    /// The end of what is durable.
    pub fn durable(&self) -> Offset {
        locked(&self.0.state).durable
    }

    /// The end of what readers may see: what the mode acknowledges.
    pub fn visible(&self) -> Offset {
        locked(&self.0.state).visible()
    }

    /// The first record there is.
    pub fn first(&self) -> Offset {
        locked(&self.0.state).first()
    }

    /// Ready when `mark` is at `offset` or beyond. Waiting for [`Mark::Durable`] of something queued asks for a sync
    /// where the mode would do none. Ready with an error once the mark cannot get there any more: the log was sealed
    /// before, deleted, closed, or has failed.
    pub fn poll_reached(
        &self,
        mark: Mark,
        offset: Offset,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LogError>> {
        let mut state = locked(&self.0.state);
        let visible_is_durable = state.durability == Durability::Sync;
        let at = match mark {
            Mark::Written => state.written,
            Mark::Durable => state.durable,
            Mark::Visible => state.visible(),
        };
        if at >= offset {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = state.failure() {
            return Poll::Ready(Err(failure));
        }
        if let Some(at) = state.sealed_at.filter(|&at| offset > at) {
            return Poll::Ready(Err(LogError::Sealed { at }));
        }
        state.waiters_for(mark).register(offset, cx.waker());
        let mut schedule = false;
        if mark == Mark::Durable
            && !visible_is_durable
            && offset <= state.queued
            && offset > state.sync_wanted
        {
            state.sync_wanted = offset;
            schedule = !std::mem::replace(&mut state.scheduled, true);
        }
        drop(state);
        if schedule {
            self.0.schedule();
        }
        Poll::Pending
    }

    /// What has been told by now; take it before looking at the log.
    pub fn seen(&self) -> Seen {
        locked(&self.0.state).seen()
    }

    /// Ready when the visible end moved, or the log was sealed, trimmed, deleted, poisoned or closed, since `seen`.
    pub fn poll_changed(&self, seen: Seen, cx: &mut Context<'_>) -> Poll<Seen> {
        let mut state = locked(&self.0.state);
        if state.seen() != seen {
            return Poll::Ready(state.seen());
        }
        state.waiters.changed.register(cx.waker());
        Poll::Pending
    }

    /// Ready when the queue has room again, or the log has failed, which the next append tells.
    pub fn poll_capacity(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = locked(&self.0.state);
        if !state.blocks() && (state.refusal.is_some() || state.has_room_again()) {
            return Poll::Ready(());
        }
        state.waiters.capacity.register(cx.waker());
        Poll::Pending
    }

    /// Forgets a waker that [`poll_reached`](Self::poll_reached) was given. Who stops waiting for what may never come
    /// says so, or the log keeps its waker; what is reached, or cannot be any more, takes its wakers along.
    pub fn forget(&self, mark: Mark, offset: Offset, waker: &Waker) {
        let gone = locked(&self.0.state).waiters_for(mark).forget(offset, waker);
        drop(gone); // without the lock
    }

    /// The batch at `from`, if memory has it: newest batches are kept from the first call on, until the log rests. Never
    /// blocks on the disk.
    pub fn read_tail(&self, from: Offset) -> TailRead {
        let mut state = locked(&self.0.state);
        state.note_read();
        let visible = state.visible();
        if from >= visible {
            return match state.sealed_at {
                _ if from > visible => TailRead::Beyond,
                Some(at) => TailRead::Sealed(at),
                None => TailRead::End,
            };
        }
        if from < state.first() {
            return TailRead::Gap { to: state.first() };
        }
        match state.tail_at(from) {
            Some(stored) => TailRead::Batch(stored.bytes.clone(), stored.header),
            None => TailRead::Cold,
        }
    }

    /// Reads whole batches from disk: the first holds `from`, none lies past the visible end; up to `max` bytes but at
    /// least one batch, and never past the end of a segment. At the visible end the run is empty. Nothing is
    /// given whose checksums do not hold. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] and [`LogError::Damaged`] say where to go on.
    pub fn read(&self, from: Offset, max: usize) -> Result<Run, LogError> {
        match self.0.read_part(from, Buffer::new(max), None)? {
            Part::Run(run) => Ok(run),
            Part::OfBatch { bytes, next, .. } => Ok(Run { bytes, first: from, next }), // never asked for
        }
    }

    /// As [`read`](Self::read), but never more than what `into` is for (and a header): of a batch that is larger the part
    /// that begins after `skip` bytes of it. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] and [`LogError::Damaged`] say where to go on.
    pub fn read_part(&self, from: Offset, skip: usize, into: Buffer) -> Result<Part, LogError> {
        self.0.read_part(from, into, Some(skip))
    }

    /// As [`read`](Self::read), as much as `into` is for, if it can be had without waiting: where the batches are is known, and
    /// the system has them in memory. `None` says nothing of them.
    #[must_use]
    pub fn read_now(&self, from: Offset, into: Buffer) -> Option<Run> {
        self.0.read_now(from, into)
    }

    /// Finds a start by this log's clock and records. Blocks on the disk where a time is sought.
    ///
    /// # Errors
    /// [`LogError::BeyondEnd`], [`LogError::OtherLog`], [`LogError::Io`].
    pub fn resolve(&self, start: &Start) -> Result<Resolved, LogError> {
        self.0.resolve(start)
    }

    /// What is short, while the log takes nothing for want of it: what is queued waits until it is there.
    pub fn shortage(&self) -> Option<Arc<str>> {
        match &locked(&self.0.state).refusal {
            Some(Refusal::Stalled(why)) => Some(Arc::clone(why)),
            Some(Refusal::NoSpace(Lack::Volume)) => Some("the volume is nearly full".into()),
            Some(Refusal::NoSpace(Lack::Ceiling(bytes))) => {
                Some(format!("the channel takes {bytes} bytes, its ceiling").into())
            }
            _ => None,
        }
    }

    /// How far somebody is behind who goes on at `from`. May read the lengths of closed segments, and no batch.
    pub fn behind(&self, from: Offset) -> Behind {
        self.0.behind(from)
    }

    /// Where the records of `epoch` end: at the first of a later epoch, at the visible end for the newest. `None` if
    /// the epoch is so old that it was forgotten.
    pub fn epoch_end(&self, epoch: Epoch) -> Option<Offset> {
        let state = locked(&self.0.state);
        (!state.epochs.has_forgotten(epoch)).then(|| state.epochs.end_of(epoch, state.visible()))
    }

    /// The epoch of the record right before `offset`, which is what a position at `offset` carries; 0 for offset 0, and
    /// where the epoch is so old that it was forgotten.
    pub fn epoch_before(&self, offset: Offset) -> Epoch {
        locked(&self.0.state).epochs.before(offset)
    }

    /// Ends the channel: later appends are refused. What was queued is made durable first, and the seal is durable when
    /// this returns. Sealing again is well. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Unsealable`], and [`LogError::Stalled`], where sealing again goes on; others, where the log may be sealed when it is opened
    /// again, or not.
    pub fn seal(&self) -> Result<Offset, LogError> {
        self.0.seal()
    }

    /// Makes everything queued durable, in any mode, and says up to where. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn sync(&self) -> Result<Offset, LogError> {
        self.0.sync()
    }

    /// Lets all records before `before` go, at once and whatever retention says; what is not durable yet, and what is
    /// sealed, never goes whole. Readers who wanted them are told a gap. Says where the log begins then; records before
    /// that are gone for good when this returns, though bytes of them stay in the first segment until it goes. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`], where the log begins where it did or at `before`; [`StoreError::Closed`] for a log that was
    /// closed or deleted, or has failed.
    pub fn truncate_before(&self, before: Offset) -> Result<Offset, StoreError> {
        self.0.truncate(before)
    }

    /// As [`truncate_before`](Self::truncate_before), of all records that are older than `time`.
    ///
    /// # Errors
    /// What reading the disk says; as there.
    pub fn truncate_before_time(&self, time: Timestamp) -> Result<Offset, StoreError> {
        let before = self.0.first_since(time).map_err(crate::error::store_error(&self.0.dir))?;
        self.0.truncate(before)
    }

    /// How many partitions the channel has of which this is one; `None` for one that is no partition.
    #[must_use]
    pub fn partitions(&self) -> Option<Partitions> {
        self.0.partitions
    }

    /// What the payloads are, once a sender has said so.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        self.0.content.get()
    }

    /// Says what the payloads are: kept with the channel for good, and durable when this returns, if nothing was ever appended
    /// and nobody has said it before. Says whether it is so. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Closed`] for a log that was closed or deleted, or has failed.
    pub fn set_content(&self, content: &Content) -> Result<bool, StoreError> {
        self.0.set_content(content)
    }

    /// How it is kept. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn kept(&self) -> Result<Kept, StoreError> {
        self.0.kept()
    }

    /// Keeps it otherwise, as far as is said of what [may change](netchan_proto::settings::Setting::may_change), over
    /// restarts too, and trims. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Closed`] for a log that was closed or deleted, or has failed.
    pub fn change(&self, settings: &Settings) -> Result<(), StoreError> {
        self.0.change(settings)
    }

    /// Changes what may be trimmed, keeps it over restarts, and trims. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Closed`] for a log that was closed or deleted, or has failed.
    pub fn set_retention(&self, retention: Retention) -> Result<(), StoreError> {
        self.0.change(&Settings::default().retention(retention))
    }
}
