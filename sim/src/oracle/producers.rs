//! What was acknowledged: each producer's records, by sequence.

use std::collections::BTreeSet;

use netchan_proto::Durability;
use netchan_proto::wire::AckLevel;

use super::log::Restart;
use super::{Checked, Oracle, index, violated};
use crate::workload::RecordId;

#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) level: AckLevel,
    pub(super) generation: usize,
}

impl Ack {
    /// Whether the record may be gone: a power cut, after an acknowledgement that did not promise to survive one.
    pub(super) fn may_be_lost(self, durability: Durability, restarts: &[Restart]) -> bool {
        durability != Durability::Sync
            && self.level == AckLevel::Written
            && restarts[self.generation..].iter().any(|restart| restart.was_power_cut)
    }
}

/// One producer's records, by sequence.
#[derive(Debug, Default)]
pub(super) struct Producer {
    pub(super) at: Vec<Option<u64>>,
    pub(super) acks: Vec<Option<Ack>>,
    /// The sequences before which it has put a note that says so.
    pub(super) notes: BTreeSet<u64>,
}

impl Oracle {
    /// How many records a producer has taken, in all its lives.
    pub fn count_handed(&self, producer: u16) -> u64 {
        self.producers[usize::from(producer)].at.len() as u64
    }

    /// A producer took its next record; a local one says where it queued it.
    ///
    /// # Errors
    /// Another record stands there.
    pub fn handed(&mut self, id: RecordId, offset: Option<u64>) -> Checked {
        let producer = &mut self.producers[usize::from(id.producer)];
        if producer.at.len() as u64 == id.sequence {
            producer.at.push(None);
            producer.acks.push(None);
        }
        match offset {
            Some(offset) => self.learn(offset, id, None),
            None => Ok(()),
        }
    }

    /// A producer has put a note before its record `sequence`.
    pub fn noted(&mut self, producer: u16, sequence: u64) {
        self.producers[usize::from(producer)].notes.insert(sequence);
    }

    /// A publisher that came back is told which of its records comes next, and what it noted last.
    ///
    /// # Errors
    /// One before it is promised and not there, or nobody sent it.
    pub fn resumed(&mut self, producer: u16, next: u64, note: &[u8], generation: usize) -> Checked {
        let now = self.generation();
        let (durability, restarts) = (self.durability, &self.restarts);
        let records = &mut self.producers[usize::from(producer)];
        if next > records.at.len() as u64 {
            violated!("producer {producer} is told to go on at {next}, and sent {}", records.at.len());
        }
        // A note is kept before any record after it is, and not before all those before it are.
        let note = <[u8; 8]>::try_from(note).ok().map(u64::from_le_bytes);
        let owed = records.notes.range(..next).next_back().copied();
        if note < owed || note.is_some_and(|note| note > next || !records.notes.contains(&note)) {
            violated!(
                "producer {producer} is told to go on at {next} with note {note:?}; it is owed {owed:?}"
            );
        }
        for (sequence, ack) in records.acks.iter_mut().enumerate() {
            if sequence < index(next) {
                // Everything below is durable when it is told.
                ack.get_or_insert(Ack { level: AckLevel::Durable, generation });
            } else if generation == now
                && let Some(ack) = ack
                && !ack.may_be_lost(durability, restarts)
            {
                violated!(
                    "producer {producer} is told to go on at {next}; {sequence} was acknowledged: {ack:?}"
                );
            }
        }
        Ok(())
    }

    /// A record was acknowledged by the node of this generation.
    pub fn acknowledged(
        &mut self,
        id: RecordId,
        level: AckLevel,
        offset: Option<u64>,
        generation: usize,
    ) -> Checked {
        if let Some(offset) = offset
            && offset < self.holds_until(generation)
        {
            self.learn(offset, id, None)?;
        } else if let Some(offset) = offset {
            if level == AckLevel::Durable {
                violated!("{id:?} at {offset} is told durable, but a restart before that had lost it");
            }
            self.check_taken(offset, generation, "acknowledged")?;
        }
        let ack = &mut self.producers[usize::from(id.producer)].acks[index(id.sequence)];
        if ack.is_none_or(|ack| ack.level <= level) {
            *ack = Some(Ack { level, generation });
        }
        Ok(())
    }

    /// A publisher is told that a power cut took a record of which it knew that it was written.
    ///
    /// # Errors
    /// That cannot be.
    pub fn told_lost(&self, id: RecordId, generation: usize) -> Checked {
        let ack = self.producers[usize::from(id.producer)].acks[index(id.sequence)];
        let was_cut = self.restarts.iter().take(generation).any(|restart| restart.was_power_cut);
        if self.durability == Durability::Sync
            || !was_cut
            || ack.is_some_and(|ack| ack.level == AckLevel::Durable)
        {
            violated!("{id:?} ({ack:?}) is told to be lost, and may not be");
        }
        Ok(())
    }

    /// All is over: whatever was handed to these producers must be there, but for what was trimmed or lost.
    pub fn check_complete(&self, producers: &[u16]) -> Checked {
        for producer in producers {
            let records = &self.producers[usize::from(*producer)];
            if let Some(sequence) = records.acks.iter().position(Option::is_none) {
                violated!("record {sequence} of producer {producer} was never acknowledged");
            }
        }
        Ok(())
    }

    /// Each producer's records stand in the log once, in order, and none is missing that was promised.
    pub(super) fn check_producers(&self, first: u64) -> Checked {
        for (number, producer) in self.producers.iter().enumerate() {
            let mut before = None;
            let present = |at: &Option<u64>| at.is_some_and(|at| at >= first);
            let oldest = producer.at.iter().position(present);
            let newest = producer.at.iter().rposition(present);
            for (sequence, at) in producer.at.iter().enumerate() {
                if present(at) {
                    if before >= *at {
                        violated!("record {sequence} of producer {number} is out of order, at {at:?}");
                    }
                    before = *at;
                    continue;
                }
                let was_trimmed = first > 0
                    && (at.is_some_and(|at| at < first) || oldest.is_none_or(|oldest| sequence < oldest));
                let ack = producer.acks[sequence];
                let was_lost = ack.is_some_and(|ack| ack.may_be_lost(self.durability, &self.restarts));
                let is_owed = ack.is_some() || newest.is_some_and(|newest| sequence < newest);
                if is_owed && !was_trimmed && !was_lost {
                    violated!("record {sequence} of producer {number} ({ack:?}) is missing in the log");
                }
            }
        }
        Ok(())
    }
}
