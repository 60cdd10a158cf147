//! Making a log, and finding it again after whatever happened.
//!
//! Crash model: of what was written to a file since its last sync, any subset of sectors may be on disk; of what was
//! done to a directory since its last sync, any subset of operations. So the newest segment is read from its start,
//! and the first batch that doesn't hold is judged by what is known to have been durable: above it the log ends
//! there (a torn tail: set aside, cut, or left until there is room to set it aside), below it records are damaged (told, never cut). Nothing that was found is
//! served before it is synced.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, OnceLock};

use netchan_proto::batch::{BatchHeader, BatchKind, HEADER_LEN, PRODUCER_PREFIX, header_crc};
use netchan_proto::{Digest, LogId, Offset, Timestamp};

use super::epochs::Epochs;
use super::file::read_exactly;
use super::index::{Place, Window, search};
use super::producers::Producers;
use super::segment::{self, HEAD_LEN, NewHead, Segment, SegmentHead};
use super::sound::{Checked, check};
use super::state::{Opened, State};
use super::torn::{LeftOver, Torn};
use super::writer::Writer;
use super::{Closed, Env, Inner, locked};
use crate::aside;
use crate::disk::{DiskFile, Open};
use crate::error::is_shortage;
use crate::meta::{Meta, failed, partition_count};
use crate::options::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};
use crate::sync::Mutex;
use crate::warm::Place as PlaceInLine;
use crate::{LogOptions, StoreError};

/// Bytes read at a time while the newest segment is checked.
const CHUNK: usize = 1 << 20;

/// What reading a log's newest segment came to.
struct Found {
    /// Where the next batch goes.
    end: Place,
    previous_crc: u32,
    last_time: Timestamp,
    epochs: Epochs,
    producers: Producers,
    /// Where the last batch of records begins; 0 if there is none.
    last_batch: u64,
    /// Where the seal stands, if there is one.
    seal: Option<u64>,
    /// What all batches come to, if that is known; of a sealed log what the seal says.
    digest: Option<Digest>,
    /// What batches say was durable.
    durable: Offset,
    /// Records up to here are known to have been, and are gone with the rest of the file.
    lost_to: Option<Offset>,
    left_over: Option<LeftOver>,
}

/// Opens the log in `dir`, making it if it has no segment. `known` is what the state log says of it: how it was
/// when the log was last closed.
pub(crate) fn open(env: &Arc<Env>, dir: &str, meta: &Meta, known: Closed) -> Result<Arc<Inner>, StoreError> {
    let disk = &*env.disk;
    let mut options = meta.options;
    options.segment_bytes = options.segment_bytes.clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES);
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    let mut bases: Vec<Offset> = disk
        .list(dir)
        .map_err(failed("listing", dir))?
        .iter()
        .filter_map(|name| segment::base_of(name))
        .collect();
    bases.sort_unstable();
    segments.extend(bases.into_iter().map(|base| Arc::new(Segment::new(dir, base))));

    let mut opening = Opening { env, dir, meta, known, segments };
    let (file, found) = loop {
        let Some(newest) = opening.segments.last().cloned() else {
            break opening.begin(
                known.durable,
                Timestamp::MIN,
                0,
                Epochs::default(),
                Producers::default(),
                (known.durable == Offset::ZERO).then_some(Digest::START),
            )?;
        };
        if let Some(recovered) = opening.recover(&newest)? {
            break recovered;
        }
        // Made, but its head never became durable: no batch can have been.
        tracing::warn!(channel = %meta.name, path = newest.path, "set aside a segment that was never begun");
        let name = segment::file_name(newest.base);
        aside::set_aside(disk, dir, &name).map_err(failed("setting aside", &newest.path))?;
        opening.segments.pop();
    };
    let (file, found) = match found.lost_to {
        None => (file, found),
        Some(to) => {
            opening.begin(to, found.last_time, found.previous_crc, found.epochs, found.producers, None)?
        }
    };
    Ok(opening.finish(options, file, found))
}

struct Opening<'a> {
    env: &'a Arc<Env>,
    dir: &'a str,
    meta: &'a Meta,
    known: Closed,
    segments: Vec<Arc<Segment>>,
}

type Recovered = (Arc<dyn DiskFile>, Found);

impl Opening<'_> {
    /// Begins a new segment.
    fn begin(
        &mut self,
        base: Offset,
        previous_time: Timestamp,
        previous_crc: u32,
        epochs: Epochs,
        producers: Producers,
        digest: Option<Digest>,
    ) -> Result<Recovered, StoreError> {
        let head = NewHead {
            log: self.meta.id,
            name: &self.meta.name,
            base,
            previous_crc,
            previous_time,
            created: self.env.options.clock.now(),
            epochs: &epochs,
            producers: &producers,
            digest,
            lost_to: None,
        };
        let (segment, file, pos) = segment::create(&*self.env.disk, self.dir, &head, false)
            .map_err(|not_made| failed("making a segment in", self.dir)(not_made.source))?;
        let mut found = Found {
            end: Place { offset: base, pos },
            previous_crc,
            last_time: previous_time,
            epochs,
            producers,
            last_batch: 0,
            seal: None,
            digest,
            durable: base,
            lost_to: None,
            left_over: None,
        };
        self.look_for_seal(&segment, &mut found);
        self.segments.push(Arc::new(segment));
        Ok((file, found))
    }

    /// Reads the newest segment; `None` if it was never begun.
    fn recover(&self, segment: &Arc<Segment>) -> Result<Option<Recovered>, StoreError> {
        let path = &segment.path;
        let io = |action| failed(action, path);
        let file = self.env.disk.open(path, Open::Write).map_err(io("opening"))?;
        let head =
            SegmentHead::decode(&read_exactly(&*file, 0, HEAD_LEN).map_err(io("reading the head of"))?)
                .filter(|head| head.base == segment.base);
        let seed = &self.meta.id.0;
        if let Some(head) = &head
            && head.log != self.meta.id
        {
            return Err(StoreError::Damaged { path: path.clone(), what: "it belongs to another log" });
        }
        if head.is_none()
            && self.known.durable <= segment.base
            && search(&*file, seed, 0, u64::MAX, |header| header.base_offset >= segment.base)
                .map_err(io("reading"))?
                .is_none()
        {
            return Ok(None);
        }
        segment.keep(Some(Arc::clone(&file)));
        let mut found = self.before(segment, head.as_ref(), &*file).map_err(io("reading"))?;
        self.walk(segment, &*file, &mut found).map_err(io("reading"))?;
        self.look_for_seal(segment, &mut found);
        if found.lost_to.is_none() && found.seal != Some(found.end.pos) {
            found.left_over = self.cut_tail(segment, &*file, found.end)?;
            self.write_again(segment, &*file, &found).map_err(io("writing again"))?;
        }
        // What was found may be in memory only: nobody may see it before it is on disk.
        file.sync().map_err(io("syncing"))?;
        self.env.disk.sync_dir(self.dir).map_err(failed("syncing", self.dir))?;
        Ok(Some((file, found)))
    }

    /// What is known before the segment's first batch: from its head, or, where that is damaged, from older ones.
    fn before(
        &self,
        segment: &Segment,
        head: Option<&SegmentHead>,
        file: &dyn DiskFile,
    ) -> std::io::Result<Found> {
        let mut found = Found {
            end: Place { offset: segment.base, pos: head.map_or(0, |head| head.data_start) },
            previous_crc: head.map_or(0, |head| head.previous_crc),
            last_time: head.map_or(Timestamp::MIN, |head| head.previous_time),
            epochs: head.map_or_else(Epochs::default, |head| head.epochs.clone()),
            producers: Producers::default(),
            last_batch: 0,
            seal: None,
            digest: head.and_then(|head| head.digest),
            durable: self.known.durable.max(head.and_then(|head| head.lost_to).unwrap_or_default()),
            lost_to: None,
            left_over: None,
        };
        if let Some(head) = head {
            segment.index().start_at(head.data_start);
            if let Some(producers) = head.producers(file)? {
                found.producers = producers;
                return Ok(found);
            }
        }
        tracing::error!(channel = %self.meta.name, path = segment.path, "the segment's head is damaged");
        // Back to the newest head that holds, and on from there through every batch.
        let older = &self.segments[..self.segments.len() - 1];
        let mut first = older.len();
        while first > 0 {
            first -= 1;
            let (file, _) = older[first].open(&*self.env.disk)?;
            if let Some(head) = older[first].head(&*self.env.disk)?
                && let Some(producers) = head.producers(&*file)?
            {
                found.producers = producers;
                found.digest = head.digest;
                if found.epochs.pairs().is_empty() {
                    found.epochs = head.epochs.clone();
                }
                break;
            }
        }
        for older in &older[first..] {
            let (file, _) = older.open(&*self.env.disk)?;
            replay(&self.meta.id, &*file, older.base, &mut found)?;
            older.keep(None);
        }
        Ok(found)
    }

    /// Goes from batch to batch to the end of what holds.
    fn walk(&self, segment: &Segment, file: &dyn DiskFile, found: &mut Found) -> std::io::Result<()> {
        let seed = &self.meta.id.0;
        let mut window = Window::new(file, CHUNK);
        // The chain is not held against the first batch after damage.
        let mut chained = found.end.pos > 0;
        loop {
            let at = found.end;
            let checked = check(&mut window, seed, at)?;
            if let Checked::Whole(header, crc) = checked
                && found.seal.is_none()
                && (!chained || header.previous_crc == found.previous_crc)
                && header.epoch >= found.epochs.last()
            {
                let bytes = window.get(at.pos, HEADER_LEN + PRODUCER_PREFIX)?;
                found.producers.note_batch(&header, bytes);
                found.epochs.note(header.epoch, header.base_offset);
                found.durable = found.durable.max(header.durable_offset);
                if header.kind == BatchKind::Seal {
                    found.seal = Some(at.pos);
                } else {
                    found.last_batch = at.pos;
                    found.last_time = found.last_time.max(header.last_time());
                }
                found.digest = match (found.digest, header.kind) {
                    (digest, BatchKind::Seal) => self.sealed_digest(digest, &header, bytes),
                    (digest, _) => digest.map(|digest| digest.with(&header, bytes)),
                };
                found.previous_crc = crc;
                segment.index().note(&header, at.pos);
                found.end = Place { offset: header.next_offset(), pos: at.pos + header.stored_len() as u64 };
                chained = true;
                continue;
            }
            // A body that doesn't hold is not searched for batches: it may have been made to look like some.
            let mut from = at.pos + 8;
            if let Checked::Header(header) | Checked::Whole(header, _) = checked {
                from = at.pos + header.stored_len() as u64;
            }
            let after = |header: &BatchHeader| header.base_offset > at.offset || at.pos == 0;
            let mut survivor = None;
            while let Some((place, header)) = search(file, seed, from, u64::MAX, after)? {
                found.durable = found.durable.max(header.durable_offset);
                from = place.pos + header.stored_len() as u64;
                survivor = survivor.or(Some((place, header)));
            }
            if found.durable <= at.offset && at.pos > 0 {
                return Ok(());
            }
            match survivor {
                Some((next, _)) if at.pos == 0 && next.offset == at.offset => {
                    segment.index().start_at(next.pos);
                    found.end = next;
                }
                Some((next, header)) => {
                    self.tell_damage(segment, at, next.offset);
                    segment.index().note_damage(at, next, Some(header.base_time));
                    found.end = next;
                }
                None => {
                    let to = found.durable.max(at.offset);
                    self.tell_damage(segment, at, to);
                    segment.index().note_damage(at, Place { offset: to, pos: u64::MAX }, None);
                    found.lost_to = Some(to);
                    return Ok(());
                }
            }
            chained = false;
            found.digest = found.digest.filter(|_| found.end.offset == at.offset);
        }
    }

    /// What the seal in `bytes` says that the log comes to. What was read of it says nothing against the seal's own checksum.
    fn sealed_digest(&self, read: Option<Digest>, header: &BatchHeader, bytes: &[u8]) -> Option<Digest> {
        let told = Digest::of_seal(header, bytes);
        if let (Some(read), Some(told)) = (read, told)
            && read != told
        {
            tracing::error!(channel = %self.meta.name, %read, %told, "the log comes to something else than its seal says");
        }
        told
    }

    /// A log that is known to have been sealed is, whatever has become of the seal and of the segment with it: what stands in
    /// its place is no torn tail.
    fn look_for_seal(&self, segment: &Segment, found: &mut Found) {
        if self.known.is_sealed && found.seal.is_none() && found.lost_to.is_none() {
            tracing::error!(
                channel = %self.meta.name, path = segment.path, pos = found.end.pos, "the seal is damaged or missing"
            );
            found.seal = Some(found.end.pos);
            found.digest = None;
        }
    }

    fn tell_damage(&self, segment: &Segment, at: Place, to: Offset) {
        tracing::error!(
            channel = %self.meta.name, path = segment.path, pos = at.pos, from = at.offset.0, to = to.0,
            "durable records are damaged on disk"
        );
    }

    /// Sets aside and cuts what stands after the end, unless it is the zeros of preallocation. On a full disk it stays for
    /// the writer, with the reason.
    fn cut_tail(
        &self,
        segment: &Segment,
        file: &dyn DiskFile,
        end: Place,
    ) -> Result<Option<LeftOver>, StoreError> {
        let path = &segment.path;
        let Some(torn) = Torn::find(file, segment.base, end.pos).map_err(failed("reading", path))? else {
            return Ok(None);
        };
        tracing::warn!(
            channel = %self.meta.name, path, offset = end.offset.0, bytes = torn.len(), aside = torn.stem(),
            "a torn tail is set aside and cut"
        );
        match torn.set_aside(&*self.env.disk, self.dir, file) {
            Ok(()) => Ok(None),
            Err(why) if is_shortage(&why) => Ok(Some(LeftOver { torn, why })),
            Err(error) => Err(failed("setting aside", torn.stem())(error)),
        }
    }

    /// Writes the head, and what may not have been durable, once more. After a failed sync the system may hold pages that it
    /// believes to be on disk and that are not; a page written again is a page synced again.
    fn write_again(&self, segment: &Segment, file: &dyn DiskFile, found: &Found) -> std::io::Result<()> {
        let data_start = segment.index().before(segment.base).pos;
        // No record vouches for the seal, which comes after all of them.
        let from = match found.durable >= found.end.offset {
            true => found.seal.unwrap_or(found.end.pos),
            false => segment.index().before(found.durable.max(segment.base)).pos,
        };
        for range in [0..data_start, from..found.end.pos] {
            let mut pos = range.start;
            while pos < range.end {
                let len = usize::try_from(range.end - pos).unwrap_or(CHUNK).min(CHUNK);
                let bytes = read_exactly(file, pos, len)?;
                file.write_all_at(&[IoSlice::new(&bytes)], pos)?;
                pos += len as u64;
            }
        }
        Ok(())
    }

    fn finish(self, options: LogOptions, file: Arc<dyn DiskFile>, found: Found) -> Arc<Inner> {
        let newest = self.segments.last().map_or_else(
            || Arc::new(Segment::new(self.dir, Offset::ZERO)), // there is one: `begin` or `recover` saw to it
            Arc::clone,
        );
        let head = newest.head(&*self.env.disk).ok().flatten();
        let data_start = head.map_or(0, |head| head.data_start);
        let begun = head.map_or(self.meta.created, |head| head.created);
        let size = file.size();
        let (torn, short) = found.left_over.map(|left| (left.torn, left.why)).unzip();
        let writer = Writer {
            options,
            allocated: size.unwrap_or(found.end.pos).max(found.end.pos),
            file: Some(file),
            segment: newest,
            data_start,
            begun,
            pos: found.end.pos,
            last_batch: found.last_batch,
            previous_crc: found.previous_crc,
            digest: found.digest,
            last_time: found.last_time,
            written: found.end.offset,
            durable: found.end.offset,
            producers: found.producers.clone(),
            synced_epoch: found.epochs.last(),
            unsynced_since: None,
            timer: None,
            is_dead: false,
            stalled: None,
            retry_at: None,
            must_roll: false,
            torn,
        };
        let state = State::new(
            Opened {
                segments: self.segments,
                end: found.end.offset,
                end_pos: found.end.pos,
                last_time: found.last_time,
                epochs: found.epochs,
                producers: found.producers,
                sealed: found.seal.is_some(),
                durability: options.durability,
                retention: options.retention,
                start: self.meta.start,
                digest: found.digest,
            },
            &self.env.options,
            self.env.warm.tail_share(),
        );
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            env: Arc::clone(self.env),
            name: self.meta.name.clone(),
            id: self.meta.id,
            created: self.meta.created,
            unsealable: options.unsealable,
            partitions: partition_count(&options),
            content: self.meta.content.clone().map_or_else(OnceLock::new, OnceLock::from),
            dir: self.dir.to_owned(),
            state: Mutex::new(state),
            writer: Mutex::new(writer),
            read_lately: Mutex::new(VecDeque::new()),
            owed: Mutex::default(),
            place: PlaceInLine::default(),
        });
        let now = inner.now();
        locked(&inner.writer).arm(&inner, now);
        if options.retention.hold_cursors.is_some() {
            // What a cursor held in an earlier life may go now, or has to wait for it in this one.
            inner.look_soon();
        }
        if let Some(why) = short {
            locked(&inner.writer).wait_for_room(&inner, why, now);
        }
        let state = locked(&inner.state);
        tracing::info!(
            channel = %inner.name, path = inner.dir, first = state.first().0, next = state.queued.0,
            epoch = state.epochs.last().0, segments = state.segments.len(), sealed = state.sealed_at.is_some(),
            durability = %state.durability, "a log is open"
        );
        drop(state);
        inner.warm_up();
        if self.meta.start > Offset::ZERO {
            inner.trim_until(self.meta.start);
        }
        inner
    }
}

/// Reads the headers of a closed segment for what they say of epochs, producers and time.
fn replay(id: &LogId, file: &dyn DiskFile, base: Offset, found: &mut Found) -> std::io::Result<()> {
    let mut window = Window::new(file, 8 << 10);
    let (mut pos, mut next) = (HEAD_LEN as u64, base);
    loop {
        let bytes = window.get(pos, HEADER_LEN + PRODUCER_PREFIX)?;
        let Some(chunk) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(()) };
        if let Ok(header) = BatchHeader::decode(chunk, &id.0) {
            found.previous_crc = header_crc(chunk);
            found.digest = found.digest.filter(|_| header.base_offset == next);
            found.digest = found.digest.map(|digest| digest.with(&header, bytes));
            next = header.next_offset();
            found.producers.note_batch(&header, bytes);
            found.epochs.note(header.epoch, header.base_offset);
            found.last_time = found.last_time.max(header.last_time());
            pos += header.stored_len() as u64;
            continue;
        }
        match search(file, &id.0, pos + 8, u64::MAX, |_| true)? {
            Some((next, _)) => pos = next.pos,
            None => return Ok(()),
        }
    }
}
