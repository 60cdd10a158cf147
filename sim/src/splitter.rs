//! A sender into all partitions of a channel: a program elsewhere that has a connection for each, is cut off, dies and comes back.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netchan_node::sender::{PartitionSenders, Reached};
use netchan_node::{Dialling, Error, Lost, Machine, Producer, PublisherCore, PublisherOptions, Sender, Sent};
use netchan_proto::{Durability, NewRecord, ProducerId, Side};

use crate::clock::Bell;
use crate::env::{Actor, Env, Event, Line, Party};
use crate::host::Host;
use crate::names::{PARTED, partition};
use crate::network::{Ending, Socket};
use crate::oracle::{Checked, Oracle, Violation, violated};
use crate::parts::{PartRecord, SplitterPlan};

/// Rounds of IO, and records, before others have their turn.
const TURNS: usize = 50;

type Sending = Pin<Box<dyn Future<Output = Result<Sent, Error>> + Send>>;
type Asking = Pin<Box<dyn Future<Output = Result<Producer, Error>> + Send>>;

/// One such sender.
pub struct Splitter {
    slot: usize,
    plan: SplitterPlan,
    /// Who it was in its last run: its number, and its producer in all partitions.
    last: Option<(u16, ProducerId)>,
    life: Option<Life>,
    ways: Vec<Way>,
}

/// Its way to one partition.
struct Way {
    line: Line,
    bell: Bell,
    dialling: Option<u64>,
    dials: u64,
}

/// One run of its program.
struct Life {
    sender: u16,
    cores: Vec<PublisherCore>,
    senders: PartitionSenders,
    /// It goes on where it was: what does each partition have?
    asking: Option<Vec<(Asking, Option<u64>)>>,
    /// Of each partition, the records that it has already.
    skipped: Vec<u64>,
    /// And the next record there.
    next: Vec<usize>,
    item: u32,
    allowed: u32,
    /// Of each key, the records so far.
    numbers: Vec<u32>,
    sending: Option<(u16, Sending)>,
    waiting: Vec<Waiting>,
}

/// Records of one partition that wait until they are durable.
#[derive(Default)]
struct Waiting {
    records: VecDeque<(usize, Sent)>,
    /// For the first of them.
    reached: Option<Reached>,
}

impl Splitter {
    /// A sender that has not come yet.
    pub fn new(slot: usize, plan: SplitterPlan, partitions: u16, env: &mut Env) -> Splitter {
        let way = |number: u16, env: &Env| Way {
            line: Line::default(),
            bell: env.wakes.bell(Actor::Remote(Party::Splitter(slot, number))),
            dialling: None,
            dials: 0,
        };
        let ways = (0..partitions).map(|number| way(number, env)).collect();
        let splitter = Splitter { slot, plan, last: None, life: None, ways };
        env.schedule.after(env.plan.chaos / 400, Event::Burst(splitter.actor(0)));
        splitter
    }

    fn actor(&self, number: u16) -> Actor {
        Actor::Remote(Party::Splitter(self.slot, number))
    }

    /// Its number, in this run or the last.
    pub fn number(&self) -> Option<u16> {
        self.last.map(|(number, _)| number)
    }

    /// Whether its program runs.
    pub fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Whether its program runs, and nothing waits to be sent or acknowledged.
    pub fn is_settled(&self) -> bool {
        self.life.as_ref().is_some_and(|life| {
            life.asking.is_none()
                && life.sending.is_none()
                && life.item >= life.allowed
                && life.waiting.iter().all(|waiting| waiting.records.is_empty())
        })
    }

    /// Some more may be sent; its program starts if it does not run.
    ///
    /// # Errors
    /// It does not start.
    pub fn burst(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        if self.life.is_none() {
            self.start(env, oracle)?;
        }
        let Some(life) = &mut self.life else { return Ok(()) };
        let burst = u32::try_from(env.dice.among(1..=self.plan.burst)).unwrap_or(1);
        life.allowed = (life.allowed + burst).min(self.plan.records);
        if life.allowed < self.plan.records {
            let pause = env.dice.time(self.plan.pause / 8, self.plan.pause * 2);
            env.schedule.after(pause, Event::Burst(self.actor(0)));
        }
        Ok(())
    }

    fn start(&mut self, env: &mut Env, oracle: &mut Oracle) -> Checked {
        let before =
            self.last.filter(|(sender, _)| self.plan.resumes() && !oracle.parts.is_of_the_past(*sender));
        let resume = before.is_some();
        let (sender, producer) =
            before.unwrap_or_else(|| (oracle.parts.add_sender(), ProducerId(env.dice.bytes16())));
        self.last = Some((sender, producer));
        let Some(count) = env.plan.parts.as_ref().map(|parts| parts.count) else { return Ok(()) };
        let node = env.remote_node()?;
        let (mut cores, mut senders, mut asking) = (Vec::new(), Vec::new(), Vec::new());
        for number in count.all() {
            let options = PublisherOptions {
                durability: Some(Durability::Sync),
                resume,
                partitions: Some(count),
                max_unacknowledged: self.plan.max_unacknowledged,
                ..PublisherOptions::new(partition(number), producer)
            };
            let (core, handle) = PublisherCore::new(&node, options);
            asking.push((Box::pin(handle.producer()) as Asking, None));
            cores.push(core);
            senders.push(Sender::remote(handle));
        }
        let first = env.dice.index(100);
        let senders = match PartitionSenders::new(partition(0).base(), count, senders, first) {
            Ok(senders) => senders,
            Err(error) => violated!("there are no senders into {PARTED}: {error}"),
        };
        let partitions = usize::from(count.get());
        self.life = Some(Life {
            sender,
            cores,
            senders,
            asking: resume.then_some(asking),
            skipped: vec![0; partitions],
            next: vec![0; partitions],
            item: 0,
            allowed: if resume { oracle.parts.items(sender) } else { 0 },
            numbers: vec![0; usize::try_from(self.plan.keys).unwrap_or(1)],
            sending: None,
            waiting: (0..partitions).map(|_| Waiting::default()).collect(),
        });
        env.note("splitter {} is there, as sender {}", &[self.slot as u64, sender.into()]);
        for number in count.all() {
            env.schedule.after(Duration::ZERO, Event::Run(self.actor(number)));
        }
        Ok(())
    }

    /// Its program is killed.
    pub fn die(&mut self, env: &mut Env, back: Duration) {
        if self.life.take().is_none() {
            return;
        }
        for way in &mut self.ways {
            way.dialling = None;
            env.hang_up(&mut way.line, Ending::Reset);
            way.line = Line::default();
        }
        env.counters.splitter_crashes += 1;
        env.note("splitter {} is killed", &[self.slot as u64]);
        env.schedule.after(back, Event::Burst(self.actor(0)));
    }

    // ---- connections ----

    /// A dial has ended. Says whether it was still wanted.
    pub fn take_dial(&mut self, number: u16, attempt: u64) -> bool {
        let way = &mut self.ways[usize::from(number)];
        let wanted = way.dialling == Some(attempt);
        if wanted {
            way.dialling = None;
        }
        wanted && self.life.is_some()
    }

    /// Nobody answered.
    pub fn refused(&mut self, number: u16, env: &mut Env) {
        if let Some(life) = &mut self.life {
            life.cores[usize::from(number)]
                .disconnected(Lost::Io("connection refused".to_owned()), env.schedule.now());
            env.schedule.after(Duration::ZERO, Event::Run(self.actor(number)));
        }
    }

    /// There is a byte stream. One that was there before is dropped.
    pub fn connected(&mut self, number: u16, env: &mut Env, socket: Socket) {
        let way = &mut self.ways[usize::from(number)];
        env.hang_up(&mut way.line, Ending::Eof);
        let Some(life) = &mut self.life else { return };
        way.line.socket = Some(socket);
        debug_assert_eq!(socket.side, Side::Dialler, "nobody calls it");
        life.cores[usize::from(number)].connected(socket.side, false, env.schedule.now());
        env.schedule.after(Duration::ZERO, Event::Run(self.actor(number)));
    }

    /// Its end of its connection to a partition.
    pub fn socket(&self, number: u16) -> Option<Socket> {
        self.ways[usize::from(number)].line.socket
    }

    /// Of which partition this is its end of its connection, if it is.
    pub fn holds(&self, socket: Socket) -> Option<u16> {
        let at = self.ways.iter().position(|way| way.line.socket == Some(socket))?;
        u16::try_from(at).ok()
    }

    // ---- running ----

    /// Whether its deadline for a partition has come.
    pub fn is_due(&mut self, number: u16, env: &mut Env) -> bool {
        let (actor, at) = (self.actor(number), usize::from(number));
        let Some(life) = &self.life else { return false };
        env.is_due(actor, &mut self.ways[at].line, life.cores[at].deadline())
    }

    /// It sends, and takes what there is of one partition. `by_alarm`: only because its deadline has come.
    ///
    /// # Errors
    /// A promise broken.
    pub fn run(
        &mut self,
        number: u16,
        env: &mut Env,
        oracle: &mut Oracle,
        host: &Host,
        (may_send, by_alarm): (bool, bool),
    ) -> Checked {
        let (actor, at) = (self.actor(number), usize::from(number));
        let Some(life) = &mut self.life else { return Ok(()) };
        host.look_at_names(oracle)?;
        // What is sent is polled by whoever runs, and wakes the first.
        let waker = self.ways[0].bell.waker().clone();
        let Way { line, bell, dialling, dials } = &mut self.ways[at];
        let core_is_empty = life.cores[at].connection().is_some_and(|connection| !connection.has_outbound());
        env.is_unwoken = by_alarm && core_is_empty && !bell.is_rung();
        bell.hush();
        let mut was_told = false;
        for turn in 0.. {
            let more = life.produce(&self.plan, env, oracle, &waker, may_send)?;
            let core = &mut life.cores[at];
            core.work(env.schedule.now(), bell.waker());
            if core.is_over() {
                violated!("the way of splitter {} to partition {number} is over: {core:?}", self.slot);
            }
            let moved = env.pump(actor, line, core)? || env.tell_time(actor, core, &mut was_told)?;
            if !moved && !more {
                break;
            }
            if turn == TURNS || env.dice.percent(3) {
                let wait = env.turn();
                env.schedule.after(wait, Event::Run(actor));
                break;
            }
        }
        env.is_unwoken = false;
        let core = &life.cores[at];
        env.set_alarm(actor, line, core.deadline());
        if core.wants_dial(env.schedule.now()) && dialling.is_none() {
            *dials += 1;
            *dialling = Some(*dials);
            let wait = env.dice.time(Duration::from_micros(50), Duration::from_millis(200));
            let party = Party::Splitter(self.slot, number);
            env.schedule.after(wait, Event::Dialled { party, attempt: *dials });
        }
        Ok(())
    }
}

impl Life {
    /// Sends what may be sent, and looks at acknowledgements. Says whether there is more to do at once.
    fn produce(
        &mut self,
        plan: &SplitterPlan,
        env: &mut Env,
        oracle: &mut Oracle,
        waker: &Waker,
        may_send: bool,
    ) -> Result<bool, Violation> {
        let cx = &mut Context::from_waker(waker);
        if !self.begin(env, oracle, cx)? {
            return Ok(false);
        }
        self.look(env, oracle, cx)?;
        if !may_send {
            self.allowed = oracle.parts.items(self.sender);
            if self.item >= self.allowed {
                self.sending = None;
            }
        }
        for _ in 0..TURNS {
            if !self.send(plan, env, oracle, cx)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it is known where it goes on.
    fn begin(&mut self, env: &mut Env, oracle: &mut Oracle, cx: &mut Context<'_>) -> Result<bool, Violation> {
        let Some(asking) = &mut self.asking else { return Ok(true) };
        for (number, (asking, told)) in (0..).zip(asking.iter_mut()) {
            if told.is_some() {
                continue;
            }
            match asking.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(producer)) => {
                    let next = producer.next_sequence;
                    env.note(
                        "sender {} goes on at {} in partition {}",
                        &[self.sender.into(), next, u64::from(number)],
                    );
                    oracle.parts.resumed(self.sender, number, usize::try_from(next).unwrap_or(usize::MAX))?;
                    *told = Some(next);
                }
                Poll::Ready(Err(error)) => violated!("sender {} cannot go on: {error}", self.sender),
            }
        }
        let Some(told) = asking.iter().map(|(_, told)| *told).collect::<Option<Vec<_>>>() else {
            return Ok(false);
        };
        self.skipped = told;
        self.asking = None;
        Ok(true)
    }

    fn send(
        &mut self,
        plan: &SplitterPlan,
        env: &mut Env,
        oracle: &mut Oracle,
        cx: &mut Context<'_>,
    ) -> Result<bool, Violation> {
        let (sender, item) = (self.sender, self.item);
        let key = plan.key(sender, item);
        if self.sending.is_none() {
            if item >= self.allowed {
                return Ok(false);
            }
            let number = key.map_or(0, |key| self.numbers[usize::from(key)]);
            let known = PartRecord { sender, item, key, number };
            let mut record = NewRecord::new(known.payload());
            if let Some(key) = known.key_bytes() {
                record = record.key(key);
            }
            let chosen = self.senders.choose(&record).clone();
            let Some(into) = chosen.name().partition() else {
                violated!("{} is no partition", chosen.name())
            };
            let at = usize::from(into);
            if self.skipped[at] > 0 {
                self.skipped[at] -= 1;
                self.sent(key, into);
                return Ok(true);
            }
            self.sending = Some((into, Box::pin(async move { chosen.send(record).await })));
        }
        let Some((into, sending)) = &mut self.sending else { return Ok(false) };
        let into = *into;
        let sent = match sending.as_mut().poll(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(error)) => violated!("item {item} of sender {sender} cannot be sent: {error}"),
        };
        self.sending = None;
        let sequence = self.next[usize::from(into)];
        oracle.parts.handed(sender, into, sequence, item)?;
        self.waiting[usize::from(into)].records.push_back((sequence, sent));
        env.counters.sent_by_key += u64::from(key.is_some());
        env.note("item {} of sender {} goes into partition {}", &[item.into(), sender.into(), into.into()]);
        self.sent(key, into);
        Ok(true)
    }

    fn sent(&mut self, key: Option<u16>, into: u16) {
        if let Some(key) = key {
            self.numbers[usize::from(key)] += 1;
        }
        self.next[usize::from(into)] += 1;
        self.item += 1;
    }

    fn look(&mut self, env: &mut Env, oracle: &mut Oracle, cx: &mut Context<'_>) -> Checked {
        for (number, waiting) in (0..).zip(&mut self.waiting) {
            while let Some((sequence, sent)) = waiting.records.front() {
                let reached = waiting.reached.get_or_insert_with(|| sent.durable());
                match Pin::new(reached).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => oracle.parts.acknowledged(self.sender, number, sequence + 1)?,
                    Poll::Ready(Err(error)) => {
                        violated!(
                            "record {sequence} of sender {} in partition {number}: {error}",
                            self.sender
                        )
                    }
                }
                env.counters.durable_acks += 1;
                waiting.reached = None;
                waiting.records.pop_front();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Splitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = self.life.as_ref();
        f.debug_struct("Splitter")
            .field("slot", &self.slot)
            .field("sender", &self.number())
            .field("item", &life.map(|life| (life.item, life.allowed)))
            .field("asking", &life.map(|life| life.asking.is_some()))
            .field(
                "waiting",
                &life.map(|life| life.waiting.iter().map(|one| one.records.len()).collect::<Vec<_>>()),
            )
            .finish_non_exhaustive()
    }
}
