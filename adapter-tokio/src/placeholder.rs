//! Stands in for what netchan-node is about to have, so that others can build.

use netchan_node::Error;
use netchan_proto::{AsRecord, LogInfo, Offset};

/// Sends into a channel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender;

impl Sender {
    /// Sends a record.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn send(&self, _record: impl AsRecord) -> Result<Sent, Error> {
        unimplemented!()
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// [`Error`].
    pub fn try_send(&self, _record: impl AsRecord) -> Result<Sent, Error> {
        unimplemented!()
    }

    /// Ready when everything sent is durable.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn flush(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Seals the channel.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn seal(&self) -> Result<Offset, Error> {
        unimplemented!()
    }

    /// About the channel.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn info(&self) -> Result<LogInfo, Error> {
        unimplemented!()
    }
}

/// A record that was sent.
#[derive(Clone, Debug)]
pub struct Sent;

impl Sent {
    /// Its offset, where it is known.
    pub fn offset(&self) -> Option<Offset> {
        unimplemented!()
    }

    /// Ready when it survives SIGKILL.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn written(&self) -> Result<Offset, Error> {
        unimplemented!()
    }

    /// Ready when it survives power loss.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn durable(&self) -> Result<Offset, Error> {
        unimplemented!()
    }
}
