//! Where a channel's file is: its name as a path below a directory.
//!
//! Owns how names become paths: each has a path of its own, on file systems without case too, and none leads out of the
//! directory. `logs/web` is `logs/web.log`. Bytes that a file system may take for something else (capitals, what is not ASCII,
//! what has a meaning to a shell or to DOS) are written as in a URL, `%4c`.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use netchan_proto::ChannelName;
use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;

use crate::position::{Kept, begin_at, length_of};

/// What stands behind the name of a file, and of no directory: `a` and `a/b` are both channels.
const FILE: &str = ".log";
/// A directory that ends so holds the rest of a name that is too long for one: it is how no name ends.
const CUT: &str = "%";
/// What stands before such a rest, so that it looks like nothing else.
const REST: &str = "_";
/// Bytes of a name in one directory or file. File systems take 255.
const MOST: usize = 200;
/// Names of devices in DOS, whatever stands behind the first dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// A directory, below which symbolic links are not followed.
#[derive(Debug)]
pub(crate) struct Place {
    dir: OwnedFd,
    path: PathBuf,
}

impl Place {
    /// The directory at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub(crate) fn open(path: &Path) -> Result<Place> {
        fs::create_dir_all(path)
            .with_context(|| format!("the directory {} cannot be made", path.display()))?;
        let dir = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("the directory {} cannot be opened", path.display()))?;
        Ok(Place { dir, path: path.to_owned() })
    }

    /// The channel's file, to append to, and its path. It is made if it is missing.
    ///
    /// # Errors
    /// It cannot be opened, is no file, or there is a symbolic link on the way.
    pub(crate) fn file(&self, channel: &ChannelName) -> Result<(File, PathBuf)> {
        let parts = parts(channel);
        let path = parts.iter().fold(self.path.clone(), |path, part| path.join(part));
        let cannot =
            || format!("the output {} cannot be opened (symbolic links are not followed)", path.display());
        let file = self.descend(&parts).with_context(cannot)?;
        if !file.metadata().with_context(cannot)?.is_file() {
            bail!("the output {} is there already, and is no file", path.display());
        }
        Ok((file, path))
    }

    /// As [`file`](Self::file), and how long it is.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub(crate) fn begin(&self, channel: &ChannelName) -> Result<(File, u64)> {
        let (file, path) = self.file(channel)?;
        let length = length_of(&file, &path)?;
        Ok((file, length))
    }

    /// As [`begin`](Self::begin), cut back to what belongs to a position.
    ///
    /// # Errors
    /// As [`file`](Self::file), or it is shorter than the position says.
    pub(crate) fn output(&self, channel: &ChannelName, kept: &Kept) -> Result<(File, u64)> {
        let (file, path) = self.file(channel)?;
        let length = begin_at(&file, &path, Some(kept.length))?;
        Ok((file, length))
    }

    fn descend(&self, parts: &[String]) -> io::Result<File> {
        let Some((file, dirs)) = parts.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut below: Option<OwnedFd> = None;
        for part in dirs {
            let dir = below.as_ref().unwrap_or(&self.dir);
            match mkdirat(dir, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            below = Some(openat(dir, part, flags, Mode::empty())?);
        }
        let dir = below.as_ref().unwrap_or(&self.dir);
        // or a pipe of that name would be waited for
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(openat(dir, file, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?.into())
    }
}

/// The directories, and last the file.
fn parts(channel: &ChannelName) -> Vec<String> {
    let mut parts = Vec::new();
    let mut segments = channel.as_str().split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_file = segments.peek().is_none();
        let mut part = String::new();
        for unit in units(segment, is_file) {
            if part.len() + unit.len() > MOST {
                part.push_str(CUT);
                parts.push(std::mem::replace(&mut part, REST.to_owned()));
            }
            part.push_str(&unit);
        }
        part.push_str(if is_file { FILE } else { "" });
        parts.push(part);
    }
    parts
}

/// Each byte of a segment as it is written.
fn units(segment: &str, is_file: bool) -> impl Iterator<Item = String> {
    let last = segment.len() - 1;
    // what would look like a file, or loses its dot on some systems
    let dot = (!is_file).then(|| segment.len() - if segment.ends_with(FILE) { FILE.len() } else { 1 });
    let is_device = is_device(segment);
    segment.bytes().enumerate().map(move |(at, byte)| {
        let is_plain = match byte {
            b'a'..=b'z' => at > 0 || !is_device,
            b'0'..=b'9' | b'_' | b'@' | b'+' | b'=' | b',' => true,
            b'-' => at > 0,
            b'.' => at > 0 && Some(at) != dot && (is_file || at != last),
            _ => false,
        };
        if is_plain { char::from(byte).to_string() } else { format!("%{byte:02x}") }
    })
}

fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or_default();
    let name = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    DEVICES.contains(&name) && (stem.len() == name.len() || stem.len() == name.len() + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn path(name: &str) -> String {
        parts(&ChannelName::new(name).unwrap()).join("/")
    }

    /// What a path stands for, read by the rules alone.
    fn read(path: &str) -> String {
        let text = path.replace("%/_", "");
        let text = text.strip_suffix(FILE).unwrap();
        let (mut bytes, mut rest) = (Vec::new(), text.bytes());
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn names_of_every_day_are_paths_as_they_stand() {
        for (name, expected) in [
            ("orders", "orders.log"),
            ("logs/web", "logs/web.log"),
            ("logs/web-1_a.b", "logs/web-1_a.b.log"),
            ("x@0", "x@0.log"),
            ("Log", "%4cog.log"),
            ("caf\u{e9}", "caf%c3%a9.log"),
        ] {
            assert_eq!(path(name), expected);
        }
    }

    #[test]
    fn names_that_mean_something_to_a_file_system_do_not_as_paths() {
        for (name, expected) in [
            ("a", "a.log"),
            ("a/b", "a/b.log"),
            ("a.log/b", "a%2elog/b.log"),
            ("a.log", "a.log.log"),
            (".log/b", "%2elog/b.log"),
            ("a./b", "a%2e/b.log"),
            ("...", "%2e...log"),
            (".../b", "%2e.%2e/b.log"),
            (".ssh", "%2essh.log"),
            ("-rf", "%2drf.log"),
            ("~", "%7e.log"),
            ("..\\..\\etc", "%2e.%5c..%5cetc.log"),
            ("%2e%2e%2f", "%252e%252e%252f.log"),
            ("con", "%63on.log"),
            ("con/a", "%63on/a.log"),
            ("nul.txt", "%6eul.txt.log"),
            ("com1", "%63om1.log"),
            ("comx", "comx.log"),
            ("console", "console.log"),
            ("com10", "com10.log"),
        ] {
            assert_eq!(path(name), expected);
        }
    }

    fn segment() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            "a", "A", "b", ".", "..", ".log", "log", "%", "%2e", "_", "-", "con", "CON", "é", "e\u{301}",
            "ß", "\\", "~1", "@", "$", "'",
        ]);
        let long = (prop::sample::select(vec!["x", "X", ".", "é"]), 40_usize..250)
            .prop_map(|(text, times)| text.repeat(times));
        prop_oneof![
            8 => prop::collection::vec(odd, 1..5).prop_map(|parts| parts.concat()),
            1 => long,
        ]
    }

    /// Names, and nothing in place of what would be none.
    fn names() -> impl Strategy<Value = HashSet<ChannelName>> {
        let segments = prop::collection::vec(segment(), 1..4);
        let name = segments.prop_map(|segments| ChannelName::new(&segments.join("/")).ok());
        prop::collection::vec(name, 1..60).prop_map(|names| names.into_iter().flatten().collect())
    }

    proptest! {
        #[test]
        fn no_two_channels_share_a_file_and_no_file_is_a_directory(names in names()) {
            let mut owners = HashMap::new();
            let mut dirs = HashSet::new();
            for name in &names {
                let parts = parts(name);
                for part in &parts {
                    prop_assert!(part.len() <= 255 && !part.starts_with(['.', '-']) && !part.ends_with('.'), "{part}");
                    prop_assert!(part.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{part}");
                    prop_assert!(!is_device(part), "{part}");
                }
                let path = parts.join("/");
                prop_assert_eq!(read(&path), name.as_str());
                prop_assert_eq!(owners.insert(path, name), None);
                for depth in 1..parts.len() {
                    dirs.insert(parts[..depth].join("/"));
                }
            }
            prop_assert!(owners.keys().all(|file| !dirs.contains(file)));
        }
    }

    #[test]
    fn no_symbolic_link_is_followed_out_of_the_directory() {
        let at = tempfile::tempdir().unwrap();
        let outside = at.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "as it was").unwrap();
        let dir = at.path().join("dir");
        let place = Place::open(&dir).unwrap();
        symlink(&outside, dir.join("logs")).unwrap();
        symlink(outside.join("file"), dir.join("web.log")).unwrap();
        symlink(outside.join("none"), dir.join("db.log")).unwrap();
        for name in ["logs/web", "logs/a/b", "web", "db"] {
            let error = place.file(&ChannelName::new(name).unwrap()).unwrap_err().to_string();
            assert!(error.contains("symbolic links are not followed"), "{error}");
        }
        let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["file"]);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"as it was");
    }

    #[test]
    fn what_is_no_file_is_not_written_to() {
        let at = tempfile::tempdir().unwrap();
        let place = Place::open(at.path()).unwrap();
        fs::create_dir(at.path().join("a.log")).unwrap();
        assert!(place.file(&ChannelName::new("a").unwrap()).is_err());
        fs::write(at.path().join("b"), "a file").unwrap();
        assert!(place.file(&ChannelName::new("b/c").unwrap()).is_err());
    }
}
