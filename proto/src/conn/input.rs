//! Bytes that were read and are not asked for yet.
//!
//! Owns how much one read asks of the socket: little for who says little, more for who sends much, never more than the
//! owner can spare; and that who falls silent holds nothing.

use bytes::{Buf, BytesMut};

use crate::limits::{MAX_FRAME, MAX_READ, MIN_READ};
use crate::wire::FRAME_HEADER_LEN;

/// The input of one connection.
#[derive(Debug)]
pub(super) struct Input {
    bytes: BytesMut,
    read_size: usize,
    /// The most that may be held.
    most: usize,
    /// Bytes of the frame that begins here, if its header came and the rest did not.
    whole: usize,
}

impl Default for Input {
    fn default() -> Input {
        Input { bytes: BytesMut::new(), read_size: MIN_READ, most: MAX_READ, whole: 0 }
    }
}

impl Input {
    /// Where to read to.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let missing = self.whole.saturating_sub(self.bytes.len()).next_power_of_two();
        let size = self.read_size.max(missing).min(self.most);
        if self.bytes.is_empty() && self.bytes.capacity() > 4 * size {
            self.bytes = BytesMut::new();
        }
        if self.bytes.capacity() - self.bytes.len() < size / 2 {
            self.bytes.reserve(size);
        }
        &mut self.bytes
    }

    /// Whether more is welcome: not while a whole frame is there, nor beyond what may be held.
    pub(super) fn is_welcome(&self) -> bool {
        self.bytes.len() < self.most.min(FRAME_HEADER_LEN + MAX_FRAME)
    }

    /// So much was read.
    pub(super) fn received(&mut self, count: usize) {
        if count >= self.read_size / 2 {
            self.read_size = (self.read_size * 2).min(MAX_READ);
        } else if count < self.read_size / 16 {
            self.read_size = (self.read_size / 2).max(MIN_READ);
        }
    }

    /// What is there.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a frame began that is longer than what may be held.
    pub(super) fn is_starved(&self) -> bool {
        !self.is_welcome() && self.bytes.len() < self.whole
    }

    /// Takes `count` bytes off that are there.
    pub(super) fn take(&mut self, count: usize) -> BytesMut {
        self.whole = 0;
        self.bytes.split_to(count.min(self.bytes.len()))
    }

    /// Drops `count` bytes that are there.
    pub(super) fn skip(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
    }

    /// The frame that begins here has `whole` bytes, of which some are missing.
    pub(super) fn awaits(&mut self, whole: usize) {
        self.whole = whole;
    }

    /// Holds at most `most` bytes from now on, and reads no more than that at once.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most.clamp(MIN_READ, MAX_READ);
    }

    /// Nothing was there to be read: who says little holds no memory to read to meanwhile.
    pub(super) fn nothing_came(&mut self) {
        if self.bytes.is_empty() && self.read_size == MIN_READ {
            self.bytes = BytesMut::new();
        }
    }

    /// Nothing came for a while: lets go of what a busy time has left.
    pub(super) fn relax(&mut self) {
        self.read_size = MIN_READ;
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    /// Nothing will be parsed any more.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &mut Input, count: usize) {
        assert!(input.is_welcome());
        let room = input.room();
        room.resize(room.len() + count, 7);
        input.received(count);
    }

    #[test]
    fn reads_grow_for_who_sends_much_and_who_falls_silent_holds_nothing() {
        let mut input = Input::default();
        for _ in 0..20 {
            let count = input.room().capacity();
            read(&mut input, count.min(60_000));
            input.take(usize::MAX);
        }
        assert!(input.room().capacity() >= MAX_READ / 2);
        input.relax();
        assert_eq!(input.bytes.capacity(), 0);
        input.room().extend_from_slice(b"something");
        input.nothing_came();
        assert_eq!(input.bytes(), b"something");
        input.take(9);
        input.room();
        input.nothing_came();
        assert_eq!(input.bytes.capacity(), 0);
        assert!(input.room().capacity() <= MIN_READ);
    }

    // NC-LIM-008
    #[test]
    fn who_sent_much_and_now_little_holds_little_though_it_never_falls_silent() {
        let mut input = Input::default();
        for _ in 0..20 {
            let count = input.room().capacity();
            read(&mut input, count.min(60_000));
            input.take(usize::MAX);
        }
        for _ in 0..10 {
            read(&mut input, 16);
            input.take(usize::MAX);
        }
        assert!(input.room().capacity() <= 4 * MIN_READ, "{}", input.room().capacity());
    }

    #[test]
    fn no_more_is_held_than_can_be_spared_whatever_a_frame_announces() {
        let mut input = Input::default();
        input.limit(0);
        input.awaits(FRAME_HEADER_LEN + MAX_FRAME);
        while input.is_welcome() {
            assert!(input.room().capacity() <= 2 * MIN_READ);
            read(&mut input, 1000);
        }
        assert!(input.bytes().len() < MIN_READ + 1000);
        input.limit(MAX_READ);
        assert!(input.is_welcome());
        assert!(input.room().capacity() >= FRAME_HEADER_LEN + MAX_FRAME, "the rest comes in one read");
    }
}
