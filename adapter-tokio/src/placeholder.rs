//! Stands in for what netchan-node is about to have, so that others can build.

use std::fmt;

use netchan_proto::wire::GapReason;
use netchan_proto::{AsRecord, Epoch, LogInfo, Offset};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a placeholder")]
pub enum ErrorKind {
    Gap { from: Offset, to: Offset, why: GapReason },
    Truncated { epoch: Epoch, end: Offset },
    Sealed,
    Deleted,
    NoChannel,
    Auth,
    Denied,
    Version,
    OtherLog,
    BeyondEnd,
    Damaged,
    DiskFull,
    Poisoned,
    TooLarge,
    Full,
    Closed,
    Protocol,
    Io,
    Locked,
    Target,
    Unreachable,
}

/// An error with a kind.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
}

impl Error {
    /// What kind it is of.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether trying again can help.
    pub fn is_retryable(&self) -> bool {
        unimplemented!()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

/// What happened to a receiver's connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {}

/// A place and a channel's name.
#[derive(Clone, Debug)]
pub struct Target;

impl Target {
    /// Reads `HOST:PORT/NAME` or `NAME`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn parse(_text: &str) -> Result<Target, Error> {
        unimplemented!()
    }
}

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
