//! `netchan recv`: a channel's records to stdout or into a file.
//!
//! Owns the order of things: records are gathered while more are there, written when none is, and only what was
//! written moves the position. Form and position are [`crate::output`]'s and [`crate::position`]'s.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netchan::{Error, ErrorKind, Event, Node, Offset, Position, Receiver, Record, Start, Target};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

use crate::args::{self, From};
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::position::{Kept, PositionFile, open_output};
use crate::status::Status;
use crate::stop::Stop;
use crate::when::{self, When};
use crate::{home, news, via};

/// How long the node, if this was it, takes leave of others.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: args::Recv, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    if args.via.is_some() && target.remote.is_some() {
        bail!("--via reaches the channels of the machine the command runs on: give only the NAME");
    }
    let name = target.name.to_string();
    let file = args.position.as_deref().map(PositionFile::new);
    let kept = file.as_ref().map(|file| file.load(&name)).transpose()?.flatten();
    let (sink, length) = match &args.output {
        Some(path) => open_output(path, kept.as_ref()).map(|(sink, length)| (sink, Some(length)))?,
        None => (File::from(stdout()?), None),
    };
    let style = if args.json { Style::Json } else { Style::Raw(args.cutting.bytes()) };
    let output = Output::new(sink, style, kept.as_ref().is_some_and(|kept| kept.unterminated));
    let mut stop = Stop::listen()?;
    let mut closed = pin!(output_closed(args.output.is_none())?);

    let node = match &args.via {
        Some(_) => home::via().await?,
        None => args.home.reach(&target).await?,
    };
    let receiver = tokio::select! {
        receiver = open(&node, &args, &target, kept.as_ref()) => receiver?,
        exit = stop.wait() => return Ok(exit),
        () = &mut closed => return Ok(Exit::Done),
    };
    let keeper = file.map(|file| Keeper { file, name, length, position: None, last: kept });
    let mut receiving = Receiving {
        receiver,
        output,
        keeper,
        left: args.count,
        exit: Exit::Done,
        given: 0,
        stop,
        status,
        target,
    };
    let ended = match receiving.all(closed).await {
        Err(error) if is_closed_output(&error) => Ok(()),
        ended => ended,
    };
    let exit = receiving.exit;
    drop(receiving);
    node.shutdown(FAREWELL).await?;
    ended.map(|()| exit)
}

async fn open(node: &Node, args: &args::Recv, target: &Target, kept: Option<&Kept>) -> Result<Receiver> {
    let start = match (kept, &args.start) {
        (Some(kept), _) => Start::Resume(kept.position),
        (_, args::Start { from: Some(From::Earliest), .. }) => Start::Earliest,
        (_, args::Start { from: Some(From::Offset(offset)), .. }) => Start::Offset(Offset(*offset)),
        (_, args::Start { since: Some(When::Ago(ago)), .. }) => Start::Ago(*ago),
        (_, args::Start { since: Some(When::At(time)), .. }) => Start::Time(*time),
        (_, args::Start { last: Some(count), .. }) => Start::Last(*count),
        _ => Start::Latest,
    };
    let mut builder =
        node.receiver(target.to_string()).from(start).follow(!args.no_follow).wait(!args.no_follow);
    if let Some(until) = args.until {
        builder = builder.until(until.at(when::now()));
    }
    if let Some(command) = args.via.clone() {
        builder = builder.connect_with(move || via::run(command.clone()));
    }
    Ok(builder.open().await?)
}

/// stdout without the standard library's line buffer.
fn stdout() -> Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned().context("stdout cannot be written")
}

/// Ready when nobody reads stdout any more: `recv | head -1` ends without waiting for another record.
fn output_closed(watch: bool) -> Result<impl Future<Output = ()>> {
    let (tell, told) = oneshot::channel::<()>();
    if watch {
        let stdout = stdout()?;
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            loop {
                match poll(&mut watched, None) {
                    Err(rustix::io::Errno::INTR) => {}
                    Ok(_) if watched[0].revents().contains(PollFlags::ERR) => {
                        let _ = tell.send(());
                        break;
                    }
                    // nothing to watch (a file), or a terminal that hung up: the next write will tell
                    _ => break,
                }
            }
        })?;
    }
    Ok(async move {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Nobody wants more output.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
struct OutputClosed;

fn is_closed_output(error: &anyhow::Error) -> bool {
    error.is::<OutputClosed>()
}

/// Writes positions.
struct Keeper {
    file: PositionFile,
    name: String,
    /// With `--output`: its length at the start.
    length: Option<u64>,
    /// Behind what is in the output.
    position: Option<Position>,
    last: Option<Kept>,
}

impl Keeper {
    /// All that is in the output has been written.
    fn keep(&mut self, output: &Output) -> Result<()> {
        let Some(position) = self.position else { return Ok(()) };
        let kept = Kept {
            channel: self.name.clone(),
            position,
            unterminated: output.is_unterminated(),
            length: self.length.map(|length| length + output.written()),
        };
        if self.last.as_ref() != Some(&kept) {
            self.file.save(&kept)?;
            self.last = Some(kept);
        }
        Ok(())
    }
}

/// What can happen next.
enum Next {
    Record(Result<Option<Record>, Error>),
    Event(Event),
}

/// A channel being received.
struct Receiving {
    receiver: Receiver,
    output: Output,
    keeper: Option<Keeper>,
    /// How many records are still wanted; `None`: all.
    left: Option<u64>,
    exit: Exit,
    given: u64,
    stop: Stop,
    status: Status,
    target: Target,
}

impl Receiving {
    async fn all(&mut self, mut closed: std::pin::Pin<&mut impl Future<Output = ()>>) -> Result<()> {
        while self.left != Some(0) {
            let Some(next) = self.next(&mut closed).await? else { break };
            match next {
                Next::Record(Ok(Some(record))) => self.take(&record)?,
                Next::Record(Ok(None)) => break,
                Next::Record(Err(error)) => self.trouble(error)?,
                Next::Event(event) => news::tell(&event, &self.target, self.status),
            }
        }
        self.write()
    }

    /// What is there, or else what comes; then all that was there has been written. `None`: to be stopped.
    async fn next(
        &mut self,
        closed: &mut std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<Next>> {
        let receiver = &mut self.receiver;
        let ready = poll_fn(|cx| Poll::Ready(receiver.poll_recv(cx))).await;
        if let Poll::Ready(record) = ready {
            return Ok(Some(Next::Record(record)));
        }
        self.moved();
        self.write()?;
        let receiver = &mut self.receiver;
        let next = poll_fn(|cx| {
            if let Poll::Ready(Some(event)) = receiver.poll_event(cx) {
                return Poll::Ready(Next::Event(event));
            }
            receiver.poll_recv(cx).map(Next::Record)
        });
        tokio::select! {
            biased;
            exit = self.stop.wait() => Ok(self.stopped(exit)),
            next = next => Ok(Some(next)),
            () = closed => Err(OutputClosed.into()),
        }
    }

    fn take(&mut self, record: &Record) -> Result<()> {
        if !self.output.has_room_for(record) {
            self.write()?;
            if let Some(exit) = self.stop.asked() {
                self.stopped(exit);
                self.left = Some(0);
                return Ok(());
            }
        }
        self.output.push(record);
        self.moved();
        self.given += 1;
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(())
    }

    /// What the receiver has given is in the output, or there was nothing to give.
    fn moved(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.position = self.receiver.position();
        }
    }

    fn write(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.output.write().map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => anyhow::Error::new(OutputClosed),
                _ => anyhow::Error::new(error).context("the output cannot be written"),
            })?;
        }
        match &mut self.keeper {
            Some(keeper) => keeper.keep(&self.output),
            None => Ok(()),
        }
    }

    fn stopped(&mut self, exit: Exit) -> Option<Next> {
        self.exit = exit;
        match self.receiver.position() {
            Some(position) => self.status.say(format_args!(
                "stopped after {} records; go on with --from {}",
                self.given, position.offset
            )),
            None => self.status.say("stopped before anything was received"),
        }
        None
    }

    /// Gaps and roll-backs are told, and it goes on; anything else ends it, after what came before.
    fn trouble(&mut self, error: Error) -> Result<()> {
        let (kind, exit) = match error.kind() {
            ErrorKind::Gap { .. } => ("gap", Exit::Gap),
            ErrorKind::Truncated { .. } => ("truncated", Exit::Truncated),
            _ => {
                self.write()?;
                return Err(error.into());
            }
        };
        self.write()?;
        self.status.warn_often(kind, error);
        self.exit = self.exit.max(exit);
        Ok(())
    }
}
