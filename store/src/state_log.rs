//! Keys and values, last one wins.
use crate::StoreError;
use bytes::Bytes;
/// What is not records: cursors, notes, settings. A log of the same code, compacted by rolling.
#[derive(Clone, Debug)]
pub struct StateLog;
impl StateLog {
    /// The value of `key`.
    pub fn get(&self, _key: &[u8]) -> Option<Bytes> {
        unimplemented!()
    }
    /// Sets `key`; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Io`] and [`StoreError::Closed`].
    pub fn put(&self, _key: &[u8], _value: &[u8]) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Removes `key`; durable when it returns.
    ///
    /// # Errors
    /// As [`StateLog::put`].
    pub fn remove(&self, _key: &[u8]) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Keys that begin with `prefix`, in order, with their values.
    pub fn scan(&self, _prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        unimplemented!()
    }
}
