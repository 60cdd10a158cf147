//! What a piece of the input becomes: a record with key and headers.
//!
//! Owns where key and headers come from: the command line, a delimiter or a field in the line, or a line that is a whole record as
//! JSON. Its neighbours are [`crate::input`], which cuts, and [`crate::json`], which reads.

use bytes::Bytes;
use memchr::memmem;
use netchan_proto::limits::MAX_PAYLOAD;
use netchan_proto::meaning::{CONTENT_TYPE, EVENT_TIME};
use netchan_proto::{AsRecord, NewRecord, RecordRef, Timestamp};

use crate::input::Piece;
use crate::json;
use crate::output::UNTERMINATED;
use crate::when::{self, EventTime, When};

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A payload.
    Payload,
    /// A key before the first of these bytes, and a payload behind them. Without them: a payload without a key.
    Keyed(Vec<u8>),
    /// A payload that is a JSON object with the key in it, at this path.
    KeyField(Vec<String>),
    /// A record, as `recv --json` writes it.
    Record,
}

/// What all records of an input have, but those that say something else themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForAll {
    /// The key.
    pub(crate) key: Option<String>,
    /// Headers.
    pub(crate) headers: Vec<(String, String)>,
    /// Where each has the time of its event from.
    pub(crate) event_time: Option<EventTime>,
    /// What their payloads are.
    pub(crate) content_type: Option<String>,
}

/// How records are made of pieces.
#[derive(Debug)]
pub(crate) struct Making {
    meaning: Meaning,
    key: Option<Bytes>,
    /// Headers for every record.
    headers: Vec<(String, String)>,
    /// Where each record has the time of its event from, where that is not the same for all.
    event_time: Option<EventTime>,
    /// The same as they are encoded, and with the mark of what has no end.
    encoded: NewRecord,
    unterminated: NewRecord,
}

/// A record, borrowed from its piece where that is possible.
#[derive(Debug)]
pub(crate) enum Made<'a> {
    Borrowed(RecordRef<'a>),
    Owned(NewRecord),
}

impl AsRecord for Made<'_> {
    fn as_record(&self) -> RecordRef<'_> {
        match self {
            Made::Borrowed(record) => *record,
            Made::Owned(record) => record.as_record(),
        }
    }
}

impl Making {
    /// Records with the meaning that lines have, and a key and headers for all of them.
    pub(crate) fn new(meaning: Meaning, all: ForAll) -> Making {
        let ForAll { key, mut headers, event_time, content_type } = all;
        let event_time = match event_time {
            Some(EventTime::When(When::Ago(ago))) if ago.is_zero() => event_time,
            // of a record as JSON its own comes first
            Some(EventTime::When(when)) if meaning == Meaning::Record => {
                Some(EventTime::When(When::At(when.at(when::now()))))
            }
            Some(EventTime::When(when)) => {
                headers.push((EVENT_TIME.to_owned(), when.at(when::now()).to_rfc3339()));
                None
            }
            event_time => event_time,
        };
        headers.extend(content_type.map(|content_type| (CONTENT_TYPE.to_owned(), content_type)));
        let with_all = |record: NewRecord| {
            headers.iter().fold(record, |record, (name, value)| record.header(name, value))
        };
        let encoded = with_all(NewRecord::default());
        let unterminated = with_all(NewRecord::default()).header(UNTERMINATED, "");
        let key = key.map(|key| Bytes::from(key.into_bytes()));
        Making { meaning, key, headers, event_time, encoded, unterminated }
    }

    /// How long a piece may be, so that every record fits in one.
    pub(crate) fn longest_piece(&self) -> usize {
        match &self.meaning {
            Meaning::Payload => MAX_PAYLOAD,
            Meaning::Keyed(delimiter) => MAX_PAYLOAD + netchan_proto::limits::MAX_KEY + delimiter.len(),
            Meaning::KeyField(_) => MAX_PAYLOAD,
            // JSON has up to six characters for a byte
            Meaning::Record => 7 * MAX_PAYLOAD,
        }
    }

    /// Whether a record is its payload and nothing else, where it has its end.
    pub(crate) fn is_plain(&self) -> bool {
        self.meaning == Meaning::Payload
            && self.key.is_none()
            && self.headers.is_empty()
            && self.event_time.is_none()
    }

    /// The record that `piece` is.
    ///
    /// # Errors
    /// Says what is wrong with it.
    #[inline]
    pub(crate) fn make<'a>(&'a self, piece: Piece<'a>) -> Result<Made<'a>, String> {
        let record = match &self.meaning {
            Meaning::Payload => RecordRef { payload: piece.payload, key: self.key.as_deref(), headers: &[] },
            Meaning::Keyed(delimiter) => self.keyed(piece.payload, delimiter),
            Meaning::KeyField(path) => {
                let key = json::at_path(piece.payload, path)?;
                let record = NewRecord::new(piece.payload.to_vec());
                let record = match key.map(Bytes::from).or_else(|| self.key.clone()) {
                    Some(key) => record.key(key),
                    None => record,
                };
                let record = self.timed(record)?;
                return Ok(Made::Owned(self.with_headers(record, piece.unterminated)));
            }
            Meaning::Record => return self.record(piece.payload).map(Made::Owned),
        };
        if self.event_time.is_some() {
            let owned = NewRecord::new(record.payload.to_vec());
            let owned = record.key.map(<[u8]>::to_vec).into_iter().fold(owned, NewRecord::key);
            return Ok(Made::Owned(self.with_headers(self.timed(owned)?, piece.unterminated)));
        }
        let headers = if piece.unterminated { &self.unterminated } else { &self.encoded };
        Ok(Made::Borrowed(RecordRef { headers: headers.as_record().headers, ..record }))
    }

    fn keyed<'a>(&'a self, line: &'a [u8], delimiter: &[u8]) -> RecordRef<'a> {
        match memmem::find(line, delimiter) {
            Some(at) => {
                RecordRef { payload: &line[at + delimiter.len()..], key: Some(&line[..at]), headers: &[] }
            }
            None => RecordRef { payload: line, key: self.key.as_deref(), headers: &[] },
        }
    }

    fn record(&self, line: &[u8]) -> Result<NewRecord, String> {
        let mut record = json::read_with(line, |payload| self.event_time_of(payload))?;
        if let (Some(key), None) = (&self.key, record.as_record().key) {
            record = record.key(key.clone());
        }
        // how a line of JSON ends says nothing about its record
        Ok(self.with_headers(record, false))
    }

    /// With the time of its event, if that is to be found for each.
    fn timed(&self, record: NewRecord) -> Result<NewRecord, String> {
        let time = self.event_time_of(record.as_record().payload)?;
        Ok(time.into_iter().fold(record, NewRecord::event_time))
    }

    fn event_time_of(&self, payload: &[u8]) -> Result<Option<Timestamp>, String> {
        match &self.event_time {
            None => Ok(None),
            Some(EventTime::When(when)) => Ok(Some(when.at(when::now()))),
            Some(EventTime::Field(path, unit)) => match json::at_path(payload, path)? {
                Some(text) => {
                    unit.read(&text).map(Some).map_err(|error| format!("{}: {error}", path.join(".")))
                }
                None => Ok(None),
            },
        }
    }

    fn with_headers(&self, record: NewRecord, unterminated: bool) -> NewRecord {
        let record = self.headers.iter().fold(record, |record, (name, value)| record.header(name, value));
        if unterminated { record.header(UNTERMINATED, "") } else { record }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(key: Option<&str>, headers: Vec<(String, String)>) -> ForAll {
        ForAll { key: key.map(String::from), headers, ..ForAll::default() }
    }

    fn timed(meaning: Meaning, event_time: &str) -> Making {
        let event_time = Some(event_time.parse().unwrap());
        Making::new(meaning, ForAll { event_time, content_type: Some("a/b".into()), ..ForAll::default() })
    }

    fn piece(payload: &str) -> Piece<'_> {
        Piece { payload: payload.as_bytes(), unterminated: false }
    }

    /// Payload, key and headers, as text.
    fn made(making: &Making, piece: Piece<'_>) -> (String, Option<String>, String) {
        let made = making.make(piece).unwrap();
        let record = made.as_record();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = netchan_proto::record::Headers::decode(record.headers);
        let headers: Vec<_> = headers.map(|(name, value)| format!("{name}={}", text(value))).collect();
        (text(record.payload), record.key.map(text), headers.join(","))
    }

    fn expected(payload: &str, key: Option<&str>, headers: &str) -> (String, Option<String>, String) {
        (payload.into(), key.map(String::from), headers.into())
    }

    #[test]
    fn key_and_headers_of_the_command_line_are_every_records() {
        let making = Making::new(Meaning::Payload, ForAll::default());
        assert_eq!(made(&making, piece("a:b")), expected("a:b", None, ""));
        let headers = vec![("n".into(), "1".into()), ("m".into(), String::new())];
        let making = Making::new(Meaning::Payload, all(Some("k"), headers));
        assert_eq!(made(&making, piece("a")), expected("a", Some("k"), "n=1,m="));
        let open = Piece { unterminated: true, ..piece("a") };
        assert_eq!(made(&making, open), expected("a", Some("k"), "n=1,m=,unterminated="));
    }

    #[test]
    fn a_key_stands_before_the_first_delimiter() {
        let making = Making::new(Meaning::Keyed(b"::".to_vec()), all(Some("all"), Vec::new()));
        for (line, payload, key) in [
            ("k::v", "v", "k"),
            ("::v", "v", ""),
            ("k::", "", "k"),
            ("k::v::w", "v::w", "k"),
            ("no: key", "no: key", "all"),
        ] {
            assert_eq!(made(&making, piece(line)), expected(payload, Some(key), ""), "{line}");
        }
        let open = Piece { unterminated: true, ..piece("k::v") };
        assert_eq!(made(&making, open), expected("v", Some("k"), "unterminated="));
    }

    #[test]
    fn a_key_is_taken_from_a_field_and_the_payload_stays_as_it_was() {
        let path = vec!["user".into(), "id".into()];
        let making = Making::new(Meaning::KeyField(path), all(None, vec![("n".into(), "1".into())]));
        let line = r#"{"user": {"id": 7}}"#;
        assert_eq!(made(&making, piece(line)), expected(line, Some("7"), "n=1"));
        assert_eq!(made(&making, piece("{}")), expected("{}", None, "n=1"));
        assert!(making.make(piece("no json")).is_err());
    }

    #[test]
    fn a_record_as_json_has_its_own_key_or_that_of_all() {
        let making = Making::new(Meaning::Record, all(Some("all"), vec![("n".into(), "1".into())]));
        let open = Piece { unterminated: true, ..piece(r#"{"payload":"p","headers":{"m":"2"}}"#) };
        assert_eq!(made(&making, open), expected("p", Some("all"), "m=2,n=1"));
        let own = made(&making, piece(r#"{"payload":"p","key":"own"}"#));
        assert_eq!(own, expected("p", Some("own"), "n=1"));
        assert!(making.make(piece("")).is_err());
    }

    #[test]
    fn the_time_of_the_event_is_the_same_for_all_or_each_ones_own() {
        let line = r#"{"at":"2026-01-01T01:00:00+01:00","s":1.5,"ms":-1,"no":"soon"}"#;
        for (event_time, expected) in [
            ("1970-01-01T00:00:01Z", "event-time=1970-01-01T00:00:01.000000000Z,content-type=a/b"),
            ("at", "event-time=2026-01-01T00:00:00.000000000Z,content-type=a/b"),
            ("s", "event-time=1970-01-01T00:00:01.500000000Z,content-type=a/b"),
            ("ms{ms}", "event-time=1969-12-31T23:59:59.999000000Z,content-type=a/b"),
            ("none", "content-type=a/b"),
        ] {
            for meaning in
                [Meaning::Payload, Meaning::KeyField(vec!["none".into()]), Meaning::Keyed(b"#".to_vec())]
            {
                assert_eq!(
                    made(&timed(meaning, event_time), piece(line)),
                    (line.into(), None, expected.into())
                );
            }
        }
        assert!(timed(Meaning::Payload, "no").make(piece(line)).is_err());
        let now = timed(Meaning::Payload, "now");
        let first = made(&now, piece("x")).2;
        assert!(made(&now, piece("x")).2 >= first && first.starts_with("event-time=2"), "{first}");
    }

    #[test]
    fn a_line_of_json_has_its_own_time_and_type_before_those_of_all_and_those_before_the_logs() {
        for (line, expected) in [
            (r#"{"payload":"","event_time":"1970-01-01T00:00:02Z","content_type":"c/d"}"#, "02|c/d"),
            (r#"{"payload":"","headers":{"event-time":"1970-01-01T00:00:03Z"}}"#, "03|a/b"),
            (r#"{"payload":"","time":"1970-01-01T00:00:04Z"}"#, "01|a/b"),
        ] {
            let making = timed(Meaning::Record, "1970-01-01T00:00:01Z");
            let made = making.make(piece(line)).unwrap();
            let headers = netchan_proto::record::Headers::decode(made.as_record().headers);
            let time = headers.event_time().unwrap().to_rfc3339();
            assert_eq!(format!("{}|{}", &time[17..19], headers.content_type().unwrap()), expected, "{line}");
        }
    }
}
