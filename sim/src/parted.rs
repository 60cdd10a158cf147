//! The partitions of a channel as one life of the node has them: which there are, what they hold, and that they are deleted.

use std::collections::BTreeMap;

use netchan_node::Node;
use netchan_proto::{Instant, Offset, Partitions};
use netchan_store::Log;

use crate::audit::read_from;
use crate::env::Env;
use crate::names::{PARTED, partition};
use crate::oracle::{Checked, Oracle, Violation, violated};
use crate::parts::PartRecord;

/// The partitions that are known in this life, each by its making.
#[derive(Debug)]
pub struct Parted {
    node: Node,
    count: Partitions,
    logs: BTreeMap<u16, (u32, Log)>,
}

impl Parted {
    /// Finds those that there are.
    ///
    /// # Errors
    /// One is missing, or has lost something, or there is one that was deleted.
    pub fn new(
        node: &Node,
        count: Partitions,
        now: Instant,
        oracle: &mut Oracle,
    ) -> Result<Parted, Violation> {
        let mut parted = Parted { node: node.clone(), count, logs: BTreeMap::new() };
        parted.find(now, oracle)?;
        for number in count.all() {
            if oracle.parts.making(number).is_some() && !parted.logs.contains_key(&number) {
                violated!("after a restart {} is not there", partition(number));
            }
        }
        oracle.parts.check_acknowledged()?;
        Ok(parted)
    }

    /// Finds those that were made since somebody looked last.
    ///
    /// # Errors
    /// One should not be there, or is not what was there before.
    pub fn find(&mut self, now: Instant, oracle: &mut Oracle) -> Checked {
        let Some(store) = self.node.store() else { return Ok(()) };
        for number in self.count.all() {
            let name = partition(number);
            if self.logs.contains_key(&number) || !store.contains(&name) {
                continue;
            }
            let told = store.partitions(&name);
            if told != Some(self.count) {
                violated!("{name} is there, one of {told:?}, and is of {}", self.count);
            }
            let log = match self.node.existing_log(&name) {
                Ok(log) => log,
                Err(error) => violated!("{name} does not open: {error}"),
            };
            let making = match oracle.parts.making(number) {
                Some(making) => making,
                None => oracle.part_made(&name, number, log.id(), now)?,
            };
            self.read_all(making, &log, oracle)?;
            self.logs.insert(number, (making, log));
        }
        if store.contains(&partition(0).base()) {
            violated!("{PARTED} has partitions, and is there");
        }
        Ok(())
    }

    /// Of a log that was opened, all that is there: what was read before has to be there still.
    fn read_all(&self, making: u32, log: &Log, oracle: &mut Oracle) -> Checked {
        let known = oracle.names.log_of(making);
        if log.id() != known {
            violated!("{} was {known}, and is {}", log.name(), log.id());
        }
        oracle.names.saw(making, log.first().0, log.visible().0)?;
        oracle.part_holds(making, read(log, log.first())?)
    }

    /// Sees what the logs have got.
    ///
    /// # Errors
    /// What they should not have; or they are used, and are not all there.
    pub fn look(&self, oracle: &mut Oracle) -> Checked {
        for (making, log) in self.logs.values() {
            oracle.names.saw(*making, log.first().0, log.visible().0)?;
            let read_until = oracle.parts.read(*making);
            if read_until < log.visible().0 {
                oracle.part_holds(*making, read(log, Offset(read_until))?)?;
            }
        }
        if oracle.parts.is_used() && self.logs.len() != usize::from(self.count.get()) {
            violated!(
                "{PARTED} is used, and of {} partitions these are there: {:?}",
                self.count,
                self.logs.keys()
            );
        }
        oracle.parts.check_acknowledged()
    }

    /// Whether some are there.
    pub fn is_begun(&self) -> bool {
        !self.logs.is_empty()
    }

    /// Whether some are not there.
    pub fn is_incomplete(&self) -> bool {
        self.logs.len() != usize::from(self.count.get())
    }

    /// All, or some, are deleted: nobody sends into any of them.
    ///
    /// # Errors
    /// They cannot be.
    pub fn delete(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        self.look(oracle)?;
        let all = env.dice.percent(60);
        let chosen: Vec<u16> = self.logs.keys().copied().filter(|_| all || env.dice.percent(50)).collect();
        for number in &chosen {
            self.logs.remove(number);
            if let Err(error) = self.node.delete(&partition(*number)) {
                violated!("{} cannot be deleted: {error}", partition(*number));
            }
            env.counters.partitions_deleted += 1;
            env.note("partition {} is deleted", &[u64::from(*number)]);
        }
        oracle.parts_deleted(&chosen);
        Ok(())
    }

    /// Opens anew what has failed. Says whether something has.
    ///
    /// # Errors
    /// Something that could be seen is gone.
    pub fn open_again(&mut self, oracle: &mut Oracle) -> Result<bool, Violation> {
        let failed: Vec<u16> = self
            .logs
            .iter()
            .filter(|(_, (_, log))| log.poisoned().is_some())
            .map(|(number, _)| *number)
            .collect();
        for number in &failed {
            let Some((making, _)) = self.logs.remove(number) else { continue };
            let log = match self.node.existing_log(&partition(*number)) {
                Ok(log) => log,
                Err(error) => violated!("{} does not open: {error}", partition(*number)),
            };
            self.read_all(making, &log, oracle)?;
            self.logs.insert(*number, (making, log));
        }
        Ok(!failed.is_empty())
    }
}

fn read(log: &Log, from: Offset) -> Result<Vec<(u64, PartRecord)>, Violation> {
    read_from(log, from, |record| PartRecord::identify(&record.payload, record.key().map(|key| &key[..])))
}
