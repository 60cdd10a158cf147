//! `netchan recv PATTERN`: the records of all channels whose names match, one behind the other.
//!
//! The order of things is that of [`crate::recv`]: records are gathered while more are there, written when none is, and only
//! what was written moves the positions.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netchan::{
    ChannelName, ChannelPositions, Error, Event, Node, Offset, PatternReceiver, Position, Received, Start,
    Tokio, parse_pattern,
};
use tokio::time::Instant;

use crate::advice::was_closed;
use crate::amounts::counted;
use crate::args::{self, OnFailure};
use crate::exec::{Exec, Manners, Settled};
use crate::exit::Exit;
use crate::folder::Folder;
use crate::output::{Form, Output, OutputClosed, is_closed_output, output_closed, stdout};
use crate::patience::{Patience, Silence, no_answer};
use crate::position::{KeptMany, PositionFile, Written, open_output_at};
use crate::shown::Shown;
use crate::status::Status;
use crate::stop::Stop;
use crate::{home, news, via, when};

/// How long the node, if this was it, takes leave of others.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: args::Recv, status: Status) -> Result<Exit> {
    let (remote, pattern) = parse_pattern(&args.target)?;
    refuse_what_is_for_one(&args, remote.is_some())?;
    let file = args.position.as_deref().map(PositionFile::new);
    let kept = file.as_ref().map(|file| file.load_many(pattern.as_str())).transpose()?.flatten();
    let stdout = stdout()?;
    if args.output.is_none() && was_closed(&stdout) {
        bail!("stdout is closed, so that records would be lost: give it a file, a pipe, or --output");
    }
    let (sink, length) = Sink::open(&args, kept.as_ref(), &stdout)?;
    let mut stop = Stop::listen()?;
    let watched = args.output.is_none().then(|| stdout.try_clone()).transpose()?;
    let mut closed = pin!(output_closed(watched)?);

    let node = match (&args.via, remote) {
        (Some(_), _) => home::via().await?,
        (None, Some(_)) => args.home.away()?.start().await?,
        (None, None) => args.home.here(true)?.start().await?,
    };
    let is_here = args.via.is_none() && !args.target.contains(':');
    let names = (args.target.clone(), pattern.to_string());
    let patience =
        Patience::of(names, args.wait, args.via.is_some() || args.no_follow, !args.no_follow).here(is_here);
    let waits = args.wait.is_some() || !args.no_follow;
    let is_guest = is_here && !node.is_holder();
    let mut silence = Silence::new((is_guest && waits).then(|| args.home.data_dir()).transpose()?);
    let positions = kept.as_ref().map(|kept| kept.positions.clone());
    let receiver = {
        let mut opening = pin!(open(&node, &args, positions));
        let mut no_answer = pin!(no_answer(&args.target, args.wait));
        loop {
            tokio::select! {
                receiver = &mut opening => break receiver?,
                error = &mut no_answer => return Err(error),
                exit = stop.wait() => return Ok(exit),
                () = &mut closed => return Ok(Exit::Done),
                () = silence.lasts() => silence.tell(status),
            }
        }
    };
    let keeper = file.map(|file| Keeper { file, pattern: pattern.to_string(), length, last: kept });
    let mut receiving = Receiving {
        receiver,
        sink,
        keeper,
        left: args.count,
        undone: None,
        on_failure: args.on_failure.unwrap_or_default(),
        stdout,
        exit: Exit::Done,
        ended: None,
        given: 0,
        stop,
        patience,
        silence,
        status,
        target: args.target.clone(),
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

/// What makes no sense of several channels, or would mix what belongs apart.
fn refuse_what_is_for_one(args: &args::Recv, is_remote: bool) -> Result<()> {
    if args.via.is_some() && is_remote {
        bail!("--via reaches the channels of the machine the command runs on: give only the PATTERN");
    }
    if args.files {
        bail!(
            "--files takes the records of one channel: give its NAME, or have a file for each channel, without --files"
        );
    }
    let is_mixed = args.exec.is_none() && args.folder().is_none();
    if args.ending.bytes().is_empty() && args.format.is_none() && is_mixed {
        bail!(
            "with nothing between them nobody could tell which bytes are of which channel: say --json, a --format or \
             another --delimiter"
        );
    }
    Ok(())
}

async fn open(
    node: &Node,
    args: &args::Recv,
    positions: Option<ChannelPositions>,
) -> Result<PatternReceiver<Tokio>, Error> {
    let mut builder = node
        .receiver_of(&args.target)
        .from(args.start.place().unwrap_or(Start::Latest))
        .follow(!args.no_follow);
    if !args.partitions.is_empty() {
        builder = builder.partitions(args.partitions.iter().copied());
    }
    if let Some(positions) = positions {
        builder = builder.resume(positions);
    }
    if let Some(until) = args.until {
        builder = builder.until(until.at(when::now()));
    }
    if let Some(window) = args.merge {
        builder = builder.merge_by_time(window);
    }
    if let Some(filter) = &args.filter {
        builder = builder.filter(filter.text());
    }
    if let Some(command) = args.via.clone() {
        builder = builder.connect_with(move || via::run(command.clone()));
    }
    builder.open().await
}

/// Writes positions.
struct Keeper {
    file: PositionFile,
    pattern: String,
    /// With `--output`: its length at the start.
    length: Option<u64>,
    last: Option<KeptMany>,
}

impl Keeper {
    /// Before the first record goes into an output it is kept how long that was.
    fn begin(&mut self, positions: impl FnOnce() -> ChannelPositions) -> Result<()> {
        if self.last.is_none() && self.length.is_some() {
            self.keep(positions(), &Out::default())?;
        }
        Ok(())
    }

    /// Whether it is kept where this channel stands, and so how long its file is.
    fn knows(&self, channel: &ChannelName) -> bool {
        self.last.as_ref().is_some_and(|last| last.positions.get(channel).is_some())
    }

    /// All that was received up to these positions is in the output.
    fn keep(&mut self, positions: ChannelPositions, out: &Out) -> Result<()> {
        let length = self.length.map(|length| length + out.written);
        let (pattern, files) = (self.pattern.clone(), out.files.clone());
        let kept = KeptMany { pattern, positions, unterminated: out.unterminated, length, files };
        if self.last.as_ref() != Some(&kept) {
            self.file.save_many(&kept)?;
            self.last = Some(kept);
        }
        Ok(())
    }
}

/// What went out.
#[derive(Default)]
struct Out {
    unterminated: bool,
    written: u64,
    files: BTreeMap<ChannelName, Written>,
}

/// What can happen next.
enum Next {
    Record(Result<Option<Received>, Error>),
    Event(Event),
}

/// Channels being received.
struct Receiving {
    receiver: PatternReceiver<Tokio>,
    sink: Sink,
    keeper: Option<Keeper>,
    /// How many records are still wanted; `None`: all.
    left: Option<u64>,
    /// The record whose command has not ended well.
    undone: Option<(ChannelName, Offset)>,
    on_failure: OnFailure,
    stdout: OwnedFd,
    exit: Exit,
    /// What ended one channel, or all.
    ended: Option<Error>,
    given: u64,
    stop: Stop,
    patience: Patience,
    silence: Silence,
    status: Status,
    target: String,
}

impl Receiving {
    async fn all(&mut self, mut closed: Pin<&mut impl Future<Output = ()>>) -> Result<()> {
        while self.left != Some(0) {
            let Some(next) = self.next(&mut closed).await? else { break };
            match next {
                Next::Record(Ok(Some(received))) if matches!(self.sink, Sink::Exec(_)) => {
                    self.execute(&received).await?;
                }
                Next::Record(Ok(Some(received))) => self.take(&received)?,
                Next::Record(Ok(None)) => break,
                Next::Record(Err(error)) => self.trouble(error)?,
                Next::Event(event) => self.tell(&event),
            }
        }
        self.write()
    }

    /// What is there, or else what comes; then all that was there has been written. `None`: to be stopped.
    async fn next(&mut self, closed: &mut Pin<&mut impl Future<Output = ()>>) -> Result<Option<Next>> {
        let receiver = &mut self.receiver;
        let ready = poll_fn(|cx| Poll::Ready(receiver.poll_recv(cx))).await;
        if let Some(error) = self.ended.take() {
            if matches!(ready, Poll::Ready(Ok(None))) {
                return Err(error.into());
            }
            self.status.warn_often("ended", error);
            self.exit = self.exit.max(Exit::Error);
        }
        if let Poll::Ready(record) = ready {
            return Ok(Some(Next::Record(record)));
        }
        self.write()?;
        let receiver = &mut self.receiver;
        let next = poll_fn(|cx| {
            if let Poll::Ready(Some(event)) = receiver.poll_event(cx) {
                return Poll::Ready(Next::Event(event));
            }
            receiver.poll_recv(cx).map(Next::Record)
        });
        let mut next = pin!(next);
        loop {
            tokio::select! {
                biased;
                exit = self.stop.wait() => {
                    self.exit = exit;
                    self.status.say(format_args!("stopped after {}", counted(self.given, "record")));
                    return Ok(None);
                }
                next = &mut next => return Ok(Some(next)),
                () = &mut *closed => return Err(OutputClosed.into()),
                error = self.patience.lost() => return Err(error),
                () = self.silence.lasts() => self.silence.tell(self.status),
            }
        }
    }

    fn take(&mut self, Received { channel, record }: &Received) -> Result<()> {
        if let Sink::Folder(folder) = &mut self.sink {
            let receiver = &self.receiver;
            folder.push(channel, record, || {
                receiver.position(channel).map(|position| Position { offset: record.offset, ..position })
            });
            let is_full = folder.is_full();
            self.done();
            return if is_full { self.write() } else { Ok(()) };
        }
        let Sink::Stream(output) = &self.sink else { return Ok(()) };
        if !output.has_room_for(record) {
            // the positions are behind this record already: they are kept when it is written too
            self.write_out()?;
        }
        if let Some(keeper) = &mut self.keeper {
            let (receiver, before) = (&self.receiver, record.offset);
            keeper.begin(|| {
                let mut positions = receiver.positions();
                if let Some(position) = positions.get(channel) {
                    positions.set(channel.clone(), Position { offset: before, ..position });
                }
                positions
            })?;
        }
        if let Sink::Stream(output) = &mut self.sink {
            output.is_of(channel);
            output.push(record);
        }
        self.done();
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        match &mut self.sink {
            Sink::Stream(output) if !output.is_empty() => output.write(),
            Sink::Folder(folder) if !folder.is_empty() => {
                let is_new = folder.prepare()?;
                let keeper = self.keeper.as_mut();
                if let Some(keeper) = keeper
                    .filter(|keeper| is_new || folder.waiting().any(|(channel, _)| !keeper.knows(channel)))
                {
                    // a file that is begun is known before something stands in it, or more of a channel that is made again
                    let mut positions = self.receiver.positions();
                    for (channel, before) in folder.waiting() {
                        before.map(|before| positions.set(channel.clone(), before));
                    }
                    keeper.keep(positions, &Out { files: folder.written(), ..Out::default() })?;
                }
                folder.write()
            }
            _ => Ok(()),
        }
    }

    /// Writes all that was given, and keeps where that is.
    fn write(&mut self) -> Result<()> {
        self.write_out()?;
        if self.keeper.is_none() {
            return Ok(());
        }
        let positions = self.positions();
        let out = match &self.sink {
            Sink::Stream(output) => {
                Out { unterminated: output.is_unterminated(), written: output.written(), ..Out::default() }
            }
            Sink::Folder(folder) => Out { files: folder.written(), ..Out::default() },
            Sink::Exec(_) => Out::default(),
        };
        self.keeper.as_mut().map_or(Ok(()), |keeper| keeper.keep(positions, &out))
    }

    fn tell(&mut self, event: &Event) {
        self.patience.see(event, Instant::now());
        let (status, target) = (self.status, &self.target);
        match event {
            Event::Connected { .. } => {
                self.patience.found();
                self.silence.is_broken();
                status.say_often("connected", format_args!("{target}: connected"));
            }
            Event::Lost { why, retry_in } => {
                status.say_often("lost", format_args!("{target}: {why}; again in {retry_in:.1?}"));
            }
            Event::Joined { channel, .. } => status.say_often("joined", format_args!("{channel} joins in")),
            Event::Unavailable { why, .. } => {
                status.warn_often("unavailable", format_args!("{why}; it is tried again"));
            }
            Event::Left { channel, is_deleted: true } => {
                status.say_often("deleted", format_args!("{channel} was deleted"));
            }
            Event::Left { channel, .. } => {
                status.say_often("left", format_args!("{channel} leaves"));
            }
            _ => {}
        }
    }

    /// Gaps and roll-backs are told, and so is what ends one channel or was too much; then it goes on. What ends all is the last
    /// that comes: it is known by that nothing comes behind it.
    fn trouble(&mut self, error: Error) -> Result<()> {
        self.write()?;
        match news::missing(error, self.status) {
            Ok(exit) => self.exit = self.exit.max(exit),
            Err(error) => self.ended = Some(error),
        }
        Ok(())
    }

    /// Runs the command for a record until that counts as received, or is not to.
    async fn execute(&mut self, Received { channel, record }: &Received) -> Result<()> {
        let Sink::Exec(exec) = &mut self.sink else { return Ok(()) };
        let target = channel.to_string();
        let (on_failure, status) = (self.on_failure, self.status);
        let manners = Manners { on_failure, target: &target, advice: String::new(), status };
        self.undone = Some((channel.clone(), record.offset));
        exec.is_of(channel);
        match exec.settle(record, manners, &mut self.stop, &self.stdout).await? {
            Settled::Well => {}
            Settled::Skipped => self.exit = self.exit.max(Exit::Command),
            Settled::Failed => {
                (self.exit, self.left) = (Exit::Command, Some(0));
                return Ok(());
            }
            Settled::Stopped(exit) => {
                self.stopped(exit);
                return Ok(());
            }
        }
        self.undone = None;
        self.done();
        self.write()?;
        if let (Some(exit), true) = (self.stop.asked(), self.left != Some(0)) {
            self.stopped(exit);
        }
        Ok(())
    }

    fn done(&mut self) {
        self.given += 1;
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
    }

    fn stopped(&mut self, exit: Exit) {
        (self.exit, self.left) = (exit, Some(0));
        self.status.say(format_args!("stopped after {}", counted(self.given, "record")));
    }

    /// Behind what is done with.
    fn positions(&self) -> ChannelPositions {
        let mut positions = self.receiver.positions();
        if let Some((channel, offset)) = &self.undone
            && let Some(position) = positions.get(channel)
        {
            positions.set(channel.clone(), Position { offset: *offset, ..position });
        }
        positions
    }
}

/// Where records go.
enum Sink {
    /// One behind the other.
    Stream(Output),
    /// Into a file for each channel.
    Folder(Folder),
    /// A command each.
    Exec(Exec),
}

impl Sink {
    /// And how long the output was, if that is one file.
    fn open(args: &args::Recv, kept: Option<&KeptMany>, stdout: &OwnedFd) -> Result<(Sink, Option<u64>)> {
        let form = |shown| Form::new(args.style(), args.ending.bytes(), shown);
        let unterminated = kept.is_some_and(|kept| kept.unterminated);
        if let Some(command) = &args.exec {
            let exec = Exec::new(command.clone(), ChannelName::new("none")?, form(Shown::AsIs));
            return Ok((Sink::Exec(exec), None));
        }
        if let Some(dir) = args.folder() {
            let none = BTreeMap::new();
            let files = kept.map_or(&none, |kept| &kept.files);
            return Ok((Sink::Folder(Folder::open(dir, form(Shown::AsIs), files)?), None));
        }
        let (sink, length, shown) = match &args.output {
            Some(path) => {
                let (file, length) = open_output_at(path, kept.map(|kept| kept.length))?;
                (file, Some(length), Shown::AsIs)
            }
            None => {
                let shown = if stdout.is_terminal() && !args.raw { Shown::Safely } else { Shown::AsIs };
                let stdout = stdout.try_clone().context("stdout cannot be written")?;
                (File::from(stdout), None, shown)
            }
        };
        Ok((Sink::Stream(Output::new(sink, form(shown), unterminated)), length))
    }
}
