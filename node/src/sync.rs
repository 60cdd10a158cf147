//! Locks and what says that there is news: the standard library's, or loom's where models are run.
//!
//! A model is a test, in a module `models` beside what it is of, of all orders in which its threads may meet: who waits for
//! a wake-up that does not come is found there. `.ci/loom` runs them.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

/// Runs a model: with at most so many threads taken off the processor in the midst of something.
#[cfg(all(test, loom))]
pub(crate) fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(run);
}
