//! The threads behind the handles: one for each task (a door, a served connection, a publisher), and one for each piece of
//! work that may wait for the disk, or for a call to come through; node bounds how much of that there is at a time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::Builder;

use netchan_node::handles::{Running, Task};
use netchan_node::reply::{Owed, Promised, promise};

use crate::wait::block_until;

/// A task with a thread of its own.
#[derive(Debug)]
pub struct Spawned {
    /// With this dropped, the task is not wanted any more.
    wanted: Owed<()>,
    ended: Promised<()>,
}

impl Spawned {
    pub(crate) fn new(task: Task<()>) -> Spawned {
        let (wanted, mut unwanted) = promise();
        let (owed, ended) = promise();
        let run = move || {
            // Given when all of the task is gone, also by a panic.
            let _owed = owed;
            let mut task = task;
            block_until(
                None,
                poll_fn(|cx| match Pin::new(&mut unwanted).poll(cx) {
                    Poll::Ready(_) => Poll::Ready(()),
                    Poll::Pending => task.as_mut().poll(cx),
                }),
            );
        };
        if let Err(error) = Builder::new().name("netchan".into()).spawn(run) {
            tracing::error!(%error, "there is no thread for a connection or a door: it is closed");
        }
        Spawned { wanted, ended }
    }
}

impl Running for Spawned {
    fn has_ended(&self) -> bool {
        self.ended.is_given()
    }

    fn end(self) -> Task<()> {
        let Spawned { wanted, ended } = self;
        drop(wanted);
        Box::pin(async move { drop(ended.await) })
    }
}

impl Future for Spawned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.ended).poll(cx).map(drop)
    }
}

/// Has it done by a thread that may wait. If there is none to be had, who waits for it is told by its being dropped.
pub(crate) fn elsewhere(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = Builder::new().name("netchan-work".into()).spawn(work) {
        tracing::error!(%error, "there is no thread for work that waits: it is not done");
    }
}
