//! Durable channels between programs over a network, without a broker.
#[cfg(feature = "tokio")]
pub use netchan_tokio::*;
