//! Cancel safety: each function of the handles that gives a future has it dropped, at each of its await points, in random
//! schedules over real sockets; what is received then is what was sent, as their documentation says.
//!
//! `NETCHAN_CANCELS` is how many schedules there are (a slice by default), `NETCHAN_CANCELS_FROM` the first one's seed.
#![allow(clippy::unwrap_used)]

mod cursors;
mod cut;
mod kept;
mod life;
mod listed;
mod many;
mod parts;
mod play;
mod runtimes;
mod values;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use netchan_node::words::{Durability, ErrorKind, Offset, Start};
use netchan_smol::Smol;
use netchan_std::Std;
use netchan_suite::{Pair, payload};
use netchan_tokio::Tokio;

use cut::Counts;
use play::Scene;
use runtimes::Awaited;

/// Schedules of a test without an environment that says more.
const SLICE: u64 = 60;
/// So many that chance misses nothing.
const MANY: u64 = 2000;
/// Schedules that are under way at a time.
const AT_A_TIME: u64 = 3;
/// One schedule of so many is about the life of a node as a whole, one is of values, one of many channels, one of
/// partitions, and one of how a channel is kept.
const LIVES: u64 = 8;

/// Each function whose future is dropped.
const DROPPED: &[&str] = &[
    "Handle::change",
    "Handle::channels",
    "Handle::create",
    "Handle::cursors",
    "Handle::delete",
    "Handle::delete_cursor",
    "Handle::dial",
    "Handle::info",
    "Handle::own_status",
    "Handle::readers",
    "Handle::seal",
    "Handle::serve_stream",
    "Handle::set_cursor",
    "Handle::settings",
    "Handle::shutdown",
    "Handle::status",
    "Handle::truncate",
    "NodeBuilder::start",
    "PartitionedBuilder::open",
    "PartitionedSender::close",
    "PartitionedSender::flush",
    "PartitionedSender::seal",
    "PartitionedSender::send",
    "PartitionedSender::send_to_partition",
    "PatternBuilder::open",
    "PatternReceiver::next_event",
    "PatternReceiver::recv",
    "Publisher::close",
    "Publisher::flush",
    "Publisher::info",
    "Publisher::producer",
    "Publisher::seal",
    "Receiver::commit",
    "Receiver::next_event",
    "Receiver::recv",
    "Receiver::recv_batch",
    "ReceiverBuilder::open",
    "Sender::close",
    "Sender::done",
    "Sender::flush",
    "Sender::info",
    "Sender::next_event",
    "Sender::note",
    "Sender::producer",
    "Sender::seal",
    "Sender::send",
    "Sender::send_batch",
    "Sender::send_to",
    "Sender::wait_until_ready",
    "SenderBuilder::open",
    "Sent::durable",
    "Sent::written",
    "Typed::recv",
    "Typed::recv_batch",
    "Typed::send",
    "Typed::send_batch",
    "Typed::send_to",
    "Typed::send_with",
    "TypedBuilder::open",
    "TypedPatternReceiver::recv",
    "promise",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

fn run<A: Awaited>() {
    let schedules = number("NETCHAN_CANCELS").unwrap_or(SLICE);
    let first = number("NETCHAN_CANCELS_FROM").unwrap_or(0);
    let counts = Counts::default();
    thread::scope(|scope| {
        for worker in 0..AT_A_TIME {
            let counts = &counts;
            scope.spawn(move || {
                let scene = Scene::<A>::new(counts);
                for seed in (first..first + schedules).filter(|seed| seed % AT_A_TIME == worker) {
                    let _told = Told(seed);
                    match seed % LIVES {
                        0 => A::block_on(life::live(&scene, seed)),
                        1 => A::block_on(values::exchange(&scene, seed)),
                        2 => A::block_on(many::gather(&scene, seed)),
                        3 => A::block_on(parts::split(&scene, seed)),
                        4 => A::block_on(kept::keep(&scene, seed)),
                        _ => A::block_on(play::play(&scene, seed)),
                    }
                }
            });
        }
    });
    println!("{schedules} schedules; dropped after so many polls:");
    let counts = counts.by_name();
    for (name, count) in &counts {
        let dropped: u64 = count.dropped.values().sum();
        let few: Vec<String> =
            count.dropped.iter().take(8).map(|(polls, count)| format!("{polls}: {count}")).collect();
        let most = count.dropped.keys().next_back().unwrap_or(&0);
        println!("{name:22} ready {:7}, dropped {dropped:7} ({}, .. {most})", count.ready, few.join(", "));
    }
    if schedules < SLICE {
        return;
    }
    for name in DROPPED {
        let count = counts.get(name).unwrap_or_else(|| panic!("{name} was never called"));
        // What is ready when it is polled first can only be dropped before that; and in a slice, chance may have missed one.
        let is_dropped = count.dropped.keys().any(|polls| *polls > 0 || *name == "Sender::note");
        assert!(is_dropped || schedules < MANY, "{name} was never dropped while it waited");
    }
}

/// Says which schedule it was, if that fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was schedule {}: NETCHAN_CANCELS=1 NETCHAN_CANCELS_FROM={}", self.0, self.0);
        }
    }
}

#[test]
fn what_tokio_drops_is_neither_lost_nor_doubled() {
    run::<Tokio>();
}

#[test]
fn what_smol_drops_is_neither_lost_nor_doubled() {
    run::<Smol>();
}

/// Plain threads drop no futures: they give up waiting, at any moment.
#[test]
fn what_plain_threads_give_up_waiting_for_is_neither_lost_nor_doubled() {
    let give_ups = number("NETCHAN_CANCELS").unwrap_or(SLICE) * 10;
    let pair = Pair::<Std, Std>::start();
    let sender = pair.here.sender("ticks").durability(Durability::Os).open().unwrap();
    let target = pair.target("ticks");
    let mut receiver = pair.there.receiver(target).from(Start::Earliest).window(64 << 10).open().unwrap();
    let is_enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0u64;
            while !is_enough.load(Ordering::Relaxed) {
                for _ in 0..3 {
                    sender.send(payload(sent)).unwrap();
                    sent += 1;
                }
                thread::yield_now();
            }
            sender.seal().unwrap();
            sent
        });
        let (mut dice, mut given_up, mut received) = (fastrand::Rng::with_seed(1), 0, 0);
        loop {
            let got = match dice.u8(..3) {
                0 => receiver.try_recv(),
                _ => receiver.recv_timeout(Duration::from_micros(dice.u64(..100))),
            };
            match got {
                Ok(Some(record)) => {
                    assert_eq!(record.offset, Offset(received));
                    assert!(record.payload == payload(received));
                    received += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    given_up += 1;
                }
            }
            is_enough.fetch_or(given_up >= give_ups, Ordering::Relaxed);
        }
        assert_eq!(sending.join().unwrap(), received);
    });
}

#[test]
fn what_has_begun_is_dropped_on_a_thread_of_no_runtime() {
    life::dropped_elsewhere::<Tokio>();
    life::dropped_elsewhere::<Smol>();
}

#[test]
fn each_function_that_gives_a_future_is_dropped_and_says_what_happens_then() {
    listed::hold_to(DROPPED);
}
