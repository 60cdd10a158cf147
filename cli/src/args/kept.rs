//! The command lines of `netchan create`, `set` and `truncate`.

use std::time::Duration;

use clap::Args;

use super::channel::{Home, Keeping, WhenFull};
use super::units::{Limit, age_limit, count_limit, size_limit};
use crate::when::{self, When};

const CREATE_HELP: &str = "\
A channel that is there already, and is kept just so, is as good; one that is kept otherwise is an error, and stays as it \
is (see netchan set).

Examples:
  netchan create audit --durability sync --unsealable
  netchan create build7:4747/metrics --durability os --keep-age 7d --hold-cursors 20G
  netchan create clicks --partitions 8";

/// Make a channel, here or on another node
#[derive(Clone, Debug, Args)]
#[command(after_help = CREATE_HELP)]
pub(crate) struct Create {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// Make it of so many partitions: the key of a record chooses one of them, those without a key go around
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) partitions: Option<u16>,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) home: Home,
}

const SET_HELP: &str = "\
What is not said stays as it is; `none` takes a limit away. Records go in whole segments, the oldest first, and \
receivers who wanted them are told a gap.

Examples:
  netchan set app --keep-age 30d --keep-size 50G --keep-records 1000000
  netchan set app --keep-free 1M --least-size 10M --least-records 1000
  netchan set app --ceiling 60G --when-full block
  netchan set build7:4747/app --keep-age 7d --hold-cursors 20G
  netchan set app --keep-age none";

/// Say how a channel is kept from now on
#[derive(Clone, Debug, Args)]
#[command(after_help = SET_HELP)]
pub(crate) struct Set {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// Trim records older than this, or `none`
    #[arg(long, value_name = "AGE", value_parser = age_limit)]
    pub(crate) keep_age: Option<Limit<Duration>>,
    /// Trim the oldest records beyond this size, or `none`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) keep_size: Option<Limit<u64>>,
    /// Trim the oldest records beyond this many, or `none`
    #[arg(long, value_name = "RECORDS", value_parser = count_limit)]
    pub(crate) keep_records: Option<Limit<u64>>,
    /// Trim the oldest records while the volume has less room than this, or `none`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) keep_free: Option<Limit<u64>>,
    /// Whatever is trimmed, leave at least this size, or `none`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) least_size: Option<Limit<u64>>,
    /// Whatever is trimmed, leave at least this many records, or `none`
    #[arg(long, value_name = "RECORDS", value_parser = count_limit)]
    pub(crate) least_records: Option<Limit<u64>>,
    /// Take no more room than this, or `none`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) ceiling: Option<Limit<u64>>,
    /// Trim nothing that a cursor has not passed, until the channel is larger than this, or `none`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) hold_cursors: Option<Limit<u64>>,
    /// What becomes of records for which there is no room
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) when_full: Option<WhenFull>,
    #[command(flatten)]
    pub(crate) home: Home,
}

const TRUNCATE_HELP: &str = "\
All records before the offset, or older than the time, go for good, whatever the channel's retention says; \
receivers who wanted them are told a gap. The newest are never truncated: delete the channel to begin anew.

Examples:
  netchan truncate app --before 100 --yes          # offset 100 is the first then
  netchan truncate app --before 7d --yes           # what is older than a week
  netchan truncate build7:4747/app --before 2026-01-01 --yes";

/// Let the oldest records of a channel go
#[derive(Clone, Debug, Args)]
#[command(after_help = TRUNCATE_HELP)]
pub(crate) struct Truncate {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// The first record to keep: an offset, a time, or so long ago
    #[arg(long, value_name = "OFFSET|TIME", value_parser = place)]
    pub(crate) before: Before,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// A place in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Offset(u64),
    Time(When),
}

/// An offset, a time, or so long ago.
fn place(text: &str) -> Result<Before, String> {
    match text.parse() {
        Ok(offset) => Ok(Before::Offset(offset)),
        Err(_) => when::parse(text).map(Before::Time),
    }
}
