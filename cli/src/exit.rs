//! How the program ends: its exit codes.

use std::process::ExitCode;

/// What the exit code says. Where several hold, the largest is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    #[default]
    Done = 0,
    /// An error, told on stderr.
    Error = 1,
    /// The command line (then it is clap that says so), a variable or the configuration file is not understood.
    Usage = 2,
    /// Done, but records that were asked for were gone.
    Gap = 3,
    /// Done, but the log was rolled back behind what had been received.
    Truncated = 4,
    /// A command that `recv --exec` ran has failed.
    Command = 5,
    /// Stopped cleanly by Ctrl-C.
    Interrupted = 130,
    /// Stopped cleanly by SIGTERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
