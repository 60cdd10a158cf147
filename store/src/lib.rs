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
//! | [`StateLog`] | what is not records: keys and values, last one wins; [`Cursors`]: some of them; `holds`: what they keep from retention |
//! | [`verify`] | reads it all, beside the node if need be, and says what does not hold |
//! | [`repair`] | sets aside what is damaged, keeps what holds, declares what is lost |
//! | [`kept`] | how a channel is kept, beside the node if need be |
//! | [`disk`] | the file system, real or simulated |
//!
//! The format on disk stands in spec/08-disk.md.
//!
//! ```
//! use std::sync::Arc;
//! use netchan_proto::{AsRecord, ChannelName, Offset};
//! use netchan_store::disk::SimDisk; // in a program: RealDisk::new("data")?
//! use netchan_store::{LogOptions, Store, StoreOptions, TailRead};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open(Arc::new(SimDisk::new(1)), StoreOptions::default())?;
//! let log = store.create_or_open(&ChannelName::new("my_log")?, &LogOptions::default())?;
//! assert_eq!(log.append(&"hello".as_record())?, Offset(0)); // queued
//! assert_eq!(log.sync()?, Offset(1)); // durable; poll_reached waits without blocking
//! assert!(matches!(log.read_tail(Offset(0)), TailRead::Batch(_, header) if header.record_count == 1));
//! store.close();
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod disk;

mod aside;
mod clock;
mod committer;
mod counts;
mod cursors;
mod error;
mod holds;
mod kept;
mod log;
mod meta;
#[cfg(all(test, loom))]
mod models;
mod options;
mod repair;
mod state_log;
mod store;
mod sync;
mod verify;
mod warm;

pub use clock::{Clock, SystemClock};
pub use cursors::{CursorError, Cursors};
pub use error::{AppendError, LogError, StoreError};
pub use kept::{Kept, kept};
pub use log::{
    Appended, Behind, Buffer, Buffers, Claim, Log, Mark, Part, Resolved, Run, Seen, TailRead, TruncatedAt,
};
pub use netchan_proto::{LogOptions, Retention, WhenFull};
pub use options::{Commit, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, StoreOptions};
pub use repair::mending::{Left, Repaired, Step};
pub use repair::repair;
pub use state_log::StateLog;
pub use store::{Made, MadeTicket, Store};
pub use verify::{Problem, Verified, VerifyProgress, verify};
