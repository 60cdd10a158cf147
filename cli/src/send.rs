//! `netchan send`: an input's records into a channel, durable before it ends.
//!
//! Owns the order of things: open the input, be or find the node, send, make durable, seal, serve. How the input is
//! cut is [`crate::input`]'s, how a file is continued [`crate::resume`]'s.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use netchan::{ErrorKind, Event, Node, Sender, Sent, Target};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::advice::was_closed;
use crate::amounts::counted;
use crate::args::{self, Keeping};
use crate::exit::Exit;
use crate::input::{Chunk, Splitter, on_a_thread};
use crate::making::Making;
use crate::news;
use crate::patience::{Patience, Silence};
use crate::progress::{Progress, Unit};
use crate::resume::{self, Blocks, Note, Step};
use crate::sink::Channel;
use crate::status::Status;
use crate::stop::Stop;
use crate::{home, metrics, via};

/// Chunks that the reading thread may be ahead.
const AHEAD: usize = 8;
/// Records after which their durability is asked for (`--acks`), and the pace looked at (`--rate`).
const STRIDE: u64 = 256;
/// Not worth a sleep.
const SHORT: Duration = Duration::from_millis(1);
/// So late that the pace begins anew.
const LATE: Duration = Duration::from_millis(50);
/// How often in a row the disk must be found full, and how far apart.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(100);
/// How long peers may take to let go when the node ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the input still has to give.
type Steps = mpsc::Receiver<Result<Step>>;

pub(crate) async fn run(args: args::Send, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    if args.via.is_some() && target.remote.is_some() {
        bail!("--via reaches the channels of the machine the command runs on: give only the NAME");
    }
    let input = Input::open(args.file.as_deref(), args.resume)?;
    let making = args.making();
    let mut stop = Stop::listen()?;
    let metrics = metrics::Place::take(&args.listen).await?;
    let node = match (&args.via, &target.remote) {
        (Some(_), _) => home::via().await?,
        (None, Some(_)) => args.home.reach(&target).await?,
        (None, None) => home::start(&args.home, &args.listen, true).await?,
    };
    let _metrics = metrics.tell(&node, status);
    let progress = input.progress(status);
    let sender = open(&node, &args, &target, &input).await?;
    let patience = Patience::new(&target, args.wait, args.via.is_some(), true);
    let is_guest = target.remote.is_none() && args.via.is_none() && !node.is_holder();
    let silence = Silence::new(is_guest.then(|| args.home.data_dir()).transpose()?);
    let mut lost = pin!(watch(&node, &sender, &target, (patience, silence), args.wait.is_some(), status));
    let dir = args.home.data_dir().unwrap_or_default();
    let (first, steps) = tokio::select! {
        started = start(&sender, &args, &making, &target, input) => started?,
        error = &mut lost => bail!("{error:#}. Nothing was sent"),
        exit = stop.wait() => {
            status.warn("stopped before anything was sent");
            return Ok(exit);
        }
    };
    announce(&node, &target, status);
    if first > 0 {
        status.say(format_args!(
            "{} of the file in the channel already: going on behind them",
            counted(first, args.split().word())
        ));
    }

    let mut sending = Sending::new(sender, making, first, &args, progress);
    let ended = tokio::select! {
        ended = sending.all(steps) => ended.map(|()| None),
        exit = stop.wait() => Ok(Some(exit)),
        error = &mut lost => bail!("{error:#}. {}", sending.unsure()),
    };
    let short = short(sending.sender.clone(), dir);
    let durable = tokio::select! {
        biased;
        durable = sending.finish() => durable,
        // a full disk is told, not waited for
        error = short => Err(error),
        exit = stop.wait(), if matches!(ended, Ok(None)) => {
            status.warn(format_args!("stopped: {}", sending.unsure()));
            return Ok(exit);
        }
        error = &mut lost => bail!("{error:#}. {}", sending.unsure()),
    };
    sending.progress = Progress::none();
    let word = args.split().word();
    let sent = counted(sending.sent, word);
    match ended {
        Ok(None) => {
            if let Err(error) = durable {
                let _ = node.shutdown(FAREWELL).await;
                bail!("{error:#}. {}", sending.unsure());
            }
        }
        Ok(Some(exit)) => {
            durable?;
            status.warn(format_args!("stopped after {sent}: durable"));
            node.shutdown(FAREWELL).await?;
            return Ok(exit);
        }
        Err(error) => {
            let is_full = |error: &netchan::Error| error.kind() == ErrorKind::DiskFull;
            let error = match &durable {
                // that says more of what is short
                Err(short) if error.downcast_ref().is_some_and(is_full) => short,
                _ => &error,
            };
            let state = if durable.is_ok() { "durable" } else { "taken, but perhaps not all in the channel" };
            // what is to be told is why it failed
            let _ = node.shutdown(FAREWELL).await;
            bail!("{error:#}. Before that: {sent}, {state}");
        }
    }
    if args.seal {
        let end = tokio::select! {
            end = sending.sender.seal() => end?,
            error = &mut lost => bail!("{error:#}. {sent} are durable, but {} may not be sealed", target.name),
        };
        status.say(format_args!("{} is sealed with {}", target.name, counted(end, "record")));
    }
    status.say(format_args!("{sent}: durable"));
    if args.serve {
        status.say("all is sent; others can read until Ctrl-C");
        stop.wait().await;
    }
    node.shutdown(FAREWELL).await?;
    Ok(Exit::Done)
}

/// Where the records come from.
#[derive(Debug)]
enum Input {
    Stdin,
    File { file: File, path: PathBuf },
}

impl Input {
    fn open(path: Option<&Path>, resume: bool) -> Result<Input> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            if resume {
                bail!("--resume wants a FILE: stdin cannot be read again from its beginning");
            }
            return Ok(Input::Stdin);
        };
        let what = || format!("{} cannot be read", path.display());
        let file = File::open(path).with_context(what)?;
        let kind = file.metadata().with_context(what)?.file_type();
        if kind.is_dir() {
            bail!("{} is a directory", path.display());
        }
        if resume && !kind.is_file() {
            bail!(
                "--resume wants a regular file: {} cannot be read again from its beginning",
                path.display()
            );
        }
        let path = if resume { path.canonicalize().with_context(what)? } else { path.to_owned() };
        Ok(Input::File { file, path })
    }
}

impl Input {
    /// How far it will be read, for who watches: where it is a file whose length is known.
    fn progress(&self, status: Status) -> Progress {
        match self {
            Input::File { file, .. } if status.is_watched() => match file.metadata() {
                Ok(metadata) if metadata.is_file() => Progress::of(Some(metadata.len()), Unit::Bytes),
                _ => Progress::none(),
            },
            _ => Progress::none(),
        }
    }
}

/// The input as a file: no lock and no buffer of the standard library is between.
fn stdin() -> Result<File> {
    if was_closed(io::stdin()) {
        bail!("stdin is closed, so that there is nothing to send: name a FILE, or pipe something in");
    }
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned().context("stdin cannot be read")?))
}

fn keeping(builder: netchan::SenderBuilder, keeping: &Keeping) -> netchan::SenderBuilder {
    let (durability, retention) = (keeping.durability(), keeping.retention());
    builder.durability(durability).retention(retention).unsealable(keeping.unsealable)
}

async fn open(node: &Node, args: &args::Send, target: &Target, input: &Input) -> Result<Channel> {
    let mut builder = keeping(node.sender(target.to_string()), &args.keeping);
    if let (true, Input::File { path, .. }) = (args.resume, input) {
        let away = target.remote.is_some() || args.via.is_some();
        let machine = if away { resume::machine() } else { String::new() };
        builder = builder.producer(resume::producer(&target.name, path, &machine));
    }
    if let Some(command) = args.via.clone() {
        builder = builder.connect_with(move || via::run(command.clone()));
    }
    Ok(match args.partitions {
        Some(count) => Channel::Partitions(builder.partitions(count).open().await?),
        None => Channel::One(builder.open().await?),
    })
}

/// Sets the reading thread to work, at the right place of the input.
async fn start(
    sender: &Channel,
    args: &args::Send,
    making: &Making,
    target: &Target,
    input: Input,
) -> Result<(u64, Steps)> {
    let split = args.split();
    let longest = making.longest_piece();
    let splitter = |input: Box<dyn Read + std::marker::Send>| Splitter::new(input, split.clone(), longest);
    let plain = |input| splitter(input).map(|chunk| chunk.map(Step::Chunk).map_err(anyhow::Error::from));
    Ok(match input {
        Input::Stdin => (0, on_a_thread(AHEAD, plain(Box::new(stdin()?)))?),
        Input::File { file, .. } if !args.resume => (0, on_a_thread(AHEAD, plain(Box::new(file)))?),
        Input::File { mut file, path } => {
            let producer =
                sender.producer().await.with_context(|| format!("{} cannot be resumed", target.name))?;
            let next = producer.next_sequence;
            let note: Option<Note> = match &producer.note.bytes()[..] {
                [] => None,
                note => Some(String::from_utf8_lossy(note).parse()?),
            };
            let (cut, known) = (split.clone(), note.clone());
            let file = tokio::task::spawn_blocking(move || {
                resume::verify(&mut file, &path, &cut, next, known.as_ref()).map(|()| file)
            })
            .await??;
            let blocks = Blocks::new(splitter(Box::new(file)), split.clone(), next, note.as_ref());
            (next, on_a_thread(AHEAD, blocks)?)
        }
    })
}

fn announce(node: &Node, target: &Target, status: Status) {
    match (&target.remote, node.local_addr()) {
        (Some(_), _) => status.say(format_args!("sending to {target}")),
        (None, Some(addr)) => {
            status.say(format_args!("sending to {0}; read it with: netchan recv {addr}/{0}", target.name));
        }
        (None, None) if node.is_holder() => status.say(format_args!("sending to {}", target.name)),
        (None, None) => status.say(format_args!("sending to {} through this machine's node", target.name)),
    }
}

/// Tells what happens to the connection, if there is one that leaves this process. Ready when there was none for longer
/// than it may be missed, with the reason.
fn watch(
    node: &Node,
    sender: &Channel,
    target: &Target,
    (mut patience, mut silence): (Patience, Silence),
    waits: bool,
    status: Status,
) -> impl Future<Output = anyhow::Error> + use<> {
    let (tell, told) = oneshot::channel();
    let first = sender.first();
    if let Some(publisher) = first.as_ref().and_then(Sender::publisher).filter(|_| !node.is_holder()) {
        let (events, target) = (publisher.events(), target.clone());
        tokio::spawn(async move {
            loop {
                let next = poll_fn(|cx| events.poll_next(cx));
                tokio::select! {
                    biased;
                    Some(event) = next => {
                        patience.see(&event, Instant::now());
                        silence.see(&event);
                        news::tell(&event, &target, status);
                        if let Event::Lost { why, .. } = &event
                            && why.kind() == ErrorKind::DiskFull
                            && !waits
                        {
                            let why = why.to_string();
                            let why = why.strip_prefix(&format!("{}: ", target.name)).unwrap_or(&why);
                            let _ = tell.send(anyhow!("{target}: {why}; to wait until there is room, say --wait 1h"));
                            return;
                        }
                    }
                    error = patience.lost() => {
                        let _ = tell.send(error);
                        return;
                    }
                    () = silence.lasts() => silence.tell(status),
                    // what ended the publisher, sending tells
                    else => return,
                }
            }
        });
    }
    async move {
        match told.await {
            Ok(error) => error,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Ready when the channel cannot go on for want of room in `dir`, and says so. What comes back at once (retention made
/// room) is no such want.
async fn short(sender: Channel, dir: PathBuf) -> anyhow::Error {
    loop {
        let mut short = None;
        for _ in 0..LOOKS {
            sleep(LOOK).await;
            short = sender.shortage();
            if short.is_none() {
                break;
            }
        }
        if let Some(why) = short {
            let dir = dir.display();
            return anyhow!(
                "{}: nothing more can be written in {dir} ({why}): free space there, and send again",
                sender.name()
            );
        }
    }
}

/// A channel being sent into.
struct Sending {
    sender: Channel,
    making: Making,
    /// What a record of the input is called.
    word: &'static str,
    /// Records sent by this run.
    sent: u64,
    /// The sequence of the first of them.
    first: u64,
    acks: Option<Acks>,
    pace: Option<Pace>,
    progress: Progress,
}

impl Sending {
    fn new(sender: Channel, making: Making, first: u64, args: &args::Send, progress: Progress) -> Sending {
        let pace = args.rate.map(|rate| Pace { since: Instant::now(), rate });
        let acks = args.acks.then(Acks::start);
        Sending { sender, making, word: args.split().word(), sent: 0, first, acks, pace, progress }
    }

    /// What is to be said where the end of sending was not reached.
    fn unsure(&self) -> String {
        format!("{} sent, perhaps not all durable", counted(self.sent, self.word))
    }

    /// Sends all there is. Dropped midway, the records counted in `sent` were sent, and no others.
    async fn all(&mut self, mut steps: Steps) -> Result<()> {
        while let Some(step) = steps.recv().await {
            match step? {
                Step::Chunk(chunk) => self.chunk(&chunk).await?,
                Step::Note(note) => {
                    self.progress.set(note.begins());
                    let text = netchan::Note::new(note.text())?;
                    self.sender.note(self.first + self.sent, text).await?;
                }
            }
        }
        Ok(())
    }

    async fn chunk(&mut self, chunk: &Chunk) -> Result<()> {
        let is_plain = self.making.is_plain();
        let mut last = None;
        let mut shown = 0;
        for (piece, index) in chunk.pieces().zip(0..) {
            let number = self.first + self.sent + 1;
            // what is most often sent takes the shortest way
            let sent = if is_plain && !piece.unterminated {
                self.sender.send(piece.payload).await
            } else {
                match self.making.make(piece) {
                    Ok(record) => self.sender.send(record).await,
                    Err(why) => bail!("{} {number}: {why}", self.word),
                }
            };
            let sent = match sent {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::TooLarge => bail!("{} {number}: {error}", self.word),
                Err(error) => return Err(error.into()),
            };
            self.sent += 1;
            if let Some(pace) = &mut self.pace {
                pace.keep(self.sent).await;
            }
            last = Some(sent);
            if self.sent.is_multiple_of(STRIDE) {
                let passed = chunk.bytes().len() as u64 * (index + 1) / chunk.count();
                self.progress.add(passed - shown);
                shown = passed;
                if let (Some(acks), Some(sent)) = (&self.acks, last.take()) {
                    acks.ask(self.sent, sent).await;
                }
            }
        }
        if let (Some(sent), Some(acks)) = (last, &self.acks) {
            acks.ask(self.sent, sent).await;
        }
        self.progress.add(chunk.bytes().len() as u64 - shown);
        Ok(())
    }

    /// Waits until all that was sent is durable, and told so.
    async fn finish(&mut self) -> Result<()> {
        self.sender.flush().await?;
        if let Some(acks) = self.acks.take() {
            acks.end().await?;
        }
        Ok(())
    }
}

/// So many records a second.
struct Pace {
    since: Instant,
    rate: u64,
}

impl Pace {
    /// Waits until it is time for the record after the first `sent`. What was missed for want of input is not made
    /// up for.
    async fn keep(&mut self, sent: u64) {
        let due = u128::from(sent) * 1_000_000_000 / u128::from(self.rate);
        let due = Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX));
        let past = self.since.elapsed();
        if due > past + SHORT {
            sleep(due - past).await;
        } else if past > due + LATE {
            self.since += past - due;
        }
    }
}

/// Tells stdout how many records are durable.
struct Acks {
    ask: mpsc::Sender<(u64, Sent)>,
    told: JoinHandle<Result<()>>,
}

impl Acks {
    fn start() -> Acks {
        let (ask, mut asked) = mpsc::channel::<(u64, Sent)>(1024);
        let told = tokio::spawn(async move {
            let mut out = io::stdout();
            while let Some((count, sent)) = asked.recv().await {
                sent.durable().await?;
                // who closed our stdout does not want to know
                let _ = writeln!(out, "{count}");
            }
            Ok(())
        });
        Acks { ask, told }
    }

    async fn ask(&self, count: u64, sent: Sent) {
        // an error ends the task; finish() tells it
        let _ = self.ask.send((count, sent)).await;
    }

    async fn end(self) -> Result<()> {
        drop(self.ask);
        self.told.await?
    }
}
