//! Waking the driver of a machine: the bell that anyone may ring, and flags that say who has news.
//!
//! Owns the rule that no wake-up is lost: a machine first [hangs up](Bell::hang) its driver's waker, then looks;
//! who has news first leaves it, then rings. So either the machine sees the news or its driver is woken after.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use crate::sync::{AtomicBool, Mutex, MutexGuard};

/// Takes a lock whose holders cannot leave it half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waker of whoever drives a machine.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Option<Waker>>);

impl Bell {
    /// From now on `waker` is woken.
    pub(crate) fn hang(&self, waker: &Waker) {
        let mut hung = lock(&self.0);
        match &mut *hung {
            Some(hung) => hung.clone_from(waker),
            None => *hung = Some(waker.clone()),
        }
    }

    /// Wakes the driver, outside the lock.
    pub(crate) fn ring(&self) {
        let waker = lock(&self.0).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Says that one part of a machine has something to look at, and rings the machine's bell.
#[derive(Debug)]
pub(crate) struct Flag {
    raised: AtomicBool,
    bell: Arc<Bell>,
}

impl Flag {
    /// A raised flag: there is everything to look at.
    pub(crate) fn new(bell: &Arc<Bell>) -> Arc<Flag> {
        Arc::new(Flag { raised: AtomicBool::new(true), bell: Arc::clone(bell) })
    }

    /// Lowers it, before looking. Says whether it was raised.
    pub(crate) fn lower(&self) -> bool {
        self.raised.load(Ordering::Relaxed) && self.raised.swap(false, Ordering::AcqRel)
    }

    /// Raises it without ringing, for the machine itself.
    pub(crate) fn raise(&self) {
        // A swap, as lowering is: loom does not know that no store comes between what a swap reads and what it writes.
        self.raised.swap(true, Ordering::AcqRel);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
        self.bell.ring();
    }
}

/// Where other threads leave what a machine is to take in. Its users bound what can be under way.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    letters: Mutex<VecDeque<T>>,
    some: AtomicBool,
    bell: Arc<Bell>,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(bell: &Arc<Bell>) -> Mailbox<T> {
        Mailbox { letters: Mutex::new(VecDeque::new()), some: AtomicBool::new(false), bell: Arc::clone(bell) }
    }

    /// Leaves a letter and rings.
    pub(crate) fn post(&self, letter: T) {
        lock(&self.letters).push_back(letter);
        self.some.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// The oldest letter.
    pub(crate) fn take(&self) -> Option<T> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let mut letters = lock(&self.letters);
        let letter = letters.pop_front();
        if letter.is_none() {
            self.some.store(false, Ordering::Release);
        }
        letter
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::{AtomicUsize, model};
    use loom::future::block_on;
    use loom::thread;
    use std::future::poll_fn;
    use std::task::Poll;

    /// Two have news and raise their flags; one driver, whose waker changes meanwhile, sees both.
    #[test]
    fn a_raised_flag_is_seen() {
        model(3, || {
            let bell = Arc::new(Bell::default());
            let parts: Vec<_> = (0..2).map(|_| (Flag::new(&bell), Arc::new(AtomicUsize::new(0)))).collect();
            for (flag, news) in &parts {
                let (flag, news) = (Waker::from(Arc::clone(flag)), Arc::clone(news));
                thread::spawn(move || {
                    news.store(1, Ordering::Relaxed);
                    flag.wake();
                });
            }
            bell.hang(Waker::noop());
            let mut seen = [0; 2];
            let mut look = |waker: &Waker| {
                bell.hang(waker);
                for (seen, (flag, news)) in seen.iter_mut().zip(&parts) {
                    if flag.lower() {
                        *seen = news.load(Ordering::Relaxed);
                    }
                }
                seen == [1; 2]
            };
            if !look(Waker::noop()) {
                block_on(poll_fn(|cx| if look(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }));
            }
        });
    }

    /// Two post, one takes.
    #[test]
    fn a_letter_is_taken() {
        model(3, || {
            let bell = Arc::new(Bell::default());
            let mailbox = Arc::new(Mailbox::new(&bell));
            for letter in [1, 2] {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.post(letter));
            }
            let mut sum = 0;
            block_on(poll_fn(|cx| {
                bell.hang(cx.waker());
                sum += std::iter::from_fn(|| mailbox.take()).sum::<i32>();
                if sum == 3 { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_flag_says_who_has_news_and_rings_for_the_latest_driver() {
        let bell = Arc::new(Bell::default());
        let flag = Flag::new(&bell);
        assert!(flag.lower() && !flag.lower());
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        bell.hang(&Arc::clone(&first).into());
        bell.hang(&Arc::clone(&second).into());
        Waker::from(Arc::clone(&flag)).wake();
        assert!(flag.lower());
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    }

    #[test]
    fn letters_come_in_the_order_they_were_posted() {
        let bell = Arc::new(Bell::default());
        let mailbox = Mailbox::new(&bell);
        mailbox.post(1);
        mailbox.post(2);
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take()], [Some(1), Some(2), None]);
        mailbox.post(3);
        assert_eq!(mailbox.take(), Some(3));
    }
}
