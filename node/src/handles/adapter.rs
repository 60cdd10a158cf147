//! What the handles ask of a runtime.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use netchan_proto::conn::Outbound;
use netchan_proto::{Instant, Side};

use crate::error::Error;
use crate::handles::Receiver;
use crate::machine::Lost;
use crate::sender::Sender;
use crate::target::Remote;

/// Something under way.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes attempts to get a stream.
pub type Way<S> = Box<dyn FnMut() -> Task<Result<Reached<S>, Lost>> + Send>;

/// A stream that is up.
#[derive(Debug)]
pub struct Reached<S> {
    /// The stream.
    pub stream: S,
    /// Who called.
    pub side: Side,
    /// Whether the stream proves by itself who is across.
    pub trusted: bool,
}

impl<S> Reached<S> {
    /// Over a stream that anybody could have made.
    pub fn new(stream: S, side: Side) -> Reached<S> {
        Reached { stream, side, trusted: false }
    }
}

/// One who came in by a door.
#[derive(Debug)]
pub struct Entered<S> {
    /// The stream.
    pub stream: S,
    /// Where it comes from; `None` where callers have no addresses.
    pub address: Option<SocketAddr>,
}

/// Silence on a connection after which the operating system is to ask whether the peer's machine is there at all.
pub const KEEPALIVE: Duration = Duration::from_secs(60);

/// Longer than any program runs: what a timer is set to at most.
pub const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// A clock with a bell.
pub trait Alarm: Send + Unpin {
    /// The time, as all of one node's alarms tell it.
    fn now(&self) -> Instant;

    /// Ready once `deadline` has passed. It may have been another one at the last look.
    fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A task that runs, or has run: ready when it has ended, however that came about. Dropping it ends it where it waits
/// next, and neither waits nor panics, wherever that is done.
pub trait Running: Future<Output = ()> + Send + Unpin + 'static {
    /// Whether it has ended.
    fn has_ended(&self) -> bool;

    /// Ends it where it waits next; ready when what it held is gone.
    fn end(self) -> Task<()>;
}

/// A runtime, or the lack of one: sockets, tasks, timers, and how to wait for them. It takes no decision.
///
/// One belongs to each node. What is polled here is polled by what [`give`](Self::give) or [`spawn`](Self::spawn) makes of
/// a future, and always by the whole of it: an adapter without a runtime keeps a list of what was pending in the last
/// poll, and waits for that.
pub trait Adapter: fmt::Debug + Send + Sync + Sized + 'static {
    /// What a program gets for something that takes time: a future, or what comes of it.
    type Given<T: Send + 'static>;
    /// A byte stream of any kind.
    type Stream: Send + Unpin + 'static;
    /// Where others come in.
    type Door: Send + Sync + 'static;
    /// The kind of door that a program can bring.
    type Listener: Into<Self::Door>;
    /// A timer.
    type Alarm: Alarm;
    /// A task.
    type Running: Running;
    /// The handle of a sender.
    type Sender: From<Sender> + Send + 'static;
    /// The handle of a receiver.
    type Receiver: From<Receiver<Self>> + Send + 'static;

    /// For one node. Its clock begins here.
    fn new() -> Self;

    /// Gives `work` to the program that asked for it.
    fn give<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Self::Given<T>;

    /// A timer that is not set, by the node's clock.
    fn alarm(&self) -> Self::Alarm;

    /// Runs a task.
    fn spawn(task: Task<()>) -> Self::Running;

    /// Does what may wait for the disk where that is allowed; also if nobody waits for it.
    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<Result<T, Error>>;

    /// Calls a node.
    fn call(remote: Remote) -> Task<io::Result<Self::Stream>>;

    /// Calls the program that holds a data directory, through its socket.
    fn call_socket(path: &Path) -> Task<io::Result<Self::Stream>>;

    /// Two streams that are each other's far end.
    ///
    /// # Errors
    /// What the operating system says, if it has a part in it.
    fn pair() -> io::Result<(Self::Stream, Self::Stream)>;

    /// Listens on the first of these addresses that is free; says which. May block.
    ///
    /// # Errors
    /// What the operating system says.
    fn listen(addresses: &[SocketAddr]) -> io::Result<(Self::Door, SocketAddr)>;

    /// Listens on the socket of a data directory; see [`place::listen_at`](crate::place::listen_at). `None` where there
    /// are no such sockets. May block.
    ///
    /// # Errors
    /// What the operating system says.
    fn listen_socket(path: &Path) -> io::Result<Option<Self::Door>>;

    /// The next one who comes in.
    fn accept(door: &Arc<Self::Door>) -> Task<io::Result<Entered<Self::Stream>>>;

    /// Reads once, to the end of `into`, at most as much as there is room for without making more. 0: the end. A stream
    /// that wants initialised memory is read through a [`Gulp`](crate::handles::Gulp).
    fn poll_read(
        stream: &mut Self::Stream,
        into: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;

    /// Writes once, and takes what was written off `from`.
    fn poll_write(
        stream: &mut Self::Stream,
        from: &mut Outbound,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;

    /// Sends on what the stream keeps to itself, if it keeps anything.
    fn poll_flush(_stream: &mut Self::Stream, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written. Nobody asks again.
    fn poll_close(stream: &mut Self::Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// An adapter that takes an `S` for a byte stream.
pub trait Brings<S>: Adapter {
    /// The stream.
    ///
    /// # Errors
    /// What the operating system says, if it has a part in it.
    fn bring(stream: S) -> io::Result<Self::Stream>;
}

/// An adapter that gets byte streams from a program's closure, which gives it a `C` each time.
pub trait Connects<C>: Adapter {
    /// Makes attempts to get a stream.
    fn connects(
        connect: impl FnMut() -> C + Send + 'static,
    ) -> Box<dyn FnMut() -> Task<io::Result<Self::Stream>> + Send>;
}
