//! What one process of a bench does. It is this very program, told its role as JSON; it says when it is ready, waits for a word,
//! and says its figures at the end.

use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use netchan::{ErrorKind, Start};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::clock::{self, Pacer};
use super::delays::{Delays, Stamps};
use super::figures::{Done, Figures};
use super::raw;
use super::sides::{FAREWELL, Records, Span, durability, on_smol, on_std, on_tokio};
use super::terms::{Far, Load, Meter, Place, Sending, announce, ready, say};
use crate::args;
use crate::exit::Exit;

/// Records of 1 KiB that a channel holds which then is idle, and that a connection has received.
pub(super) const FILLING: u32 = 256;
/// Handshakes at once, where thousands connect.
const CALLS: usize = 32;

/// What a process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Role {
    /// Sends bare frames.
    RawSend { addr: String, size: usize, load: Load },
    /// Receives bare frames.
    RawReceive { paced: bool, skip: u64 },
    /// Sends into a channel, seals it when told so (or else leaves it), and stays until its input ends.
    Send { place: Place, sending: Sending, load: Load, seal: bool },
    /// Receives a channel to its end.
    Receive { on: args::Runtime, far: Far, channel: String, filter: Option<String>, paced: bool, skip: u64 },
    /// Receives a channel to its end with so many receivers.
    FanOut { far: Far, channel: String, receivers: u32 },
    /// Sends into many channels at an even rate, over all of them.
    Channels { place: Place, sending: Sending, channels: u32, load: Load },
    /// Makes channels with some records in each.
    Fill { far: Far, channel: String, channels: u32 },
    /// Receives what such a channel holds with so many connections, and waits there with them until its input ends.
    Wait { far: Far, channel: String, connections: u32 },
    /// Deletes a channel, if it is there.
    Delete { far: Far, channel: String },
}

/// Plays the role that its input says, in a runtime that is as the role wants it: the program's own idles meanwhile.
pub(super) async fn run() -> Result<Exit> {
    tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        play(serde_json::from_str(&line).context("this is no role of a bench")?)
    })
    .await?
}

fn play(role: Role) -> Result<Exit> {
    let done = match role {
        Role::RawSend { addr, size, load } => raw::send(&addr, size, load)?,
        Role::RawReceive { paced, skip } => raw::receive(paced, skip)?,
        Role::Send { place, sending, load, seal } => match sending.on {
            args::Runtime::Tokio => serving()?.block_on(on_tokio::send(place, sending, load, seal))?,
            args::Runtime::Smol => smol::block_on(on_smol::send(place, sending, load, seal))?,
            args::Runtime::Std => on_std::send(place, sending, load, seal)?,
        },
        Role::Receive { on, far, channel, filter, paced, skip } => match on {
            args::Runtime::Tokio => {
                alone()?.block_on(on_tokio::receive(far, channel, filter, paced, skip))?
            }
            args::Runtime::Smol => smol::block_on(on_smol::receive(far, channel, filter, paced, skip))?,
            args::Runtime::Std => on_std::receive(far, channel, filter, paced, skip)?,
        },
        Role::FanOut { far, channel, receivers } => alone()?.block_on(fan_out(far, channel, receivers))?,
        Role::Channels { place, sending, channels, load } => {
            serving()?.block_on(many(place, sending, channels, load))?
        }
        Role::Fill { far, channel, channels } => alone()?.block_on(fill(far, channel, channels))?,
        Role::Wait { far, channel, connections } => alone()?.block_on(wait(far, channel, connections))?,
        Role::Delete { far, channel } => alone()?.block_on(delete(far, channel))?,
    };
    say(&serde_json::to_string(&done)?)?;
    Ok(Exit::Done)
}

/// For a process whose main thread sends: its connections are driven beside it.
fn serving() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// For a process that only waits for its connections: nothing hops between threads.
fn alone() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn fan_out(far: Far, channel: String, receivers: u32) -> Result<Done> {
    let node = on_tokio::caller(&far).await?;
    let mut opened = Vec::new();
    for _ in 0..receivers {
        opened.push(node.receiver(far.target(&channel)).from(Start::Earliest).open().await?);
    }
    announce("")?;
    let (meter, span) = (Meter::start(), Arc::new(Span::new()));
    let tasks: Vec<_> = opened
        .into_iter()
        .map(|mut receiver| {
            let span = Arc::clone(&span);
            tokio::spawn(async move { on_tokio::take_all(&mut receiver, &span, None).await })
        })
        .collect();
    let (mut count, mut gaps) = (0, 0);
    for task in tasks {
        let (taken, missing) = task.await??;
        (count, gaps) = (count + taken, gaps + missing);
    }
    Ok(Done { figures: span.figures(&meter, (count, gaps)), ..Done::default() })
}

/// Each record's delay is from when it was due until this process was told that it is durable.
async fn many(place: Place, sending: Sending, channels: u32, load: Load) -> Result<Done> {
    let (node, prefix) = on_tokio::node_for(&place).await?;
    let mut logs = Vec::new();
    for channel in 0..channels {
        let name = format!("{prefix}{}/{channel}", sending.channel);
        let log = node.sender(name).durability(durability(&sending.durability)?).open().await?;
        log.send("the first").await?.durable().await?;
        logs.push(log);
    }
    ready(&on_tokio::address(&node, &place)?)?;
    let per_second = load.per_second.context("many channels have a rate")?;
    let delays = Arc::new(Mutex::new(Delays::new(load.warm_up())?));
    let mut records = Records::new(&sending);
    let meter = Meter::start();
    let mut tasks = tokio::task::JoinSet::new();
    let mut count = 0u64;
    for ((due, sent), log) in Pacer::new(per_second, load.seconds).zip(logs.iter().cycle()) {
        let told = log.send(records.next()).await?;
        let delays = Arc::clone(&delays);
        tasks.spawn(async move {
            told.durable().await?;
            let now = clock::now();
            delays.lock().unwrap_or_else(PoisonError::into_inner).note_at(Stamps { due, sent }, now);
            anyhow::Ok(())
        });
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        count += 1;
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let figures = meter.figures();
    for log in &logs {
        log.close().await?;
    }
    node.shutdown(FAREWELL).await?;
    let mut done = delays.lock().unwrap_or_else(PoisonError::into_inner).done();
    done.figures.absorb("", &figures.with("records", count as f64));
    Ok(done)
}

async fn fill(far: Far, channel: String, channels: u32) -> Result<Done> {
    let node = on_tokio::caller(&far).await?;
    let mut filling = tokio::task::JoinSet::new();
    for number in 0..channels {
        if filling.len() >= CALLS
            && let Some(filled) = filling.join_next().await
        {
            filled??;
        }
        let (node, name) = (node.clone(), far.target(&format!("{channel}/{number}")));
        filling.spawn(async move {
            let log = node.sender(name).open().await?;
            for _ in 0..FILLING {
                log.send([b'x'; 1024]).await?;
            }
            log.flush().await?;
            log.close().await
        });
    }
    while let Some(filled) = filling.join_next().await {
        filled??;
    }
    node.shutdown(FAREWELL).await?;
    Ok(Done::default())
}

async fn wait(far: Far, channel: String, connections: u32) -> Result<Done> {
    let node = on_tokio::caller(&far).await?;
    let target = far.target(&channel);
    let mut opening = tokio::task::JoinSet::new();
    let mut waiting = Vec::new();
    for _ in 0..connections {
        let opened = node.receiver(&target).from(Start::Earliest).open();
        opening.spawn(async move {
            let mut receiver = opened.await?;
            for _ in 0..FILLING {
                receiver.recv().await?.context("the channel is sealed")?;
            }
            anyhow::Ok(receiver)
        });
        if opening.len() >= CALLS
            && let Some(opened) = opening.join_next().await
        {
            waiting.push(opened??);
        }
    }
    while let Some(opened) = opening.join_next().await {
        waiting.push(opened??);
    }
    ready("")?;
    Ok(Done { figures: Figures::default().with("connections", waiting.len() as f64), ..Done::default() })
}

async fn delete(far: Far, channel: String) -> Result<Done> {
    let node = on_tokio::caller(&far).await?;
    match node.delete(far.target(&channel)).await {
        Err(error) if error.kind() != ErrorKind::NoChannel => Err(error.into()),
        _ => Ok(Done::default()),
    }
}
