//! The command line of `netchan recv`.

use std::path::PathBuf;

use clap::Args;

use super::channel::{Cutting, Home};
use crate::when::{self, When};

const RECV_HELP: &str = "\
Records go to stdout, each with a newline behind it (or what --null or --delimiter say). Without --from, --since \
or --last it begins with what is sent from now on. It waits for a channel that is not there yet, goes on by \
itself after a lost connection, and ends when the channel is sealed.

With --position FILE it goes on where an earlier run ended. FILE is written each time after output was written, \
so after a SIGKILL nothing is missing; what may come twice is the output of one write: at most 64 KiB, or one \
record that is larger. With --output as well, nothing comes twice: the output is cut back to where FILE says.

Examples:
  netchan recv app --from earliest --no-follow
  netchan recv build7:4747/app --since 1h30m --json | jq .payload
  netchan recv app --since 2026-11-21T08:00 --until 2026-11-21T09:00
  netchan recv app --last 100
  netchan recv orders --from earliest --position orders.at --output orders.csv";

/// Receive a channel's records
#[derive(Clone, Debug, Args)]
#[command(after_help = RECV_HELP)]
pub(crate) struct Recv {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) start: Start,
    /// End before the first record of this time or later; times are those of --since
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) until: Option<When>,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End with what is there now; a channel that is not there is an error
    #[arg(long)]
    pub(crate) no_follow: bool,
    #[command(flatten)]
    pub(crate) cutting: Cutting,
    /// One JSON object a line: offset, time, key, headers, payload (or payload_base64 if it is no text)
    #[arg(long, conflicts_with_all = ["null", "delimiter"])]
    pub(crate) json: bool,
    /// Keep the position in this file, and go on from there the next time
    #[arg(long, value_name = "FILE")]
    pub(crate) position: Option<PathBuf>,
    /// Write to this file instead of stdout: behind what is in it, but with --position behind what was
    /// written up to there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Speak over stdin and stdout of this shell command instead of a socket
    #[arg(long, value_name = "COMMAND")]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Where to begin.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Start {
    /// Begin at `earliest`, at `latest` (what is sent from now on) or at an offset
    #[arg(long, value_name = "earliest|latest|OFFSET", value_parser = from)]
    pub(crate) from: Option<From>,
    /// Begin with the first record of this time or later: 10m or 1h30m ago (by the sender's clock),
    /// 2026-11-21, 2026-11-21T08:15, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) since: Option<When>,
    /// Begin with the last N records
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(u64),
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        _ => text
            .parse()
            .map(From::Offset)
            .map_err(|_| "neither earliest, latest nor an offset (--since takes a time)".into()),
    }
}
