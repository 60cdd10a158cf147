//! Who writes and syncs: a small pool of threads that take dirty logs, or the caller of `run_commits`.
//!
//! A log stands in the queue at most once and is worked on by one thread at a time; while it is, what is appended
//! to it gathers, and that is all the group commit there is.
//!
//! The pool grows while logs stand in the queue and no thread has time: a store with one busy log has one thread or two,
//! one with a thousand has so many syncs on the way at a time as the disk likes. It does not shrink; a thread that
//! waits takes some pages of memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, Weak};

use std::time::Duration;

use netchan_proto::Timestamp;

use crate::clock::Clock;
use crate::log::Inner;
use crate::sync::{Builder, Condvar, JoinHandle, Mutex, MutexGuard};
use crate::warm::Warm;

/// A thread with nothing due looks at its timers again after this long, should the clock have jumped.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// Logs are not looked over more often than that.
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// A clock that is so many nanoseconds behind what it said before went back.
const BACKWARD_JUMP: i64 = 1_000_000_000;

pub(crate) struct Committer {
    queue: Mutex<Queue>,
    work: Condvar,
    clock: Arc<dyn Clock>,
    warm: Arc<Warm>,
    idle_after: Duration,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    /// Threads that may be started still.
    spare: usize,
    /// Threads that wait for work.
    waiting: usize,
    dirty: VecDeque<Arc<Inner>>,
    timers: BTreeMap<Timer, Weak<Inner>>,
    /// Timers that were set by a clock which went back since: they are gone through at once.
    overtaken: VecDeque<(Timer, Weak<Inner>)>,
    /// The latest time that was looked at.
    latest: Option<Timestamp>,
    timers_made: u64,
    /// When the logs are looked over for those that may rest.
    sweep: Option<Timestamp>,
    stopping: bool,
}

/// When a log is looked at again. A log has at most one, and one more each time that cursors let something of it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) when: Timestamp,
    number: u64,
}

enum Work {
    Commit(Arc<Inner>),
    Tick(Arc<Inner>, Timer),
    Sweep,
}

impl Queue {
    fn take(&mut self, now: Timestamp) -> Option<Work> {
        if self.latest.is_some_and(|latest| now.plus_nanos(BACKWARD_JUMP) < latest) {
            // What was due by the old time would not be for as long as the clock was ahead.
            self.overtaken.extend(std::mem::take(&mut self.timers));
            self.sweep = self.sweep.map(|due| due.min(now));
            self.latest = None;
        }
        self.latest = self.latest.max(Some(now));
        while let Some((timer, log)) = self.overtaken.pop_front() {
            if let Some(log) = log.upgrade() {
                return Some(Work::Tick(log, timer));
            }
        }
        // What is due goes first: logs that are never done for long would keep it waiting for ever.
        while let Some(entry) = self.timers.first_entry() {
            let timer = *entry.key();
            if timer.when > now {
                break;
            }
            if let Some(log) = entry.remove().upgrade() {
                return Some(Work::Tick(log, timer));
            }
        }
        if let Some(log) = self.dirty.pop_front() {
            return Some(Work::Commit(log));
        }
        self.sweep.take_if(|due| *due <= now).map(|_| Work::Sweep)
    }

    /// When there is something to do next.
    fn due(&self) -> Option<Timestamp> {
        let timer = self.timers.first_key_value().map(|(timer, _)| timer.when);
        [timer, self.sweep].into_iter().flatten().min()
    }
}

impl Committer {
    pub(crate) fn new(clock: Arc<dyn Clock>, warm: Arc<Warm>, idle_after: Duration) -> Arc<Committer> {
        Arc::new(Committer {
            queue: Mutex::default(),
            work: Condvar::new(),
            clock,
            warm,
            idle_after: idle_after.max(SHORTEST_REST),
            threads: Mutex::default(),
        })
    }

    /// Starts the first thread; up to `threads` follow as they are needed.
    pub(crate) fn start(self: &Arc<Committer>, threads: usize) -> std::io::Result<()> {
        self.queue().spare = threads.saturating_sub(1);
        self.start_one()
    }

    fn start_one(self: &Arc<Committer>) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let committer = Arc::clone(self);
        let name = format!("netchan-commit-{}", threads.len());
        threads.push(Builder::new().name(name).spawn(move || committer.run())?);
        Ok(())
    }

    /// Starts one more thread if there is work for it and none that waits.
    fn grow(self: &Arc<Committer>, mut queue: MutexGuard<'_, Queue>) {
        if queue.dirty.is_empty() || queue.waiting > 0 || queue.spare == 0 || queue.stopping {
            return;
        }
        queue.spare -= 1;
        drop(queue);
        if let Err(error) = self.start_one() {
            tracing::warn!(%error, "no further thread for commits: those there are go on");
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a log that has become dirty at the end of the queue. The log sees to it that it stands there once. Once the
    /// threads were told to stop, nothing more is taken: closing commits what is left.
    pub(crate) fn schedule(&self, log: Arc<Inner>) {
        let mut queue = self.queue();
        if !queue.stopping {
            queue.dirty.push_back(log);
            drop(queue);
            self.work.notify_one();
        }
    }

    /// Sees to it that logs which nobody uses come to rest.
    pub(crate) fn sweep_later(&self, now: Timestamp) {
        let mut queue = self.queue();
        if queue.sweep.is_none() {
            let nanos = i64::try_from(self.idle_after.as_nanos()).unwrap_or(i64::MAX);
            queue.sweep = Some(now.plus_nanos(nanos));
            drop(queue);
            self.work.notify_one();
        }
    }

    /// Has `log` looked at again at `when`, and not at `instead_of`.
    pub(crate) fn tick_at(&self, when: Timestamp, instead_of: Option<Timer>, log: &Arc<Inner>) -> Timer {
        let mut queue = self.queue();
        if let Some(timer) = instead_of {
            queue.timers.remove(&timer);
            queue.overtaken.retain(|(overtaken, _)| *overtaken != timer);
        }
        queue.timers_made += 1;
        let timer = Timer { when, number: queue.timers_made };
        queue.timers.insert(timer, Arc::downgrade(log));
        let earliest = queue.timers.first_key_value().is_some_and(|(first, _)| *first == timer);
        drop(queue);
        if earliest {
            self.work.notify_one();
        }
        timer
    }

    #[cfg(test)]
    pub(crate) fn timers(&self) -> usize {
        self.queue().timers.len()
    }

    /// Does all there is to do at `now`, in this thread.
    pub(crate) fn run_due(&self, now: Timestamp) -> bool {
        let mut did = false;
        loop {
            let work = self.queue().take(now);
            match work {
                Some(work) => self.work_on(work, now),
                None => return did,
            }
            did = true;
        }
    }

    fn work_on(&self, work: Work, now: Timestamp) {
        match work {
            Work::Commit(log) => {
                if log.commit(now) {
                    self.queue().dirty.push_back(log);
                }
            }
            Work::Tick(log, timer) => log.tick(timer, now),
            Work::Sweep => {
                self.warm.sweep();
                if !self.warm.is_empty() {
                    self.sweep_later(now);
                }
            }
        }
    }

    fn run(self: &Arc<Committer>) {
        let mut queue = self.queue();
        loop {
            let now = self.clock.now();
            if let Some(work) = queue.take(now) {
                self.grow(queue);
                self.work_on(work, now);
                queue = self.queue();
                continue;
            }
            if queue.stopping {
                return;
            }
            queue.waiting += 1;
            queue = match queue.due() {
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let nanos = due.0.saturating_sub(now.0);
                    let nap = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)).min(LONGEST_NAP);
                    self.work.wait_timeout(queue, nap).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            queue.waiting -= 1;
        }
    }

    /// Tells the threads to end once the queue is empty.
    pub(crate) fn stop(&self) {
        self.queue().stopping = true;
        self.work.notify_all();
    }

    /// Waits for the threads to end, and forgets what is queued where there are none.
    pub(crate) fn join(&self) {
        loop {
            let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
            if threads.is_empty() {
                break;
            }
            for thread in threads {
                // A committer thread does not panic; if it did, its logs are as they are. The last thing it did may have
                // been to start another.
                let _ = thread.join();
            }
        }
        self.queue().dirty.clear();
    }
}
