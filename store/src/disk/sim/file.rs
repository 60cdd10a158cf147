//! An open file of the simulated disk.

use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::faults::{Fate, is_due};
use super::{Sim, SimDisk, off};
use crate::disk::DiskFile;

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    inode: u64,
    generation: u64,
    writable: bool,
    /// The writeback errors of the file that this handle knows of.
    told: Mutex<u64>,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut sim = self.disk.sim();
        if sim.generation == self.generation {
            sim.open_files = sim.open_files.saturating_sub(1);
        }
    }
}

impl SimFile {
    /// A handle of a file that is there.
    pub(super) fn new(disk: &SimDisk, sim: &mut Sim, inode: u64, writable: bool) -> io::Result<SimFile> {
        let told = Mutex::new(sim.file(inode)?.told_at_opening());
        sim.open_files += 1;
        Ok(SimFile { disk: disk.clone(), inode, generation: sim.generation, writable, told })
    }

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

    /// How long the file may become, if `len` is asked for.
    fn room(&self, sim: &mut Sim, len: usize) -> io::Result<usize> {
        let had = sim.file(self.inode)?.now.len();
        let free = usize::try_from(sim.capacity.saturating_sub(sim.used())).unwrap_or(usize::MAX);
        Ok(len.min(had.max(had.saturating_add(free))))
    }

    /// Makes the file as long as asked, or, where that is more than there is room for, as long as it goes.
    fn extend(&self, sim: &mut Sim, len: usize) -> io::Result<()> {
        let may = self.room(sim, len)?;
        let file = sim.file(self.inode)?;
        if file.now.len() < may {
            file.set_len(may);
        }
        if may < len { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// Bytes of a file that are in memory, before as many that are not.
const CACHED: u64 = 6 << 10;
/// The most bytes of them that are given at once.
const PIECE: usize = 700;

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
        let len = bytes.len();
        sim.bytes_read += len as u64;
        Ok(len)
    }

    /// Every other stretch of the file is in memory.
    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        if (at / CACHED) % 2 == 1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut sim = self.alive()?;
        let file = sim.file(self.inode)?;
        let bytes = file.now.get(to_usize(at)?..).unwrap_or_default();
        let len = into.len().min(bytes.len()).min(to_usize(CACHED - at % CACHED)?).min(PIECE);
        into[..len].copy_from_slice(&bytes[..len]);
        sim.bytes_read += len as u64;
        Ok(len)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut sim = self.to_change()?;
        let mut fate = sim.count()?;
        if is_due(&mut sim.failing_write) && fate == Fate::Done {
            fate = Fate::Fails(Errno::IO);
        }
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if fate == Fate::Fails(Errno::ROFS) {
            bytes.clear();
        } else if let Fate::Fails(_) = fate {
            bytes.truncate(bytes.len() / 2);
        }
        let at = to_usize(at)?;
        // What fits is written.
        let fits = self.room(&mut sim, at + bytes.len())?.saturating_sub(at).min(bytes.len());
        sim.file(self.inode)?.write(&bytes[..fits], at);
        if fits < bytes.len() {
            fate = fate.before().map(|_| Fate::Fails(Errno::NOSPC))?;
        }
        fate.tell()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut sim = self.to_change()?;
        let fate = sim.count()?.before()?;
        self.extend(&mut sim, to_usize(len)?)?;
        fate.tell()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut sim = self.to_change()?;
        let fate = sim.count()?.before()?;
        let len = to_usize(len)?;
        self.extend(&mut sim, len)?;
        sim.file(self.inode)?.set_len(len);
        fate.tell()
    }

    fn sync(&self) -> io::Result<()> {
        let mut sim = self.alive()?;
        sim.syncs += 1;
        let mut fate = sim.count()?;
        if is_due(&mut sim.failing_sync) && fate == Fate::Done {
            fate = Fate::Fails(Errno::IO);
        }
        let file = sim.file(self.inode)?;
        match fate {
            Fate::Cut => {}
            Fate::Fails(Errno::ROFS) if !file.is_dirty() => fate = Fate::Done,
            Fate::Fails(_) => file.lose_writeback(),
            Fate::Done => file.sync(),
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if fate != Fate::Cut && file.tells(&mut told) && fate == Fate::Done {
            fate = Fate::Fails(Errno::IO);
        }
        fate.tell()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.alive()?.file(self.inode)?.now.len() as u64)
    }
}
