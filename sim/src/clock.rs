//! Simulated time: the clock of the machine, what is due when, and who was woken.
//!
//! Nothing here waits: whoever takes the next event from the `Schedule` is at its time already, so idle hours
//! cost nothing. Events of the same moment come in the order they were put in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use netchan_proto::{Instant, Timestamp};
use netchan_store::Clock;

/// Where the simulated wall clock begins: 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600_000_000_000;

/// The wall clock of the simulated machine. It can be set, also back.
#[derive(Debug)]
pub struct WallClock {
    now: AtomicI64,
    offset: AtomicI64,
}

impl Default for WallClock {
    fn default() -> WallClock {
        WallClock { now: AtomicI64::new(EPOCH), offset: AtomicI64::new(EPOCH) }
    }
}

impl WallClock {
    /// It is `now` on the clock that never goes back.
    pub fn follow(&self, now: Instant) {
        self.now.store(self.offset.load(Relaxed) + now.0.cast_signed(), Relaxed);
    }

    /// Somebody sets the clock, by so many nanoseconds.
    pub fn jump(&self, nanos: i64) {
        self.offset.fetch_add(nanos, Relaxed);
        self.now.fetch_add(nanos, Relaxed);
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Relaxed))
    }
}

#[derive(Debug)]
struct Due<E> {
    at: Instant,
    serial: u64,
    event: E,
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

/// What is due when.
#[derive(Debug)]
pub struct Schedule<E> {
    now: Instant,
    serial: u64,
    heap: BinaryHeap<Due<E>>,
}

impl<E> Default for Schedule<E> {
    fn default() -> Schedule<E> {
        Schedule { now: Instant(0), serial: 0, heap: BinaryHeap::new() }
    }
}

impl<E> Schedule<E> {
    /// The moment of the event taken last.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Puts in an event; one in the past is due now.
    pub fn at(&mut self, at: Instant, event: E) {
        self.serial += 1;
        self.heap.push(Due { at: at.max(self.now), serial: self.serial, event });
    }

    /// Puts in an event so long from now.
    pub fn after(&mut self, wait: Duration, event: E) {
        self.at(self.now.plus(wait), event);
    }

    /// The next event; it is its time then.
    pub fn next_event(&mut self) -> Option<E> {
        let due = self.heap.pop()?;
        self.now = due.at;
        Some(due.event)
    }
}

/// Who was woken since somebody looked, in order.
#[derive(Debug)]
pub struct Wakes<A> {
    rung: Arc<Mutex<Vec<A>>>,
}

impl<A> Default for Wakes<A> {
    fn default() -> Wakes<A> {
        Wakes { rung: Arc::default() }
    }
}

impl<A: Copy + Send + Sync + 'static> Wakes<A> {
    /// A bell for `actor`.
    pub fn bell(&self, actor: A) -> Bell {
        let ringer =
            Arc::new(Ringer { actor, is_rung: AtomicBool::new(false), rung: Arc::clone(&self.rung) });
        Bell { waker: Waker::from(Arc::clone(&ringer)), ringer }
    }

    /// Takes who was woken.
    pub fn take(&self, into: &mut Vec<A>) {
        into.append(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

struct Ringer<A> {
    actor: A,
    is_rung: AtomicBool,
    rung: Arc<Mutex<Vec<A>>>,
}

impl<A: Copy + Send + Sync> Wake for Ringer<A> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Relaxed) {
            self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(self.actor);
        }
    }
}

trait Hush: Send + Sync {
    fn hush(&self);
    fn is_rung(&self) -> bool;
}

impl<A: Send + Sync> Hush for Ringer<A> {
    fn hush(&self) {
        self.is_rung.store(false, Relaxed);
    }

    fn is_rung(&self) -> bool {
        self.is_rung.load(Relaxed)
    }
}

/// One actor's waker. It rings once, until it is hushed.
pub struct Bell {
    waker: Waker,
    ringer: Arc<dyn Hush>,
}

impl Bell {
    /// The actor runs now: the next wake counts again.
    pub fn hush(&self) {
        self.ringer.hush();
    }

    /// Whether the actor was woken and has not run since.
    pub fn is_rung(&self) -> bool {
        self.ringer.is_rung()
    }

    /// The waker to hand out.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}
