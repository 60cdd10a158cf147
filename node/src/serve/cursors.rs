//! Requests about cursors: CURSOR_TAKE, CURSOR_COMMIT, CURSOR_SET, CURSOR_DELETE, CURSORS.
//!
//! Owns where a cursor that is made stands, and what of its channel that needs. When one moves is the store's to say.

use netchan_proto::limits::MAX_CURSORS;
use netchan_proto::wire::{
    CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors, CursorsReply, Done, ErrorFrame,
    StreamId,
};
use netchan_proto::{ChannelName, Positions, Timestamp};
use netchan_store::{CursorError, Log, LogError, Store, StoreError};

use super::Shared;
use super::answer::Answer;
use super::refusal::{not_done, refuse};

/// Has `work` done for the request on `stream`.
fn ask<T: 'static>(
    shared: &mut Shared,
    stream: StreamId,
    answer: fn(Result<T, ErrorFrame>) -> Answer,
    work: impl FnOnce(&Store, Timestamp) -> Result<T, CursorError> + Send + 'static,
) {
    shared.counted.requests.add(1);
    let node = shared.node.clone();
    shared.desk.ask(stream, move || {
        let store = node.store().ok_or_else(not_done);
        answer(store.and_then(|store| work(store, node.clock()).map_err(refused)))
    });
}

pub(super) fn take(shared: &mut Shared, stream: StreamId, take: CursorTake) {
    ask(shared, stream, Answer::Cursor, move |store, now| {
        let (cursors, key) = (store.cursors(), &take.key);
        let mine = (take.mine != 0).then_some(take.mine);
        match cursors.take(key, mine, None, now) {
            Err(CursorError::NoCursor(_)) if take.make && mine.is_none() => {
                let position = match store.open_existing(&key.channel)? {
                    Some(log) => cursors.place(&log, &take.start)?,
                    None if take.wait => Positions::default(),
                    None => return Err(StoreError::NoChannel { name: key.channel.clone() }.into()),
                };
                cursors.take(key, None, Some(&position), now)
            }
            taken => taken,
        }
    });
}

pub(super) fn commit(shared: &mut Shared, stream: StreamId, commit: CursorCommit) {
    ask(shared, stream, Answer::Cursor, move |store, now| {
        let CursorCommit { key, generation, position } = &commit;
        let log = existing(store, &key.channel)?;
        match store.cursors().commit(&log, key, *generation, position, now) {
            // A log that failed stands still; opened anew, it may have what is committed.
            Err(CursorError::Log(LogError::BeyondEnd { .. })) if log.poisoned().is_some() => {
                Err(LogError::Poisoned { why: log.poisoned().unwrap_or_default() }.into())
            }
            committed => committed,
        }
    });
}

pub(super) fn set(shared: &mut Shared, stream: StreamId, set: CursorSet) {
    ask(shared, stream, Answer::Cursor, move |store, now| {
        let cursors = store.cursors();
        let position = cursors.place(&existing(store, &set.key.channel)?, &set.start)?;
        cursors.set(&set.key, &position, set.make, now)
    });
}

pub(super) fn delete(shared: &mut Shared, stream: StreamId, key: CursorKey) {
    ask(shared, stream, Answer::Done, move |store, _| {
        store.cursors().delete(&key).map(|()| Done { final_offset: None })
    });
}

pub(super) fn list(shared: &mut Shared, stream: StreamId, asked: Cursors) {
    ask(shared, stream, Answer::Cursors, move |store, _| {
        let Cursors { channel, after } = &asked;
        let mut cursors: Vec<CursorInfo> =
            store.cursors().list(channel.as_ref(), after.as_ref(), MAX_CURSORS + 1);
        let more = cursors.len() > MAX_CURSORS;
        cursors.truncate(MAX_CURSORS);
        Ok(CursorsReply { more, cursors })
    });
}

fn existing(store: &Store, name: &ChannelName) -> Result<Log, StoreError> {
    store.open_existing(name)?.ok_or_else(|| StoreError::NoChannel { name: name.clone() })
}

/// What the peer is told, with the offset that it is about.
fn refused(error: CursorError) -> ErrorFrame {
    let at = match &error {
        CursorError::Back { at } => Some(*at),
        CursorError::Log(LogError::BeyondEnd { end, .. }) => Some(*end),
        _ => None,
    };
    ErrorFrame { at, ..refuse(error) }
}
