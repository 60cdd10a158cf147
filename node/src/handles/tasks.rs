//! The tasks of one node: doors, served connections, publishers.
//!
//! Owns in which order they end. When the node is dropped, so are they.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Poll, ready};

use netchan_proto::Instant;

use crate::handles::{Alarm, Running};
use crate::wake::lock;

/// The tasks of one node.
#[derive(Debug)]
pub(super) struct Tasks<R> {
    /// Those that wait at a door, and end first.
    doors: Mutex<Vec<R>>,
    others: Mutex<Others<R>>,
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
        Tasks { doors: Mutex::default(), others }
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
    pub(super) async fn end(&self, until: Instant, mut alarm: impl Alarm) -> usize {
        let doors = std::mem::take(&mut *lock(&self.doors));
        for door in doors {
            door.end().await;
        }
        let mut others = std::mem::take(&mut lock(&self.others).running);
        poll_fn(|cx| {
            while let Some(last) = others.last_mut() {
                if Pin::new(last).poll(cx).is_pending() {
                    ready!(alarm.poll(Some(until), cx));
                    others.retain(|task| !task.has_ended());
                    break;
                }
                others.pop();
            }
            Poll::Ready(())
        })
        .await;
        let cut_off = others.len();
        for task in others {
            task.end().await;
        }
        cut_off
    }
}
