//! The command line of `netchan demo`.

use clap::Args;

/// See a sender and a receiver killed midway, and nothing lost, doubled or out of order
#[derive(Clone, Debug, Args)]
pub(crate) struct Demo {
    /// Keep the directory with the demo's files and channels
    #[arg(long)]
    pub(crate) keep: bool,
}
