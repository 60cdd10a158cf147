//! Runs of all kinds in turn, so that what the machine does meanwhile hits all alike; medians; ratios; floors.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

type Failure = Box<dyn std::error::Error>;

const RUNS: usize = 5;
/// Records of one throughput run: seconds at the rates seen.
const STREAM: [(usize, u64); 2] = [(100, 8_000_000), (1024, 1_500_000)];
const RAW_FACTOR: u64 = 3;
const PACE: u64 = 10_000;
const PACED: u64 = 40_000;
const SKIPPED: u64 = 10_000;

/// Ratios that must hold: netchan's rate over raw TCP's, at 100 B; and its delay over raw TCP's.
const STREAM_FLOOR: f64 = 0.08;
const CATCH_UP_FLOOR: f64 = 0.16;
const DELAY_CEILING: f64 = 4.0;

/// Runs everything and prints it.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let check = words.contains(&"--check");
    let only_delays = words.contains(&"--delays");
    let runs = words.iter().find_map(|word| word.strip_prefix("--runs=")?.parse().ok()).unwrap_or(RUNS);
    match measure(runs, only_delays) {
        Ok(holds) if holds || !check => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("netchan-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(runs: usize, only_delays: bool) -> Result<bool, Failure> {
    let mut holds = true;
    println!(
        "medians of {runs} runs (least to most), two processes over loopback TCP, Sync unless said otherwise\n"
    );
    println!("{:<34} {:>34} {:>24}", "", "records/s", "of raw TCP, run by run");
    for (size, count) in STREAM.into_iter().filter(|_| !only_delays) {
        let (mut raw, mut stream, mut catch_up, mut publish) = (vec![], vec![], vec![], vec![]);
        for _ in 0..runs {
            raw.push(raw_stream(size, count * RAW_FACTOR)?);
            let (received, sent, again) = streamed(size, count)?;
            stream.push(received);
            publish.push(sent);
            catch_up.push(again);
        }
        let what = |name: &str| format!("{name}, {size} B");
        line(&what("raw framed TCP"), &raw, None);
        line(&what("publish until durable"), &publish, Some(&raw));
        let streamed = line(&what("stream"), &stream, Some(&raw));
        let caught_up = line(&what("catch-up"), &catch_up, Some(&raw));
        if size == 100 {
            holds &= told("stream", streamed, ">=", STREAM_FLOOR, streamed >= STREAM_FLOOR);
            holds &= told("catch-up", caught_up, ">=", CATCH_UP_FLOOR, caught_up >= CATCH_UP_FLOOR);
        }
    }
    println!("\n{:<34} {:>10} {:>10} {:>10}   us, 100 B at {PACE} records/s", "", "p50", "p99", "p99.9");
    let (mut raw, mut os, mut sync) = (vec![], vec![], vec![]);
    for _ in 0..runs {
        raw.push(raw_delays()?);
        os.push(delays("os")?);
        sync.push(delays("sync")?);
    }
    delay_line("raw framed TCP", &raw);
    delay_line("netchan, Os", &os);
    delay_line("netchan, Sync", &sync);
    let ratio = median(&os.iter().zip(&raw).map(|(os, raw)| os[0] / raw[0]).collect::<Vec<_>>());
    holds &= told("p50 with Os over raw", ratio, "<=", DELAY_CEILING, ratio <= DELAY_CEILING);
    Ok(holds)
}

fn told(what: &str, ratio: f64, sign: &str, bound: f64, holds: bool) -> bool {
    println!("  {} {what}: {ratio:.3} {sign} {bound}", if holds { "holds:" } else { "MISSED:" });
    holds
}

/// Prints a row, and gives the median of the ratios, run by run.
fn line(what: &str, rates: &[f64], raw: Option<&[f64]>) -> f64 {
    let (least, most) = span(rates);
    let million = 1e6;
    let rate = format!("{:.2} M ({:.2} to {:.2})", median(rates) / million, least / million, most / million);
    let ratios: Vec<f64> = raw.unwrap_or_default().iter().zip(rates).map(|(raw, rate)| rate / raw).collect();
    if ratios.is_empty() {
        println!("{what:<34} {rate:>34}");
        return 1.0;
    }
    let (least, most) = span(&ratios);
    let middle = median(&ratios);
    println!("{what:<34} {rate:>34} {:>24}", format!("{middle:.3} ({least:.3} to {most:.3})"));
    middle
}

fn delay_line(what: &str, runs: &[[f64; 3]]) {
    let at = |index: usize| median(&runs.iter().map(|run| run[index]).collect::<Vec<_>>());
    println!("{what:<34} {:>10.1} {:>10.1} {:>10.1}", at(0), at(1), at(2));
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn span(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)))
}

// ---- the kinds of runs ----

fn raw_stream(size: usize, count: u64) -> Result<f64, Failure> {
    let mut receiver = Role::start(&["raw-receive", "0"])?;
    let addr = receiver.line()?;
    Role::start(&["raw-send", &addr, &size.to_string(), &count.to_string(), "0"])?.finish()?;
    number(&receiver.line()?)
}

fn raw_delays() -> Result<[f64; 3], Failure> {
    let mut receiver = Role::start(&["raw-receive", &SKIPPED.to_string()])?;
    let addr = receiver.line()?;
    Role::start(&["raw-send", &addr, "100", &PACED.to_string(), &PACE.to_string()])?.finish()?;
    three(&receiver.line()?)
}

/// The rate received while it was sent, the rate at which it became durable, and the rate of reading it again.
fn streamed(size: usize, count: u64) -> Result<(f64, f64, f64), Failure> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().ok_or("the temporary directory has no name in UTF-8")?;
    let mut sender = Role::start(&["publish", path, "sync", &size.to_string(), &count.to_string(), "0"])?;
    let addr = sender.line()?;
    let target = format!("{addr}/bench");
    let mut receiver = Role::start(&["receive", &target, &count.to_string(), "0"])?;
    sender.go()?;
    let published = number(&sender.line()?)?;
    let received = number(&receiver.line()?)?;
    receiver.finish()?;
    sender.go()?;
    sender.finish()?;
    let mut server = Role::start(&["serve", path])?;
    let target = format!("{}/bench", server.line()?);
    let mut receiver = Role::start(&["receive", &target, &count.to_string(), "0"])?;
    let again = number(&receiver.line()?)?;
    receiver.finish()?;
    server.finish()?;
    Ok((received, published, again))
}

fn delays(durability: &str) -> Result<[f64; 3], Failure> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().ok_or("the temporary directory has no name in UTF-8")?;
    let (count, pace) = (PACED.to_string(), PACE.to_string());
    let mut sender = Role::start(&["publish", path, durability, "100", &count, &pace])?;
    let target = format!("{}/bench", sender.line()?);
    let mut receiver = Role::start(&["receive", &target, &count, &SKIPPED.to_string()])?;
    std::thread::sleep(std::time::Duration::from_millis(100)); // so that the receiver is there before the first record
    sender.go()?;
    let delays = three(&receiver.line()?)?;
    receiver.finish()?;
    sender.go()?;
    sender.finish()?;
    Ok(delays)
}

fn number(line: &str) -> Result<f64, Failure> {
    Ok(line.trim().parse()?)
}

fn three(line: &str) -> Result<[f64; 3], Failure> {
    let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    Ok(numbers.try_into().map_err(|_| format!("not three figures: {line}"))?)
}

/// A child process in one of the roles. Killed if it is dropped before its end.
struct Role {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Role {
    fn start(args: &[&str]) -> Result<Role, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("child")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
        Ok(Role { child, input, output })
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("a child process ended before it said its figures".into());
        }
        Ok(line.trim().to_owned())
    }

    fn go(&mut self) -> Result<(), Failure> {
        Ok(self.input.as_mut().ok_or("the child has no input")?.write_all(b"go\n")?)
    }

    fn finish(mut self) -> Result<(), Failure> {
        drop(self.input.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a child process failed: {status}").into()) }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
