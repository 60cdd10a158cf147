//! What became of a record that was sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use netchan_proto::Offset;
use netchan_proto::wire::AckLevel;
use netchan_store::{Log, Mark};

use crate::error::Error;
use crate::publisher;

/// A record that has its place in order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sent(Place);

#[derive(Clone, Debug)]
enum Place {
    Local { log: Log, offset: Offset },
    Remote { shared: Arc<publisher::Shared>, sequence: u64 },
}

impl Sent {
    pub(super) fn local(log: Log, offset: Offset) -> Sent {
        Sent(Place::Local { log, offset })
    }

    pub(super) fn remote(shared: Arc<publisher::Shared>, sequence: u64) -> Sent {
        Sent(Place::Remote { shared, sequence })
    }

    /// Its offset: known at once on a channel of this node, with the acknowledgement on another's. Not known for a
    /// record that a resend found in the channel already, nor when more than 1,024 runs of records were acknowledged
    /// since.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        match &self.0 {
            Place::Local { offset, .. } => Some(*offset),
            Place::Remote { shared, sequence } => shared.offset_of(*sequence),
        }
    }

    /// Ready when it survives the end of the process that has the log.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub fn written(&self) -> Reached {
        self.reached(Mark::Written, AckLevel::Written)
    }

    /// Ready when it survives power loss, whatever the channel's mode.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub fn durable(&self) -> Reached {
        self.reached(Mark::Durable, AckLevel::Durable)
    }

    fn reached(&self, mark: Mark, level: AckLevel) -> Reached {
        match &self.0 {
            Place::Local { log, offset } => Reached::local(log, mark, offset.plus(1)),
            Place::Remote { shared, sequence } => {
                Reached::remote(publisher::Reached::new(Arc::clone(shared), Some(*sequence), level))
            }
        }
    }
}

/// Ready when a record, and with it all before it, is as safe as was asked for.
///
/// # Cancel safety
/// Cancel safe: it only looks.
#[derive(Debug)]
#[must_use = "it only waits when it is awaited"]
pub struct Reached(Wait);

#[derive(Debug)]
enum Wait {
    Local { log: Log, mark: Mark, end: Offset },
    Remote(publisher::Reached),
}

impl Reached {
    fn local(log: &Log, mark: Mark, end: Offset) -> Reached {
        Reached(Wait::Local { log: log.clone(), mark, end })
    }

    pub(super) fn flush(log: &Log) -> Reached {
        Reached::local(log, Mark::Durable, log.queued())
    }

    pub(super) fn visible(log: &Log) -> Reached {
        Reached::local(log, Mark::Visible, log.queued())
    }

    pub(super) fn remote(reached: publisher::Reached) -> Reached {
        Reached(Wait::Remote(reached))
    }
}

impl Future for Reached {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Wait::Local { log, mark, end } => {
                log.poll_reached(*mark, *end, cx).map_err(|error| Error::from(error).about(log.name()))
            }
            Wait::Remote(reached) => Pin::new(reached).poll(cx),
        }
    }
}
