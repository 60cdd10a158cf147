//! Requests about cursors, and their answers.

use super::{Connection, Full};
use crate::wire::{
    CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors, CursorsReply, FrameType, Message,
    StreamId,
};

impl Connection {
    /// Takes a cursor. Ends with `CursorReply` or `StreamError`, as the next two do.
    ///
    /// # Errors
    /// [`Full`].
    pub fn cursor_take(&mut self, take: &CursorTake) -> Result<StreamId, Full> {
        self.ask(FrameType::CURSOR_REPLY, &Message::CursorTake(take.clone()))
    }

    /// Moves a cursor on.
    ///
    /// # Errors
    /// [`Full`].
    pub fn cursor_commit(&mut self, commit: &CursorCommit) -> Result<StreamId, Full> {
        self.ask(FrameType::CURSOR_REPLY, &Message::CursorCommit(commit.clone()))
    }

    /// Moves a cursor anywhere.
    ///
    /// # Errors
    /// [`Full`].
    pub fn cursor_set(&mut self, set: &CursorSet) -> Result<StreamId, Full> {
        self.ask(FrameType::CURSOR_REPLY, &Message::CursorSet(set.clone()))
    }

    /// Removes a cursor. Ends with `Done` or `StreamError`.
    ///
    /// # Errors
    /// [`Full`].
    pub fn cursor_delete(&mut self, key: &CursorKey) -> Result<StreamId, Full> {
        self.ask(FrameType::DONE, &Message::CursorDelete(key.clone()))
    }

    /// Asks which cursors there are. Ends with `CursorsReply` or `StreamError`.
    ///
    /// # Errors
    /// [`Full`].
    pub fn cursors(&mut self, cursors: &Cursors) -> Result<StreamId, Full> {
        self.ask(FrameType::CURSORS_REPLY, &Message::Cursors(cursors.clone()))
    }

    /// Answers CURSOR_TAKE, CURSOR_COMMIT and CURSOR_SET.
    pub fn cursor_reply(&mut self, id: StreamId, info: &CursorInfo) {
        self.answer(id, &Message::CursorReply(info.clone()));
    }

    /// Answers CURSORS.
    pub fn cursors_reply(&mut self, id: StreamId, reply: &CursorsReply) {
        self.answer(id, &Message::CursorsReply(reply.clone()));
    }
}
