//! What a record looks like: its payload, a JSON object, or what a format makes of it.

use netchan_proto::{ChannelName, Record};

use super::{Format, UNTERMINATED};
use crate::json;
use crate::shown::Shown;
use crate::when::Clock;

/// What is given out of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The payload alone.
    Payload,
    /// One JSON object on a line.
    Json,
    /// What the user says.
    Format(Format),
}

/// What a record looks like, and what stands behind each.
#[derive(Debug)]
pub(crate) struct Form {
    style: Style,
    delimiter: Vec<u8>,
    shown: Shown,
    /// The channel of the record that comes next, and whether it is told of itself: where there are several.
    channel: Option<ChannelName>,
    tells_channel: bool,
    clock: Clock,
    scratch: Vec<u8>,
}

impl Form {
    /// A form in which `delimiter` stands behind each record, but behind JSON, which has a line for each.
    pub(crate) fn new(style: Style, delimiter: Vec<u8>, shown: Shown) -> Form {
        let (clock, scratch) = (Clock::default(), Vec::new());
        Form { style, delimiter, shown, channel: None, tells_channel: false, clock, scratch }
    }

    /// For records of this one channel.
    pub(crate) fn of(mut self, channel: &ChannelName) -> Form {
        self.channel = Some(channel.clone());
        self
    }

    /// The next record is of this channel, one of several.
    pub(crate) fn is_of(&mut self, channel: &ChannelName) {
        self.tells_channel = true;
        if self.channel.as_ref() != Some(channel) {
            self.channel = Some(channel.clone());
        }
    }

    /// Whether it is the payload alone that is given out.
    pub(crate) fn is_payload(&self) -> bool {
        self.style == Style::Payload
    }

    /// Whether what is given out is as long as the payload.
    pub(crate) fn is_bytes(&self) -> bool {
        self.is_payload() && self.shown == Shown::AsIs
    }

    /// Puts a record behind what is in `out`, without what ends it (a JSON object ends its own line).
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, record: &Record) {
        match (&self.style, self.shown) {
            (Style::Payload, shown) => shown.push(out, &record.payload),
            (Style::Json, Shown::AsIs) => {
                let channel = self.channel.as_ref().filter(|_| self.tells_channel);
                json::write(out, &mut self.clock, channel, record);
            }
            (Style::Json, shown) => {
                self.scratch.clear();
                let channel = self.channel.as_ref().filter(|_| self.tells_channel);
                json::write(&mut self.scratch, &mut self.clock, channel, record);
                shown.push_json(out, &self.scratch);
            }
            (Style::Format(format), shown) => {
                format.push(out, self.channel.as_ref(), record, shown, &mut self.clock);
            }
        }
    }

    /// As [`push`](Self::push), with what ends it; `unterminated` says whether the record before, and then whether this one, had no
    /// delimiter, which is due if another follows.
    pub(crate) fn push_ended(&mut self, out: &mut Vec<u8>, record: &Record, unterminated: &mut bool) {
        let is_open = self.is_payload() && record.headers().get(UNTERMINATED).is_some();
        if self.is_payload() && std::mem::take(unterminated) {
            self.end(out);
        }
        self.push(out, record);
        match is_open {
            true => *unterminated = true,
            false => self.end(out),
        }
    }

    /// Puts what stands between two records behind what is in `out`.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        if self.style != Style::Json {
            out.extend_from_slice(&self.delimiter);
        }
    }
}
