//! A record: payload, optional key, headers, and what the log adds (offset, timestamp).
//!
//! Owns the bytes of one record inside a batch's body (spec/07-batch.md). Its neighbour is [`crate::batch`],
//! which knows where records begin.

use bytes::Bytes;

use crate::limits::{MAX_HEADERS, MAX_KEY, MAX_PAYLOAD};
use crate::types::{Offset, Timestamp};

/// The top bit of a record's length word: key and headers stand before the payload.
pub(crate) const TAGGED: u32 = 1 << 31;
/// The key length that says "no key" (an empty key is a key).
pub(crate) const NO_KEY: u32 = u32::MAX;
/// Key length and headers length.
pub(crate) const TAG_PREFIX: usize = 8;

/// A record as a receiver gets it. Payload, key and headers are slices of the bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the channel.
    pub offset: Offset,
    /// When the sender took it; strictly increasing within the channel.
    pub timestamp: Timestamp,
    /// What was sent.
    pub payload: Bytes,
    /// Boxed, because most records have neither key nor headers and a small record is a fast record.
    pub(crate) tags: Option<Box<Tags>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Bytes,
}

impl Record {
    /// The key it was sent with.
    pub fn key(&self) -> Option<&Bytes> {
        self.tags.as_ref().and_then(|tags| tags.key.as_ref())
    }

    /// Its headers, in the order they were given.
    pub fn headers(&self) -> Headers<'_> {
        Headers { rest: self.tags.as_ref().map_or(&[][..], |tags| &tags.headers) }
    }

    /// The same record in memory of its own, for who keeps one for long: a slice keeps the whole read
    /// buffer it points into.
    #[must_use]
    pub fn detach(&self) -> Record {
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            payload: own(&self.payload),
            tags: self
                .tags
                .as_ref()
                .map(|tags| Box::new(Tags { key: tags.key.as_ref().map(own), headers: own(&tags.headers) })),
        }
    }

    /// The record as something to send again.
    pub fn as_ref(&self) -> RecordRef<'_> {
        let (key, headers) = match &self.tags {
            Some(tags) => (tags.key.as_deref(), &*tags.headers),
            None => (None, &[][..]),
        };
        RecordRef { payload: &self.payload, key, headers }
    }
}

/// The headers of a record: an iterator over (name, value).
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Reads encoded headers; stops at the first that isn't whole.
    pub fn decode(encoded: &'a [u8]) -> Headers<'a> {
        Headers { rest: encoded }
    }

    /// The value of the first header called `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.clone().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, rest) = self.rest.split_first_chunk::<2>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let name_len = usize::from(u16::from_le_bytes(*name_len));
        let value_len = usize::try_from(u32::from_le_bytes(*value_len)).ok()?;
        let (name, rest) = rest.split_at_checked(name_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        self.rest = rest;
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

/// What is to be sent, borrowed: the form that every send ends in.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordRef<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The headers as [`NewRecord`] encodes them; empty for none.
    pub headers: &'a [u8],
}

impl RecordRef<'_> {
    /// Checks the three lengths against their limits.
    ///
    /// # Errors
    /// [`RecordTooLarge`] names the part, its length and the limit.
    pub fn check(&self) -> Result<(), RecordTooLarge> {
        let within = |part, len, limit| {
            if len > limit { Err(RecordTooLarge { part, len, limit }) } else { Ok(()) }
        };
        within("payload", self.payload.len(), MAX_PAYLOAD)?;
        within("key", self.key.map_or(0, <[u8]>::len), MAX_KEY)?;
        within("headers", self.headers.len(), MAX_HEADERS)
    }

    pub(crate) fn is_tagged(&self) -> bool {
        self.key.is_some() || !self.headers.is_empty()
    }

    /// Bytes after the record's prefix: tags and payload.
    pub(crate) fn body_len(&self) -> usize {
        let tags = if self.is_tagged() {
            TAG_PREFIX + self.key.map_or(0, <[u8]>::len) + self.headers.len()
        } else {
            0
        };
        tags + self.payload.len()
    }
}

/// A part of a record is over its limit. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record's {part} has {len} bytes; {limit} is the most")]
pub struct RecordTooLarge {
    /// `payload`, `key` or `headers`.
    pub part: &'static str,
    /// Its length in bytes.
    pub len: usize,
    /// The limit in bytes.
    pub limit: usize,
}

/// What can be sent: bytes and texts, owned or borrowed, and a [`NewRecord`] with key and headers.
pub trait AsRecord {
    /// A view of it as a record.
    fn as_record(&self) -> RecordRef<'_>;
}

macro_rules! bytes_are_records {
    ($($ty:ty),*) => {$(
        impl AsRecord for $ty {
            fn as_record(&self) -> RecordRef<'_> {
                RecordRef { payload: self.as_ref(), ..RecordRef::default() }
            }
        }
    )*};
}
bytes_are_records!(str, String, [u8], Vec<u8>, Bytes);

impl<const N: usize> AsRecord for [u8; N] {
    fn as_record(&self) -> RecordRef<'_> {
        RecordRef { payload: self, ..RecordRef::default() }
    }
}

impl AsRecord for RecordRef<'_> {
    fn as_record(&self) -> RecordRef<'_> {
        *self
    }
}

impl AsRecord for Record {
    fn as_record(&self) -> RecordRef<'_> {
        self.as_ref()
    }
}

impl<T: AsRecord + ?Sized> AsRecord for &T {
    fn as_record(&self) -> RecordRef<'_> {
        (**self).as_record()
    }
}

/// A record with key and headers, to be sent.
///
/// ```
/// use netchan_proto::{AsRecord, NewRecord};
/// let record = NewRecord::new("42 EUR").key("order-7").header("kind", "paid");
/// assert_eq!(record.as_record().key, Some(&b"order-7"[..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    payload: Bytes,
    key: Option<Bytes>,
    headers: Vec<u8>,
}

impl NewRecord {
    /// A record with `payload` and nothing else.
    pub fn new(payload: impl Into<Bytes>) -> NewRecord {
        NewRecord { payload: payload.into(), ..NewRecord::default() }
    }

    /// Its headers so far, in the order they were given.
    pub fn headers(&self) -> Headers<'_> {
        Headers { rest: &self.headers }
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> NewRecord {
        self.key = Some(key.into());
        self
    }

    /// With one more header. A name or value too long for its length field makes the headers as a whole
    /// too large, which sending reports.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> NewRecord {
        let value = value.as_ref();
        match (u16::try_from(name.len()), u32::try_from(value.len())) {
            (Ok(name_len), Ok(value_len)) => {
                self.headers.extend_from_slice(&name_len.to_le_bytes());
                self.headers.extend_from_slice(&value_len.to_le_bytes());
                self.headers.extend_from_slice(name.as_bytes());
                self.headers.extend_from_slice(value);
            }
            _ => self.headers.resize(MAX_HEADERS + 1, 0),
        }
        self
    }
}

impl AsRecord for NewRecord {
    fn as_record(&self) -> RecordRef<'_> {
        RecordRef { payload: &self.payload, key: self.key.as_deref(), headers: &self.headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_the_order_given() {
        let record = NewRecord::new("p").header("a", "1").header("b", [2u8]).header("a", "3");
        let headers = Headers::decode(&record.headers);
        assert_eq!(headers.clone().collect::<Vec<_>>(), [("a", &b"1"[..]), ("b", &[2]), ("a", b"3")]);
        assert_eq!(headers.get("a"), Some(&b"1"[..]));
        assert_eq!(headers.get("c"), None);
    }

    #[test]
    fn each_part_has_its_limit() {
        let over = vec![0; MAX_PAYLOAD + 1];
        assert_eq!(over.as_record().check().unwrap_err().part, "payload");
        assert_eq!(NewRecord::new("").key(vec![0; MAX_KEY + 1]).as_record().check().unwrap_err().part, "key");
        let long = NewRecord::new("").header(&"n".repeat(70_000), "v");
        assert_eq!(long.as_record().check().unwrap_err().part, "headers");
    }
}
