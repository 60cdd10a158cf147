//! How much to ask a stream for that reads into initialised memory only.
//!
//! Owns a guess that follows what came last, so that a record that comes alone costs no clearing of 64 KiB, and a flood is
//! read in large pieces.

use std::io;
use std::task::{Poll, ready};

use bytes::BytesMut;

/// What is asked for to begin with, and at least.
const LEAST: usize = 4 << 10;

/// How much to ask a stream for.
#[derive(Debug)]
pub struct Gulp(usize);

impl Default for Gulp {
    fn default() -> Gulp {
        Gulp(LEAST)
    }
}

impl Gulp {
    /// Has `read` read once, to the end of `into`, within the room there is.
    ///
    /// # Errors
    /// What `read` says.
    pub fn poll_read(
        &mut self,
        into: &mut BytesMut,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let (held, room) = (into.len(), into.capacity());
        let most = (room - held).min(self.0);
        into.resize(held + most, 0);
        let read = read(&mut into[held..]);
        let count = match &read {
            Poll::Ready(Ok(count)) => (*count).min(most),
            _ => 0,
        };
        into.truncate(held + count);
        ready!(read)?;
        self.0 = match count {
            _ if count == most => (most * 2).max(LEAST),
            _ => most.min(count * 2).max(LEAST),
        };
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what there is of `flood` bytes; says how much was asked for.
    fn read(gulp: &mut Gulp, into: &mut BytesMut, flood: usize) -> usize {
        let mut asked = 0;
        let read = gulp.poll_read(into, |buffer| {
            asked = buffer.len();
            let count = buffer.len().min(flood);
            buffer[..count].fill(7);
            Poll::Ready(Ok(count))
        });
        assert!(matches!(read, Poll::Ready(Ok(count)) if count == asked.min(flood)));
        asked
    }

    #[test]
    fn more_is_asked_for_while_much_comes_and_less_when_it_does_not() {
        let (mut gulp, mut into) = (Gulp::default(), BytesMut::with_capacity(1 << 20));
        let asked: Vec<usize> = (0..4).map(|_| read(&mut gulp, &mut into, usize::MAX)).collect();
        assert_eq!(asked, [LEAST, 2 * LEAST, 4 * LEAST, 8 * LEAST]);
        assert_eq!(read(&mut gulp, &mut into, 100), 16 * LEAST);
        assert_eq!(read(&mut gulp, &mut into, 100), LEAST);
        assert_eq!(into.len(), 15 * LEAST + 200);
        assert!(into.iter().all(|&byte| byte == 7));
    }

    #[test]
    fn no_room_is_made_and_what_was_not_read_is_not_there() {
        let (mut gulp, mut into) = (Gulp::default(), BytesMut::with_capacity(100));
        let room = into.capacity();
        assert_eq!(read(&mut gulp, &mut into, usize::MAX), room);
        assert_eq!((into.len(), into.capacity()), (room, room));
        let (mut gulp, mut into) = (Gulp::default(), BytesMut::with_capacity(100));
        assert!(gulp.poll_read(&mut into, |_| Poll::Pending).is_pending());
        let failed = gulp.poll_read(&mut into, |_| Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())));
        assert!(matches!(failed, Poll::Ready(Err(_))));
        assert!(into.is_empty());
    }
}
