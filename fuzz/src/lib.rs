//! What is fuzzed: one function a target, from bytes to a verdict that is a panic or nothing.
//!
//! `fuzz/run` hands them to libFuzzer; `fuzz/tests/replay.rs` replays the committed corpora on every test run.

mod connection;
mod filter;
mod formats;
mod pattern;
mod recovery;
mod subscription;

pub use connection::{connection, handshake};
pub use filter::filter;
pub use formats::{batch, compressed, frame, inflow, message};
pub use pattern::pattern;
pub use recovery::recovery;
pub use subscription::subscription;

/// A target: its name, which is its corpus' folder too, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("frame", frame),
    ("message", message),
    ("batch", batch),
    ("compressed", compressed),
    ("inflow", inflow),
    ("connection", connection),
    ("handshake", handshake),
    ("subscription", subscription),
    ("recovery", recovery),
    ("filter", filter),
    ("pattern", pattern),
];

/// An input read as a list of operations: numbers and byte strings, zeros where it is at its end.
#[derive(Debug)]
pub(crate) struct Operations<'a> {
    rest: &'a [u8],
}

impl<'a> Operations<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Operations<'a> {
        Operations { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    pub(crate) fn long(&mut self) -> u64 {
        (0..8).fold(0, |long, index| long | u64::from(self.byte()) << (8 * index))
    }

    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
