//! `netchan bench`: how fast channels are here, beside what this machine can do at most.
//!
//! Owns the order of measurements. All processes are this very program: [`roles`] says what each does, and uses the library
//! as any program would; a node that only serves is `netchan serve`.
//!
//! | room | holds |
//! |---|---|
//! | `cases` | one measurement of each kind: its processes, and what becomes of their figures |
//! | `judging` | filters, over lines of JSON |
//! | `roles`, `sides`, `raw` | what one process does: with channels, on which runtime; over bare TCP |
//! | `terms` | what all of these are told, and how they speak with who started them |
//! | `child` | processes, as who started them sees them |
//! | `machine` | the limits of the machine, and what it is |
//! | `clock`, `delays`, `vitals` | time and pace; times of records; memory, descriptors, threads |
//! | `figures`, `floors` | figures, medians and ratios; what they must be |
//! | `report`, `plot` | what is printed and drawn |
//! | `soak` | a node at half its top rate, watched |

mod cases;
mod child;
mod clock;
mod delays;
mod figures;
mod floors;
mod judging;
mod machine;
mod plot;
mod raw;
mod report;
mod roles;
mod sides;
mod soak;
mod terms;
mod vitals;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::cases::Site;
use self::delays::Stamps;
use self::figures::{Subject, Table};
use self::machine::Machine;
use self::terms::{Far, Load, Sending};
use crate::args::{self, Bench, Case, Durability, Mode};
use crate::exit::Exit;
use crate::status::Status;
use crate::stop::Stop;

pub(crate) async fn run(args: Bench, status: Status) -> Result<Exit> {
    if args.role {
        return roles::run().await;
    }
    let mut stop = Stop::listen()?;
    crate::home::raise_descriptors();
    let asked = stop.clone();
    let mut measured = tokio::task::spawn_blocking(move || match &args.mode {
        Some(Mode::Soak(soak)) => soak::run(soak, status, &asked),
        None => measure(&args, status, &asked),
    });
    let ended = tokio::select! {
        ended = &mut measured => ended,
        _ = stop.wait() => {
            child::kill_all();
            measured.await
        }
    };
    ended?.or_else(|error| stop.asked().ok_or(error))
}

/// A directory for channels, which goes when it is dropped.
fn place(dir: Option<&Path>) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    let named = builder.prefix("netchan-bench.");
    let made = match dir {
        Some(dir) => named.tempdir_in(dir),
        None => named.tempdir(),
    };
    made.context("no place for the bench's channels")
}

/// Where plots are drawn; made if it is missing.
fn plots(dir: Option<&PathBuf>) -> Result<Option<&Path>> {
    if let Some(dir) = dir {
        std::fs::create_dir_all(dir).with_context(|| format!("no place for plots: {}", dir.display()))?;
    }
    Ok(dir.map(PathBuf::as_path))
}

fn measure(args: &Bench, status: Status, stop: &Stop) -> Result<Exit> {
    let dir = place(args.dir.as_deref())?;
    let plots = plots(args.plots.as_ref())?;
    let machine = Machine::look(dir.path());
    let mut table = Table::default();
    let far = |addr: &String| Far { addr: addr.clone(), token: args.token.clone() };
    let mut site = Site::new(dir.path(), args.connect.as_ref().map(far));
    for run in 1..=args.runs.get() {
        let tell = |what: &str| {
            status.say(format_args!("run {run} of {}: {what}", args.runs));
            if stop.asked().is_some() { bail!("stopped") } else { Ok(()) }
        };
        // Each is the first in turn, should that make a difference.
        let mut runtimes = args.runtimes.clone();
        runtimes.rotate_left((run as usize - 1) % args.runtimes.len());
        one_run(args, &runtimes, &mut site, &mut table, dir.path(), &tell)?;
    }
    let verdicts = floors::judge(&table);
    if args.json {
        anstream::println!("{}", report::json(&machine, args, &table, &verdicts));
    } else {
        report::print(&machine, args, &table, &verdicts);
    }
    if let Some(dir) = plots {
        plot::latency(&table, &dir.join("latency.svg"))?;
        plot::sizes(&table, &dir.join("sizes.svg"))?;
    }
    let missed = args.check && verdicts.iter().any(|verdict| !verdict.holds);
    Ok(if missed { Exit::Error } else { Exit::Done })
}

/// One measurement of each kind that was asked for, after the limits that it is compared with.
fn one_run(
    args: &Bench,
    runtimes: &[args::Runtime],
    site: &mut Site,
    table: &mut Table,
    dir: &Path,
    tell: &dyn Fn(&str) -> Result<()>,
) -> Result<()> {
    let wants = |case| args.cases.is_empty() || args.cases.contains(&case);
    let wants_any = |cases: &[Case]| cases.iter().any(|&case| wants(case));
    let mode = args.durability.unwrap_or(Durability::Sync);
    let first = args.size.first().copied().unwrap_or(100);

    tell("the machine's limits")?;
    table.add(MEMCPY, machine::copy());
    if wants_any(&[Case::Publish, Case::Stream, Case::CatchUp, Case::FanOut]) {
        for &size in &args.size {
            let raw = RAW.size(size);
            tell(&raw.to_string())?;
            table.add(raw, site.raw(size, args.seconds)?);
        }
        tell("warming up")?;
        site.warm_up(&sending(args, first, mode)?, args.seconds)?;
    }
    tell("the disk's limits")?;
    table.add(WRITE_SYNC, machine::write_sync(dir)?);
    table.add(SYNC, machine::sync_alone(dir)?);

    for &size in &args.size {
        let sending = sending(args, size, mode)?;
        let of = |what| Subject::of(what).durability(word(mode)).size(size);
        let limit = table.latest(&RAW.size(size), "records_per_s");
        let disk = table.latest(&WRITE_SYNC, "mb_per_s");
        let add = |table: &mut Table, subject: Subject, mut done: figures::Done| {
            done.figures.set_ratio("of_raw_tcp", "records_per_s", limit);
            done.figures.set_ratio("of_write_sync", "mb_per_s", disk);
            table.add(subject, done);
        };
        // How fan-out compares is measured one after the other.
        if wants_any(&[Case::Stream, Case::FanOut]) {
            let mut streams = Vec::new();
            for &on in runtimes {
                let subject = running(args, on, of("stream"));
                tell(&subject.to_string())?;
                streams.push((subject, site.stream(&Sending { on, ..sending.clone() }, 1, args.seconds)?));
            }
            let rates = streams.iter().filter_map(|(_, done)| done.figures.get("records_per_s"));
            let best = rates.reduce(f64::max).filter(|_| streams.len() > 1);
            for (subject, mut done) in streams {
                done.figures.set_ratio("of_best_runtime", "records_per_s", best);
                add(table, subject, done);
            }
        }
        if wants(Case::FanOut) {
            let subject = of("fan-out").count(args.receivers.get());
            tell(&subject.to_string())?;
            let mut done = site.stream(&sending, args.receivers.get(), args.seconds)?;
            let one = table.latest(&running(args, args::Runtime::Tokio, of("stream")), "records_per_s");
            done.figures.set_ratio("of_one_receiver", "records_per_s", one);
            add(table, subject, done);
        }
        if wants_any(&[Case::Publish, Case::CatchUp]) {
            tell(&of("publish, then catch-up").to_string())?;
            let (published, caught_up) = site.publish_and_catch_up(&sending, args.seconds)?;
            add(table, of("publish"), published);
            add(table, of("catch-up"), caught_up);
        }
        if wants(Case::Filter) {
            let subject = of("filter that passes 1 %");
            tell(&subject.to_string())?;
            table.add(subject, site.filter(&sending, args.seconds)?);
        }
    }
    let size = first.max(Stamps::LEN as u64);
    let load = Load { seconds: args.seconds, per_second: Some(args.rate.get()) };
    if wants(Case::Latency) {
        let raw = RAW_LATENCY.size(size);
        tell(&raw.to_string())?;
        table.add(raw.clone(), site.raw_latency(size, load)?);
        let modes = args.durability.map_or(vec![Durability::Os, Durability::Sync], |mode| vec![mode]);
        let sides = |mode| runtimes.iter().map(move |&on| (mode, on));
        for (mode, on) in modes.into_iter().flat_map(sides) {
            let subject = running(args, on, Subject::of("latency").durability(word(mode)).size(size));
            tell(&subject.to_string())?;
            let mut done = site.latency(&Sending { on, ..sending(args, size, mode)? }, load)?;
            for figure in ["p50", "p99", "sent_p50", "sent_p99"] {
                let name = format!("{figure}_us");
                let limit = table.latest(&raw, &name);
                done.figures.set_ratio(&format!("{figure}_of_raw_tcp"), &name, limit);
            }
            table.add(subject, done);
        }
    }
    if wants(Case::Filter) {
        tell("lines of JSON")?;
        table.add(Subject::of("filter over lines of JSON"), judging::lines(args.seconds)?);
    }
    if wants(Case::Channels) {
        let of = Subject::of("channels").count(args.channels.get());
        let subject = of.durability(word(mode)).size(size);
        tell(&subject.to_string())?;
        table.add(subject, site.channels(&sending(args, size, mode)?, args.channels.get(), load)?);
    }
    if wants(Case::Idle) && !site.is_elsewhere() {
        tell("what idle costs")?;
        let still = std::time::Duration::from_secs_f64(args.settle);
        for (subject, done) in site.idle(args.connections.get(), args.channels.get(), still)? {
            table.add(subject, done);
        }
    }
    Ok(())
}

const MEMCPY: Subject = Subject::of("memcpy");
const WRITE_SYNC: Subject = Subject::of("write 1 MiB + fdatasync");
const SYNC: Subject = Subject::of("fdatasync of 4 KiB");
const RAW: Subject = Subject::of("raw framed TCP");
const RAW_LATENCY: Subject = Subject::of("latency of raw framed TCP");

/// Says what it runs on, if something else than what the program itself does was asked for.
fn running(args: &Bench, on: args::Runtime, subject: Subject) -> Subject {
    let name = match on {
        args::Runtime::Tokio => "tokio",
        args::Runtime::Smol => "smol",
        args::Runtime::Std => "std",
    };
    if args.runtimes == [args::Runtime::Tokio] { subject } else { subject.on(name) }
}

fn sending(args: &Bench, size: u64, mode: Durability) -> Result<Sending> {
    let size = usize::try_from(size)?;
    let keys = args.keys.map_or(0, |keys| keys.get());
    Ok(Sending {
        on: args::Runtime::Tokio,
        channel: String::new(),
        size,
        durability: word(mode).to_owned(),
        keys,
    })
}

fn word(mode: args::Durability) -> &'static str {
    match mode {
        Durability::Sync => "sync",
        Durability::Interval => "interval",
        Durability::Os => "os",
    }
}
