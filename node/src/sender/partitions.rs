//! Senders into all partitions of a channel, and the choice among them by the key.

use std::sync::atomic::{AtomicUsize, Ordering};

use netchan_proto::{AsRecord, ChannelName, Partitions};

use super::Sender;
use crate::error::{Error, ErrorKind};

/// A sender for each partition of a channel: a record with a key belongs to the partition that its key has for good
/// ([`Partitions::of_key`]), and records without one go around. How the senders are driven is as for each by itself.
#[derive(Debug)]
pub struct PartitionSenders {
    name: ChannelName,
    count: Partitions,
    senders: Vec<Sender>,
    /// Records without a key so far, beginning anywhere.
    turn: AtomicUsize,
}

impl PartitionSenders {
    /// One sender for each, that of partition 0 first; the first record without a key goes to partition `first`, modulo their number.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there are not as many senders as partitions.
    pub fn new(
        name: ChannelName,
        count: Partitions,
        senders: Vec<Sender>,
        first: usize,
    ) -> Result<PartitionSenders, Error> {
        if senders.len() != usize::from(count.get()) {
            let text = format!("{} senders are not one for each of {count} partitions", senders.len());
            return Err(Error::new(ErrorKind::Config, text).about(name));
        }
        Ok(PartitionSenders { name, count, senders, turn: AtomicUsize::new(first) })
    }

    /// The channel.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// How many partitions it has.
    #[must_use]
    pub fn count(&self) -> Partitions {
        self.count
    }

    /// The sender that this record belongs to. Asked once for each record: those without a key go around.
    pub fn choose(&self, record: &impl AsRecord) -> &Sender {
        let chosen = match record.as_record().key {
            Some(key) => self.count.of_key(key).into(),
            None => self.turn.fetch_add(1, Ordering::Relaxed) % self.senders.len(),
        };
        &self.senders[chosen]
    }

    /// All of them, that of partition 0 first.
    #[must_use]
    pub fn all(&self) -> &[Sender] {
        &self.senders
    }

    /// The sender into this partition.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no partition of this number.
    pub fn partition(&self, number: u16) -> Result<&Sender, Error> {
        self.senders.get(usize::from(number)).ok_or_else(|| {
            let text = format!("there are {} partitions, 0 the first: none is number {number}", self.count);
            Error::new(ErrorKind::Config, text).about(&self.name)
        })
    }
}
