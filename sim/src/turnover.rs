//! A program in the node's process that makes channels, fills them, deletes them, and makes them again.
//!
//! Which channels there are, and what was seen of them, survives the node's death in the oracle: each life finds exactly
//! those again.

use std::collections::BTreeMap;

use netchan_node::Node;
use netchan_proto::{ChannelName, Durability, RecordRef};
use netchan_store::{Log, LogOptions, MIN_SEGMENT_BYTES, Retention};

use crate::audit::read_from;
use crate::env::Env;
use crate::names::{NAMES, NameRecord};
use crate::oracle::{Checked, Oracle, violated};

/// Records of one step, at most.
const BURST: u64 = 12;

/// The channels of one life of the node, by their making.
#[derive(Debug)]
pub struct Turnover {
    node: Node,
    life: u32,
    logs: BTreeMap<u32, Log>,
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a fixed, valid name")
}

impl Turnover {
    /// Finds the channels that there were.
    ///
    /// # Errors
    /// One is missing, or has lost something, or there is one that was deleted.
    pub fn new(node: &Node, life: u64, oracle: &mut Oracle) -> Result<Turnover, crate::oracle::Violation> {
        let life = u32::try_from(life).unwrap_or(u32::MAX);
        let mut turnover = Turnover { node: node.clone(), life, logs: BTreeMap::new() };
        let living = oracle.names.living().filter(|(_, making)| making.name.partition().is_none());
        let living: Vec<_> =
            living.map(|(number, making)| (number, making.name.clone(), making.log)).collect();
        for name in NAMES.map(channel) {
            let is_there = node.store().is_some_and(|store| store.contains(&name));
            if is_there != living.iter().any(|(_, known, _)| *known == name) {
                violated!("after a restart {name} is there: {is_there}");
            }
        }
        for (number, name, id) in living {
            let log = turnover.open(number, &name, oracle)?;
            if log.id() != id {
                violated!("{name} was {id}, and is {}", log.id());
            }
        }
        Ok(turnover)
    }

    fn open(
        &mut self,
        making: u32,
        name: &ChannelName,
        oracle: &mut Oracle,
    ) -> Result<Log, crate::oracle::Violation> {
        let log = match self.node.existing_log(name) {
            Ok(log) => log,
            Err(error) => violated!("{name} does not open: {error}"),
        };
        oracle.names.saw(making, log.first().0, log.visible().0)?;
        let all = read_from(&log, log.first(), |record| NameRecord::identify(&record.payload))?;
        for (at, record) in all {
            if record.offset != at {
                violated!("{name} holds {record:?} at {at}");
            }
            oracle.names.found(making, record)?;
        }
        self.logs.insert(making, log.clone());
        Ok(log)
    }

    /// Something is done to one of them.
    ///
    /// # Errors
    /// It cannot be.
    pub fn step(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let living: Vec<u32> = self.logs.keys().copied().collect();
        let name = channel(env.dice.pick(&NAMES));
        let at = oracle.names.living().find(|(_, making)| making.name == name).map(|(number, _)| number);
        match (at, env.dice.among(0..=99)) {
            (None, 0..=59) => {
                let making = self.make(name, env, oracle)?;
                if env.dice.percent(70) {
                    self.fill(making, env);
                }
            }
            (Some(making), 0..=17) => {
                self.delete(making, &name, env, oracle)?;
                if env.dice.percent(60) {
                    let making = self.make(name, env, oracle)?;
                    env.counters.channels_remade += 1;
                    self.fill(making, env);
                }
            }
            _ if !living.is_empty() => {
                let making = env.dice.pick(&living);
                self.fill(making, env);
            }
            _ => {}
        }
        Ok(())
    }

    /// The last that is done: whoever receives has something to find.
    ///
    /// # Errors
    /// It cannot be.
    pub fn last_step(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let is_free = |name: &ChannelName| oracle.names.living().all(|(_, making)| making.name != *name);
        if let Some(name) = NAMES.map(channel).into_iter().find(is_free) {
            self.make(name, env, oracle)?;
        }
        let living: Vec<u32> = self.logs.keys().copied().collect();
        for making in living {
            self.fill(making, env);
        }
        Ok(())
    }

    fn make(
        &mut self,
        name: ChannelName,
        env: &mut Env,
        oracle: &mut Oracle,
    ) -> Result<u32, crate::oracle::Violation> {
        let trims = env.plan.names.as_ref().map_or(0, |plan| plan.trims);
        let retention = match trims > 0 && env.dice.among(1..=trims) == 1 {
            true => Retention { max_bytes: Some(MIN_SEGMENT_BYTES), ..Retention::default() },
            false => Retention::default(),
        };
        let options = LogOptions {
            durability: Durability::Sync,
            segment_bytes: MIN_SEGMENT_BYTES,
            retention,
            ..LogOptions::default()
        };
        let log = match self.node.open_log(&name, &options) {
            Ok(log) => log,
            Err(error) => violated!("{name} cannot be made: {error}"),
        };
        let making = oracle.names.made(name, log.id(), env.now());
        env.counters.channels_made += 1;
        env.note("making {} is there", &[u64::from(making)]);
        self.logs.insert(making, log);
        Ok(making)
    }

    fn delete(&mut self, making: u32, name: &ChannelName, env: &mut Env, oracle: &mut Oracle) -> Checked {
        self.look(oracle)?;
        self.logs.remove(&making);
        if let Err(error) = self.node.delete(name) {
            violated!("{name} cannot be deleted: {error}");
        }
        oracle.names.deleted(making);
        env.counters.channels_deleted += 1;
        env.note("making {} is deleted", &[u64::from(making)]);
        Ok(())
    }

    /// Appends some records: as many as the log's queue and its health allow.
    fn fill(&mut self, making: u32, env: &mut Env) {
        let Some(log) = self.logs.get(&making) else { return };
        let count = env.dice.among(1..=BURST);
        for _ in 0..count {
            let record = NameRecord { making, offset: log.queued().0, life: self.life };
            let (payload, key) = (record.payload(), record.key());
            let key = key.as_ref().map(|key| &key[..]);
            if log.append(&RecordRef { payload: &payload, key, headers: &[] }).is_err() {
                break;
            }
        }
        env.note("making {} is filled up to {}", &[u64::from(making), log.queued().0]);
    }

    /// Sees how each log stands.
    ///
    /// # Errors
    /// Something that could be seen is gone.
    pub fn look(&self, oracle: &mut Oracle) -> Checked {
        for (making, log) in &self.logs {
            oracle.names.saw(*making, log.first().0, log.visible().0)?;
        }
        Ok(())
    }

    /// Opens anew what has failed. Says whether something has.
    ///
    /// # Errors
    /// Something that could be seen is gone.
    pub fn open_again(&mut self, oracle: &mut Oracle) -> Result<bool, crate::oracle::Violation> {
        let failed: Vec<_> = self
            .logs
            .iter()
            .filter(|(_, log)| log.poisoned().is_some())
            .map(|(making, log)| (*making, log.name().clone()))
            .collect();
        for (making, name) in &failed {
            self.open(*making, name, oracle)?;
        }
        Ok(!failed.is_empty())
    }
}
