//! Requests about how channels are kept, and their answers.

use super::{Connection, Full};
use crate::types::ChannelName;
use crate::wire::{Description, FrameType, Keep, Message, StreamId, Truncate};

impl Connection {
    /// Makes a channel. Ends with `Description` or `StreamError`, as the next three do.
    ///
    /// # Errors
    /// [`Full`].
    pub fn create(&mut self, keep: &Keep) -> Result<StreamId, Full> {
        self.ask(FrameType::DESCRIPTION, &Message::Create(keep.clone()))
    }

    /// Says how one that is there is kept from now on.
    ///
    /// # Errors
    /// [`Full`].
    pub fn change(&mut self, keep: &Keep) -> Result<StreamId, Full> {
        self.ask(FrameType::DESCRIPTION, &Message::Change(keep.clone()))
    }

    /// Lets the oldest records of a channel go.
    ///
    /// # Errors
    /// [`Full`].
    pub fn truncate(&mut self, truncate: &Truncate) -> Result<StreamId, Full> {
        self.ask(FrameType::DESCRIPTION, &Message::Truncate(truncate.clone()))
    }

    /// Asks how a channel is kept.
    ///
    /// # Errors
    /// [`Full`].
    pub fn describe(&mut self, name: &ChannelName) -> Result<StreamId, Full> {
        self.ask(FrameType::DESCRIPTION, &Message::Describe(name.clone()))
    }

    /// Answers CREATE, CHANGE, TRUNCATE and DESCRIBE.
    pub fn description(&mut self, id: StreamId, description: &Description) {
        self.answer(id, &Message::Description(description.clone()));
    }
}
