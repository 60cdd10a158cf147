//! The command line of `netchan send`.

use std::path::PathBuf;

use clap::Args;

use super::channel::{Cutting, Home, Keeping, Listen};
use crate::input::Split;

const SEND_HELP: &str = "\
The lines of FILE, or of stdin as they arrive, become records. It ends when all of them are durable. If the \
machine's node runs already (another `send`, or `serve`), they are sent through it; otherwise this process is \
the node, and others can read from it while it runs.

What is not ended by a delimiter at the end of the input is a record too, marked by the header `unterminated`, \
so that `recv` gives out exactly the bytes that went in.

Examples:
  tail -f app.log | netchan send app
  netchan send orders orders.csv --resume --seal     # run it again after a crash: no line twice, none lost
  find / -print0 | netchan send -0 files
  netchan send build7:4747/app app.log               # into a channel of another node
  netchan send app app.log --via 'ssh build7 netchan serve --stdio'";

/// Send lines into a channel
#[derive(Clone, Debug, Args)]
#[command(after_help = SEND_HELP)]
pub(crate) struct Send {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// What to send; stdin if it is missing or `-`
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cutting: Cutting,
    /// The whole input is one record
    #[arg(long, conflicts_with_all = ["null", "delimiter"])]
    pub(crate) whole: bool,
    /// Go on where an earlier run of the same command with FILE ended, even by SIGKILL. A FILE whose beginning
    /// has changed since is refused
    #[arg(long, requires = "file")]
    pub(crate) resume: bool,
    /// Say at the end that the channel is complete: receivers end, later sends are refused
    #[arg(long)]
    pub(crate) seal: bool,
    /// Stay when all is sent, so that others can read, until interrupted
    #[arg(long)]
    pub(crate) serve: bool,
    /// Write to stdout how many records of this input are durable, one line each time it is more
    #[arg(long)]
    pub(crate) acks: bool,
    /// Send at most so many records a second
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: Option<u64>,
    /// Speak over stdin and stdout of this shell command instead of a socket
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["listen", "insecure", "metrics", "serve"])]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) home: Home,
}

impl Send {
    /// How the input is cut.
    pub(crate) fn split(&self) -> Split {
        if self.whole { Split::Whole } else { Split::At(self.cutting.bytes()) }
    }
}
