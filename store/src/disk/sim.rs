//! A disk in memory that loses what was not synced, by a seed.
//!
//! The model: of the 512-byte sectors written to a file since its last sync, any subset is on disk after a power
//! cut, and its length is the old or the new one; of what was done to a directory since its last sync, any subset.
//! A sync that fails leaves its pages looking clean: the next sync succeeds and they are lost all the same. A power
//! cut makes every open handle fail; then the disk can be used anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock, Open, Space};

const SECTOR: usize = 512;
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
    cut_at: Option<u64>,
    failing_sync: Option<u64>,
    failing_write: Option<u64>,
    capacity: u64,
    open_files: usize,
    max_open_files: usize,
    locked: bool,
}

#[derive(Clone)]
enum Inode {
    File(File),
    Dir(Dir),
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Sectors that differ, or may, and that a sync would write.
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Default)]
struct Dir {
    durable: BTreeMap<String, u64>,
    now: BTreeMap<String, u64>,
    pending: Vec<DirOperation>,
}

#[derive(Clone)]
enum DirOperation {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

impl DirOperation {
    fn apply(&self, entries: &mut BTreeMap<String, u64>) {
        match self {
            DirOperation::Link(name, inode) => {
                entries.insert(name.clone(), *inode);
            }
            DirOperation::Unlink(name) => {
                entries.remove(name);
            }
            DirOperation::Rename(from, to, inode) => {
                entries.remove(from);
                entries.insert(to.clone(), *inode);
            }
        }
    }
}

impl Dir {
    fn apply(&mut self, operation: DirOperation) {
        operation.apply(&mut self.now);
        self.pending.push(operation);
    }
}

impl File {
    fn touch(&mut self, from: usize, to: usize) {
        if from < to {
            self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        }
    }

    fn set_len(&mut self, len: usize) {
        let had = self.now.len();
        self.now.resize(len, 0);
        self.touch(len.min(had), had);
    }

    fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[at..end].copy_from_slice(bytes);
        self.touch(at, end);
    }

    fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len());
            if !range.is_empty() && range.start < self.now.len() {
                self.durable[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
    }

    fn crash(&mut self, random: &mut fastrand::Rng) {
        let len = if random.bool() { self.now.len() } else { self.durable.len() };
        let mut survived = std::mem::take(&mut self.durable);
        survived.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(len);
            if start < end && random.bool() {
                let known = self.now.get(start..end.min(self.now.len())).unwrap_or_default();
                survived[start..end].fill(0);
                survived[start..start + known.len()].copy_from_slice(known);
            }
        }
        self.now.clone_from(&survived);
        self.durable = survived;
    }
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

    fn used(&self) -> u64 {
        let used = |inode: &Inode| match inode {
            Inode::File(file) => file.now.len() as u64,
            Inode::Dir(_) => 0,
        };
        self.inodes.values().map(used).sum()
    }

    /// Before something that changes the disk: counts it, and says whether the power goes right after it.
    fn count(&mut self) -> io::Result<bool> {
        if !self.is_on {
            return Err(off());
        }
        self.operations += 1;
        let cut = self.cut_at.is_some_and(|at| self.operations >= at);
        if cut {
            self.is_on = false;
        }
        Ok(cut)
    }

    fn power_on(&mut self) {
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::File(file) => file.crash(&mut self.random),
                Inode::Dir(dir) => {
                    for operation in std::mem::take(&mut dir.pending) {
                        if self.random.bool() {
                            operation.apply(&mut dir.durable);
                        }
                    }
                    dir.now.clone_from(&dir.durable);
                }
            }
        }
        self.generation += 1;
        self.is_on = true;
        self.cut_at = None;
        self.locked = false;
        self.open_files = 0;
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
            cut_at: None,
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

    /// Kills the process that uses the disk: its handles and locks are dead, and what it wrote stays.
    pub fn kill(&self) {
        let mut sim = self.sim();
        sim.generation += 1;
        sim.locked = false;
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
            *file = File { durable: bytes.clone(), now: bytes, dirty: BTreeSet::new() };
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
        let cut = sim.count()?;
        sim.make(path, Inode::Dir(Dir::default()))?;
        if cut { Err(off()) } else { Ok(()) }
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
                let cut = sim.count()?;
                let inode = sim.make(path, Inode::File(File::default()))?;
                if cut {
                    return Err(off());
                }
                inode
            }
            (_, found) => found?,
        };
        sim.file(inode)?;
        sim.open_files += 1;
        let generation = sim.generation;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, generation, writable: how != Open::Read }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut sim = self.sim();
        let cut = sim.count()?;
        let inode = sim.lookup(from)?;
        let ((from_dir, from), (to_dir, to)) = (Sim::split(from), Sim::split(to));
        if from_dir != to_dir {
            return Err(io::ErrorKind::Unsupported.into());
        }
        sim.dir(from_dir)?.apply(DirOperation::Rename(from.to_owned(), to.to_owned(), inode));
        if cut { Err(off()) } else { Ok(()) }
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if sim.is_on {
            let inode = sim.lookup(path)?;
            sim.file(inode)?;
        }
        let cut = sim.count()?;
        let (dir, name) = Sim::split(path);
        sim.dir(dir)?.apply(DirOperation::Unlink(name.to_owned()));
        if cut { Err(off()) } else { Ok(()) }
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if !sim.is_on {
            return Err(off());
        }
        if !sim.dir(path)?.now.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let cut = sim.count()?;
        let (dir, name) = Sim::split(path);
        sim.dir(dir)?.apply(DirOperation::Unlink(name.to_owned()));
        if cut { Err(off()) } else { Ok(()) }
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim();
        if sim.is_on && sim.open_files >= sim.max_open_files {
            return Err(rustix::io::Errno::MFILE.into()); // it is opened for this
        }
        if sim.count()? {
            return Err(off());
        }
        let dir = sim.dir(path)?;
        dir.pending.clear();
        dir.durable.clone_from(&dir.now);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let sim = self.sim();
        Ok(Space { total: sim.capacity, free: sim.capacity.saturating_sub(sim.used()) })
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut sim = self.sim();
        if sim.lookup(path).is_err() {
            let cut = sim.count()?;
            sim.make(path, Inode::File(File::default()))?;
            if cut {
                return Err(off());
            }
        }
        if !sim.is_on {
            return Err(off());
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

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    generation: u64,
    writable: bool,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut sim = self.disk.sim();
        if sim.generation == self.generation {
            sim.open_files = sim.open_files.saturating_sub(1);
        }
    }
}

/// Counts down to a fault; says whether it is due.
fn is_due(fault: &mut Option<u64>) -> bool {
    match fault {
        Some(1) => {
            *fault = None;
            true
        }
        Some(left) => {
            *left = left.saturating_sub(1).max(1);
            false
        }
        None => false,
    }
}

impl SimFile {
    fn alive(&self) -> io::Result<MutexGuard<'_, Sim>> {
        let sim = self.disk.sim();
        if sim.is_on && sim.generation == self.generation { Ok(sim) } else { Err(off()) }
    }

    fn to_change(&self) -> io::Result<MutexGuard<'_, Sim>> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.alive()
    }

    /// Fails where the file would grow to `len` beyond what the disk has.
    fn room(&self, sim: &mut Sim, len: usize) -> io::Result<()> {
        let had = sim.file(self.inode)?.now.len();
        let more = len.saturating_sub(had) as u64;
        if sim.used().saturating_add(more) > sim.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

fn to_usize(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        let mut sim = self.alive()?;
        let file = sim.file(self.inode)?;
        let start = to_usize(at)?.min(file.now.len());
        let room = into.capacity() - into.len();
        let bytes = &file.now[start..(start + room).min(file.now.len())];
        into.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut sim = self.to_change()?;
        let cut = sim.count()?;
        let fails = is_due(&mut sim.failing_write);
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let at = to_usize(at)?;
        self.room(&mut sim, at + bytes.len())?;
        if fails {
            bytes.truncate(bytes.len() / 2);
        }
        sim.file(self.inode)?.write(&bytes, at);
        match (cut, fails) {
            (true, _) => Err(off()),
            (false, true) => Err(io::Error::other("simulated write error")),
            (false, false) => Ok(()),
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut sim = self.to_change()?;
        let cut = sim.count()?;
        let len = to_usize(len)?;
        self.room(&mut sim, len)?;
        let file = sim.file(self.inode)?;
        if file.now.len() < len {
            file.set_len(len);
        }
        if cut { Err(off()) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut sim = self.to_change()?;
        let cut = sim.count()?;
        let len = to_usize(len)?;
        self.room(&mut sim, len)?;
        sim.file(self.inode)?.set_len(len);
        if cut { Err(off()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut sim = self.alive()?;
        sim.syncs += 1;
        if sim.count()? {
            return Err(off());
        }
        if is_due(&mut sim.failing_sync) {
            sim.file(self.inode)?.dirty.clear();
            return Err(io::Error::other("simulated sync error"));
        }
        sim.file(self.inode)?.sync();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.alive()?.file(self.inode)?.now.len() as u64)
    }
}
