//! Mends a data directory that nobody has: sets aside what is damaged, keeps what holds, declares what is lost, and says so.
//!
//! Nothing is destroyed: bytes that do not stay where they are were copied to a file `*.bad` beside, durably, before. A power
//! cut, at whatever moment, leaves the damage as it was or mended, and repairing again goes on from there. No record is lost
//! that could be read before.
//!
//! Neighbours: [`crate::verify`] says what is wrong and changes nothing; [`crate::log`] has the formats, and mends the segments;
//! [`mending`] is what both tell of what they do.

pub(crate) mod mending;

use std::collections::BTreeSet;

use netchan_proto::{ChannelName, LogId, Timestamp};

use self::mending::{Mending, Repaired, Step};
use crate::disk::{Disk, Open};
use crate::log::{base_of, identity_of_segment, mend};
use crate::meta::{self, Meta, failed, join};
use crate::verify::{VerifyProgress, durable_marks};
use crate::{StoreError, aside};

/// Mends the logs of a data directory that no store has: all of them, the state log and the node's identity; or those named. With
/// `is_dry` nothing is changed, and the same is told. `each` is given what was done to one log, `progress` hears how far it is.
///
/// ```
/// use netchan_store::disk::SimDisk;
/// use netchan_store::{Store, StoreOptions, repair};
/// # use std::sync::Arc;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let disk = SimDisk::new(1);
/// let store = Store::open(Arc::new(disk.clone()), StoreOptions::default())?;
/// store.close();
/// repair(&disk, &[], false, |log| assert!(log.was_well()), |_| ())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`StoreError::Locked`] while a store has the directory, [`StoreError::NoChannel`] for a name that no channel has; nothing was
/// changed then. [`StoreError::Io`], where what was done so far stays done: repairing again goes on.
pub fn repair(
    disk: &dyn Disk,
    names: &[ChannelName],
    is_dry: bool,
    mut each: impl FnMut(Repaired),
    mut progress: impl FnMut(VerifyProgress<'_>),
) -> Result<(), StoreError> {
    let lock = disk.try_lock("LOCK").map_err(failed("locking", "LOCK"))?;
    let _lock = lock.ok_or_else(|| StoreError::Locked { path: "LOCK".to_owned() })?;
    let mut logs = logs(disk)?;
    for name in names {
        if !logs.iter().any(|log| log.name.as_ref() == Some(name)) {
            return Err(StoreError::NoChannel { name: name.clone() });
        }
    }
    if names.is_empty() {
        if let Some(node) = node(disk, is_dry)? {
            each(node);
        }
    } else {
        logs.retain(|log| log.name.as_ref().is_some_and(|name| names.contains(name)));
    }
    // Before the state log is mended: what it says of others is read as it stands.
    let marks = durable_marks(disk).map_err(failed("reading", "state"))?;
    let total = logs.iter().map(|log| bytes_of(disk, &log.dir)).sum();
    let (mut read, mut seen) = (0, BTreeSet::new());
    for log in logs {
        let known = marks.get(&log.dir).copied().unwrap_or_default();
        let told = log.name.as_ref().map_or_else(|| log.dir.clone(), ToString::to_string);
        let mut tell = |bytes: u64| {
            read += bytes;
            progress(VerifyProgress { log: &told, read: read.min(total), total });
        };
        let done = Repaired { name: log.name.clone(), dir: log.dir.clone(), ..Repaired::default() };
        let mut mending = Mending { is_dry, tell: &mut tell, done };
        if let Some(name) = log.name.clone()
            && !seen.insert(name)
        {
            mending.leave(
                &log.dir,
                "an older channel has the same name, and this one is left out; move its directory away",
            );
        }
        if let Some(what) = log.refused {
            mending.leave(&log.dir, what);
        } else if let Some(meta) = log.meta {
            if !log.has_meta {
                make_meta(disk, &log.dir, &meta, &mut mending)?;
            }
            mend(disk, &log.dir, &meta, known, &mut mending)?;
        }
        each(mending.done);
    }
    Ok(())
}

const STATE: &str = "state";

/// One log of the directory.
struct Found {
    dir: String,
    name: Option<ChannelName>,
    /// What is known of it; from a segment's head where its own meta does not hold.
    meta: Option<Meta>,
    has_meta: bool,
    refused: Option<&'static str>,
}

/// The channels, in the order of names, the older of two first; then those without a name; then the state log.
fn logs(disk: &dyn Disk) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for entry in disk.list("channels").map_err(failed("listing", "channels"))? {
        let Ok(id) = entry.parse::<LogId>() else { continue };
        found.extend(find(disk, join("channels", &entry), Some(id))?);
    }
    found.sort_by_key(|log: &Found| {
        let age = log.meta.as_ref().map(|meta| (meta.created, meta.id));
        (log.name.is_none(), log.name.clone(), age, log.dir.clone())
    });
    found.extend(find(disk, STATE.to_owned(), None)?);
    Ok(found)
}

/// What a directory says of its log; `None` if there is none in it.
fn find(disk: &dyn Disk, dir: String, id: Option<LogId>) -> Result<Option<Found>, StoreError> {
    let bytes = meta::read_small(disk, &join(&dir, "meta"))?;
    let meta = bytes.as_deref().and_then(Meta::decode).filter(|meta| id.is_none_or(|id| meta.id == id));
    let has_meta = meta.is_some();
    let mut names = match disk.list(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        names => names.map_err(failed("listing", &dir))?,
    };
    names.retain(|name| base_of(name).is_some());
    names.sort_unstable();
    let mut heads: Vec<(LogId, ChannelName, Timestamp)> = Vec::new();
    for name in &names {
        let path = join(&dir, name);
        let file = disk.open(&path, Open::Read).map_err(failed("opening", &path))?;
        let head = identity_of_segment(&*file).map_err(failed("reading", &path))?;
        let is_own = |head: &(LogId, _, _)| id.is_none_or(|id| id == head.0);
        heads.extend(head.filter(is_own));
        if !heads.is_empty() && id.is_some() {
            break;
        }
    }
    let mut refused = None;
    let meta = match (meta, heads.first()) {
        // Which of the two is the state log's, nothing says.
        (Some(meta), Some(_)) if id.is_none() && heads.iter().all(|(other, ..)| *other != meta.id) => {
            refused =
                Some("its meta is of another log than its segments: put back the one that belongs to them");
            None
        }
        (Some(meta), _) => Some(meta),
        (None, Some((_, _, _))) if heads.windows(2).any(|two| two[0].0 != two[1].0) => {
            refused = Some("its meta does not hold, and its segments are of several logs: put back the meta");
            None
        }
        (None, Some((id, name, created))) => {
            let (id, name, created) = (*id, name.clone(), *created);
            Some(Meta::from_head(name, id, created))
        }
        (None, None) if !names.is_empty() => {
            refused = Some(
                "neither its meta nor the head of any segment holds, so nothing says which log it is: put back its meta, and \
                 repair again",
            );
            None
        }
        // What the next opening removes, or makes.
        (None, None) => return Ok(None),
    };
    // Channels have names; the state log's is nobody's business.
    let name = meta.as_ref().filter(|_| id.is_some()).map(|meta| meta.name.clone());
    Ok(Some(Found { dir, name, meta, has_meta, refused }))
}

/// Makes a channel's meta again; what stands in its place goes aside before.
fn make_meta(disk: &dyn Disk, dir: &str, meta: &Meta, mending: &mut Mending<'_>) -> Result<(), StoreError> {
    let path = join(dir, "meta");
    if let Some(bytes) = meta::read_small(disk, &path)? {
        let to = aside::free_path(disk, dir, "meta").map_err(failed("listing", dir))?;
        mending.add(Step::SetAside { path: path.clone(), to, bytes: bytes.len() as u64 });
        if !mending.is_dry {
            aside::set_aside(disk, dir, "meta").map_err(failed("setting aside", &path))?;
        }
    }
    mending.add(Step::Meta { path });
    if mending.is_dry { Ok(()) } else { meta::replace(disk, dir, "meta", &meta.encode()) }
}

/// The node's identity, if it is damaged: the next opening makes another.
fn node(disk: &dyn Disk, is_dry: bool) -> Result<Option<Repaired>, StoreError> {
    let Some(bytes) = meta::read_small(disk, "node")?.filter(|bytes| meta::decode_node(bytes).is_none())
    else {
        return Ok(None);
    };
    let to = aside::free_path(disk, "", "node").map_err(failed("listing", "the data directory"))?;
    if !is_dry {
        aside::set_aside(disk, "", "node").map_err(failed("setting aside", "node"))?;
    }
    let step = Step::SetAside { path: "node".to_owned(), to, bytes: bytes.len() as u64 };
    Ok(Some(Repaired { steps: vec![step], ..Repaired::default() }))
}

/// The bytes of a log's segments; of what cannot be read, none.
fn bytes_of(disk: &dyn Disk, dir: &str) -> u64 {
    let names = disk.list(dir).unwrap_or_default();
    let sizes = names.iter().filter(|name| base_of(name).is_some());
    sizes.map(|name| disk.size(&join(dir, name)).unwrap_or(0)).sum()
}
