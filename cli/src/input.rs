//! Input cut into records: lines as they arrive, other delimiters, or all of it as one record.
//!
//! Owns the reading thread and where one record ends. A read takes whatever is there, so a trickle is passed
//! on at once and a flood in large chunks; between thread and sender go chunks of records, never single ones.
//! Knows nothing of channels. Its neighbours are [`crate::send`], which sends the chunks, and
//! [`crate::resume`], which numbers and hashes them.

use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;
use tokio::sync::mpsc;

/// Bytes asked of the input in one read.
const READ: usize = 128 << 10;
/// Bytes that one buffer holds before the next is taken: several reads share it.
const BUFFER: usize = 1 << 20;
/// Up to where a record that is too long is measured, in multiples of the limit.
const MEASURED: u64 = 64;

/// How the input is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// At each occurrence of these bytes (at least one), which belong to no record.
    At(Vec<u8>),
    /// Not at all.
    Whole,
}

impl Split {
    /// What a record is called in messages.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Split::At(delimiter) if delimiter == b"\n" => "line",
            _ => "record",
        }
    }

    pub(crate) fn delimiter_len(&self) -> usize {
        match self {
            Split::At(delimiter) => delimiter.len(),
            Split::Whole => 0,
        }
    }
}

/// One record of the input, without its delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) payload: &'a [u8],
    /// The input ended here without a delimiter.
    pub(crate) unterminated: bool,
}

/// Whole records of the input, in order, with the delimiters between them.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    bytes: Bytes,
    /// Where each record ends in `bytes`; its delimiter follows.
    ends: Vec<u32>,
    delimiter_len: usize,
    unterminated: bool,
}

impl Chunk {
    /// Its records.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut from = 0;
        let last = self.ends.len().saturating_sub(1);
        self.ends.iter().enumerate().map(move |(at, &end)| {
            let end = end as usize;
            let payload = &self.bytes[from..end];
            from = end + self.delimiter_len;
            Piece { payload, unterminated: self.unterminated && at == last }
        })
    }

    /// How many records it has.
    pub(crate) fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// The bytes of the input that it covers, delimiters included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether its last record is the input's last, without a delimiter.
    pub(crate) fn is_unterminated(&self) -> bool {
        self.unterminated
    }

    /// Drops the first `count` records (at most all) and says how many bytes that were.
    pub(crate) fn skip(&mut self, count: u64) -> usize {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.ends.len());
        let Some(last) = count.checked_sub(1) else { return 0 };
        let dropped = (self.ends[last] as usize + self.delimiter_len).min(self.bytes.len());
        self.bytes.advance(dropped);
        self.ends.drain(..count);
        for end in &mut self.ends {
            *end -= u32::try_from(dropped).unwrap_or(u32::MAX);
        }
        dropped
    }
}

/// Why the input could not be read to its end. The records before it were handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error(
        "{word} {number} has {}{size} bytes; {limit} is the most a record can have",
        if *.at_least { "at least " } else { "" }
    )]
    TooLong { word: &'static str, number: u64, size: u64, at_least: bool, limit: usize },
    #[error("the input cannot be read after {word} {after}")]
    Read { word: &'static str, after: u64, source: io::Error },
}

/// Cuts an input into chunks. An iterator that blocks while it reads.
#[derive(Debug)]
pub(crate) struct Splitter<R> {
    input: R,
    split: Split,
    finder: Finder<'static>,
    limit: usize,
    buffer: BytesMut,
    /// How much of `buffer` holds no delimiter for certain.
    scanned: usize,
    /// Records handed out.
    records: u64,
    failed: Option<InputError>,
    over: bool,
}

impl<R: Read> Splitter<R> {
    /// Cuts `input`, whose records have at most `limit` bytes.
    pub(crate) fn new(input: R, split: Split, limit: usize) -> Splitter<R> {
        let finder = match &split {
            Split::At(delimiter) => Finder::new(delimiter).into_owned(),
            Split::Whole => Finder::new(b"").into_owned(),
        };
        let buffer = BytesMut::with_capacity(BUFFER);
        Splitter { input, split, finder, limit, buffer, scanned: 0, records: 0, failed: None, over: false }
    }

    fn read(&mut self) -> io::Result<usize> {
        let old = self.buffer.len();
        if self.buffer.capacity() - old < READ {
            self.buffer.reserve(BUFFER);
        }
        self.buffer.resize(old + READ, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Where the records end that are whole by now, each looked at once.
    fn scan(&mut self) -> Vec<u32> {
        let Split::At(delimiter) = &self.split else { return Vec::new() };
        let mut ends = Vec::new();
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let from = self.scanned;
        if let [byte] = delimiter[..] {
            ends.extend(memchr::memchr_iter(byte, &self.buffer[from..]).map(|at| place(from + at)));
            self.scanned = self.buffer.len();
        } else {
            let mut from = from;
            while let Some(at) = self.finder.find(&self.buffer[from..]) {
                ends.push(place(from + at));
                from += at + delimiter.len();
            }
            // the beginning of a delimiter may stand at the end
            self.scanned = from.max((self.buffer.len() + 1).saturating_sub(delimiter.len()));
        }
        ends
    }

    /// Takes the records that end at `ends`, up to the first that is too long.
    fn cut(&mut self, mut ends: Vec<u32>, unterminated: bool) -> Option<Chunk> {
        let delimiter_len = self.split.delimiter_len();
        let mut from = 0;
        let mut good = ends.len();
        for (at, &end) in ends.iter().enumerate() {
            let size = end as usize - from;
            if size > self.limit {
                good = at;
                self.fail_too_long(self.records + at as u64 + 1, size as u64, false);
                break;
            }
            from = end as usize + delimiter_len;
        }
        let unterminated = unterminated && good == ends.len();
        ends.truncate(good);
        let last = *ends.last()? as usize;
        let bytes = self.buffer.split_to(if unterminated { last } else { last + delimiter_len }).freeze();
        self.scanned = self.scanned.saturating_sub(bytes.len());
        self.records += ends.len() as u64;
        Some(Chunk { bytes, ends, delimiter_len, unterminated })
    }

    fn fail_too_long(&mut self, number: u64, size: u64, at_least: bool) {
        let word = self.split.word();
        self.failed = Some(InputError::TooLong { word, number, size, at_least, limit: self.limit });
    }

    /// The record in the buffer is too long: reads on to say how long it is.
    fn measure(&mut self) {
        let most = self.limit as u64 * MEASURED;
        let mut size = 0u64;
        let at_least = loop {
            if let Some(&end) = self.scan().first() {
                size += u64::from(end);
                break false;
            }
            // keeps what may be the beginning of a delimiter
            let keep = self.split.delimiter_len().saturating_sub(1).min(self.buffer.len());
            let passed = self.buffer.len() - keep;
            size += passed as u64;
            self.buffer.advance(passed);
            self.scanned = 0;
            if size > most {
                break true;
            }
            match self.read() {
                Ok(0) => {
                    size += keep as u64;
                    break false;
                }
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        self.fail_too_long(self.records + 1, size, at_least);
    }

    /// The input's end: what is left is a record without a delimiter.
    fn rest(&mut self) -> Option<Chunk> {
        self.over = true;
        if self.buffer.is_empty() && self.split != Split::Whole {
            return None;
        }
        let end = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        self.cut(vec![end], true)
    }
}

impl<R: Read> Iterator for Splitter<R> {
    type Item = Result<Chunk, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.failed.take() {
                self.over = true;
                return Some(Err(error));
            }
            if self.over {
                return None;
            }
            let chunk = match self.read() {
                Ok(0) => self.rest(),
                Ok(_) => {
                    let ends = self.scan();
                    if ends.is_empty() && self.buffer.len() > self.limit + self.split.delimiter_len() {
                        self.measure();
                    }
                    self.cut(ends, false)
                }
                Err(source) => {
                    let word = self.split.word();
                    self.failed = Some(InputError::Read { word, after: self.records, source });
                    None
                }
            };
            if chunk.is_some() {
                return chunk.map(Ok);
            }
        }
    }
}

/// Runs `items` on a thread of its own, at most `ahead` items ahead of the receiver. The thread may stay in a
/// read for ever: it is left behind when the program ends.
pub(crate) fn on_a_thread<T: Send + 'static>(
    ahead: usize,
    items: impl Iterator<Item = T> + Send + 'static,
) -> io::Result<mpsc::Receiver<T>> {
    let (sender, receiver) = mpsc::channel(ahead);
    std::thread::Builder::new().name("input".into()).spawn(move || {
        for item in items {
            if sender.blocking_send(item).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `step` bytes a read.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn split(
        input: &[u8],
        split: &Split,
        limit: usize,
        step: usize,
    ) -> (Vec<(Vec<u8>, bool)>, Option<String>) {
        let mut pieces = Vec::new();
        let mut covered = Vec::new();
        for chunk in Splitter::new(Slowly(input, step), split.clone(), limit) {
            match chunk {
                Ok(chunk) => {
                    covered.extend_from_slice(chunk.bytes());
                    assert_eq!(chunk.count() as usize, chunk.pieces().count());
                    pieces.extend(chunk.pieces().map(|piece| (piece.payload.to_vec(), piece.unterminated)));
                }
                Err(error) => return (pieces, Some(error.to_string())),
            }
        }
        assert_eq!(covered, input, "every byte is covered once");
        (pieces, None)
    }

    fn at(delimiter: &[u8]) -> Split {
        Split::At(delimiter.to_vec())
    }

    #[test]
    fn records_are_what_stands_between_delimiters_however_the_input_arrives() {
        let mut random = 7u64;
        for round in 0..2_000 {
            let mut next = |below: u64| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            let input: Vec<u8> = (0..next(40)).map(|_| b"ab\n\0"[next(4) as usize]).collect();
            let delimiter: &[u8] = [&b"\n"[..], b"\0", b"ab", b"aa", b"a\na"][next(5) as usize];
            let step = 1 + next(7) as usize;

            let mut expected = Vec::new();
            let (mut rest, mut from) = (&input[..], 0);
            while let Some(at) = memchr::memmem::find(&rest[from..], delimiter) {
                expected.push((rest[from..from + at].to_vec(), false));
                from += at + delimiter.len();
            }
            rest = &rest[from..];
            if !rest.is_empty() {
                expected.push((rest.to_vec(), true));
            }
            let found = split(&input, &at(delimiter), 1000, step);
            assert_eq!(found, (expected, None), "round {round}: {input:?} by {delimiter:?}, {step} a read");
        }
    }

    #[test]
    fn a_record_may_have_exactly_the_limit() {
        for step in [1, 3, 1000] {
            for delimiter in [&b"\n"[..], b"--"] {
                let input = [b"123", delimiter, b"12345678", delimiter, b"12345678"].concat();
                let (pieces, error) = split(&input, &at(delimiter), 8, step);
                assert_eq!((pieces.len(), error), (3, None));
            }
        }
    }

    #[test]
    fn a_record_over_the_limit_is_named_with_its_size_and_what_came_before_is_kept() {
        for step in [1, 4, 1000] {
            for delimiter in [&b"\n"[..], b"--"] {
                for (tail, size) in [(&b"123456789"[..], 9), (&[b'x'; 300], 300)] {
                    for ending in [&b""[..], delimiter, &[delimiter, b"more"].concat()] {
                        let input = [b"a", delimiter, delimiter, tail, ending].concat();
                        let (pieces, error) = split(&input, &at(delimiter), 8, step);
                        assert_eq!(pieces, [(b"a".to_vec(), false), (Vec::new(), false)]);
                        let word = at(delimiter).word();
                        assert_eq!(
                            error.unwrap(),
                            format!("{word} 3 has {size} bytes; 8 is the most a record can have")
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_endless_record_is_refused_in_the_end() {
        let mut splitter = Splitter::new(io::repeat(b'x'), at(b"\n"), 1 << 20);
        let error = splitter.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("line 1 has at least "), "{error}");
        assert!(splitter.next().is_none());
    }

    #[test]
    fn whole_is_one_record_even_if_empty() {
        for input in [&b""[..], b"a\nb\n", &[0; 300_000]] {
            assert_eq!(split(input, &Split::Whole, 1 << 20, 777), (vec![(input.to_vec(), true)], None));
        }
        let (pieces, error) = split(&[1; 2000], &Split::Whole, 1000, 10_000);
        assert!(pieces.is_empty());
        assert_eq!(error.unwrap(), "record 1 has 2000 bytes; 1000 is the most a record can have");
    }

    #[test]
    fn an_input_that_fails_says_after_which_line() {
        let input = Read::chain(&b"a\nb\nc"[..], Broken);
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let mut splitter = Splitter::new(input, at(b"\n"), 100);
        assert_eq!(splitter.next().unwrap().unwrap().count(), 2);
        let error = splitter.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "the input cannot be read after line 2");
    }

    #[test]
    fn skipping_leaves_the_rest_as_it_was() {
        let chunk = || Splitter::new(&b"a\nbb\n\nccc\n"[..], at(b"\n"), 100).next().unwrap().unwrap();
        for count in 0..6u64 {
            let mut rest = chunk();
            let dropped = rest.skip(count);
            let all = chunk();
            let left: Vec<_> = all.pieces().skip(count as usize).collect();
            assert_eq!(rest.pieces().collect::<Vec<_>>(), left);
            assert_eq!(all.bytes()[dropped..], *rest.bytes());
        }
    }
}
