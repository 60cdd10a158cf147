//! The command line of `netchan serve`.

use std::path::PathBuf;

use clap::Args;
use netchan::Permissions;
use netchan_proto::permissions::InvalidPermissions;

use super::channel::{Home, Listen};

const SERVE_HELP: &str = "\
With --stdio it speaks over stdin and stdout, to whoever started it (`--via 'ssh HOST netchan serve --stdio'`): \
no port is opened, and no token asked for, because whoever can start it can read the directory as well.

Who holds the token may do everything. Each --grant names a file with another one, and the rights of who holds that: \
read, publish, create, change, seal, delete, truncate, cursors, status, with commas.

Examples:
  netchan serve
  NETCHAN_TOKEN=s3cret netchan serve --listen 0.0.0.0:4747
  netchan serve --data-dir data --listen 0.0.0.0:4747 --token s3cret
  netchan serve --listen 0.0.0.0:4747 --token-file token --grant read,cursors=readers.token
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
    #[arg(long, conflicts_with_all = ["listen", "insecure", "metrics", "grant"])]
    pub(crate) stdio: bool,
    /// Let in who holds the token in this file too, and to nothing but this: may be said again for others (in the variable
    /// with a ; between them)
    #[arg(long, value_name = "RIGHTS=FILE", env = "NETCHAN_GRANT", value_parser = grant, value_delimiter = ';')]
    pub(crate) grant: Vec<Grant>,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// A token in a file, and what who holds it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) may: Permissions,
    pub(crate) file: PathBuf,
}

/// `RIGHTS=FILE`.
fn grant(text: &str) -> Result<Grant, String> {
    match text.split_once('=') {
        Some((rights, file)) if !file.is_empty() => {
            let may = rights.parse().map_err(|error: InvalidPermissions| error.to_string())?;
            Ok(Grant { may, file: file.into() })
        }
        _ => Err("this is RIGHTS=FILE, as in read,cursors=readers.token".into()),
    }
}
