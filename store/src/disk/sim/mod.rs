//! A disk in memory that loses what was not synced, by a seed.
//!
//! The model: of the 512-byte sectors written to a file since its last sync, any subset is on disk after a power
//! cut, and its length is the old one, the new one, or one between; of what was done to a directory since its last sync,
//! any subset. A power cut makes every open handle fail; then the disk can be used anew.
//!
//! Errors are told as Linux tells them. What could not be written back is lost and looks clean: it is read as it was
//! written until the power goes, and the next sync succeeds. Each handle that was open then hears of it once, at its next
//! sync; one that is opened later hears of it only if nobody was told before.
//!
//! | room | holds |
//! |---|---|
//! | here | the disk as a whole: its names, its power, its knobs |
//! | `inode` | one file, one directory: on disk, in memory, after a cut |
//! | `file` | an open file |
//! | `faults` | what fails, and how |

mod faults;
mod file;
mod inode;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Disk, DiskFile, DiskLock, Open, Space};
use faults::Fate;
pub use faults::Fault;
use file::SimFile;
use inode::{Dir, DirOperation, File, Inode};

/// The inode of the data directory.
const ROOT: u64 = 0;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Sim>>);

#[derive(Clone)]
struct Sim {
    random: fastrand::Rng,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Counts power cuts: a handle of an earlier one is dead.
    generation: u64,
    is_on: bool,
    operations: u64,
    syncs: u64,
    bytes_read: u64,
    cut_at: Option<u64>,
    /// At which operation what goes wrong.
    fault: Option<(u64, Fault)>,
    is_read_only: bool,
    failing_sync: Option<u64>,
    failing_write: Option<u64>,
    capacity: u64,
    open_files: usize,
    max_open_files: usize,
    locked: bool,
}

fn off() -> io::Error {
    io::Error::other("the power was cut")
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Sim {
    fn dir(&mut self, path: &str) -> io::Result<&mut Dir> {
        let mut inode = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            inode = match self.inodes.get(&inode) {
                Some(Inode::Dir(dir)) => *dir.now.get(name).ok_or_else(missing)?,
                _ => return Err(missing()),
            };
        }
        match self.inodes.get_mut(&inode) {
            Some(Inode::Dir(dir)) => Ok(dir),
            _ => Err(missing()),
        }
    }

    fn split(path: &str) -> (&str, &str) {
        path.rsplit_once('/').unwrap_or(("", path))
    }

    fn lookup(&mut self, path: &str) -> io::Result<u64> {
        let (dir, name) = Sim::split(path);
        self.dir(dir)?.now.get(name).copied().ok_or_else(missing)
    }

    fn file(&mut self, inode: u64) -> io::Result<&mut File> {
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => Ok(file),
            _ => Err(missing()),
        }
    }

    fn make(&mut self, path: &str, inode: Inode) -> io::Result<u64> {
        let (dir, name) = Sim::split(path);
        let id = self.next_inode;
        self.dir(dir)?.apply(DirOperation::Link(name.to_owned(), id));
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        Ok(id)
    }

    /// Bytes of the files that have a name.
    fn used(&self) -> u64 {
        let dirs = self.inodes.values().filter_map(|inode| match inode {
            Inode::Dir(dir) => Some(dir),
            Inode::File(_) => None,
        });
        let named = dirs.flat_map(|dir| dir.now.values());
        let used = |inode: &u64| match self.inodes.get(inode) {
            Some(Inode::File(file)) => file.now.len() as u64,
            _ => 0,
        };
        named.map(used).sum()
    }

    fn power_on(&mut self) {
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::File(file) => file.crash(&mut self.random),
                Inode::Dir(dir) => dir.crash(&mut self.random),
            }
        }
        (self.is_on, self.cut_at) = (true, None);
        self.end_processes();
    }

    /// All handles and locks are dead.
    fn end_processes(&mut self) {
        self.generation += 1;
        self.locked = false;
        self.open_files = 0;
    }

    fn lose_writeback(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Inode::File(file) = inode
                && file.is_dirty()
            {
                file.lose_writeback();
            }
        }
    }
}

impl SimDisk {
    /// An empty disk. What survives a power cut is drawn by `seed`.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Sim {
            random: fastrand::Rng::with_seed(seed),
            inodes: BTreeMap::from([(ROOT, Inode::Dir(Dir::default()))]),
            next_inode: ROOT + 1,
            generation: 0,
            is_on: true,
            operations: 0,
            syncs: 0,
            bytes_read: 0,
            cut_at: None,
            fault: None,
            is_read_only: false,
            failing_sync: None,
            failing_write: None,
            capacity: u64::MAX,
            open_files: 0,
            max_open_files: usize::MAX,
            locked: false,
        })))
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk, with all that this one holds now, synced or not. What survives a power cut there is drawn by `seed`.
    /// Handles and the lock stay with this one.
    #[must_use]
    pub fn fork(&self, seed: u64) -> SimDisk {
        let mut sim = self.sim().clone();
        sim.random = fastrand::Rng::with_seed(seed);
        sim.locked = false;
        SimDisk(Arc::new(Mutex::new(sim)))
    }

    /// Kills the process that uses the disk: its handles and locks are dead, and what it wrote stays. Where
    /// [`SimDisk::cut_power_at`] has come to pass it was this, and the power was never gone.
    pub fn kill(&self) {
        let mut sim = self.sim();
        if !sim.is_on {
            (sim.is_on, sim.cut_at) = (true, None);
        }
        sim.end_processes();
    }

    /// Whether the power is on: it goes where [`SimDisk::cut_power_at`] says.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.sim().is_on
    }

    /// Cuts the power, loses what is to be lost, and turns it on again. Open handles and locks are dead.
    pub fn crash(&self) {
        self.sim().power_on();
    }

    /// As [`SimDisk::crash`], and nothing survives that was not synced.
    pub fn lose_all(&self) {
        let mut sim = self.sim();
        for inode in sim.inodes.values_mut() {
            match inode {
                Inode::File(file) => file.lose_all(),
                Inode::Dir(dir) => dir.lose_all(),
            }
        }
        sim.power_on();
    }

    /// How many bytes were read.
    pub fn bytes_read(&self) -> u64 {
        self.sim().bytes_read
    }

    /// Cuts the power at the `operation`th operation from now that changes the disk, 1 being the next: that one may or
    /// may not have happened, a sync has not. Until [`SimDisk::crash`], everything fails.
    pub fn cut_power_at(&self, operation: u64) {
        let mut sim = self.sim();
        sim.cut_at = Some(sim.operations + operation);
    }

    /// How many operations have changed the disk.
    pub fn operations(&self) -> u64 {
        self.sim().operations
    }

    /// How many syncs of files there were.
    pub fn syncs(&self) -> u64 {
        self.sim().syncs
    }

    /// Lets the `sync`th sync of a file from now fail, 1 being the next.
    pub fn fail_sync(&self, sync: u64) {
        self.sim().failing_sync = Some(sync);
    }

    /// Lets the `write`th write from now fail half way, 1 being the next.
    pub fn fail_write(&self, write: u64) {
        self.sim().failing_write = Some(write);
    }

    /// Lets the `operation`th operation from now that changes the disk fail, 1 being the next.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        let mut sim = self.sim();
        sim.fault = Some((sim.operations + operation, fault));
    }

    /// Whether a fault is still to come.
    #[must_use]
    pub fn is_to_fail(&self) -> bool {
        self.sim().fault.is_some()
    }

    /// Has everything that would change the disk fail with EROFS, or no more.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.sim().is_read_only = is_read_only;
    }

    /// Has the system write back what is dirty in all files, and fail: see [`Fault::Writeback`].
    pub fn lose_writeback(&self) {
        self.sim().lose_writeback();
    }

    /// Sets how many bytes the disk has. What is beyond gets "no space left".
    pub fn set_capacity(&self, bytes: u64) {
        self.sim().capacity = bytes;
    }

    /// How many bytes its files take.
    pub fn used(&self) -> u64 {
        self.sim().used()
    }

    /// Sets how many files may be open. Who wants one more gets "too many open files".
    pub fn set_max_open_files(&self, files: usize) {
        self.sim().max_open_files = files;
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.sim().open_files
    }

    /// The contents of a file.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let mut sim = self.sim();
        let inode = sim.lookup(path).ok()?;
        sim.file(inode).ok().map(|file| file.now.clone())
    }

    /// Puts `bytes` into an existing file's place, durably: rot, or the hand of a person.
    pub fn overwrite(&self, path: &str, bytes: Vec<u8>) {
        let mut sim = self.sim();
        if let Ok(inode) = sim.lookup(path)
            && let Ok(file) = sim.file(inode)
        {
            *file = File::durable(bytes);
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if sim.lookup(path).is_ok() {
            return if sim.is_on { Ok(()) } else { Err(off()) };
        }
        let fate = sim.count()?.before()?;
        sim.make(path, Inode::Dir(Dir::default()))?;
        fate.tell()
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut sim = self.sim();
        if !sim.is_on {
            return Err(off());
        }
        Ok(sim.dir(path)?.now.keys().cloned().collect())
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut sim = self.sim();
        if !sim.is_on {
            return Err(off());
        }
        if sim.open_files >= sim.max_open_files {
            return Err(rustix::io::Errno::MFILE.into());
        }
        let found = sim.lookup(path);
        let inode = match (how, found) {
            (Open::CreateNew, Ok(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Open::CreateNew, Err(_)) => {
                let fate = sim.count()?.before()?;
                let inode = sim.make(path, Inode::File(File::default()))?;
                fate.tell()?;
                inode
            }
            (Open::Write, Ok(_)) if sim.is_read_only => return Err(Errno::ROFS.into()),
            (_, found) => found?,
        };
        Ok(Arc::new(SimFile::new(self, &mut sim, inode, how != Open::Read)?))
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        let mut sim = self.sim();
        if !sim.is_on {
            return Err(off());
        }
        let inode = sim.lookup(path)?;
        Ok(sim.file(inode)?.now.len() as u64)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut sim = self.sim();
        let fate = sim.count()?.before()?;
        let inode = sim.lookup(from)?;
        let ((from_dir, from), (to_dir, to)) = (Sim::split(from), Sim::split(to));
        if from_dir != to_dir {
            return Err(io::ErrorKind::Unsupported.into());
        }
        sim.dir(from_dir)?.apply(DirOperation::Rename(from.to_owned(), to.to_owned(), inode));
        fate.tell()
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if sim.is_on {
            let inode = sim.lookup(path)?;
            sim.file(inode)?;
        }
        let fate = sim.count()?.before()?;
        let (dir, name) = Sim::split(path);
        sim.dir(dir)?.apply(DirOperation::Unlink(name.to_owned()));
        fate.tell()
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if !sim.is_on {
            return Err(off());
        }
        if !sim.dir(path)?.now.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let fate = sim.count()?.before()?;
        let (dir, name) = Sim::split(path);
        sim.dir(dir)?.apply(DirOperation::Unlink(name.to_owned()));
        fate.tell()
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if sim.is_on && sim.open_files >= sim.max_open_files {
            return Err(rustix::io::Errno::MFILE.into()); // it is opened for this
        }
        let fate = sim.count()?;
        let dir = sim.dir(path)?;
        match fate {
            Fate::Done => dir.sync(),
            Fate::Fails(Errno::ROFS) if dir.pending.is_empty() => return Ok(()),
            Fate::Cut | Fate::Fails(_) => {}
        }
        fate.tell()
    }

    fn space(&self) -> io::Result<Space> {
        let sim = self.sim();
        Ok(Space { total: sim.capacity, free: sim.capacity.saturating_sub(sim.used()) })
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut sim = self.sim();
        if sim.lookup(path).is_err() {
            let fate = sim.count()?.before()?;
            sim.make(path, Inode::File(File::default()))?;
            fate.tell()?;
        }
        if !sim.is_on {
            return Err(off());
        }
        if sim.is_read_only {
            return Err(Errno::ROFS.into());
        }
        if sim.locked {
            return Ok(None);
        }
        sim.locked = true;
        let generation = sim.generation;
        Ok(Some(Box::new(SimLock { disk: self.clone(), generation })))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    generation: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut sim = self.disk.sim();
        if sim.generation == self.generation {
            sim.locked = false;
        }
    }
}
