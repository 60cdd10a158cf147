//! Times and durations as they are written: RFC 3339, to nanoseconds.

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// The longest text that is a time: `2026-01-02T03:04:05.123456789+00:00`.
pub(super) const MAX_TIME: usize = 35;

/// Reads `2026-01-02T03:04:05.123Z`: nanoseconds since the Unix epoch. Up to nine digits after the point; `T` and `Z` may be
/// small; a 61st second is the first of the next minute.
pub(crate) fn parse(text: &[u8]) -> Option<i128> {
    let mut at = Reader(text);
    let (year, month, day) = (at.digits(4)?, at.after(b"-", 2)?, at.after(b"-", 2)?);
    let (hour, minute, second) = (at.after(b"Tt", 2)?, at.after(b":", 2)?, at.after(b":", 2)?);
    let days_of_month = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanos = if at.is_next(b".") { at.fraction()? } else { 0 };
    let offset = match at.take()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = (at.digits(2)?, at.after(b":", 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    if !at.0.is_empty() {
        return None;
    }
    let minutes = (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some(i128::from(minutes * 60 + second) * SECOND + i128::from(nanos))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, by counting years from March on.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Nanoseconds of one unit of a duration.
pub(super) const UNITS: [(&str, i128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
];

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn is_next(&mut self, any: &[u8]) -> bool {
        let is = self.0.first().is_some_and(|byte| any.contains(byte));
        if is {
            self.0 = &self.0[1..];
        }
        is
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    }

    fn after(&mut self, separator: &[u8], count: usize) -> Option<i64> {
        if self.is_next(separator) { self.digits(count) } else { None }
    }

    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 || count > 9 {
            return None;
        }
        let digits = self.digits(count)?;
        Some((count..9).fold(digits, |digits, _| digits * 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NC-FLT-016
    #[test]
    fn times_are_those_of_rfc_3339() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600, 0),
            ("2026-01-01t01:00:00.5+01:00", 1_767_225_600, 500_000_000),
            ("2025-12-31T18:30:00.000000001-05:30", 1_767_225_600, 1),
            ("1969-12-31T23:59:59.999999999z", -1, 999_999_999),
            ("2024-02-29T00:00:00Z", 1_709_164_800, 0),
            ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(seconds * SECOND + nanos), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000000Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "2026-01-01 00:00:00Z",
            "02026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
