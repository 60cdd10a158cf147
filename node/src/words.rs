//! What programs use beside the handles, the same with every runtime: each adapter gives these on.

pub use crate::error::{Error, ErrorKind};
pub use crate::event::Event;
pub use crate::handles::Left;
pub use crate::publisher::Producer;
pub use crate::target::Target;
pub use netchan_proto::wire::{
    Counter, CounterKind, CounterUnit, Counters, GapReason, NodeStatus, Note, ReaderInfo, ReaderKind,
    ReadersReply,
};
pub use netchan_proto::{
    AsRecord, ChannelName, Durability, Epoch, LogId, LogInfo, NewRecord, NodeId, Offset, Position,
    ProducerId, Record, RecordRef, Side, Start, Timestamp,
};
pub use netchan_store::{LogOptions, Retention, StoreOptions, WhenFull};
