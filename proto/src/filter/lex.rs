//! The words of a filter, with nom: names, texts, numbers, times, durations.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::combinator::{opt, recognize};
use nom::error::{ErrorKind, ParseError};
use nom::sequence::pair;
use nom::{IResult, Parser};

use super::error::FilterProblem;
use super::text::{ANY_ONE, ANY_RUN};
use super::time::{self, UNITS};

/// What a parser gives: the rest of the text, and what was read.
pub(super) type Parsed<'a, T> = IResult<&'a str, T, Fault>;

/// Where it went wrong: so many bytes before the end of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) left: usize,
    pub(super) problem: FilterProblem,
}

impl<'a> ParseError<&'a str> for Fault {
    /// Never told: what reads a word says what it expected.
    fn from_error_kind(input: &'a str, _: ErrorKind) -> Fault {
        Fault { left: input.len(), problem: FilterProblem::Expected("something else") }
    }

    fn append(_: &'a str, _: ErrorKind, other: Fault) -> Fault {
        other
    }
}

pub(super) fn fail<T>(at: &str, problem: FilterProblem) -> Parsed<'_, T> {
    Err(nom::Err::Error(Fault { left: at.len(), problem }))
}

pub(super) fn expected<'a, T>(at: &'a str, what: &'static str) -> Parsed<'a, T> {
    fail(at, FilterProblem::Expected(what))
}

/// What follows white space.
pub(super) fn after_space(input: &str) -> &str {
    input.trim_start_matches([' ', '\t', '\r', '\n'])
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// `ALPHA / DIGIT / "_" / "-"`, at least one.
pub(super) fn name(input: &str) -> Parsed<'_, &str> {
    take_while1(is_name).parse(input)
}

/// This word, after white space, and no longer one.
pub(super) fn keyword<'a>(input: &'a str, word: &str) -> Option<&'a str> {
    let rest = after_space(input).strip_prefix(word)?;
    (!rest.starts_with(is_name)).then_some(rest)
}

/// This sign, after white space.
pub(super) fn sign<'a>(input: &'a str, sign: &str) -> Option<&'a str> {
    after_space(input).strip_prefix(sign)
}

/// One unit of a quoted text.
enum Unit {
    Byte(u8),
    Char(char),
    /// `\*` and `\?`, which only patterns have.
    Escaped(u8),
}

/// A text in quotes: its bytes, each with whether it was escaped by `\`.
fn quoted<'a>(input: &'a str, is_pattern: bool, mut each: impl FnMut(Unit)) -> Parsed<'a, ()> {
    let Some(quote @ ('\'' | '"')) = input.chars().next() else { return expected(input, "a text in quotes") };
    let mut rest = &input[1..];
    loop {
        let Some(c) = rest.chars().next() else {
            return expected(rest, if quote == '"' { "the closing \"" } else { "the closing '" });
        };
        let here = rest;
        rest = &rest[c.len_utf8()..];
        match c {
            c if c == quote => return Ok((rest, ())),
            '\\' => {
                let (after, unit) = escape(here, rest, is_pattern)?;
                each(unit);
                rest = after;
            }
            c => each(Unit::Char(c)),
        }
    }
}

/// What stands after a backslash at `here`.
fn escape<'a>(here: &'a str, input: &'a str, is_pattern: bool) -> Parsed<'a, Unit> {
    let hex = |digits: &str| u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
    let Some(c) = input.chars().next() else { return expected(here, ESCAPES) };
    let rest = &input[c.len_utf8()..];
    let unit = match c {
        '\\' | '\'' | '"' => Unit::Char(c),
        'n' => Unit::Byte(b'\n'),
        'r' => Unit::Byte(b'\r'),
        't' => Unit::Byte(b'\t'),
        '0' => Unit::Byte(0),
        '*' if is_pattern => Unit::Escaped(b'*'),
        '?' if is_pattern => Unit::Escaped(b'?'),
        'x' => match rest.get(..2).and_then(hex) {
            Some(byte) => return Ok((&rest[2..], Unit::Byte(byte.to_le_bytes()[0]))),
            None => return expected(here, "two hexadecimal digits after \\x"),
        },
        'u' => {
            let digits = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let char = digits.filter(|(digits, _)| (1..=6).contains(&digits.len()));
            return match char.and_then(|(digits, after)| Some((after, char::from_u32(hex(digits)?)?))) {
                Some((after, char)) => Ok((after, Unit::Char(char))),
                None => expected(here, "a character in hexadecimal after \\u, as in \\u{e9}"),
            };
        }
        _ => return expected(here, ESCAPES),
    };
    Ok((rest, unit))
}

const ESCAPES: &str = "one of \\\\ \\' \\\" \\n \\r \\t \\0 \\xHH \\u{H}";

/// A text in quotes, appended to `out`.
pub(super) fn text<'a>(input: &'a str, out: &mut Vec<u8>) -> Parsed<'a, ()> {
    quoted(input, false, |unit| match unit {
        Unit::Byte(byte) | Unit::Escaped(byte) => out.push(byte),
        Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    })
}

/// A pattern in quotes, appended to `out`. Runs of `*` are one.
pub(super) fn pattern<'a>(input: &'a str, out: &mut Vec<u16>) -> Parsed<'a, ()> {
    let first = out.len();
    quoted(input, true, |unit| match unit {
        Unit::Byte(byte) | Unit::Escaped(byte) => out.push(byte.into()),
        Unit::Char('*') if out.len() > first && out.last() == Some(&ANY_RUN) => {}
        Unit::Char('*') => out.push(ANY_RUN),
        Unit::Char('?') => out.push(ANY_ONE),
        Unit::Char(c) => out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(u16::from)),
    })
}

/// A number in JSON's form.
pub(super) fn number(input: &str) -> Parsed<'_, &str> {
    let digits = || take_while1(|c: char| c.is_ascii_digit());
    let whole = alt((tag("0"), digits()));
    let exponent = (alt((tag("e"), tag("E"))), opt(alt((tag("+"), tag("-")))), digits());
    recognize((opt(tag("-")), whole, opt(pair(tag("."), digits())), opt(exponent))).parse(input)
}

/// A time, and durations added to it or taken from it.
pub(super) fn time(input: &str) -> Parsed<'_, i128> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | ':' | '.');
    let (_, word) = take_while(is_part).parse(input)?;
    // It ends with its Z, or with hours and minutes after a sign.
    let zone =
        word.char_indices().skip("2026-01-02T".len()).find(|(_, c)| matches!(c, 'Z' | 'z' | '+' | '-'));
    let end =
        zone.map_or(word.len(), |(at, c)| at + if c.eq_ignore_ascii_case(&'z') { 1 } else { "+00:00".len() });
    let word = &word[..end.min(word.len())];
    let Some(mut time) = time::parse(word.as_bytes()) else {
        return expected(input, "a time like 2026-01-02T03:04:05.678Z");
    };
    let mut rest = &input[word.len()..];
    loop {
        let (is_plus, after) = match (sign(rest, "+"), sign(rest, "-")) {
            (Some(after), _) => (true, after),
            (_, Some(after)) => (false, after),
            _ => return Ok((rest, time)),
        };
        let (after, span) = duration(after_space(after))?;
        time = if is_plus { time + span } else { time - span };
        rest = after;
    }
}

/// A duration in nanoseconds: `90s`, `1h30m`.
fn duration(input: &str) -> Parsed<'_, i128> {
    const FORM: &str = "a duration like 90s or 1h30m (ns, us, ms, s, m, h, d)";
    let (mut rest, mut sum) = (input, 0i128);
    loop {
        let part = take_while1::<_, &str, Fault>(|c: char| c.is_ascii_digit()).parse(rest);
        let Ok((after, digits)) = part else {
            let is_whole = rest.len() < input.len() && !rest.starts_with(is_name);
            return if is_whole { Ok((rest, sum)) } else { expected(input, FORM) };
        };
        let count = digits.parse::<u32>().ok().map(i128::from);
        let unit = UNITS.iter().find(|(unit, _)| {
            // Not the `m` of `ms`.
            after
                .strip_prefix(unit)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphabetic()))
        });
        match (count, unit) {
            (Some(count), Some((unit, nanos))) => {
                sum += count * nanos;
                rest = &after[unit.len()..];
            }
            _ => return expected(input, FORM),
        }
    }
}
