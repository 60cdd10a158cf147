//! netchan on tokio: sockets, timers and tasks, and nothing else.
//!
//! Every decision (when to dial again, where to resume, whom to trust) is taken below, in `netchan-node`, and the handles
//! stand there, written once for all runtimes; here bytes go between its machines and the streams of this runtime.
//!
//! | room | holds |
//! |---|---|
//! | `adapter` | what the handles ask of tokio: tasks, doors, calls |
//! | `clock` | tokio's time |
//! | `sockets` | TCP and Unix sockets |
#![forbid(unsafe_code)]

mod adapter;
mod clock;
mod sockets;

pub use adapter::Tokio;
pub use netchan_node::words::*;
pub use netchan_node::{Sender, Sent};
pub use sockets::ByteStream;

/// One program's part in netchan, on tokio. See [`Handle`](netchan_node::Handle) for what it can do.
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
///
/// [`channels`](netchan_node::Handle::channels) lists those of a place:
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
/// [`dial`](netchan_node::Handle::dial) is for a node that cannot be called itself:
///
/// ```no_run
/// # async fn example(node: netchan_tokio::Node) -> Result<(), netchan_tokio::Error> {
/// // There: node.receiver("my_log").accept_on(TcpListener::bind("0.0.0.0:5000").await?)
/// node.dial("receiver.example:5000").await
/// # }
/// ```
pub type Node = netchan_node::Handle<Tokio>;

/// What a node is told before it starts. Made by [`Node::builder`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_tokio::Node;
///
/// let node = Node::builder()
///     .data_dir(dir.path())
///     .listen("127.0.0.1:0")
///     .token("known to both sides")
///     .start()
///     .await?;
/// assert!(node.local_addr().is_some());
/// # Ok(()) }
/// ```
pub type NodeBuilder = netchan_node::NodeBuilder<Tokio>;

/// How to send into a channel. Made by [`Node::sender`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_tokio::{Durability, NewRecord, Node, Offset};
///
/// let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await?;
/// let address = node.local_addr().ok_or("not listening")?;
///
/// // As any other node would:
/// let elsewhere = Node::builder().start().await?;
/// let prices = elsewhere.sender(format!("{address}/prices")).durability(Durability::Os).open().await?;
/// let sent = prices.send(NewRecord::new("3.20").key("coffee")).await?;
/// sent.written().await?;
/// assert_eq!(sent.offset(), Some(Offset(0)));
/// # Ok(()) }
/// ```
pub type SenderBuilder = netchan_node::SenderBuilder<Tokio>;

/// How to receive from a channel. Made by [`Node::receiver`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_tokio::{Node, Start};
///
/// let node = Node::builder().data_dir(dir.path()).start().await?;
/// let numbers = node.sender("numbers").open().await?;
/// for number in ["one", "two", "three"] {
///     numbers.send(number).await?;
/// }
/// numbers.flush().await?;
///
/// let mut last = node.receiver("numbers").from(Start::Last(1)).follow(false).open().await?;
/// assert_eq!(last.recv().await?.ok_or("nothing")?.payload, "three");
/// assert!(last.recv().await?.is_none());
/// # Ok(()) }
/// ```
pub type ReceiverBuilder = netchan_node::ReceiverBuilder<Tokio>;

/// Receives a channel's records in order, over as many connections as it takes.
///
/// What it knows of its connection it tells beside them:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_tokio::{Event, Node};
///
/// let node = Node::builder().data_dir(dir.path()).start().await?;
/// let mut receiver = node.receiver("later").open().await?;
/// assert!(matches!(receiver.next_event().await, Some(Event::Connected { .. })));
/// assert!(matches!(receiver.next_event().await, Some(Event::Waiting)));
/// # Ok(()) }
/// ```
pub type Receiver = netchan_node::handles::Receiver<Tokio>;
