//! The command lines of `netchan bench` and `netchan bench soak`.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::channel::Durability;
use super::units::size;

const BENCH_HELP: &str = "\
Two processes over loopback TCP, one send and one recv call a record; each figure beside what this machine can do at \
most, measured in the same run: bare framed TCP of the same bytes, write + fdatasync, fdatasync alone, memcpy. Runs of all \
kinds take turns, so that what the machine does meanwhile hits all alike; figures are medians over the runs. In each \
run a channel that does not count warms the machine up, and of several runtimes another one is the first.

Latency is counted from the moment at which a record was due, not from when the sender came to send it: a stall \
delays all records that were due meanwhile, and shows (no coordinated omission).

`netchan bench` measures everything, which takes some minutes; `netchan bench --check` is the same, and fails if a figure is \
not what it must be.

Examples:
  netchan bench stream catch-up --size 64,1K --seconds 0.2 --runs 3   # two cases, two sizes
  netchan bench publish --durability interval --seconds 0.2 --runs 1 --json | jq .rows
  netchan bench publish --keys 1000 --seconds 0.2 --runs 1            # records with keys
  netchan bench fan-out --receivers 3 --size 1K --seconds 0.1 --runs 1
  netchan bench latency --rate 2000 --seconds 0.5 --runs 1 --plots plots   # plots/latency.svg
  netchan bench stream --runtimes tokio,smol,std --seconds 0.2 --runs 1   # side by side
  netchan bench filter --size 100 --seconds 0.2 --runs 1
  netchan bench channels --channels 50 --rate 500 --seconds 0.5 --runs 1
  netchan bench idle --channels 50 --connections 50 --settle 0.5 --runs 1 --check
  netchan bench stream --dir . --seconds 0.2 --runs 1   # on the disk of this directory
  netchan bench stream --connect build7:4747 --token s3cret --seconds 0.2 --runs 1
  netchan bench soak --minutes 0.05   # a node at half its top rate, watched";

/// Measure how fast channels are here, beside the limits of this machine
#[derive(Clone, Debug, Args)]
#[command(after_help = BENCH_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    /// What to measure [default: everything]
    #[arg(value_enum, value_name = "CASE")]
    pub(crate) cases: Vec<Case>,
    /// Payload sizes, one or several
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = size, default_value = "100,1K")]
    pub(crate) size: Vec<u64>,
    /// When a record counts as sent [default: sync; latency: os and sync]
    #[arg(long, value_enum)]
    pub(crate) durability: Option<Durability>,
    /// What stream and latency run on, one runtime or several side by side
    #[arg(long, value_enum, value_name = "RUNTIMES", value_delimiter = ',', default_value = "tokio")]
    pub(crate) runtimes: Vec<Runtime>,
    /// Receivers of one channel in fan-out
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) receivers: NonZeroU32,
    /// Channels, in channels and idle
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) channels: NonZeroU32,
    /// Connections that wait, in idle
    #[arg(long, value_name = "N", default_value = "2000")]
    pub(crate) connections: NonZeroU32,
    /// Records with keys, so many different ones in turn; without it they have none
    #[arg(long, value_name = "N")]
    pub(crate) keys: Option<NonZeroU32>,
    /// Records a second, in latency, and over all channels in channels
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) rate: NonZeroU64,
    /// How long each measurement sends
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How long a node's memory must stand still before it is read, in idle: a log rests after 10 s without use
    #[arg(long, value_name = "SECONDS", default_value = "12", value_parser = seconds)]
    pub(crate) settle: f64,
    /// Runs that the medians are taken of
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) runs: NonZeroU32,
    /// Everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// End with exit code 1 if a figure is not what it must be
    #[arg(long)]
    pub(crate) check: bool,
    /// Draw latency.svg and sizes.svg into this directory, of what was measured
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// Where the channels are kept meanwhile [default: the system's directory for such things]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Send and receive through this node, instead of one of its own
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Option<String>,
    /// The secret that both sides of a connection must hold (better: NETCHAN_TOKEN or --token-file, which
    /// other users of this machine cannot see)
    #[arg(long, value_name = "TOKEN", env = "NETCHAN_TOKEN", hide_default_value = true)]
    pub(crate) token: Option<String>,
    /// Be one process of a bench, as the first line of stdin says
    #[arg(long, hide = true)]
    pub(crate) role: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Mode {
    Soak(Soak),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Sending, with nobody receiving, until all is durable
    Publish,
    /// Receiving what is being sent
    Stream,
    /// Receiving what was sent before, from a node that has just started
    CatchUp,
    /// From the moment a record is due until it is received, at an even rate
    Latency,
    /// As stream, with several receivers of the one channel
    FanOut,
    /// Many channels at an even rate: until each record is durable
    Channels,
    /// A filter that passes one record of a hundred, beside receiving all of them; and one over lines of JSON, beside reading each
    Filter,
    /// What a node costs that does nothing: alone, each connection, each channel
    Idle,
}

/// What the two sides of a stream run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
    /// Plain threads, no runtime
    Std,
}

const SOAK_HELP: &str = "\
A node (`netchan serve`), a process that sends and one that receives. It first finds the rate that they reach, then sends \
at half of it, while its oldest records are trimmed all the time, and watches the node. It ends with exit code 1 if \
memory, descriptors or threads grow, or a record is missing.

Examples:
  netchan bench soak --minutes 0.05 --size 1K --keep-size 64M --json | jq .verdicts
  netchan bench soak --minutes 0.05 --plots plots --dir .   # plots/soak.svg, this disk";

/// Watch a node at half its top rate, with retention on: nothing may grow
#[derive(Clone, Debug, Args)]
#[command(after_help = SOAK_HELP)]
pub(crate) struct Soak {
    /// How long
    #[arg(long, value_name = "MINUTES", default_value = "20", value_parser = seconds)]
    pub(crate) minutes: f64,
    /// Payload size
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "100")]
    pub(crate) size: u64,
    /// What the channel may take on disk before its oldest records go
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1G")]
    pub(crate) keep_size: u64,
    /// Everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw soak.svg into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// Where the channel is kept meanwhile [default: the system's directory for such things]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// A length of time that is worth measuring, and ends.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.01..=100_000.0).contains(&number) => Ok(number),
        _ => Err("a number between 0.01 and 100000 is wanted".into()),
    }
}
