//! Frames about how channels are kept: what is refused of them.

use netchan_proto::settings::Setting;
use netchan_proto::wire::*;
use netchan_proto::{Durability, ErrorCode, LogOptions, Offset, Retention, Settings, WhenFull};

use crate::any::{frame, read};

fn keep(settings: Settings) -> Message {
    Message::Create(Keep { name: "c".parse().unwrap(), settings })
}

/// CREATE's payload with these settings, by number.
fn said(settings: &[(u8, u64)]) -> Vec<u8> {
    let mut payload = vec![1, b'c', u8::try_from(settings.len()).unwrap()];
    for (number, value) in settings {
        payload.push(*number);
        payload.extend_from_slice(&value.to_le_bytes());
    }
    payload
}

fn refused(payload: Vec<u8>) -> (ErrorCode, bool) {
    let error = read(FrameType::CREATE, payload).unwrap_err();
    (error.code(), error.ends_stream_only())
}

/// NC-ADM-003
#[test]
fn settings_increase_and_each_has_a_value_that_it_can_have() {
    let good = keep(Settings::default().durability(Durability::Os).max_bytes(None));
    assert_eq!(read(FrameType::CREATE, said(&[(1, 2), (8, u64::MAX)])), Ok(good));
    assert_eq!(read(FrameType::CREATE, said(&[])), Ok(keep(Settings::default())));
    for bad in [
        &[(8, 1), (1, 2)][..],
        &[(8, 1), (8, 1)],
        &[(0, 1)],
        &[(1, 3)],
        &[(4, 3)],
        &[(5, 2)],
        &[(6, 1025)],
        &[(6, 1 << 16)],
        &[(15, 3)],
        &[(1, u64::MAX)],
    ] {
        assert_eq!(refused(said(bad)), (ErrorCode::MALFORMED, false), "{bad:?}");
    }
    let many: Vec<(u8, u64)> = (100..165).map(|number| (number, 0)).collect();
    assert_eq!(refused(said(&many)), (ErrorCode::MALFORMED, false), "65 of them");
    assert_eq!(refused(said(&many[1..])), (ErrorCode::UNKNOWN_CRITICAL, true), "64 that are not known");
}

/// NC-ADM-004
#[test]
fn a_setting_that_is_not_known_is_refused_where_it_is_asked_for_and_skipped_where_it_is_told() {
    for kind in [FrameType::CREATE, FrameType::CHANGE] {
        let error = read(kind, said(&[(1, 0), (16, 1)])).unwrap_err();
        assert_eq!((error.code(), error.ends_stream_only()), (ErrorCode::UNKNOWN_CRITICAL, true));
    }
    let settings = Settings::default().max_records(Some(1));
    let (log, start) = (netchan_proto::LogId([1; 16]), Offset(3));
    let name = "c".parse().unwrap();
    let told = Message::Description(Description { name, log, start, digest: None, content: None, settings });
    let mut payload = frame(&told).1.to_vec();
    let count = payload.len() - 10;
    assert_eq!(payload[count], 1);
    payload[count] = 2;
    payload.extend_from_slice(&[200, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(read(FrameType::DESCRIPTION, payload), Ok(told));
}

/// NC-ADM-012
#[test]
fn what_goes_is_before_an_offset_or_a_time() {
    let payload = |kind: u8, value: u64| [&[kind][..], &value.to_le_bytes(), &[1, b'c']].concat();
    assert!(read(FrameType::TRUNCATE, payload(0, 0)).is_ok());
    assert!(read(FrameType::TRUNCATE, payload(1, u64::MAX)).is_ok(), "a time of long ago");
    for bad in [payload(0, u64::MAX), payload(2, 0)] {
        assert_eq!(read(FrameType::TRUNCATE, bad).unwrap_err().code(), ErrorCode::MALFORMED);
    }
}

/// NC-ADM-015: what is kept is told whole, and what is told is kept.
#[test]
fn all_settings_of_a_log_are_settings_and_the_other_way_round() {
    let options = LogOptions {
        durability: Durability::Interval,
        segment_bytes: 1 << 20,
        unsealable: true,
        partitions: std::num::NonZeroU16::new(9),
        retention: Retention {
            max_age: Some(std::time::Duration::from_secs(1)),
            max_bytes: Some(2),
            max_records: Some(3),
            min_free: Some(4),
            keep_bytes: Some(5),
            keep_records: Some(6),
            ceiling: Some(7),
            hold_cursors: Some(8),
            when_full: WhenFull::Block,
        },
        ..LogOptions::default()
    };
    let settings = Settings::from(&options);
    assert_eq!(settings.iter().count(), Setting::ALL.len());
    assert_eq!(settings.over(&LogOptions::default()), options);
    assert!(settings.are_of(&options) && !settings.are_of(&LogOptions::default()));
    let retention = Settings::default().retention(options.retention);
    let changed = LogOptions { retention: options.retention, ..LogOptions::default() };
    assert_eq!(retention.over(&LogOptions::default()), changed);
    assert!(retention.iter().all(|(setting, _)| setting.may_change()));
    let numbers: Vec<u8> = Setting::ALL.iter().map(|setting| setting.number()).collect();
    assert_eq!(numbers, (1..=15).collect::<Vec<u8>>());
}
