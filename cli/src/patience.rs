//! How long nobody may be there before it is an error.
//!
//! Owns when the program stops waiting: for a host that does not answer, a command that ends, a channel that is not made. By
//! itself the library waits for ever, for either side may come first; who asks for what is there now, or goes through
//! a command, wants to be told at once that nothing is.

use std::path::PathBuf;
use std::time::Duration;

use netchan::{Error, ErrorKind, Event, Target};
use tokio::time::{Instant, sleep, sleep_until};

use crate::status::Status;

/// Once something was there, this much is waited for its return where waiting is limited.
const RETURN: Duration = Duration::from_secs(30);
/// Of two programs that begin at once in one directory, one is not quite the node yet when the other calls it.
const COMING: Duration = Duration::from_secs(2);
/// A node of this machine that answers does so within much less.
const SILENT: Duration = Duration::from_secs(1);

/// Waits for the other side, up to a limit.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Before the first connection, and after it. `None`: for ever.
    first: Option<Duration>,
    later: Option<Duration>,
    has_been: bool,
    /// Whether a node of this machine is meant, which others may just be starting.
    here: bool,
    /// Since when nothing is there, and why.
    missing: Option<(Instant, Error)>,
    /// Who is waited for, and how the library calls it.
    target: String,
    name: String,
}

impl Patience {
    /// As long as `said`. If nothing was: for ever, but where it is `pressed`, not at all for the first connection. One that
    /// was there and is lost may come back meanwhile: for ever if it `follows`, or else for half a minute.
    pub(crate) fn new(target: &Target, said: Option<Duration>, pressed: bool, follows: bool) -> Patience {
        Patience::of((target.to_string(), target.name.to_string()), said, pressed, follows)
    }

    /// As [`new`](Self::new), for who is called the first by the user, and the second by the library.
    pub(crate) fn of(
        (target, name): (String, String),
        said: Option<Duration>,
        pressed: bool,
        follows: bool,
    ) -> Patience {
        let (first, later) = match said {
            Some(_) => (said, said),
            None => (pressed.then_some(Duration::ZERO), (!follows).then_some(RETURN)),
        };
        Patience { first, later, has_been: false, here: false, missing: None, target, name }
    }

    /// The same for this machine's node, if it is: who just becomes it may take a moment.
    pub(crate) fn here(mut self, here: bool) -> Patience {
        self.here = here;
        self
    }

    /// Takes note of what happened at `now`.
    pub(crate) fn see(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Opened { .. } | Event::Resumed { .. } => self.found(),
            Event::Lost { why, .. } => self.miss(why.clone(), now),
            Event::Waiting => self.miss(Error::new(ErrorKind::NoChannel, "there is no such channel"), now),
            _ => {}
        }
    }

    /// Somebody is there, be there channels or not.
    pub(crate) fn found(&mut self) {
        (self.has_been, self.missing) = (true, None);
    }

    fn miss(&mut self, why: Error, now: Instant) {
        let since = self.missing.take().map_or(now, |(since, _)| since);
        self.missing = Some((since, why));
    }

    fn limit(&self) -> Option<Duration> {
        let is_coming = |(_, why): &(Instant, Error)| self.here && why.kind() == ErrorKind::Unreachable;
        match self.missing.as_ref().is_some_and(is_coming) {
            _ if self.has_been => self.later,
            true => self.first.map(|first| first.max(COMING)),
            false => self.first,
        }
    }

    /// When it is lost, as things are.
    fn ends(&self) -> Option<Instant> {
        let (since, _) = self.missing.as_ref()?;
        since.checked_add(self.limit()?)
    }

    /// Ready when it is lost, with the last reason. Cancel safe.
    pub(crate) async fn lost(&self) -> anyhow::Error {
        match (self.ends(), &self.missing, self.limit()) {
            (Some(ends), Some((_, why)), Some(limit)) => {
                sleep_until(ends).await;
                let (target, why) = (&self.target, why.to_string());
                let why = why.strip_prefix(&format!("{}: ", self.name)).unwrap_or(&why);
                if limit.is_zero() {
                    anyhow::anyhow!("{target}: {why}; to wait for it, say --wait 30s")
                } else {
                    anyhow::anyhow!("{target}: {why}; waited {limit:?} for it")
                }
            }
            _ => std::future::pending().await,
        }
    }
}

/// Tells who waits that this machine's node says nothing: a program that holds the directory and hangs, or is none of ours.
#[derive(Debug)]
pub(crate) struct Silence {
    dir: PathBuf,
    /// When it has lasted long enough to be told; `None` once somebody answered, or it was told.
    ends: Option<Instant>,
}

impl Silence {
    /// Begins now, where another program has `dir`, and never where that is `None`.
    pub(crate) fn new(dir: Option<PathBuf>) -> Silence {
        let ends = dir.is_some().then(|| Instant::now() + SILENT);
        Silence { dir: dir.unwrap_or_default(), ends }
    }

    /// Takes note of what happened.
    pub(crate) fn see(&mut self, event: &Event) {
        if matches!(event, Event::Opened { .. } | Event::Resumed { .. } | Event::Waiting) {
            self.ends = None;
        }
    }

    /// Somebody answered.
    pub(crate) fn is_broken(&mut self) {
        self.ends = None;
    }

    /// Ready when it is to be told. Cancel safe.
    pub(crate) async fn lasts(&self) {
        match self.ends {
            Some(ends) => sleep_until(ends).await,
            None => std::future::pending().await,
        }
    }

    /// Tells it, once.
    pub(crate) fn tell(&mut self, status: Status) {
        self.ends = None;
        status.warn(format_args!(
            "another program holds {} and does not answer: waiting for it (netchan doctor tells who it is)",
            self.dir.display()
        ));
    }
}

/// Ready when a first answer was waited for as long as was said, and there is not even a failure.
pub(crate) async fn no_answer(target: &str, wait: Option<Duration>) -> anyhow::Error {
    match wait.filter(|wait| !wait.is_zero()) {
        Some(wait) => {
            sleep(wait).await;
            anyhow::anyhow!("{target}: no answer; waited {wait:?} for it")
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Event {
        let why = Error::new(ErrorKind::Unreachable, "host: nobody there");
        Event::Lost { why, retry_in: Duration::ZERO }
    }

    fn resumed() -> Event {
        Event::Resumed { at: 0 }
    }

    fn new(said: Option<u64>, pressed: bool, follows: bool) -> Patience {
        Patience::new(&"x".parse().unwrap(), said.map(Duration::from_secs), pressed, follows)
    }

    /// Seconds after the first of these events, which come a second apart, until it is lost.
    fn after(mut patience: Patience, events: &[Event]) -> Option<u64> {
        let began = Instant::now();
        for (event, second) in events.iter().zip(0..) {
            patience.see(event, began + Duration::from_secs(second));
        }
        patience.ends().map(|ends| (ends - began).as_secs())
    }

    #[test]
    fn by_itself_it_waits_for_ever() {
        for events in [vec![], vec![lost()], vec![Event::Waiting], vec![resumed(), lost()]] {
            assert_eq!(after(new(None, false, true), &events), None, "{events:?}");
        }
    }

    #[test]
    fn who_wants_what_is_there_is_told_at_once_that_nothing_is() {
        let pressed = || new(None, true, false);
        assert_eq!(after(pressed(), &[lost()]), Some(0));
        assert_eq!(after(pressed(), &[]), None);
        assert_eq!(after(pressed(), &[resumed()]), None);
        assert_eq!(after(pressed(), &[resumed(), lost()]), Some(31), "what was there may come back");
        assert_eq!(after(new(None, true, true), &[resumed(), lost()]), None);
        assert_eq!(after(pressed().here(true), &[lost()]), Some(2), "who just becomes the node");
        assert_eq!(after(pressed().here(true), &[Event::Waiting]), Some(0));
    }

    #[test]
    fn what_was_said_holds_before_and_after_and_counts_from_the_first_loss() {
        let said = || new(Some(7), true, false);
        for events in [vec![lost()], vec![Event::Waiting], vec![lost(), lost()], vec![Event::Waiting, lost()]]
        {
            assert_eq!(after(said(), &events), Some(7), "{events:?}");
        }
        assert_eq!(after(said(), &[resumed(), lost(), lost()]), Some(8));
        assert_eq!(after(said(), &[lost(), resumed()]), None);
    }
}
