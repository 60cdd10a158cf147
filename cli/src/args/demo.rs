//! The command line of `netchan demo`.

use clap::Args;

const DEMO_HELP: &str = "\
Examples:
  netchan demo --keep                          # see it killed, and nothing lost";

/// See a sender and a receiver killed midway, and nothing lost, doubled or out of order
#[derive(Clone, Debug, Args)]
#[command(after_help = DEMO_HELP)]
pub(crate) struct Demo {
    /// Keep the directory with the demo's files and channels
    #[arg(long)]
    pub(crate) keep: bool,
}
