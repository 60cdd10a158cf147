//! proto and store bound together: what a netchan program does, without a runtime, a socket or a timer.
//!
//! Those are asked of whoever drives the machines here. Nothing in this crate blocks but what says so, and
//! nothing here knows which runtime it runs under.
//!
//! | room | holds |
//! |---|---|
//! | [`machine`] | the contract between a machine and its driver; [`job`]: blocking work it hands over |
//! | [`node`] | what the machines of one process share; [`config`]: its settings and their rules |
//! | `budget` | what all peers together may make a node hold and do |
//! | [`serve`] | a connection that reads and publishes into this node's logs |
//! | [`receiver`] | reading a channel over as many connections as it takes; [`event`]: what happens on the way |
//! | [`sender`] | sending into a channel, this node's or another's; [`publisher`]: the way to another's |
//! | [`typed`] | values in place of bytes: codecs, and transforms that go over them |
//! | [`handles`] | what programs hold, written once for all runtimes |
//! | [`question`] | one question to another node: about a channel, for names, to seal or delete one |
//! | `attendance` | who receives from a channel, how far each has it, and who waits for that |
//! | `stats` | what a node counts while it works, and what it tells of that |
//! | [`place`] | who holds this machine's data directory; [`target`]: how people name a channel |
//! | [`error`] | the one error that programs see; [`words`]: what programs use beside the handles |
//! | [`reply`] | an answer that one owes and another waits for, without a runtime |
#![forbid(unsafe_code)]

mod admin;
mod attendance;
mod budget;
pub mod config;
pub mod error;
pub mod event;
pub mod handles;
pub mod job;
pub mod machine;
pub mod node;
pub mod place;
pub mod publisher;
pub mod question;
pub mod receiver;
mod redial;
pub mod reply;
pub mod sender;
pub mod serve;
mod stats;
mod sync;
pub mod target;
pub mod typed;
mod wake;
pub mod words;

pub use config::{Limits, NodeConfig};
pub use error::{Error, ErrorKind};
pub use event::{Event, Events};
pub use handles::{
    Adapter, Handle, NodeBuilder, PartitionedBuilder, PartitionedSender, PatternBuilder, PatternReceiver,
    ReceiverBuilder, SenderBuilder,
};
pub use job::Job;
pub use machine::{Dialling, Lost, Machine};
pub use node::Node;
pub use publisher::{Producer, Publisher, PublisherCore, PublisherOptions};
pub use question::{Answer, Ask, Question};
pub use receiver::{
    ChannelPositions, MERGE_WINDOW, Next, PatternCore, PatternOptions, Received, ReceiverCore,
    ReceiverOptions, Wanted,
};
pub use sender::{Sender, Sent};
pub use serve::{Calling, Served};
pub use target::{
    Names, Remote, Target, parse_channels, parse_names, parse_node, parse_pattern, parse_place,
};
