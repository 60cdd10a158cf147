//! A record as one JSON object a line, out and in: `recv --json | send --json` keeps all of it.
//!
//! Owns the names of the fields and what they mean. Out: `channel` (of several), `offset`, `time`, `event_time` and `content_type` (if
//! headers say them; they stand among the headers too), `key`, `headers`, `payload`; what is no text stands as base64 in `key_base64`,
//! `value_base64`, `payload_base64`. In: the same, and what people write by hand (headers as an object,
//! a payload that is any JSON value). A log gives offsets and times itself, strictly increasing, so those of the input
//! cannot be its own: the time is kept in the header [`EVENT_TIME`], if there is none yet, the offset is not.

use std::borrow::Cow;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use netchan_proto::meaning::{CONTENT_TYPE, EVENT_TIME};
use netchan_proto::{AsRecord, ChannelName, NewRecord, Record, Timestamp};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::when::{self, Clock, When};

/// Writes `record` as one line behind what is in `out`, with its channel if that is to be told.
pub(crate) fn write(out: &mut Vec<u8>, clock: &mut Clock, channel: Option<&ChannelName>, record: &Record) {
    out.push(b'{');
    if let Some(channel) = channel {
        field(out, "channel", channel.as_str().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"offset\":");
    out.extend_from_slice(record.offset.to_string().as_bytes());
    out.extend_from_slice(b",\"time\":\"");
    clock.push(out, record.timestamp);
    out.push(b'"');
    if let Some(time) = record.event_time() {
        out.push(b',');
        field(out, "event_time", time.to_rfc3339().as_bytes());
    }
    if let Some(content_type) = record.content_type() {
        out.push(b',');
        field(out, "content_type", content_type.as_bytes());
    }
    if let Some(key) = record.key() {
        out.push(b',');
        field(out, "key", key);
    }
    if record.headers().next().is_some() {
        out.extend_from_slice(b",\"headers\":");
        write_headers(out, record);
    }
    out.push(b',');
    field(out, "payload", &record.payload);
    out.extend_from_slice(b"}\n");
}

/// Writes the headers as a list, which keeps their order and names that occur twice.
pub(crate) fn write_headers(out: &mut Vec<u8>, record: &Record) {
    out.push(b'[');
    for (at, (name, value)) in record.headers().enumerate() {
        out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
        field(out, "name", name.as_bytes());
        out.push(b',');
        field(out, "value", value);
        out.push(b'}');
    }
    out.push(b']');
}

/// `"name":"text"`, or `"name_base64":"..."` where the value is no text.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    match std::str::from_utf8(value) {
        Ok(text) => {
            out.extend_from_slice(b"\":");
            string(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"_base64\":\"");
            out.extend_from_slice(BASE64_STANDARD.encode(value).as_bytes());
            out.push(b'"');
        }
    }
}

/// A JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    // a Vec takes all that is written into it
    let _ = serde_json::to_writer(out, text);
}

/// What a line that is to be sent may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "channel")]
    _channel: Option<IgnoredAny>,
    #[serde(rename = "offset")]
    _offset: Option<IgnoredAny>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    headers: Headers<'a>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    payload_base64: Option<Cow<'a, str>>,
}

/// Headers, as a list of objects or as one object.
#[derive(Default)]
struct Headers<'a>(Vec<Header<'a>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value_base64: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers<'a>, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Headers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"headers as {"name":"value"} or [{"name":"..","value":".."}]"#)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = list.next_element()? {
                    headers.push(header);
                }
                Ok(Headers(headers))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    headers.push(Header { name: name.0, value: Some(value.0), value_base64: None });
                }
                Ok(Headers(headers))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A string that is borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a line that is to be sent.
///
/// # Errors
/// Says what is wrong with it, on one line.
#[cfg(test)]
pub(crate) fn read(line: &[u8]) -> Result<NewRecord, String> {
    read_with(line, |_| Ok(None))
}

/// As above. Where the line has no `event_time` and no such header, `event_time` says it of the payload; else `time` is kept as that.
///
/// # Errors
/// Says what is wrong with it, on one line.
pub(crate) fn read_with(
    line: &[u8],
    event_time: impl FnOnce(&[u8]) -> Result<Option<Timestamp>, String>,
) -> Result<NewRecord, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| wrong(&error))?;
    let payload = match (line.payload, line.payload_base64) {
        (Some(_), Some(_)) => return Err("it has both `payload` and `payload_base64`".into()),
        (Some(payload), None) => source_or_text(payload)?,
        (None, Some(text)) => decoded("payload_base64", &text)?,
        (None, None) => return Err("it has neither `payload` nor `payload_base64`".into()),
    };
    let mut record = NewRecord::new(payload);
    match (line.key, line.key_base64) {
        (Some(_), Some(_)) => return Err("it has both `key` and `key_base64`".into()),
        (Some(key), None) => record = record.key(key.into_owned().into_bytes()),
        (None, Some(text)) => record = record.key(decoded("key_base64", &text)?),
        (None, None) => {}
    }
    let (mut has_event_time, mut has_content_type) = (false, false);
    for header in line.headers.0 {
        has_event_time |= header.name == EVENT_TIME;
        has_content_type |= header.name == CONTENT_TYPE;
        record = match (header.value, header.value_base64) {
            (Some(value), None) => record.header(&header.name, &*value),
            (None, Some(text)) => record.header(&header.name, decoded("value_base64", &text)?),
            _ => return Err(format!("the header {:?} wants `value` or `value_base64`", header.name)),
        };
    }
    if !has_event_time {
        let said = match &line.event_time {
            Some(time) => Some(time_of("event_time", time)?),
            None => event_time(record.as_record().payload)?,
        };
        let time = line.time.map(|time| time_of("time", &time)).transpose()?;
        record = said.or(time).into_iter().fold(record, NewRecord::event_time);
    }
    if let (Some(content_type), false) = (line.content_type, has_content_type) {
        record = record.content_type(&content_type);
    }
    Ok(record)
}

fn time_of(field: &str, text: &str) -> Result<Timestamp, String> {
    match when::parse(text) {
        Ok(When::At(at)) => Ok(at),
        _ => Err(format!("its {field} {text:?} is none: RFC 3339 is wanted (2026-11-21T08:15:00Z)")),
    }
}

/// When what is in the record happened: as its header says, or else when the log took it.
pub(crate) fn event_time(record: &Record) -> Timestamp {
    record.event_time().unwrap_or(record.timestamp)
}

/// The value at `path` in an object: a string's text, or the source of anything else. `None` if there is none, or null.
///
/// # Errors
/// `line` is no JSON object.
pub(crate) fn at_path(line: &[u8], path: &[String]) -> Result<Option<Vec<u8>>, String> {
    let mut value: &RawValue = serde_json::from_slice(line).map_err(|error| wrong(&error))?;
    if !value.get().starts_with('{') {
        return Err("it is JSON, but no object".into());
    }
    for name in path {
        // of a field that occurs twice the last counts, as JSON parsers have it
        let found: Fields<'_> = match serde_json::from_str(value.get()) {
            Ok(fields) => fields,
            Err(_) => return Ok(None),
        };
        match found.0.into_iter().rev().find(|(field, _)| field.0 == *name) {
            Some((_, inner)) => value = inner,
            None => return Ok(None),
        }
    }
    if value.get() == "null" { Ok(None) } else { source_or_text(value).map(Some) }
}

/// The fields of an object, in order.
struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'a>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn source_or_text(value: &RawValue) -> Result<Vec<u8>, String> {
    let source = value.get();
    if source.starts_with('"') {
        serde_json::from_str(source).map(String::into_bytes).map_err(|_| format!("{source} is no text"))
    } else {
        Ok(source.as_bytes().to_vec())
    }
}

fn decoded(field: &str, text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD.decode(text).map_err(|error| format!("its `{field}` is no base64: {error}"))
}

/// The parser's words, without its own count of lines: it only ever sees one.
fn wrong(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = match text.rsplit_once(" at line 1 column ") {
        Some((text, column)) => format!("{text} (at character {column})"),
        None => text,
    };
    if error.is_data() { text } else { format!("it is no JSON: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::received;

    fn line(record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, &mut Clock::default(), None, record);
        out
    }

    /// What is left of `sent` after it was received, written, read and sent again.
    fn round(sent: NewRecord) -> NewRecord {
        let [record] = &received(&[sent])[..] else { panic!("one record") };
        read(&line(record)).unwrap()
    }

    #[test]
    fn json_has_all_of_a_record_in_one_line() {
        let sent = [
            NewRecord::new("say \"hi\"\n"),
            NewRecord::new(&b"\xff\0"[..]).key("k").header("a", "1").header("b", [0x80]),
        ];
        let lines: Vec<_> =
            received(&sent).iter().map(|record| String::from_utf8(line(record)).unwrap()).collect();
        let expected = [
            r#"{"offset":7,"time":"2026-11-21T07:15:00.900000042Z","payload":"say \"hi\"\n"}"#,
            r#"{"offset":8,"time":"2026-11-21T07:15:01.200000042Z","key":"k","headers":[{"name":"a","value":"1"},{"name":"b","value_base64":"gA=="}],"payload_base64":"/wA="}"#,
        ];
        assert_eq!(lines, expected.map(|line| format!("{line}\n")));
    }

    #[test]
    fn the_time_of_the_event_and_the_type_stand_in_front_too_where_they_are_some() {
        let sent = NewRecord::new("p").event_time(Timestamp(5)).content_type("text/plain");
        let written = String::from_utf8(line(&received(&[sent])[0])).unwrap();
        let time = r#""event_time":"1970-01-01T00:00:00.000000005Z","content_type":"text/plain","headers":["#;
        assert!(written.contains(time), "{written}");
        let sent = NewRecord::new("p").header(EVENT_TIME, "long ago").header(CONTENT_TYPE, [0xff]);
        let written = String::from_utf8(line(&received(&[sent])[0])).unwrap();
        assert!(!written.contains("event_time") && !written.contains("content_type"), "{written}");
    }

    #[test]
    fn what_was_written_is_read_back_with_key_headers_payload_and_time() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let time = "2026-11-21T07:15:00.900000042Z";
        for sent in [
            NewRecord::new(""),
            NewRecord::new("\u{0}\u{1b}\u{7f}\u{2028}\"\\/ü🙂"),
            NewRecord::new(every_byte.clone()).key(every_byte.clone()).header("", every_byte.clone()),
            NewRecord::new("x").key("").header("a", "").header("a", "again").header("unterminated", ""),
        ] {
            let expected = sent.clone().header(EVENT_TIME, time);
            assert_eq!(round(sent), expected, "the log's time is kept as the event's");
            assert_eq!(round(expected.clone()), expected, "and stays so from then on");
        }
    }

    #[test]
    fn people_may_write_less() {
        for (line, expected) in [
            (r#"{"payload":"hi"}"#, NewRecord::new("hi")),
            (r#" { "payload" : { "b":1, "a":2.50 } } "#, NewRecord::new(r#"{ "b":1, "a":2.50 }"#)),
            (r#"{"payload":[1,2]}"#, NewRecord::new("[1,2]")),
            (r#"{"payload":true,"key":"k"}"#, NewRecord::new("true").key("k")),
            (
                r#"{"headers":{"b":"1","a":"2"},"payload":""}"#,
                NewRecord::new("").header("b", "1").header("a", "2"),
            ),
            (
                r#"{"time":"2026-11-21T08:15:00+01:00","payload":""}"#,
                NewRecord::new("").header(EVENT_TIME, "2026-11-21T07:15:00.000000000Z"),
            ),
            (
                r#"{"time":"2026-11-21T08:15:00Z","event_time":"1970-01-01T00:00:01Z","content_type":"text/csv","payload":""}"#,
                NewRecord::new("").event_time(Timestamp(1_000_000_000)).content_type("text/csv"),
            ),
            (
                r#"{"event_time":"1970-01-01T00:00:01Z","content_type":"text/csv","headers":{"content-type":"a","event-time":"b"},"payload":""}"#,
                NewRecord::new("").header("content-type", "a").header("event-time", "b"),
            ),
        ] {
            assert_eq!(read(line.as_bytes()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_line_that_says_something_else_is_refused_and_told_why() {
        for (line, why) in [
            ("", "no JSON: EOF"),
            ("hello", "no JSON: expected value (at character 1)"),
            (r#"{"payload":"a"} {"#, "no JSON: trailing characters"),
            ("[]", "invalid length"),
            ("{}", "neither `payload` nor `payload_base64`"),
            (r#"{"payload":null}"#, "neither `payload` nor"),
            (r#"{"paylod":"x"}"#, "unknown field `paylod`"),
            (r#"{"payload":"a","payload":"b"}"#, "duplicate field"),
            (r#"{"payload":"a","payload_base64":""}"#, "both `payload` and"),
            (r#"{"payload":"a","key":"","key_base64":""}"#, "both `key` and"),
            (r#"{"payload_base64":"!"}"#, "`payload_base64` is no base64"),
            (r#"{"payload":"a","key":7}"#, "invalid type"),
            (r#"{"payload":"a","headers":{"a":1}}"#, "invalid type"),
            (r#"{"payload":"a","headers":[{"name":"a"}]}"#, "wants `value`"),
            (r#"{"payload":"a","time":"10m"}"#, "its time \"10m\" is none: RFC 3339"),
            (r#"{"payload":"a","event_time":"now"}"#, "its event_time \"now\" is none: RFC 3339"),
            (r#"{"payload":"\ud800"}"#, "is no text"),
        ] {
            let found = read(line.as_bytes()).unwrap_err();
            assert!(found.contains(why), "{line}: {found}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_path_as_it_was_written() {
        let line =
            br#"{"a":{"b":"text \"q\"","n":12345678901234567890123,"z":null,"o":{ "x":1}},"d":1,"d":2}"#;
        let at = |path: &str| {
            let path: Vec<_> = path.split('.').map(String::from).collect();
            at_path(line, &path).unwrap().map(|found| String::from_utf8(found).unwrap())
        };
        assert_eq!(at("a.b").as_deref(), Some("text \"q\""));
        assert_eq!(at("a.n").as_deref(), Some("12345678901234567890123"));
        assert_eq!(at("a.o").as_deref(), Some(r#"{ "x":1}"#));
        assert_eq!(at("d").as_deref(), Some("2"));
        for none in ["x", "a.x", "a.b.c", "a.z", "d.x"] {
            assert_eq!(at(none), None, "{none}");
        }
        for bad in ["", "hi", "[1]", "7", r#"{"a":"#] {
            assert!(at_path(bad.as_bytes(), &["a".into()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_event_has_its_own_time_or_the_logs() {
        let sent = [
            NewRecord::new("").header(EVENT_TIME, "2020-01-01T00:00:00Z"),
            NewRecord::new("").header(EVENT_TIME, "long ago"),
        ];
        let times: Vec<_> = received(&sent).iter().map(|record| when::rfc3339(event_time(record))).collect();
        assert_eq!(times, ["2020-01-01T00:00:00.000000000Z", "2026-11-21T07:15:01.200000042Z"]);
        assert!(sent[0].as_record().check().is_ok());
    }
}
