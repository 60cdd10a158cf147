//! Every way in which the store can refuse or fail. Each says what happened, to what, and whether to try again.

use std::io;
use std::sync::Arc;

use netchan_proto::record::RecordTooLarge;
use netchan_proto::types::InvalidName;
use netchan_proto::{ChannelName, LogId, Offset, Partitions};

/// Why a store, or a log in it, could not be opened, made or deleted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process (or another `Store` in this one) holds the data directory. Nothing was changed; try again
    /// when it has closed.
    #[error("the data directory {path} is in use by another store; nothing was changed")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The disk failed. What was changed on it before is completed or undone by the next open.
    #[error("{action} {path} failed: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory, within the data directory.
        path: String,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// A file is not what it should be. Nothing was changed; it does not help to try again.
    #[error("{path} is damaged: {what}; nothing was changed")]
    Damaged {
        /// The file, within the data directory.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The store is closed. Nothing was changed.
    #[error("the store is closed; nothing was changed")]
    Closed,
    /// No channel has this name. Nothing was changed.
    #[error("there is no channel {name}; nothing was changed")]
    NoChannel {
        /// The name asked for.
        name: ChannelName,
    },
    /// The channel has partitions, and none is called so, or another number of them than was asked for. Nothing was changed.
    #[error(
        "{name} has {count} partitions: receive from {name}@* for all of them or {name}@0 for one, and send to it as to one \
         with {count} partitions; nothing was changed"
    )]
    Partitioned {
        /// The channel's name.
        name: ChannelName,
        /// How many it has.
        count: Partitions,
    },
    /// There is a channel of this name, without partitions, where one with partitions was to be. Nothing was changed.
    #[error("the channel {name} exists and has no partitions; nothing was changed")]
    Exists {
        /// The channel's name.
        name: ChannelName,
    },
    /// What a partition would be called cannot be a name. Nothing was changed.
    #[error("{0}; nothing was changed")]
    Name(#[from] InvalidName),
}

/// Why a log took no record. Nothing of the record (or of the batch) was queued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// As much is queued as may be. Try again once [`Log::poll_capacity`](crate::Log::poll_capacity) is ready.
    #[error("the channel's queue is full: nothing was queued; try again when the disk has caught up")]
    Full,
    /// The channel is sealed: it takes no more records.
    #[error("the channel is sealed at offset {at}: nothing was queued")]
    Sealed {
        /// The offset right after its last record.
        at: Offset,
    },
    /// The channel was deleted.
    #[error("the channel was deleted: nothing was queued")]
    Deleted,
    /// The store is closed.
    #[error("the store is closed: nothing was queued")]
    Closed,
    /// A write or sync failed earlier. The log takes nothing until it is opened anew.
    #[error("the channel failed earlier ({why}): nothing was queued; open it again")]
    Poisoned {
        /// What failed.
        why: Arc<str>,
    },
    /// The volume is nearly full. Try again when space was freed.
    #[error(
        "less than {min_free_percent} % of the volume is free: nothing was queued; free space and try again"
    )]
    NoSpace {
        /// The share that must stay free.
        min_free_percent: u8,
    },
    /// The channel takes as many bytes as it may. Try again when its oldest records have gone.
    #[error(
        "the channel takes {bytes} bytes, its ceiling: nothing was queued; raise it, or let older records go"
    )]
    AtCeiling {
        /// The ceiling.
        bytes: u64,
    },
    /// The disk or the system has no more of what the log needs to go on: room, or open files. What was queued before
    /// stays queued, and the log goes on by itself once it can. Try again later.
    #[error(
        "the channel cannot go on for now ({why}): nothing was queued; free what is short, and try again"
    )]
    Stalled {
        /// What is short.
        why: Arc<str>,
    },
    /// The record is over a limit.
    #[error(transparent)]
    RecordTooLarge(#[from] RecordTooLarge),
    /// Somebody else claimed the producer since: an older life of the same program has nothing more to say.
    #[error("another publisher has taken over as this producer: nothing was queued")]
    Superseded,
    /// A published batch is not one (a seal, a filtered batch, or records that contradict its header).
    #[error("the published batch cannot be stored: {why}; nothing was queued")]
    NotPublishable {
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Why a log could not be read, synced or sealed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Records of this range are damaged on disk. They are never served; reading can go on at `to`.
    #[error("offsets {from} to {to} of {log} are damaged on disk ({path}); read on at {to}")]
    Damaged {
        /// The log.
        log: LogId,
        /// The segment that holds them.
        path: String,
        /// The first damaged offset.
        from: Offset,
        /// The first offset after the damage.
        to: Offset,
    },
    /// Records of this range were trimmed. Reading can go on at `to`.
    #[error("offsets {from} to {to} were trimmed; read on at {to}")]
    Trimmed {
        /// The offset asked for.
        from: Offset,
        /// The first offset that is still there.
        to: Offset,
    },
    /// The offset lies past the end.
    #[error("offset {asked} is beyond the channel's end, {end}")]
    BeyondEnd {
        /// The offset asked for.
        asked: Offset,
        /// The visible end.
        end: Offset,
    },
    /// A position of another log, for instance of a channel of the same name that was deleted; or of an epoch that this
    /// log never had, because its files were put back from an older copy.
    #[error("the position belongs to another history of log {theirs} than this one of log {ours}")]
    OtherLog {
        /// The log of the position.
        theirs: LogId,
        /// The log that was asked.
        ours: LogId,
    },
    /// The channel was made so that it can never be sealed. Nothing was changed.
    #[error("the channel was made so that it can never be sealed; nothing was changed")]
    Unsealable,
    /// The channel is sealed, and nothing more will come.
    #[error("the channel is sealed at offset {at}")]
    Sealed {
        /// The offset right after its last record.
        at: Offset,
    },
    /// The channel was deleted.
    #[error("the channel was deleted")]
    Deleted,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// A write or sync failed. What was not durable by then may or may not be on disk; opening the log again
    /// finds out.
    #[error("the channel failed ({why}); what was not durable may be lost; open it again")]
    Poisoned {
        /// What failed.
        why: Arc<str>,
    },
    /// The disk or the system has no more of what the log needs to go on: room, or open files. What is durable is so,
    /// what is queued stays queued and goes on by itself once it can.
    #[error(
        "the channel cannot go on for now ({why}); what is queued waits; free what is short, and try again"
    )]
    Stalled {
        /// What is short.
        why: Arc<str>,
    },
    /// Reading the disk failed. The log is as it was; trying again may help.
    #[error("reading {path} failed: {source}")]
    Io {
        /// The file, within the data directory.
        path: String,
        /// What the disk said.
        source: Arc<io::Error>,
    },
}

/// What an error of the log in `dir` is where the store is asked.
pub(crate) fn store_error(dir: &str) -> impl Fn(LogError) -> StoreError {
    move |error| match error {
        LogError::Closed | LogError::Deleted => StoreError::Closed,
        LogError::Io { path, source } => StoreError::Io { action: "reading", path, source },
        other => broken(dir, other),
    }
}

/// Why the log in `dir` cannot be used, where that is no single error of the disk.
pub(crate) fn broken(dir: &str, why: impl std::fmt::Display) -> StoreError {
    let source = Arc::new(io::Error::other(why.to_string()));
    StoreError::Io { action: "using the log in", path: dir.to_owned(), source }
}

/// Whether the system has no more of something that others may give back: room on the volume, open files.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    is_short_of_files(error)
        || matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether there are no more open files to have: what was to be opened was not touched.
pub(crate) fn is_short_of_files(error: &io::Error) -> bool {
    let ours = rustix::io::Errno::MFILE.raw_os_error();
    let everybodys = rustix::io::Errno::NFILE.raw_os_error();
    error.raw_os_error().is_some_and(|code| code == ours || code == everybodys)
}
