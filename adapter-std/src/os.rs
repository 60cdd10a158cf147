//! What `wait` has of the operating system; its models (`tests/models.rs`) give it loom's instead.

use std::io;

pub(crate) use rustix::event::{PollFd, PollFlags, Timespec, poll};
pub(crate) use std::fs::File;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub(crate) use std::thread::{self, Thread};

/// What can be read from once the other has been written to, eight bytes at a time: one eventfd, which costs less than a pipe.
#[cfg(target_os = "linux")]
pub(crate) fn bell() -> io::Result<(File, File)> {
    use rustix::event::{EventfdFlags, eventfd};

    let event = File::from(eventfd(0, EventfdFlags::CLOEXEC)?);
    Ok((event.try_clone()?, event))
}

/// What can be read from once the other has been written to.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bell() -> io::Result<(File, File)> {
    use std::os::fd::OwnedFd;

    let (hears, rings) = io::pipe()?;
    Ok((OwnedFd::from(hears).into(), OwnedFd::from(rings).into()))
}
