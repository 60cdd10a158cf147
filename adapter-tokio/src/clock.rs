//! tokio's time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use netchan_node::handles::{Alarm, FAR};
use netchan_proto::Instant;
use tokio::time::Sleep;

/// The machines' clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(tokio::time::Instant::now())
    }

    fn at(self, moment: Instant) -> tokio::time::Instant {
        self.0 + moment.since(Instant::default()).min(FAR)
    }
}

/// A timer that is set anew only when it went off or the deadline came nearer: most only move away.
#[derive(Debug)]
pub struct Sleeper {
    clock: Clock,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Sleeper {
    pub(crate) fn new(clock: Clock) -> Sleeper {
        Sleeper { clock, sleep: None }
    }
}

impl Alarm for Sleeper {
    fn now(&self) -> Instant {
        Instant::default().plus(self.clock.0.elapsed())
    }

    fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline.map(|at| self.clock.at(at)) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if deadline <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
