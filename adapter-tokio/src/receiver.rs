//! Receiving from a channel.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use netchan_proto::{Position, Record, Side, Start, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::{Error, Event};

/// How to receive from a channel. Made by [`Node::receiver`](crate::Node::receiver).
#[derive(Debug)]
#[must_use = "nothing happens before open()"]
pub struct ReceiverBuilder;

impl ReceiverBuilder {
    /// Where to begin; [`Start::Latest`] if nothing is said.
    pub fn from(self, _start: Start) -> ReceiverBuilder {
        self
    }

    /// Bytes that may be under way to this receiver. Default 1 MiB.
    pub fn window(self, _bytes: u64) -> ReceiverBuilder {
        self
    }

    /// Whether to go on past what is there now (the default).
    pub fn follow(self, _follow: bool) -> ReceiverBuilder {
        self
    }

    /// Whether to wait for a channel that does not exist yet (the default).
    pub fn wait(self, _wait: bool) -> ReceiverBuilder {
        self
    }

    /// Ends before the first record at or after this time.
    pub fn until(self, _time: Timestamp) -> ReceiverBuilder {
        self
    }

    /// Receives over this stream; when it ends, so does the receiver. `side` says who called.
    pub fn over<S>(self, _stream: S, _side: Side) -> ReceiverBuilder
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self
    }

    /// Receives over streams that `connect` makes, one after the other.
    pub fn connect_with<C, F, S>(self, _connect: C) -> ReceiverBuilder
    where
        C: FnMut() -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self
    }

    /// Receives from a node that calls here ([`Node::dial`](crate::Node::dial)).
    pub fn accept_on(self, _listener: TcpListener) -> ReceiverBuilder {
        self
    }

    /// A receiver; it connects when it is first asked for a record.
    ///
    /// # Errors
    /// [`Error`] if the target or an option is not valid.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(self) -> Result<Receiver, Error> {
        unimplemented!()
    }
}

/// Receives a channel's records in order, over as many connections as it takes.
#[derive(Debug)]
pub struct Receiver;

impl Receiver {
    /// The next record. `None`: the channel is sealed and all of it was received (or, not following, the end
    /// was reached).
    ///
    /// # Errors
    /// [`ErrorKind::Gap`](crate::ErrorKind::Gap) and [`ErrorKind::Truncated`](crate::ErrorKind::Truncated) are
    /// told once, then it goes on; after any other error comes `None`.
    ///
    /// # Cancel safety
    /// Cancel safe: no record is lost if it is dropped before it is ready.
    pub async fn recv(&mut self) -> Result<Option<Record>, Error> {
        unimplemented!()
    }

    /// As [`recv`](Self::recv), to be polled.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, _cx: &mut Context<'_>) -> Poll<Result<Option<Record>, Error>> {
        unimplemented!()
    }

    /// Where to go on later: after the last record that was given. `None` before the first connection.
    pub fn position(&self) -> Option<Position> {
        unimplemented!()
    }

    /// Goes on from elsewhere.
    pub fn seek(&mut self, _start: Start) {
        unimplemented!()
    }

    /// What happened to the connection (connected, lost, resumed), oldest first. Drives the receiver, so it makes
    /// progress while nobody asks for records.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        unimplemented!()
    }

    /// As [`next_event`](Self::next_event), to be polled.
    pub fn poll_event(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Event>> {
        unimplemented!()
    }
}

impl Stream for Receiver {
    type Item = Result<Record, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}
