//! One log.
use crate::{AppendError, LogError, LogInfo, Retention, Start};
use bytes::Bytes;
use netchan_proto::batch::{Batch, BatchHeader};
use netchan_proto::{ChannelName, Durability, Epoch, LogId, Offset, ProducerId, RecordRef};
use std::task::{Context, Poll};

/// A channel's log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log;

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// It has its place in the order.
    Queued,
    /// It survives SIGKILL.
    Written,
    /// It survives power loss.
    Durable,
    /// Readers may see it.
    Visible,
}

/// What [`Log::poll_changed`] has told already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen(u64);

/// What became of a published batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record that was new; `None` if all were in the log already.
    pub first_offset: Option<Offset>,
    /// The sequence of that record (or of the batch's first record if all were duplicates).
    pub first_sequence: u64,
    /// How many records were appended.
    pub count: u64,
    /// The offset to reach before the batch counts as written or durable, duplicates too.
    pub end: Offset,
}

/// What the tail in memory has at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TailRead {
    /// One stored batch that holds the offset.
    Batch(Bytes, BatchHeader),
    /// The offset is the visible end: nothing yet.
    End,
    /// The offset is the end, and the log is sealed there.
    Sealed(Offset),
    /// Records before this offset were trimmed.
    Gap {
        /// The first offset there is.
        to: Offset,
    },
    /// Not in memory: ask [`Log::read`].
    Cold,
    /// Past the visible end.
    Beyond,
}

/// Whole batches that follow each other, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The batches. Their headers were checked, their bodies were not.
    pub bytes: Bytes,
    /// The offset of the first record in `bytes`: at or before what was asked for.
    pub first: Offset,
    /// The offset to go on with.
    pub next: Offset,
}

/// Where a position's epoch ends in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncatedAt {
    /// The position's epoch.
    pub epoch: Epoch,
    /// Where that epoch ends; reading goes on from here.
    pub end: Offset,
}

/// A start, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The offset to read from.
    pub start: Offset,
    /// Records from here to `start` were asked for and were trimmed.
    pub gap_from: Option<Offset>,
    /// The position was past the end of its epoch.
    pub truncated: Option<TruncatedAt>,
}

impl Log {
    /// The channel's name.
    pub fn name(&self) -> &ChannelName {
        unimplemented!()
    }
    /// The log's identity.
    pub fn id(&self) -> LogId {
        unimplemented!()
    }
    /// The generation: that of the newest record, 0 before the first.
    pub fn epoch(&self) -> Epoch {
        unimplemented!()
    }
    /// The mode.
    pub fn durability(&self) -> Durability {
        unimplemented!()
    }
    /// What there is to say of the log.
    pub fn info(&self) -> LogInfo {
        unimplemented!()
    }
    /// Whether the log is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed_at().is_some()
    }
    /// The offset right after the last record of a sealed log.
    pub fn sealed_at(&self) -> Option<Offset> {
        unimplemented!()
    }
    /// Queues a record.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was queued then.
    pub fn append(&self, _record: &RecordRef<'_>) -> Result<Offset, AppendError> {
        unimplemented!()
    }
    /// Queues the records of a published batch (its base offset is a sequence) that are not in the log yet.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was queued then.
    pub fn append_batch(&self, _producer: ProducerId, _batch: &Batch) -> Result<Appended, AppendError> {
        unimplemented!()
    }
    /// The first sequence of `producer` that is not in the log; 0 for one it doesn't know.
    pub fn next_sequence(&self, _producer: ProducerId) -> u64 {
        unimplemented!()
    }
    /// The end of what is queued (exclusive, as all marks).
    pub fn queued(&self) -> Offset {
        unimplemented!()
    }
    /// The end of what is written.
    pub fn written(&self) -> Offset {
        unimplemented!()
    }
    /// The end of what is durable.
    pub fn durable(&self) -> Offset {
        unimplemented!()
    }
    /// The end of what readers may see: what the mode acknowledges.
    pub fn visible(&self) -> Offset {
        unimplemented!()
    }
    /// The first record there is.
    pub fn first(&self) -> Offset {
        unimplemented!()
    }
    /// Ready when `mark` is at `offset` or beyond; asks for a sync if the mode would not do one.
    pub fn poll_reached(
        &self,
        _mark: Mark,
        _offset: Offset,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), LogError>> {
        unimplemented!()
    }
    /// What has been told by now; take it before looking at the log.
    pub fn seen(&self) -> Seen {
        unimplemented!()
    }
    /// Ready when the visible end moved, or the log was sealed, trimmed, deleted, poisoned or closed, since `seen`.
    pub fn poll_changed(&self, _seen: Seen, _cx: &mut Context<'_>) -> Poll<Seen> {
        unimplemented!()
    }
    /// Ready when the queue has room again (or the log has failed, which the next append tells).
    pub fn poll_capacity(&self, _cx: &mut Context<'_>) -> Poll<()> {
        unimplemented!()
    }
    /// The batch at `from`, if memory has it. Never blocks on the disk.
    pub fn read_tail(&self, _from: Offset) -> TailRead {
        unimplemented!()
    }
    /// Reads batches from disk: the first holds `from`, none is past the visible end, up to `max` bytes but at least one batch. Blocks.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read(&self, _from: Offset, _max: usize) -> Result<Run, LogError> {
        unimplemented!()
    }
    /// Finds a start. Blocks.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn resolve(&self, _start: &Start) -> Result<Resolved, LogError> {
        unimplemented!()
    }
    /// Where `epoch` ends: the first offset of the epoch after it, the visible end for the newest; `None` if unknown.
    pub fn epoch_end(&self, _epoch: Epoch) -> Option<Offset> {
        unimplemented!()
    }
    /// Ends the channel. Durable when it returns. Blocks.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn seal(&self) -> Result<Offset, LogError> {
        unimplemented!()
    }
    /// Makes everything queued durable, in any mode. Blocks.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn sync(&self) -> Result<Offset, LogError> {
        unimplemented!()
    }
    /// Changes what may be trimmed, and keeps it. Blocks.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn set_retention(&self, _retention: Retention) -> Result<(), LogError> {
        unimplemented!()
    }
}
