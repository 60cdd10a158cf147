//! What opening finds at the end of a log, and what it believes.

use super::*;

/// The chain goes over from one segment to the next: the first batch is held to it too.
// NC-DSK-031
#[test]
fn the_first_batch_of_a_segment_is_not_taken_if_it_follows_another_history() {
    let whole = SimDisk::new(1);
    let store = open(&whole);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "the same");
    commit(&store);
    let id = log.id();
    store.close();
    let tail = |disk: &SimDisk, what: &str| {
        let store = open(disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        while log.info().segments < 2 {
            append(&log, &format!("{what} {}", "x".repeat(400)));
            commit(&store);
        }
        let newest = segment(&log, log.visible().0 - 1);
        let end = log.visible();
        disk.kill();
        let bytes = disk.contents(&newest).unwrap();
        let header = BatchHeader::decode(bytes[4096..].first_chunk().unwrap(), &id.0).unwrap();
        (newest, bytes[4096..4096 + header.stored_len()].to_vec(), end)
    };
    let (here, there) = (whole.fork(1), whole.fork(2));
    let (path, own, end) = tail(&here, "here");
    let (other, strange, _) = tail(&there, "else");
    assert_eq!((&path, own.len()), (&other, strange.len()));
    for (batch, is_taken) in [(own, true), (strange, false)] {
        let disk = here.fork(3);
        let mut bytes = disk.contents(&path).unwrap();
        bytes[4096..4096 + batch.len()].copy_from_slice(&batch);
        disk.overwrite(&path, bytes);
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(log.visible() == end, is_taken);
        assert!(texts(&log).iter().all(|text| !text.starts_with("else")));
        drop((log, store));
        // Of a log that was closed it is missed, by repair too.
        let closed = here.fork(4);
        let store = open(&closed);
        store.open_existing(&name("a")).unwrap().unwrap();
        store.close();
        let mut bytes = closed.contents(&path).unwrap();
        bytes[4096..4096 + batch.len()].copy_from_slice(&batch);
        closed.overwrite(&path, bytes);
        let mut lost = Vec::new();
        repair(&closed, &[name("a")], true, |log| lost.extend(log.lost()), |_| ()).unwrap();
        let one = (Offset(end.0 - 1), end);
        assert_eq!(lost, if is_taken { vec![] } else { vec![one] });
    }
}

/// Two batches of one group, and one of the next: only the last one says that the first two were durable.
// NC-DSK-042
#[test]
fn every_later_batch_vouches_for_what_was_durable_and_not_the_next_one_alone() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "first");
    commit(&store);
    let producer = ProducerId([1; 16]);
    append(&log, "one of a group");
    log.append_batch(&log.claim(producer), &published(producer, 0, &["the other".to_owned()])).unwrap();
    commit(&store);
    append(&log, "last");
    commit(&store);
    let path = segment(&log, 0);
    let at = {
        let run = log.read(Offset(1), 1).unwrap();
        let bytes = disk.contents(&path).unwrap();
        bytes.windows(run.bytes.len()).position(|window| window == &run.bytes[..]).unwrap()
    };
    disk.kill();
    drop((log, store));
    let mut bytes = disk.contents(&path).unwrap();
    bytes[at + 20] ^= 1;
    disk.overwrite(&path, bytes);
    // Verify and repair judge it so too.
    let lost = (Offset(1), Offset(2));
    let mut told = Vec::new();
    let tell = |log: Verified| told.extend(log.problems.iter().filter_map(|problem| problem.offsets));
    verify(&disk, &[name("a")], tell, |_| ()).unwrap();
    repair(&disk, &[name("a")], true, |log| told.extend(log.lost()), |_| ()).unwrap();
    assert_eq!(told, [lost, lost]);
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    let (records, holes) = read_from(&log, Offset(0), 1 << 20);
    let found: Vec<u64> = records.iter().map(|record| record.offset.0).collect();
    assert_eq!((found, holes), (vec![0, 2, 3], vec![(Offset(1), Offset(2))]));
}

/// What stands after the end is set aside whole, however long it is.
// NC-DSK-041
#[test]
fn a_torn_tail_of_megabytes_is_kept_aside() {
    for zeros in [0, 100, (1 << 20) - 1, 1 << 20, (5 << 20) / 2] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
        append(&log, "x");
        log.sync().unwrap();
        store.close();
        let path = segment(&log, 0);
        let good = disk.contents(&path).unwrap();
        let torn = [&[0xa5; 10][..], &vec![0; zeros], &[1, 2, 3]].concat();
        disk.overwrite(&path, [&good[..], &torn, &[0; 4096]].concat());
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(texts(&log), ["x"]);
        assert_eq!(disk.contents(&path), Some(good.clone()), "{zeros}");
        let bad = format!("channels/{}/{:020}-{}.bad", log.id(), 0, good.len());
        assert_eq!(disk.contents(&bad), Some(torn), "{zeros}");
    }
}

/// A disk that fails is no full disk: the log is not opened to wait for room.
#[test]
fn an_opening_that_meets_an_error_of_the_disk_ends_with_it() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    append(&log, "x");
    log.sync().unwrap();
    store.close();
    let path = segment(&log, 0);
    disk.overwrite(&path, [&disk.contents(&path).unwrap()[..], &[0xa5; 10]].concat());
    let mut failed = 0;
    for operation in 1.. {
        let disk = disk.fork(operation);
        let store = open(&disk);
        disk.fail_at(operation, Fault::Io);
        let opened = store.open_existing(&name("a"));
        if disk.is_to_fail() {
            assert_eq!(texts(&opened.unwrap().unwrap()), ["x"]);
            break;
        }
        assert!(matches!(opened, Err(StoreError::Io { .. })), "operation {operation}: {opened:?}");
        failed += 1;
        assert_eq!(texts(&store.open_existing(&name("a")).unwrap().unwrap()), ["x"]);
    }
    assert!(failed >= 5, "{failed}");
}

/// Where the newest head does not hold, what was before is read again from older segments.
// NC-DSK-038, NC-DSK-061
#[test]
fn a_log_whose_newest_head_is_damaged_knows_its_producers_and_what_it_comes_to_unless_records_are_lost() {
    for lost in ["nothing", "an older batch", "a batch of the newest segment"] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let options = LogOptions { segment_bytes: 16 << 10, ..small(Durability::Sync) };
        let log = store.create_or_open(&name("a"), &options).unwrap();
        let producer = ProducerId([1; 16]);
        let text = ["x".repeat(420)];
        for n in 0..36 {
            log.append_batch(&log.claim(producer), &published(producer, n, &text)).unwrap();
            commit(&store);
        }
        let whole = digest(&log);
        let place = |at: u64| {
            let run = log.read(Offset(at), 1).unwrap();
            let base = (0..=at).rev().find(|base| disk.contents(&segment(&log, *base)).is_some()).unwrap();
            let bytes = disk.contents(&segment(&log, base)).unwrap();
            (segment(&log, base), bytes.windows(run.bytes.len()).position(|it| it == &run.bytes[..]).unwrap())
        };
        let newest = (0..36).rev().find(|base| disk.contents(&segment(&log, *base)).is_some()).unwrap();
        assert!((4..34).contains(&newest), "{newest}");
        let mut bad = vec![(segment(&log, newest), 20)];
        match lost {
            "an older batch" => bad.push(place(newest - 2)),
            "a batch of the newest segment" => bad.push(place(newest + 1)),
            _ => {}
        }
        store.close();
        for (path, at) in bad {
            let mut bytes = disk.contents(&path).unwrap();
            bytes[at + 20] ^= 1;
            disk.overwrite(&path, bytes);
        }
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(log.next_sequence(producer), 36, "{lost}");
        log.seal().unwrap();
        assert_eq!(log.digest(), (lost == "nothing").then_some(whole), "{lost}");
    }
}
