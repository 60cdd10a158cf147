//! Who receives from a channel of this node, how far each has it, and who waits for that.
//!
//! Owns the meaning of "a receiver has it": it began at or before the record, and has told that its user got it. Streams that
//! read come, tell and go ([`Presence`]); senders wait ([`Waiting`]). It knows no frame: what is to be asked of a
//! receiver, its stream looks up here, and asks.
//!
//! Owns the rule that nobody is asked too late: what is waited for is known before the record is in the log, so whoever sees the
//! record there sees that too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use netchan_proto::Offset;

use crate::sync::{AtomicU64, Mutex};
use crate::wake::lock;

/// Of one log.
#[derive(Debug, Default)]
pub(crate) struct Attendance {
    state: Mutex<State>,
    /// No offset beyond this is awaited. Kept beside the lock for who looks often.
    furthest: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    receivers: BTreeMap<u64, Attending>,
    /// By what they wait for, and a number of their own; who waits for receivers to come, at [`Offset::ZERO`].
    waits: BTreeMap<(Offset, u64), Wait>,
    numbers: u64,
    is_over: bool,
}

/// A receiver that is there.
#[derive(Debug)]
struct Attending {
    /// Where it began, or went on after a seek.
    from: Offset,
    /// Its user has all before this, as it told; before it told anything, where it began.
    has: Offset,
    /// Whether it tells, when it is asked.
    tells: bool,
    /// Its stream's.
    waker: Waker,
}

#[derive(Debug)]
struct Wait {
    wish: Wish,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Wish {
    /// That so many are there.
    Ready(usize),
    /// That these have it or are gone; so many have it.
    All { missing: BTreeSet<u64>, have: usize },
    /// That so many have it; these do, or did.
    Some { wanted: usize, have: BTreeSet<u64> },
}

impl Wish {
    /// How many there are of those who were waited for, once there is nothing to wait for.
    fn come_true(&self, receivers: usize) -> Option<usize> {
        match self {
            Wish::Ready(wanted) => (receivers >= *wanted).then_some(receivers),
            Wish::All { missing, have } => missing.is_empty().then_some(*have),
            Wish::Some { wanted, have } => (have.len() >= *wanted).then_some(have.len()),
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The wakers of those in this range whose wish has come true, or never will.
    fn woken(&mut self, range: Keys) -> Vec<Waker> {
        let (receivers, is_over) = (self.receivers.len(), self.is_over);
        let done = |wait: &&mut Wait| is_over || wait.wish.come_true(receivers).is_some();
        self.waits
            .range_mut(range)
            .map(|(_, wait)| wait)
            .filter(done)
            .filter_map(|wait| wait.waker.take())
            .collect()
    }

    /// A receiver has all before `has`. `from` is where it goes on, if it went elsewhere.
    fn moved(&mut self, id: u64, has: Offset, from: Option<Offset>) -> Vec<Waker> {
        let Some(receiver) = self.receivers.get_mut(&id) else { return Vec::new() };
        let before = std::mem::replace(&mut receiver.has, has);
        receiver.from = from.unwrap_or(receiver.from);
        if has <= before {
            return Vec::new();
        }
        let began = receiver.from;
        let range = (Bound::Excluded((before, u64::MAX)), Bound::Included((has, u64::MAX)));
        for ((target, _), wait) in self.waits.range_mut(range) {
            match &mut wait.wish {
                Wish::All { missing, have } => *have += usize::from(missing.remove(&id)),
                Wish::Some { have, .. } if began < *target => drop(have.insert(id)),
                _ => {}
            }
        }
        self.woken(range)
    }
}

/// From one wait to another.
type Keys = (Bound<(Offset, u64)>, Bound<(Offset, u64)>);

/// All of them.
const EVERYTHING: Keys = (Bound::Unbounded, Bound::Unbounded);

impl Attendance {
    /// A receiver comes, and reads from here on. `waker` is woken when something is to be asked of it.
    pub(crate) fn come(self: &Arc<Self>, from: Offset, tells: bool, waker: Waker) -> Presence {
        let mut state = lock(&self.state);
        let id = state.number();
        state.receivers.insert(id, Attending { from, has: from, tells, waker });
        let woken = state.woken((Bound::Unbounded, Bound::Included((Offset::ZERO, u64::MAX))));
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Presence { attendance: Arc::clone(self), id, tells }
    }

    /// How many are there.
    pub(crate) fn count(&self) -> usize {
        lock(&self.state).receivers.len()
    }

    /// For so many to be there.
    pub(crate) fn await_ready(self: &Arc<Self>, wanted: usize) -> Waiting {
        self.wait(&mut lock(&self.state), Offset::ZERO, Wish::Ready(wanted))
    }

    /// For all who are there now, and tell, to have all before `end`, or to go.
    pub(crate) fn await_all(self: &Arc<Self>, end: Offset) -> Waiting {
        let mut state = lock(&self.state);
        let telling = state.receivers.iter().filter(|(_, receiver)| receiver.tells);
        let (have, missing): (Vec<_>, Vec<_>) = telling.partition(|(_, receiver)| receiver.has >= end);
        let wakers: Vec<Waker> = missing.iter().map(|(_, receiver)| receiver.waker.clone()).collect();
        let (have, missing) = (have.len(), missing.into_iter().map(|(id, _)| *id).collect());
        let waiting = self.wait(&mut state, end, Wish::All { missing, have });
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        waiting
    }

    /// Has `append` append a record, and waits for so many to have it. Nobody is told meanwhile that a
    /// receiver has it, and it is waited for before it can be seen.
    ///
    /// # Errors
    /// What `append` says: nothing is waited for then.
    pub(crate) fn await_some<E>(
        self: &Arc<Self>,
        wanted: usize,
        append: impl FnOnce() -> Result<Offset, E>,
    ) -> Result<(Offset, Waiting), E> {
        let mut state = lock(&self.state);
        // Until it is known which offset it has: a stream that sees the record sooner waits for the lock, and sees the wait then.
        self.furthest.store(u64::MAX, Ordering::SeqCst);
        let appended = append();
        let waiting = appended.map(|offset| {
            let wish = Wish::Some { wanted, have: BTreeSet::new() };
            (offset, self.wait(&mut state, offset.plus(1), wish))
        });
        self.note_furthest(&state);
        waiting
    }

    fn wait(self: &Arc<Self>, state: &mut State, target: Offset, wish: Wish) -> Waiting {
        let key = (target, state.number());
        state.waits.insert(key, Wait { wish, waker: None });
        self.note_furthest(state);
        Waiting { attendance: Arc::clone(self), key }
    }

    fn note_furthest(&self, state: &State) {
        let furthest = state.waits.last_key_value().map_or(0, |((target, _), _)| target.0);
        self.furthest.store(furthest, Ordering::SeqCst);
    }

    /// Nobody will come any more.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.is_over = true;
        let woken = state.woken(EVERYTHING);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A receiver is there while this lives.
#[derive(Debug)]
pub(crate) struct Presence {
    attendance: Arc<Attendance>,
    id: u64,
    tells: bool,
}

impl Presence {
    /// What is to be asked of it next, of what lies after `asked`.
    pub(crate) fn awaited(&self, asked: Offset) -> Option<Offset> {
        if !self.tells || self.attendance.furthest.load(Ordering::SeqCst) <= asked.0 {
            return None;
        }
        let state = lock(&self.attendance.state);
        let asked = asked.max(state.receivers.get(&self.id)?.has);
        let mut after = state.waits.range((Bound::Excluded((asked, u64::MAX)), Bound::Unbounded));
        after.next().map(|((target, _), _)| *target)
    }

    /// Its user has all before this.
    pub(crate) fn has(&self, end: Offset) {
        let woken = lock(&self.attendance.state).moved(self.id, end, None);
        woken.into_iter().for_each(Waker::wake);
    }

    /// It goes on here.
    pub(crate) fn goes_on_at(&self, from: Offset) {
        let woken = lock(&self.attendance.state).moved(self.id, from, Some(from));
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = lock(&self.attendance.state);
        let gone = state.receivers.remove(&self.id);
        for wait in state.waits.values_mut() {
            if let Wish::All { missing, .. } = &mut wait.wish {
                missing.remove(&self.id);
            }
        }
        let woken = state.woken(EVERYTHING);
        drop(state);
        drop(gone); // its waker, without the lock
        woken.into_iter().for_each(Waker::wake);
    }
}

/// One who waits, while this lives.
#[derive(Debug)]
pub(crate) struct Waiting {
    attendance: Arc<Attendance>,
    key: (Offset, u64),
}

/// Nobody will come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over;

impl Waiting {
    /// Ready when it has come true: how many they are.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Result<usize, Over>> {
        let mut state = lock(&self.attendance.state);
        let (receivers, is_over) = (state.receivers.len(), state.is_over);
        let Some(wait) = state.waits.get_mut(&self.key) else { return Poll::Ready(Err(Over)) };
        match wait.wish.come_true(receivers) {
            Some(count) => Poll::Ready(Ok(count)),
            // Who waits for all waits for those that leave, not for those that might come.
            None if is_over && !matches!(wait.wish, Wish::All { .. }) => Poll::Ready(Err(Over)),
            None => {
                let before = wait.waker.replace(waker.clone());
                drop(state);
                drop(before); // without the lock
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = lock(&self.attendance.state);
        let gone = state.waits.remove(&self.key);
        self.attendance.note_furthest(&state);
        drop(state);
        drop(gone);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::{AtomicUsize, model};
    use loom::future::block_on;
    use loom::thread;
    use std::future::poll_fn;

    fn come_true(waiting: &Waiting) -> Result<usize, Over> {
        block_on(poll_fn(|cx| waiting.poll(cx.waker())))
    }

    /// A stream that sees the record in the log sees that somebody waits for it, and who waits is woken when it has it.
    #[test]
    fn who_sees_a_record_sees_that_it_is_awaited() {
        model(3, || {
            let (attendance, log) = (Arc::new(Attendance::default()), Arc::new(AtomicUsize::new(0)));
            let presence = attendance.come(Offset::ZERO, true, Waker::noop().clone());
            let visible = Arc::clone(&log);
            let reading = thread::spawn(move || {
                while visible.load(Ordering::Acquire) == 0 {
                    thread::yield_now();
                }
                assert_eq!(presence.awaited(Offset::ZERO), Some(Offset(1)));
                presence.has(Offset(1));
            });
            let append = || {
                log.store(1, Ordering::Release);
                Ok::<_, ()>(Offset::ZERO)
            };
            let (_, waiting) = attendance.await_some(1, append).unwrap();
            assert_eq!(come_true(&waiting), Ok(1));
            reading.join().unwrap();
        });
    }

    /// Of two who send at the same time each is waited for, whichever comes first.
    #[test]
    fn who_sees_the_second_of_two_records_sees_that_it_is_awaited() {
        model(2, || {
            let (attendance, log) = (Arc::new(Attendance::default()), Arc::new(AtomicUsize::new(0)));
            let presence = attendance.come(Offset::ZERO, true, Waker::noop().clone());
            let send = |attendance: Arc<Attendance>, log: Arc<AtomicUsize>| {
                let append = || Ok::<_, ()>(Offset(log.fetch_add(1, Ordering::AcqRel) as u64));
                attendance.await_some(1, append).unwrap().1
            };
            let (other, also) = (Arc::clone(&attendance), Arc::clone(&log));
            let second = thread::spawn(move || send(other, also));
            let first = send(Arc::clone(&attendance), Arc::clone(&log));
            while log.load(Ordering::Acquire) < 2 {
                thread::yield_now();
            }
            // it was asked for the first of them
            assert_eq!(presence.awaited(Offset(1)), Some(Offset(2)));
            presence.has(Offset(2));
            assert_eq!((come_true(&first), come_true(&second.join().unwrap())), (Ok(1), Ok(1)));
        });
    }

    /// One comes and has it all, one comes and goes; who waits for them hears of all that.
    #[test]
    fn who_waits_for_receivers_hears_of_them() {
        model(2, || {
            let attendance = Arc::new(Attendance::default());
            let coming = Arc::clone(&attendance);
            let receiving = thread::spawn(move || {
                let presence = coming.come(Offset::ZERO, true, Waker::noop().clone());
                let leaves = coming.come(Offset::ZERO, true, Waker::noop().clone());
                presence.has(Offset(1));
                drop(leaves);
                presence
            });
            assert!(come_true(&attendance.await_ready(1)).unwrap() > 0);
            let all = attendance.await_all(Offset(1));
            assert!(come_true(&all).unwrap() <= 1);
            drop(receiving.join().unwrap());
        });
    }

    /// Nobody will come.
    #[test]
    fn who_waits_hears_that_it_is_over() {
        model(3, || {
            let attendance = Arc::new(Attendance::default());
            let ending = Arc::clone(&attendance);
            let ends = thread::spawn(move || ending.end());
            assert_eq!(come_true(&attendance.await_ready(1)), Err(Over));
            ends.join().unwrap();
        });
    }
}
