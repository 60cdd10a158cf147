//! What is said on stderr: as much as was asked for, in colour or not, and no storms.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use shell::Place;

#[test]
fn colours_come_when_they_are_asked_for() {
    let place = Place::new();
    let fails = |words: &str| place.run(words).code(1).err;
    assert!(!fails("info nothing").contains('\x1b'), "stderr is no terminal");
    assert!(fails("info nothing --color always").contains("\x1b[1;31mnetchan: "));
    assert!(!fails("info nothing --color never").contains('\x1b'));
}

#[test]
fn a_log_filter_that_is_none_is_refused_with_what_would_be_one() {
    let place = Place::new();
    let err = place.run("ls --log loud").code(1).err;
    assert!(err.contains("the log filter \"loud\" is not understood: it wants a LEVEL"), "{err}");
    let mut command = place.netchan("ls");
    command.env("NETCHAN_LOG", "netchan_store=loud");
    let err = place.start(command).end().code(1).err;
    assert!(err.contains("netchan_store=loud"), "{err}");
}
