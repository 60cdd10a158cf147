//! The wire between a machine and the other side, in virtual time; it can be cut after any byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Buf;
use netchan_node::{
    Dialling, ErrorKind, Lost, Machine, Next, PatternCore, PublisherCore, Received, ReceiverCore,
};
use netchan_proto::conn::Connection;
use netchan_proto::{Instant, Side};

use super::Far;

/// What a receiver gave out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Record(u64, String),
    Error(ErrorKind),
    Over,
}

/// Either machine, as its driver sees it.
pub(crate) trait Near: Dialling {
    /// Says whether anything came of it.
    fn turn(&mut self, now: Instant, got: &mut Vec<Got>) -> bool;
}

impl Near for ReceiverCore {
    fn turn(&mut self, now: Instant, got: &mut Vec<Got>) -> bool {
        if got.last() == Some(&Got::Over) {
            return false;
        }
        let before = got.len();
        loop {
            got.push(match self.next(now) {
                Next::Record(record) => {
                    Got::Record(record.offset.0, String::from_utf8(record.payload.to_vec()).unwrap())
                }
                Next::Error(error) => Got::Error(error.kind()),
                Next::Over => {
                    got.push(Got::Over);
                    return true;
                }
                Next::Idle => return got.len() > before,
            });
        }
    }
}

impl Near for PatternCore {
    fn turn(&mut self, now: Instant, got: &mut Vec<Got>) -> bool {
        let before = got.len();
        if got.last() == Some(&Got::Over) {
            return false;
        }
        loop {
            got.push(match self.next(now) {
                Next::Record(Received { channel, record }) => {
                    let text = std::str::from_utf8(&record.payload).unwrap();
                    Got::Record(record.offset.0, format!("{channel}: {}", &text[..text.len().min(20)]))
                }
                Next::Error(error) => Got::Error(error.kind()),
                Next::Over => Got::Over,
                Next::Idle => return got.len() > before,
            });
            if got.last() == Some(&Got::Over) {
                return true;
            }
        }
    }
}

impl Near for PublisherCore {
    fn turn(&mut self, now: Instant, _: &mut Vec<Got>) -> bool {
        self.work(now, Waker::noop());
        false
    }
}

/// One whose program is busy with other things.
pub(crate) struct Busy<'a, M>(pub &'a mut M);

impl<M: Dialling> Machine for Busy<'_, M> {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.0.connection()
    }
    fn work(&mut self, now: Instant, waker: &Waker) {
        self.0.work(now, waker);
    }
    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }
    fn disconnected(&mut self, why: Lost, now: Instant) {
        self.0.disconnected(why, now);
    }
    fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

impl<M: Dialling> Dialling for Busy<'_, M> {
    fn wants_dial(&self, now: Instant) -> bool {
        self.0.wants_dial(now)
    }
    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        self.0.connected(side, trusted, now);
    }
}

impl<M: Dialling> Near for Busy<'_, M> {
    fn turn(&mut self, now: Instant, _: &mut Vec<Got>) -> bool {
        self.0.work(now, Waker::noop());
        false
    }
}

/// The other side of the wire, as the wire sees it.
pub(crate) trait Across {
    fn accept(&mut self, now: Instant);
    fn hang_up(&mut self);
    /// Does what can be done. Says whether anything happened.
    fn turn(&mut self, now: Instant) -> bool;
    fn connection(&mut self) -> Option<&mut Connection>;
}

impl Across for Far {
    fn accept(&mut self, now: Instant) {
        self.accept(now);
    }
    fn hang_up(&mut self) {
        self.hang_up();
    }
    fn turn(&mut self, now: Instant) -> bool {
        self.turn(now)
    }
    fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }
}

/// The way between the two, in virtual time.
pub(crate) struct Wire {
    pub now: Instant,
    /// Bytes that still pass before the wire is cut, once.
    pub to_near: usize,
    pub to_far: usize,
    /// Whether a cut is told as an error rather than as an end.
    pub abrupt: bool,
    /// Bytes that pass at once.
    pub step: usize,
    /// How many dials may be tried.
    pub dials: usize,
    pub passed_to_near: usize,
    pub passed_to_far: usize,
}

impl Wire {
    pub(crate) fn new() -> Wire {
        Wire {
            now: Instant(1),
            to_near: usize::MAX,
            to_far: usize::MAX,
            abrupt: false,
            step: usize::MAX,
            dials: 10,
            passed_to_near: 0,
            passed_to_far: 0,
        }
    }

    /// Drives both until nothing moves; gives what a receiver got.
    pub(crate) fn run(&mut self, near: &mut impl Near, far: &mut impl Across) -> Vec<Got> {
        let mut got = Vec::new();
        loop {
            let mut moved = near.turn(self.now, &mut got);
            if near.wants_dial(self.now) && self.dials > 0 {
                self.dials -= 1;
                near.connected(Side::Dialler, false, self.now);
                far.accept(self.now);
                moved = true;
            }
            moved |= self.carry(near, far, &mut got);
            moved |= far.turn(self.now);
            if moved {
                continue;
            }
            match near.deadline() {
                Some(at) if near.connection().is_none() && self.dials > 0 => {
                    self.now = self.now.max(at);
                    near.handle_timeout(self.now);
                }
                _ => return got,
            }
        }
    }

    fn carry(&mut self, near: &mut impl Near, far: &mut impl Across, got: &mut Vec<Got>) -> bool {
        let Some(here) = near.connection() else {
            far.hang_up();
            return false;
        };
        let Some(there) = far.connection() else {
            near.disconnected(Lost::Eof, self.now);
            return true;
        };
        let out = pass(here, there, &mut self.to_far, self.step, self.now);
        let back = pass(there, here, &mut self.to_near, self.step, self.now);
        self.passed_to_far += out;
        self.passed_to_near += back;
        let is_cut = self.to_far == 0 || self.to_near == 0;
        let far_is_over = there.is_over() && !there.has_outbound();
        if is_cut || far_is_over {
            (self.to_far, self.to_near) = (usize::MAX, usize::MAX);
            if is_cut && self.abrupt {
                near.disconnected(Lost::Io("broken pipe".to_owned()), self.now);
            } else {
                here.end_of_stream();
                near.turn(self.now, got);
                near.disconnected(Lost::Eof, self.now);
            }
            far.turn(self.now);
            far.hang_up();
            return true;
        }
        if here.is_over() && !here.has_outbound() {
            near.disconnected(Lost::Eof, self.now);
            far.hang_up();
            return true;
        }
        out + back > 0
    }
}

/// Carries what `from` has to write, as far as the wire lasts.
fn pass(from: &mut Connection, to: &mut Connection, left: &mut usize, step: usize, now: Instant) -> usize {
    if !to.wants_read() {
        return 0;
    }
    let out = from.outbound();
    let count = out.remaining().min(*left).min(step);
    let bytes = out.copy_to_bytes(count);
    if *left != usize::MAX {
        *left -= count;
    }
    to.read_buf().extend_from_slice(&bytes);
    to.received(count, now);
    count
}

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Woken(pub AtomicUsize);

impl Woken {
    pub(crate) fn new() -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (Arc::clone(&woken), woken.into())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
