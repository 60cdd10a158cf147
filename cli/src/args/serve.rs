//! The command line of `netchan serve`.

use clap::Args;

use super::channel::{Home, Listen};

const SERVE_HELP: &str = "\
With --stdio it speaks over stdin and stdout, to whoever started it (`--via 'ssh HOST netchan serve --stdio'`): \
no port is opened, and no token asked for, because whoever can start it can read the directory as well.";

/// Be this machine's node: keep its channels readable while nobody sends
#[derive(Clone, Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// Serve one peer over stdin and stdout
    #[arg(long, conflicts_with_all = ["listen", "insecure", "metrics"])]
    pub(crate) stdio: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}
