//! Each numbered statement is cited by a test, or stands in spec/untested.md with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::pages::{pages, root};

/// Every `NC-ABC-000` in `text`.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("NC-").filter_map(|(at, _)| {
        let id = text.get(at..at + 10)?;
        let bytes = id.as_bytes();
        let well_formed = bytes[3..6].iter().all(u8::is_ascii_uppercase)
            && bytes[6] == b'-'
            && bytes[7..].iter().all(u8::is_ascii_digit);
        well_formed.then_some(id)
    })
}

/// The statements, with the page of each.
fn stated() -> BTreeMap<String, String> {
    let mut stated = BTreeMap::new();
    for page in pages() {
        for line in page.text.lines().filter(|line| line.starts_with("**[NC-")) {
            let id = ids(line).next().expect("a well-formed statement").to_owned();
            assert!(line.starts_with(&format!("**[{id}]** ")), "{}: {line}", page.name);
            if let Some(other) = stated.insert(id.clone(), page.name.clone()) {
                panic!("{id} is stated twice, in {other} and {}", page.name);
            }
        }
    }
    stated
}

/// Statements that no test cites, with their reasons; and those that lines under "cited soon" name.
fn untested() -> (BTreeMap<String, String>, BTreeSet<String>) {
    let text = fs::read_to_string(root().join("spec/untested.md")).unwrap();
    let (mut reasons, mut soon, mut is_soon) = (BTreeMap::new(), BTreeSet::new(), false);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            is_soon = heading.to_lowercase().contains("cited soon");
        } else if let Some((id, reason)) = line.strip_prefix("- ").and_then(|line| line.split_once(": ")) {
            assert!(!reason.trim().is_empty(), "{id} has no reason");
            reasons.insert(id.to_owned(), reason.to_owned());
            if is_soon {
                soon.insert(id.to_owned());
            }
        }
    }
    (reasons, soon)
}

/// The statements that tests cite, with a file of each.
fn cited() -> BTreeMap<String, String> {
    let mut cited = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let relative = path.strip_prefix(root()).unwrap();
                let text = fs::read_to_string(&path).unwrap();
                for id in ids(tests_of(relative, &text)) {
                    cited.insert(id.to_owned(), relative.display().to_string());
                }
            }
        }
    }
    cited
}

/// The part of a source file that is tests.
fn tests_of<'a>(path: &Path, text: &'a str) -> &'a str {
    let all = path.components().any(|part| {
        let part = part.as_os_str();
        ["tests", "tests.rs", "sim", "fuzz", "suite"].iter().any(|name| part == *name)
    });
    // This file speaks of statements without testing any.
    if path.ends_with("spec/statements.rs") {
        return "";
    }
    if all { text } else { text.find("#[cfg(test)]").map_or("", |at| &text[at..]) }
}

#[test]
fn every_statement_is_tested_or_says_why_not() {
    let (stated, (untested, _), cited) = (stated(), untested(), cited());
    assert!(stated.len() > 150, "only {} statements were found", stated.len());
    let missing: Vec<_> = stated
        .iter()
        .filter(|(id, _)| !cited.contains_key(*id) && !untested.contains_key(*id))
        .map(|(id, page)| format!("{id} of {page}"))
        .collect();
    assert!(missing.is_empty(), "neither tested nor in spec/untested.md: {missing:#?}");
}

#[test]
fn no_test_cites_what_is_not_stated() {
    let (stated, (untested, _), cited) = (stated(), untested(), cited());
    let unknown: Vec<_> = cited.iter().filter(|(id, _)| !stated.contains_key(*id)).collect();
    assert!(unknown.is_empty(), "cited and not stated: {unknown:#?}");
    let unknown: Vec<_> = untested.keys().filter(|id| !stated.contains_key(*id)).collect();
    assert!(unknown.is_empty(), "in spec/untested.md and not stated: {unknown:#?}");
}

#[test]
fn what_is_called_untested_is_untested() {
    let ((untested, soon), cited) = (untested(), cited());
    let wrong: Vec<_> = untested
        .keys()
        .filter(|id| !soon.contains(*id))
        .filter_map(|id| Some((id, cited.get(id)?)))
        .collect();
    assert!(wrong.is_empty(), "tested, so not to be listed in spec/untested.md: {wrong:#?}");
}
