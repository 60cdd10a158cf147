//! What must hold of a channel with partitions.
//!
//! It is of the mode `sync`. In each partition stands of each sender a beginning of what that sent into it, in order and once,
//! with all that was acknowledged; of each key the records one after the other, all in one partition. Once somebody has
//! opened one of them, all are there. What is known of them as logs, and of who receives them, is with `names`.

use std::collections::BTreeMap;

use netchan_proto::{ChannelName, Instant, LogId};

use super::{Checked, Oracle, Violation, violated};
use crate::parts::PartRecord;

/// One log that is, or was, a partition.
#[derive(Debug)]
struct Part {
    number: u16,
    records: Vec<PartRecord>,
    /// How many of each sender's records are there, and how many of each of its keys.
    of_sender: BTreeMap<u16, usize>,
    of_key: BTreeMap<(u16, u16), u32>,
}

/// One sender, as long as it goes on where it was.
#[derive(Debug)]
struct Sender {
    /// The set into which it sends.
    set: u32,
    /// The items that it has sent into each partition, in order.
    handed: BTreeMap<u16, Vec<u32>>,
    /// How many of those are acknowledged.
    acknowledged: BTreeMap<u16, usize>,
    items: u32,
}

/// The truth of a channel with partitions.
#[derive(Debug, Default)]
pub struct Parts {
    /// Which set of partitions it is: another each time that some are deleted.
    set: u32,
    /// The logs of each set, by their making.
    logs: BTreeMap<(u32, u16), u32>,
    parts: BTreeMap<u32, Part>,
    senders: Vec<Sender>,
    /// Where each key's records stand.
    homes: BTreeMap<u16, u16>,
}

impl Parts {
    /// The making of the partition in the set that there is.
    pub fn making(&self, number: u16) -> Option<u32> {
        self.logs.get(&(self.set, number)).copied()
    }

    /// How many of them are known.
    pub fn known(&self) -> usize {
        self.logs.range((self.set, 0)..=(self.set, u16::MAX)).count()
    }

    /// How far a log was read.
    pub fn read(&self, making: u32) -> u64 {
        self.parts.get(&making).map_or(0, |part| part.records.len() as u64)
    }

    /// In which log of this name the record may stand.
    pub fn making_of(&self, record: PartRecord, channel: &ChannelName) -> Option<u32> {
        let sender = self.senders.get(usize::from(record.sender))?;
        self.logs.get(&(sender.set, channel.partition()?)).copied()
    }

    /// Another sender comes. Says its number.
    pub fn add_sender(&mut self) -> u16 {
        let set = self.set;
        self.senders.push(Sender { set, handed: BTreeMap::new(), acknowledged: BTreeMap::new(), items: 0 });
        u16::try_from(self.senders.len() - 1).unwrap_or(u16::MAX)
    }

    /// Whether the sender was there before some partitions were deleted.
    pub fn is_of_the_past(&self, sender: u16) -> bool {
        self.senders[usize::from(sender)].set != self.set
    }

    /// How many items a sender has sent.
    pub fn items(&self, sender: u16) -> u32 {
        self.senders[usize::from(sender)].items
    }

    /// A sender has sent this item, as its record `sequence` in the partition.
    ///
    /// # Errors
    /// It had sent another as that one.
    pub fn handed(&mut self, sender: u16, number: u16, sequence: usize, item: u32) -> Checked {
        let known = &mut self.senders[usize::from(sender)];
        known.items = known.items.max(item + 1);
        let handed = known.handed.entry(number).or_default();
        match handed.get(sequence) {
            Some(before) if *before == item => Ok(()),
            None if handed.len() == sequence => {
                handed.push(item);
                Ok(())
            }
            before => violated!(
                "sender {sender} sends item {item} as record {sequence} of partition {number}, and had sent {before:?}"
            ),
        }
    }

    /// The first `count` of what the sender has sent into a partition are durable, as it was told.
    ///
    /// # Errors
    /// It never sent so many, or they are not there.
    pub fn acknowledged(&mut self, sender: u16, number: u16, count: usize) -> Checked {
        let known = &mut self.senders[usize::from(sender)];
        let handed = known.handed.get(&number).map_or(0, Vec::len);
        if count > handed {
            violated!("sender {sender} is told of {count} records in partition {number}, and sent {handed}");
        }
        let acknowledged = known.acknowledged.entry(number).or_default();
        *acknowledged = count.max(*acknowledged);
        Ok(())
    }

    /// A sender that comes back is told how many of its records a partition has.
    ///
    /// # Errors
    /// More than it sent, or fewer than it was told before.
    pub fn resumed(&mut self, sender: u16, number: u16, count: usize) -> Checked {
        let known = self.senders[usize::from(sender)].acknowledged.get(&number).copied().unwrap_or(0);
        if count < known {
            violated!(
                "sender {sender} is told to go on at {count} in partition {number}; {known} are durable"
            );
        }
        self.acknowledged(sender, number, count)
    }

    /// The log of this making, which is a partition, holds this record.
    ///
    /// # Errors
    /// It should not.
    fn found(&mut self, making: u32, offset: u64, record: PartRecord) -> Checked {
        let Some(part) = self.parts.get_mut(&making) else { return Ok(()) };
        let number = part.number;
        if let Some(known) = usize::try_from(offset).ok().and_then(|offset| part.records.get(offset)) {
            if *known != record {
                violated!("partition {number} holds {record:?} at {offset}, and held {known:?}");
            }
            return Ok(());
        }
        if offset != part.records.len() as u64 {
            violated!("partition {number} holds {record:?} at {offset}, after {}", part.records.len());
        }
        let Some(sender) = self.senders.get(usize::from(record.sender)) else {
            violated!("partition {number} holds {record:?}, which nobody has sent");
        };
        if self.logs.get(&(sender.set, number)) != Some(&making) {
            violated!("partition {number} holds {record:?}, which was sent into another set of partitions");
        }
        let next = part.of_sender.entry(record.sender).or_default();
        let handed = sender.handed.get(&number).and_then(|handed| handed.get(*next));
        if handed != Some(&record.item) {
            violated!(
                "partition {number} holds {record:?} at {offset}, and {handed:?} is next of that sender"
            );
        }
        *next += 1;
        if let Some(key) = record.key {
            let home = *self.homes.entry(key).or_insert(number);
            if home != number {
                violated!("partition {number} holds {record:?} at {offset}; the key's records are in {home}");
            }
            let next = part.of_key.entry((record.sender, key)).or_default();
            if record.number != *next {
                violated!("partition {number} holds {record:?} at {offset}, and {next} is next of its key");
            }
            *next += 1;
        }
        part.records.push(record);
        Ok(())
    }

    /// Whether something was sent into the set that there is, and has arrived.
    pub fn is_used(&self) -> bool {
        let logs = self.logs.range((self.set, 0)..=(self.set, u16::MAX));
        let mut parts = logs.filter_map(|(_, making)| self.parts.get(making));
        parts.any(|part| part.of_sender.keys().any(|sender| !self.is_of_the_past(*sender)))
    }

    /// What was read so far has all that was acknowledged.
    ///
    /// # Errors
    /// It does not.
    pub fn check_acknowledged(&self) -> Checked {
        for (number, sender) in self.senders.iter().enumerate() {
            for (partition, count) in &sender.acknowledged {
                // Gone on purpose, with what it held, if it is not of the set that there is.
                let Some(making) = self.logs.get(&(sender.set, *partition)) else { continue };
                if self.making(*partition) != Some(*making) {
                    continue;
                }
                let found =
                    u16::try_from(number).ok().and_then(|number| self.parts[making].of_sender.get(&number));
                if found.copied().unwrap_or(0) < *count {
                    violated!(
                        "{count} records of sender {number} in partition {partition} were acknowledged; {found:?} are there"
                    );
                }
            }
        }
        Ok(())
    }

    /// Everything that these senders have sent is there.
    ///
    /// # Errors
    /// Something is not.
    pub fn check_complete(&self, senders: impl Iterator<Item = u16>) -> Checked {
        for number in senders {
            let sender = &self.senders[usize::from(number)];
            for (partition, handed) in &sender.handed {
                let making = self.logs.get(&(sender.set, *partition));
                let found = making.and_then(|making| self.parts[making].of_sender.get(&number)).copied();
                if found != Some(handed.len()).filter(|len| *len > 0) {
                    violated!(
                        "{found:?} of {} of sender {number} are in partition {partition}",
                        handed.len()
                    );
                }
            }
        }
        Ok(())
    }
}

impl Oracle {
    /// There is a partition that was not known.
    ///
    /// # Errors
    /// It is one that was deleted.
    pub fn part_made(
        &mut self,
        name: &ChannelName,
        number: u16,
        log: LogId,
        now: Instant,
    ) -> Result<u32, Violation> {
        if self.names.is_known(log) {
            violated!("{name} was deleted as {log}, and is there");
        }
        let making = self.names.made(name.clone(), log, now);
        let (records, of_sender, of_key) = Default::default();
        self.parts.parts.insert(making, Part { number, records, of_sender, of_key });
        self.parts.logs.insert((self.parts.set, number), making);
        Ok(making)
    }

    /// These partitions were deleted: what is there now is another set, with those that are left.
    pub fn parts_deleted(&mut self, numbers: &[u16]) {
        let parts = &mut self.parts;
        let left: Vec<_> =
            parts.logs.range((parts.set, 0)..=(parts.set, u16::MAX)).map(|(at, log)| (at.1, *log)).collect();
        parts.set += 1;
        for (number, making) in left {
            if numbers.contains(&number) {
                self.names.deleted(making);
            } else {
                parts.logs.insert((parts.set, number), making);
            }
        }
    }

    /// The partition of this making holds these records, each at its offset.
    ///
    /// # Errors
    /// It should not.
    pub fn part_holds(&mut self, making: u32, records: Vec<(u64, PartRecord)>) -> Checked {
        for (offset, record) in records {
            self.parts.found(making, offset, record)?;
            self.names.learn(making, offset, record.id())?;
        }
        Ok(())
    }
}
