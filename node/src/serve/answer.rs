//! What jobs find out for a connection.

use netchan_proto::Offset;
use netchan_proto::wire::{
    CursorInfo, CursorsReply, Description, Done, ErrorFrame, Gap, ListReply, LogInfo, NodeStatus, Opened,
    PublishOpened, ReadersReply, Truncated,
};
use netchan_store::{Claim, Log};

use super::glance::At;
use super::sifting::{Loaded, NotLoaded};
use super::slots::Slot;

/// What a job found out.
#[derive(Debug)]
pub(super) enum Answer {
    /// Where a reader begins; `None`: the channel does not exist.
    Found(Result<Option<Found>, ErrorFrame>),
    /// Bytes from the disk, for who asked for those at `from`.
    Run { from: At, slot: Option<Slot>, part: Result<Loaded, NotLoaded> },
    /// A publisher may begin.
    Accepted(Result<Accepted, ErrorFrame>),
    /// A producer's note is kept.
    Noted(Result<(), ErrorFrame>),
    /// What a request asked for.
    Stat(Result<LogInfo, ErrorFrame>),
    /// What a request asked for.
    List(Result<ListReply, ErrorFrame>),
    /// What a request asked for.
    Done(Result<Done, ErrorFrame>),
    /// What a request asked for.
    Status(Box<NodeStatus>),
    /// What a request asked for.
    Readers(ReadersReply),
    /// What a request asked for.
    Cursor(Result<CursorInfo, ErrorFrame>),
    /// What a request asked for.
    Cursors(Result<CursorsReply, ErrorFrame>),
    /// What a request asked for.
    Description(Result<Box<Description>, ErrorFrame>),
    /// The job was dropped, or it panicked.
    NotDone,
}

/// Where reading begins.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) log: Log,
    pub(super) opened: Opened,
    pub(super) truncated: Option<Truncated>,
    pub(super) gap: Option<Gap>,
    pub(super) next: Offset,
}

/// A log that may be published to.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) log: Log,
    /// From here on no older stream of the same producer appends anything.
    pub(super) claim: Claim,
    pub(super) opened: PublishOpened,
}
