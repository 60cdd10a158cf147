//! The next life of a store whose process was killed: nothing that it had written is gone, but none of it need be on disk
//! either. What it finds it may show and build upon, so it must see to it that all of it lasts.

use netchan_proto::{AsRecord, Offset};
use netchan_store::disk::SimDisk;
use netchan_store::{Log, Store};

use super::rig::{name, small, try_open};
use super::script::{CHANNEL, KEY, Script, Told};

/// Opens the store, reads, appends and syncs, as far as the power lasts, and says what is told by then.
pub(crate) fn live(disk: &SimDisk, script: &Script, mut told: Told) -> Told {
    let mut done = try_live(disk, script, &mut told);
    // A writeback that failed before the kill, and that nobody was told of, is told to who opens the file next: one error
    // for the state log, one for the channel.
    for _ in 0..2 {
        if done.is_none() && disk.is_on() {
            done = try_live(disk, script, &mut told);
        }
    }
    assert!(done.is_some() || !disk.is_on(), "the life after a kill failed under power");
    told
}

fn try_live(disk: &SimDisk, script: &Script, told: &mut Told) -> Option<()> {
    let store = try_open(disk).ok()?;
    // What is shown of the state log stays.
    let state = store.state().get(KEY).map_or(0, |value| u64::from_le_bytes(value[..].try_into().unwrap()));
    assert!((told.state_done..=told.state_begun).contains(&state), "the state log has {state}");
    (told.state_done, told.state_begun) = (state, state);
    let log = match store.open_existing(&name(CHANNEL)).ok()? {
        Some(log) => {
            assert!(!told.gone.contains(&log.id()), "what was deleted is back");
            assert!(told.log.is_none_or(|known| known == log.id()), "another life of the channel");
            find(&log, told);
            log
        }
        None => {
            assert!(!told.exists || told.is_going, "the channel is gone");
            let gone = told.gone.iter().copied().chain(told.log).collect();
            *told = Told { is_coming: true, gone, state_begun: state, state_done: state, ..Told::default() };
            let log = store.create_or_open(&name(CHANNEL), &small(script.durability)).ok()?;
            (told.exists, told.is_coming, told.log) = (true, false, Some(log.id()));
            log
        }
    };
    go_on(&store, &log, told)
}

/// What the log shows when it is opened is told: it was on the disk before that.
fn find(log: &Log, told: &mut Told) {
    let visible = log.visible();
    assert!(visible >= told.durable, "{visible} of {}", told.durable);
    assert!(visible.0 <= told.sent.len() as u64, "{visible} of {} records", told.sent.len());
    told.sent.truncate(usize::try_from(visible.0).unwrap());
    told.durable = visible;
    // Who had seen more than there is had seen what no sync had covered: the cuts without a kill look at that.
    told.seen = told.seen.filter(|seen| seen.offset <= visible);
    (told.exists, told.is_going, told.is_coming, told.log) = (true, false, false, Some(log.id()));
    told.is_sealed = log.is_sealed();
    told.is_sealing = log.is_sealed();
}

fn go_on(store: &Store, log: &Log, told: &mut Told) -> Option<()> {
    if log.is_sealed() {
        return Some(());
    }
    for round in 0..2 {
        let number = told.sent.len() as u64;
        let text = format!("{number} after a kill, {}", "y".repeat(round * 4000));
        assert_eq!(log.append(&text.as_record()).ok()?, Offset(number));
        told.sent.push(text);
        told.durable = log.sync().ok()?;
        assert_eq!(told.durable, Offset(number + 1));
    }
    if told.state_done == 0 {
        told.state_begun = 1;
        store.state().put(KEY, &1u64.to_le_bytes()).ok()?;
        told.state_done = 1;
    }
    Some(())
}
