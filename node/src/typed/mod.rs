//! Values in place of bytes: a codec makes bytes of each, and transforms go over them, one after the other; the other side
//! undoes them in the reverse order (spec/16-values.md).
//!
//! Owns what becomes of one value, and the names by which both sides know that they mean the same. How records travel is
//! not known here; neighbours: [`handles`](crate::handles) sends and receives what is made here.
//!
//! | room | holds |
//! |---|---|
//! | `codecs` | postcard, JSON, MessagePack, CBOR, and bytes as they are |
//! | `shorter` | compression of each value |
//! | `encryption` | what only who has the key can read |

mod codecs;
#[cfg(feature = "encryption")]
mod encryption;
mod shorter;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use netchan_proto::limits::MAX_PAYLOAD;
use netchan_proto::types::InvalidContent;
use netchan_proto::{AsRecord, ChannelName, Content, NewRecord, Record, RecordRef};

#[cfg(feature = "cbor")]
pub use self::codecs::Cbor;
#[cfg(feature = "json")]
pub use self::codecs::Json;
#[cfg(feature = "messagepack")]
pub use self::codecs::MessagePack;
#[cfg(feature = "postcard")]
pub use self::codecs::Postcard;
pub use self::codecs::Raw;
#[cfg(feature = "encryption")]
pub use self::encryption::{Encryption, EncryptionKey};
pub use self::shorter::Lz4;
#[cfg(feature = "zstd")]
pub use self::shorter::Zstd;
use crate::error::{Error, ErrorKind};

/// Makes bytes of values, and values of bytes.
///
/// ```
/// use netchan_node::typed::{Codec, CodecError};
///
/// /// Temperatures, in tenths of a degree.
/// struct Tenths;
///
/// impl Codec<f32> for Tenths {
///     fn name(&self) -> &str {
///         "tenths"
///     }
///
///     fn encode(&self, value: &f32, into: &mut Vec<u8>) -> Result<(), CodecError> {
///         into.extend_from_slice(&((value * 10.0) as i16).to_le_bytes());
///         Ok(())
///     }
///
///     fn decode(&self, bytes: &bytes::Bytes) -> Result<f32, CodecError> {
///         let bytes = <[u8; 2]>::try_from(&bytes[..]).map_err(CodecError::new)?;
///         Ok(f32::from(i16::from_le_bytes(bytes)) / 10.0)
///     }
/// }
/// ```
pub trait Codec<T>: Send + Sync + 'static {
    /// Its name, the same on both sides: a part of [`Content`]. What one version of it writes that another of the same name
    /// does not read, is an error with each record.
    fn name(&self) -> &str;

    /// Appends the bytes of a value.
    ///
    /// # Errors
    /// Why it has none.
    fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// The value of these bytes, of all of them. They came from whoever may send into the channel: it does not panic, whatever
    /// they are.
    ///
    /// # Errors
    /// Why they are none.
    fn decode(&self, bytes: &Bytes) -> Result<T, CodecError>;
}

/// Changes the bytes of each value on their way into the channel, and changes them back on the way out.
///
/// ```
/// use netchan_node::typed::{Beside, CodecError, Transform};
///
/// /// Keeps nobody from reading.
/// struct Rot13;
///
/// impl Rot13 {
///     fn turn(&self, bytes: &mut [u8]) {
///         for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
///             let a = if byte.is_ascii_lowercase() { b'a' } else { b'A' };
///             *byte = (*byte - a + 13) % 26 + a;
///         }
///     }
/// }
///
/// impl Transform for Rot13 {
///     fn name(&self) -> &str {
///         "rot13"
///     }
///
///     fn apply(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
///         Ok(self.turn(bytes))
///     }
///
///     fn undo(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
///         Ok(self.turn(bytes))
///     }
/// }
/// ```
pub trait Transform: Send + Sync + 'static {
    /// Its name, the same on both sides: a part of [`Content`].
    fn name(&self) -> &str;

    /// Changes the bytes, which may be replaced.
    ///
    /// # Errors
    /// Why it can't; nothing is sent then.
    fn apply(&self, beside: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Changes the bytes back. They came from whoever may send into the channel: it does not panic, and holds itself to a
    /// limit of [`MAX_PAYLOAD`] bytes, whatever they are.
    ///
    /// # Errors
    /// Why it can't; the value is not delivered then.
    fn undo(&self, beside: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// What goes with a value, in the open.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Beside<'a> {
    /// The channel it is sent into.
    pub channel: &'a ChannelName,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's headers, as they are encoded.
    pub headers: &'a [u8],
}

impl<'a> Beside<'a> {
    /// What goes with the payload of `record`.
    #[must_use]
    pub fn of(channel: &'a ChannelName, record: RecordRef<'a>) -> Beside<'a> {
        Beside { channel, key: record.key, headers: record.headers }
    }
}

/// Why a codec or a transform does not take something, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError(String);

impl CodecError {
    /// With this text.
    pub fn new(why: impl fmt::Display) -> CodecError {
        CodecError(why.to_string())
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

/// A value that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Value<T> {
    /// What was sent.
    pub value: T,
    /// The record it came in: its offset and time, its key and headers, and the payload as it stands in the channel.
    pub record: Record,
}

/// A value that was received, and the channel it was sent into.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedValue<T> {
    /// The channel.
    pub channel: ChannelName,
    /// What was sent.
    pub value: T,
    /// The record it came in, as in [`Value`].
    pub record: Record,
}

/// The payload that a value came to, and what goes with it.
pub(crate) struct Coded {
    payload: Vec<u8>,
    with: Option<NewRecord>,
}

impl AsRecord for Coded {
    fn as_record(&self) -> RecordRef<'_> {
        RecordRef { payload: &self.payload, ..beside(self.with.as_ref()) }
    }
}

fn beside(with: Option<&NewRecord>) -> RecordRef<'_> {
    with.map(AsRecord::as_record).unwrap_or_default()
}

thread_local! {
    /// Where values become bytes, one after the other: memory for each would cost as much as making them.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// More than this is not kept for the next value.
const MAX_SCRATCH: usize = 64 << 10;

/// How values of a channel become bytes and bytes become values. Cheap to clone.
pub(crate) struct Form<T>(Arc<Steps<T>>);

struct Steps<T> {
    codec: Box<dyn Codec<T>>,
    transforms: Vec<Box<dyn Transform>>,
}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Form<T> {
        Form(Arc::clone(&self.0))
    }
}

impl<T: 'static> fmt::Debug for Form<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({})", self.names())
    }
}

impl<T: 'static> Form<T> {
    pub(crate) fn new(codec: Box<dyn Codec<T>>, transforms: Vec<Box<dyn Transform>>) -> Form<T> {
        Form(Arc::new(Steps { codec, transforms }))
    }

    /// What the payloads are.
    pub(crate) fn content(&self) -> Result<Content, Error> {
        let invalid = |error: InvalidContent| {
            Error::new(ErrorKind::Config, format!("the channel cannot be one of {:?}: {error}", self.names()))
        };
        Content::new(&self.names()).map_err(invalid)
    }

    fn names(&self) -> String {
        let transforms = self.0.transforms.iter().map(|transform| transform.name());
        let names: Vec<&str> = [self.0.codec.name()].into_iter().chain(transforms).collect();
        names.join("+")
    }

    /// Gives `send` a value as a record, with the key and the headers of `with`.
    pub(crate) fn encoded<R>(
        &self,
        value: &T,
        with: Option<&NewRecord>,
        channel: &ChannelName,
        send: impl FnOnce(RecordRef<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut bytes = SCRATCH.take();
        bytes.clear();
        let encoded = self.encode_into(value, beside(with), channel, &mut bytes);
        let sent = encoded.and_then(|()| send(RecordRef { payload: &bytes, ..beside(with) }));
        if bytes.capacity() <= MAX_SCRATCH {
            SCRATCH.set(bytes);
        }
        sent
    }

    /// As [`encoded`](Self::encoded), to be kept.
    pub(crate) fn encode(
        &self,
        value: &T,
        with: Option<NewRecord>,
        channel: &ChannelName,
    ) -> Result<Coded, Error> {
        let mut payload = Vec::new();
        self.encode_into(value, beside(with.as_ref()), channel, &mut payload)?;
        Ok(Coded { payload, with })
    }

    fn encode_into(
        &self,
        value: &T,
        beside: RecordRef<'_>,
        channel: &ChannelName,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Steps { codec, transforms } = &*self.0;
        let failed = |name: &str, error: CodecError| {
            let text = format!("{channel}: a value was not sent, because {name} does not take it: {error}");
            Error::new(ErrorKind::Encode, text)
        };
        if !beside.payload.is_empty() {
            return Err(failed("the channel", CodecError::new("what goes with it has a payload of its own")));
        }
        codec.encode(value, bytes).map_err(|error| failed(codec.name(), error))?;
        for transform in transforms {
            let beside = Beside::of(channel, beside);
            transform.apply(&beside, bytes).map_err(|error| failed(transform.name(), error))?;
        }
        Ok(())
    }

    /// The value that a record holds.
    #[inline]
    pub(crate) fn decode(&self, record: &Record, channel: &ChannelName) -> Result<T, Error> {
        let Steps { codec, transforms } = &*self.0;
        let offset = record.offset;
        let failed = |name: &str, error: CodecError| {
            let text = format!("{channel}: the record at offset {offset} is no value: {name}: {error}");
            Error::new(ErrorKind::Decode { offset }, text)
        };
        let decoded = match transforms.is_empty() {
            true => codec.decode(&record.payload),
            false => {
                let beside = Beside::of(channel, record.as_ref());
                let mut bytes = Vec::from(&*record.payload);
                for transform in transforms.iter().rev() {
                    transform.undo(&beside, &mut bytes).map_err(|error| failed(transform.name(), error))?;
                    if bytes.len() > MAX_PAYLOAD {
                        let len = bytes.len();
                        let error = CodecError::new(format_args!("{len} bytes; {MAX_PAYLOAD} are the most"));
                        return Err(failed(transform.name(), error));
                    }
                }
                codec.decode(&bytes.into())
            }
        };
        decoded.map_err(|error| failed(codec.name(), error))
    }
}
