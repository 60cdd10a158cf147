//! Patterns: any text, and any names to hold against it.

use netchan_proto::limits::MAX_PATTERN;
use netchan_proto::{ChannelName, Pattern};

/// A pattern's text, and behind each zero byte a name.
pub fn pattern(data: &[u8]) {
    let mut texts = data.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    let Some(text) = texts.next() else { return };
    let pattern = match Pattern::new(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(error.at <= text.len().min(MAX_PATTERN) && text.is_char_boundary(error.at));
            assert!(error.column >= 1 && !error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(Pattern::new(pattern.as_str()).as_ref(), Ok(&pattern), "it is read the same again");
    for name in texts.chain([text]).filter_map(|name| ChannelName::new(name).ok()) {
        let matches = pattern.matches(&name);
        assert!(!matches || name.as_str().starts_with(pattern.prefix()));
        assert!(matches || text != name.as_str(), "a name matches itself");
        assert!(Pattern::new("**").is_ok_and(|all| all.matches(&name)));
    }
}
