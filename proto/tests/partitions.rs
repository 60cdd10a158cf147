//! Partitions: the vectors of the page, held against the implementation and against an evaluator that is written as the page says
//! it; and how evenly keys spread.

#![allow(clippy::unwrap_used)]

use netchan_proto::limits::{MAX_KEY, MAX_PARTITIONS};
use netchan_proto::partition::key_hash;
use netchan_proto::{ErrorCode, Partitions};
use proptest::prelude::*;

/// The page's pseudocode, line by line.
mod naive {
    use std::num::Wrapping as W;

    const A: W<u64> = W(0x9E37_79B1_85EB_CA87);
    const B: W<u64> = W(0xC2B2_AE3D_27D4_EB4F);
    const C: W<u64> = W(0x1656_67B1_9E37_79F9);
    const D: W<u64> = W(0x85EB_CA77_C2B2_AE63);
    const E: W<u64> = W(0x27D4_EB2F_1656_67C5);

    fn rotl(word: W<u64>, bits: u32) -> W<u64> {
        W(word.0.rotate_left(bits))
    }

    fn round(acc: W<u64>, lane: W<u64>) -> W<u64> {
        rotl(acc + lane * B, 31) * A
    }

    pub(super) fn hash(key: &[u8]) -> u64 {
        let number = |at: usize, len: usize| {
            W(key[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let (len, mut i) = (key.len(), 0);
        let mut h = E;
        if len >= 32 {
            let mut v = [A + B, B, W(0), W(0) - A];
            while i + 32 <= len {
                for (j, acc) in v.iter_mut().enumerate() {
                    *acc = round(*acc, number(i + 8 * j, 8));
                }
                i += 32;
            }
            h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
            for acc in v {
                h = (h ^ round(W(0), acc)) * A + D;
            }
        }
        h += W(len as u64);
        while i + 8 <= len {
            h = rotl(h ^ round(W(0), number(i, 8)), 27) * A + D;
            i += 8;
        }
        if i + 4 <= len {
            h = rotl(h ^ (number(i, 4) * A), 23) * B + C;
            i += 4;
        }
        while i < len {
            h = rotl(h ^ (number(i, 1) * E), 11) * A;
            i += 1;
        }
        h = (h ^ (h >> 33)) * B;
        h = (h ^ (h >> 29)) * C;
        (h ^ (h >> 32)).0
    }

    /// The first of n equal parts of all hashes in which this one is, found without multiplying past 64 bits: by long division.
    pub(super) fn partition(hash: u64, count: u16) -> u16 {
        let (high, low) = (hash >> 32, hash & 0xffff_ffff);
        let (count, carried) = (u64::from(count), (low * u64::from(count)) >> 32);
        u16::try_from((high * count + carried) >> 32).unwrap()
    }
}

struct Vector {
    key: Vec<u8>,
    hash: u64,
    partitions: [u16; 5],
}

const COUNTS: [u16; 5] = [1, 2, 3, 16, 1000];

fn vectors() -> Vec<Vector> {
    let page = include_str!("../../spec/20-partitions.md");
    let block = page.split("```vectors\n").nth(1).unwrap().split("```").next().unwrap();
    let key = |text: &str| match text.strip_suffix('*') {
        _ if text == "-" => Vec::new(),
        Some(len) => (0..len.parse::<usize>().unwrap()).map(|at| (at % 251) as u8).collect(),
        None => {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        }
    };
    block
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(' ').collect();
            let [text, hash, partitions @ ..] = &cells[..] else { panic!("{line}") };
            assert_eq!(partitions.len(), COUNTS.len(), "{line}");
            Vector {
                key: key(text),
                hash: u64::from_str_radix(hash, 16).unwrap(),
                partitions: std::array::from_fn(|at| partitions[at].parse().unwrap()),
            }
        })
        .collect()
}

/// NC-PRT-002, NC-PRT-003
#[test]
fn the_vectors_of_the_page_hold() {
    let vectors = vectors();
    assert!(vectors.len() >= 100, "only {} vectors", vectors.len());
    for len in [0, 1, 31, 32, 33, MAX_KEY, 1 << 20] {
        assert!(vectors.iter().any(|vector| vector.key.len() == len), "no key of {len} bytes");
    }
    for Vector { key, hash, partitions } in vectors {
        let about = format!("a key of {} bytes, {:02x?}", key.len(), &key[..key.len().min(40)]);
        assert_eq!((key_hash(&key), naive::hash(&key)), (hash, hash), "{about}");
        for (count, partition) in COUNTS.into_iter().zip(partitions) {
            assert_eq!(Partitions::new(count).unwrap().of_key(&key), partition, "{about}, of {count}");
            assert_eq!(naive::partition(hash, count), partition, "{about}, of {count}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// NC-PRT-001, NC-PRT-002, NC-PRT-003
    #[test]
    fn it_chooses_what_the_naive_evaluator_does(
        key in prop::collection::vec(any::<u8>(), 0..200),
        count in 1..=MAX_PARTITIONS,
    ) {
        let partition = Partitions::new(count).unwrap().of_key(&key);
        prop_assert_eq!(key_hash(&key), naive::hash(&key));
        prop_assert_eq!(partition, naive::partition(naive::hash(&key), count));
        prop_assert!(partition < count);
    }
}

/// NC-PRT-001
#[test]
fn there_is_one_partition_at_least_and_1024_at_most() {
    assert!(Partitions::new(0).is_err() && Partitions::new(MAX_PARTITIONS + 1).is_err());
    let most = Partitions::new(MAX_PARTITIONS).unwrap();
    assert_eq!((most.get(), most.all().len(), most.after(1023), most.after(7)), (1024, 1024, 0, 8));
    assert_eq!(Partitions::new(1).unwrap().after(0), 0);
    assert!(!ErrorCode::PARTITIONED.is_retryable());
}

/// Keys as programs have them: none of 16 partitions has 5 % more or less than its share of 100,000, twenty times the spread of
/// fair dice.
#[test]
fn a_hundred_thousand_keys_spread_evenly() {
    let count = Partitions::new(16).unwrap();
    type Kind = (&'static str, fn(u32) -> Vec<u8>);
    let kinds: [Kind; 4] = [
        ("numbers in text", |number| number.to_string().into_bytes()),
        ("numbers in bytes", |number| number.to_be_bytes().to_vec()),
        ("names", |number| format!("user.{number:08}").into_bytes()),
        ("long names", |number| format!("/a/path/that/many/keys/have/in/common/{number}/x").into_bytes()),
    ];
    for (kind, key) in kinds {
        let mut found = [0u32; 16];
        (0..100_000).for_each(|number| found[usize::from(count.of_key(&key(number)))] += 1);
        let mean = 100_000 / 16;
        for (partition, found) in found.into_iter().enumerate() {
            assert!(
                found.abs_diff(mean) * 20 <= mean,
                "{kind}: partition {partition} has {found}, not {mean}"
            );
        }
    }
}
