//! The handles that programs hold, written once for all runtimes: settings, steps, decisions and their documentation.
//!
//! Owns what a handle is told and what it does about it. How to wait, where sockets, tasks and timers come from, and
//! what a program gets back (a future, or what comes of it) is the [`Adapter`]'s.

mod adapter;
pub mod blocking;
mod builder;
mod gulp;
mod handle;
mod hub;
mod line;
mod partitioned;
mod pattern;
mod pump;
mod receiver;
mod receiving;
mod sending;
mod tasks;
mod typed;
mod typed_pattern;

pub use self::adapter::{
    Adapter, Alarm, Brings, Connects, Entered, FAR, KEEPALIVE, Reached, Running, Task, Way,
};
pub use self::builder::NodeBuilder;
pub use self::gulp::Gulp;
pub use self::handle::Handle;
pub use self::hub::{Hub, Left};
pub use self::partitioned::{PartitionedBuilder, PartitionedSender};
pub use self::pattern::{PatternBuilder, PatternReceiver};
pub use self::receiver::Receiver;
pub use self::receiving::ReceiverBuilder;
pub use self::sending::SenderBuilder;
#[cfg(feature = "sink")]
pub use self::typed::ValueSink;
pub use self::typed::{Typed, TypedBuilder};
pub use self::typed_pattern::TypedPatternReceiver;
