//! What must hold after a power cut, whatever survived it.

use netchan_proto::{AsRecord, Offset, Start};
use netchan_store::disk::SimDisk;
use netchan_store::{Log, Store};

use super::rig::{digest, name, read_from, try_open};
use super::script::{CHANNEL, KEY, Told};

/// Recovers as far as the power lasts.
pub(crate) fn recover(disk: &SimDisk, told: &Told) {
    let Ok(store) = try_open(disk) else { return };
    let Ok(Some(log)) = store.open_existing(&name(CHANNEL)) else { return };
    if log.visible() > Offset::ZERO && told.exists {
        // What it reads before the power goes again is judged when it is back.
        let _ = log.read(log.first(), 1 << 20);
    }
}

/// Recovers, and holds what is there to what was told. `twice`: and once more after yet another cut.
pub(crate) fn check(disk: &SimDisk, told: &Told, twice: bool) {
    let store = try_open(disk).unwrap();
    let state = store.state().get(KEY).map_or(0, |value| u64::from_le_bytes(value[..].try_into().unwrap()));
    assert!((told.state_done..=told.state_begun).contains(&state), "the state log has {state}");
    let Some(log) = store.open_existing(&name(CHANNEL)).unwrap() else {
        assert!(!told.exists || told.is_going, "the channel is gone");
        return;
    };
    if !told.exists {
        // Its making was under way, or what was deleted is not told of any more.
        assert!(told.is_coming, "a channel that was never made");
        assert!(!told.gone.contains(&log.id()), "what was deleted is back");
        assert_eq!(log.visible(), Offset::ZERO, "a channel of another life");
        return;
    }
    assert_eq!(Some(log.id()), told.log, "another life of the channel");
    let found = whole(&log, told);
    if twice {
        // What was read once stays, though the power goes again.
        drop((store, log));
        disk.crash();
        let store = try_open(disk).unwrap();
        let log = store.open_existing(&name(CHANNEL)).unwrap().unwrap();
        assert_eq!(whole(&log, told), found, "read, and then lost");
        goes_on(&store, &log, told);
    } else {
        goes_on(&store, &log, told);
    }
}

/// All records of the log, which must be those that were sent; says where they begin and end.
pub(crate) fn whole(log: &Log, told: &Told) -> (Offset, Offset) {
    let (first, end) = (log.first(), log.visible());
    assert!(end >= told.durable, "{end} of {} durable records", told.durable);
    assert!(end.0 <= told.sent.len() as u64, "{end} of {} records", told.sent.len());
    assert!(first == Offset::ZERO || told.trims, "begins at {first}, and nobody trimmed");
    assert!(first <= end);
    assert!(first >= told.start_done, "truncated up to {}, and begins at {first}", told.start_done);
    let (records, holes) = read_from(log, first, 1 << 20);
    assert_eq!(holes, [], "holes from {first} to {end}");
    assert_eq!(records.len() as u64, end.0 - first.0);
    for (record, offset) in records.iter().zip(first.0..) {
        assert_eq!(record.offset.0, offset);
        assert!(record.payload == told.sent[usize::try_from(offset).unwrap()], "the record at {offset}");
    }
    assert!(log.is_sealed() || !told.is_sealed, "the seal is gone");
    assert!(!log.is_sealed() || told.is_sealing, "sealed by nobody");
    if log.is_sealed() {
        if first == Offset::ZERO {
            assert_eq!(log.digest(), Some(digest(log)), "the seal's digest");
        }
        assert_eq!(end.0, told.sent.len() as u64, "sealed before its end");
    }
    (first, end)
}

/// The log takes more, and tells who had read what the power took.
fn goes_on(store: &Store, log: &Log, told: &Told) {
    let end = log.visible();
    let resumed = || told.seen.map(|seen| (seen, log.resolve(&Start::Resume(seen)).unwrap().truncated));
    let judge = || {
        if let Some((seen, truncated)) = resumed() {
            let expected = (seen.offset > end).then_some(end);
            assert_eq!(truncated.map(|at| at.end), expected, "who had read up to {seen:?}");
        }
    };
    judge();
    if log.is_sealed() {
        assert!(log.append(&"x".as_record()).is_err());
        return;
    }
    for n in 0..3 {
        assert_eq!(log.append(&format!("after {n}").as_record()).unwrap(), end.plus(n));
        log.sync().unwrap();
    }
    judge();
    store.close();
}
