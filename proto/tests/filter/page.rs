//! Every vector of the page answers as it says.

use std::path::Path;

use netchan_proto::filter::{Filter, FilterProblem, View};
use netchan_proto::{AsRecord, limits::MAX_FILTER};
use netchan_proto::{NewRecord, Offset, Timestamp};
use serde_json::Value;

/// A record of the page.
struct Case {
    record: NewRecord,
    offset: u64,
    time: i64,
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(hex) => {
            let hex = hex["hex"].as_str().unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(byte).collect()
        }
        other => panic!("no bytes: {other}"),
    }
}

fn case(text: &str) -> Case {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut record = NewRecord::new(value.get("value").map(bytes).unwrap_or_default());
    if let Some(key) = value.get("key") {
        record = record.key(bytes(key));
    }
    for header in value.get("headers").and_then(Value::as_array).into_iter().flatten() {
        record = record.header(header[0].as_str().unwrap(), bytes(&header[1]));
    }
    let known = ["value", "key", "headers", "offset", "time"];
    assert!(value.as_object().unwrap().keys().all(|name| known.contains(&&**name)), "{text}");
    let time = value.get("time").map_or(0, |time| seconds(time.as_str().unwrap()) * 1_000_000_000);
    Case { record, offset: value.get("offset").map_or(0, |offset| offset.as_u64().unwrap()), time }
}

/// The seconds since 1970 of a whole second of January 2026.
fn seconds(time: &str) -> i64 {
    let field = |at: usize| time[at..at + 2].parse::<i64>().unwrap();
    assert!(time.starts_with("2026-01-") && time.ends_with('Z') && time.len() == 20);
    1_767_225_600 + (((field(8) - 1) * 24 + field(11)) * 60 + field(14)) * 60 + field(17)
}

fn vectors() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/14-filters.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut vectors: Vec<(String, Vec<String>)> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.strip_prefix("# ") {
            _ if line.starts_with("```") => is_inside = line == "```filter",
            Some(filter) if is_inside => vectors.push((filter.to_owned(), Vec::new())),
            _ if is_inside => vectors.last_mut().unwrap().1.push(line.to_owned()),
            _ => {}
        }
    }
    vectors
}

/// NC-FLT-001, NC-FLT-002, NC-FLT-003, NC-FLT-004, NC-FLT-005, NC-FLT-006, NC-FLT-007, NC-FLT-009, NC-FLT-010, NC-FLT-011,
/// NC-FLT-012, NC-FLT-013, NC-FLT-014, NC-FLT-015, NC-FLT-016, NC-FLT-017, NC-FLT-018, NC-FLT-025, NC-FLT-026
#[test]
fn every_vector_of_the_page_answers_as_it_says() {
    let mut answers = 0;
    for (text, lines) in vectors() {
        assert!(!lines.is_empty(), "{text} has no vectors");
        for line in lines {
            answers += 1;
            let (answer, rest) = line.split_once(' ').unwrap();
            if answer == "bad" {
                let error = Filter::parse(&text).unwrap_err();
                assert_eq!(format!("{}:{}", error.line, error.column), rest, "{text}: {error}");
                continue;
            }
            let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(filter.text(), text);
            let Case { record, offset, time } = case(rest);
            let record = record.as_record();
            let view = View {
                offset: Offset(offset),
                timestamp: Timestamp(time),
                key: record.key,
                headers: record.headers,
                payload: record.payload,
            };
            let passes = filter.matches(&view).unwrap();
            assert_eq!(if passes { "yes" } else { "no" }, answer, "{text}: {rest}");
            let opposite = Filter::parse(&format!("not ({text})")).unwrap();
            assert_eq!(opposite.matches(&view), Ok(!passes), "NC-FLT-008: {text}: {rest}");
        }
    }
    assert!(answers > 120, "only {answers} vectors were found");
}

/// NC-FLT-025, NC-FLT-026: lines and columns are counted as people count them.
#[test]
fn a_fault_has_its_line_and_its_column() {
    let error = Filter::parse("key == 'a' and\n kee == 'b'").unwrap_err();
    assert_eq!((error.at, error.line, error.column), (16, 2, 2));
    let error = Filter::parse("key == 'ééé' xor").unwrap_err();
    assert_eq!((error.at, error.line, error.column), (16, 1, 14));
    assert_eq!(error.to_string(), "line 1, column 14: expected 'and', 'or' or the end");
    let error = Filter::from_bytes(b"key == '\xff'").unwrap_err();
    assert_eq!((error.at, error.problem), (8, FilterProblem::NotText));
    let error = Filter::parse(&format!("key == '{}'", "é".repeat(MAX_FILTER))).unwrap_err();
    assert_eq!((error.at, error.problem), (MAX_FILTER, FilterProblem::TooLong));
}
