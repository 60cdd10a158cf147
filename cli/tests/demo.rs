//! The demo, as a pipe sees it.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use shell::Place;

#[test]
fn the_demo_kills_and_proves() {
    let place = Place::new();
    let done = place.run("demo").well();
    let text = String::from_utf8(done.out).unwrap();
    assert!(!text.contains('\x1b'), "plain lines in a pipe");
    assert!(text.contains("Nothing lost, nothing doubled, nothing out of order."), "{text}");
    assert_eq!(text.matches("(SIGKILL)").count(), 10, "{text}");
    assert!(done.err.is_empty(), "{}", done.err);
}
