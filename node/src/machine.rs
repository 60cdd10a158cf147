//! What a driver drives: one trait for every machine that sits on a byte stream.
//!
//! Owns the contract between the machines of this crate and whoever has the socket, the timer and the threads.
//! A driver does, for any machine:
//!
//! ```text
//! loop {
//!     machine.work(now, waker)                  // frames in -> commands; logs or handles -> frames out
//!     while let Some(job) = machine.take_job()  // blocking disk work: run it where blocking is allowed
//!         run job on another thread
//!     connection = machine.connection()         // None: nothing to read or write now
//!     write connection.outbound() until the socket takes no more
//!     if connection.wants_read(): read into connection.read_buf(); then received() or end_of_stream()
//!     if machine.deadline() has passed: machine.handle_timeout(now)   // after reading, never before
//!     machine.is_over() and nothing left to write: close the socket
//!     nothing moved: wait for the socket, the deadline or the waker
//! }
//! ```

use std::fmt;
use std::task::Waker;

use netchan_proto::conn::{Connection, ConnectionError};
use netchan_proto::{Instant, Side};

use crate::job::Job;

/// A machine on a byte stream.
pub trait Machine: Send {
    /// The connection to pump bytes for; `None` while there is none.
    fn connection(&mut self) -> Option<&mut Connection>;

    /// Does what can be done now, within a budget. `waker` is woken when there is more to do, also when the
    /// budget ran out: `work` must be called again then, and after every byte read or written.
    fn work(&mut self, now: Instant, waker: &Waker);

    /// Blocking work that the machine wants done. Each job answers by itself, and wakes the machine.
    fn take_job(&mut self) -> Option<Job> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    fn deadline(&self) -> Option<Instant>;

    /// It is `now`. What the socket holds must have been read before: it may be a sign of life.
    fn handle_timeout(&mut self, now: Instant);

    /// The byte stream is gone, or could not be had.
    fn disconnected(&mut self, why: Lost, now: Instant);

    /// Whether the machine is done for good. Its connection may have something to write still.
    fn is_over(&self) -> bool;
}

/// A machine that has its byte stream dialled, as often as it takes. A dial that fails is
/// [`disconnected`](Machine::disconnected) too.
pub trait Dialling: Machine {
    /// Whether a byte stream is to be dialled now. If not, look again at the [`deadline`](Machine::deadline) or when
    /// woken.
    fn wants_dial(&self, now: Instant) -> bool;

    /// A byte stream is up. `side` says who called; `trusted`, that the way it came proves who is across.
    fn connected(&mut self, side: Side, trusted: bool, now: Instant);
}

/// Why there is no byte stream any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The peer closed it.
    Eof,
    /// Dialling, reading or writing failed: what the operating system says.
    Io(String),
    /// There was one byte stream only, and it ended: another is not to be had.
    Final(String),
    /// One of the two sides ended it by an error of the protocol.
    Connection(ConnectionError),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Eof => f.write_str("the peer closed the connection"),
            Lost::Io(error) | Lost::Final(error) => f.write_str(error),
            Lost::Connection(error) => error.fmt(f),
        }
    }
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Lost {
        Lost::Io(error.to_string())
    }
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Lost {
        Lost::Connection(error)
    }
}
