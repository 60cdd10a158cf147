//! A receiver's program is killed while a sender waits for it.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;

use netchan_node::words::{NewRecord, Start};
use netchan_smol::Smol;
use netchan_std::Std;
use netchan_suite::{Pair, Runtime, payload};
use netchan_tokio::Tokio;

/// Where the program of the child finds the channel. This test does nothing without it.
const TARGET: &str = "NETCHAN_TEST_TARGET";

/// Receives ten records, and then nothing more, until it is killed.
#[test]
fn the_program_that_is_killed() {
    let Ok(target) = std::env::var(TARGET) else { return };
    let node = netchan_std::Node::builder().start().unwrap();
    let mut receiver = node.receiver(target).from(Start::Earliest).open().unwrap();
    for number in 0..10 {
        assert!(receiver.recv().unwrap().unwrap().payload == payload(number));
    }
    std::io::stdout().flush().unwrap();
    loop {
        thread::park();
    }
}

struct Killed(Child);

impl Killed {
    fn start(target: &str) -> Killed {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_program_that_is_killed"]).env(TARGET, target);
        Killed(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn run<S: Runtime>() {
    let pair = Pair::<S, Std>::start();
    let log = pair.sender("killed");
    let target = pair.target("killed");
    let child = Killed::start(&target);
    S::wait_until_ready(&log, 1).unwrap();
    // It has these, whatever becomes of it.
    for number in 0..10 {
        S::send_to(&log, 1, NewRecord::new(payload(number))).unwrap();
    }
    assert_eq!(S::done(&log).unwrap(), 1);
    S::send(&log, NewRecord::new(payload(10))).unwrap();
    let waiting = thread::spawn({
        let log = log.clone();
        move || S::done(&log)
    });
    drop(child);
    assert_eq!(waiting.join().unwrap().unwrap(), 0, "it did not have the last one");
    while S::receivers(&log).unwrap() > 0 {
        thread::yield_now();
    }
    // Who waits for a receiver waits for the next one.
    let waiting = thread::spawn({
        let log = log.clone();
        move || S::send_to(&log, 1, NewRecord::new(payload(11))).map(drop)
    });
    let mut receiver = pair.receiver("killed");
    for number in 0..12 {
        assert!(receiver.recv().unwrap().unwrap().payload == payload(number));
    }
    // If it was asked before it got the last one it has told; else it tells when it is asked for more.
    let telling = thread::spawn(move || assert!(receiver.recv().unwrap().is_none()));
    waiting.join().unwrap().unwrap();
    S::seal(&log).unwrap();
    telling.join().unwrap();
}

#[test]
fn tokio_does_not_wait_for_who_was_killed() {
    run::<Tokio>();
}

#[test]
fn smol_does_not_wait_for_who_was_killed() {
    run::<Smol>();
}

#[test]
fn plain_threads_do_not_wait_for_who_was_killed() {
    run::<Std>();
}
