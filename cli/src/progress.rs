//! How far long work is, on the terminal of a person who watches.
//!
//! Owns the one bar there can be, and that other lines on stderr stand above it instead of in it. Without a terminal there
//! is none, and nothing is drawn in the first half second: what is over by then was not long.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is shorter shows no bar.
const LONG: Duration = Duration::from_millis(500);

static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Records,
}

/// How far something is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// `None`: nobody watches.
    bar: Option<ProgressBar>,
    begins: Instant,
    drawn: bool,
}

impl Progress {
    /// Of work that nobody watches.
    pub(crate) fn none() -> Progress {
        Progress { bar: None, begins: Instant::now(), drawn: false }
    }

    /// Of `all` units, or of nobody knows how many.
    pub(crate) fn of(all: Option<u64>, unit: Unit) -> Progress {
        let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template(all.is_some(), unit)) {
            bar.set_style(style);
        }
        Progress { bar: Some(bar), begins: Instant::now() + LONG, drawn: false }
    }

    /// So many are done.
    pub(crate) fn set(&mut self, done: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(done);
        if !self.drawn && Instant::now() >= self.begins {
            self.drawn = true;
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            *shown() = Some(bar.clone());
        }
    }

    /// So many more are done.
    pub(crate) fn add(&mut self, more: u64) {
        if let Some(bar) = &self.bar {
            self.set(bar.position() + more);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let (Some(bar), true) = (&self.bar, self.drawn) {
            *shown() = None;
            bar.finish_and_clear();
        }
    }
}

fn template(has_end: bool, unit: Unit) -> &'static str {
    match (has_end, unit) {
        (true, Unit::Bytes) => "{bar:30} {bytes}/{total_bytes}, {binary_bytes_per_sec}, {eta} left",
        (false, Unit::Bytes) => "{bytes}, {binary_bytes_per_sec}",
        (true, Unit::Records) => "{bar:30} {human_pos}/{human_len} records, {per_sec}, {eta} left",
        (false, Unit::Records) => "{human_pos} records, {per_sec}",
    }
}

fn shown() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets `write` write to stderr, where a bar may be.
pub(crate) fn beside(write: impl FnOnce()) {
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}
