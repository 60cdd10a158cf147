//! `netchan recv --filter`, and what it says of a text that is none.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use shell::Place;

fn some() -> Place {
    let place = Place::new();
    let lines: String = (0..300)
        .map(|n| {
            let level = if n % 50 == 7 { "error" } else { "info" };
            format!("{{\"key\": \"user.{}\", \"payload\": \"{{\\\"level\\\": \\\"{level}\\\", \\\"n\\\": {n}}}\"}}\n", n % 3)
        })
        .collect();
    place.feed("send app --json", lines.as_bytes()).well();
    place
}

#[test]
fn only_what_passes_is_written() {
    let place = some();
    for (filter, expected) in [
        ("json.level == 'error'", "7 57 107 157 207 257"),
        ("key == 'user.2' and json.n < 10", "2 5 8"),
        ("json.n in (299, 3) or offset == 4", "3 4 299"),
        ("not key exists", ""),
    ] {
        let running = place.with("recv app --from earliest --no-follow --format %o --filter", filter);
        assert_eq!(running.end().well().lines().join(" "), expected, "{filter}");
    }
    let running =
        place.with("recv app --from earliest --count 2 --format %o --filter", "value *= '\"error\"'");
    assert_eq!(running.end().well().lines(), ["7", "57"]);
}

#[test]
fn a_position_goes_on_under_a_filter() {
    let place = some();
    let words = "recv app --from earliest --no-follow --position at --format %o --filter";
    assert_eq!(place.with(words, "json.level == 'error'").end().well().lines().len(), 6);
    assert_eq!(place.with(words, "json.level == 'error'").end().well().lines().len(), 0);
    place.feed("send app", b"{\"level\": \"error\"}\n").well();
    assert_eq!(place.with(words, "json.level == 'error'").end().well().lines(), ["300"]);
}

#[test]
fn a_text_that_is_no_filter_is_shown_with_the_place_where_it_goes_wrong() {
    let place = Place::new();
    for (filter, told) in [
        (
            "key = 'a'",
            "line 1, column 5: expected an operator (== != < <= > >= ^= $= *= ~ in exists)\n\n  key = 'a'\n      ^",
        ),
        (
            "key == 'é日' und",
            "line 1, column 13: expected 'and', 'or' or the end\n\n  key == 'é日' und\n               ^",
        ),
        ("key exists\n  and jsn.a == 1", "line 2, column 7: expected a field"),
        ("", "line 1, column 1: expected a field"),
    ] {
        let done = place.with("recv app --filter", filter).end().code(2);
        assert!(done.err.contains(told), "{filter}:\n{}", done.err);
    }
}
