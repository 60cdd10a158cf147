//! The node itself as two looks show it.

use std::time::Duration;

use netchan::{Counter, CounterKind, Counters, NodeStatus};

use super::history::{History, rate};
use crate::top::sample::Sample;

/// The node, and how it goes.
#[derive(Clone, Debug)]
pub(crate) struct NodeRow {
    pub(crate) status: NodeStatus,
    /// What it counted since the look before, and how long that is ago.
    recent: Option<(Counters, Duration)>,
    pub(crate) records_in: History,
    pub(crate) records_out: History,
}

impl NodeRow {
    /// As `sample` shows it; `before` is what was known of the same run of the same node.
    pub(crate) fn new(sample: &Sample, before: Option<(NodeRow, Duration)>) -> NodeRow {
        let status = sample.node.clone();
        let mut row = match before {
            None => NodeRow {
                status,
                recent: None,
                records_in: History::default(),
                records_out: History::default(),
            },
            Some((before, took)) => {
                let recent = Some((status.counters.since(&before.status.counters), took));
                NodeRow { status, recent, ..before }
            }
        };
        row.records_in.push(row.rate(Counter::RECORDS_APPENDED));
        row.records_out.push(row.rate(Counter::RECORDS_DELIVERED));
        row
    }

    /// How much more of it there is a second, if it is of a kind that grows.
    pub(crate) fn rate(&self, counter: Counter) -> Option<f64> {
        let (recent, took) = self.recent.as_ref().filter(|_| counter.kind() == CounterKind::Counter)?;
        rate(0, recent.get(counter)?, *took)
    }

    pub(crate) fn count(&self, counter: Counter) -> Option<u64> {
        self.status.counters.get(counter)
    }

    /// What was counted of syncs since the look before and `true`, or, where there were none, since the node was started.
    pub(crate) fn syncs(&self) -> (&Counters, bool) {
        match &self.recent {
            Some((recent, _)) if recent.get(Counter::SYNCS).is_some_and(|syncs| syncs > 0) => (recent, true),
            _ => (&self.status.counters, false),
        }
    }

    /// Nanoseconds, and how many syncs took no longer than that and longer than the step before: the steps at which
    /// there are any, and those between them.
    pub(crate) fn sync_steps(&self) -> Vec<(u64, u64)> {
        let (syncs, _) = self.syncs();
        let mut below = 0;
        let step = |(counter, nanos)| {
            let up_to: u64 = syncs.get(counter).unwrap_or(0);
            (nanos, up_to.saturating_sub(std::mem::replace(&mut below, up_to)))
        };
        let mut steps: Vec<(u64, u64)> = Counter::sync_steps().map(step).collect();
        let is_there = |&(_, count): &(u64, u64)| count > 0;
        steps.truncate(steps.iter().rposition(is_there).map_or(0, |last| last + 1));
        steps.drain(..steps.iter().position(is_there).unwrap_or(0));
        steps
    }
}
