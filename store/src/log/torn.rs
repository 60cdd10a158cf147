//! What stands after the end of a log: the beginning of something that was being written when the power went. It may be of use to
//! somebody, so it is copied to a file of its own before it is cut.
//!
//! That takes room. Where there is none, the log is opened all the same, read as ever, and takes nothing: nothing is
//! written after the end before the torn tail is gone, by whoever frees room (see `writer/room.rs`).

use std::io::{self, IoSlice};
use std::ops::Range;

use netchan_proto::Offset;

use super::file::read_exactly;
use crate::aside;
use crate::disk::{Disk, DiskFile, Open};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// A torn tail.
#[derive(Debug)]
pub(super) struct Torn {
    from: u64,
    to: u64,
    /// The name of the file into which it goes begins with this.
    stem: String,
}

/// One that could not be set aside for now.
pub(super) struct LeftOver {
    pub(super) torn: Torn,
    pub(super) why: io::Error,
}

impl Torn {
    /// What is not zero at `from` or after it in the segment of `base`.
    pub(super) fn find(file: &dyn DiskFile, base: Offset, from: u64) -> io::Result<Option<Torn>> {
        let mut to = None;
        let mut pos = from;
        loop {
            let bytes = read_exactly(file, pos, CHUNK)?;
            if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
                to = Some(pos + last as u64 + 1);
            }
            if bytes.len() < CHUNK {
                break;
            }
            pos += CHUNK as u64;
        }
        let stem = format!("{:020}-{from}", base.0);
        Ok(to.map(|to| Torn { from, to, stem }))
    }

    /// All of a file, which stays as it is.
    pub(super) fn whole(name: &str, len: u64) -> Torn {
        Torn { from: 0, to: len, stem: name.to_owned() }
    }

    pub(super) fn len(&self) -> u64 {
        self.to - self.from
    }

    /// What the name of the file begins with into which it goes.
    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// Copies it, durably, and cuts `file`, which is to be synced then. Nothing is left behind by a copy that fails.
    pub(super) fn set_aside(&self, disk: &dyn Disk, dir: &str, file: &dyn DiskFile) -> io::Result<()> {
        self.copy_aside(disk, dir, file)?;
        file.set_len(self.from)
    }

    /// Copies it, durably. Nothing is left behind by a copy that fails.
    pub(super) fn copy_aside(&self, disk: &dyn Disk, dir: &str, file: &dyn DiskFile) -> io::Result<()> {
        let copy = format!("{dir}/{}.tmp", self.stem);
        match disk.remove_file(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Err(error) = self.copy(disk, dir, &copy, file) {
            let _ = disk.remove_file(&copy); // its room may be what others lack
            return Err(error);
        }
        Ok(())
    }

    /// The copy has its name once it is whole, and another one than those before it, at the same place.
    fn copy(&self, disk: &dyn Disk, dir: &str, path: &str, file: &dyn DiskFile) -> io::Result<()> {
        let into = disk.open(path, Open::CreateNew)?;
        copy(file, self.from..self.to, &*into, 0)?;
        into.sync()?;
        disk.rename(path, &aside::free_path(disk, dir, &self.stem)?)?;
        disk.sync_dir(dir)
    }
}

/// Copies bytes of `from` to `pos` in `into`.
pub(super) fn copy(from: &dyn DiskFile, range: Range<u64>, into: &dyn DiskFile, pos: u64) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        let bytes = read_exactly(from, at, len)?;
        into.write_all_at(&[IoSlice::new(&bytes)], pos + at - range.start)?;
        at += len as u64;
    }
    Ok(())
}
