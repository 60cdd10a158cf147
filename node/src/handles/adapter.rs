//! What the handles ask of a runtime.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use netchan_proto::{Instant, Side};

use crate::error::Error;
use crate::handles::Hub;
use crate::machine::{Dialling, Lost};
use crate::receiver::ReceiverCore;
use crate::serve::Served;
use crate::target::Remote;

/// Something under way. An adapter that blocks may do all of it when it is polled.
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

/// A runtime, or the lack of one: sockets, tasks, timers, and how to wait for them. It takes no decision.
///
/// One belongs to each node. When it is dropped, its tasks are.
pub trait Adapter: fmt::Debug + Send + Sync + Sized + 'static {
    /// What a program gets for something that takes time: a future, or what comes of it.
    type Given<T: Send + 'static>;
    /// A byte stream of any kind.
    type Stream: Send + 'static;
    /// Where others come in.
    type Door: Send + Sync + 'static;
    /// The kind of door that a program can bring.
    type Listener: Into<Self::Door>;
    /// The handle of a receiver.
    type Receiver: Send + 'static;

    /// For one node. Its clock begins here.
    fn new() -> Self;

    /// Gives `work` to the program that asked for it.
    fn give<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Self::Given<T>;

    /// The machines' time.
    fn now(&self) -> Instant;

    /// Ready after `time`.
    fn pause(time: Duration) -> Task<()>;

    /// Does what may wait for the disk where that is allowed; also if nobody waits for it.
    fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<Result<T, Error>>;

    /// Runs a task that ends with the node at the latest.
    fn spawn(&self, task: Task<()>);

    /// As [`spawn`](Self::spawn), for a task that waits at a door, and ends first.
    fn spawn_door(&self, task: Task<()>);

    /// Closes the doors, and waits for the other tasks; drops those that are there still after `deadline`.
    fn end(&self, deadline: Duration) -> Task<()>;

    /// Calls a node. Gives up after the time that a handshake may take.
    fn call(remote: Remote) -> Task<io::Result<Self::Stream>>;

    /// Calls the program that holds a data directory, through its socket.
    fn call_socket(path: &Path) -> Task<io::Result<Self::Stream>>;

    /// Two streams that are each other's far end.
    fn pair() -> (Self::Stream, Self::Stream);

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

    /// Drives a served connection to its end; says why it is over.
    fn serve(&self, served: Served, stream: Self::Stream) -> Task<Lost>;

    /// Drives a machine until `found` finds something in it.
    fn drive<M: Dialling + 'static, T: Send + 'static>(
        hub: Arc<Hub<Self>>,
        machine: M,
        way: Way<Self::Stream>,
        found: impl FnMut(&mut M) -> Option<T> + Send + 'static,
    ) -> Task<T>;

    /// The handle of a receiver, once it [is settled](ReceiverCore::is_settled).
    fn receive(hub: Arc<Hub<Self>>, core: ReceiverCore, way: Way<Self::Stream>) -> Task<Self::Receiver>;
}

/// An adapter that takes an `S` for a byte stream.
pub trait Brings<S>: Adapter {
    /// The stream.
    fn bring(stream: S) -> Self::Stream;
}

/// An adapter that gets a byte stream from a `C`, which is what a program's closure gives it.
pub trait Connects<C>: Adapter {
    /// The stream, once there is one.
    fn connect(attempt: C) -> Task<io::Result<Self::Stream>>;
}
