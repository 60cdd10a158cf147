//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends at once.

use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;

/// How long a clean stop may take, for instance while nobody reads our output.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells when the program is to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Exit>>);

impl Stop {
    /// Listens to the signals from now on.
    pub(crate) fn listen() -> Result<Stop> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            let mut either = async || {
                tokio::select! {
                    _ = interrupt.recv() => Exit::Interrupted,
                    _ = terminate.recv() => Exit::Terminated,
                }
            };
            let exit = either().await;
            tell.send_replace(Some(exit));
            let _ = tokio::time::timeout(PATIENCE, either()).await;
            std::process::exit(exit as i32);
        });
        Ok(Stop(told))
    }

    /// The exit code, if a stop was asked for.
    pub(crate) fn asked(&self) -> Option<Exit> {
        *self.0.borrow()
    }

    /// Ready when a stop is asked for, with the exit code for it. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Exit {
        match self.0.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(Exit::Interrupted),
            // nobody listens to signals any more
            Err(_) => std::future::pending().await,
        }
    }
}
