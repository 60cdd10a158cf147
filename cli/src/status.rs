//! What is said on stderr: in a pipe only what matters, on a terminal what happens.

use std::fmt::Display;
use std::io::IsTerminal;

/// How talkative the program is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    talks: bool,
}

impl Status {
    /// Talks if asked to, or if a person is there to see it.
    pub(crate) fn new(verbose: bool, quiet: bool) -> Status {
        Status { talks: verbose || (!quiet && std::io::stderr().is_terminal()) }
    }

    /// Something that happens, for who watches.
    pub(crate) fn say(self, what: impl Display) {
        if self.talks {
            tell(format_args!("\x1b[2mnetchan: {what}\x1b[0m"));
        }
    }

    /// Something that a script should know too.
    pub(crate) fn warn(self, what: impl Display) {
        tell(format_args!("\x1b[33mnetchan: {what}\x1b[0m"));
    }
}

/// The reason why the program fails.
pub(crate) fn fail(why: impl Display) {
    tell(format_args!("\x1b[1;31mnetchan: {why}\x1b[0m"));
}

/// A line goes out in one write, so that who shares stderr, or reads it meanwhile, never meets half of one.
/// Nobody may be left to read it: then it is lost, and that is all.
fn tell(what: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let stderr = std::io::stderr();
    let mut line = anstream::AutoStream::new(Vec::new(), anstream::AutoStream::choice(&stderr));
    let _ = writeln!(line, "{what}");
    let _ = stderr.lock().write_all(&line.into_inner());
}
