//! Whether it held: what came out is compared with what went in, byte for byte.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use netchan::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::actors::Theatre;
use super::input::Input;
use crate::when::{self, When};

/// What one file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Sum {
    fn of(content: &[u8]) -> Sum {
        let digest = Sha256::digest(content);
        Sum {
            lines: memchr::memchr_iter(b'\n', content).count() as u64,
            bytes: content.len() as u64,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// What should have come out somewhere, and what did.
pub(super) struct Compared {
    pub(super) what: &'static str,
    pub(super) expected: Sum,
    pub(super) found: Sum,
    /// The first line (from 1) that is not as expected.
    pub(super) wrong_at: Option<u64>,
}

impl Compared {
    fn new(what: &'static str, expected: &[u8], found: &[u8]) -> Compared {
        let wrong_at = (expected != found).then(|| {
            let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
            memchr::memchr_iter(b'\n', &expected[..same]).count() as u64 + 1
        });
        Compared { what, expected: Sum::of(expected), found: Sum::of(found), wrong_at }
    }

    pub(super) fn holds(&self) -> bool {
        self.wrong_at.is_none() && self.expected == self.found
    }
}

/// All that was compared.
pub(super) struct Proof {
    pub(super) all: Vec<Compared>,
}

impl Proof {
    pub(super) fn holds(&self) -> bool {
        self.all.iter().all(Compared::holds)
    }
}

/// Compares the log with the file, the first receiver's output with the file, and the second one's with the part of
/// the file that the log took at `since` or later.
pub(super) fn examine(theatre: &Theatre, input: &Input, since: Timestamp) -> Result<Proof> {
    let sent = read(&input.path)?;
    let (log, before) = log(&theatre.dump()?, since)?;
    let later: usize = sent.split_inclusive(|&byte| byte == b'\n').take(before).map(<[u8]>::len).sum();
    Ok(Proof {
        all: vec![
            Compared::new("the channel's log", &sent, &log),
            Compared::new("first receiver, killed", &sent, &read(&theatre.output("first"))?),
            Compared::new("second, since a time", &sent[later..], &read(&theatre.output("second"))?),
        ],
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The log's payloads as lines, in the order of dense offsets, and how many records are older than `since`.
fn log(dump: &Path, since: Timestamp) -> Result<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut before = 0;
    for (offset, line) in BufReader::with_capacity(1 << 20, File::open(dump)?).lines().enumerate() {
        let record: Value = serde_json::from_str(&line?)?;
        let read = || {
            let time = match when::parse(record["time"].as_str()?) {
                Ok(When::At(time)) => time,
                _ => return None,
            };
            (record["offset"].as_u64()? == offset as u64).then_some(())?;
            Some((time, payload(&record)?))
        };
        let (time, payload) =
            read().with_context(|| format!("the log has a hole or a stranger at offset {offset}"))?;
        before += usize::from(time < since);
        content.extend_from_slice(&payload);
        content.push(b'\n');
    }
    Ok((content, before))
}

fn payload(record: &Value) -> Option<Vec<u8>> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    match record["payload"].as_str() {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => BASE64_STANDARD.decode(record["payload_base64"].as_str()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_doubled_and_a_moved_line_are_found() {
        let sent = b"a\nb\nc\n";
        assert!(Compared::new("x", sent, sent).holds());
        for (found, line) in [
            (&b"a\nc\n"[..], 2),
            (b"a\na\nb\nc\n", 2),
            (b"b\na\nc\n", 1),
            (b"a\nb\n", 3),
            (b"a\nb\nc\nc\n", 4),
        ] {
            let compared = Compared::new("x", sent, found);
            assert!(!compared.holds());
            assert_eq!(compared.wrong_at, Some(line));
        }
    }
}
