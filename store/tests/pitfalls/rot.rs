//! Bytes that are not what was written there.

use netchan_proto::batch::{BatchHeader, HEADER_LEN};
use netchan_proto::{Durability, Offset, Timestamp};
use netchan_store::LogOptions;
use netchan_store::disk::SimDisk;

use super::rig::*;
use super::{batches_at, files, filled, lost, numbered, reopened};

// 9
#[test]
fn a_page_or_sector_of_zeros_anywhere_is_told_and_never_read_as_a_record() {
    let sent = numbered(60, 300);
    let good = SimDisk::new(1);
    let (store, log) = filled(&good, &sent);
    store.close();
    for len in [512, 4096] {
        for (path, bytes) in files(&good, &log, ".log") {
            for at in (0..bytes.len()).step_by(len) {
                let mut bad = bytes.clone();
                let end = (at + len).min(bytes.len());
                bad[at..end].fill(0);
                let disk = good.fork(0);
                disk.overwrite(&path, bad.clone());
                let (_store, log) = reopened(&disk);
                assert_eq!((log.first(), log.visible()), (Offset(0), Offset(60)), "{path} at {at}");
                assert!(lost(&log, &sent) <= len as u64 / 300 + 2, "{path} at {at}");
                assert!(disk.contents(&path).unwrap().starts_with(&bad), "{path} at {at}");
            }
        }
    }
}

// 11
#[test]
fn a_page_that_is_missing_in_what_was_not_synced_makes_a_torn_tail_and_no_damage() {
    let good = SimDisk::new(1);
    let store = open(&good);
    let kept = LogOptions { segment_bytes: 1 << 20, ..small(Durability::Os) };
    let log = store.create_or_open(&name("a"), &kept).unwrap();
    let sent = numbered(40, 900);
    for (n, text) in sent.iter().enumerate() {
        append(&log, text);
        if n == 9 {
            log.sync().unwrap();
        }
        store.run_commits(Timestamp(0)); // nothing rests, nothing more is synced
    }
    assert_eq!((log.durable(), log.written()), (Offset(10), Offset(40)));
    let path = segment(&log, 0);
    let bytes = good.contents(&path).unwrap();
    let begins = batches_at(&bytes, &log)[10];
    for at in (begins.next_multiple_of(512)..bytes.len()).step_by(512) {
        let mut bad = bytes.clone();
        let end = (at + 512).min(bytes.len());
        bad[at..end].fill(0);
        let disk = good.fork(0);
        disk.kill();
        disk.overwrite(&path, bad.clone());
        let (_store, log) = reopened(&disk);
        let found = texts(&log); // without a hole
        assert!(found.len() >= 10 && found == sent[..found.len()], "{at}");
        let aside: Vec<u8> = files(&disk, &log, ".bad").into_iter().flat_map(|(_, bytes)| bytes).collect();
        let now = disk.contents(&path).unwrap();
        let zeros = vec![0; bad.len().saturating_sub(now.len() + aside.len())];
        assert!([&now[..], &aside, &zeros].concat().starts_with(&bad), "{at}: bytes are nowhere");
        assert_eq!(append(&log, "on").0, found.len() as u64);
        log.sync().unwrap();
    }
}

// 25
#[test]
fn a_newest_segment_that_is_torn_at_its_first_batch_opens_again_and_again() {
    let good = SimDisk::new(1);
    let sent = numbered(12, 900);
    let (store, log) = filled(&good, &sent);
    let (path, bytes) = files(&good, &log, ".log").pop().unwrap();
    let first = batches_at(&bytes, &log)[0];
    let base: u64 = path.rsplit('/').next().unwrap()[..20].parse().unwrap();
    drop(store);
    for at in [0, 4, 30, 64, 70] {
        for is_cut in [false, true] {
            let disk = good.fork(0);
            disk.kill();
            let mut bad = bytes.clone();
            bad[first + at] ^= 0x40;
            if is_cut {
                bad.truncate(first + at);
            }
            disk.overwrite(&path, bad);
            for round in 0..4 {
                let (store, log) = reopened(&disk);
                // Where later batches vouch for the first one it is told; where it was cut off nothing does.
                let (records, holes) = read_from(&log, Offset(0), 1 << 20);
                assert!(
                    holes.is_empty() || !is_cut && holes == [(Offset(base), Offset(base + 1))],
                    "{holes:?}"
                );
                append(&log, &format!("round {round}"));
                log.sync().unwrap();
                let rounds = records.iter().filter(|record| record.payload.starts_with(b"round"));
                assert_eq!(rounds.count(), round);
                drop((store, log));
                disk.crash();
            }
        }
    }
}

// 26
#[test]
fn a_length_that_is_garbage_is_told_and_nothing_is_read_beyond_the_file() {
    let good = SimDisk::new(1);
    let sent = numbered(12, 900);
    let (store, log) = filled(&good, &sent);
    store.close();
    for (path, bytes) in files(&good, &log, ".log") {
        for at in batches_at(&bytes, &log) {
            for len in [u32::MAX, 1 << 30, (4 << 20) - 1, 0, 1] {
                let disk = good.fork(0);
                let mut bad = bytes.clone();
                // With a checksum that holds: as far as the header goes, it is believed.
                let mut header = BatchHeader::decode(bad[at..].first_chunk().unwrap(), &log.id().0).unwrap();
                header.body_len = len;
                bad[at..at + HEADER_LEN].copy_from_slice(&header.encode(&log.id().0));
                disk.overwrite(&path, bad);
                let before = disk.bytes_read();
                let (_store, log) = reopened(&disk);
                assert!(lost(&log, &sent) > 0, "{path} at {at}, length {len}");
                assert_eq!(log.visible(), Offset(12));
                assert!(disk.bytes_read() - before < 4 << 20);
            }
        }
    }
}

// 27
#[test]
fn a_batch_of_another_log_segment_or_place_is_not_taken_for_the_one_that_was_there() {
    let good = SimDisk::new(1);
    let sent = numbered(24, 900); // all of one length, but for their numbers
    let (store, log) = filled(&good, &sent);
    let other = store.create_or_open(&name("b"), &small(Durability::Sync)).unwrap();
    for text in &sent {
        append(&other, text);
        commit(&store);
    }
    store.close();
    let mut sources: Vec<Vec<u8>> = Vec::new();
    for log in [&log, &other] {
        for (_, bytes) in files(&good, log, ".log") {
            let at = batches_at(&bytes, log);
            sources.extend(at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()));
        }
    }
    assert!(sources.len() > 20);
    for (path, bytes) in files(&good, &log, ".log") {
        for at in batches_at(&bytes, &log) {
            for source in sources.iter().filter(|source| !bytes[at..].starts_with(source)) {
                let disk = good.fork(0);
                let mut bad = bytes.clone();
                let end = (at + source.len()).min(bad.len());
                bad[at..end].copy_from_slice(&source[..end - at]);
                disk.overwrite(&path, bad);
                let (_store, log) = reopened(&disk);
                assert_eq!((log.first(), log.visible()), (Offset(0), Offset(24)));
                assert!((1..=3).contains(&lost(&log, &sent)), "{path} at {at}");
            }
        }
    }
}

// 28
#[test]
fn whole_durable_batches_that_are_cut_off_are_told() {
    let good = SimDisk::new(1);
    let sent = numbered(24, 900);
    let (store, log) = filled(&good, &sent);
    store.close();
    for (path, bytes) in files(&good, &log, ".log") {
        let at = batches_at(&bytes, &log);
        for (keep, end) in at.iter().enumerate() {
            let disk = good.fork(0);
            disk.overwrite(&path, bytes[..*end].to_vec());
            let (_store, log) = reopened(&disk);
            assert_eq!(log.visible(), Offset(24), "{path} cut to {keep} batches");
            assert_eq!(lost(&log, &sent), (at.len() - keep) as u64, "{path} cut to {keep} batches");
        }
    }
}
