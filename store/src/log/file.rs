//! Bytes of a file of the log, as many as are wanted.

use std::io;

use crate::disk::DiskFile;

/// Reads `len` bytes at `at`, fewer only where the file ends.
pub(crate) fn read_exactly(file: &dyn DiskFile, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    read_into(file, at, len, &mut bytes)?;
    Ok(bytes)
}

/// As [`read_exactly`], into memory that is there.
pub(super) fn read_into(file: &dyn DiskFile, at: u64, len: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    bytes.reserve_exact(len);
    while bytes.len() < len {
        let next = at + bytes.len() as u64;
        if file.read_at(bytes, next)? == 0 {
            break;
        }
    }
    bytes.truncate(len);
    Ok(())
}
