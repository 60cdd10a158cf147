//! A million random filters and records, judged twice.

use netchan_proto::filter::{Filter, View};
use netchan_proto::{AsRecord, NewRecord, Offset, Timestamp};

use crate::any::{Dice, sample, tree, tree_text};
use crate::naive::{Sample, passes};

/// Filters, and records for each.
const FILTERS: usize = 25_000;
const RECORDS: usize = 40;

fn encode(sample: &Sample) -> NewRecord {
    let mut record = NewRecord::new(sample.payload.clone());
    if let Some(key) = &sample.key {
        record = record.key(key.clone());
    }
    sample.headers.iter().fold(record, |record, (name, value)| record.header(name, value))
}

/// NC-FLT-008, NC-FLT-010, NC-FLT-011, NC-FLT-012, NC-FLT-013, NC-FLT-017
#[test]
fn a_million_filters_and_records_are_judged_as_plainly_written() {
    let mut dice = Dice(14);
    let mut passed = 0;
    let samples: Vec<_> = (0..5000)
        .map(|_| {
            let sample = sample(&mut dice);
            let record = encode(&sample);
            (sample, record)
        })
        .collect();
    for _ in 0..FILTERS {
        let tree = tree(&mut dice, 3);
        let text = tree_text(&mut dice, &tree);
        let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        for _ in 0..RECORDS {
            let (sample, record) = &samples[dice.below(samples.len())];
            let record = record.as_record();
            let view = View {
                offset: Offset(sample.offset),
                timestamp: Timestamp(sample.time),
                key: record.key,
                headers: record.headers,
                payload: record.payload,
            };
            let expected = passes(&tree, sample);
            let found = filter.matches(&view);
            assert_eq!(
                found,
                Ok(expected),
                "{text}\n{sample:?}\n{}",
                String::from_utf8_lossy(&sample.payload)
            );
            passed += usize::from(expected);
        }
    }
    let all = FILTERS * RECORDS;
    assert!((all / 10..all * 9 / 10).contains(&passed), "{passed} of {all} passed: the world is too poor");
}
