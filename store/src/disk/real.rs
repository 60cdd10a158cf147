//! The file system of the machine, below one directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, DiskLock, Open, Space};

/// Buffers that one pwritev takes (IOV_MAX of Linux and the BSDs).
const MAX_PARTS: usize = 1024;

/// A directory of the real file system.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The data directory `root`, which is made if it is missing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<RealDisk> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(RealDisk { root: root.canonicalize()? })
    }

    /// The data directory `root`, which must be there: for who only reads.
    ///
    /// # Errors
    /// What the file system says.
    pub fn existing(root: impl AsRef<Path>) -> io::Result<RealDisk> {
        Ok(RealDisk { root: root.as_ref().canonicalize()? })
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        match fs::create_dir(self.root.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(path))? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Read).create_new(how == Open::CreateNew);
        Ok(Arc::new(RealFile(options.open(self.root.join(path))?)))
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.root.join(path))?.len())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.root.join(path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        File::open(self.root.join(path))?.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { total: bytes(stat.f_blocks), free: bytes(stat.f_bavail) })
    }

    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.root.join(path))?;
        // Who removes the file by hand unlocks nothing: the directory is locked too, where the file system has that.
        let dir = File::open(&self.root)?;
        if let Err(TryLockError::WouldBlock) = dir.try_lock() {
            return Ok(None);
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file, _dir: dir }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Closing the files gives the lock back. The file itself is never removed: a removed lock file locks nothing.
#[derive(Debug)]
struct RealLock {
    _file: File,
    _dir: File,
}

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        loop {
            match rustix::io::pread(&self.0, rustix::buffer::spare_capacity(into), at) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map_err(io::Error::from),
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let into = &mut [io::IoSliceMut::new(into)];
        Ok(rustix::io::preadv2(&self.0, into, at, rustix::io::ReadWriteFlags::NOWAIT)?)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        write_all(parts, at, |parts, at| Ok(rustix::io::pwritev(&self.0, parts, at)?))
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn allocate(&self, len: u64) -> io::Result<()> {
        // Without KEEP_SIZE: a sync of data in place writes no new length.
        let had = self.size()?;
        if had >= len {
            return Ok(());
        }
        Ok(rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), had, len - had)?)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.size()? < len { self.0.set_len(len) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Writes all of `parts` from `at` on by `write`, which says how many bytes it took of what it is given.
fn write_all(
    mut parts: &[IoSlice<'_>],
    mut at: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    // Bytes of the first part that an earlier, shorter write took.
    let mut taken = 0;
    while let Some((first, rest)) = parts.split_first() {
        let written = if taken == 0 {
            write(&parts[..parts.len().min(MAX_PARTS)], at)
        } else {
            write(&[IoSlice::new(&first[taken..])], at)
        };
        let mut written = match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
            Ok(0) if first.len() > taken => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
        };
        at += written as u64;
        if taken > 0 {
            taken += written;
            if taken == first.len() {
                parts = rest;
                taken = 0;
            }
            continue;
        }
        while let Some((first, rest)) = parts.split_first() {
            if written < first.len() {
                taken = written;
                break;
            }
            written -= first.len();
            parts = rest;
            if written == 0 {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of these lengths, no two bytes of which are alike within 251, written by a system that takes at most `most`
    /// bytes at a time, and is interrupted before each.
    fn written(lens: &[usize], most: usize) -> Vec<u8> {
        let mut next = 0_u8;
        let mut bytes = || {
            next = (next + 1) % 251;
            next
        };
        let parts: Vec<Vec<u8>> = lens.iter().map(|&len| (0..len).map(|_| bytes()).collect()).collect();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let (mut file, mut was_interrupted) = (vec![0xff; 3], false);
        let done = write_all(&slices, 3, |parts, at| {
            assert!(parts.len() <= MAX_PARTS);
            was_interrupted = !was_interrupted;
            if was_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            assert_eq!(at, file.len() as u64, "a hole, or written twice");
            let before = file.len();
            file.extend(parts.iter().flat_map(|part| part.iter()).take(most));
            assert!(file.len() <= 3 + lens.iter().sum::<usize>(), "more than there is");
            Ok(file.len() - before)
        });
        done.unwrap();
        assert_eq!(file[3..], parts.concat(), "{lens:?}, {most} bytes at a time");
        file
    }

    #[test]
    fn however_little_the_system_takes_at_a_time_all_is_written_and_where_it_belongs() {
        let many = vec![1; 2 * MAX_PARTS + 1];
        for lens in [&[][..], &[9], &[0, 5, 0, 3, 7, 0, 1], &[4, 4, 4], &[1; 12], &many] {
            let all: usize = lens.iter().sum();
            for most in (1..=all.min(20)).chain([all + 1]) {
                assert_eq!(written(lens, most).len(), 3 + all);
            }
        }
    }

    #[test]
    fn a_system_that_takes_nothing_any_more_is_not_asked_for_ever() {
        for before in 0..3 {
            let mut left = before;
            let parts = [IoSlice::new(b"abc"), IoSlice::new(b"d")];
            let refused = write_all(&parts, 0, |_, _| Ok(std::mem::replace(&mut left, 0)));
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::WriteZero, "after {before} bytes");
        }
        let refused = write_all(&[IoSlice::new(b"abc")], 0, |_, _| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
