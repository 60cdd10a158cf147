//! Records as bytes on stdout or in a file.
//!
//! Owns the buffer and what goes out in one write: at most [`WRITE`] bytes, or one record that is larger. That bounds what
//! may come twice after a SIGKILL (see [`crate::position`]). What a record looks like is [`form`]'s,
//! and [`unread`]'s is whether anybody reads it.

mod form;
mod format;
mod unread;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use netchan_proto::{ChannelName, Record};

pub(crate) use self::form::{Form, Style};
pub(crate) use self::format::Format;
pub(crate) use self::unread::{OutputClosed, is_closed_output, is_unread, output_closed};

/// Bytes of output in one write.
pub(crate) const WRITE: usize = 64 << 10;

/// The header of a record that ended its input without a delimiter. Its value is empty.
pub(crate) const UNTERMINATED: &str = "unterminated";

/// stdout without the standard library's line buffer.
pub(crate) fn stdout() -> Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned().context("stdout cannot be written")
}

/// Where records go, and what has not gone there yet.
#[derive(Debug)]
pub(crate) struct Output {
    sink: File,
    form: Form,
    buffer: Vec<u8>,
    /// The last record had no delimiter: one is due if another record follows.
    unterminated: bool,
    written: u64,
}

impl Output {
    /// Into `sink`; `unterminated` if the record before had no delimiter.
    pub(crate) fn new(sink: File, form: Form, unterminated: bool) -> Output {
        let buffer = Vec::with_capacity(WRITE);
        Output { sink, form, buffer, unterminated, written: 0 }
    }

    /// Whether the record can go with what is waiting. If not, [`write`](Self::write) first.
    pub(crate) fn has_room_for(&self, record: &Record) -> bool {
        // what other forms make of a record is not known before: they get a generous half
        let most = if self.form.is_bytes() { WRITE - 16 } else { WRITE / 2 };
        self.buffer.is_empty() || self.buffer.len() + record.payload.len() <= most
    }

    /// The next record is of this channel, one of several.
    pub(crate) fn is_of(&mut self, channel: &ChannelName) {
        self.form.is_of(channel);
    }

    /// Puts a record behind those that wait.
    pub(crate) fn push(&mut self, record: &Record) {
        self.form.push_ended(&mut self.buffer, record, &mut self.unterminated);
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Hands out all that waits. Blocks while nobody takes it.
    ///
    /// # Errors
    /// [`OutputClosed`], or it cannot be written.
    pub(crate) fn write(&mut self) -> Result<()> {
        self.sink.write_all(&self.buffer).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => anyhow::Error::new(OutputClosed),
            _ => anyhow::Error::new(error).context("the output cannot be written"),
        })?;
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

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Seek};

    use netchan_proto::batch::{Batch, BatchBuilder, Stamp};
    use netchan_proto::{AsRecord, Epoch, NewRecord, Offset, Timestamp};

    use super::*;
    use crate::shown::Shown;

    /// The records as a receiver gets them: the first has offset 7, a second lies between two.
    pub(crate) fn received(sent: &[NewRecord]) -> Vec<Record> {
        let mut builder = BatchBuilder::new(Offset(7), None);
        for (at, record) in sent.iter().enumerate() {
            builder.push(Timestamp(1_795_245_300_900_000_042 + at as i64 * 300_000_000), &record.as_record());
        }
        let stamp = Stamp { seed: &[1; 16], epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
        let batch = Batch::verify(builder.finish(stamp).1, &[1; 16]).unwrap();
        batch.records().map(Result::unwrap).collect()
    }

    fn raw(delimiter: &[u8]) -> Form {
        Form::new(Style::Payload, delimiter.to_vec(), Shown::AsIs)
    }

    fn given(delimiter: &[u8], unterminated: bool, sent: &[NewRecord]) -> Vec<u8> {
        let mut output = Output::new(tempfile::tempfile().unwrap(), raw(delimiter), unterminated);
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
        assert_eq!(given(b"\n", false, &sent), b"a\n\n\n\xff\n");
        assert_eq!(given(b"\0", false, &sent), b"a\0\0\n\xff\0");
    }

    #[test]
    fn an_input_that_ended_without_delimiter_is_given_out_so_and_what_follows_stays_apart() {
        let open = |text: &'static str| NewRecord::new(text).header(UNTERMINATED, "");
        assert_eq!(given(b"\n", false, &[NewRecord::new("a"), open("b")]), b"a\nb");
        assert_eq!(given(b"\n", false, &[open("b"), NewRecord::new("c")]), b"b\nc\n");
        assert_eq!(given(b"\n", true, &[NewRecord::new("c")]), b"\nc\n", "over a restart too");
    }

    #[test]
    fn no_write_is_larger_than_promised() {
        let sizes = [10, 60_000, 5_000, 65_000, 600, 200_000, 1, 65_520, 1];
        let sent: Vec<_> = sizes.iter().map(|&size| NewRecord::new(vec![b'x'; size])).collect();
        let mut output = Output::new(tempfile::tempfile().unwrap(), raw(b"\n"), false);
        for record in received(&sent) {
            if !output.has_room_for(&record) {
                output.write().unwrap();
            }
            output.push(&record);
            assert!(output.buffer.len() <= WRITE.max(record.payload.len() + 1), "{}", output.buffer.len());
        }
    }
}
