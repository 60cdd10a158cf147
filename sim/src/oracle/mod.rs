//! What must hold, checked at every step.
//!
//! Owns the truth of one run: which record stands at which offset, what was acknowledged, what each receiver has
//! been given. It learns from what programs see (acknowledgements, records, gaps) and, after each restart of the
//! node, from the log as it was recovered. A first violation ends the run.
//!
//! | room | holds |
//! |---|---|
//! | `log` | which record stands where, over the lives of the node |
//! | `producers` | what was acknowledged |
//! | `names` | channels that come and go, and who receives them by a pattern |
//! | `parts` | what stands in the partitions of a channel |
//! | `receivers` | what each receiver was given, and what must come next |

mod log;
mod names;
mod parts;
mod producers;
mod receivers;

use std::collections::BTreeMap;

use netchan_proto::Durability;

pub use self::log::Found;
use self::log::{Entry, Restart};
pub use self::names::Names;
use self::parts::Parts;
use self::producers::Producer;
pub use self::receivers::Given;
use self::receivers::View;
use crate::workload::Wanted;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Breaks off with a violation.
macro_rules! violated {
    ($($text:tt)*) => { return Err(crate::oracle::Violation(format!($($text)*))) };
}
pub(crate) use violated;

/// What every check answers.
pub type Checked = Result<(), Violation>;

/// The truth of one run.
#[derive(Debug)]
pub struct Oracle {
    durability: Durability,
    entries: Vec<Entry>,
    producers: Vec<Producer>,
    restarts: Vec<Restart>,
    views: Vec<View>,
    kept: Vec<View>,
    /// What a receiver by a cursor has asked to be committed, and was not told of yet.
    asked: Vec<Option<View>>,
    /// Who was told that what stands at an offset is not what they want, where nobody knew yet what that is.
    passed_over: BTreeMap<u64, Vec<(usize, Wanted)>>,
    /// The first record that was there when somebody looked last.
    first: u64,
    sealed: Option<u64>,
    lost: u64,
    /// Channels that come and go, and partitions, as logs; who receives them by a pattern.
    pub names: Names,
    /// What partitions hold.
    pub parts: Parts,
}

impl Oracle {
    /// Nothing has happened.
    pub fn new(durability: Durability) -> Oracle {
        Oracle {
            durability,
            entries: Vec::new(),
            producers: Vec::new(),
            restarts: Vec::new(),
            views: Vec::new(),
            kept: Vec::new(),
            asked: Vec::new(),
            passed_over: BTreeMap::new(),
            first: 0,
            sealed: None,
            lost: 0,
            names: Names::default(),
            parts: Parts::default(),
        }
    }

    /// Records that power cuts took from a channel of a weaker mode, and that somebody had seen.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Another producer. Says its number.
    pub fn add_producer(&mut self) -> u16 {
        self.producers.push(Producer::default());
        u16::try_from(self.producers.len() - 1).unwrap_or(u16::MAX)
    }

    /// Another receiver. Says its number.
    pub fn add_receiver(&mut self) -> usize {
        self.views.push(View::default());
        self.kept.push(View::default());
        self.asked.push(None);
        self.views.len() - 1
    }

    /// The generation of the node's process that runs, or ran last.
    pub fn generation(&self) -> usize {
        self.restarts.len()
    }
}

/// Offsets and sequences of a run are small.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
