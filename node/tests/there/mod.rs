//! A served node at the other end of the wire.

use std::sync::Arc;
use std::task::Waker;

use netchan_node::{Machine, Served};
use netchan_proto::conn::Connection;
use netchan_proto::{Instant, Side};

use crate::far::{Across, Woken};
use crate::house::House;

/// A node on a simulated disk, at the other end of the wire.
pub(crate) struct There {
    pub house: Arc<House>,
    pub served: Option<Served>,
    woken: Arc<Woken>,
    waker: Waker,
}

impl There {
    pub(crate) fn new(house: impl Into<Arc<House>>) -> There {
        let (woken, waker) = Woken::new();
        There { house: house.into(), served: None, woken, waker }
    }
}

impl Across for There {
    fn accept(&mut self, now: Instant) {
        self.served = Some(Served::new(&self.house.node, Side::Listener, false, now));
    }

    fn hang_up(&mut self) {
        self.served = None;
    }

    fn turn(&mut self, now: Instant) -> bool {
        let Some(served) = &mut self.served else { return false };
        let mut moved = false;
        loop {
            let before = self.woken.count();
            served.work(now, &self.waker);
            let mut worked = false;
            while let Some(job) = served.take_job() {
                job.run();
                worked = true;
            }
            self.house.commit();
            if !worked && self.woken.count() == before {
                break;
            }
            moved = true;
        }
        moved | served.connection().is_some_and(|connection| connection.has_outbound())
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        self.served.as_mut().and_then(Served::connection)
    }
}
