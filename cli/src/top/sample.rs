//! One look at a node: what it says of itself, its channels, and who reads and publishes there.

use std::time::Duration;

use netchan::{LogInfo, NodeStatus, ReaderInfo};

/// What one look at a node gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// When it was taken, on this machine's clock that never goes back.
    pub(crate) taken: Duration,
    pub(crate) node: NodeStatus,
    /// In the order of their names.
    pub(crate) channels: Vec<LogInfo>,
    /// In the order in which they came.
    pub(crate) peers: Vec<ReaderInfo>,
}
