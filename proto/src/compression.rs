//! Bytes made shorter, and made again: of whole batches and of single values.
//!
//! Owns the codecs of batch headers (spec/07-batch.md) and the bounds that hold for both: nothing is allocated for a
//! length before it is known to be one that its bytes can come to.

use std::fmt;

/// How bytes are made shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As a block of [LZ4](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md).
    Lz4,
    /// As a frame of [Zstandard](https://www.rfc-editor.org/rfc/rfc8878). Only with the feature `zstd`.
    Zstd,
}

/// The most bytes that one byte of an LZ4 block can come to: a match's length goes on with bytes that count 255 each.
const LZ4_RATIO: usize = 255;
/// The most bytes that a block of a Zstandard frame comes to, and the fewest that it takes.
#[cfg(feature = "zstd")]
const ZSTD_BLOCK: (usize, usize) = (128 << 10, 4);
/// As `zstd` itself has it.
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;

/// Why bytes cannot be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// This program knows the codec but was made without it.
    #[error("it is compressed as {0}, which this program was made without")]
    Without(Compression),
    /// More bytes than there may be, or than the compressed ones can come to. Nothing was allocated for them.
    #[error("{compressed} compressed bytes claim to come to {raw}; {most} are the most")]
    TooLarge {
        /// How many compressed bytes there are.
        compressed: usize,
        /// What they claim to come to.
        raw: usize,
        /// What they may come to.
        most: usize,
    },
    /// They are none of this codec, or don't come to the length that they claim.
    #[error("what is compressed as {0} is damaged")]
    Damaged(Compression),
}

impl Compression {
    /// The number that stands for it on the wire and on the disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Lz4 => 1,
            Compression::Zstd => 2,
        }
    }

    /// The codec that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Compression> {
        match code {
            0 => Some(Compression::None),
            1 => Some(Compression::Lz4),
            2 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// Whether this program was made with it.
    #[must_use]
    pub fn is_known(self) -> bool {
        self != Compression::Zstd || cfg!(feature = "zstd")
    }

    /// Appends `raw` to `into`, compressed, if it is shorter so; says whether. If not, `into` is as it was.
    pub fn compress(self, raw: &[u8], into: &mut Vec<u8>) -> bool {
        let before = into.len();
        let room = match self {
            Compression::None => return false,
            Compression::Lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::zstd_safe::compress_bound(raw.len()),
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => return false,
        };
        into.resize(before + room, 0);
        let len = match self {
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::bulk::compress_to_buffer(raw, &mut into[before..], ZSTD_LEVEL).ok(),
            _ => lz4_flex::block::compress_into(raw, &mut into[before..]).ok(),
        };
        let shorter = len.filter(|len| *len < raw.len());
        into.truncate(before + shorter.unwrap_or(0));
        shorter.is_some()
    }

    /// Makes `raw_len` bytes again of `compressed`: at most `limit`.
    ///
    /// # Errors
    /// [`CompressionError`].
    pub fn decompress(
        self,
        compressed: &[u8],
        raw_len: usize,
        limit: usize,
    ) -> Result<Vec<u8>, CompressionError> {
        let most = match self {
            Compression::None => compressed.len(),
            Compression::Lz4 => compressed.len().saturating_mul(LZ4_RATIO),
            #[cfg(feature = "zstd")]
            Compression::Zstd => (compressed.len() / ZSTD_BLOCK.1).saturating_mul(ZSTD_BLOCK.0),
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => return Err(CompressionError::Without(self)),
        };
        let most = most.min(limit);
        if raw_len > most {
            return Err(CompressionError::TooLarge { compressed: compressed.len(), raw: raw_len, most });
        }
        let mut raw = vec![0; raw_len];
        let len = match self {
            Compression::None if compressed.len() == raw_len => {
                raw.copy_from_slice(compressed);
                Some(raw_len)
            }
            Compression::None => None,
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::bulk::decompress_to_buffer(compressed, &mut raw).ok(),
            _ => lz4_flex::block::decompress_into(compressed, &mut raw).ok(),
        };
        if len == Some(raw_len) { Ok(raw) } else { Err(CompressionError::Damaged(self)) }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[Compression] = &[
        Compression::Lz4,
        #[cfg(feature = "zstd")]
        Compression::Zstd,
    ];

    fn words(count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| format!("word {} ", number % 77).into_bytes()).collect()
    }

    #[test]
    fn what_gets_no_shorter_stays_as_it_is() {
        for codec in KNOWN {
            let mut into = b"before".to_vec();
            assert!(!codec.compress(b"short", &mut into) && !codec.compress(b"", &mut into));
            assert_eq!(into, b"before");
            assert!(codec.compress(&words(100), &mut into) && into.starts_with(b"before"));
            assert!(into.len() < words(100).len() / 2);
        }
    }

    // NC-VAL-009, NC-BAT-030
    #[test]
    fn a_length_that_cannot_be_is_refused_before_there_is_memory_for_it() {
        for codec in KNOWN {
            let mut bomb = Vec::new();
            assert!(codec.compress(&vec![0; 8 << 20], &mut bomb));
            assert!(bomb.len() < 40 << 10, "{}", bomb.len());
            assert_eq!(codec.decompress(&bomb, 8 << 20, 8 << 20).unwrap().len(), 8 << 20);
            let refused = codec.decompress(&bomb, 8 << 20, (8 << 20) - 1);
            assert!(matches!(refused, Err(CompressionError::TooLarge { raw: 0x80_0000, .. })), "{refused:?}");
            for lie in [(8 << 20) - 1, (8 << 20) + 1] {
                assert_eq!(codec.decompress(&bomb, lie, 16 << 20), Err(CompressionError::Damaged(*codec)));
            }
            // Far more than so few bytes can come to.
            let refused = codec.decompress(&bomb[..3], 16 << 20, 16 << 20);
            assert!(matches!(refused, Err(CompressionError::TooLarge { .. })), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_made_again(raw in prop::collection::vec(0u8..4, 0..5000)) {
            for codec in KNOWN {
                let mut compressed = Vec::new();
                if codec.compress(&raw, &mut compressed) {
                    prop_assert_eq!(codec.decompress(&compressed, raw.len(), raw.len()), Ok(raw.clone()));
                }
            }
        }

        #[test]
        fn rubbish_never_panics(rubbish in prop::collection::vec(any::<u8>(), 0..500), raw_len in 0usize..100_000) {
            for codec in KNOWN {
                if let Ok(raw) = codec.decompress(&rubbish, raw_len, 1 << 16) {
                    prop_assert_eq!(raw.len(), raw_len);
                }
            }
        }
    }
}
