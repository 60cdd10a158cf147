//! A stream's filter at work: what of the log was judged, what of that the receiver knows, and what judges it where.
//!
//! Owns the filter and the place up to which what was sent covers the log. What lies between that and where the stream is did not
//! pass, and is told in time. Neighbours: [`super::sending`] moves the bytes; [`netchan_proto::sift`] judges.

use bytes::{Buf, Bytes};
use netchan_proto::batch::BatchHeader;
use netchan_proto::limits::{FILTER_JOB, FILTER_TURN, PROGRESS_INTERVAL};
use netchan_proto::sift::{SiftError, Sifted, Skip, sift};
use netchan_proto::wire::{ErrorFrame, GapReason};
use netchan_proto::{ErrorCode, Filter, Instant, LogId, Offset};
use netchan_store::{Log, LogError, Part, Run};

use super::glance::{At, Glance};
use super::refusal::refuse;
use crate::budget::{Budget, Held};
use crate::stats::Done;

/// What was read for a stream.
#[derive(Debug)]
pub(super) enum Loaded {
    /// As it stands in the log.
    Part(Part),
    /// What passed of it.
    Sifted(Sifted),
    /// The batch at the tail passes whole.
    Passes,
}

/// Why nothing was.
#[derive(Debug)]
pub(super) enum NotLoaded {
    Log(LogError),
    /// Judging a record takes too many steps.
    TooCostly(ErrorFrame),
    /// A batch whose records contradict each other.
    Damaged {
        to: Offset,
    },
}

impl NotLoaded {
    /// Where to go on and why, or how it ends.
    pub(super) fn verdict(self) -> Result<(Offset, GapReason), ErrorFrame> {
        match self {
            NotLoaded::Log(LogError::Trimmed { to, .. }) => Ok((to, GapReason::Retention)),
            NotLoaded::Log(LogError::Damaged { to, .. }) | NotLoaded::Damaged { to } => {
                Ok((to, GapReason::Damaged))
            }
            NotLoaded::Log(error) => Err(refuse(error)),
            NotLoaded::TooCostly(error) => Err(error),
        }
    }
}

fn not_sifted(error: SiftError, from: Offset) -> NotLoaded {
    match error {
        SiftError::TooCostly { at } => {
            let frame = ErrorFrame::new(ErrorCode::FILTER, error.to_string());
            NotLoaded::TooCostly(ErrorFrame { at: Some(at), ..frame })
        }
        // A header that does not hold is met by the store before.
        SiftError::Damaged { to, .. } => NotLoaded::Damaged { to: to.unwrap_or(from.plus(1)) },
        _ => NotLoaded::Damaged { to: from.plus(1) },
    }
}

/// Judges what was read from the disk at `from`. Blocks.
pub(super) fn judge_part(
    filter: &Filter,
    log: &Log,
    from: At,
    part: Part,
    budget: &Budget,
) -> Result<Loaded, NotLoaded> {
    let judge = |bytes: &Bytes, enough| {
        sift(filter, bytes, from.offset, &log.id().0, enough).map_err(|error| not_sifted(error, from.offset))
    };
    match part {
        // Of a batch that passed, and was sent in part. What follows it is judged when its turn comes.
        Part::Run(run) if from.skip > 0 => {
            let first = Glance::at(&run.bytes);
            let next = first.next.unwrap_or(run.next);
            Ok(Loaded::Part(Part::Run(Run { bytes: run.bytes.slice(..first.len), next, ..run })))
        }
        Part::Run(run) if run.bytes.is_empty() => Ok(Loaded::Part(Part::Run(run))),
        Part::Run(run) => judge(&run.bytes, FILTER_JOB).map(Loaded::Sifted),
        // Larger than a run: read whole for this once, and if it passes, sent part by part as if there were no filter.
        Part::OfBatch { at: 0, .. } => {
            let _one = budget.judge_large();
            let whole = log.read(from.offset, 0).map_err(NotLoaded::Log)?;
            let sifted = judge(&whole.bytes, u64::MAX)?;
            Ok(if sifted.is_whole { Loaded::Part(part) } else { Loaded::Sifted(sifted) })
        }
        Part::OfBatch { .. } => Ok(Loaded::Part(part)),
    }
}

/// Judges one batch of the log's tail, whose records from `from` on are wanted.
pub(super) fn judge_batch(
    filter: &Filter,
    log: LogId,
    from: Offset,
    stored: &Bytes,
) -> Result<(Loaded, u64), NotLoaded> {
    let sifted = sift(filter, stored, from, &log.0, u64::MAX).map_err(|error| not_sifted(error, from))?;
    let steps = sifted.steps;
    Ok((if sifted.is_whole { Loaded::Passes } else { Loaded::Sifted(sifted) }, steps))
}

/// The filter of one stream.
#[derive(Debug)]
pub(super) struct Sieve {
    filter: Filter,
    log: LogId,
    /// What was sent covers the log up to here.
    covered: Offset,
    /// The header of the last batch that was judged.
    last: BatchHeader,
    /// The visible end that the receiver was told when it opened: where it may want to stop.
    goal: Offset,
    told: Option<Instant>,
    /// The batch of the tail that begins here passes whole.
    passing: Option<Offset>,
    /// The rest of a batch that goes before all else.
    ahead_of_all: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    bytes: Bytes,
    done: Done,
    _counted: Option<Held>,
}

impl Sieve {
    pub(super) fn new(filter: Filter, log: LogId, start: Offset, goal: Offset) -> Sieve {
        Sieve {
            filter,
            log,
            covered: start,
            last: BatchHeader::default(),
            goal,
            told: None,
            passing: None,
            ahead_of_all: None,
        }
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether a batch of so many bytes may be judged while others wait.
    pub(super) fn is_quick(&self, bytes: usize) -> bool {
        self.filter.weight().saturating_mul(bytes as u64) <= FILTER_TURN
    }

    /// What was judged last, and how far what was sent covers the log, if it says.
    pub(super) fn cover(&mut self, covered: Offset, last: Option<BatchHeader>) {
        self.covered = covered;
        self.last = last.unwrap_or(self.last);
    }

    /// Nothing of the batch passed.
    pub(super) fn pass_over(&mut self, last: BatchHeader) {
        self.last = last;
    }

    pub(super) fn let_pass(&mut self, base: Offset) {
        self.passing = Some(base);
    }

    pub(super) fn lets_pass(&self, base: Offset) -> bool {
        self.passing == Some(base)
    }

    /// Whether the receiver does not know yet that nothing passes up to `next`.
    pub(super) fn owes(&self, next: Offset) -> bool {
        self.covered < next
    }

    /// Whether it is time to tell it.
    pub(super) fn is_due(&self, next: Offset, now: Instant) -> bool {
        self.owes(next)
            && (self.told.is_none_or(|told| now.since(told) >= PROGRESS_INTERVAL)
                || (self.covered < self.goal && self.goal <= next))
    }

    /// When it will be time, if nothing else comes.
    pub(super) fn deadline(&self, next: Offset) -> Option<Instant> {
        let told = self.told.filter(|_| self.owes(next) && self.ahead_of_all.is_none());
        told.map(|told| told.plus(PROGRESS_INTERVAL))
    }

    /// Has it told that nothing passes up to `next`.
    pub(super) fn tell(&mut self, next: Offset, now: Instant) {
        let skip = Skip { from: self.covered, to: next, last: self.last };
        self.covered = next;
        self.told = Some(now);
        self.go_ahead(skip.encode(&self.log.0).into(), Done { records: 0, next: Some(next) }, None);
    }

    /// Has these bytes sent before all else.
    pub(super) fn go_ahead(&mut self, bytes: Bytes, done: Done, counted: Option<Held>) {
        self.ahead_of_all = Some(Rest { bytes, done, _counted: counted });
    }

    /// Whether something goes before all else.
    pub(super) fn has_rest(&self) -> bool {
        self.ahead_of_all.is_some()
    }

    /// Up to `room` bytes of what goes before all else, and what is done with them.
    pub(super) fn take_rest(&mut self, room: usize) -> Option<(Bytes, Done)> {
        let rest = self.ahead_of_all.as_mut()?;
        let bytes = rest.bytes.copy_to_bytes(room.min(rest.bytes.len()));
        let done = if rest.bytes.is_empty() { rest.done } else { Done::default() };
        if rest.bytes.is_empty() {
            self.ahead_of_all = None;
        }
        Some((bytes, done))
    }
}
