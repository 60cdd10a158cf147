//! `netchan set` and `truncate`: how a channel of this machine is kept, changed in its directory while no node has it; and what
//! `info` tells of it.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use netchan::{Offset, Retention, Target, WhenFull};
use netchan_proto::ChannelName;
use netchan_store::disk::RealDisk;
use netchan_store::{Kept, Log, Store, StoreError, StoreOptions, kept};
use serde_json::{Value, json};

use crate::admin::bytes;
use crate::args::{self, Before, Home};
use crate::exit::Exit;
use crate::news::counted;
use crate::status::Status;
use crate::when;

pub(crate) fn set(args: &args::Set, status: Status) -> Result<Exit> {
    let (store, log) = open(&args.home, &args.target)?;
    let mut retention = kept_by(&args.home, log.name())?.options.retention;
    args.keep_age.inspect(|limit| retention.max_age = limit.0);
    args.keep_size.inspect(|limit| retention.max_bytes = limit.0);
    args.keep_records.inspect(|limit| retention.max_records = limit.0);
    args.keep_free.inspect(|limit| retention.min_free = limit.0);
    args.least_size.inspect(|limit| retention.keep_bytes = limit.0);
    args.least_records.inspect(|limit| retention.keep_records = limit.0);
    args.ceiling.inspect(|limit| retention.ceiling = limit.0);
    args.when_full.inspect(|when_full| retention.when_full = (*when_full).into());
    let before = log.first();
    let done = log.set_retention(retention);
    let went = log.first().0 - before.0;
    store.close();
    done?;
    let went = if went > 0 { format!("; {} went", counted(went, "record")) } else { String::new() };
    status.say(format_args!("{} is kept so: {}{went}", log.name(), words(&retention)));
    Ok(Exit::Done)
}

pub(crate) fn truncate(args: &args::Truncate, status: Status) -> Result<Exit> {
    let (store, log) = open(&args.home, &args.target)?;
    let done = cut(&log, args);
    let (name, first) = (log.name().clone(), log.first());
    store.close();
    let went = done?;
    status.say(format_args!("{name} begins at offset {first}: {} went", counted(went, "record")));
    Ok(Exit::Done)
}

/// Says how many records went.
fn cut(log: &Log, args: &args::Truncate) -> Result<u64> {
    let (name, first) = (log.name(), log.first());
    let before = match args.before {
        Before::Offset(offset) if offset > log.visible().0 => {
            bail!("offset {offset} is beyond the end of {name}, {}; nothing was changed", log.visible());
        }
        Before::Offset(offset) => Offset(offset),
        Before::Time(time) => log.resolve(&netchan::Start::Time(time.at(when::now())))?.start,
    };
    let count = before.0.saturating_sub(first.0);
    if !args.yes && count > 0 {
        if !io::stdin().is_terminal() {
            bail!("{} of {name} would be gone: say --yes to let them go", counted(count, "record"));
        }
        eprint!("let {} of {name} go, offsets {first} to {}? [y/N] ", counted(count, "record"), before.0 - 1);
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was truncated");
        }
    }
    Ok(log.truncate_before(before)?.0.saturating_sub(first.0))
}

/// The channel's log, in a directory that no node holds.
fn open(home: &Home, target: &str) -> Result<(Store, Log)> {
    let target: Target = target.parse()?;
    if target.remote.is_some() {
        bail!("{target} is on another node: this can only be said on the machine that has the channel");
    }
    let unknown = || anyhow!("there is no channel {}; netchan ls lists those that are there", target.name);
    let dir = home.data_dir()?;
    let disk = RealDisk::existing(&dir).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unknown(),
        _ => anyhow!(error).context(format!("the data directory {} cannot be read", dir.display())),
    })?;
    let store = Store::open(Arc::new(disk), StoreOptions::default()).map_err(|error| match error {
        StoreError::Locked { .. } => {
            anyhow!("a node holds {}; stop it first: nothing was changed", dir.display())
        }
        error => error.into(),
    })?;
    match store.open_existing(&target.name) {
        Ok(Some(log)) => Ok((store, log)),
        Ok(None) => {
            store.close();
            Err(unknown())
        }
        Err(error) => {
            store.close();
            Err(error.into())
        }
    }
}

fn kept_by(home: &Home, name: &ChannelName) -> Result<Kept> {
    let dir = home.data_dir()?;
    let what = || format!("how {name} is kept cannot be read in {}", dir.display());
    let disk = RealDisk::existing(&dir).with_context(what)?;
    kept(&disk, name).with_context(what)?.with_context(what)
}

/// How a channel of this machine is kept, if that can be read; nothing of one on another node.
pub(crate) fn of(home: &Home, target: &Target) -> Option<Kept> {
    if target.remote.is_some() { None } else { kept_by(home, &target.name).ok() }
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
pub(crate) fn json(kept: &Kept) -> Value {
    let retention = &kept.options.retention;
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
