//! The command line of `netchan repair`.

use clap::Args;

use super::channel::Home;

const AFTER_HELP: &str = "\
It destroys nothing. A damaged file is copied to one that ends in .bad beside it, what holds in it stays, and records that \
are lost are declared so: receivers are told a gap, and netchan verify holds it to be well. A power cut meanwhile leaves the \
old damage or the new state; repairing again goes on. The node that holds the directory has to be stopped first. Exit code 1: \
something was left as it was, and the report says what to do.

Examples:
  netchan repair --dry-run              # what would be done, for every channel of this machine
  netchan repair app                    # one of them
  netchan repair ./data --json          # another data directory, for a script
  netchan repair && netchan verify";

/// Set aside what is damaged, keep what holds, and declare what is lost
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Repair {
    /// A channel of this machine, or a data directory (one that is there, or has a / or . in front); without one, all of this machine
    #[arg(value_name = "DIR|NAME")]
    pub(crate) target: Option<String>,
    /// Change nothing, and say the same
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object a channel
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}
