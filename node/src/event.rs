//! What happens to a receiver or a publisher beside its records: connected, lost, resumed, gaps.
//!
//! Owns a short queue that never grows: who doesn't look loses the oldest, and is told how many. Nothing that matters
//! for correctness is told here alone; gaps and truncations are given by `next` too.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netchan_proto::wire::GapReason;
use netchan_proto::{ChannelName, Durability, Epoch, LogId, NodeId, Offset};

use crate::error::Error;
use crate::sync::{Mutex, MutexGuard};

/// Events that wait to be looked at; the oldest go first.
const MAX_EVENTS: usize = 64;

/// Something happened to a receiver or a publisher.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The connection is up, and the other side is who it should be.
    Connected {
        /// Who is across.
        node: NodeId,
    },
    /// The connection is gone, or could not be made. It is made again by itself.
    Lost {
        /// Why.
        why: Error,
        /// How long it waits before it dials.
        retry_in: Duration,
    },
    /// The other side is about to stop; the connection will be lost.
    GoingAway {
        /// How long it still serves.
        drain: Duration,
    },
    /// The channel does not exist yet; reading begins when it does.
    Waiting,
    /// Reading, or publishing, has begun for the first time.
    Opened {
        /// The log behind the channel's name.
        log: LogId,
        /// What the channel's acknowledgements mean, and so what receivers see.
        durability: Durability,
    },
    /// Reading, or publishing, goes on after a loss.
    Resumed {
        /// A receiver's next offset; a publisher's next sequence.
        at: u64,
    },
    /// Records that were asked for are gone.
    Gap {
        /// The first one missing.
        from: Offset,
        /// The first one after the gap.
        to: Offset,
        /// Why they are gone.
        why: GapReason,
    },
    /// The log was rolled back: what was read of `epoch` from `end` on is void.
    Truncated {
        /// The epoch that ended early.
        epoch: Epoch,
        /// Where it ended; reading goes on here.
        end: Offset,
    },
    /// The channel is complete, and all of it was given out.
    Sealed {
        /// How many records the channel has had.
        end: Offset,
    },
    /// Records that the other side had acknowledged as written are no longer in its log: it lost power, and the
    /// channel is not kept in the mode `sync`.
    RolledBack {
        /// The first sequence lost.
        from: u64,
        /// The first sequence after the loss.
        to: u64,
    },
    /// To who receives by a pattern: a channel that matches is read from now on. Once, until it has left: not each time that it gets
    /// its place again, where more match than are read at once.
    Joined {
        /// Its name.
        channel: ChannelName,
        /// Its log.
        log: LogId,
    },
    /// To who receives by a pattern: a channel is not read any more.
    Left {
        /// Its name.
        channel: ChannelName,
        /// Whether it was deleted. Else all of it was given that was asked for, or an error was.
        is_deleted: bool,
    },
    /// To who receives by a pattern: a channel that matches cannot be read now. That is tried again by itself, each second, and
    /// not told again before it could.
    Unavailable {
        /// Its name.
        channel: ChannelName,
        /// Why.
        why: Error,
    },
    /// Events that nobody looked at in time.
    Missed {
        /// How many.
        count: u64,
    },
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    missed: u64,
    over: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn next(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front(),
            count => Some(Event::Missed { count }),
        }
    }
}

/// The events of one receiver or publisher. Clones look at the same queue: an event is given out once.
#[derive(Clone)]
pub struct Events {
    queue: Arc<Mutex<Queue>>,
    /// The channel, or the pattern of several.
    channel: Arc<str>,
    whose: Whose,
}

/// Whose events they are, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Receiver,
    Publisher,
}

impl Events {
    /// None yet, on the way to `channel`.
    pub(crate) fn new(channel: impl fmt::Display, whose: Whose) -> Events {
        Events { queue: Arc::default(), channel: channel.to_string().into(), whose }
    }

    /// The oldest event that nobody has seen.
    pub fn try_next(&self) -> Option<Event> {
        self.lock().next()
    }

    /// As [`try_next`](Self::try_next), but waits; `Ready(None)` when nothing will come any more. One task at a time is
    /// woken, the last that asked.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.lock();
        let event = queue.next();
        if event.is_some() || queue.over {
            return Poll::Ready(event);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn push(&self, event: Event) {
        self.log(&event);
        let mut queue = self.lock();
        if queue.events.len() == MAX_EVENTS {
            queue.events.pop_front();
            queue.missed += 1;
        }
        queue.events.push_back(event);
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
    }

    /// Nothing will come any more; what is there is still given out.
    pub(crate) fn finish(&self) {
        let mut queue = self.lock();
        queue.over = true;
        let waker = queue.waker.take();
        drop(queue);
        wake(waker);
    }

    /// An event is for the program; the log is for whoever operates it.
    fn log(&self, event: &Event) {
        let (channel, whose) = (&*self.channel, self.whose);
        match event {
            Event::Connected { node } => tracing::info!(%channel, ?whose, %node, "connected"),
            Event::Lost { why, retry_in } => {
                tracing::info!(%channel, ?whose, %why, ?retry_in, "the connection is lost, or was not to be had");
            }
            Event::GoingAway { drain } => {
                tracing::info!(%channel, ?whose, ?drain, "the other side is about to stop");
            }
            Event::Waiting => {
                tracing::info!(%channel, ?whose, "there is no such channel yet: waiting for it")
            }
            Event::Opened { log, durability } => {
                tracing::info!(%channel, ?whose, %log, %durability, "the channel is open");
            }
            Event::Resumed { at } => tracing::info!(%channel, ?whose, at, "it goes on"),
            Event::Gap { from, to, why } => {
                tracing::info!(%channel, ?whose, from = from.0, to = to.0, ?why, "records are gone");
            }
            Event::Truncated { epoch, end } => {
                tracing::info!(%channel, ?whose, epoch = epoch.0, end = end.0, "the log was rolled back");
            }
            Event::Sealed { end } => tracing::info!(%channel, ?whose, end = end.0, "the channel is complete"),
            Event::RolledBack { from, to } => {
                tracing::info!(%channel, ?whose, from, to, "records acknowledged as written are lost");
            }
            Event::Joined { channel: joined, log } => {
                tracing::info!(%channel, ?whose, %joined, %log, "a channel joins in");
            }
            Event::Left { channel: left, is_deleted } => {
                tracing::info!(%channel, ?whose, %left, is_deleted, "a channel leaves");
            }
            Event::Unavailable { channel: unavailable, why } => {
                tracing::info!(%channel, ?whose, %unavailable, %why, "a channel cannot be read: it is tried again");
            }
            Event::Missed { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics half-way: what a panic elsewhere left behind is whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.lock();
        f.debug_struct("Events").field("waiting", &queue.events.len()).field("missed", &queue.missed).finish()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::model;
    use loom::future::block_on;
    use loom::thread;
    use std::future::poll_fn;

    #[test]
    fn who_waits_for_events_gets_them_all_and_the_end() {
        model(3, || {
            let events = Events::new(ChannelName::new("log").unwrap(), Whose::Receiver);
            let telling = events.clone();
            thread::spawn(move || {
                telling.push(Event::Waiting);
                telling.push(Event::Waiting);
                telling.finish();
            });
            let next = || block_on(poll_fn(|cx| events.poll_next(cx)));
            assert!(next().is_some() && next().is_some() && next().is_none());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_go_first_and_are_counted() {
        let events = Events::new(ChannelName::new("log").unwrap(), Whose::Receiver);
        for at in 0..70 {
            events.push(Event::Resumed { at });
        }
        assert!(matches!(events.try_next(), Some(Event::Missed { count: 6 })));
        assert!(matches!(events.try_next(), Some(Event::Resumed { at: 6 })));
        events.finish();
        let rest = std::iter::from_fn(|| events.try_next()).count();
        assert_eq!(rest, 63);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(events.poll_next(&mut cx), Poll::Ready(None)));
    }
}
