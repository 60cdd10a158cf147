//! Opening a data directory whose files were changed: what is served is what was appended, or an error names it.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use netchan_proto::batch::{Batch, BatchHeader};
use netchan_proto::{AsRecord, ChannelName, Offset, Timestamp};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Commit, LogError, LogOptions, Store, StoreOptions};

use crate::Operations;

const RECORDS: u64 = 40;

fn options() -> StoreOptions {
    StoreOptions { commit: Commit::Manual, seed: Some(1), ..StoreOptions::default() }
}

/// Changes of files (flipped bytes, cuts, copied ranges, rubbish), then a new life of the store.
pub fn recovery(data: &[u8]) {
    let mut input = Operations::new(data);
    let name = ChannelName::new("a").expect("a valid name");
    let disk = SimDisk::new(1);
    write_log(&disk, &name, input.byte() & 1 == 1);
    let files = files(&disk, "");
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        let path = &files[usize::from(input.byte()) % files.len()];
        let mut bytes = disk.contents(path).unwrap_or_default();
        let at = usize::from(input.word()) % (bytes.len() + 1);
        match input.byte() % 4 {
            0 => bytes.truncate(at),
            1 => {
                let value = input.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= value;
                }
            }
            2 => {
                let len = usize::from(input.byte());
                let to = usize::from(input.word()) % (bytes.len() + 1);
                let range = bytes[at..(at + len).min(bytes.len())].to_vec();
                bytes.splice(to..(to + range.len()).min(bytes.len()), range);
            }
            _ => {
                let len = usize::from(input.byte());
                let rubbish = input.bytes(len);
                let end = (at + rubbish.len()).min(bytes.len());
                bytes.splice(at..end, rubbish.iter().copied());
            }
        }
        disk.overwrite(path, bytes);
    }
    // What another life does with what it finds must hold for the next one too.
    for _ in 0..2 {
        let Ok(store) = Store::open(Arc::new(disk.clone()), options()) else { return };
        if let Ok(Some(log)) = store.open_existing(&name) {
            let mut at = log.first();
            let end = log.visible();
            assert!(at <= end);
            while at < end {
                match log.read(at, 1 << 16) {
                    Ok(run) => {
                        assert!(run.first <= at && run.next > at && run.next <= end);
                        check(run.bytes, &log.id().0, run.next);
                        at = run.next;
                    }
                    Err(LogError::Damaged { from, to, .. } | LogError::Trimmed { from, to }) => {
                        assert!(from <= at && to > at, "an error that leads nowhere");
                        at = to;
                    }
                    Err(_) => break,
                }
            }
            let _ = log.append(&payload(RECORDS).as_record());
            store.run_commits(Timestamp(1));
        }
        store.close();
    }
}

fn write_log(disk: &SimDisk, name: &ChannelName, sealed: bool) {
    let store = Store::open(Arc::new(disk.clone()), options()).expect("an empty disk can be opened");
    let made = LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() };
    let log = store.create_or_open(name, &made).expect("a log can be made");
    for number in 0..RECORDS {
        log.append(&payload(number).as_record()).expect("there is room");
        store.run_commits(Timestamp(1));
    }
    if sealed {
        log.seal().expect("it can be sealed");
    }
    store.close();
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(400, 7);
    payload
}

fn files(disk: &SimDisk, dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in disk.list(dir).unwrap_or_default() {
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        if disk.contents(&path).is_some() {
            found.push(path);
        } else {
            found.extend(files(disk, &path));
        }
    }
    found
}

/// Each record that is served whole is the one that was appended at its offset.
fn check(mut run: Bytes, seed: &[u8; 16], end: Offset) {
    while run.has_remaining() {
        let header = run.first_chunk().map(|bytes| BatchHeader::decode(bytes, seed));
        let Some(Ok(header)) = header else { panic!("a header that doesn't hold was served") };
        assert!(header.next_offset() <= end);
        let stored = run.split_to(header.stored_len());
        if let Ok(batch) = Batch::verify(stored, seed) {
            for record in batch.records().map_while(Result::ok) {
                // Where a cut file ends early, the next life's record takes the place.
                let expected = [payload(record.offset.0), payload(RECORDS)];
                assert!(
                    expected.iter().any(|one| record.payload == *one),
                    "a wrong record at {}",
                    record.offset
                );
            }
        }
    }
}
