//! netchan on smol: sockets, timers and tasks, and nothing else.
//!
//! Every decision (when to dial again, where to resume, whom to trust) is taken below, in `netchan-node`, and the handles
//! stand there, written once for all runtimes. Doors, served connections and senders to other nodes are tasks of smol's
//! global executor, whose thread starts with the first of them.
//!
//! | room | holds |
//! |---|---|
//! | `adapter` | what the handles ask of smol: tasks, time |
//! | `sockets` | TCP and Unix sockets, and streams that a program brings |
#![forbid(unsafe_code)]

mod adapter;
mod sockets;

pub use adapter::Smol;
pub use netchan_node::words::*;
pub use netchan_node::{Sender, Sent};
pub use sockets::ByteStream;

/// One program's part in netchan, on smol. See [`Handle`](netchan_node::Handle) for what it can do.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
/// # let dir = tempfile::tempdir()?;
/// use netchan_smol::{Node, Start};
///
/// let node = Node::builder().data_dir(dir.path()).start().await?;
/// let log = node.sender("greetings").open().await?;
/// log.send("hello").await?.durable().await?;
///
/// let mut greetings = node.receiver("greetings").from(Start::Earliest).open().await?;
/// let record = greetings.recv().await?.expect("the channel is not sealed");
/// assert_eq!(record.payload, "hello");
/// # Ok(()) }) }
/// ```
pub type Node = netchan_node::Handle<Smol>;

/// What a node is told before it starts. Made by [`Node::builder`].
pub type NodeBuilder = netchan_node::NodeBuilder<Smol>;

/// How to send into a channel. Made by [`Node::sender`].
pub type SenderBuilder = netchan_node::SenderBuilder<Smol>;

/// How to receive from a channel. Made by [`Node::receiver`].
pub type ReceiverBuilder = netchan_node::ReceiverBuilder<Smol>;

/// Receives a channel's records in order, over as many connections as it takes. It is a `Stream` too.
///
/// What it knows of its connection it tells beside them:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
/// # let dir = tempfile::tempdir()?;
/// use netchan_smol::{Event, Node, Start};
/// use smol::stream::StreamExt;
///
/// let node = Node::builder().data_dir(dir.path()).start().await?;
/// let mut receiver = node.receiver("later").from(Start::Earliest).open().await?;
/// assert!(matches!(receiver.next_event().await, Some(Event::Connected { .. })));
/// assert!(matches!(receiver.next_event().await, Some(Event::Waiting)));
///
/// node.sender("later").open().await?.send("at last").await?;
/// assert_eq!(receiver.next().await.ok_or("sealed")??.payload, "at last");
/// # Ok(()) }) }
/// ```
pub type Receiver = netchan_node::handles::Receiver<Smol>;
