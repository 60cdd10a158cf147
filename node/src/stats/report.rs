//! All that a node has counted, put together.

use std::sync::atomic::Ordering;

use netchan_proto::wire::{Counter, NodeStatus};

use super::{Stats, Tally};
use crate::node::Node;
use crate::wake::lock;

/// Which program this is.
const VERSION: &str = concat!("netchan ", env!("CARGO_PKG_VERSION"));

impl Node {
    /// How this node is, and what it has counted since it was made. May wait for the disk.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let stats = self.stats();
        let mut counters: Vec<(Counter, u64)> = Vec::new();
        stats.report(&mut counters);
        if let Some(store) = self.store() {
            counters.extend(store.counters());
        }
        counters.push((Counter::MEMORY_HELD, self.budget().held() as u64));
        counters.push((Counter::MEMORY_HELD_LIMIT, self.budget().limits().memory as u64));
        NodeStatus {
            node: self.id(),
            version: VERSION.to_owned(),
            started: stats.started,
            now: self.clock(),
            counters: counters.into_iter().collect(),
        }
    }
}

impl Stats {
    fn report(&self, counters: &mut Vec<(Counter, u64)>) {
        counters.extend(self.doors.each().map(|(counter, count)| (counter, count.get())));
        let mut sums: Vec<(Counter, u64)> =
            Tally::default().each().map(|(counter, _)| (counter, 0)).collect();
        {
            let open = lock(&self.open);
            let unproven = open.values().filter(|line| !line.proven.load(Ordering::Relaxed)).count();
            counters.push((Counter::CONNECTIONS_OPEN, open.len() as u64));
            counters.push((Counter::CONNECTIONS_UNPROVEN, unproven as u64));
            self.gone.add_to(&mut sums);
            open.values().for_each(|line| line.tally.add_to(&mut sums));
        }
        counters.extend(sums);
        let (readers, publishers) = self.count_readers();
        counters.push((Counter::READERS, readers));
        counters.push((Counter::PUBLISHERS, publishers));
    }
}
