//! An executor's part: a future is polled so many times, and dropped where it waits then.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

/// How a future is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// Polled when it wakes, and dropped the so manieth time that it waits; 0: before it is polled.
    Waits(u32),
    /// Polled again and again, whether it wakes or not.
    Polled(u32),
    /// Not at all.
    Never,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Cut<T> {
    Ready(T),
    Dropped { polls: u32 },
}

impl When {
    /// For what will be ready by itself: seldom not polled, and seldom not dropped.
    pub(crate) fn patient(dice: &mut fastrand::Rng) -> When {
        match dice.u32(..10) {
            0 => When::Waits(0),
            1 => When::Never,
            2 | 3 => When::Polled(dice.u32(1..300)),
            4..=6 => When::Waits(1),
            _ => When::Waits(dice.u32(1..6)),
        }
    }

    /// For what may never be ready.
    pub(crate) fn impatient(dice: &mut fastrand::Rng) -> When {
        match dice.u32(..4) {
            0 => When::Waits(dice.u32(..2)),
            _ => When::Polled(dice.u32(..400)),
        }
    }
}

impl<T> Cut<T> {
    pub(crate) fn ready(self) -> Option<T> {
        match self {
            Cut::Ready(output) => Some(output),
            Cut::Dropped { .. } => None,
        }
    }

    /// Whether it was polled at all.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self, Cut::Dropped { polls: 0 })
    }
}

/// How often each function was ready, and after how many polls it was dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) ready: u64,
    pub(crate) dropped: BTreeMap<u32, u64>,
}

/// The counts of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<&'static str, Count>>);

impl Counts {
    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Polls `future`, which `what` gave, drops it as `when` says, and counts that.
    pub(crate) async fn cut<F: Future>(&self, what: &'static str, when: When, future: F) -> Cut<F::Output> {
        let done = cut(when, future).await;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(what).or_default();
        match &done {
            Cut::Ready(_) => count.ready += 1,
            Cut::Dropped { polls } => *count.dropped.entry(*polls).or_default() += 1,
        }
        done
    }
}

async fn cut<F: Future>(when: When, future: F) -> Cut<F::Output> {
    let (mut future, mut polls) = (pin!(future), 0);
    poll_fn(|cx| {
        if let When::Waits(0) | When::Polled(0) = when {
            return Poll::Ready(Cut::Dropped { polls });
        }
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Cut::Ready(output));
        }
        polls += 1;
        match when {
            When::Waits(most) | When::Polled(most) if polls == most => {
                return Poll::Ready(Cut::Dropped { polls });
            }
            When::Polled(_) => {
                cx.waker().wake_by_ref();
                std::thread::yield_now();
            }
            When::Waits(_) | When::Never => {}
        }
        Poll::Pending
    })
    .await
}

/// Both, at a time, in one task.
pub(crate) async fn both<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut of_first, mut of_second) = (None, None);
    poll_fn(|cx| {
        if of_first.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(cx)
        {
            of_first = Some(output);
        }
        if of_second.is_none()
            && let Poll::Ready(output) = second.as_mut().poll(cx)
        {
            of_second = Some(output);
        }
        match (of_first.take(), of_second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (first, second) => {
                (of_first, of_second) = (first, second);
                Poll::Pending
            }
        }
    })
    .await
}
