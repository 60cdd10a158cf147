//! Opening a channel to send into.

use std::sync::Arc;
use std::time::Duration;

use netchan_proto::{Durability, ProducerId};
use netchan_store::Retention;

use netchan_node::{Error, Target};

use crate::hub::Hub;
use crate::placeholder::Sender;

/// How to send into a channel. Made by [`Node::sender`](crate::Node::sender).
#[must_use = "nothing happens before open()"]
pub struct SenderBuilder {
    _hub: Arc<Hub>,
    _target: Result<Target, Error>,
}

impl SenderBuilder {
    pub(crate) fn new(hub: Arc<Hub>, target: &str) -> SenderBuilder {
        SenderBuilder { _hub: hub, _target: Target::parse(target) }
    }

    /// When the channel acknowledges, if it is made by this call. An existing channel keeps its own.
    pub fn durability(self, _durability: Durability) -> SenderBuilder {
        self
    }

    /// In [`Durability::Interval`]: how long records may wait for their sync.
    pub fn interval(self, _interval: Duration) -> SenderBuilder {
        self
    }

    /// What may be trimmed, if the channel is made here. Nothing by default.
    pub fn retention(self, _retention: Retention) -> SenderBuilder {
        self
    }

    /// The size at which a segment file is closed, if the channel is made here.
    pub fn segment_bytes(self, _bytes: u64) -> SenderBuilder {
        self
    }

    /// Sends as this producer: what it sent before counts once, over restarts too.
    pub fn producer(self, _producer: ProducerId) -> SenderBuilder {
        self
    }

    /// Whether a channel that does not exist is made (the default).
    pub fn create(self, _create: bool) -> SenderBuilder {
        self
    }

    /// Opens the channel, and makes it if it is missing.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe, but that the channel may have been made.
    pub async fn open(self) -> Result<Sender, Error> {
        unimplemented!()
    }
}
