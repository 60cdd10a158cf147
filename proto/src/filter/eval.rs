//! Judging a record: whether it passes, and at what cost.
//!
//! Owns the meaning of each term. Nothing is allocated, and of a record only what a term names is looked at, in the order
//! in which the terms stand, until the answer is known.

use std::cmp::Ordering;

use super::json::{self, Value};
use super::number::Decimal;
use super::text::Text;
use super::time::{self, MAX_TIME};
use super::{Arena, Field, Literal, Node, NodeId, Order, Span, TextTest, TooCostly, View};
use crate::limits::MAX_FILTER_STEPS;
use crate::record::Headers;

/// What stands in a field.
#[derive(Clone, Copy, Debug)]
enum Found<'a> {
    /// Bytes, which are read as a number or a time where they are compared to one.
    Bytes(&'a [u8]),
    Count(u64),
    Time(i128),
    Json(Value<'a>),
}

pub(super) fn judge(filter: &Arena, record: &View<'_>) -> (Result<bool, TooCostly>, u64) {
    let mut judge = Judge { filter, record, left: MAX_FILTER_STEPS };
    let answer = judge.holds(filter.root);
    (answer, MAX_FILTER_STEPS - judge.left)
}

struct Judge<'f, 'r> {
    filter: &'f Arena,
    record: &'r View<'r>,
    /// Steps that it may take yet.
    left: u64,
}

impl<'r> Judge<'_, 'r> {
    /// Recursion goes no deeper than a filter has nodes.
    fn holds(&mut self, node: NodeId) -> Result<bool, TooCostly> {
        Ok(match self.filter.nodes[usize::from(node)] {
            Node::And(a, b) => self.holds(a)? && self.holds(b)?,
            Node::Or(a, b) => self.holds(a)? || self.holds(b)?,
            Node::Not(a) => !self.holds(a)?,
            Node::Exists(field) => self.find(field, 1)?.is_some(),
            Node::Compare(field, order, literal) => {
                self.find(field, 1)?.is_some_and(|found| self.compare(found, order, literal))
            }
            Node::Text(field, test) => {
                self.find(field, passes_of(test))?.is_some_and(|found| self.test(found, test))
            }
            Node::In(field, from, to) => {
                let items = &self.filter.nodes[usize::from(from)..usize::from(to)];
                self.find(field, items.len() as u64)?.is_some_and(|found| {
                    items.iter().any(|item| match item {
                        Node::Item(literal) => self.compare(found, Order::Equal, *literal),
                        _ => false,
                    })
                })
            }
            Node::Item(_) => false,
        })
    }

    /// What stands in `field`. It costs a step, and as many as it has bytes for each time that they may be looked through.
    fn find(&mut self, field: Field, passes: u64) -> Result<Option<Found<'r>>, TooCostly> {
        let View { offset, timestamp, key, headers, payload } = *self.record;
        let looked_at = match field {
            Field::Size | Field::Offset | Field::Time => 0,
            Field::Key => key.map_or(0, <[u8]>::len),
            Field::Header(_) => headers.len(),
            Field::Value | Field::Json(_) => payload.len(),
        };
        let steps = (looked_at as u64).saturating_mul(passes).saturating_add(1);
        self.left = self.left.checked_sub(steps).ok_or(TooCostly)?;
        Ok(match field {
            Field::Key => key.map(Found::Bytes),
            Field::Value => Some(Found::Bytes(payload)),
            Field::Size => Some(Found::Count(payload.len() as u64)),
            Field::Offset => Some(Found::Count(offset.0)),
            Field::Time => Some(Found::Time(timestamp.0.into())),
            Field::Header(name) => {
                let name = self.filter.bytes(name);
                let header = Headers::decode(headers).find(|(found, _)| found.as_bytes() == name);
                header.map(|(_, value)| Found::Bytes(value))
            }
            Field::Json(path) => {
                json::find(self.filter, payload, &self.filter.steps[path.range()]).map(Found::Json)
            }
        })
    }

    fn compare(&self, found: Found<'_>, order: Order, literal: Literal) -> bool {
        match self.compare_to(found, literal) {
            Some(is) => match order {
                Order::Equal => is.is_eq(),
                Order::Unequal => is.is_ne(),
                Order::Less => is.is_lt(),
                Order::LessOrEqual => is.is_le(),
                Order::Greater => is.is_gt(),
                Order::GreaterOrEqual => is.is_ge(),
            },
            // There is something, and it is no such thing.
            None => order == Order::Unequal,
        }
    }

    /// How what was found stands to `literal`; `None`: they are of different kinds.
    fn compare_to(&self, found: Found<'_>, literal: Literal) -> Option<Ordering> {
        match literal {
            Literal::Text(span) => Some(text_of(found)?.compare(self.filter.bytes(span))),
            Literal::Number(span) => self.compare_to_number(found, span),
            Literal::Time(index) => {
                let mut buffer = [0; MAX_TIME];
                let time = match found {
                    Found::Time(time) => time,
                    found => time::parse(text_of(found)?.short(&mut buffer)?)?,
                };
                Some(time.cmp(&self.filter.times[usize::from(index)]))
            }
            Literal::True => matches!(found, Found::Json(Value::True)).then_some(Ordering::Equal),
            Literal::False => matches!(found, Found::Json(Value::False)).then_some(Ordering::Equal),
            Literal::Null => matches!(found, Found::Json(Value::Null)).then_some(Ordering::Equal),
        }
    }

    fn compare_to_number(&self, found: Found<'_>, literal: Span) -> Option<Ordering> {
        let literal = Decimal::parse(self.filter.bytes(literal))?;
        let mut buffer = [0; 20];
        let number = match found {
            Found::Bytes(text) => Decimal::parse(text)?,
            Found::Json(Value::Number(number)) => number,
            Found::Count(count) => Decimal::of_digits(digits_of(count, &mut buffer)),
            _ => return None,
        };
        Some(number.compare(&literal))
    }

    fn test(&self, found: Found<'_>, test: TextTest) -> bool {
        let Some(text) = text_of(found) else { return false };
        match test {
            TextTest::Prefix(literal) => text.begins_with(self.filter.bytes(literal)),
            TextTest::Suffix(literal) => text.ends_with(self.filter.bytes(literal)),
            TextTest::Contains(literal, overlaps) => {
                text.contains(self.filter.bytes(literal), self.filter.elements(overlaps))
            }
            TextTest::Glob(pattern) => text.is_like(self.filter.elements(pattern)),
        }
    }
}

/// How often a test may look at each byte.
pub(super) fn passes_of(test: TextTest) -> u64 {
    match test {
        TextTest::Glob(pattern) => pattern.len().max(1) as u64,
        _ => 1,
    }
}

fn text_of(found: Found<'_>) -> Option<Text<'_>> {
    match found {
        Found::Bytes(bytes) => Some(Text::Plain(bytes)),
        Found::Json(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn digits_of(mut count: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    while at > 0 && (count > 0 || at == buffer.len()) {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(count % 10).unwrap_or(0);
        count /= 10;
    }
    &buffer[at..]
}
