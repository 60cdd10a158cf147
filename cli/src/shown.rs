//! What a terminal may be shown: text that others wrote, without what would steer the terminal.
//!
//! Owns which characters are replaced and by what. A payload with an escape sequence could clear the screen, change its title or
//! make a line look like another; one with an override of writing direction reads otherwise than it is. Only what goes
//! to a terminal is treated so: in pipes and files every byte is as it was sent. What is said on stderr is [`crate::status`]'s.

use std::io::Write;

/// How the parts of a record are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Byte for byte.
    AsIs,
    /// For the eyes of a person at a terminal.
    Safely,
}

impl Shown {
    /// Puts `bytes` behind what is in `out`.
    pub(crate) fn push(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Shown::AsIs => out.extend_from_slice(bytes),
            Shown::Safely => push_safely(out, bytes),
        }
    }

    /// Puts `text`, which is JSON, behind what is in `out`: it is the same JSON in any case.
    pub(crate) fn push_json(self, out: &mut Vec<u8>, text: &[u8]) {
        match std::str::from_utf8(text) {
            Ok(text) if self == Shown::Safely => {
                for c in text.chars() {
                    if steers(c) && c != '\n' {
                        // all of them have 16 bits; a Vec takes all that is written into it
                        let _ = write!(out, "\\u{:04x}", u32::from(c));
                    } else {
                        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
            }
            _ => out.extend_from_slice(text),
        }
    }
}

/// Whether `c` does something to a terminal, or to how what stands beside it is read, instead of being seen.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tabs and line breaks stay, with a carriage return before the end of a line.
fn push_safely(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            rest = &rest[c.len_utf8()..];
            let ends_line = c == '\r' && matches!(rest.first(), None | Some(b'\n'));
            if !steers(c) || ends_line || matches!(c, '\n' | '\t') {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                let _ = write!(out, "{}", c.escape_default());
            }
        }
        rest = &rest[chunk.invalid().len()..];
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        Shown::Safely.push(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_does_nothing() {
        assert_eq!(shown(b"\x1b[2J\x07\x7f"), r"\u{1b}[2J\u{7}\u{7f}");
        assert_eq!(
            shown("\u{9b}31m \u{202e}txt.exe \u{2066}\u{200f}".as_bytes()),
            r"\u{9b}31m \u{202e}txt.exe \u{2066}\u{200f}"
        );
        assert_eq!(
            shown(b"a\rb\r\nc\r"),
            "a\\rb\r\nc\r",
            "a carriage return overwrites, but at the end of a line"
        );
        assert_eq!(shown(b"\xff\xc3\x28\x80"), r"\xff\xc3(\x80");
    }

    #[test]
    fn what_is_only_seen_stays() {
        for plain in ["", "tab\there", "two\nlines", "Grüße, 世界 🙂 שלום"] {
            assert_eq!(shown(plain.as_bytes()), plain);
        }
    }

    #[test]
    fn as_is_is_byte_for_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        Shown::AsIs.push(&mut out, &all);
        assert_eq!(out, all);
    }

    #[test]
    fn json_stays_the_same_json() {
        let line = "{\"a\":\"\\u001b \u{7f} \u{202e} ü\"}\n";
        let mut out = Vec::new();
        Shown::Safely.push_json(&mut out, line.as_bytes());
        assert_eq!(String::from_utf8(out.clone()).unwrap(), "{\"a\":\"\\u001b \\u007f \\u202e ü\"}\n");
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&out), value(line.as_bytes()));
    }
}
