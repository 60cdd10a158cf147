//! The tasks of one node: doors, served connections, publishers.
//!
//! Owns in which order they end. When the node is dropped, so are they.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use netchan_proto::Instant;

use crate::handles::{Alarm, Running};
use crate::sync::Mutex;
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

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::handles::Task;
    use crate::reply::{Promised, promise};
    use crate::sync::model;
    use loom::future::block_on;
    use loom::thread;

    /// One that ends when somebody says so, as those of plain threads do.
    struct Promising(Promised<()>);

    impl Future for Promising {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            Pin::new(&mut self.0).poll(cx).map(drop)
        }
    }

    impl Running for Promising {
        fn has_ended(&self) -> bool {
            self.0.is_given()
        }

        fn end(self) -> Task<()> {
            unreachable!("it ends by itself")
        }
    }

    /// Never goes off.
    struct Never;

    impl Alarm for Never {
        fn now(&self) -> Instant {
            Instant::default()
        }

        fn poll(&mut self, _: Option<Instant>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    /// Two wait, and a third one that has stopped waiting; all tasks end, and so does the waiting.
    #[test]
    fn who_waits_for_tasks_to_end_is_woken_when_they_have() {
        model(2, || {
            let tasks = Arc::new(Tasks::default());
            let owed: Vec<_> = (0..2)
                .map(|_| {
                    let (owed, promised) = promise();
                    tasks.add(Promising(promised));
                    owed
                })
                .collect();
            thread::spawn(move || owed.into_iter().for_each(|owed| owed.give(())));
            let also = Arc::clone(&tasks);
            let waiting = thread::spawn(move || {
                assert_eq!(block_on(also.end(Instant::default(), Never)), 0);
            });
            let mut given_up = Box::pin(tasks.end(Instant::default(), Never));
            let _ = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            drop(given_up);
            assert_eq!(block_on(tasks.end(Instant::default(), Never)), 0);
            waiting.join().unwrap();
        });
    }
}
