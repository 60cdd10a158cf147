//! What is not records: cursors, notes, settings. Keys and values, the last one wins.
//!
//! A log of the same code under `state/`: a record's key is the key, its payload a byte that says set or removed,
//! and the value. It is compacted by rolling: a new segment begins with every live value, and the older segments go.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use netchan_proto::batch::{Batch, HEADER_LEN};
use netchan_proto::{Offset, RecordRef};

use crate::error::{broken, store_error};
use crate::log::{Closed, Env, Log};
use crate::meta::Meta;
use crate::sync::{Mutex, MutexGuard};
use crate::{AppendError, LogError, StoreError};

/// The first byte of a payload that removes its key.
const REMOVED: u8 = 0;
/// The first byte of a payload that sets its key.
const SET: u8 = 1;
/// Bytes written before compaction is thought of.
const COMPACT_FROM: usize = 1 << 20;
/// How many times the live bytes may have been written before compaction.
const COMPACT_AT: usize = 4;

/// A key, and what it is set to; `None` removes it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The table, as who changes it sees it.
pub(crate) struct Sight<'a>(&'a Table);

impl Sight<'_> {
    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.0.values.get(key)
    }

    /// How many keys begin with `prefix`.
    pub(crate) fn count(&self, prefix: &[u8]) -> usize {
        let range = self.0.values.range(Bytes::copy_from_slice(prefix)..);
        range.take_while(|(key, _)| key.starts_with(prefix)).count()
    }
}

/// Keys and values that survive power loss. Cheap to clone.
#[derive(Clone)]
pub struct StateLog {
    env: Arc<Env>,
    log: Log,
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    values: BTreeMap<Bytes, Bytes>,
    live: usize,
    written: usize,
}

impl fmt::Debug for StateLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateLog").field("keys", &self.table().values.len()).finish()
    }
}

impl Table {
    fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let old = match value {
            Some(value) => {
                self.live += key.len() + value.len();
                self.values.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
            }
            None => self.values.remove(key),
        };
        if let Some(old) = old {
            self.live = self.live.saturating_sub(key.len() + old.len());
        }
        self.written += key.len() + value.map_or(0, <[u8]>::len) + HEADER_LEN;
    }
}

impl StateLog {
    pub(crate) fn open(env: &Arc<Env>, dir: &str, meta: &Meta) -> Result<StateLog, StoreError> {
        let log = Log(crate::log::open(env, dir, meta, Closed::default())?);
        let mut table = Table::default();
        let mut from = log.first();
        while from < log.visible() {
            let run = match log.read(from, 1 << 20) {
                Ok(run) => run,
                Err(LogError::Damaged { to, .. }) => {
                    from = to;
                    continue;
                }
                Err(error) => return Err(store_error(dir)(error)),
            };
            let mut rest = run.bytes;
            while let Some(batch) = split_batch(&log, &mut rest) {
                let Ok(batch) = batch else {
                    tracing::error!(from = from.0, "a batch of the state log is damaged and left out");
                    continue;
                };
                for record in batch.records().map_while(Result::ok) {
                    if let (Some(key), false) = (record.key(), record.payload.is_empty()) {
                        let value = StateLog::value(&record.payload);
                        env.holds.note(record.offset, key, value);
                        table.set(key, value);
                    }
                }
            }
            from = run.next;
        }
        // Nothing was found that is not durable by now.
        env.holds.settle(log.durable());
        Ok(StateLog { env: Arc::clone(env), log, table: Arc::new(Mutex::new(table)) })
    }

    /// What a record's payload sets its key to; `None` removes it.
    pub(crate) fn value(payload: &[u8]) -> Option<&[u8]> {
        payload.split_first().filter(|(kind, _)| **kind == SET).map(|(_, value)| value)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.table().values.get(key).cloned()
    }

    /// The keys that begin with `prefix`, in order, with their values.
    pub fn scan(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let table = self.table();
        table
            .values
            .range(Bytes::copy_from_slice(prefix)..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// At most `limit` keys that begin with `prefix` and come after `after`, in order, with their values.
    pub(crate) fn page(&self, prefix: &[u8], after: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        let table = self.table();
        let from = Bytes::copy_from_slice(prefix.max(after));
        let range = table.values.range(from..).take_while(|(key, _)| key.starts_with(prefix));
        range.filter(|(key, _)| *key > after).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Sets `key`, which has at most 64 KiB; durable when this returns. Several callers share one sync. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the disk failed (the value may be there when the store is opened again, or not), and
    /// [`StoreError::Closed`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.put_all([(key, Some(value))])
    }

    /// Removes `key`; durable when this returns. Blocks.
    ///
    /// # Errors
    /// As [`StateLog::put`].
    pub fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.get(key).is_none() {
            return Ok(());
        }
        self.put_all([(key, None)])
    }

    /// Sets (or, with `None`, removes) several keys with one sync. Some may be kept without the others after a power
    /// cut; the earlier ones are kept first. Blocks.
    ///
    /// # Errors
    /// As [`StateLog::put`].
    pub fn put_all<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        {
            let mut table = self.table();
            for (key, value) in changes {
                self.set(&mut table, key, value)?;
            }
            self.compact_if_due(&mut table)?;
        }
        self.sync()
    }

    /// Changes what `decide` says after a look at the table, with nobody else in between. All of it, and whatever `decide`
    /// saw, is durable when this returns; with an error of `decide`, nothing was changed. Blocks.
    pub(crate) fn change<T, E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&Sight<'_>) -> Result<(T, Vec<Change>), E>,
    ) -> Result<T, E> {
        let decided = {
            let mut table = self.table();
            let (decided, changes) = decide(&Sight(&table))?;
            for (key, value) in &changes {
                self.set(&mut table, key, value.as_deref())?;
            }
            self.compact_if_due(&mut table)?;
            decided
        };
        self.sync()?;
        Ok(decided)
    }

    fn compact_if_due(&self, table: &mut Table) -> Result<(), StoreError> {
        let is_due = table.written > COMPACT_FROM && table.written > table.live * COMPACT_AT;
        if is_due { self.compact(table) } else { Ok(()) }
    }

    fn set(&self, table: &mut Table, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let change = self.append(key, value)?;
        self.env.holds.note(change, key, value);
        table.set(key, value);
        Ok(())
    }

    /// Makes durable what was changed.
    fn sync(&self) -> Result<(), StoreError> {
        let durable = self.log.sync().map_err(store_error(&self.log.0.dir))?;
        self.env.holds.settle(durable);
        Ok(())
    }

    fn append(&self, key: &[u8], value: Option<&[u8]>) -> Result<Offset, StoreError> {
        let mut payload = vec![if value.is_some() { SET } else { REMOVED }];
        payload.extend_from_slice(value.unwrap_or_default());
        let record = RecordRef { payload: &payload, key: Some(key), headers: &[] };
        loop {
            match self.log.append(&record) {
                Ok(change) => return Ok(change),
                Err(AppendError::Full) => {
                    self.log.sync().map_err(store_error(&self.log.0.dir))?;
                }
                Err(AppendError::Closed) => return Err(StoreError::Closed),
                Err(error) => return Err(broken(&self.log.0.dir, error)),
            }
        }
    }

    /// Begins a new segment with every live value, and removes the older ones once it is durable.
    fn compact(&self, table: &mut Table) -> Result<(), StoreError> {
        self.log.sync().map_err(store_error(&self.log.0.dir))?;
        let from = self.log.0.roll_now();
        for (key, value) in &table.values {
            self.append(key, Some(value))?;
        }
        self.log.sync().map_err(store_error(&self.log.0.dir))?;
        self.log.0.trim_until(from);
        tracing::debug!(
            keys = table.values.len(),
            bytes = table.live,
            was = table.written,
            "the state log is compacted"
        );
        table.written = table.live;
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.log.0.close();
    }
}

/// Splits the next batch off a run whose headers were checked; the inner error is a body that doesn't hold.
fn split_batch(log: &Log, rest: &mut Bytes) -> Option<Result<Batch, netchan_proto::batch::BatchError>> {
    let seed = log.id().0;
    let header = netchan_proto::batch::BatchHeader::decode(rest.first_chunk()?, &seed).ok()?;
    let len = header.stored_len();
    (len <= rest.len()).then(|| Batch::verify_body(header, rest.split_to(len)))
}
