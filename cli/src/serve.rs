//! `netchan serve`: the machine's node, while nobody sends.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use netchan::{Error, ErrorKind, Side};
use tokio::io::{copy_bidirectional, join, stdin, stdout};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::args;
use crate::exit::Exit;
use crate::home;
use crate::metrics;
use crate::status::Status;
use crate::stop::Stop;

/// How often it looks whether the directory is free.
const LOOK: Duration = Duration::from_millis(100);
/// How often a directory is tried whose holder is just going, or coming.
const TRIES: u32 = 50;
/// How long peers may take to let go when the node ends.
const FAREWELL: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: args::Serve, status: Status) -> Result<Exit> {
    if args.stdio {
        return stdio(&args).await;
    }
    let mut stop = Stop::listen()?;
    let metrics = metrics::Place::take(&args.listen).await?;
    let mut told = false;
    let node = loop {
        match home::start_with(&args.home, &args.listen, false, &args.grant).await {
            Ok(node) => break node,
            Err(error) if is_locked(&error) => {
                if !std::mem::replace(&mut told, true) {
                    status.warn("another program is this machine's node; taking its place when it ends");
                }
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = stop.wait() => return Ok(Exit::Done),
        }
    };
    let _metrics = metrics.tell(&node, status);
    let dir = args.home.data_dir()?;
    match node.local_addr() {
        Some(addr) => status.warn(format_args!("serving {} on {addr}", dir.display())),
        None => status.warn(format_args!("serving {} to this machine", dir.display())),
    }
    stop.wait().await;
    status.say("stopping");
    node.shutdown(FAREWELL).await?;
    Ok(Exit::Done)
}

fn is_locked(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::Locked)
}

/// Serves one peer over stdin and stdout: from the directory, or through the node that has it.
async fn stdio(args: &args::Serve) -> Result<Exit> {
    let home = args::Home { token: None, token_file: None, ..args.home.clone() };
    let socket = home.data_dir()?.join("socket");
    for _ in 0..TRIES {
        match home.here(false)?.start().await {
            Ok(node) => {
                node.serve_stream(join(stdin(), stdout()), Side::Listener).await?;
                node.shutdown(FAREWELL).await?;
                return Ok(Exit::Done);
            }
            Err(error) if error.kind() != ErrorKind::Locked => return Err(error.into()),
            Err(_) => {}
        }
        if let Ok(mut node) = UnixStream::connect(&socket).await {
            let done = copy_bidirectional(&mut join(stdin(), stdout()), &mut node).await;
            done.context("the way to this machine's node broke")?;
            return Ok(Exit::Done);
        }
        sleep(LOOK).await;
    }
    bail!("another program holds {}, and cannot be reached by its socket", home.data_dir()?.display())
}
