//! Patterns of names: what they match, held against a matcher that is written as the spec says it, and what is refused.

#![allow(clippy::unwrap_used)]

use netchan_proto::limits::{MAX_NAME, MAX_PATTERN};
use netchan_proto::pattern::PatternProblem;
use netchan_proto::{ChannelName, Pattern};
use proptest::prelude::*;

/// NC-PAT-004 to NC-PAT-006, as they are written: by trying everything.
mod naive {
    pub(super) fn matches(pattern: &str, name: &str) -> bool {
        let (pattern, name): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), name.split('/').collect());
        levels(&pattern, &name)
    }

    fn levels(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            (["**", rest @ ..], name) => (0..=name.len()).any(|skipped| levels(rest, &name[skipped..])),
            ([level, rest @ ..], [first, others @ ..]) => {
                within(level.as_bytes(), first.as_bytes()) && levels(rest, others)
            }
            (_, []) => false,
        }
    }

    fn within(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], text) => (0..=text.len()).any(|skipped| within(rest, &text[skipped..])),
            ([byte, rest @ ..], [first, others @ ..]) => byte == first && within(rest, others),
            (_, []) => false,
        }
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

fn rows() -> Vec<(String, String, bool)> {
    let page = include_str!("../../spec/18-patterns.md");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    page.lines()
        .filter(|line| line.ends_with("| yes |") || line.ends_with("| no |"))
        .map(cells)
        .map(|cells| (cells[0].clone(), cells[1].clone(), cells[2] == "yes"))
        .collect()
}

/// NC-PAT-003, NC-PAT-004, NC-PAT-005, NC-PAT-006
#[test]
fn the_examples_of_the_page_hold() {
    let rows = rows();
    assert!(rows.len() >= 20, "only {} rows", rows.len());
    for (pattern, channel, matches) in rows {
        assert_eq!(Pattern::new(&pattern).unwrap().matches(&name(&channel)), matches, "{pattern} {channel}");
        assert_eq!(naive::matches(&pattern, &channel), matches, "the naive matcher: {pattern} {channel}");
    }
}

/// A text of few letters, so that much of it matches.
fn text(letters: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(letters.chars().collect::<Vec<_>>()), 1..14)
        .prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    /// NC-PAT-004, NC-PAT-005, NC-PAT-006: and a pattern that is refused is one that the grammar does not have.
    #[test]
    fn it_matches_what_the_naive_matcher_does(pattern in text("ab/**/"), channel in text("aabb/")) {
        let Ok(channel) = ChannelName::new(&channel) else { return Ok(()) };
        match Pattern::new(&pattern) {
            Ok(read) => {
                let matches = read.matches(&channel);
                prop_assert_eq!(matches, naive::matches(&pattern, channel.as_str()), "{} {}", pattern, channel);
                prop_assert!(!matches || channel.as_str().starts_with(read.prefix()));
            }
            Err(error) => {
                let levels: Vec<_> = pattern.split('/').collect();
                let empty = levels.contains(&"");
                let not_alone = levels.iter().any(|level| level.contains("**") && *level != "**");
                let repeated = levels.windows(2).any(|pair| pair == ["**", "**"]);
                prop_assert!(empty || not_alone || repeated, "{}: {}", pattern, error);
                prop_assert!(error.at <= pattern.len());
            }
        }
    }
}

/// NC-PAT-001, NC-PAT-002
#[test]
fn what_is_no_pattern_is_refused_and_where() {
    use PatternProblem::{Character, Empty, NotAlone, Repeated, Segment, TooLong};
    let long = format!("ü{}", "a".repeat(MAX_PATTERN - 1));
    for (text, at, column, problem) in [
        ("", 0, 1, Empty),
        (&*long, 255, 255, TooLong),
        ("a b", 1, 2, Character { found: ' ' }),
        ("ü\0", 2, 2, Character { found: '\0' }),
        ("host:1/*", 4, 5, Character { found: ':' }),
        ("@prod/*", 0, 1, Character { found: '@' }),
        ("a@1/*", 1, 2, Character { found: '@' }),
        ("a@", 1, 2, Character { found: '@' }),
        ("a@b*", 1, 2, Character { found: '@' }),
        ("a@1@*", 1, 2, Character { found: '@' }),
        ("@*", 0, 1, Character { found: '@' }),
        ("a/@*", 2, 3, Character { found: '@' }),
        ("**@*", 2, 3, Character { found: '@' }),
        ("..@*", 2, 3, Character { found: '@' }),
        ("a@**", 2, 3, NotAlone),
        ("a/#", 2, 3, Character { found: '#' }),
        ("/a", 0, 1, Segment),
        ("a//b", 2, 3, Segment),
        ("logs/", 5, 6, Segment),
        ("logs/../*", 5, 6, Segment),
        ("./*", 0, 1, Segment),
        ("logs/a**", 6, 7, NotAlone),
        ("***", 0, 1, NotAlone),
        ("a/**/**", 5, 6, Repeated),
    ] {
        let error = Pattern::new(text).unwrap_err();
        assert_eq!((error.at, error.column, error.problem), (at, column, problem), "{text}");
        assert!(error.to_string().starts_with(&format!("column {column}: ")), "{error}");
    }
    assert!(Pattern::new(&"a".repeat(MAX_PATTERN)).is_ok());
}

/// NC-PAT-002, NC-PAT-007: the longest of each kind find their last place, and cost what others do.
#[test]
fn the_longest_patterns_match_the_longest_names() {
    let stars = "*a".repeat(MAX_PATTERN / 2) + "*";
    let levels = "**/a/".repeat(MAX_PATTERN / 5 - 1) + "**";
    let deep = "a/".repeat(MAX_NAME / 2) + "a";
    let flat = "a".repeat(MAX_NAME);
    assert!(stars.len() == MAX_PATTERN && levels.len() <= MAX_PATTERN && deep.len() == MAX_NAME);
    let [stars, levels, all, same] = [&*stars, &levels, "**", &flat].map(|text| Pattern::new(text).unwrap());
    assert!(stars.matches(&name(&flat)) && !stars.matches(&name(&deep)));
    assert!(levels.matches(&name(&deep)) && !levels.matches(&name(&flat)));
    assert!(same.matches(&name(&flat)) && !same.matches(&name(&flat[1..])));
    assert!(all.matches(&name(&flat)) && all.matches(&name(&deep)));
    // What makes matchers that try again take longer than the world is old.
    let almost = "a".repeat(MAX_NAME - 1) + "b";
    for _ in 0..1000 {
        assert!(!Pattern::new(&("*a".repeat(100) + "*c")).unwrap().matches(&name(&almost)));
    }
}

#[test]
fn a_matcher_tells_what_it_takes() {
    let bytes = |text: &str| Pattern::new(text).unwrap().matcher().bytes();
    let each = bytes("a");
    assert!((33..=40).contains(&each), "{each}");
    assert_eq!((bytes("**"), bytes("abab*"), bytes("**/ab/c")), (0, 2 * each, 4 * each));
}

#[test]
fn the_prefix_is_what_all_matches_begin_with() {
    for (pattern, prefix) in [
        ("logs/*", "logs/"),
        ("logs/**", "logs"),
        ("logs/a*/b", "logs/a"),
        ("**", ""),
        ("*", ""),
        ("a/b", "a/b"),
        ("a/b@*", "a/b@"),
        ("a*@1*", "a"),
    ] {
        assert_eq!(Pattern::new(pattern).unwrap().prefix(), prefix, "{pattern}");
    }
    assert_eq!(Pattern::new("a/**/b").unwrap().prefix(), "a/");
}
