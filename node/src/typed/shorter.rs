//! Each value made shorter by itself: for what is encrypted afterwards. Elsewhere batches are compressed whole, which gains
//! more.

use netchan_proto::Compression;
use netchan_proto::limits::MAX_PAYLOAD;

use super::{Beside, CodecError, Transform};

/// The value stands as it is.
const AS_IT_IS: u8 = 0;
/// Its length follows, a u32, and then itself, compressed.
const COMPRESSED: u8 = 1;

/// [LZ4](https://lz4.org), of each value by itself. Name `lz4`.
///
/// What is compressed and then encrypted tells by its length how well it was compressed: where a value holds a secret beside
/// what an onlooker may choose, they could guess at it. Then encrypt without compressing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lz4;

impl Transform for Lz4 {
    fn name(&self) -> &str {
        "lz4"
    }

    fn apply(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        shorten(Compression::Lz4, bytes)
    }

    fn undo(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        restore(Compression::Lz4, bytes)
    }
}

/// [Zstandard](https://facebook.github.io/zstd/), of each value by itself. Name `zstd`. See [`Lz4`] for what a length may
/// tell.
#[cfg(feature = "zstd")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Zstd;

#[cfg(feature = "zstd")]
impl Transform for Zstd {
    fn name(&self) -> &str {
        "zstd"
    }

    fn apply(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        shorten(Compression::Zstd, bytes)
    }

    fn undo(&self, _: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        restore(Compression::Zstd, bytes)
    }
}

fn shorten(compression: Compression, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    let len = u32::try_from(bytes.len()).map_err(CodecError::new)?;
    let mut out = Vec::with_capacity(5 + bytes.len());
    out.push(COMPRESSED);
    out.extend_from_slice(&len.to_le_bytes());
    if !compression.compress(bytes, &mut out) {
        out.clear();
        out.push(AS_IT_IS);
        out.extend_from_slice(bytes);
    }
    *bytes = out;
    Ok(())
}

fn restore(compression: Compression, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    match bytes.split_first() {
        Some((&AS_IT_IS, _)) => drop(bytes.remove(0)),
        Some((&COMPRESSED, rest)) => {
            let (len, rest) = rest.split_first_chunk().ok_or(CodecError::new("it is cut short"))?;
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
            *bytes = compression.decompress(rest, len, MAX_PAYLOAD).map_err(CodecError::new)?;
        }
        _ => return Err(CodecError::new("it does not begin with 0 or 1")),
    }
    Ok(())
}
