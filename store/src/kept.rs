//! How a channel is kept, read from its files beside whoever holds the directory.

use std::io;

use netchan_proto::{ChannelName, LogId, Offset};

use crate::LogOptions;
use crate::disk::Disk;
use crate::meta::{Meta, join, read_small};

/// What a channel's meta says of how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The log.
    pub log: LogId,
    /// How it is kept.
    pub options: LogOptions,
    /// Records before this were truncated.
    pub start: Offset,
}

/// How the channel `name` is kept, by its meta; `None` if no meta that holds is of it. Takes no lock and changes nothing.
///
/// # Errors
/// What the disk says.
pub fn kept(disk: &dyn Disk, name: &ChannelName) -> io::Result<Option<Kept>> {
    for entry in disk.list("channels")? {
        let Ok(id) = entry.parse::<LogId>() else { continue };
        let path = join(&join("channels", &entry), "meta");
        let bytes = read_small(disk, &path).map_err(io::Error::other)?;
        if let Some(meta) = bytes.and_then(|bytes| Meta::decode(&bytes))
            && meta.name == *name
            && meta.id == id
        {
            return Ok(Some(Kept { log: id, options: meta.options, start: meta.start }));
        }
    }
    Ok(None)
}
