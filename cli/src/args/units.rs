//! Sizes, counts and lengths of time, as the command line says them, and limits of them.

use std::time::Duration;

use crate::when::{self, When};

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
