//! Numbers as they are written: compared digit by digit, so no rounding makes two of them the same.

use std::cmp::Ordering;

/// A number in JSON's form, taken apart: 0.DIGITS times ten to the `exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    is_negative: bool,
    /// Its digits before and after the point, without zeros at either end. None of either: zero.
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// An exponent beyond this counts as this.
const MAX_EXPONENT: i64 = 1_000_000_000_000_000_000;

impl<'a> Decimal<'a> {
    /// Reads `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, and nothing else.
    pub(super) fn parse(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (is_negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (whole, rest) = digits(rest);
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            rest => (&b"0"[..], rest),
        };
        if fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Decimal::of(is_negative, whole, fraction, exponent))
    }

    /// The number that `digits` are, which are digits.
    pub(super) fn of_digits(digits: &'a [u8]) -> Decimal<'a> {
        Decimal::of(false, digits, &[], 0)
    }

    fn of(is_negative: bool, whole: &'a [u8], fraction: &'a [u8], exponent: i64) -> Decimal<'a> {
        let zeros = |digits: &[u8]| digits.iter().take_while(|digit| **digit == b'0').count();
        let whole = &whole[zeros(whole)..];
        let end = fraction.len() - fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let fraction = &fraction[..end];
        let signed = |len: usize| i64::try_from(len).unwrap_or(MAX_EXPONENT);
        let (whole, fraction, exponent) = if whole.is_empty() {
            let skipped = zeros(fraction);
            (whole, &fraction[skipped..], exponent - signed(skipped))
        } else if fraction.is_empty() {
            let end = whole.len() - whole.iter().rev().take_while(|digit| **digit == b'0').count();
            (&whole[..end], fraction, exponent + signed(whole.len()))
        } else {
            (whole, fraction, exponent + signed(whole.len()))
        };
        Decimal { is_negative, whole, fraction, exponent }
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    pub(super) fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let sign = |it: &Decimal<'_>| match (it.is_zero(), it.is_negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        };
        let signs = sign(self).cmp(&sign(other));
        if signs.is_ne() || self.is_zero() {
            return signs;
        }
        let size = self.exponent.cmp(&other.exponent).then_with(|| {
            let digits = self.whole.iter().chain(self.fraction);
            digits.cmp(other.whole.iter().chain(other.fraction))
        });
        if self.is_negative { size.reverse() } else { size }
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (digits, rest) = digits(text);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let size = digits.iter().fold(0i64, |sum, digit| {
        sum.saturating_mul(10).saturating_add((digit - b'0').into()).min(MAX_EXPONENT)
    });
    Some(if is_negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(a: &str, b: &str) -> Ordering {
        Decimal::parse(a.as_bytes()).unwrap().compare(&Decimal::parse(b.as_bytes()).unwrap())
    }

    /// NC-FLT-015
    #[test]
    fn numbers_compare_by_what_they_are_not_by_how_they_are_written() {
        let ordered = [
            "-1e400",
            "-10.5",
            "-10.25",
            "-1",
            "-0.5e-3",
            "0",
            "1e-400",
            "0.001",
            "0.0010001",
            "9",
            "9.5",
            "10",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551616",
            "1e400",
            "1e401",
        ];
        for (at, a) in ordered.iter().enumerate() {
            for (other, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} and {b}");
            }
        }
        for (a, b) in [("100", "1e2"), ("1.50", "1.5"), ("0", "-0.0e9"), ("0.01", "1e-2"), ("1200e-2", "12")]
        {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} and {b}");
        }
        assert_eq!(compare("1e99999999999999999999", "1e1000000000000000000"), Ordering::Equal);
    }

    #[test]
    fn only_jsons_form_is_a_number() {
        for text in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", " 1", "1 ", "0x1", "1_0", "--1", "NaN"] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
