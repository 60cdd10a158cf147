//! Bytes waiting for the socket: small frames gathered in one buffer, log bytes passed through untouched.
//!
//! It is a [`bytes::Buf`], so a driver writes it vectored and advances it by what the socket took.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// A range up to this long is copied beside the frames around it: cheaper than a slice of its own in writev.
const COPY_BELOW: usize = 2048;

/// The output of one connection.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: VecDeque<Bytes>,
    /// What comes after the queue.
    gathered: BytesMut,
    len: usize,
    gone: u64,
    /// What is in the queue keeps nothing in memory but itself.
    compact: bool,
}

impl Outbound {
    /// Appends a small frame by letting `write` put it at the end of the buffer.
    pub(crate) fn gather(&mut self, frame: &[u8]) {
        self.len += frame.len();
        self.gathered.extend_from_slice(frame);
    }

    /// Appends log bytes.
    pub(crate) fn pass(&mut self, range: Bytes) {
        if range.len() <= COPY_BELOW {
            return self.gather(&range);
        }
        self.len += range.len();
        if !self.gathered.is_empty() {
            self.queue.push_back(self.gathered.split().freeze());
        }
        self.queue.push_back(range);
        self.compact = false;
    }

    /// Copies what waits, once: a slice of a run would keep all of it in memory for as long as the peer takes to read.
    pub fn compact(&mut self) {
        if std::mem::replace(&mut self.compact, true) || self.queue.is_empty() {
            return;
        }
        let mut copy = Vec::with_capacity(self.len - self.gathered.len());
        self.queue.drain(..).for_each(|bytes| copy.extend_from_slice(&bytes));
        self.queue.shrink_to(1);
        self.queue.push_back(copy.into());
    }

    /// Lets go of what a busy time has left.
    pub(crate) fn relax(&mut self) {
        if self.len == 0 {
            *self = Outbound { gone: self.gone, ..Outbound::default() };
        }
    }

    /// Bytes that were taken, in all.
    pub(crate) fn gone(&self) -> u64 {
        self.gone
    }
}

impl Buf for Outbound {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&self.gathered, |front| front)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let gathered: &[u8] = &self.gathered;
        let chunks =
            self.queue.iter().map(|bytes| &bytes[..]).chain((!gathered.is_empty()).then_some(gathered));
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    /// As [`Buf::advance`]; more than what remains empties it.
    fn advance(&mut self, count: usize) {
        let mut count = count.min(self.len);
        self.len -= count;
        self.gone += count as u64;
        while let Some(front) = self.queue.front_mut() {
            if count < front.len() {
                return front.advance(count);
            }
            count -= front.len();
            self.queue.pop_front();
        }
        self.gathered.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_can_be_made_to_keep_nothing_but_itself() {
        let run: Bytes = (0..=255).cycle().take(1 << 20).collect();
        let mut out = Outbound::default();
        out.gather(b"abc");
        out.pass(run.slice(..5000));
        out.gather(b"def");
        out.pass(run.slice(9000..14_000));
        out.gather(b"ghi");
        out.advance(1000);
        let (len, gone) = (out.remaining(), out.gone());
        let expected = [&b"abc"[..], &run[..5000], b"def", &run[9000..14_000], b"ghi"].concat();
        out.compact();
        assert!(run.is_unique());
        assert_eq!((out.remaining(), out.gone()), (len, gone));
        let at = out.chunk().as_ptr();
        out.compact();
        assert_eq!(out.chunk().as_ptr(), at, "it is copied once");
        out.pass(run.slice(..3000));
        out.compact();
        assert!(run.is_unique());
        assert_eq!(out.copy_to_bytes(len + 3000), [&expected[1000..], &run[..3000]].concat());
    }

    #[test]
    fn gives_bytes_in_order_however_it_is_advanced() {
        for step in 1..5000 {
            let mut out = Outbound::default();
            out.gather(b"abc");
            out.pass(Bytes::from(vec![1; 3000]));
            out.gather(b"def");
            out.pass(Bytes::from_static(b"small"));
            out.pass(Bytes::from(vec![2; 4000]));
            out.gather(b"ghi");
            let expected: Vec<u8> = [&b"abc"[..], &[1; 3000], b"defsmall", &[2; 4000], b"ghi"].concat();
            let mut read = Vec::new();
            while out.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 8];
                let filled = out.chunks_vectored(&mut slices);
                let flat: Vec<u8> = slices[..filled].iter().flat_map(|s| s.iter().copied()).collect();
                assert_eq!(flat.len(), out.remaining());
                let take = step.min(flat.len());
                read.extend_from_slice(&flat[..take]);
                drop(flat);
                out.advance(take);
            }
            assert_eq!(read, expected);
        }
    }
}
