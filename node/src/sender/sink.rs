//! A sender as a sink of records.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use netchan_proto::AsRecord;

use super::{Reached, Sender};
use crate::error::{Error, ErrorKind};
use crate::publisher::Ticket;

impl Sender {
    /// A [`Sink`] of records, which sends them into this channel.
    #[must_use]
    pub fn into_sink<R: AsRecord>(self) -> RecordSink<R> {
        RecordSink { sender: self, waiting: None, ticket: None, flushing: None }
    }
}

/// A sender as a [`Sink`]. Made by [`Sender::into_sink`].
///
/// It holds one record at most, which waits for its place in order; if it is dropped then, that record was not sent. It is ready for the
/// next one when that has its place, flushed when everything that was sent into the channel before is durable, and closing is
/// flushing: the channel is not sealed.
///
/// What is polled here may be given up at any time: no record is lost or doubled by that.
pub struct RecordSink<R> {
    sender: Sender,
    waiting: Option<R>,
    ticket: Option<Ticket>,
    flushing: Option<Reached>,
}

impl<R> Unpin for RecordSink<R> {}

impl<R> RecordSink<R> {
    /// The sender, for what a sink does not do.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.sender
    }
}

impl<R: AsRecord> Sink<R> for RecordSink<R> {
    type Error = Error;

    /// # Errors
    /// Why the channel takes the record that waits: it was not sent, and waits no more.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let RecordSink { sender, waiting, ticket, .. } = &mut *self;
        let Some(record) = waiting else { return Poll::Ready(Ok(())) };
        let sent = ready!(sender.poll_send(&record.as_record(), ticket, cx));
        *waiting = None;
        sender.leave(ticket.take());
        Poll::Ready(sent.map(drop))
    }

    /// # Errors
    /// [`ErrorKind::Full`](crate::ErrorKind::Full) if it is not ready: another record waits, and this one is not sent.
    fn start_send(mut self: Pin<&mut Self>, record: R) -> Result<(), Error> {
        if self.waiting.is_some() {
            let text = "a record waits for its place already: poll_ready first";
            return Err(Error::new(ErrorKind::Full, text).about(self.sender.name()));
        }
        self.waiting = Some(record);
        self.flushing = None;
        Ok(())
    }

    /// # Errors
    /// As [`poll_ready`](Self::poll_ready), and why what was sent cannot become durable.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_ready(cx))?;
        let RecordSink { sender, flushing, .. } = &mut *self;
        let flushed = ready!(Pin::new(flushing.get_or_insert_with(|| sender.flush())).poll(cx));
        *flushing = None;
        Poll::Ready(flushed)
    }

    /// # Errors
    /// As [`poll_flush`](Self::poll_flush).
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(cx)
    }
}

impl<R> Drop for RecordSink<R> {
    fn drop(&mut self) {
        self.sender.leave(self.ticket.take());
    }
}

impl<R> fmt::Debug for RecordSink<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordSink")
            .field("sender", &self.sender)
            .field("waits", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}
