//! Cursors: what names them, and what they hold (spec/17-cursors.md).
//!
//! Owns the rules of their names, and sets of positions. Where cursors are kept, and when one moves, is the store's.

use std::fmt;
use std::sync::Arc;

use crate::limits::{MAX_CURSOR_NAME, MAX_CURSOR_POSITIONS};
use crate::types::{LogId, Position};

/// A cursor's name: 1 to 64 ASCII letters, digits and `. _ -`, compared by bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorName(Arc<str>);

impl CursorName {
    /// Checks `name` and keeps it.
    ///
    /// # Errors
    /// [`InvalidCursorName`] says which rule it breaks.
    pub fn new(name: &str) -> Result<CursorName, InvalidCursorName> {
        if name.is_empty() {
            return Err(InvalidCursorName::Empty);
        }
        if name.len() > MAX_CURSOR_NAME {
            return Err(InvalidCursorName::TooLong { len: name.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.chars().find(|&c| !allowed(c)) {
            Some(c) => Err(InvalidCursorName::Character(c)),
            None => Ok(CursorName(name.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::str::FromStr for CursorName {
    type Err = InvalidCursorName;

    fn from_str(name: &str) -> Result<CursorName, InvalidCursorName> {
        CursorName::new(name)
    }
}

/// Why a text names no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCursorName {
    /// It has no characters.
    #[error("a cursor's name is empty")]
    Empty,
    /// It has too many bytes.
    #[error("a cursor's name of {len} bytes; {MAX_CURSOR_NAME} is the most")]
    TooLong {
        /// Bytes it has.
        len: usize,
    },
    /// It has a character that is not allowed.
    #[error("a cursor's name has letters and digits of ASCII and . _ - only, not {0:?}")]
    Character(char),
}

/// Places in several logs: at most 64, at most one in each, in the order of the logs' identities. Empty, it is before the
/// first record of whatever it is about.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Positions(Vec<Position>);

impl Positions {
    /// A set of these.
    ///
    /// # Errors
    /// [`InvalidPositions`]: two are in one log, or there are too many.
    pub fn new(positions: impl IntoIterator<Item = Position>) -> Result<Positions, InvalidPositions> {
        let mut kept: Vec<Position> = positions.into_iter().take(MAX_CURSOR_POSITIONS + 1).collect();
        if kept.len() > MAX_CURSOR_POSITIONS {
            return Err(InvalidPositions::TooMany);
        }
        kept.sort_by_key(|position| position.log);
        match kept.windows(2).find(|pair| pair[0].log == pair[1].log) {
            Some(pair) => Err(InvalidPositions::Twice { log: pair[0].log }),
            None => Ok(Positions(kept)),
        }
    }

    /// The place in one log, if it has one.
    #[must_use]
    pub fn of(&self, log: LogId) -> Option<Position> {
        self.iter().find(|position| position.log == log)
    }

    /// The only place, if there is one, and one only.
    #[must_use]
    pub fn only(&self) -> Option<Position> {
        match *self.0 {
            [position] => Some(position),
            _ => None,
        }
    }

    /// All of them, in the order of the logs' identities.
    pub fn iter(&self) -> impl Iterator<Item = Position> {
        self.0.iter().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl From<Position> for Positions {
    fn from(position: Position) -> Positions {
        Positions(vec![position])
    }
}

/// Why positions are no set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPositions {
    /// More than fit.
    #[error("a position is in {MAX_CURSOR_POSITIONS} logs at most")]
    TooMany,
    /// Two are in one log.
    #[error("two places in the log {log}")]
    Twice {
        /// The log.
        log: LogId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Offset};

    fn at(log: u8, offset: u64) -> Position {
        Position { log: LogId([log; 16]), epoch: Epoch(1), offset: Offset(offset) }
    }

    /// NC-CUR-001
    #[test]
    fn names_are_short_and_of_few_characters() {
        for good in ["a", "worker-7", "A.b_C", &"x".repeat(MAX_CURSOR_NAME)] {
            assert_eq!(CursorName::new(good).unwrap().as_str(), good);
        }
        assert_eq!(CursorName::new(""), Err(InvalidCursorName::Empty));
        assert_eq!(CursorName::new(&"x".repeat(65)), Err(InvalidCursorName::TooLong { len: 65 }));
        for bad in ['/', ' ', 'é', '\0', '*', '@', ':', '#', '\n'] {
            assert_eq!(CursorName::new(&format!("a{bad}")), Err(InvalidCursorName::Character(bad)));
        }
    }

    /// NC-CUR-002
    #[test]
    fn a_set_has_one_place_a_log_in_order_and_not_too_many() {
        let set = Positions::new([at(2, 5), at(1, 7)]).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [at(1, 7), at(2, 5)]);
        assert_eq!(
            (set.of(LogId([2; 16])), set.of(LogId([3; 16])), set.only()),
            (Some(at(2, 5)), None, None)
        );
        assert_eq!(Positions::from(at(1, 7)).only(), Some(at(1, 7)));
        let twice = Positions::new([at(1, 7), at(1, 8)]);
        assert_eq!(twice, Err(InvalidPositions::Twice { log: LogId([1; 16]) }));
        assert_eq!(Positions::new((0..64).map(|log| at(log, 0))).unwrap().len(), MAX_CURSOR_POSITIONS);
        assert_eq!(Positions::new((0..65).map(|log| at(log, 0))), Err(InvalidPositions::TooMany));
    }
}
