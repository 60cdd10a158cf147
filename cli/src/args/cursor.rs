//! The command lines of `netchan cursor`.

use clap::{Args, Subcommand};

use super::channel::Home;
use super::recv::Start;

const CURSOR_HELP: &str = "\
A cursor is a place in a channel that the node with the channel keeps, under a name, for who receives with \
`netchan recv NAME --cursor CURSOR`: the first record that is not done with. So receiving goes on from any machine where it \
ended on another. It moves only when it is committed, or set here. Who takes it last has it.

Examples:
  netchan cursor ls
  netchan cursor ls build7:4747/app --json | jq .behind
  netchan cursor show app worker
  netchan cursor show app worker --json | jq .offset
  netchan cursor set app fresh --from latest     # makes it, if there is none
  netchan cursor reset app worker --since 1h     # who receives by it goes on from there
  netchan cursor reset @prod/app worker --last 100
  netchan cursor rm app worker";

/// See, move and delete the places that a node keeps for receivers
#[derive(Clone, Debug, Args)]
#[command(after_help = CURSOR_HELP)]
pub(crate) struct Cursor {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum What {
    Ls(CursorLs),
    Show(CursorShow),
    Set(CursorSet),
    Reset(CursorReset),
    Rm(CursorRm),
}

impl What {
    /// The channel or the node that it is about.
    pub(crate) fn target(&mut self) -> &mut String {
        match self {
            What::Ls(args) => &mut args.place,
            What::Show(args) => &mut args.of.target,
            What::Set(args) => &mut args.of.target,
            What::Reset(args) => &mut args.of.target,
            What::Rm(args) => &mut args.of.target,
        }
    }
}

/// Which cursor.
#[derive(Clone, Debug, Args)]
pub(crate) struct Of {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// The cursor's name: letters, digits and . _ -
    pub(crate) cursor: String,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// List the cursors of this machine, of another node, or of a channel
#[derive(Clone, Debug, Args)]
pub(crate) struct CursorLs {
    /// NAME, HOST:PORT or HOST:PORT/NAME
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) place: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Tell about one cursor
#[derive(Clone, Debug, Args)]
pub(crate) struct CursorShow {
    #[command(flatten)]
    pub(crate) of: Of,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Move a cursor to wherever, back too; make it if there is none
#[derive(Clone, Debug, Args)]
pub(crate) struct CursorSet {
    #[command(flatten)]
    pub(crate) of: Of,
    #[command(flatten)]
    pub(crate) start: Start,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Move a cursor that there is to wherever, back too
#[derive(Clone, Debug, Args)]
pub(crate) struct CursorReset {
    #[command(flatten)]
    pub(crate) of: Of,
    #[command(flatten)]
    pub(crate) start: Start,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Delete a cursor
#[derive(Clone, Debug, Args)]
pub(crate) struct CursorRm {
    #[command(flatten)]
    pub(crate) of: Of,
}
