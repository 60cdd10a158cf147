//! Where a reading stands in a run of batches, and what it has to know of the batch there.

use netchan_proto::Offset;
use netchan_proto::batch::HEADER_LEN;

/// A place in a log: in the run of batches that begins with the one that holds this offset, after so many bytes of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) offset: Offset,
    pub(super) skip: usize,
}

impl At {
    pub(super) fn start_of(offset: Offset) -> At {
        At { offset, skip: 0 }
    }
}

/// What a batch's header says, taken from a run. The store has checked it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Glance {
    /// Bytes of the batch: at least one, and no more than are there.
    pub(super) len: usize,
    /// Records that are gone when it is.
    pub(super) records: u64,
    /// The offset after it; none for a part of a batch that does not end it.
    pub(super) next: Option<Offset>,
}

impl Glance {
    /// The batch that begins here.
    pub(super) fn at(bytes: &[u8]) -> Glance {
        let word = |at: usize| {
            let field = bytes.get(at..at + 4).and_then(|field| <[u8; 4]>::try_from(field).ok());
            field.map_or(0, u32::from_le_bytes)
        };
        let base = u64::from(word(16)) | u64::from(word(20)) << 32;
        Glance {
            len: (HEADER_LEN + (word(8) as usize).next_multiple_of(8)).min(bytes.len()),
            records: word(40).into(),
            next: Some(Offset(base).plus(word(36).into())),
        }
    }
}
