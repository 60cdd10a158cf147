//! Nodes are shut down, and dropped, while records pass in all directions: nothing hangs, and no thread, no task and no
//! descriptor is left.
//!
//! `NETCHAN_SHUTDOWNS` is how many rounds there are of each runtime, where no step may take longer than 5 s; without it,
//! a slice, on machines that may be slow and busy.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use netchan_node::words::{Durability, ErrorKind, NewRecord, Start};
use netchan_node::{Handle, NodeBuilder};
use netchan_smol::Smol;
use netchan_std::Std;
use netchan_suite::{Pair, Runtime, payload};
use netchan_tokio::Tokio;

/// Rounds of a test without an environment that says more.
const SLICE: u64 = 12;
/// After so many rounds the threads that a runtime keeps for a while are waited for.
const FEW: u64 = 50;
/// For peers to take leave. One that isn't there in time is a hang.
const LONG: Duration = Duration::from_secs(60);
/// Tasks of a node that listens, on its socket and on its port, and does nothing else.
const DOORS: usize = 2;
/// Says to a process that it is the one of the test.
const ALONE: &str = "NETCHAN_SHUTDOWNS_ALONE";

#[test]
fn nodes_on_tokio_leave_nothing_behind() {
    alone("nodes_on_tokio_leave_nothing_behind", rounds::<Tokio>);
}

#[test]
fn nodes_on_smol_leave_nothing_behind() {
    alone("nodes_on_smol_leave_nothing_behind", rounds::<Smol>);
}

#[test]
fn nodes_on_plain_threads_leave_nothing_behind() {
    alone("nodes_on_plain_threads_leave_nothing_behind", rounds::<Std>);
}

/// Runs this one test in a process that does nothing else: what is counted is of the process.
fn alone(name: &str, test: fn()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    // A port that a node gives back for a moment may be given to a node of another process, which takes what is sent.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "yes")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn rounds<A: Runtime>() {
    let asked = std::env::var("NETCHAN_SHUTDOWNS").ok().map(|rounds| rounds.parse().unwrap());
    let rounds: u64 = asked.unwrap_or(SLICE);
    let limit = Duration::from_secs(if asked.is_some() { 5 } else { 60 });
    let (steps, at) = mpsc::channel();
    let worker = thread::spawn(move || {
        let mut before = Held::now::<A>();
        for round in 0..rounds + 2 {
            let step = Step { round, steps: &steps };
            one_round::<A>(&step);
            step.take("what is left");
            match round {
                // What a runtime and a thread make once.
                0 | 1 => before = Held::settled::<A>(limit),
                _ => Held::is_within::<A>(&before, limit, round % FEW == 0 || round == rounds + 1),
            }
        }
        println!("{rounds} rounds; held before and after: {before:?}");
    });
    let mut last = (0, "the beginning");
    loop {
        // What remains is looked for as long as that, and told.
        match at.recv_timeout(2 * limit) {
            Ok(step) => last = step,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("round {} hangs: {}", last.0, last.1),
        }
    }
    if let Err(panicked) = worker.join() {
        eprintln!("this was round {}: {}", last.0, last.1);
        std::panic::resume_unwind(panicked);
    }
}

/// Where a round is, told to who watches it.
struct Step<'a> {
    round: u64,
    steps: &'a Sender<(u64, &'static str)>,
}

impl Step<'_> {
    fn take(&self, what: &'static str) {
        self.steps.send((self.round, what)).unwrap();
    }
}

/// Two nodes with four who send and four who receive, and one of several ends.
fn one_round<A: Runtime>(step: &Step<'_>) {
    let mut dice = fastrand::Rng::with_seed(step.round);
    step.take("starting");
    let Pair { here, there, address, dir } = Pair::<A, A>::start();
    let remote = format!("{address}/load");
    let durability = if dice.bool() { Durability::Os } else { Durability::Sync };
    let at_home = A::wait(|| here.sender("load").durability(durability).open()).unwrap();
    let afar = A::wait(|| there.sender(&remote).open()).unwrap();
    let (is_over, sent_at_home, sent_afar) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let from_here = || A::wait(|| here.receiver("load").from(Start::Earliest).open()).unwrap();
    let from_there = || A::wait(|| there.receiver(&remote).from(Start::Earliest).open()).unwrap();
    let receivers = [from_there(), from_there(), from_there(), from_here()];
    let end = dice.u8(..4);
    let is_dropped = end == 3;
    let senders = [0, 1].map(|_| [(at_home.clone(), &sent_at_home), (afar.clone(), &sent_afar)]);
    thread::scope(|scope| {
        for (sender, sent) in senders.into_iter().flatten() {
            let is_over = &is_over;
            scope.spawn(move || send::<A>(&sender, is_over, sent));
        }
        for receiver in receivers {
            let is_over = &is_over;
            scope.spawn(move || receive::<A>(receiver, is_over));
        }
        step.take("working");
        thread::sleep(Duration::from_millis(dice.u64(..15)));
        let deadline = Duration::from_millis(dice.u64(..30));
        match end {
            // One after the other, with the senders at work.
            0 => {
                step.take("shutting down there");
                let left = A::wait(|| there.shutdown(deadline)).unwrap();
                step.take("shutting down here");
                A::wait(|| here.shutdown(deadline)).unwrap();
                step.take("looking what is there");
                is_over.store(true, Ordering::Relaxed);
                drop((here, there, at_home, afar));
                let again = reopened::<A>(|| Handle::builder().data_dir(dir.path()));
                let next = A::wait(|| again.info("load")).unwrap().next.0;
                let (home, afar) = (sent_at_home.load(Ordering::Relaxed), sent_afar.load(Ordering::Relaxed));
                assert!(
                    next >= home + afar.saturating_sub(left.records),
                    "{next} of {home} and {afar}, {left:?}"
                );
                A::wait(|| again.shutdown(deadline)).unwrap();
            }
            1 => {
                step.take("shutting down here");
                A::wait(|| here.shutdown(deadline)).unwrap();
                step.take("shutting down there");
                A::wait(|| there.shutdown(deadline)).unwrap();
                is_over.store(true, Ordering::Relaxed);
            }
            // Both at a time, and one of them twice.
            2 => {
                step.take("shutting down everywhere");
                let shut = |node: &Handle<A>| {
                    let node = node.clone();
                    scope.spawn(move || A::wait(|| node.shutdown(deadline)).unwrap())
                };
                for shutting in [shut(&here), shut(&there), shut(&here)] {
                    shutting.join().unwrap();
                }
                is_over.store(true, Ordering::Relaxed);
            }
            // Handles go, in whatever order, with the threads that use them.
            _ => {
                step.take("dropping");
                match dice.bool() {
                    true => drop((here, at_home, there, afar)),
                    false => drop((afar, there, at_home, here)),
                }
                is_over.store(true, Ordering::Relaxed);
            }
        }
        step.take("ending");
    });
    step.take("opening again");
    let again = reopened::<A>(|| Handle::builder().data_dir(dir.path()).listen(address.to_string()));
    if is_dropped {
        step.take("what was sent comes");
        let sent = sent_at_home.into_inner() + sent_afar.into_inner();
        let next = || A::wait(|| again.info("load")).unwrap().next.0;
        while next() < sent {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(next(), sent);
        // Who sent it may not know that yet, and have to come again.
        while A::tasks().is_some_and(|tasks| tasks > DOORS) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    step.take("shutting down again");
    A::wait(|| again.shutdown(LONG)).unwrap();
}

/// As many records as are taken, until it is over.
fn send<A: Runtime>(sender: &A::Sender, is_over: &AtomicBool, sent: &AtomicU64) {
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        match A::try_send(sender, NewRecord::new(payload(number))) {
            Ok(_) => drop(sent.fetch_add(1, Ordering::Relaxed)),
            Err(error) if error.kind() == ErrorKind::Full => thread::yield_now(),
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
    }
}

fn receive<A: Runtime>(mut receiver: A::Receiver, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        match A::recv_for(&mut receiver, Duration::from_millis(1)) {
            None | Some(Ok(Some(_))) => {}
            Some(ended) => panic!("{ended:?}"),
        }
    }
}

/// Who was dropped may be on the way out still, and somebody may have its port for a moment.
fn reopened<A: Runtime>(builder: impl Fn() -> NodeBuilder<A>) -> Handle<A> {
    loop {
        match A::wait(|| builder().start()) {
            Err(error) if [ErrorKind::Locked, ErrorKind::Unreachable].contains(&error.kind()) => {
                thread::sleep(Duration::from_millis(1));
            }
            node => return node.unwrap(),
        }
    }
}

/// What the process holds.
#[derive(Debug)]
struct Held {
    /// How many threads have which name.
    threads: BTreeMap<String, usize>,
    descriptors: Vec<String>,
    /// Of the runtime, where it can say.
    tasks: Option<usize>,
}

impl Held {
    fn now<A: Runtime>() -> Held {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task").unwrap() {
            // One that ends meanwhile is none.
            if let Ok(name) = fs::read_to_string(task.unwrap().path().join("comm")) {
                *threads.entry(name.trim().to_owned()).or_default() += 1;
            }
        }
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        let descriptors = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let mut descriptors: Vec<String> = descriptors.map(|path| path.display().to_string()).collect();
        descriptors.sort();
        Held { threads, descriptors, tasks: A::tasks() }
    }

    fn is_more_than(&self, before: &Held, counts_all_threads: bool) -> bool {
        let counts = |held: &Held| -> usize {
            // Of smol, the threads that may block stay, up to 500.
            let is_counted = |name: &str| {
                name.starts_with("netchan") || counts_all_threads && !name.starts_with("blocking-")
            };
            held.threads.iter().filter(|(name, _)| is_counted(name)).map(|(_, count)| count).sum()
        };
        counts(self) > counts(before)
            || self.descriptors.len() > before.descriptors.len()
            || self.tasks > before.tasks
    }

    /// Fails if there is more than `before`, and remains.
    fn is_within<A: Runtime>(before: &Held, limit: Duration, counts_all_threads: bool) {
        let began = Instant::now();
        loop {
            let now = Held::now::<A>();
            if !now.is_more_than(before, counts_all_threads) {
                return;
            }
            assert!(began.elapsed() < limit, "left behind: {now:#?}\nbefore: {before:#?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What remains when nothing changes any more.
    fn settled<A: Runtime>(limit: Duration) -> Held {
        let (began, mut last, mut since) = (Instant::now(), Held::now::<A>(), Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(10));
            let now = Held::now::<A>();
            if now.is_more_than(&last, true) || last.is_more_than(&now, true) {
                since = Instant::now();
            }
            last = now;
            assert!(began.elapsed() < limit, "this does not settle: {last:#?}");
        }
        last
    }
}
