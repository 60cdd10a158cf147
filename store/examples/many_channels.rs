//! What a thousand channels cost: memory of idle ones, and how soon records of busy ones are durable.
//!
//! ```text
//! cargo run --release -p netchan-store --example many_channels [-- DIR [CHANNELS [THREADS,..]]]
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use netchan_proto::{AsRecord, ChannelName};
use netchan_store::disk::RealDisk;
use netchan_store::{Commit, Log, LogOptions, Mark, Store, StoreOptions};

/// Records a second of each channel.
const RATE: u32 = 10;
const SECONDS: u32 = 5;

/// Sends the number of a channel when its record is durable.
struct Durable {
    channel: usize,
    to: Sender<usize>,
}

impl Wake for Durable {
    fn wake(self: Arc<Self>) {
        let _ = self.to.send(self.channel);
    }
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0) * 1024
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn open(dir: &std::path::Path, threads: usize) -> Result<Store, Box<dyn Error>> {
    let commit = Commit::Threads(NonZeroUsize::new(threads).ok_or("no threads")?);
    let options = StoreOptions {
        commit,
        min_free_percent: 0,
        idle_after: Duration::from_millis(500),
        ..StoreOptions::default()
    };
    Ok(Store::open(Arc::new(RealDisk::new(dir)?), options)?)
}

fn logs(store: &Store, channels: usize) -> Result<Vec<Log>, Box<dyn Error>> {
    let log = |n| -> Result<Log, Box<dyn Error>> {
        Ok(store.create_or_open(&ChannelName::new(&format!("channel{n}"))?, &LogOptions::default())?)
    };
    (0..channels).map(log).collect()
}

/// Opens them, writes some to each, and looks when they have come to rest.
fn idle(dir: &std::path::Path, channels: usize, threads: usize) -> Result<(), Box<dyn Error>> {
    let store = open(dir, threads)?;
    let (before, files) = (status("VmRSS"), open_files());
    let logs = logs(&store, channels)?;
    for log in &logs {
        for _ in 0..20 {
            log.append(&[7_u8; 1000].as_record())?;
        }
        log.sync()?;
    }
    let (warm, warm_files) = (status("VmRSS"), open_files());
    thread::sleep(Duration::from_secs(3));
    let (idle, idle_files) = (status("VmRSS"), open_files());
    let each = |rss: u64| rss.saturating_sub(before) / channels as u64;
    println!("{channels} channels of 20 records of 1000 bytes, memory beyond that of an open store:");
    println!("  just written  {:7} bytes each, {} files", each(warm), warm_files - files);
    println!("  idle          {:7} bytes each, {} files", each(idle), idle_files.saturating_sub(files));
    store.close();
    Ok(())
}

/// Appends at a steady rate, one record a channel and turn, spread evenly, and takes the time to durable.
fn busy(dir: &std::path::Path, channels: usize, threads: usize) -> Result<(), Box<dyn Error>> {
    let store = open(dir, threads)?;
    let logs = logs(&store, channels)?;
    for log in &logs {
        log.append(&"first".as_record())?;
        log.sync()?;
    }
    let (to, woken) = channel();
    let wakers: Vec<Waker> =
        (0..channels).map(|channel| Waker::from(Arc::new(Durable { channel, to: to.clone() }))).collect();
    let total = channels * (RATE * SECONDS) as usize;
    let gap = Duration::from_secs(u64::from(SECONDS)).div_f64(total as f64);
    let mut sent: Vec<Option<Instant>> = vec![None; channels];
    let mut times = Vec::with_capacity(total);
    let begin = Instant::now();
    let mut next = 0;
    while times.len() < total {
        while next < total && begin.elapsed() >= gap * u32::try_from(next)? && sent[next % channels].is_none()
        {
            let channel = next % channels;
            let due = begin + gap * u32::try_from(next)?;
            let end = logs[channel].append(&[7_u8; 100].as_record())?.plus(1);
            next += 1;
            let mut cx = Context::from_waker(&wakers[channel]);
            match logs[channel].poll_reached(Mark::Durable, end, &mut cx) {
                Poll::Pending => sent[channel] = Some(due),
                Poll::Ready(reached) => {
                    reached?;
                    times.push(due.elapsed());
                }
            }
        }
        while let Ok(channel) = woken.recv_timeout(gap) {
            times.extend(sent[channel].take().map(|due| due.elapsed()));
        }
    }
    let took = begin.elapsed();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{channels} channels at {RATE} records/s in Sync, {threads} threads: {:.0}/s, durable p50 {:.2?} p99 {:.2?} p99.9 {:.2?} max {:.2?}; {} files",
        total as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        open_files(),
    );
    store.close();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| "many_channels.tmp".to_owned()));
    let channels = args.next().map_or(Ok(1000), |text| text.parse())?;
    let threads: Vec<usize> = match args.next() {
        Some(text) => text.split(',').map(str::parse).collect::<Result<_, _>>()?,
        None => {
            idle(&dir.join("idle"), channels, 16)?;
            vec![4, 8, 16]
        }
    };
    for (run, threads) in threads.into_iter().enumerate() {
        busy(&dir.join(run.to_string()), channels, threads)?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
