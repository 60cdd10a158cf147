//! `netchan ls`, `info`, `seal` and `rm`: looking at channels and ending them.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use netchan::{Content, Error, LogInfo, LogOptions, Node, Partitions, Target, Timestamp};
use serde_json::{Value, json};

use crate::advice::was_closed;
use crate::amounts::{bytes, counted};
use crate::args;
use crate::exit::Exit;
use crate::kept;
use crate::partitions::{is_of_all, parts};
use crate::status::Status;
use crate::when;

pub(crate) async fn ls(args: args::Ls) -> Result<Exit> {
    let elsewhere = args.place.contains(':');
    let builder = if elsewhere { args.home.away()? } else { args.home.here(true)? };
    let channels = builder.start().await?.channels(&args.place).await?;
    let lines = if args.json {
        channels.iter().map(|info| json(info).to_string()).collect()
    } else {
        table(&channels)
    };
    print(&lines)
}

pub(crate) async fn info(args: args::Info) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    let node = args.home.reach(&target).await?;
    let info = match node.info(target.to_string()).await {
        Err(error) if is_of_all(&error, &target) => return all_of(&node, &target, &error, args.json).await,
        info => info?,
    };
    let kept = node.settings(target.to_string()).await?;
    let options = kept.settings.over(&LogOptions::default());
    if args.json {
        let mut value = json(&info);
        // Whoever has read all of it comes to the same: see spec/07-batch.md.
        value["digest"] = json!(kept.digest.map(|digest| digest.to_string()));
        value["unsealable"] = json!(options.unsealable);
        value["content"] = json!(kept.content.as_ref().map(Content::as_str));
        value["retention"] = kept::json(&options.retention);
        return print(&[value.to_string()]);
    }
    let mut rows = told(&info);
    if let Some(content) = &kept.content {
        rows.push(format!("{:8} {content}", "content"));
    }
    if let Some(digest) = kept.digest {
        rows.push(format!("{:8} {digest}", "digest"));
    }
    rows.push(format!("{:8} {}", "keeps", kept::words(&options.retention)));
    if options.unsealable {
        rows.push(format!("{:8} it can never be sealed", "seal"));
    }
    print(&rows)
}

/// What there is to say of a channel with partitions: how many, and each of them.
async fn all_of(node: &Node, target: &Target, error: &Error, is_json: bool) -> Result<Exit> {
    let mut infos = node.channels(format!("{target}@")).await?;
    infos.sort_by_key(|info| info.name.partition());
    let count = error.partitions().map_or(0, Partitions::get);
    if is_json {
        let each: Vec<_> = infos.iter().map(json).collect();
        return print(&[
            json!({ "name": target.name.as_str(), "partitions": count, "each": each }).to_string()
        ]);
    }
    let records = infos.iter().map(LogInfo::records).sum();
    let size = bytes(infos.iter().map(|info| info.bytes).sum());
    let mut rows =
        vec![format!("{} has {count} partitions: {}, {size}", target.name, counted(records, "record"))];
    rows.extend(table(&infos));
    print(&rows)
}

pub(crate) async fn seal(args: args::Seal, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    let node = args.home.reach(&target).await?;
    let records = match node.seal(target.to_string()).await {
        Err(error) if is_of_all(&error, &target) => {
            let mut records = 0;
            for part in parts(&node, &target).await? {
                records += node.seal(part.to_string()).await?.0;
            }
            records
        }
        end => end?.0,
    };
    status.say(format_args!("{target} is sealed with {}", counted(records, "record")));
    Ok(Exit::Done)
}

pub(crate) async fn rm(args: args::Rm, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    let node = args.home.reach(&target).await?;
    if !args.yes {
        if !io::stdin().is_terminal() {
            bail!("{target} and all its records would be gone: say --yes to delete it");
        }
        let infos = match node.info(target.to_string()).await {
            Err(error) if is_of_all(&error, &target) => node.channels(format!("{target}@")).await?,
            info => vec![info?],
        };
        let records = infos.iter().map(LogInfo::records).sum();
        let size = bytes(infos.iter().map(|info| info.bytes).sum());
        eprint!("delete {target} with {} ({size})? [y/N] ", counted(records, "record"));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("{target} was not deleted");
        }
    }
    match node.delete(target.to_string()).await {
        Err(error) if is_of_all(&error, &target) => {
            for part in parts(&node, &target).await? {
                node.delete(part.to_string()).await?;
            }
        }
        done => done?,
    }
    status.say(format_args!("{target} is deleted"));
    Ok(Exit::Done)
}

/// Lines to stdout; who stops reading has read enough.
pub(crate) fn print(lines: &[String]) -> Result<Exit> {
    let mut out = io::stdout().lock();
    if was_closed(&out) {
        bail!("stdout is closed: nothing can be told");
    }
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            result => result.context("the output cannot be written")?,
        }
    }
    Ok(Exit::Done)
}

fn time(time: Timestamp) -> Option<String> {
    (time != Timestamp::MIN).then(|| when::rfc3339(time))
}

fn json(info: &LogInfo) -> Value {
    json!({
        "name": info.name.as_str(),
        "log": info.id.to_string(),
        "epoch": info.epoch.0,
        "durability": info.durability.to_string(),
        "sealed": info.sealed,
        "first": info.first.0,
        "next": info.next.0,
        "durable": info.durable.0,
        "first_time": time(info.first_time),
        "last_time": time(info.last_time),
        "created": time(info.created),
        "bytes": info.bytes,
        "segments": info.segments,
    })
}

fn told(info: &LogInfo) -> Vec<String> {
    let none = || "-".to_owned();
    let state = if info.sealed { "sealed: complete" } else { "open" };
    let rows = [
        ("name", info.name.to_string()),
        ("state", state.to_owned()),
        ("records", format!("{} (offsets {} to {})", info.records(), info.first, info.next)),
        ("durable", format!("{} (mode {})", info.durable, info.durability)),
        ("first", time(info.first_time).unwrap_or_else(none)),
        ("last", time(info.last_time).unwrap_or_else(none)),
        ("created", time(info.created).unwrap_or_else(none)),
        ("size", format!("{} in {} segments", bytes(info.bytes), info.segments)),
        ("log", format!("{} epoch {}", info.id, info.epoch.0)),
    ];
    rows.map(|(name, value)| format!("{name:8} {value}")).into()
}

fn table(channels: &[LogInfo]) -> Vec<String> {
    let width = channels.iter().map(|info| info.name.as_str().chars().count()).max().unwrap_or(0).max(4);
    let row = |name: &str, records: &str, size: &str, last: &str, state: &str| {
        format!("{name:width$}  {records:>12}  {size:>9}  {last:30}  {state}")
    };
    let head = row("NAME", "RECORDS", "SIZE", "LAST", "STATE");
    let rows = channels.iter().map(|info| {
        let records = info.records().to_string();
        let last = time(info.last_time).unwrap_or_else(|| "-".into());
        let state = if info.sealed { "sealed" } else { "open" };
        row(info.name.as_str(), &records, &bytes(info.bytes), &last, state)
    });
    if channels.is_empty() { Vec::new() } else { std::iter::once(head).chain(rows).collect() }
}
