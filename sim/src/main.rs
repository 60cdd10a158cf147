//! `netchan-sim --seeds N [--from N]` runs seeds; `netchan-sim --seed N [--trace]` replays one.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use netchan_sim::{Counters, Outcome, run};

const USAGE: &str = "\
netchan-sim --seeds N [--from N] [--keep-going]   run N seeds, from the first or from --from on
netchan-sim --seed N [--trace]                    run one seed; --trace prints what happens
Ends with 1 at a violation.";

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    seeds: Option<u64>,
    from: u64,
    seed: Option<u64>,
    trace: bool,
    keep_going: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?;
            text.parse::<u64>().map_err(|error| format!("{argument} {text}: {error}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = Some(number()?),
            "--from" => options.from = number()?,
            "--seed" => options.seed = Some(number()?),
            "--trace" => options.trace = true,
            "--keep-going" => options.keep_going = true,
            other => return Err(format!("{other} is not an option")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) if options.seeds.is_some() != options.seed.is_some() => options,
        Ok(_) => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match options.seed {
        Some(seed) => replay(seed, options.trace),
        None => run_many(&options),
    }
}

fn replay(seed: u64, trace: bool) -> ExitCode {
    let Outcome { violation, counters, hash, simulated } = run(seed, trace);
    println!("seed {seed}: {:.1} simulated seconds, hash {hash:016x}", simulated.as_secs_f64());
    println!("{counters}");
    match violation {
        Some(violation) => {
            println!("VIOLATION in seed {seed}: {violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn run_many(options: &Options) -> ExitCode {
    let (from, count) = (options.from, options.seeds.unwrap_or(0));
    let began = Instant::now();
    let mut told = began;
    let mut counters = Counters::default();
    let mut simulated = Duration::ZERO;
    let mut failed = Vec::new();
    let mut ran = 0;
    let tell = |ran: u64, simulated: Duration, failed: usize| {
        let real = began.elapsed().as_secs_f64().max(1e-9);
        println!(
            "{ran} seeds in {real:.1} s ({:.0} a second); {:.0} simulated seconds, {:.0} per real second; \
             {failed} violations",
            ran as f64 / real,
            simulated.as_secs_f64(),
            simulated.as_secs_f64() / real,
        );
    };
    for seed in from..from.saturating_add(count) {
        let outcome = run(seed, false);
        ran += 1;
        counters.add(&outcome.counters);
        simulated += outcome.simulated;
        if let Some(violation) = outcome.violation {
            println!("VIOLATION in seed {seed}: {violation}");
            failed.push(seed);
            if !options.keep_going {
                break;
            }
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            tell(ran, simulated, failed.len());
        }
    }
    tell(ran, simulated, failed.len());
    println!("{counters}");
    match failed.first() {
        Some(seed) => {
            println!("replay with --seed {seed} --trace");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
