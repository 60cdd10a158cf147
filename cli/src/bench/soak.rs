//! `netchan bench soak`: a node at half its top rate with retention on, and whether anything of it grows.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netchan::{Node, Retention};
use serde::Serialize;
use serde_json::json;

use super::child::{Actor, Server};
use super::figures::{Figures, median};
use super::machine::Machine;
use super::roles::Role;
use super::terms::{Load, Place, Sending};
use super::vitals::{Sample, Vitals};
use super::{place, plot, plots};
use crate::args::{Runtime, Soak};
use crate::exit::Exit;
use crate::status::Status;
use crate::stop::Stop;

const CHANNEL: &str = "soak";
/// How long the top rate is looked for.
const FIND: f64 = 5.0;
/// Samples of a whole run, but no more than one in [`LEAST_STEP`].
const SAMPLES: u32 = 600;
const LEAST_STEP: Duration = Duration::from_millis(200);
/// Segments that a channel of its full size has.
const SEGMENTS: u64 = 8;
/// How much more memory the last third may have than the middle one: a share of it, and bytes.
const GROWTH: f64 = 0.05;
const SLACK: f64 = 1048576.0;
/// Descriptors that come and go: a segment that begins before the last one is let go.
const COMING_AND_GOING: f64 = 4.0;

/// Whether something stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Flat {
    what: &'static str,
    /// The medians of the middle third of the run, and of the last.
    middle: f64,
    last: f64,
    most: f64,
    holds: bool,
}

/// Compares the last third with the middle one; the first is for coming up.
fn judge(samples: &[Sample]) -> Result<Vec<Flat>> {
    if samples.len() < 9 {
        bail!("too short to say anything: {} samples", samples.len());
    }
    let third = samples.len() / 3;
    let of = |what, value: fn(&Sample) -> f64, may_have: fn(f64) -> f64| {
        let values: Vec<f64> = samples.iter().map(value).collect();
        let (middle, last) = (median(&values[third..2 * third]), median(&values[2 * third..]));
        let most = values.iter().copied().fold(0.0, f64::max);
        Flat { what, middle, last, most, holds: last <= may_have(middle) }
    };
    Ok(vec![
        of("memory", |sample| sample.vitals.memory as f64, |middle| middle * (1.0 + GROWTH) + SLACK),
        of("descriptors", |sample| sample.vitals.descriptors as f64, |middle| middle + COMING_AND_GOING),
        of("threads", |sample| sample.vitals.threads as f64, |middle| middle),
    ])
}

pub(super) fn run(args: &Soak, status: Status, stop: &Stop) -> Result<Exit> {
    let dir = place(args.dir.as_deref())?;
    let plots = plots(args.plots.as_ref())?;
    let machine = Machine::look(dir.path());
    let size = usize::try_from(args.size)?;

    status.say("finding the top rate");
    let data = dir.path().join("top");
    make(&data, args.keep_size)?;
    let top = passing(&data, size, Load { seconds: FIND, per_second: None }, |_, _| Ok(()))?;
    let top_rate = top.get("records_per_s").context("a process told no rate")?;

    let rate = (top_rate / 2.0) as u64;
    let load = Load { seconds: args.minutes * 60.0, per_second: Some(rate.max(1)) };
    status.say(format_args!("{top_rate:.0} records/s; now {rate} for {} minutes", args.minutes));
    let data = dir.path().join("data");
    make(&data, args.keep_size)?;
    let mut samples: Vec<Sample> = Vec::new();
    let done = passing(&data, size, load, |seconds, pid| {
        if stop.asked().is_some() {
            bail!("stopped");
        }
        let vitals = Vitals::of(pid).context("this system does not tell what a process takes")?;
        samples.push(Sample { seconds, vitals, disk: bytes_in(&data.join("channels")).unwrap_or(0) });
        Ok(())
    })?;

    let verdicts = judge(&samples)?;
    let whole = done.get("gaps") == Some(0.0) && done.get("records") == done.get("sent");
    if let Some(dir) = plots {
        plot::soak(&samples, &dir.join("soak.svg"))?;
    }
    if args.json {
        let all = json!({
            "machine": machine, "minutes": args.minutes, "size": args.size, "keep_size": args.keep_size,
            "top_records_per_s": top_rate, "records_per_s": rate, "figures": done, "nothing_missing": whole,
            "verdicts": verdicts, "samples": samples,
        });
        anstream::println!("{all}");
    } else {
        anstream::println!(
            "{} processors, {}; {} minutes, {} B; node, sender and receiver are three processes over loopback TCP, Sync, \
             the channel kept to {} MiB in segments of {} MiB",
            machine.processors,
            machine.system,
            args.minutes,
            args.size,
            args.keep_size >> 20,
            segment(args.keep_size) >> 20,
        );
        let sent = done.get("sent").unwrap_or(0.0);
        let received = done.get("records").unwrap_or(0.0);
        let gaps = done.get("gaps").unwrap_or(0.0);
        anstream::println!(
            "top rate {top_rate:.0} records/s; at {rate}: {sent:.0} sent and durable, {received:.0} received, {gaps:.0} gaps"
        );
        for Flat { what, middle, last, most, holds } in &verdicts {
            let word = if *holds { "flat: " } else { "GROWS:" };
            let (scale, unit) = if *what == "memory" { (SLACK, " MiB") } else { (1.0, "") };
            let [middle, last, most] = [middle, last, most].map(|value| value / scale);
            anstream::println!(
                "{word} {what}: middle third {middle:.1}{unit}, last third {last:.1}{unit}, most {most:.1}{unit}"
            );
        }
        if !whole {
            anstream::println!("MISSING: not every record was received");
        }
    }
    let holds = whole && verdicts.iter().all(|verdict| verdict.holds);
    Ok(if holds { Exit::Done } else { Exit::Error })
}

fn segment(keep_size: u64) -> u64 {
    keep_size / SEGMENTS
}

/// The channel, in a directory that a node will serve.
fn make(data: &Path, keep_size: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let node = Node::builder().data_dir(data).start().await?;
        let retention = Retention { max_bytes: Some(keep_size), ..Retention::default() };
        node.sender(CHANNEL).retention(retention).segment_bytes(segment(keep_size)).open().await?;
        node.shutdown(Duration::from_secs(5)).await?;
        Ok(())
    })
}

/// Sends and receives through a node; `look` is called with the seconds so far and the node's process, again and again.
/// Gives what the receiver tells, and how many were `sent`.
fn passing(
    data: &Path,
    size: usize,
    load: Load,
    mut look: impl FnMut(f64, u32) -> Result<()>,
) -> Result<Figures> {
    let mut server = Server::start(data)?;
    let on = Runtime::Tokio;
    let sending = Sending { on, channel: CHANNEL.into(), size, durability: "sync".into(), keys: 0 };
    let place = Place::At(server.far());
    let mut sender = Actor::start(&Role::Send { place, sending, load, seal: true })?;
    sender.says()?;
    let (far, channel) = (server.far(), CHANNEL.into());
    let mut receiver =
        Actor::start(&Role::Receive { on, far, channel, filter: None, paced: false, skip: 0 })?;
    receiver.says()?;
    sender.go()?;
    let step = Duration::from_secs_f64(load.seconds / f64::from(SAMPLES)).max(LEAST_STEP);
    let began = Instant::now();
    loop {
        std::thread::sleep(step);
        let seconds = began.elapsed().as_secs_f64();
        if seconds >= load.seconds {
            break;
        }
        look(seconds, server.pid())?;
        server.must_run()?;
        sender.must_run()?;
        receiver.must_run()?;
    }
    sender.says()?;
    let received = receiver.done()?;
    let sent = sender.done()?;
    server.stop()?;
    let mut figures = received.figures;
    figures.set("sent", sent.figures.get("records").context("a process told no records")?);
    std::fs::remove_dir_all(data)?;
    Ok(figures)
}

/// Bytes of all files below `dir`. A file that goes meanwhile does not count.
fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += bytes_in(&entry.path()).unwrap_or(0),
            Ok(metadata) => bytes += metadata.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic here is a failed test")]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> u64) -> Vec<Sample> {
        let at = |index: u64| Sample {
            seconds: index as f64,
            vitals: Vitals { memory: memory(index), descriptors: descriptors(index), threads: 9 },
            disk: 0,
        };
        (0..90).map(at).collect()
    }

    fn holds(samples: &[Sample]) -> Vec<bool> {
        judge(samples).unwrap().iter().map(|verdict| verdict.holds).collect()
    }

    #[test]
    fn what_comes_up_and_then_stays_is_flat() {
        let memory = |index: u64| (20 << 20) + index.min(20) * (1 << 20) + (index % 7) * 50_000;
        assert_eq!(holds(&samples(memory, |index| 20 + index % 3)), [true, true, true]);
    }

    #[test]
    fn what_grows_all_the_time_is_not_flat() {
        let memory = |index: u64| (20 << 20) + index * 150_000;
        assert_eq!(holds(&samples(memory, |index| 20 + index / 4)), [false, false, true]);
    }

    #[test]
    fn a_few_samples_say_nothing() {
        assert!(judge(&samples(|_| 1, |_| 1)[..8]).is_err());
    }
}
