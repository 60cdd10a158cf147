//! The decoded form of bytes: what stands beside an example.

use bytes::Bytes;
use netchan_proto::batch::Batch;
use netchan_proto::wire::{FRAME_HEADER_LEN, FrameHeader, Message, PREFACE, Range, StreamId};
use netchan_proto::{Compression, ErrorCode, LogId, Record};

/// The log of all examples.
pub(crate) const LOG: LogId = LogId(*b"Log\0\0\0\0\0\0\0\0\0\0\0\0\x01");

/// What `bytes` say, or the code with which they are refused.
pub(crate) fn form(bytes: &[u8]) -> String {
    if bytes == PREFACE {
        return "PREFACE".to_owned();
    }
    if bytes.starts_with(b"NCB1") {
        return batch_form(bytes, &LOG.0);
    }
    match frame(bytes) {
        Ok((stream, message)) => message_form(stream, &message),
        Err(refused) => refused,
    }
}

/// The frame that `bytes` are.
pub(crate) fn frame(bytes: &[u8]) -> Result<(StreamId, Message), String> {
    let (header, payload) = bytes.split_first_chunk::<FRAME_HEADER_LEN>().expect("a frame has a header");
    let refused = |code: ErrorCode| format!("refused {code}");
    let header = FrameHeader::decode(header).map_err(|error| refused(error.code()))?;
    match Message::decode(&header, Bytes::copy_from_slice(payload)) {
        Ok(message) => Ok((header.stream, message)),
        Err(error) if error.ends_stream_only() => Err(refused(error.code()) + " on its stream"),
        Err(error) => Err(refused(error.code())),
    }
}

fn message_form(stream: StreamId, message: &Message) -> String {
    let kind = message.kind();
    if let Message::Ignorable { payload, .. } = message {
        return format!("{kind} on stream {stream}, {} bytes, to be dropped", payload.len());
    }
    let fields = match message {
        Message::Data(Range { at, bytes }) | Message::Publish(Range { at, bytes }) => {
            format!("{{ at: {at}, range: {} bytes }}", bytes.len())
        }
        Message::Close(code) => format!("({code})"),
        _ => {
            let debug = format!("{message:?}");
            // `Open(Open { .. })` and `Ping(7)`: the type is said already.
            match debug.split_once('(') {
                Some((_, inner)) => {
                    let inner = inner.strip_suffix(')').unwrap_or(inner);
                    match inner.find(" { ") {
                        Some(brace)
                            if !inner[..brace].contains(['(', '"']) && !inner.starts_with("Sealed") =>
                        {
                            inner[brace + 1..].to_owned()
                        }
                        _ => format!("({inner})"),
                    }
                }
                None => String::new(),
            }
        }
    };
    format!("{kind} {stream} {}", plain(&fields)).trim_end().to_owned()
}

/// Debug text without the names of types that wrap one number, and with bytes as hexadecimal.
fn plain(debug: &str) -> String {
    const WRAPPERS: [&str; 9] = [
        "Partitions(",
        "Offset(",
        "Timestamp(",
        "Epoch(",
        "LogId(",
        "NodeId(",
        "ProducerId(",
        "Roles(",
        "ErrorCode(",
    ];
    const NAMES: [&str; 7] = [
        "Opened { ",
        "LogInfo { ",
        "Position { ",
        "ReaderInfo { ",
        "CursorKey { ",
        "CursorInfo { ",
        "Made { ",
    ];
    let debug = NAMES.iter().fold(debug.to_owned(), |debug, name| debug.replace(name, "{ "));
    let debug = debug
        .replace("NamePrefix(\"", "(\"")
        .replace("Pattern(\"", "(\"")
        .replace("Note(b\"", "(\"")
        .replace(", content: None", "")
        .replace(", digest: None", "")
        .replace(", partitions: None", "");
    let mut out = String::new();
    let mut rest = &*debug;
    while let Some(first) = rest.chars().next() {
        let wrapped = WRAPPERS.iter().find_map(|wrapper| {
            let inside = rest.strip_prefix(wrapper)?;
            let (value, after) = inside.split_once(')')?;
            let simple = value.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
            simple.then_some((*wrapper, value, after))
        });
        if let Some((wrapper, value, after)) = wrapped {
            match wrapper {
                "ErrorCode(" => out += &ErrorCode(value.parse().unwrap()).to_string(),
                _ => out += value,
            }
            rest = after;
        } else if let Some((bytes, after)) = byte_list(rest) {
            bytes.iter().for_each(|byte| out += &format!("{byte:02x}"));
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// A list of 16 or 32 bytes at the beginning of `text`.
fn byte_list(text: &str) -> Option<(Vec<u8>, &str)> {
    let (list, after) = text.strip_prefix('[')?.split_once(']')?;
    let bytes: Vec<u8> = list.split(", ").map(|byte| byte.parse().ok()).collect::<Option<_>>()?;
    matches!(bytes.len(), 16 | 32).then_some((bytes, after))
}

fn batch_form(bytes: &[u8], seed: &[u8; 16]) -> String {
    let batch = match Batch::verify(Bytes::copy_from_slice(bytes), seed) {
        Ok(batch) => batch,
        Err(error) => return format!("refused, {error}"),
    };
    let records: Vec<_> = match batch.records().collect::<Result<Vec<_>, _>>() {
        Ok(records) => records.iter().map(record_form).collect(),
        Err(error) => return format!("refused, {error}"),
    };
    let header = batch.header();
    let compression = match header.compression {
        Compression::None => String::new(),
        compression => format!(", compression: {compression}"),
    };
    let producer = batch
        .producer()
        .map_or(String::new(), |(id, sequence)| format!(", producer: {id}, first sequence: {sequence}"));
    format!(
        "BATCH {{ kind: {:?}, offsets: {} to {}, epoch: {}, durable: {}, previous: {:#010x}, sparse: {}{compression}{producer}, records: [{}] }}",
        header.kind,
        header.base_offset,
        header.next_offset(),
        header.epoch.0,
        header.durable_offset,
        header.previous_crc,
        header.sparse,
        records.join(", "),
    )
}

fn record_form(record: &Record) -> String {
    let text = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
    let mut form = format!("{} at {}: {}", record.offset, record.timestamp.0, text(&record.payload));
    if let Some(key) = record.key() {
        form += &format!(" key {}", text(key));
    }
    for (name, value) in record.headers() {
        form += &format!(" {name}={}", text(value));
    }
    form
}
