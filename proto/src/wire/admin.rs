//! CREATE, CHANGE, TRUNCATE, DESCRIBE and what answers them (spec/19-administration.md).

use nom::number::complete::{le_u8, le_u64};

use super::parse::{Fault, Parsed, Put, bytes8, fail, invalid, log, name, offset, text, timestamp};
use crate::digest::Digest;
use crate::limits::MAX_SETTINGS;
use crate::settings::{Setting, Settings};
use crate::types::{ChannelName, Content, LogId, Offset, Timestamp};

/// What becomes of a setting with a number that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// It is asked for, and cannot be had.
    Refused,
    /// It is told, and means nothing here.
    Skipped,
}

fn settings(input: &[u8], unknown: Unknown) -> Parsed<'_, Settings> {
    let (mut input, count) = le_u8(input)?;
    if usize::from(count) > MAX_SETTINGS {
        return invalid("count");
    }
    let (mut settings, mut last, mut refused) = (Settings::default(), 0, None);
    for _ in 0..count {
        let (number, value);
        (input, number) = le_u8(input)?;
        (input, value) = le_u64(input)?;
        if number <= last {
            return invalid("order");
        }
        last = number;
        match Setting::from_number(number) {
            Some(setting) if !settings.say(setting, value) => return invalid(setting.name()),
            Some(_) => {}
            None if unknown == Unknown::Refused => refused = refused.or(Some(number)),
            None => {}
        }
    }
    match refused {
        Some(number) => fail(Fault::Param(number.into())),
        None => Ok((input, settings)),
    }
}

fn put_settings(settings: &Settings, out: &mut Vec<u8>) {
    out.u8(u8::try_from(settings.iter().count()).unwrap_or(u8::MAX)); // there are far fewer
    for (setting, value) in settings.iter() {
        out.u8(setting.number());
        out.u64(value);
    }
}

/// CREATE: makes a channel, which is kept as is said. CHANGE is the same of one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The channel.
    pub name: ChannelName,
    /// What is said of how it is kept.
    pub settings: Settings,
}

impl Keep {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Keep> {
        let (input, name) = name(input)?;
        let (input, settings) = settings(input, Unknown::Refused)?;
        Ok((input, Keep { name, settings }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.bytes8(self.name.as_str().as_bytes());
        put_settings(&self.settings, out);
    }
}

/// A place in a channel, before which all goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// This offset.
    Offset(Offset),
    /// The first record of this time or later, or the visible end.
    Time(Timestamp),
}

/// TRUNCATE: lets the oldest records of a channel go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The channel.
    pub name: ChannelName,
    /// What goes.
    pub before: Before,
}

impl Truncate {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Truncate> {
        let (input, kind) = le_u8(input)?;
        let (input, before) = match kind {
            0 => match offset(input)? {
                (_, Offset::NONE) => return invalid("offset"),
                (input, offset) => (input, Before::Offset(offset)),
            },
            1 => timestamp(input).map(|(input, time)| (input, Before::Time(time)))?,
            _ => return invalid("before"),
        };
        let (input, name) = name(input)?;
        Ok((input, Truncate { name, before }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self.before {
            Before::Offset(offset) => {
                out.u8(0);
                out.offset(offset);
            }
            Before::Time(time) => {
                out.u8(1);
                out.timestamp(time);
            }
        }
        out.bytes8(self.name.as_str().as_bytes());
    }
}

/// DESCRIPTION: how a channel is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The channel.
    pub name: ChannelName,
    /// Its log.
    pub log: LogId,
    /// Records before this were truncated.
    pub start: Offset,
    /// What the sealed channel comes to; `None` of one that is not sealed, or where that is not known.
    pub digest: Option<Digest>,
    /// What its payloads are, if a sender has said so.
    pub content: Option<Content>,
    /// How it is kept: all settings that the node knows.
    pub settings: Settings,
}

impl Description {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Description> {
        let (input, log) = log(input)?;
        let (input, start) = offset(input)?;
        let (input, digest) = le_u64(input)?;
        let digest = match (digest, Digest::from_number(digest)) {
            (0, _) => None,
            (_, None) => return invalid("digest"),
            (_, digest) => digest,
        };
        let (input, name) = name(input)?;
        let (input, content) = match bytes8(input)? {
            (input, []) => (input, None),
            (input, bytes) => match text(bytes, "content")?.parse() {
                Ok(content) => (input, Some(content)),
                Err(_) => return invalid("content"),
            },
        };
        let (input, settings) = settings(input, Unknown::Skipped)?;
        Ok((input, Description { name, log, start, digest, content, settings }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.all(&self.log.0);
        out.offset(self.start);
        out.u64(self.digest.map_or(0, Digest::get));
        out.bytes8(self.name.as_str().as_bytes());
        out.bytes8(self.content.as_ref().map_or("", Content::as_str).as_bytes());
        put_settings(&self.settings, out);
    }
}
