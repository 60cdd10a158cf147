//! Where batches stand in a segment: a place each 32 KiB, learnt by hopping from header to header, and where those who read went last.
//!
//! It is derived and never written. What it knows reaches from the segment's start to `known`; a reader that goes
//! on from there teaches it, a seek beyond it hops there first.

use std::io;

use netchan_proto::batch::{BatchHeader, HEADER_LEN, MAGIC};
use netchan_proto::limits::MAX_BATCH;
use netchan_proto::{Offset, Timestamp};

use super::file::read_exactly;
use crate::disk::DiskFile;

/// Bytes of log between two places that are kept.
const INTERVAL: u64 = 32 << 10;
/// Ends of runs that are kept.
const LATELY: usize = 4;
/// Bytes read at a time in search of a batch after damage.
const SEARCH_CHUNK: usize = 1 << 20;

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: Offset,
    pub(crate) pos: u64,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    time: Timestamp,
}

/// Offsets that are damaged on disk; the next batch that holds begins with `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) from: Offset,
    pub(super) to: Offset,
}

#[derive(Debug)]
pub(super) struct Index {
    entries: Vec<Entry>,
    known: Place,
    damage: Vec<Damage>,
    /// Where runs ended lately, the newest last: who read one goes on there.
    lately: Vec<Place>,
}

impl Index {
    pub(super) fn new(base: Offset) -> Index {
        Index {
            entries: Vec::new(),
            known: Place { offset: base, pos: 0 },
            damage: Vec::new(),
            lately: Vec::new(),
        }
    }

    /// Says where the first batch begins, once the head is known.
    pub(super) fn start_at(&mut self, data_start: u64) {
        self.known.pos = self.known.pos.max(data_start);
    }

    /// How far it knows; position 0 says that not even the head was read.
    pub(super) fn known(&self) -> Place {
        self.known
    }

    /// Learns a batch, if it is the next one.
    pub(super) fn note(&mut self, header: &BatchHeader, pos: u64) {
        if pos != self.known.pos || header.base_offset != self.known.offset {
            return;
        }
        if self.entries.last().is_none_or(|last| pos - last.place.pos >= INTERVAL) {
            let place = Place { offset: header.base_offset, pos };
            self.entries.push(Entry { place, time: header.base_time });
        }
        self.known = Place { offset: header.next_offset(), pos: pos + header.stored_len() as u64 };
    }

    /// Learns that nothing holds from `at` to `next`, where a batch of `time` begins if there is one. `at` may lie
    /// behind what it knows: bytes rot after they were read, too.
    pub(super) fn note_damage(&mut self, at: Place, next: Place, time: Option<Timestamp>) {
        if at.offset > self.known.offset || next.offset <= at.offset || self.damage_at(at.offset).is_some() {
            return;
        }
        self.damage.push(Damage { from: at.offset, to: next.offset });
        self.entries.retain(|entry| entry.place.offset < at.offset || entry.place.offset >= next.offset);
        self.lately.clear();
        if next.offset > self.known.offset {
            self.known = next;
        }
        // No hop may begin before the damage and end after it.
        let after = self.entries.partition_point(|entry| entry.place.offset < next.offset);
        if let Some(time) = time
            && self.entries.get(after).is_none_or(|entry| entry.place.offset > next.offset)
        {
            self.entries.insert(after, Entry { place: next, time });
        }
    }

    pub(super) fn damage_at(&self, offset: Offset) -> Option<Damage> {
        self.damage.iter().copied().find(|damage| damage.from <= offset && offset < damage.to)
    }

    /// Where the first known damage at or after `offset` begins, or `end`.
    pub(super) fn sound_until(&self, offset: Offset, end: Offset) -> Offset {
        let later = self.damage.iter().map(|damage| damage.from).filter(|&from| from >= offset);
        later.min().map_or(end, |from| from.min(end))
    }

    /// A run ended at `place`, where a batch begins.
    pub(super) fn note_end(&mut self, place: Place) {
        if place.offset < self.known.offset && !self.lately.contains(&place) {
            if self.lately.len() == LATELY {
                self.lately.remove(0);
            }
            self.lately.push(place);
        }
    }

    /// The nearest place at or before `offset`.
    pub(super) fn before(&self, offset: Offset) -> Place {
        if offset >= self.known.offset {
            return self.known;
        }
        if let Some(place) = self.lately.iter().find(|place| place.offset == offset) {
            return *place;
        }
        let after = self.entries.partition_point(|entry| entry.place.offset <= offset);
        after.checked_sub(1).map_or(self.known, |index| self.entries[index].place)
    }

    /// The nearest place at or before `offset`, and the time there, if it is known.
    pub(super) fn near(&self, offset: Offset) -> (Place, Option<Timestamp>) {
        let after = self.entries.partition_point(|entry| entry.place.offset <= offset);
        match after.checked_sub(1).map(|index| &self.entries[index]) {
            Some(entry) if offset < self.known.offset => (entry.place, Some(entry.time)),
            _ => (self.known, None),
        }
    }

    /// The nearest place before which every record is older than `time`.
    pub(super) fn before_time(&self, time: Timestamp) -> Place {
        let after = self.entries.partition_point(|entry| entry.time <= time);
        let index = after.saturating_sub(1);
        self.entries.get(index).map_or(self.known, |entry| entry.place)
    }
}

/// A stretch of a file that is read once and looked at in pieces.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    bytes: Vec<u8>,
    at: u64,
    chunk: usize,
}

impl<'a> Window<'a> {
    /// Reads `chunk` bytes at a time.
    pub(crate) fn new(file: &'a dyn DiskFile, chunk: usize) -> Window<'a> {
        Window { file, bytes: Vec::new(), at: 0, chunk }
    }

    /// `len` bytes at `pos`, fewer only where the file ends.
    pub(crate) fn get(&mut self, pos: u64, len: usize) -> io::Result<&[u8]> {
        let inside = pos
            .checked_sub(self.at)
            .and_then(|start| usize::try_from(start).ok())
            .filter(|start| start.saturating_add(len) <= self.bytes.len());
        let start = match inside {
            Some(start) => start,
            None => {
                self.bytes = read_exactly(self.file, pos, len.max(self.chunk))?;
                self.at = pos;
                0
            }
        };
        let end = self.bytes.len().min(start + len);
        Ok(&self.bytes[start..end])
    }
}

/// The first header that holds at `from` or after it, in steps of 8, and that `fits`.
pub(crate) fn search(
    file: &dyn DiskFile,
    seed: &[u8; 16],
    from: u64,
    end: u64,
    fits: impl Fn(&BatchHeader) -> bool,
) -> io::Result<Option<(Place, BatchHeader)>> {
    let mut pos = from.next_multiple_of(8);
    while pos < end {
        let bytes = read_exactly(file, pos, SEARCH_CHUNK + HEADER_LEN)?;
        let mut at = 0;
        while at + HEADER_LEN <= bytes.len() && at < SEARCH_CHUNK {
            if bytes[at..].starts_with(&MAGIC)
                && let Some(chunk) = bytes[at..].first_chunk()
                && let Ok(header) = BatchHeader::decode(chunk, seed)
                && header.stored_len() <= MAX_BATCH
                && fits(&header)
            {
                return Ok(Some((Place { offset: header.base_offset, pos: pos + at as u64 }, header)));
            }
            at += 8;
        }
        if bytes.len() < SEARCH_CHUNK + HEADER_LEN {
            return Ok(None);
        }
        pos += SEARCH_CHUNK as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(base: u64, count: u32, body: u32, time: i64) -> BatchHeader {
        BatchHeader {
            base_offset: Offset(base),
            offset_span: count,
            record_count: count,
            body_len: body,
            base_time: Timestamp(time),
            ..BatchHeader::default()
        }
    }

    #[test]
    fn a_place_is_at_or_before_what_is_sought() {
        let mut index = Index::new(Offset(100));
        index.start_at(4096);
        let mut pos = 4096;
        for n in 0..100u64 {
            let header = header(100 + n * 10, 10, 16_320, n as i64 * 1000);
            index.note(&header, pos);
            pos += header.stored_len() as u64;
        }
        assert_eq!(index.known(), Place { offset: Offset(1100), pos });
        for offset in 100..1100 {
            let place = index.before(Offset(offset));
            assert!(place.offset.0 <= offset && offset - place.offset.0 < 30);
            let time = Timestamp((offset as i64 - 100) * 100);
            assert!(index.before_time(time).offset.0 <= offset);
        }
        assert_eq!(index.before(Offset(2000)).offset, Offset(1100));
    }

    #[test]
    fn where_runs_ended_lately_is_known_exactly_until_damage_is_found() {
        let mut index = Index::new(Offset(0));
        index.start_at(4096);
        let mut places = vec![Place { offset: Offset(0), pos: 4096 }];
        for n in 0..20 {
            index.note(&header(n * 10, 10, 1000, 0), places.last().unwrap().pos);
            places.push(index.known());
        }
        let before = index.before(Offset(30));
        assert_eq!(before, places[0]);
        for &place in &places[2..=6] {
            index.note_end(place);
            index.note_end(place);
        }
        assert_eq!(index.before(places[2].offset), places[0], "the oldest is forgotten");
        for &place in &places[3..=6] {
            assert_eq!(index.before(place.offset), place);
            assert_eq!(index.before(place.offset.plus(1)), places[0], "where no run ended");
        }
        index.note_damage(places[1], places[2], None);
        assert_eq!(index.before(places[6].offset), places[0]);
        index.note_end(index.known());
        assert!(index.lately.is_empty(), "it is known anyway");
    }

    #[test]
    fn damage_is_remembered_and_hopped_over() {
        let mut index = Index::new(Offset(0));
        index.start_at(4096);
        index.note(&header(0, 5, 8, 0), 4096);
        let known = index.known();
        index.note_damage(known, Place { offset: Offset(9), pos: 8192 }, Some(Timestamp(7)));
        index.note(&header(9, 1, 8, 7), 8192);
        assert_eq!(index.damage_at(Offset(5)), Some(Damage { from: Offset(5), to: Offset(9) }));
        assert_eq!(index.damage_at(Offset(9)), None);
        assert_eq!(index.before(Offset(9)), Place { offset: Offset(9), pos: 8192 });
    }

    #[test]
    fn damage_behind_what_is_known_is_hopped_over_too() {
        let mut index = Index::new(Offset(0));
        index.start_at(4096);
        let places: Vec<Place> = (0..10)
            .map(|n| {
                let place = index.known();
                index.note(&header(n, 1, 40, n as i64), place.pos);
                place
            })
            .collect();
        let known = index.known();
        index.note_damage(places[3], places[4], Some(Timestamp(4)));
        index.note_damage(places[3], places[4], Some(Timestamp(4)));
        assert_eq!(index.damage_at(Offset(3)), Some(Damage { from: Offset(3), to: Offset(4) }));
        assert_eq!((index.before(Offset(2)), index.before(Offset(4))), (places[0], places[4]));
        assert_eq!((index.before(Offset(9)), index.known()), (places[4], known));
    }

    /// An index that knows ten batches of one record, and where they begin.
    fn ten(body: u32) -> (Index, Vec<Place>) {
        let mut index = Index::new(Offset(0));
        index.start_at(4096);
        let places = (0..10).map(|n| {
            let place = index.known();
            index.note(&header(n, 1, body, n as i64), place.pos);
            place
        });
        let places = places.collect();
        (index, places)
    }

    #[test]
    fn only_the_batch_that_comes_next_is_learnt_and_one_place_in_a_while_is_kept() {
        let (mut index, places) = ten(10_000);
        let known = index.known();
        index.note(&header(11, 1, 8, 0), known.pos);
        index.note(&header(10, 1, 8, 0), known.pos + 8);
        assert_eq!((known.offset, index.known()), (Offset(10), known));
        let kept: Vec<Place> = index.entries.iter().map(|entry| entry.place).collect();
        assert_eq!(kept, [places[0], places[4], places[8]]);
    }

    #[test]
    fn the_time_of_a_place_is_known_before_the_end_of_what_is_and_not_behind_it() {
        let (index, places) = ten(40_000);
        for n in 0..10 {
            assert_eq!(index.near(Offset(n)), (places[n as usize], Some(Timestamp(n as i64))));
        }
        let known = index.known();
        assert_eq!((index.near(Offset(10)), index.near(Offset(11))), ((known, None), (known, None)));
    }

    #[test]
    fn no_hop_begins_before_damage_and_ends_after_it() {
        let (mut index, places) = ten(40_000);
        let known = index.known();
        index.note_damage(places[3], places[5], Some(Timestamp(5)));
        let before = [0, 1, 2, 2, 2, 5, 6, 7, 8, 9].map(|n: usize| places[n]);
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| index.before(Offset(n))), before);
        assert_eq!(index.near(Offset(5)), (places[5], Some(Timestamp(5))));
        assert_eq!((index.entries.len(), index.known()), (8, known));
        // The place behind it is one from now on, if it was none.
        let (mut index, places) = ten(10_000);
        index.note_damage(places[1], places[2], Some(Timestamp(2)));
        let before = [0, 0, 2, 2, 4].map(|n: usize| places[n]);
        assert_eq!([0, 1, 2, 3, 4].map(|n| index.before(Offset(n))), before);
        // Up to beyond what is known, it is known up to there.
        let beyond = Place { offset: Offset(12), pos: 200_000 };
        index.note_damage(places[9], beyond, None);
        assert_eq!((index.known(), index.before(Offset(13))), (beyond, beyond));
    }

    #[test]
    fn damage_that_is_known_is_of_no_records_or_lies_behind_what_is_known_is_not_noted() {
        let (mut index, places) = ten(40_000);
        let known = index.known();
        index.note_damage(Place { offset: Offset(20), pos: 0 }, Place { offset: Offset(25), pos: 0 }, None);
        index.note_damage(places[3], places[3], None);
        assert_eq!((index.damage_at(Offset(20)), index.sound_until(Offset(0), Offset(9))), (None, Offset(9)));
        index.note_damage(places[3], places[5], None);
        index.note_damage(places[4], places[6], None);
        assert_eq!((index.damage_at(Offset(5)), index.known()), (None, known));
        assert_eq!(index.sound_until(Offset(0), Offset(9)), Offset(3));
    }
}
