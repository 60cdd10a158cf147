//! Durable channels between programs over a network, without a broker.
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
pub use netchan_tokio::*;
