//! The data directory: who has it, what it stands on, how fast it syncs.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netchan::StoreOptions;

use super::Finding;
use crate::amounts::bytes;

/// What a sync is timed with: a batch of a few records.
const WRITTEN: [u8; 4096] = [b'x'; 4096];
/// So many syncs at most, for so long at most.
const SYNCS: usize = 200;
const TIMED: Duration = Duration::from_secs(1);
/// Slower than this, each acknowledgement is felt.
const SLOW: Duration = Duration::from_millis(50);
/// Less room than this is little, whatever the share.
const LITTLE: u64 = 1 << 30;

/// Who has the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nobody,
    /// A program, by its number and name where the system tells.
    By(Option<Program>),
}

/// A program that runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) pid: u32,
    pub(super) name: String,
}

impl Program {
    pub(super) fn of(pid: u32) -> Program {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Program { pid, name: name.trim().to_owned() }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Looks at the directory; says who has it.
pub(super) fn look(dir: &Path, all: &mut Vec<Finding>) -> Held {
    let held = holder(dir);
    // before it is made, what is above it tells as much
    let Some(there) = dir.ancestors().map(above).find(|above| above.exists()) else {
        all.push(Finding::problem("data", format!("there is nothing above {}", dir.display()), OTHER));
        return held;
    };
    let file = tempfile::tempfile_in(&there);
    all.push(match &file {
        _ if there.is_file() => {
            Finding::problem("data", format!("{} is a file", there.display()), "say another --data-dir")
        }
        Err(error) => {
            Finding::problem("data", format!("{} cannot be written: {error}", there.display()), OTHER)
        }
        Ok(_) if there == dir => {
            Finding::ok("data", format!("{} can be written; {}", dir.display(), who(&held)))
        }
        Ok(_) => Finding::ok("data", format!("{} will be made when it is needed", dir.display())),
    });
    all.push(volume(&there));
    if let Ok(file) = file {
        all.push(syncs(file));
    }
    held
}

const OTHER: &str = "say another --data-dir, or let this user write there";

fn above(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

fn who(held: &Held) -> String {
    match held {
        Held::Nobody => "nobody holds it now".to_owned(),
        Held::By(Some(program)) => format!("{program} holds it"),
        Held::By(None) => "another program holds it".to_owned(),
    }
}

fn holder(dir: &Path) -> Held {
    let Ok(lock) = File::open(dir.join("LOCK")) else { return Held::Nobody };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Held::By(locker(&lock)),
        _ => Held::Nobody,
    }
}

/// The program that has locked the file, where the system tells.
fn locker(lock: &File) -> Option<Program> {
    let inode = format!(":{}", lock.metadata().ok()?.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid =
        locks.lines().filter(|line| line.contains("FLOCK") && line.contains("WRITE")).find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "WRITE")?;
            words.get(at + 2)?.ends_with(&inode).then(|| words.get(at + 1)?.parse::<u32>().ok())?
        })?;
    (pid != 0).then(|| Program::of(pid))
}

fn volume(dir: &Path) -> Finding {
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => {
            return Finding::warning("disk", format!("its volume tells nothing: {error}"), "look at it");
        }
    };
    let (free, total) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
    if stat.f_blocks == 0 {
        return Finding::warning("disk", "its file system has no size", OTHER);
    }
    let percent = free as f64 * 100.0 / total as f64;
    let least = StoreOptions::default().min_free_percent;
    let kind = file_system(dir);
    let name = kind.as_deref().unwrap_or("a file system of a kind not known");
    let what = format!("{} of {} free ({percent:.0} %), on {name}", bytes(free), bytes(total));
    if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Finding::problem("disk", "it is mounted read-only", OTHER);
    }
    if percent < f64::from(least) {
        let help = format!("nothing is taken while less than {least} % is free: make room");
        return Finding::problem("disk", what, help);
    }
    if matches!(kind.as_deref(), Some("tmpfs" | "ramfs")) {
        return Finding::warning(
            "disk",
            what,
            "that is memory: all channels are gone when the machine starts anew",
        );
    }
    if matches!(kind.as_deref(), Some("nfs" | "nfs4" | "cifs" | "smb3" | "9p")) {
        return Finding::warning(
            "disk",
            what,
            "that is another machine's disk: what a sync means there, and its locks, \
             are that machine's; better use a disk of this one",
        );
    }
    if percent < f64::from(least) * 2.0 || free < LITTLE {
        return Finding::warning(
            "disk",
            what,
            "it is soon full: make room, or say --keep-size where channels are made",
        );
    }
    Finding::ok("disk", what)
}

/// What the directory stands on, as the system's list of mounts calls it.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?.replace("\\040", " "), words.next()?);
        dir.starts_with(&at).then(|| (at.len(), kind.to_owned()))
    });
    // of two at the same place the later one is seen
    mounts.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn syncs(mut file: File) -> Finding {
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < SYNCS && (began.elapsed() < TIMED || times.is_empty()) {
        let timed = file.write_all(&WRITTEN).and_then(|()| {
            let begin = Instant::now();
            file.sync_data().map(|()| begin.elapsed())
        });
        match timed {
            Ok(time) => times.push(time),
            Err(error) => {
                return Finding::problem(
                    "sync",
                    format!("a sync of 4 KiB failed: {error}"),
                    "look at the disk (dmesg)",
                );
            }
        }
    }
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let (half, most) = (at(50), at(99));
    let what =
        format!("fdatasync of 4 KiB takes {half:.1?} (p50), {most:.1?} (p99), of {} tries", times.len());
    if half > SLOW {
        let help = "each acknowledgement waits for one: a faster disk, or --durability interval if a power cut may cost \
                    the last moments";
        return Finding::warning("sync", what, help);
    }
    Finding::ok("sync", what)
}
