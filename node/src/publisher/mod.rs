//! A publisher: records for a channel of another node, over as many connections as it takes.
//!
//! Two halves. [`Publisher`] is what senders hold: it puts records into batches and knows how far each has come.
//! [`PublisherCore`] is what one task drives: it takes the batches, sends them, keeps them until they are acknowledged,
//! and sends them again after a loss; their sequence numbers make them count once. Between the two stands `queue`, one
//! short lock. A batch is closed when it is full or when the driver takes it, so records gather under load, without a
//! timer.

mod driven;
mod frames;
mod handle;
#[cfg(all(test, loom))]
mod models;
mod queue;
mod waiters;

use netchan_proto::{ChannelName, Content, Durability, Partitions, ProducerId};

pub use self::driven::PublisherCore;
pub use self::handle::{Publisher, Reached};
pub use self::queue::Producer;
pub(crate) use self::queue::{Refused, Shared};
pub(crate) use self::waiters::Ticket;

/// What a publisher is to do.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The channel.
    pub name: ChannelName,
    /// Whether to make the channel if it does not exist. Default: yes.
    pub create: bool,
    /// How durable it is to be if it is made. Default: as the other node likes.
    pub durability: Option<Durability>,
    /// Who publishes: random, or the same as in an earlier run.
    pub producer: ProducerId,
    /// Whether this producer may have published before: then the first record waits until the other side has told
    /// which sequence comes next. Default: no.
    pub resume: bool,
    /// What is published, to be held to what the channel's payloads are. Default: nobody asks.
    pub content: Option<Content>,
    /// How many partitions the channel has, or is to have if it is made; with the name of one. Default: nobody asks.
    pub partitions: Option<Partitions>,
    /// Bytes that may wait for their acknowledgement before senders do; one record that is larger is let through all
    /// the same. Default 8 MiB.
    pub max_unacknowledged: usize,
}

impl PublisherOptions {
    /// The defaults, for `name`.
    pub fn new(name: ChannelName, producer: ProducerId) -> PublisherOptions {
        PublisherOptions {
            name,
            create: true,
            durability: None,
            producer,
            resume: false,
            content: None,
            partitions: None,
            max_unacknowledged: 8 << 20,
        }
    }
}
