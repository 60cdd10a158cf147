//! What a store and a log can be told.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

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

/// The smallest segment: 8 KiB.
pub const MIN_SEGMENT_BYTES: u64 = 8 << 10;
/// The largest segment: 1 GiB, so that a place in it fits the index.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;
