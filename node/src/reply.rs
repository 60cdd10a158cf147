//! An answer that one leaves and another waits for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, ErrorKind};
use crate::sync::Mutex;
use crate::wake::lock;

/// Where the answer is left. Given once, and taken once.
#[derive(Debug)]
pub(crate) struct Reply<T>(Mutex<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    answer: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for Reply<T> {
    fn default() -> Reply<T> {
        Reply(Mutex::new(Slot { answer: None, waker: None }))
    }
}

impl<T> Reply<T> {
    pub(crate) fn give(&self, answer: T) {
        let mut slot = lock(&self.0);
        slot.answer = Some(answer);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Poll<T> {
        let mut slot = lock(&self.0);
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

/// An answer that is owed, and who waits for it. Needs no runtime.
///
/// # Cancel safety
/// Cancel safe: dropped before it is ready, the answer goes nowhere.
pub fn promise<T>() -> (Owed<T>, Promised<T>) {
    let reply = Arc::new(Reply::default());
    (Owed(Some(Arc::clone(&reply))), Promised(reply))
}

/// An answer that is given in any case: if this is dropped, who waits is told that it was not done.
pub struct Owed<T>(Option<Arc<Reply<Result<T, Error>>>>);

impl<T> Owed<T> {
    /// Gives it.
    pub fn give(mut self, answer: T) {
        if let Some(reply) = self.0.take() {
            reply.give(Ok(answer));
        }
    }
}

impl<T> Drop for Owed<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply.give(Err(Error::new(ErrorKind::Closed, "it was not done: the program is stopping")));
        }
    }
}

impl<T> fmt::Debug for Owed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owed(..)")
    }
}

/// Ready when the answer is given, or will not be.
///
/// # Cancel safety
/// Cancel safe: dropped before it is ready, the answer goes nowhere.
#[must_use = "it only waits when it is awaited"]
pub struct Promised<T>(Arc<Reply<Result<T, Error>>>);

impl<T> Promised<T> {
    /// Whether the answer is there, and was not taken yet.
    #[must_use]
    pub fn is_given(&self) -> bool {
        lock(&self.0.0).answer.is_some()
    }
}

impl<T> Future for Promised<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx.waker())
    }
}

impl<T> fmt::Debug for Promised<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Promised(..)")
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::model;
    use loom::future::block_on;
    use loom::thread;

    /// Given, or dropped: who waits is told, by whichever waker it came with last.
    #[test]
    fn who_is_owed_an_answer_gets_one() {
        for is_given in [true, false] {
            model(3, move || {
                let (owed, mut promised) = promise();
                thread::spawn(move || if is_given { owed.give(7) } else { drop(owed) });
                match Pin::new(&mut promised).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(answer) => assert_eq!(answer.ok(), is_given.then_some(7)),
                    Poll::Pending => assert_eq!(block_on(promised).ok(), is_given.then_some(7)),
                }
            });
        }
    }

    /// One that waits no more is in nobody's way.
    #[test]
    fn an_answer_that_nobody_waits_for_goes_nowhere() {
        model(3, || {
            let (owed, mut promised) = promise();
            let giving = thread::spawn(move || owed.give(7));
            let _ = Pin::new(&mut promised).poll(&mut Context::from_waker(Waker::noop()));
            drop(promised);
            giving.join().unwrap();
        });
    }
}
