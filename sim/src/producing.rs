//! Sending a sequence of records into the channel, here or elsewhere, and watching what becomes of each.
//!
//! The same for a program in the node's process and for a publisher far away: both hold a `Sender`.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use netchan_node::sender::Reached;
use netchan_node::{Error, ErrorKind, Sender, Sent};
use netchan_proto::wire::{AckLevel, Note};
use netchan_proto::{Durability, NewRecord};

use crate::env::Env;
use crate::oracle::{Checked, Oracle, violated};
use crate::workload::{Plan, PublisherPlan, RecordId};

/// Records that are sent in one turn.
const TURN: usize = 40;

type Sending = Pin<Box<dyn Future<Output = Result<Sent, Error>> + Send>>;

/// One producer at work.
pub struct Producing {
    number: u16,
    plan: PublisherPlan,
    sender: Sender,
    /// The next record's sequence.
    next: u64,
    /// Records that may be sent by now.
    allowed: u64,
    sending: Option<(RecordId, Sending)>,
    written: Waiting,
    durable: Waiting,
}

/// Records that wait for one kind of acknowledgement, in order.
struct Waiting {
    level: AckLevel,
    records: VecDeque<(RecordId, Sent)>,
    /// For the first of them.
    reached: Option<Reached>,
}

impl Waiting {
    fn new(level: AckLevel) -> Waiting {
        Waiting { level, records: VecDeque::new(), reached: None }
    }

    /// Says whether one more was acknowledged.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<(RecordId, Result<Sent, Error>)> {
        let (_, sent) = self.records.front()?;
        let reached = self.reached.get_or_insert_with(|| match self.level {
            AckLevel::Durable => sent.durable(),
            _ => sent.written(),
        });
        match Pin::new(reached).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(result) => {
                self.reached = None;
                let (id, sent) = self.records.pop_front()?;
                Some((id, result.map(|()| sent)))
            }
        }
    }
}

impl Producing {
    /// Producer `number` sends through `sender`, from its record `next` on.
    pub fn new(number: u16, plan: PublisherPlan, sender: Sender, next: u64) -> Producing {
        Producing {
            number,
            plan,
            sender,
            next,
            allowed: next,
            sending: None,
            written: Waiting::new(AckLevel::Written),
            durable: Waiting::new(AckLevel::Durable),
        }
    }

    /// Some more records may be sent. Says whether there will be more bursts.
    pub fn burst(&mut self, env: &mut Env) -> bool {
        self.allowed = (self.allowed + env.dice.among(1..=self.plan.burst)).min(self.plan.records);
        self.allowed < self.plan.records
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub fn is_settled(&self) -> bool {
        self.next >= self.allowed
            && self.sending.is_none()
            && self.written.records.is_empty()
            && self.durable.records.is_empty()
    }

    /// Sends what may be sent, and looks at acknowledgements, which come from the node of `generation`. Says whether
    /// there is more to do at once.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run(
        &mut self,
        env: &mut Env,
        oracle: &mut Oracle,
        waker: &Waker,
        generation: usize,
        may_send: bool,
    ) -> Result<bool, crate::oracle::Violation> {
        let cx = &mut Context::from_waker(waker);
        self.look(env, oracle, cx, generation)?;
        if !may_send {
            // Nothing new; but what an earlier life of this producer had sent is sent again.
            self.allowed = oracle.count_handed(self.number);
            // Given up before it was taken: then it was not sent.
            self.sending.take_if(|(id, _)| id.sequence >= self.allowed);
        }
        for _ in 0..TURN {
            if !self.send(env, oracle, cx)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn send(
        &mut self,
        env: &mut Env,
        oracle: &mut Oracle,
        cx: &mut Context<'_>,
    ) -> Result<bool, crate::oracle::Violation> {
        if self.sending.is_none() {
            if self.next >= self.allowed {
                return Ok(false);
            }
            let id = RecordId { producer: self.number, sequence: self.next };
            self.note(env, oracle)?;
            let sender = self.sender.clone();
            let mut record = NewRecord::new(env.plan.payload(id));
            if let Some(key) = Plan::key(id) {
                record = record.key(key.to_vec());
            }
            self.sending = Some((id, Box::pin(async move { sender.send(record).await })));
        }
        let Some((id, sending)) = &mut self.sending else { return Ok(false) };
        let id = *id;
        let sent = match sending.as_mut().poll(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(error)) => violated!("{id:?} cannot be sent: {error}"),
        };
        self.sending = None;
        self.next += 1;
        let offset = if self.sender.publisher().is_none() { sent.offset() } else { None };
        oracle.handed(id, offset.map(|offset| offset.0))?;
        if self.sender.publisher().is_some() {
            env.counters.published += 1;
        } else {
            env.counters.appended += 1;
        }
        env.note("record {} of producer {} is sent", &[id.sequence, u64::from(id.producer)]);
        let is_sync = env.plan.durability == Durability::Sync;
        if is_sync || self.plan.wants_durable {
            self.durable.records.push_back((id, sent.clone()));
        }
        if !is_sync || id.sequence.is_multiple_of(3) {
            self.written.records.push_back((id, sent));
        }
        Ok(true)
    }

    /// A note goes before the next record, if it is time for one.
    fn note(&self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let is_due = self.plan.notes_every > 0 && self.next.is_multiple_of(self.plan.notes_every);
        let Some(publisher) = self.sender.publisher().filter(|_| is_due) else { return Ok(()) };
        let note = Note::new(self.next.to_le_bytes().to_vec()).unwrap_or_default();
        if let Err(error) = publisher.note(self.next, note) {
            violated!("a note before record {} of producer {} is refused: {error}", self.next, self.number);
        }
        env.counters.notes += 1;
        oracle.noted(self.number, self.next);
        Ok(())
    }

    fn look(
        &mut self,
        env: &mut Env,
        oracle: &mut Oracle,
        cx: &mut Context<'_>,
        generation: usize,
    ) -> Checked {
        for waiting in [&mut self.written, &mut self.durable] {
            while let Some((id, sent)) = waiting.poll(cx) {
                let sent = match sent {
                    Ok(sent) => sent,
                    Err(error)
                        if waiting.level == AckLevel::Durable && error.kind() == ErrorKind::Poisoned =>
                    {
                        oracle.told_lost(id, generation)?;
                        env.note("record {} of producer {} is lost", &[id.sequence, u64::from(id.producer)]);
                        continue;
                    }
                    Err(error) => violated!("{id:?} failed: {error}"),
                };
                let level = waiting.level;
                let what = match level {
                    AckLevel::Durable => "record {} of producer {} is durable",
                    _ => "record {} of producer {} is written",
                };
                env.counters.durable_acks += u64::from(level == AckLevel::Durable);
                env.note(what, &[id.sequence, u64::from(id.producer)]);
                oracle.acknowledged(id, level, sent.offset().map(|offset| offset.0), generation)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Producing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producing")
            .field("number", &self.number)
            .field("next", &self.next)
            .field("allowed", &self.allowed)
            .field("is_sending", &self.sending.is_some())
            .field("unwritten", &self.written.records.len())
            .field("not_durable", &self.durable.records.len())
            .finish_non_exhaustive()
    }
}
