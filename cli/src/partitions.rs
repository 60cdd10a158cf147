//! A channel with partitions that is called by its own name: what is to be done is done to each of them.
//!
//! The library does nothing to all of a channel at once; its error says that there is more than one log.

use anyhow::Result;
use netchan::{Error, Node, Target};

/// Whether an error says that a channel was meant that has partitions: by its own name, not by that of one that it does not have.
pub(crate) fn is_of_all(error: &Error, target: &Target) -> bool {
    error.partitions().is_some() && target.name.partition().is_none()
}

/// The partitions that there are of a channel.
pub(crate) async fn parts(node: &Node, target: &Target) -> Result<Vec<Target>> {
    let mut infos = node.channels(format!("{target}@")).await?;
    infos.sort_by_key(|info| info.name.partition());
    Ok(infos.into_iter().map(|info| Target { remote: target.remote.clone(), name: info.name }).collect())
}
