//! The same language once more, as plainly as it can be written: a tree that is walked, payloads read whole by serde_json, numbers
//! blown up to digits, patterns matched by trying everything. Nothing of the crate under test is used.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Clone, Debug)]
pub(crate) enum Tree {
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
    Not(Box<Tree>),
    Exists(Field),
    Compare(Field, &'static str, Literal),
    Text(Field, &'static str, String),
    In(Field, Vec<Literal>),
}

#[derive(Clone, Debug)]
pub(crate) enum Field {
    Key,
    Value,
    Size,
    Offset,
    Time,
    Header(String),
    Json(Vec<Step>),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Text(String),
    Number(String),
    /// Nanoseconds since 1970, and how that is written.
    Time(i128, String),
    True,
    False,
    Null,
}

/// A record, owned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) offset: u64,
    pub(crate) time: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

/// What a field holds.
#[derive(Clone, Debug)]
enum Held {
    Bytes(Vec<u8>),
    Number(String),
    Time(i128),
    JsonText(String),
    JsonNumber(String),
    True,
    False,
    Null,
    Container,
}

/// An object's members in their order, with duplicates.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn walk(json: &str, path: &[Step]) -> Option<Held> {
    let Some((step, rest)) = path.split_first() else {
        let json = json.trim_matches([' ', '\t', '\n', '\r']);
        return Some(match json.as_bytes()[0] {
            b'{' | b'[' => Held::Container,
            b'"' => Held::JsonText(serde_json::from_str(json).unwrap()),
            b't' => Held::True,
            b'f' => Held::False,
            b'n' => Held::Null,
            _ => Held::JsonNumber(json.to_owned()),
        });
    };
    match step {
        Step::Name(name) => {
            let Members(members) = serde_json::from_str(json).ok()?;
            let (_, value) = members.iter().find(|(found, _)| found == name)?;
            walk(value.get(), rest)
        }
        Step::Index(index) => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).ok()?;
            walk(items.get(*index)?.get(), rest)
        }
    }
}

fn held(field: &Field, sample: &Sample) -> Option<Held> {
    match field {
        Field::Key => sample.key.clone().map(Held::Bytes),
        Field::Value => Some(Held::Bytes(sample.payload.clone())),
        Field::Size => Some(Held::Number(sample.payload.len().to_string())),
        Field::Offset => Some(Held::Number(sample.offset.to_string())),
        Field::Time => Some(Held::Time(sample.time.into())),
        Field::Header(name) => {
            let header = sample.headers.iter().find(|(found, _)| found == name);
            header.map(|(_, value)| Held::Bytes(value.clone()))
        }
        Field::Json(path) => {
            let text = std::str::from_utf8(&sample.payload).ok()?;
            serde_json::from_str::<&RawValue>(text).ok()?;
            walk(text, path)
        }
    }
}

fn text(held: &Held) -> Option<Vec<u8>> {
    match held {
        Held::Bytes(bytes) => Some(bytes.clone()),
        Held::JsonText(text) => Some(text.clone().into_bytes()),
        _ => None,
    }
}

/// A number as a sign and a hundred digits, the last forty of them behind the point.
fn digits(number: &str) -> Option<(bool, String)> {
    // What serde_json takes for a number is one.
    let is_number = serde_json::from_str::<&RawValue>(number).is_ok_and(|raw| raw.get() == number)
        && number.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if !is_number {
        return None;
    }
    let (is_negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: isize = exponent.parse().unwrap();
    let point = whole.len() as isize + exponent;
    let all = format!("{whole}{fraction}");
    let at = |place: isize| {
        // Places are counted from the first of a hundred, the point being after the sixtieth.
        let index = place - 60 + point;
        usize::try_from(index)
            .ok()
            .and_then(|index| all.as_bytes().get(index))
            .map_or('0', |digit| *digit as char)
    };
    assert!(point.abs() < 55 && all.len() < 35, "the generator keeps to small numbers");
    let digits: String = (0..100).map(at).collect();
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    Some((is_negative && !is_zero, digits))
}

fn compare_numbers(a: &str, b: &str) -> Option<Ordering> {
    let ((a_negative, a), (b_negative, b)) = (digits(a)?, digits(b)?);
    Some(match (a_negative, b_negative) {
        (false, false) => a.cmp(&b),
        (true, true) => b.cmp(&a),
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
    })
}

/// Whole seconds and nanoseconds of `2026-MM-DDTHH:MM:SS[.FFF]Z`, the only form that the generator writes.
pub(crate) fn time(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = match text.strip_suffix('Z')?.split_once('.') {
        Some((seconds, fraction)) => (seconds, fraction),
        None => (text.strip_suffix('Z')?, "0"),
    };
    if seconds.len() != 19 || !seconds.starts_with("2026-") {
        return None;
    }
    let field = |at: usize| seconds[at..at + 2].parse::<i128>().ok();
    let days: i128 =
        [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][..usize::try_from(field(5)?).ok()? - 1].iter().sum();
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    let hours = (days + field(8)? - 1) * 24 + field(11)?;
    Some((1_767_225_600 + (hours * 60 + field(14)?) * 60 + field(17)?) * 1_000_000_000 + nanos)
}

fn compare(held: &Held, literal: &Literal) -> Option<Ordering> {
    match literal {
        Literal::Text(literal) => Some(text(held)?.cmp(&literal.clone().into_bytes())),
        Literal::Number(literal) => match held {
            Held::Bytes(bytes) => compare_numbers(std::str::from_utf8(bytes).ok()?, literal),
            Held::Number(number) | Held::JsonNumber(number) => compare_numbers(number, literal),
            _ => None,
        },
        Literal::Time(literal, _) => match held {
            Held::Time(held) => Some(held.cmp(literal)),
            held => Some(time(&text(held)?)?.cmp(literal)),
        },
        Literal::True => matches!(held, Held::True).then_some(Ordering::Equal),
        Literal::False => matches!(held, Held::False).then_some(Ordering::Equal),
        Literal::Null => matches!(held, Held::Null).then_some(Ordering::Equal),
    }
}

/// Tries every way in which `*` and `?` can be read.
fn is_like(text: &[u8], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| is_like(&text[skip..], rest)),
        Some(('?', rest)) => {
            let Some((_, after)) = text.split_first() else { return false };
            let tail = after.iter().take(3).take_while(|byte| (0x80..=0xBF).contains(*byte)).count();
            is_like(&after[tail..], rest)
        }
        Some((c, rest)) => {
            let mut buffer = [0; 4];
            let c = c.encode_utf8(&mut buffer).as_bytes();
            text.starts_with(c) && is_like(&text[c.len()..], rest)
        }
    }
}

pub(crate) fn passes(tree: &Tree, sample: &Sample) -> bool {
    match tree {
        Tree::And(a, b) => passes(a, sample) && passes(b, sample),
        Tree::Or(a, b) => passes(a, sample) || passes(b, sample),
        Tree::Not(a) => !passes(a, sample),
        Tree::Exists(field) => held(field, sample).is_some(),
        Tree::In(field, literals) => held(field, sample).is_some_and(|held| {
            literals.iter().any(|literal| compare(&held, literal) == Some(Ordering::Equal))
        }),
        Tree::Compare(field, operator, literal) => {
            let Some(held) = held(field, sample) else { return false };
            let ordering = compare(&held, literal);
            match *operator {
                "==" => ordering == Some(Ordering::Equal),
                "!=" => ordering != Some(Ordering::Equal),
                "<" => ordering == Some(Ordering::Less),
                "<=" => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
                ">" => ordering == Some(Ordering::Greater),
                ">=" => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
                other => panic!("{other}"),
            }
        }
        Tree::Text(field, operator, literal) => {
            let Some(text) = held(field, sample).as_ref().and_then(text) else { return false };
            let bytes = literal.as_bytes();
            match *operator {
                "^=" => text.starts_with(bytes),
                "$=" => text.ends_with(bytes),
                "*=" => bytes.is_empty() || text.windows(bytes.len()).any(|window| window == bytes),
                "~" => is_like(&text, &literal.chars().collect::<Vec<_>>()),
                other => panic!("{other}"),
            }
        }
    }
}
