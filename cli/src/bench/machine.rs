//! What this machine can do at most, and what it is.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::clock;
use super::figures::{Done, Figures, median};

const MIB: usize = 1 << 20;
/// Copied to measure memcpy: more than any cache holds.
const COPIED: usize = 128 * MIB;
/// Written to measure the disk, a MiB at a time.
const WRITTEN: usize = 512;
/// Records are written so, where each has a sync of its own.
const APPENDED: usize = 4096;
const SYNCS: usize = 400;
/// More than this many threads that want to run, on the average.
const BUSY: f64 = 0.5;

/// The machine and what is the same in all runs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) system: String,
    pub(super) version: &'static str,
    pub(super) directory: String,
    pub(super) in_memory: bool,
    /// What else ran when the bench began: the load average of the last minute. `None` where the system does not tell.
    pub(super) load: Option<f64>,
    /// The program was built without optimisation: its figures are worth nothing.
    pub(super) unoptimised: bool,
}

impl Machine {
    pub(super) fn look(dir: &Path) -> Machine {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        Machine {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", text(uname.sysname()), text(uname.release())),
            version: env!("CARGO_PKG_VERSION"),
            directory: dir.display().to_string(),
            in_memory: is_in_memory(dir),
            load: load(),
            unoptimised: cfg!(debug_assertions),
        }
    }
}

impl Machine {
    /// Whether so much else runs here that only ratios say anything, and not much.
    pub(super) fn is_busy(&self) -> bool {
        self.load.is_some_and(|load| load > BUSY)
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// On such file systems a sync does nothing.
#[cfg(target_os = "linux")]
fn is_in_memory(dir: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    #[allow(clippy::unnecessary_cast, reason = "its type differs between machines")]
    rustix::fs::statfs(dir).is_ok_and(|stat| [TMPFS, RAMFS].contains(&(stat.f_type as i64)))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}

/// Bytes a second of a copy in memory, by one thread.
pub(super) fn copy() -> Done {
    let from = vec![1u8; COPIED];
    let mut to = vec![0u8; COPIED];
    let once = |to: &mut Vec<u8>| {
        let begin = clock::now();
        to.copy_from_slice(black_box(&from));
        black_box(to.last());
        clock::now() - begin
    };
    once(&mut to); // touches it for the first time
    let times: Vec<f64> = (0..3).map(|_| once(&mut to) as f64).collect();
    let figures = Figures::default().with("mb_per_s", COPIED as f64 / median(&times) * 1000.0);
    Done { figures, ..Done::default() }
}

/// Writes to a new file, a MiB and an fdatasync in turn.
pub(super) fn write_sync(dir: &Path) -> Result<Done> {
    let block = vec![b'x'; MIB];
    let path = dir.join("limit");
    let mut file = File::create_new(&path)?;
    let begin = clock::now();
    for _ in 0..WRITTEN {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    let took = clock::now() - begin;
    drop(file);
    std::fs::remove_file(path)?;
    let figures = Figures::default().with("mb_per_s", (WRITTEN * MIB) as f64 / took as f64 * 1000.0);
    Ok(Done { figures, ..Done::default() })
}

/// Appends 4 KiB and syncs, again and again: what each record costs that is synced alone.
pub(super) fn sync_alone(dir: &Path) -> Result<Done> {
    let block = vec![b'x'; APPENDED];
    let path = dir.join("limit");
    let mut file = File::create_new(&path)?;
    let mut times = Vec::new();
    let begin = clock::now();
    for _ in 0..SYNCS {
        file.write_all(&block)?;
        let before = clock::now();
        file.sync_data()?;
        times.push((clock::now() - before) as f64 / 1000.0);
    }
    let rate = clock::rate(SYNCS as u64, clock::now() - begin);
    drop(file);
    std::fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    let at = |hundredths: usize| times[(times.len() * hundredths / 100).min(times.len() - 1)];
    let figures = Figures::default().with("per_s", rate).with("p50_us", at(50)).with("p99_us", at(99));
    Ok(Done { figures, ..Done::default() })
}
