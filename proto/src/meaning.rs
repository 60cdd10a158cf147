//! Headers with a meaning that all programs share: `event-time` and `content-type` (spec/16-values.md).
//!
//! Owns their names and the one form in which a time is written. Who stores and carries records need not know of them.

use crate::filter;
use crate::record::{Headers, NewRecord, Record};
use crate::types::Timestamp;

/// The header that says when what a record tells of happened, where that is not when the log took it.
pub const EVENT_TIME: &str = "event-time";
/// The header that says what a payload is, as MIME has it.
pub const CONTENT_TYPE: &str = "content-type";

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

impl Timestamp {
    /// The time in the one form in which it is written: RFC 3339 in UTC, always with nine digits behind the second.
    ///
    /// ```
    /// use netchan_proto::Timestamp;
    /// assert_eq!(Timestamp(1_767_225_600_000_000_042).to_rfc3339(), "2026-01-01T00:00:00.000000042Z");
    /// ```
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (seconds, nanos) = (self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND));
        let (days, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }

    /// Reads a date and time of RFC 3339, in any zone and with up to nine digits behind the second. `None` if it is none, or
    /// lies outside of what a timestamp can hold (the years 1677 to 2262).
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Timestamp> {
        filter::read_time(text.as_bytes()).and_then(|nanos| i64::try_from(nanos).ok()).map(Timestamp)
    }
}

/// The year, month and day of so many days after 1970-01-01, by counting years from March on: the inverse of how they are read.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (year_of_era + era * 400, if month < 10 { month + 3 } else { month - 9 });
    (if month <= 2 { year + 1 } else { year }, month, day)
}

impl NewRecord {
    /// With the time at which what it tells of happened, as the header [`EVENT_TIME`]. The log gives records times of its own:
    /// this one it keeps, and filters can ask for (`header.event-time >= 2026-01-01T00:00:00Z`).
    ///
    /// ```
    /// use netchan_proto::{AsRecord, NewRecord, Timestamp};
    /// let record = NewRecord::new("21.5").event_time(Timestamp(0)).content_type("text/plain");
    /// assert_eq!(record.headers().event_time(), Some(Timestamp(0)));
    /// assert_eq!(record.headers().content_type(), Some("text/plain"));
    /// ```
    #[must_use]
    pub fn event_time(self, time: Timestamp) -> NewRecord {
        self.header(EVENT_TIME, time.to_rfc3339())
    }

    /// With what its payload is, as MIME has it (`application/json`), as the header [`CONTENT_TYPE`]. Nobody checks that.
    #[must_use]
    pub fn content_type(self, content_type: &str) -> NewRecord {
        self.header(CONTENT_TYPE, content_type)
    }
}

impl<'a> Headers<'a> {
    /// When what the record tells of happened, as its first header [`EVENT_TIME`] says. `None` without one, and if that is no
    /// date and time of RFC 3339 ([`Timestamp::from_rfc3339`]): then as without one.
    #[must_use]
    pub fn event_time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.get(EVENT_TIME)?).ok().and_then(Timestamp::from_rfc3339)
    }

    /// What the payload is, as the first header [`CONTENT_TYPE`] says. `None` without one, and if that is not UTF-8.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        std::str::from_utf8(self.get(CONTENT_TYPE)?).ok()
    }
}

impl Record {
    /// When what it tells of happened, where its sender said so ([`NewRecord::event_time`]). `None` where it did not, and where
    /// the header is no time. When the log took it is [`timestamp`](Record::timestamp).
    #[must_use]
    pub fn event_time(&self) -> Option<Timestamp> {
        self.headers().event_time()
    }

    /// What its payload is, where its sender said so ([`NewRecord::content_type`]). `None` where it did not, and where the header
    /// is not UTF-8.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.headers().content_type()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::AsRecord;

    fn headers(record: &NewRecord) -> Headers<'_> {
        Headers::decode(record.as_record().headers)
    }

    // NC-VAL-013, NC-VAL-014
    #[test]
    fn times_and_types_are_headers_in_one_form() {
        let record = NewRecord::new("").event_time(Timestamp(1)).content_type("application/json");
        let found: Vec<_> = headers(&record).collect();
        let time = &b"1970-01-01T00:00:00.000000001Z"[..];
        assert_eq!(found, [("event-time", time), ("content-type", &b"application/json"[..])]);
        for (nanos, text) in [
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00.000000000Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(Timestamp(nanos).to_rfc3339(), text);
        }
    }

    // NC-VAL-015
    #[test]
    fn what_is_no_time_or_no_text_is_as_nothing_and_the_first_counts() {
        for (text, expected) in [
            ("2026-01-01T01:00:00.5+01:00", Some(1_767_225_600_500_000_000)),
            ("2026-01-01t00:00:00z", Some(1_767_225_600_000_000_000)),
            ("2262-04-11T23:47:16.854775807Z", Some(i64::MAX)),
            ("2262-04-11T23:47:16.854775808Z", None),
            ("1677-09-21T00:12:43.145224191Z", None),
            ("9999-01-01T00:00:00Z", None),
            ("2026-01-01", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00Z ", None),
            ("1767225600", None),
            ("", None),
        ] {
            let record = NewRecord::new("").header(EVENT_TIME, text).event_time(Timestamp(7));
            assert_eq!(headers(&record).event_time(), expected.map(Timestamp), "{text:?}");
        }
        let record =
            NewRecord::new("").header(EVENT_TIME, [0xff]).header(CONTENT_TYPE, [0xff]).content_type("b");
        assert_eq!((headers(&record).event_time(), headers(&record).content_type()), (None, None));
        let record = NewRecord::new("").content_type("a").content_type("b");
        assert_eq!(headers(&record).content_type(), Some("a"));
        assert_eq!(headers(&NewRecord::new("")).event_time(), None);
    }

    proptest! {
        // NC-VAL-014, NC-VAL-015
        #[test]
        fn every_time_is_read_as_it_was_written(nanos: i64) {
            let text = Timestamp(nanos).to_rfc3339();
            prop_assert_eq!(text.len(), 30);
            prop_assert_eq!(Timestamp::from_rfc3339(&text), Some(Timestamp(nanos)));
        }

        // NC-VAL-014: one form, so that texts are in the order of their times
        #[test]
        fn texts_are_in_the_order_of_times(a: i64, b: i64) {
            let (first, second) = (Timestamp(a).to_rfc3339(), Timestamp(b).to_rfc3339());
            prop_assert_eq!(a.cmp(&b), first.cmp(&second));
        }
    }
}
