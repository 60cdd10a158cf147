//! What repairing does to a log, step by step, and what it leaves as it is.
//!
//! Neighbours: [`crate::repair`] mends a data directory, [`crate::log`] the segments; both tell here what they do.

use netchan_proto::{ChannelName, Offset};

/// Steps and refusals of one log that are told one by one.
const MAX_TOLD: usize = 1000;
/// Under which name it is logged, by whomever it is done.
const LOG: &str = "netchan_store::repair";

/// One thing that repairing does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The bytes of a file are in another one from now on.
    SetAside {
        /// The file, within the data directory.
        path: String,
        /// Where its bytes are.
        to: String,
        /// How many there are.
        bytes: u64,
    },
    /// Batches that hold, in a segment of their own.
    Kept {
        /// The segment.
        path: String,
        /// The records in it.
        records: u64,
    },
    /// Records are lost, and a segment without batches says so: receivers are told a gap.
    Declared {
        /// The segment.
        path: String,
        /// The first record that is lost.
        from: Offset,
        /// The one after the last.
        to: Offset,
    },
    /// An empty segment, for what comes.
    Begun {
        /// The segment.
        path: String,
    },
    /// The seal of a channel that had been sealed is made again.
    Sealed {
        /// The segment.
        path: String,
        /// The offset after the last record.
        at: Offset,
    },
    /// A channel's meta is made again, with durability sync and no retention.
    Meta {
        /// The file.
        path: String,
    },
}

/// What repairing does not mend, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// The file or directory, within the data directory.
    pub path: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// What was done to one log, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// The channel; `None` for the state log and the node, and where nothing says it.
    pub name: Option<ChannelName>,
    /// Its directory, within the data directory; empty for the node's identity.
    pub dir: String,
    /// What was done, in this order; at most a thousand steps of it.
    pub steps: Vec<Step>,
    /// What is left as it was.
    pub left: Vec<Left>,
    /// Steps that are not told one by one.
    pub more_steps: u64,
}

impl Repaired {
    /// Whether there was nothing to repair.
    pub fn was_well(&self) -> bool {
        self.steps.is_empty() && self.left.is_empty()
    }

    /// Ranges of records that are declared lost now, and were not before.
    pub fn lost(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.steps.iter().filter_map(|step| match *step {
            Step::Declared { from, to, .. } => Some((from, to)),
            _ => None,
        })
    }
}

/// How a log is mended, and what becomes of it.
pub(crate) struct Mending<'a> {
    /// Nothing is changed.
    pub(crate) is_dry: bool,
    /// Hears of bytes that were read.
    pub(crate) tell: &'a mut dyn FnMut(u64),
    /// What was done so far.
    pub(crate) done: Repaired,
}

impl Mending<'_> {
    pub(crate) fn add(&mut self, step: Step) {
        match &step {
            _ if self.is_dry => {}
            Step::SetAside { path, to, bytes } => tracing::info!(target: LOG, path, to, bytes, "set aside"),
            step => tracing::info!(target: LOG, ?step, "repaired"),
        }
        if self.done.steps.len() < MAX_TOLD {
            self.done.steps.push(step);
        } else {
            self.done.more_steps += 1;
        }
    }

    pub(crate) fn leave(&mut self, path: &str, what: impl Into<String>) {
        if self.done.left.len() < MAX_TOLD {
            self.done.left.push(Left { path: path.to_owned(), what: what.into() });
        }
    }
}
