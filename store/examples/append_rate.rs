//! How fast one log takes records in `Sync`, beside what this disk can do at most: 1 MiB writes with an fdatasync each.
//!
//! ```text
//! cargo run --release -p netchan-store --example append_rate -- [--check] [--rounds N] [--dir DIR]
//! ```
//!
//! Everything takes its turn in each round, and ratios are taken within a round: what slows the machine down for a while slows
//! both sides of one. With `--check` it fails if a median is not what it must be. The disk's limit is taken of three kinds
//! of file, because they differ by more than anything else does: a new one that grows, one whose room was reserved
//! (as segments have it), and one whose bytes are written over.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use netchan_proto::{AsRecord, ChannelName, Offset};
use netchan_store::disk::{Disk, Open, RealDisk};
use netchan_store::{AppendError, Log, LogOptions, Mark, Store, StoreOptions};

type Failure = Box<dyn Error + Send + Sync>;

const MIB: usize = 1 << 20;
/// How long each measurement appends.
const TURN: Duration = Duration::from_secs(1);
/// MiB that are written to measure the disk.
const WRITTEN: u64 = 256;
const THREADS: u32 = 16;
/// What must hold: figure, of which other figure, at least.
const FLOORS: [(&str, &str, f64); 3] = [
    ("100 B, pipelined", "1 MiB writes, reserved file", 0.35),
    ("1 KiB, pipelined", "1 MiB writes, reserved file", 0.60),
    ("16 threads, each awaits", "1 thread, awaits each", 6.0),
];

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks until it is ready.
fn wait<T>(waker: &Waker, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    loop {
        if let Poll::Ready(ready) = poll(&mut Context::from_waker(waker)) {
            return ready;
        }
        thread::park();
    }
}

fn this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// MB/s of 1 MiB writes with an fdatasync each.
fn write_sync(file: &File) -> Result<f64, Failure> {
    let block = vec![b'x'; MIB];
    let begin = Instant::now();
    for n in 0..WRITTEN {
        file.write_all_at(&block, n * MIB as u64)?;
        file.sync_data()?;
    }
    Ok((WRITTEN as usize * MIB) as f64 / begin.elapsed().as_secs_f64() / 1e6)
}

/// Those of a file that grows, of one that has its room, and of one that is written over.
fn limits(dir: &Path) -> Result<[f64; 3], Failure> {
    let path = dir.join("limit");
    let grows = write_sync(&File::create_new(&path)?)?;
    let over = write_sync(&OpenOptions::new().write(true).open(&path)?)?;
    std::fs::remove_file(&path)?;
    let disk = RealDisk::new(dir)?;
    disk.open("limit", Open::CreateNew)?.allocate(WRITTEN * MIB as u64)?;
    let reserved = write_sync(&OpenOptions::new().write(true).open(&path)?)?;
    std::fs::remove_file(&path)?;
    Ok([grows, reserved, over])
}

fn log_in(dir: &Path) -> Result<(Store, Log), Failure> {
    let options = StoreOptions { min_free_percent: 0, ..StoreOptions::default() };
    let store = Store::open(Arc::new(RealDisk::new(dir)?), options)?;
    let log = store.create_or_open(&ChannelName::new("rate")?, &LogOptions::default())?;
    log.append(&"first".as_record())?;
    log.sync()?;
    Ok((store, log))
}

/// MB/s of payload that one thread appends, never waiting but for room in the queue, until all is durable.
fn pipelined(dir: &Path, size: usize) -> Result<f64, Failure> {
    let (store, log) = log_in(dir)?;
    let waker = this_thread();
    let payload = vec![b'x'; size];
    let mut count = 0_u64;
    let begin = Instant::now();
    while !count.is_multiple_of(256) || begin.elapsed() < TURN {
        match log.append(&payload.as_slice().as_record()) {
            Ok(_) => count += 1,
            Err(AppendError::Full) => wait(&waker, |cx| log.poll_capacity(cx)),
            Err(error) => return Err(error.into()),
        }
    }
    log.sync()?;
    let took = begin.elapsed();
    store.close();
    std::fs::remove_dir_all(dir)?;
    Ok(count as f64 * size as f64 / took.as_secs_f64() / 1e6)
}

fn append_and_await(log: &Log, waker: &Waker) -> Result<Offset, Failure> {
    let offset = log.append(&[b'x'; 100].as_record())?;
    wait(waker, |cx| log.poll_reached(Mark::Durable, offset.plus(1), cx))?;
    Ok(offset)
}

/// Records a second of threads that await each record's acknowledgement before the next one.
fn awaiting(dir: &Path, threads: u32) -> Result<f64, Failure> {
    let (store, log) = log_in(dir)?;
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    let counts: Result<Vec<u64>, Failure> = thread::scope(|scope| {
        let appending: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let waker = this_thread();
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        append_and_await(&log, &waker)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        thread::sleep(TURN);
        stop.store(true, Ordering::Relaxed);
        appending.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect()
    });
    let rate = counts?.iter().sum::<u64>() as f64 / begin.elapsed().as_secs_f64();
    store.close();
    std::fs::remove_dir_all(dir)?;
    Ok(rate)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() -> Result<ExitCode, Failure> {
    let (mut check, mut rounds, mut dir) = (false, 5, std::env::temp_dir());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--check" => check = true,
            "--rounds" => rounds = args.next().ok_or("how many rounds?")?.parse()?,
            "--dir" => dir = PathBuf::from(args.next().ok_or("which directory?")?),
            other => return Err(format!("{other} is no option of this").into()),
        }
    }
    let dir = dir.join(format!("netchan-append-rate.{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mut figures: Vec<(&str, &str, Vec<f64>)> = Vec::new();
    let mut add = |round: usize, row: usize, name, unit, figure| {
        if round == 0 {
            figures.push((name, unit, Vec::new()));
        }
        figures[row].2.push(figure);
    };
    for round in 0..rounds {
        let [grows, reserved, over] = limits(&dir)?;
        add(round, 0, "1 MiB writes, file that grows", "MB/s", grows);
        add(round, 1, "1 MiB writes, reserved file", "MB/s", reserved);
        add(round, 2, "1 MiB writes, written over", "MB/s", over);
        add(round, 3, "100 B, pipelined", "MB/s", pipelined(&dir.join("a"), 100)?);
        add(round, 4, "1 KiB, pipelined", "MB/s", pipelined(&dir.join("b"), 1024)?);
        add(round, 5, "1 thread, awaits each", "records/s", awaiting(&dir.join("c"), 1)?);
        add(round, 6, "16 threads, each awaits", "records/s", awaiting(&dir.join("d"), THREADS)?);
    }
    std::fs::remove_dir_all(&dir)?;
    for (name, unit, runs) in &figures {
        let (least, most) =
            runs.iter().fold((f64::MAX, 0.0_f64), |(low, high), &run| (low.min(run), high.max(run)));
        println!("{name:32} {:10.0} {unit:9} ({least:.0} to {most:.0})", median(runs.clone()));
    }
    let ratio = |of: &str, to: &str| {
        let runs = |name: &str| {
            figures.iter().find(|row| row.0 == name).map(|row| row.2.as_slice()).unwrap_or_default()
        };
        median(runs(of).iter().zip(runs(to)).map(|(of, to)| of / to).collect())
    };
    for of in ["100 B, pipelined", "1 KiB, pipelined"] {
        for to in ["1 MiB writes, file that grows", "1 MiB writes, written over"] {
            println!("        {of}: {:.2} of {to}", ratio(of, to));
        }
    }
    let mut all_hold = true;
    for (of, to, least) in FLOORS {
        let is = ratio(of, to);
        all_hold &= is >= least;
        println!(
            "{} {of}: {is:.2} of {to}, must be >= {least}",
            if is >= least { "holds: " } else { "MISSED:" }
        );
    }
    Ok(if check && !all_hold { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
