//! The node that a program holds.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use netchan_node::{Answer, Ask, Calling, Error, ErrorKind, Lost, Machine, Remote, Target, parse_place};
use netchan_proto::conn::ConnectionError;
use netchan_proto::{LogInfo, NodeId, Offset, Side};

use crate::builder::NodeBuilder;
use crate::hub::Hub;
use crate::line::Line;
use crate::pump::ByteStream;
use crate::receiver::ReceiverBuilder;
use crate::sender::SenderBuilder;

/// One program's part in netchan: its data directory, its listeners, and what it reads and publishes. Cheap to clone.
///
/// When the last handle is gone (and the last receiver, which has one), peers are not served any more; what was sent
/// is written and synced all the same. [`shutdown`](Self::shutdown) waits for that, and takes leave of peers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_tokio::{Node, Start};
///
/// let node = Node::builder().data_dir(dir.path()).start().await?;
/// let log = node.sender("greetings").open().await?;
/// log.send("hello").await?.durable().await?;
///
/// let mut greetings = node.receiver("greetings").from(Start::Earliest).open().await?;
/// let record = greetings.recv().await?.expect("the channel is not sealed");
/// assert_eq!(record.payload, "hello");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Node(Arc<Hub>);

impl Node {
    /// A node to be told where its data is and where to listen.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    pub(crate) fn new(hub: Arc<Hub>) -> Node {
        Node(hub)
    }

    /// The node's identity: its data directory's, or a new one where it holds none.
    pub fn id(&self) -> NodeId {
        self.0.node().id()
    }

    /// Where it listens, with the port that was picked if 0 was asked for.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local_addr()
    }

    /// Whether this program holds the data directory now; see [`NodeBuilder::shared`].
    pub fn is_holder(&self) -> bool {
        self.0.node().store().is_some()
    }

    /// To send into a channel: `NAME` on this machine, or `HOST:PORT/NAME`.
    pub fn sender(&self, target: impl AsRef<str>) -> SenderBuilder {
        SenderBuilder::new(Arc::clone(&self.0), target.as_ref())
    }

    /// To receive from a channel: `NAME` on this machine, or `HOST:PORT/NAME`.
    pub fn receiver(&self, target: impl AsRef<str>) -> ReceiverBuilder {
        ReceiverBuilder::new(Arc::clone(&self.0), target.as_ref())
    }

    /// The channels of a place, in the order of their names: `""` is this machine, `PREFIX` those of it whose names
    /// begin so, `HOST:PORT` and `HOST:PORT/PREFIX` those of another node.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let node = netchan_tokio::Node::builder().data_dir(dir.path()).start().await?;
    /// node.sender("orders/eu").open().await?;
    /// assert_eq!(node.channels("orders/").await?[0].name.as_str(), "orders/eu");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn channels(&self, place: impl AsRef<str>) -> Result<Vec<LogInfo>, Error> {
        let (remote, prefix) = parse_place(place.as_ref())?;
        match self.0.ask(Ask::List { after: None, prefix, limit: usize::MAX }, remote).await? {
            Answer::List(infos) => Ok(infos),
            answer => Err(unasked(&answer)),
        }
    }

    /// What there is to say of a channel.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](crate::ErrorKind::NoChannel) if there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn info(&self, target: impl AsRef<str>) -> Result<LogInfo, Error> {
        let Target { remote, name } = Target::parse(target.as_ref())?;
        match self.0.ask(Ask::Info(name), remote).await? {
            Answer::Info(info) => Ok(*info),
            answer => Err(unasked(&answer)),
        }
    }

    /// Says that a channel is complete: nothing can be sent into it any more. Durable when it gives the offset after the
    /// last record.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](crate::ErrorKind::NoChannel) if there is none. Sealing what is sealed is no error.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be sealed or not.
    pub async fn seal(&self, target: impl AsRef<str>) -> Result<Offset, Error> {
        let Target { remote, name } = Target::parse(target.as_ref())?;
        match self.0.ask(Ask::Seal(name), remote).await? {
            Answer::Sealed(end) => Ok(end),
            answer => Err(unasked(&answer)),
        }
    }

    /// Deletes a channel and its records.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`](crate::ErrorKind::NoChannel) if there is none.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the channel may be deleted or not.
    pub async fn delete(&self, target: impl AsRef<str>) -> Result<(), Error> {
        let Target { remote, name } = Target::parse(target.as_ref())?;
        self.0.ask(Ask::Delete(name), remote).await.map(drop)
    }

    /// Serves this node's channels over a stream of any kind (standard input and output, ssh, TLS) until it ends. A
    /// [token](NodeBuilder::token), if the node has one, is asked for.
    ///
    /// # Errors
    /// Why it ended, if not by the peer's closing it.
    ///
    /// # Cancel safety
    /// Dropping it closes the stream.
    pub async fn serve_stream(&self, stream: impl ByteStream, side: Side) -> Result<(), Error> {
        match self.0.serve(Box::new(stream), side, false).await {
            Lost::Eof | Lost::Connection(ConnectionError::Closed) => Ok(()),
            Lost::Connection(
                ConnectionError::Ours { code, text } | ConnectionError::Theirs { code, text },
            ) => Err(Error::of_code(code, None, &text, "a served stream")),
            lost => Err(Error::new(ErrorKind::Unreachable, lost.to_string())),
        }
    }

    /// Calls a receiver that listens ([`ReceiverBuilder::accept_on`]), for a node that cannot be called itself, and
    /// serves it; again and again, until the future is dropped or the node shut down.
    ///
    /// ```no_run
    /// # async fn example(node: netchan_tokio::Node) -> Result<(), netchan_tokio::Error> {
    /// // There: node.receiver("my_log").accept_on(TcpListener::bind("0.0.0.0:5000").await?)
    /// node.dial("receiver.example:5000").await
    /// # }
    /// ```
    ///
    /// # Errors
    /// What calling again will not mend.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn dial(&self, address: impl AsRef<str>) -> Result<(), Error> {
        let remote: Remote = address.as_ref().parse()?;
        let calling = Calling::new(&self.0.node(), remote.to_string(), self.0.clock.now());
        let mut line = Line::new(calling, Arc::clone(&self.0), self.0.way(Some(remote))?);
        poll_fn(|cx| line.poll_until(cx, |calling| calling.is_over().then_some(()))).await;
        line.machine.error().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Takes leave of peers, makes everything sent durable and closes the data directory, for all handles of this node.
    /// After `deadline` it stops waiting for peers.
    ///
    /// # Errors
    /// [`Error`] if the runtime is shutting down.
    ///
    /// # Cancel safety
    /// The node is closing once this was polled; dropping it only stops waiting.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Error> {
        self.0.shut_down(deadline).await
    }
}

fn unasked(answer: &Answer) -> Error {
    Error::new(ErrorKind::Protocol, format!("this answers another question: {answer:?}"))
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}
