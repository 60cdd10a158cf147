//! Texts that want to be costly, and records that do.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use netchan_proto::filter::{Filter, FilterProblem, TooCostly, View};
use netchan_proto::limits::{
    MAX_FILTER, MAX_FILTER_DEPTH, MAX_FILTER_NODES, MAX_FILTER_PATH, MAX_FILTER_PATTERN, MAX_FILTER_STEPS,
    MAX_PAYLOAD,
};
use netchan_proto::{AsRecord, NewRecord};

use crate::any::{Dice, tree, tree_text};

thread_local! {
    /// Bytes that this thread has asked for.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts.
struct Counting;

// SAFETY: every call is passed on as it is.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn asked_by<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ASKED.with(Cell::get);
    let done = work();
    (done, ASKED.with(Cell::get) - before)
}

/// A text that is no filter, made of one that is.
fn spoilt(dice: &mut Dice) -> Vec<u8> {
    let tree = tree(dice, 3);
    let mut text = tree_text(dice, &tree).into_bytes();
    for _ in 0..=dice.below(3) {
        let at = dice.below(text.len() + 1);
        match dice.below(7) {
            0 => text.truncate(at),
            1 => drop(text.splice(at..at, [dice.next().to_le_bytes()[0]])),
            2 => drop(text.splice(at..at, vec![dice.pick(b"([.'\"\\{-0~*"); dice.below(5000)])),
            3 => drop(text.splice(at..at, "not ".repeat(dice.below(1500)).into_bytes())),
            4 => drop(text.splice(at..at, " and key exists".repeat(dice.below(300)).into_bytes())),
            5 => drop(text.splice(at..at, ".a[0]".repeat(dice.below(1000)).into_bytes())),
            _ => {
                let word =
                    dice.pick(&["~ '", "in (", "\\u{", "2026-", "== 'x' or json", ")", "exists", "1e"]);
                drop(text.splice(at..at, word.bytes()));
            }
        }
    }
    text
}

/// NC-FLT-001, NC-FLT-019, NC-LIM-006
#[test]
fn ten_thousand_hostile_texts_are_refused_within_their_limits() {
    let mut dice = Dice(666);
    let (mut refused, mut by_limit) = (0, 0);
    while refused < 10_000 {
        let text = spoilt(&mut dice);
        let (filter, asked) = asked_by(|| Filter::from_bytes(&text));
        assert!(asked < 32 * MAX_FILTER, "{asked} bytes for a text of {}", text.len());
        match filter {
            Ok(filter) => assert!(filter.text().len() <= MAX_FILTER),
            Err(error) => {
                assert!(error.at <= text.len() && error.line > 0 && error.column > 0);
                assert!(error.to_string().len() < 200);
                refused += 1;
                by_limit += usize::from(!matches!(
                    error.problem,
                    FilterProblem::Expected(_) | FilterProblem::NotText
                ));
            }
        }
    }
    assert!(by_limit > 500, "only {by_limit} ran into a limit");
}

fn problem(text: &str) -> Option<FilterProblem> {
    Filter::parse(text).err().map(|error| error.problem)
}

/// NC-FLT-019, NC-FLT-020, NC-FLT-021, NC-FLT-022, NC-LIM-003
#[test]
fn what_is_at_a_limit_is_read_and_what_is_one_beyond_is_not() {
    let long = |len: usize| format!("key == '{}'", "x".repeat(len - 9));
    assert_eq!(problem(&long(MAX_FILTER)), None);
    assert_eq!(problem(&long(MAX_FILTER + 1)), Some(FilterProblem::TooLong));
    let list = |items: usize| format!("size in (0{})", ", 1".repeat(items - 1));
    assert_eq!(problem(&list(MAX_FILTER_NODES - 1)), None);
    assert_eq!(problem(&list(MAX_FILTER_NODES)), Some(FilterProblem::TooManyNodes));
    let terms = |terms: usize| format!("key exists{}", " or key exists".repeat(terms - 1));
    assert_eq!(problem(&terms(MAX_FILTER_NODES / 2)), None);
    assert_eq!(problem(&terms(MAX_FILTER_NODES / 2 + 1)), Some(FilterProblem::TooManyNodes));
    let nested = |depth: usize| format!("{}key exists{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(problem(&nested(MAX_FILTER_DEPTH)), None);
    assert_eq!(problem(&nested(MAX_FILTER_DEPTH + 1)), Some(FilterProblem::TooDeep));
    let negated = |depth: usize| format!("{}key exists", "not ".repeat(depth));
    assert_eq!(problem(&negated(MAX_FILTER_DEPTH)), None);
    assert_eq!(problem(&negated(MAX_FILTER_DEPTH + 1)), Some(FilterProblem::TooDeep));
    let path = |steps: usize| format!("json{} exists", ".a".repeat(steps));
    assert_eq!(problem(&path(MAX_FILTER_PATH)), None);
    assert_eq!(problem(&path(MAX_FILTER_PATH + 1)), Some(FilterProblem::PathTooLong));
    let pattern = |len: usize| format!("key ~ '{}**'", "a".repeat(len - 1));
    assert_eq!(problem(&pattern(MAX_FILTER_PATTERN)), None);
    assert_eq!(problem(&pattern(MAX_FILTER_PATTERN + 1)), Some(FilterProblem::PatternTooLong));
}

/// NC-FLT-023
#[test]
fn steps_are_counted_as_the_page_says() {
    let record = NewRecord::new("0123456789").key("abc").header("n", "v");
    let record = record.as_record();
    let view = View { key: record.key, headers: record.headers, payload: record.payload, ..View::default() };
    let headers = record.headers.len() as u64;
    for (text, steps) in [
        ("size == 1", 1),
        ("offset == 1 or time < 2026-01-01T00:00:00Z", 2),
        ("key == 'x'", 4),
        ("key == 'abc' and value == 'x'", 4 + 11),
        ("key == 'x' and value == 'x'", 4),
        ("key == 'abc' or value == 'x'", 4),
        ("value ~ 'a*c**'", 1 + 4 * 10),
        ("value in (1, 2, 3)", 1 + 3 * 10),
        ("header.n exists", 1 + headers),
        ("json.a exists and json.b exists", 11),
        ("not json.a exists and not json.b exists", 22),
    ] {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(filter.judge(&view).1, steps, "{text}");
        let bytes = (3 + headers + 10) * filter.weight() + MAX_FILTER_NODES as u64;
        assert!(steps <= bytes, "{text} weighs too little");
    }
}

/// NC-FLT-024: sixteen plain terms over the largest payload are within the budget; one more is not.
#[test]
fn a_record_that_takes_too_many_steps_is_not_judged() {
    let payload = vec![b'x'; MAX_PAYLOAD - 1];
    let view = View { payload: &payload, ..View::default() };
    let terms = |count: usize| vec!["value ^= 'y'"; count].join(" or ");
    let (answer, steps) = Filter::parse(&terms(16)).unwrap().judge(&view);
    assert_eq!((answer, steps), (Ok(false), MAX_FILTER_STEPS));
    let (answer, steps) = Filter::parse(&terms(17)).unwrap().judge(&view);
    assert_eq!(answer, Err(TooCostly));
    assert!(steps <= MAX_FILTER_STEPS);
}

/// NC-FLT-013, NC-FLT-023: where trying everything would take for ever.
#[test]
fn what_would_blow_up_does_not() {
    let many = "a".repeat(1 << 16);
    let judge = |text: &str, payload: &[u8]| {
        let filter = Filter::parse(text).unwrap();
        let (answer, asked) = asked_by(|| filter.matches(&View { payload, ..View::default() }));
        assert_eq!(asked, 0, "{text} takes memory");
        answer.unwrap()
    };
    assert!(!judge(&format!("value ~ '{}b'", "*a".repeat(31)), many.as_bytes()));
    assert!(!judge("value ~ '*?x'", &vec![0x80; 1 << 16]));
    assert!(!judge(&format!("value *= '{}b'", "a".repeat(4000)), many.as_bytes()));
    let escaped = format!("\"{}\"", "\\u0061".repeat(1 << 14));
    assert!(!judge(&format!("json *= '{}b'", "a".repeat(4000)), escaped.as_bytes()));
    assert!(judge("json $= 'aaa'", escaped.as_bytes()));
    assert!(judge("json ~ '*a*a?a'", escaped.as_bytes()));
    for open in ["[", "{\"a\":", "[[{\"b\":["] {
        assert!(!judge("json.a.b[3] == 1 or json[1] exists", open.repeat(1 << 14).as_bytes()));
    }
    for text in ["json.a == 1", "json[0] == 'a'", "json *= 'b'", "json.a[2].b exists"] {
        for payload in [
            "", "{", "{\"", "{\"a", "{\"a\\", "{\"a\"", "{\"a\":", "[", "\"", "\"\\", "\"\\u", "-", "]", ",",
            "[,", "\\",
        ] {
            judge(text, payload.as_bytes());
        }
    }
}
