//! `recv --format`: a text with escapes for the parts of a record.
//!
//! Owns the escapes. They are those of kcat and date where these agree: `%` and a letter, then braces that say how.

use std::io::Write;
use std::str::FromStr;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use netchan_proto::{ChannelName, Record, Timestamp};

use crate::json;
use crate::shown::Shown;
use crate::when::{self, Clock};

/// A format that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    /// Bytes that the record has, or nothing where it has none.
    Bytes(Bytes, Coding),
    Headers,
    Channel,
    Offset,
    Size,
    Time(Time, Clockwork),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bytes {
    Payload,
    Key,
    Header(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    Base64,
    Hex,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Log,
    Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Clockwork {
    Rfc3339,
    /// Whole parts of a second since 1970, so many a second.
    Since1970(i64),
    Strftime(String),
}

impl Format {
    /// `%t %s`: what `-t` stands for.
    pub(crate) fn timed() -> Format {
        Format(vec![
            Part::Time(Time::Log, Clockwork::Rfc3339),
            Part::Literal(b" ".to_vec()),
            Part::Bytes(Bytes::Payload, Coding::Plain),
        ])
    }

    /// Puts what it makes of `record` behind what is in `out`.
    pub(crate) fn push(
        &self,
        out: &mut Vec<u8>,
        channel: Option<&ChannelName>,
        record: &Record,
        shown: Shown,
        clock: &mut Clock,
    ) {
        // a Vec takes all that is written into it
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Channel => shown.push(out, channel.map_or("", ChannelName::as_str).as_bytes()),
                Part::Offset => drop(write!(out, "{}", record.offset)),
                Part::Size => drop(write!(out, "{}", record.payload.len())),
                Part::Bytes(bytes, coding) => {
                    let bytes = match bytes {
                        Bytes::Payload => Some(&record.payload[..]),
                        Bytes::Key => record.key().map(|key| &key[..]),
                        Bytes::Header(name) => record.headers().get(name),
                    };
                    coding.push(out, bytes, shown);
                }
                Part::Headers => {
                    for (at, (name, value)) in record.headers().enumerate() {
                        out.extend_from_slice(if at == 0 { b"" } else { b"," });
                        shown.push(out, name.as_bytes());
                        out.push(b'=');
                        shown.push(out, value);
                    }
                }
                Part::Time(which, how) => {
                    let time = match which {
                        Time::Log => record.timestamp,
                        Time::Event => json::event_time(record),
                    };
                    how.push(out, time, clock);
                }
            }
        }
    }
}

impl Coding {
    fn push(self, out: &mut Vec<u8>, bytes: Option<&[u8]>, shown: Shown) {
        match (self, bytes) {
            (Coding::Json, None) => out.extend_from_slice(b"null"),
            (_, None) => {}
            (Coding::Plain, Some(bytes)) => shown.push(out, bytes),
            (Coding::Base64, Some(bytes)) => {
                drop(write!(out, "{}", Base64Display::new(bytes, &BASE64_STANDARD)));
            }
            (Coding::Hex, Some(bytes)) => bytes.iter().for_each(|byte| drop(write!(out, "{byte:02x}"))),
            (Coding::Json, Some(bytes)) => {
                let mut text = Vec::new();
                json::string(&mut text, &String::from_utf8_lossy(bytes));
                shown.push_json(out, &text);
            }
        }
    }
}

impl Clockwork {
    fn push(&self, out: &mut Vec<u8>, time: Timestamp, clock: &mut Clock) {
        match self {
            Clockwork::Rfc3339 => clock.push(out, time),
            Clockwork::Since1970(a_second) => {
                drop(write!(out, "{}", time.0.div_euclid(1_000_000_000 / a_second)));
            }
            Clockwork::Strftime(form) => {
                out.extend_from_slice(when::strftime(time, form).unwrap_or_default().as_bytes());
            }
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(c) = next(&mut rest) {
            let part = match c {
                '\\' => {
                    literal.push(backslash(&mut rest)?);
                    continue;
                }
                '%' => match next(&mut rest) {
                    Some('%') => {
                        literal.push(b'%');
                        continue;
                    }
                    Some(letter) => percent(letter, &mut rest)?,
                    None => return Err("a % stands alone at the end: write %%".into()),
                },
                c => {
                    literal.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Format(parts))
    }
}

fn next(rest: &mut &str) -> Option<char> {
    let c = rest.chars().next()?;
    *rest = &rest[c.len_utf8()..];
    Some(c)
}

fn percent(letter: char, rest: &mut &str) -> Result<Part, String> {
    Ok(match letter {
        's' => Part::Bytes(Bytes::Payload, coding(rest)?),
        'k' => Part::Bytes(Bytes::Key, coding(rest)?),
        'h' => match braces(rest)? {
            Some(name) => Part::Bytes(Bytes::Header(name.to_owned()), coding(rest)?),
            None => Part::Headers,
        },
        'c' => Part::Channel,
        'o' => Part::Offset,
        'S' => Part::Size,
        't' => Part::Time(Time::Log, clockwork(rest)?),
        'e' => Part::Time(Time::Event, clockwork(rest)?),
        other => {
            return Err(format!(
                "%{other} is none of %s payload, %k key, %h headers, %c channel, %o offset, %t time, %e event time, %S size, %%"
            ));
        }
    })
}

/// What stands in braces right behind, if there are any.
fn braces<'a>(rest: &mut &'a str) -> Result<Option<&'a str>, String> {
    let Some(inner) = rest.strip_prefix('{') else { return Ok(None) };
    let (inside, behind) = inner.split_once('}').ok_or("a { has no }")?;
    *rest = behind;
    Ok(Some(inside))
}

fn coding(rest: &mut &str) -> Result<Coding, String> {
    match braces(rest)? {
        None => Ok(Coding::Plain),
        Some("base64") => Ok(Coding::Base64),
        Some("hex") => Ok(Coding::Hex),
        Some("json") => Ok(Coding::Json),
        Some(other) => Err(format!("{{{other}}} is none of {{base64}}, {{hex}} and {{json}}")),
    }
}

fn clockwork(rest: &mut &str) -> Result<Clockwork, String> {
    Ok(match braces(rest)? {
        None => Clockwork::Rfc3339,
        Some("s") => Clockwork::Since1970(1),
        Some("ms") => Clockwork::Since1970(1_000),
        Some("us") => Clockwork::Since1970(1_000_000),
        Some("ns") => Clockwork::Since1970(1_000_000_000),
        Some(form) if form.contains('%') && when::strftime(Timestamp(0), form).is_some() => {
            Clockwork::Strftime(form.to_owned())
        }
        Some(other) => {
            return Err(format!(
                "{{{other}}} is none of {{s}}, {{ms}}, {{us}}, {{ns}} and a form as date has it, {{%H:%M:%S}}"
            ));
        }
    })
}

fn backslash(rest: &mut &str) -> Result<u8, String> {
    Ok(match next(rest) {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('e') => 0x1b,
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits = rest.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let byte = byte.ok_or("\\x wants two hexadecimal digits")?;
            *rest = &rest[2..];
            byte
        }
        _ => return Err("after \\ there may be n, r, t, e, 0, x and \\".into()),
    })
}

#[cfg(test)]
mod tests {
    use netchan_proto::NewRecord;

    use super::*;
    use crate::output::tests::received;

    fn made_of(format: &str, sent: NewRecord) -> String {
        let mut out = Vec::new();
        let format: Format = format.parse().unwrap();
        let channel = ChannelName::new("logs/web").unwrap();
        format.push(&mut out, Some(&channel), &received(&[sent])[0], Shown::AsIs, &mut Clock::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_escape_gives_its_part() {
        let sent = || {
            let record = NewRecord::new("pay\"load\n").key("k\u{e9}").header("kind", "paid").header("n", "1");
            record.header(netchan_proto::meaning::EVENT_TIME, "2020-02-03T04:05:06.5Z")
        };
        for (format, expected) in [
            ("", ""),
            ("%s", "pay\"load\n"),
            ("%s{base64} %s{hex}", "cGF5ImxvYWQK 706179226c6f61640a"),
            ("%s{json}", r#""pay\"load\n""#),
            ("%k|%k{hex}", "k\u{e9}|6bc3a9"),
            ("%o %S", "7 9"),
            ("%c:%o", "logs/web:7"),
            ("%h", "kind=paid,n=1,event-time=2020-02-03T04:05:06.5Z"),
            ("%h{kind}%h{none}%h{n}{hex}", "paid31"),
            ("%t", "2026-11-21T07:15:00.900000042Z"),
            ("%t{s} %t{ms} %t{us} %t{ns}", "1795245300 1795245300900 1795245300900000 1795245300900000042"),
            ("%e{ms}", "1580702706500"),
            ("%e{%Y}", "2020"),
            (r"100%%\t\x41\\\e[0m\0", "100%\tA\\\u{1b}[0m\0"),
        ] {
            assert_eq!(made_of(format, sent()), expected, "{format}");
        }
    }

    #[test]
    fn what_a_record_has_not_is_empty_or_null() {
        assert_eq!(made_of("[%k][%h][%h{x}][%s]", NewRecord::new("")), "[][][][]");
        assert_eq!(made_of("%k{json} %h{x}{json} %s{json}", NewRecord::new("")), r#"null null """#);
    }

    #[test]
    fn only_what_others_wrote_is_made_safe() {
        let format: Format = r"\e[1m%k %s %s{json}\e[0m".parse().unwrap();
        let record = &received(&[NewRecord::new("\u{1b}c").key("\u{202e}")])[0];
        let mut out = Vec::new();
        format.push(&mut out, None, record, Shown::Safely, &mut Clock::default());
        let expected = "\u{1b}[1m\\u{202e} \\u{1b}c \"\\u001bc\"\u{1b}[0m";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_would_be() {
        for (format, why) in [
            ("%", "%%"),
            ("%x", "%s payload"),
            ("%s{rot13}", "{base64}"),
            ("%s{base64", "has no }"),
            ("%t{}", "{ms}"),
            ("%t{%!}", "date"),
            ("%t{%", "has no }"),
            ("\\q", "n, r, t"),
            ("\\x4", "two hexadecimal"),
            ("\\xé1", "two hexadecimal"),
        ] {
            let error = format.parse::<Format>().unwrap_err();
            assert!(error.contains(why), "{format}: {error}");
        }
    }
}
