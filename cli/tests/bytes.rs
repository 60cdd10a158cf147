//! What comes out is what went in, byte for byte.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::io::Write;

use shell::{Place, piped, real_file, same};

const LIMIT: usize = 16 << 20;

/// Through a file, and through a pipe; out by both, too.
fn comes_out(input: &[u8], cut: &str) {
    let place = Place::new();
    std::fs::write(place.path("input"), input).unwrap();
    place.run(&format!("send by_file input --seal {cut}")).well();
    place.feed(&format!("send by_pipe --seal {cut}"), input).well();
    let cut = if cut == "--whole" { "" } else { cut };
    for name in ["by_file", "by_pipe"] {
        same(&place.run(&format!("recv {name} --from earliest {cut}")).well().out, input, name);
    }
    place.run(&format!("recv by_file --from earliest --output output {cut}")).well();
    same(&std::fs::read(place.path("output")).unwrap(), input, "the output file");
}

#[test]
fn a_real_file_of_more_than_100_000_lines() {
    let place = Place::new();
    let content = real_file(&place.path("x"), 100_000);
    assert!(content.iter().filter(|&&byte| byte == b'\n').count() > 100_000);
    comes_out(&content, "");
}

#[test]
fn nothing() {
    comes_out(b"", "");
}

#[test]
fn no_newline_at_the_end() {
    comes_out(b"one\ntwo", "");
    comes_out(b"x", "");
}

#[test]
fn empty_lines() {
    comes_out(b"\n\n\na\n\n", "");
    comes_out(b"\n", "");
}

#[test]
fn bytes_that_are_no_text() {
    comes_out(b"\xff\xfe\0\r\n\x80\n", "");
}

#[test]
fn lines_of_16_mib() {
    let mut input = vec![b'x'; LIMIT];
    input.extend_from_slice(b"\nshort\n");
    input.extend(std::iter::repeat_n(b'y', LIMIT));
    comes_out(&input, "");
}

#[test]
fn binary_delimited_by_nul() {
    let mut random = shell::Random(5);
    let mut input: Vec<u8> = (0..300_000).map(|_| random.below(256) as u8).collect();
    comes_out(&input, "--null");
    input.push(0);
    comes_out(&input, "--null");
}

#[test]
fn other_delimiters_and_none() {
    comes_out(b"a--b----c-", "--delimiter --");
    comes_out(b"a\r\nb\r\n", r"--delimiter \r\n");
    comes_out(b"all\nof\nit", "--whole");
    comes_out(b"", "--whole");
}

#[test]
fn a_line_over_the_limit_is_refused_with_number_size_and_limit_and_what_came_before_is_kept() {
    let place = Place::new();
    let mut input = b"one\ntwo\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', LIMIT + 1));
    input.extend_from_slice(b"\nfour\n");
    let done = place.feed("send x", &input).code(1);
    assert!(done.err.contains("line 3 has 16777217 bytes; 16777216 is the most"), "{}", done.err);
    assert!(done.err.contains("Before that: 2 lines, durable"), "{}", done.err);
    same(&place.run("recv x --from earliest --no-follow").well().out, b"one\ntwo\n", "what came before");
}

#[test]
fn what_follows_a_line_without_end_stays_apart() {
    let place = Place::new();
    place.feed("send x", b"a\nb").well();
    place.feed("send x --seal", b"c\nd").well();
    same(&place.run("recv x --from earliest").well().out, b"a\nb\nc\nd", "two inputs");
}

#[test]
fn a_line_is_passed_on_as_it_is_written() {
    let place = Place::new();
    let receiver = place.go("recv x --from earliest");
    let (_sender, mut stdin) = piped(&place, "send x");
    let mut expected = Vec::new();
    for line in ["one\n", "two\n", "three\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        expected.extend_from_slice(line.as_bytes());
        same(&receiver.gives(expected.len()), &expected, "before the pipe is closed");
    }
}
