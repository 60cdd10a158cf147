//! What a store and a log can be told.

use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use netchan_proto::{Compression, Durability};

use crate::clock::{Clock, SystemClock};

/// Who writes and syncs what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commit {
    /// A pool of up to this many threads, which grows while there are more logs to write than threads at work. One log
    /// is in at most one of them at a time; several overlap the syncs of several logs.
    Threads(NonZeroUsize),
    /// Nobody: [`Store::run_commits`](crate::Store::run_commits) does, in its caller's thread. For simulation.
    Manual,
}

/// Files of logs that are open by default, however many the process may have: some 10 KiB of the kernel's memory each.
const MOST_FILES: usize = 4096;

/// What a store is told when it opens.
#[derive(Clone)]
pub struct StoreOptions {
    /// Who commits. Default: up to 16 threads: they wait for the disk, not for a processor.
    pub commit: Commit,
    /// Appends are refused while less than this share of the volume is free, in percent. Default 5; 0 turns it off.
    pub min_free_percent: u8,
    /// Bytes that a log holds for the disk before appends answer `Full`. Default 8 MiB.
    pub max_queued: usize,
    /// Bytes of each log's newest batches that stay in memory for readers. Default 4 MiB.
    pub tail_cache: usize,
    /// Bytes of newest batches that all logs together keep in memory. Default 16 MiB.
    pub tail_budget: usize,
    /// Files that are open at a time, beside those that are being written, read or made this very moment. A log that is
    /// written or read now and again and finds its file closed waits for the disk once more. Default: half of what the
    /// process may open (`RLIMIT_NOFILE`), but at most 4096.
    pub max_open_files: usize,
    /// How long a log keeps open files and memory that nobody uses; it may be up to twice as long. Default 10 s.
    pub idle_after: Duration,
    /// The clock. Default: the machine's.
    pub clock: Arc<dyn Clock>,
    /// Where the identities of the node and of new logs come from; `None` (the default) takes the operating
    /// system's randomness, a seed makes them the same in every run. For simulation.
    pub seed: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            commit: Commit::Threads(NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN)),
            min_free_percent: 5,
            max_queued: 8 << 20,
            tail_cache: 4 << 20,
            tail_budget: 16 << 20,
            max_open_files: share_of_files(),
            idle_after: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
            seed: None,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("commit", &self.commit)
            .field("min_free_percent", &self.min_free_percent)
            .field("max_queued", &self.max_queued)
            .field("tail_cache", &self.tail_cache)
            .field("tail_budget", &self.tail_budget)
            .field("max_open_files", &self.max_open_files)
            .field("idle_after", &self.idle_after)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// The logs' share of the files that this process may open. The rest is for connections and what else it has.
fn share_of_files() -> usize {
    let may = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    may.and_then(|may| usize::try_from(may / 2).ok()).map_or(MOST_FILES, |half| half.min(MOST_FILES))
}

/// What may be trimmed, what stays whatever may be, and what becomes of appends when there is no room. Whole closed
/// segments go, oldest first, never the active one; readers who wanted them are told a gap. Off by default.
///
/// Each limit that is set lets the oldest segment go by itself, as long as the floor holds without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this may go. They go with their segment, and a segment takes records for up to half this
    /// time, so the oldest are kept for up to one and a half times as long.
    pub max_age: Option<Duration>,
    /// The oldest segments go while the log's files take more than this many bytes.
    pub max_bytes: Option<u64>,
    /// The oldest segments go while the log has more than this many records.
    pub max_records: Option<u64>,
    /// The oldest segments go while fewer bytes than this are free on the volume, whoever took them.
    pub min_free: Option<u64>,
    /// The floor: no segment goes without which the log's files would take fewer bytes than this.
    pub keep_bytes: Option<u64>,
    /// The floor: no segment goes without which the log would have fewer records than this.
    pub keep_records: Option<u64>,
    /// The ceiling: the log's files take no more bytes than this, but for what was queued when they came to it. What
    /// happens there, and on a volume that is nearly full, says `when_full`.
    pub ceiling: Option<u64>,
    /// The oldest segment does not go before every durable cursor of the channel has passed it, until the log's files take
    /// more than this many bytes: then it goes all the same, and who wanted it is told a gap. None, or 0: cursors hold
    /// nothing.
    pub hold_cursors: Option<u64>,
    /// What becomes of appends at the ceiling, and on a volume that is nearly full.
    pub when_full: WhenFull,
}

impl Retention {
    /// Whether anything is ever trimmed as time goes by.
    pub(crate) fn trims(&self) -> bool {
        self.max_age.is_some()
            || self.max_bytes.is_some()
            || self.max_records.is_some()
            || self.min_free.is_some()
    }
}

/// What becomes of appends when there is no room for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// They are refused, with an error that says why.
    #[default]
    Fail,
    /// They wait, as for a queue that is full, until there is room.
    Block,
    /// The oldest segments go for them, down to the floor; then they are refused.
    TrimOldest,
}

/// The smallest segment: 8 KiB.
pub const MIN_SEGMENT_BYTES: u64 = 8 << 10;
/// The largest segment: 1 GiB, so that a place in it fits the index.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// How one log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// When an append is acknowledged, and what readers see.
    pub durability: Durability,
    /// In [`Durability::Interval`]: how long written records may wait for their sync. Default 1 s.
    pub interval: Duration,
    /// The size at which a segment is closed, between [`MIN_SEGMENT_BYTES`] and [`MAX_SEGMENT_BYTES`] (other
    /// values are moved there). Default 256 MiB. A batch larger than a segment gets one of its own.
    pub segment_bytes: u64,
    /// What may be trimmed, and what happens when there is no room. Default: nothing is, and appends are refused.
    pub retention: Retention,
    /// Whether the channel can never be sealed. A log that was made so stays so. Default: no.
    pub unsealable: bool,
    /// How batches are compressed when they are closed, on the thread that writes them; they stay so on the disk and on the wire.
    /// What gets little shorter, and what this program was made without, stays as it is. Default: not at all.
    pub compression: Compression,
    /// If the channel is a partition: how many of them make up the whole. A log that was made with a number keeps it.
    /// Default: it is none.
    pub partitions: Option<NonZeroU16>,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            durability: Durability::Sync,
            interval: Duration::from_secs(1),
            segment_bytes: 256 << 20,
            retention: Retention::default(),
            unsealable: false,
            compression: Compression::None,
            partitions: None,
        }
    }
}
