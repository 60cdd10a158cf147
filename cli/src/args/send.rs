//! The command line of `netchan send`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::channel::{Cutting, Delimiter, Home, Keeping, Listen, delimiter};
use super::units::patience;
use crate::input::Split;
use crate::making::{ForAll, Making, Meaning};
use crate::when::EventTime;

const SEND_HELP: &str = "\
The lines of FILE, or of stdin as they arrive, become records. It ends when all of them are durable. If the \
machine's node runs already (another `send`, or `serve`), they are sent through it; otherwise this process is \
the node, and others can read from it while it runs.

What is not ended by a delimiter at the end of the input is a record too, marked by the header `unterminated`, \
so that `recv` gives out exactly the bytes that went in.

With --json each line is a record as `recv --json` writes it: an object with `payload` (a text, or any JSON value, \
which is sent as it stands) or `payload_base64`, and, if it has them, `key` or `key_base64`, `headers` as an object or a list, and \
`time`, `event_time` (RFC 3339) and `content_type`. The log gives records times and offsets of its own: `event_time`, or else the \
time of the line, is kept in the header `event-time`, the offset is not. Other fields are refused, and so is a line that is no JSON; what stands before it \
is sent.

Examples:
  tail -f app.log | netchan send app
  netchan send orders orders.csv --resume --seal     # after a crash: run it again
  find . -print0 | netchan send -0 files        # names may have newlines
  netchan send files --delimiter '\\r\\n' < orders.csv
  netchan send files app.log --whole            # one record
  netchan send orders orders.csv --key shop1 --header source=import --header line=csv
  netchan send orders orders.csv --key-delimiter ,
  netchan send shops orders.csv --key-delimiter , --partitions 4   # each shop in order
  echo '{\"user\":{\"id\":7}}' | netchan send orders --key-field user.id
  echo '{\"at\":17676900}' | netchan send orders --event-time 'at{ms}' --content-type application/json
  netchan recv orders --from earliest --no-follow --json | netchan send copy --json
  netchan send app app.log --rate 1000 --acks | tail -1   # how many are durable
  netchan send app app.log --durability os --keep-age 7d --keep-size 20G
  netchan send new app.log --keep-records 100 --keep-free 1M --least-size 1M --least-records 10
  netchan send new app.log --ceiling 20G --when-full trim-oldest --unsealable
  netchan send build7:4747/app app.log --wait 30s   # to a node that may be starting
  netchan send build7:4747/app app.log --token-file token
  netchan send app app.log --via 'ssh build7 netchan serve --stdio'
  tail -f app.log | netchan send app --serve --listen 127.0.0.1:0   # others read from it";

/// Send lines into a channel
#[derive(Clone, Debug, Args)]
#[command(after_help = SEND_HELP)]
pub(crate) struct Send {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// What to send; stdin if it is missing or `-`
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cutting: Cutting,
    /// The whole input is one record
    #[arg(long, conflicts_with_all = ["null", "delimiter"])]
    pub(crate) whole: bool,
    /// Each line is a record as `recv --json` writes it, with key, headers and time
    #[arg(long, conflicts_with_all = ["null", "delimiter", "whole", "key_delimiter", "key_field"])]
    pub(crate) json: bool,
    /// The key of all records, but of those that have another by the options below or by --json
    #[arg(short, long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: Option<String>,
    /// The key stands before the first TEXT in each record, the payload behind it; \n \r \t \0 \\ and \xHH are
    /// understood
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = delimiter, allow_hyphen_values = true)]
    pub(crate) key_delimiter: Option<Delimiter>,
    /// Each record is a JSON object, and this field of it the key (`id`, or `user.id`); the payload stays as it is
    #[arg(long, value_name = "FIELD", value_parser = path, conflicts_with = "key_delimiter")]
    pub(crate) key_field: Option<FieldPath>,
    /// A header for all records; as often as there are headers
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// When what records tell of happened: a TIME for all of them, `now` for when each is sent, or a FIELD of records that are JSON
    /// objects, with RFC 3339 or a number since 1970: of seconds, or as FIELD{ms}, {us} or {ns} says
    #[arg(long, value_name = "FIELD|TIME", value_parser = event_time)]
    pub(crate) event_time: Option<EventTime>,
    /// What payloads are, as MIME has it (application/json)
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Go on where an earlier run of the same command with FILE ended, even by SIGKILL. A FILE whose beginning
    /// has changed since is refused
    #[arg(long, requires = "file")]
    pub(crate) resume: bool,
    /// The channel has so many partitions, or is made with them: the key of a record chooses one of them, those without a key
    /// go around
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024), conflicts_with = "resume")]
    pub(crate) partitions: Option<u16>,
    /// Say at the end that the channel is complete: receivers end, later sends are refused
    #[arg(long)]
    pub(crate) seal: bool,
    /// Stay when all is sent, so that others can read, until interrupted
    #[arg(long)]
    pub(crate) serve: bool,
    /// Write to stdout how many records of this input are durable, one line each time it is more
    #[arg(long)]
    pub(crate) acks: bool,
    /// Send at most so many records a second
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: Option<u64>,
    /// Give up when the other node cannot be reached for so long (30s, 5m; 0s: at the first failure). By itself it
    /// waits for ever, but for a command of --via that never gave an answer
    #[arg(long, value_name = "TIME", value_parser = patience)]
    pub(crate) wait: Option<Duration>,
    /// Speak over stdin and stdout of this shell command instead of a socket
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["listen", "insecure", "metrics", "serve"])]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) home: Home,
}

impl Send {
    /// How the input is cut.
    pub(crate) fn split(&self) -> Split {
        if self.whole { Split::Whole } else { Split::At(self.cutting.bytes()) }
    }

    /// What a line means, and what all records have.
    pub(crate) fn making(&self) -> Making {
        let meaning = match (&self.key_delimiter, &self.key_field) {
            (Some(delimiter), _) => Meaning::Keyed(delimiter.0.clone()),
            (None, Some(path)) => Meaning::KeyField(path.0.clone()),
            (None, None) if self.json => Meaning::Record,
            (None, None) => Meaning::Payload,
        };
        Making::new(
            meaning,
            ForAll {
                key: self.key.clone(),
                headers: self.headers.clone(),
                event_time: self.event_time.clone(),
                content_type: self.content_type.clone(),
            },
        )
    }
}

/// `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is NAME=VALUE".into()),
    }
}

/// A time, or a field with one.
fn event_time(text: &str) -> Result<EventTime, String> {
    text.parse()
}

/// Where a field is in an object: names from outside to inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath(pub(crate) Vec<String>);

/// `a.b.c`: names of fields.
fn path(text: &str) -> Result<FieldPath, String> {
    let names: Vec<String> = text.split('.').map(String::from).collect();
    if names.iter().any(String::is_empty) {
        Err("a field is NAME or NAME.NAME".into())
    } else {
        Ok(FieldPath(names))
    }
}
