//! How a channel is kept, read from its files beside whoever holds the directory.

use std::io;

use netchan_proto::{ChannelName, Content, Digest, LogId, Offset};

use crate::LogOptions;
use crate::disk::Disk;
use crate::meta::{Meta, join, read_small};

/// What a channel's meta says of how it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The log.
    pub log: LogId,
    /// How it is kept.
    pub options: LogOptions,
    /// Records before this were truncated.
    pub start: Offset,
    /// What the sealed channel comes to: a receiver that has read all of it from offset 0 comes to the same. `None` of one that
    /// is not sealed, or where that is not known.
    pub digest: Option<Digest>,
    /// What its payloads are, if a sender has said so.
    pub content: Option<Content>,
}

/// How the channel `name` is kept, by its meta and its seal; `None` if no meta that holds is of it. Takes no lock and changes nothing.
///
/// # Errors
/// What the disk says.
pub fn kept(disk: &dyn Disk, name: &ChannelName) -> io::Result<Option<Kept>> {
    for entry in disk.list("channels")? {
        let Ok(id) = entry.parse::<LogId>() else { continue };
        let dir = join("channels", &entry);
        let path = join(&dir, "meta");
        let bytes = read_small(disk, &path).map_err(io::Error::other)?;
        if let Some(meta) = bytes.and_then(|bytes| Meta::decode(&bytes))
            && meta.name == *name
            && meta.id == id
        {
            let digest = crate::log::digest(disk, &dir, id)?;
            return Ok(Some(Kept {
                log: id,
                options: meta.options,
                start: meta.start,
                content: meta.content,
                digest,
            }));
        }
    }
    Ok(None)
}
