//! The file that the demo sends: what this machine's file system holds, as `find -ls` would list it.

use std::fs::{self, File, Metadata};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use netchan::Timestamp;

use crate::when;

/// More lines than this.
const LINES: u64 = 100_000;
/// And not many more.
const MOST: u64 = 125_000;
/// Where to look, until there is enough.
const PLACES: [&str; 6] = ["/usr", "/opt", "/etc", "/var", "/home", "/"];
/// What is no real place.
const SKIPPED: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// A file to send.
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// What it is made of.
    pub(super) source: String,
}

/// Writes it.
pub(super) fn make(path: &Path) -> Result<Input> {
    let file = File::create(path).context("the demo's file cannot be made")?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut lines = 0;
    let mut looked = Vec::new();
    for place in PLACES {
        if lines > LINES {
            break;
        }
        let before = lines;
        list(Path::new(place), &looked, &mut out, &mut lines)?;
        if lines > before {
            looked.push(PathBuf::from(place));
        }
    }
    let source = looked.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut source = format!("what lies below {source}");
    if lines <= LINES {
        source.push_str(&format!(", and {} numbers, for there are so few files here", LINES + 1 - lines));
    }
    while lines <= LINES {
        lines += 1;
        writeln!(out, "{lines:>9} is just a number")?;
    }
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    let bytes = file.metadata()?.len();
    Ok(Input { path: path.to_owned(), lines, bytes, source })
}

/// A line for each file below `top`, but for what was looked at before.
fn list(top: &Path, looked: &[PathBuf], out: &mut impl Write, lines: &mut u64) -> Result<()> {
    let mut dirs = vec![top.to_owned()];
    while let Some(dir) = dirs.pop() {
        // what may not be read is left out
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if SKIPPED.iter().any(|skipped| path == Path::new(skipped)) || looked.contains(&path) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            line(out, &path, &metadata)?;
            *lines += 1;
            if *lines >= MOST {
                return Ok(());
            }
            if metadata.is_dir() {
                dirs.push(path);
            }
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, path: &Path, metadata: &Metadata) -> Result<()> {
    let time = when::rfc3339(Timestamp(metadata.mtime().saturating_mul(1_000_000_000)));
    write!(
        out,
        "{:>9} {:>6} {} {:>3} {:>5} {:>5} {:>10} {} ",
        metadata.ino(),
        metadata.blocks() / 2,
        mode(metadata.mode()),
        metadata.nlink(),
        metadata.uid(),
        metadata.gid(),
        metadata.len(),
        time.get(..19).unwrap_or(&time),
    )?;
    for &byte in path.as_os_str().as_bytes() {
        // a name may have anything but NUL in it, and a line ends with its newline
        out.write_all(if byte == b'\n' { b"\\n" } else { std::slice::from_ref(&byte) })?;
    }
    out.write_all(b"\n")?;
    Ok(())
}

fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let bits = (0..9).rev().map(|bit| if mode >> bit & 1 == 1 { ['x', 'w', 'r'][bit % 3] } else { '-' });
    std::iter::once(kind).chain(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_more_than_100_000_lines_on_any_machine() {
        let dir = tempfile::tempdir().unwrap();
        let input = make(&dir.path().join("input")).unwrap();
        let content = fs::read(&input.path).unwrap();
        assert_eq!(content.len() as u64, input.bytes);
        assert_eq!(memchr::memchr_iter(b'\n', &content).count() as u64, input.lines);
        assert!(input.lines > LINES && input.lines <= MOST);
    }

    #[test]
    fn modes_are_written_as_usual() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_755), "drwxr-xr-x");
    }
}
