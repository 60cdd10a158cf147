//! Filters: what a receiver wants of a channel, said in a line of text and judged at the sender (spec/14-filters.md).
//!
//! Owns the language: its grammar, its limits, what each operator means, and what judging a record costs. It knows no
//! batch and no connection: a record comes as a [`View`], of which only what the filter names is looked at. Neighbours:
//! [`crate::sift`] judges runs of batches.
//!
//! | room | holds |
//! |---|---|
//! | `lex`, `parse` | from text to an arena of nodes, or to a place and what was expected there |
//! | `eval` | from a record to an answer, and its cost |
//! | `json` | finding one value in a payload, without reading more than the way to it |
//! | `text`, `number`, `time` | how values compare |

mod error;
mod eval;
mod json;
mod lex;
mod number;
mod parse;
mod text;
mod time;

pub(crate) use time::parse as read_time;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use self::error::{FilterError, FilterProblem, TooCostly};
use crate::record::Record;
use crate::types::{Offset, Timestamp};

/// A filter that was read: cheap to clone, and to judge records with, however often.
///
/// ```
/// use netchan_proto::filter::{Filter, View};
/// let filter = Filter::parse("key ^= 'user.' and json.level in ('warn', 'error')")?;
/// let record = View { key: Some(b"user.7"), payload: br#"{"level":"error"}"#, ..View::default() };
/// assert_eq!(filter.matches(&record), Ok(true));
/// # Ok::<(), netchan_proto::filter::FilterError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Filter(Arc<Arena>);

/// All that there is of a filter, in a few lists that are bounded by its text.
#[derive(Debug, PartialEq, Eq)]
struct Arena {
    text: Box<str>,
    root: NodeId,
    nodes: Box<[Node]>,
    /// The steps of all JSON paths.
    steps: Box<[Step]>,
    /// What literals and names say, unescaped, one after the other.
    bytes: Box<[u8]>,
    /// Patterns of `~`, and how far each literal of `*=` overlaps itself.
    elements: Box<[u16]>,
    times: Box<[i128]>,
    weight: u64,
    reads_payload: bool,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`FilterError`] says where, and what was expected there.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        parse::parse(text)
    }

    /// As [`parse`](Self::parse), of bytes that came from a peer.
    ///
    /// # Errors
    /// [`FilterError`], also for what is not UTF-8.
    pub fn from_bytes(text: &[u8]) -> Result<Filter, FilterError> {
        match std::str::from_utf8(text) {
            Ok(text) => Filter::parse(text),
            Err(fault) => {
                let before = String::from_utf8_lossy(&text[..fault.valid_up_to()]);
                Err(FilterError::at_end_of(&before, FilterProblem::NotText))
            }
        }
    }

    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether `record` passes.
    ///
    /// # Errors
    /// [`TooCostly`]: the answer would take more steps than a record may.
    #[inline]
    pub fn matches(&self, record: &View<'_>) -> Result<bool, TooCostly> {
        self.judge(record).0
    }

    /// Whether `record` passes, and how many steps it took to say so.
    pub fn judge(&self, record: &View<'_>) -> (Result<bool, TooCostly>, u64) {
        eval::judge(&self.0, record)
    }

    /// An upper bound of the steps for each byte of a record.
    pub fn weight(&self) -> u64 {
        self.0.weight
    }

    /// Whether it looks into payloads: `value` and `json`. Where they cannot be read, such a filter has no meaning.
    pub fn reads_payload(&self) -> bool {
        self.0.reads_payload
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text()).finish()
    }
}

impl Arena {
    fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    fn elements(&self, span: Span) -> &[u16] {
        &self.elements[span.range()]
    }
}

/// A record to be judged, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View<'a> {
    /// Its place.
    pub offset: Offset,
    /// When the sender took it.
    pub timestamp: Timestamp,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its headers as they stand in a batch.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> From<&'a Record> for View<'a> {
    fn from(record: &'a Record) -> View<'a> {
        let borrowed = record.as_ref();
        View {
            offset: record.offset,
            timestamp: record.timestamp,
            key: borrowed.key,
            headers: borrowed.headers,
            payload: borrowed.payload,
        }
    }
}

/// A node's place in the arena.
type NodeId = u8;

/// A part of one of the arena's lists. A filter's text has 4 KiB at most, and no list is longer than the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u16,
    to: u16,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.from.into()..self.to.into()
    }

    fn len(self) -> usize {
        self.range().len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    And(NodeId, NodeId),
    Or(NodeId, NodeId),
    Not(NodeId),
    Exists(Field),
    Compare(Field, Order, Literal),
    Text(Field, TextTest),
    /// The field equals one of the [`Node::Item`]s from here to there.
    In(Field, NodeId, NodeId),
    /// One of a list; never judged by itself.
    Item(Literal),
}

/// What of a record is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Key,
    Value,
    Size,
    Offset,
    Time,
    Header(Span),
    Json(Span),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextTest {
    Prefix(Span),
    Suffix(Span),
    /// A literal, and its overlaps.
    Contains(Span, Span),
    Glob(Span),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Literal {
    Text(Span),
    /// As it is written.
    Number(Span),
    /// An index into the list of times.
    Time(u8),
    True,
    False,
    Null,
}

/// One step of a path into a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Name(Span),
    Index(u32),
}
