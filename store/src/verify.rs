//! Reads a data directory and says what of it holds.
//!
//! Takes no lock, opens everything read-only and changes nothing, so it may run beside the node that writes there.
//! Every checksum and every order that spec/08-disk.md promises is held against the bytes: heads, batches (header
//! and body), records, offsets, times, epochs, the chain of header CRCs, the small files. What stands after the
//! last batch that holds in a newest segment, and was never told durable, is no damage: it is being written just
//! now, or is a torn tail that the next opening cuts. Memory is bounded by the largest batch, whatever is read.
//!
//! Neighbours: [`crate::log`] has the formats; what it repairs or passes over when it opens a log is only told here.

use std::collections::BTreeMap;
use std::io;

use netchan_proto::batch::{Batch, BatchError, BatchHeader, BatchKind, HEADER_LEN, header_crc};
use netchan_proto::compression::CompressionError;
use netchan_proto::limits::MAX_BATCH;
use netchan_proto::{ChannelName, Digest, Epoch, LogId, Offset, Timestamp};

use crate::StateLog;
use crate::disk::{Disk, DiskFile, Open};
use crate::log::{Closed, HEAD_LEN, SegmentHead, Window, base_of, identity_of_segment, read_exactly, search};
use crate::meta::{self, Meta, join};
use crate::store::DURABLE_KEY;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Problems of one log that are told one by one.
const MAX_PROBLEMS: usize = 100;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file, within the data directory.
    pub path: String,
    /// Where in it.
    pub byte: u64,
    /// The offsets that are lost by it: the first, and the one after the last. `None` if no record is.
    pub offsets: Option<(Offset, Offset)>,
    /// What is wrong.
    pub what: String,
}

/// What was found in one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The channel; `None` for the state log, and where nothing says it.
    pub name: Option<ChannelName>,
    /// Its directory, within the data directory.
    pub dir: String,
    /// Segments that were read.
    pub segments: u64,
    /// Batches that hold.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The first offset, and the one after the last that holds.
    pub offsets: Option<(Offset, Offset)>,
    /// Records that are lost, and that a repair has declared so: the first, and the one after the last.
    pub declared: Vec<(Offset, Offset)>,
    /// Whether it ends with a seal.
    pub sealed: bool,
    /// What the sealed log comes to, by its seal.
    pub digest: Option<Digest>,
    /// Bytes after the end that were never told durable: still being written, or a torn tail.
    pub unfinished: u64,
    /// What is wrong, at most a hundred of it.
    pub problems: Vec<Problem>,
    /// Problems that are not told one by one.
    pub more_problems: u64,
}

impl Verified {
    /// Whether all of it holds.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn wrong(&mut self, path: &str, byte: u64, offsets: Option<(Offset, Offset)>, what: impl Into<String>) {
        if self.problems.len() == MAX_PROBLEMS {
            self.more_problems += 1;
            return;
        }
        self.problems.push(Problem { path: path.to_owned(), byte, offsets, what: what.into() });
    }
}

/// How far it is. Told about every MiB.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct VerifyProgress<'a> {
    /// What is read: a channel's name, or its directory.
    pub log: &'a str,
    /// Bytes read of all that is to be read.
    pub read: u64,
    /// Bytes that were there to be read when it began.
    pub total: u64,
}

/// Reads the logs of a data directory and checks everything: all of them and the state log, or those named. `each` is
/// given what was found in one log, `progress` hears how far it is.
///
/// ```
/// use netchan_store::disk::SimDisk;
/// use netchan_store::{Store, StoreOptions, verify};
/// # use std::sync::Arc;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let disk = SimDisk::new(1);
/// let store = Store::open(Arc::new(disk.clone()), StoreOptions::default())?;
/// verify(&disk, &[], |log| assert!(log.holds()), |_| ())?;
/// # store.close();
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What the disk says where it cannot be read at all, and [`io::ErrorKind::NotFound`] for a name that no channel has.
pub fn verify(
    disk: &dyn Disk,
    names: &[ChannelName],
    mut each: impl FnMut(Verified),
    mut progress: impl FnMut(VerifyProgress<'_>),
) -> io::Result<()> {
    let mut dirs = BTreeMap::new();
    let mut broken = Vec::new();
    for entry in disk.list("channels")? {
        let Ok(id) = entry.parse::<LogId>() else { continue };
        let dir = join("channels", &entry);
        let meta = small(disk, &join(&dir, "meta"), Meta::decode)?.filter(|meta| meta.id == id);
        match meta {
            Some(meta) => {
                dirs.insert(meta.name, dir);
            }
            None if is_there(disk, &dir) => match name_of(disk, &dir, id)? {
                // Its segments know it too.
                Some(name) if !dirs.contains_key(&name) => {
                    dirs.insert(name, dir);
                }
                _ => broken.push(dir),
            },
            None => {} // deleted meanwhile
        }
    }
    let marks = durable_marks(disk)?;
    let mut wanted: Vec<(Option<ChannelName>, String)> = Vec::new();
    for name in names {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no channel {name}"));
        wanted.push((Some(name.clone()), dirs.get(name).cloned().ok_or_else(missing)?));
    }
    if names.is_empty() {
        wanted.extend(dirs.into_iter().map(|(name, dir)| (Some(name), dir)));
        wanted.extend(broken.into_iter().map(|dir| (None, dir)));
        wanted.push((None, "state".to_owned()));
    }
    let mut total = 0;
    for (_, dir) in &wanted {
        total += segments(disk, dir)?.iter().map(|(path, _)| size(disk, path)).sum::<u64>();
    }
    let mut read = 0;
    if names.is_empty() && small(disk, "node", meta::decode_node)?.is_none() && is_file(disk, "node") {
        let mut node = Verified { dir: String::new(), ..Verified::default() };
        node.wrong("node", 0, None, "its checksum does not hold, and no node opens the directory; removing it gives the node a new identity");
        each(node);
    }
    for (name, dir) in wanted {
        let log = name.as_ref().map_or_else(|| dir.clone(), ToString::to_string);
        let mut tell = |bytes| {
            read += bytes;
            progress(VerifyProgress { log: &log, read: read.min(total), total });
        };
        let known = marks.get(&dir).copied().unwrap_or_default();
        if let Some(verified) = verify_log(disk, &dir, name, known, &mut tell)? {
            each(verified);
        }
    }
    Ok(())
}

/// The name of a channel whose meta does not tell it.
fn name_of(disk: &dyn Disk, dir: &str, id: LogId) -> io::Result<Option<ChannelName>> {
    for (path, _) in segments(disk, dir)? {
        let Ok(file) = disk.open(&path, Open::Read) else { continue };
        if let Some((log, name, _)) = identity_of_segment(&*file)?
            && log == id
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What the state log says was durable of the logs when they were closed, by their directories: what is missing below
/// that is no torn tail. Where the state log is damaged it says less, and that is told of the state log itself.
pub(crate) fn durable_marks(disk: &dyn Disk) -> io::Result<BTreeMap<String, Closed>> {
    let mut marks = BTreeMap::new();
    let id = small(disk, "state/meta", Meta::decode)?.map(|meta| meta.id);
    for (path, mut next) in segments(disk, "state")? {
        let Ok(file) = disk.open(&path, Open::Read) else { continue };
        let head = SegmentHead::decode(&read_exactly(&*file, 0, HEAD_LEN)?);
        // A meta that is damaged is made again from a head.
        let Some(id) = id.or(head.as_ref().map(|head| head.log)) else { continue };
        let mut window = Window::new(&*file, CHUNK);
        let mut pos = head.map_or(0, |head| head.data_start);
        loop {
            let At::Batch(header, _, batch) = batch_at(&mut window, &id, pos, next)? else {
                // What stands after damage is read too.
                let fits = |header: &BatchHeader| {
                    header.base_offset >= next && (pos == 0 || header.base_offset > next)
                };
                match search(&*file, &id.0, pos + 8, u64::MAX, fits)? {
                    Some((place, _)) => (pos, next) = (place.pos, place.offset),
                    None => break,
                }
                continue;
            };
            for record in batch.records().map_while(Result::ok) {
                let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
                let Some(log) = key.and_then(|key| key.strip_prefix(DURABLE_KEY)) else { continue };
                let dir = join("channels", log);
                match StateLog::value(&record.payload).and_then(Closed::decode) {
                    Some(closed) => marks.insert(dir, closed),
                    None => marks.remove(&dir),
                };
            }
            pos += header.stored_len() as u64;
            next = header.next_offset();
        }
    }
    Ok(marks)
}

fn is_there(disk: &dyn Disk, dir: &str) -> bool {
    disk.list(dir).is_ok_and(|names| !names.is_empty())
}

fn is_file(disk: &dyn Disk, path: &str) -> bool {
    disk.open(path, Open::Read).is_ok()
}

fn size(disk: &dyn Disk, path: &str) -> u64 {
    disk.size(path).unwrap_or(0)
}

fn small<T>(disk: &dyn Disk, path: &str, decode: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    match meta::read_small(disk, path) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| decode(&bytes))),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn segments(disk: &dyn Disk, dir: &str) -> io::Result<Vec<(String, Offset)>> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((join(dir, name), base_of(name)?))).collect();
    found.sort_unstable_by_key(|(_, base)| *base);
    Ok(found)
}

/// What must follow.
#[derive(Default)]
struct Chain {
    id: Option<LogId>,
    next: Option<Offset>,
    /// `None` after damage: what is next need not follow it.
    crc: Option<u32>,
    time: Option<Timestamp>,
    epoch: Epoch,
    durable: Offset,
    /// What all batches come to, as far as that is known.
    digest: Option<Digest>,
}

/// `None` if the log was deleted meanwhile.
fn verify_log(
    disk: &dyn Disk,
    dir: &str,
    name: Option<ChannelName>,
    closed: Closed,
    tell: &mut dyn FnMut(u64),
) -> io::Result<Option<Verified>> {
    let mut verified = Verified { name, dir: dir.to_owned(), ..Verified::default() };
    let path = join(dir, "meta");
    let meta = small(disk, &path, Meta::decode)?;
    if meta.is_none() {
        let what = "it is missing or its checksum does not hold; a node makes it again, with durability sync and no \
                    retention";
        verified.wrong(&path, 0, None, what);
    }
    let start = meta.as_ref().map(|meta| meta.start);
    let mut chain = Chain { id: meta.map(|meta| meta.id), durable: closed.durable, ..Chain::default() };
    let all = segments(disk, dir)?;
    if all.is_empty() && closed.durable > Offset::ZERO && is_there(disk, dir) {
        verified.wrong(dir, 0, Some((Offset::ZERO, closed.durable)), "there is no segment");
    }
    for (index, (path, base)) in all.iter().enumerate() {
        let file = match disk.open(path, Open::Read) {
            // Trimmed, or deleted with its channel, since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                chain = Chain { id: chain.id, durable: chain.durable, ..Chain::default() };
                continue;
            }
            file => file?,
        };
        verified.segments += 1;
        verify_segment(
            &*file,
            path,
            *base,
            all.get(index + 1).map(|(_, base)| *base),
            &mut chain,
            &mut verified,
            tell,
        )?;
    }
    if closed.is_sealed && !verified.sealed && is_there(disk, dir) {
        let newest = all.last().map_or(dir, |(path, _)| path);
        verified.wrong(newest, 0, None, "the channel was sealed, and its seal is damaged or missing");
    }
    if let (Some((first, next)), Some(start)) = (verified.offsets, start) {
        verified.offsets = Some((first.max(start).min(next), next));
    }
    Ok((is_there(disk, dir) || !all.is_empty()).then_some(verified))
}

fn verify_segment(
    file: &dyn DiskFile,
    path: &str,
    base: Offset,
    end: Option<Offset>,
    chain: &mut Chain,
    verified: &mut Verified,
    tell: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let read_head = || Ok::<_, io::Error>(SegmentHead::decode(&read_exactly(file, 0, HEAD_LEN)?));
    let mut head = read_head()?;
    if head.is_none() && end.is_none() && chain.durable <= base {
        if not_zero(file, 0)? == 0 {
            // It is being begun, or was when the power went: nobody was told of anything in it.
            return Ok(());
        }
        head = read_head()?; // it may have been written since
    }
    let mut pos = HEAD_LEN as u64;
    match &head {
        None => {
            verified.wrong(path, 0, None, "the segment's head does not hold");
            if let Some((place, _)) = first_batch(file, chain, base)? {
                pos = place;
            }
            (chain.crc, chain.digest) = (None, None);
        }
        Some(head) => {
            if head.base != base {
                verified.wrong(path, 32, None, "the head is of another segment than the file's name says");
            }
            if chain.id.is_some_and(|id| id != head.log) {
                verified.wrong(path, 16, None, "the segment belongs to another log");
            }
            if head.producers(file)?.is_none() {
                verified.wrong(path, HEAD_LEN as u64, None, "the table of producers does not hold");
            }
            if chain.crc.is_some_and(|crc| crc != head.previous_crc) {
                verified.wrong(path, 12, None, "the segment does not follow the one before it");
            }
            if let (Some(read), Some(told)) = (chain.digest, head.digest)
                && read != told
            {
                let what =
                    format!("what stands before the segment comes to {read}, and its head says {told}");
                verified.wrong(path, 4072, None, what);
            }
            chain.digest = head.digest;
            chain.id = chain.id.or(Some(head.log));
            chain.crc = Some(head.previous_crc);
            pos = head.data_start;
        }
    }
    if let Some(from) = chain.next.filter(|from| *from != base) {
        let (lost, what) = match from < base {
            true => (Some((from, base)), "offsets are missing before this segment"),
            false => (None, "the segment begins within a batch of the one before it"),
        };
        verified.wrong(path, 0, lost, what);
    }
    if let Some(to) = head.as_ref().filter(|head| head.base == base).and_then(|head| head.lost_to) {
        tell(file.size()?);
        return declared(file, path, (base, to), pos, chain, verified);
    }
    let Some(id) = chain.id else { return Ok(()) };
    let first = *verified.offsets.get_or_insert((base, base));
    verified.offsets = Some((first.0, base));
    let mut next = base;
    let mut window = Window::new(file, CHUNK);
    let mut told = 0;
    loop {
        if pos - told >= CHUNK as u64 {
            tell(pos - told);
            told = pos;
        }
        if end == Some(next) {
            // Zeros are room that was reserved, and that a power cut has brought back.
            if not_zero(file, pos)? > 0 {
                let what = "something stands where the next segment has taken over";
                verified.wrong(path, pos, None, what);
            }
            break;
        }
        let mut found = batch_at(&mut window, &id, pos, next)?;
        if !matches!(found, At::Batch(..)) {
            // It may have been written since the window was read.
            window = Window::new(file, CHUNK);
            found = batch_at(&mut window, &id, pos, next)?;
        }
        match found {
            At::Batch(header, crc, batch) => {
                follow(&header, crc, &batch, path, pos, chain, verified);
                verified.batches += 1;
                verified.records += u64::from(header.record_count);
                verified.bytes += header.stored_len() as u64;
                verified.sealed |= header.kind == BatchKind::Seal;
                pos += header.stored_len() as u64;
                next = header.next_offset();
                verified.offsets = Some((first.0, next));
            }
            At::End if end.map_or(chain.durable <= next, |end| end < next) => break,
            found => {
                // The next batch that holds, and what batches after it say was durable.
                let (body, what) = match &found {
                    At::Body(header) => {
                        (header.stored_len() as u64, "a batch's body does not match its checksum")
                    }
                    At::End if end.is_none() => (8, "the file ends before what was told durable does"),
                    At::End => (8, "the segment ends before the next one begins"),
                    _ => (8, "there is no batch that holds where one should be"),
                };
                let fits = |header: &BatchHeader| {
                    header.base_offset > next && end.is_none_or(|end| header.base_offset < end)
                };
                let after = search(file, &id.0, pos + body, u64::MAX, fits)?;
                // It may have been written while that was searched, and what is durable with it.
                window = Window::new(file, CHUNK);
                if after.is_some() && matches!(batch_at(&mut window, &id, pos, next)?, At::Batch(..)) {
                    continue;
                }
                let mut last = after;
                while let Some((place, header)) = last.filter(|_| end.is_none() && chain.durable <= next) {
                    chain.durable = chain.durable.max(header.durable_offset);
                    last = search(file, &id.0, place.pos + header.stored_len() as u64, u64::MAX, fits)?;
                }
                if end.is_none() && chain.durable <= next {
                    // Nobody was told that it is there.
                    verified.unfinished += not_zero(file, pos)?;
                    break;
                }
                let to = after.map(|(place, _)| place.offset).or(end).unwrap_or(chain.durable).max(next);
                verified.wrong(path, pos, (next < to).then_some((next, to)), what);
                (chain.crc, chain.digest) = (None, None);
                next = to;
                match after {
                    Some((place, _)) => pos = place.pos,
                    None => break,
                }
            }
        }
    }
    chain.next = Some(next);
    tell(file.size()?.saturating_sub(told));
    Ok(())
}

/// A segment that stands for records that are lost.
fn declared(
    file: &dyn DiskFile,
    path: &str,
    (from, to): (Offset, Offset),
    pos: u64,
    chain: &mut Chain,
    verified: &mut Verified,
) -> io::Result<()> {
    if not_zero(file, pos)? > 0 {
        verified.wrong(
            path,
            pos,
            None,
            "the segment stands for records that are lost, and has something in it",
        );
    }
    match verified.declared.last_mut() {
        Some((_, end)) if *end == from => *end = to,
        _ => verified.declared.push((from, to)),
    }
    let (first, _) = *verified.offsets.get_or_insert((from, from));
    verified.offsets = Some((first, to));
    (chain.crc, chain.digest, chain.next) = (None, None, Some(to));
    Ok(())
}

/// Holds a batch to what came before it.
fn follow(
    header: &BatchHeader,
    crc: u32,
    batch: &Batch,
    path: &str,
    pos: u64,
    chain: &mut Chain,
    verified: &mut Verified,
) {
    if chain.crc.is_some_and(|before| before != header.previous_crc) {
        verified.wrong(path, pos, None, "the batch does not follow the one before it");
    }
    if verified.sealed {
        verified.wrong(path, pos, None, "the batch stands after the seal");
    }
    if header.epoch < chain.epoch {
        verified.wrong(path, pos, None, "the batch is of an older epoch than the one before it");
    }
    if header.kind == BatchKind::Data {
        let mut time = chain.time;
        for record in batch.records() {
            let record = match record {
                Ok(record) => record,
                // Its checksums hold; its records are for who can read them to judge.
                Err(BatchError::Compression(CompressionError::Without(_))) => break,
                Err(error) => {
                    let lost = Some((header.base_offset, header.next_offset()));
                    verified.wrong(path, pos, lost, error.to_string());
                    break;
                }
            };
            if time.is_some_and(|time| record.timestamp <= time) {
                verified.wrong(
                    path,
                    pos,
                    None,
                    format!("the time of offset {} is not later than the one before", record.offset),
                );
                break;
            }
            time = Some(record.timestamp);
        }
    }
    let stored = batch.stored();
    if header.kind == BatchKind::Seal {
        verified.digest = Digest::of_seal(header, stored);
        if let (Some(read), Some(told)) = (chain.digest, verified.digest)
            && read != told
        {
            let what = format!("the log comes to {read}, and its seal says {told}");
            verified.wrong(path, pos, None, what);
        }
    } else {
        chain.digest = chain.digest.map(|digest| digest.with(header, stored));
    }
    chain.time = chain.time.max(Some(header.last_time()));
    chain.crc = Some(crc);
    chain.epoch = chain.epoch.max(header.epoch);
    chain.durable = chain.durable.max(header.durable_offset);
}

enum At {
    Batch(BatchHeader, u32, Batch),
    /// Its header alone holds.
    Body(BatchHeader),
    Nothing,
    /// The end of the file.
    End,
}

fn batch_at(window: &mut Window<'_>, id: &LogId, pos: u64, next: Offset) -> io::Result<At> {
    let bytes = window.get(pos, HEADER_LEN)?;
    if bytes.is_empty() {
        return Ok(At::End);
    }
    let Some(chunk) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(At::Nothing) };
    let crc = header_crc(chunk);
    let header = match BatchHeader::decode(chunk, &id.0) {
        Ok(header) if header.base_offset == next && !header.sparse && header.stored_len() <= MAX_BATCH => {
            header
        }
        _ => return Ok(At::Nothing),
    };
    let stored = window.get(pos, header.stored_len())?;
    if stored.len() < header.stored_len() {
        return Ok(At::Body(header));
    }
    Ok(match Batch::verify_body(header, bytes::Bytes::copy_from_slice(stored)) {
        Ok(batch) => At::Batch(header, crc, batch),
        Err(_) => At::Body(header),
    })
}

/// The place of the segment's first batch, where its head doesn't tell.
fn first_batch(file: &dyn DiskFile, chain: &Chain, base: Offset) -> io::Result<Option<(u64, Offset)>> {
    let Some(id) = chain.id else { return Ok(None) };
    let found = search(file, &id.0, 0, u64::MAX, |header| header.base_offset >= base)?;
    Ok(found.map(|(place, _)| (place.pos, place.offset)))
}

/// Bytes from `pos` to the last that is not zero.
fn not_zero(file: &dyn DiskFile, pos: u64) -> io::Result<u64> {
    let (mut at, mut end) = (pos, pos);
    loop {
        let bytes = read_exactly(file, at, CHUNK)?;
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            end = at + last as u64 + 1;
        }
        if bytes.len() < CHUNK {
            return Ok(end - pos);
        }
        at += CHUNK as u64;
    }
}
