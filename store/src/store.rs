//! The data directory.
use crate::disk::Disk;
use crate::{Log, LogInfo, LogOptions, StateLog, StoreError, StoreOptions};
use netchan_proto::{ChannelName, NodeId, Timestamp};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A data directory and the logs in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store;

impl Store {
    /// Opens the data directory and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another store has it.
    pub fn open(_disk: Arc<dyn Disk>, _options: StoreOptions) -> Result<Store, StoreError> {
        unimplemented!()
    }
    /// The node's identity, made when the directory was first opened.
    pub fn node_id(&self) -> NodeId {
        unimplemented!()
    }
    /// The channel's log, made if it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create_or_open(&self, _name: &ChannelName, _options: &LogOptions) -> Result<Log, StoreError> {
        unimplemented!()
    }
    /// The channel's log, if the channel exists. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_existing(&self, _name: &ChannelName) -> Result<Option<Log>, StoreError> {
        unimplemented!()
    }
    /// The channel's log if it is open already. Never blocks.
    pub fn existing(&self, _name: &ChannelName) -> Option<Log> {
        unimplemented!()
    }
    /// Whether the channel exists.
    pub fn contains(&self, _name: &ChannelName) -> bool {
        unimplemented!()
    }
    /// What there is, in the order of names. Opens what isn't open: blocks on the disk.
    pub fn list(&self, _after: Option<&ChannelName>, _prefix: &str, _limit: usize) -> Vec<LogInfo> {
        unimplemented!()
    }
    /// Ready once the channel exists.
    pub fn poll_created(&self, _name: &ChannelName, _cx: &mut Context<'_>) -> Poll<()> {
        unimplemented!()
    }
    /// Deletes a channel and its files. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::NoChannel`], [`StoreError::Io`].
    pub fn delete(&self, _name: &ChannelName) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Commits everything, stops the threads, cuts preallocation, gives the lock back. Later appends are refused.
    pub fn close(&self) {
        unimplemented!()
    }
    /// The state log.
    pub fn state(&self) -> &StateLog {
        unimplemented!()
    }
    /// [`Commit::Manual`](crate::Commit::Manual): what the committer's threads would do at `now`, in the caller's thread. Says whether
    /// anything was done.
    pub fn run_commits(&self, _now: Timestamp) -> bool {
        unimplemented!()
    }
}
