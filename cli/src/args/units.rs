//! Sizes, ages and delimiters, as the command line says them.

use std::time::Duration;

use netchan::{CursorName, Filter};
use netchan_proto::permissions::InvalidPermissions;
use unicode_width::UnicodeWidthStr;

use super::channel::Delimiter;
use super::kept::Before;
use super::serve::Grant;
use crate::when::{self, EventTime, When};

pub(super) fn delimiter(text: &str) -> Result<Delimiter, String> {
    ending(text).and_then(|found| {
        if found.0.is_empty() { Err("a delimiter has at least one byte".into()) } else { Ok(found) }
    })
}

/// As a delimiter, but that it may be nothing.
pub(super) fn ending(text: &str) -> Result<Delimiter, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| hex);
                byte.ok_or("\\x wants two hexadecimal digits")?
            }
            _ => return Err("after \\ there may be n, r, t, 0, x and \\".into()),
        });
    }
    Ok(Delimiter(bytes))
}

pub(super) fn length_of_time(text: &str) -> Result<Duration, String> {
    match when::parse(text)? {
        When::Ago(length) if !length.is_zero() => Ok(length),
        _ => Err("a length of time is wanted, as 12h or 7d".into()),
    }
}

/// As a length of time, but that it may be nothing.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    match when::parse(text)? {
        When::Ago(length) => Ok(length),
        When::At(_) => Err("a length of time is wanted, as 30s or 5m".into()),
    }
}

/// A cursor's name.
pub(super) fn cursor(text: &str) -> Result<CursorName, String> {
    CursorName::new(text).map_err(|error| error.to_string())
}

/// A filter; one that cannot be read is shown with a mark under the place where it goes wrong.
pub(super) fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| {
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        let shown =
            |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let before: String = line.chars().take(error.column - 1).collect();
        let width = shown(&before).width();
        format!("{error}\n\n  {}\n  {}^", shown(line), " ".repeat(width))
    })
}

/// `NAME=VALUE`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is NAME=VALUE".into()),
    }
}

/// `RIGHTS=FILE`.
pub(super) fn grant(text: &str) -> Result<Grant, String> {
    match text.split_once('=') {
        Some((rights, file)) if !file.is_empty() => {
            let may = rights.parse().map_err(|error: InvalidPermissions| error.to_string())?;
            Ok(Grant { may, file: file.into() })
        }
        _ => Err("this is RIGHTS=FILE, as in read,cursors=readers.token".into()),
    }
}

/// A time, or a field with one.
pub(super) fn event_time(text: &str) -> Result<EventTime, String> {
    text.parse()
}

/// `a.b.c`: names of fields.
pub(super) fn path(text: &str) -> Result<FieldPath, String> {
    let names: Vec<String> = text.split('.').map(String::from).collect();
    if names.iter().any(String::is_empty) {
        Err("a field is NAME or NAME.NAME".into())
    } else {
        Ok(FieldPath(names))
    }
}

/// Where a field is in an object: names from outside to inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath(pub(crate) Vec<String>);

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit<T>(pub(crate) Option<T>);

fn limit<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Limit<T>, String> {
    if text == "none" { Ok(Limit(None)) } else { parse(text).map(|value| Limit(Some(value))) }
}

pub(super) fn age_limit(text: &str) -> Result<Limit<Duration>, String> {
    limit(text, length_of_time)
}

pub(super) fn size_limit(text: &str) -> Result<Limit<u64>, String> {
    limit(text, size)
}

pub(super) fn count_limit(text: &str) -> Result<Limit<u64>, String> {
    limit(text, |text| text.parse().map_err(|_| "a number is wanted, or `none`".to_owned()))
}

/// An offset, a time, or so long ago.
pub(super) fn place(text: &str) -> Result<Before, String> {
    match text.parse() {
        Ok(offset) => Ok(Before::Offset(offset)),
        Err(_) => when::parse(text).map(Before::Time),
    }
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a size is bytes, or a number with K, M, G or T".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "a size is bytes, or a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more bytes than can be counted".into())
}
