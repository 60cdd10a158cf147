//! A machine that is called by or calls another node, and its way there.
//!
//! Owns the stream there is, or the attempt to get one. When to try is the machine's decision.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use netchan_node::{Dialling, Lost};
use netchan_proto::{Instant, Side};

use crate::hub::Hub;
use crate::pump::{Alarm, ByteStream, Pump, work};

/// A stream that is up.
pub(crate) struct Reached {
    pub(crate) stream: Box<dyn ByteStream>,
    pub(crate) side: Side,
    /// Whether the stream proves by itself who is across.
    pub(crate) trusted: bool,
}

impl Reached {
    /// Over a stream that anybody could have made.
    pub(crate) fn new(stream: impl ByteStream, side: Side) -> Reached {
        Reached { stream: Box::new(stream), side, trusted: false }
    }
}

/// An attempt to get a stream.
pub(crate) type Attempt = Pin<Box<dyn Future<Output = Result<Reached, Lost>> + Send>>;
/// Makes attempts.
pub(crate) type Way = Box<dyn FnMut() -> Attempt + Send>;

/// The way that a user's closure is.
pub(crate) fn through<S: ByteStream, F>(mut connect: impl FnMut() -> F + Send + 'static) -> Way
where
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    Box::new(move || {
        let stream = connect();
        Box::pin(async move { Ok(Reached::new(stream.await?, Side::Dialler)) })
    })
}

enum Link {
    Down,
    Dialling(Attempt),
    Up(Pump),
}

/// A machine and its link.
pub(crate) struct Line<M> {
    pub(crate) machine: M,
    hub: Arc<Hub>,
    way: Way,
    link: Link,
    alarm: Alarm,
    /// The time of the last step: near enough for what happens between two.
    pub(crate) now: Instant,
}

impl<M: Dialling> Line<M> {
    pub(crate) fn new(machine: M, hub: Arc<Hub>, way: Way) -> Line<M> {
        Line { machine, alarm: Alarm::new(hub.clock), now: hub.clock.now(), hub, way, link: Link::Down }
    }

    /// Drives the machine until `found` finds something in it.
    pub(crate) fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut found: impl FnMut(&mut M) -> Option<T>,
    ) -> Poll<T> {
        loop {
            work(&mut self.machine, self.now, cx);
            if let Some(found) = found(&mut self.machine) {
                return Poll::Ready(found);
            }
            ready!(self.poll_step(cx));
        }
    }

    /// One step of dialling, reading, writing, waiting. Ready: the machine may have something to do.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.hub.clock.now();
        self.now = now;
        match &mut self.link {
            Link::Down if self.machine.wants_dial(now) => {
                self.link = Link::Dialling((self.way)());
                return Poll::Ready(());
            }
            Link::Down => {}
            Link::Dialling(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(Reached { stream, side, trusted })) => {
                    self.machine.connected(side, trusted, now);
                    self.link = Link::Up(Pump::new(stream, self.hub.clock));
                    return Poll::Ready(());
                }
                Poll::Ready(Err(lost)) => return self.lost(lost),
                Poll::Pending => {}
            },
            Link::Up(_) if self.machine.connection().is_none() => return self.lost(Lost::Eof),
            Link::Up(pump) => {
                return match ready!(pump.poll_turn(&mut self.machine, cx)) {
                    Ok(()) => Poll::Ready(()),
                    Err(lost) => self.lost(lost),
                };
            }
        }
        if self.alarm.poll(self.machine.deadline(), cx).is_ready() {
            self.machine.handle_timeout(now);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Closes the stream, if there is one: the machine has no use for it any more.
    pub(crate) fn hang_up(&mut self) {
        self.link = Link::Down;
    }

    fn lost(&mut self, lost: Lost) -> Poll<()> {
        self.link = Link::Down;
        self.machine.disconnected(lost, self.hub.clock.now());
        Poll::Ready(())
    }
}
