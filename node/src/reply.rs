//! An answer that one leaves and another waits for.

use std::sync::Mutex;
use std::task::{Poll, Waker};

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
