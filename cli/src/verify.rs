//! `netchan verify`: reads it all, and says what does not hold.
//!
//! Channels of this machine are read from their files, beside whoever writes them; those of another node are received,
//! and their checksums with them: what that node found damaged comes as a gap.

use std::future::poll_fn;
use std::io::{self, Write};
use std::task::Poll;

use anyhow::{Context, Result, anyhow, bail};
use netchan::{ErrorKind, Node, Offset, Start, Target};
use netchan_proto::ChannelName;
use netchan_proto::wire::GapReason;
use netchan_store::disk::RealDisk;
use netchan_store::{Verified, verify};
use serde_json::json;
use tokio::time::Instant;

use crate::amounts::{bytes, counted};
use crate::args;
use crate::exit::Exit;
use crate::news::tell as tell_event;
use crate::patience::Patience;
use crate::progress::{Progress, Unit, beside};
use crate::shown::steers;
use crate::status::Status;

/// What to do about damage.
const ADVICE: &str = "not everything holds. Receivers are told a gap where records are lost, and get all others. Copy the \
data directory before anything is changed, look after the disk (dmesg, smartctl), let netchan repair set aside what is damaged, \
and send again what is lost";

pub(crate) async fn run(args: args::Verify, status: Status) -> Result<Exit> {
    let (mut here, mut away) = (Vec::new(), Vec::new());
    for text in &args.targets {
        let target: Target = text.parse()?;
        if target.remote.is_some() { away.push(target) } else { here.push(target.name) }
    }
    let mut all_hold = true;
    if !here.is_empty() || away.is_empty() {
        all_hold &= files(&args, &here, status)?;
    }
    if !away.is_empty() {
        let node = args.home.away()?.start().await?;
        for target in away {
            all_hold &= received(&node, &target, &args, status).await?;
        }
    }
    if all_hold {
        return Ok(Exit::Done);
    }
    // The verdict may go into a file.
    status.warn(ADVICE);
    Ok(Exit::Error)
}

/// Verifies channels of this machine from their files.
fn files(args: &args::Verify, names: &[ChannelName], status: Status) -> Result<bool> {
    let dir = args.home.data_dir()?;
    let what = || format!("the data directory {} cannot be read", dir.display());
    if let Err(error) = std::fs::metadata(dir.join("channels")) {
        if error.kind() == io::ErrorKind::NotFound {
            bail!("there is no data directory {}; --data-dir says where another one is", dir.display());
        }
        return Err(error).with_context(what);
    }
    let disk = RealDisk::existing(&dir).with_context(what)?;
    let mut progress: Option<Progress> = None;
    let (mut all_hold, mut told) = (true, Ok(()));
    let each = |log: Verified| {
        all_hold &= log.holds();
        if told.is_ok() {
            beside(|| told = tell(&log, args.json));
        }
    };
    let watched = status.is_watched();
    verify(&disk, names, each, |now| {
        let bar = || if watched { Progress::of(Some(now.total), Unit::Bytes) } else { Progress::none() };
        progress.get_or_insert_with(bar).set(now.read);
    })
    .map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !names.is_empty() => {
            anyhow!("{error}; netchan ls lists those that are there")
        }
        _ => anyhow!(error).context(what()),
    })?;
    drop(progress);
    told?;
    Ok(all_hold)
}

/// A line for what holds, and one for each thing that doesn't.
fn tell(log: &Verified, as_json: bool) -> io::Result<()> {
    let name = log.name.as_ref().map_or_else(
        || if log.dir.is_empty() { "(identity)".to_owned() } else { format!("({})", log.dir) },
        |name| name.as_str().replace(steers, "\u{fffd}"),
    );
    if as_json {
        let problems = log.problems.iter().map(|problem| {
            json!({
                "path": problem.path,
                "byte": problem.byte,
                "from": problem.offsets.map(|(from, _)| from.0),
                "to": problem.offsets.map(|(_, to)| to.0),
                "what": problem.what,
            })
        });
        return line(format_args!(
            "{}",
            json!({
                "name": log.name.as_ref().map(|name| name.as_str()),
                "directory": log.dir,
                "holds": log.holds(),
                "segments": log.segments,
                "batches": log.batches,
                "records": log.records,
                "bytes": log.bytes,
                "first": log.offsets.map(|(first, _)| first.0),
                "next": log.offsets.map(|(_, next)| next.0),
                "declared": log.declared.iter().map(|(from, to)| json!({"from": from.0, "to": to.0})).collect::<Vec<_>>(),
                "sealed": log.sealed,
                "digest": log.digest.map(|digest| digest.to_string()),
                "unfinished": log.unfinished,
                "problems": problems.collect::<Vec<_>>(),
                "more_problems": log.more_problems,
            })
        ));
    }
    let fine = format!("{} in {} hold", counted(log.records, "record"), bytes(log.bytes));
    let unfinished = match log.unfinished {
        0 => String::new(),
        more => format!("; {} after them are still being written, or a torn tail", bytes(more)),
    };
    let verdict = if log.holds() { "ok     " } else { "DAMAGED" };
    line(format_args!("{verdict}  {name}: {fine}{unfinished}"))?;
    for range in &log.declared {
        line(format_args!("         declared by a repair{}", lost(*range)))?;
    }
    for problem in &log.problems {
        let lost = problem.offsets.map(lost).unwrap_or_default();
        line(format_args!("         {} at byte {}: {}{lost}", problem.path, problem.byte, problem.what))?;
    }
    if log.more_problems > 0 {
        line(format_args!("         and {} more", log.more_problems))?;
    }
    Ok(())
}

/// Which records, in words: the first and the last of them.
pub(crate) fn lost((from, to): (Offset, Offset)) -> String {
    match to.0.saturating_sub(from.0) {
        0 | 1 => format!("; the record with offset {from} is lost"),
        count => format!("; {count} records are lost, offsets {from} to {}", to.0 - 1),
    }
}

/// Verifies a channel of another node by receiving all of it.
async fn received(node: &Node, target: &Target, args: &args::Verify, status: Status) -> Result<bool> {
    let mut receiver =
        node.receiver(target.to_string()).from(Start::Earliest).follow(false).wait(false).open().await?;
    let mut progress = if status.is_watched() { Progress::of(None, Unit::Records) } else { Progress::none() };
    let (mut records, mut size, mut damage) = (0_u64, 0_u64, Vec::new());
    let mut patience = Patience::new(target, None, true, false);
    loop {
        let next = poll_fn(|cx| match receiver.poll_recv(cx) {
            Poll::Ready(record) => Poll::Ready(Ok(record)),
            Poll::Pending => match receiver.poll_event(cx) {
                Poll::Ready(Some(event)) => Poll::Ready(Err(event)),
                _ => Poll::Pending,
            },
        });
        let next = tokio::select! {
            biased;
            next = next => next,
            error = patience.lost() => return Err(error),
        };
        let record = match next {
            Ok(record) => record,
            Err(event) => {
                patience.see(&event, Instant::now());
                tell_event(&event, target, status);
                continue;
            }
        };
        match record {
            Ok(None) => break,
            Ok(Some(record)) => {
                records += 1;
                size += record.payload.len() as u64;
                if records.is_multiple_of(1000) {
                    progress.set(records);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::Gap { from, to, why: GapReason::Damaged } => damage.push((from, to)),
                ErrorKind::Gap { .. } | ErrorKind::Truncated { .. } => {}
                _ => return Err(error.into()),
            },
        }
    }
    drop(progress);
    let holds = damage.is_empty();
    if args.json {
        let damage: Vec<_> = damage
            .iter()
            .map(|(from, to)| json!({"from": from.0, "to": to.0, "what": "damaged there"}))
            .collect();
        line(format_args!(
            "{}",
            json!({"name": target.to_string(), "holds": holds, "records": records, "payload_bytes": size, "problems": damage})
        ))?;
        return Ok(holds);
    }
    let verdict = if holds { "ok     " } else { "DAMAGED" };
    line(format_args!(
        "{verdict}  {target}: {} with {} of payload came",
        counted(records, "record"),
        bytes(size)
    ))?;
    for range in damage {
        line(format_args!("         its node cannot read it all{}", lost(range)))?;
    }
    Ok(holds)
}

/// A line to stdout; who stops reading has read enough.
pub(crate) fn line(what: std::fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{what}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
