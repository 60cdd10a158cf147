//! A machine that is called by or calls another node, and its way there, for adapters that poll.
//!
//! Owns the stream there is, or the attempt to get one. When to try is the machine's decision.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use netchan_proto::Instant;

use crate::handles::{Adapter, Hub, Reached, Task, Way};
use crate::job::Job;
use crate::machine::{Dialling, Lost, Machine};

/// An adapter whose streams and timers are polled.
pub trait Polls: Adapter {
    /// A byte stream and its timer.
    type Pump: Send + Unpin;
    /// A timer.
    type Alarm: Send + Unpin;

    /// For a stream that is up.
    fn pump(&self, stream: Self::Stream) -> Self::Pump;

    /// A timer that is not set.
    fn alarm(&self) -> Self::Alarm;

    /// Writes and reads what can be at once, or else looks at the deadline. Ready: the machine may have something to do.
    /// Pending: nothing moved, and everything that can move will wake.
    fn poll_turn(
        pump: &mut Self::Pump,
        machine: &mut impl Machine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>>;

    /// Ready once `deadline` has passed.
    fn poll_alarm(alarm: &mut Self::Alarm, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()>;

    /// Does a job where that may wait for the disk.
    fn run(job: Job);
}

/// Lets a machine work, and has its blocking jobs done elsewhere.
pub fn work<A: Polls>(machine: &mut impl Machine, now: Instant, cx: &mut Context<'_>) {
    machine.work(now, cx.waker());
    while let Some(job) = machine.take_job() {
        A::run(job);
    }
}

enum Link<A: Polls> {
    Down,
    Dialling(Task<Result<Reached<A::Stream>, Lost>>),
    Up(A::Pump),
}

/// A machine and its link.
pub struct Line<M, A: Polls> {
    pub(super) machine: M,
    /// The node lives while this does.
    hub: Arc<Hub<A>>,
    way: Way<A::Stream>,
    link: Link<A>,
    alarm: A::Alarm,
    /// The time of the last step: near enough for what happens between two.
    pub(super) now: Instant,
}

impl<M: Dialling, A: Polls> Line<M, A> {
    /// With no stream yet.
    pub fn new(machine: M, hub: Arc<Hub<A>>, way: Way<A::Stream>) -> Line<M, A> {
        let (alarm, now) = (hub.adapter().alarm(), hub.adapter().now());
        Line { machine, hub, way, link: Link::Down, alarm, now }
    }

    /// Drives the machine until `found` finds something in it.
    pub fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut found: impl FnMut(&mut M) -> Option<T>,
    ) -> Poll<T> {
        loop {
            work::<A>(&mut self.machine, self.now, cx);
            if let Some(found) = found(&mut self.machine) {
                return Poll::Ready(found);
            }
            ready!(self.poll_step(cx));
        }
    }

    /// One step of dialling, reading, writing, waiting. Ready: the machine may have something to do.
    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.hub.adapter().now();
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
                    self.link = Link::Up(self.hub.adapter().pump(stream));
                    return Poll::Ready(());
                }
                Poll::Ready(Err(lost)) => return self.lost(lost),
                Poll::Pending => {}
            },
            Link::Up(_) if self.machine.connection().is_none() => return self.lost(Lost::Eof),
            Link::Up(pump) => {
                return match ready!(A::poll_turn(pump, &mut self.machine, cx)) {
                    Ok(()) => Poll::Ready(()),
                    Err(lost) => self.lost(lost),
                };
            }
        }
        if A::poll_alarm(&mut self.alarm, self.machine.deadline(), cx).is_ready() {
            self.machine.handle_timeout(now);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Closes the stream, if there is one: the machine has no use for it any more.
    pub(super) fn hang_up(&mut self) {
        self.link = Link::Down;
    }

    fn lost(&mut self, lost: Lost) -> Poll<()> {
        self.link = Link::Down;
        self.machine.disconnected(lost, self.hub.adapter().now());
        Poll::Ready(())
    }
}

impl<M, A: Polls> fmt::Debug for Line<M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("now", &self.now).finish_non_exhaustive()
    }
}
