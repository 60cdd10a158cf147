//! What a log says when it is asked: how far, what there is, where.

use bytes::Bytes;
use netchan_proto::batch::BatchHeader;
use netchan_proto::{Epoch, Offset, ProducerId};

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// It survives SIGKILL.
    Written,
    /// It survives power loss.
    Durable,
    /// Readers may see it.
    Visible,
}

/// What [`Log::poll_changed`](crate::Log::poll_changed) has told already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub(super) u64);

/// The right to append as a producer, until somebody else claims it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The producer.
    pub producer: ProducerId,
    /// Its first sequence that was not in the log when it was claimed.
    pub next_sequence: u64,
    pub(super) number: u64,
}

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
    /// Not in memory: ask [`Log::read`](crate::Log::read).
    Cold,
    /// Past the visible end.
    Beyond,
}

/// Whole batches that follow each other, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The batches, headers and bodies checked.
    pub bytes: Bytes,
    /// The offset of the first record in `bytes`: at or before what was asked for.
    pub first: Offset,
    /// The offset to go on with.
    pub next: Offset,
}

/// What there is to send of a log, in memory that has a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whole batches.
    Run(Run),
    /// Some bytes of one batch that is larger than what was asked for. The batch as a whole has been checked when its
    /// first bytes were read.
    OfBatch {
        /// The bytes.
        bytes: Bytes,
        /// Where in the batch they begin.
        at: usize,
        /// Bytes of the whole batch, as stored.
        len: usize,
        /// Records in the batch.
        records: u32,
        /// The offset to go on with after the batch.
        next: Offset,
    },
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
