//! Points in time as people type them (`10m`, `1h30m`, `2026-11-21`, RFC 3339), and as they read them.
//!
//! Owns the reading of times; a time that is relative stays so, because `--since 10m` is resolved by the
//! sender's clock, not by ours.

use std::io::Write;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};
use netchan_proto::Timestamp;

/// A point in time, absolute or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// This long before now.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl When {
    /// The point itself, `now` being now.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            When::At(time) => time,
            When::Ago(ago) => {
                let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
                Timestamp(now.0.saturating_sub(ago))
            }
        }
    }
}

/// Where a record has the time of its event from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventTime {
    /// All have this; where it is no length before now, each has that of its sending.
    When(When),
    /// A field of the payload, which is a JSON object.
    Field(Vec<String>, TimeUnit),
}

/// How a time stands in a field: as a text, or as a number since 1970 of so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeUnit(i64);

impl TimeUnit {
    /// Reads a text that is a time, or a number with or without a fraction.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn read(self, text: &[u8]) -> Result<Timestamp, String> {
        let wrong = || {
            let text = String::from_utf8_lossy(text);
            format!("{text:?} is no time: RFC 3339 is wanted (2026-11-21T08:15:00Z), or a number since 1970")
        };
        let text = std::str::from_utf8(text).map_err(|_| wrong())?;
        if let Some(time) = self.number(text) {
            return Ok(Timestamp(time));
        }
        match parse(text) {
            Ok(When::At(time)) => Ok(time),
            _ => Err(wrong()),
        }
    }

    fn number(self, text: &str) -> Option<i64> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
            return None;
        }
        // as far as nanoseconds go: 18 digits are more than any unit has
        let fraction = format!("{fraction:0<18}");
        let one = i128::from(1_000_000_000 / self.0);
        let part = fraction[..18].parse::<i128>().ok()? * one / 1_000_000_000_000_000_000;
        let part = if whole.starts_with('-') { -part } else { part };
        i64::try_from(whole.parse::<i128>().ok()?.checked_mul(one)? + part).ok()
    }
}

impl std::str::FromStr for EventTime {
    type Err = String;

    /// A time as [`parse`] reads it, or `FIELD`, `FIELD.FIELD`, with `{s}`, `{ms}`, `{us}` or `{ns}` behind it.
    fn from_str(text: &str) -> Result<EventTime, String> {
        let time = parse(text);
        if let Ok(when) = time {
            return Ok(EventTime::When(when));
        }
        if let (true, Err(error)) = (text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()), time)
        {
            return Err(error);
        }
        let (path, unit) = match text.split_once('{') {
            None => (text, 1),
            Some((path, "s}")) => (path, 1),
            Some((path, "ms}")) => (path, 1_000),
            Some((path, "us}")) => (path, 1_000_000),
            Some((path, "ns}")) => (path, 1_000_000_000),
            Some((_, other)) => return Err(format!("{{{other} is none of {{s}}, {{ms}}, {{us}} and {{ns}}")),
        };
        let path: Vec<String> = path.split('.').map(String::from).collect();
        if path.iter().any(String::is_empty) {
            return Err("a field is NAME or NAME.NAME".into());
        }
        Ok(EventTime::Field(path, TimeUnit(unit)))
    }
}

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp(nanos(jiff::Timestamp::now()).unwrap_or(i64::MAX))
}

/// Nanoseconds since the epoch, where an i64 can hold them (the years 1677 to 2262).
fn nanos(time: jiff::Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond()).ok()
}

/// Reads a time: `now`, a length of time before now, or a date (with a time and a zone, or by this machine's
/// zone without).
///
/// # Errors
/// Says what would have been understood.
pub(crate) fn parse(text: &str) -> Result<When, String> {
    parse_in(text, TimeZone::system())
}

fn parse_in(text: &str, zone: TimeZone) -> Result<When, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(When::Ago(Duration::ZERO));
    }
    if let Ok(span) = text.trim_end_matches("ago").trim_end().parse::<Span>() {
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err("a month or a year is not a fixed time: say days, or a date".into());
        }
        let length =
            span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
        return Duration::try_from(length)
            .map(When::Ago)
            .map_err(|_| "a length of time cannot be negative".into());
    }
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => text
            .parse::<DateTime>()
            .and_then(|civil| civil.to_zoned(zone))
            .map(|zoned| zoned.timestamp())
            .map_err(|_| "neither a length of time (10m, 1h30m, 2d), a date (2026-11-21, 2026-11-21T08:15) nor RFC 3339 (2026-11-21T08:15:00Z)")?,
    };
    nanos(time)
        .map(|time| When::At(Timestamp(time)))
        .ok_or_else(|| "a year out of range (1677 to 2262)".into())
}

/// The time as RFC 3339 in UTC, always with nine digits behind the second.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string(),
        Err(_) => time.0.to_string(),
    }
}

/// Times as RFC 3339; records of one second share most of it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    /// Puts the time behind what is in `out`.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let (second, nanos) = (time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000));
        if self.second != Some(second) {
            // the very first second that an i64 holds began before it; its times differ in more than their nanoseconds
            self.text = time.0.checked_sub(nanos).map_or_else(String::new, |whole| rfc3339(Timestamp(whole)));
            self.second = Some(second);
        }
        match self.text.strip_suffix("000000000Z") {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                let _ = write!(out, "{nanos:09}Z");
            }
            None => out.extend_from_slice(rfc3339(time).as_bytes()),
        }
    }
}

/// The time as `form` says in strftime's letters, in this machine's zone. `None` if the form is not understood.
pub(crate) fn strftime(time: Timestamp, form: &str) -> Option<String> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.0)).ok()?;
    jiff::fmt::strtime::format(form, &time.to_zoned(TimeZone::system())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<When, String> {
        parse_in(text, TimeZone::fixed(jiff::tz::offset(2)))
    }

    #[test]
    fn the_time_of_an_event_is_a_time_or_a_field() {
        let read = |text: &str| text.parse::<EventTime>();
        assert_eq!(read("now"), Ok(EventTime::When(When::Ago(Duration::ZERO))));
        assert_eq!(read("10m"), Ok(EventTime::When(When::Ago(Duration::from_secs(600)))));
        assert_eq!(read("a.b{us}"), Ok(EventTime::Field(vec!["a".into(), "b".into()], TimeUnit(1_000_000))));
        for bad in ["", "2026-13-01", "a{m}", "a{ms", "a..b", "{ms}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_with_a_time_is_a_text_or_a_number_of_its_unit() {
        for (text, unit, expected) in [
            ("0", 1, Some(0)),
            ("-1.5", 1, Some(-1_500_000_000)),
            ("1767225600.123456789", 1, Some(1_767_225_600_123_456_789)),
            ("1767225600123.25", 1_000, Some(1_767_225_600_123_250_000)),
            ("7", 1_000_000_000, Some(7)),
            ("2026-01-01T00:00:00Z", 1_000, Some(1_767_225_600_000_000_000)),
            ("9223372036", 1, Some(9_223_372_036_000_000_000)),
            ("9223372037", 1, None),
            ("99999999999999999999999999999999999999999999", 1, None),
            ("1e3", 1, None),
            ("", 1, None),
            ("-", 1, None),
            ("10m", 1, None),
            ("soon", 1, None),
        ] {
            let found = TimeUnit(unit).read(text.as_bytes()).ok();
            assert_eq!(found, expected.map(Timestamp), "{text} {unit}");
        }
    }

    #[test]
    fn lengths_of_time_are_before_now() {
        for (text, seconds) in [
            ("10m", 600),
            ("1h30m", 5400),
            ("90s", 90),
            ("2d", 172_800),
            ("1w", 604_800),
            ("now", 0),
            ("5m ago", 300),
        ] {
            assert_eq!(read(text), Ok(When::Ago(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!(read("250ms"), Ok(When::Ago(Duration::from_millis(250))));
    }

    #[test]
    fn dates_have_a_zone_or_take_this_machines() {
        let at = |text: &str| Ok(When::At(Timestamp(nanos(text.parse().unwrap()).unwrap())));
        assert_eq!(read("2026-11-21T08:15:00.123456789Z"), at("2026-11-21T08:15:00.123456789Z"));
        assert_eq!(read("2026-11-21T08:15:00+02:00"), at("2026-11-21T06:15:00Z"));
        assert_eq!(read("2026-11-21T08:15"), at("2026-11-21T06:15:00Z"));
        assert_eq!(read("2026-11-21 08:15:00"), at("2026-11-21T06:15:00Z"));
        assert_eq!(read("2026-11-21"), at("2026-11-20T22:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be() {
        for text in ["", "yesterday", "10", "2026-13-01", "-5m", "1y", "2mo", "9999-01-01T00:00:00Z"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back_to_the_nanosecond() {
        for nanos in [0, 1, 1_795_245_300_123_456_789, -1, 1_795_245_300_000_000_000] {
            let text = rfc3339(Timestamp(nanos));
            assert_eq!(read(&text), Ok(When::At(Timestamp(nanos))), "{text}");
        }
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000000000Z");
    }
    #[test]
    fn a_clock_says_what_rfc3339_says() {
        let mut clock = Clock::default();
        for nanos in [0, 1, 999_999_999, 1_000_000_000, -1, i64::MIN, i64::MAX, 1_795_245_300_123_456_789] {
            let mut out = Vec::new();
            clock.push(&mut out, Timestamp(nanos));
            assert_eq!(String::from_utf8(out).unwrap(), rfc3339(Timestamp(nanos)));
        }
    }
}
