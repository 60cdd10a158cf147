//! What `wait` has of the operating system; its models (`tests/models.rs`) give it loom's instead.

pub(crate) use rustix::event::{PollFd, PollFlags, Timespec, poll};
pub(crate) use std::io::{PipeReader, PipeWriter, pipe};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub(crate) use std::thread::{self, Thread};
