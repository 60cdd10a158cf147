//! The half that senders hold.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use netchan_proto::wire::{AckLevel, Note};
use netchan_proto::{ChannelName, LogInfo, Offset, ProducerId};

use super::queue::{Answer, Ask, Producer, Shared};
use super::waiters::Ticket;
use crate::error::{Error, ErrorKind};
use crate::event::Events;

/// A handle of a publisher: what [`Sender`](crate::Sender)s of a remote channel send through. Cheap to clone; with the
/// last one gone, what was sent goes out, and the publisher is over.
#[derive(Clone, Debug)]
pub struct Publisher {
    held: Arc<Held>,
}

/// Counts the handles by being shared among them.
#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.begin_close();
    }
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>) -> Publisher {
        Publisher { held: Arc::new(Held { shared }) }
    }

    /// The channel.
    pub fn name(&self) -> &ChannelName {
        &self.held.shared.name
    }

    /// Who publishes.
    pub fn producer_id(&self) -> ProducerId {
        self.held.shared.producer
    }

    /// What happens to the connection.
    pub fn events(&self) -> Events {
        self.held.shared.events.clone()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.held.shared
    }

    /// Ready when publishing has begun: who this producer is to the other side. Waits over as many connections as it
    /// takes.
    ///
    /// # Errors
    /// What ended the publisher, or refuses it.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub fn producer(&self) -> impl Future<Output = Result<Producer, Error>> + Send + use<> {
        let mut news = News { shared: Arc::clone(self.shared()), ticket: None };
        poll_fn(move |cx| news.shared.poll_producer(&mut news.ticket, cx.waker()))
    }

    /// Puts a note between the records so far and the next one, whose sequence it names: it is kept, durably, before
    /// any record after it is. See [`Sender::note`](crate::Sender::note).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `next_sequence` is not the next one; what refuses records. Nothing was noted then.
    pub fn note(&self, next_sequence: u64, note: Note) -> Result<(), Error> {
        self.shared().note(next_sequence, note)
    }

    /// Seals the channel after everything sent so far. Nothing is taken any more from the call on, unless it fails.
    ///
    /// # Errors
    /// What the other side answers, or what ended the publisher.
    ///
    /// # Cancel safety
    /// Dropped, it is sealed all the same.
    pub fn seal(&self) -> impl Future<Output = Result<Offset, Error>> + Send + use<> {
        let reply = self.shared().ask(Ask::Seal);
        poll_fn(move |cx| {
            reply.poll(cx.waker()).map(|answer| match answer? {
                Answer::Sealed(at) => Ok(at),
                Answer::Info(_) => Err(unasked()),
            })
        })
    }

    /// What there is to know about the channel.
    ///
    /// # Errors
    /// What the other side answers, or what ended the publisher.
    ///
    /// # Cancel safety
    /// Cancel safe: it changes nothing.
    pub fn info(&self) -> impl Future<Output = Result<LogInfo, Error>> + Send + use<> {
        let reply = self.shared().ask(Ask::Info);
        poll_fn(move |cx| {
            reply.poll(cx.waker()).map(|answer| match answer? {
                Answer::Info(info) => Ok(*info),
                Answer::Sealed(_) => Err(unasked()),
            })
        })
    }

    /// Ready when everything sent so far is durable.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub fn flush(&self) -> Reached {
        let sequence = self.shared().last_sequence();
        Reached::new(Arc::clone(self.shared()), sequence, AckLevel::Durable)
    }

    /// Takes nothing any more, and is ready when everything sent is acknowledged and the publisher is over.
    ///
    /// # Errors
    /// What ended the publisher before.
    ///
    /// # Cancel safety
    /// Dropped, it closes all the same.
    pub fn close(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.shared().begin_close();
        let mut news = News { shared: Arc::clone(self.shared()), ticket: None };
        poll_fn(move |cx| news.shared.poll_over(&mut news.ticket, cx.waker()))
    }
}

fn unasked() -> Error {
    Error::new(ErrorKind::Protocol, "the answer is not to what was asked")
}

/// Waits for something rare; gives its place back when dropped.
struct News {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.leave_news(ticket);
        }
    }
}

/// Ready when a record, and with it all before it, is as safe as was asked for.
///
/// # Cancel safety
/// Cancel safe: it only looks.
#[derive(Debug)]
#[must_use = "it only waits when it is awaited"]
pub struct Reached {
    shared: Arc<Shared>,
    /// `None`: nothing was sent, so there is nothing to wait for.
    sequence: Option<u64>,
    level: AckLevel,
    ticket: Option<Ticket>,
}

impl Reached {
    pub(crate) fn new(shared: Arc<Shared>, sequence: Option<u64>, level: AckLevel) -> Reached {
        Reached { shared, sequence, level, ticket: None }
    }
}

impl Future for Reached {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Reached { shared, sequence, level, ticket } = &mut *self;
        match *sequence {
            Some(sequence) => shared.poll_reached(sequence, *level, ticket, cx.waker()),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.leave_reached(self.level, ticket);
        }
    }
}
