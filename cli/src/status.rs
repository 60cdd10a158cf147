//! What is said on stderr: in a pipe only what matters, on a terminal what happens.
//!
//! The one door to stderr, for the program's own words and for the library's log: a line is one write, what it quotes
//! can neither begin another line nor command the terminal, and what comes again and again is counted, not repeated.

use std::fmt::{self, Display, Write as _};
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::Level;

use crate::args::Color;
use crate::progress;
use crate::repeats::{Held, LINES, Repeats, Verdict};
use crate::shown::steers;

const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[1;31m";

static HUSHED: AtomicBool = AtomicBool::new(false);
static REPEATS: Mutex<Repeats> = Mutex::new(Repeats::new());

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

    /// Whether a person watches, to whom long work may show how far it is.
    pub(crate) fn is_watched(self) -> bool {
        self.talks && std::io::stderr().is_terminal()
    }

    /// Something that happens, for who watches.
    pub(crate) fn say(self, what: impl Display) {
        if self.talks {
            tell(DIM, what);
        }
    }

    /// Something that a script should know too.
    pub(crate) fn warn(self, what: impl Display) {
        tell(YELLOW, what);
    }

    /// As [`say`](Self::say), of a kind that may come in storms: beyond so many a minute they are counted.
    pub(crate) fn say_often(self, kind: &'static str, what: impl Display) {
        if self.talks {
            tell_often(DIM, kind, &what.to_string());
        }
    }

    /// As [`warn`](Self::warn), of a kind that may come in storms: beyond so many a minute they are counted.
    pub(crate) fn warn_often(self, kind: &'static str, what: impl Display) {
        tell_often(YELLOW, kind, &what.to_string());
    }
}

/// Whether what is said has colours, from now on.
pub(crate) fn color(when: Color) {
    let choice = match when {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether what is drawn on stdout has colours.
pub(crate) fn has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// While it lives nothing is said, because the terminal shows something else.
#[derive(Debug)]
#[must_use = "it is said again when this is dropped"]
pub(crate) struct Hush(());

/// From now on nothing is said on stderr.
pub(crate) fn hush() -> Hush {
    HUSHED.store(true, Ordering::Release);
    Hush(())
}

impl Drop for Hush {
    fn drop(&mut self) {
        HUSHED.store(false, Ordering::Release);
    }
}

/// The reason why the program fails.
pub(crate) fn fail(why: impl Display) {
    tell(RED, why);
}

/// A line of the log, which is counted among its kind if it has one.
pub(crate) fn log(level: Level, kind: Option<&'static str>, line: &str) {
    let colour = match level {
        Level::ERROR => RED,
        Level::WARN => YELLOW,
        _ => DIM,
    };
    let line = format!("{:.3} {line}", jiff::Timestamp::now());
    match kind {
        Some(kind) => tell_often(colour, kind, &line),
        None => tell(colour, line),
    }
}

/// Nothing more will be said: what was held back is told now.
pub(crate) fn settle() {
    let held = repeats().all();
    tell_held(held);
}

fn tell_often(colour: &str, kind: &'static str, line: &str) {
    let now = Instant::now();
    let (held, verdict) = {
        let mut repeats = repeats();
        (repeats.due(now), repeats.ask(kind, line, now))
    };
    tell_held(held);
    match verdict {
        Verdict::Tell => tell(colour, line),
        Verdict::Hold { due: None } => {}
        Verdict::Hold { due: Some(due) } => {
            // Perhaps nothing else is said by then. Without the thread the next line tells it, or the end.
            let later = move || {
                std::thread::sleep(due.saturating_duration_since(now));
                let held = repeats().due(Instant::now());
                tell_held(held);
            };
            let _ = std::thread::Builder::new().name("held-back".into()).spawn(later);
        }
    }
}

fn tell_held(held: Vec<Held>) {
    for Held { count, last } in held {
        tell(YELLOW, format_args!("and {count} more like this (after {LINES} within a minute): {last}"));
    }
}

fn repeats() -> MutexGuard<'static, Repeats> {
    REPEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line goes out in one write, so that who shares stderr, or reads it meanwhile, never meets half of one.
/// Nobody may be left to read it: then it is lost, and that is all.
fn tell(colour: &str, what: impl Display) {
    if HUSHED.load(Ordering::Acquire) {
        return;
    }
    let stderr = std::io::stderr();
    let mut line = anstream::AutoStream::new(Vec::new(), anstream::AutoStream::choice(&stderr));
    let _ = writeln!(line, "{colour}netchan: {}\x1b[0m", Plain(what));
    let line = line.into_inner();
    progress::beside(|| {
        let _ = stderr.lock().write_all(&line);
    });
}

/// As it is said, but that characters which command a terminal, or turn the direction of what follows, are shown as
/// escapes.
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(steers) {
            let mut chars = part.chars();
            match chars.next_back() {
                Some(last) if steers(last) => {
                    self.0.write_str(chars.as_str())?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_cannot_command_the_terminal_nor_begin_a_line() {
        let hostile = "a\x1b[2Jb\nnetchan: all is well\r\u{202e}c\u{9b}31m\0é";
        let plain = Plain(hostile).to_string();
        assert_eq!(plain, r"a\u{1b}[2Jb\nnetchan: all is well\r\u{202e}c\u{9b}31m\u{0}é");
        assert_eq!(Plain("as it is: é, 日本").to_string(), "as it is: é, 日本");
    }
}
