//! The handles of programs that wait in place of awaiting: the same words, but each call blocks until it is done.
//!
//! Owns nothing but the names. How a thread waits is the adapter's.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use netchan_proto::wire::Note;
use netchan_proto::{AsRecord, ChannelName, LogInfo, Offset, Position, Positions, Record, Start};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::handles::{self, Adapter};
use crate::publisher::Producer;
use crate::sender;

/// An adapter whose programs wait.
pub trait Blocks: Adapter {
    /// What comes of a future, unless it takes longer than `time`, if one is given; what can be had at once, it has.
    /// Blocks.
    fn block_for<F: Future>(time: Option<Duration>, work: F) -> Option<F::Output>;

    /// What comes of a future. Blocks.
    #[inline]
    fn block_on<F: Future>(work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            if let Some(output) = Self::block_for(None, work.as_mut()) {
                return output;
            }
        }
    }
}

/// Sends into a channel. Cheap to clone; clones send into the same channel, each record whole and in some order.
///
/// With the last clone gone, what was sent goes out all the same, also to another node, for as long as that takes.
pub struct Sender<A> {
    sender: sender::Sender,
    adapter: PhantomData<fn() -> A>,
}

impl<A> From<sender::Sender> for Sender<A> {
    fn from(sender: sender::Sender) -> Sender<A> {
        Sender { sender, adapter: PhantomData }
    }
}

impl<A> Clone for Sender<A> {
    fn clone(&self) -> Sender<A> {
        self.sender.clone().into()
    }
}

impl<A> fmt::Debug for Sender<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.fmt(f)
    }
}

impl<A: Blocks> Sender<A> {
    /// The channel.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        self.sender.name()
    }

    /// Sends a record: it has its place in order when this returns, at once unless too much waits for the disk or the
    /// network.
    ///
    /// # Errors
    /// Why the channel takes no record; nothing was sent then.
    #[inline]
    pub fn send(&self, record: impl AsRecord) -> Result<Sent<A>, Error> {
        match self.sender.try_send_waiting(&record) {
            Err(error) if error.kind() == ErrorKind::Full => {
                A::block_on(self.sender.send(record)).map(Sent::from)
            }
            sent => sent.map(Sent::from),
        }
    }

    /// Sends a record if that can be done at once.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if it cannot; else why the channel takes no record. Nothing was sent
    /// then.
    pub fn try_send(&self, record: impl AsRecord) -> Result<Sent<A>, Error> {
        self.sender.try_send(record).map(Sent::from)
    }

    /// Sends records, one after the other; what others send may come between them. Gives what there is of the last one, and so of
    /// all before it; nothing for no records.
    ///
    /// # Errors
    /// As [`send`](Self::send), for the first record that was not sent: all before it were, and it says how many.
    pub fn send_batch<R: AsRecord>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Option<Sent<A>>, Error> {
        let mut last = None;
        for (index, record) in records.into_iter().enumerate() {
            last = Some(self.send(record).map_err(|error| sender::after(index, error))?);
        }
        Ok(last)
    }

    /// How many receivers are connected to the channel now: each has opened it and was told where it begins, in this program or
    /// in others.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a channel of another node, and for a sender that has a
    /// [producer](crate::SenderBuilder::producer): who receives is known to a sender that appends to the log itself.
    pub fn receivers(&self) -> Result<usize, Error> {
        self.sender.receivers()
    }

    /// Whether a receiver is connected to the channel now.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers).
    pub fn ready(&self) -> Result<bool, Error> {
        self.sender.ready()
    }

    /// Waits until at least `receivers` of them are connected to the channel, among them those [by a
    /// pattern](crate::handles::PatternReceiver), which [`done`](Self::done) and [`send_to`](Self::send_to) do not count.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers); [`ErrorKind::Closed`] when the node shuts down, and what the channel fails by.
    pub fn wait_until_ready(&self, receivers: usize) -> Result<(), Error> {
        A::block_on(self.sender.wait_until_ready(receivers))
    }

    /// As [`wait_until_ready`](Self::wait_until_ready), for at most `time`.
    ///
    /// # Errors
    /// As [`wait_until_ready`](Self::wait_until_ready), and [`ErrorKind::TimedOut`].
    pub fn wait_until_ready_timeout(&self, receivers: usize, time: Duration) -> Result<(), Error> {
        in_time::<A, _>(time, self.sender.wait_until_ready(receivers))
    }

    /// Waits until the receivers that are connected now have everything that was sent into the channel so far, by anybody. Gives
    /// how many of them do. What that means, and what of those that leave, is said at [`Sender::done`](sender::Sender::done).
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers), and what kept records from being acknowledged.
    pub fn done(&self) -> Result<usize, Error> {
        A::block_on(self.sender.done())
    }

    /// As [`done`](Self::done), for at most `time`.
    ///
    /// # Errors
    /// As [`done`](Self::done), and [`ErrorKind::TimedOut`].
    pub fn done_timeout(&self, time: Duration) -> Result<usize, Error> {
        in_time::<A, _>(time, self.sender.done())
    }

    /// Sends a record, and returns when at least `receivers` of the channel have it, in the sense of [`done`](Self::done): with 1
    /// it is the send of a channel without a buffer. Those count that are there, those that come while it waits and
    /// began at or before the record, and those that had it and left; not those [by a pattern](crate::handles::PatternReceiver): it
    /// waits for ever where no other comes.
    ///
    /// # Errors
    /// As [`receivers`](Self::receivers), and why the channel takes no record: nothing was sent then.
    /// [`ErrorKind::Closed`] when the node shuts down, and what the channel fails by: the record was sent then.
    pub fn send_to(&self, receivers: usize, record: impl AsRecord) -> Result<Sent<A>, Error> {
        A::block_on(self.sender.send_to(receivers, record)).map(Sent::from)
    }

    /// Waits until everything sent so far is durable, whatever the channel's mode.
    ///
    /// # Errors
    /// What keeps it from being that.
    pub fn flush(&self) -> Result<(), Error> {
        A::block_on(self.sender.flush())
    }

    /// What is short, while nothing can be written for want of it: a full volume, most often. Waiting goes on until it is
    /// there; who does not want to wait asks here. Another node's volume is not told.
    #[must_use]
    pub fn shortage(&self) -> Option<Arc<str>> {
        self.sender.shortage()
    }

    /// Seals the channel after everything sent so far: it takes nothing any more. Gives how many records it has had.
    ///
    /// # Errors
    /// What failed; the channel may be sealed all the same if the disk or the way to the other side did.
    pub fn seal(&self) -> Result<Offset, Error> {
        A::block_on(self.sender.seal())
    }

    /// What there is to know about the channel.
    ///
    /// # Errors
    /// What the other side answers, or why it can't.
    pub fn info(&self) -> Result<LogInfo, Error> {
        A::block_on(self.sender.info())
    }

    /// Where this producer stands: which of its records are in the channel already, and its note. Waits for the first
    /// connection.
    ///
    /// # Errors
    /// What refuses the publisher. [`ErrorKind::Config`] if the sender has no producer,
    /// because it appends to a log of this node itself.
    pub fn producer(&self) -> Result<Producer, Error> {
        A::block_on(self.sender.producer())
    }

    /// Puts a note between the records so far and the next one, whose sequence it names: it is kept, durably, before any
    /// record after it is, and given back by [`producer`](Self::producer) in a later run. Only the newest is kept. It is
    /// on its way when this returns; each costs a sync where it is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `next_sequence` is not the next one, or the sender has no
    /// producer; what refuses records.
    pub fn note(&self, next_sequence: u64, note: Note) -> Result<(), Error> {
        A::block_on(self.sender.note(next_sequence, note))
    }

    /// Takes nothing any more (clones neither), and returns when everything sent is acknowledged as the channel's mode
    /// says. On a channel of this node it only waits for that.
    ///
    /// # Errors
    /// What kept records from being acknowledged.
    pub fn close(&self) -> Result<(), Error> {
        A::block_on(self.sender.close())
    }

    /// Waits for the next thing that happens on the way to the channel: connected, lost, resumed. `None` when nothing will
    /// any more, and for a channel of this node, which has no way.
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        A::block_on(self.sender.next_event())
    }
}

/// What comes of `work` in `time`.
fn in_time<A: Blocks, T>(time: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    A::block_for(Some(time), work)
        .unwrap_or_else(|| Err(Error::new(ErrorKind::TimedOut, "it did not come in the time that was given")))
}

/// A record that has its place in order. Cheap to clone.
pub struct Sent<A> {
    sent: sender::Sent,
    adapter: PhantomData<fn() -> A>,
}

impl<A> From<sender::Sent> for Sent<A> {
    fn from(sent: sender::Sent) -> Sent<A> {
        Sent { sent, adapter: PhantomData }
    }
}

impl<A> Clone for Sent<A> {
    fn clone(&self) -> Sent<A> {
        self.sent.clone().into()
    }
}

impl<A> fmt::Debug for Sent<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sent.fmt(f)
    }
}

impl<A: Blocks> Sent<A> {
    /// Its offset: known at once on a channel of this node, with the acknowledgement on another's. Not known for a
    /// record that a resend found in the channel already, nor when more than 1,024 runs of records were acknowledged
    /// since.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.sent.offset()
    }

    /// Waits until it survives the end of the process that has the log.
    ///
    /// # Errors
    /// Why it may not.
    pub fn written(&self) -> Result<(), Error> {
        A::block_on(self.sent.written())
    }

    /// Waits until it survives power loss, whatever the channel's mode.
    ///
    /// # Errors
    /// Why it may not.
    pub fn durable(&self) -> Result<(), Error> {
        A::block_on(self.sent.durable())
    }
}

/// Receives a channel's records in order, over as many connections as it takes.
///
/// It is driven by whoever asks it: there is no thread behind it, and what nobody asks for stays with the sender. A program
/// that is busy with a record for more than ten minutes is taken for gone; asking for the next one connects again.
///
/// It is an [`Iterator`] of its records and errors too: `None` is the end, and after a gap it goes on.
#[derive(Debug)]
pub struct Receiver<A: Adapter>(handles::Receiver<A>);

impl<A: Adapter> From<handles::Receiver<A>> for Receiver<A> {
    fn from(receiver: handles::Receiver<A>) -> Receiver<A> {
        Receiver(receiver)
    }
}

impl<A: Blocks> Receiver<A> {
    /// Waits for the next record. `None`: the channel is sealed and all of it was received (or the end that was asked for
    /// is reached).
    ///
    /// # Errors
    /// [`ErrorKind::Gap`] and [`ErrorKind::Truncated`] are told once, then it goes on. After any other error comes `None`.
    /// A lost connection is no error: it is made again.
    #[inline]
    pub fn recv(&mut self) -> Result<Option<Record>, Error> {
        match self.0.at_hand() {
            Some(next) => {
                if self.0.has_told() {
                    A::block_on(poll_fn(|cx| {
                        self.0.say(cx);
                        Poll::Ready(())
                    }));
                }
                next
            }
            None => A::block_on(poll_fn(|cx| self.0.poll_recv(cx))),
        }
    }

    /// Waits for the next records: for one, and takes with it those that came already, up to `most` in all (one, for 0). None of
    /// them: the end, as [`recv`](Self::recv) has it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), each in its place: the records before it are given first.
    pub fn recv_batch(&mut self, most: usize) -> Result<Vec<Record>, Error> {
        A::block_on(poll_fn(|cx| self.0.poll_recv_batch(cx, most)))
    }

    /// As [`recv`](Self::recv), for at most `time`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`ErrorKind::TimedOut`]: nothing is lost by that.
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Option<Record>, Error> {
        A::block_for(Some(time), poll_fn(|cx| self.0.poll_recv(cx))).unwrap_or_else(|| {
            Err(Error::new(ErrorKind::TimedOut, "no record came in the time that was given"))
        })
    }

    /// As [`recv`](Self::recv), if there is a record already; else it only does what can be done at once to get one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`ErrorKind::TimedOut`] if there is none yet.
    pub fn try_recv(&mut self) -> Result<Option<Record>, Error> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Where to go on later: after the last record that was given. `None` until it is known where reading begins.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.0.position()
    }

    /// Says that all before `position` is done with, and waits until the cursor stands there, durably; see
    /// [`Receiver::commit`](handles::Receiver::commit).
    ///
    /// # Errors
    /// As there.
    pub fn commit(&mut self, position: impl Into<Positions>) -> Result<(), Error> {
        A::block_on(self.0.commit(position))
    }

    /// Goes on from elsewhere, also after the end.
    pub fn seek(&mut self, start: Start) {
        self.0.seek(start);
    }

    /// Waits for the next thing that happens beside the records: connected, lost, resumed. `None` when nothing will any
    /// more. The receiver is driven meanwhile, up to its window.
    pub fn next_event(&mut self) -> Option<Event> {
        A::block_on(poll_fn(|cx| self.0.poll_event(cx)))
    }
}

impl<A: Blocks> Iterator for Receiver<A> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv().transpose()
    }
}
