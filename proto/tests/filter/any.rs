//! Any filter, as a tree and as text; and any record, of a small world in which they meet often.

use crate::naive::{Field, Literal, Sample, Step, Tree};

/// A small generator: what it gives follows from its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

const WORDS: [&str; 14] = [
    "",
    "a",
    "b",
    "ab",
    "aab",
    "abab",
    "user.1",
    "user.22",
    "é",
    "aé",
    "€uro",
    "10",
    "a\"b\\c\n",
    "2026-03-04T05:06:07Z",
];
const NAMES: [&str; 5] = ["a", "b", "level", "a b", "é\"x"];
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "10",
    "1e1",
    "1.0",
    "1.50",
    "1.5",
    "-2.25",
    "100e-2",
    "9007199254740993",
    "9007199254740992",
    "0.001",
    "1E-3",
];
const TIMES: [(&str, i128); 4] = [
    ("2026-01-01T00:00:00Z", 1_767_225_600_000_000_000),
    ("2026-01-01T00:00:01.5Z", 1_767_225_601_500_000_000),
    ("2026-03-04T05:06:07Z", 1_772_600_767_000_000_000),
    ("2026-03-04T05:06:07.000000001Z", 1_772_600_767_000_000_001),
];
const PATTERNS: [&str; 16] = [
    "", "*", "?", "a*", "*b", "*a*b", "a?b", "??", "*a?b*", "user.*", "user.?", "*?*?", "?*é", "*b*b", "€*",
    "*a*a*b",
];

pub(crate) fn literal(dice: &mut Dice) -> Literal {
    match dice.below(10) {
        0..=4 => Literal::Text(dice.pick(&WORDS).to_owned()),
        5..=7 => Literal::Number(dice.pick(&NUMBERS).to_owned()),
        8 => {
            let (text, time) = dice.pick(&TIMES);
            match dice.below(3) {
                0 => Literal::Time(time + 1_500_000_000, format!("{text} + 1s500ms")),
                1 => Literal::Time(time - 60_000_000_001, format!("{text} - 1m - 1ns")),
                _ => Literal::Time(time, text.to_owned()),
            }
        }
        _ => dice.pick(&[Literal::True, Literal::False, Literal::Null].each_ref()).clone(),
    }
}

fn field(dice: &mut Dice) -> Field {
    match dice.below(12) {
        0 | 1 => Field::Key,
        2 => Field::Value,
        3 => Field::Size,
        4 => Field::Offset,
        5 => Field::Time,
        6 => Field::Header(dice.pick(&NAMES).to_owned()),
        _ => {
            let steps = (0..dice.below(4)).map(|_| match dice.below(4) {
                0 => Step::Index(dice.below(3)),
                _ => Step::Name(dice.pick(&NAMES).to_owned()),
            });
            Field::Json(steps.collect())
        }
    }
}

fn literal_for(dice: &mut Dice, field: &Field, is_ordered: bool) -> Literal {
    loop {
        let literal = literal(dice);
        let fits = match (field, &literal) {
            (Field::Size | Field::Offset, literal) => matches!(literal, Literal::Number(_)),
            (Field::Time, literal) => matches!(literal, Literal::Time(..)),
            (Field::Json(_), Literal::True | Literal::False | Literal::Null) => !is_ordered,
            (_, Literal::True | Literal::False | Literal::Null) => false,
            _ => true,
        };
        if fits {
            return literal;
        }
    }
}

pub(crate) fn tree(dice: &mut Dice, depth: usize) -> Tree {
    if depth > 0 && dice.is(2) {
        let inner = |dice: &mut Dice| Box::new(tree(dice, depth - 1));
        return match dice.below(3) {
            0 => Tree::And(inner(dice), inner(dice)),
            1 => Tree::Or(inner(dice), inner(dice)),
            _ => Tree::Not(inner(dice)),
        };
    }
    let field = field(dice);
    let has_text = !matches!(field, Field::Size | Field::Offset | Field::Time);
    match dice.below(8) {
        0 => Tree::Exists(field),
        1 => {
            let literals = (0..=dice.below(3)).map(|_| literal_for(dice, &field, false)).collect();
            Tree::In(field, literals)
        }
        2..=4 if has_text => match dice.pick(&["^=", "$=", "*=", "~"]) {
            "~" => Tree::Text(field, "~", dice.pick(&PATTERNS).to_owned()),
            operator => Tree::Text(field, operator, dice.pick(&WORDS).to_owned()),
        },
        _ => {
            let operator = dice.pick(&["==", "==", "!=", "<", "<=", ">", ">="]);
            let literal = literal_for(dice, &field, !matches!(operator, "==" | "!="));
            Tree::Compare(field, operator, literal)
        }
    }
}

// ---- as text ----

fn quoted(dice: &mut Dice, text: &str) -> String {
    let quote = dice.pick(&['\'', '"']);
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            c if c == quote => out.extend(['\\', c]),
            c if dice.is(8) && !matches!(c, '*' | '?') => out += &format!("\\u{{{:x}}}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

fn name_text(dice: &mut Dice, name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !name.is_empty();
    if is_bare && !dice.is(4) { name.to_owned() } else { quoted(dice, name) }
}

fn field_text(dice: &mut Dice, field: &Field) -> String {
    match field {
        Field::Key => "key".to_owned(),
        Field::Value => "value".to_owned(),
        Field::Size => "size".to_owned(),
        Field::Offset => "offset".to_owned(),
        Field::Time => "time".to_owned(),
        Field::Header(name) => format!("header.{}", name_text(dice, name)),
        Field::Json(steps) => steps.iter().fold("json".to_owned(), |text, step| match step {
            Step::Name(name) => format!("{text}.{}", name_text(dice, name)),
            Step::Index(index) => format!("{text}[{index}]"),
        }),
    }
}

fn literal_text(dice: &mut Dice, literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => quoted(dice, text),
        Literal::Number(number) => number.clone(),
        Literal::Time(_, text) => text.clone(),
        Literal::True => "true".to_owned(),
        Literal::False => "false".to_owned(),
        Literal::Null => "null".to_owned(),
    }
}

pub(crate) fn tree_text(dice: &mut Dice, tree: &Tree) -> String {
    match tree {
        Tree::And(a, b) => format!("({}) and ({})", tree_text(dice, a), tree_text(dice, b)),
        Tree::Or(a, b) => format!("({}) or\n ({})", tree_text(dice, a), tree_text(dice, b)),
        Tree::Not(a) => format!("not ({})", tree_text(dice, a)),
        Tree::Exists(field) => format!("{} exists", field_text(dice, field)),
        Tree::Compare(field, operator, literal) => {
            let space = dice.pick(&["", " ", "\t"]);
            format!("{}{space}{operator}{space}{}", field_text(dice, field), literal_text(dice, literal))
        }
        Tree::Text(field, operator, text) => {
            format!("{} {operator} {}", field_text(dice, field), quoted(dice, text))
        }
        Tree::In(field, literals) => {
            let literals: Vec<_> = literals.iter().map(|literal| literal_text(dice, literal)).collect();
            format!("{} in ({})", field_text(dice, field), literals.join(", "))
        }
    }
}

// ---- records ----

fn json_text(dice: &mut Dice, text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => *out += "\\n",
            c if dice.is(6) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| *out += &format!("\\u{unit:04x}"))
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn json(dice: &mut Dice, depth: usize, out: &mut String) {
    let space = |dice: &mut Dice, out: &mut String| *out += dice.pick(&["", "", " ", "\n\t"]);
    space(dice, out);
    match dice.below(if depth == 0 { 6 } else { 12 }) {
        0 | 1 => {
            let word = dice.pick(&WORDS);
            json_text(dice, word, out);
        }
        2 | 3 => *out += dice.pick(&NUMBERS),
        4 => *out += dice.pick(&["true", "false", "null"]),
        5 => json_text(dice, "a,]}{[:\\\"", out),
        6..=9 => {
            out.push('{');
            for at in 0..dice.below(4) {
                if at > 0 {
                    out.push(',');
                }
                space(dice, out);
                let name = dice.pick(&NAMES);
                json_text(dice, name, out);
                space(dice, out);
                out.push(':');
                json(dice, depth - 1, out);
            }
            space(dice, out);
            out.push('}');
        }
        _ => {
            out.push('[');
            for at in 0..dice.below(4) {
                if at > 0 {
                    out.push(',');
                }
                json(dice, depth - 1, out);
            }
            space(dice, out);
            out.push(']');
        }
    }
    space(dice, out);
}

fn text(dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => dice.pick(&NUMBERS).into(),
        1 => dice.pick(&TIMES).0.into(),
        2 => (0..dice.below(6)).map(|_| dice.pick(b"ab\x80\xc3\xff")).collect(),
        3 => format!("{}{}", dice.pick(&WORDS), dice.pick(&WORDS)).into(),
        _ => dice.pick(&WORDS).into(),
    }
}

pub(crate) fn sample(dice: &mut Dice) -> Sample {
    let payload = if dice.is(4) {
        text(dice)
    } else {
        let mut out = String::new();
        json(dice, 3, &mut out);
        out.into_bytes()
    };
    let (_, time) = dice.pick(&TIMES);
    Sample {
        offset: dice.below(12) as u64,
        time: i64::try_from(time).unwrap() + dice.below(3) as i64 - 1,
        key: (!dice.is(4)).then(|| text(dice)),
        headers: (0..dice.below(4)).map(|_| (dice.pick(&NAMES).to_owned(), text(dice))).collect(),
        payload,
    }
}
