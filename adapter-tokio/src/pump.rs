//! Bytes and time for a machine: one byte stream, one timer, driven in place by whoever polls.
//!
//! Owns the stream and the timer, and the order of a turn: write, read, and only then look at the deadline, because
//! what the stream holds may be a sign of life. It knows no frame, and takes no decision.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use netchan_node::handles::work;
use netchan_node::{Lost, Machine};
use netchan_proto::Instant;
use netchan_proto::conn::Connection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

use crate::adapter::Tokio;

/// Turns after which a task gives way; tokio's own streams make it do so earlier.
const TURNS: u32 = 64;
/// Longer than any program runs.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// A byte stream of any kind: whatever reads and writes is one.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// The machines' clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(tokio::time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::default().plus(self.0.elapsed())
    }

    fn at(self, moment: Instant) -> tokio::time::Instant {
        self.0 + moment.since(Instant::default()).min(FAR)
    }
}

/// A timer that is set anew only when it went off or the deadline came nearer: most only move away.
#[derive(Debug)]
pub struct Alarm {
    clock: Clock,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    pub(crate) fn new(clock: Clock) -> Alarm {
        Alarm { clock, sleep: None }
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline.map(|at| self.clock.at(at)) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if deadline <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// One byte stream and its timer.
pub struct Pump {
    stream: Box<dyn ByteStream>,
    clock: Clock,
    alarm: Alarm,
    /// Writing failed. What the peer had said before may still be read.
    broken: Option<io::Error>,
}

impl Pump {
    pub(crate) fn new(stream: Box<dyn ByteStream>, clock: Clock) -> Pump {
        Pump { stream, clock, alarm: Alarm::new(clock), broken: None }
    }

    /// Drives `machine` until its stream is lost or it is over.
    pub(crate) fn poll_drive(&mut self, machine: &mut impl Machine, cx: &mut Context<'_>) -> Poll<Lost> {
        for _ in 0..TURNS {
            work::<Tokio>(machine, self.clock.now(), cx);
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
    pub(crate) fn poll_turn(
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
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            return Poll::Ready(Err(Lost::Eof));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error.into()));
        }
        if self.alarm.poll(machine.deadline(), cx).is_ready() {
            machine.handle_timeout(self.clock.now());
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Writes until the stream takes no more; says whether it took anything.
    fn write(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while connection.has_outbound() && self.broken.is_none() {
            match pin!(self.stream.write_buf(connection.outbound())).poll(cx) {
                Poll::Ready(Ok(0)) => self.broken = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(error)) => self.broken = Some(error),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
            self.broken.get_or_insert(error);
        }
        moved
    }

    /// Reads once; says whether something came, be it the end.
    fn read(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> io::Result<bool> {
        if !connection.wants_read() {
            return Ok(false);
        }
        match pin!(self.stream.read_buf(connection.read_buf())).poll(cx) {
            Poll::Ready(Ok(0)) => connection.end_of_stream(),
            Poll::Ready(Ok(count)) => connection.received(count, self.clock.now()),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(false),
        }
        Ok(true)
    }
}
