//! `recv --exec COMMAND`: a command a record, one after the other.
//!
//! Owns what a command gets, and what its end means. A record counts as received only when its command has ended well, so
//! after a SIGKILL, or a failure, the next run begins with that record again: a command sees each record once, or more
//! often, never not at all.

use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use netchan_proto::{ChannelName, Record, Timestamp};
use rustix::event::Timespec;
use tokio::process::Command;
use tokio::time::timeout;

use crate::args::OnFailure;
use crate::exit::Exit;
use crate::json;
use crate::output::{Form, OutputClosed, is_unread};
use crate::status::{self, Status};
use crate::stop::Stop;
use crate::when;

/// The first wait before a failed command is run again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// For what is asked once and not waited for.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// By how much a signal may reach a command before it reaches us.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Runs a command for each record.
#[derive(Debug)]
pub(crate) struct Exec {
    command: String,
    channel: ChannelName,
    form: Form,
    scratch: Vec<u8>,
}

impl Exec {
    /// `command` gets records in this form.
    pub(crate) fn new(command: String, channel: ChannelName, form: Form) -> Exec {
        Exec { command, channel, form, scratch: Vec::new() }
    }

    /// The next record is of this channel, one of several.
    pub(crate) fn is_of(&mut self, channel: &ChannelName) {
        self.channel.clone_from(channel);
        self.form.is_of(channel);
    }

    /// Runs the command for `record`, to its end.
    ///
    /// # Errors
    /// It could not be started, or waited for.
    pub(crate) async fn run(&mut self, record: &Record) -> io::Result<Ended> {
        self.scratch.clear();
        self.form.push(&mut self.scratch, record);
        // A file, not a pipe: if this program is killed meanwhile, the command must not take a part for the whole.
        let mut stdin = tempfile::tempfile()?;
        stdin.write_all(&self.scratch)?;
        stdin.rewind()?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(stdin);
        for (name, value) in told(&self.channel, record) {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(Ended(command.status().await?))
    }
}

/// What came of a record and its command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settled {
    /// It counts as received.
    Well,
    /// It counts as received, though the command failed.
    Skipped,
    /// The command failed, and nothing more is to be done.
    Failed,
    /// It is to be stopped, before the record was done with.
    Stopped(Exit),
}

/// How failures of commands are dealt with.
pub(crate) struct Manners<'a> {
    /// What is done.
    pub(crate) on_failure: OnFailure,
    /// What the user asked for, by which failures are told.
    pub(crate) target: &'a str,
    /// What helps after a failure that ends it: said behind it, if it is not empty.
    pub(crate) advice: String,
    pub(crate) status: Status,
}

impl Exec {
    /// Runs the command for a record until that counts as received, or is not to.
    ///
    /// # Errors
    /// It cannot be run, or has failed and nobody reads `stdout` any more ([`OutputClosed`]).
    pub(crate) async fn settle(
        &mut self,
        record: &Record,
        Manners { on_failure, target, advice, status }: Manners<'_>,
        stop: &mut Stop,
        stdout: &OwnedFd,
    ) -> Result<Settled> {
        let mut failures = 0;
        loop {
            let ended = self.run(record).await.context("the command of --exec cannot be run")?;
            if ended.is_well() {
                return Ok(Settled::Well);
            }
            if is_unread(stdout, Some(&NOW)) {
                return Err(OutputClosed.into());
            }
            // Ctrl-C goes to the command too, which may be faster than its way to us
            let stopped = match ended.is_by_request() {
                true => timeout(A_MOMENT, stop.wait()).await.ok(),
                false => stop.asked(),
            };
            if let Some(exit) = stopped {
                return Ok(Settled::Stopped(exit));
            }
            failures += 1;
            let what = format!("{target}: the command {ended} for the record at offset {}", record.offset);
            match on_failure {
                OnFailure::Stop => {
                    status::fail(format_args!("{what}{advice}"));
                    return Ok(Settled::Failed);
                }
                OnFailure::Skip => {
                    status.warn_often("skipped", format_args!("{what}: skipped"));
                    return Ok(Settled::Skipped);
                }
                OnFailure::Retry => {
                    let wait = wait_after(failures);
                    status.warn_often("run again", format_args!("{what}; again in {wait:.1?}"));
                    if let Ok(exit) = timeout(wait, stop.wait()).await {
                        return Ok(Settled::Stopped(exit));
                    }
                }
            }
        }
    }
}

/// What a command is told by its environment. `None`: the record has none, or no variable can hold it.
fn told(channel: &ChannelName, record: &Record) -> [(&'static str, Option<String>); 8] {
    let mut headers = Vec::new();
    json::write_headers(&mut headers, record);
    let key = record.key();
    let text = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| !key.contains('\0'));
    [
        ("NETCHAN_CHANNEL", Some(channel.to_string())),
        ("NETCHAN_OFFSET", Some(record.offset.to_string())),
        ("NETCHAN_TIME", Some(when::rfc3339(record.timestamp))),
        ("NETCHAN_EVENT_TIME", record.event_time().map(Timestamp::to_rfc3339)),
        ("NETCHAN_CONTENT_TYPE", record.content_type().filter(|text| is_short(text)).map(String::from)),
        ("NETCHAN_KEY", text.map(String::from)),
        ("NETCHAN_KEY_BASE64", key.map(|key| BASE64_STANDARD.encode(key))),
        ("NETCHAN_HEADERS", String::from_utf8(headers).ok().filter(|text| is_short(text))),
    ]
}

/// Whether a variable can hold it: Linux takes none of 128 KiB, and nobody a zero.
fn is_short(text: &str) -> bool {
    text.len() < 100 << 10 && !text.contains('\0')
}

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended(ExitStatus);

impl Ended {
    /// Whether the record counts as received.
    pub(crate) fn is_well(self) -> bool {
        self.0.success()
    }

    /// Whether somebody asked it to end (Ctrl-C, SIGTERM), directly or through its shell.
    pub(crate) fn is_by_request(self) -> bool {
        matches!((self.0.signal(), self.0.code()), (Some(2 | 15), _) | (_, Some(130 | 143)))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "ended with exit code {code}"),
            (None, Some(signal)) => write!(f, "was killed by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// How long to wait before the run after `failures` in a row.
fn wait_after(failures: u32) -> Duration {
    RETRY.0.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY.1)
}

#[cfg(test)]
mod tests {
    use netchan_proto::NewRecord;

    use super::*;
    use crate::output::tests::received;

    #[test]
    fn a_command_is_told_what_stands_beside_the_payload() {
        let channel = ChannelName::new("a/b").unwrap();
        let found = |record: NewRecord| told(&channel, &received(&[record])[0]).map(|(_, value)| value);
        let some = |text: &str| Some(text.to_owned());
        let (offset, time) = (some("7"), some("2026-11-21T07:15:00.900000042Z"));
        assert_eq!(
            found(NewRecord::new("p").key("k").header("n", "1")),
            [
                some("a/b"),
                offset.clone(),
                time.clone(),
                None,
                None,
                some("k"),
                some("aw=="),
                some(r#"[{"name":"n","value":"1"}]"#)
            ]
        );
        assert_eq!(
            found(NewRecord::new("p")),
            [some("a/b"), offset.clone(), time.clone(), None, None, None, None, some("[]")]
        );
        let known = found(NewRecord::new("p").event_time(Timestamp(0)).content_type("text/csv"));
        assert_eq!(known[3..5], [some("1970-01-01T00:00:00.000000000Z"), some("text/csv")]);
        // what no variable can hold stands in base64
        for key in [&b"\0"[..], b"\xff"] {
            let found = found(NewRecord::new("p").key(key));
            assert_eq!((found[5].clone(), found[6].is_some()), (None, true));
        }
    }

    #[test]
    fn waits_grow_and_have_an_end() {
        let waits: Vec<_> = (1..9).map(|failures| wait_after(failures).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(wait_after(u32::MAX), RETRY.1);
    }
}
