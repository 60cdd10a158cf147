//! Receiving from a channel: the user's own task drives the connection, inside [`Receiver::recv`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use netchan_node::{Error, Event, Lost, Machine, Next, ReceiverCore, ReceiverOptions, Remote, Target};
use netchan_proto::{Position, Record, Side, Start, Timestamp};
use tokio::net::TcpListener;

use crate::hub::Hub;
use crate::line::{Attempt, Line, Reached, Way, through};
use crate::pump::ByteStream;
use crate::sockets;

/// How to receive from a channel. Made by [`Node::receiver`](crate::Node::receiver).
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
#[must_use = "nothing happens before open()"]
pub struct ReceiverBuilder {
    hub: Arc<Hub>,
    what: Result<(Option<Remote>, ReceiverOptions), Error>,
    way: Option<Way>,
}

impl ReceiverBuilder {
    pub(crate) fn new(hub: Arc<Hub>, target: &str) -> ReceiverBuilder {
        let what = Target::parse(target).map(|target| (target.remote, ReceiverOptions::new(target.name)));
        ReceiverBuilder { hub, what, way: None }
    }

    /// Where to begin; [`Start::Latest`], the next record to come, if nothing is said.
    pub fn from(self, start: Start) -> ReceiverBuilder {
        self.set(|options| options.start = start)
    }

    /// Bytes that may be under way to this receiver. Default 1 MiB.
    pub fn window(self, bytes: u64) -> ReceiverBuilder {
        self.set(|options| options.window = bytes)
    }

    /// Whether to go on past what is there at the first connection (the default).
    pub fn follow(self, follow: bool) -> ReceiverBuilder {
        self.set(|options| options.follow = follow)
    }

    /// Whether to wait for a channel that does not exist yet (the default).
    pub fn wait(self, wait: bool) -> ReceiverBuilder {
        self.set(|options| options.wait = wait)
    }

    /// Ends before the first record at or after this time.
    pub fn until(self, time: Timestamp) -> ReceiverBuilder {
        self.set(|options| options.until = Some(time))
    }

    /// Receives over this one stream, which is up already; `side` says which part it has in the handshake. The host
    /// and port of the target, if it has them, are for messages only.
    pub fn over(self, stream: impl ByteStream, side: Side) -> ReceiverBuilder {
        let mut stream = Some(stream);
        self.by(move || {
            let stream =
                stream.take().ok_or_else(|| Lost::Final("the stream that was given has ended".into()));
            async move { Ok(Reached::new(stream?, side)) }
        })
    }

    /// Receives over streams that `connect` makes, a new one whenever the last was lost.
    pub fn connect_with<S: ByteStream, F>(
        self,
        connect: impl FnMut() -> F + Send + 'static,
    ) -> ReceiverBuilder
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
    {
        ReceiverBuilder { way: Some(through(connect)), ..self }
    }

    /// Receives from a node that calls here, see [`Node::dial`](crate::Node::dial).
    pub fn accept_on(self, listener: TcpListener) -> ReceiverBuilder {
        let listener = Arc::new(listener);
        self.by(move || {
            let listener = Arc::clone(&listener);
            async move { Ok(Reached::new(sockets::tuned(listener.accept().await?.0), Side::Listener)) }
        })
    }

    fn set(mut self, set: impl FnOnce(&mut ReceiverOptions)) -> ReceiverBuilder {
        self.what = self.what.map(|(remote, mut options)| {
            set(&mut options);
            (remote, options)
        });
        self
    }

    fn by<F>(self, mut way: impl FnMut() -> F + Send + 'static) -> ReceiverBuilder
    where
        F: Future<Output = Result<Reached, Lost>> + Send + 'static,
    {
        ReceiverBuilder { way: Some(Box::new(move || Box::pin(way()) as Attempt)), ..self }
    }

    /// A receiver. Waits until the other side has said where reading begins (so that nothing sent later is missed), or
    /// that the channel does not exist yet, or until a first attempt to reach it failed (it is tried again by
    /// [`recv`](Receiver::recv)); with [`accept_on`](Self::accept_on) for the first call.
    ///
    /// # Errors
    /// [`ErrorKind::Target`](crate::ErrorKind::Target) if the target is none. What the other side has to say
    /// against it, `recv` tells.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(self) -> Result<Receiver, Error> {
        let (remote, options) = self.what?;
        let way = match self.way {
            Some(way) => way,
            None => self.hub.way(remote)?,
        };
        let core = ReceiverCore::new(&self.hub.node(), options);
        let mut receiver = Receiver { line: Mutex::new(Line::new(core, self.hub, way)) };
        poll_fn(|cx| receiver.line().poll_until(cx, |core| core.is_settled().then_some(()))).await;
        Ok(receiver)
    }
}

/// Receives a channel's records in order, over as many connections as it takes.
///
/// It is driven by whoever asks it: there is no task behind it, and what nobody asks for stays with the sender. A program
/// that is busy with a record for more than ten minutes is taken for gone; asking for the next one connects again.
///
/// It is a [`Stream`] of its records and errors too. What it knows of its connection it tells beside them:
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
pub struct Receiver {
    /// Never locked but to be looked at: what drives it has it by `&mut`.
    line: Mutex<Line<ReceiverCore>>,
}

impl Receiver {
    /// The next record. `None`: the channel is sealed and all of it was received (or the end that was asked for is
    /// reached).
    ///
    /// # Errors
    /// [`ErrorKind::Gap`](crate::ErrorKind::Gap) and [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) are told
    /// once, then it goes on. After any other error comes `None`. A lost connection is no error: it is made again.
    ///
    /// # Cancel safety
    /// Cancel safe: no record is lost if it is dropped before it is ready.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<Record>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), to be polled.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>, Error>> {
        let line = self.line();
        loop {
            match line.machine.next(line.now) {
                Next::Record(record) => return Poll::Ready(Ok(Some(record))),
                Next::Error(error) => return Poll::Ready(Err(error)),
                Next::Over => {
                    line.hang_up();
                    return Poll::Ready(Ok(None));
                }
                Next::Idle => ready!(line.poll_step(cx)),
            }
        }
    }

    /// Where to go on later: after the last record that was given. `None` until it is known where reading begins.
    pub fn position(&self) -> Option<Position> {
        self.look().machine.position()
    }

    /// Goes on from elsewhere, also after the end.
    pub fn seek(&mut self, start: Start) {
        self.line().machine.seek(start);
    }

    /// The next thing that happened beside the records: connected, lost, resumed. `None` when nothing will any more.
    /// The receiver is driven meanwhile, up to its window.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// As [`next_event`](Self::next_event), to be polled.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.line().poll_until(cx, |core| {
            let event = core.poll_event();
            (event.is_some() || core.is_over()).then_some(event)
        })
    }

    fn line(&mut self) -> &mut Line<ReceiverCore> {
        self.line.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> MutexGuard<'_, Line<ReceiverCore>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.look();
        f.debug_struct("Receiver")
            .field("channel", line.machine.name())
            .field("position", &line.machine.position())
            .finish_non_exhaustive()
    }
}

impl Stream for Receiver {
    type Item = Result<Record, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}
