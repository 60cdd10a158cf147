//! Where `netchan send` sends: into one log, or into the partitions of a channel.

use std::sync::Arc;

use netchan::{AsRecord, Error, Note, PartitionedSender, Producer, Sender, Sent, Tokio};

/// A channel that is sent into.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    One(Sender),
    Partitions(PartitionedSender<Tokio>),
}

impl Channel {
    /// The channel's name.
    pub(crate) fn name(&self) -> String {
        match self {
            Channel::One(sender) => sender.name().to_string(),
            Channel::Partitions(sender) => sender.name().to_string(),
        }
    }

    /// The sender; of partitions, that of the first, which stands for all where the way to the node is meant.
    pub(crate) fn first(&self) -> Option<Sender> {
        match self {
            Channel::One(sender) => Some(sender.clone()),
            Channel::Partitions(sender) => sender.partition(0).ok(),
        }
    }

    pub(crate) async fn send(&self, record: impl AsRecord) -> Result<Sent, Error> {
        match self {
            Channel::One(sender) => sender.send(record).await,
            Channel::Partitions(sender) => sender.send(record).await,
        }
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        match self {
            Channel::One(sender) => sender.flush().await,
            Channel::Partitions(sender) => sender.flush().await,
        }
    }

    /// How many records the channel has had, all together.
    pub(crate) async fn seal(&self) -> Result<u64, Error> {
        match self {
            Channel::One(sender) => Ok(sender.seal().await?.0),
            Channel::Partitions(sender) => Ok(sender.seal().await?.iter().map(|end| end.0).sum()),
        }
    }

    pub(crate) fn shortage(&self) -> Option<Arc<str>> {
        match self {
            Channel::One(sender) => sender.shortage(),
            Channel::Partitions(sender) => sender
                .count()
                .all()
                .filter_map(|number| sender.partition(number).ok())
                .find_map(|sender| sender.shortage()),
        }
    }

    /// Where the producer stands: of one log, for `--resume`.
    pub(crate) async fn producer(&self) -> Result<Producer, Error> {
        match self {
            Channel::One(sender) => sender.producer().await,
            Channel::Partitions(sender) => sender.partition(0)?.producer().await,
        }
    }

    pub(crate) async fn note(&self, next_sequence: u64, note: Note) -> Result<(), Error> {
        match self {
            Channel::One(sender) => sender.note(next_sequence, note).await,
            Channel::Partitions(sender) => sender.partition(0)?.note(next_sequence, note).await,
        }
    }
}
