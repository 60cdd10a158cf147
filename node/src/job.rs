//! Blocking work that a machine hands to its driver.
//!
//! A job owns what it needs and posts its own answer, so a driver only has to find a thread that may block. A job
//! that is dropped instead of run, or that panics, answers too: the one who asked is told that it was not done.

use std::fmt;

/// Something to be done on a thread that may block on the disk.
#[must_use = "somebody waits for its answer: run it, or drop it to say that it will not be done"]
pub struct Job(Box<dyn FnOnce() + Send>);

impl Job {
    pub(crate) fn new(work: impl FnOnce() + Send + 'static) -> Job {
        Job(Box::new(work))
    }

    /// Does it, and wakes who asked for it. Blocks.
    pub fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job(..)")
    }
}
