//! Reads a whole log, as somebody would who opens it after a crash.

use netchan_proto::inflow::Inflow;
use netchan_proto::{Offset, Record};
use netchan_store::Log;

use crate::oracle::{Found, Violation, violated};
use crate::workload::Plan;

/// Bytes of one read.
const READ: usize = 1 << 20;

/// Everything in the log, from its first record to its visible end.
///
/// # Errors
/// What cannot be read, or is no record of this run.
pub fn read_all(log: &Log, plan: &Plan) -> Result<Vec<Found>, Violation> {
    let mut found = Vec::new();
    let mut at = log.first();
    let mut inflow = Inflow::new(log.id().0);
    while at < log.visible() {
        let run = match log.read(at, READ) {
            Ok(run) => run,
            Err(error) => violated!("the log cannot be read at {at}: {error}"),
        };
        if run.first != at {
            violated!("reading the log at {at} gave {}", run.first);
        }
        inflow.push(run.bytes);
        loop {
            match inflow.next_batch() {
                Ok(Some(batch)) => {
                    for record in batch.records() {
                        let Ok(record) = record else { violated!("a batch of the log holds no records") };
                        let Some(id) = plan.identify(&record.payload) else {
                            violated!("offset {} of the log holds what nobody sent", record.offset);
                        };
                        let Offset(offset) = record.offset;
                        found.push(Found { id, offset, time: record.timestamp });
                    }
                }
                Ok(None) => break,
                Err(error) => violated!("the log holds no batch after {at}: {error}"),
            }
        }
        if run.next <= at {
            violated!("reading the log at {at} leads back to {}", run.next);
        }
        at = run.next;
    }
    Ok(found)
}

/// Of a log in which each record tells which it is, those from an offset to the visible end, each with its offset.
///
/// # Errors
/// What cannot be read, or nobody sent.
pub fn read_from<T>(
    log: &Log,
    from: Offset,
    identify: impl Fn(&Record) -> Option<T>,
) -> Result<Vec<(u64, T)>, Violation> {
    let (name, mut found, mut at) = (log.name(), Vec::new(), from);
    let mut inflow = Inflow::new(log.id().0);
    while at < log.visible() {
        let run = match log.read(at, READ) {
            Ok(run) => run,
            Err(error) => violated!("{name} cannot be read at {at}: {error}"),
        };
        inflow.push(run.bytes);
        while let Ok(Some(batch)) = inflow.next_batch() {
            for record in batch.records().flatten().filter(|record| record.offset >= at) {
                let Some(known) = identify(&record) else {
                    violated!("{name} holds at {} what nobody sent", record.offset);
                };
                found.push((record.offset.0, known));
            }
        }
        if run.next <= at {
            violated!("reading {name} at {at} leads back to {}", run.next);
        }
        at = run.next;
    }
    if found.len() as u64 != log.visible().0.saturating_sub(from.0) {
        violated!("{name} holds {} records of {from}..{}", found.len(), log.visible());
    }
    Ok(found)
}
