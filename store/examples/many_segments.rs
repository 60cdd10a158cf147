//! What a log of many closed segments costs: how long opening takes, how much memory, and how soon a time is found.
//!
//! ```text
//! cargo run --release -p netchan-store --example many_segments -- [--check] [--segments N] [--dir DIR]
//! ```
//!
//! With `--check` it fails if 10,000 closed segments take 1 s or 32 MiB to open, or a seek by time 1 ms at p99 once what
//! it looks at has been looked at before.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netchan_proto::{AsRecord, ChannelName, Durability, Offset, Start, Timestamp};
use netchan_store::disk::RealDisk;
use netchan_store::{Log, LogOptions, MIN_SEGMENT_BYTES, Resolved, Store, StoreOptions};

const MIB: f64 = 1048576.0;
/// Seeks of one pass.
const SEEKS: u64 = 20_000;

fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0.0) / 1024.0
}

fn open(dir: &Path) -> Result<(Store, Log), Box<dyn Error>> {
    let options = StoreOptions { min_free_percent: 0, ..StoreOptions::default() };
    let store = Store::open(Arc::new(RealDisk::new(dir)?), options)?;
    let kept =
        LogOptions { durability: Durability::Os, segment_bytes: MIN_SEGMENT_BYTES, ..LogOptions::default() };
    let log = store.create_or_open(&ChannelName::new("many")?, &kept)?;
    Ok((store, log))
}

/// Fills so many segments, a batch each, with ten records to find.
fn fill(dir: &Path, segments: u64) -> Result<(), Box<dyn Error>> {
    let (store, log) = open(dir)?;
    while log.info().segments <= segments {
        for _ in 0..100 {
            for _ in 0..10 {
                log.append(&[b'x'; 300].as_record())?;
            }
            log.sync()?;
        }
    }
    store.close();
    Ok(())
}

/// How long each of many seeks takes, all over the log.
fn seeks(log: &Log) -> Result<Vec<Duration>, Box<dyn Error>> {
    let info = log.info();
    let span = info.last_time.0 - info.first_time.0;
    let mut times = Vec::new();
    for n in 0..SEEKS {
        // By steps that meet every part, and no order.
        let share = (n * 7919 % SEEKS) as f64 / SEEKS as f64;
        let time = Timestamp(info.first_time.0 + (span as f64 * share) as i64);
        let begin = Instant::now();
        let found: Resolved = log.resolve(&Start::Time(time))?;
        times.push(begin.elapsed());
        if found.start == Offset(0) && share > 0.1 || found.start >= info.next {
            return Err(format!("{time:?} was not found: {found:?}").into());
        }
    }
    times.sort_unstable();
    Ok(times)
}

/// Opens what was made, in a process that has done nothing else, and says whether all is as it must be.
fn measure(dir: &Path) -> Result<bool, Box<dyn Error>> {
    let before = memory();
    let begin = Instant::now();
    let (store, log) = open(dir)?;
    let (opened, more) = (begin.elapsed(), memory() - before);
    let begin = Instant::now();
    let info = log.info();
    let told = begin.elapsed();
    let (cold, cached) = (seeks(&log)?, seeks(&log)?);
    println!(
        "{} segments, {:.0} MiB: open in {opened:.1?}, {more:.1} MiB more; info in {told:.1?}",
        info.segments,
        info.bytes as f64 / MIB
    );
    let at = |times: &[Duration], share: f64| times[((times.len() - 1) as f64 * share) as usize];
    for (what, times) in [("first", &cold), ("again", &cached)] {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| at(times, share));
        println!("{SEEKS} seeks by time, {what}: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}");
    }
    println!("{:.1} MiB more after all of that", memory() - before);
    store.close();
    let in_time = opened < Duration::from_secs(1) && at(&cached, 0.99) < Duration::from_millis(1);
    let holds = in_time && more < 32.0;
    println!("{}", if holds { "holds" } else { "MISSED: 1 s, 32 MiB, 1 ms at p99 (again)" });
    Ok(holds)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (mut check, mut segments, mut dir) = (false, 10_000, std::env::temp_dir());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--check" => check = true,
            "--segments" => segments = args.next().ok_or("how many segments?")?.parse()?,
            "--dir" => dir = PathBuf::from(args.next().ok_or("which directory?")?),
            "--measure" => {
                let holds = measure(Path::new(&args.next().ok_or("which directory?")?))?;
                return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            other => return Err(format!("{other} is no option of this").into()),
        }
    }
    let dir = dir.join(format!("netchan-many-segments.{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    fill(&dir, segments)?;
    let measured = Command::new(std::env::current_exe()?).arg("--measure").arg(&dir).status()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(if check && !measured.success() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
