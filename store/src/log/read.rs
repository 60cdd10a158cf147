//! Batches from disk: one read of many batches, checked by hopping from one to the next.
//!
//! What is found where a header should be and isn't is damage: it is told with the offset at which the next batch
//! that holds begins, and remembered.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use netchan_proto::batch::{BatchHeader, BatchKind, HEADER_LEN};
use netchan_proto::crc::{RunningCrc, crc32c};
use netchan_proto::{Offset, Timestamp};

use super::buffers::Buffer;
use super::file::read_into;
use super::index::{Place, Window, search};
use super::segment::Segment;
use super::{Inner, Part, Run, locked};
use crate::LogError;
use crate::disk::DiskFile;

/// Closed segments of one log that are kept open for readers.
const OPEN_SEGMENTS: usize = 4;
/// Bytes read at a time where only headers are wanted.
const HOP_CHUNK: usize = 8 << 10;
/// Bytes read at a time where a batch is only checked.
const CHECK_CHUNK: usize = 64 << 10;

/// The part of a segment that readers may see.
pub(super) struct Extent {
    pub(super) segment: Arc<Segment>,
    /// Where its records end.
    pub(super) end: Offset,
    /// Where its bytes end; `u64::MAX` for a closed segment, whose file ends there.
    pub(super) end_pos: u64,
}

/// What a hop came to.
pub(super) enum Hop {
    /// The batch that was looked for.
    Found(Place, BatchHeader),
    /// The end of the extent.
    End,
}

impl Inner {
    /// The extent that holds `offset`, which is visible or is the visible end.
    pub(super) fn extent(&self, offset: Offset) -> Result<Extent, LogError> {
        let state = locked(&self.state);
        let visible = state.visible();
        let first = state.first();
        if offset > visible {
            return Err(LogError::BeyondEnd { asked: offset, end: visible });
        }
        if offset < first {
            return Err(LogError::Trimmed { from: offset, to: first });
        }
        let index = state.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1);
        let segment = Arc::clone(&state.segments[index]);
        Ok(match state.segments.get(index + 1) {
            Some(next) => Extent { segment, end: next.base, end_pos: u64::MAX },
            None => Extent { segment, end: visible, end_pos: state.visible_pos },
        })
    }

    /// Opens a segment for reading. One that was trimmed in the meantime is told as such.
    pub(super) fn open_segment(&self, segment: &Arc<Segment>) -> Result<Arc<dyn DiskFile>, LogError> {
        self.place.touch();
        match segment.open(&*self.env.disk) {
            Ok((file, opened)) => {
                if opened {
                    self.note_read(segment);
                    self.warm_up();
                }
                Ok(file)
            }
            Err(error) => Err(self.read_error(segment, error)),
        }
    }

    pub(super) fn read_error(&self, segment: &Segment, error: io::Error) -> LogError {
        let state = locked(&self.state);
        match state.failure() {
            Some(deleted @ LogError::Deleted) => return deleted,
            // The log that was opened in its place has trimmed it.
            Some(poisoned @ LogError::Poisoned { .. }) if error.kind() == io::ErrorKind::NotFound => {
                return poisoned;
            }
            _ => {}
        }
        let first = state.first();
        drop(state);
        if segment.base < first {
            return LogError::Trimmed { from: segment.base, to: first };
        }
        tracing::error!(channel = %self.name, path = segment.path, %error, "reading failed");
        LogError::Io { path: segment.path.clone(), source: Arc::new(error) }
    }

    /// Remembers that a segment's file is open, and closes the one that was opened longest ago.
    pub(super) fn note_read(&self, segment: &Arc<Segment>) {
        let mut lately = locked(&self.read_lately);
        if !lately.iter().any(|known| Arc::ptr_eq(known, segment)) {
            lately.push_back(Arc::clone(segment));
        }
        if lately.len() > OPEN_SEGMENTS
            && let Some(oldest) = lately.pop_front()
        {
            oldest.keep(None);
        }
    }

    /// Closes a segment that goes: who reads it at the moment has a handle.
    pub(super) fn close_segment(&self, segment: &Arc<Segment>) {
        locked(&self.read_lately).retain(|known| !Arc::ptr_eq(known, segment));
        segment.keep(None);
    }

    /// Whole batches; or, if a `skip` is given, the part of one that is larger than `into`.
    pub(super) fn read_part(
        &self,
        from: Offset,
        mut into: Buffer,
        skip: Option<usize>,
    ) -> Result<Part, LogError> {
        let max = into.size();
        let extent = self.extent(from)?;
        if from == extent.end {
            return Ok(Part::Run(Run { bytes: Bytes::new(), first: from, next: from }));
        }
        let file = self.open_segment(&extent.segment)?;
        let mut place = self.approach(&extent, &*file, from)?;
        let mut len = max.max(HEADER_LEN);
        loop {
            let room = usize::try_from(extent.end_pos.saturating_sub(place.pos)).unwrap_or(usize::MAX);
            self.fill(&mut into, &extent, &*file, place.pos, len.min(room))?;
            match self.cut(&extent, place, from, into.as_ref()) {
                Cut::Run { start, end, first, next } => {
                    let bytes = Bytes::from_owner(into).slice(start..end);
                    return Ok(Part::Run(Run { bytes, first, next }));
                }
                Cut::Needs { at, bytes: needed } if needed > max.max(HEADER_LEN) && skip.is_some() => {
                    return self.part_of_batch(&extent, &*file, (at, from), skip.unwrap_or(0), into, max);
                }
                // The batch is larger than what was read, or stands too near its end.
                Cut::Needs { at, bytes: needed } if at.pos > place.pos || needed > len => {
                    len = needed.max(max);
                    place = at;
                }
                Cut::Rotten { at, header } => return Err(self.rotten(&extent, at, from, &header)),
                Cut::Needs { at, .. } | Cut::Broken { at } => {
                    let damage = self.damaged(&extent, &*file, at, from);
                    if !matches!(damage, LogError::Damaged { to, .. } if to <= from) {
                        return Err(damage);
                    }
                    // All of it lies before what is asked for, and it is known now where reading goes on behind it.
                    let next = self.approach(&extent, &*file, from)?;
                    if next.offset <= at.offset {
                        return Err(damage);
                    }
                    (place, len) = (next, max.max(HEADER_LEN));
                }
            }
        }
    }

    /// Whole batches that are in memory, at a place that is known.
    pub(super) fn read_now(&self, from: Offset, mut into: Buffer) -> Option<Run> {
        let extent = self.extent(from).ok()?;
        let file = extent.segment.kept()?;
        let place = {
            let index = extent.segment.index();
            let known = index.known();
            if from == extent.end || from > known.offset || known.pos == 0 || index.damage_at(from).is_some()
            {
                return None;
            }
            index.before(from)
        };
        let room = usize::try_from(extent.end_pos.saturating_sub(place.pos)).unwrap_or(usize::MAX);
        let len = into.size().min(room);
        // Memory that is used again was written before: most of the time this writes nothing.
        into.bytes().resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match file.read_at_now(&mut into.bytes()[filled..], place.pos + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                // What is there goes; who asks for the rest waits for the disk.
                Err(_) if filled > 0 => break,
                Err(_) => return None,
            }
        }
        match self.cut(&extent, place, from, &into.as_ref()[..filled]) {
            Cut::Run { start, end, first, next } => {
                self.place.touch();
                Some(Run { bytes: Bytes::from_owner(into).slice(start..end), first, next })
            }
            // Who can wait says what is wrong.
            _ => None,
        }
    }

    /// Reads so many bytes, fewer only where the file ends. `into` is given back and replaced where it has another size: a
    /// read fills all there is.
    fn fill(
        &self,
        into: &mut Buffer,
        extent: &Extent,
        file: &dyn DiskFile,
        pos: u64,
        len: usize,
    ) -> Result<(), LogError> {
        if into.size() != len {
            *into = Buffer::new(len);
        }
        read_into(file, pos, len, into.bytes()).map_err(|error| self.read_error(&extent.segment, error))
    }

    /// Bytes of the batch at `at` after `skip` of them. The first time, when none are skipped, all of it is checked.
    fn part_of_batch(
        &self,
        extent: &Extent,
        file: &dyn DiskFile,
        (at, from): (Place, Offset),
        skip: usize,
        mut into: Buffer,
        max: usize,
    ) -> Result<Part, LogError> {
        let read = |pos, len, bytes: &mut Vec<u8>| {
            read_into(file, pos, len, bytes).map_err(|error| self.read_error(&extent.segment, error))
        };
        let mut bytes = Vec::new();
        read(at.pos, HEADER_LEN, &mut bytes)?;
        let Some(header) = bytes.first_chunk().and_then(|bytes| self.header_at(bytes, at.offset)) else {
            return Err(self.damaged(extent, file, at, from));
        };
        let (len, body) = (header.stored_len(), header.body_len as usize);
        if skip == 0 {
            let mut crc = RunningCrc::default();
            for done in (0..body).step_by(CHECK_CHUNK) {
                let chunk = CHECK_CHUNK.min(body - done);
                read(at.pos + (HEADER_LEN + done) as u64, chunk, &mut bytes)?;
                if bytes.len() < chunk {
                    return Err(self.damaged(extent, file, at, from));
                }
                crc.update(&bytes);
            }
            if crc.finish() != header.body_crc {
                return Err(self.rotten(extent, at, from, &header));
            }
            extent.segment.index().note(&header, at.pos);
        }
        let skip = skip.min(len);
        self.fill(&mut into, extent, file, at.pos + skip as u64, max.min(len - skip))?;
        let (records, next) = (header.record_count, header.next_offset());
        Ok(Part::OfBatch { bytes: Bytes::from_owner(into), at: skip, len, records, next })
    }

    /// Remembers and tells that the body of the batch at `at` does not hold. What stands in it may look like batches:
    /// it is passed over whole.
    fn rotten(&self, extent: &Extent, at: Place, from: Offset, header: &BatchHeader) -> LogError {
        let next = Place { offset: header.next_offset(), pos: at.pos + header.stored_len() as u64 };
        self.tell_damage(extent, at, next);
        extent.segment.index().note_damage(at, next, Some(header.last_time().plus_nanos(1)));
        self.damage_error(extent, at.offset.max(from), next.offset)
    }

    /// A place near before `from`, learning the index as far as that if need be.
    fn approach(&self, extent: &Extent, file: &dyn DiskFile, from: Offset) -> Result<Place, LogError> {
        self.learn_start(extent, file)?;
        let known = {
            let index = extent.segment.index();
            if let Some(damage) = index.damage_at(from) {
                return Err(self.damage_error(extent, from, damage.to));
            }
            index.known()
        };
        if from > known.offset {
            loop {
                match self.hop(extent, file, known_place(extent), |header| header.next_offset() > from) {
                    Err(LogError::Damaged { to, .. }) if to <= from => {}
                    Err(LogError::Damaged { to, .. }) => return Err(self.damage_error(extent, from, to)),
                    Err(error) => return Err(error),
                    Ok(_) => break,
                }
            }
        }
        let index = extent.segment.index();
        Ok(index.before(from))
    }

    /// Sees to it that the index knows where the first batch begins.
    pub(super) fn learn_start(&self, extent: &Extent, file: &dyn DiskFile) -> Result<(), LogError> {
        if extent.segment.index().known().pos > 0 {
            return Ok(());
        }
        let head =
            extent.segment.head(&*self.env.disk).map_err(|error| self.read_error(&extent.segment, error))?;
        match head {
            // A repair has declared them lost.
            Some(head) if head.lost_to.is_some() => {
                let at = Place { offset: extent.segment.base, pos: 0 };
                let next = Place { offset: extent.end, pos: extent.end_pos };
                extent.segment.index().note_damage(at, next, None);
            }
            Some(head) => extent.segment.index().start_at(head.data_start),
            None => {
                // A head that doesn't hold takes no batch with it: the first one says by itself where it begins.
                let at = Place { offset: extent.segment.base, pos: 0 };
                let next =
                    self.search(file, extent, at).map_err(|error| self.read_error(&extent.segment, error))?;
                match next {
                    Some((next, header)) if header.base_offset == at.offset => {
                        extent.segment.index().start_at(next.pos);
                    }
                    next => {
                        let (place, time) = after_damage(extent, next);
                        extent.segment.index().note_damage(at, place, time);
                    }
                }
            }
        }
        Ok(())
    }

    /// Hops from header to header, from `place` until one is `wanted`.
    pub(super) fn hop(
        &self,
        extent: &Extent,
        file: &dyn DiskFile,
        mut place: Place,
        mut wanted: impl FnMut(&BatchHeader) -> bool,
    ) -> Result<Hop, LogError> {
        let mut window = Window::new(file, HOP_CHUNK);
        while place.offset < extent.end {
            let bytes =
                window.get(place.pos, HEADER_LEN).map_err(|error| self.read_error(&extent.segment, error))?;
            match bytes.first_chunk().and_then(|bytes| self.header_at(bytes, place.offset)) {
                Some(header) => {
                    extent.segment.index().note(&header, place.pos);
                    if wanted(&header) {
                        return Ok(Hop::Found(place, header));
                    }
                    place =
                        Place { offset: header.next_offset(), pos: place.pos + header.stored_len() as u64 };
                }
                None => return Err(self.damaged(extent, file, place, place.offset)),
            }
        }
        Ok(Hop::End)
    }

    /// The header in `bytes`, if it is the one of the batch that begins with `offset`.
    fn header_at(&self, bytes: &[u8; HEADER_LEN], offset: Offset) -> Option<BatchHeader> {
        BatchHeader::decode(bytes, &self.id.0)
            .ok()
            .filter(|header| header.base_offset == offset && header.kind == BatchKind::Data)
    }

    /// Finds the whole batches from the one with `from` on in bytes that were read at `place`.
    fn cut(&self, extent: &Extent, place: Place, from: Offset, bytes: &[u8]) -> Cut {
        let mut at = 0;
        let mut offset = place.offset;
        let mut run: Option<(usize, Offset)> = None;
        // A batch that was found damaged may have a header that holds.
        let sound = extent.segment.index().sound_until(place.offset, extent.end);
        while offset < sound {
            let here = Place { offset, pos: place.pos + at as u64 };
            let header = match bytes[at..].first_chunk() {
                Some(chunk) => self.header_at(chunk, offset),
                None if run.is_some() => break,
                None => return Cut::Needs { at: here, bytes: HEADER_LEN },
            };
            let Some(header) = header else {
                if run.is_some() {
                    break; // the next read tells
                }
                return Cut::Broken { at: here };
            };
            let stored = header.stored_len();
            if stored > bytes.len() - at {
                if run.is_some() {
                    break;
                }
                if header.next_offset() > from {
                    return Cut::Needs { at: here, bytes: stored };
                }
                // Skipped without its bytes: the next header begins past what was read.
                let next = Place { offset: header.next_offset(), pos: here.pos + stored as u64 };
                return Cut::Needs { at: next, bytes: HEADER_LEN };
            }
            extent.segment.index().note(&header, here.pos);
            if header.next_offset() > from {
                let body = &bytes[at + HEADER_LEN..at + HEADER_LEN + header.body_len as usize];
                if crc32c(body) != header.body_crc {
                    if run.is_some() {
                        break; // the next read tells
                    }
                    return Cut::Rotten { at: here, header };
                }
                run = run.or(Some((at, header.base_offset)));
            }
            offset = header.next_offset();
            at += stored;
        }
        match run {
            Some((start, first)) => {
                extent.segment.index().note_end(Place { offset, pos: place.pos + at as u64 });
                Cut::Run { start, end: at, first, next: offset }
            }
            None => Cut::Broken { at: Place { offset, pos: place.pos + at as u64 } },
        }
    }

    /// Learns how far the damage at `at` reaches, and tells it as seen by who asked for `from`.
    fn damaged(&self, extent: &Extent, file: &dyn DiskFile, at: Place, from: Offset) -> LogError {
        let next = match self.search(file, extent, at) {
            Ok(next) => next,
            Err(error) => return self.read_error(&extent.segment, error),
        };
        let (next, time) = after_damage(extent, next);
        self.tell_damage(extent, at, next);
        extent.segment.index().note_damage(at, next, time);
        if from < next.offset {
            self.damage_error(extent, at.offset.max(from), next.offset)
        } else {
            self.damage_error(extent, at.offset, next.offset)
        }
    }

    fn tell_damage(&self, extent: &Extent, at: Place, next: Place) {
        tracing::error!(
            channel = %self.name, path = extent.segment.path, pos = at.pos,
            from = at.offset.0, to = next.offset.0, "records are damaged on disk"
        );
    }

    pub(super) fn damage_error(&self, extent: &Extent, from: Offset, to: Offset) -> LogError {
        LogError::Damaged { log: self.id, path: extent.segment.path.clone(), from, to }
    }

    /// The first batch after `at` whose header holds.
    fn search(
        &self,
        file: &dyn DiskFile,
        extent: &Extent,
        at: Place,
    ) -> io::Result<Option<(Place, BatchHeader)>> {
        let fits = |header: &BatchHeader| {
            (header.base_offset > at.offset || at.pos == 0)
                && header.base_offset >= at.offset
                && header.base_offset < extent.end
        };
        search(file, &self.id.0, at.pos + 8, extent.end_pos, fits)
    }
}

/// What bytes that were read hold.
enum Cut {
    Run {
        start: usize,
        end: usize,
        first: Offset,
        next: Offset,
    },
    Needs {
        at: Place,
        bytes: usize,
    },
    Broken {
        at: Place,
    },
    /// The header holds and the body doesn't.
    Rotten {
        at: Place,
        header: BatchHeader,
    },
}

fn known_place(extent: &Extent) -> Place {
    extent.segment.index().known()
}

/// Where reading goes on after damage.
fn after_damage(extent: &Extent, next: Option<(Place, BatchHeader)>) -> (Place, Option<Timestamp>) {
    match next {
        Some((place, header)) => (place, Some(header.base_time)),
        None => (Place { offset: extent.end, pos: extent.end_pos }, None),
    }
}
