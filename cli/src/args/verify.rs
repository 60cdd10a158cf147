//! The command line of `netchan verify`.

use clap::Args;

use super::channel::Home;

const AFTER_HELP: &str = "\
Examples:
  netchan verify                         # every channel of this machine, also beside its node
  netchan verify app --json              # one of them, for a script
  netchan verify --data-dir . || true    # another data directory
  netchan verify build7:4747/app         # one on another machine, by receiving it all

It takes no lock and changes nothing. What the node is writing just now is no damage. The exit
code is 1 if anything does not hold.";

/// Read everything, check every checksum and order, and say what is wrong where
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// The channels: NAME, or HOST:PORT/NAME; without any, all of this machine
    #[arg(value_name = "CHANNEL")]
    pub(crate) targets: Vec<String>,
    /// One JSON object a channel
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}
