//! Records as bytes on stdout or in a file: raw with delimiters, or JSON.
//!
//! Owns the form of the output and its buffer. One write hands out at most [`WRITE`] bytes, or one record that
//! is larger: that bounds what may come twice after a SIGKILL (see [`crate::position`]).

use std::fs::File;
use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use netchan_proto::{Record, Timestamp};

use crate::when;

/// Bytes of output in one write.
pub(crate) const WRITE: usize = 64 << 10;

/// The header of a record that ended its input without a delimiter. Its value is empty.
pub(crate) const UNTERMINATED: &str = "unterminated";

/// What a record looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The payload, and these bytes behind it.
    Raw(Vec<u8>),
    /// One JSON object a line.
    Json,
}

/// Where records go, and what has not gone there yet.
#[derive(Debug)]
pub(crate) struct Output {
    sink: File,
    style: Style,
    buffer: Vec<u8>,
    /// The last record had no delimiter: one is due if another record follows.
    unterminated: bool,
    written: u64,
    clock: Clock,
}

impl Output {
    /// Into `sink`; `unterminated` if the record before had no delimiter.
    pub(crate) fn new(sink: File, style: Style, unterminated: bool) -> Output {
        let buffer = Vec::with_capacity(WRITE);
        Output { sink, style, buffer, unterminated, written: 0, clock: Clock::default() }
    }

    /// Whether the record can go with what is waiting. If not, [`write`](Self::write) first.
    pub(crate) fn has_room_for(&self, record: &Record) -> bool {
        // what JSON makes of a record is not known before: it gets a generous half
        let most = if self.style == Style::Json { WRITE / 2 } else { WRITE - 16 };
        self.buffer.is_empty() || self.buffer.len() + record.payload.len() <= most
    }

    /// Puts a record behind those that wait.
    pub(crate) fn push(&mut self, record: &Record) {
        match &self.style {
            Style::Raw(delimiter) => {
                if std::mem::take(&mut self.unterminated) {
                    self.buffer.extend_from_slice(delimiter);
                }
                self.buffer.extend_from_slice(&record.payload);
                if record.headers().get(UNTERMINATED).is_some() {
                    self.unterminated = true;
                } else {
                    self.buffer.extend_from_slice(delimiter);
                }
            }
            Style::Json => json(&mut self.buffer, &mut self.clock, record),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Hands out all that waits. Blocks while nobody takes it.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // one huge record must not hold its memory for ever
        self.buffer.shrink_to(4 * WRITE);
        Ok(())
    }

    /// Bytes handed out.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the last record had no delimiter.
    pub(crate) fn is_unterminated(&self) -> bool {
        self.unterminated
    }
}

fn json(out: &mut Vec<u8>, clock: &mut Clock, record: &Record) {
    out.extend_from_slice(b"{\"offset\":");
    out.extend_from_slice(record.offset.to_string().as_bytes());
    out.extend_from_slice(b",\"time\":\"");
    clock.push(out, record.timestamp);
    out.push(b'"');
    if let Some(key) = record.key() {
        out.push(b',');
        field(out, "key", key);
    }
    for (at, (name, value)) in record.headers().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"headers\":[{" } else { b"},{" });
        field(out, "name", name.as_bytes());
        out.push(b',');
        field(out, "value", value);
    }
    if record.headers().next().is_some() {
        out.extend_from_slice(b"}]");
    }
    out.push(b',');
    field(out, "payload", &record.payload);
    out.extend_from_slice(b"}\n");
}

/// `"name":"text"`, or `"name_base64":"..."` where the value is no text.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    match std::str::from_utf8(value) {
        Ok(text) => {
            out.extend_from_slice(b"\":");
            // a Vec takes all that is written into it
            let _ = serde_json::to_writer(&mut *out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"_base64\":\"");
            out.extend_from_slice(BASE64_STANDARD.encode(value).as_bytes());
            out.push(b'"');
        }
    }
}

/// Times as text; records of one second share most of it.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    fn push(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let (second, nanos) = (time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000));
        if self.second != Some(second) {
            self.text = when::rfc3339(Timestamp(time.0 - nanos));
            self.second = Some(second);
        }
        match self.text.strip_suffix("000000000Z") {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                let _ = write!(out, "{nanos:09}Z");
            }
            None => out.extend_from_slice(when::rfc3339(time).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use netchan_proto::batch::{Batch, BatchBuilder, Stamp};
    use netchan_proto::{AsRecord, Epoch, NewRecord, Offset};

    use super::*;

    /// The records as a receiver gets them: the first has offset 7, a second lies between two.
    fn received(sent: &[NewRecord]) -> Vec<Record> {
        let mut builder = BatchBuilder::new(Offset(7), None);
        for (at, record) in sent.iter().enumerate() {
            builder.push(Timestamp(1_795_245_300_900_000_042 + at as i64 * 300_000_000), &record.as_record());
        }
        let stamp = Stamp { seed: &[1; 16], epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
        let batch = Batch::verify(builder.finish(stamp).1, &[1; 16]).unwrap();
        batch.records().map(Result::unwrap).collect()
    }

    fn given(style: Style, unterminated: bool, sent: &[NewRecord]) -> Vec<u8> {
        let mut output = Output::new(tempfile::tempfile().unwrap(), style, unterminated);
        for record in received(sent) {
            output.push(&record);
        }
        output.write().unwrap();
        let mut bytes = Vec::new();
        output.sink.rewind().unwrap();
        output.sink.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, output.written());
        bytes
    }

    #[test]
    fn raw_output_has_a_delimiter_behind_each_record() {
        let sent = [NewRecord::new("a"), NewRecord::new(""), NewRecord::new(&b"\n\xff"[..]).key("k")];
        assert_eq!(given(Style::Raw(b"\n".to_vec()), false, &sent), b"a\n\n\n\xff\n");
        assert_eq!(given(Style::Raw(vec![0]), false, &sent), b"a\0\0\n\xff\0");
    }

    #[test]
    fn an_input_that_ended_without_delimiter_is_given_out_so_and_what_follows_stays_apart() {
        let open = |text: &'static str| NewRecord::new(text).header(UNTERMINATED, "");
        let raw = || Style::Raw(b"\n".to_vec());
        assert_eq!(given(raw(), false, &[NewRecord::new("a"), open("b")]), b"a\nb");
        assert_eq!(given(raw(), false, &[open("b"), NewRecord::new("c")]), b"b\nc\n");
        assert_eq!(given(raw(), true, &[NewRecord::new("c")]), b"\nc\n", "over a restart too");
    }

    #[test]
    fn json_has_all_of_a_record_in_one_line() {
        let sent = [
            NewRecord::new("say \"hi\"\n"),
            NewRecord::new(&b"\xff\0"[..]).key("k").header("a", "1").header("b", [0x80]),
        ];
        let lines = String::from_utf8(given(Style::Json, false, &sent)).unwrap();
        let expected = [
            r#"{"offset":7,"time":"2026-11-21T07:15:00.900000042Z","payload":"say \"hi\"\n"}"#,
            r#"{"offset":8,"time":"2026-11-21T07:15:01.200000042Z","key":"k","headers":[{"name":"a","value":"1"},{"name":"b","value_base64":"gA=="}],"payload_base64":"/wA="}"#,
            "",
        ];
        assert_eq!(lines.split('\n').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_write_is_larger_than_promised() {
        let sizes = [10, 60_000, 5_000, 65_000, 600, 200_000, 1, 65_520, 1];
        let sent: Vec<_> = sizes.iter().map(|&size| NewRecord::new(vec![b'x'; size])).collect();
        let mut output = Output::new(tempfile::tempfile().unwrap(), Style::Raw(b"\n".to_vec()), false);
        for record in received(&sent) {
            if !output.has_room_for(&record) {
                output.write().unwrap();
            }
            output.push(&record);
            assert!(output.buffer.len() <= WRITE.max(record.payload.len() + 1), "{}", output.buffer.len());
        }
    }
}
