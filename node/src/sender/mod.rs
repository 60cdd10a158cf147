//! A sender: one face for a channel of this node and for a channel of another.
//!
//! Owns the futures of sending, on plain wakers: any runtime can wait on them, and a thread that blocks too. Where the
//! records go is the store's business, or the [publisher](crate::publisher)'s.

mod jobs;
mod partitions;
mod sent;
#[cfg(feature = "sink")]
mod sink;
mod waiting;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use netchan_proto::wire::Note;
use netchan_proto::{AsRecord, ChannelName, LogInfo, Offset, RecordRef};
use netchan_store::{AppendError, Log};

pub use self::jobs::JobRunner;
use self::jobs::Jobs;
pub use self::partitions::PartitionSenders;
pub use self::sent::{Reached, Sent};
#[cfg(feature = "sink")]
pub use self::sink::RecordSink;
use crate::attendance::Attendance;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::publisher::{Producer, Publisher, Refused, Ticket};

/// Sends into a channel. Cheap to clone; clones send into the same channel, each record whole and in some order.
///
/// With the last clone gone, what was sent goes out all the same, also to another node, for as long as that takes.
#[derive(Clone, Debug)]
pub struct Sender {
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Local { log: Log, jobs: Jobs, attendance: Option<Arc<Attendance>> },
    Remote(Publisher),
}

impl Sender {
    /// Sends into a log of this node. Sealing it, and asking about it, blocks the caller on the disk, unless it is told
    /// [where else](Self::running_jobs_on).
    #[must_use]
    pub fn local(log: Log) -> Sender {
        Sender { way: Way::Local { log, jobs: Jobs::default(), attendance: None } }
    }

    /// With this as the place for what blocks on the disk: a function that takes a job to a thread that may.
    #[must_use]
    pub fn running_jobs_on(mut self, runner: JobRunner) -> Sender {
        if let Way::Local { jobs, .. } = &mut self.way {
            jobs.0 = Some(runner);
        }
        self
    }

    /// Sends through a publisher: to another node, or to this one as a producer whose records count once over
    /// restarts.
    #[must_use]
    pub fn remote(publisher: Publisher) -> Sender {
        Sender { way: Way::Remote(publisher) }
    }

    /// The channel.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        match &self.way {
            Way::Local { log, .. } => log.name(),
            Way::Remote(publisher) => publisher.name(),
        }
    }

    /// The publisher it sends through; `None` if it appends to the log itself.
    #[must_use]
    pub fn publisher(&self) -> Option<&Publisher> {
        match &self.way {
            Way::Remote(publisher) => Some(publisher),
            Way::Local { .. } => None,
        }
    }

    /// The next thing that happened on the way to the channel: connected, lost, resumed. `None` when nothing will any
    /// more, and for a channel of this node, which has no way. Clones share the events, each is given out once; of several
    /// tasks that wait at a time the last that asked is woken.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn next_event(&self) -> Option<Event> {
        let events = self.publisher()?.events();
        poll_fn(|cx| events.poll_next(cx)).await
    }

    /// Sends a record: it has its place in order when this is ready, at once unless too much waits for the disk or the
    /// network.
    ///
    /// # Errors
    /// Why the channel takes no record; nothing was sent then.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped before it is ready, nothing was sent.
    pub fn send<R: AsRecord>(&self, record: R) -> SendFuture<'_, R> {
        SendFuture { sender: self, record, ticket: None }
    }

    /// Sends a record if that can be done at once.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if it cannot; else why the channel takes no record. Nothing was sent then.
    pub fn try_send<R: AsRecord>(&self, record: R) -> Result<Sent, Error> {
        self.send_by(record, Log::append)
    }

    /// As [`try_send`](Self::try_send), in a thread that may wait for the system to take a write.
    #[inline]
    pub(crate) fn try_send_waiting<R: AsRecord>(&self, record: R) -> Result<Sent, Error> {
        self.send_by(record, Log::append_waiting)
    }

    #[inline]
    fn send_by<R: AsRecord>(
        &self,
        record: R,
        append: impl Fn(&Log, &RecordRef<'_>) -> Result<Offset, AppendError>,
    ) -> Result<Sent, Error> {
        let record = record.as_record();
        match &self.way {
            Way::Local { log, .. } => match append(log, &record) {
                Ok(offset) => Ok(Sent::local(log.clone(), offset)),
                Err(error) => Err(Error::from(error).about(log.name())),
            },
            Way::Remote(publisher) => match publisher.shared().push(&record, None) {
                Ok(sequence) => Ok(Sent::remote(Arc::clone(publisher.shared()), sequence)),
                Err(Refused::Never(error)) => Err(error),
                Err(Refused::Full) => {
                    let text = "as much waits for the other side as may: nothing was sent";
                    Err(Error::new(ErrorKind::Full, text).about(publisher.name()))
                }
            },
        }
    }

    /// Sends records, one after the other; what others send may come between them. Gives what there is of the last one, and so of
    /// all before it; nothing for no records.
    ///
    /// # Errors
    /// As [`send`](Self::send), for the first record that was not sent: all before it were, and it says how many.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped before it is ready, the first of them are sent, and the others are not.
    pub async fn send_batch<R: AsRecord>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Option<Sent>, Error> {
        let mut last = None;
        for (index, record) in records.into_iter().enumerate() {
            let sent = match self.try_send(&record) {
                Err(error) if error.kind() == ErrorKind::Full => self.send(record).await,
                sent => sent,
            };
            last = Some(sent.map_err(|error| after(index, error))?);
        }
        Ok(last)
    }

    /// As [`send`](Self::send), to be polled with the ticket that is given to it each time.
    #[inline]
    fn poll_send(
        &self,
        record: &RecordRef<'_>,
        ticket: &mut Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sent, Error>> {
        match &self.way {
            Way::Remote(publisher) => match publisher.shared().push(record, Some((ticket, cx.waker()))) {
                Ok(sequence) => Poll::Ready(Ok(Sent::remote(Arc::clone(publisher.shared()), sequence))),
                Err(Refused::Never(error)) => Poll::Ready(Err(error)),
                Err(Refused::Full) => Poll::Pending,
            },
            Way::Local { log, .. } => loop {
                match log.append(record) {
                    Ok(offset) => return Poll::Ready(Ok(Sent::local(log.clone(), offset))),
                    Err(AppendError::Full) => ready!(log.poll_capacity(cx)),
                    Err(error) => return Poll::Ready(Err(Error::from(error).about(log.name()))),
                }
            },
        }
    }

    /// Who held this ticket waits no more.
    fn leave(&self, ticket: Option<Ticket>) {
        if let (Some(ticket), Way::Remote(publisher)) = (ticket, &self.way) {
            publisher.shared().leave_room(ticket);
        }
    }

    /// Ready when everything sent so far is durable, whatever the channel's mode.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub fn flush(&self) -> Reached {
        match &self.way {
            Way::Local { log, .. } => Reached::flush(log),
            Way::Remote(publisher) => Reached::remote(publisher.flush()),
        }
    }

    /// What is short, while nothing can be written for want of it: a full volume, most often. Waiting goes on until it is
    /// there; who does not want to wait asks here. Another node's volume is not told.
    #[must_use]
    pub fn shortage(&self) -> Option<Arc<str>> {
        match &self.way {
            Way::Local { log, .. } => log.shortage(),
            Way::Remote(_) => None,
        }
    }

    /// Seals the channel after everything sent so far: it takes nothing any more. Gives how many records it has had.
    ///
    /// # Errors
    /// What failed; the channel may be sealed all the same if the disk or the way to the other side did.
    ///
    /// # Cancel safety
    /// Dropped after it was first polled, the channel is sealed all the same.
    pub async fn seal(&self) -> Result<Offset, Error> {
        match &self.way {
            Way::Local { log, jobs, .. } => {
                let log = log.clone();
                jobs.run(move || log.seal().map_err(|error| Error::from(error).about(log.name()))).await
            }
            Way::Remote(publisher) => publisher.seal().await,
        }
    }

    /// What there is to know about the channel.
    ///
    /// # Errors
    /// What the other side answers, or why it can't.
    ///
    /// # Cancel safety
    /// Cancel safe: it changes nothing.
    pub async fn info(&self) -> Result<LogInfo, Error> {
        match &self.way {
            Way::Local { log, jobs, .. } => {
                let log = log.clone();
                jobs.run(move || Ok(log.info())).await
            }
            Way::Remote(publisher) => publisher.info().await,
        }
    }

    /// Where this producer stands: which of its records are in the channel already, and its note. Waits for the first
    /// connection.
    ///
    /// # Errors
    /// What refuses the publisher. [`ErrorKind::Config`] if the sender has no producer, because it appends to a log
    /// of this node itself.
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub async fn producer(&self) -> Result<Producer, Error> {
        match &self.way {
            Way::Local { log, .. } => Err(no_producer(log)),
            Way::Remote(publisher) => publisher.producer().await,
        }
    }

    /// Puts a note between the records so far and the next one, whose sequence it names (for instance how far the input
    /// was read): it is kept, durably, before any record after it is, and given back by [`producer`](Self::producer) in a
    /// later run. Only the newest is kept. It is on its way when this is ready; and since each costs a sync where it is
    /// kept, more than a few a second slow the records down.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `next_sequence` is not the next one, or the sender has no producer; what refuses records.
    ///
    /// # Cancel safety
    /// Ready when first polled.
    pub async fn note(&self, next_sequence: u64, note: Note) -> Result<(), Error> {
        match &self.way {
            Way::Local { log, .. } => Err(no_producer(log)),
            Way::Remote(publisher) => publisher.note(next_sequence, note),
        }
    }

    /// Takes nothing any more (clones neither), and is ready when everything sent is acknowledged as the channel's mode
    /// says. On a channel of this node it only waits for that.
    ///
    /// # Errors
    /// What kept records from being acknowledged.
    ///
    /// # Cancel safety
    /// Dropped after it was first polled, it closes all the same.
    pub async fn close(&self) -> Result<(), Error> {
        match &self.way {
            Way::Local { log, .. } => Reached::visible(log).await,
            Way::Remote(publisher) => publisher.close().await,
        }
    }
}

/// An error of a record of a batch, of which so many were sent before it.
pub(crate) fn after(sent: usize, error: Error) -> Error {
    error.about(format_args!("record {} of a batch (those before it were sent)", sent + 1))
}

fn no_producer(log: &Log) -> Error {
    let text = "this sender has no producer id: open it with one";
    Error::new(ErrorKind::Config, text).about(log.name())
}

/// Ready when the record has its place in order. Made by [`Sender::send`].
///
/// # Cancel safety
/// Cancel safe: dropped before it is ready, nothing was sent.
#[derive(Debug)]
#[must_use = "nothing is sent unless it is awaited"]
pub struct SendFuture<'a, R> {
    sender: &'a Sender,
    record: R,
    ticket: Option<Ticket>,
}

impl<R> Unpin for SendFuture<'_, R> {}

impl<R: AsRecord> Future for SendFuture<'_, R> {
    type Output = Result<Sent, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SendFuture { sender, record, ticket } = &mut *self;
        sender.poll_send(&record.as_record(), ticket, cx)
    }
}

impl<R> Drop for SendFuture<'_, R> {
    fn drop(&mut self) {
        self.sender.leave(self.ticket);
    }
}
