//! netchan on tokio: sockets, timers and tasks, and nothing else.
//!
//! Every decision (when to dial again, where to resume, whom to trust) is taken below, in `netchan-node`; here bytes go
//! between its machines and the streams of this runtime.
//!
//! | room | holds |
//! |---|---|
//! | `node`, `builder` | the handle that a program holds, and what it is told |
//! | `sender`, `receiver` | channels, opened |
//! | `hub` | what the handles of one node share: place, doors, tasks |
//! | `line`, `pump` | a machine and its link; bytes and time for it |
//! | `sockets` | TCP and Unix sockets |
#![forbid(unsafe_code)]

mod builder;
mod hub;
mod line;
mod node;
mod pump;
mod receiver;
mod sender;
mod sockets;

pub use builder::NodeBuilder;
pub use netchan_node::{Error, ErrorKind, Event, Producer, Sender, Sent, Target};
pub use netchan_proto::wire::{GapReason, Note};
pub use netchan_proto::{
    AsRecord, ChannelName, Durability, Epoch, LogId, LogInfo, NewRecord, NodeId, Offset, Position,
    ProducerId, Record, RecordRef, Side, Start, Timestamp,
};
pub use netchan_store::{LogOptions, Retention, StoreOptions};
pub use node::Node;
pub use pump::ByteStream;
pub use receiver::{Receiver, ReceiverBuilder};
pub use sender::SenderBuilder;
