//! What transforms make of bytes, held to the page of the spec and to nothing else that they wrote themselves.
#![allow(clippy::unwrap_used)] // a panic is a failed test

use std::collections::BTreeSet;

use netchan_node::typed::{Beside, Encryption, EncryptionKey, Lz4, Transform};
use netchan_proto::limits::MAX_PAYLOAD;
use netchan_proto::{AsRecord, ChannelName, NewRecord};

fn key(first: u8) -> EncryptionKey {
    EncryptionKey::new(std::array::from_fn(|at| first + at as u8))
}

fn demo() -> ChannelName {
    ChannelName::new("demo").unwrap()
}

/// The examples of the page: name, what undoes it, beside what, what comes of it, and the bytes.
fn examples() -> Vec<[String; 3]> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/16-values.md")).unwrap();
    let block = page.split("```value\n").nth(1).unwrap().split("```").next().unwrap();
    let mut examples: Vec<[String; 3]> = Vec::new();
    for line in block.lines() {
        if let Some(head) = line.strip_prefix("# ") {
            let (_, rest) = head.split_once(": ").unwrap();
            let (chain, form) = rest.split_once(": ").unwrap();
            examples.push([chain.to_owned(), form.to_owned(), String::new()]);
        } else {
            examples.last_mut().unwrap()[2].push_str(&line.split('#').next().unwrap().replace(' ', ""));
        }
    }
    examples
}

// NC-VAL-008, NC-VAL-009, NC-VAL-010, NC-VAL-012
#[test]
fn every_example_comes_to_what_it_says() {
    let examples = examples();
    assert!(examples.len() >= 9);
    for [chain, form, hex] in examples {
        let (names, beside) = chain.split_once(" beside ").unwrap_or((&chain, ""));
        let record = match beside.split_once(' ') {
            Some((key, header)) => {
                let (name, value) = header.split_once('=').unwrap();
                NewRecord::new("").key(key.to_owned()).header(name, value)
            }
            None => NewRecord::new(""),
        };
        let (channel, record) = (demo(), record.as_record());
        let beside = Beside::of(&channel, record);
        let (lz4, sealed) = (Lz4, Encryption::new(&key(0)));
        let known: [&dyn Transform; 2] = [&lz4, &sealed];
        let digits: Vec<u8> = hex.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
        let mut bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let undone = names.rsplit('+').try_for_each(|name| {
            known.iter().find(|transform| transform.name() == name).unwrap().undo(&beside, &mut bytes)
        });
        let said = match undone {
            Ok(()) => format!("{:?}", String::from_utf8(bytes).unwrap()),
            Err(error) => format!("refused, {error}"),
        };
        assert_eq!(said, form, "{chain}");
    }
}

fn undone(transform: &dyn Transform, beside: &Beside<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    transform.undo(beside, &mut bytes).ok().map(|()| bytes)
}

// NC-VAL-010, NC-VAL-012
#[test]
fn whatever_is_changed_does_not_open() {
    let (channel, other) = (demo(), ChannelName::new("Demo").unwrap());
    let record = NewRecord::new("").key("k").header("name", "value");
    let beside = Beside::of(&channel, record.as_record());
    let sealer = Encryption::new(&key(0));
    let mut sealed = b"attack at dawn".to_vec();
    sealer.apply(&beside, &mut sealed).unwrap();
    assert_eq!(sealed.len(), 14 + 16 + 24);
    let opener = Encryption::new(&key(0));
    assert_eq!(undone(&opener, &beside, &sealed).unwrap(), b"attack at dawn");
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(undone(&opener, &beside, &bad), None, "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert_eq!(undone(&opener, &beside, &sealed[..len]), None, "cut to {len}");
    }
    assert_eq!(undone(&Encryption::new(&key(1)), &beside, &sealed), None);
    let elsewhere = [
        (&other, NewRecord::new("").key("k").header("name", "value")),
        (&channel, NewRecord::new("").header("name", "value")),
        (&channel, NewRecord::new("").key("").header("name", "value")),
        (&channel, NewRecord::new("").key("k")),
        (&channel, NewRecord::new("").key("k").header("name", "other")),
    ];
    for (channel, record) in elsewhere {
        assert_eq!(undone(&opener, &Beside::of(channel, record.as_record()), &sealed), None, "{record:?}");
    }
}

// NC-VAL-011
#[test]
fn no_two_values_have_the_same_nonce() {
    let channel = demo();
    let plain = NewRecord::default();
    let beside = Beside::of(&channel, plain.as_record());
    let sealers: Vec<_> = (0..20).map(|_| Encryption::new(&key(0))).collect();
    let mut nonces = BTreeSet::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = sealers
            .iter()
            .chain(&sealers) // two threads each
            .map(|sealer| {
                scope.spawn(|| {
                    let sealed = (0..100).map(|_| {
                        let mut bytes = b"the same".to_vec();
                        sealer.apply(&beside, &mut bytes).unwrap();
                        bytes.split_off(8 + 16)
                    });
                    sealed.collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in threads {
            nonces.extend(thread.join().unwrap());
        }
    });
    assert_eq!(nonces.len(), 20 * 2 * 100);
    let counts: BTreeSet<_> = nonces.iter().map(|nonce| nonce[16..].to_vec()).collect();
    assert_eq!(counts.len(), 200, "each counts from 0");
}

// NC-VAL-009
#[test]
fn the_largest_value_comes_back_and_a_larger_one_is_refused() {
    let channel = demo();
    let plain = NewRecord::default();
    let beside = Beside::of(&channel, plain.as_record());
    for (len, holds) in [(MAX_PAYLOAD, true), (MAX_PAYLOAD + 1, false)] {
        let mut bytes = vec![7; len];
        Lz4.apply(&beside, &mut bytes).unwrap();
        assert!(bytes.len() < len / 200);
        assert_eq!(Lz4.undo(&beside, &mut bytes).is_ok(), holds, "{len}");
    }
}
