//! The command line of `netchan top`.

use std::time::Duration;

use clap::Args;

use super::channel::Home;
use super::units::length_of_time;

const TOP_HELP: &str = "\
It shows channels with their rates and sizes, readers with how far they are behind, connections, syncs and disk, and goes \
on when the node comes back after a restart. Enter looks into a channel, s sorts, / filters, ? tells all keys. It looks at \
a node that runs; on this machine that is whoever holds the data directory. \
`netchan top` watches this machine's node, `netchan top build7:4747` another one, `netchan top build7:4747/orders` its \
channels whose names begin so. For scripts:

Examples:
  netchan top build7:4747 --once               # what there is to see, as text
  netchan top build7:4747 --once --json --interval 200ms | jq .channels";

/// Watch a node live: channels, rates, readers and their lag, disk
#[derive(Clone, Debug, Args)]
#[command(after_help = TOP_HELP)]
pub(crate) struct Top {
    /// PREFIX, HOST:PORT or HOST:PORT/PREFIX
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) place: String,
    /// How long it is from one look to the next
    #[arg(long, value_name = "TIME", value_parser = length_of_time, default_value = "1s")]
    pub(crate) interval: Duration,
    /// Print one look, as text: two looks in fact, for rates, the interval apart
    #[arg(long)]
    pub(crate) once: bool,
    /// As one JSON object
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}
