//! The command line of `netchan serve`.

use clap::Args;

use super::channel::{Home, Listen};

const SERVE_HELP: &str = "\
With --stdio it speaks over stdin and stdout, to whoever started it (`--via 'ssh HOST netchan serve --stdio'`): \
no port is opened, and no token asked for, because whoever can start it can read the directory as well.

Examples:
  netchan serve
  NETCHAN_TOKEN=s3cret netchan serve --listen 0.0.0.0:4747
  netchan serve --data-dir data --listen 0.0.0.0:4747 --token s3cret
  netchan serve --listen [::1]:4747 --insecure
  netchan serve --metrics 127.0.0.1:9747      # Prometheus asks http://127.0.0.1:9747/metrics
  netchan serve -v --log info,netchan_store=debug --color never
  netchan recv app --last 10 --via 'ssh build7 netchan serve --stdio'";

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
