//! Somebody who watches the node: what it tells of itself has to agree with what it does.

use netchan_node::Node;
use netchan_proto::wire::{CounterKind, Counters, ReaderKind};

use crate::oracle::{Checked, violated};

/// Looks at the node that are passed over between two that ask.
const EVERY: u32 = 8;

/// What one life of the node has told.
#[derive(Debug, Default)]
pub struct Watch {
    looks: u32,
    last: Counters,
}

impl Watch {
    /// Asks now and then how the node is, which serves `served` connections.
    ///
    /// # Errors
    /// A promise broken.
    pub fn look(&mut self, node: &Node, served: usize) -> Checked {
        self.looks += 1;
        if !self.looks.is_multiple_of(EVERY) {
            return Ok(());
        }
        let now = node.status().counters;
        for (counter, value) in now.iter() {
            let before = self.last.get(counter).unwrap_or(0);
            if counter.kind() == CounterKind::Counter && value < before {
                violated!("{counter} was {before} and is {value}");
            }
        }
        if now.connections_open() != Some(served as u64) {
            violated!("{served} connections are served, and {:?} are told of", now.connections_open());
        }
        if now.bytes_delivered() > now.bytes_out().map(|bytes| bytes + (1 << 20) * (1 + served as u64)) {
            violated!("more was delivered than can have gone over the connections: {now:?}");
        }
        if now.syncs_1049ms() > now.syncs() || now.syncs() > now.records_appended().map(|count| count + 1000)
        {
            violated!("the syncs do not add up: {now:?}");
        }
        self.last = now;
        self.readers(node)
    }

    /// Who reads is where it can be.
    fn readers(&self, node: &Node) -> Checked {
        let told = node.all_readers(None, usize::MAX);
        let reading = told.readers.iter().filter(|info| info.kind == ReaderKind::Reads).count() as u64;
        let publishing = told.readers.len() as u64 - reading;
        if (self.last.readers(), self.last.publishers()) != (Some(reading), Some(publishing)) {
            violated!(
                "{reading} read and {publishing} publish, and that is not what is counted: {:?}",
                self.last
            );
        }
        let mut last = 0;
        for info in &told.readers {
            if info.id <= std::mem::replace(&mut last, info.id) {
                violated!("{} comes after {last}", info.id);
            }
            if info.kind == ReaderKind::Reads && info.offset > info.next {
                violated!("a reader is past the end: {info:?}");
            }
            if info.lag() == Some(0) && info.behind > 0 {
                violated!("a reader has all there is, and {} bytes to come", info.behind);
            }
        }
        Ok(())
    }
}
