//! From byte ranges back to batches: the receiving end of a run of batches that was cut anywhere.
//!
//! Owns the bytes between a frame and a checked batch. A batch that lies in one range is handed on as a slice
//! of it; one that spans ranges is assembled once, in memory that grows only with the bytes that came.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::batch::{Batch, BatchError, BatchHeader, HEADER_LEN};

/// Assembles and checks the batches of one stream.
#[derive(Debug)]
pub struct Inflow {
    seed: [u8; 16],
    ranges: VecDeque<Bytes>,
    buffered: usize,
    /// The one range is a copy of so many bytes.
    copied: usize,
    /// The header of the batch that is being assembled.
    header: Option<BatchHeader>,
    assembled: Vec<u8>,
}

impl Inflow {
    /// For batches whose headers are seeded by `seed`: a log's id, or a producer's.
    pub fn new(seed: [u8; 16]) -> Inflow {
        Inflow { seed, ranges: VecDeque::new(), buffered: 0, copied: 0, header: None, assembled: Vec::new() }
    }

    /// Takes the next range of the run.
    pub fn push(&mut self, range: Bytes) {
        if !range.is_empty() {
            self.buffered += range.len();
            self.ranges.push_back(range);
        }
    }

    /// The next whole batch, both CRCs checked; `None` until more bytes come.
    ///
    /// # Errors
    /// [`BatchError`]: the run is damaged and nothing after it can be believed.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, BatchError> {
        let header = match self.header {
            Some(header) => header,
            None => {
                let Some(bytes) = self.peek_header() else {
                    self.let_go();
                    return Ok(None);
                };
                let header = BatchHeader::decode(&bytes, &self.seed)?;
                self.header = Some(header);
                header
            }
        };
        let len = header.stored_len();
        let stored = match self.ranges.front_mut() {
            Some(front) if self.assembled.is_empty() && front.len() >= len => {
                self.buffered -= len;
                front.split_to(len)
            }
            _ => {
                self.assemble(len);
                if self.assembled.len() < len {
                    return Ok(None);
                }
                std::mem::take(&mut self.assembled).into()
            }
        };
        self.header = None;
        if self.ranges.front().is_some_and(Bytes::is_empty) {
            self.ranges.pop_front();
        }
        Batch::verify_body(header, stored).map(Some)
    }

    /// Bytes of the batch that is partly here, 0 between batches: what must fit in the credit for it to arrive.
    pub fn partial_len(&self) -> usize {
        self.header.map_or(0, |header| header.stored_len())
    }

    /// Bytes of memory that what is here takes.
    pub fn held(&self) -> usize {
        self.buffered + self.assembled.capacity()
    }

    /// Whether the run stands between two batches.
    pub fn is_between_batches(&self) -> bool {
        self.buffered == 0 && self.assembled.is_empty() && self.header.is_none()
    }

    fn peek_header(&self) -> Option<[u8; HEADER_LEN]> {
        if self.buffered < HEADER_LEN {
            return None;
        }
        let mut header = [0u8; HEADER_LEN];
        let mut filled = 0;
        for range in &self.ranges {
            let take = range.len().min(HEADER_LEN - filled);
            header[filled..filled + take].copy_from_slice(&range[..take]);
            filled += take;
            if filled == HEADER_LEN {
                break;
            }
        }
        Some(header)
    }

    /// Copies what is less than a header: a slice of it would keep all that was read with it.
    fn let_go(&mut self) {
        if self.buffered == self.copied && self.ranges.len() <= 1 {
            return;
        }
        let copy: Vec<u8> = self.ranges.iter().flatten().copied().collect();
        self.copied = copy.len();
        self.ranges.clear();
        self.ranges.push_back(copy.into());
    }

    /// Moves ranges into the assembled batch, up to `len` bytes of it.
    fn assemble(&mut self, len: usize) {
        while let Some(front) = self.ranges.front_mut() {
            let take = front.len().min(len - self.assembled.len());
            if self.assembled.capacity() - self.assembled.len() < take {
                // Doubling, but never past the batch: a header alone makes nobody allocate.
                let more = self.assembled.len().max(take).min(len - self.assembled.len());
                self.assembled.reserve_exact(more);
            }
            self.assembled.extend_from_slice(&front.split_to(take));
            self.buffered -= take;
            if !front.is_empty() {
                break;
            }
            self.ranges.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Stamp};
    use crate::record::AsRecord;
    use crate::types::{Epoch, Offset, Timestamp};
    use proptest::prelude::*;

    const SEED: [u8; 16] = [1; 16];

    fn run(sizes: &[usize]) -> (Vec<u8>, usize) {
        let mut run = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let mut builder = BatchBuilder::new(Offset(index as u64), None);
            builder.push(Timestamp(index as i64), &vec![index as u8; *size].as_record());
            let stamp = Stamp { seed: &SEED, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
            run.extend_from_slice(&builder.finish(stamp).1);
        }
        (run, sizes.len())
    }

    proptest! {
        #[test]
        fn a_run_cut_anywhere_gives_its_batches(
            sizes in prop::collection::vec(0usize..3000, 1..20),
            cuts in prop::collection::vec(1usize..2000, 1..200),
        ) {
            let (run, count) = run(&sizes);
            let mut inflow = Inflow::new(SEED);
            let mut rest = Bytes::from(run);
            let mut cuts = cuts.iter().cycle();
            let mut next = 0;
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                inflow.push(rest.split_to(cut));
                while let Some(batch) = inflow.next_batch().unwrap() {
                    prop_assert_eq!(batch.header().base_offset, Offset(next));
                    prop_assert_eq!(batch.records().next().unwrap().unwrap().payload.len(), sizes[next as usize]);
                    next += 1;
                }
            }
            prop_assert_eq!(next as usize, count);
            prop_assert!(inflow.is_between_batches());
        }
    }

    #[test]
    fn a_batch_in_one_range_is_not_copied() {
        let bytes = Bytes::from(run(&[100, 200]).0);
        let mut inflow = Inflow::new(SEED);
        inflow.push(bytes.clone());
        assert_eq!(inflow.next_batch().unwrap().unwrap().stored().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn a_header_alone_allocates_nothing_like_its_announced_length() {
        let bytes = Bytes::from(run(&[1 << 20]).0);
        let mut inflow = Inflow::new(SEED);
        inflow.push(bytes.slice(..100));
        assert_eq!(inflow.next_batch().unwrap(), None);
        assert!(inflow.assembled.capacity() <= 200);
        assert_eq!(inflow.partial_len(), bytes.len());
    }

    #[test]
    fn a_part_of_a_header_keeps_nothing_of_what_was_read_with_it() {
        let (run, _) = run(&[100, 200]);
        let read = Bytes::from([&run[..], &vec![0; 1 << 18]].concat());
        let mut inflow = Inflow::new(SEED);
        for cut in 0..HEADER_LEN - 1 {
            inflow.push(read.slice(cut..=cut));
            assert_eq!(inflow.next_batch().unwrap(), None);
            assert_eq!(inflow.held(), cut + 1);
        }
        assert!(read.is_unique());
        inflow.push(read.slice(HEADER_LEN - 1..run.len()));
        assert_eq!(std::iter::from_fn(|| inflow.next_batch().unwrap()).count(), 2);
        assert!(inflow.is_between_batches());
    }

    #[test]
    fn rubbish_is_an_error() {
        let mut inflow = Inflow::new(SEED);
        inflow.push(Bytes::from_static(&[0x55; 64]));
        assert_eq!(inflow.next_batch(), Err(BatchError::Magic));
    }
}
