//! The command line of `netchan doctor`.

use clap::Args;

use super::channel::{Home, Listen};

const DOCTOR_HELP: &str = "\
It looks, and changes nothing: the file that it writes to time the disk has no name, and is gone when it ends. Each line \
is `ok`, `warning` (it works, but look at it) or `problem` (it does not, and what to do). The exit code is 1 if there is \
a problem.

Examples:
  netchan doctor
  netchan doctor --listen 127.0.0.1:4748 --json | jq 'select(.verdict != \"ok\")'
  netchan doctor @prod build7:4747   # do they answer, and what time is it there?";

/// Look whether all is well: configuration, directory, disk, clock, limits, ports, other nodes
#[derive(Clone, Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct Doctor {
    /// Other nodes to ask: HOST:PORT or @PLACE [default: all places of the configuration file]
    #[arg(value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) home: Home,
}
