//! Patterns: which channels are meant, by their names (spec/18-patterns.md).
//!
//! Owns the text form, why a text is none, and matching. A matcher is a row of at most 256 places, each of which is a bit: a byte
//! of a name moves all of them at once, so that matching takes the same few steps for each byte, whatever the pattern.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::MAX_PATTERN;
use crate::types::ChannelName;

/// Some of a pattern's places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places([u64; 4]);

impl Places {
    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn and(self, other: Places) -> Places {
        Places(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    fn or(self, other: Places) -> Places {
        Places(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    /// The places after these.
    fn next(self) -> Places {
        let [a, b, c, d] = self.0;
        Places([a << 1, b << 1 | a >> 63, c << 1 | b >> 63, d << 1 | c >> 63])
    }

    fn is_empty(self) -> bool {
        self.0 == [0; 4]
    }
}

/// Which channels are meant: a name in which `*` stands for any text within one level, and `**`, as a level of its own, for any
/// number of levels, none included. Cheap to clone.
///
/// ```
/// use netchan_proto::{ChannelName, Pattern};
/// let logs: Pattern = "logs/*".parse()?;
/// assert!(logs.matches(&ChannelName::new("logs/web")?));
/// assert!(!logs.matches(&ChannelName::new("logs/web/1")?));
/// let all: Pattern = "logs/**".parse()?;
/// assert!(all.matches(&ChannelName::new("logs/web/1")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

/// A pattern made ready to be held against many names. The last of its places is behind everything: a name that comes there is
/// matched.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// Where each byte leads to the next place, by byte.
    literals: Box<[(u8, Places)]>,
    /// `*`: every byte but `/` stays here. Entered by who passes it over, too.
    stars: Places,
    /// Before `**/`: passed over, into the levels and beyond them.
    entries: Places,
    /// Within levels that are passed over: `/` leads beyond them as well.
    levels: Places,
    /// Every byte stays here.
    all: Places,
    /// Where a name may end.
    ends: Places,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`] says where it goes wrong, and which rule it breaks.
    pub fn new(text: &str) -> Result<Pattern, InvalidPattern> {
        check(text)?;
        Ok(Pattern(text.into()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` has a `*` in it, which no name has: it is a pattern, if anything.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.contains('*')
    }

    /// What all names that it matches begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        let text = self.as_str();
        let before = text.split('*').next().unwrap_or(text);
        // `logs/**` matches `logs` too.
        if text[before.len()..] == *"**" { before.trim_end_matches('/') } else { before }
    }

    /// What holds it against names.
    #[must_use]
    pub fn matcher(&self) -> Matcher {
        Matcher::new(self.as_str())
    }

    /// Whether it matches the whole of `name`. For many names, take its [`matcher`](Self::matcher).
    #[must_use]
    pub fn matches(&self, name: &ChannelName) -> bool {
        self.matcher().matches(name)
    }
}

impl Matcher {
    /// Whether the pattern matches the whole of `name`. Takes some steps for each byte of the name, however the pattern is made.
    #[must_use]
    pub fn matches(&self, name: &ChannelName) -> bool {
        let mut first = Places::default();
        first.add(0);
        let mut here = self.enter(first);
        for &byte in name.as_str().as_bytes() {
            let literal = match self.literals.binary_search_by_key(&byte, |(byte, _)| *byte) {
                Ok(at) => here.and(self.literals[at].1),
                Err(_) => Places::default(),
            };
            let (beyond, stays) = match byte {
                b'/' => (here.and(self.levels), Places::default()),
                _ => (Places::default(), here.and(self.stars)),
            };
            let next = literal.or(beyond).next().or(stays).or(here.and(self.all)).or(here.and(self.levels));
            if next.is_empty() {
                return false;
            }
            here = self.enter(next);
        }
        !here.and(self.ends).is_empty()
    }

    /// Bytes of memory that it takes besides itself: some 40 for each byte that the pattern has in it and is no `*`, counted once.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.literals)
    }

    /// The places of a text that was checked. Each is due to one byte of it at least, but the last.
    fn new(text: &str) -> Matcher {
        let mut literals: Vec<(u8, Places)> = Vec::new();
        let (mut stars, mut entries, mut levels, mut all, mut ends) = <(_, _, _, _, _)>::default();
        let (mut place, mut rest) = (0, text.as_bytes());
        let literal = |literals: &mut Vec<(u8, Places)>, byte: u8, place: usize| {
            let at = literals.binary_search_by_key(&byte, |(byte, _)| *byte).unwrap_or_else(|at| {
                literals.insert(at, (byte, Places::default()));
                at
            });
            literals[at].1.add(place);
        };
        loop {
            match rest {
                [] => {
                    Places::add(&mut ends, place);
                    break;
                }
                b"/**" => {
                    Places::add(&mut ends, place);
                    literal(&mut literals, b'/', place);
                    (place, rest) = (place + 1, b"**");
                }
                b"**" => {
                    Places::add(&mut all, place);
                    Places::add(&mut ends, place);
                    break;
                }
                [b'*', b'*', b'/', after @ ..] => {
                    Places::add(&mut entries, place);
                    Places::add(&mut levels, place + 1);
                    (place, rest) = (place + 2, after);
                }
                [b'*', after @ ..] => {
                    Places::add(&mut stars, place);
                    (place, rest) = (place + 1, after);
                }
                [byte, after @ ..] => {
                    literal(&mut literals, *byte, place);
                    (place, rest) = (place + 1, after);
                }
            }
        }
        let literals = literals.into_boxed_slice();
        Matcher { literals, stars, entries, levels, all, ends }
    }

    /// These places, and those that are entered with them without a byte.
    fn enter(&self, places: Places) -> Places {
        let entered = places.and(self.entries).next();
        let places = places.or(entered).or(entered.next());
        places.or(places.and(self.stars).next())
    }
}

/// Refuses what is no pattern, at the first place that cannot be in one.
fn check(text: &str) -> Result<(), InvalidPattern> {
    let refuse = |at: usize, problem| {
        let column = text.get(..at).map_or(1, |before| before.chars().count() + 1);
        Err(InvalidPattern { at, column, problem })
    };
    if text.is_empty() {
        return refuse(0, PatternProblem::Empty);
    }
    if text.len() > MAX_PATTERN {
        let at = (0..=MAX_PATTERN).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        return refuse(at, PatternProblem::TooLong);
    }
    let refused = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '@' | ':' | '#');
    // Of partitions: an `@` in the last level, and digits and `*` behind it.
    let numbers = text.rsplit_once('@').filter(|(name, numbers)| {
        let may_be = numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*');
        may_be
            && !numbers.is_empty()
            && !matches!(name.rsplit('/').next(), None | Some("" | "." | ".." | "**"))
    });
    let names = numbers.map_or(text, |(name, _)| name);
    let (mut from, mut before) = (0, "");
    for segment in text.split('/') {
        if let Some((at, found)) =
            segment.char_indices().find(|&(at, c)| refused(c) && from + at != names.len())
        {
            return refuse(from + at, PatternProblem::Character { found });
        }
        match segment {
            "" | "." | ".." => return refuse(from, PatternProblem::Segment),
            "**" if before == "**" => return refuse(from, PatternProblem::Repeated),
            "**" => {}
            _ => {
                if let Some(at) = segment.find("**") {
                    return refuse(from + at, PatternProblem::NotAlone);
                }
            }
        }
        (from, before) = (from + segment.len() + 1, segment);
    }
    Ok(())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.as_str()).finish()
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Pattern, InvalidPattern> {
        Pattern::new(text)
    }
}

/// A text that is no pattern: where it goes wrong, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct InvalidPattern {
    /// Bytes of the text before the place.
    pub at: usize,
    /// The place in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: PatternProblem,
}

/// What is wrong with a pattern at the place that an [`InvalidPattern`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternProblem {
    /// No character at all.
    Empty,
    /// It has more bytes than a pattern may have.
    TooLong,
    /// A character that neither names nor patterns can have.
    Character {
        /// The character.
        found: char,
    },
    /// A level that is empty, `.` or `..`.
    Segment,
    /// `**` beside something else than `/`.
    NotAlone,
    /// `**` right after `**/`.
    Repeated,
}

impl fmt::Display for PatternProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternProblem::Empty => f.write_str("a pattern is empty"),
            PatternProblem::TooLong => write!(f, "a pattern has at most {MAX_PATTERN} bytes"),
            PatternProblem::Character { found } => {
                write!(
                    f,
                    "a pattern cannot have {found:?} {}in it (nor white space, control characters, : #)",
                    if *found == '@' { "but before numbers at its end " } else { "" }
                )
            }
            PatternProblem::Segment => {
                f.write_str("a pattern cannot have an empty, '.' or '..' segment between slashes")
            }
            PatternProblem::NotAlone => f.write_str("** stands alone between slashes"),
            PatternProblem::Repeated => f.write_str("** after **/ says nothing more"),
        }
    }
}
