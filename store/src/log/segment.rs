//! One file of a log: its name, its head, and the handle through which it is read.

use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock, PoisonError};

use netchan_proto::crc::crc32c;
use netchan_proto::{ChannelName, Digest, Epoch, LogId, Offset, Timestamp};

use super::epochs::{Epochs, MAX_EPOCHS};
use super::file::read_exactly;
use super::index::Index;
use super::producers::{ENTRY_LEN, MAX_PRODUCERS, Producers};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{is_short_of_files, is_shortage};
use crate::sync::{Mutex, MutexGuard};

/// Bytes of the fixed part of a head. Batches begin at a multiple of it.
pub(crate) const HEAD_LEN: usize = 4096;
const MAGIC: [u8; 8] = *b"NCSEG001";
const PAIRS_AT: usize = 80;
const PAIR_LEN: usize = 12;
const NAME_AT: usize = PAIRS_AT + MAX_EPOCHS * PAIR_LEN;
const DIGEST_AT: usize = 4072;
const LOST_TO_AT: usize = 4080;
const CRC_AT: usize = HEAD_LEN - 4;

/// What stands at the start of a segment: whose it is, what came before it, and what is needed to go on with the
/// log without reading older segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) log: LogId,
    pub(super) name: ChannelName,
    /// The offset of the first record.
    pub(crate) base: Offset,
    /// The header CRC of the batch before the first; 0 if there is none.
    pub(crate) previous_crc: u32,
    /// The time of the record before the first; `Timestamp::MIN` if there is none.
    pub(super) previous_time: Timestamp,
    pub(super) created: Timestamp,
    pub(super) epochs: Epochs,
    /// Where the first batch begins.
    pub(crate) data_start: u64,
    producers_len: usize,
    producers_crc: u32,
    /// What all batches before the first come to, if that is known.
    pub(crate) digest: Option<Digest>,
    /// It has no batches: it stands for records that are lost, from its base to here.
    pub(crate) lost_to: Option<Offset>,
}

/// What a new segment is told.
pub(super) struct NewHead<'a> {
    pub(super) log: LogId,
    pub(super) name: &'a ChannelName,
    pub(super) base: Offset,
    pub(super) previous_crc: u32,
    pub(super) previous_time: Timestamp,
    pub(super) created: Timestamp,
    pub(super) epochs: &'a Epochs,
    pub(super) producers: &'a Producers,
    pub(super) digest: Option<Digest>,
    pub(super) lost_to: Option<Offset>,
}

impl NewHead<'_> {
    /// The head's bytes: the fixed part, and after it the producers, filled up with zeros.
    pub(super) fn encode(&self) -> Vec<u8> {
        let producers = self.producers.encode();
        let mut bytes = vec![0; HEAD_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let count = |len: usize| u32::try_from(len).unwrap_or(0).to_le_bytes();
        let data_start = HEAD_LEN + producers.len().next_multiple_of(HEAD_LEN);
        let name = self.name.as_str().as_bytes();
        put(0, &MAGIC);
        put(8, &count(data_start));
        put(12, &self.previous_crc.to_le_bytes());
        put(16, &self.log.0);
        put(32, &self.base.0.to_le_bytes());
        put(40, &self.previous_time.0.to_le_bytes());
        put(48, &self.created.0.to_le_bytes());
        put(56, &count(self.epochs.pairs().len()));
        put(60, &count(producers.len() / ENTRY_LEN));
        put(64, &crc32c(&producers).to_le_bytes());
        put(68, &[u8::try_from(name.len()).unwrap_or(0)]);
        for (index, (epoch, first)) in self.epochs.pairs().iter().enumerate() {
            put(PAIRS_AT + index * PAIR_LEN, &epoch.0.to_le_bytes());
            put(PAIRS_AT + index * PAIR_LEN + 4, &first.0.to_le_bytes());
        }
        put(NAME_AT, name);
        put(DIGEST_AT, &self.digest.map_or(0, Digest::get).to_le_bytes());
        put(LOST_TO_AT, &self.lost_to.map_or(0, |to| to.0).to_le_bytes());
        let crc = crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&producers);
        bytes.resize(data_start, 0);
        bytes
    }
}

impl SegmentHead {
    /// Reads and checks the fixed part.
    pub(crate) fn decode(bytes: &[u8]) -> Option<SegmentHead> {
        let bytes: &[u8; HEAD_LEN] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..8] != MAGIC || word(CRC_AT) != crc32c(&bytes[..CRC_AT]) {
            return None;
        }
        let pairs = word(56) as usize;
        let producers = word(60) as usize;
        let data_start = word(8) as usize;
        if pairs > MAX_EPOCHS
            || producers > MAX_PRODUCERS
            || data_start != HEAD_LEN + (producers * ENTRY_LEN).next_multiple_of(HEAD_LEN)
        {
            return None;
        }
        let mut epochs = Epochs::default();
        for index in 0..pairs {
            let at = PAIRS_AT + index * PAIR_LEN;
            epochs.note(Epoch(word(at)), Offset(long(at + 4)));
        }
        let name = std::str::from_utf8(&bytes[NAME_AT..NAME_AT + usize::from(bytes[68])]).ok()?;
        let lost_to = Some(Offset(long(LOST_TO_AT))).filter(|to| *to != Offset::ZERO);
        if lost_to.is_some_and(|to| to.0 <= long(32)) {
            return None;
        }
        Some(SegmentHead {
            log: LogId(*bytes[16..].first_chunk()?),
            name: ChannelName::new(name).ok()?,
            base: Offset(long(32)),
            previous_crc: word(12),
            previous_time: Timestamp(long(40).cast_signed()),
            created: Timestamp(long(48).cast_signed()),
            epochs,
            data_start: data_start as u64,
            producers_len: producers * ENTRY_LEN,
            producers_crc: word(64),
            digest: match (Digest::from_number(long(DIGEST_AT)), long(32)) {
                // Heads of earlier versions say nothing.
                (None, 0) => Some(Digest::START),
                (digest, _) => digest,
            },
            lost_to,
        })
    }

    /// Reads the producers that stand after the fixed part; `None` if they are damaged.
    pub(crate) fn producers(&self, file: &dyn DiskFile) -> io::Result<Option<Producers>> {
        let bytes = read_exactly(file, HEAD_LEN as u64, self.producers_len)?;
        Ok((bytes.len() == self.producers_len && crc32c(&bytes) == self.producers_crc)
            .then(|| Producers::decode(&bytes)))
    }
}

/// The name of the segment whose first offset is `base`.
pub(super) fn file_name(base: Offset) -> String {
    format!("{:020}.log", base.0)
}

/// The first offset that a segment's name tells.
pub(crate) fn base_of(file_name: &str) -> Option<Offset> {
    let digits = file_name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok().map(Offset))?
}

/// Whether a file is a segment, by its name.
pub(crate) fn is_segment(file_name: &str) -> bool {
    base_of(file_name).is_some()
}

/// Whose segment a file is, and when it was made; `None` if its head doesn't hold.
pub(crate) fn identity_of_segment(
    file: &dyn DiskFile,
) -> io::Result<Option<(LogId, ChannelName, Timestamp)>> {
    let head = SegmentHead::decode(&read_exactly(file, 0, HEAD_LEN)?);
    Ok(head.map(|head| (head.log, head.name, head.created)))
}

/// A segment as readers know it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base: Offset,
    pub(super) path: String,
    /// Kept open while it is the active one, or was read lately.
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    head: OnceLock<Option<SegmentHead>>,
    len: OnceLock<u64>,
    index: Mutex<Index>,
}

impl Segment {
    pub(super) fn new(dir: &str, base: Offset) -> Segment {
        Segment {
            base,
            path: Segment::path_of(dir, base),
            file: Mutex::default(),
            head: OnceLock::new(),
            len: OnceLock::new(),
            index: Mutex::new(Index::new(base)),
        }
    }

    pub(super) fn path_of(dir: &str, base: Offset) -> String {
        format!("{dir}/{}", file_name(base))
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file, and whether it had to be opened for this.
    pub(super) fn open(&self, disk: &dyn Disk) -> io::Result<(Arc<dyn DiskFile>, bool)> {
        if let Some(file) = self.kept() {
            return Ok((file, false));
        }
        // Not under the lock: opening may close other files, of this log too.
        let opened = disk.open(&self.path, Open::Read)?;
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*kept {
            return Ok((Arc::clone(file), false));
        }
        *kept = Some(Arc::clone(&opened));
        Ok((opened, true))
    }

    /// The open file, or one that is closed again after a glance: only who reads batches keeps files open.
    fn glance(&self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        self.kept().map_or_else(|| disk.open(&self.path, Open::Read), Ok)
    }

    /// The file, if it is kept open.
    pub(super) fn kept(&self) -> Option<Arc<dyn DiskFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps `file` for readers.
    pub(super) fn keep(&self, file: Option<Arc<dyn DiskFile>>) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// The head; `None` if it is damaged.
    pub(super) fn head(&self, disk: &dyn Disk) -> io::Result<Option<&SegmentHead>> {
        if self.head.get().is_none() {
            let file = self.glance(disk)?;
            let head = SegmentHead::decode(&read_exactly(&*file, 0, HEAD_LEN)?)
                .filter(|head| head.base == self.base);
            let _ = self.head.set(head);
        }
        Ok(self.head.get().and_then(Option::as_ref))
    }

    /// The length of the file, once it is closed.
    pub(super) fn closed_len(&self, disk: &dyn Disk) -> io::Result<u64> {
        if let Some(&len) = self.len.get() {
            return Ok(len);
        }
        let len = match self.kept() {
            Some(file) => file.size()?,
            None => disk.size(&self.path)?,
        };
        Ok(*self.len.get_or_init(|| len))
    }

    /// It is closed now, with so many bytes.
    pub(super) fn set_len(&self, len: u64) {
        let _ = self.len.set(len);
    }
}

/// A segment that could not be made.
#[derive(Debug)]
pub(super) struct NotMade {
    pub(super) source: io::Error,
    /// Its file may be there, and be found again: no batch may follow in the segment before it.
    pub(super) begun: bool,
    /// It is a shortage, and all of it may be tried again with a new file.
    pub(super) may_retry: bool,
}

/// Makes the file of a new segment, head and directory entry durable. One that was begun earlier and failed is
/// replaced by a new file, if `begun_before` says that there may be one: what a failed sync has left is not believed.
pub(super) fn create(
    disk: &dyn Disk,
    dir: &str,
    head: &NewHead<'_>,
    begun_before: bool,
) -> Result<(Segment, Arc<dyn DiskFile>, u64), NotMade> {
    let segment = Segment::new(dir, head.base);
    let bytes = head.encode();
    let not_made = |begun| {
        move |source: io::Error| NotMade {
            may_retry: is_shortage(&source),
            begun: begun || begun_before,
            source,
        }
    };
    if begun_before {
        match disk.remove_file(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_made(true)(error)),
            _ => {}
        }
    }
    let file = disk.open(&segment.path, Open::CreateNew).map_err(not_made(false))?;
    let written = file.write_all_at(&[IoSlice::new(&bytes)], 0).and_then(|()| file.sync());
    if let Err(error) = written {
        let _ = disk.remove_file(&segment.path); // its room may be what others lack
        return Err(not_made(true)(error));
    }
    // Who fails to sync a directory learns nothing by trying again; who could not open it has not tried.
    disk.sync_dir(dir).map_err(|source| NotMade {
        may_retry: is_short_of_files(&source),
        begun: true,
        source,
    })?;
    let _ = segment.head.set(SegmentHead::decode(&bytes));
    let data_start = bytes.len() as u64;
    segment.index().start_at(data_start);
    segment.keep(Some(Arc::clone(&file)));
    Ok((segment, file, data_start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Fault, SimDisk};
    use netchan_proto::ProducerId;

    fn encoded() -> Vec<u8> {
        let mut epochs = Epochs::default();
        epochs.note(Epoch(1), Offset(0));
        epochs.note(Epoch(4), Offset(9));
        let mut producers = Producers::default();
        producers.note(ProducerId([1; 16]), 5, Offset(3));
        NewHead {
            log: LogId([7; 16]),
            name: &ChannelName::new("a").unwrap(),
            base: Offset(12),
            previous_crc: 99,
            previous_time: Timestamp(1000),
            created: Timestamp(1001),
            epochs: &epochs,
            producers: &producers,
            digest: Digest::from_number(5),
            lost_to: Some(Offset(20)),
        }
        .encode()
    }

    // NC-DSK-020
    #[test]
    fn every_flipped_bit_of_a_head_is_found() {
        let good = encoded();
        assert_eq!(good.len(), 2 * HEAD_LEN);
        let head = SegmentHead::decode(&good).unwrap();
        assert_eq!((head.base, head.epochs.last(), head.data_start), (Offset(12), Epoch(4), 8192));
        assert_eq!((head.digest, head.lost_to), (Digest::from_number(5), Some(Offset(20))));
        for bit in 0..HEAD_LEN * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::decode(&bad), None, "bit {bit}");
        }
    }

    /// What no checksum can vouch for.
    // NC-DSK-020
    #[test]
    fn a_head_whose_numbers_are_beyond_a_limit_or_contradict_each_other_is_none() {
        let with = |pairs: u32, producers: u32, data_start: u32| {
            let mut bytes = encoded()[..HEAD_LEN].to_vec();
            bytes[8..12].copy_from_slice(&data_start.to_le_bytes());
            bytes[56..60].copy_from_slice(&pairs.to_le_bytes());
            bytes[60..64].copy_from_slice(&producers.to_le_bytes());
            let crc = crc32c(&bytes[..CRC_AT]);
            bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            SegmentHead::decode(&bytes).is_some()
        };
        let room = |producers: u32| 4096 + (producers * 32).next_multiple_of(4096);
        assert!(with(2, 1, 8192) && with(2, 0, 4096) && with(256, 1, 8192) && with(2, 4096, room(4096)));
        assert!(!with(257, 1, 8192), "more epochs than are kept");
        assert!(!with(2, 4097, room(4097)), "more producers than are kept");
        assert!(
            !with(2, 1, 4096) && !with(2, 1, 8193) && !with(2, 0, 8192),
            "the first batch stands elsewhere"
        );
    }

    /// What was done of a segment that could not be made, and what may be tried again, whichever operation fails.
    #[test]
    fn a_segment_that_could_not_be_made_says_whether_its_file_may_be_there() {
        let (epochs, producers) = (Epochs::default(), Producers::default());
        let name = ChannelName::new("a").unwrap();
        let head = NewHead {
            log: LogId([7; 16]),
            name: &name,
            base: Offset(12),
            previous_crc: 99,
            previous_time: Timestamp(1000),
            created: Timestamp(1001),
            epochs: &epochs,
            producers: &producers,
            digest: None,
            lost_to: None,
        };
        let path = Segment::path_of("dir", head.base);
        let make = |disk: &SimDisk, begun_before| {
            let made = create(disk, "dir", &head, begun_before).map(drop);
            made.map_err(|not_made| (not_made.begun, not_made.may_retry))
        };
        let there = |begun: bool| {
            let disk = SimDisk::new(1);
            disk.create_dir("dir").unwrap();
            if begun {
                let file = disk.open(&path, Open::CreateNew).unwrap();
                file.write_all_at(&[IoSlice::new(b"half a head")], 0).unwrap();
            }
            disk
        };
        // A file that is there is in the way, and is taken away only where it is known to be what was begun.
        assert_eq!(make(&there(true), false), Err((false, false)));
        for is_there in [false, true] {
            let disk = there(is_there);
            assert_eq!(make(&disk, true), Ok(()));
            assert_eq!(disk.contents(&path).unwrap(), head.encode());
        }
        assert_eq!(make(&there(false), false), Ok(()));
        // What fails, the number of the operation, and whether more room helps.
        let steps = [("remove", 0, true), ("create", 1, true), ("write", 2, true), ("sync", 3, true)];
        for (step, at, helps) in [&steps[..], &[("sync the directory", 4, false)]].concat() {
            for (fault, is_short) in [(Fault::Io, false), (Fault::NoSpace, true)] {
                for begun_before in [false, true] {
                    if at == 0 && !begun_before {
                        continue; // nothing is removed
                    }
                    let disk = there(begun_before);
                    disk.fail_at(at + u64::from(begun_before), fault);
                    let begun = begun_before || at > 1;
                    let expected = Err((begun, is_short && helps));
                    assert_eq!(make(&disk, begun_before), expected, "{step}, {fault:?}, {begun_before}");
                    // Tried again, it is made, as far as that is tried at all.
                    assert_eq!(make(&disk, begun), Ok(()), "after {step}, {fault:?}, {begun_before}");
                    assert_eq!(disk.contents(&path).unwrap(), head.encode());
                }
            }
        }
    }

    // NC-DSK-004
    #[test]
    fn a_segment_is_named_by_its_first_offset() {
        assert_eq!(file_name(Offset(12)), "00000000000000000012.log");
        assert_eq!(base_of(&file_name(Offset(u64::MAX))), Some(Offset(u64::MAX)));
        for other in ["12.log", "00000000000000000012.bad", "+0000000000000000012.log", "meta"] {
            assert_eq!(base_of(other), None, "{other}");
        }
    }
}
