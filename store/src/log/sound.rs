//! What of a segment holds: stretches of batches that follow each other, and between them ranges of offsets that are lost.
//!
//! It is judged as opening and reading judge it: in a closed segment each batch by itself, up to where the next segment
//! begins; in the newest one by the chain and the epoch too, and where it ends by what is known to have been durable.

use std::io;

use netchan_proto::batch::{BatchHeader, BatchKind, HEADER_LEN, PRODUCER_PREFIX, header_crc};
use netchan_proto::crc::crc32c;
use netchan_proto::{Digest, LogId, Offset, Timestamp};

use super::epochs::Epochs;
use super::file::read_exactly;
use super::index::{Place, Window, search};
use super::producers::Producers;
use super::segment::SegmentHead;
use crate::disk::DiskFile;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Stretches and losses of one segment: what is torn to more pieces than this is not mended in place.
pub(super) const MAX_PIECES: usize = 256;

/// How much of the batch at a place holds.
pub(super) enum Checked {
    /// All of it; with its header's CRC.
    Whole(BatchHeader, u32),
    /// Its header alone.
    Header(BatchHeader),
    Nothing,
}

pub(super) fn check(window: &mut Window<'_>, seed: &[u8; 16], at: Place) -> io::Result<Checked> {
    let bytes = window.get(at.pos, HEADER_LEN)?;
    let Some(chunk) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(Checked::Nothing) };
    let crc = header_crc(chunk);
    let header = match BatchHeader::decode(chunk, seed) {
        Ok(header) if header.base_offset == at.offset && !header.sparse => header,
        _ => return Ok(Checked::Nothing),
    };
    let stored = window.get(at.pos, header.stored_len())?;
    let body_end = HEADER_LEN + header.body_len as usize;
    if stored.len() < header.stored_len() || crc32c(&stored[HEADER_LEN..body_end]) != header.body_crc {
        return Ok(Checked::Header(header));
    }
    Ok(Checked::Whole(header, crc))
}

/// What is known of all batches before a place.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) previous_crc: u32,
    pub(super) time: Timestamp,
    /// When the newest segment was made whose head holds.
    pub(super) created: Timestamp,
    pub(super) epochs: Epochs,
    pub(super) producers: Producers,
    pub(super) digest: Option<Digest>,
}

impl Before {
    /// Before the first segment.
    pub(super) fn start(first: Offset, created: Timestamp) -> Before {
        Before {
            previous_crc: 0,
            time: Timestamp::MIN,
            created,
            epochs: Epochs::default(),
            producers: Producers::default(),
            digest: (first == Offset::ZERO).then_some(Digest::START),
        }
    }

    /// A head that holds knows better than what was read before it.
    pub(super) fn learn(&mut self, head: &SegmentHead, producers: Option<Producers>) {
        self.previous_crc = head.previous_crc;
        self.time = head.previous_time;
        self.created = head.created;
        self.epochs = head.epochs.clone();
        self.digest = head.digest;
        if let Some(producers) = producers {
            self.producers = producers;
        }
    }

    /// Goes past a batch, of which at least header and producer prefix are in `stored`.
    pub(super) fn pass(&mut self, header: &BatchHeader, stored: &[u8]) {
        self.previous_crc = header_crc(stored);
        self.producers.note_batch(header, stored);
        self.epochs.note(header.epoch, header.base_offset);
        if header.kind == BatchKind::Data {
            self.time = self.time.max(header.last_time());
            self.digest = self.digest.map(|digest| digest.with(header, stored));
        }
    }
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Batches that follow each other, the first after one with this header CRC. Without any batch: where the next one goes.
    Run { from: Place, to: Place, previous_crc: u32 },
    /// Records that are lost.
    Lost { from: Offset, to: Offset },
}

/// What of a segment holds.
#[derive(Debug, Default)]
pub(super) struct Sound {
    /// In the order of offsets, from the segment's base on, each beginning where the one before it ends.
    pub(super) pieces: Vec<Piece>,
    pub(super) has_seal: bool,
    /// Where a batch begins that reaches into the next segment.
    pub(super) overlaps: Option<Place>,
    /// It is in more pieces than are told.
    pub(super) is_shattered: bool,
}

impl Sound {
    fn lose(&mut self, from: Offset, to: Offset) {
        match self.pieces.last_mut() {
            _ if to <= from => {}
            Some(Piece::Lost { to: end, .. }) => *end = to,
            _ => self.pieces.push(Piece::Lost { from, to }),
        }
    }

    fn pass(&mut self, at: Place, header: &BatchHeader) {
        let next = Place { offset: header.next_offset(), pos: at.pos + header.stored_len() as u64 };
        match self.pieces.last_mut() {
            Some(Piece::Run { to, .. }) if *to == at => *to = next,
            _ => self.pieces.push(Piece::Run { from: at, to: next, previous_crc: header.previous_crc }),
        }
    }
}

/// Which segment is looked at.
pub(super) struct Look<'a> {
    pub(super) file: &'a dyn DiskFile,
    pub(super) id: LogId,
    pub(super) base: Offset,
    /// Where its first batch begins, if its head says it.
    pub(super) data_start: Option<u64>,
    /// Where the next segment begins; `None` for the newest.
    pub(super) end: Option<Offset>,
    /// Up to where records are known to have been durable, for the newest.
    pub(super) durable: Offset,
}

/// Reads a segment, and learns from it what is `before` the next one. `tell` hears of bytes that were read.
pub(super) fn look(look: &Look<'_>, before: &mut Before, tell: &mut dyn FnMut(u64)) -> io::Result<Sound> {
    let Look { file, id, base, end, .. } = *look;
    let seed = &id.0;
    let mut sound = Sound::default();
    let mut durable = look.durable;
    let mut at = Place { offset: base, pos: look.data_start.unwrap_or(0) };
    let mut window = Window::new(file, CHUNK);
    // The chain is not held against the first batch after damage.
    let mut chained = at.pos > 0;
    let mut told = 0;
    while end != Some(at.offset) && !sound.is_shattered {
        if at.pos - told >= CHUNK as u64 {
            tell(at.pos - told);
            told = at.pos;
        }
        let checked = check(&mut window, seed, at)?;
        if let Checked::Whole(header, _) = checked {
            let holds = match end {
                Some(end) => header.kind == BatchKind::Data && header.next_offset() <= end,
                None => {
                    !sound.has_seal
                        && (!chained || header.previous_crc == before.previous_crc)
                        && header.epoch >= before.epochs.last()
                }
            };
            if holds {
                durable = durable.max(header.durable_offset);
                before.pass(&header, window.get(at.pos, HEADER_LEN + PRODUCER_PREFIX)?);
                sound.pass(at, &header);
                sound.has_seal = header.kind == BatchKind::Seal;
                at = Place { offset: header.next_offset(), pos: at.pos + header.stored_len() as u64 };
                chained = true;
                continue;
            }
            if end.is_some_and(|end| header.next_offset() > end) {
                sound.overlaps = Some(at);
                break;
            }
        }
        // A body that does not hold is not searched for batches: it may have been made to look like some.
        let from = match checked {
            Checked::Header(header) | Checked::Whole(header, _) => at.pos + header.stored_len() as u64,
            Checked::Nothing => at.pos + 8,
        };
        let fits = |header: &BatchHeader| {
            header.base_offset >= at.offset
                && (header.base_offset > at.offset || at.pos == 0)
                && end.is_none_or(|end| header.base_offset < end && header.kind == BatchKind::Data)
        };
        let survivor = search(file, seed, from, u64::MAX, fits)?;
        let mut last = survivor.filter(|_| end.is_none());
        while let Some((place, header)) = last {
            durable = durable.max(header.durable_offset);
            last = search(file, seed, place.pos + header.stored_len() as u64, u64::MAX, fits)?;
        }
        if end.is_none() && durable <= at.offset && (at.pos > 0 || survivor.is_none()) {
            break; // a torn tail, or nothing at all
        }
        let to = survivor.map(|(place, _)| place.offset).or(end).unwrap_or(durable);
        sound.lose(at.offset, to);
        if to > at.offset {
            before.digest = None;
        }
        let Some((place, _)) = survivor else {
            at.offset = to;
            break;
        };
        (at, chained) = (place, false);
        sound.is_shattered = sound.pieces.len() > MAX_PIECES;
    }
    // The newest one ends with the place for what comes.
    if end.is_none() && matches!(sound.pieces.last(), Some(Piece::Lost { .. })) {
        sound.pieces.push(Piece::Run { from: at, to: at, previous_crc: before.previous_crc });
    }
    tell(file.size()?.saturating_sub(told));
    Ok(sound)
}

/// Whether there is nothing but zeros from `pos` on.
pub(super) fn is_zero_from(file: &dyn DiskFile, mut pos: u64) -> io::Result<bool> {
    loop {
        let bytes = read_exactly(file, pos, CHUNK)?;
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        if bytes.len() < CHUNK {
            return Ok(true);
        }
        pos += CHUNK as u64;
    }
}
