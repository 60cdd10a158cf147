//! Cursors: the positions of named subscribers, kept in the state log (spec/17-cursors.md, spec/08-disk.md).
//!
//! Owns when a cursor moves and when not: who may move it (generations), that it never goes back by a commit, and that
//! it stands in its channel's log. It knows nobody who has one. [`entry`] has the form of one in the state log.

pub(crate) mod entry;

use netchan_proto::limits::{MAX_CHANNEL_CURSORS, MAX_NODE_CURSORS};
use netchan_proto::wire::{CursorInfo, CursorKey};
use netchan_proto::{ChannelName, LogId, Offset, Position, Positions, Start, Timestamp};

use self::entry::{PREFIX, decode, encode, key_of, parse_key, prefix_of};
use crate::log::Log;
use crate::state_log::{Change, Sight, StateLog};
use crate::{LogError, StoreError};

/// The generation that was given last, to whichever cursor.
const LAST_GENERATION: &[u8] = b"store/cursors";

/// Why a cursor did not do as it was told. Nothing was changed, unless the disk failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// There is none.
    #[error("there is no cursor {} of {}", .0.cursor, .0.channel)]
    NoCursor(CursorKey),
    /// Another took it later.
    #[error("the cursor {} of {} was taken by another, who alone moves it now", .0.cursor, .0.channel)]
    Taken(CursorKey),
    /// It was set since it was taken.
    #[error("the cursor {} of {} was set to another position since it was taken", .0.cursor, .0.channel)]
    Moved(CursorKey),
    /// The commit is before what was committed.
    #[error("the cursor is at offset {at} already, and a commit does not go back")]
    Back {
        /// Where it stands.
        at: Offset,
    },
    /// There are as many as may be.
    #[error("{what} has {limit} cursors, and may have no more: delete some")]
    TooMany {
        /// What has so many.
        what: &'static str,
        /// How many that is.
        limit: usize,
    },
    /// The position is none in the channel's log: [`LogError::OtherLog`], [`LogError::BeyondEnd`]; or the log could not
    /// be looked at.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The disk failed, or the store is closed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The cursors of a store; see [`Store::cursors`](crate::Store::cursors).
#[derive(Clone, Debug)]
pub struct Cursors {
    state: StateLog,
}

impl Cursors {
    pub(crate) fn new(state: &StateLog) -> Cursors {
        Cursors { state: state.clone() }
    }

    /// One cursor.
    #[must_use]
    pub fn get(&self, key: &CursorKey) -> Option<CursorInfo> {
        decode(key.clone(), &self.state.get(&key_of(key))?)
    }

    /// At most `limit` cursors after `after`, of `channel` if one is given, in the order of channels and names.
    #[must_use]
    pub fn list(
        &self,
        channel: Option<&ChannelName>,
        after: Option<&CursorKey>,
        limit: usize,
    ) -> Vec<CursorInfo> {
        let prefix = channel.map_or_else(|| PREFIX.to_vec(), prefix_of);
        let mut after = after.map(key_of).unwrap_or_default();
        let mut cursors = Vec::new();
        // One that cannot be read is left out, and ends nothing.
        while cursors.len() < limit {
            let page = self.state.page(&prefix, &after, limit - cursors.len());
            let Some((last, _)) = page.last() else { break };
            after = last.to_vec();
            cursors.extend(page.iter().filter_map(|(key, value)| decode(parse_key(key)?, value)));
        }
        cursors
    }

    /// Where `start` comes to in `log`, as a cursor keeps it: also before its first record, where a reader is told a gap.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// As [`Log::resolve`]; [`LogError::BeyondEnd`] for a position that its log was rolled back behind.
    pub fn place(&self, log: &Log, start: &Start) -> Result<Positions, LogError> {
        let resolved = log.resolve(start)?;
        if let (Start::Resume(position), Some(truncated)) = (start, resolved.truncated) {
            return Err(LogError::BeyondEnd { asked: position.offset, end: truncated.end });
        }
        if let Start::Resume(position) = start {
            return Ok((*position).into());
        }
        let offset = resolved.gap_from.unwrap_or(resolved.start);
        Ok(Position { log: log.id(), epoch: log.epoch_before(offset), offset }.into())
    }

    /// From now on the cursor is moved by who holds the generation that this gives, and by nobody else. With `make` it is
    /// made if it is missing, at that place; with `mine`, only who was given that generation takes it. Durable when this
    /// returns. Blocks on the disk.
    ///
    /// # Errors
    /// [`CursorError::NoCursor`], [`CursorError::Taken`], [`CursorError::TooMany`], [`CursorError::Store`].
    pub fn take(
        &self,
        key: &CursorKey,
        mine: Option<u64>,
        make: Option<&Positions>,
        now: Timestamp,
    ) -> Result<CursorInfo, CursorError> {
        self.state.change(|sight| {
            let mut info = match (found(sight, key), make) {
                (Some(info), _) => info,
                (None, Some(position)) if mine.is_none() => made(sight, key, position, now)?,
                (None, _) => return Err(CursorError::NoCursor(key.clone())),
            };
            if mine.is_some_and(|mine| mine != info.taken) {
                return Err(CursorError::Taken(key.clone()));
            }
            info.generation = next_generation(sight);
            info.taken = info.generation;
            Ok((info.clone(), changes(&info)))
        })
    }

    /// Moves the cursor on to `position` in `log`, for who was given `generation`. Where it stands already, it stays.
    /// Durable when this returns, in every mode of the channel. Blocks on the disk.
    ///
    /// # Errors
    /// [`CursorError`]: no such cursor, taken, moved, backwards, or past what there is.
    pub fn commit(
        &self,
        log: &Log,
        key: &CursorKey,
        generation: u64,
        position: &Positions,
        now: Timestamp,
    ) -> Result<CursorInfo, CursorError> {
        self.state.change(|sight| {
            let mut info = found(sight, key).ok_or_else(|| CursorError::NoCursor(key.clone()))?;
            if generation != info.generation {
                let is_mine = generation == info.taken;
                return Err(if is_mine { CursorError::Moved } else { CursorError::Taken }(key.clone()));
            }
            let to = in_log(log, position)?;
            if let Some(truncated) = log.resolve(&Start::Resume(to))?.truncated {
                return Err(LogError::BeyondEnd { asked: to.offset, end: truncated.end }.into());
            }
            if !info.position.is_empty() {
                let stands = in_log(log, &info.position)?;
                // What the log was rolled back behind was never there.
                let at = log.resolve(&Start::Resume(stands))?.truncated.map_or(stands.offset, |it| it.end);
                if to.offset < at {
                    return Err(CursorError::Back { at });
                }
            }
            if info.position == *position {
                return Ok((info, Vec::new()));
            }
            (info.position, info.moved) = (position.clone(), now);
            let change = (key_of(key), Some(encode(&info)));
            Ok((info, vec![change]))
        })
    }

    /// Moves the cursor to `position`, whoever has it, back too. With `make` it is made if it is missing. Durable when
    /// this returns. Blocks on the disk.
    ///
    /// # Errors
    /// [`CursorError::NoCursor`], [`CursorError::TooMany`], [`CursorError::Store`].
    pub fn set(
        &self,
        key: &CursorKey,
        position: &Positions,
        make: bool,
        now: Timestamp,
    ) -> Result<CursorInfo, CursorError> {
        self.state.change(|sight| {
            let mut info = match found(sight, key) {
                Some(info) => info,
                None if make => made(sight, key, position, now)?,
                None => return Err(CursorError::NoCursor(key.clone())),
            };
            info.generation = next_generation(sight);
            (info.position, info.moved) = (position.clone(), now);
            Ok((info.clone(), changes(&info)))
        })
    }

    /// Removes the cursor. Durable when this returns. Blocks on the disk.
    ///
    /// # Errors
    /// [`CursorError::NoCursor`], [`CursorError::Store`].
    pub fn delete(&self, key: &CursorKey) -> Result<(), CursorError> {
        self.state.change(|sight| match found(sight, key) {
            Some(_) => Ok(((), vec![(key_of(key), None)])),
            None => Err(CursorError::NoCursor(key.clone())),
        })
    }
}

/// The one place of `position`, if it is one in `log`, which is all that the channel has.
fn in_log(log: &Log, position: &Positions) -> Result<Position, LogError> {
    match position.only() {
        Some(position) if position.log == log.id() => Ok(position),
        _ => {
            let theirs = position.iter().map(|position| position.log).find(|id| *id != log.id());
            Err(LogError::OtherLog { theirs: theirs.unwrap_or(LogId::NONE), ours: log.id() })
        }
    }
}

fn found(sight: &Sight<'_>, key: &CursorKey) -> Option<CursorInfo> {
    decode(key.clone(), sight.get(&key_of(key))?)
}

/// A new one, if there may be one more.
fn made(
    sight: &Sight<'_>,
    key: &CursorKey,
    position: &Positions,
    now: Timestamp,
) -> Result<CursorInfo, CursorError> {
    let limits = [
        ("the channel", prefix_of(&key.channel), MAX_CHANNEL_CURSORS),
        ("the node", PREFIX.to_vec(), MAX_NODE_CURSORS),
    ];
    for (what, prefix, limit) in limits {
        if sight.count(&prefix) >= limit {
            return Err(CursorError::TooMany { what, limit });
        }
    }
    let position = position.clone();
    Ok(CursorInfo { key: key.clone(), generation: 0, taken: 0, created: now, moved: now, position })
}

/// Greater than every one that was given, to cursors that are gone too.
fn next_generation(sight: &Sight<'_>) -> u64 {
    let last = sight.get(LAST_GENERATION).and_then(|value| Some(u64::from_le_bytes(*value.first_chunk()?)));
    last.unwrap_or(0) + 1
}

/// The generation is kept first, so that no power cut lets it be given twice.
fn changes(info: &CursorInfo) -> Vec<Change> {
    vec![
        (LAST_GENERATION.to_vec(), Some(info.generation.to_le_bytes().to_vec())),
        (key_of(&info.key), Some(encode(info))),
    ]
}
