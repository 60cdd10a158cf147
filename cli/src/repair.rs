//! `netchan repair`: mends a data directory of this machine while no node has it, and says what was done.
//!
//! What is done is the store's business; how it is said, and which directory is meant, this one's.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use netchan::Target;
use netchan_proto::ChannelName;
use netchan_store::disk::RealDisk;
use netchan_store::{Repaired, Step, StoreError, repair};
use serde_json::{Value, json};

use crate::amounts::{bytes, counted};
use crate::args;
use crate::exit::Exit;
use crate::progress::{Progress, Unit, beside};
use crate::shown::steers;
use crate::status::Status;
use crate::verify::{line, lost};

pub(crate) fn run(args: &args::Repair, status: Status) -> Result<Exit> {
    let (dir, name) = meant(args)?;
    let what = || format!("the data directory {} cannot be read", dir.display());
    if !dir.join("channels").is_dir() {
        bail!("there is no data directory {}; --data-dir says where another one is", dir.display());
    }
    let disk = RealDisk::existing(&dir).with_context(what)?;
    let names: Vec<ChannelName> = name.into_iter().collect();
    let mut progress: Option<Progress> = None;
    let (mut steps, mut all_well, mut told) = (0, true, Ok(()));
    let each = |log: Repaired| {
        steps += log.steps.len();
        all_well &= log.left.is_empty();
        if told.is_ok() {
            beside(|| told = tell(&log, args.json));
        }
    };
    let watched = status.is_watched();
    let done = repair(&disk, &names, args.dry_run, each, |now| {
        let bar = || if watched { Progress::of(Some(now.total), Unit::Bytes) } else { Progress::none() };
        progress.get_or_insert_with(bar).set(now.read);
    });
    drop(progress);
    told?;
    done.map_err(|error| match error {
        StoreError::Locked { .. } => {
            anyhow!("a node holds {}; stop it first: nothing was changed", dir.display())
        }
        StoreError::NoChannel { name } => {
            anyhow!("there is no channel {name} in {}; netchan verify lists what is there", dir.display())
        }
        error => {
            anyhow!(error).context("repairing stopped; what was done stays, and repairing again goes on")
        }
    })?;
    if steps > 0 {
        match args.dry_run {
            true => status.warn("nothing was changed: --dry-run says only what would be"),
            false => status.warn(
                "files that end in .bad have what was set aside: keep them until what is lost was sent again",
            ),
        }
    }
    if all_well {
        return Ok(Exit::Done);
    }
    status.warn("not everything could be repaired: the lines with LEFT say what to do");
    Ok(Exit::Error)
}

/// Which directory, and which channel in it if one is named.
fn meant(args: &args::Repair) -> Result<(PathBuf, Option<ChannelName>)> {
    let Some(text) = &args.target else { return Ok((args.home.data_dir()?, None)) };
    if text.starts_with(['.', '/']) || Path::new(text).join("channels").is_dir() {
        return Ok((PathBuf::from(text), None));
    }
    let target: Target = text.parse()?;
    if target.remote.is_some() {
        bail!("{target} is on another node: repair it on the machine that has it");
    }
    Ok((args.home.data_dir()?, Some(target.name)))
}

/// A line for a log, and one for each thing that is done to it or left.
fn tell(log: &Repaired, as_json: bool) -> io::Result<()> {
    if as_json {
        let left = log.left.iter().map(|left| json!({"path": left.path, "what": left.what}));
        return line(format_args!(
            "{}",
            json!({
                "name": log.name.as_ref().map(|name| name.as_str()),
                "directory": log.dir,
                "steps": log.steps.iter().map(step_as_json).collect::<Vec<_>>(),
                "more_steps": log.more_steps,
                "left": left.collect::<Vec<_>>(),
            })
        ));
    }
    let name = log.name.as_ref().map_or_else(
        || if log.dir.is_empty() { "(identity)".to_owned() } else { format!("({})", log.dir) },
        |name| name.as_str().replace(steers, "\u{fffd}"),
    );
    let records: u64 = log.lost().map(|(from, to)| to.0.saturating_sub(from.0)).sum();
    let cost = match (log.was_well(), records) {
        (true, _) => "nothing to repair".to_owned(),
        (false, 0) => "no record is lost".to_owned(),
        (false, records) => format!("{} lost", counted(records, "record")),
    };
    let verdict = match log {
        log if log.was_well() => "ok    ",
        log if log.steps.is_empty() => "LEFT  ",
        _ => "repair",
    };
    line(format_args!("{verdict}  {name}: {cost}"))?;
    for step in &log.steps {
        line(format_args!("        {}", in_words(step)))?;
    }
    if log.more_steps > 0 {
        line(format_args!("        and {} more", counted(log.more_steps, "step")))?;
    }
    for left in &log.left {
        line(format_args!("  LEFT  {}: {}", left.path, left.what))?;
    }
    Ok(())
}

fn in_words(step: &Step) -> String {
    match step {
        Step::SetAside { path, to, bytes: size } => format!("{path}: set aside as {to}, {}", bytes(*size)),
        Step::Kept { path, records: 0 } => format!("{path}: the seal, which holds"),
        Step::Kept { path, records } => format!("{path}: {} that hold", counted(*records, "record")),
        Step::Declared { path, from, to } => format!("{path}: a declared loss{}", lost((*from, *to))),
        Step::Begun { path } => format!("{path}: begun, for what comes"),
        Step::Sealed { path, at } => format!("{path}: sealed again at offset {at}"),
        Step::Meta { path } => {
            format!("{path}: made again, with durability sync and no retention; netchan set says another")
        }
        other => format!("{other:?}"),
    }
}

fn step_as_json(step: &Step) -> Value {
    match step {
        Step::SetAside { path, to, bytes } => {
            json!({"did": "set-aside", "path": path, "to": to, "bytes": bytes})
        }
        Step::Kept { path, records } => json!({"did": "kept", "path": path, "records": records}),
        Step::Declared { path, from, to } => {
            json!({"did": "declared-lost", "path": path, "from": from.0, "to": to.0})
        }
        Step::Begun { path } => json!({"did": "begun", "path": path}),
        Step::Sealed { path, at } => json!({"did": "sealed", "path": path, "at": at.0}),
        Step::Meta { path } => json!({"did": "made-meta", "path": path}),
        other => json!({"did": format!("{other:?}")}),
    }
}
