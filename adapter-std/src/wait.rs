//! How a thread waits: in one call of the operating system, for all that it needs.
//!
//! What node gives is polled by the thread that wants it. Whatever is pending leaves here what it waits for (a socket, a
//! moment), and the thread sleeps in `poll(2)` on just that and on a pipe of its own, by which wakers reach it; without
//! sockets it is parked. So no other thread is between a socket and its user, and none waits for others.
//!
//! Owns the rule that no wake-up is lost: who wakes marks the thread first and then looks whether it sleeps; the thread
//! says that it sleeps only if it is not marked.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::os::{
    AtomicBool, AtomicU8, Ordering, PipeReader, PipeWriter, PollFd, PollFlags, Thread, Timespec, pipe, poll,
    thread,
};

/// How often a thread looks that got no descriptor to be woken by, since the process has no more.
const WITHOUT_BELL: Duration = Duration::from_millis(10);

const AWAKE: u8 = 0;
/// Woken, and has not looked since.
const WOKEN: u8 = 1;
const PARKED: u8 = 2;
const POLLING: u8 = 3;

/// What the futures of a thread wait for.
#[derive(Default)]
struct Awaited {
    sockets: Vec<(Arc<Socket>, PollFlags)>,
    deadline: Option<Instant>,
}

thread_local! {
    static AWAITED: RefCell<Awaited> = RefCell::default();
    /// This thread's sleeper, while it is not in use.
    static SLEEPER: Cell<Option<(Arc<Sleeper>, Waker)>> = const { Cell::new(None) };
}

/// Waits, in this poll, until `socket` can be read or written, or has ended.
pub(crate) fn ready_for<T>(flags: PollFlags, socket: Arc<Socket>) -> Poll<T> {
    AWAITED.with_borrow_mut(|awaited| awaited.sockets.push((socket, flags)));
    Poll::Pending
}

/// Waits, in this poll, until `moment`.
pub(crate) fn until(moment: Instant) -> Poll<()> {
    AWAITED.with_borrow_mut(|awaited| {
        awaited.deadline = Some(awaited.deadline.map_or(moment, |deadline| deadline.min(moment)));
    });
    Poll::Pending
}

/// What comes of a future, unless it takes longer than until `limit`; what can be had at once, it has. Blocks.
#[inline]
pub(crate) fn block_until<F: Future>(limit: Option<Instant>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let _outer = Outer(AWAITED.take());
    let (sleeper, waker) = SLEEPER.take().unwrap_or_else(Sleeper::new);
    let mut cx = Context::from_waker(&waker);
    let mut is_late = false;
    let output = loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => break Some(output),
            Poll::Pending if is_late => break None,
            Poll::Pending => sleeper.sleep(AWAITED.take(), limit),
        }
        is_late = limit.is_some_and(|limit| Instant::now() >= limit);
    };
    SLEEPER.set(Some((sleeper, waker)));
    output
}

/// What a poll waits for in which another one blocks: nothing, most often. Put back when that one is done, so that no socket
/// is kept open by who waited for it.
struct Outer(Awaited);

impl Drop for Outer {
    #[inline]
    fn drop(&mut self) {
        AWAITED.set(std::mem::take(&mut self.0));
    }
}

/// A thread that can be woken.
struct Sleeper {
    state: AtomicU8,
    thread: Thread,
    /// Ends a sleep in `poll(2)`. Made when it is first needed.
    bell: OnceLock<Bell>,
}

impl Sleeper {
    #[cold]
    fn new() -> (Arc<Sleeper>, Waker) {
        let (state, thread) = (AtomicU8::new(AWAKE), thread::current());
        let sleeper = Arc::new(Sleeper { state, thread, bell: OnceLock::new() });
        (Arc::clone(&sleeper), sleeper.into())
    }

    /// Sleeps until something that is awaited may be there, or it is woken, or `limit` has passed. May wake early.
    fn sleep(&self, Awaited { sockets, deadline }: Awaited, limit: Option<Instant>) {
        let deadline = deadline.into_iter().chain(limit).min();
        let time = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if sockets.is_empty() { self.park(time) } else { self.poll(&sockets, time) }
    }

    fn park(&self, time: Option<Duration>) {
        if self.falls_to(PARKED) {
            match time {
                Some(time) => thread::park_timeout(time),
                None => thread::park(),
            }
        }
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    fn poll(&self, sockets: &[(Arc<Socket>, PollFlags)], time: Option<Duration>) {
        if self.bell.get().is_none()
            && let Ok((hears, rings)) = pipe()
        {
            let _ = self.bell.set(Bell { hears, rings, is_heard: AtomicBool::new(false) });
        }
        let bell = self.bell.get().inspect(|bell| bell.stop());
        let mut awaited: Vec<PollFd<'_>> = Vec::with_capacity(sockets.len() + 1);
        awaited.extend(sockets.iter().map(|(socket, flags)| PollFd::new(socket, *flags)));
        awaited.extend(bell.map(|bell| PollFd::new(&bell.hears, PollFlags::IN)));
        let most = bell.is_none().then_some(WITHOUT_BELL);
        let time = time.into_iter().chain(most).min().and_then(|time| Timespec::try_from(time).ok());
        if self.falls_to(POLLING) {
            // Interrupted: that is waking early.
            let _ = poll(&mut awaited, time.as_ref());
        }
        self.state.swap(AWAKE, Ordering::AcqRel);
        if let Some(bell) = bell {
            let is_heard = awaited.last().is_some_and(|heard| !heard.revents().is_empty());
            bell.is_heard.store(is_heard, Ordering::Relaxed);
        }
    }

    /// Says that it sleeps, unless it was woken since it looked last.
    fn falls_to(&self, state: u8) -> bool {
        self.state.compare_exchange(AWAKE, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(WOKEN, Ordering::AcqRel) {
            PARKED => self.thread.unpark(),
            POLLING => {
                if let Some(bell) = self.bell.get() {
                    bell.ring();
                }
            }
            _ => {}
        }
    }
}

/// A descriptor that can be read from once it has rung: a pipe, which rings at most once a sleep and so is never full.
struct Bell {
    hears: PipeReader,
    rings: PipeWriter,
    /// It has rung, and is stopped before the next sleep: who was woken has better to do.
    is_heard: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        let _ = (&self.rings).write(&[1]);
    }

    fn stop(&self) {
        if self.is_heard.load(Ordering::Relaxed) {
            let _ = (&self.hears).read(&mut [0; 8]);
        }
    }
}
