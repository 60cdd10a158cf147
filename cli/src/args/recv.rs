//! The command line of `netchan recv`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use netchan::{CursorName, Filter, Offset};
use unicode_width::UnicodeWidthStr;

use super::channel::{Delimiter, Home, ending};
use super::units::patience;
use crate::output::{Format, Style};
use crate::when::{self, When};

const RECV_HELP: &str = "\
Records go to stdout, each with a newline behind it (or what --null or --delimiter say). Without --from, --since \
or --last it begins with what is sent from now on. It waits for a channel that is not there yet, goes on by \
itself after a lost connection, and ends when the channel is sealed.

With --position FILE it goes on where an earlier run ended. FILE is written each time after output was written, \
so after a SIGKILL nothing is missing; what may come twice is the output of one write: at most 64 KiB, or one \
record that is larger. With --output as well, nothing comes twice: an output file is cut back to where FILE says, \
and a record's own file is written again as it was.

A filter asks about key, value (the payload), size, offset, time, header.NAME and json.PATH (as json.user.tags[0]), with == != < <= \
> >=, ^= (begins with), $= (ends with), *= (contains), ~ (a pattern with * and ?), in (A, B) and exists, joined by and, or, not and \
parentheses. Texts stand in quotes, numbers and RFC 3339 times do not. What a record does not have matches nothing.

With --cursor CURSOR the node with the channel keeps the position, so it goes on from any machine. It is committed after records were \
written (with --exec: after commands ended well), at most each --commit-every and at the end; what was written since the last commit \
comes again after a SIGKILL, and nothing that was committed does. Another `recv` with the same cursor takes it: this one \
ends with an error (CURSOR_TAKEN), having committed nothing after that. `netchan cursor reset` moves it meanwhile.

With --exec a record counts as received when its command has ended well. A command that fails ends it with exit code 5, and \
the position stays before that record (or see --on-failure). The command has the record as its stdin, and NETCHAN_CHANNEL, \
NETCHAN_OFFSET, NETCHAN_TIME, NETCHAN_EVENT_TIME, NETCHAN_CONTENT_TYPE, NETCHAN_KEY, NETCHAN_KEY_BASE64 and NETCHAN_HEADERS (JSON) in its environment. After \
a crash the command that was running is run again.

A target with a * in it is a pattern of names: * is any text within one level, ** any number of levels. The records of all channels that match come one behind the other, each channel's in its order, or with --merge all in the order of time; channels that are made meanwhile join in, from their first record. --json and %c tell the channel, --exec has it in NETCHAN_CHANNEL; --position keeps a position for each.

With --output DIR/ each channel has a file of its own, DIR/NAME.log, where / in a name makes directories. Capitals and what is not a-z, 0-9 \
or one of . _ - @ + = , are written as in a URL (%4c), so that channels have their own files on every file system. Symbolic links \
in DIR are not followed.

A format has these, besides \\n \\r \\t \\e \\0 \\\\ \\xHH and %%:
  %s  the payload     %S  its size in bytes     %o  the offset     %k  the key
  %c  the channel
  %h  all headers, NAME=VALUE,...               %h{NAME}  the value of one: %h{content-type}
  %t  the time at which the log took it, RFC 3339 in UTC
  %e  the time of the event, where the header event-time says one, otherwise as %t
%s, %k and %h{NAME} may have {base64}, {hex} or {json} behind them; %t and %e {s}, {ms}, {us} or {ns} since 1970, or a form as \
date has it, in this machine's zone: %t{%H:%M:%S}. Behind each record a newline is written, as without a format.

On a terminal characters that would steer it are shown as escapes, but with --raw. Elsewhere every byte is as it was sent.

Examples:
  netchan recv app --from earliest --no-follow
  netchan recv build7:4747/app --since 1h30m --json | jq .payload
  netchan recv app --since 2026-11-21T08:00 --until 2026-11-21T09:00
  netchan recv app --last 100 -t       # with the time in front
  netchan recv orders --from earliest --format '%o %t{%H:%M:%S} %k %s'
  netchan recv orders --from earliest --format '%k{json},%S,%s{base64}' --count 10
  netchan recv 'logs/**' --from earliest --no-follow --format '%c %s'
  netchan recv 'logs/**' --from earliest --no-follow --merge --format '%t %c %s'   # by time
  netchan recv 'logs/*' --from earliest --no-follow --merge=2s --exec 'wc -c'
  netchan recv 'build7:4747/logs/*' --since 1h --json --position logs.at --no-follow
  netchan recv shops --from earliest --no-follow --json   # all its partitions
  netchan recv shops --from earliest --no-follow --partition 0,2
  netchan recv files --from earliest --null | xargs -0 echo
  netchan recv files --from earliest --delimiter '' > all   # nothing between
  netchan recv orders --from earliest --no-follow --filter \"key ^= 'order-'\"
  netchan recv orders --from earliest --filter 'header.event-time > 2026-01-01T00:00:00Z' -f '%e %s'
  netchan recv build7:4747/app --since 1h --filter 'json.level == \"error\"'
  netchan recv orders --from earliest --position orders.at --output orders.out
  netchan recv orders --from earliest --output records/ --files   # one each
  netchan recv 'logs/**' --from earliest --no-follow --output copy/   # copy/logs/web.log ...
  netchan recv jobs --from earliest --exec 'wc -c' --position jobs.at
  netchan recv jobs --from earliest --exec 'echo $NETCHAN_OFFSET; cat' --on-failure retry
  netchan recv jobs --from earliest --cursor worker --commit-every 5s
  netchan recv jobs --cursor mail --from earliest --exec 'wc -c' --commit-every 0s
  netchan recv app --from earliest --raw       # colours too, on a terminal
  netchan recv build7:4747/app --last 5 --no-follow --wait 10s
  netchan recv app --last 5 --via 'ssh build7 netchan serve --stdio'";

/// Receive a channel's records
#[derive(Clone, Debug, Args)]
#[command(after_help = RECV_HELP)]
pub(crate) struct Recv {
    /// The channel: NAME, or HOST:PORT/NAME; or all that match, with a PATTERN in place of the name
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) start: Start,
    /// End before the first record of this time or later; times are those of --since
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) until: Option<When>,
    /// Only records that pass this filter; the sender judges them, and nothing else crosses the network. See below
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub(crate) filter: Option<Filter>,
    /// Of a pattern: records in the order of the times at which the log took them. What is there comes exactly so; what is sent later
    /// waits for earlier records of other channels, for WINDOW at most
    #[arg(long, value_name = "WINDOW", num_args = 0..=1, default_missing_value = "100ms", require_equals = true, value_parser = patience)]
    pub(crate) merge: Option<Duration>,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End with what is there now; a node or a channel that is not there is an error
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Give up when node or channel are not there for so long (30s, 5m; 0s: at once). By itself it waits for ever, but
    /// for a command of --via that never gave an answer, and with --no-follow
    #[arg(long, value_name = "TIME", value_parser = patience)]
    pub(crate) wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) ending: Ending,
    /// One JSON object a line: channel (of a pattern), offset, time, event_time, content_type, key, headers, payload (or payload_base64 if it is no text); `send --json`
    /// takes it back
    #[arg(long, conflicts_with_all = ["null", "delimiter"])]
    pub(crate) json: bool,
    /// Write what FORMAT makes of each record, see below
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "json", allow_hyphen_values = true)]
    pub(crate) format: Option<Format>,
    /// Write each record's time in front of it, as --format '%t %s' does
    #[arg(short, long, conflicts_with_all = ["json", "format"])]
    pub(crate) time: bool,
    /// On a terminal too, write bytes as they were sent
    #[arg(long)]
    pub(crate) raw: bool,
    /// Run this shell command for each record, which is its stdin (with --json or --format, in that form)
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["output", "null", "delimiter", "raw"])]
    pub(crate) exec: Option<String>,
    /// What is done when a command fails
    #[arg(long, value_name = "WHAT", value_enum, requires = "exec")]
    pub(crate) on_failure: Option<OnFailure>,
    /// Keep the position in this file, and go on from there the next time
    #[arg(long, value_name = "FILE")]
    pub(crate) position: Option<PathBuf>,
    /// Of a channel with partitions, only those with these numbers (0,3). By itself it receives all of them
    #[arg(long = "partition", value_name = "NUMBERS", value_delimiter = ',', conflicts_with = "cursor")]
    pub(crate) partitions: Vec<u16>,
    /// Receive by this cursor, which the node with the channel keeps: go on where it stands (or make it, where --from and
    /// the like say), and commit what was written out. Who takes it last has it; see `netchan cursor`
    #[arg(long, value_name = "CURSOR", value_parser = cursor, conflicts_with = "position")]
    pub(crate) cursor: Option<CursorName>,
    /// How often the cursor is committed, at most; it is at the end too. 0s: after each write
    #[arg(long, value_name = "TIME", value_parser = patience, requires = "cursor", default_value = "1s")]
    pub(crate) commit_every: Duration,
    /// Write to this file instead of stdout: behind what is in it, but with --position behind what was
    /// written up to there. A directory (or a name with / at its end) gets a file for each channel: logs/web is
    /// DIR/logs/web.log. See below
    #[arg(short, long, value_name = "FILE|DIR/")]
    pub(crate) output: Option<PathBuf>,
    /// Of one channel: --output is a directory that gets a file for each record, named by its offset, with nothing behind the
    /// payload
    #[arg(long, requires = "output")]
    pub(crate) files: bool,
    /// Speak over stdin and stdout of this shell command instead of a socket
    #[arg(long, value_name = "COMMAND")]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) home: Home,
}

impl Recv {
    /// The directory that gets a file for each channel: there is one, or it is written as one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let path = self.output.as_deref().filter(|_| !self.files)?;
        (path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")).then_some(path)
    }

    /// What is given out of a record.
    pub(crate) fn style(&self) -> Style {
        match &self.format {
            Some(format) => Style::Format(format.clone()),
            None if self.json => Style::Json,
            None if self.time => Style::Format(Format::timed()),
            None => Style::Payload,
        }
    }
}

/// What is done when a command fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// End; the position stays before the record
    #[default]
    Stop,
    /// Tell, and go on with the next record
    Skip,
    /// Tell, wait (half a second, then longer, up to 30 s) and run it again with the same record
    Retry,
}

/// What stands behind each record.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Ending {
    /// Write a NUL byte behind each record instead of a newline
    #[arg(short = '0', long)]
    null: bool,
    /// Write this text behind each record, or nothing (''); \n \r \t \0 \\ and \xHH are understood
    #[arg(short, long, value_name = "TEXT", value_parser = ending, allow_hyphen_values = true)]
    delimiter: Option<Delimiter>,
}

impl Ending {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.delimiter {
            Some(delimiter) => delimiter.0.clone(),
            None if self.null => vec![0],
            None => vec![b'\n'],
        }
    }
}

/// Where to begin.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Start {
    /// Begin at `earliest`, at `latest` (what is sent from now on) or at an offset
    #[arg(long, value_name = "earliest|latest|OFFSET", value_parser = from)]
    pub(crate) from: Option<From>,
    /// Begin with the first record of this time or later: 10m or 1h30m ago (by the sender's clock),
    /// 2026-11-21, 2026-11-21T08:15, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) since: Option<When>,
    /// Begin with the last N records
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
}

impl Start {
    /// The place, if one was said.
    pub(crate) fn place(&self) -> Option<netchan::Start> {
        Some(match self {
            Start { from: Some(From::Earliest), .. } => netchan::Start::Earliest,
            Start { from: Some(From::Latest), .. } => netchan::Start::Latest,
            Start { from: Some(From::Offset(offset)), .. } => netchan::Start::Offset(Offset(*offset)),
            Start { since: Some(When::Ago(ago)), .. } => netchan::Start::Ago(*ago),
            Start { since: Some(When::At(time)), .. } => netchan::Start::Time(*time),
            Start { last: Some(count), .. } => netchan::Start::Last(*count),
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(u64),
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        _ => text
            .parse()
            .map(From::Offset)
            .map_err(|_| "neither earliest, latest nor an offset (--since takes a time)".into()),
    }
}

/// A cursor's name.
fn cursor(text: &str) -> Result<CursorName, String> {
    CursorName::new(text).map_err(|error| error.to_string())
}

/// A filter; one that cannot be read is shown with a mark under the place where it goes wrong.
fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| {
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        let shown =
            |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let before: String = line.chars().take(error.column - 1).collect();
        let width = shown(&before).width();
        format!("{error}\n\n  {}\n  {}^", shown(line), " ".repeat(width))
    })
}
