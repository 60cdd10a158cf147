//! Text as it is compared: bytes, be they as they are or the inside of a JSON string with escapes.
//!
//! Nothing is unescaped into memory: what has escapes is read byte by byte as often as a test needs it.

use std::cmp::Ordering;

use memchr::memmem;

/// The element of a pattern that stands for one character.
pub(super) const ANY_ONE: u16 = 256;
/// The element of a pattern that stands for any bytes, none included.
pub(super) const ANY_RUN: u16 = 257;

#[derive(Clone, Copy, Debug)]
pub(super) enum Text<'a> {
    Plain(&'a [u8]),
    /// What stands between the quotes of a JSON string that has a backslash.
    Escaped(&'a [u8]),
}

impl<'a> Text<'a> {
    fn bytes(self) -> Unescaped<'a> {
        let (Text::Plain(raw) | Text::Escaped(raw)) = self;
        Unescaped { raw, ready: [0; 4], at: 0, len: 0 }
    }

    pub(super) fn equals(self, literal: &[u8]) -> bool {
        match self {
            Text::Plain(text) => text == literal,
            Text::Escaped(_) => self.bytes().eq(literal.iter().copied()),
        }
    }

    pub(super) fn compare(self, literal: &[u8]) -> Ordering {
        match self {
            Text::Plain(text) => text.cmp(literal),
            Text::Escaped(_) => self.bytes().cmp(literal.iter().copied()),
        }
    }

    pub(super) fn begins_with(self, literal: &[u8]) -> bool {
        match self {
            Text::Plain(text) => text.starts_with(literal),
            Text::Escaped(_) => {
                let mut bytes = self.bytes();
                literal.iter().all(|byte| bytes.next() == Some(*byte))
            }
        }
    }

    pub(super) fn ends_with(self, literal: &[u8]) -> bool {
        match self {
            Text::Plain(text) => text.ends_with(literal),
            Text::Escaped(_) => {
                let before = self.bytes().count().checked_sub(literal.len());
                before.is_some_and(|before| self.bytes().skip(before).eq(literal.iter().copied()))
            }
        }
    }

    /// `overlaps` are those of `literal`.
    pub(super) fn contains(self, literal: &[u8], overlaps: &[u16]) -> bool {
        match self {
            Text::Plain(text) => memmem::find(text, literal).is_some(),
            Text::Escaped(_) if literal.is_empty() => true,
            Text::Escaped(_) => {
                let mut matched = 0;
                self.bytes().any(|byte| {
                    while matched > 0 && literal[matched] != byte {
                        matched = overlaps[matched - 1].into();
                    }
                    matched += usize::from(literal[matched] == byte);
                    matched == literal.len()
                })
            }
        }
    }

    pub(super) fn is_like(self, pattern: &[u16]) -> bool {
        match self {
            Text::Plain(text) => is_like(text.iter().copied(), pattern),
            Text::Escaped(_) => is_like(self.bytes(), pattern),
        }
    }

    /// The text in `buffer`, if it fits.
    pub(super) fn short(self, buffer: &mut [u8]) -> Option<&[u8]> {
        let mut len = 0;
        for byte in self.bytes_or_plain() {
            *buffer.get_mut(len)? = byte;
            len += 1;
        }
        Some(&buffer[..len])
    }

    fn bytes_or_plain(self) -> impl Iterator<Item = u8> {
        let (plain, escaped) = match self {
            Text::Plain(text) => (text, None),
            Text::Escaped(_) => (&[][..], Some(self.bytes())),
        };
        plain.iter().copied().chain(escaped.into_iter().flatten())
    }
}

/// For each beginning of `literal`, the length of its longest end that `literal` begins with, too, itself left out.
pub(super) fn overlaps(literal: &[u8]) -> Vec<u16> {
    let mut overlaps = vec![0u16; literal.len()];
    for at in 1..literal.len() {
        let mut matched = usize::from(overlaps[at - 1]);
        while matched > 0 && literal[matched] != literal[at] {
            matched = overlaps[matched - 1].into();
        }
        matched += usize::from(literal[matched] == literal[at]);
        overlaps[at] = u16::try_from(matched).unwrap_or(0);
    }
    overlaps
}

/// Whether all of `text` is like `pattern`. Where it fails it goes back to the last run of any bytes only, which takes one more:
/// what stands before that run never needs to be tried again. So it takes at most as many steps as text and pattern have places.
fn is_like(mut text: impl Iterator<Item = u8> + Clone, pattern: &[u16]) -> bool {
    let mut at = 0;
    // The pattern after the last run, and the text from which it was tried.
    let mut again = None;
    loop {
        if pattern.get(at) == Some(&ANY_RUN) {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            again = Some((at, text.clone()));
            continue;
        }
        let mut ahead = text.clone();
        let is_next = match (pattern.get(at), ahead.next()) {
            (None, None) => return true,
            (Some(_), None) => return false,
            (None, Some(_)) => false,
            (Some(&ANY_ONE), Some(_)) => {
                // The rest of the character, where it is UTF-8.
                for _ in 0..3 {
                    let mut beyond = ahead.clone();
                    if beyond.next().is_none_or(|byte| byte & 0xC0 != 0x80) {
                        break;
                    }
                    ahead = beyond;
                }
                true
            }
            (Some(element), Some(byte)) => *element == u16::from(byte),
        };
        if is_next {
            (at, text) = (at + 1, ahead);
        } else {
            let Some((after, from)) = &mut again else { return false };
            from.next();
            (at, text) = (*after, from.clone());
        }
    }
}

/// The bytes of a JSON string's inside. A lone half of a surrogate pair is U+FFFD; an escape that is none is what follows its
/// backslash.
#[derive(Clone, Copy, Debug)]
struct Unescaped<'a> {
    raw: &'a [u8],
    ready: [u8; 4],
    at: u8,
    len: u8,
}

impl Unescaped<'_> {
    fn char(&mut self, char: char) -> u8 {
        let len = char.encode_utf8(&mut self.ready).len();
        (self.at, self.len) = (1, u8::try_from(len).unwrap_or(1));
        self.ready[0]
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.raw.split_first_chunk::<4>()?;
        let unit =
            digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))?;
        self.raw = rest;
        Some(unit)
    }

    fn escaped_unit(&mut self) -> u8 {
        let Some(first) = self.unit() else { return b'u' };
        if (0xD800..0xDC00).contains(&first)
            && let [b'\\', b'u', rest @ ..] = self.raw
        {
            let mut ahead = Unescaped { raw: rest, ..*self };
            if let Some(second @ 0xDC00..0xE000) = ahead.unit() {
                self.raw = ahead.raw;
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return self.char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.char(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.at < self.len {
            self.at += 1;
            return Some(self.ready[usize::from(self.at) - 1]);
        }
        let (first, rest) = self.raw.split_first()?;
        self.raw = rest;
        if *first != b'\\' {
            return Some(*first);
        }
        let (escape, rest) = self.raw.split_first()?;
        self.raw = rest;
        Some(match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => self.escaped_unit(),
            other => *other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Vec<u16> {
        text.bytes()
            .map(|byte| match byte {
                b'*' => ANY_RUN,
                b'?' => ANY_ONE,
                byte => byte.into(),
            })
            .collect()
    }

    /// NC-FLT-014
    #[test]
    fn escapes_of_json_are_read_as_what_they_stand_for() {
        let text =
            Text::Escaped(br#"a\"\\\/\b\f\n\r\tA\u0041\u00e9\u20AC\ud83d\ude00\ud800x\udc00\ud800\u0041"#);
        let read: Vec<u8> = text.bytes().collect();
        assert_eq!(
            String::from_utf8(read).unwrap(),
            "a\"\\/\u{8}\u{c}\n\r\tAAé€😀\u{FFFD}x\u{FFFD}\u{FFFD}A"
        );
        for odd in [&br"\"[..], br"\u", br"\u12", br"\uzzzz", br"\q", br"\ud800\u", br"\ud800\u12"] {
            assert!(Text::Escaped(odd).bytes().count() <= odd.len());
        }
    }

    #[test]
    fn what_has_escapes_answers_as_what_has_none() {
        let escaped = Text::Escaped(br"abab\u0061bac");
        let plain = Text::Plain(b"abababac");
        for literal in ["", "a", "ab", "ababac", "abababac", "abac", "ac", "c", "b", "abababacx", "bb"] {
            let literal = literal.as_bytes();
            let overlaps = overlaps(literal);
            assert_eq!(escaped.equals(literal), plain.equals(literal));
            assert_eq!(escaped.compare(literal), plain.compare(literal));
            assert_eq!(escaped.begins_with(literal), plain.begins_with(literal));
            assert_eq!(escaped.ends_with(literal), plain.ends_with(literal));
            assert_eq!(escaped.contains(literal, &overlaps), plain.contains(literal, &overlaps));
        }
    }

    /// NC-FLT-013
    #[test]
    fn patterns_match_all_of_a_text() {
        for (text, like, unlike) in [
            ("", "|*|**", "?|a|*a"),
            ("abc", "abc|a*|*c|a?c|???|*b*|a*c|*?c|abc*|*abc", "ab|bc|??|????|a*b|*?b|abc?|?abc"),
            ("aXbXc", "a*X*c|a*c|*X?|a?b?c", "a*Y*c|aX"),
            ("é", "?|*?|?*|*", "??"),
            ("aé€b", "a??b|a*b|??*?", "a?b|????*?"),
            ("aaaaab", "*a*a*b|*aab|a*ab", "*a*a*c|*aba"),
        ] {
            for good in like.split('|') {
                assert!(Text::Plain(text.as_bytes()).is_like(&pattern(good)), "{text} is like {good}");
            }
            for bad in unlike.split('|') {
                assert!(!Text::Plain(text.as_bytes()).is_like(&pattern(bad)), "{text} is not like {bad}");
            }
        }
    }
}
