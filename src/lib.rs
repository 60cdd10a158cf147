//! Durable channels between programs, without a broker.
//!
//! A program sends records into a channel; programs elsewhere receive them. The sender keeps the channel in a log on its
//! own disk, and receivers pull it over the network: from the start, from an offset, from a time, or live; as often as
//! they like; whether or not both run at the same time.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let data = dir.path();
//! use netchan::{Node, Start};
//!
//! // Here: a node that keeps its channels in a directory, and listens.
//! let here = Node::builder().data_dir(data).listen("127.0.0.1:0").start().await?;
//! let orders = here.sender("orders").open().await?;
//! let sent = orders.send("one coffee").await?; // in order
//! sent.durable().await?; // on disk
//!
//! // There: a node that only receives.
//! let there = Node::builder().start().await?;
//! let address = here.local_addr().ok_or("not listening")?;
//! let mut receiver = there.receiver(format!("{address}/orders")).from(Start::Earliest).open().await?;
//! let record = receiver.recv().await?.ok_or("sealed")?;
//! assert_eq!(record.payload, "one coffee");
//!
//! // A seal, and nothing else, is the end.
//! orders.seal().await?;
//! assert!(receiver.recv().await?.is_none());
//! # Ok(()) }
//! ```
//!
//! | to | see |
//! |---|---|
//! | keep channels, listen, shut down | [`Node`], [`NodeBuilder`] |
//! | send, here or to another node | [`Sender`], [`Sent`], [`SenderBuilder`] |
//! | receive, from here or another node | [`Receiver`], [`ReceiverBuilder`], [`Start`], [`Record`] |
//! | choose when a record counts as sent | [`Durability`] |
//! | know what went wrong, and whether to try again | [`Error`], [`ErrorKind`] |
//!
//! A record is *queued* when [`Sender::send`] is ready: it has its place in order. It is *written* when it survives the end
//! of the process, and *durable* when it survives the loss of power. Receivers see it when it is as safe as the channel's
//! [`Durability`] says: by default, when it is durable.
//!
//! This crate has no code of its own. With the feature `tokio` (the default) it is `netchan-tokio`; the features `smol` and
//! `std` add [`smol`](https://docs.rs/netchan-smol) and [`std`](https://docs.rs/netchan-std): the same words on smol and on
//! plain threads, side by side with the others if need be.
#![forbid(unsafe_code)]

#[cfg(feature = "smol")]
pub use netchan_smol as smol;
#[cfg(feature = "std")]
pub use netchan_std as std;
#[cfg(feature = "tokio")]
pub use netchan_tokio::*;

/// The README's examples run as tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
