//! A machine that is called by or calls another node, and its way there, driven in place by whoever polls.
//!
//! Owns the stream there is, or the attempt to get one. When to try is the machine's decision.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use netchan_proto::Instant;

use crate::handles::pump::{Pump, work};
use crate::handles::{Adapter, Alarm, Hub, Reached, Task, Way};
use crate::machine::{Dialling, Lost};

enum Link<A: Adapter> {
    Down,
    Dialling(Task<Result<Reached<A::Stream>, Lost>>),
    Up(Pump<A>),
}

/// A machine and its link.
pub(super) struct Line<M, A: Adapter> {
    pub(super) machine: M,
    /// The node lives while this does.
    hub: Arc<Hub<A>>,
    way: Way<A::Stream>,
    link: Link<A>,
    alarm: A::Alarm,
    /// The time of the last step: near enough for what happens between two.
    pub(super) now: Instant,
}

impl<M: Dialling, A: Adapter> Line<M, A> {
    /// With no stream yet.
    pub(super) fn new(machine: M, hub: Arc<Hub<A>>, way: Way<A::Stream>) -> Line<M, A> {
        let alarm = hub.adapter().alarm();
        let now = alarm.now();
        Line { machine, hub, way, link: Link::Down, alarm, now }
    }

    /// Drives the machine until `found` finds something in it.
    pub(super) fn poll_until<T>(
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
        let now = self.alarm.now();
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
                    self.link = Link::Up(Pump::new(stream, self.hub.adapter().alarm()));
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

    /// Writes what there is to write, as far as that goes at once: its user may be busy for long now.
    #[cold]
    pub(super) fn say(&mut self, cx: &mut Context<'_>) {
        if let Link::Up(pump) = &mut self.link {
            pump.say(&mut self.machine, cx);
        }
    }

    /// Closes the stream, if there is one: the machine has no use for it any more.
    pub(super) fn hang_up(&mut self) {
        self.link = Link::Down;
    }

    fn lost(&mut self, lost: Lost) -> Poll<()> {
        self.link = Link::Down;
        self.machine.disconnected(lost, self.alarm.now());
        Poll::Ready(())
    }
}

/// Drives a machine until `found` finds something in it.
pub(super) async fn drive<M: Dialling, A: Adapter, T>(
    hub: Arc<Hub<A>>,
    machine: M,
    way: Way<A::Stream>,
    mut found: impl FnMut(&mut M) -> Option<T>,
) -> T {
    let mut line = Line::new(machine, hub, way);
    poll_fn(|cx| line.poll_until(cx, &mut found)).await
}

impl<M, A: Adapter> fmt::Debug for Line<M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("now", &self.now).finish_non_exhaustive()
    }
}
