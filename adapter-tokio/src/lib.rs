//! netchan on tokio: sockets, timers and tasks, and nothing else.
//!
//! Every decision (when to dial again, where to resume, whom to trust) is taken below, in `netchan-node`; here
//! bytes go between its machines and the streams of this runtime.
#![forbid(unsafe_code)]

mod builder;
mod node;
mod placeholder;
mod receiver;
mod sender;

pub use builder::NodeBuilder;
pub use netchan_proto::wire::GapReason;
pub use netchan_proto::{
    AsRecord, ChannelName, Durability, Epoch, LogId, LogInfo, NewRecord, NodeId, Offset, Position,
    ProducerId, Record, RecordRef, Side, Start, Timestamp, Token,
};
pub use netchan_store::Retention;
pub use node::Node;
pub use placeholder::{Error, ErrorKind, Event, Sender, Sent, Target};
pub use receiver::{Receiver, ReceiverBuilder};
pub use sender::SenderBuilder;
