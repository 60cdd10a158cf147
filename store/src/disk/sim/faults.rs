//! What goes wrong while the power is on: which operation fails, how, and what of it is done all the same.

use std::io;

use rustix::io::Errno;

use super::{Sim, off};

/// How an operation of a [`SimDisk`](super::SimDisk) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// EIO. Of a write the first half is written. A sync has lost what it was to write; the pages look clean, and the
    /// next sync succeeds.
    Io,
    /// ENOSPC, however much room there is; otherwise as [`Fault::Io`].
    NoSpace,
    /// The file system becomes read-only: this operation and all later ones fail with EROFS, until
    /// [`SimDisk::set_read_only`](super::SimDisk::set_read_only) says otherwise. What was dirty is lost at the next sync.
    ReadOnly,
    /// The system has written back what was dirty in all files meanwhile, and failed: the pages look clean. The operation
    /// itself does not fail for it, unless it is the sync of such a file.
    Writeback,
}

/// What becomes of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    /// The power goes right after it.
    Cut,
    /// It fails with this, half done.
    Fails(Errno),
}

impl Fate {
    /// What who asked for it is told.
    pub(super) fn tell(self) -> io::Result<()> {
        match self {
            Fate::Done => Ok(()),
            Fate::Cut => Err(off()),
            Fate::Fails(error) => Err(error.into()),
        }
    }

    /// For what cannot be half done: an error means that it is not done at all.
    pub(super) fn before(self) -> io::Result<Fate> {
        if let Fate::Fails(error) = self { Err(error.into()) } else { Ok(self) }
    }
}

impl Sim {
    /// Before something that changes the disk: counts it, and says what becomes of it.
    pub(super) fn count(&mut self) -> io::Result<Fate> {
        if !self.is_on {
            return Err(off());
        }
        self.operations += 1;
        if self.cut_at.is_some_and(|at| self.operations >= at) {
            self.is_on = false;
            return Ok(Fate::Cut);
        }
        let due = self.fault.take_if(|(at, _)| self.operations >= *at);
        let fate = match due.map(|(_, fault)| fault) {
            Some(Fault::Io) => Fate::Fails(Errno::IO),
            Some(Fault::NoSpace) => Fate::Fails(Errno::NOSPC),
            Some(Fault::ReadOnly) => {
                self.is_read_only = true;
                Fate::Done
            }
            Some(Fault::Writeback) => {
                self.lose_writeback();
                Fate::Done
            }
            None => Fate::Done,
        };
        if self.is_read_only { Ok(Fate::Fails(Errno::ROFS)) } else { Ok(fate) }
    }
}

/// Counts down to a fault; says whether it is due.
pub(super) fn is_due(fault: &mut Option<u64>) -> bool {
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
