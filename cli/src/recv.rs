//! `netchan recv`: a channel's records to stdout or into a file.
//!
//! Owns the order of things: records are gathered while more are there, written when none is, and only what was
//! written moves the position. Form and position are [`crate::output`]'s and [`crate::position`]'s.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netchan::{Error, ErrorKind, Event, Node, Offset, Pattern, Position, Receiver, Record, Start, Target};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::advice::was_closed;
use crate::amounts::counted;
use crate::args::{self, OnFailure};
use crate::commits::Commits;
use crate::exec::{Exec, Manners, Settled};
use crate::exit::Exit;
use crate::files::Files;
use crate::folder::Place;
use crate::news;
use crate::output::{Form, Output, OutputClosed, is_closed_output, output_closed, stdout};
use crate::patience::{Patience, Silence, no_answer};
use crate::position::{Kept, PositionFile, open_output};
use crate::progress::{Progress, Unit};
use crate::shown::Shown;
use crate::status::Status;
use crate::stop::Stop;
use crate::{home, many, via, when};

/// How long who watches may wait to be shown how much is to come.
const SOON: Duration = Duration::from_secs(1);
/// How long the node, if this was it, takes leave of others.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the last commit may take, and each one with --no-follow.
const UNTOLD: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: args::Recv, status: Status) -> Result<Exit> {
    if Pattern::is_meant(&args.target) {
        return many::run(args, status).await;
    }
    if !args.partitions.is_empty() || was_of_all(&args) {
        return many::run(partitions(args), status).await;
    }
    match one(args.clone(), status).await {
        // Told before anything is received.
        Err(error) if has_partitions(&error) && args.cursor.is_none() => {
            many::run(partitions(args), status).await
        }
        done => done,
    }
}

/// The same, of all partitions of the channel.
fn partitions(args: args::Recv) -> args::Recv {
    args::Recv { target: format!("{}@*", args.target), ..args }
}

/// Whether the position is one in all partitions, as an earlier run left it.
fn was_of_all(args: &args::Recv) -> bool {
    let Some(path) = args.position.as_deref() else { return false };
    let Ok(target) = args.target.parse::<Target>() else { return false };
    PositionFile::new(path).load_many(&format!("{}@*", target.name)).is_ok_and(|kept| kept.is_some())
}

fn has_partitions(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| matches!(error.kind(), ErrorKind::Partitioned { .. }))
}

async fn one(args: args::Recv, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    if args.via.is_some() && target.remote.is_some() {
        bail!("--via reaches the channels of the machine the command runs on: give only the NAME");
    }
    if args.merge.is_some() {
        bail!("--merge is for a PATTERN: the records of one channel are in their order anyway");
    }
    let name = target.name.to_string();
    let file = args.position.as_deref().map(PositionFile::new);
    let kept = file.as_ref().map(|file| file.load(&name)).transpose()?.flatten();
    let stdout = stdout()?;
    if args.output.is_none() && was_closed(&stdout) {
        bail!("stdout is closed, so that records would be lost: give it a file, a pipe, or --output");
    }
    let sink = Sink::open(&args, &target, kept.as_ref(), &stdout)?;
    let length = match &sink {
        Sink::Stream { length, .. } => *length,
        _ => None,
    };
    let mut stop = Stop::listen()?;
    let mut closed = pin!(output_closed(args.output.is_none().then_some(stdout.try_clone()?))?);

    let node = match &args.via {
        Some(_) => home::via().await?,
        None => args.home.reach(&target).await?,
    };
    let patience = Patience::new(&target, args.wait, args.via.is_some() || args.no_follow, !args.no_follow)
        .here(target.remote.is_none() && args.via.is_none());
    let is_guest = target.remote.is_none() && args.via.is_none() && !node.is_holder();
    // who is pressed is told by the error, soon enough
    let waits = args.wait.is_some() || !args.no_follow;
    let mut silence = Silence::new((is_guest && waits).then(|| args.home.data_dir()).transpose()?);
    let receiver = {
        let mut opening = pin!(open(&node, &args, &target, kept.as_ref()));
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
    let progress = progress(&node, &args, &receiver, &stdout, status).await;
    let keeper = file.map(|file| Keeper { file, name, length, position: None, last: kept });
    let mut receiving = Receiving {
        receiver,
        sink,
        keeper,
        left: args.count,
        exit: Exit::Done,
        given: 0,
        undone: None,
        on_failure: args.on_failure.unwrap_or_default(),
        stop,
        patience,
        silence,
        commits: args.cursor.as_ref().map(|_| Commits::new(args.commit_every)),
        patient_for: args.wait.or(args.no_follow.then_some(UNTOLD)),
        progress,
        status,
        target,
        stdout,
    };
    let ended = match receiving.all(closed).await {
        Err(error) if is_closed_output(&error) => Ok(()),
        ended => ended,
    };
    let ended = match (ended, receiving.commit_last().await) {
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    };
    let exit = receiving.exit;
    drop(receiving);
    node.shutdown(FAREWELL).await?;
    ended.map(|()| exit)
}

async fn open(node: &Node, args: &args::Recv, target: &Target, kept: Option<&Kept>) -> Result<Receiver> {
    let start = match kept {
        Some(kept) => Start::Resume(kept.position),
        None => args.start.place().unwrap_or(Start::Latest),
    };
    let mut builder = node.receiver(target.to_string()).from(start).follow(!args.no_follow).wait(waits(args));
    if let Some(until) = args.until {
        builder = builder.until(until.at(when::now()));
    }
    if let Some(filter) = &args.filter {
        builder = builder.filter(filter.text());
    }
    if let Some(cursor) = &args.cursor {
        builder = builder.cursor(cursor.as_str());
    }
    if let Some(command) = args.via.clone() {
        builder = builder.connect_with(move || via::run(command.clone()));
    }
    Ok(builder.open().await?)
}

/// Whether a channel that does not exist is waited for.
pub(crate) fn waits(args: &args::Recv) -> bool {
    args.wait.map_or(!args.no_follow, |wait| !wait.is_zero())
}

/// How far it will go, for who watches: where an end is known, and the records are not on the terminal anyway.
async fn progress(
    node: &Node,
    args: &args::Recv,
    receiver: &Receiver,
    stdout: &OwnedFd,
    status: Status,
) -> Progress {
    let is_seen = stdout.is_terminal() && (args.output.is_none() || args.exec.is_some());
    if !status.is_watched() || is_seen {
        return Progress::none();
    }
    let there = async {
        let info = timeout(SOON, node.info(&args.target)).await.ok()?.ok()?;
        let from = receiver.position()?.offset;
        Some(info.next.0.saturating_sub(from.0))
    };
    let there = if args.no_follow && args.via.is_none() { there.await } else { None };
    Progress::of(args.count.into_iter().chain(there).min(), Unit::Records)
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
    /// The record at `position` comes next. Before the first one goes into an output it is kept how long that was: whoever is
    /// killed between the output's first write and the position behind it finds where to cut.
    fn begin(&mut self, position: Position) -> Result<()> {
        if self.last.is_none() && self.length.is_some() {
            let (channel, length) = (self.name.clone(), self.length);
            let kept = Kept { channel, position, unterminated: false, length };
            self.file.save(&kept)?;
            self.last = Some(kept);
        }
        Ok(())
    }

    /// All that was given to the sink has arrived there.
    fn keep(&mut self, sink: &Sink) -> Result<()> {
        let Some(position) = self.position else { return Ok(()) };
        let (unterminated, written) = match sink {
            Sink::Stream { output, .. } => (output.is_unterminated(), output.written()),
            _ => (false, 0),
        };
        let kept = Kept {
            channel: self.name.clone(),
            position,
            unterminated,
            length: self.length.map(|length| length + written),
        };
        if self.last.as_ref() != Some(&kept) {
            self.file.save(&kept)?;
            self.last = Some(kept);
        }
        Ok(())
    }
}

/// Where records go.
enum Sink {
    /// One behind the other: to stdout, or into a file, which had this length.
    Stream { output: Output, length: Option<u64> },
    /// Into a file of the channel's name, which is not made before it is known that the channel is one, without partitions.
    Later { place: Place, form: Option<Form> },
    /// A file each.
    Files(Files),
    /// A command each.
    Exec(Exec),
}

impl Sink {
    fn open(args: &args::Recv, target: &Target, kept: Option<&Kept>, stdout: &OwnedFd) -> Result<Sink> {
        let form = |shown| Form::new(args.style(), args.ending.bytes(), shown).of(&target.name);
        let unterminated = kept.is_some_and(|kept| kept.unterminated);
        Ok(match (&args.exec, &args.output) {
            (Some(command), _) => {
                Sink::Exec(Exec::new(command.clone(), target.name.clone(), form(Shown::AsIs)))
            }
            (None, Some(path)) if args.files => Sink::Files(Files::open(path, form(Shown::AsIs))?),
            (None, Some(path)) => {
                let (file, length) = match (args.folder().map(Place::open).transpose()?, kept) {
                    (Some(place), None) => return Ok(Sink::Later { place, form: Some(form(Shown::AsIs)) }),
                    (Some(place), Some(kept)) => place.output(&target.name, kept)?,
                    (None, kept) => open_output(path, kept)?,
                };
                let output = Output::new(file, form(Shown::AsIs), unterminated);
                Sink::Stream { output, length: Some(length) }
            }
            (None, None) => {
                let shown = if stdout.is_terminal() && !args.raw { Shown::Safely } else { Shown::AsIs };
                let stdout = File::from(stdout.try_clone().context("stdout cannot be written")?);
                Sink::Stream { output: Output::new(stdout, form(shown), unterminated), length: None }
            }
        })
    }
}

/// What can happen next.
enum Next {
    Record(Result<Option<Record>, Error>),
    Event(Event),
    /// It is time to commit.
    Commit,
}

/// A channel being received.
struct Receiving {
    receiver: Receiver,
    sink: Sink,
    keeper: Option<Keeper>,
    /// How many records are still wanted; `None`: all.
    left: Option<u64>,
    exit: Exit,
    given: u64,
    /// The record at which to go on, if not the next: its command has not ended well.
    undone: Option<Offset>,
    on_failure: OnFailure,
    stop: Stop,
    patience: Patience,
    silence: Silence,
    commits: Option<Commits>,
    /// How long a commit may take, if that was said.
    patient_for: Option<Duration>,
    progress: Progress,
    status: Status,
    target: Target,
    stdout: OwnedFd,
}

impl Receiving {
    async fn all(&mut self, mut closed: std::pin::Pin<&mut impl Future<Output = ()>>) -> Result<()> {
        while self.left != Some(0) {
            let Some(next) = self.next(&mut closed).await? else { break };
            match next {
                Next::Record(Ok(Some(record))) if matches!(self.sink, Sink::Exec(_)) => {
                    self.execute(&record).await?;
                }
                Next::Record(Ok(Some(record))) => self.take(&record)?,
                Next::Record(Ok(None)) => break,
                Next::Record(Err(error)) => self.trouble(error)?,
                Next::Commit => self.commit().await?,
                Next::Event(event) => {
                    self.patience.see(&event, Instant::now());
                    self.silence.see(&event);
                    news::tell(&event, &self.target, self.status);
                }
            }
            if self.commits.as_mut().is_some_and(Commits::is_due) {
                self.commit().await?;
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
        let mut next = pin!(next);
        let due = self.commits.as_ref().map(Commits::due);
        let mut due = pin!(async move {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        });
        loop {
            tokio::select! {
                biased;
                exit = self.stop.wait() => return Ok(self.stopped(exit)),
                next = &mut next => return Ok(Some(next)),
                () = &mut *closed => return Err(OutputClosed.into()),
                () = &mut due => return Ok(Some(Next::Commit)),
                error = self.patience.lost() => return Err(error),
                () = self.silence.lasts() => self.silence.tell(self.status),
            }
        }
    }

    fn take(&mut self, record: &Record) -> Result<()> {
        let has_room = match &self.sink {
            Sink::Stream { output, .. } => output.has_room_for(record),
            Sink::Files(files) => !files.is_full(),
            Sink::Later { .. } | Sink::Exec(_) => true,
        };
        if !has_room {
            self.write()?;
            if let Some(exit) = self.stop.asked() {
                self.undone = Some(record.offset);
                self.stopped(exit);
                self.left = Some(0);
                return Ok(());
            }
        }
        self.open_now()?;
        if let (Some(keeper), Some(position)) = (&mut self.keeper, self.receiver.position()) {
            keeper.begin(Position { offset: record.offset, ..position })?;
        }
        match &mut self.sink {
            Sink::Stream { output, .. } => output.push(record),
            Sink::Files(files) => files.write(record)?,
            Sink::Later { .. } | Sink::Exec(_) => {}
        }
        self.done();
        Ok(())
    }

    /// There is a channel: what was not to be made before is made.
    fn open_now(&mut self) -> Result<()> {
        if let Sink::Later { place, form } = &mut self.sink
            && let Some(form) = form.take()
        {
            let (file, length) = place.begin(&self.target.name)?;
            self.sink = Sink::Stream { output: Output::new(file, form, false), length: Some(length) };
            if let Some(keeper) = &mut self.keeper {
                keeper.length = Some(length);
            }
        }
        Ok(())
    }

    /// The record that was given last has been taken.
    fn done(&mut self) {
        self.moved();
        self.given += 1;
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
    }

    /// Runs the command for a record until that counts as received, or is not to.
    async fn execute(&mut self, record: &Record) -> Result<()> {
        let Sink::Exec(exec) = &mut self.sink else { return Ok(()) };
        let target = self.target.to_string();
        let manners = Manners {
            on_failure: self.on_failure,
            target: &target,
            advice: format!("; to go on with it, say --from {}", record.offset),
            status: self.status,
        };
        self.undone = Some(record.offset);
        match exec.settle(record, manners, &mut self.stop, &self.stdout).await? {
            Settled::Well => {}
            Settled::Skipped => self.exit = self.exit.max(Exit::Command),
            Settled::Failed => {
                (self.exit, self.left) = (Exit::Command, Some(0));
                return Ok(());
            }
            Settled::Stopped(exit) => {
                self.stopped(exit);
                self.left = Some(0);
                return Ok(());
            }
        }
        self.undone = None;
        self.done();
        self.write()?;
        if let (Some(exit), true) = (self.stop.asked(), self.left != Some(0)) {
            self.stopped(exit);
            self.left = Some(0);
        }
        Ok(())
    }

    /// What the receiver has given is in the output, or there was nothing to give.
    fn moved(&mut self) {
        if let Some(commits) = &mut self.commits {
            commits.give(self.receiver.position());
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.position = self.receiver.position();
        }
    }

    fn write(&mut self) -> Result<()> {
        if self.keeper.as_ref().is_some_and(|keeper| keeper.position.is_some()) {
            self.open_now()?;
        }
        match &mut self.sink {
            Sink::Stream { output, .. } if !output.is_empty() => {
                output.write()?;
            }
            Sink::Files(files) => files.kept(),
            _ => {}
        }
        self.progress.set(self.given);
        if let Some(commits) = &mut self.commits {
            commits.arrived();
        }
        match &mut self.keeper {
            Some(keeper) => keeper.keep(&self.sink),
            None => Ok(()),
        }
    }

    /// Commits what was written, unless it is to be stopped meanwhile.
    async fn commit(&mut self) -> Result<()> {
        let Some(position) = self.commits.as_mut().and_then(Commits::begin) else { return Ok(()) };
        let limit = self.patient_for;
        let late = async move {
            match limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let committed = tokio::select! {
            biased;
            committed = self.receiver.commit(position) => committed,
            exit = self.stop.wait() => {
                self.stopped(exit);
                self.left = Some(0);
                return Ok(());
            }
            () = late => {
                self.commits = None;
                bail!("{}: the cursor could not be committed: the node does not answer", self.target);
            }
        };
        let Some(commits) = &mut self.commits else { return Ok(()) };
        match committed {
            Ok(()) => commits.done(position),
            Err(error) if error.kind() == ErrorKind::CursorMoved => {
                commits.forget();
                self.status.warn_often("moved", format_args!("{error}; going on from there"));
            }
            Err(error) => {
                self.commits = None;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// At the end, however it came: what was written and is not committed yet.
    async fn commit_last(&mut self) -> Result<()> {
        let Some(position) = self.commits.as_ref().and_then(Commits::left) else { return Ok(()) };
        let limit = self.patient_for.unwrap_or(UNTOLD).max(UNTOLD);
        match timeout(limit, self.receiver.commit(position)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::CursorMoved => {
                self.status.warn_often("moved", error);
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => bail!(
                "{}: what was received since the last commit will come again: the node does not answer",
                self.target
            ),
        }
    }

    fn stopped(&mut self, exit: Exit) -> Option<Next> {
        self.exit = exit;
        let next = self.undone.or_else(|| self.receiver.position().map(|position| position.offset));
        match next {
            Some(next) => self.status.say(format_args!(
                "stopped after {}; go on with --from {next}",
                counted(self.given, "record")
            )),
            None => self.status.say("stopped before anything was received"),
        }
        None
    }

    /// Gaps and roll-backs are told, and it goes on; anything else ends it, after what came before.
    fn trouble(&mut self, error: Error) -> Result<()> {
        self.write()?;
        self.exit = self.exit.max(news::missing(error, self.status)?);
        Ok(())
    }
}
