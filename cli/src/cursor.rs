//! `netchan cursor`: the places that nodes keep for receivers.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use netchan::{CursorInfo, ErrorKind, LogInfo, Node, Target};
use serde_json::{Value, json};

use crate::admin::print;
use crate::args::{self, CursorWhat as What};
use crate::exit::Exit;
use crate::status::Status;
use crate::when;

pub(crate) async fn run(args: args::Cursor, status: Status) -> Result<Exit> {
    match args.what {
        What::Ls(args) => ls(args).await,
        What::Show(args) => show(args).await,
        What::Set(args) => set(args.of, &args.start, true, args.json, status).await,
        What::Reset(args) => set(args.of, &args.start, false, args.json, status).await,
        What::Rm(args) => rm(args.of, status).await,
    }
}

async fn ls(args: args::CursorLs) -> Result<Exit> {
    let elsewhere = args.place.contains(':');
    let builder = if elsewhere { args.home.away()? } else { args.home.here(true)? };
    let node = builder.start().await?;
    let cursors = node.cursors(&args.place).await?;
    // those whose names begin so: the channel itself, and a few more perhaps
    let channels: BTreeMap<String, LogInfo> =
        node.channels(&args.place).await?.into_iter().map(|info| (info.name.to_string(), info)).collect();
    let channel = |cursor: &CursorInfo| channels.get(cursor.key.channel.as_str());
    let lines = if args.json {
        cursors.iter().map(|cursor| json(cursor, channel(cursor)).to_string()).collect()
    } else {
        table(&cursors, channel)
    };
    print(&lines)
}

async fn show(args: args::CursorShow) -> Result<Exit> {
    let target: Target = args.of.target.parse()?;
    let node = args.of.home.reach(&target).await?;
    let cursors = node.cursors(target.to_string()).await?;
    let Some(cursor) = cursors.iter().find(|info| info.key.cursor.as_str() == args.of.cursor) else {
        bail!("{target}: there is no cursor {}", args.of.cursor);
    };
    tell(&node, &target, cursor, args.json).await
}

async fn set(of: args::CursorOf, to: &args::Start, make: bool, json: bool, status: Status) -> Result<Exit> {
    let Some(start) = to.place() else {
        bail!("say where to move it: --from, --since or --last");
    };
    let target: Target = of.target.parse()?;
    let node = of.home.reach(&target).await?;
    let cursor = node.set_cursor(target.to_string(), &of.cursor, start, make).await?;
    if json {
        return tell(&node, &target, &cursor, true).await;
    }
    status.say(format_args!("{target}: the cursor {} is {}", of.cursor, place(&cursor)));
    Ok(Exit::Done)
}

async fn rm(of: args::CursorOf, status: Status) -> Result<Exit> {
    let target: Target = of.target.parse()?;
    of.home.reach(&target).await?.delete_cursor(target.to_string(), &of.cursor).await?;
    status.say(format_args!("{target}: the cursor {} is deleted", of.cursor));
    Ok(Exit::Done)
}

async fn tell(node: &Node, target: &Target, cursor: &CursorInfo, as_json: bool) -> Result<Exit> {
    let channel = match node.info(target.to_string()).await {
        Ok(info) => Some(info),
        Err(error) if error.kind() == ErrorKind::NoChannel => None,
        Err(error) => return Err(error.into()),
    };
    if as_json {
        return print(&[json(cursor, channel.as_ref()).to_string()]);
    }
    let taken = match cursor.taken {
        0 => "nobody has taken it".to_owned(),
        taken if taken == cursor.generation => format!("under generation {taken}"),
        taken => format!("under generation {taken}, and set since"),
    };
    let behind = behind(cursor, channel.as_ref());
    let rows = [
        ("cursor", cursor.key.cursor.to_string()),
        ("channel", cursor.key.channel.to_string()),
        ("stands", place(cursor)),
        ("behind", behind.map_or_else(|| state(cursor, channel.as_ref()).to_owned(), |n| n.to_string())),
        ("moved", when::rfc3339(cursor.moved)),
        ("made", when::rfc3339(cursor.created)),
        ("taken", taken),
    ];
    print(&rows.map(|(name, value)| format!("{name:8} {value}")))
}

/// The offset, for people.
fn place(cursor: &CursorInfo) -> String {
    match cursor.position.only() {
        Some(position) => format!("at offset {}", position.offset),
        None if cursor.position.is_empty() => "before the first record".to_owned(),
        None => format!("in {} logs", cursor.position.len()),
    }
}

/// Records that are not done with; `None` where that cannot be said.
fn behind(cursor: &CursorInfo, channel: Option<&LogInfo>) -> Option<u64> {
    let channel = channel?;
    match cursor.position.only() {
        Some(position) => {
            (position.log == channel.id).then(|| channel.next.0.saturating_sub(position.offset.0))
        }
        None => cursor.position.is_empty().then_some(channel.records()),
    }
}

/// Whether it can be read from.
fn state(cursor: &CursorInfo, channel: Option<&LogInfo>) -> &'static str {
    match channel {
        None => "there is no such channel",
        Some(_) if behind(cursor, channel).is_none() => "another log: the channel was made again",
        Some(_) => "ready",
    }
}

fn json(cursor: &CursorInfo, channel: Option<&LogInfo>) -> Value {
    let position: Vec<Value> = cursor
        .position
        .iter()
        .map(|at| json!({ "log": at.log.to_string(), "epoch": at.epoch.0, "offset": at.offset.0 }))
        .collect();
    json!({
        "channel": cursor.key.channel.as_str(),
        "cursor": cursor.key.cursor.as_str(),
        "offset": cursor.position.only().map(|position| position.offset.0),
        "behind": behind(cursor, channel),
        "state": state(cursor, channel),
        "position": position,
        "generation": cursor.generation,
        "taken": cursor.taken,
        "created": when::rfc3339(cursor.created),
        "moved": when::rfc3339(cursor.moved),
    })
}

fn table<'a>(cursors: &[CursorInfo], channel: impl Fn(&CursorInfo) -> Option<&'a LogInfo>) -> Vec<String> {
    let width = |texts: &mut dyn Iterator<Item = usize>, least: usize| texts.max().unwrap_or(0).max(least);
    let of_channel = width(&mut cursors.iter().map(|c| c.key.channel.as_str().chars().count()), 7);
    let of_cursor = width(&mut cursors.iter().map(|c| c.key.cursor.as_str().len()), 6);
    let row = |channel: &str, cursor: &str, offset: &str, behind: &str, moved: &str| {
        format!("{channel:of_channel$}  {cursor:of_cursor$}  {offset:>12}  {behind:>12}  {moved}")
    };
    let head = row("CHANNEL", "CURSOR", "OFFSET", "BEHIND", "MOVED");
    let rows = cursors.iter().map(|cursor| {
        let offset = cursor.position.only().map_or_else(|| "-".into(), |at| at.offset.to_string());
        let behind = behind(cursor, channel(cursor)).map_or_else(|| "-".into(), |count| count.to_string());
        let (channel, name) = (cursor.key.channel.as_str(), cursor.key.cursor.as_str());
        row(channel, name, &offset, &behind, &when::rfc3339(cursor.moved))
    });
    if cursors.is_empty() { Vec::new() } else { std::iter::once(head).chain(rows).collect() }
}
