//! Bytes and time for a machine: one byte stream, one timer, driven in place by whoever polls.
//!
//! Owns the order of a turn: write, read, and only then look at the deadline, because what the stream holds may be a sign
//! of life. It knows no frame, and how bytes are read and written is the adapter's.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;
use netchan_proto::Instant;
use netchan_proto::conn::Connection;
use netchan_proto::limits::LAST_WORDS;

use crate::handles::{Adapter, Alarm};
use crate::machine::{Lost, Machine};

/// Turns after which a task gives way to others.
const TURNS: u32 = 64;
/// Bytes at a time that are read past while a connection ends.
const UNHEARD: usize = 4 << 10;

/// Lets a machine work, and has its blocking jobs done elsewhere.
pub(super) fn work<A: Adapter>(machine: &mut impl Machine, now: Instant, cx: &mut Context<'_>) {
    machine.work(now, cx.waker());
    while let Some(job) = machine.take_job() {
        drop(A::blocking(move || job.run()));
    }
}

/// One byte stream and its timer.
pub(super) struct Pump<A: Adapter> {
    stream: A::Stream,
    alarm: A::Alarm,
    /// Writing failed. What the peer had said before may still be read.
    broken: Option<io::Error>,
    /// Everything was said; the peer has until then to read it and to close.
    leaving: Option<Instant>,
}

impl<A: Adapter> Pump<A> {
    pub(super) fn new(stream: A::Stream, alarm: A::Alarm) -> Pump<A> {
        Pump { stream, alarm, broken: None, leaving: None }
    }

    /// Drives `machine` until its stream is lost or it is over.
    pub(super) fn poll_drive(&mut self, machine: &mut impl Machine, cx: &mut Context<'_>) -> Poll<Lost> {
        for _ in 0..TURNS {
            work::<A>(machine, self.alarm.now(), cx);
            match self.poll_turn(machine, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(lost)) => return Poll::Ready(lost),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes and reads what can be at once, or else looks at the deadline. Ready: the machine may have something
    /// to do. Pending: nothing moved, and everything that can move will wake.
    pub(super) fn poll_turn(
        &mut self,
        machine: &mut impl Machine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        let mut is_over = machine.is_over();
        if let Some(connection) = machine.connection() {
            let wrote = self.write(connection, cx);
            let moved = self.read(connection, cx)? || wrote;
            if moved {
                return Poll::Ready(Ok(()));
            }
            is_over |= connection.is_over();
            is_over &= !connection.has_outbound() || self.broken.is_some();
        }
        if is_over {
            return self.poll_leave(cx).map(|()| Err(Lost::Eof));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error.into()));
        }
        if self.alarm.poll(machine.deadline(), cx).is_ready() {
            machine.handle_timeout(self.alarm.now());
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Says that this was all, and reads past what the peer says still: were the stream closed with something unread in it,
    /// the operating system would take back what is on its way.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.leaving.is_none() && self.broken.is_none() {
            let _ = A::poll_close(&mut self.stream, cx);
        }
        let now = self.alarm.now();
        let until = *self.leaving.get_or_insert(now.plus(LAST_WORDS));
        let mut unheard = BytesMut::with_capacity(UNHEARD);
        for _ in 0..TURNS {
            if self.broken.is_some() || now >= until {
                return Poll::Ready(());
            }
            match A::poll_read(&mut self.stream, &mut unheard, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => unheard.clear(),
                Poll::Pending => return self.alarm.poll(Some(until), cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what there is to write, as far as the stream takes it at once.
    pub(super) fn say(&mut self, machine: &mut impl Machine, cx: &mut Context<'_>) {
        if let Some(connection) = machine.connection() {
            self.write(connection, cx);
        }
    }

    /// Writes until the stream takes no more; says whether it took anything.
    fn write(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while connection.has_outbound() && self.broken.is_none() {
            match A::poll_write(&mut self.stream, connection.outbound(), cx) {
                Poll::Ready(Ok(0)) => self.broken = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(error)) => self.broken = Some(error),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(error)) = A::poll_flush(&mut self.stream, cx) {
            self.broken.get_or_insert(error);
        }
        moved
    }

    /// Reads once; says whether something came, be it the end.
    fn read(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> io::Result<bool> {
        if !connection.wants_read() {
            return Ok(false);
        }
        match A::poll_read(&mut self.stream, connection.read_buf(), cx) {
            Poll::Ready(Ok(0)) => connection.end_of_stream(),
            Poll::Ready(Ok(count)) => connection.received(count, self.alarm.now()),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {
                connection.nothing_came();
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<A: Adapter> fmt::Debug for Pump<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("broken", &self.broken).finish_non_exhaustive()
    }
}
