//! A node: the store with its channels, the token, and where randomness comes from. What every machine of one
//! process shares.
//!
//! Owns what can be done with channels of this machine without a connection; all of that may block on the disk.
//! Serving peers is [`Served`](crate::Served)'s.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use netchan_proto::auth::payload_hash;
use netchan_proto::limits::MAX_READERS;
use netchan_proto::wire::{Readers, ReadersReply};
use netchan_proto::{
    ChannelName, Content, LogId, LogInfo, NodeId, Offset, Partitions, Permissions, ProducerId, Roles,
    Timestamp, Token,
};
use netchan_store::{Log, LogOptions, Store, StoreError};

use crate::attendance::Attendance;
use crate::budget::Budget;
use crate::config::NodeConfig;
use crate::error::{Error, ErrorKind};
use crate::stats::Stats;
use crate::sync::Mutex;
use crate::target::Names;
use crate::wake::{Bell, lock};

/// What the machines of one process share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: NodeId,
    config: NodeConfig,
    seeds: SeedSource,
    stats: Arc<Stats>,
    budget: Budget,
    stop: Mutex<Stop>,
    is_stopping: AtomicBool,
    /// Of the logs that somebody sends into or receives from.
    attendances: Mutex<Attendances>,
}

/// Who receives from which log.
#[derive(Debug, Default)]
struct Attendances {
    of: BTreeMap<[u8; 16], Weak<Attendance>>,
    /// How many there may be before those that nobody has are thrown out.
    sweep_at: usize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end_attendances();
    }
}

impl Inner {
    /// No receiver comes any more.
    fn end_attendances(&self) {
        let all: Vec<_> = lock(&self.attendances).of.values().filter_map(Weak::upgrade).collect();
        all.iter().for_each(|attendance| attendance.end());
    }
}

/// Who is to hear that the node stops.
#[derive(Debug, Default)]
struct Stop {
    drain: Duration,
    bells: Vec<Weak<Bell>>,
    /// How many bells there may be before those of connections that are gone are thrown out.
    sweep_at: usize,
}

impl Node {
    /// A node. Its identity is its store's, or new where it has none.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the operating system gives no randomness.
    pub fn new(config: NodeConfig) -> Result<Node, Error> {
        let seeds = SeedSource::new(config.seed)?;
        let id = config.store.as_ref().map_or_else(|| NodeId(seeds.nonce()), Store::node_id);
        let (stop, stats) = (Mutex::default(), Arc::new(Stats::new(config.clock.now())));
        let (budget, is_stopping) = (Budget::new(config.limits), AtomicBool::new(false));
        Ok(Node(Arc::new(Inner {
            id,
            config,
            seeds,
            stats,
            budget,
            stop,
            is_stopping,
            attendances: Mutex::default(),
        })))
    }

    /// Who this node is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Its channels' store, if it has one.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.0.config.store.as_ref()
    }

    /// The token that peers must hold, and that it shows when asked.
    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        self.0.config.token.as_ref()
    }

    /// More tokens that peers may hold, and what they may do then.
    #[must_use]
    pub fn grants(&self) -> Arc<[(Token, Permissions)]> {
        Arc::clone(&self.0.config.grants)
    }

    /// What its peers may make it hold and do, all together.
    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// What it is there for on a connection that it serves.
    #[must_use]
    pub fn roles(&self) -> Roles {
        if self.store().is_some() { Roles::SENDS } else { Roles::default() }
    }

    /// How channels are kept that a publisher makes without saying it.
    #[must_use]
    pub fn created_options(&self) -> &LogOptions {
        &self.0.config.created
    }

    /// Sixteen bytes that nobody else has: for a connection's nonce, or a producer's identity.
    #[must_use]
    pub fn nonce(&self) -> [u8; 16] {
        self.0.seeds.nonce()
    }

    /// A new seed, for what needs to differ but not to be secret, such as a back-off.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.nonce();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The time by the node's clock.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.0.config.clock.now()
    }

    /// What it counts.
    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.0.stats
    }

    /// A page of those who read this node's channels, and publish to them. May wait for the disk.
    #[must_use]
    pub fn readers(&self, asked: &Readers) -> ReadersReply {
        self.0.stats.readers(asked, MAX_READERS, self.clock())
    }

    /// As [`readers`](Self::readers): at most `limit` of them, all of one channel if one is given.
    #[must_use]
    pub fn all_readers(&self, channel: Option<&ChannelName>, limit: usize) -> ReadersReply {
        self.0.stats.readers(&Readers { after: 0, channel: channel.cloned() }, limit, self.clock())
    }

    /// Stops serving: every connection tells its peer, takes no new streams, and is over once all that is in the logs
    /// now is sent and acknowledged, or when `drain` has passed.
    pub fn shut_down(&self, drain: Duration) {
        let bells = {
            let mut stop = lock(&self.0.stop);
            stop.drain = drain;
            std::mem::take(&mut stop.bells)
        };
        self.0.is_stopping.store(true, Ordering::Release);
        bells.iter().filter_map(Weak::upgrade).for_each(|bell| bell.ring());
        self.0.end_attendances();
    }

    /// Who receives from a log of this node.
    pub(crate) fn attendance(&self, log: LogId) -> Arc<Attendance> {
        let mut attendances = lock(&self.0.attendances);
        if let Some(attendance) = attendances.of.get(&log.0).and_then(Weak::upgrade) {
            return attendance;
        }
        if attendances.of.len() >= attendances.sweep_at {
            attendances.of.retain(|_, attendance| attendance.strong_count() > 0);
            attendances.sweep_at = (attendances.of.len() * 2).max(16);
        }
        let attendance = Arc::new(Attendance::default());
        attendances.of.insert(log.0, Arc::downgrade(&attendance));
        if self.is_stopping() {
            attendance.end();
        }
        attendance
    }

    /// Whether it was [shut down](Node::shut_down).
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Acquire)
    }

    /// How long connections may go on, if the node stops.
    pub(crate) fn stops_in(&self) -> Option<Duration> {
        self.is_stopping().then(|| lock(&self.0.stop).drain)
    }

    /// Rings when the node stops.
    pub(crate) fn ring_when_stopping(&self, bell: &Arc<Bell>) {
        let mut stop = lock(&self.0.stop);
        if stop.bells.len() >= stop.sweep_at {
            stop.bells.retain(|bell| bell.strong_count() > 0);
            stop.sweep_at = (stop.bells.len() * 2).max(16);
        }
        stop.bells.push(Arc::downgrade(bell));
    }

    /// A channel's log, made if it is missing; `options` count only then. With a partition all that are missing are made. Blocks.
    ///
    /// # Errors
    /// What opening a log can run into; [`ErrorKind::Config`] for a node without a store.
    pub fn open_log(&self, name: &ChannelName, options: &LogOptions) -> Result<Log, Error> {
        self.with_store(name, |store| match store.open_existing(name)? {
            _ if name.partition().is_some() => store.open_partition(name, options),
            Some(log) => Ok(log),
            None => store.create_or_open(name, options),
        })
    }

    /// Makes a channel of so many partitions, and gives the first. Blocks.
    pub(crate) fn make_partitions(
        &self,
        name: &ChannelName,
        count: Partitions,
        options: &LogOptions,
    ) -> Result<Log, Error> {
        self.with_store(name, |store| {
            store.create_partitioned(name, count, options)?;
            store.open_partition(&name.with_partition(0)?, options)
        })
    }

    /// Every channel of this node after `after` that is meant by `names`, in the order of names, at most `limit`. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a node without a store.
    pub fn list(
        &self,
        after: Option<&ChannelName>,
        names: &Names,
        limit: usize,
    ) -> Result<Vec<LogInfo>, Error> {
        let store = self.store().ok_or_else(no_store)?;
        let is_meant = names.test();
        Ok(store.list_where(after, limit, is_meant))
    }

    /// What there is to say of one channel. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`], and what opening a log can run into.
    pub fn info(&self, name: &ChannelName) -> Result<LogInfo, Error> {
        self.existing_log(name).map(|log| log.info())
    }

    /// Seals a channel: it is complete, and takes nothing more. Durable when it returns. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`], and what a log can run into. Sealing what is sealed already is none.
    pub fn seal(&self, name: &ChannelName) -> Result<Offset, Error> {
        let log = self.existing_log(name)?;
        log.seal().map_err(|error| Error::from(error).about(name))
    }

    /// Deletes a channel, its records and what producers noted about it. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`], and what the disk says.
    pub fn delete(&self, name: &ChannelName) -> Result<(), Error> {
        let log = self.existing_log(name)?;
        self.with_store(name, |store| {
            store.delete(name)?;
            for (key, _) in store.state().scan(&note_keys(log.id())) {
                store.state().remove(&key)?;
            }
            Ok(())
        })
    }

    /// A log that exists. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`], and what opening a log can run into.
    pub fn existing_log(&self, name: &ChannelName) -> Result<Log, Error> {
        self.with_store(name, |store| {
            store.open_existing(name)?.ok_or_else(|| StoreError::NoChannel { name: name.clone() })
        })
    }

    fn with_store<T>(
        &self,
        name: &ChannelName,
        act: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, Error> {
        let store = self.store().ok_or_else(no_store)?;
        act(store).map_err(|error| Error::from(error).about(name))
    }
}

/// Holds what is to be sent to what the channel's payloads are, and says it where nobody has yet. Blocks.
///
/// # Errors
/// [`ErrorKind::Content`], and what the disk says.
pub(crate) fn agree(log: &Log, content: &Content) -> Result<(), Error> {
    match log.set_content(content) {
        Ok(true) => Ok(()),
        Ok(false) => Err(content_error(log.content(), content)),
        Err(error) => Err(error.into()),
    }
    .map_err(|error| error.about(log.name()))
}

/// `wanted` is not what the payloads are.
pub(crate) fn content_error(has: Option<&Content>, wanted: &Content) -> Error {
    let has = match has {
        Some(has) => format!("the channel's payloads are {has}"),
        None => "nobody has said what the channel's payloads are, and it has records".to_owned(),
    };
    Error::new(ErrorKind::Content, format!("{has}, not {wanted}"))
}

fn no_store() -> Error {
    Error::new(ErrorKind::Config, "this node has no data directory, and so no channels of its own")
}

/// What the keys of all producers' notes about one log begin with (spec/08-disk.md).
fn note_keys(log: LogId) -> Vec<u8> {
    [b"note/", &log.0[..]].concat()
}

/// The key of one producer's note about one log. The value is the sequence that the note is about, and the note.
pub(crate) fn note_key(log: LogId, producer: ProducerId) -> Vec<u8> {
    [note_keys(log), producer.0.to_vec()].concat()
}

/// Bytes that nobody can guess, from one draw of the operating system's randomness.
struct SeedSource {
    key: [u8; 32],
    drawn: AtomicU64,
}

impl SeedSource {
    fn new(seed: Option<u64>) -> Result<SeedSource, Error> {
        let mut key = [0; 32];
        match seed {
            Some(seed) => key[..8].copy_from_slice(&seed.to_le_bytes()),
            None => getrandom::fill(&mut key).map_err(|error| {
                Error::new(ErrorKind::Io, format!("the operating system gives no randomness: {error}"))
            })?,
        }
        Ok(SeedSource { key, drawn: AtomicU64::new(0) })
    }

    /// SHA-256 of the key and a counter, half of it.
    fn nonce(&self) -> [u8; 16] {
        let mut input = [0; 40];
        input[..32].copy_from_slice(&self.key);
        input[32..].copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&payload_hash(&input)[..16]);
        nonce
    }
}

impl fmt::Debug for SeedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeedSource(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_and_a_seed_makes_them_the_same_in_every_run() {
        let seeded = |seed| Node::new(NodeConfig { seed: Some(seed), ..NodeConfig::default() }).unwrap();
        let (a, b, c) = (seeded(1), seeded(1), seeded(2));
        assert_eq!(a.id(), b.id());
        assert_ne!(a.id(), c.id());
        let nonces = [a.nonce(), a.nonce()];
        assert_ne!(nonces[0], nonces[1]);
        assert_eq!(nonces, [b.nonce(), b.nonce()]);
        let (x, y) = (Node::new(NodeConfig::default()).unwrap(), Node::new(NodeConfig::default()).unwrap());
        assert_ne!(x.id(), y.id());
    }

    #[test]
    fn a_node_without_a_store_says_so() {
        let node = Node::new(NodeConfig { seed: Some(1), ..NodeConfig::default() }).unwrap();
        let name = ChannelName::new("x").unwrap();
        assert_eq!(node.info(&name).unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(node.roles(), Roles::default());
    }
}
