//! The node's disk as its process sees it: a process that is gone can change nothing any more.
//!
//! A `SimDisk` loses what was not synced when the power goes; this stands before it and says which process may
//! still use it, and lets a process die between two operations of a commit.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use netchan_store::Log;
use netchan_store::disk::{Disk, DiskFile, DiskLock, Open, SimDisk, Space};

/// A disk that one process uses, until that dies.
#[derive(Clone, Debug)]
pub struct MortalDisk {
    disk: SimDisk,
    life: Arc<Life>,
}

#[derive(Debug, Default)]
struct Life {
    /// Operations that it will live to see; each takes one.
    left: AtomicU64,
    /// The log that is looked at while it writes and syncs.
    watched: Mutex<Option<Log>>,
    /// What could be seen of it when the last write began.
    visible: AtomicU64,
    /// More could be seen before the sync after it.
    seen_early: AtomicU64,
}

/// More operations than any run has.
const LONG: u64 = u64::MAX / 2;

impl Life {
    fn check(&self) -> io::Result<()> {
        if self.left.load(Relaxed) == 0 { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }

    fn visible(&self) -> Option<u64> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map(|log| log.visible().0)
    }

    /// A write begins: what it brings may not be seen yet.
    fn on_write(&self) {
        if let Some(visible) = self.visible() {
            self.visible.store(visible, Relaxed);
        }
    }

    /// A sync begins: what was written since the one before may not be seen yet.
    fn on_sync(&self) {
        if let Some(visible) = self.visible()
            && visible > self.visible.swap(u64::MAX, Relaxed)
        {
            self.seen_early.fetch_max(visible, Relaxed);
        }
    }

    fn spend(&self) -> io::Result<()> {
        self.check()?;
        self.left.fetch_sub(1, Relaxed);
        Ok(())
    }
}

impl MortalDisk {
    /// The disk for one process.
    pub fn new(disk: &SimDisk) -> MortalDisk {
        MortalDisk {
            disk: disk.clone(),
            life: Arc::new(Life {
                left: AtomicU64::new(LONG),
                visible: AtomicU64::new(u64::MAX),
                ..Life::default()
            }),
        }
    }

    /// From now on, nothing that is appended to this log, which is of the mode `Sync`, may be seen before its sync.
    pub fn watch(&self, log: Option<Log>) {
        *self.life.watched.lock().unwrap_or_else(PoisonError::into_inner) = log;
        // What was noted of another log, or before a while in which nobody looked, says nothing of this one.
        self.life.visible.store(u64::MAX, Relaxed);
    }

    /// How far somebody could see too early, if so.
    pub fn seen_early(&self) -> Option<u64> {
        Some(self.life.seen_early.load(Relaxed)).filter(|end| *end > 0)
    }

    /// The process dies after so many more operations that change the disk.
    pub fn die_after(&self, operations: u64) {
        self.life.left.store(operations, Relaxed);
    }
}

impl Disk for MortalDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.life.spend()?;
        self.disk.create_dir(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.life.check()?;
        self.disk.list(path)
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        if how == Open::CreateNew { self.life.spend() } else { self.life.check() }?;
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(MortalFile { file, life: Arc::clone(&self.life) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.life.spend()?;
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.life.spend()?;
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.life.spend()?;
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.life.spend()?;
        self.disk.sync_dir(path)
    }

    fn space(&self) -> io::Result<Space> {
        self.life.check()?;
        self.disk.space()
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.life.spend()?;
        self.disk.try_lock(path)
    }
}

#[derive(Debug)]
struct MortalFile {
    file: Arc<dyn DiskFile>,
    life: Arc<Life>,
}

impl DiskFile for MortalFile {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        self.life.check()?;
        self.file.read_at(into, at)
    }

    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.life.check()?;
        self.file.read_at_now(into, at)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.life.on_write();
        self.life.spend()?;
        self.file.write_all_at(parts, at)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.life.spend()?;
        self.file.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.life.spend()?;
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.life.on_sync();
        self.life.spend()?;
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.life.check()?;
        self.file.size()
    }
}
