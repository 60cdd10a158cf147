//! The tasks of one node: doors, served connections, publishers.
//!
//! Owns in which order they end. When the node is dropped, so are they.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use netchan_proto::Instant;

use crate::handles::{Alarm, Running};
use crate::wake::lock;

/// The tasks of one node.
#[derive(Debug)]
pub(super) struct Tasks<R> {
    /// Those that wait at a door, and end first.
    doors: Mutex<Vec<R>>,
    others: Mutex<Others<R>>,
    crowd: Arc<Crowd>,
}

#[derive(Debug)]
struct Others<R> {
    running: Vec<R>,
    /// How many there may be before those that have ended are thrown out.
    sweep_at: usize,
}

impl<R> Default for Tasks<R> {
    fn default() -> Tasks<R> {
        let others = Mutex::new(Others { running: Vec::new(), sweep_at: 0 });
        Tasks { doors: Mutex::default(), others, crowd: Arc::default() }
    }
}

/// Everybody who waits for the others to end: a task knows one waker.
#[derive(Debug, Default)]
struct Crowd(Mutex<Vec<Waker>>);

impl Crowd {
    fn join(&self, waker: &Waker) {
        let mut wakers = lock(&self.0);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

impl Wake for Crowd {
    fn wake(self: Arc<Self>) {
        let wakers = std::mem::take(&mut *lock(&self.0));
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<R: Running> Tasks<R> {
    pub(super) fn add(&self, task: R) {
        let mut others = lock(&self.others);
        if others.running.len() >= others.sweep_at {
            others.running.retain(|task| !task.has_ended());
            others.sweep_at = (others.running.len() * 2).max(16);
        }
        others.running.push(task);
    }

    pub(super) fn add_door(&self, task: R) {
        lock(&self.doors).push(task);
    }

    /// Closes the doors, waits for the others until it is `until`, and ends those that are there still. Says how many
    /// that were.
    ///
    /// Dropped before it is `until`, it has ended none of the others; many may wait at a time.
    pub(super) async fn end(&self, until: Instant, mut alarm: impl Alarm) -> usize {
        let doors = std::mem::take(&mut *lock(&self.doors));
        for door in doors {
            door.end().await;
        }
        poll_fn(|cx| {
            self.crowd.join(cx.waker());
            if self.have_ended() { Poll::Ready(()) } else { alarm.poll(Some(until), cx) }
        })
        .await;
        let mut others = std::mem::take(&mut lock(&self.others).running);
        others.retain(|task| !task.has_ended());
        let cut_off = others.len();
        for task in others {
            task.end().await;
        }
        cut_off
    }

    /// Whether all others have. If not, the crowd is woken when one has.
    fn have_ended(&self) -> bool {
        let waker = Waker::from(Arc::clone(&self.crowd));
        let mut others = lock(&self.others);
        while let Some(last) = others.running.last_mut() {
            if Pin::new(last).poll(&mut Context::from_waker(&waker)).is_pending() {
                return false;
            }
            others.running.pop();
        }
        true
    }
}
