//! A receiver: the user's own task, or thread, drives the connection, inside [`Receiver::recv`].

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use netchan_proto::{ChannelName, Position, Positions, Record, Start};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::handles::line::Line;
use crate::handles::{Adapter, Hub, Way};
use crate::machine::Machine;
use crate::receiver::{Next, ReceiverCore};
use crate::sync::{Mutex, MutexGuard};

/// Receives a channel's records in order, over as many connections as it takes.
///
/// It is driven by whoever asks it: there is no task behind it, and what nobody asks for stays with the sender. A program
/// that is busy with a record for more than ten minutes is taken for gone; asking for the next one connects again.
///
/// It is a [`Stream`] of its records and errors too. What it knows of its connection it tells beside them:
pub struct Receiver<A: Adapter> {
    /// Never locked but to be looked at: what drives it has it by `&mut`.
    line: Mutex<Line<ReceiverCore, A>>,
    /// What came in place of a record while a batch of records was taken: it is told next.
    later: Option<Error>,
}

impl<A: Adapter> Receiver<A> {
    /// A receiver, once it is settled.
    pub(super) async fn settled(hub: Arc<Hub<A>>, core: ReceiverCore, way: Way<A::Stream>) -> Receiver<A> {
        let mut receiver = Receiver { line: Mutex::new(Line::new(core, hub, way)), later: None };
        poll_fn(|cx| receiver.line().poll_until(cx, |core| core.is_settled().then_some(()))).await;
        receiver
    }

    pub(super) fn name(&self) -> ChannelName {
        self.look().machine.name().clone()
    }

    /// What has ended it and is not told yet.
    pub(super) fn failure(&self) -> Option<Error> {
        self.look().machine.failure().cloned()
    }

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
        loop {
            if let Some(next) = self.at_hand() {
                if self.has_told() {
                    self.say(cx);
                }
                return Poll::Ready(next);
            }
            ready!(self.line().poll_step(cx));
        }
    }

    /// The next records: waits for one, and takes with it those that came already, up to `most` in all (one, for 0). None of them:
    /// the end, as [`recv`](Self::recv) has it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), each in its place: the records before it are given first.
    ///
    /// # Cancel safety
    /// Cancel safe: no record is lost if it is dropped before it is ready.
    pub async fn recv_batch(&mut self, most: usize) -> Result<Vec<Record>, Error> {
        poll_fn(|cx| self.poll_recv_batch(cx, most)).await
    }

    /// As [`recv_batch`](Self::recv_batch), to be polled.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_batch(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Vec<Record>, Error>> {
        let Some(first) = ready!(self.poll_recv(cx))? else { return Poll::Ready(Ok(Vec::new())) };
        let mut records = vec![first];
        while records.len() < most {
            match self.at_hand() {
                Some(Ok(Some(record))) => records.push(record),
                Some(Err(error)) => {
                    self.later = Some(error);
                    break;
                }
                // The end is told again.
                Some(Ok(None)) | None => break,
            }
        }
        if self.has_told() {
            self.say(cx);
        }
        Poll::Ready(Ok(records))
    }

    /// What `recv` gives, if that takes no waiting.
    #[inline]
    pub(super) fn at_hand(&mut self) -> Option<Result<Option<Record>, Error>> {
        if self.later.is_some() {
            return self.later.take().map(Err);
        }
        let line = self.line();
        match line.machine.next(line.now) {
            Next::Record(record) => Some(Ok(Some(record))),
            Next::Error(error) => Some(Err(error)),
            Next::Over => {
                // By a cursor there may be something to commit yet.
                if !line.machine.stays_connected() || line.machine.connection().is_none() {
                    line.hang_up();
                }
                Some(Ok(None))
            }
            Next::Idle => None,
        }
    }

    /// Whether the sender is to hear something before the user goes on. Asked once.
    #[inline]
    pub(super) fn has_told(&mut self) -> bool {
        self.line().machine.has_told()
    }

    /// Has the sender hear it, as far as that goes at once.
    pub(super) fn say(&mut self, cx: &mut Context<'_>) {
        self.line().say(cx);
    }

    /// Where to go on later: after the last record that was given. `None` until it is known where reading begins.
    pub fn position(&self) -> Option<Position> {
        self.look().machine.position()
    }

    /// Says that all before `position` is done with: the [cursor](crate::ReceiverBuilder::cursor) stands there, durably, when
    /// this is ready. What [`position`](Self::position) gave after a record is the place behind it. A commit of where the
    /// cursor stands already writes nothing, and tells whether the cursor is still this receiver's. Also after the end.
    ///
    /// A lost connection is no error: it is made again, and so is the commit.
    ///
    /// # Errors
    /// Nothing was committed, and receiving goes on, with [`ErrorKind::CursorBack`](crate::ErrorKind::CursorBack) (it is
    /// before what was committed), [`ErrorKind::BeyondEnd`](crate::ErrorKind::BeyondEnd),
    /// [`ErrorKind::OtherLog`](crate::ErrorKind::OtherLog) (the channel was made again),
    /// [`ErrorKind::NoCursor`](crate::ErrorKind::NoCursor) (it was deleted). What a disk says leaves open whether it was
    /// committed. With [`ErrorKind::CursorMoved`](crate::ErrorKind::CursorMoved) somebody set the cursor to another place:
    /// receiving goes on from there, and what was read before that is not committed any more. With [`ErrorKind::CursorTaken`](crate::ErrorKind::CursorTaken) another receiver has it: nothing more is
    /// received here. [`ErrorKind::Config`](crate::ErrorKind::Config): there is no cursor.
    ///
    /// # Cancel safety
    /// If it is dropped before it is ready, the cursor may have moved or not; the next commit stands for this one too. No
    /// record is lost.
    pub async fn commit(&mut self, position: impl Into<Positions>) -> Result<(), Error> {
        let line = self.line();
        line.machine.commit(position.into());
        let outcome = poll_fn(|cx| line.poll_until(cx, ReceiverCore::take_outcome)).await;
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::CursorMoved) {
            self.later = None; // of what is not given any more
        }
        outcome
    }

    /// Goes on from elsewhere, also after the end.
    pub fn seek(&mut self, start: Start) {
        self.later = None;
        self.line().machine.seek(start);
    }

    /// The next thing that happened beside the records: connected, lost, resumed. `None` when nothing will any more.
    /// The receiver is driven meanwhile, up to its window.
    ///
    /// # Cancel safety
    /// Cancel safe: neither an event nor a record is lost.
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

    fn line(&mut self) -> &mut Line<ReceiverCore, A> {
        self.line.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> MutexGuard<'_, Line<ReceiverCore, A>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Adapter> fmt::Debug for Receiver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.look();
        f.debug_struct("Receiver")
            .field("channel", line.machine.name())
            .field("position", &line.machine.position())
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> Stream for Receiver<A> {
    type Item = Result<Record, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Result::transpose)
    }
}
