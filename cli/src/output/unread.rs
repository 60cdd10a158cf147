//! Output that nobody reads any more: how that is noticed, and the error that says so.

use std::future::Future;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

/// Nobody wants more output.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
pub(crate) struct OutputClosed;

pub(crate) fn is_closed_output(error: &anyhow::Error) -> bool {
    error.is::<OutputClosed>()
}

/// Ready when nobody reads stdout any more: `recv | head -1` ends without waiting for another record.
pub(crate) fn output_closed(stdout: Option<OwnedFd>) -> Result<impl Future<Output = ()>> {
    let (tell, told) = oneshot::channel::<()>();
    if let Some(stdout) = stdout {
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            // or nothing to watch (a file), or a terminal that hung up: the next write will tell
            if is_unread(&stdout, None) {
                let _ = tell.send(());
            }
        })?;
    }
    Ok(async move {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Whether it is certain that nobody reads `output`, now or within `limit` (`None`: once something is known of it).
pub(crate) fn is_unread(output: &OwnedFd, limit: Option<&Timespec>) -> bool {
    let mut watched = [PollFd::new(output, PollFlags::empty())];
    loop {
        match poll(&mut watched, limit) {
            Err(rustix::io::Errno::INTR) => {}
            found => return found.is_ok() && watched[0].revents().contains(PollFlags::ERR),
        }
    }
}
