//! The data directory's files and directories, but for what is in a log.

use netchan_proto::{ChannelName, LogId, NodeId, Offset, Timestamp};

use super::Random;
use crate::aside;
use crate::disk::{Disk, Open};
use crate::log::{identity_of_segment, is_segment};
use crate::meta::{self, Meta, failed, join};
use crate::{LogOptions, StoreError};

/// What the name of a directory ends in that is being removed.
const TRASH: &str = ".trash";

/// A channel's directory.
pub(super) fn path(id: LogId) -> String {
    format!("channels/{id}")
}

/// The node's identity, made if there is none.
pub(super) fn node(disk: &dyn Disk, random: &mut Random) -> Result<NodeId, StoreError> {
    if let Some(bytes) = meta::read_small(disk, "node")? {
        return meta::decode_node(&bytes).ok_or_else(|| StoreError::Damaged {
            path: "node".to_owned(),
            what: "its checksum does not hold; removing it gives the node a new identity",
        });
    }
    let node = NodeId(random.identity());
    meta::replace(disk, "", "node", &meta::encode_node(node))?;
    Ok(node)
}

/// The state log's meta, made if there is none.
pub(super) fn state_meta(disk: &dyn Disk, random: &mut Random, now: Timestamp) -> Result<Meta, StoreError> {
    if let Some(meta) = known_meta(disk, "state")? {
        return Ok(meta);
    }
    let damaged = |what| StoreError::Damaged { path: "state".to_owned(), what };
    let meta = Meta {
        name: ChannelName::new("state").map_err(|_| damaged("its name is refused"))?,
        id: LogId(random.identity()),
        created: now,
        options: LogOptions { segment_bytes: 64 << 20, ..LogOptions::default() },
        start: Offset::ZERO,
        content: None,
    };
    meta::replace(disk, "state", "meta", &meta.encode())?;
    Ok(meta)
}

/// What channels there are. Removes what was half made or half removed.
pub(super) fn channels(disk: &dyn Disk) -> Result<Vec<Meta>, StoreError> {
    // Whoever made or deleted a channel may have been killed before it did this.
    disk.sync_dir("channels").map_err(failed("syncing", "channels"))?;
    let mut metas = Vec::new();
    for name in disk.list("channels").map_err(failed("listing", "channels"))? {
        let dir = join("channels", &name);
        if name.ends_with(TRASH) {
            empty_out(disk, &dir)?;
            continue;
        }
        let Ok(id) = name.parse::<LogId>() else { continue };
        match known_meta(disk, &dir)? {
            Some(meta) if meta.id == id => metas.push(meta),
            Some(_) => tracing::error!(dir, "its meta belongs to another channel; left out"),
            None if has_segments(disk, &dir)? => {
                tracing::error!(dir, "a channel without a meta or a head that holds; left out");
            }
            None => remove_unmade(disk, &dir)?,
        }
    }
    metas.sort_by(|a, b| (&a.name, a.created, a.id).cmp(&(&b.name, b.created, b.id)));
    let mut channels: Vec<Meta> = Vec::with_capacity(metas.len());
    for meta in metas {
        match channels.last_mut() {
            Some(older) if older.name == meta.name => {
                if let Some(other) = one_of_two(disk, older, meta)? {
                    let id = other.id;
                    tracing::error!(channel = %other.name, %id, "a second channel of this name; left out");
                }
            }
            _ => channels.push(meta),
        }
    }
    Ok(channels)
}

/// Of two of one name, one was never finished, and nobody was told of it: it has no segment, and goes. Two that both
/// have one cannot be made; should they be there all the same, the older has the name, and the other is given back.
fn one_of_two(disk: &dyn Disk, older: &mut Meta, newer: Meta) -> Result<Option<Meta>, StoreError> {
    let other = match has_segments(disk, &path(older.id))? {
        true => newer,
        false => std::mem::replace(older, newer),
    };
    let dir = path(other.id);
    if has_segments(disk, &dir)? {
        return Ok(Some(other));
    }
    tracing::warn!(channel = %other.name, dir, "removed what was left of a channel that could not be made");
    remove_unmade(disk, &dir).map(|()| None)
}

/// Removes the directory of a channel that was never made, and nothing that is more than that: where there is anything
/// but its meta, somebody may want it.
fn remove_unmade(disk: &dyn Disk, dir: &str) -> Result<(), StoreError> {
    let names = disk.list(dir).map_err(failed("listing", dir))?;
    if names.iter().all(|name| name == "meta" || name == "meta.tmp") {
        return empty_out(disk, dir);
    }
    tracing::error!(dir, ?names, "no channel, and not empty: left out");
    Ok(())
}

/// A channel's meta as it stands on the disk; `None` if it is missing or damaged.
pub(super) fn meta(disk: &dyn Disk, id: LogId) -> Result<Option<Meta>, StoreError> {
    let bytes = meta::read_small(disk, &join(&path(id), "meta"))?;
    Ok(bytes.and_then(|bytes| Meta::decode(&bytes)).filter(|meta| meta.id == id))
}

/// A directory's meta. One that is damaged is made again from the head of a segment, with default options.
fn known_meta(disk: &dyn Disk, dir: &str) -> Result<Option<Meta>, StoreError> {
    let path = join(dir, "meta");
    let found = meta::read_small(disk, &path)?;
    if let Some(meta) = found.as_deref().and_then(Meta::decode) {
        return Ok(Some(meta));
    }
    for name in disk.list(dir).map_err(failed("listing", dir))? {
        if !is_segment(&name) {
            continue;
        }
        let path = join(dir, &name);
        let file = disk.open(&path, Open::Read).map_err(failed("opening", &path))?;
        if let Some((id, name, created)) = identity_of_segment(&*file).map_err(failed("reading", &path))? {
            tracing::error!(channel = %name, dir, "meta is damaged, and made again from a segment's head");
            if found.is_some() {
                aside::set_aside(disk, dir, "meta").map_err(failed("setting aside", &join(dir, "meta")))?;
            }
            let meta = Meta::from_head(name, id, created);
            meta::replace(disk, dir, "meta", &meta.encode())?;
            return Ok(Some(meta));
        }
    }
    Ok(None)
}

fn has_segments(disk: &dyn Disk, dir: &str) -> Result<bool, StoreError> {
    Ok(disk.list(dir).map_err(failed("listing", dir))?.iter().any(|name| is_segment(name)))
}

/// The bytes of a channel's segments; of what cannot be read, none.
pub(super) fn bytes(disk: &dyn Disk, id: LogId) -> u64 {
    let dir = path(id);
    let names = disk.list(&dir).unwrap_or_default();
    let sizes = names.iter().filter(|name| is_segment(name));
    let sizes = sizes.map(|name| disk.size(&join(&dir, name)).unwrap_or(0));
    sizes.sum()
}

/// Makes a channel's directory; the channel exists when this returns.
pub(super) fn make(disk: &dyn Disk, meta: &Meta) -> Result<(), StoreError> {
    let dir = path(meta.id);
    disk.create_dir(&dir).map_err(failed("making", &dir))?;
    meta::replace(disk, &dir, "meta", &meta.encode())?;
    disk.sync_dir("channels").map_err(failed("syncing", "channels"))
}

/// Removes what [`make`] has left where it failed, as far as that goes: it has no segment, by which the next open knows
/// it. It opens no file, for there may be none to have.
pub(super) fn unmake(disk: &dyn Disk, id: LogId) {
    let dir = path(id);
    for name in ["meta", "meta.tmp"] {
        let _ = disk.remove_file(&join(&dir, name));
    }
    let _ = disk.remove_dir(&dir);
}

/// Whether a channel's directory is out of sight, though perhaps not durably.
pub(super) fn is_out_of_sight(disk: &dyn Disk, id: LogId) -> bool {
    disk.list(&path(id)).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Takes a channel's directory out of sight, durably, and removes it.
pub(super) fn discard(disk: &dyn Disk, id: LogId) -> Result<(), StoreError> {
    let dir = path(id);
    let trash = format!("{dir}{TRASH}");
    if is_out_of_sight(disk, id) {
        // By an earlier attempt, whose sync failed: what that has not written is not written by the next sync, but done again.
        disk.rename(&trash, &dir).map_err(failed("setting aside", &dir))?;
    }
    disk.rename(&dir, &trash).map_err(failed("setting aside", &dir))?;
    disk.sync_dir("channels").map_err(failed("syncing", "channels"))?;
    if let Err(error) = empty_out(disk, &trash) {
        tracing::warn!(trash, %error, "not removed yet: the next open does");
    }
    Ok(())
}

/// Removes a directory with the files in it.
fn empty_out(disk: &dyn Disk, dir: &str) -> Result<(), StoreError> {
    for name in disk.list(dir).map_err(failed("listing", dir))? {
        let path = join(dir, &name);
        disk.remove_file(&path).map_err(failed("removing", &path))?;
    }
    disk.remove_dir(dir).map_err(failed("removing", dir))
}
