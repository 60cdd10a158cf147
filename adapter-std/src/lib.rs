//! netchan on plain threads: the same words as with a runtime, but each call blocks until it is done.
//!
//! Every decision (when to dial again, where to resume, whom to trust) is taken below, in `netchan-node`, and the handles
//! stand there, written once for all runtimes; here threads wait for sockets and for each other, with nothing of a
//! runtime among the dependencies and no thread in the background that waits for others.
//!
//! A receiver, and whatever is asked of a node, is driven by the thread that calls. Each door, each served connection and each
//! sender to another node has a thread (and two descriptors for it to be woken by, beside its socket); what waits for the
//! disk, or for a call to come through, has one while it does. Needs `poll(2)`, and so Unix.
//!
//! | room | holds |
//! |---|---|
//! | `adapter` | what the handles ask of threads |
//! | `wait` | how a thread waits for sockets, times and other threads |
//! | `threads` | tasks, and what may wait for the disk |
//! | `sockets` | TCP and Unix sockets, and streams that a program brings |
#![forbid(unsafe_code)]

mod adapter;
mod os;
mod sockets;
mod threads;
mod wait;

pub use adapter::Std;
pub use netchan_node::words::*;

/// One program's part in netchan, on plain threads. See [`Handle`](netchan_node::Handle) for what it can do; what is said
/// there of being ready is here said of returning.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_std::{Node, Start};
///
/// let node = Node::builder().data_dir(dir.path()).start()?;
/// let log = node.sender("greetings").open()?;
/// log.send("hello")?.durable()?;
///
/// let mut greetings = node.receiver("greetings").from(Start::Earliest).open()?;
/// let record = greetings.recv()?.expect("the channel is not sealed");
/// assert_eq!(record.payload, "hello");
/// # Ok(()) }
/// ```
///
/// Serving a stream and [`dial`](netchan_node::Handle::dial) take the calling thread until they are over.
pub type Node = netchan_node::Handle<Std>;

/// What a node is told before it starts. Made by [`Node::builder`].
pub type NodeBuilder = netchan_node::NodeBuilder<Std>;

/// How to send into a channel. Made by [`Node::sender`].
pub type SenderBuilder = netchan_node::SenderBuilder<Std>;

/// How to receive from a channel. Made by [`Node::receiver`].
///
/// Over what a program brings: a TCP or a Unix connection, or a pair of halves, one to read from and one to write to.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use netchan_std::{Node, Side};
/// use std::process::{Command, Stdio};
///
/// let mut ssh = Command::new("ssh");
/// ssh.args(["build7", "netchan", "serve", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
/// let ssh = ssh.spawn()?;
/// let halves = (ssh.stdout.ok_or("no output")?, ssh.stdin.ok_or("no input")?);
/// let receiver = Node::builder().start()?.receiver("app").over(halves, Side::Dialler).open()?;
/// # Ok(()) }
/// ```
pub type ReceiverBuilder = netchan_node::ReceiverBuilder<Std>;

/// Sends into a channel. Made by [`SenderBuilder::open`](netchan_node::SenderBuilder::open).
pub type Sender = netchan_node::handles::blocking::Sender<Std>;

/// What became of a record that was sent.
pub type Sent = netchan_node::handles::blocking::Sent<Std>;

/// Receives a channel's records in order, over as many connections as it takes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use netchan_std::{ErrorKind, Event, Node, Start};
/// use std::time::Duration;
///
/// let node = Node::builder().data_dir(dir.path()).start()?;
/// let mut receiver = node.receiver("later").from(Start::Earliest).open()?;
/// assert!(matches!(receiver.next_event(), Some(Event::Connected { .. })));
/// let nothing = receiver.recv_timeout(Duration::from_millis(1)).unwrap_err();
/// assert_eq!(nothing.kind(), ErrorKind::TimedOut);
///
/// let log = node.sender("later").open()?;
/// log.send("at last")?;
/// log.seal()?;
/// let records = receiver.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(records[0].payload, "at last");
/// # Ok(()) }
/// ```
pub type Receiver = netchan_node::handles::blocking::Receiver<Std>;
