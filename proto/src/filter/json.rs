//! One value in a payload that is JSON: the way to it is walked, and nothing beside or after it is read.
//!
//! Owns no memory and makes none: what it passes over it counts brackets in, and what it finds is a slice. It is no
//! validator: a fault in what is passed over, or after what was found, is not noticed.

use memchr::memchr2;

use super::number::Decimal;
use super::text::Text;
use super::{Arena, Step};

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(Text<'a>),
    Number(Decimal<'a>),
    True,
    False,
    Null,
    /// An object or an array.
    Container,
}

/// The value at the end of `path`.
pub(super) fn find<'a>(filter: &Arena, payload: &'a [u8], path: &[Step]) -> Option<Value<'a>> {
    let mut at = Cursor { rest: payload };
    for step in path {
        match step {
            Step::Name(name) => at.enter_member(filter.bytes(*name))?,
            Step::Index(index) => at.enter_item(*index)?,
        }
    }
    at.value()
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Goes to the value of the first member called `name` of the object that begins here.
    fn enter_member(&mut self, name: &[u8]) -> Option<()> {
        self.expect(b'{')?;
        loop {
            self.expect(b'"')?;
            let found = self.string()?;
            self.expect(b':')?;
            if found.equals(name) {
                return Some(());
            }
            self.pass_value()?;
            self.expect(b',')?;
        }
    }

    /// Goes to the item with this number, from 0, of the array that begins here.
    fn enter_item(&mut self, index: u32) -> Option<()> {
        self.expect(b'[')?;
        for _ in 0..index {
            self.pass_value()?;
            self.expect(b',')?;
        }
        Some(())
    }

    /// The value that begins here.
    fn value(mut self) -> Option<Value<'a>> {
        self.pass_space();
        match *self.rest.first()? {
            b'"' => {
                self.rest = &self.rest[1..];
                self.string().map(Value::Text)
            }
            b'{' | b'[' => Some(Value::Container),
            _ => match self.scalar() {
                b"true" => Some(Value::True),
                b"false" => Some(Value::False),
                b"null" => Some(Value::Null),
                text => Decimal::parse(text).map(Value::Number),
            },
        }
    }

    fn pass_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes `byte`, after white space.
    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.pass_space();
        let (first, rest) = self.rest.split_first()?;
        (*first == byte).then(|| self.rest = rest)
    }

    /// The string whose opening quote was taken.
    #[inline]
    fn string(&mut self) -> Option<Text<'a>> {
        let all = self.rest;
        let mut is_plain = true;
        let mut at = 0;
        loop {
            at += end_of_plain(&all[at..])?;
            if all[at] == b'"' {
                self.rest = &all[at + 1..];
                let inner = &all[..at];
                return Some(if is_plain { Text::Plain(inner) } else { Text::Escaped(inner) });
            }
            is_plain = false;
            at += 2;
            if at > all.len() {
                return None;
            }
        }
    }

    /// What is neither string nor container, up to where it ends.
    fn scalar(&mut self) -> &'a [u8] {
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (scalar, rest) = self.rest.split_at(end);
        self.rest = rest;
        scalar
    }

    /// Goes to the end of the value that begins here.
    fn pass_value(&mut self) -> Option<()> {
        self.pass_space();
        let mut depth = 0usize;
        loop {
            let (first, rest) = self.rest.split_first()?;
            match first {
                b'"' => {
                    self.rest = rest;
                    self.string()?;
                }
                b'{' | b'[' => {
                    self.rest = rest;
                    depth += 1;
                }
                b'}' | b']' => {
                    self.rest = rest;
                    depth = depth.checked_sub(1)?;
                }
                _ if depth == 0 => {
                    return if self.scalar().is_empty() { None } else { Some(()) };
                }
                _ => self.rest = rest,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// How many bytes stand before the next quote or backslash. Most strings are short: those are looked through byte by byte.
#[inline]
fn end_of_plain(bytes: &[u8]) -> Option<usize> {
    let is_end = |byte: &u8| matches!(byte, b'"' | b'\\');
    match bytes.iter().take(16).position(is_end) {
        Some(at) => Some(at),
        None => memchr2(b'"', b'\\', bytes.get(16..)?).map(|at| at + 16),
    }
}
