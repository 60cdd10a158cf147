//! Filters: any text, and any record to judge by it.

use netchan_proto::batch::{BatchBuilder, Stamp};
use netchan_proto::filter::{Filter, View};
use netchan_proto::limits::{MAX_FILTER, MAX_FILTER_STEPS};
use netchan_proto::sift::{SiftError, sift};
use netchan_proto::{AsRecord, Epoch, NewRecord, Offset, Timestamp};

const LOG: [u8; 16] = [7; 16];

/// A filter's text, a zero byte, and what stands in all fields of a record.
pub fn filter(data: &[u8]) {
    let (text, value) = match data.iter().position(|byte| *byte == 0) {
        Some(zero) => (&data[..zero], &data[zero + 1..]),
        None => (data, &b"{}"[..]),
    };
    let filter = match Filter::from_bytes(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(error.at <= text.len() && error.at <= MAX_FILTER + 1);
            assert!(error.line >= 1 && error.column >= 1 && !error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(Filter::parse(filter.text()).as_ref(), Ok(&filter), "it is read the same again");
    let all = NewRecord::new(value.to_vec()).key(value.to_vec()).header("a", value).header("b", value);
    let plain = NewRecord::new(value.to_vec());
    let mut builder = BatchBuilder::new(Offset(3), None);
    let mut passed = Vec::new();
    for (index, record) in [&all, &plain, &all].into_iter().enumerate() {
        let (offset, timestamp) =
            (Offset(3 + index as u64), Timestamp(1_767_225_600_000_000_000 + index as i64));
        builder.push(timestamp, &record.as_record());
        let record = record.as_record();
        let view =
            View { offset, timestamp, key: record.key, headers: record.headers, payload: record.payload };
        let (answer, steps) = filter.judge(&view);
        assert!(steps <= MAX_FILTER_STEPS);
        if let Ok(opposite) = Filter::parse(&format!("not ({})", filter.text())) {
            assert_eq!(opposite.matches(&view), answer.map(|passes| !passes));
        }
        match answer {
            Ok(true) => passed.push(offset),
            Ok(false) => {}
            Err(_) => return,
        }
    }
    let stamp = Stamp { seed: &LOG, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 };
    let run = builder.finish(stamp).1;
    match sift(&filter, &run, Offset(0), &LOG, u64::MAX) {
        Ok(sifted) => {
            assert_eq!((sifted.next, sifted.is_whole), (Offset(6), passed.len() == 3));
            assert_eq!(sifted.bytes.is_empty(), passed.is_empty());
        }
        Err(SiftError::TooCostly { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
