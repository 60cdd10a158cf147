//! The command lines of `netchan ls`, `info`, `seal` and `rm`.

use clap::Args;

use super::channel::Home;

const LS_HELP: &str = "\
Examples:
  netchan ls
  netchan ls logs/ --json | jq -r .name        # those whose names begin so
  netchan ls 'logs/*'                          # one level below
  netchan ls 'build7:4747/logs/**'             # any number of levels
  netchan ls build7:4747                       # those of another node
  netchan ls @prod --token-file token";

/// List the channels of this machine or of another node
#[derive(Clone, Debug, Args)]
#[command(after_help = LS_HELP)]
pub(crate) struct Ls {
    /// PREFIX, HOST:PORT or HOST:PORT/PREFIX; with a * in it a pattern of whole names: * is any text within one level, ** any
    /// number of levels
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) place: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

const INFO_HELP: &str = "\
Examples:
  netchan info app
  netchan info app --json | jq .retention       # how it is kept
  netchan info build7:4747/app --json | jq .durable";

/// Tell about one channel
#[derive(Clone, Debug, Args)]
#[command(after_help = INFO_HELP)]
pub(crate) struct Info {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

const SEAL_HELP: &str = "\
Examples:
  netchan seal app
  netchan seal build7:4747/app";

/// Say that a channel is complete: receivers end, later sends are refused
#[derive(Clone, Debug, Args)]
#[command(after_help = SEAL_HELP)]
pub(crate) struct Seal {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) home: Home,
}

const RM_HELP: &str = "\
Examples:
  netchan rm app --yes
  netchan rm build7:4747/app --yes";

/// Delete a channel with all its records
#[derive(Clone, Debug, Args)]
#[command(after_help = RM_HELP)]
pub(crate) struct Rm {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}
