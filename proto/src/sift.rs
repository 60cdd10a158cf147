//! What of a run of batches passes a filter, as batches again (spec/14-filters.md, "What S sends").
//!
//! Owns the walk that judges records where they stand, and the writing of sparse batches. A batch of which all records pass is
//! taken as it is; a run of such batches is not even copied. Neighbours: [`crate::filter`] judges, the node crate decides
//! when and where.

use bytes::Bytes;

use crate::batch::{BatchError, BatchHeader, BatchKind, HEADER_LEN, RECORD_PREFIX, records_of};
use crate::compression::Compression;
use crate::crc::crc32c;
use crate::filter::{Filter, View};
use crate::record::{NO_KEY, TAG_PREFIX, TAGGED};
use crate::types::Offset;

/// Bytes of a record's offset delta.
const DELTA: usize = 4;
/// Once it has written so much of its own, it stops at the end of a batch: what compressed batches come to has no other bound.
const ENOUGH_WRITTEN: usize = 1 << 20;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// Whole batches to send: the run itself, if all of it passed.
    pub bytes: Bytes,
    /// The batches in `bytes` end here; where its first begins, if there are none.
    pub covered: Offset,
    /// What was judged ends here.
    pub next: Offset,
    /// From `covered` to `next` nothing passed; the header of the last batch before `next`.
    pub last: BatchHeader,
    /// All that was judged passed: `bytes` are of the run.
    pub is_whole: bool,
    /// Steps that it took.
    pub steps: u64,
}

/// Why a run cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SiftError {
    /// Judging a record would take more steps than it may.
    #[error("judging the record at offset {at} would take more steps than the filter may")]
    TooCostly {
        /// The record.
        at: Offset,
    },
    /// The first batch cannot be read.
    #[error("the batch cannot be judged: {error}")]
    Damaged {
        /// Where the batch ends; `None`: its header does not say.
        to: Option<Offset>,
        /// What is wrong with it.
        error: BatchError,
    },
}

/// Judges the batches of `run`, which are of the log `seed`, up to the one with which `enough` steps are passed. Their
/// checksums were checked. Records before `from` are not wanted, whatever they are.
///
/// # Errors
/// [`SiftError`], about the first batch; what is wrong with a later one is said when it is the first.
pub fn sift(
    filter: &Filter,
    run: &Bytes,
    from: Offset,
    seed: &[u8; 16],
    enough: u64,
) -> Result<Sifted, SiftError> {
    let mut out = Out { seed, run, whole: 0, written: Vec::new() };
    let mut sifted = Sifted::default();
    let mut at = 0;
    let most = run.len().max(ENOUGH_WRITTEN);
    while at < run.len() && sifted.steps < enough && out.written.len() < most {
        let opened = open(run, at, seed);
        let judged = opened.as_ref().map_err(|error| *error).and_then(|(header, records)| {
            Ok((*header, judge(filter, header, records, from, &mut sifted.steps)?))
        });
        let (header, verdict) = match judged {
            Ok(judged) => judged,
            Err(error) if at == 0 => return Err(error),
            Err(_) => break,
        };
        if at == 0 {
            sifted.covered = header.base_offset;
        }
        let end = at + header.stored_len();
        match verdict {
            Verdict::Nothing => {}
            Verdict::All => {
                let skip = Skip { from: sifted.covered, to: header.base_offset, last: sifted.last };
                out.skip(&skip);
                out.take(at..end);
                sifted.covered = header.next_offset();
            }
            Verdict::Some(kept) => {
                let span = u32::try_from(header.next_offset().0 - sifted.covered.0);
                let span = if let Ok(span) = span {
                    span
                } else {
                    out.skip(&Skip { from: sifted.covered, to: header.base_offset, last: sifted.last });
                    sifted.covered = header.base_offset;
                    header.offset_span
                };
                out.sparse(
                    &BatchHeader { base_offset: sifted.covered, offset_span: span, ..header },
                    &header,
                    &kept,
                );
                sifted.covered = header.next_offset();
            }
        }
        (sifted.next, sifted.last) = (header.next_offset(), header);
        at = end;
    }
    sifted.is_whole = out.whole == at;
    sifted.bytes = out.finish();
    Ok(sifted)
}

/// What passed of a batch.
enum Verdict<'a> {
    All,
    Nothing,
    Some(Vec<Raw<'a>>),
}

fn damaged(header: Option<&BatchHeader>, error: BatchError) -> SiftError {
    SiftError::Damaged { to: header.map(BatchHeader::next_offset), error }
}

/// The batch that begins at `at`: its header, and the bytes of its records.
fn open(run: &Bytes, at: usize, seed: &[u8; 16]) -> Result<(BatchHeader, Bytes), SiftError> {
    let first = run[at..].first_chunk().ok_or(damaged(None, BatchError::Short))?;
    let header = BatchHeader::decode(first, seed).map_err(|error| damaged(None, error))?;
    if header.kind != BatchKind::Data {
        return Err(damaged(Some(&header), BatchError::Short));
    }
    let records = records_of(&header, &run.slice(at..)).map_err(|error| damaged(Some(&header), error))?;
    Ok((header, records))
}

/// Judges the `records` of a batch. Making them again, if that was needed, counts as steps too.
fn judge<'a>(
    filter: &Filter,
    header: &BatchHeader,
    records: &'a [u8],
    from: Offset,
    steps: &mut u64,
) -> Result<Verdict<'a>, SiftError> {
    if header.compression != Compression::None {
        *steps += records.len() as u64;
    }
    let mut kept = Vec::new();
    let mut is_all = true;
    // Those before the first that does not pass are taken up again only when there is one.
    let mut until_first = Walk::new(header, records);
    let mut passed = 0usize;
    for record in Walk::new(header, records) {
        let record = record.map_err(|error| damaged(Some(header), error))?;
        let offset = record.view.offset;
        let passes = if offset < from {
            // It counts as passed only if nothing has to be left out.
            is_all
        } else {
            let (answer, took) = filter.judge(&record.view);
            *steps += took;
            answer.map_err(|_| SiftError::TooCostly { at: offset })?
        };
        match (passes, is_all) {
            (true, true) => passed += 1,
            (true, false) => kept.push(record),
            (false, true) => {
                is_all = false;
                kept.extend(
                    until_first.by_ref().take(passed).flatten().filter(|kept| kept.view.offset >= from),
                );
            }
            (false, false) => {}
        }
    }
    Ok(if is_all {
        Verdict::All
    } else if kept.is_empty() {
        Verdict::Nothing
    } else {
        Verdict::Some(kept)
    })
}

/// A record as it stands in a body.
#[derive(Clone, Copy, Debug)]
struct Raw<'a> {
    view: View<'a>,
    length: u32,
    time_delta: u32,
    offset_delta: u32,
    /// What follows the deltas.
    rest: &'a [u8],
}

/// The walk through a stored batch, by the rules of [`crate::batch::Records`].
struct Walk<'a> {
    header: BatchHeader,
    body: &'a [u8],
    index: u32,
    before: Option<(u32, u32)>,
}

impl<'a> Walk<'a> {
    fn new(header: &BatchHeader, records: &'a [u8]) -> Walk<'a> {
        Walk { header: *header, body: records, index: 0, before: None }
    }

    fn step(&mut self) -> Option<Raw<'a>> {
        let header = &self.header;
        let (length, time_delta) = (word(&mut self.body)?, word(&mut self.body)?);
        let offset_delta = if header.sparse { word(&mut self.body)? } else { self.index };
        let is_last = self.index + 1 == header.record_count;
        let rest = self.body.get(..(length & !TAGGED) as usize)?;
        self.body = &self.body[rest.len()..];
        let holds = self.before.is_none_or(|(time, offset)| time < time_delta && offset < offset_delta)
            && (self.index > 0 || time_delta == 0 || header.sparse)
            && (!is_last || header.sparse || time_delta == header.last_time_delta)
            && offset_delta < header.offset_span
            && (!is_last || self.body.is_empty());
        if !holds {
            return None;
        }
        self.before = Some((time_delta, offset_delta));
        self.index += 1;
        let plain = View {
            offset: header.base_offset.plus(offset_delta.into()),
            timestamp: header.base_time.plus_nanos(time_delta.into()),
            payload: rest,
            ..View::default()
        };
        let view = if length & TAGGED == 0 { plain } else { tagged(plain)? };
        Some(Raw { view, length, time_delta, offset_delta, rest })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Raw<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.header.record_count {
            return None;
        }
        let record = self.step();
        if record.is_none() {
            self.index = self.header.record_count;
        }
        Some(record.ok_or(BatchError::Record))
    }
}

fn word(body: &mut &[u8]) -> Option<u32> {
    let (word, rest) = body.split_first_chunk::<4>()?;
    *body = rest;
    Some(u32::from_le_bytes(*word))
}

/// The record of which all that follows its deltas was taken for the payload.
fn tagged(record: View<'_>) -> Option<View<'_>> {
    let mut rest = record.payload;
    let (key_len, headers_len) = (word(&mut rest)?, word(&mut rest)?);
    let key_bytes = if key_len == NO_KEY { 0 } else { key_len as usize };
    let (key, rest) = rest.split_at_checked(key_bytes)?;
    let (headers, payload) = rest.split_at_checked(headers_len as usize)?;
    Some(View { key: (key_len != NO_KEY).then_some(key), headers, payload, ..record })
}

/// Offsets of which nothing passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The first of them.
    pub from: Offset,
    /// The one after the last.
    pub to: Offset,
    /// The header of the last batch before `to`.
    pub last: BatchHeader,
}

impl Skip {
    /// The sparse batches without records that say so, of the log `seed`: one, unless it is more than 2^32 offsets.
    #[must_use]
    pub fn encode(&self, seed: &[u8; 16]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut from = self.from;
        while from < self.to {
            let span = u32::try_from(self.to.0 - from.0).unwrap_or(u32::MAX);
            let header = BatchHeader { base_offset: from, offset_span: span, ..self.last };
            out.extend_from_slice(&sparse_header(&header, 0, &[]).encode(seed));
            from = from.plus(span.into());
        }
        out
    }
}

/// The header of a sparse batch with so many records in `body`, at the place, span and times of `like`.
fn sparse_header(like: &BatchHeader, record_count: u32, body: &[u8]) -> BatchHeader {
    BatchHeader {
        body_len: u32::try_from(body.len()).unwrap_or(u32::MAX),
        body_crc: crc32c(body),
        record_count,
        durable_offset: Offset::ZERO,
        previous_crc: 0,
        kind: BatchKind::Data,
        has_producer: false,
        sparse: true,
        compression: Compression::None,
        ..*like
    }
}

/// What is to be sent: a beginning of the run, or memory of its own once that no longer is.
struct Out<'a> {
    seed: &'a [u8; 16],
    run: &'a Bytes,
    /// Bytes of the run's beginning that are all of it.
    whole: usize,
    written: Vec<u8>,
}

impl Out<'_> {
    fn own(&mut self) -> &mut Vec<u8> {
        if self.whole > 0 {
            self.written.reserve(self.run.len());
            self.written.extend_from_slice(&self.run[..std::mem::take(&mut self.whole)]);
        }
        &mut self.written
    }

    fn take(&mut self, stored: std::ops::Range<usize>) {
        if self.written.is_empty() && stored.start == self.whole {
            self.whole = stored.end;
        } else {
            let run = self.run;
            self.own().extend_from_slice(&run[stored]);
        }
    }

    fn skip(&mut self, skip: &Skip) {
        if skip.from < skip.to {
            let skip = skip.encode(self.seed);
            self.own().extend_from_slice(&skip);
        }
    }

    /// Writes those that were `kept` of a batch with the header `of`, as one with the place and span of `like`.
    fn sparse(&mut self, like: &BatchHeader, of: &BatchHeader, kept: &[Raw<'_>]) {
        let seed = self.seed;
        let shift = u32::try_from(of.base_offset.0 - like.base_offset.0).unwrap_or(u32::MAX);
        let out = self.own();
        let start = out.len();
        let bytes: usize = kept.iter().map(|record| RECORD_PREFIX + DELTA + record.rest.len()).sum();
        out.reserve(HEADER_LEN + bytes + TAG_PREFIX);
        out.resize(start + HEADER_LEN, 0);
        for record in kept {
            for word in [record.length, record.time_delta, record.offset_delta + shift] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(record.rest);
        }
        let count = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let header = sparse_header(like, count, &out[start + HEADER_LEN..]);
        out[start..start + HEADER_LEN].copy_from_slice(&header.encode(seed));
        out.resize(start + header.stored_len(), 0);
    }

    fn finish(self) -> Bytes {
        if self.whole > 0 { self.run.slice(..self.whole) } else { self.written.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{Batch, BatchBuilder, Stamp};
    use crate::inflow::Inflow;
    use crate::record::{AsRecord, NewRecord, Record};
    use crate::types::{Epoch, ProducerId, Timestamp};

    const SEED: [u8; 16] = [7; 16];

    /// A run of batches of so many records each; a record's key is its letter.
    fn run(batches: &[Vec<char>]) -> Bytes {
        let (mut run, mut next) = (Vec::new(), 100);
        for (index, letters) in batches.iter().enumerate() {
            let producer = (index % 2 == 1).then_some((ProducerId([3; 16]), 8));
            let mut builder = BatchBuilder::new(Offset(next), producer);
            for letter in letters {
                let record = match letter {
                    'p' => NewRecord::new(format!("plain {next} {}", "x".repeat(200))),
                    letter => NewRecord::new(format!("{next}")).key(letter.to_string()).header("h", "v"),
                };
                builder.push(Timestamp(1000 + next as i64 * 3), &record.as_record());
                next += 1;
            }
            let stamp = Stamp { seed: &SEED, epoch: Epoch(2), durable_offset: Offset(9), previous_crc: 5 };
            let may = index % 3 == 0 && letters.contains(&'p');
            let compression = if may { Compression::Lz4 } else { Compression::None };
            run.extend_from_slice(&builder.finish_as(stamp, compression).1);
        }
        run.into()
    }

    fn batches(run: Bytes) -> Vec<Batch> {
        let mut inflow = Inflow::new(SEED);
        inflow.push(run);
        let batches = std::iter::from_fn(|| inflow.next_batch().unwrap()).collect();
        assert!(inflow.is_between_batches());
        batches
    }

    fn records(batches: &[Batch]) -> Vec<Record> {
        batches.iter().flat_map(|batch| batch.records().map(Result::unwrap)).collect()
    }

    fn all(filter: &Filter, run: &Bytes, from: u64) -> Sifted {
        sift(filter, run, Offset(from), &SEED, u64::MAX).unwrap()
    }

    proptest! {
        /// NC-FLT-027, NC-FLT-028, NC-FLT-029, NC-BAT-009, NC-BAT-019
        #[test]
        fn what_passes_comes_out_as_it_was_and_what_is_covered_is_dense(
            letters in prop::collection::vec(
                prop::collection::vec(prop_oneof![Just('a'), Just('b'), Just('p')], 1..6), 1..8),
            from in 100..110u64,
        ) {
            let run = run(&letters);
            let filter = Filter::parse("key == 'a' or value ^= 'plain'").unwrap();
            let before = batches(run.clone());
            let sifted = all(&filter, &run, from);
            let after = batches(sifted.bytes.clone());
            let wanted = |record: &Record| record.offset >= Offset(from);
            let expected: Vec<_> = records(&before)
                .into_iter()
                .filter(|record| wanted(record) && filter.matches(&View::from(record)).unwrap())
                .collect();
            let found: Vec<_> = records(&after).into_iter().filter(wanted).collect();
            prop_assert_eq!(found, expected);
            let mut at = Offset(100);
            for batch in &after {
                let header = batch.header();
                prop_assert_eq!(header.base_offset, at);
                prop_assert_eq!(header.epoch, Epoch(2));
                prop_assert!(!header.sparse || !header.has_producer);
                at = header.next_offset();
                let origin = before.iter().find(|origin| origin.header().next_offset() == at).unwrap();
                prop_assert_eq!(header.base_time, origin.header().base_time);
                prop_assert_eq!(header.last_time(), origin.header().last_time());
                prop_assert!(header.sparse || batch.stored() == origin.stored());
            }
            prop_assert_eq!(at, sifted.covered);
            prop_assert_eq!(sifted.next, before.last().unwrap().header().next_offset());
            let is_whole = (100..).zip(letters.iter().flatten()).all(|(offset, letter)| offset < from || *letter != 'b');
            let is_untouched = sifted.bytes.as_ptr() == run.as_ptr() && sifted.bytes.len() == run.len();
            prop_assert_eq!(is_untouched, is_whole);
            prop_assert_eq!(sifted.is_whole, is_whole);
        }
    }

    /// As long as it was, by chance: it is not what it was.
    #[test]
    fn what_does_not_pass_whole_is_never_taken_for_the_batch_itself() {
        let mut builder = BatchBuilder::new(Offset(0), None);
        for (index, key) in ["a", "a", "a", "a", "a", "a", "a", "b"].iter().enumerate() {
            let record = NewRecord::new(if *key == "b" { "0123456789abc" } else { "" }).key(*key);
            builder.push(Timestamp(index as i64), &record.as_record());
        }
        let stamp = Stamp { seed: &SEED, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
        let run = builder.finish(stamp).1;
        let sifted = all(&Filter::parse("key == 'a'").unwrap(), &run, 0);
        assert_eq!((sifted.bytes.len(), sifted.is_whole), (run.len(), false));
        assert_eq!(records(&batches(sifted.bytes)).len(), 7);
    }

    #[test]
    fn nothing_passes_and_nothing_is_sent() {
        let run = run(&[vec!['a'; 5], vec!['b'; 7]]);
        let sifted = all(&Filter::parse("key == 'c'").unwrap(), &run, 100);
        assert_eq!((sifted.covered, sifted.next, sifted.bytes.len()), (Offset(100), Offset(112), 0));
        let skip = Skip { from: sifted.covered, to: sifted.next, last: sifted.last };
        let told = batches(skip.encode(&SEED).into());
        let last = batches(run.clone())[1].header().last_time();
        assert_eq!(told.len(), 1);
        let header = told[0].header();
        assert_eq!((header.base_offset, header.next_offset()), (Offset(100), Offset(112)));
        assert_eq!((header.sparse, header.record_count, header.last_time()), (true, 0, last));
        assert_eq!(told[0].stored().len(), HEADER_LEN);
        let skip = Skip { to: Offset(100 + (3 << 32)), ..skip };
        let told = batches(skip.encode(&SEED).into());
        assert_eq!(told.last().unwrap().header().next_offset(), skip.to);
    }

    /// NC-LIM-016: it stops at a batch's end, and goes on from there.
    #[test]
    fn it_stops_when_it_took_enough_steps() {
        let run = run(&vec![vec!['a'; 100]; 50]);
        let filter = Filter::parse("key == 'a'").unwrap();
        let sifted = sift(&filter, &run, Offset(0), &SEED, 350).unwrap();
        assert_eq!((sifted.next, sifted.steps), (Offset(300), 400));
        assert_eq!(sifted.bytes.as_ptr(), run.as_ptr(), "what passed whole is not copied");
    }

    /// NC-LIM-016: also what compressed batches come to.
    #[test]
    fn it_stops_when_it_has_written_enough() {
        let mut run = Vec::new();
        for index in 0..40u64 {
            let mut builder = BatchBuilder::new(Offset(2 * index), None);
            builder
                .push(Timestamp(index as i64 + 1), &NewRecord::new(vec![0; 256 << 10]).key("a").as_record());
            builder.push(Timestamp(index as i64 + 2), &"no key".as_record());
            let stamp = Stamp { seed: &SEED, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
            run.extend_from_slice(&builder.finish_as(stamp, Compression::Lz4).1);
        }
        let (run, filter) = (Bytes::from(run), Filter::parse("key == 'a'").unwrap());
        assert!(run.len() < 100 << 10);
        let sifted = sift(&filter, &run, Offset(0), &SEED, u64::MAX).unwrap();
        assert!((ENOUGH_WRITTEN..ENOUGH_WRITTEN + (512 << 10)).contains(&sifted.bytes.len()));
        assert!(sifted.steps >= 4 * (256 << 10), "making records again takes steps");
        let headers: Vec<_> = batches(sifted.bytes).iter().map(|batch| *batch.header()).collect();
        assert!(headers.iter().all(|header| header.sparse && header.compression == Compression::None));
        assert_eq!((sifted.next, sifted.covered), (Offset(8), Offset(8)));
    }

    /// NC-FLT-024
    #[test]
    fn a_record_that_is_too_costly_is_named() {
        let mut builder = BatchBuilder::new(Offset(5), None);
        builder.push(Timestamp(1), &vec![0; 1 << 20].as_record());
        let stamp = Stamp { seed: &SEED, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
        let run = builder.finish(stamp).1;
        let many = Filter::parse(&vec!["value ~ '*?*?*?*?*?*?*?*?*y'"; 16].join(" or ")).unwrap();
        assert_eq!(
            sift(&many, &run, Offset(0), &SEED, u64::MAX),
            Err(SiftError::TooCostly { at: Offset(5) })
        );
        assert!(sift(&many, &run, Offset(6), &SEED, u64::MAX).is_ok(), "what is not wanted is not judged");
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_told_when_it_comes_first() {
        let good = run(&[vec!['a', 'b']]);
        let header = BatchHeader {
            base_offset: Offset(102),
            offset_span: 2,
            record_count: 2,
            body_len: 24,
            ..BatchHeader::default()
        };
        let bad = [&header.encode(&SEED)[..], &[9; 24]].concat();
        let filter = Filter::parse("key == 'a'").unwrap();
        let both = Bytes::from([&good[..], &bad].concat());
        assert_eq!(all(&filter, &both, 0).next, Offset(102));
        let damaged = SiftError::Damaged { to: Some(Offset(104)), error: BatchError::Record };
        assert_eq!(sift(&filter, &bad.into(), Offset(0), &SEED, u64::MAX), Err(damaged));
    }
}
