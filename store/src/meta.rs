//! The small files that say who is who: a channel's `meta`, and the node's `node`.
//!
//! Both are written whole under a temporary name, synced, renamed, and the directory synced.

use std::io::IoSlice;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use netchan_proto::crc::crc32c;
use netchan_proto::limits::MAX_CONTENT;
use netchan_proto::{
    ChannelName, Compression, Content, Durability, LogId, NodeId, Offset, Partitions, Timestamp,
};

use crate::disk::{Disk, Open};
use crate::{LogOptions, Retention, StoreError, WhenFull};

const META_MAGIC: [u8; 8] = *b"NCMETA03";
/// The versions before it, which are read still and never written, with their bytes before the name.
const OLD: [([u8; 8], usize); 2] = [(*b"NCMETA02", 120), (*b"NCMETA01", 72)];
const NODE_MAGIC: [u8; 8] = *b"NCNODE01";
/// Bytes of a meta file before the name.
const META_FIXED: usize = 128;
/// Bytes of a meta file at most.
const META_MAX: usize = META_FIXED + 255 + MAX_CONTENT + 4;
/// "No limit" in a meta file.
const NONE: u64 = u64::MAX;

/// What a channel's directory says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) name: ChannelName,
    pub(crate) id: LogId,
    pub(crate) created: Timestamp,
    pub(crate) options: LogOptions,
    /// Records before this were truncated, whether or not their bytes are there.
    pub(crate) start: Offset,
    /// What its payloads are, once a sender has said so.
    pub(crate) content: Option<Content>,
}

impl Meta {
    /// Made again from what the head of a segment says: what else there was is lost.
    pub(crate) fn from_head(name: ChannelName, id: LogId, created: Timestamp) -> Meta {
        let (options, start, content) = (LogOptions::default(), Offset::ZERO, None);
        Meta { name, id, created, options, start, content }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NONE - 1);
        let retention = self.options.retention;
        let name = self.name.as_str().as_bytes();
        let content = self.content.as_ref().map_or("", Content::as_str).as_bytes();
        let mut bytes = Vec::with_capacity(META_MAX);
        bytes.extend_from_slice(&META_MAGIC);
        bytes.extend_from_slice(&[self.options.durability.code(), u8::try_from(name.len()).unwrap_or(0)]);
        bytes.extend_from_slice(&[retention.when_full.code(), u8::from(self.options.unsealable)]);
        bytes.extend_from_slice(&[u8::try_from(content.len()).unwrap_or(0), self.options.compression.code()]);
        bytes.extend_from_slice(&self.options.partitions.map_or(0, NonZeroU16::get).to_le_bytes());
        bytes.extend_from_slice(&self.id.0);
        let none = |limit: Option<u64>| limit.unwrap_or(NONE);
        for number in [
            self.created.0.cast_unsigned(),
            nanos(self.options.interval),
            self.options.segment_bytes,
            retention.max_age.map_or(NONE, nanos),
            none(retention.max_bytes),
            none(retention.max_records),
            none(retention.min_free),
            none(retention.keep_bytes),
            none(retention.keep_records),
            none(retention.ceiling),
            self.start.0,
            retention.hold_cursors.unwrap_or(0),
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(content);
        seal(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Meta> {
        let known = std::iter::once((META_MAGIC, META_FIXED)).chain(OLD);
        let (bytes, fixed) =
            known.into_iter().find_map(|(magic, fixed)| Some((unseal(bytes, magic)?, fixed)))?;
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let limit = |at: usize| number(at).map(|value| (value != NONE).then_some(value));
        let (name, content) = bytes.get(fixed..)?.split_at_checked(bytes[9].into())?;
        let partitions = NonZeroU16::new(u16::from_le_bytes(bytes.get(14..16)?.try_into().ok()?));
        if usize::from(bytes[12]) != content.len() || (fixed < META_FIXED && partitions.is_some()) {
            return None;
        }
        let content = std::str::from_utf8(content).ok()?;
        let name = std::str::from_utf8(name).ok()?;
        let mut meta = Meta {
            name: ChannelName::new(name).ok()?,
            id: LogId(bytes.get(16..32)?.try_into().ok()?),
            created: Timestamp(number(32)?.cast_signed()),
            options: LogOptions {
                durability: Durability::from_code(bytes[8])?,
                interval: Duration::from_nanos(number(40)?),
                segment_bytes: number(48)?,
                retention: Retention {
                    max_age: limit(56)?.map(Duration::from_nanos),
                    max_bytes: limit(64)?,
                    ..Retention::default()
                },
                unsealable: false,
                compression: Compression::from_code(bytes[13])?,
                partitions,
            },
            start: Offset::ZERO,
            content: if content.is_empty() { None } else { Some(Content::new(content).ok()?) },
        };
        if fixed < 120 {
            return (bytes[10..14] == [0; 4]).then_some(meta);
        }
        let retention = &mut meta.options.retention;
        retention.max_records = limit(72)?;
        retention.min_free = limit(80)?;
        retention.keep_bytes = limit(88)?;
        retention.keep_records = limit(96)?;
        retention.ceiling = limit(104)?;
        retention.when_full = WhenFull::from_code(bytes[10])?;
        meta.options.unsealable = match bytes[11] {
            0 => false,
            1 => true,
            _ => return None,
        };
        meta.start = Offset(number(112)?);
        if fixed == META_FIXED {
            retention.hold_cursors = Some(number(120)?).filter(|bytes| *bytes > 0);
        }
        Some(meta)
    }
}

/// How many partitions the channel has of which this is one, as its options say.
pub(crate) fn partition_count(options: &LogOptions) -> Option<Partitions> {
    options.partitions.and_then(|count| Partitions::new(count.get()).ok())
}

pub(crate) fn encode_node(id: NodeId) -> Vec<u8> {
    seal([&NODE_MAGIC[..], &id.0].concat())
}

pub(crate) fn decode_node(bytes: &[u8]) -> Option<NodeId> {
    Some(NodeId(unseal(bytes, NODE_MAGIC)?.get(8..)?.try_into().ok()?))
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn unseal(bytes: &[u8], magic: [u8; 8]) -> Option<&[u8]> {
    let (bytes, crc) = bytes.split_last_chunk::<4>()?;
    (bytes.len() >= 16 && bytes.starts_with(&magic) && crc32c(bytes) == u32::from_le_bytes(*crc))
        .then_some(bytes)
}

/// An error of the disk, with what was tried on what.
pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a str,
) -> impl FnOnce(std::io::Error) -> StoreError + use<'a> {
    move |source| StoreError::Io { action, path: path.to_owned(), source: Arc::new(source) }
}

/// Reads a small file; `None` if there is none.
pub(crate) fn read_small(disk: &dyn Disk, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match disk.open(path, Open::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("opening", path))?,
    };
    let mut bytes = Vec::with_capacity(META_MAX + 1);
    while bytes.len() < bytes.capacity() {
        let at = bytes.len() as u64;
        if file.read_at(&mut bytes, at).map_err(failed("reading", path))? == 0 {
            break;
        }
    }
    Ok(Some(bytes))
}

/// Puts `bytes` in the place of `dir/name`, all or nothing, durable when it returns.
pub(crate) fn replace(disk: &dyn Disk, dir: &str, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let path = join(dir, name);
    let temporary = format!("{path}.tmp");
    match disk.remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("removing", &temporary)(error));
        }
        _ => {}
    }
    let file = disk.open(&temporary, Open::CreateNew).map_err(failed("creating", &temporary))?;
    file.write_all_at(&[IoSlice::new(bytes)], 0).map_err(failed("writing", &temporary))?;
    file.sync().map_err(failed("syncing", &temporary))?;
    disk.rename(&temporary, &path).map_err(failed("renaming", &temporary))?;
    disk.sync_dir(dir).map_err(failed("syncing", dir))
}

/// `dir/name`, or `name` alone in the data directory itself.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            name: ChannelName::new("orders/eu").unwrap(),
            id: LogId([7; 16]),
            created: Timestamp(-5),
            options: LogOptions {
                durability: Durability::Os,
                retention: Retention {
                    max_age: Some(Duration::from_secs(9)),
                    max_records: Some(0),
                    min_free: Some(1),
                    keep_bytes: Some(2),
                    keep_records: Some(3),
                    ceiling: Some(4),
                    hold_cursors: Some(5),
                    when_full: WhenFull::TrimOldest,
                    ..Retention::default()
                },
                unsealable: true,
                compression: Compression::Lz4,
                partitions: NonZeroU16::new(515),
                ..LogOptions::default()
            },
            start: Offset(77),
            content: Some(Content::new("postcard+lz4").unwrap()),
        }
    }

    /// A meta file as the second version wrote it, byte for byte.
    fn old_meta_2() -> Vec<u8> {
        let mut bytes = b"NCMETA02\x02\x09\x02\x01\x0c\x01\0\0".to_vec();
        bytes.extend_from_slice(&[7; 16]);
        let numbers = [u64::MAX - 4, 1_000_000_000, 256 << 20, 9_000_000_000, u64::MAX, 0, 1, 2, 3, 4, 77];
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(b"orders/eupostcard+lz4");
        seal(bytes)
    }

    // NC-DSK-015
    #[test]
    fn a_meta_of_the_second_version_is_read_and_is_of_a_channel_that_is_no_partition_and_holds_nothing() {
        let mut options = LogOptions { partitions: None, ..meta().options };
        options.retention.hold_cursors = None;
        assert_eq!(Meta::decode(&old_meta_2()), Some(Meta { options, ..meta() }));
        let mut bad = old_meta_2();
        bad[15] = 1; // what the third version says there
        let len = bad.len() - 4;
        assert_eq!(Meta::decode(&seal(bad[..len].to_vec())), None);
    }

    /// A meta file as the first version wrote it, byte for byte.
    fn old_meta() -> Vec<u8> {
        let mut bytes = b"NCMETA01\x02\x09\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(&[7; 16]);
        for number in [u64::MAX - 4, 1_000_000_000, 256 << 20, 9_000_000_000, u64::MAX] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(b"orders/eu");
        seal(bytes)
    }

    // NC-DSK-014
    #[test]
    fn a_meta_of_the_first_version_is_read_and_says_nothing_of_what_came_later() {
        let max_age = Some(Duration::from_secs(9));
        let options = LogOptions {
            durability: Durability::Os,
            retention: Retention { max_age, ..Retention::default() },
            ..LogOptions::default()
        };
        assert_eq!(
            Meta::decode(&old_meta()),
            Some(Meta { options, start: Offset::ZERO, content: None, ..meta() })
        );
        let mut bad = old_meta();
        bad[10] = 1; // what the second version says there
        let len = bad.len() - 4;
        assert_eq!(Meta::decode(&seal(bad[..len].to_vec())), None);
    }

    // NC-DSK-010
    #[test]
    fn meta_is_read_as_it_was_written() {
        assert_eq!(Meta::decode(&meta().encode()), Some(meta()));
        let plain = Meta { content: None, ..meta() };
        assert_eq!(Meta::decode(&plain.encode()), Some(plain));
    }

    // NC-DSK-010
    #[test]
    fn a_time_that_is_too_long_to_write_is_not_no_limit_and_fields_that_do_not_fit_are_refused() {
        let mut long = meta();
        long.options.retention.max_age = Some(Duration::MAX);
        let read = Meta::decode(&long.encode()).unwrap().options.retention.max_age;
        assert!(read.is_some_and(|age| age > Duration::from_secs(500 * 365 * 86_400)), "{read:?}");
        let good = meta().encode();
        let with = |at: usize, value: u8| {
            let mut bytes = good[..good.len() - 4].to_vec();
            bytes[at] = value;
            Meta::decode(&seal(bytes))
        };
        assert_eq!(with(12, good[12]), Some(meta()));
        assert_eq!((with(12, good[12] - 1), with(11, 2), with(13, 9)), (None, None, None));
    }

    // NC-DSK-010, NC-DSK-011
    #[test]
    fn every_flipped_bit_and_every_cut_of_a_small_file_is_found() {
        for good in [meta().encode(), old_meta(), old_meta_2(), encode_node(NodeId([3; 16]))] {
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Meta::decode(&bad), None, "bit {bit}");
                assert_eq!(decode_node(&bad), None, "bit {bit}");
            }
            for len in 0..good.len() {
                assert_eq!(Meta::decode(&good[..len]), None);
                assert_eq!(decode_node(&good[..len]), None);
            }
        }
    }
}
