//! What can be said on the command line, and its help.
//!
//! Owns names, defaults and rules of arguments. What they do is in the module of each command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::input::Split;
use crate::when::{self, When};

/// Where a node listens if nothing is said: on this machine alone.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:4747";

const AFTER_HELP: &str = "\
Examples:
  tail -f app.log | netchan send app           # every line, durable before it is on the wire
  netchan recv app --from earliest             # on the same machine, whether or not the sender runs
  netchan recv build7:4747/app --since 10m     # on another one
  netchan demo                                 # see it killed, and nothing lost

A channel is named NAME (on this machine), or HOST:PORT/NAME.

Exit codes:
  0  done (recv: the channel is sealed, or what was asked for is complete)
  1  an error, told on stderr
  2  the command line is not understood
  3  recv: done, but records were missing (a gap, told on stderr)
  4  recv: done, but the log was rolled back on the way (told on stderr)
  130, 143  interrupted by Ctrl-C or SIGTERM, after a clean stop";

/// Durable channels between programs over a network, without a broker.
#[derive(Debug, Parser)]
#[command(name = "netchan", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say on stderr what happens, even if stderr is no terminal
    #[arg(short, long, global = true, conflicts_with = "quiet", display_order = 900)]
    pub(crate) verbose: bool,
    /// Say nothing on stderr but errors, gaps and roll-backs
    #[arg(short, long, global = true, display_order = 901)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Send(Send),
    Recv(Recv),
    Serve(Serve),
    Ls(Ls),
    Info(Info),
    Seal(Seal),
    Rm(Rm),
    Demo(Demo),
}

/// Where this machine's channels are, and the secret shared with other nodes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Home {
    /// The directory that holds this machine's channels [default: netchan in the platform's data directory]
    #[arg(long, value_name = "DIR", env = "NETCHAN_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The secret that both sides of a connection must hold (better: NETCHAN_TOKEN or --token-file, which
    /// other users of this machine cannot see)
    #[arg(long, value_name = "TOKEN", env = "NETCHAN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with the token; a line break at its end does not count
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Whom this node lets in.
#[derive(Clone, Debug, Args)]
pub(crate) struct Listen {
    /// Where others can read and publish: ADDRESS:PORT, or `none`. Beyond loopback it needs a token or
    /// --insecure [default: 127.0.0.1:4747, if it is free]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Let everybody in who can reach the address, without a token
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// How a channel is kept, if it is made by this command. An existing one stays as it is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "If the channel is made by this command")]
pub(crate) struct Keeping {
    /// When a record counts as sent
    #[arg(long, value_enum, default_value_t = Durability::Sync)]
    pub(crate) durability: Durability,
    /// Trim records older than this (7d, 12h); nothing is trimmed by default
    #[arg(long, value_name = "AGE", value_parser = length_of_time)]
    pub(crate) keep_age: Option<Duration>,
    /// Trim the oldest records beyond this size (500M, 20G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) keep_size: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// When it is synced: survives power loss
    Sync,
    /// When it is written: survives a crash of the program; synced soon after
    Interval,
    /// When it is written; synced when the system likes
    Os,
}

/// How records are told apart.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Cutting {
    /// Records end with a NUL byte instead of a newline
    #[arg(short = '0', long)]
    pub(crate) null: bool,
    /// Records end with this text; \n \r \t \0 \\ and \xHH are understood
    #[arg(short, long, value_name = "TEXT", value_parser = delimiter, allow_hyphen_values = true)]
    pub(crate) delimiter: Option<Delimiter>,
}

/// The bytes that end a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delimiter(pub(crate) Vec<u8>);

impl Cutting {
    /// The bytes that end a record.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.delimiter {
            Some(delimiter) => delimiter.0.clone(),
            None if self.null => vec![0],
            None => vec![b'\n'],
        }
    }
}

const SEND_HELP: &str = "\
The lines of FILE, or of stdin as they arrive, become records. It ends when all of them are durable. If the \
machine's node runs already (another `send`, or `serve`), they are sent through it; otherwise this process is \
the node, and others can read from it while it runs.

What is not ended by a delimiter at the end of the input is a record too, marked by the header `unterminated`, \
so that `recv` gives out exactly the bytes that went in.

Examples:
  tail -f app.log | netchan send app
  netchan send orders orders.csv --resume --seal     # run it again after a crash: no line twice, none lost
  find / -print0 | netchan send -0 files
  netchan send build7:4747/app app.log               # into a channel of another node
  netchan send app app.log --via 'ssh build7 netchan serve --stdio'";

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
    /// Go on where an earlier run of the same command with FILE ended, even by SIGKILL. A FILE whose beginning
    /// has changed since is refused
    #[arg(long, requires = "file")]
    pub(crate) resume: bool,
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
    /// Speak over stdin and stdout of this shell command instead of a socket
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["listen", "insecure", "serve"])]
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
}

const RECV_HELP: &str = "\
Records go to stdout, each with a newline behind it (or what --null or --delimiter say). Without --from, --since \
or --last it begins with what is sent from now on. It waits for a channel that is not there yet, goes on by \
itself after a lost connection, and ends when the channel is sealed.

With --position FILE it goes on where an earlier run ended. FILE is written each time after output was written, \
so after a SIGKILL nothing is missing; what may come twice is the output of one write: at most 64 KiB, or one \
record that is larger. With --output as well, nothing comes twice: the output is cut back to where FILE says.

Examples:
  netchan recv app --from earliest --no-follow
  netchan recv build7:4747/app --since 1h30m --json | jq .payload
  netchan recv app --since 2026-11-21T08:00 --until 2026-11-21T09:00
  netchan recv app --last 100
  netchan recv orders --from earliest --position orders.at --output orders.csv";

/// Receive a channel's records
#[derive(Clone, Debug, Args)]
#[command(after_help = RECV_HELP)]
pub(crate) struct Recv {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) start: Start,
    /// End before the first record of this time or later; times are those of --since
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) until: Option<When>,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End with what is there now; a channel that is not there is an error
    #[arg(long)]
    pub(crate) no_follow: bool,
    #[command(flatten)]
    pub(crate) cutting: Cutting,
    /// One JSON object a line: offset, time, key, headers, payload (or payload_base64 if it is no text)
    #[arg(long, conflicts_with_all = ["null", "delimiter"])]
    pub(crate) json: bool,
    /// Keep the position in this file, and go on from there the next time
    #[arg(long, value_name = "FILE")]
    pub(crate) position: Option<PathBuf>,
    /// Write to this file instead of stdout: behind what is in it, but with --position behind what was
    /// written up to there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Speak over stdin and stdout of this shell command instead of a socket
    #[arg(long, value_name = "COMMAND")]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) home: Home,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(u64),
}

const SERVE_HELP: &str = "\
With --stdio it speaks over stdin and stdout, to whoever started it (`--via 'ssh HOST netchan serve --stdio'`): \
no port is opened, and no token asked for, because whoever can start it can read the directory as well.";

/// Be this machine's node: keep its channels readable while nobody sends
#[derive(Clone, Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) listen: Listen,
    /// Serve one peer over stdin and stdout
    #[arg(long, conflicts_with_all = ["listen", "insecure"])]
    pub(crate) stdio: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// List the channels of this machine or of another node
#[derive(Clone, Debug, Args)]
pub(crate) struct Ls {
    /// PREFIX, HOST:PORT or HOST:PORT/PREFIX
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) place: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Tell about one channel
#[derive(Clone, Debug, Args)]
pub(crate) struct Info {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Say that a channel is complete: receivers end, later sends are refused
#[derive(Clone, Debug, Args)]
pub(crate) struct Seal {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Delete a channel with all its records
#[derive(Clone, Debug, Args)]
pub(crate) struct Rm {
    /// The channel: NAME, or HOST:PORT/NAME
    pub(crate) target: String,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// See a sender and a receiver killed midway, and nothing lost, doubled or out of order
#[derive(Clone, Debug, Args)]
pub(crate) struct Demo {
    /// Keep the directory with the demo's files and channels
    #[arg(long)]
    pub(crate) keep: bool,
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

fn delimiter(text: &str) -> Result<Delimiter, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| hex);
                byte.ok_or("\\x wants two hexadecimal digits")?
            }
            _ => return Err("after \\ there may be n, r, t, 0, x and \\".into()),
        });
    }
    if bytes.is_empty() { Err("a delimiter has at least one byte".into()) } else { Ok(Delimiter(bytes)) }
}

fn length_of_time(text: &str) -> Result<Duration, String> {
    match when::parse(text)? {
        When::Ago(length) if !length.is_zero() => Ok(length),
        _ => Err("a length of time is wanted, as 12h or 7d".into()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a size is bytes, or a number with K, M, G or T".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "a size is bytes, or a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more bytes than can be counted".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "netchan",
            "netchan send",
            "netchan send x --resume",
            "netchan send x -0 --whole",
            "netchan send x -0 -d a",
            "netchan recv x --from 3 --last 2",
            "netchan recv x --from earliest --since 10m",
            "netchan recv x --from newest",
            "netchan recv x --since yesterday",
            "netchan recv x --json -0",
            "netchan serve --stdio --listen 127.0.0.1:1",
            "netchan send x --rate 0",
            "netchan -q -v ls",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn sends_cut_at_newlines_if_nothing_is_said() {
        for (line, split) in [
            ("netchan send x", Split::At(b"\n".to_vec())),
            ("netchan send x -0", Split::At(vec![0])),
            ("netchan send x --null", Split::At(vec![0])),
            (r"netchan send x -d \r\n", Split::At(b"\r\n".to_vec())),
            (r"netchan send x --delimiter \x00\\é", Split::At(vec![0, b'\\', 0xc3, 0xa9])),
            ("netchan send x file --whole", Split::Whole),
        ] {
            let Ok(Command::Send(send)) = parse(line) else { panic!("{line}") };
            assert_eq!(send.split(), split, "{line}");
        }
        for bad in ["", "\\", "\\q", "\\x", "\\x1", "\\x+1", "\\xzz"] {
            assert!(delimiter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn recv_takes_one_start() {
        let start = |line: &str| match parse(line) {
            Ok(Command::Recv(recv)) => recv.start,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(start("netchan recv x --from 7").from, Some(From::Offset(7)));
        assert_eq!(start("netchan recv x --from earliest").from, Some(From::Earliest));
        assert_eq!(start("netchan recv x --last 100").last, Some(100));
        assert_eq!(start("netchan recv x --since 10m").since, Some(When::Ago(Duration::from_secs(600))));
    }

    #[test]
    fn sizes_and_ages_have_units() {
        assert_eq!(size("12"), Ok(12));
        assert_eq!(size("3K"), Ok(3072));
        assert_eq!(size("20GiB"), Ok(20 << 30));
        assert!(
            size("G").is_err() && size("1.5G").is_err() && size("99999999T").is_err() && size("1x").is_err()
        );
        assert_eq!(length_of_time("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert!(length_of_time("0s").is_err() && length_of_time("2026-01-01").is_err());
    }
}
