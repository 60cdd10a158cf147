//! The grammar of a filter: from words to nodes, within limits, or to the place where it goes wrong.

use std::sync::Arc;

use super::error::{FilterError, FilterProblem};
use super::eval::passes_of;
use super::lex::{self, Parsed, after_space, expected, fail, keyword, sign};
use super::text::overlaps;
use super::{Arena, Field, Filter, Literal, Node, NodeId, Order, Span, Step, TextTest};
use crate::limits::{MAX_FILTER, MAX_FILTER_DEPTH, MAX_FILTER_NODES, MAX_FILTER_PATH, MAX_FILTER_PATTERN};

const FIELD: &str = "a field (key, value, size, offset, time, header.NAME, json.PATH), 'not' or '('";
const TEXT_OPERATOR: &str = "an operator (== != < <= > >= ^= $= *= ~ in exists)";
const ORDER_OPERATOR: &str = "an operator (== != < <= > >= in exists)";

pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.len() > MAX_FILTER {
        let at = (0..=MAX_FILTER).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        return Err(FilterError::new(text, at, FilterProblem::TooLong));
    }
    let mut making = Making::default();
    match making.all(text) {
        Ok((_, root)) => Ok(Filter(Arc::new(Arena {
            text: text.into(),
            root,
            weight: making.nodes.iter().map(weight_of).sum::<u64>(),
            reads_payload: making.nodes.iter().any(reads_payload),
            nodes: making.nodes.into(),
            steps: making.steps.into(),
            bytes: making.bytes.into(),
            elements: making.elements.into(),
            times: making.times.into(),
        }))),
        Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => {
            Err(FilterError::new(text, text.len() - fault.left, fault.problem))
        }
        Err(nom::Err::Incomplete(_)) => {
            Err(FilterError::new(text, text.len(), FilterProblem::Expected("more")))
        }
    }
}

/// A filter in the making.
#[derive(Debug, Default)]
struct Making {
    nodes: Vec<Node>,
    steps: Vec<Step>,
    bytes: Vec<u8>,
    elements: Vec<u16>,
    times: Vec<i128>,
    depth: usize,
}

impl Making {
    fn all<'a>(&mut self, input: &'a str) -> Parsed<'a, NodeId> {
        let (rest, root) = self.or(input)?;
        match after_space(rest) {
            "" => Ok(("", root)),
            rest => expected(rest, "'and', 'or' or the end"),
        }
    }

    fn or<'a>(&mut self, input: &'a str) -> Parsed<'a, NodeId> {
        let (mut rest, mut left) = self.and(input)?;
        while let Some(after) = keyword(rest, "or") {
            let at = after_space(rest);
            let right;
            (rest, right) = self.and(after)?;
            left = self.node(at, Node::Or(left, right))?;
        }
        Ok((rest, left))
    }

    fn and<'a>(&mut self, input: &'a str) -> Parsed<'a, NodeId> {
        let (mut rest, mut left) = self.not(input)?;
        while let Some(after) = keyword(rest, "and") {
            let at = after_space(rest);
            let right;
            (rest, right) = self.not(after)?;
            left = self.node(at, Node::And(left, right))?;
        }
        Ok((rest, left))
    }

    fn not<'a>(&mut self, input: &'a str) -> Parsed<'a, NodeId> {
        let at = after_space(input);
        if let Some(rest) = keyword(at, "not") {
            let (rest, inner) = self.nested(at, |making| making.not(rest))?;
            return Ok((rest, self.node(at, Node::Not(inner))?));
        }
        let Some(rest) = sign(at, "(") else { return self.term(at) };
        let (rest, inner) = self.nested(at, |making| making.or(rest))?;
        match sign(rest, ")") {
            Some(rest) => Ok((rest, inner)),
            None => expected(after_space(rest), "'and', 'or' or ')'"),
        }
    }

    fn nested<'a>(
        &mut self,
        at: &'a str,
        inner: impl FnOnce(&mut Making) -> Parsed<'a, NodeId>,
    ) -> Parsed<'a, NodeId> {
        if self.depth == MAX_FILTER_DEPTH {
            return fail(at, FilterProblem::TooDeep);
        }
        self.depth += 1;
        let parsed = inner(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    /// A field, an operator, and what it is compared to.
    fn term<'a>(&mut self, at: &'a str) -> Parsed<'a, NodeId> {
        let (rest, field) = self.field(at)?;
        if let Some(rest) = keyword(rest, "exists") {
            return Ok((rest, self.node(at, Node::Exists(field))?));
        }
        if let Some(rest) = keyword(rest, "in") {
            return self.list(at, field, rest);
        }
        let operator = after_space(rest);
        for (text, order) in [
            ("==", Order::Equal),
            ("!=", Order::Unequal),
            ("<=", Order::LessOrEqual),
            (">=", Order::GreaterOrEqual),
            ("<", Order::Less),
            (">", Order::Greater),
        ] {
            if let Some(rest) = operator.strip_prefix(text) {
                let is_ordered = !matches!(order, Order::Equal | Order::Unequal);
                let (rest, literal) = self.literal(after_space(rest), field, is_ordered)?;
                return Ok((rest, self.node(at, Node::Compare(field, order, literal))?));
            }
        }
        if !field.has_text() {
            return expected(operator, ORDER_OPERATOR);
        }
        let Some((rest, test)) = self.text_test(operator)? else { return expected(operator, TEXT_OPERATOR) };
        Ok((rest, self.node(at, Node::Text(field, test))?))
    }

    fn text_test<'a>(
        &mut self,
        operator: &'a str,
    ) -> Result<Option<(&'a str, TextTest)>, nom::Err<lex::Fault>> {
        let test = |text| operator.strip_prefix(text).map(after_space);
        Ok(Some(if let Some(rest) = test("^=") {
            let (rest, literal) = self.text(rest)?;
            (rest, TextTest::Prefix(literal))
        } else if let Some(rest) = test("$=") {
            let (rest, literal) = self.text(rest)?;
            (rest, TextTest::Suffix(literal))
        } else if let Some(rest) = test("*=") {
            let (rest, literal) = self.text(rest)?;
            let from = self.elements.len();
            self.elements.extend(overlaps(&self.bytes[literal.range()]));
            (rest, TextTest::Contains(literal, span(from, self.elements.len())))
        } else if let Some(at) = test("~") {
            let from = self.elements.len();
            let (rest, ()) = lex::pattern(at, &mut self.elements)?;
            if self.elements.len() - from > MAX_FILTER_PATTERN {
                return fail(at, FilterProblem::PatternTooLong).map(|_: (&str, ())| None);
            }
            (rest, TextTest::Glob(span(from, self.elements.len())))
        } else {
            return Ok(None);
        }))
    }

    fn list<'a>(&mut self, at: &'a str, field: Field, input: &'a str) -> Parsed<'a, NodeId> {
        let Some(mut rest) = sign(input, "(") else { return expected(after_space(input), "'('") };
        let from = self.nodes.len();
        loop {
            let item = after_space(rest);
            let literal;
            (rest, literal) = self.literal(item, field, false)?;
            self.node(item, Node::Item(literal))?;
            if let Some(after) = sign(rest, ",") {
                rest = after;
            } else if let Some(rest) = sign(rest, ")") {
                let items = (node_id(from), node_id(self.nodes.len()));
                return Ok((rest, self.node(at, Node::In(field, items.0, items.1))?));
            } else {
                return expected(after_space(rest), "',' or ')'");
            }
        }
    }

    fn field<'a>(&mut self, at: &'a str) -> Parsed<'a, Field> {
        let Ok((rest, word)) = lex::name(at) else { return expected(at, FIELD) };
        let field = match word {
            "key" => Field::Key,
            "value" => Field::Value,
            "size" => Field::Size,
            "offset" => Field::Offset,
            "time" => Field::Time,
            "header" => {
                let Some(rest) = rest.strip_prefix('.') else {
                    return expected(rest, "'.' and the header's name");
                };
                let (rest, name) = self.name(rest)?;
                return Ok((rest, Field::Header(name)));
            }
            "json" => {
                let (rest, path) = self.path(rest)?;
                return Ok((rest, Field::Json(path)));
            }
            _ => return expected(at, FIELD),
        };
        Ok((rest, field))
    }

    /// The steps of a path, as many as there are.
    fn path<'a>(&mut self, input: &'a str) -> Parsed<'a, Span> {
        let from = self.steps.len();
        let mut rest = input;
        loop {
            let at = rest;
            let step = if let Some(after) = rest.strip_prefix('.') {
                let name;
                (rest, name) = self.name(after)?;
                Step::Name(name)
            } else if let Some(after) = rest.strip_prefix('[') {
                let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                let Ok(index) = after[..digits].parse() else { return expected(after, "an index from 0 on") };
                let Some(after) = after[digits..].strip_prefix(']') else {
                    return expected(&after[digits..], "']'");
                };
                rest = after;
                Step::Index(index)
            } else {
                return Ok((rest, span(from, self.steps.len())));
            };
            if self.steps.len() - from == MAX_FILTER_PATH {
                return fail(at, FilterProblem::PathTooLong);
            }
            self.steps.push(step);
        }
    }

    /// A name, bare or in quotes.
    fn name<'a>(&mut self, at: &'a str) -> Parsed<'a, Span> {
        if at.starts_with(['"', '\'']) {
            return self.text(at);
        }
        let Ok((rest, name)) = lex::name(at) else {
            return expected(at, "a name, in quotes unless it is of A-Z a-z 0-9 _ -");
        };
        let from = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        Ok((rest, span(from, self.bytes.len())))
    }

    fn text<'a>(&mut self, at: &'a str) -> Parsed<'a, Span> {
        let from = self.bytes.len();
        let (rest, ()) = lex::text(at, &mut self.bytes)?;
        Ok((rest, span(from, self.bytes.len())))
    }

    /// What `field` may be compared to; if it `is_ordered`, by what comes first.
    fn literal<'a>(&mut self, at: &'a str, field: Field, is_ordered: bool) -> Parsed<'a, Literal> {
        let what = match field {
            Field::Size | Field::Offset => "a number",
            Field::Time => "a time like 2026-01-02T03:04:05Z",
            Field::Json(_) if !is_ordered => "a text in quotes, a number, a time, true, false or null",
            _ => "a text in quotes, a number or a time",
        };
        if at.starts_with(['"', '\'']) && field.has_text() {
            let (rest, text) = self.text(at)?;
            return Ok((rest, Literal::Text(text)));
        }
        if at.len() > 4 && at.bytes().take(4).all(|byte| byte.is_ascii_digit()) && at[4..].starts_with('-') {
            if matches!(field, Field::Size | Field::Offset) {
                return expected(at, what);
            }
            let (rest, time) = lex::time(at)?;
            self.times.push(time);
            let index = u8::try_from(self.times.len() - 1);
            return match index {
                Ok(index) => Ok((rest, Literal::Time(index))),
                Err(_) => fail(at, FilterProblem::TooManyNodes),
            };
        }
        if let Ok((rest, number)) = lex::number(at)
            && field != Field::Time
        {
            if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
                return expected(at, what);
            }
            let from = self.bytes.len();
            self.bytes.extend_from_slice(number.as_bytes());
            return Ok((rest, Literal::Number(span(from, self.bytes.len()))));
        }
        if matches!(field, Field::Json(_)) && !is_ordered {
            for (word, literal) in
                [("true", Literal::True), ("false", Literal::False), ("null", Literal::Null)]
            {
                if let Some(rest) = keyword(at, word) {
                    return Ok((rest, literal));
                }
            }
        }
        expected(at, what)
    }

    fn node(&mut self, at: &str, node: Node) -> Result<NodeId, nom::Err<lex::Fault>> {
        if self.nodes.len() == MAX_FILTER_NODES {
            let fault = lex::Fault { left: at.len(), problem: FilterProblem::TooManyNodes };
            return Err(nom::Err::Error(fault));
        }
        self.nodes.push(node);
        Ok(node_id(self.nodes.len() - 1))
    }
}

impl Field {
    /// Whether what stands in it can be a text.
    fn has_text(self) -> bool {
        !matches!(self, Field::Size | Field::Offset | Field::Time)
    }
}

fn weight_of(node: &Node) -> u64 {
    match node {
        Node::Exists(field) | Node::Compare(field, ..) => field.has_text().into(),
        Node::Text(_, test) => passes_of(*test),
        Node::In(field, from, to) => u64::from(field.has_text()) * u64::from(to - from),
        _ => 0,
    }
}

fn reads_payload(node: &Node) -> bool {
    match node {
        Node::Exists(field) | Node::Compare(field, ..) | Node::Text(field, _) | Node::In(field, ..) => {
            matches!(field, Field::Value | Field::Json(_))
        }
        _ => false,
    }
}

/// The text is no longer than [`MAX_FILTER`], and no list is longer than the text.
fn span(from: usize, to: usize) -> Span {
    let place = |at| u16::try_from(at).unwrap_or(u16::MAX);
    Span { from: place(from), to: place(to) }
}

/// There are no more than [`MAX_FILTER_NODES`].
fn node_id(index: usize) -> NodeId {
    NodeId::try_from(index).unwrap_or(NodeId::MAX)
}
