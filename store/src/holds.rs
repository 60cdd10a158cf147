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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::{Commit, Log, LogOptions, Store, StoreOptions};
    use netchan_proto::wire::CursorKey;
    use netchan_proto::{CursorName, Timestamp};

    /// Three logs, and how the state log says that a cursor of the first stands at an offset in it.
    fn logs() -> (Store, [Log; 3], Bytes, impl Fn(u64) -> Bytes) {
        let options = StoreOptions { commit: Commit::Manual, min_free_percent: 0, ..StoreOptions::default() };
        let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
        let make =
            |name| store.create_or_open(&ChannelName::new(name).unwrap(), &LogOptions::default()).unwrap();
        let logs = ["a", "b", "c"].map(make);
        for _ in 0..10 {
            logs[0].append(&netchan_proto::AsRecord::as_record(&"record")).unwrap();
        }
        logs[0].sync().unwrap();
        let cursor = CursorKey { channel: logs[0].name().clone(), cursor: CursorName::new("c").unwrap() };
        let (state, cursors, log) = (store.state().clone(), store.cursors(), logs[0].clone());
        let set = move |offset| {
            let offset = Offset(offset);
            let at = Position { log: log.id(), epoch: log.epoch_before(offset), offset };
            cursors.set(&cursor, &at.into(), true, Timestamp(1)).unwrap();
            state.scan(b"cursor/").pop().unwrap().1
        };
        set(0);
        let key = store.state().scan(b"cursor/").pop().unwrap().0;
        (store, logs, key, set)
    }

    // NC-DSK-089
    #[test]
    fn a_cursor_holds_from_where_it_stood_until_just_the_change_that_moves_it_is_durable() {
        let (_store, [log, ..], key, set) = logs();
        let (from, to) = (set(0), set(10));
        for settled_between in [false, true] {
            let holds = Holds::default();
            holds.note(Offset(0), &key, Some(&from));
            if settled_between {
                holds.settle(Offset(1));
            }
            holds.note(Offset(1), &key, Some(&to));
            holds.settle(Offset(1));
            assert!(holds.is_held(&log.0, Offset(5)), "the second change is not durable");
            holds.settle(Offset(2));
            assert!(!holds.is_held(&log.0, Offset(5)) && holds.is_held(&log.0, Offset(11)));
            holds.note(Offset(2), &key, None);
            holds.settle(Offset(2));
            assert!(holds.is_held(&log.0, Offset(11)), "nor is the third");
            holds.settle(Offset(3));
            assert!(!holds.is_held(&log.0, Offset(11)));
            assert!(holds.table().cursors.is_empty() && holds.table().pending.is_empty());
        }
    }

    #[test]
    fn a_log_that_is_gone_does_not_wait_for_ever() {
        let (store, [log, other, third], key, set) = logs();
        let (from, to) = (set(0), set(10));
        let holds = Holds::default();
        let key_of = |log: &Log| {
            let key = String::from_utf8(key.to_vec()).unwrap();
            key.replacen("/a\0", &format!("/{}\0", log.name()), 1).into_bytes()
        };
        // Without a position: it reads all there is.
        let nowhere = [&from[..32], &[0; 8]].concat();
        for (change, log) in [(0, &log), (1, &other), (2, &third)] {
            holds.note(Offset(change), &key_of(log), Some(&nowhere));
        }
        holds.settle(Offset(3));
        let waiting = || holds.table().waiting.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert!(holds.is_held(&log.0, Offset(5)) && holds.is_held(&other.0, Offset(1)));
        assert_eq!(waiting(), ["a", "b"]);
        store.delete(&ChannelName::new("b").unwrap()).unwrap();
        drop(other);
        assert!(holds.is_held(&third.0, Offset(1)));
        assert_eq!(waiting(), ["a", "c"], "who asks sees to those that are gone");
        store.delete(&ChannelName::new("c").unwrap()).unwrap();
        drop(third);
        // So does a move, of another cursor too.
        holds.note(Offset(3), &key, Some(&to));
        holds.settle(Offset(4));
        assert_eq!(waiting(), [""; 0], "the first was let go");
    }
}
