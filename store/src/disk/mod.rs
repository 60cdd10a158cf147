//! The disk as the store sees it: one small trait, the real file system and a simulated one.
//!
//! Paths are relative to the data directory, with `/` between names; the store makes them of digits and fixed
//! words only. An entry of a directory (a new, renamed or removed file) is durable once the directory was synced,
//! a file's bytes once the file was synced through the handle that wrote them.

mod real;
mod sim;

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

pub use real::RealDisk;
pub use sim::{Fault, SimDisk};

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Open {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A file that must not exist yet, to read and write.
    CreateNew,
}

/// The room on a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The volume's size.
    pub total: u64,
    /// What is free for this process.
    pub free: u64,
}

/// A data directory on some disk.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory; it is well if it exists. Its parent must exist.
    ///
    /// # Errors
    /// What the disk says.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Opens a file.
    ///
    /// # Errors
    /// What the disk says.
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// The length of a file in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn size(&self, path: &str) -> io::Result<u64> {
        self.open(path, Open::Read)?.size()
    }
    /// Renames a file or directory; an existing file of the new name is replaced.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the disk says.
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the disk says.
    fn remove_dir(&self, path: &str) -> io::Result<()>;
    /// Makes the entries of a directory durable. The data directory itself is `""`.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// The room on the volume.
    ///
    /// # Errors
    /// What the disk says.
    fn space(&self) -> io::Result<Space>;
    /// Takes the lock file `path`, which is made if it is missing; `None` if someone has it. Dropping the guard
    /// gives it back.
    ///
    /// # Errors
    /// What the disk says.
    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// A lock that is held until it is dropped.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads at `at` into the spare capacity of `into`, and says how many bytes came; 0 at the end of the file.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize>;
    /// Reads at `at` what the system has in memory, and says how many bytes came: fewer where the rest is on the disk only.
    ///
    /// # Errors
    /// Whatever keeps it from being read without waiting for the disk: [`read_at`](Self::read_at) may well read it.
    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let _ = (into, at);
        Err(io::ErrorKind::WouldBlock.into())
    }
    /// Writes all of `parts`, one after the other, at `at`. After an error some of it may be written.
    ///
    /// # Errors
    /// What the disk says.
    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()>;
    /// Gives the file at least `len` bytes, reserved on disk and zero where nothing was written.
    ///
    /// # Errors
    /// What the disk says.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the disk says.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes what was written through this handle durable, with the file's length.
    ///
    /// # Errors
    /// What the disk says. After one, nothing may be believed of what was written since the sync before.
    fn sync(&self) -> io::Result<()>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn size(&self) -> io::Result<u64>;
}
