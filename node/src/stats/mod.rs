//! What a node counts while it works, and what it tells of that.
//!
//! Counting costs nothing that a record could feel: a connection counts in a [`Tally`] of its own, once a batch, a frame that is
//! rare, or a turn; whoever asks adds up the tallies of all connections, and those that are gone have left theirs here. The store
//! counts for itself, once a group.
//!
//! | room | holds |
//! |---|---|
//! | `tally` | numbers of one connection, or of all that are gone |
//! | `readers` | who reads and publishes, each with its place |
//! | `doors` | who came in, and who did not |
//! | `report` | all of it together, as a peer is told it |

mod doors;
mod readers;
mod report;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use netchan_proto::Timestamp;

pub(crate) use self::doors::Doors;
use self::readers::Listed;
pub(crate) use self::readers::{Done, Place, Standing};
pub(crate) use self::tally::Tally;
use crate::sync::Mutex;
use crate::wake::lock;

/// What the machines of one node count.
#[derive(Debug)]
pub(crate) struct Stats {
    started: Timestamp,
    doors: Doors,
    numbers: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Line>>>,
    /// What the connections counted that are gone.
    gone: Tally,
    readers: Mutex<BTreeMap<u64, Arc<Listed>>>,
}

/// What is counted of one connection. No other writes to its memory.
#[derive(Debug)]
#[repr(align(128))]
struct Line {
    proven: AtomicBool,
    tally: Tally,
}

impl Stats {
    pub(crate) fn new(started: Timestamp) -> Stats {
        Stats {
            started,
            doors: Doors::default(),
            numbers: AtomicU64::new(1),
            open: Mutex::default(),
            gone: Tally::default(),
            readers: Mutex::default(),
        }
    }

    /// Who came in, and who did not.
    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    /// A number that nothing else has in the life of this node.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// For a connection that is served from now on.
    pub(crate) fn connection(self: &Arc<Self>) -> Counted {
        self.doors.accepted.add(1);
        let (number, line) =
            (self.number(), Line { proven: AtomicBool::new(false), tally: Tally::default() });
        let line = Arc::new(line);
        lock(&self.open).insert(number, Arc::clone(&line));
        Counted { stats: Arc::clone(self), number, line }
    }
}

/// A connection that is counted while this lives.
#[derive(Debug)]
pub(crate) struct Counted {
    stats: Arc<Stats>,
    number: u64,
    line: Arc<Line>,
}

impl Counted {
    /// The node's.
    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The handshake is done.
    pub(crate) fn prove(&self) {
        self.line.proven.store(true, Ordering::Relaxed);
        self.stats.doors.proven.add(1);
    }
}

impl std::ops::Deref for Counted {
    type Target = Tally;

    fn deref(&self) -> &Tally {
        &self.line.tally
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Under the lock, or who adds up meanwhile would count it twice or not at all.
        let mut open = lock(&self.stats.open);
        self.stats.gone.take_over(&self.line.tally);
        open.remove(&self.number);
    }
}
