//! Codecs over what [serde](https://serde.rs) can do, and one that leaves bytes as they are.
//!
//! Each reads all bytes of a record, or says that some are left. What a hostile sender can make of a type that holds itself
//! (a list of lists of lists) is the codec's to bound: JSON, MessagePack and CBOR do, at
//! [`MAX_NESTING`](netchan_proto::limits::MAX_NESTING) levels; postcard does not.

use bytes::Bytes;

#[cfg(any(feature = "messagepack", feature = "cbor"))]
use netchan_proto::limits::MAX_NESTING;

use super::{Codec, CodecError};

/// Bytes as they are: of a channel that has transforms only, or whose senders and receivers are to agree that it has
/// bytes. Content `raw`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec<Bytes> for Raw {
    fn name(&self) -> &str {
        "raw"
    }

    fn encode(&self, value: &Bytes, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, CodecError> {
        Ok(bytes.clone())
    }
}

impl Codec<Vec<u8>> for Raw {
    fn name(&self) -> &str {
        "raw"
    }

    fn encode(&self, value: &Vec<u8>, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

#[cfg(any(feature = "postcard", feature = "messagepack", feature = "cbor"))]
fn left_over(left: usize) -> CodecError {
    CodecError::new(format_args!("{left} bytes are left over"))
}

#[cfg(any(feature = "postcard", feature = "json", feature = "messagepack", feature = "cbor"))]
macro_rules! serde_codec {
    ($(#[$doc:meta])* $codec:ident = $name:literal, $encode:expr, $decode:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $codec;

        impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for $codec {
            fn name(&self) -> &str {
                $name
            }

            #[inline]
            fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
                let encode: fn(&T, &mut Vec<u8>) -> Result<(), CodecError> = $encode;
                encode(value, into)
            }

            #[inline]
            fn decode(&self, bytes: &Bytes) -> Result<T, CodecError> {
                let decode: fn(&[u8]) -> Result<T, CodecError> = $decode;
                decode(bytes)
            }
        }
    };
}

#[cfg(feature = "postcard")]
serde_codec! {
    /// [postcard](https://postcard.jamesmunns.com/wire-format): short and fast; fields have no names, so both sides need the
    /// same type. It does not bound how deep a type that holds itself may go: not for those from a sender that is not trusted.
    /// Content `postcard`.
    Postcard = "postcard",
    |value, into| postcard::serialize_with_flavor(value, AtTheEnd(into)).map_err(CodecError::new),
    |bytes| {
        let mut deserializer = postcard::Deserializer::from_bytes(bytes);
        // The value is not moved before it is returned, which would cost a third of all this.
        let value = T::deserialize(&mut deserializer);
        let left = deserializer.finalize().map_or(usize::MAX, <[u8]>::len);
        match value {
            Ok(value) if left == 0 => Ok(value),
            Ok(_) => Err(left_over(left)),
            Err(error) => Err(CodecError::new(error)),
        }
    }
}

/// Where postcard writes: `to_extend` would take byte by byte.
#[cfg(feature = "postcard")]
struct AtTheEnd<'a>(&'a mut Vec<u8>);

#[cfg(feature = "postcard")]
impl postcard::ser_flavors::Flavor for AtTheEnd<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "json")]
serde_codec! {
    /// [JSON](https://www.rfc-editor.org/rfc/rfc8259): for people and for other languages. Content `json`.
    Json = "json",
    |value, into| serde_json::to_writer(into, value).map_err(CodecError::new),
    |bytes| serde_json::from_slice(bytes).map_err(CodecError::new)
}

#[cfg(feature = "messagepack")]
serde_codec! {
    /// [MessagePack](https://msgpack.org), with the names of fields. Content `messagepack`.
    MessagePack = "messagepack",
    |value, into| rmp_serde::encode::write_named(into, value).map_err(CodecError::new),
    |bytes| {
        let mut rest = bytes;
        let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
        deserializer.set_max_depth(MAX_NESTING);
        let value = T::deserialize(&mut deserializer).map_err(CodecError::new)?;
        if rest.is_empty() { Ok(value) } else { Err(left_over(rest.len())) }
    }
}

#[cfg(feature = "cbor")]
serde_codec! {
    /// [CBOR](https://www.rfc-editor.org/rfc/rfc8949), with the names of fields. Content `cbor`.
    Cbor = "cbor",
    |value, into| ciborium::into_writer(value, into).map_err(CodecError::new),
    |bytes| {
        let mut rest = bytes;
        let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_NESTING).map_err(CodecError::new)?;
        if rest.is_empty() { Ok(value) } else { Err(left_over(rest.len())) }
    }
}
