//! The disk log of netchan: append, read, seek, recover, retain.
//!
//! One [`Store`] per data directory, one [`Log`] per channel in it. Everything here blocks at most on the disk;
//! what has to wait for something else is a `poll_` function with a [`std::task::Waker`]. The store knows the
//! format of a batch and nothing of connections, peers or runtimes, and it never prints.
//!
//! | room | holds |
//! |---|---|
//! | [`Store`] | a data directory: its lock, its logs, its committer |
//! | [`Log`] | one channel: appends in memory, marks, the tail, reads |
//! | [`StateLog`] | what is not records: keys and values, last one wins |
//! | [`disk`] | the file system, real or simulated |
//!
//! The format on disk stands in spec/08-disk.md.
#![forbid(unsafe_code)]

pub mod disk;

mod clock;
mod committer;
mod error;
mod log;
mod meta;
mod options;
mod state_log;
mod store;

pub use clock::{Clock, SystemClock};
pub use error::{AppendError, LogError, StoreError};
pub use log::{Appended, Log, Mark, Resolved, Run, Seen, TailRead, TruncatedAt};
pub use options::{Commit, LogOptions, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, Retention, StoreOptions};
pub use state_log::StateLog;
pub use store::Store;
