//! The pure protocol of netchan: formats and state machines.
//!
//! Nothing here reads a clock, opens a file, speaks to a socket, starts a thread or waits. Time, randomness,
//! bytes and answers of the disk come from the caller; what is to be done goes back to it.
//!
//! | room | holds |
//! |---|---|
//! | [`types`] | offsets, timestamps, epochs, identities, names, positions |
//! | [`cursor`] | names of cursors, sets of positions |
//! | [`limits`] | every number a peer or a disk can run into |
//! | [`meaning`] | headers that all programs understand alike: when it happened, what it is |
//! | [`record`], [`batch`], [`inflow`], [`digest`] | what is stored and sent; what all of it comes to |
//! | [`compression`] | bytes made shorter, and made again |
//! | [`filter`], [`sift`] | what a receiver wants of a channel; what of a run that is |
//! | [`pattern`] | which channels are meant, by their names |
//! | [`wire`] | frames as bytes and as values |
//! | [`settings`] | how a channel is kept |
//! | [`auth`], [`permissions`], [`error_code`] | the token's proof; what its holder may do; what went wrong |
//! | [`conn`] | one connection, for both roles |
//! | [`subscription`], [`backoff`] | what outlives connections |
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod auth;
pub mod awaited;
pub mod backoff;
pub mod batch;
pub mod compression;
pub mod conn;
pub mod crc;
pub mod cursor;
pub mod digest;
pub mod error_code;
pub mod filter;
pub mod inflow;
pub mod limits;
pub mod meaning;
pub mod partition;
pub mod pattern;
pub mod permissions;
pub mod record;
pub mod settings;
pub mod sift;
pub mod subscription;
pub mod types;
pub mod wire;

pub use auth::{Side, Token};
pub use compression::Compression;
pub use cursor::{CursorName, Positions};
pub use digest::Digest;
pub use error_code::ErrorCode;
pub use filter::{Filter, FilterError};
pub use partition::Partitions;
pub use pattern::{InvalidPattern, Matcher, Pattern};
pub use permissions::Permissions;
pub use record::{AsRecord, NewRecord, Record, RecordRef};
pub use settings::{LogOptions, Retention, Settings, WhenFull};
pub use types::{
    ChannelName, Content, Durability, Epoch, Instant, LogId, NodeId, Offset, Position, ProducerId, Timestamp,
};
pub use wire::{LogInfo, Roles, Start};
