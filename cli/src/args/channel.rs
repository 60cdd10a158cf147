//! What several commands ask about a channel: where it is, how it is kept, how its records are told apart.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::units::{length_of_time, size};

/// Where this machine's channels are, and the secret shared with other nodes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Home {
    /// The directory that holds this machine's channels [default: netchan in the platform's data directory]
    #[arg(long, value_name = "DIR", env = "NETCHAN_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The secret that both sides of a connection must hold (better: NETCHAN_TOKEN or --token-file, which
    /// other users of this machine cannot see)
    #[arg(long, value_name = "TOKEN", env = "NETCHAN_TOKEN", hide_default_value = true)]
    pub(crate) token: Option<String>,
    /// A file with the token; a line break at its end does not count
    #[arg(long, value_name = "FILE", env = "NETCHAN_TOKEN_FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Whom this node lets in.
#[derive(Clone, Debug, Args)]
pub(crate) struct Listen {
    /// Where others can read and publish: ADDRESS:PORT, or `none`. Beyond loopback it needs a token or
    /// --insecure [default: 127.0.0.1:4747, if it is free]
    #[arg(long, value_name = "ADDR", env = "NETCHAN_LISTEN")]
    pub(crate) listen: Option<String>,
    /// Let everybody in who can reach the address, without a token
    #[arg(long, env = "NETCHAN_INSECURE")]
    pub(crate) insecure: bool,
    /// Tell metrics over HTTP: at http://ADDR/metrics, as Prometheus reads them. They need no token, so beyond loopback
    /// this wants --insecure too
    #[arg(long, value_name = "ADDR", env = "NETCHAN_METRICS")]
    pub(crate) metrics: Option<String>,
}

/// How a channel is kept, if it is made by this command. An existing one stays as it is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "If the channel is made by this command")]
pub(crate) struct Keeping {
    /// When a record counts as sent
    #[arg(long, value_enum, env = "NETCHAN_DURABILITY", default_value_t = Durability::Sync)]
    pub(crate) durability: Durability,
    /// Trim records older than this (7d, 12h); nothing is trimmed by default
    #[arg(long, value_name = "AGE", env = "NETCHAN_KEEP_AGE", value_parser = length_of_time)]
    pub(crate) keep_age: Option<Duration>,
    /// Trim the oldest records beyond this size (500M, 20G)
    #[arg(long, value_name = "SIZE", env = "NETCHAN_KEEP_SIZE", value_parser = size)]
    pub(crate) keep_size: Option<u64>,
    /// Trim the oldest records beyond this many
    #[arg(long, value_name = "RECORDS")]
    pub(crate) keep_records: Option<u64>,
    /// Trim the oldest records while the volume has less room than this (5G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) keep_free: Option<u64>,
    /// Whatever is trimmed, leave at least this size
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) least_size: Option<u64>,
    /// Whatever is trimmed, leave at least this many records
    #[arg(long, value_name = "RECORDS")]
    pub(crate) least_records: Option<u64>,
    /// Take no more room than this; --when-full says what happens there
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) ceiling: Option<u64>,
    /// Trim nothing that a cursor has not passed, until the channel is larger than this
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) hold_cursors: Option<u64>,
    /// What becomes of records at the ceiling and on a volume that is nearly full
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = WhenFull::Fail)]
    pub(crate) when_full: WhenFull,
    /// Nobody can ever seal it
    #[arg(long)]
    pub(crate) unsealable: bool,
}

/// What becomes of records for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFull {
    /// They are refused
    Fail,
    /// They wait until there is room
    Block,
    /// The oldest go for them
    TrimOldest,
}

impl From<WhenFull> for netchan::WhenFull {
    fn from(when_full: WhenFull) -> netchan::WhenFull {
        match when_full {
            WhenFull::Fail => netchan::WhenFull::Fail,
            WhenFull::Block => netchan::WhenFull::Block,
            WhenFull::TrimOldest => netchan::WhenFull::TrimOldest,
        }
    }
}

impl Keeping {
    pub(crate) fn durability(&self) -> netchan::Durability {
        match self.durability {
            Durability::Sync => netchan::Durability::Sync,
            Durability::Interval => netchan::Durability::Interval,
            Durability::Os => netchan::Durability::Os,
        }
    }

    pub(crate) fn retention(&self) -> netchan::Retention {
        netchan::Retention {
            max_age: self.keep_age,
            max_bytes: self.keep_size,
            max_records: self.keep_records,
            min_free: self.keep_free,
            keep_bytes: self.least_size,
            keep_records: self.least_records,
            ceiling: self.ceiling,
            hold_cursors: self.hold_cursors,
            when_full: self.when_full.into(),
        }
    }
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

pub(super) fn delimiter(text: &str) -> Result<Delimiter, String> {
    ending(text).and_then(|found| {
        if found.0.is_empty() { Err("a delimiter has at least one byte".into()) } else { Ok(found) }
    })
}

/// As a delimiter, but that it may be nothing.
pub(super) fn ending(text: &str) -> Result<Delimiter, String> {
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
    Ok(Delimiter(bytes))
}

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
