//! What there is to say of a log that is not open, without opening it: only of one that was closed cleanly and has not
//! been written since.
//!
//! Closing notes where the last batch stands ([`Closed`]). That is a hint where to look, never evidence: everything told comes
//! from the heads and headers that stand there. Where anything is not as it was left, nothing is told, and the log is opened.

use std::io;

use netchan_proto::batch::{BatchHeader, BatchKind, HEADER_LEN};
use netchan_proto::{Digest, LogId, LogInfo, Offset, Timestamp};

use super::file::read_exactly;
use super::index::{Window, search};
use super::segment::{HEAD_LEN, Segment, SegmentHead, base_of};
use super::sound::{Checked, check};
use crate::disk::{Disk, DiskFile, Open};
use crate::meta::Meta;

/// Bytes read at a time from the end.
const BACKWARDS: u64 = 64 << 10;

/// What closing a log notes in the state log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The end of what is durable.
    pub(crate) durable: Offset,
    /// Where in the newest segment the last batch of records begins; 0 if there is none in it.
    pub(crate) last_batch: u64,
    /// Whether it was sealed. No record vouches for a seal, which comes after all of them: this does.
    pub(crate) is_sealed: bool,
}

impl Closed {
    pub(crate) fn encode(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.last_batch.to_le_bytes());
        bytes[16] = u8::from(self.is_sealed);
        bytes
    }

    /// Reads what [`Closed::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Closed> {
        let (durable, bytes) = bytes.split_first_chunk::<8>()?;
        let (last_batch, is_sealed) = bytes.split_first_chunk::<8>()?;
        let is_sealed = match is_sealed {
            [] | [0] => false,
            [1] => true,
            _ => return None,
        };
        let (durable, last_batch) = (Offset(u64::from_le_bytes(*durable)), u64::from_le_bytes(*last_batch));
        Some(Closed { durable, last_batch, is_sealed })
    }
}

/// Looks at the log in `dir` that nobody has open. `None`: it has to be opened to know.
pub(crate) fn glance(disk: &dyn Disk, dir: &str, meta: &Meta, closed: Closed) -> io::Result<Option<LogInfo>> {
    let mut bases: Vec<Offset> = disk.list(dir)?.iter().filter_map(|name| base_of(name)).collect();
    bases.sort_unstable();
    let (Some(&first), Some(&newest)) = (bases.first(), bases.last()) else { return Ok(None) };
    if meta.start > first {
        return Ok(None); // it begins within a segment
    }
    let file = disk.open(&Segment::path_of(dir, newest), Open::Read)?;
    let size = file.size()?;
    let Some(head) = head_of(&*file, meta, newest)? else { return Ok(None) };
    let (mut epoch, mut last_time) = (head.epochs.last(), head.previous_time);
    let (mut end, mut pos) = (newest, head.data_start);
    if closed.last_batch > 0 {
        match header_at(&*file, meta, closed.last_batch)? {
            Some(header) if header.kind == BatchKind::Data && header.base_offset >= newest => {
                (epoch, last_time) = (epoch.max(header.epoch), header.last_time());
                (end, pos) = (header.next_offset(), closed.last_batch + header.stored_len() as u64);
            }
            _ => return Ok(None),
        }
    }
    let mut sealed = false;
    if pos < size
        && let Some(header) = header_at(&*file, meta, pos)?
        && header.kind == BatchKind::Seal
        && header.base_offset == end
    {
        (sealed, pos) = (true, pos + header.stored_len() as u64);
        epoch = epoch.max(header.epoch);
    }
    if pos != size || end != closed.durable || sealed != closed.is_sealed {
        return Ok(None);
    }
    let mut bytes = size;
    for base in bases.iter().filter(|base| **base != newest) {
        bytes += disk.size(&Segment::path_of(dir, *base))?;
    }
    Ok(Some(LogInfo {
        name: meta.name.clone(),
        id: meta.id,
        epoch,
        durability: meta.options.durability,
        sealed,
        first,
        next: end,
        durable: end,
        first_time: if end > first { first_time(disk, dir, meta, first)? } else { Timestamp::MIN },
        last_time: if end > first { last_time } else { Timestamp::MIN },
        created: meta.created,
        bytes,
        segments: bases.len() as u64,
    }))
}

/// What a sealed log comes to, by the seal at the end of its newest segment. `None`: there is none that holds, or it does not
/// know. Changes nothing, and may look beside whoever writes there.
pub(crate) fn digest(disk: &dyn Disk, dir: &str, id: LogId) -> io::Result<Option<Digest>> {
    let Some(newest) = disk.list(dir)?.iter().filter_map(|name| base_of(name)).max() else { return Ok(None) };
    let file = disk.open(&Segment::path_of(dir, newest), Open::Read)?;
    // It is the last thing in the file, but for room that was reserved.
    let mut end = file.size()?;
    let last = loop {
        let begin = end.saturating_sub(BACKWARDS);
        let bytes = read_exactly(&*file, begin, usize::try_from(end - begin).unwrap_or(0))?;
        match bytes.iter().rposition(|&byte| byte != 0) {
            Some(last) => break begin + last as u64,
            None if begin == 0 => return Ok(None),
            None => end = begin,
        }
    };
    let is_seal = |header: &BatchHeader| header.kind == BatchKind::Seal;
    let from = last.saturating_sub(HEADER_LEN as u64 + 8);
    let Some((place, _)) = search(&*file, &id.0, from, last, is_seal)? else { return Ok(None) };
    let mut window = Window::new(&*file, HEADER_LEN + 8);
    Ok(match check(&mut window, &id.0, place)? {
        Checked::Whole(header, _) => Digest::of_seal(&header, window.get(place.pos, header.stored_len())?),
        _ => None,
    })
}

fn head_of(file: &dyn DiskFile, meta: &Meta, base: Offset) -> io::Result<Option<SegmentHead>> {
    let head = SegmentHead::decode(&read_exactly(file, 0, HEAD_LEN)?);
    Ok(head.filter(|head| head.base == base && head.log == meta.id))
}

fn header_at(file: &dyn DiskFile, meta: &Meta, pos: u64) -> io::Result<Option<BatchHeader>> {
    let bytes = read_exactly(file, pos, HEADER_LEN)?;
    Ok(bytes.first_chunk().and_then(|bytes| BatchHeader::decode(bytes, &meta.id.0).ok()))
}

/// The time of the first record, `Timestamp::MIN` if it cannot be read.
fn first_time(disk: &dyn Disk, dir: &str, meta: &Meta, first: Offset) -> io::Result<Timestamp> {
    let file = disk.open(&Segment::path_of(dir, first), Open::Read)?;
    let Some(head) = head_of(&*file, meta, first)? else { return Ok(Timestamp::MIN) };
    let header = header_at(&*file, meta, head.data_start)?.filter(|header| header.base_offset == first);
    Ok(header.map_or(Timestamp::MIN, |header| header.base_time))
}
