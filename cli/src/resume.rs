//! `send --resume`: sending a file over several runs, each ended at any moment, without doubling or losing a line.
//!
//! Owns how a file is recognised. The channel's log counts what this producer sent (its sequence), so how far an
//! earlier run came is known exactly. What the log cannot know is whether the file is still the same. Therefore
//! the producer keeps a note beside its sequence, written *before* the records that it covers: how many records
//! and bytes of the file there are up to the end of the block (4 MiB) being sent, and the SHA-256 of those bytes.
//! The next run compares, and refuses a file whose beginning has changed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use netchan_proto::{ChannelName, ProducerId};
use sha2::{Digest, Sha256};

use crate::input::{Chunk, InputError, Split};

/// Bytes of the file that one note covers.
const BLOCK: usize = 4 << 20;

/// What to do next: the order matters.
#[derive(Debug)]
pub(crate) enum Step {
    /// Keep this note, durably, before anything later is sent.
    Note(Note),
    /// Send these records.
    Chunk(Chunk),
}

/// What is known of the file up to the end of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Records up to there: the sequence that the next one has.
    pub(crate) records: u64,
    bytes: u64,
    sha256: [u8; 32],
    /// The last of them had no delimiter.
    unterminated: bool,
    /// How the file was cut.
    cutting: [u8; 8],
}

impl Note {
    /// The form in which it is kept: text of less than 256 bytes.
    pub(crate) fn text(&self) -> String {
        let Note { records, bytes, sha256, unterminated, cutting } = self;
        let end = if *unterminated { "open" } else { "whole" };
        format!("file1 {records} {bytes} {} {end} {}", hex(sha256), hex(cutting))
    }
}

impl Note {
    /// Bytes of the file before the block that it covers, about: for who watches.
    pub(crate) fn begins(&self) -> u64 {
        self.bytes.saturating_sub(BLOCK as u64)
    }
}

impl FromStr for Note {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Note> {
        let read = || {
            let mut words = text.split(' ');
            let known = words.next()? == "file1";
            let note = Note {
                records: words.next()?.parse().ok()?,
                bytes: words.next()?.parse().ok()?,
                sha256: unhex(words.next()?)?,
                unterminated: match words.next()? {
                    "open" => true,
                    "whole" => false,
                    _ => return None,
                },
                cutting: unhex(words.next()?)?,
            };
            (known && words.next().is_none()).then_some(note)
        };
        read()
            .with_context(|| format!("the note beside the producer is not one of `send --resume`: {text:?}"))
    }
}

/// Who sends this file into this channel: the same in each run. `machine` tells machines apart that send files of
/// one path into a channel elsewhere.
pub(crate) fn producer(channel: &ChannelName, path: &Path, machine: &str) -> ProducerId {
    let mut hash = Sha256::new();
    for part in ["netchan send --resume", channel.as_str(), machine] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(path.as_os_str().as_encoded_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    ProducerId(id)
}

/// What tells this machine from others, where the system knows something.
pub(crate) fn machine() -> String {
    std::fs::read_to_string("/etc/machine-id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Compares the beginning of the file with what an earlier run noted, and goes back to the file's start. `next` is
/// the number of records in the log.
///
/// # Errors
/// The file is not the one that was sent before, or was cut differently.
pub(crate) fn verify(
    file: &mut File,
    path: &Path,
    split: &Split,
    next: u64,
    note: Option<&Note>,
) -> Result<()> {
    let path = path.display();
    let Some(note) = note else {
        ensure!(
            next == 0,
            "{next} records of {path} are in the channel, but nothing is known of them any more"
        );
        return Ok(());
    };
    ensure!(
        note.cutting == cutting(split),
        "{path} was cut into records in another way before: use the same --null, --delimiter or --whole"
    );
    ensure!(
        next <= note.records,
        "{next} records of {path} are in the channel, but {} are known",
        note.records
    );
    let mut hash = Sha256::new();
    let mut left = note.bytes;
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read(&mut buffer[..most]).with_context(|| format!("{path} cannot be read"))?;
        if read == 0 {
            bail!(
                "{path} has changed since it was sent: it has {} bytes, and had at least {}. Nothing was sent. To send \
                 it as a new file, leave out --resume",
                note.bytes - left,
                note.bytes
            );
        }
        hash.update(&buffer[..read]);
        left -= read as u64;
    }
    if <[u8; 32]>::from(hash.finalize()) != note.sha256 {
        bail!(
            "{path} has changed since it was sent: its first {} bytes are not those of before ({} records of them \
             are in the channel). Nothing was sent. To send it as a new file, leave out --resume",
            note.bytes,
            next
        );
    }
    file.rewind().with_context(|| format!("{path} cannot be read from its beginning"))
}

/// Chunks of a file in blocks, each behind its note, without the records that are in the log already.
#[derive(Debug)]
pub(crate) struct Blocks<I> {
    chunks: I,
    split: Split,
    block: usize,
    hash: Sha256,
    bytes: u64,
    records: u64,
    skip: u64,
    /// Where the records to skip have to end, if that is known, and whether a delimiter may have come since.
    end: Option<(u64, bool)>,
    ready: VecDeque<Result<Step>>,
    over: bool,
}

impl<I: Iterator<Item = Result<Chunk, InputError>>> Blocks<I> {
    /// The blocks of `chunks`, which begin with the file, behind the `skip` records of it that are in the log.
    /// `note` is what was [verified](verify).
    pub(crate) fn new(chunks: I, split: Split, skip: u64, note: Option<&Note>) -> Blocks<I> {
        let end = note.filter(|note| note.records == skip).map(|note| (note.bytes, note.unterminated));
        let hash = Sha256::new();
        let ready = VecDeque::new();
        Blocks { chunks, split, block: BLOCK, hash, bytes: 0, records: 0, skip, end, ready, over: false }
    }

    fn fill(&mut self) {
        let mut block = Vec::new();
        let (mut size, mut unterminated, mut failed) = (0, false, None);
        while size < self.block && !self.over {
            match self.chunks.next() {
                Some(Ok(mut chunk)) => {
                    size += chunk.bytes().len();
                    unterminated = chunk.is_unterminated();
                    match self.take(&mut chunk) {
                        Ok(()) if chunk.count() > 0 => block.push(chunk),
                        Ok(()) => {}
                        Err(error) => failed = Some(error),
                    }
                }
                Some(Err(error)) => failed = Some(error.into()),
                None if self.records < self.skip => {
                    failed =
                        Some(anyhow::anyhow!("the file has {} records, and had {}", self.records, self.skip));
                }
                None => self.over = true,
            }
            self.over |= failed.is_some();
        }
        if !block.is_empty() {
            let sha256 = self.hash.clone().finalize().into();
            let cutting = cutting(&self.split);
            let note = Note { records: self.records, bytes: self.bytes, sha256, unterminated, cutting };
            self.ready.push_back(Ok(Step::Note(note)));
            self.ready.extend(block.into_iter().map(|chunk| Ok(Step::Chunk(chunk))));
        }
        self.ready.extend(failed.map(Err));
    }

    /// Counts and hashes a chunk, and drops from it what is in the log.
    fn take(&mut self, chunk: &mut Chunk) -> Result<()> {
        let (before, bytes) = (self.records, self.bytes);
        self.hash.update(chunk.bytes());
        self.records += chunk.count();
        self.bytes += chunk.bytes().len() as u64;
        if before >= self.skip {
            return Ok(());
        }
        let end = bytes + chunk.skip(self.skip - before) as u64;
        if self.records >= self.skip
            && let Some((expected, open)) = self.end
        {
            let delimiter = if open { self.split.delimiter_len() as u64 } else { 0 };
            ensure!(
                end == expected || end == expected + delimiter,
                "{} {} was sent when it was the file's last, without an end; it has grown since. What is behind it \
                 was not sent. To send the file as a new one, leave out --resume",
                self.split.word(),
                self.skip
            );
        }
        Ok(())
    }
}

impl<I: Iterator<Item = Result<Chunk, InputError>>> Iterator for Blocks<I> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Result<Step>> {
        while self.ready.is_empty() && !self.over {
            self.fill();
        }
        self.ready.pop_front()
    }
}

/// The way of cutting, short enough for a note.
fn cutting(split: &Split) -> [u8; 8] {
    let digest: [u8; 32] = match split {
        Split::At(delimiter) => Sha256::new().chain_update(b"at").chain_update(delimiter).finalize().into(),
        Split::Whole => Sha256::digest(b"whole").into(),
    };
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    short
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::input::Splitter;

    /// A log that counts one producer's records, and the state beside it.
    #[derive(Default)]
    struct Log {
        records: Vec<(Vec<u8>, bool)>,
        note: Option<String>,
    }

    /// A run of `send --resume` that is killed after `life` steps of one record or one note.
    fn run(log: &mut Log, content: &[u8], split: &Split, block: usize, mut life: usize) -> Result<()> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        let note = log.note.as_deref().map(str::parse).transpose()?;
        let next = log.records.len() as u64;
        verify(&mut file, Path::new("FILE"), split, next, note.as_ref())?;
        let splitter = Splitter::new(file.take(u64::MAX), split.clone(), 1000);
        let mut blocks = Blocks::new(splitter, split.clone(), next, note.as_ref());
        blocks.block = block;
        for step in blocks {
            let step = step?;
            if life == 0 {
                return Ok(());
            }
            match step {
                Step::Note(note) => {
                    let text = note.text();
                    assert!(text.len() <= 256, "{text}");
                    log.note = Some(text);
                    life -= 1;
                }
                Step::Chunk(chunk) => {
                    for piece in chunk.pieces().take(life) {
                        log.records.push((piece.payload.to_vec(), piece.unterminated));
                    }
                    life = life.saturating_sub(chunk.pieces().count());
                }
            }
        }
        Ok(())
    }

    fn lines() -> Split {
        Split::At(b"\n".to_vec())
    }

    fn pieces(content: &[u8], split: &Split) -> Vec<(Vec<u8>, bool)> {
        let chunks = Splitter::new(content, split.clone(), 1000).map(Result::unwrap);
        chunks
            .flat_map(|chunk| {
                chunk.pieces().map(|p| (p.payload.to_vec(), p.unterminated)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn killed_anywhere_and_run_again_it_sends_each_line_once_in_order() {
        for ending in ["", "\n"] {
            let content = format!("a\nbb\n\nccc\n{}\nlast{ending}", "x".repeat(50));
            for block in [1, 8, 1 << 20] {
                for (first, second) in (0..14).flat_map(|first| (0..14).map(move |second| (first, second))) {
                    let mut log = Log::default();
                    for life in [first, second, usize::MAX, usize::MAX] {
                        run(&mut log, content.as_bytes(), &lines(), block, life).unwrap();
                    }
                    assert_eq!(log.records, pieces(content.as_bytes(), &lines()), "{first} {second} {block}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_has_grown_is_sent_on() {
        let mut log = Log::default();
        for content in ["", "a\n", "a\nb", "a\nb\nc\n", "a\nb\nc\n\n"] {
            run(&mut log, content.as_bytes(), &lines(), 1 << 20, usize::MAX).unwrap();
        }
        let texts: Vec<_> = log.records.iter().map(|(text, _)| text.as_slice()).collect();
        assert_eq!(texts, [&b"a"[..], b"b", b"c", b""]);
        assert!(log.records[1].1, "b had no end when it was sent");
    }

    #[test]
    fn a_file_whose_beginning_has_changed_is_refused() {
        for life in [1, 2, usize::MAX] {
            let mut log = Log::default();
            run(&mut log, b"one\ntwo\nthree\n", &lines(), 1 << 20, life).unwrap();
            let before = log.records.clone();
            for other in [&b"one\ntwo\nThree\n"[..], b"one\ntwo\n", b"", b"xone\ntwo\nthree\n"] {
                let error = run(&mut log, other, &lines(), 1 << 20, usize::MAX).unwrap_err().to_string();
                assert!(error.contains("has changed since it was sent"), "{error}");
            }
            let error = run(&mut log, b"one\ntwo\nthree\n", &Split::At(vec![0]), 1 << 20, usize::MAX);
            assert!(error.unwrap_err().to_string().contains("another way"));
            assert_eq!(log.records, before, "nothing was sent");
        }
    }

    #[test]
    fn a_last_line_that_was_sent_without_its_end_must_not_have_grown() {
        let mut log = Log::default();
        run(&mut log, b"a\nb", &lines(), 1 << 20, usize::MAX).unwrap();
        let error = run(&mut log, b"a\nbcd\ne\n", &lines(), 1 << 20, usize::MAX).unwrap_err().to_string();
        assert!(error.starts_with("line 2 was sent"), "{error}");
        // killed before it was sent, it may grow
        let mut log = Log::default();
        run(&mut log, b"a\nb", &lines(), 1 << 20, 2).unwrap();
        run(&mut log, b"a\nbcd\n", &lines(), 1 << 20, usize::MAX).unwrap();
        assert_eq!(log.records, pieces(b"a\nbcd\n", &lines()));
    }

    #[test]
    fn what_is_behind_a_line_that_is_too_long_waits_until_it_is_mended() {
        let mut log = Log::default();
        let long = "x".repeat(1001);
        let error = run(&mut log, format!("a\n{long}\nb\n").as_bytes(), &lines(), 1 << 20, usize::MAX);
        assert!(error.unwrap_err().to_string().starts_with("line 2 has 1001 bytes"));
        run(&mut log, b"a\nshort\nb\n", &lines(), 1 << 20, usize::MAX).unwrap();
        assert_eq!(log.records, pieces(b"a\nshort\nb\n", &lines()));
    }

    #[test]
    fn a_producer_is_one_file_in_one_channel_from_one_machine() {
        let id = |channel: &str, path: &str, machine: &str| {
            producer(&ChannelName::new(channel).unwrap(), Path::new(path), machine)
        };
        let all = [id("a", "/b", ""), id("a", "/c", ""), id("b", "/b", ""), id("a", "/b", "m")];
        assert_eq!(id("a", "/b", ""), all[0]);
        for (at, id) in all.iter().enumerate() {
            assert!(!all[..at].contains(id));
        }
    }

    #[test]
    fn a_note_that_is_none_is_refused() {
        for text in ["", "file1", "file2 1 2 00 open 00", "x y z"] {
            assert!(text.parse::<Note>().is_err());
        }
    }
}
