//! Mending a log's segments while nobody has it: what is damaged goes aside, what holds stays, and what is lost is declared.
//!
//! A segment with damage is copied beside itself, then replaced: stretches of batches that hold become segments of their own, and
//! so does each range that is lost, as a head without batches that says how far. Every state in between reads as the old
//! one or as the new one: a segment begins to be read where its base is, so those made of the back of a damaged one take
//! over from it one durable step before its front is replaced.

use std::io::{self, IoSlice};
use std::sync::Arc;

use netchan_proto::batch::{BatchHeader, HEADER_LEN, PRODUCER_PREFIX, Stamp, seal_batch};
use netchan_proto::{Offset, Timestamp};

use super::Closed;
use super::file::read_exactly;
use super::index::{Place, Window, search};
use super::segment::{HEAD_LEN, NewHead, Segment, SegmentHead, base_of, file_name};
use super::sound::{Before, Look, MAX_PIECES, Piece, Sound, is_zero_from, look};
use super::torn::{Torn, copy};
use crate::StoreError;
use crate::aside;
use crate::disk::{Disk, DiskFile, Open};
use crate::meta::{Meta, failed, join};
use crate::repair::mending::{Mending, Step};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// One segment of a log, open for as long as it is looked at.
struct Found {
    base: Offset,
    path: String,
    file: Arc<dyn DiskFile>,
    /// Its head, if it holds and is of this segment.
    head: Option<SegmentHead>,
    /// Its head is of another log, and nothing in it is of this one.
    is_foreign: bool,
}

/// Mends the log in `dir`, whose meta holds. `closed` is what the state log says of it. With `is_dry` nothing is changed.
pub(crate) fn mend(
    disk: &dyn Disk,
    dir: &str,
    meta: &Meta,
    closed: Closed,
    mending: &mut Mending<'_>,
) -> Result<(), StoreError> {
    let log = Log { disk, dir, meta, closed };
    if !mending.is_dry {
        log.sweep()?;
    }
    let done = log.mend(mending);
    if done.is_err() && !mending.is_dry {
        let _ = log.sweep(); // its room may be what was short
    }
    done
}

struct Log<'a> {
    disk: &'a dyn Disk,
    dir: &'a str,
    meta: &'a Meta,
    closed: Closed,
}

impl Log<'_> {
    fn mend(&self, mending: &mut Mending<'_>) -> Result<(), StoreError> {
        let mut bases = self.bases()?;
        self.without_strays(&mut bases, mending)?;
        let first = bases.first().copied().unwrap_or(self.meta.start);
        let mut before = Before::start(first, self.meta.created);
        for (index, base) in bases.iter().enumerate() {
            let end = bases.get(index + 1).copied();
            self.mend_segment(&self.segment(*base)?, end, &mut before, mending)?;
        }
        if bases.is_empty() { self.begin_again(before, mending) } else { Ok(()) }
    }

    /// Of a log that was closed with records, or sealed, there is no segment.
    fn begin_again(&self, mut before: Before, mending: &mut Mending<'_>) -> Result<(), StoreError> {
        let (first, end) = (self.meta.start, self.closed.durable.max(self.meta.start));
        if first == end && !self.closed.is_sealed {
            return Ok(());
        }
        before.digest = before.digest.filter(|_| first == end);
        let lost = (first < end).then_some(Piece::Lost { from: first, to: end });
        let place = Place { offset: end, pos: 0 };
        let pieces = lost.into_iter().chain([Piece::Run { from: place, to: place, previous_crc: 0 }]);
        let mut made = Vec::new();
        for piece in pieces {
            let (base, lost_to, seal) = match piece {
                Piece::Lost { from, to } => {
                    mending.add(Step::Declared { path: self.path(from), from, to });
                    (from, Some(to), None)
                }
                Piece::Run { from, .. } => {
                    mending.add(Step::Begun { path: self.path(from.offset) });
                    (from.offset, None, self.seal(&before, end))
                }
            };
            made.push(base);
            if !mending.is_dry {
                let head = self.head(&before, base, 0, lost_to);
                let file = self.write(base, &head)?;
                let done = finish(&*file, head.len() as u64, seal.as_deref());
                done.map_err(failed("writing", &self.temporary(base)))?;
            }
        }
        if mending.is_dry { Ok(()) } else { self.put(&made) }
    }

    fn path(&self, base: Offset) -> String {
        Segment::path_of(self.dir, base)
    }

    fn temporary(&self, base: Offset) -> String {
        format!("{}.tmp", self.path(base))
    }

    /// Removes what a mending left half made that was cut short.
    fn sweep(&self) -> Result<(), StoreError> {
        for name in self.disk.list(self.dir).map_err(failed("listing", self.dir))? {
            if name.strip_suffix(".tmp").is_some_and(|name| base_of(name).is_some()) {
                let path = join(self.dir, &name);
                self.disk.remove_file(&path).map_err(failed("removing", &path))?;
            }
        }
        Ok(())
    }

    fn bases(&self) -> Result<Vec<Offset>, StoreError> {
        let names = self.disk.list(self.dir).map_err(failed("listing", self.dir))?;
        let mut bases: Vec<Offset> = names.iter().filter_map(|name| base_of(name)).collect();
        bases.sort_unstable();
        Ok(bases)
    }

    fn segment(&self, base: Offset) -> Result<Found, StoreError> {
        let path = self.path(base);
        let file = self.disk.open(&path, Open::Read).map_err(failed("opening", &path))?;
        let (head, is_foreign) = self.head_of(&*file, base).map_err(failed("reading", &path))?;
        Ok(Found { base, path, file, head, is_foreign })
    }

    fn head_of(&self, file: &dyn DiskFile, base: Offset) -> io::Result<(Option<SegmentHead>, bool)> {
        let head = SegmentHead::decode(&read_exactly(file, 0, HEAD_LEN)?);
        match head {
            Some(head) if head.log != self.meta.id => Ok((None, !self.has_batches(file, base)?)),
            head => Ok((head.filter(|head| head.base == base), false)),
        }
    }

    fn has_batches(&self, file: &dyn DiskFile, base: Offset) -> io::Result<bool> {
        let own = search(file, &self.meta.id.0, 0, u64::MAX, |header| header.base_offset >= base)?;
        Ok(own.is_some())
    }

    /// Sets aside whole segments that no record was in: those of other logs, and newest ones that were never begun.
    fn without_strays(&self, bases: &mut Vec<Offset>, mending: &mut Mending<'_>) -> Result<(), StoreError> {
        let mut index = bases.len();
        while index > 0 {
            index -= 1;
            let segment = &self.segment(bases[index])?;
            let is_newest = index + 1 == bases.len();
            // In the place of the first one a foreign segment stands for what was there; others are judged by their neighbours.
            let is_stray = match segment.is_foreign {
                true if is_newest => self.closed.durable <= segment.base,
                true => index > 0,
                false => {
                    is_newest
                        && segment.head.is_none()
                        && self.closed.durable <= segment.base
                        && !self
                            .has_batches(&*segment.file, segment.base)
                            .map_err(failed("reading", &segment.path))?
                }
            };
            if !is_stray {
                continue;
            }
            let name = file_name(segment.base);
            let to = aside::free_path(self.disk, self.dir, &name).map_err(failed("listing", self.dir))?;
            let bytes = segment.file.size().map_err(failed("reading", &segment.path))?;
            mending.add(Step::SetAside { path: segment.path.clone(), to, bytes });
            if !mending.is_dry {
                aside::set_aside(self.disk, self.dir, &name)
                    .map_err(failed("setting aside", &segment.path))?;
            }
            bases.remove(index);
        }
        Ok(())
    }

    fn mend_segment(
        &self,
        segment: &Found,
        end: Option<Offset>,
        before: &mut Before,
        mending: &mut Mending<'_>,
    ) -> Result<(), StoreError> {
        let io = |action| failed(action, &segment.path);
        let file = &*segment.file;
        let mut head_holds = false;
        if let Some(head) = &segment.head {
            let producers = head.producers(file).map_err(io("reading"))?;
            head_holds = producers.is_some();
            before.learn(head, producers);
        }
        let at_start = before.clone();
        let declared = segment.head.as_ref().and_then(|head| head.lost_to);
        let what = Look {
            file,
            id: self.meta.id,
            base: segment.base,
            data_start: segment.head.as_ref().map(|head| head.data_start),
            end,
            durable: self.closed.durable.max(declared.unwrap_or_default()),
        };
        let sound = look(&what, before, &mut *mending.tell).map_err(io("reading"))?;
        if let Some(place) = sound.overlaps {
            mending.leave(&segment.path, format!(
                "the batch at byte {} reaches into the next segment; one of the two is no part of this log: move it away, \
                 and repair again",
                place.pos
            ));
            return Ok(());
        }
        if sound.is_shattered {
            mending.leave(&segment.path, format!(
                "it is in more than {MAX_PIECES} pieces: receive what can be read and send it to a channel of another name"
            ));
            return Ok(());
        }
        let seal_is_gone = end.is_none() && self.closed.is_sealed && !sound.has_seal;
        if self.is_well(segment, head_holds, declared, &sound, end).map_err(io("reading"))? && !seal_is_gone {
            return Ok(());
        }
        self.mend_pieces(segment, &sound, (head_holds, declared, seal_is_gone), at_start, before, mending)
    }

    /// Whether nothing of a segment need be changed.
    fn is_well(
        &self,
        segment: &Found,
        head_holds: bool,
        declared: Option<Offset>,
        sound: &Sound,
        end: Option<Offset>,
    ) -> io::Result<bool> {
        let data_start = segment.head.as_ref().map_or(0, |head| head.data_start);
        Ok(head_holds
            && match &sound.pieces[..] {
                // What stands after its end is being written, or a torn tail: opening knows what to do with it.
                [] => true,
                [Piece::Run { from, to, .. }] => {
                    from.offset == segment.base
                        && (end.is_none() || end == Some(to.offset) && is_zero_from(&*segment.file, to.pos)?)
                }
                [Piece::Lost { to, .. }] => {
                    declared == Some(*to) && end == declared && is_zero_from(&*segment.file, data_start)?
                }
                _ => false,
            })
    }

    fn mend_pieces(
        &self,
        segment: &Found,
        sound: &Sound,
        (head_holds, declared, seal_is_gone): (bool, Option<Offset>, bool),
        mut at: Before,
        end: &Before,
        mending: &mut Mending<'_>,
    ) -> Result<(), StoreError> {
        let io = |action| failed(action, &segment.path);
        let mut pieces = sound.pieces.clone();
        if pieces.is_empty() {
            // A sealed log without a record in its newest segment.
            let place =
                Place { offset: segment.base, pos: segment.head.as_ref().map_or(0, |head| head.data_start) };
            pieces.push(Piece::Run { from: place, to: place, previous_crc: at.previous_crc });
        }
        // The first piece can stay as it is if nothing else is in the file.
        let stays = head_holds
            && match pieces[0] {
                Piece::Run { from, to, .. } => {
                    from.offset == segment.base
                        && !(seal_is_gone && pieces.len() == 1)
                        && is_zero_from(&*segment.file, to.pos).map_err(io("reading"))?
                }
                Piece::Lost { to, .. } => {
                    let data_start = segment.head.as_ref().map_or(0, |head| head.data_start);
                    declared == Some(to) && is_zero_from(&*segment.file, data_start).map_err(io("reading"))?
                }
            };
        if !stays {
            let name = file_name(segment.base);
            let to = aside::free_path(self.disk, self.dir, &name).map_err(failed("listing", self.dir))?;
            let bytes = segment.file.size().map_err(io("reading"))?;
            mending.add(Step::SetAside { path: segment.path.clone(), to, bytes });
            if !mending.is_dry {
                let copied = Torn::whole(&name, bytes).copy_aside(self.disk, self.dir, &*segment.file);
                copied.map_err(io("setting aside"))?;
            }
        }
        let mut made = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let is_kept = index == 0 && stays;
            let (base, step) = match *piece {
                Piece::Run { from, to, .. } if from == to => {
                    (from.offset, Step::Begun { path: self.path(from.offset) })
                }
                Piece::Run { from, to, .. } => {
                    let records = to.offset.0 - from.offset.0;
                    (from.offset, Step::Kept { path: self.path(from.offset), records })
                }
                Piece::Lost { from, to } => (from, Step::Declared { path: self.path(from), from, to }),
            };
            let is_declared = matches!(*piece, Piece::Lost { to, .. } if index == 0 && declared == Some(to));
            if !is_kept && !is_declared {
                mending.add(step);
            }
            if !is_kept {
                made.push(base);
            }
            let seal = (seal_is_gone && index + 1 == pieces.len()).then(|| self.seal_after(end, piece));
            if seal.is_some() {
                mending.add(Step::Sealed { path: self.path(base), at: end_of(piece) });
            }
            if mending.is_dry {
                continue;
            }
            self.write_piece(segment, *piece, head_holds, is_kept, seal.flatten().as_deref(), &mut at)?;
        }
        if mending.is_dry {
            return Ok(());
        }
        self.put(&made)
    }

    /// Writes one piece of a segment to a temporary file, but for one that stays where it is; and goes past it.
    fn write_piece(
        &self,
        segment: &Found,
        piece: Piece,
        head_holds: bool,
        is_kept: bool,
        seal: Option<&[u8]>,
        at: &mut Before,
    ) -> Result<(), StoreError> {
        let io = |action| failed(action, &segment.path);
        let (base, head) = match piece {
            Piece::Run { from, .. } if head_holds && from.offset == segment.base => {
                let len = usize::try_from(from.pos).unwrap_or(HEAD_LEN);
                (from.offset, read_exactly(&*segment.file, 0, len).map_err(io("reading"))?)
            }
            Piece::Run { from, previous_crc, .. } => {
                (from.offset, self.head(at, from.offset, previous_crc, None))
            }
            Piece::Lost { from, to } => (from, self.head(at, from, at.previous_crc, Some(to))),
        };
        let file = if is_kept { None } else { Some(self.write(base, &head)?) };
        let mut pos = head.len() as u64;
        if let Piece::Run { from, to, .. } = piece {
            let copied = copy_run(&*segment.file, &self.meta.id.0, (from, to), file.as_deref(), pos, at);
            pos = copied.map_err(io("copying the batches of"))?;
        } else {
            at.digest = None;
        }
        match file {
            Some(file) => finish(&*file, pos, seal).map_err(failed("writing", &self.temporary(base))),
            None => Ok(()),
        }
    }

    fn head(&self, before: &Before, base: Offset, previous_crc: u32, lost_to: Option<Offset>) -> Vec<u8> {
        let head = NewHead {
            log: self.meta.id,
            name: &self.meta.name,
            base,
            previous_crc,
            previous_time: before.time,
            created: before.created,
            epochs: &before.epochs,
            producers: &before.producers,
            digest: before.digest,
            lost_to,
        };
        head.encode()
    }

    /// The seal of a log that ends at `end`, if it is sealed.
    fn seal(&self, before: &Before, end: Offset) -> Option<Vec<u8>> {
        let stamp = Stamp {
            seed: &self.meta.id.0,
            epoch: before.epochs.last(),
            durable_offset: end,
            previous_crc: before.previous_crc,
        };
        let time = if before.time == Timestamp::MIN { before.created } else { before.time.plus_nanos(1) };
        self.closed.is_sealed.then(|| seal_batch(end, time, before.digest, stamp).1.to_vec())
    }

    fn seal_after(&self, before: &Before, piece: &Piece) -> Option<Vec<u8>> {
        self.seal(before, end_of(piece))
    }

    /// A temporary file that begins with `head`.
    fn write(&self, base: Offset, head: &[u8]) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = self.temporary(base);
        let file = self.disk.open(&path, Open::CreateNew).map_err(failed("making", &path))?;
        file.write_all_at(&[IoSlice::new(head)], 0).map_err(failed("writing", &path))?;
        Ok(file)
    }

    /// Gives the temporary files their names, those at the back first, each durably: it takes over from the one before it.
    fn put(&self, bases: &[Offset]) -> Result<(), StoreError> {
        for base in bases.iter().rev() {
            let path = self.temporary(*base);
            self.disk.rename(&path, &self.path(*base)).map_err(failed("renaming", &path))?;
            self.disk.sync_dir(self.dir).map_err(failed("syncing", self.dir))?;
        }
        Ok(())
    }
}

fn end_of(piece: &Piece) -> Offset {
    match piece {
        Piece::Run { to, .. } => to.offset,
        Piece::Lost { to, .. } => *to,
    }
}

/// Writes the seal, if there is one, and makes the file durable.
fn finish(file: &dyn DiskFile, pos: u64, seal: Option<&[u8]>) -> io::Result<()> {
    if let Some(seal) = seal {
        file.write_all_at(&[IoSlice::new(seal)], pos)?;
    }
    file.sync()
}

/// Goes past batches, and copies them to `pos` in a file if there is one to copy to. Says where they end there.
fn copy_run(
    segment: &dyn DiskFile,
    seed: &[u8; 16],
    (from, to): (Place, Place),
    file: Option<&dyn DiskFile>,
    pos: u64,
    at: &mut Before,
) -> io::Result<u64> {
    let mut window = Window::new(segment, CHUNK);
    let mut here = from.pos;
    while here < to.pos {
        let bytes = window.get(here, HEADER_LEN + PRODUCER_PREFIX)?;
        let header = bytes.first_chunk().and_then(|bytes| BatchHeader::decode(bytes, seed).ok());
        let changed = || io::Error::other("what was read a moment ago is not there any more");
        let header = header.ok_or_else(changed)?;
        at.pass(&header, bytes);
        here += header.stored_len() as u64;
    }
    if let Some(file) = file {
        copy(segment, from.pos..to.pos, file, pos)?;
    }
    Ok(pos + to.pos - from.pos)
}
