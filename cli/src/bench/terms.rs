//! What all roles have in common: what they are told, how they speak with who started them, what they take.

use std::io::{BufRead, Write};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::{clock, vitals};
use crate::args;

/// Who sends as fast as it can looks at the clock once in so many records.
pub(super) const LOOK_AT_CLOCK: u64 = 256;

/// Where channels are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// In this process, which keeps them in this directory and serves them.
    Own(String),
    /// At this node.
    At(Far),
}

/// A node that is called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Far {
    /// HOST:PORT.
    pub(super) addr: String,
    /// What it was started with.
    pub(super) token: Option<String>,
}

impl Far {
    /// One that asks for no token.
    pub(super) fn open(addr: String) -> Far {
        Far { addr, token: None }
    }

    pub(super) fn target(&self, channel: &str) -> String {
        format!("{}/{channel}", self.addr)
    }
}

/// How much is sent, how fast.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) seconds: f64,
    /// `None`: as fast as it goes.
    pub(super) per_second: Option<u64>,
}

impl Load {
    /// Records at the beginning of a paced one that do not count: a quarter of them.
    pub(super) fn warm_up(self) -> u64 {
        self.per_second.map_or(0, |rate| clock::moments(rate, self.seconds) / 4)
    }
}

/// One channel, and what is sent into it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sending {
    /// What both sides run on.
    pub(super) on: args::Runtime,
    pub(super) channel: String,
    pub(super) size: usize,
    pub(super) durability: String,
    /// How many different keys; 0 is none.
    pub(super) keys: u32,
}

/// Says a line.
pub(super) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Says where it can be reached.
pub(super) fn announce(addr: &str) -> Result<()> {
    say(addr)
}

/// Says where it can be reached, and waits for the word to begin.
pub(super) fn ready(addr: &str) -> Result<()> {
    announce(addr)?;
    word();
    Ok(())
}

/// Waits for the next word, or for the end of its input.
pub(super) fn word() {
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// What this process takes from now on.
pub(super) struct Meter(f64);

impl Meter {
    pub(super) fn start() -> Meter {
        Meter(clock::processor_seconds())
    }

    pub(super) fn figures(&self) -> Figures {
        let figures = Figures::default().with("cpu_s", clock::processor_seconds() - self.0);
        match vitals::peak_mib(std::process::id()) {
            Some(peak) => figures.with("peak_mib", peak),
            None => figures,
        }
    }
}
