//! `netchan create`, `set` and `truncate`: how a channel is kept, here or on another node; and what `info` tells of it.

use std::io::{self, IsTerminal};

use anyhow::{Result, bail};
use netchan::{Before, Error, LogOptions, Node, Offset, Partitions, Retention, Settings, Target, WhenFull};
use serde_json::{Value, json};

use crate::amounts::{bytes, counted};
use crate::args::{self, Keeping};
use crate::exit::Exit;
use crate::partitions::{is_of_all, parts};
use crate::status::Status;
use crate::when;

pub(crate) async fn create(args: args::Create, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    let node = args.home.reach(&target).await?;
    if args.partitions.is_some() && target.name.partition().is_some() {
        bail!("{target} is a partition: say the channel's own name");
    }
    let mut settings = settings(&args.keeping);
    if let Some(count) = args.partitions {
        settings = settings.partitions(Some(Partitions::new(count)?));
    }
    let made = node.create(target.to_string(), settings).await?;
    let with = match args.partitions {
        Some(count) => format!(" with {}, each", counted(count.into(), "partition")),
        None => ",".to_owned(),
    };
    status.say(format_args!("{target} is there{with} kept so: {}", words(&retention(&made.settings))));
    Ok(Exit::Done)
}

/// What the flags say of a channel that is made.
fn settings(keeping: &Keeping) -> Settings {
    let (durability, retention) = (keeping.durability(), keeping.retention());
    Settings::default().durability(durability).retention(retention).unsealable(keeping.unsealable)
}

pub(crate) async fn set(args: args::Set, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    let node = args.home.reach(&target).await?;
    let changes = changes(&args);
    match change(&node, &target, &changes, status).await {
        Err(error) if is_of_all(&error, &target) => {
            for part in parts(&node, &target).await? {
                change(&node, &part, &changes, status).await?;
            }
        }
        done => done?,
    }
    Ok(Exit::Done)
}

async fn change(node: &Node, target: &Target, changes: &Settings, status: Status) -> Result<(), Error> {
    let before = first(node, target).await;
    let kept = node.change(target.to_string(), changes.clone()).await?;
    let went = went(before, first(node, target).await).map(|went| format!("; {went} went"));
    let words = words(&retention(&kept.settings));
    status.say(format_args!("{target} is kept so: {words}{}", went.unwrap_or_default()));
    Ok(())
}

/// Where a channel begins, if that is told: who may change it need not have the right to read.
async fn first(node: &Node, target: &Target) -> Option<Offset> {
    Some(node.info(target.to_string()).await.ok()?.first)
}

fn went(before: Option<Offset>, after: Option<Offset>) -> Option<String> {
    let went = after?.0.saturating_sub(before?.0);
    (went > 0).then(|| counted(went, "record"))
}

/// What the flags say of a channel that is there.
fn changes(args: &args::Set) -> Settings {
    let mut all = Settings::default();
    macro_rules! said {
        ($($flag:ident as $setting:ident;)*) => {
            $(if let Some(limit) = args.$flag {
                all = all.$setting(limit.0);
            })*
        };
    }
    said! {
        keep_age as max_age;
        keep_size as max_bytes;
        keep_records as max_records;
        keep_free as min_free;
        least_size as keep_bytes;
        least_records as keep_records;
        ceiling as ceiling;
        hold_cursors as hold_cursors;
    }
    match args.when_full {
        Some(when_full) => all.when_full(when_full.into()),
        None => all,
    }
}

pub(crate) async fn truncate(args: args::Truncate, status: Status) -> Result<Exit> {
    let target: Target = args.target.parse()?;
    let node = args.home.reach(&target).await?;
    let before = match args.before {
        args::Before::Offset(offset) => Before::Offset(Offset(offset)),
        args::Before::Time(time) => Before::Time(time.at(when::now())),
    };
    if !args.yes {
        ask(&node, &target, before).await?;
    }
    match cut(&node, &target, before, status).await {
        Err(error) if is_of_all(&error, &target) => {
            check(&target, before)?;
            for part in parts(&node, &target).await? {
                cut(&node, &part, before, status).await?;
            }
        }
        done => done?,
    }
    Ok(Exit::Done)
}

async fn cut(node: &Node, target: &Target, before: Before, status: Status) -> Result<(), Error> {
    let was = first(node, target).await;
    let start = node.truncate(target.to_string(), before).await?.start;
    let is = first(node, target).await;
    let went = went(was, is).unwrap_or_else(|| "nothing more".to_owned());
    status.say(format_args!("{target} begins at offset {}: {went} went", is.unwrap_or(start)));
    Ok(())
}

/// Of a channel with partitions only a time says the same to each.
fn check(target: &Target, before: Before) -> Result<()> {
    if let Before::Offset(_) = before {
        bail!(
            "{target} has partitions, each with offsets of its own: say which, as {target}@0, or say a time"
        );
    }
    Ok(())
}

/// Asks whether records may go that cannot come back.
async fn ask(node: &Node, target: &Target, before: Before) -> Result<()> {
    let infos = match node.info(target.to_string()).await {
        Err(error) if is_of_all(&error, target) => {
            check(target, before)?;
            node.channels(format!("{target}@")).await?
        }
        info => vec![info?],
    };
    let what = match before {
        Before::Offset(offset) => {
            // Of what is no place in it the node says why.
            let goes = infos.first().filter(|info| offset > info.first && offset <= info.next);
            let Some(info) = goes else { return Ok(()) };
            let count = counted(offset.0 - info.first.0, "record");
            format!("{count} of {target}, offsets {} to {}", info.first, offset.0 - 1)
        }
        Before::Time(time) => {
            if infos.iter().all(|info| info.records() == 0 || info.first_time >= time) {
                return Ok(());
            }
            format!("the records of {target} from before {}", when::rfc3339(time))
        }
    };
    if !io::stdin().is_terminal() {
        bail!("{what} would be gone: say --yes to let them go");
    }
    eprint!("let {what} go? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was truncated");
    }
    Ok(())
}

/// What of a channel's settings is about retention.
pub(crate) fn retention(settings: &Settings) -> Retention {
    settings.over(&LogOptions::default()).retention
}

/// As words: what goes, what stays, what happens where there is no room.
pub(crate) fn words(retention: &Retention) -> String {
    let Retention {
        max_age,
        max_bytes,
        max_records,
        min_free,
        keep_bytes,
        keep_records,
        ceiling,
        hold_cursors,
        when_full,
    } = *retention;
    let age = max_age.map(|age| format!("{:#}", jiff::SignedDuration::try_from(age).unwrap_or_default()));
    let full = match when_full {
        WhenFull::Block => Some("sends wait where there is no room".to_owned()),
        WhenFull::TrimOldest => Some("the oldest go where there is no room".to_owned()),
        _ => None,
    };
    let parts = [
        age.map(|age| format!("at most {age}")),
        max_bytes.map(|size| format!("at most {}", bytes(size))),
        max_records.map(|count| format!("at most {}", counted(count, "record"))),
        min_free.map(|size| format!("leaves {} free", bytes(size))),
        keep_bytes.map(|size| format!("at least {}", bytes(size))),
        keep_records.map(|count| format!("at least {}", counted(count, "record"))),
        ceiling.map(|size| format!("never more than {}", bytes(size))),
        hold_cursors.map(|size| format!("holds up to {} for cursors", bytes(size))),
        full,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

/// As JSON: a limit that is not set is null.
pub(crate) fn json(retention: &Retention) -> Value {
    json!({
        "max_age_ns": retention.max_age.map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
        "max_bytes": retention.max_bytes,
        "max_records": retention.max_records,
        "min_free": retention.min_free,
        "least_bytes": retention.keep_bytes,
        "least_records": retention.keep_records,
        "ceiling": retention.ceiling,
        "hold_cursors": retention.hold_cursors,
        "when_full": match retention.when_full {
            WhenFull::Block => "block",
            WhenFull::TrimOldest => "trim-oldest",
            _ => "fail",
        },
    })
}
