//! The command lines of `netchan ls`, `info`, `seal` and `rm`.

use clap::Args;

use super::channel::Home;

/// List the channels of this machine or of another node
#[derive(Clone, Debug, Args)]
pub(crate) struct Ls {
    /// PREFIX, HOST:PORT or HOST:PORT/PREFIX
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) place: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Tell about one channel
#[derive(Clone, Debug, Args)]
pub(crate) struct Info {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Say that a channel is complete: receivers end, later sends are refused
#[derive(Clone, Debug, Args)]
pub(crate) struct Seal {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Delete a channel with all its records
#[derive(Clone, Debug, Args)]
pub(crate) struct Rm {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}
