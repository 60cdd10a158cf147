//! Batches that are compressed: the same bytes on the disk and on the wire, and what becomes of those that cannot be read.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // a panic is a failed test

mod far;
mod house;

use far::{Far, Got, Wire, node};
use house::{House, Link, name};
use netchan_node::{ErrorKind, ReceiverCore, ReceiverOptions};
use netchan_proto::batch::{BatchBuilder, BatchHeader, HEADER_LEN, Stamp};
use netchan_proto::conn::Event;
use netchan_proto::crc::crc32c;
use netchan_proto::inflow::Inflow;
use netchan_proto::wire::{GapReason, Open};
use netchan_proto::{AsRecord, Compression, Epoch, ErrorCode, Offset, ProducerId, Start, Timestamp};
use netchan_store::LogOptions;

/// NC-BAT-028
#[test]
fn a_batch_is_compressed_once_and_its_bytes_are_those_of_the_disk() {
    let house = House::new();
    let log = house.log_with("my_log", LogOptions { compression: Compression::Lz4, ..LogOptions::default() });
    let records: Vec<String> =
        (0..500).map(|number| format!("record {number} {}", "x".repeat(100))).collect();
    for record in &records {
        log.append(&record.as_record()).unwrap();
    }
    house.commit();
    log.append(&"short".as_record()).unwrap(); // gets no shorter
    house.commit();
    let path = format!("channels/{}/{:020}.log", log.id(), 0);
    let on_disk = house.disk.contents(&path).unwrap();

    let mut link = Link::new(&house);
    let open =
        Open { name: name("my_log"), start: Start::Earliest, wait: false, credit: 1 << 20, filter: None };
    link.peer.open(&open).unwrap();
    link.pump();
    let mut on_wire = Vec::new();
    let mut inflow = Inflow::new(log.id().0);
    for event in &link.events {
        if let Event::Data(_, range) = event {
            on_wire.extend_from_slice(range);
            inflow.push(range.clone());
        }
    }
    assert_eq!(on_wire, on_disk[4096..4096 + on_wire.len()]);
    assert!(on_wire.len() < 8000, "{} bytes for 60,000", on_wire.len());
    let (mut read, mut compressed) = (Vec::new(), Vec::new());
    while let Some(batch) = inflow.next_batch().unwrap() {
        compressed.push(batch.header().compression);
        read.extend(batch.records().map(|record| record.unwrap().payload));
    }
    assert_eq!(compressed, [Compression::Lz4, Compression::None]);
    assert_eq!(read[..500], records);
    // A time within a compressed batch is found, too.
    let time = log.info().first_time.plus_nanos(7);
    let from = log.resolve(&Start::Time(time)).unwrap().start;
    assert!(Offset(0) < from && from < Offset(500), "{from}");
}

/// NC-BAT-029
#[test]
fn what_a_publisher_compressed_is_refused() {
    let house = House::new();
    let mut link = Link::new(&house);
    let id = link.publish_open("my_log", 1);
    let mut builder = BatchBuilder::new(Offset(0), None);
    builder.push(Timestamp(0), &vec![0; 1000].as_record());
    let seed = ProducerId([1; 16]);
    let stamp = Stamp { seed: &seed.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    let (header, bytes) = builder.finish_as(stamp, Compression::Lz4);
    assert_eq!(header.compression, Compression::Lz4);
    link.offer(id, bytes);
    assert_eq!(link.stream_error(id).unwrap().code, ErrorCode::MALFORMED);
    assert_eq!(house.log("my_log").queued(), Offset(0));
}

fn receives(far: &mut Far) -> Vec<Got> {
    let options = ReceiverOptions { start: Start::Earliest, ..ReceiverOptions::new(name("my_log")) };
    Wire::new().run(&mut ReceiverCore::new(&node(), options), far)
}

/// Batches of three records each, the first with this body instead of its own; its checksums hold.
fn with_first(compression: Compression, body: &[u8]) -> Far {
    let mut far = Far::with_batches(&[3, 3]);
    let body_len = body.len() as u32;
    let header = BatchHeader { compression, body_len, body_crc: crc32c(body), ..far.batches[0].header };
    let mut bytes = [&header.encode(&far.log.0), body].concat();
    bytes.resize(HEADER_LEN + body.len().next_multiple_of(8), 0);
    (far.batches[0].header, far.batches[0].bytes) = (header, bytes.into());
    far
}

fn later_records() -> Vec<Got> {
    (3..6u64).map(|offset| Got::Record(offset, offset.to_string())).collect()
}

/// NC-BAT-030
#[test]
fn a_bomb_is_told_as_a_gap_and_reading_goes_on() {
    let mut block = Vec::new();
    assert!(Compression::Lz4.compress(&vec![0; 1 << 20], &mut block));
    for claim in [u32::MAX, 17 << 20, 16_908_353, 100] {
        let body = [&claim.to_le_bytes(), &block[..]].concat();
        let got = receives(&mut with_first(Compression::Lz4, &body));
        let gap = ErrorKind::Gap { from: Offset(0), to: Offset(3), why: GapReason::Damaged };
        assert_eq!(got, [vec![Got::Error(gap)], later_records()].concat(), "{claim}");
    }
}

/// NC-BAT-031
#[test]
fn a_codec_that_the_program_was_made_without_ends_the_receiver_and_says_so() {
    let got = receives(&mut with_first(Compression::Zstd, &[100, 0, 0, 0, 1, 2, 3, 4]));
    if Compression::Zstd.is_known() {
        let gap = ErrorKind::Gap { from: Offset(0), to: Offset(3), why: GapReason::Damaged };
        assert_eq!(got, [vec![Got::Error(gap)], later_records()].concat());
    } else {
        assert_eq!(got, [Got::Error(ErrorKind::Config), Got::Over]);
    }
}
