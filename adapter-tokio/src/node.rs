//! The node that a program holds.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use netchan_proto::{LogInfo, NodeId, Offset, Side};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Error, NodeBuilder, ReceiverBuilder, SenderBuilder};

/// One program's part in netchan: its data directory, its listeners, and what it reads and publishes.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node;

impl Node {
    /// A node to be told where its data is and where to listen.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The node's identity; without a data directory a new one each time.
    pub fn id(&self) -> NodeId {
        unimplemented!()
    }

    /// Where it listens, with the port that was picked if 0 was asked for.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        unimplemented!()
    }

    /// Whether this node holds its data directory (and not another one, see [`NodeBuilder::shared`]).
    pub fn is_holder(&self) -> bool {
        unimplemented!()
    }

    /// To send into a channel: `NAME` on this machine, or `HOST:PORT/NAME`.
    pub fn sender(&self, _target: impl AsRef<str>) -> SenderBuilder {
        unimplemented!()
    }

    /// To receive from a channel: `NAME` on this machine, or `HOST:PORT/NAME`.
    pub fn receiver(&self, _target: impl AsRef<str>) -> ReceiverBuilder {
        unimplemented!()
    }

    /// The channels of a place, in the order of their names: `""` is this machine, `PREFIX` those of it whose
    /// names begin so, `HOST:PORT` and `HOST:PORT/PREFIX` those of another node.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn channels(&self, _place: impl AsRef<str>) -> Result<Vec<LogInfo>, Error> {
        unimplemented!()
    }

    /// What a channel's node tells about it.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](crate::ErrorKind::NoChannel) if there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn info(&self, _target: impl AsRef<str>) -> Result<LogInfo, Error> {
        unimplemented!()
    }

    /// Says that a channel is complete: nothing can be sent into it any more. Durable when it returns the
    /// offset after its last record.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be sealed or not. Sealing again is well.
    pub async fn seal(&self, _target: impl AsRef<str>) -> Result<Offset, Error> {
        unimplemented!()
    }

    /// Deletes a channel and its records.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be deleted or not.
    pub async fn delete(&self, _target: impl AsRef<str>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Serves this node's channels over a stream of any kind (stdin and stdout, ssh, TLS) until it ends.
    ///
    /// # Errors
    /// Why it ended, if not by the peer's closing it.
    ///
    /// # Cancel safety
    /// Dropping it closes the stream.
    pub async fn serve_stream<S>(&self, _stream: S, _side: Side) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        unimplemented!()
    }

    /// Calls a receiver that listens (this node being where it cannot be called) and serves it, again and
    /// again, until the node shuts down or the future is dropped.
    ///
    /// # Errors
    /// What calling again will not mend.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn dial(&self, _addr: impl AsRef<str>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Takes leave of who is connected, makes everything sent durable and closes the data directory. After
    /// `deadline` it stops waiting for peers.
    ///
    /// # Errors
    /// What could not be made durable.
    ///
    /// # Cancel safety
    /// The node is shutting down once this was polled; dropping it only stops waiting.
    pub async fn shutdown(&self, _deadline: Duration) -> Result<(), Error> {
        unimplemented!()
    }
}

/// A way to reach the other side, tried again each time the connection is lost.
pub(crate) trait _Connect<S>: Send {
    /// One attempt.
    fn connect(&mut self) -> impl Future<Output = io::Result<S>> + Send;
}
