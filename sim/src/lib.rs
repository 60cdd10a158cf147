//! A deterministic simulator for netchan: a node, its receivers and its publishers in one thread, by seed.
//!
//! It drives netchan's node, store and proto as they ship, and stands in for all that they ask of the world: time,
//! the network, the disk, threads, and programs that send and receive. A seed decides everything; the same seed gives
//! the same run, event for event.
//!
//! | room | holds |
//! |---|---|
//! | `workload` | what a seed stands for: modes, sizes, participants, faults |
//! | `world` | one run: what happens next, and when it is over |
//! | `env` | what all actors share; how a machine is driven |
//! | `host` | the node: its lives and deaths; `mortal`: its disk; `appender`: a program in its process |
//! | `names` | what a seed stands for, of channels that come and go |
//! | `parts` | what a seed stands for, of a channel with partitions |
//! | `splitter` | sends into all of them by key; `parted`: the node's side, which deletes them |
//! | `turnover` | makes these, fills them, deletes them; `gatherer`: receives them by a pattern |
//! | `reader`, `writer` | programs elsewhere that receive and publish; `producing`: what sending is, here or there |
//! | `network` | byte streams that are slow, cut, or silent; `tap`: who listens in |
//! | `clock`, `dice` | time and randomness |
//! | `oracle` | what must hold; `audit`: reads a whole log |
//! | `watch` | who asks the node how it is |
//! | `trace` | what happened: a hash, counters, lines |
#![forbid(unsafe_code)]

pub mod appender;
pub mod audit;
pub mod clock;
pub mod dice;
pub mod env;
pub mod gatherer;
pub mod host;
pub mod mortal;
pub mod names;
pub mod network;
pub mod oracle;
pub mod parted;
pub mod parts;
pub mod producing;
pub mod reader;
pub mod splitter;
pub mod tap;
pub mod trace;
pub mod turnover;
pub mod watch;
pub mod workload;
pub mod world;
pub mod writer;

pub use trace::Counters;
pub use world::{Outcome, run};
