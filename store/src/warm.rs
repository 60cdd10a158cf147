//! What logs hold and could do without, and who gives it up first.
//!
//! A log that was used is *warm*: it has files open, its newest batches in memory, places in its files learnt. None of
//! that is state. Marks, the queue, epochs, producers, claims and everybody who waits stand in the log for as long
//! as it is open, so a log that *cools* stays the same log: who holds it, reads it live or publishes to it notices
//! nothing, its next write or read opens a file again, and its epoch goes on. No recovery is run and nothing is
//! believed anew, because nobody else could write meanwhile: the store has the directory's lock.
//!
//! What makes it safe to close the file that a log writes through: it is closed only when it is clean. What was
//! written and not synced is synced first, through that very file (a failed sync poisons, as ever); so no sync ever
//! speaks for what went through another descriptor. A log whose writer is at work is not cooled, and one with something
//! queued does not rest. A log that failed, was deleted or closed has nothing left to write, and lets go at once.
//!
//! Warm logs stand in a line. Three things take from its front:
//! - the sweep, each `idle_after`: who was not used since the last one rests. It also gives back the room that it had
//!   reserved on disk;
//! - the tail budget: while the batches in memory of all logs are more than that;
//! - the files: before one more is opened than `max_open_files`, and when the system itself has no more.
//!
//! Locks: a log is cooled by whoever is in need, so only by trying its writer's lock, never by waiting for it, and
//! no lock of the line is held meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use crate::disk::{Disk, DiskFile, DiskLock, Open, Space};
use crate::error::is_short_of_files;
use crate::log::Inner;
use crate::sync::{Mutex, MutexGuard};

/// However many logs are warm, each may keep so much of its tail.
const LEAST_TAIL: usize = 64 << 10;

/// The line of warm logs of a store, and what they hold together.
pub(crate) struct Warm {
    max_files: usize,
    tail_budget: usize,
    files: AtomicUsize,
    tails: Arc<AtomicUsize>,
    line: Mutex<VecDeque<Weak<Inner>>>,
}

/// A log's place in the line.
#[derive(Debug, Default)]
pub(crate) struct Place {
    stands: AtomicBool,
    used: AtomicBool,
}

impl Place {
    /// It was used: it does not rest before the sweep after the next one.
    pub(crate) fn touch(&self) {
        self.used.store(true, Ordering::Relaxed);
    }
}

/// How a log cools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cooling {
    /// Others need its files. What it has in memory stays, and so does it in the line.
    Files,
    /// Others need all that it holds.
    InNeed,
    /// It was not used for long.
    Idle,
}

impl Warm {
    pub(crate) fn new(max_files: usize, tail_budget: usize) -> Arc<Warm> {
        Arc::new(Warm {
            max_files,
            tail_budget,
            files: AtomicUsize::new(0),
            tails: Arc::default(),
            line: Mutex::default(),
        })
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Weak<Inner>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `log` holds something. Says whether nobody did before.
    pub(crate) fn enter(&self, log: &Weak<Inner>, place: &Place) -> bool {
        place.touch();
        if place.stands.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut line = self.line();
        line.push_back(Weak::clone(log));
        line.len() == 1
    }

    /// Whether anybody holds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.line().is_empty()
    }

    /// The tail in memory of one log, counted with all others'.
    pub(crate) fn tail_share(&self) -> Share {
        Share { bytes: 0, all: Arc::clone(&self.tails) }
    }

    /// How much tail each warm log may keep.
    pub(crate) fn tail_limit(&self) -> usize {
        (self.tail_budget / self.line().len().max(1)).max(LEAST_TAIL).min(self.tail_budget)
    }

    pub(crate) fn open_files(&self) -> usize {
        self.files.load(Ordering::Relaxed)
    }

    pub(crate) fn tail_bytes(&self) -> usize {
        self.tails.load(Ordering::Relaxed)
    }

    /// Whether logs have to cool for the tail budget.
    pub(crate) fn is_strained(&self) -> bool {
        self.tail_bytes() > self.tail_budget
    }

    /// Cools logs until they are within the tail budget. Nothing of the caller's may be locked.
    pub(crate) fn relieve(&self) {
        if self.is_strained() {
            self.cool_until(Cooling::InNeed, |warm| !warm.is_strained());
        }
    }

    /// Makes room for one more open file; those that must be open are opened all the same.
    fn make_room(&self) {
        if self.open_files() >= self.max_files {
            self.cool_until(Cooling::Files, |warm| warm.open_files() < warm.max_files);
        }
    }

    /// Takes from the front of the line: first those that were not used lately, then any.
    fn cool_until(&self, how: Cooling, enough: impl Fn(&Warm) -> bool) {
        for spare_used in [true, false] {
            let mut left = self.line().len();
            while left > 0 && !enough(self) {
                left -= 1;
                self.next(|log| {
                    let spared = spare_used && log.place().used.load(Ordering::Relaxed);
                    !spared && log.cool(how)
                });
            }
        }
    }

    /// Lets those rest that were not used since the last time.
    pub(crate) fn sweep(&self) {
        let all = self.line().len();
        for _ in 0..all {
            self.next(|log| !log.place().used.swap(false, Ordering::Relaxed) && log.cool(Cooling::Idle));
        }
    }

    /// Asks the log at the front whether it leaves, and puts it at the back otherwise.
    fn next(&self, leaves: impl FnOnce(&Inner) -> bool) {
        let Some(front) = self.line().pop_front() else { return };
        let Some(log) = front.upgrade() else { return };
        // Whoever warms it from here on enters it anew.
        log.place().stands.store(false, Ordering::Release);
        if !leaves(&log) && !log.place().stands.swap(true, Ordering::AcqRel) {
            self.line().push_back(front);
        }
    }
}

/// What one log's tail takes of the store's budget. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Share {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// A disk on which few files are open at a time.
pub(crate) struct FewFiles {
    disk: Arc<dyn Disk>,
    warm: Arc<Warm>,
}

impl FewFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, warm: Arc<Warm>) -> FewFiles {
        FewFiles { disk, warm }
    }

    /// Tries once more, with every file closed that can be, if there were too many.
    fn with_files<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if is_short_of_files(&error) => {
                tracing::debug!(open = self.warm.open_files(), %error, "closing files of idle logs");
                self.warm.cool_until(Cooling::Files, |warm| warm.open_files() == 0);
                act()
            }
            done => done,
        }
    }
}

impl fmt::Debug for FewFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for FewFiles {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.with_files(|| self.disk.list(path))
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.warm.make_room();
        let file = self.with_files(|| self.disk.open(path, how))?;
        self.warm.files.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Counted { file, warm: Arc::clone(&self.warm) }))
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        self.with_files(|| self.disk.size(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.with_files(|| self.disk.sync_dir(path))
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(path)
    }
}

struct Counted {
    file: Arc<dyn DiskFile>,
    warm: Arc<Warm>,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.warm.files.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DiskFile for Counted {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        self.file.read_at(into, at)
    }

    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at_now(into, at)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.file.write_all_at(parts, at)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
