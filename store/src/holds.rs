//! What cursors hold: the records that retention leaves alone for them (spec/08-disk.md, NC-DSK-087 to 089).
//!
//! Beside the state log's table, which is locked while the disk is waited for: trimming does not wait for that. A cursor
//! holds wherever a power cut may find it again: where it stood before a change as long as that is not durable, and where the
//! change puts it. Logs whose segments are held wait here for the cursors to move.
//!
//! Its lock is taken after a log's writer's and after the state log's table's, and before a log's state's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use netchan_proto::{ChannelName, Offset, Position, Positions};

use crate::cursors::entry;
use crate::log::Inner;
use crate::sync::Mutex;

#[derive(Default)]
pub(crate) struct Holds(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By its key: where a cursor stands, by each change from the last durable one on.
    cursors: BTreeMap<Bytes, Vec<Version>>,
    /// Changes that are not known to be durable, and of which cursor.
    pending: VecDeque<(Offset, Bytes)>,
    waiting: BTreeMap<ChannelName, Waiting>,
}

/// Where a change puts a cursor.
struct Version {
    /// Its record in the state log.
    change: Offset,
    /// `None`: it is gone.
    at: Option<Positions>,
}

/// A log of which a segment would have gone.
struct Waiting {
    log: Weak<Inner>,
    /// What is before this is held.
    before: Offset,
}

impl Version {
    /// Whether a record of `log` before `before` is still to be read from here.
    fn holds(&self, log: &Inner, before: Offset) -> bool {
        let Some(at) = &self.at else { return false };
        // One that has no position reads all there is. One in another log reads nothing of this one.
        let is_here = |position: &Position| position.log == log.id();
        at.is_empty() || at.iter().any(|position| is_here(&position) && log.goes_on_at(&position) < before)
    }
}

impl Table {
    fn is_held(&self, log: &Inner, before: Offset) -> bool {
        let name = log.name();
        // A cursor of a channel with partitions may stand under the channel's own name.
        let whole = name.partition().map(|_| name.base());
        let mut prefixes = std::iter::once(name).chain(&whole).map(entry::prefix_of);
        prefixes.any(|prefix| {
            let cursors = self.cursors.range(Bytes::copy_from_slice(&prefix)..);
            let mut cursors = cursors.take_while(|(key, _)| key.starts_with(&prefix));
            cursors.any(|(_, versions)| versions.iter().any(|version| version.holds(log, before)))
        })
    }
}

impl Holds {
    fn table(&self) -> crate::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state log's record `change` sets `key` to `value`, or removes it. Heeded at once, and what was before it too until
    /// it is durable.
    pub(crate) fn note(&self, change: Offset, key: &[u8], value: Option<&[u8]>) {
        if !entry::is_key(key) {
            return;
        }
        let at = value.and_then(|value| entry::position(key, value));
        let key = Bytes::copy_from_slice(key);
        let mut table = self.table();
        table.cursors.entry(key.clone()).or_default().push(Version { change, at });
        table.pending.push_back((change, key));
    }

    /// What the state log has before `end` is durable: from now on a cursor holds from where that puts it. Logs of which
    /// that lets something go are trimmed soon.
    pub(crate) fn settle(&self, end: Offset) {
        let mut let_go = Vec::new();
        let mut table = self.table();
        let mut moved: Vec<ChannelName> = Vec::new();
        while table.pending.front().is_some_and(|(change, _)| *change < end) {
            let Some((_, key)) = table.pending.pop_front() else { break };
            let Some(versions) = table.cursors.get_mut(&key) else { continue };
            let durable = versions.iter().rposition(|version| version.change < end).unwrap_or(0);
            versions.drain(..durable);
            if let [Version { at: None, .. }] = &versions[..] {
                table.cursors.remove(&key);
            }
            moved.extend(entry::channel_of(&key).filter(|name| !moved.contains(name)));
        }
        if !moved.is_empty() {
            let waiting = std::mem::take(&mut table.waiting);
            for (name, waits) in waiting {
                let is_meant = moved.iter().any(|channel| *channel == name || *channel == name.base());
                let log = waits.log.upgrade().filter(|_| is_meant);
                match log.filter(|log| !table.is_held(log, waits.before)) {
                    Some(log) => let_go.push(log),
                    None if waits.log.strong_count() > 0 => drop(table.waiting.insert(name, waits)),
                    None => {}
                }
            }
        }
        drop(table);
        let_go.iter().for_each(|log| log.look_soon());
    }

    /// Whether a cursor holds records of `log` before `before`. If so, the log is trimmed when that is over.
    pub(crate) fn is_held(&self, log: &Arc<Inner>, before: Offset) -> bool {
        let mut table = self.table();
        let is_held = table.is_held(log, before);
        if is_held {
            table.waiting.retain(|_, waits| waits.log.strong_count() > 0);
            table.waiting.insert(log.name().clone(), Waiting { log: Arc::downgrade(log), before });
        }
        is_held
    }
}
