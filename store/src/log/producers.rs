//! What makes a published record count once: for each producer, the sequence that is to come.

use std::collections::HashMap;

use netchan_proto::batch::{BatchHeader, HEADER_LEN, PRODUCER_PREFIX};
use netchan_proto::{Offset, ProducerId};

/// Producers that are remembered. Beyond it those whose last record is oldest are forgotten.
pub(super) const MAX_PRODUCERS: usize = 4096;
/// How many are forgotten at once.
const FORGET: usize = 256;
/// Bytes of one producer in a segment's head.
pub(super) const ENTRY_LEN: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The sequence right after the last one in the log.
    pub(super) next: u64,
    /// The offset of its last record.
    pub(super) last: Offset,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers(HashMap<ProducerId, Entry>);

impl Producers {
    pub(super) fn get(&self, id: ProducerId) -> Option<Entry> {
        self.0.get(&id).copied()
    }

    /// Notes that `id`'s sequences before `next` are in the log, the last at `last`.
    pub(super) fn note(&mut self, id: ProducerId, next: u64, last: Offset) {
        let entry = self.0.entry(id).or_insert(Entry { next, last });
        entry.next = entry.next.max(next);
        entry.last = last;
        if self.0.len() > MAX_PRODUCERS {
            let mut lasts: Vec<Offset> = self.0.values().map(|entry| entry.last).collect();
            let (_, &mut keep_from, _) = lasts.select_nth_unstable(FORGET);
            self.0.retain(|_, entry| entry.last >= keep_from);
        }
    }

    /// Notes what a stored batch says of its producer.
    pub(super) fn note_batch(&mut self, header: &BatchHeader, stored: &[u8]) {
        if let Some((id, sequence)) = producer_of(header, stored) {
            let next = sequence.saturating_add(u64::from(header.record_count));
            self.note(id, next, Offset(header.next_offset().0.saturating_sub(1)));
        }
    }

    /// The table as it stands in a segment's head, in the order of ids.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut ids: Vec<_> = self.0.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        let mut bytes = Vec::with_capacity(ids.len() * ENTRY_LEN);
        for (id, entry) in ids {
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&entry.next.to_le_bytes());
            bytes.extend_from_slice(&entry.last.0.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Producers::encode`] wrote; a remainder that is no whole entry is left out.
    pub(super) fn decode(bytes: &[u8]) -> Producers {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let entries = bytes.chunks_exact(ENTRY_LEN).filter_map(|entry| {
            let (id, rest) = entry.split_first_chunk::<16>()?;
            Some((ProducerId(*id), Entry { next: number(&rest[..8]), last: Offset(number(&rest[8..])) }))
        });
        Producers(entries.take(MAX_PRODUCERS).collect())
    }
}

/// Who produced a stored batch, of which at least header and producer prefix are there.
pub(super) fn producer_of(header: &BatchHeader, stored: &[u8]) -> Option<(ProducerId, u64)> {
    if !header.has_producer {
        return None;
    }
    let prefix = stored.get(HEADER_LEN..HEADER_LEN + PRODUCER_PREFIX)?;
    let (id, sequence) = prefix.split_first_chunk::<16>()?;
    Some((ProducerId(*id), u64::from_le_bytes(sequence.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> ProducerId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ProducerId(bytes)
    }

    #[test]
    fn the_table_is_read_as_it_was_written() {
        let mut table = Producers::default();
        for n in 0..100 {
            table.note(id(n), n * 3, Offset(n));
        }
        assert_eq!(Producers::decode(&table.encode()), table);
    }

    #[test]
    fn those_silent_for_longest_are_forgotten() {
        let mut table = Producers::default();
        for n in 0..=MAX_PRODUCERS as u64 {
            table.note(id(n), 1, Offset(n));
        }
        assert_eq!(table.0.len(), MAX_PRODUCERS + 1 - FORGET);
        assert_eq!(table.get(id(0)), None);
        assert!(table.get(id(MAX_PRODUCERS as u64)).is_some());
    }

    #[test]
    fn as_many_are_remembered_as_the_limit_says_and_beyond_it_the_oldest_go() {
        let mut producers = Producers::default();
        let id = |n: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_le_bytes());
            ProducerId(id)
        };
        let most = MAX_PRODUCERS as u64;
        (0..most).for_each(|n| producers.note(id(n), 1, Offset(n)));
        assert!((0..most).all(|n| producers.get(id(n)).is_some()));
        producers.note(id(most), 1, Offset(most));
        let left = (0..=most).filter(|n| producers.get(id(*n)).is_some()).count();
        assert_eq!(left, MAX_PRODUCERS + 1 - FORGET);
        assert!(producers.get(id(FORGET as u64 - 1)).is_none() && producers.get(id(FORGET as u64)).is_some());
    }
}
